/* The ways of a schema into a registry: looked up, asked about, registered, in one piece or in
 * several, and with each kind of login. */
#include "tests/cmocka.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/tls.h"
#include "tests/uplink/registry_server.h"
#include "uplink/registry/pieces.h"

#define NOT_THERE "404 {\"error_code\":40403,\"message\":\"Schema not found\"}"
#define NO_SUBJECT "404 {\"error_code\":40401,\"message\":\"Subject not found\"}"

/* Asks until an end, and checks which requests it took: method and path, each without its end. */
static void expect_way(struct scene *scene, const char *const *answers, const char *const *requests,
                       enum err wanted, const char *text)
{
    struct why why = {""};
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    unsigned count = 0;
    scene->server.request_count = 0;
    memset(scene->server.requests, 0, sizeof scene->server.requests);
    scene_answers(scene, answers);
    registry_close(scene->registry);
    scene->host.remote_id_size = 0;
    scene_registry(scene);
    assert_int_equal(scene_ask(scene, prefix, &why), wanted);
    if (wanted == ERR_OK) {
        assert_memory_equal(prefix, "\0\0\0\0\7", 5);
    }
    for (; requests[count]; count++) {
        if (strncmp(scene->server.requests[count], requests[count], strlen(requests[count])) != 0) {
            fail_msg("request %u is not \"%s\" but \"%.120s\"", count, requests[count],
                     scene->server.requests[count]);
        }
    }
    assert_int_equal(scene->server.request_count, count);
    if (text && !strstr(why.text, text)) {
        fail_msg("\"%s\" does not say \"%s\"", why.text, text);
    }
}

#define LOOK_UP "POST /api/subjects/to%20pic-value HTTP"
#define LOOK_UP_LIKE "POST /api/subjects/to%20pic-value?normalize=true HTTP"
#define ASK "POST /api/compatibility/subjects/to%20pic-value/versions?verbose=true HTTP"
#define ASK_LATEST \
    "POST /api/compatibility/subjects/to%20pic-value/versions/latest?verbose=true HTTP"
#define REGISTER "POST /api/subjects/to%20pic-value/versions HTTP"
#define YES "200 {\"is_compatible\":true}"
#define NO \
    "200 {\"is_compatible\":false,\"messages\":[\"{errorType:'READER_FIELD_MISSING_DEFAULT_" \
    "VALUE'}\",\"{compatibility: 'BACKWARD'}\"]}"
#define ID "200 {\"id\":7}"

