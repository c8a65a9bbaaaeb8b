/* The uplink for plain HTTP: what it sends, and what it makes of each status. */
#include "uplink/http/http_uplink.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/deflate.h"
#include "ports/lib/zstd.h"
#include "tests/cmocka.h"
#include "tests/uplink/object/scene.h"
#include "uplink/avro/container.h"
#include "uplink/http/http_impl.h"

static char url[128];

static struct http_uplink_options options_of(const struct scene *scene)
{
    (void)snprintf(url, sizeof url, "%s/in/{stream}?a={agent}", scene->url);
    return (struct http_uplink_options){
        .url = url, .size_max = 1 << 20, .timeout_ms = 5000, .codec = CONTAINER_DEFLATE};
}

static void lines_of_json_are_posted(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    static const char *const names[] = {"X-Site", "content-type"};
    static const char *const values[] = {"north", "text/plain"};
    struct lot lot;
    options.headers = (struct option_map){.names = names, .items = (void *)(uintptr_t)values};
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    const struct asked *asked = &scene->asked[0];
    assert_string_equal(scene_line(asked), "POST /in/meters%20a?a=pump%207 HTTP/1.1");
    assert_string_equal(scene_header(asked, "Idempotency-Key"), "pump%207/0badcafe/meters%20a/5-7");
    assert_string_equal(scene_header(asked, "Content-Type"), "application/x-ndjson");
    assert_string_equal(scene_header(asked, "Authorization"), "");
    assert_string_equal((char *)asked->body, "{\"n\":5,\"s\":\"\"}\n{\"n\":6,\"s\":\"\"}\n"
                                             "{\"n\":7,\"s\":\"\"}\n");
    options.headers.count = 2;
    options.method = 1;
    options.token = "abc";
    scene_life(scene, &options);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    asked = &scene->asked[1];
    assert_non_null(strstr(scene_line(asked), "PUT "));
    assert_string_equal(scene_header(asked, "X-Site"), "north");
    assert_string_equal(scene_header(asked, "Content-Type"), "text/plain");
    assert_string_equal(scene_header(asked, "Authorization"), "Bearer abc");
    options.token = NULL;
    options.user = "u";
    options.password = "p";
    scene_life(scene, &options);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_string_equal(scene_header(&scene->asked[2], "Authorization"), "Basic dTpw");
    lot_release(&lot);
    scene_close(scene);
}

static enum err read_from(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    struct slice *rest = context;
    struct slice taken;
    size_t step = size < rest->size ? size : rest->size;
    bool is_there = slice_take(rest, step, &taken);
    assert_true(is_there);
    memcpy(data, taken.data, step);
    *ret_size = step;
    return ERR_OK;
}

/* Events of a container, which is whole. */
static uint64_t events_of(struct slice bytes)
{
    struct container_reader *reader = NULL;
    struct why why = {""};
    uint64_t count = 0;
    uint64_t more;
    struct slice raw;
    assert_int_equal(container_reader_open(&reader, read_from, &bytes, &why), ERR_OK);
    assert_true(slice_equal_text(container_meta_find(reader, "weir.agent"), "pump 7"));
    assert_true(slice_equal_text(container_meta_find(reader, "weir.incarnation"), "0badcafe"));
    assert_true(slice_equal_text(container_meta_find(reader, "weir.last"), "14"));
    while (container_block(reader, &more, &raw, &why) == ERR_OK) {
        count += more;
    }
    container_reader_close(reader);
    return count;
}

