/* The uplink `kinesis` on simulated time: what has to wait, and for how long. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/http.h"
#include "ports/names.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "tests/uplink/kinesis/host.h"
#include "tests/uplink/kinesis/service.h"
#include "uplink/aws/kinesis.h"

#define PLACE "http://kinesis.test:1"
#define MACHINE "http://169.254.169.254/latest/"
#define WINDOW_MS 1000

struct scene {
    struct loop *loop;
    struct names *names;
    struct service service;
    struct uplink_host host;
    struct kinesis_options options;
    bool is_expired; /* until new credentials come */
    unsigned given;  /* credentials */
    unsigned over;   /* records that were more than a shard takes in a second */
    struct taken {
        uint64_t at_ms;
        size_t size;
        unsigned shard;
    } * taken;
    size_t taken_count;
};

static struct scene *scene;

static const char *header_of(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < HTTP_HEADER_MAX && request->headers[i]; i++) {
        if (strncmp(request->headers[i], name, strlen(name)) == 0) {
            return request->headers[i] + strlen(name);
        }
    }
    return "";
}

static void serve(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct service_reply reply;
    (void)context;
    if (scene->is_expired && strstr(header_of(request, "Authorization: "), "ASIA1/")) {
        ret->status = 400;
        ret->body = SLICE("{\"__type\":\"ExpiredTokenException\",\"message\":\"expired\"}");
        return;
    }
    service_answer(&scene->service, header_of(request, "X-Amz-Target: "), request->body, &reply);
    ret->status = reply.status;
    ret->body = reply.body;
    ret->e = reply.is_lost ? ERR_CLOSED : ERR_OK;
}

static int begin(void **state)
{
    static uint64_t seed;
    sim_open(++seed);
    scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->taken = calloc(SERVICE_RECORD_MAX, sizeof *scene->taken);
    assert_non_null(scene->taken);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    service_init(&scene->service, 1);
    net_http(PLACE, serve, NULL);
    net_link()->bytes_per_second = 0;
    scene->options =
        (struct kinesis_options){.aws = {.region = "us-east-1",
                                         .endpoint = PLACE,
                                         .credentials = {.is_set = true,
                                                         .access_key_id = "AKIDTEST",
                                                         .secret_access_key = "SECRETTEST"},
                                         .timeout_ms = 10000},
                                 .stream = "{stream}",
                                 .ordering = KINESIS_ORDER_NONE,
                                 .event_id = KINESIS_ID_NONE,
                                 .record_size_max = 1048576};
    scene->host.loop = scene->loop;
    scene->host.names = scene->names;
    host_init(&scene->host, &kinesis_uplink_class, &scene->options);
    *state = scene;
    return 0;
}

static int end(void **state)
{
    (void)state;
    host_close(&scene->host);
    service_release(&scene->service);
    names_close(scene->names);
    loop_close(scene->loop);
    net_http(PLACE, NULL, NULL);
    net_http(MACHINE, NULL, NULL);
    free(scene->taken);
    free(scene);
    sim_close();
    return 0;
}

static void open_it(void)
{
    struct why why = {""};
    host_open(&scene->host);
    if (!host_target(&scene->host, 60000, &why)) {
        fail_msg("no target: %s", why.text);
    }
}

/* The service refuses what is more than a shard takes in a second, as Kinesis does. */
static const char *limited(struct service *service, const struct service_record *record,
                           size_t index)
{
    uint64_t now_ms = loop_now_ms(scene->loop);
    size_t count = 0, size = 0;
    unsigned shard = service_shard_of(service, record);
    (void)index;
    for (size_t i = scene->taken_count; i-- > 0 && scene->taken[i].at_ms + WINDOW_MS > now_ms;) {
        bool is_its = scene->taken[i].shard == shard;
        count += is_its;
        size += is_its ? scene->taken[i].size : 0;
    }
    if (count >= 1000 || (count > 0 && size + record->size > 1000000)) {
        scene->over++;
        return "ProvisionedThroughputExceededException";
    }
    scene->taken[scene->taken_count++] =
        (struct taken){.at_ms = now_ms, .size = record->size, .shard = shard};
    return NULL;
}

/* Pacing keeps what is sent within the limits: that the network may push two requests together is
 * allowed for by its latency being the same. */
