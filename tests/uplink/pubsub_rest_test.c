/* The uplink pubsub by REST: what it sends, each row of the table of errors, the way there when what
 * lies between knows no HTTP/2, and access tokens by TLS. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/file.h"
#include "ports/lib/hash.h"
#include "ports/names.h"
#include "ports/probe.h"
#include "tests/uplink/google_key.h"
#include "tests/uplink/google_server.h"
#include "tests/uplink/pubsub_host.h"
#include "uplink/google/grpc.h"
#include "uplink/layout/framing.h"

struct scene {
    struct loop *loop;
    struct names *names;
    struct google_server server;
    struct uplink_host host;
    char folder[64], ca[128], key[128];
};

static void folder_open(struct scene *scene)
{
    char command[512];
    struct why why;
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-pubsub-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    (void)snprintf(command, sizeof command,
                   "tests/services/certs.sh %s >/dev/null && chmod 600 %s/*.key", scene->folder,
                   scene->folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): a test's own script
    (void)snprintf(scene->ca, sizeof scene->ca, "%s/ca.pem", scene->folder);
    (void)snprintf(scene->key, sizeof scene->key, "%s/account.json", scene->folder);
    assert_int_equal(
        file_replace(scene->key,
                     SLICE("{\"type\":\"service_account\",\"private_key_id\":\"test-key-1\","
                           "\"client_email\":\"weir@p1.iam.gserviceaccount.com\","
                           "\"private_key\":\"" GOOGLE_KEY_JSON "\"}"),
                     0600, &why),
        ERR_OK);
}

static struct tls *server_tls(struct scene *scene)
{
    char certificate[128], key[128];
    struct why why = {""};
    struct tls *tls;
    folder_open(scene);
    (void)snprintf(certificate, sizeof certificate, "%s/server.pem", scene->folder);
    (void)snprintf(key, sizeof key, "%s/server.key", scene->folder);
    const struct tls_options options = {.is_set = true, .certificate = certificate, .key = key};
    assert_int_equal(tls_open(&tls, &options, TLS_SERVER, &why), ERR_OK);
    return tls;
}

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    google_server_open(&scene->server, scene->loop, NULL);
    pubsub_host_open(&scene->host, scene->loop, scene->names, scene->server.url);
    scene->host.options.transport = PUBSUB_REST;
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    char command[128];
    pubsub_host_close(&scene->host);
    google_server_close(&scene->server);
    names_close(scene->names);
    loop_close(scene->loop);
    if (scene->folder[0]) {
        (void)snprintf(command, sizeof command, "rm -r %s", scene->folder);
        assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
    }
    free(scene);
    return 0;
}

static const struct event events[] = {
    {"k", "one", 0}, {"k", "two", 0}, {"k", "three", 0}, {"k", "four", 0}};

#define BODY_1_2 \
    "{\"messages\":[{\"data\":\"b25l\",\"attributes\":{\"weir_id\":\"pump-7/0000002a/events/1\"}," \
    "\"orderingKey\":\"k\"},{\"data\":\"dHdv\",\"attributes\":{\"weir_id\":" \
    "\"pump-7/0000002a/events/2\"},\"orderingKey\":\"k\"}]}"

static enum send_result deliver(struct scene *scene, struct pubsub_lot *lot, size_t count)
{
    assert_int_equal(pubsub_lot_wrap(lot, &scene->host, 1, events, count), ERR_OK);
    enum send_result result = pubsub_lot_deliver(lot);
    pubsub_lot_release(lot);
    return result;
}

static void a_request_is_as_the_service_wants_it(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    pubsub_host_start(&scene->host);
    google_server_answers(&scene->server,
                          (const char *[]){"200 {\"messageIds\":[\"1\",\"2\"]}", NULL});
    assert_int_equal(deliver(scene, &lot, 2), SEND_OK);
    const struct google_asked *asked = &scene->server.asked[0];
    assert_int_equal(scene->server.count, 1);
    assert_string_equal(asked->method, "POST");
    assert_string_equal(asked->path, "/v1/projects/p1/topics/events:publish");
    assert_string_equal(asked->content_type, "application/json");
    assert_string_equal(asked->authorization, "");
    assert_string_equal(asked->body, BODY_1_2);
}

static void a_percent_sign_in_a_topic_is_no_code(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    scene->host.options.topic = "a%2Fb+c~{stream}";
    pubsub_host_start(&scene->host);
    google_server_answers(&scene->server, (const char *[]){"200 {}", NULL});
    assert_int_equal(deliver(scene, &lot, 1), SEND_OK);
    /* The double decodes it. */
    assert_string_equal(scene->server.asked[0].path,
                        "/v1/projects/p1/topics/a%2Fb+c~events:publish");
}

