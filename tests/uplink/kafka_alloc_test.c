/* The uplink with the n-th allocation failing, for every n: it says so, and leaves
 * nothing behind. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "ports/http.h"
#include "ports/names.h"
#include "tests/fault_alloc.h"
#include "tests/uplink/kafka_host.h"
#include "uplink/layout/layout.h"

static void open_fails_cleanly(void **state)
{
    (void)state;
    struct loop *loop;
    struct names *names;
    struct uplink_host *host = malloc(sizeof *host);
    assert_non_null(host);
    assert_int_equal(loop_open(&loop), ERR_OK);
    assert_int_equal(names_open(&names, loop), ERR_OK);
    struct http *http; /* keeps libcurl's global state: making it does not survive failures */
    assert_int_equal(http_open(&http, loop, names), ERR_OK);
    host_init(host, loop, names);
    host_broker_add(host, "127.0.0.1", 1);
    host_broker_add(host, "[::1]", 2);
    host->options.registry = (struct registry_options){
        .is_set = true, .url = "http://127.0.0.1:1/", .may_register = true};
    struct uplink_setup setup = {
        .host = host, .loop = loop, .names = names, .options = &host->options, .agent_id = "a"};
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct uplink *uplink = NULL;
        struct why why;
        fault_alloc_set(n);
        enum err e = kafka_uplink_class.open(&uplink, &setup, &why);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(failed ? e != ERR_OK && uplink == NULL : e == ERR_OK);
        if (!e) {
            kafka_uplink_class.close(uplink);
        }
    }
    assert_true(n > 5);
    http_close(http);
    names_close(names);
    loop_close(loop);
    free(host);
}

static void brokers_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {"host:", "host:0", "host:70000", "host:9x", ":9092", ""};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct loop *loop;
        assert_int_equal(loop_open(&loop), ERR_OK);
        struct uplink_host *host = malloc(sizeof *host);
        assert_non_null(host);
        host_init(host, loop, NULL);
        host->broker_texts[0] = bad[i];
        host->options.brokers.count = 1;
        struct uplink_setup setup = {
            .host = host, .loop = loop, .options = &host->options, .agent_id = "a"};
        struct uplink *uplink;
        struct why why;
        assert_int_equal(kafka_uplink_class.open(&uplink, &setup, &why), ERR_CONFIG);
        assert_non_null(strstr(why.text, "host:port"));
        free(host);
        loop_close(loop);
    }
}

static void wrap_fails_cleanly(void **state)
{
    (void)state;
    struct kafka_options options = {.compression_level = 3, .headers = true};
    struct stream_info stream = {.name = "s"};
    struct part part = {0};
    struct parcel parcel = {.layout = LAYOUT_ROWS};
    struct message message = {.body = SLICE("body"), .event_count = 1};
    struct batch batch = {.parcel = &parcel,
                          .part = &part,
                          .stream = &stream,
                          .messages = &message,
                          .message_count = 1,
                          .identity = "a/1"};
    uint8_t memory[512];
    unsigned n = 1;
    for (bool failed = true; failed; n++) {
        struct out o = out_over(memory, sizeof memory);
        fault_alloc_set(n);
        enum err e = kafka_uplink_class.wrap(&options, &batch, &o);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
    }
    assert_true(n > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_fails_cleanly),
        cmocka_unit_test(brokers_are_checked),
        cmocka_unit_test(wrap_fails_cleanly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