static void asks_before_it_registers(void **state)
{
    (void)state;
    static const struct {
        const char *answers[7], *requests[7];
        enum err e;
        const char *text;
    } cases[] = {
        {{ID}, {LOOK_UP}, ERR_OK, NULL}, /* whoever has registered it */
        {{NOT_THERE, ID}, {LOOK_UP, LOOK_UP_LIKE}, ERR_OK, NULL},
        {{NOT_THERE, NOT_THERE, YES, ID}, {LOOK_UP, LOOK_UP_LIKE, ASK, REGISTER}, ERR_OK, NULL},
        {{NO_SUBJECT, ID}, {LOOK_UP, REGISTER}, ERR_OK, NULL},
        {{NOT_THERE, NOT_THERE, NO},
         {LOOK_UP, LOOK_UP_LIKE, ASK},
         ERR_REJECTED,
         "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE'}; {compatibility: 'BACKWARD'}"},
        {{NOT_THERE, NOT_THERE, "200 {\"is_compatible\":false,\"reason\":\"a is gone\"}"},
         {LOOK_UP, LOOK_UP_LIKE, ASK},
         ERR_REJECTED,
         "to pic-value: mend the schema, or ease the subject's compatibility; it says: a is gone"},
        /* Older ones know the question about the latest only, or none. */
        {{NOT_THERE, NOT_THERE, "404 <html>", YES, ID},
         {LOOK_UP, LOOK_UP_LIKE, ASK, ASK_LATEST, REGISTER},
         ERR_OK,
         NULL},
        {{NOT_THERE, NOT_THERE, "405 ", "405 ", ID},
         {LOOK_UP, LOOK_UP_LIKE, ASK, ASK_LATEST, REGISTER},
         ERR_OK,
         NULL},
        {{NOT_THERE, NOT_THERE, "405 ", NO},
         {LOOK_UP, LOOK_UP_LIKE, ASK, ASK_LATEST},
         ERR_REJECTED,
         "READER_FIELD"},
        {{NOT_THERE, NOT_THERE, NO_SUBJECT, ID},
         {LOOK_UP, LOOK_UP_LIKE, ASK, REGISTER},
         ERR_OK,
         NULL},
        /* Who may not ask may still be allowed to register. */
        {{"403 {}", ID}, {LOOK_UP, REGISTER}, ERR_OK, NULL},
        {{NOT_THERE, NOT_THERE, "403 {}", ID},
         {LOOK_UP, LOOK_UP_LIKE, ASK, REGISTER},
         ERR_OK,
         NULL},
        {{"403 {}", "403 {}"}, {LOOK_UP, REGISTER}, ERR_CONFIG, "to pic-value (403)"},
        {{NOT_THERE, NOT_THERE, "200 what", ID},
         {LOOK_UP, LOOK_UP_LIKE, ASK, REGISTER},
         ERR_OK,
         NULL},
        /* And the registration decides. */
        {{NOT_THERE, NOT_THERE, YES, "409 {\"error_code\":40901,\"message\":\"n is gone\"}"},
         {LOOK_UP, LOOK_UP_LIKE, ASK, REGISTER},
         ERR_REJECTED,
         "it says: n is gone"},
        {{"404 <html>", "404 <html>"}, {LOOK_UP, REGISTER}, ERR_CONFIG, "registry.url"},
    };
    struct scene *scene = scene_open("", NULL);
    scene->options.ask_first = true;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        expect_way(scene, cases[i].answers, cases[i].requests, cases[i].e, cases[i].text);
    }
    scene_close(scene);
}

static void an_outage_midway_is_waited_out(void **state)
{
    (void)state;
    static const char *const answers[] = {NOT_THERE, NOT_THERE, "503 {}", NOT_THERE, NOT_THERE,
                                          YES,       "500 {}",  ID,       NULL};
    static const char *const requests[] = {LOOK_UP, LOOK_UP_LIKE, ASK,     LOOK_UP, LOOK_UP_LIKE,
                                           ASK,     REGISTER,     LOOK_UP, NULL};
    struct scene *scene = scene_open("", NULL);
    scene->options.ask_first = true;
    expect_way(scene, answers, requests, ERR_OK, NULL);
    scene_close(scene);
}

/* --- references --- */

#define SHARED \
    "{\"type\":\"record\",\"name\":\"Reading\",\"namespace\":\"site\",\"fields\":[" \
    "{\"name\":\"at\",\"type\":{\"type\":\"record\",\"name\":\"Place\",\"doc\":\"where\"," \
    "\"fields\":[{\"name\":\"unit\",\"type\":{\"type\":\"enum\",\"name\":\"Unit\",\"symbols\":[" \
    "\"M\"]}}]}},{\"name\":\"unit\",\"type\":[\"null\",\"Unit\"]}," \
    "{\"name\":\"more\",\"type\":{\"type\":\"array\",\"items\":\"Place\"}}]}"

static struct option_map map_of(const char *const *names, const char *const *subjects)
{
    size_t count = 0;
    while (names[count]) {
        count++;
    }
    return (struct option_map){
        .names = names, .items = (void *)(uintptr_t)subjects, .count = count};
}

static void expect_body(const struct pieces *pieces, size_t index, const char *wanted)
{
    static const uint32_t versions[] = {4, 5, 6};
    struct slice body;
    assert_int_equal(piece_body(pieces, index, versions, &body), ERR_OK);
    char *text = malloc(body.size + 1);
    assert_non_null(text);
    memcpy(text, body.data, body.size);
    text[body.size] = '\0';
    assert_string_equal(text, wanted);
    free(text);
    free((void *)(uintptr_t)body.data);
}