static void errors_are_those_of_grpc(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *answer;
        enum send_result result;
        const char *text;
        unsigned count;
    } rows[] = {
        {"404 {\"error\":{\"code\":404,\"message\":\"Topic not found\",\"status\":\"NOT_FOUND\"}}",
         SEND_PARK, "topic projects/p1/topics/events is missing", 1},
        {"403 {\"error\":{\"code\":403,\"message\":\"x\",\"status\":\"PERMISSION_DENIED\"}}",
         SEND_PARK, "roles/pubsub.publisher", 1},
        {"401 {\"error\":{\"code\":401,\"message\":\"x\",\"status\":\"UNAUTHENTICATED\"}}",
         SEND_PARK, "check the credentials", 1},
        {"400 {\"error\":{\"code\":400,\"message\":\"b\\u0007d\",\"status\":"
         "\"FAILED_PRECONDITION\"}}",
         SEND_PARK, "FAILED_PRECONDITION, b?d", 1},
        {"501 {\"error\":{\"status\":\"UNIMPLEMENTED\"}}", SEND_PARK, "UNIMPLEMENTED", 1},
        {"429 {}", SEND_OK, "", 2},
        {"503 not JSON", SEND_OK, "", 2},
        {"500 {\"error\":{\"status\":\"INTERNAL\"}}", SEND_OK, "", 2},
        {"499 {\"error\":{\"status\":\"CANCELLED\"}}", SEND_OK, "", 2},
        {"504 {}", SEND_OK, "", 2},
        {"409 {\"error\":{\"status\":\"ABORTED\"}}", SEND_OK, "", 2},
        {"302 {\"error\":{\"status\":\"OK\"}}", SEND_OK, "", 2},
    };
    pubsub_host_start(&scene->host);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct pubsub_lot lot;
        google_server_answers(&scene->server, (const char *[]){rows[i].answer, "200 {}", NULL});
        assert_int_equal(deliver(scene, &lot, 2), rows[i].result);
        assert_non_null(strstr(lot.report.text, rows[i].text));
        assert_int_equal(scene->server.count, rows[i].count);
        assert_string_equal(scene->server.asked[rows[i].count - 1].body, BODY_1_2);
    }
}

/* 400 and 413 alike: the one that is bad, or too large, is looked for. */
static void a_bad_message_is_found(void **state)
{
    struct scene *scene = *state;
    static const char *const answers[] = {"400 {\"error\":{\"status\":\"INVALID_ARGUMENT\"}}",
                                          "413 too large"};
    pubsub_host_start(&scene->host);
    for (size_t i = 0; i < ARRAY_COUNT(answers); i++) {
        struct pubsub_lot lot;
        google_server_answers(&scene->server, (const char *[]){answers[i], "200 {}", answers[i],
                                                               "200 {}", answers[i], NULL});
        /* 1-4 refused, 1-2 stored, 3-4 refused, 3 stored, 4 refused: it is bad. */
        assert_int_equal(deliver(scene, &lot, 4), SEND_REJECTED);
        assert_int_equal(lot.report.code, GRPC_INVALID_ARGUMENT);
        assert_int_equal(scene->server.count, 5);
        assert_string_equal(scene->server.asked[1].body, BODY_1_2);
        assert_null(strstr(scene->server.asked[3].body, "events/4"));
        assert_null(strstr(scene->server.asked[4].body, "events/3"));
        /* Forward's halves: the first is there already, of the second only one is missing. */
        google_server_answers(&scene->server, (const char *[]){"200 {}", NULL});
        assert_int_equal(pubsub_lot_wrap(&lot, &scene->host, 3, events + 2, 2), ERR_OK);
        assert_int_equal(pubsub_lot_deliver(&lot), SEND_OK);
        pubsub_lot_release(&lot);
        assert_int_equal(scene->server.count, 1);
        assert_null(strstr(scene->server.asked[0].body, "events/3"));
    }
}

/* The server knows HTTP/1.1 only, as a proxy may. */
static void where_http2_is_refused_it_goes_by_rest(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    scene->host.options.transport = PUBSUB_AUTO;
    pubsub_host_start(&scene->host);
    google_server_answers(&scene->server, (const char *[]){"200 {}", NULL});
    assert_int_equal(deliver(scene, &lot, 2), SEND_OK);
    assert_int_equal(scene->host.fallbacks, 1);
    assert_string_equal(scene->server.asked[scene->server.count - 1].body, BODY_1_2);
    unsigned before = scene->server.count;
    assert_int_equal(deliver(scene, &lot, 2), SEND_OK);
    assert_int_equal(scene->server.count, before + 1); /* at once */
}

/* --- with TLS --- */

