/* Objects in Google Cloud Storage: the requests, and each answer that is known. The tokens come from
 * a double. */
#include "uplink/object/gcs.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/cmocka.h"
#include "tests/uplink/object/scene.h"
#include "uplink/google/token.h"
#include "uplink/object/gcs_answer.h"
#include "uplink/object/gcs_options.h"

/* --- tokens --- */

struct google_token {
    struct google_token_setup setup;
};
static struct google_token only;
static uint64_t number = 1;
static bool are_coming;
static unsigned refused;

enum err google_token_open(struct google_token **ret, const struct google_token_setup *setup,
                           struct why *why)
{
    (void)why;
    only.setup = *setup;
    *ret = &only;
    return ERR_OK;
}

void google_token_close(struct google_token *token)
{
    (void)token;
}

enum err google_token_get(struct google_token *token, const char **ret_text, uint64_t *ret_number)
{
    (void)token;
    *ret_text = number > 1 ? "token2" : "token1";
    *ret_number = number;
    return are_coming ? ERR_AGAIN : ERR_OK;
}

bool google_token_refused(struct google_token *token, uint64_t which)
{
    (void)token;
    assert_int_equal(which, number);
    refused++;
    number++;
    return true;
}

const struct why *google_token_fault(const struct google_token *token, enum err *ret_e)
{
    (void)token;
    (void)ret_e;
    return NULL;
}

const char *google_token_source(const struct google_token *token)
{
    (void)token;
    return "a double";
}

/* --- the scene --- */

static struct gcs_options options_of(const struct scene *scene)
{
    number = 1;
    refused = 0;
    are_coming = false;
    return (struct gcs_options){
        .bucket = "bucket1",
        .endpoint = scene->url,
        .object = {.name = "{stream}/dt=%Y-%m-%d/{agent}-{incarnation}-{first}-{last}.avro",
                   .codec = CONTAINER_DEFLATE,
                   .timeout_ms = 5000}};
}

/* What the service says of an object that it has: as it was told, or otherwise so often. */
static unsigned corrupted;

static const char *stored(struct scene *scene, const struct asked *asked)
{
    static char text[512];
    struct gcs_object is;
    const char *json = strstr((char *)asked->body, "{\"name\":");
    const char *end = json ? strstr(json, "\r\n") : NULL;
    (void)scene;
    assert_non_null(end);
    assert_true(
        gcs_answer_object((struct slice){(const uint8_t *)json, (size_t)(end - json)}, &is));
    if (corrupted) {
        corrupted--;
        is.md5[0] = is.md5[0] == 'A' ? 'B' : 'A';
    }
    (void)snprintf(text, sizeof text, "200\n\n{\"md5Hash\":\"%s\",\"crc32c\":\"%s\"}", is.md5,
                   is.crc32c);
    return text;
}

static void a_batch_is_one_object(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&gcs_uplink_class);
    struct gcs_options options = options_of(scene);
    struct lot lot;
    options.storage_class = "NEARLINE";
    scene->answer = stored;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    const struct asked *asked = &scene->asked[0];
    const char *body = (const char *)asked->body;
    assert_string_equal(scene_line(asked),
                        "POST /upload/storage/v1/b/bucket1/o?uploadType=multipart HTTP/1.1");
    assert_string_equal(scene_header(asked, "Authorization"), "Bearer token1");
    assert_non_null(strstr(body, "{\"name\":\"meters a/dt=2025-11-24/"
                                 "pump 7-0badcafe-000000000005-000000000014.avro\","));
    assert_non_null(strstr(body, "\"storageClass\":\"NEARLINE\"}"));
    const uint8_t *object = memmem(asked->body, asked->size, "\r\n\r\nObj\1", 8);
    const char *boundary = strstr(scene_header(asked, "Content-Type"), "boundary=") + 9;
    assert_non_null(object);
    assert_memory_equal(object + 4, lot.wire, 4);
    assert_memory_equal(body + 2, boundary, strlen(boundary));
    lot_release(&lot);
    scene_close(scene);
}

