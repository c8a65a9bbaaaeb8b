/* The uplink `kinesis` against a double of the service, over real sockets: what is stored, in which
 * order, what each refusal comes to, and the limits. */
#include "tests/cmocka.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/names.h"
#include "tests/ports/told.h"
#include "tests/uplink/kinesis/host.h"
#include "tests/uplink/kinesis/server.h"
#include "uplink/aws/kinesis_impl.h"

#define WAIT_MS 10000

struct scene {
    struct loop *loop;
    struct names *names;
    struct server server;
    struct uplink_host host;
    struct kinesis_options options;
    struct service_reply reply; /* that refuse() gives */
    unsigned reply_count;       /* how often */
    unsigned reply_from;        /* from this request on */
    bool is_list;               /* to ListShards */
};

static struct scene *scene; /* of the test at hand, for the callbacks of the service */

static int begin(void **state)
{
    scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    server_open(&scene->server, scene->loop, 1);
    scene->options =
        (struct kinesis_options){.aws = {.region = "us-east-1",
                                         .endpoint = scene->server.url,
                                         .credentials = {.is_set = true,
                                                         .access_key_id = "AKIDTEST",
                                                         .secret_access_key = "SECRETTEST"},
                                         .timeout_ms = 10000},
                                 .stream = "{stream}",
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
    server_close(&scene->server);
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
    return 0;
}

static void open_it(void)
{
    struct why why = {""};
    host_open(&scene->host);
    if (!host_target(&scene->host, WAIT_MS, &why)) {
        fail_msg("no target: %s", why.text);
    }
}

static void deliver(void)
{
    if (!host_deliver(&scene->host, WAIT_MS)) {
        fail_msg("not delivered: %s", scene->host.parts[0].report.text);
    }
}

static bool refuse(struct service *service, unsigned number, bool is_list,
                   struct service_reply *ret)
{
    (void)service;
    if (is_list != scene->is_list || number < scene->reply_from || scene->reply_count == 0) {
        return false;
    }
    scene->reply_count--;
    *ret = scene->reply;
    return true;
}

/* The next `count` puts, from number `from` on, are answered so. */
static void refuse_with(unsigned from, unsigned count, long status, const char *type,
                        const char *body)
{
    scene->server.service.refuse = refuse;
    scene->reply_from = from;
    scene->reply_count = count;
    scene->reply =
        (struct service_reply){.status = status, .type = type, .body = slice_of_text(body)};
}

static void forget(void)
{
    scene->server.service.put_count = 0;
    scene->server.service.record_count = 0;
}

/* --- what is stored --- */

static void assert_each_once(uint64_t first, size_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        assert_int_equal(service_stored(&scene->server.service, i), 1);
    }
    assert_int_equal(scene->server.service.record_count, count);
}

static void rows_arrive_once_and_in_order(void **state)
{
    (void)state;
    open_it();
    assert_int_equal(scene->host.target.partition_count, 1);
    host_cut(&scene->host, 0, 200, 30, 10);
    deliver();
    assert_each_once(0, 200);
    assert_true(service_is_in_order(&scene->server.service, 10));
    assert_int_equal(scene->server.service.put_count, 20); /* one record a key and request */
    assert_string_equal(scene->server.service.last_stream, "telemetry");
    assert_true(scene->server.service.last_was_cbor);
    assert_true(!wire_is_told() || scene->host.wire_bytes > 0);
}

static void without_order_they_go_together(void **state)
{
    (void)state;
    scene->options.ordering = KINESIS_ORDER_NONE;
    open_it();
    host_cut(&scene->host, 0, 501, 30, 10);
    deliver();
    assert_each_once(0, 501);
    assert_int_equal(scene->server.service.put_count, 2);
    assert_int_equal(scene->server.service.count_most, 500); /* and one more is another request */
}