static int secure_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    google_server_open(&scene->server, scene->loop, server_tls(scene));
    pubsub_host_open(&scene->host, scene->loop, scene->names, scene->server.url);
    scene->host.options.transport = PUBSUB_REST;
    scene->host.options.credentials = scene->key;
    scene->host.options.tls = (struct tls_options){.is_set = true, .ca = scene->ca};
    pubsub_host_start(&scene->host);
    *state = scene;
    return 0;
}

static void a_request_carries_a_token(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    google_server_answers(&scene->server, (const char *[]){"200 {}", NULL});
    assert_int_equal(deliver(scene, &lot, 2), SEND_OK);
    /* {"alg":"RS256","typ":"JWT","kid":"test-key-1"} */
    static const char begin[] =
        "Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5LTEifQ.";
    assert_memory_equal(scene->server.asked[0].authorization, begin, strlen(begin));
}

#define UNAUTHENTICATED "401 {\"error\":{\"status\":\"UNAUTHENTICATED\"}}"

static void a_token_that_is_refused_is_made_anew_once(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    google_server_answers(&scene->server, (const char *[]){UNAUTHENTICATED, "200 {}", NULL});
    assert_int_equal(deliver(scene, &lot, 2), SEND_OK);
    assert_int_equal(scene->server.count, 2);
    google_server_answers(&scene->server, (const char *[]){UNAUTHENTICATED, NULL});
    assert_int_equal(deliver(scene, &lot, 2), SEND_PARK);
    assert_int_equal(scene->server.count, 2);
    assert_non_null(strstr(lot.report.text, "check the credentials, and the clock"));
}

static void a_file_that_became_useless_is_said(void **state)
{
    struct scene *scene = *state;
    struct pubsub_lot lot;
    struct why why;
    assert_int_equal(file_replace(scene->key, SLICE("{}"), 0600, &why), ERR_OK);
    google_server_answers(&scene->server, (const char *[]){UNAUTHENTICATED, "200 {}", NULL});
    assert_int_equal(pubsub_lot_wrap(&lot, &scene->host, 1, events, 2), ERR_OK);
    pubsub_lot_send(&lot);
    while (!scene->host.fault.text[0]) {
        assert_int_equal(loop_turn(scene->loop, 20), ERR_OK);
    }
    assert_non_null(strstr(scene->host.fault.text, scene->key));
    assert_false(lot.answered); /* it waits for a token */
    pubsub_uplink_class.stop(scene->host.uplink, 100);
    assert_true(pubsub_lot_wait(&lot, PUBSUB_WAIT_MS));
    assert_int_equal(lot.report.result, SEND_RETRY);
    pubsub_lot_release(&lot);
}

/* --- weir check --online --- */

struct found {
    struct probe_finding items[16];
    size_t count;
    bool is_done;
};

static void on_found(void *context, const struct probe_finding *finding)
{
    struct found *found = context;
    assert_false(found->is_done);
    assert_true(found->count < ARRAY_COUNT(found->items));
    found->items[found->count++] = *finding;
}

static void on_done(void *context)
{
    struct found *found = context;
    assert_false(found->is_done);
    found->is_done = true;
}

static void ask(struct scene *scene, const char *const *streams, size_t count, struct found *found)
{
    struct probe_stream list[4] = {{.name = NULL}};
    struct probe *probe = NULL;
    *found = (struct found){.count = 0};
    for (size_t i = 0; i < count; i++) {
        list[i] = (struct probe_stream){.name = streams[i], .schema = &scene->host.schema};
    }
    const struct probe_setup setup = {.loop = scene->loop,
                                      .names = scene->names,
                                      .options = &scene->host.options,
                                      .agent_id = "pump-7",
                                      .streams = list,
                                      .stream_count = count,
                                      .context = found,
                                      .found = on_found,
                                      .done = on_done};
    assert_int_equal(pubsub_uplink_class.probe(&probe, &setup), ERR_OK);
    assert_false(found->is_done);
    for (unsigned i = 0; i < 3000 && !found->is_done; i++) {
        assert_int_equal(loop_turn(scene->loop, 20), ERR_OK);
    }
    assert_true(found->is_done);
    probe->close(probe);
}

static const struct probe_finding *finding(const struct found *found, const char *what)
{
    for (size_t i = 0; i < found->count; i++) {
        if (strstr(found->items[i].what, what)) {
            return &found->items[i];
        }
    }
    fail_msg("nothing was found about %s", what);
    return NULL;
}