static void schemas_are_cut(void **state)
{
    (void)state;
    static const char *const names[] = {"site.Place", "other.Type", "site.Unit", NULL};
    static const char *const subjects[] = {"place", "other", "unit \"x\"", NULL};
    struct option_map map = map_of(names, subjects);
    struct pieces pieces;
    struct why why = {""};
    assert_int_equal(pieces_open(&pieces, SLICE(SHARED), &map, &why), ERR_OK);
    assert_int_equal(pieces.count, 3);
    expect_body(&pieces, 0,
                "{\"schema\":\"{\\\"namespace\\\":\\\"site\\\",\\\"type\\\":\\\"enum\\\","
                "\\\"name\\\":\\\"Unit\\\",\\\"symbols\\\":[\\\"M\\\"]}\"}");
    expect_body(&pieces, 1,
                "{\"schema\":\"{\\\"namespace\\\":\\\"site\\\",\\\"type\\\":\\\"record\\\","
                "\\\"name\\\":\\\"Place\\\",\\\"doc\\\":\\\"where\\\",\\\"fields\\\":[{\\\"name"
                "\\\":\\\"unit\\\",\\\"type\\\":\\\"site.Unit\\\"}]}\",\"references\":[{\"name\":"
                "\"site.Unit\",\"subject\":\"unit \\\"x\\\"\",\"version\":4}]}");
    expect_body(&pieces, 2,
                "{\"schema\":\"{\\\"type\\\":\\\"record\\\",\\\"name\\\":\\\"Reading\\\","
                "\\\"namespace\\\":\\\"site\\\",\\\"fields\\\":[{\\\"name\\\":\\\"at\\\",\\\"type"
                "\\\":\\\"site.Place\\\"},{\\\"name\\\":\\\"unit\\\",\\\"type\\\":[\\\"null\\\","
                "\\\"Unit\\\"]},{\\\"name\\\":\\\"more\\\",\\\"type\\\":{\\\"type\\\":\\\"array"
                "\\\",\\\"items\\\":\\\"Place\\\"}}]}\",\"references\":[{\"name\":\"site.Unit\","
                "\"subject\":\"unit \\\"x\\\"\",\"version\":4},{\"name\":\"site.Place\","
                "\"subject\":\"place\",\"version\":5}]}");
    pieces_close(&pieces);
    /* A type within another that is apart comes with it. */
    map.count = 1;
    assert_int_equal(pieces_open(&pieces, SLICE(SHARED), &map, &why), ERR_OK);
    assert_int_equal(pieces.count, 2);
    assert_true(pieces.items[1].needs[0]);
    pieces_close(&pieces);
    /* The schema's own name is no reference, nor is one that it does not have. */
    static const char *const none[] = {"site.Reading", "Place", NULL};
    map = map_of(none, subjects);
    assert_int_equal(pieces_open(&pieces, SLICE(SHARED), &map, &why), ERR_OK);
    assert_int_equal(pieces.count, 1);
    assert_true(slice_equal(pieces.items[0].text, SLICE(SHARED)));
    pieces_close(&pieces);
}

/* A type's own namespace stands behind fields that nest deeper than payloads may. */
static void schemas_that_nest_are_cut(void **state)
{
    (void)state;
    static const char *const names[] = {"site.Deep", NULL};
    static const char *const subjects[] = {"deep", NULL};
    static char memory[16384];
    struct out o = out_over(memory, sizeof memory);
    struct option_map map = map_of(names, subjects);
    struct pieces pieces;
    struct why why = {""};
    out_put_text(&o,
                 "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"d\",\"type\":"
                 "{\"type\":\"record\",\"name\":\"Deep\",\"fields\":[{\"name\":\"f\",\"type\":");
    for (int i = 0; i < 40; i++) {
        out_put_format(
            &o, "{\"type\":\"record\",\"name\":\"R%d\",\"fields\":[{\"name\":\"f\",\"type\":", i);
    }
    out_put_text(&o, "\"int\"");
    for (int i = 0; i < 40; i++) {
        out_put_text(&o, "}]}");
    }
    out_put_text(&o, "}],\"namespace\":\"site\"}}]}");
    assert_false(o.overflow);
    if (pieces_open(&pieces, out_slice(&o), &map, &why)) {
        fail_msg("%s", why.text);
    }
    assert_int_equal(pieces.count, 2);
    assert_true(slice_starts_with(pieces.items[0].text, SLICE("{\"type\":\"record\",")));
    pieces_close(&pieces);
}