static void another_digest_is_put_again(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&gcs_uplink_class);
    struct gcs_options options = options_of(scene);
    struct lot lot;
    scene->answer = stored;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 0), ERR_OK);
    corrupted = 1;
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 2);
    scene_forget(scene);
    corrupted = 2;
    assert_int_equal(lot_send(&lot, scene), SEND_RETRY);
    assert_int_equal(scene->asked_count, 2);
    assert_non_null(strstr(scene->host.report.text, "another digest"));
    lot_release(&lot);
    scene_close(scene);
}

static void each_refusal_is_understood(void **state)
{
    (void)state;
#define JSON(code, reason) \
    "\n\n{\"error\":{\"code\":" code \
    ",\"message\":\"As it says\",\"errors\":[{\"reason\":\"" reason "\"}]}}"
    static const struct {
        const char *answers[4];
        enum send_result result;
        unsigned asked;
        const char *text;
        bool create_only;
    } rows[] = {
        {{"401" JSON("401", "authError"), "200\n\n{}"}, SEND_OK, 2, "", false},
        {{"401" JSON("401", "authError")}, SEND_PARK, 2, "look at credentials", false},
        {{"401\n\nInvalid Credentials"}, SEND_PARK, 2, "401", false},
        {{"403" JSON("403", "forbidden")}, SEND_PARK, 1, "role Storage Object User", false},
        {{"403" JSON("403", "insufficientPermissions")}, SEND_PARK, 1, "scope", false},
        {{"403" JSON("403", "userRateLimitExceeded")}, SEND_RETRY, 1, "", false},
        {{"404" JSON("404", "notFound")}, SEND_PARK, 1, "make the bucket", false},
        {{"400\n\n{\"error\":{\"message\":\"Provided MD5 hash x doesn't match calculated MD5 hash "
          "y.\",\"errors\":[{\"reason\":\"invalid\"}]}}"},
         SEND_REJECTED,
         2,
         "MD5 hash",
         false},
        {{"400" JSON("400", "invalid")}, SEND_PARK, 1, "invalid: As it says", false},
        {{"412" JSON("412", "conditionNotMet")}, SEND_OK, 1, "", true},
        {{"412" JSON("412", "conditionNotMet")}, SEND_PARK, 1, "", false},
        {{"413" JSON("413", "uploadTooLarge")}, SEND_TOO_LARGE, 1, "", false},
        {{"429" JSON("429", "rateLimitExceeded")}, SEND_RETRY, 1, "", false},
        {{"500" JSON("500", "internalError")}, SEND_RETRY, 1, "", false},
        {{"503" JSON("503", "backendError")}, SEND_RETRY, 1, "", false},
        {{"200\n\n<html>"}, SEND_RETRY, 1, "no JSON", false},
        {{"drop"}, SEND_RETRY, 1, "", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = scene_open(&gcs_uplink_class);
        struct gcs_options options = options_of(scene);
        struct lot lot;
        options.create_only = rows[i].create_only;
        scene_life(scene, &options);
        scene_answers(scene, rows[i].answers);
        assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
        if (lot_send(&lot, scene) != rows[i].result || scene->asked_count != rows[i].asked ||
            !strstr(scene->host.report.text, rows[i].text)) {
            fail_msg("row %zu: %d after %u, \"%s\"", i, scene->host.report.result,
                     scene->asked_count, scene->host.report.text);
        }
        assert_true(rows[i].result != SEND_OK ||
                    scene->host.report.was_duplicate == rows[i].create_only);
        if (rows[i].create_only) {
            assert_non_null(strstr(scene_line(&scene->asked[0]), "&ifGenerationMatch=0 "));
        }
        lot_release(&lot);
        scene_close(scene);
    }
}

static void what_may_be_there_is_cut_anew_and_counted(void **state)
{
    (void)state;
    static const char *const digests[] = {"400\n\n{\"error\":{\"message\":\"MD5 hash\"}}", NULL};
    static const char *const large[] = {"413" JSON("413", "uploadTooLarge"), NULL};
    struct scene *scene = scene_open(&gcs_uplink_class);
    struct gcs_options options = options_of(scene);
    struct lot lot;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    lot.batch.again = true;
    scene_answers(scene, digests);
    assert_int_equal(lot_send(&lot, scene), SEND_REJECTED);
    assert_int_equal(scene->host.in_doubt, 1);
    scene_answers(scene, large);
    assert_int_equal(lot_send(&lot, scene), SEND_TOO_LARGE);
    assert_int_equal(scene->host.in_doubt, 2);
    lot_release(&lot);
    scene_close(scene);
}

static void an_emulator_gets_no_token(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&gcs_uplink_class);
    struct gcs_options options = options_of(scene);
    struct lot lot;
    assert_int_equal(setenv("STORAGE_EMULATOR_HOST", scene->url + strlen("http://"), 1), 0);
    options.endpoint = NULL;
    are_coming = true; /* none ever comes */
    scene->answer = stored;
    scene_life(scene, &options);
    assert_int_equal(unsetenv("STORAGE_EMULATOR_HOST"), 0);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_string_equal(scene_header(&scene->asked[0], "Authorization"), "");
    lot_release(&lot);
    scene_close(scene);
}