static void nothing_is_refused_for_being_too_much(void **state)
{
    static const size_t sizes[] = {20, 900, 5000, 60000};
    static const size_t counts[] = {6000, 6000, 1500, 120};
    (void)state;
    net_link()->latency_us_min = net_link()->latency_us_max = 5000;
    scene->service.shard_count = 4;
    scene->service.refuse_record = limited;
    open_it();
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        scene->service.record_count = 0;
        scene->taken_count = 0;
        host_cut(&scene->host, 0, counts[i], sizes[i], 4000);
        uint64_t begun_ms = loop_now_ms(scene->loop);
        assert_true(host_deliver(&scene->host, 120000));
        uint64_t took_ms = loop_now_ms(scene->loop) - begun_ms;
        assert_int_equal(scene->over, 0);
        assert_int_equal(scene->service.record_count, counts[i]);
        uint64_t least_ms = counts[i] * sizes[i] / 4 * 1000 / 1000000;
        assert_true(took_ms < least_ms * 2 + 3500); /* and is not slower than it has to be */
        host_run(&scene->host, 2000);
    }
    assert_int_equal(scene->host.throttled, 0);
}

static const char *others(struct service *service, const struct service_record *record,
                          size_t index)
{
    (void)index;
    return service_shard_of(service, record) == 2 &&
                   loop_now_ms(scene->loop) < (uint64_t)(uintptr_t)service->context
               ? "ProvisionedThroughputExceededException"
               : NULL;
}

/* Somebody else fills a shard for a minute: asked more and more seldom, the others are not held up. */
/* What goes back is lent again after its pause, as forward does. */
static void run_and_lend(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 1000) {
        host_run(&scene->host, 1000);
        for (uint32_t i = 0; i < scene->host.parcel.part_count; i++) {
            const struct host_part *part = &scene->host.parts[i];
            if (!part->is_lent && part->report.result == SEND_RETRY) {
                host_run(&scene->host, (uint64_t)part->report.retry_after_ms);
                passed += (uint64_t)part->report.retry_after_ms;
                host_send(&scene->host, i);
            }
        }
    }
}

/* And its batch goes back: lent it would hold memory, and its part of the link, from others. */
static void a_full_shard_is_asked_seldom(void **state)
{
    (void)state;
    scene->service.shard_count = 4;
    scene->service.refuse_record = others;
    open_it();
    uint64_t now_ms = loop_now_ms(scene->loop);
    scene->service.context = (void *)(uintptr_t)(now_ms + 60000);
    host_cut(&scene->host, 0, 400, 30, 400);
    for (uint32_t i = 0; i < 4; i++) {
        host_send(&scene->host, i);
    }
    host_run(&scene->host, 3000);
    unsigned answered = 0;
    for (uint32_t i = 0; i < 4; i++) {
        answered += scene->host.parts[i].is_answered;
    }
    assert_int_equal(answered, 3);
    unsigned before = scene->service.put_count;
    run_and_lend(60000);
    assert_true(scene->service.put_count - before < 20);
    run_and_lend(30000);
    assert_int_equal(scene->service.record_count, 400);
}

/* The stream was split: what is stored says so, and the shards are asked for anew, once a minute at
 * most. */
static void shards_that_were_split_are_noticed(void **state)
{
    (void)state;
    scene->service.shard_count = 2;
    open_it();
    assert_int_equal(scene->host.target.partition_count, 2);
    scene->service.shard_count = 8;
    for (unsigned i = 0; i < 5; i++) {
        host_cut(&scene->host, i * 40, 40, 30, 40);
        assert_true(host_deliver(&scene->host, 60000));
    }
    assert_int_equal(scene->service.list_count, 1); /* less than a minute after the first */
    host_run(&scene->host, 61000);
    assert_int_equal(scene->service.list_count, 2);
    struct why why;
    assert_true(host_target(&scene->host, 1000, &why));
    assert_int_equal(scene->host.target.partition_count, 8);
    host_run(&scene->host, 3 * 3600 * 1000);
    assert_int_equal(scene->service.list_count, 2); /* nobody wants to know */
    assert_true(host_target(&scene->host, 1000, &why));
    host_run(&scene->host, 1000);
    assert_int_equal(scene->service.list_count, 3); /* what is old is asked for beside the work */
}

static bool is_missing(struct service *service, unsigned number, bool is_list,
                       struct service_reply *ret)
{
    (void)service;
    (void)number;
    ret->status = 400;
    ret->body = SLICE("{\"__type\":\"ResourceNotFoundException\",\"message\":\"no\"}");
    return is_list;
}