static void what_cannot_be_apart_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"B", "C", NULL};
    static const char *const subjects[] = {"b", "c", NULL};
    static const struct {
        const char *schema;
        size_t count;
        const char *text;
    } cases[] = {
        {"{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":{\"type\":"
         "\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"a\",\"type\":[\"null\",\"A\"]}]}}]"
         "}",
         1, "type B uses A"},
        {"{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"b\",\"type\":{\"type\":"
         "\"record\",\"name\":\"B\",\"fields\":[{\"name\":\"c\",\"type\":{\"type\":\"record\","
         "\"name\":\"C\",\"fields\":[{\"name\":\"b\",\"type\":[\"null\",\"B\"]}]}}]}}]}",
         2, "need each other"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct option_map map = map_of(names, subjects);
        struct pieces pieces;
        struct why why = {""};
        map.count = cases[i].count;
        assert_int_equal(pieces_open(&pieces, slice_of_text(cases[i].schema), &map, &why),
                         ERR_CONFIG);
        assert_non_null(strstr(why.text, cases[i].text));
    }
}

static void references_come_first(void **state)
{
    (void)state;
    static const char *const names[] = {"site.Place", "site.Unit", NULL};
    static const char *const subjects[] = {"pl/ace", "unit", NULL};
    static const char *const answers[] = {
        "200 {\"id\":1,\"version\":9}", NOT_THERE,  NOT_THERE, YES, "200 {\"id\":2}",
        "200 {\"id\":2,\"version\":3}", NO_SUBJECT, ID,        NULL};
    static const char *const requests[] = {
        "POST /api/subjects/unit HTTP",
        "POST /api/subjects/pl%2Face HTTP",
        "POST /api/subjects/pl%2Face?normalize=true HTTP",
        "POST /api/compatibility/subjects/pl%2Face/versions?verbose=true HTTP",
        "POST /api/subjects/pl%2Face/versions HTTP",
        "POST /api/subjects/pl%2Face HTTP",
        LOOK_UP,
        REGISTER,
        NULL};
    struct scene *scene = scene_open("", NULL);
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct why why;
    scene->options.ask_first = true;
    scene->options.references = map_of(names, subjects);
    scene->host.schema.json = SLICE(SHARED);
    expect_way(scene, answers, requests, ERR_OK, NULL);
    assert_non_null(strstr(scene->server.last,
                           "\"references\":[{\"name\":\"site.Unit\",\"subject\":\"unit\","
                           "\"version\":9},{\"name\":\"site.Place\",\"subject\":\"pl/ace\","
                           "\"version\":3}]}"));
    /* Under other subjects it is another registration: the id is asked for anew. */
    registry_close(scene->registry);
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_OK);
    registry_close(scene->registry);
    scene->options.references.count = 1;
    scene_registry(scene);
    assert_int_equal(registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
                     ERR_AGAIN);
    scene_close(scene);
}

/* What is to be referred to needs a version. */
static void references_need_a_version(void **state)
{
    (void)state;
    static const char *const names[] = {"site.Unit", NULL};
    static const char *const subjects[] = {"unit", NULL};
    static const char *const answers[] = {ID, "200 {\"id\":1,\"version\":2}", ID, NULL};
    static const char *const requests[] = {"POST /api/subjects/unit HTTP",
                                           "POST /api/subjects/unit HTTP", LOOK_UP, NULL};
    struct scene *scene = scene_open("", NULL);
    scene->options.ask_first = true;
    scene->options.references = map_of(names, subjects);
    scene->host.schema.json = SLICE(SHARED);
    expect_way(scene, answers, requests, ERR_OK, NULL);
    assert_non_null(strstr(scene->server.last, "\"subject\":\"unit\",\"version\":2}"));
    scene_close(scene);
}