static void check_online_asks_about_each_topic(void **state)
{
    struct scene *scene = *state;
    struct found found;
    google_server_answers(&scene->server,
                          (const char *[]){"200 {\"permissions\":[\"pubsub.topics.publish\"]}",
                                           "200 {}", "404 {\"error\":{\"status\":\"NOT_FOUND\"}}",
                                           NULL});
    ask(scene, (const char *[]){"one", "two", "three"}, 3, &found);
    assert_int_equal(scene->server.count, 3);
    const struct google_asked *asked = scene->server.asked;
    assert_string_equal(asked[0].path, "/v1/projects/p1/topics/one:testIamPermissions");
    assert_string_equal(asked[0].body, "{\"permissions\":[\"pubsub.topics.publish\"]}");
    assert_memory_equal(asked[2].authorization, "Bearer ey", 9);
    assert_int_equal(finding(&found, "access token")->level, PROBE_OK);
    assert_non_null(strstr(finding(&found, "access token")->why.text, scene->key));
    assert_int_equal(finding(&found, scene->server.url)->level, PROBE_OK);
    assert_int_equal(finding(&found, "topics/one")->level, PROBE_OK);
    assert_int_equal(finding(&found, "topics/two")->level, PROBE_ERROR);
    assert_non_null(strstr(finding(&found, "topics/two")->why.text, "roles/pubsub.publisher"));
    assert_non_null(
        strstr(finding(&found, "topics/three")->why.text, "NOT_FOUND (make the topic)"));
}

static void check_online_ends_where_all_would_be_the_same(void **state)
{
    struct scene *scene = *state;
    struct found found;
    google_server_answers(&scene->server, (const char *[]){UNAUTHENTICATED, NULL});
    ask(scene, (const char *[]){"one", "two"}, 2, &found);
    assert_int_equal(scene->server.count, 1);
    assert_string_equal(finding(&found, "topics/one")->option, "credentials");
    scene->host.options.topic = "all"; /* one topic, asked about once */
    google_server_answers(&scene->server, (const char *[]){"200 {}", NULL});
    ask(scene, (const char *[]){"one", "two"}, 2, &found);
    assert_int_equal(scene->server.count, 1);
    /* No token: from a metadata server that is not there. */
    setenv("GCE_METADATA_HOST", "127.0.0.1:1", 1);
    setenv("CLOUDSDK_CONFIG", "/nowhere", 1);
    scene->host.options.credentials = NULL;
    ask(scene, (const char *[]){"one"}, 1, &found);
    assert_int_equal(finding(&found, "access token")->level, PROBE_ERROR);
    assert_non_null(strstr(finding(&found, "access token")->why.text, "127.0.0.1:1"));
    scene->host.options.credentials = scene->key;
    scene->host.options.tls.ca = NULL;
    ask(scene, (const char *[]){"one"}, 1, &found);
    assert_string_equal(finding(&found, scene->server.url)->option, "tls");
    assert_int_equal(finding(&found, scene->server.url)->level, PROBE_ERROR);
    scene->host.options.endpoint = "http://127.0.0.1:1";
    ask(scene, (const char *[]){"one"}, 1, &found);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0].level, PROBE_WARNING);
}

static void options_are_checked(void **state)
{
    struct scene *scene = *state;
    struct pubsub_options o = scene->host.options;
    struct why why = {""};
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_OK);
    o.endpoint = scene->server.url;
    o.credentials = "/nowhere/key.json";
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "/nowhere/key.json"));
    o.endpoint = "http://127.0.0.1:1";
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "not sent without TLS"));
    o.credentials = NULL;
    o.project = NULL;
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "set `project`"));
    o.topic = "projects/p1/topics/{stream}";
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_OK);
    o.project = "p1";
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "leave out `project`"));
    o.project = NULL;
    o.framing = FRAMING_REGISTRY;
    assert_int_equal(pubsub_uplink_class.check(&o, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "\"registry\" is not for Pub/Sub"));
    o.framing = FRAMING_NONE;
    assert_int_equal(pubsub_uplink_class.columns(&o, &why), ERR_CONFIG);
    o.framing = FRAMING_SINGLE_OBJECT;
    assert_int_equal(pubsub_uplink_class.columns(&o, &why), ERR_OK);
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
#define SECURE(test) cmocka_unit_test_setup_teardown(test, secure_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(a_request_is_as_the_service_wants_it),
        SCENE(a_percent_sign_in_a_topic_is_no_code),
        SCENE(errors_are_those_of_grpc),
        SCENE(a_bad_message_is_found),
        SCENE(where_http2_is_refused_it_goes_by_rest),
        SECURE(a_request_carries_a_token),
        SECURE(a_token_that_is_refused_is_made_anew_once),
        SECURE(a_file_that_became_useless_is_said),
        SECURE(options_are_checked),
        SECURE(check_online_asks_about_each_topic),
        SECURE(check_online_ends_where_all_would_be_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