static void containers_are_posted_and_encoded(void **state)
{
    (void)state;
    static uint8_t memory[1 << 16];
    for (int encoding = HTTP_IDENTITY; encoding <= HTTP_ZSTD; encoding++) {
        struct scene *scene = scene_open(&http_uplink_class);
        struct http_uplink_options options = options_of(scene);
        struct lot lot;
        struct out plain = out_over(memory, sizeof memory);
        options.format = HTTP_AVRO;
        options.encoding = encoding;
        scene_life(scene, &options);
        assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 40), ERR_OK);
        assert_int_equal(lot_send(&lot, scene), SEND_OK);
        const struct asked *asked = &scene->asked[0];
        struct slice body = {asked->body, asked->size};
        assert_string_equal(scene_header(asked, "Content-Type"), "application/avro");
        assert_string_equal(scene_header(asked, "Content-Encoding"), encoding == HTTP_GZIP ? "gzip"
                                                                     : encoding == HTTP_ZSTD
                                                                         ? "zstd"
                                                                         : "");
        if (encoding == HTTP_GZIP) {
            struct deflate_decoder *decoder = NULL;
            assert_int_equal(deflate_decoder_open(&decoder), ERR_OK);
            assert_int_equal(deflate_decode_gzip(decoder, body, &plain), ERR_OK);
            deflate_decoder_close(decoder);
            body = out_slice(&plain);
        } else if (encoding == HTTP_ZSTD) {
            struct zstd_decoder *decoder = NULL;
            assert_int_equal(zstd_decoder_open(&decoder), ERR_OK);
            assert_int_equal(zstd_decode(decoder, body, &plain), ERR_OK);
            zstd_decoder_close(decoder);
            body = out_slice(&plain);
        }
        assert_int_equal(events_of(body), 10);
        lot_release(&lot);
        scene_close(scene);
    }
}

static void each_status_is_understood(void **state)
{
    (void)state;
    static const int64_t ok[] = {418};
    static const int64_t retry[] = {403};
    static const int64_t rejected[] = {406};
    static const struct {
        const char *answer;
        enum send_result result;
        int64_t retry_after_ms;
        const char *text;
    } rows[] = {
        {"200", SEND_OK, 0, ""},
        {"202", SEND_OK, 0, ""},
        {"204", SEND_OK, 0, ""},
        {"301\nLocation: http://a/", SEND_PARK, 0, "look at url"},
        {"400\n\nno field n", SEND_REJECTED, 0, "status 400: no field n"},
        {"401", SEND_PARK, 0, "look at token"},
        {"404", SEND_PARK, 0, "look at url"},
        {"408", SEND_RETRY, 0, "408"},
        {"409", SEND_RETRY, 0, "409"},
        {"413", SEND_TOO_LARGE, 0, "413"},
        {"422", SEND_REJECTED, 0, "422"},
        {"425", SEND_RETRY, 0, "425"},
        {"429\nRetry-After: 7", SEND_RETRY, 7000, "429"},
        {"500", SEND_RETRY, 0, "500"},
        {"503\nRetry-After: 2", SEND_RETRY, 2000, "503"},
        {"418", SEND_OK, 0, ""},
        {"403", SEND_RETRY, 0, ""},
        {"406", SEND_REJECTED, 0, ""},
        {"drop", SEND_RETRY, 0, ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = scene_open(&http_uplink_class);
        struct http_uplink_options options = options_of(scene);
        const char *const answers[] = {rows[i].answer, NULL};
        struct lot lot;
        options.status_ok = (struct option_list){(void *)(uintptr_t)ok, 1};
        options.status_retry = (struct option_list){(void *)(uintptr_t)retry, 1};
        options.status_rejected = (struct option_list){(void *)(uintptr_t)rejected, 1};
        scene_life(scene, &options);
        scene_answers(scene, answers);
        assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
        if (lot_send(&lot, scene) != rows[i].result ||
            scene->host.report.retry_after_ms != rows[i].retry_after_ms ||
            !strstr(scene->host.report.text, rows[i].text)) {
            fail_msg("%s: %d after %lld ms, \"%s\"", rows[i].answer, scene->host.report.result,
                     (long long)scene->host.report.retry_after_ms, scene->host.report.text);
        }
        lot_release(&lot);
        scene_close(scene);
    }
}

/* A try without an answer may have been stored under a key that the halves do not have. */
static void what_may_be_there_is_cut_anew_and_counted(void **state)
{
    (void)state;
    static const char *const refused[] = {"422", NULL};
    static const char *const large[] = {"413", NULL};
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    struct lot lot;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    scene_answers(scene, refused);
    assert_int_equal(lot_send(&lot, scene), SEND_REJECTED);
    assert_int_equal(scene->host.in_doubt, 0);
    lot.batch.again = true;
    scene_answers(scene, refused);
    assert_int_equal(lot_send(&lot, scene), SEND_REJECTED);
    assert_int_equal(scene->host.in_doubt, 1);
    scene_answers(scene, large);
    assert_int_equal(lot_send(&lot, scene), SEND_TOO_LARGE);
    assert_int_equal(scene->host.in_doubt, 2);
    lot_release(&lot);
    scene_close(scene);
}

/* Which tries leave the question open whether the service has the batch. */
static void tries_leave_doubt_or_not(void **state)
{
    (void)state;
    static const int64_t retry[] = {403};
    static const struct {
        const char *answer;
        bool is_clear;
    } rows[] = {{"200", true},  {"401", true},  {"404", true},  {"413", true},  {"422", true},
                {"425", true},  {"429", true},  {"403", false}, {"408", false}, {"409", false},
                {"500", false}, {"503", false}, {"drop", false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = scene_open(&http_uplink_class);
        struct http_uplink_options options = options_of(scene);
        const char *const answers[] = {rows[i].answer, NULL};
        struct lot lot;
        options.status_retry = (struct option_list){(void *)(uintptr_t)retry, 1};
        scene_life(scene, &options);
        scene_answers(scene, answers);
        assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
        (void)lot_send(&lot, scene);
        if (scene->host.report.is_clear != rows[i].is_clear) {
            fail_msg("%s: %d", rows[i].answer, scene->host.report.is_clear);
        }
        lot_release(&lot);
        scene_close(scene);
    }
}

/* Nobody listens there: nothing has left. */
static void a_try_without_a_connection_leaves_no_doubt(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    struct lot lot;
    options.url = "http://127.0.0.1:1/";
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_RETRY);
    assert_true(scene->host.report.is_clear);
    lot_release(&lot);
    scene_close(scene);
}

/* What is under way comes back, and goes over the new link under the same key. */
static void a_new_link_is_taken(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    struct lot lot;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    http_uplink_class.send(scene->uplink, &lot.batch);
    assert_int_equal(loop_turn(scene->loop, 0), ERR_OK);
    http_uplink_class.relink(scene->uplink);
    while (scene->host.done_count == 0) {
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
    assert_int_equal(scene->host.report.result, SEND_RETRY);
    assert_int_equal(scene->host.fault_count, 0); /* it is no outage */
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    lot_release(&lot);
    scene_close(scene);
}

static void the_largest_body_is_kept(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    struct lot lot;
    options.format = HTTP_AVRO;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 10, 1000), ERR_OK);
    options.size_max = (int64_t)lot.batch.wire.size;
    lot_release(&lot);
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 10, 1000), ERR_OK);
    lot_release(&lot);
    options.size_max--;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 10, 1000), ERR_FULL);
    lot_release(&lot);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 1, 100000), ERR_OK); /* one is tried */
    lot_release(&lot);
    scene_close(scene);
}