/* On a metered link each question costs a kilobyte. */
static void a_missing_stream_is_asked_for_seldom(void **state)
{
    struct why why = {""};
    (void)state;
    scene->service.refuse = is_missing;
    host_open(&scene->host);
    assert_false(host_target(&scene->host, 3600 * 1000, &why));
    assert_true(scene->service.list_count >= 8 && scene->service.list_count <= 16);
    unsigned before = scene->service.list_count;
    scene->service.refuse = NULL;
    assert_true(host_target(&scene->host, 601000, &why));
    assert_int_equal(scene->service.list_count, before + 1);
    host_cut(&scene->host, 0, 4, 30, 4);
    assert_true(host_deliver(&scene->host, 10000));
}

static void give_role(void *context, const struct http_request *request, struct net_reply *ret)
{
    static char body[512];
    (void)context;
    if (strcmp(request->method, "PUT") == 0) {
        ret->body = SLICE("token");
    } else if (request->url[strlen(request->url) - 1] == '/') {
        ret->body = SLICE("role");
    } else {
        scene->given++;
        (void)snprintf(body, sizeof body,
                       "{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA%u\",\"SecretAccessKey\":\"s\","
                       "\"Token\":\"t\",\"Expiration\":\"2099-01-01T00:00:00Z\"}",
                       scene->given);
        ret->body = slice_of_text(body);
    }
}

/* Credentials that the service takes for ended are fetched anew, and the same goes once more. */
static void ended_credentials_are_renewed_once(void **state)
{
    (void)state;
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE", "HOME"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        unsetenv(names[i]);
    }
    scene->options.aws.credentials = (struct credentials_options){.is_set = false};
    net_http(MACHINE, give_role, NULL);
    open_it();
    host_cut(&scene->host, 0, 40, 30, 40);
    assert_true(host_deliver(&scene->host, 60000));
    assert_int_equal(scene->given, 1);
    host_run(&scene->host, 120000);
    scene->is_expired = true;
    unsigned before = scene->service.put_count;
    host_cut(&scene->host, 40, 40, 30, 40);
    assert_true(host_send_all(&scene->host, 60000));
    assert_int_equal(host_report(&scene->host)->result, SEND_OK);
    assert_int_equal(scene->given, 2);
    assert_int_equal(scene->service.put_count, before + 1);
}

/* Some of a batch is stored, then the link fails, and after a long wait its bytes are made anew. */
static void what_was_stored_is_known_after_an_outage(void **state)
{
    (void)state;
    scene->options.ordering = KINESIS_ORDER_KEY;
    open_it();
    net_link()->latency_us_min = net_link()->latency_us_max = 50000;
    host_cut(&scene->host, 0, 60, 30, 20);
    host_send(&scene->host, 0);
    host_run(&scene->host, 200); /* the first answer is there, the next request is not */
    assert_int_equal(scene->service.record_count, 20);
    net_link()->down = true;
    host_run(&scene->host, 60000);
    assert_true(scene->host.parts[0].is_answered);
    net_link()->down = false;
    host_make_again(&scene->host, 0);
    assert_true(host_deliver(&scene->host, 120000));
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(service_stored(&scene->service, i), 1);
    }
    assert_true(service_is_in_order(&scene->service, 20));
}

/* The link is down for an hour: one request at a time, and everything is there behind it. */
static void an_outage_is_waited_out(void **state)
{
    (void)state;
    scene->options.ordering = KINESIS_ORDER_KEY;
    open_it();
    net_link()->down = true;
    host_cut(&scene->host, 0, 60, 30, 20);
    assert_false(host_deliver(&scene->host, 600000));
    assert_int_equal(scene->service.record_count, 0);
    net_link()->down = false;
    host_run(&scene->host, 120000);
    for (size_t i = 0; i < scene->host.parcel.part_count; i++) {
        if (!scene->host.parts[i].is_lent && !scene->host.parcel.parts[i].done) {
            assert_true(host_deliver(&scene->host, 120000));
        }
    }
    assert_true(service_is_in_order(&scene->service, 20));
    for (uint64_t i = 0; i < 60; i++) {
        assert_true(service_stored(&scene->service, i) >= 1);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_refused_for_being_too_much),
        TEST(a_full_shard_is_asked_seldom),
        TEST(shards_that_were_split_are_noticed),
        TEST(ended_credentials_are_renewed_once),
        TEST(a_missing_stream_is_asked_for_seldom),
        TEST(what_was_stored_is_known_after_an_outage),
        TEST(an_outage_is_waited_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