/* A reference that is refused holds what needs it, under its own name. */
static void references_may_be_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"site.Unit", NULL};
    static const char *const subjects[] = {"unit", NULL};
    static const char *const refused[] = {NOT_THERE, NOT_THERE, NO, NULL};
    static const char *const unknown[] = {NOT_THERE, NULL};
    static const char *const requests[] = {
        "POST /api/subjects/unit HTTP", "POST /api/subjects/unit?normalize=true HTTP",
        "POST /api/compatibility/subjects/unit/versions?verbose=true HTTP", NULL};
    static const char *const look_up[] = {"POST /api/subjects/unit HTTP",
                                          "POST /api/subjects/unit?normalize=true HTTP", NULL};
    struct scene *scene = scene_open("", NULL);
    scene->options.ask_first = true;
    scene->options.references = map_of(names, subjects);
    scene->host.schema.json = SLICE(SHARED);
    expect_way(scene, refused, requests, ERR_REJECTED,
               "the type that the schema refers to incompatible with subject unit");
    scene->options.may_register = false;
    expect_way(scene, unknown, look_up, ERR_REJECTED,
               "the type that the schema refers to is not registered under unit");
    scene_close(scene);
}

/* --- one stream waits, the others don't --- */

static void others_go_on(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "200 {\"id\":1}", "409 {\"error_code\":409,\"message\":\"no\"}", "503 {}", NULL};
    struct scene *scene = scene_open("", NULL);
    struct schema_info refused = scene->host.schema, waiting = scene->host.schema;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct why why = {""};
    refused.number++;
    waiting.number += 2;
    scene_answers(scene, answers);
    assert_int_equal(scene_ask(scene, prefix, &why), ERR_OK);
    enum err e = ERR_AGAIN;
    for (unsigned i = 0; e == ERR_AGAIN && i < 500; i++) {
        e = registry_prefix(scene->registry, "b", &refused, prefix, &why);
        host_run(&scene->host, 10);
    }
    assert_int_equal(e, ERR_REJECTED);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(registry_prefix(scene->registry, "c", &waiting, prefix, &why), ERR_AGAIN);
        assert_int_equal(registry_prefix(scene->registry, "b", &refused, prefix, &why),
                         ERR_REJECTED);
        assert_int_equal(
            registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why), ERR_OK);
        host_run(&scene->host, 10);
    }
    assert_true(scene->server.request_count >= 4); /* it is tried again */
    assert_non_null(registry_fault(scene->registry));
    scene_close(scene);
}

/* At a start all streams ask at once: over few connections, and none is turned away. */
static void many_share_the_connections(void **state)
{
    (void)state;
    static const char *const answers[] = {ID, NULL};
    struct scene *scene = scene_open("", NULL);
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    struct why why = {""};
    unsigned known = 0;
    scene_answers(scene, answers);
    uint64_t end_ms = clock_monotonic_ms() + WAIT_MS;
    while (known < 100 && clock_monotonic_ms() < end_ms) {
        known = 0;
        for (uint32_t i = 0; i < 100; i++) {
            struct schema_info schema = scene->host.schema;
            char topic[16];
            schema.number = i + 1;
            (void)snprintf(topic, sizeof topic, "t%u", (unsigned)i);
            known += registry_prefix(scene->registry, topic, &schema, prefix, &why) == ERR_OK;
        }
        assert_null(registry_fault(scene->registry));
        host_run(&scene->host, 10);
    }
    assert_int_equal(known, 100);
    assert_int_equal(scene->server.request_count, 100);
    assert_in_range(scene->server.visit_count, 1, 4);
    assert_non_null(strstr(scene->server.requests[0], "/t0-value/")); /* the first comes first */
    scene_close(scene);
}

/* --- logins --- */

static void logins_travel(void **state)
{
    (void)state;
    static const char *const answers[] = {ID, NULL};
    static const char *const requests[] = {REGISTER, NULL};
    struct scene *scene = scene_open("", NULL);
    expect_way(scene, answers, requests, ERR_OK, NULL);
    assert_null(strstr(scene->server.last, "Authorization:"));
    scene->options.user = "weir";
    scene->options.password = "weir-secret";
    expect_way(scene, answers, requests, ERR_OK, NULL);
    assert_non_null(
        strstr(scene->server.last, "Authorization: Basic d2Vpcjp3ZWlyLXNlY3JldA==\r\n"));
    scene->options.user = scene->options.password = NULL;
    scene->options.token = "abc.def-1";
    expect_way(scene, answers, requests, ERR_OK, NULL);
    assert_non_null(strstr(scene->server.last, "Authorization: Bearer abc.def-1\r\n"));
    static const char *const refused[] = {"401 {\"message\":\"abc.def-1\"}", NULL};
    expect_way(scene, refused, requests, ERR_CONFIG, "registry.token");
    scene_close(scene);
}