static void check_online_asks_what_may_be_done(void **state)
{
    (void)state;
    static const char both[] =
        "200\n\n{\"permissions\":[\"storage.objects.create\",\"storage.objects.delete\"]}";
    static const char create[] = "200\n\n{\"permissions\":[\"storage.objects.create\"]}";
    static const struct {
        const char *answer;
        bool create_only;
        enum probe_level level;
        const char *option, *what, *text;
    } rows[] = {
        {both, false, PROBE_OK, "bucket", "bucket1", "put and replaced"},
        {create, true, PROBE_OK, "bucket", "bucket1", "objects may be put"},
        {create, false, PROBE_ERROR, "bucket", "bucket1", "or set create_only"},
        {"200\n\n{}", false, PROBE_ERROR, "bucket", "bucket1", "Storage Object User"},
        {"200\n\n{}", true, PROBE_ERROR, "bucket", "bucket1", "Storage Object Creator"},
        {"404\n\n{}", false, PROBE_ERROR, "bucket", "bucket1", "make it"},
        {"401\n\n{}", false, PROBE_ERROR, "credentials", "login", "is the key still valid"},
        {"403\n\n{\"error\":{\"errors\":[{\"reason\":\"accountDisabled\"}]}}", false, PROBE_ERROR,
         "bucket", "bucket1", "403 accountDisabled"},
        {"503\n\n{}", false, PROBE_WARNING, "bucket", "bucket1", "ask again later"},
        {"200\n\nwelcome", false, PROBE_ERROR, "endpoint", "bucket1", "is this Cloud Storage"},
    };
    struct scene *scene = scene_open(&gcs_uplink_class);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct gcs_options options = options_of(scene);
        struct scene_found found;
        options.create_only = rows[i].create_only;
        scene_answers(scene, (const char *const[]){rows[i].answer, NULL});
        scene_probe(scene, &options, &found);
        assert_int_equal(scene->asked_count, 1);
        assert_string_equal(scene_line(&scene->asked[0]),
                            "GET /storage/v1/b/bucket1/iam/testPermissions?permissions="
                            "storage.objects.create&permissions=storage.objects.delete HTTP/1.1");
        assert_string_equal(scene_header(&scene->asked[0], "Authorization"), "Bearer token1");
        assert_true(
            scene_has_found(&found, rows[i].level, rows[i].option, rows[i].what, rows[i].text));
    }
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_one_object),
        cmocka_unit_test(another_digest_is_put_again),
        cmocka_unit_test(each_refusal_is_understood),
        cmocka_unit_test(what_may_be_there_is_cut_anew_and_counted),
        cmocka_unit_test(an_emulator_gets_no_token),
        cmocka_unit_test(check_online_asks_what_may_be_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