static enum err check_option(const char *name, const void *value)
{
    for (const struct option *o = http_uplink_class.options; o->name; o++) {
        if (strcmp(o->name, name) == 0 && o->check) {
            struct why why = {""};
            enum err e = o->check(value, &why);
            assert_true(!e || why.text[0]);
            return e;
        }
    }
    fail_msg("%s has no check", name);
    return ERR_OK;
}

static void settings_are_checked(void **state)
{
    (void)state;
    static const char *const good_urls[] = {"http://a", "https://a:8443/x/{stream}/{agent}?k=v@w"};
    static const char *const bad_urls[] = {"a",           "ftp://a",       "http://",
                                           "http:///x",   "http://u:p@a/", "http://a/{strem}",
                                           "http://a/b c"};
    for (size_t i = 0; i < ARRAY_COUNT(good_urls); i++) {
        assert_int_equal(check_option("url", &good_urls[i]), ERR_OK);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad_urls); i++) {
        assert_int_equal(check_option("url", &bad_urls[i]), ERR_CONFIG);
    }
    static const char *const headers[][2] = {
        {"idempotency-key", "a"}, {"Host", "a"}, {"a b", "c"}, {"", "c"}, {"A", "b\r\nC: d"}};
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        const struct option_map map = {&headers[i][0], (void *)(uintptr_t)&headers[i][1], 1};
        assert_int_equal(check_option("headers", &map), ERR_CONFIG);
    }
    static const char *const token = "a b";
    assert_int_equal(check_option("token", &token), ERR_CONFIG);
    static const int64_t statuses[] = {409, 410};
    struct http_uplink_options options = {.token = "a", .user = "b"};
    assert_int_equal(http_uplink_check(&options, NULL), ERR_CONFIG);
    options = (struct http_uplink_options){.password = "b"};
    assert_int_equal(http_uplink_check(&options, NULL), ERR_CONFIG);
    options = (struct http_uplink_options){.status_ok = {(void *)(uintptr_t)statuses, 2},
                                           .status_retry = {(void *)(uintptr_t)&statuses[1], 1}};
    assert_int_equal(http_uplink_check(&options, NULL), ERR_CONFIG);
    options.status_ok.count = 1;
    assert_int_equal(http_uplink_check(&options, NULL), ERR_OK);
}