static void each_shard_has_its_bucket(void **state)
{
    (void)state;
    server_close(&scene->server);
    server_open(&scene->server, scene->loop, 4);
    open_it();
    assert_int_equal(scene->host.target.partition_count, 4);
    host_cut(&scene->host, 0, 400, 30, 100);
    assert_int_equal(scene->host.parcel.part_count, 4);
    deliver();
    assert_each_once(0, 400);
    for (size_t i = 0; i < 400; i++) {
        const struct service_record *record = &scene->server.service.records[i];
        struct kinesis_hash hash = kinesis_hash_of(slice_of_text(record->key));
        assert_int_equal(kinesis_hash_compare(&hash, &record->hash), 0);
    }
}

static void at_most_sixteen_buckets(void **state)
{
    (void)state;
    server_close(&scene->server);
    server_open(&scene->server, scene->loop, 32);
    scene->server.service.page = 7; /* and the list comes in pages */
    open_it();
    assert_int_equal(scene->server.service.list_count, 5);
    assert_int_equal(scene->host.target.partition_count, 16);
    host_cut(&scene->host, 0, 640, 30, 320);
    deliver();
    assert_each_once(0, 640);
    assert_true(service_is_in_order(&scene->server.service, 320));
}

static void events_that_carry_ids_go_where_their_key_does(void **state)
{
    (void)state;
    scene->options.event_id = KINESIS_ID_PARTITION_KEY;
    open_it();
    host_cut(&scene->host, 0, 20, 30, 5);
    deliver();
    assert_true(service_is_in_order(&scene->server.service, 5));
    for (size_t i = 0; i < 20; i++) {
        const struct service_record *record = &scene->server.service.records[i];
        uint64_t sequence = strtoull(record->data, NULL, 10);
        char id[40], key[16];
        (void)snprintf(id, sizeof id, "pump/3/telemetry/%u", (unsigned)sequence);
        (void)snprintf(key, sizeof key, "key %06u", (unsigned)(sequence % 5));
        struct kinesis_hash hash = kinesis_hash_of(slice_of_text(key));
        assert_string_equal(record->key, id);
        assert_true(record->has_hash && kinesis_hash_compare(&hash, &record->hash) == 0);
    }
}

static void an_arn_is_said_as_such(void **state)
{
    (void)state;
    scene->options.stream = "arn:aws:kinesis:us-east-1:000000000000:stream/{stream}";
    open_it();
    host_cut(&scene->host, 0, 1, 30, 1);
    deliver();
    assert_string_equal(scene->server.service.last_stream,
                        "arn:aws:kinesis:us-east-1:000000000000:stream/telemetry");
}

/* --- partial failures --- */

static const char *every_second(struct service *service, const struct service_record *record,
                                size_t index)
{
    (void)record;
    return service->put_count <= 3 && index % 2 == 1 ? service->context : NULL;
}

static void only_what_failed_goes_again(void **state)
{
    static const char *const codes[] = {"ProvisionedThroughputExceededException", "InternalFailure",
                                        "ServiceUnavailableException", "KMSThrottlingException"};
    (void)state;
    open_it();
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        struct service *service = &scene->server.service;
        service->refuse_record = every_second;
        service->context = (void *)(uintptr_t)codes[i];
        forget();
        scene->host.throttled = scene->host.failed = 0;
        host_cut(&scene->host, 0, 60, 30, 20);
        deliver();
        assert_each_once(0, 60);
        assert_true(service_is_in_order(service, 20));
        assert_int_equal(scene->host.parts[0].tries, 1); /* all within one send */
        bool is_throttle = i == 0 || i == 3;
        assert_true((scene->host.throttled > 0) == is_throttle);
        assert_true((scene->host.failed > 0) == !is_throttle);
        assert_true(host_report(&scene->host)->is_clear);
    }
}

static const char *first_shard(struct service *service, const struct service_record *record,
                               size_t index)
{
    (void)index;
    return service_shard_of(service, record) == 0 && service->record_count < 150
               ? "ProvisionedThroughputExceededException"
               : NULL;
}

