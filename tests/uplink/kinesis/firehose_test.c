/* The uplink `firehose` against a double of the service, over real sockets. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/names.h"
#include "tests/uplink/kinesis/host.h"
#include "tests/uplink/kinesis/server.h"
#include "uplink/aws/firehose.h"
#include "uplink/aws/kinesis_entries.h"
#include "uplink/layout/framing.h"

#define WAIT_MS 10000
#define JSON(type) "{\"__type\":\"" type "\",\"message\":\"m\"}"

struct scene {
    struct loop *loop;
    struct names *names;
    struct server server;
    struct uplink_host host;
    struct firehose_options options;
    struct service_reply reply;
    unsigned reply_count;
};

static struct scene *scene;

static int begin(void **state)
{
    scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    server_open(&scene->server, scene->loop, 1);
    scene->options =
        (struct firehose_options){.aws = {.region = "us-east-1",
                                          .endpoint = scene->server.url,
                                          .credentials = {.is_set = true,
                                                          .access_key_id = "AKIDTEST",
                                                          .secret_access_key = "SECRETTEST"},
                                          .timeout_ms = 10000},
                                  .delivery_stream = "site-{stream}",
                                  .framing = FRAMING_NONE,
                                  .record_size_max = 65536};
    scene->host.loop = scene->loop;
    scene->host.names = scene->names;
    host_init(&scene->host, &firehose_uplink_class, &scene->options);
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

static void forget(void)
{
    scene->server.service.put_count = 0;
    scene->server.service.record_count = 0;
}

static void assert_each_once(uint64_t first, size_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        assert_int_equal(service_stored(&scene->server.service, i), 1);
    }
    assert_int_equal(scene->server.service.record_count, count);
}

static bool refuse(struct service *service, unsigned number, bool is_list,
                   struct service_reply *ret)
{
    (void)service;
    (void)number;
    (void)is_list;
    if (scene->reply_count == 0) {
        return false;
    }
    scene->reply_count--;
    *ret = scene->reply;
    return true;
}

static void refuse_with(unsigned count, long status, const char *type, const char *body)
{
    scene->server.service.refuse = refuse;
    scene->reply_count = count;
    scene->reply =
        (struct service_reply){.status = status, .type = type, .body = slice_of_text(body)};
}

static void records_arrive_once(void **state)
{
    (void)state;
    open_it();
    assert_int_equal(scene->host.target.partition_count, 1);
    assert_string_equal(scene->host.target.name, "site-telemetry");
    host_cut(&scene->host, 0, 501, 30, 3);
    assert_true(host_deliver(&scene->host, WAIT_MS));
    assert_each_once(0, 501);
    assert_int_equal(scene->server.service.put_count, 2);
    assert_int_equal(scene->server.service.count_most, 500); /* and one more is another request */
    assert_string_equal(scene->server.service.last_stream, "site-telemetry");
    assert_false(scene->server.service.last_was_cbor);
}

static const char *every_second(struct service *service, const struct service_record *record,
                                size_t index)
{
    (void)record;
    return service->put_count <= 2 && index % 2 == 1 ? "ServiceUnavailableException" : NULL;
}

static void only_what_failed_goes_again(void **state)
{
    (void)state;
    scene->server.service.refuse_record = every_second;
    open_it();
    host_cut(&scene->host, 0, 100, 30, 0);
    assert_true(host_deliver(&scene->host, WAIT_MS));
    assert_each_once(0, 100);
    assert_int_equal(scene->host.parts[0].tries, 1); /* all within one send */
    assert_int_equal(scene->host.throttled, 50 + 25);
}

static void each_refusal_comes_to_what_the_table_says(void **state)
{
    static const struct {
        long status;
        const char *type, *body;
        enum send_result result;
    } rows[] = {
        {500, NULL, JSON("ServiceUnavailableException"), SEND_RETRY},
        {503, NULL, JSON("ServiceUnavailableException"), SEND_RETRY},
        {400, NULL, JSON("LimitExceededException"), SEND_RETRY},
        {400, NULL, JSON("ResourceNotFoundException"), SEND_PARK},
        {400, NULL, JSON("InvalidArgumentException"), SEND_REJECTED},
        {400, NULL, JSON("ValidationException"), SEND_REJECTED},
        {400, NULL, JSON("InvalidSourceException"), SEND_PARK},
        {400, NULL, JSON("InvalidKMSResourceException"), SEND_PARK},
        {400, "SerializationException", "", SEND_TOO_LARGE},
        {413, NULL, "", SEND_TOO_LARGE},
        {400, NULL, JSON("ExpiredTokenException"), SEND_PARK},
        {400, NULL, JSON("AccessDeniedException"), SEND_PARK},
        {403, NULL, "<E><Code>SignatureDoesNotMatch</Code></E>", SEND_PARK},
        {500, "InternalFailure", "", SEND_RETRY},
        {502, NULL, "<html>", SEND_RETRY},
        {504, NULL, "", SEND_RETRY},
        {200, NULL, "<html>", SEND_RETRY},
    };
    (void)state;
    open_it();
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        forget();
        refuse_with(1, rows[i].status, rows[i].type, rows[i].body);
        host_cut(&scene->host, 0, 4, 30, 4);
        assert_true(host_send_all(&scene->host, WAIT_MS));
        const struct send_report *report = host_report(&scene->host);
        if (report->result != rows[i].result) {
            fail_msg("row %zu: %d, %s", i, (int)report->result, report->text);
        }
        assert_int_equal(report->code, rows[i].status);
        bool is_throttle = strstr(rows[i].body, "ServiceUnavailableException");
        bool is_refused = rows[i].status >= 400 && rows[i].status < 500;
        assert_int_equal(report->is_clear, is_throttle || is_refused);
        assert_non_null(strstr(report->text, "site-telemetry"));
        assert_int_equal(scene->server.service.put_count, 1);
        assert_true(host_deliver(&scene->host, WAIT_MS));
        assert_each_once(0, 4);
    }
}

