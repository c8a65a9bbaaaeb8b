/* Access tokens by each of their sources, from a server of our own making. */
#include "tests/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ports/clock.h"
#include "ports/file.h"
#include "ports/http.h"
#include "ports/names.h"
#include "tests/ports/told.h"
#include "tests/uplink/google_key.h"
#include "tests/uplink/google_server.h"
#include "uplink/google/credentials.h"
#include "uplink/google/token.h"
#include "uplink/http/server_clock.h"

#define WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct google_server server;
    struct server_clock clock;
    struct google_token *token;
    char folder[64];
    char path[128];
    unsigned changed_count;
    uint64_t wire_sent;
};

static void changed(void *context)
{
    ((struct scene *)context)->changed_count++;
}

static void wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    (void)received;
    ((struct scene *)context)->wire_sent += sent;
}

static int scene_open(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    google_server_open(&scene->server, scene->loop, NULL);
    (void)snprintf(scene->folder, sizeof scene->folder, "/tmp/weir-token-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    (void)snprintf(scene->path, sizeof scene->path, "%s/key.json", scene->folder);
    unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
    setenv("CLOUDSDK_CONFIG", scene->folder, 1);
    setenv("GCE_METADATA_HOST", scene->server.url + strlen("http://"), 1);
    *state = scene;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    char subject[160];
    google_token_close(scene->token);
    http_close(scene->http);
    google_server_close(&scene->server);
    names_close(scene->names);
    loop_close(scene->loop);
    (void)snprintf(subject, sizeof subject, "%s/subject", scene->folder);
    unlink(subject);
    (void)snprintf(subject, sizeof subject, "%s/application_default_credentials.json",
                   scene->folder);
    unlink(subject);
    unlink(scene->path);
    rmdir(scene->folder);
    free(scene);
    return 0;
}

static void put_file(const char *path, const char *text)
{
    struct why why;
    assert_int_equal(file_replace(path, slice_of_text(text), 0600, &why), ERR_OK);
}

static enum err token_open(struct scene *scene, const char *path, struct why *why)
{
    const struct google_token_setup setup = {.loop = scene->loop,
                                             .names = scene->names,
                                             .http = scene->http,
                                             .clock = &scene->clock,
                                             .credentials = path,
                                             .scope = "https://www.googleapis.com/auth/pubsub",
                                             .audience = "https://pubsub.googleapis.com/",
                                             .context = scene,
                                             .changed = changed,
                                             .wire_bytes = wire_bytes};
    return google_token_open(&scene->token, &setup, why);
}

/* Each '@' of the text is the server's address. */
static void open_file(struct scene *scene, const char *pattern)
{
    char memory[8192];
    struct why why = {""};
    struct out text = out_over(memory, sizeof memory - 1);
    for (const char *c = pattern; *c; c++) {
        if (*c == '@') {
            out_put_text(&text, scene->server.url);
        } else {
            out_put_byte(&text, (uint8_t)*c);
        }
    }
    assert_false(text.overflow);
    memory[text.size] = '\0';
    put_file(scene->path, memory);
    assert_int_equal(token_open(scene, scene->path, &why), ERR_OK);
}

/* Asks until there is a token or a reason; the text "" for none. */
static const char *ask(struct scene *scene, uint64_t *ret_number)
{
    const char *text = "";
    enum err e = ERR_AGAIN, fault_e = ERR_OK;
    uint64_t end = clock_monotonic_ms() + WAIT_MS;
    while ((e = google_token_get(scene->token, &text, ret_number)) == ERR_AGAIN &&
           !google_token_fault(scene->token, &fault_e) && clock_monotonic_ms() < end) {
        assert_int_equal(loop_turn(scene->loop, 20), ERR_OK);
    }
    return e ? "" : text;
}

static const char *fault_of(struct scene *scene)
{
    enum err e;
    const struct why *why = google_token_fault(scene->token, &e);
    return why ? why->text : "";
}

#define SERVICE_ACCOUNT \
    "{\"type\":\"service_account\",\"private_key_id\":\"test-key-1\"," \
    "\"client_email\":\"weir\\u0040p1.iam.gserviceaccount.com\",\"private_key\":" \
    "\"" GOOGLE_KEY_JSON "\"}"

static void a_key_signs_its_own_token_by_the_services_clock(void **state)
{
    struct scene *scene = *state;
    uint64_t number = 0;
    open_file(scene, SERVICE_ACCOUNT);
    /* As if the service had said that it is then, and nothing takes more than a second. */
    char expected[64];
    scene->clock.offset_s = 1792584000 - clock_wall_us() / 1000000;
    bool is_same = false;
    for (unsigned i = 0; i < 5 && !is_same; i++) {
        scene->clock.offset_s = 1792584000 - clock_wall_us() / 1000000;
        is_same = strcmp(ask(scene, &number), GOOGLE_JWT_AUDIENCE) == 0;
        assert_true(google_token_refused(scene->token, number));
    }
    assert_true(is_same);
    (void)snprintf(expected, sizeof expected, "service account weir@p1");
    assert_memory_equal(google_token_source(scene->token), expected, strlen(expected));
    assert_int_equal(scene->server.count, 0);
}

static void a_token_is_kept_until_it_is_refused(void **state)
{
    struct scene *scene = *state;
    uint64_t number = 0, again = 0;
    open_file(scene, SERVICE_ACCOUNT);
    char first[1024];
    (void)snprintf(first, sizeof first, "%s", ask(scene, &number));
    assert_string_equal(ask(scene, &again), first);
    assert_int_equal(again, number);
    assert_false(google_token_refused(scene->token, number - 1));
    assert_true(google_token_refused(scene->token, number));
    assert_true(ask(scene, &again)[0]);
    assert_int_equal(again, number + 1);
}

static void without_a_file_it_is_the_metadata_server(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    struct why why = {""};
    google_server_answers(&scene->server,
                          (const char *[]){"200 {\"access_token\":\"ya29.m\",\"expires_in\":3599,"
                                           "\"token_type\":\"Bearer\"}",
                                           NULL});
    assert_int_equal(token_open(scene, NULL, &why), ERR_OK);
    assert_string_equal(ask(scene, &number), "ya29.m");
    assert_string_equal(scene->server.asked[0].path,
                        "/computeMetadata/v1/instance/service-accounts/default/token");
    assert_string_equal(scene->server.asked[0].flavor, "Google");
    assert_int_equal(scene->changed_count, 1);
    assert_int_equal(scene->wire_sent, 0); /* it is not over the link */
}

static void gclouds_login_is_found_and_refreshed(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    char path[160], text[1024];
    struct why why = {""};
    (void)snprintf(path, sizeof path, "%s/application_default_credentials.json", scene->folder);
    (void)snprintf(text, sizeof text,
                   "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"s&x\","
                   "\"refresh_token\":\"1//r\",\"token_uri\":\"%s/token\"}",
                   scene->server.url);
    put_file(path, text);
    google_server_answers(
        &scene->server,
        (const char *[]){"200 {\"access_token\":\"ya29.u\",\"expires_in\":3599}", NULL});
    assert_int_equal(token_open(scene, NULL, &why), ERR_OK);
    assert_string_equal(ask(scene, &number), "ya29.u");
    assert_string_equal(scene->server.asked[0].path, "/token");
    assert_string_equal(scene->server.asked[0].body,
                        "grant_type=refresh_token&client_id=c&client_secret=s%26x&"
                        "refresh_token=1%2F%2Fr");
    assert_true(!wire_is_told() || scene->wire_sent > 0);
}

#define EXTERNAL \
    "{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/p\"," \
    "\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\"," \
    "\"token_url\":\"@/sts\","
#define IMPERSONATED "\"service_account_impersonation_url\":\"@/sa:generateAccessToken\","

static void a_workloads_token_is_exchanged(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    char subject[160], format[1024];
    (void)snprintf(subject, sizeof subject, "%s/subject", scene->folder);
    put_file(subject, "eyJ.subject.x\n");
    (void)snprintf(format, sizeof format, "%s\"credential_source\":{\"file\":\"%s\"}}", EXTERNAL,
                   subject);
    google_server_answers(
        &scene->server,
        (const char *[]){"200 {\"access_token\":\"ya29.x\",\"expires_in\":3600}", NULL});
    open_file(scene, format);
    assert_string_equal(ask(scene, &number), "ya29.x");
    assert_int_equal(scene->server.count, 1);
    assert_string_equal(scene->server.asked[0].content_type, "application/x-www-form-urlencoded");
    assert_string_equal(
        scene->server.asked[0].body,
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
        "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
        "&audience=%2F%2Fiam.googleapis.com%2Fp"
        "&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fpubsub"
        "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"
        "&subject_token=eyJ.subject.x");
}

static void a_workload_stands_for_a_service_account(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    char answer[200], at[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us() + INT64_C(3600) * 1000000, 0, at);
    (void)snprintf(answer, sizeof answer, "200 {\"accessToken\":\"ya29.i\",\"expireTime\":\"%s\"}",
                   at);
    google_server_answers(&scene->server,
                          (const char *[]){"200 {\"value\":\"subject\"}",
                                           "200 {\"access_token\":\"sts\",\"expires_in\":3600}",
                                           answer, NULL});
    open_file(scene, EXTERNAL IMPERSONATED
              "\"credential_source\":{\"url\":\"@/subject\",\"headers\":{\"Metadata-Flavor\":\"M\"}"
              ",\"format\":{\"type\":\"json\",\"subject_token_field_name\":\"value\"}}}");
    assert_string_equal(ask(scene, &number), "ya29.i");
    assert_int_equal(scene->server.count, 3);
    const struct google_asked *asked = scene->server.asked;
    assert_string_equal(asked[0].path, "/subject");
    assert_string_equal(asked[0].flavor, "M");
    assert_non_null(strstr(asked[1].body, "cloud-platform"));
    assert_string_equal(asked[2].path, "/sa:generateAccessToken");
    assert_string_equal(asked[2].authorization, "Bearer sts");
    assert_string_equal(asked[2].body, "{\"scope\":[\"https://www.googleapis.com/auth/pubsub\"],"
                                       "\"lifetime\":\"3600s\"}");
}

static void a_refusal_says_what_to_check_and_no_secret(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    google_server_answers(&scene->server,
                          (const char *[]){"400 {\"error\":\"invalid_grant\","
                                           "\"error_description\":\"Token has been revoked.\"}",
                                           NULL});
    open_file(scene,
              "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"geheim\","
              "\"refresh_token\":\"1//r\",\"token_uri\":\"@/token\"}");
    assert_string_equal(ask(scene, &number), "");
    assert_non_null(strstr(fault_of(scene), "invalid_grant: Token has been revoked."));
    assert_non_null(strstr(fault_of(scene), "gcloud auth application-default login"));
    assert_null(strstr(fault_of(scene), "geheim"));
}

static void what_fails_is_tried_again(void **state)
{
    struct scene *scene = *state;
    uint64_t number;
    struct why why = {""};
    google_server_answers(
        &scene->server,
        (const char *[]){"503 {}", "200 {}", "200 {\"access_token\":\"a b\",\"expires_in\":1}",
                         "200 {\"access_token\":\"t\",\"expires_in\":3599}", NULL});
    assert_int_equal(token_open(scene, NULL, &why), ERR_OK);
    uint64_t end = clock_monotonic_ms() + WAIT_MS;
    const char *text;
    while (google_token_get(scene->token, &text, &number) && clock_monotonic_ms() < end) {
        assert_int_equal(loop_turn(scene->loop, 20), ERR_OK);
    }
    assert_string_equal(text, "t");
    assert_string_equal(fault_of(scene), "");
    assert_int_equal(scene->server.count, 4);
}

/* A token of 2 s is used for 1.8, and another is asked for before. */
static void a_token_is_asked_for_anew_before_its_end(void **state)
{
    struct scene *scene = *state;
    uint64_t number, first;
    struct why why = {""};
    google_server_answers(&scene->server,
                          (const char *[]){"200 {\"access_token\":\"t1\",\"expires_in\":2}",
                                           "200 {\"access_token\":\"t2\",\"expires_in\":3600}",
                                           NULL});
    assert_int_equal(token_open(scene, NULL, &why), ERR_OK);
    assert_string_equal(ask(scene, &first), "t1");
    uint64_t end = clock_monotonic_ms() + 2500;
    bool had_none = false;
    const char *text;
    while (clock_monotonic_ms() < end && !had_none && scene->server.count < 2) {
        had_none = google_token_get(scene->token, &text, &number) != ERR_OK;
        assert_int_equal(loop_turn(scene->loop, 5), ERR_OK);
    }
    assert_false(had_none);
    assert_string_equal(ask(scene, &number), "t1"); /* until the other one is there */
    assert_int_equal(loop_turn(scene->loop, 50), ERR_OK);
    assert_int_equal(loop_turn(scene->loop, 50), ERR_OK);
    assert_string_equal(ask(scene, &number), "t2");
}

static void what_is_no_credentials_is_refused(void **state)
{
    struct scene *scene = *state;
    static const struct {
        const char *text, *said;
    } bad[] = {
        {"", "it is no JSON"},
        {"[]", "\"type\" is none of"},
        {"{\"type\":\"impersonated_service_account\"}", "\"type\" is none of"},
        {"{\"type\":\"service_account\"}", "no text \"client_email\""},
        {"{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key_id\":\"b\","
         "\"private_key\":\"c\"}",
         "its \"private_key\": no private key in PEM"},
        {"{\"type\":\"authorized_user\",\"client_id\":\"a\",\"client_secret\":\"b\","
         "\"refresh_token\":\"c\",\"token_uri\":\"http://example.com/\"}",
         "no https:// address"},
        {"{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"b\","
         "\"token_url\":\"https://x/\",\"credential_source\":{\"environment_id\":\"aws1\"}}",
         "other sources are not supported"},
        {"{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"b\","
         "\"token_url\":\"https://x/\",\"credential_source\":{\"url\":\"https://x/\","
         "\"headers\":{\"a\":\"b\\r\\nc\"}}}",
         "\"headers\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct why why = {""};
        put_file(scene->path, bad[i].text);
        assert_int_equal(token_open(scene, scene->path, &why), ERR_CONFIG);
        assert_non_null(strstr(why.text, bad[i].said));
        assert_non_null(strstr(why.text, scene->path));
    }
    struct why why = {""};
    put_file(scene->path, SERVICE_ACCOUNT);
    assert_int_equal(chmod(scene->path, 0644), 0);
    assert_int_equal(token_open(scene, scene->path, &why), ERR_AUTH);
    assert_int_equal(token_open(scene, "/nowhere/key.json", &why), ERR_CLOSED);
}

static void answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err e;
        int64_t life_s;
        const char *error;
    } examples[] = {
        {"{\"access_token\":\"t\"}", ERR_OK, 300, ""},
        {"{\"access_token\":\"t\",\"expires_in\":99999999}", ERR_OK, 86400, ""},
        {"{\"accessToken\":\"t\",\"expireTime\":\"2026-10-21T04:00:10.5Z\"}", ERR_OK, 10 + 0, ""},
        {"{\"accessToken\":\"t\",\"expireTime\":\"2026-10-21T03:59:59Z\"}", ERR_CORRUPT, 0,
         "ended"},
        {"{\"accessToken\":\"t\",\"expireTime\":\"2026-13-21\"}", ERR_OK, 300, ""},
        {"{\"access_token\":\"t\\nx\"}", ERR_CORRUPT, 0, ""},
        {"{\"access_token\":7}", ERR_CORRUPT, 0, ""},
        {"{\"error\":{\"code\":403,\"message\":\"No\\u0007\",\"status\":\"PERMISSION_DENIED\"}}",
         ERR_CORRUPT, 0, "PERMISSION_DENIED: No?"},
        {"nothing", ERR_CORRUPT, 0, "no JSON"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(examples); i++) {
        struct token_answer answer;
        assert_int_equal(token_answer_parse(&answer, slice_of_text(examples[i].text), 1792555200),
                         examples[i].e);
        if (!examples[i].e) {
            assert_int_equal(answer.life_s, examples[i].life_s);
            assert_string_equal(answer.token, "t");
        }
        assert_non_null(strstr(answer.error, examples[i].error));
        free(answer.token);
    }
}

int main(void)
{
#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open, scene_close)
    const struct CMUnitTest tests[] = {
        SCENE(a_key_signs_its_own_token_by_the_services_clock),
        SCENE(a_token_is_kept_until_it_is_refused),
        SCENE(without_a_file_it_is_the_metadata_server),
        SCENE(gclouds_login_is_found_and_refreshed),
        SCENE(a_workloads_token_is_exchanged),
        SCENE(a_workload_stands_for_a_service_account),
        SCENE(a_refusal_says_what_to_check_and_no_secret),
        SCENE(what_fails_is_tried_again),
        SCENE(a_token_is_asked_for_anew_before_its_end),
        SCENE(what_is_no_credentials_is_refused),
        cmocka_unit_test(answers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