static void a_shard_that_throttles_holds_up_only_itself(void **state)
{
    (void)state;
    server_close(&scene->server);
    server_open(&scene->server, scene->loop, 4);
    struct service *service = &scene->server.service;
    service->refuse_record = first_shard;
    scene->options.ordering = KINESIS_ORDER_NONE;
    open_it();
    host_cut(&scene->host, 0, 300, 30, 300);
    deliver(); /* it would not end: the others must be stored before the first shard takes any */
    assert_each_once(0, 300);
    for (size_t i = 0; i < 150; i++) {
        assert_int_not_equal(service_shard_of(service, &service->records[i]), 0);
    }
}

static void what_was_stored_is_known_when_bytes_are_made_anew(void **state)
{
    (void)state;
    open_it();
    host_cut(&scene->host, 0, 40, 30, 10);
    refuse_with(2, 1, 500, NULL, "{\"__type\":\"InternalFailure\"}");
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_RETRY);
    assert_int_equal(scene->server.service.record_count, 20);
    assert_false(host_report(&scene->host)->is_clear); /* the 500 may be another one's */
    host_make_again(&scene->host, 0);
    deliver();
    assert_each_once(0, 40);
}

static void a_lost_answer_makes_twice_what_it_was_about(void **state)
{
    (void)state;
    open_it();
    host_cut(&scene->host, 0, 40, 30, 10);
    refuse_with(1, 1, 0, NULL, "");
    scene->reply.is_lost = true;
    deliver(); /* libcurl, or forward, tries again */
    assert_true(service_is_in_order(&scene->server.service, 10));
    assert_int_equal(scene->server.service.record_count, 50);
    for (uint64_t i = 0; i < 40; i++) {
        assert_int_equal(service_stored(&scene->server.service, i), i >= 10 && i < 20 ? 2 : 1);
    }
}

/* --- the table of refusals --- */

struct row {
    long status;
    const char *type; /* as a header */
    const char *body;
    enum send_result result;
};

#define JSON(type) "{\"__type\":\"" type "\",\"message\":\"m\"}"

static const struct row rows[] = {
    {400, NULL, JSON("ProvisionedThroughputExceededException"), SEND_RETRY},
    {400, NULL, JSON("KMSThrottlingException"), SEND_RETRY},
    {400, NULL, JSON("LimitExceededException"), SEND_RETRY},
    {400, NULL, JSON("com.amazonaws.kinesis.v20131202#ResourceNotFoundException"), SEND_PARK},
    {400, NULL, JSON("InvalidArgumentException"), SEND_REJECTED},
    {400, NULL, JSON("ValidationException"), SEND_REJECTED},
    {400, NULL, "{\"__type\":\"SerializationException\",\"Message\":\"'%%%'\"}", SEND_TOO_LARGE},
    {400, "SerializationException", "", SEND_TOO_LARGE},
    {413, NULL, "", SEND_TOO_LARGE},
    {400, "ExpiredTokenException", "{}", SEND_PARK}, /* there are no others */
    {400, NULL, JSON("AccessDeniedException"), SEND_PARK},
    {403, "AccessDeniedException:http://internal.amazon.com/", "", SEND_PARK},
    {403, NULL, JSON("UnrecognizedClientException"), SEND_PARK},
    {403, NULL, "<E><Code>MissingAuthenticationToken</Code></E>", SEND_PARK},
    {400, NULL, JSON("InvalidSignatureException"), SEND_PARK}, /* the clock is right */
    {403, "RequestExpired", "", SEND_PARK},
    {500, NULL, JSON("InternalFailure"), SEND_RETRY},
    {500, "InternalFailure", "", SEND_RETRY},
    {502, NULL, "<html>Bad Gateway</html>", SEND_RETRY},
    {503, NULL, "", SEND_RETRY},
    {504, NULL, "", SEND_RETRY},
    {403, NULL, "", SEND_PARK},
    {200, NULL, "<html>Welcome to the hotel</html>", SEND_RETRY},
    {200, NULL, "{\"Records\":[]}", SEND_RETRY},
};