static void a_wrong_clock_signs_again(void **state)
{
    (void)state;
    open_it();
    refuse_with(1, 400, NULL, JSON("InvalidSignatureException"));
    scene->reply.header = "Date: Fri, 01 Jan 2088 00:00:00 GMT";
    host_cut(&scene->host, 0, 1, 30, 0);
    assert_true(host_send_all(&scene->host, WAIT_MS));
    assert_int_equal(host_report(&scene->host)->result, SEND_OK);
    assert_int_equal(memcmp(scene->server.service.last_date, "20880101T0000", 13), 0);
}

/* --- limits --- */

static void requests_have_the_services_size_at_most(void **state)
{
    (void)state;
    open_it();
    scene->host.target.request_size_max = UINT32_MAX;
    /* 4 MiB as they travel, in base64: three records of 1 MiB before it. */
    host_cut(&scene->host, 0, 6, 524288, 0);
    assert_true(host_deliver(&scene->host, WAIT_MS));
    assert_int_equal(scene->server.service.put_count, 1);
    assert_int_equal(scene->server.service.size_most, FIREHOSE_REQUEST_SIZE_MAX / 4 * 3);
    forget();
    host_cut(&scene->host, 0, 6, 524289, 0);
    assert_true(host_deliver(&scene->host, WAIT_MS));
    assert_int_equal(scene->server.service.put_count, 2);
    assert_each_once(0, 6);
}

static enum err wrap(struct message *message, size_t count, struct out *ret)
{
    struct part part = {.partition = 0};
    struct parcel parcel = {.layout =
                                scene->options.framing == FRAMING_JSON ? LAYOUT_JSON : LAYOUT_ROWS};
    struct stream_info stream = {.name = "telemetry"};
    struct batch batch = {.parcel = &parcel,
                          .part = &part,
                          .stream = &stream,
                          .messages = message,
                          .message_count = count,
                          .event_count = (uint32_t)count,
                          .target = {.request_size_max = UINT32_MAX},
                          .identity = "pump/3"};
    return firehose_wrap(&scene->options, &batch, ret);
}

static void records_have_the_services_size_at_most(void **state)
{
    static uint8_t body[FIREHOSE_RECORD_SIZE_MAX + 1];
    size_t room = sizeof body + 4096;
    uint8_t *memory = malloc(room);
    struct message message = {.body = {body, FIREHOSE_RECORD_SIZE_MAX}, .event_count = 1};
    (void)state;
    assert_non_null(memory);
    struct out o = out_over(memory, room);
    assert_int_equal(wrap(&message, 1, &o), ERR_OK);
    message.body.size++;
    o = out_over(memory, room);
    assert_int_equal(wrap(&message, 1, &o), ERR_FULL);
    scene->options.framing = FRAMING_JSON; /* its line end counts */
    message.body.size = FIREHOSE_RECORD_SIZE_MAX - 1;
    o = out_over(memory, room);
    assert_int_equal(wrap(&message, 1, &o), ERR_OK);
    message.body.size++;
    o = out_over(memory, room);
    assert_int_equal(wrap(&message, 1, &o), ERR_FULL);
    free(memory);
    host_open(&scene->host);
}

static void lines_are_put_together(void **state)
{
    struct message messages[100];
    uint8_t memory[32768];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(messages); i++) {
        messages[i] = (struct message){
            .body = SLICE("{\"a\":1,\"b\":\"two\"}"), .sequence = 7 + i, .event_count = 1};
    }
    messages[99].body = SLICE("{}");
    scene->options.framing = FRAMING_JSON;
    scene->options.event_id = true;
    scene->options.record_size_max = 1024;
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(wrap(messages, ARRAY_COUNT(messages), &o), ERR_OK);
    struct entry entry;
    uint32_t at = 0;
    size_t lines = 0, records = 0;
    while (entries_next(out_slice(&o), &at, &entry)) {
        assert_true(entry.data.size <= 1024);
        assert_int_equal(entry.data.data[entry.data.size - 1], '\n');
        for (size_t i = 0; i < entry.data.size; i++) {
            lines += entry.data.data[i] == '\n';
        }
        if (records++ == 0) {
            assert_true(slice_starts_with(
                entry.data,
                SLICE("{\"weir_id\":\"pump/3/telemetry/7\",\"a\":1,\"b\":\"two\"}\n{")));
        }
    }
    assert_int_equal(lines, 100);
    assert_int_equal(records, 5);
    static const char last[] = "{\"weir_id\":\"pump/3/telemetry/106\"}\n";
    assert_int_equal(memcmp(memory + o.size - (sizeof last - 1), last, sizeof last - 1), 0);
    scene->options.event_id = false;
    o = out_over(memory, sizeof memory);
    assert_int_equal(wrap(messages, 2, &o), ERR_OK);
    at = 0;
    assert_true(entries_next(out_slice(&o), &at, &entry));
    assert_true(slice_equal_text(entry.data, "{\"a\":1,\"b\":\"two\"}\n{\"a\":1,\"b\":\"two\"}\n"));
    host_open(&scene->host);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_arrive_once),
        TEST(only_what_failed_goes_again),
        TEST(each_refusal_comes_to_what_the_table_says),
        TEST(a_wrong_clock_signs_again),
        TEST(requests_have_the_services_size_at_most),
        TEST(records_have_the_services_size_at_most),
        TEST(lines_are_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