static void check_online_asks_what_can_be_done(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        enum probe_level level;
        const char *option, *text;
    } rows[] = {
        {"204\nAllow: POST, OPTIONS", PROBE_OK, "url", "allows POST, OPTIONS; whether it takes"},
        {"405\nAllow: POST", PROBE_OK, "url", "with 405 and allows POST"},
        {"501", PROBE_OK, "url", "with 501; whether it takes"},
        {"200\nAllow: GET, HEAD", PROBE_WARNING, "method", "allows GET, HEAD, not POST"},
        {"401", PROBE_ERROR, "token", "look at token"},
        {"403", PROBE_WARNING, "token", "look at the login"},
        {"404", PROBE_WARNING, "url", "look at url"},
        {"302", PROBE_ERROR, "url", "no redirects are followed"},
        {"503", PROBE_WARNING, "url", "does not work now"},
    };
    static const char *const fine[] = {"204", NULL};
    struct scene *scene = scene_open(&http_uplink_class);
    struct http_uplink_options options = options_of(scene);
    struct scene_found found;
    options.token = "abc";
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        scene_answers(scene, (const char *const[]){rows[i].answer, NULL});
        scene_probe(scene, &options, &found);
        assert_int_equal(scene->asked_count, 2);
        assert_string_equal(scene_line(&scene->asked[0]),
                            "OPTIONS /in/meters%20a?a=pump%207 HTTP/1.1");
        assert_string_equal(scene_line(&scene->asked[1]), "OPTIONS /in/other?a=pump%207 HTTP/1.1");
        assert_string_equal(scene_header(&scene->asked[0], "Authorization"), "Bearer abc");
        assert_string_equal(scene_header(&scene->asked[0], "Idempotency-Key"), "");
        assert_true(scene_has_found(&found, rows[i].level, rows[i].option,
                                    "/in/meters%20a?... of stream meters a", rows[i].text));
        for (size_t k = 0; k < found.count; k++) { /* a query may be a key */
            assert_null(strstr(found.items[k].what, "pump"));
            assert_null(strstr(found.items[k].why.text, "pump"));
        }
        assert_true(scene_has_found(&found, PROBE_WARNING, "url", "token", "without https"));
    }
    scene_answers(scene, fine);
    (void)snprintf(url, sizeof url, "%s/in", scene->url); /* the same for all streams */
    scene_probe(scene, &options, &found);
    assert_int_equal(scene->asked_count, 1);
    assert_true(scene_has_found(&found, PROBE_OK, "url", url, "with 204"));
    options.url = "http://127.0.0.1:1/in";
    scene_probe(scene, &options, &found);
    assert_true(
        scene_has_found(&found, PROBE_ERROR, "url", "http://127.0.0.1:1", "check the address"));
    options.url = "http://nowhere.invalid/in";
    scene_probe(scene, &options, &found);
    assert_true(scene_has_found(&found, PROBE_ERROR, "url", "nowhere.invalid", "check the name"));
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_json_are_posted),
        cmocka_unit_test(containers_are_posted_and_encoded),
        cmocka_unit_test(each_status_is_understood),
        cmocka_unit_test(what_may_be_there_is_cut_anew_and_counted),
        cmocka_unit_test(tries_leave_doubt_or_not),
        cmocka_unit_test(a_try_without_a_connection_leaves_no_doubt),
        cmocka_unit_test(a_new_link_is_taken),
        cmocka_unit_test(the_largest_body_is_kept),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(check_online_asks_what_can_be_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