static void each_refusal_comes_to_what_the_table_says(void **state)
{
    (void)state;
    scene->options.encoding = KINESIS_ENCODING_CBOR;
    open_it();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct service *service = &scene->server.service;
        forget();
        refuse_with(0, 1, rows[i].status, rows[i].type, rows[i].body);
        host_cut(&scene->host, 0, 4, 30, 4);
        assert_true(host_send_all(&scene->host, WAIT_MS));
        const struct send_report *report = host_report(&scene->host);
        if (report->result != rows[i].result) {
            fail_msg("row %zu: %d, %s", i, (int)report->result, report->text);
        }
        assert_int_equal(report->code, rows[i].status);
        assert_int_equal(report->is_clear, rows[i].status >= 400 && rows[i].status < 500);
        assert_non_null(strstr(report->text, "telemetry"));
        assert_int_equal(service->put_count, 1);
        assert_null(strstr(report->text, "SECRETTEST"));
        deliver();
        assert_each_once(0, 4);
    }
}

static void a_wrong_clock_signs_again_once(void **state)
{
    (void)state;
    open_it();
    refuse_with(0, 1, 400, NULL, JSON("InvalidSignatureException"));
    scene->reply.header = "Date: Fri, 01 Jan 2088 00:00:00 GMT";
    host_cut(&scene->host, 0, 1, 30, 1);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_OK);
    assert_int_equal(scene->server.service.put_count, 2);
    assert_int_equal(memcmp(scene->server.service.last_date, "20880101T0000", 13), 0);
    /* But not for ever. */
    scene->server.service.put_count = 0;
    refuse_with(0, 5, 400, NULL, JSON("InvalidSignatureException"));
    scene->reply.header = "Date: Sun, 01 Jan 2090 00:00:00 GMT";
    host_cut(&scene->host, 1, 1, 30, 1);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_PARK);
    assert_int_equal(scene->server.service.put_count, 2);
}

/* One record is bad, and others of its batch are stored already: those are not halved with it. */
static bool refuse_bad(struct service *service, unsigned number, bool is_list,
                       struct service_reply *ret)
{
    static const uint8_t body[] = JSON("ValidationException");
    (void)service;
    if (is_list || number == 0 || scene->reply_count == 0) {
        return false;
    }
    scene->reply_count--;
    *ret = (struct service_reply){.status = 400, .body = {body, sizeof body - 1}};
    return true;
}

static void what_is_bad_is_looked_for_beside_what_is_stored(void **state)
{
    (void)state;
    open_it();
    scene->server.service.refuse = refuse_bad;
    scene->reply_count = 3; /* 10 records, 5, 3: then 2 are fine */
    host_cut(&scene->host, 0, 20, 30, 10);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_OK);
    assert_each_once(0, 20);
    forget();
    scene->reply_count = 5; /* down to a single one: its event has to be found */
    host_cut(&scene->host, 0, 20, 30, 10);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_REJECTED);
    assert_int_equal(scene->server.service.record_count, 10);
}

/* --- limits --- */

static void requests_have_the_services_size_at_most(void **state)
{
    (void)state;
    scene->options.ordering = KINESIS_ORDER_NONE;
    scene->options.record_size_max = 10485760;
    scene->options.encoding = KINESIS_ENCODING_CBOR;
    scene->is_list = true; /* one that is listed would take a megabyte in a second */
    refuse_with(0, 1, 400, NULL, JSON("AccessDeniedException"));
    open_it();
    scene->host.target.request_size_max = UINT32_MAX; /* of what was cut under other settings */
    /* Ten records that fill a request to the byte, keys included. */
    host_cut(&scene->host, 0, 10, 1048576 - 10, 1);
    assert_int_equal(scene->host.messages[0].key.size, 10);
    deliver();
    assert_int_equal(scene->server.service.put_count, 1);
    assert_int_equal(scene->server.service.size_most, KINESIS_REQUEST_SIZE_MAX);
    /* One byte more each: the tenth goes in another. */
    forget();
    host_cut(&scene->host, 0, 10, 1048576 - 9, 1);
    deliver();
    assert_int_equal(scene->server.service.put_count, 2);
    assert_each_once(0, 10);
}