static void logins_are_checked(void **state)
{
    (void)state;
    struct why why;
    struct registry_options options = {.is_set = true, .user = "u", .password = "p"};
    assert_int_equal(registry_options_check(&options, &why), ERR_OK);
    options.token = "t";
    assert_int_equal(registry_options_check(&options, &why), ERR_CONFIG);
    options.user = NULL;
    assert_int_equal(registry_options_check(&options, &why), ERR_CONFIG);
    options.password = NULL;
    assert_int_equal(registry_options_check(&options, &why), ERR_OK);
    for (const struct option *row = registry_table; row->name; row++) {
        if (strcmp(row->name, "token") == 0) {
            options.token = "good.one";
            assert_int_equal(row->check(&options.token, &why), ERR_OK);
            options.token = "two lines\r\nX: y";
            assert_int_equal(row->check(&options.token, &why), ERR_CONFIG);
            assert_null(strstr(why.text, "two"));
        }
    }
}

/* --- TLS --- */

static char folder[64];

static int make_certificates(void **state)
{
    (void)state;
    char command[256];
    (void)snprintf(folder, sizeof folder, "/tmp/weir-registry-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(command, sizeof command,
                   "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key", folder, folder);
    assert_int_equal(system(command), 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *walk)
{
    (void)s;
    (void)type;
    (void)walk;
    return remove(path);
}

static int remove_certificates(void **state)
{
    (void)state;
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void mutual_tls(void **state)
{
    (void)state;
    static const char *const answers[] = {ID, NULL};
    static const char *const requests[] = {REGISTER, NULL};
    char files[5][96];
    static const char *const names[] = {"ca.pem", "server.pem", "server.key", "client.pem",
                                        "client.key"};
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        (void)snprintf(files[i], sizeof files[i], "%s/%s", folder, names[i]);
    }
    struct tls *tls = NULL;
    struct why why = {""};
    struct tls_options server = {
        .is_set = true, .certificate = files[1], .key = files[2], .client_ca = files[0]};
    assert_int_equal(tls_open(&tls, &server, TLS_SERVER, &why), ERR_OK);
    struct scene *scene = scene_open("", tls);
    scene->options.tls = (struct tls_options){
        .is_set = true, .ca = files[0], .certificate = files[3], .key = files[4]};
    expect_way(scene, answers, requests, ERR_OK, NULL);
    /* Without a certificate of its own it does not come in, and waits for one. */
    scene->options.tls.certificate = scene->options.tls.key = NULL;
    scene->host.remote_id_size = 0;
    registry_close(scene->registry);
    scene_registry(scene);
    scene->server.request_count = 0;
    uint8_t prefix[REGISTRY_PREFIX_SIZE];
    for (unsigned i = 0; i < 1000 && !registry_fault(scene->registry); i++) {
        assert_int_equal(
            registry_prefix(scene->registry, "to pic", &scene->host.schema, prefix, &why),
            ERR_AGAIN);
        host_run(&scene->host, 10);
    }
    assert_non_null(registry_fault(scene->registry));
    assert_non_null(strstr(registry_fault(scene->registry)->text, "https://127.0.0.1:"));
    assert_int_equal(scene->server.request_count, 0);
    scene_close(scene);
    tls_close(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_before_it_registers),
        cmocka_unit_test(an_outage_midway_is_waited_out),
        cmocka_unit_test(schemas_are_cut),
        cmocka_unit_test(schemas_that_nest_are_cut),
        cmocka_unit_test(what_cannot_be_apart_is_refused),
        cmocka_unit_test(references_come_first),
        cmocka_unit_test(references_need_a_version),
        cmocka_unit_test(references_may_be_refused),
        cmocka_unit_test(others_go_on),
        cmocka_unit_test(many_share_the_connections),
        cmocka_unit_test(logins_travel),
        cmocka_unit_test(logins_are_checked),
        cmocka_unit_test_setup_teardown(mutual_tls, make_certificates, remove_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
