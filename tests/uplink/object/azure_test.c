/* Blobs in Azure: the signature, the requests, and each answer that is known. */
#include "uplink/object/azure.h"

#include <stdio.h>

#include "ports/lib/hash.h"
#include "tests/cmocka.h"
#include "tests/uplink/object/scene.h"
#include "uplink/object/azure_impl.h"

/* The key that Microsoft has published for its emulator. */
#define TEST_KEY \
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

static struct azure_options options_of(const struct scene *scene)
{
    return (struct azure_options){
        .account = "devstoreaccount1",
        .container = "c1",
        .key = TEST_KEY,
        .endpoint = scene->url,
        .object = {.name = "{stream}/dt=%Y-%m-%d/{agent}-{incarnation}-{first}-{last}.avro",
                   .codec = CONTAINER_DEFLATE,
                   .timeout_ms = 5000}};
}

static void the_signature_is_the_published_one(void **state)
{
    (void)state;
    uint8_t key[128];
    uint8_t memory[4096];
    struct out key_out = out_over(key, sizeof key);
    struct out out = out_over(memory, sizeof memory);
    static const struct azure_header headers[] = {{"x-ms-blob-type", "BlockBlob"},
                                                  {"x-ms-date", "Tue, 24 Nov 2026 12:00:00 GMT"},
                                                  {"x-ms-version", "2021-08-06"}};
    const struct azure_request request = {.method = "PUT",
                                          .body_size = 50,
                                          .content_md5 = "",
                                          .content_type = "application/octet-stream",
                                          .if_none_match = "",
                                          .headers = headers,
                                          .header_count = 3,
                                          .account = "devstoreaccount1",
                                          .path = SLICE("/c1/a.avro")};
    assert_true(hash_take_base64(slice_of_text(TEST_KEY), &key_out));
    azure_sign(&request, out_slice(&key_out), &out);
    out_put_byte(&out, 0);
    char date[AZURE_DATE_SIZE];
    azure_date(1795521600, date);
    assert_string_equal(date, "Tue, 24 Nov 2026 12:00:00 GMT");
    assert_string_equal((char *)memory, "SharedKey devstoreaccount1:"
                                        "n/hFQ09Tz01Hn777pvS27NSFRq7DOQmz7BWlCegc0JE=");
}

static void a_batch_is_one_blob(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = options_of(scene);
    struct lot lot;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 1);
    const struct asked *asked = &scene->asked[0];
    assert_string_equal(scene_line(asked),
                        "PUT /c1/meters%20a/dt%3D2025-11-24/"
                        "pump%207-0badcafe-000000000005-000000000014.avro HTTP/1.1");
    assert_string_equal(scene_header(asked, "x-ms-blob-type"), "BlockBlob");
    assert_non_null(strstr(scene_header(asked, "Authorization"), "SharedKey devstoreaccount1:"));
    uint8_t digest[16];
    char text[32];
    struct out out = out_over(text, sizeof text);
    hash_of(HASH_MD5, (struct slice){asked->body, asked->size}, digest);
    hash_put_base64(&out, (struct slice){digest, sizeof digest});
    out_put_byte(&out, 0);
    assert_string_equal(scene_header(asked, "Content-MD5"), text);
    assert_memory_equal(asked->body, "Obj\1", 4);
    lot_release(&lot);
    scene_close(scene);
}