static void the_link_bounds_a_request(void **state)
{
    (void)state;
    scene->options.ordering = KINESIS_ORDER_NONE;
    open_it();
    scene->host.request_size = 4000;
    struct why why;
    assert_true(host_target(&scene->host, WAIT_MS, &why));
    assert_int_equal(scene->host.target.request_size_max, 4000);
    scene->host.target.request_size_max = UINT32_MAX;
    host_cut(&scene->host, 0, 50, 990, 1);
    deliver();
    assert_int_equal(scene->server.service.size_most, 4000);
    assert_each_once(0, 50);
}

/* --- encodings --- */

static bool refuse_cbor(struct service *service, unsigned number, bool is_list,
                        struct service_reply *ret)
{
    (void)number;
    /* Which it is, the last request says only after it was read. */
    if (is_list || service->put_count != 1) {
        return false;
    }
    *ret = scene->reply;
    return true;
}

static void json_is_the_fallback(void **state)
{
    static const struct row refusals[] = {
        {500, NULL, "<!doctype html><h1>Internal Server Error", 0},
        {415, NULL, "", 0},
        {404, NULL, "<UnknownOperationException/>", 0},
        {400, "SerializationException", "", 0}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        scene->server.service.refuse = refuse_cbor;
        forget();
        scene->reply = (struct service_reply){.status = refusals[i].status,
                                              .type = refusals[i].type,
                                              .body = slice_of_text(refusals[i].body)};
        if (i > 0) {
            host_close(&scene->host);
            host_init(&scene->host, &kinesis_uplink_class, &scene->options);
        }
        open_it();
        host_cut(&scene->host, 0, 4, 30, 4);
        assert_true(host_send_all(&scene->host, WAIT_MS));
        assert_int_equal(host_report(&scene->host)->result, SEND_OK);
        assert_int_equal(scene->server.service.put_count, 2);
        assert_false(scene->server.service.last_was_cbor);
        host_cut(&scene->host, 4, 4, 30, 4); /* and it stays so */
        deliver();
        assert_int_equal(scene->server.service.put_count, 3);
        assert_false(scene->server.service.last_was_cbor);
        assert_each_once(0, 8);
    }
}

static void what_json_does_not_mend_was_not_the_encoding(void **state)
{
    (void)state;
    open_it();
    refuse_with(0, 2, 500, NULL, "");
    host_cut(&scene->host, 0, 4, 30, 4);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_RETRY);
    deliver();
    assert_true(scene->server.service.last_was_cbor);
    /* Once it was understood, a refusal is one. */
    refuse_with(scene->server.service.put_count, 1, 400, "SerializationException", "");
    host_cut(&scene->host, 4, 4, 30, 4);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_TOO_LARGE);
}

/* --- shards --- */

static void a_stream_that_is_missing_is_waited_for(void **state)
{
    struct why why = {""};
    (void)state;
    scene->is_list = true;
    refuse_with(0, 2, 400, NULL,
                "{\"__type\":\"ResourceNotFoundException\",\"message\":\"Stream "
                "telemetry under account 0 not found.\"}");
    host_open(&scene->host);
    assert_false(host_target(&scene->host, 500, &why));
    assert_non_null(strstr(why.text, "not found"));
    assert_string_equal(scene->host.fault.text, why.text);
    assert_true(host_target(&scene->host, WAIT_MS, &why));
    assert_int_equal(scene->server.service.list_count, 3);
    assert_string_equal(scene->host.fault.text, "");
}

static void who_may_not_list_may_write(void **state)
{
    (void)state;
    scene->is_list = true;
    server_close(&scene->server);
    server_open(&scene->server, scene->loop, 4);
    refuse_with(0, 1, 400, NULL, JSON("AccessDeniedException"));
    open_it();
    assert_int_equal(scene->host.target.partition_count, 1);
    host_cut(&scene->host, 0, 100, 30, 20);
    deliver();
    assert_each_once(0, 100);
    assert_true(service_is_in_order(&scene->server.service, 20));
}

/* --- the end --- */

/* A list that has no end. */
static void a_list_has_so_many_pages_at_most(void **state)
{
    (void)state;
    scene->is_list = true;
    refuse_with(0, UINT_MAX, 200, NULL,
                "{\"Shards\":[{\"ShardId\":\"shardId-000000000007\",\"HashKeyRange\":{"
                "\"StartingHashKey\":\"0\",\"EndingHashKey\":\"99\"},\"SequenceNumberRange\":{"
                "\"StartingSequenceNumber\":\"1\"}}],\"NextToken\":\"more\"}");
    open_it();
    assert_int_equal(scene->server.service.list_count, KINESIS_LIST_PAGE_MAX);
    host_cut(&scene->host, 0, 20, 30, 10);
    deliver(); /* by shards of other names: that is no news */
    assert_each_once(0, 20);
    const struct kinesis *k = CONTAINER_OF(scene->host.uplink, struct kinesis, uplink);
    assert_true(k->streams->is_partial && !k->streams->wants_list);
}

static void a_stop_gives_everything_back(void **state)
{
    (void)state;
    server_close(&scene->server);
    server_open(&scene->server, scene->loop, 4);
    scene->server.service.refuse_record = first_shard;
    open_it();
    host_cut(&scene->host, 0, 100, 30, 100);
    for (uint32_t i = 0; i < scene->host.parcel.part_count; i++) {
        host_send(&scene->host, i);
    }
    host_run(&scene->host, 300);
    scene->host.class_->stop(scene->host.uplink, 100);
    host_run(&scene->host, 300);
    for (uint32_t i = 0; i < scene->host.parcel.part_count; i++) {
        assert_true(scene->host.parts[i].is_answered);
    }
    uint32_t part = 0;
    scene->host.parcel.parts[0].assigned = false;
    assert_int_equal(scene->host.class_->assign(scene->host.uplink, &scene->host.parcel, &part, 1),
                     ERR_AGAIN);
}

static void names_are_checked(void **state)
{
    struct why why = {""};
    (void)state;
    scene->options.stream = "{agent}.{stream}";
    scene->host.stream.name = "a stream";
    host_open(&scene->host);
    struct target target = {.layout = LAYOUT_ROWS};
    assert_int_equal(scene->host.class_->target(scene->host.uplink, &scene->host.stream,
                                                &scene->host.schema, &target, &why),
                     ERR_CONFIG);
    assert_non_null(strstr(why.text, "pump.a stream"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rows_arrive_once_and_in_order),
        TEST(without_order_they_go_together),
        TEST(each_shard_has_its_bucket),
        TEST(at_most_sixteen_buckets),
        TEST(events_that_carry_ids_go_where_their_key_does),
        TEST(an_arn_is_said_as_such),
        TEST(only_what_failed_goes_again),
        TEST(a_shard_that_throttles_holds_up_only_itself),
        TEST(what_was_stored_is_known_when_bytes_are_made_anew),
        TEST(a_lost_answer_makes_twice_what_it_was_about),
        TEST(each_refusal_comes_to_what_the_table_says),
        TEST(a_wrong_clock_signs_again_once),
        TEST(what_is_bad_is_looked_for_beside_what_is_stored),
        TEST(requests_have_the_services_size_at_most),
        TEST(the_link_bounds_a_request),
        TEST(json_is_the_fallback),
        TEST(what_json_does_not_mend_was_not_the_encoding),
        TEST(a_stream_that_is_missing_is_waited_for),
        TEST(who_may_not_list_may_write),
        TEST(a_list_has_so_many_pages_at_most),
        TEST(a_stop_gives_everything_back),
        TEST(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