/* Built again, by another life with other settings: the same name, and the same bytes. */
static void what_is_on_record_keeps_its_name(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = options_of(scene);
    struct lot first;
    struct lot again;
    static const char *const lost[] = {"drop", "201", NULL};
    scene_life(scene, &options);
    scene_answers(scene, lost);
    assert_int_equal(lot_make(&first, scene, &options, 1, 100, 0), ERR_OK);
    assert_int_equal(lot_send(&first, scene), SEND_RETRY);
    struct azure_options other = options;
    other.object.name = "other/{stream}-{agent}-{incarnation}-{first}";
    scene_life(scene, &other);
    assert_int_equal(lot_make(&again, scene, &other, 1, 100, 0), ERR_OK);
    again.parcel = first.parcel; /* as it was committed */
    memcpy(again.batch.target.name, first.parcel.target, sizeof first.parcel.target);
    again.parcel.parts[0].base_sequence = first.parcel.parts[0].base_sequence;
    assert_int_equal(lot_send(&again, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 2);
    char line[4096];
    (void)snprintf(line, sizeof line, "%s", scene_line(&scene->asked[0]));
    assert_string_equal(scene_line(&scene->asked[1]), line);
    assert_int_equal(scene->asked[0].size, scene->asked[1].size);
    assert_memory_equal(scene->asked[0].body, scene->asked[1].body, scene->asked[0].size);
    lot_release(&first);
    lot_release(&again);
    scene_close(scene);
}

static void a_sas_stands_in_the_url(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = options_of(scene);
    struct lot lot;
    options.key = NULL;
    options.sas = "?sv=2021-08-06&sp=cw&sig=a%2Bb%3D";
    options.create_only = true;
    options.access_tier = "Cool";
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 1, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    const struct asked *asked = &scene->asked[0];
    assert_non_null(strstr(scene_line(asked), ".avro?sv=2021-08-06&sp=cw&sig=a%2Bb%3D HTTP/1.1"));
    assert_string_equal(scene_header(asked, "Authorization"), "");
    assert_string_equal(scene_header(asked, "If-None-Match"), "*");
    assert_string_equal(scene_header(asked, "x-ms-access-tier"), "Cool");
    lot_release(&lot);
    scene_close(scene);
}

static void each_refusal_is_understood(void **state)
{
    (void)state;
    static const struct {
        const char *answers[4];
        enum send_result result;
        unsigned asked;
        const char *text;
        bool create_only;
    } rows[] = {
        {{"403\nx-ms-error-code: AuthorizationFailure"}, SEND_PARK, 1, "network rules", false},
        {{"403\nx-ms-error-code: AuthorizationPermissionMismatch"}, SEND_PARK, 1, "rights", false},
        {{"403\n\n<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Server "
          "failed to authenticate</Message></Error>"},
         SEND_PARK,
         1,
         "look at key or sas: Server failed",
         false},
        {{"404\nx-ms-error-code: ContainerNotFound"}, SEND_PARK, 1, "make the container", false},
        {{"400\nx-ms-error-code: Md5Mismatch", "201"}, SEND_OK, 2, "", false},
        {{"400\nx-ms-error-code: Md5Mismatch", "400\nx-ms-error-code: Md5Mismatch"},
         SEND_REJECTED,
         2,
         "changed on its way",
         false},
        {{"400\nx-ms-error-code: InvalidOperation", "400\nx-ms-error-code: InvalidOperation"},
         SEND_REJECTED,
         2,
         "",
         false},
        {{"409\nx-ms-error-code: BlobAlreadyExists"}, SEND_OK, 1, "", true},
        {{"403\nx-ms-error-code: UnauthorizedBlobOverwrite"}, SEND_OK, 1, "", true},
        {{"403\nx-ms-error-code: UnauthorizedBlobOverwrite"}, SEND_PARK, 1, "right w", false},
        {{"412\nx-ms-error-code: ConditionNotMet"}, SEND_PARK, 1, "ConditionNotMet", false},
        {{"409\nx-ms-error-code: BlobImmutableDueToPolicy"}, SEND_PARK, 1, "create_only", false},
        {{"409\nx-ms-error-code: ContainerBeingDeleted"}, SEND_RETRY, 1, "", false},
        {{"413\nx-ms-error-code: RequestBodyTooLarge"}, SEND_TOO_LARGE, 1, "", false},
        {{"429\nRetry-After: 7"}, SEND_RETRY, 1, "429", false},
        {{"500\nx-ms-error-code: InternalError"}, SEND_RETRY, 1, "", false},
        {{"503\nx-ms-error-code: ServerBusy"}, SEND_RETRY, 1, "ServerBusy", false},
        {{"418"}, SEND_PARK, 1, "418", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = scene_open(&azure_blob_uplink_class);
        struct azure_options options = options_of(scene);
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
        assert_true(rows[i].result != SEND_PARK || scene->host.fault[0]);
        lot_release(&lot);
        scene_close(scene);
    }
}

/* The board's clock is days off: the second request is signed by the service's. */
static void a_wrong_clock_is_corrected(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {
        "403\nDate: Wed, 25 Nov 2037 12:00:00 GMT\nx-ms-error-code: AuthenticationFailed",
        "201\nDate: Wed, 25 Nov 2037 12:00:00 GMT", NULL};
    scene_life(scene, &options);
    scene_answers(scene, answers);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 2);
    assert_null(strstr(scene_header(&scene->asked[0], "x-ms-date"), "2037"));
    assert_non_null(strstr(scene_header(&scene->asked[1], "x-ms-date"), "Wed, 25 Nov 2037 12:"));
    lot_release(&lot);
    scene_close(scene);
}

/* An earlier try may have gone through, of which nobody knows: its events may be there twice then. But
 * it does not stand still for ever. */
static void what_may_be_there_is_cut_anew_and_counted(void **state)
{
    (void)state;
    static const char *const digests[] = {"400\nx-ms-error-code: Md5Mismatch", NULL};
    static const char *const large[] = {"413\nx-ms-error-code: RequestBodyTooLarge", NULL};
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    struct azure_options options = options_of(scene);
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
    lot.batch.again = false;
    scene_answers(scene, large);
    assert_int_equal(lot_send(&lot, scene), SEND_TOO_LARGE);
    assert_int_equal(scene->host.in_doubt, 2);
    lot_release(&lot);
    scene_close(scene);
}

static void check_online_ends_a_copy_that_never_was(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        const char *sas;
        bool create_only;
        unsigned asked;
        enum probe_level level;
        const char *option, *what, *text;
    } rows[] = {
        {"404\nx-ms-error-code: BlobNotFound", NULL, false, 1, PROBE_OK, "container",
         "container c1", "the key may write"},
        {"409\nx-ms-error-code: NoPendingCopyOperation", "sig=x", false, 1, PROBE_OK, "container",
         "container c1", "the sas may write"},
        {"404\nx-ms-error-code: ContainerNotFound", NULL, false, 1, PROBE_ERROR, "container",
         "container c1", "make it"},
        {"403\n\n<Error><Code>AuthenticationFailed</Code></Error>", NULL, false, 1, PROBE_ERROR,
         "key", "login at Azure", "look at key"},
        {"403\nDate: Tue, 24 Nov 2020 12:00:00 GMT\nx-ms-error-code: AuthenticationFailed", NULL,
         false, 2, PROBE_ERROR, "endpoint", "clock", "set it (NTP)"},
        {"403\nx-ms-error-code: AuthorizationPermissionMismatch", "sig=x", false, 1, PROBE_ERROR,
         "sas", "login at Azure", "the rights c and w"},
        {"403\nx-ms-error-code: AuthorizationPermissionMismatch", "sig=x", true, 1, PROBE_WARNING,
         "container", "container c1", "the sas is good"},
        {"503\nx-ms-error-code: ServerBusy", NULL, false, 1, PROBE_WARNING, "container",
         "container c1", "ServerBusy"},
        {"200\n\nwelcome", NULL, false, 1, PROBE_ERROR, "endpoint", "container c1",
         "is this Azure"},
    };
    struct scene *scene = scene_open(&azure_blob_uplink_class);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct azure_options options = options_of(scene);
        struct scene_found found;
        options.create_only = rows[i].create_only;
        options.sas = rows[i].sas;
        options.key = rows[i].sas ? NULL : options.key;
        scene_answers(scene, (const char *const[]){rows[i].answer, NULL});
        scene_probe(scene, &options, &found);
        assert_int_equal(scene->asked_count, rows[i].asked);
        assert_memory_equal(scene_line(&scene->asked[0]),
                            "PUT /c1/weir-check-online/no-blob?comp=copy&copyid=00000000-", 60);
        assert_string_equal(scene_header(&scene->asked[0], "x-ms-copy-action"), "abort");
        assert_int_equal(scene->asked[0].size, 0);
        assert_true(
            scene_has_found(&found, rows[i].level, rows[i].option, rows[i].what, rows[i].text));
    }
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signature_is_the_published_one),
        cmocka_unit_test(a_batch_is_one_blob),
        cmocka_unit_test(what_is_on_record_keeps_its_name),
        cmocka_unit_test(a_sas_stands_in_the_url),
        cmocka_unit_test(each_refusal_is_understood),
        cmocka_unit_test(what_may_be_there_is_cut_anew_and_counted),
        cmocka_unit_test(a_wrong_clock_is_corrected),
        cmocka_unit_test(check_online_ends_a_copy_that_never_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
