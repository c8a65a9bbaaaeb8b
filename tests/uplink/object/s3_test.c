/* Objects in S3: the requests, uploads in parts, and each answer that is known. The credentials come
 * from a double; real ones, and signatures, are tested by what knows S3 itself. */
#include "uplink/object/s3.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/crc32c.h"
#include "ports/lib/hash.h"
#include "tests/cmocka.h"
#include "tests/uplink/object/scene.h"
#include "uplink/object/s3_impl.h"

/* --- credentials --- */

struct credentials {
    struct credentials_setup setup;
};
static unsigned renewals;       /* how often there are others */
static unsigned refused;        /* how often they were */
static bool are_coming;         /* not there yet */
static uint64_t number = 1;     /* of those that are there */
static struct credentials only; /* one at a time */
const struct option credentials_table[] = {{.name = NULL}};

enum err credentials_open(struct credentials **ret, const struct credentials_setup *setup,
                          struct why *why)
{
    (void)why;
    only.setup = *setup;
    *ret = &only;
    return ERR_OK;
}

void credentials_close(struct credentials *credentials)
{
    (void)credentials;
}

enum err credentials_get(struct credentials *credentials, struct aws_credentials *ret)
{
    (void)credentials;
    *ret = (struct aws_credentials){.key_id = "AKIDTEST",
                                    .secret = "SECRETTEST",
                                    .session_token = number > 1 ? "TOKEN2" : NULL,
                                    .number = number};
    return are_coming ? ERR_AGAIN : ERR_OK;
}

bool credentials_refused(struct credentials *credentials, uint64_t which)
{
    (void)credentials;
    assert_int_equal(which, number);
    refused++;
    if (renewals == 0) {
        return false;
    }
    renewals--;
    number++;
    return true;
}

const char *credentials_origin(const struct credentials *credentials)
{
    (void)credentials;
    return "a double";
}

const char *credentials_region(const char *option)
{
    return option;
}

enum err credentials_check(const struct credentials_options *options, struct why *why)
{
    (void)options;
    (void)why;
    return ERR_OK;
}

/* --- the scene --- */

static struct s3_options options_of(const struct scene *scene)
{
    renewals = refused = 0;
    are_coming = false;
    number = 1;
    return (struct s3_options){
        .bucket = "bucket1",
        .endpoint = scene->url,
        .region = "eu-north-1",
        .object = {.name = "{stream}/dt=%Y-%m-%d/{agent}-{incarnation}-{first}-{last}.avro",
                   .codec = CONTAINER_DEFLATE,
                   .timeout_ms = 20000}};
}

static void digest_text(enum hash_kind kind, const struct asked *asked, bool is_hex, char ret[128])
{
    uint8_t digest[HASH_SIZE_MAX];
    struct out out = out_over(ret, 128);
    hash_of(kind, (struct slice){asked->body, asked->size}, digest);
    struct slice bytes = {digest, hash_size(kind)};
    if (is_hex) {
        hash_put_hex(&out, bytes);
    } else {
        hash_put_base64(&out, bytes);
    }
    out_put_byte(&out, 0);
}

static void a_batch_is_one_object(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    char text[128];
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 5, 10, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 1);
    const struct asked *asked = &scene->asked[0];
    assert_string_equal(scene_line(asked),
                        "PUT /bucket1/meters%20a/dt%3D2025-11-24/"
                        "pump%207-0badcafe-000000000005-000000000014.avro HTTP/1.1");
    digest_text(HASH_SHA256, asked, true, text);
    assert_string_equal(scene_header(asked, "x-amz-content-sha256"), text);
    digest_text(HASH_MD5, asked, false, text);
    assert_string_equal(scene_header(asked, "content-md5"), text);
    assert_non_null(strstr(scene_header(asked, "Authorization"),
                           "/eu-north-1/s3/aws4_request, SignedHeaders=content-md5;content-type;"
                           "host;x-amz-content-sha256;x-amz-date, Signature="));
    lot_release(&lot);
    scene_close(scene);
}

static void what_is_asked_for_is_sent_and_signed(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    options.checksum = S3_CHECKSUM_CRC32C;
    options.storage_class = "STANDARD_IA";
    options.encryption = S3_ENCRYPTION_KMS;
    options.kms_key = "arn:aws:kms:eu-north-1:1:key/2";
    options.create_only = true;
    number = 2; /* with a session token */
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 10, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    const struct asked *asked = &scene->asked[0];
    uint8_t crc[4];
    char text[32];
    struct out crc_out = out_over(crc, sizeof crc);
    struct out out = out_over(text, sizeof text);
    out_put_u32_be(&crc_out, crc32c(0, (struct slice){asked->body, asked->size}));
    hash_put_base64(&out, out_slice(&crc_out));
    out_put_byte(&out, 0);
    assert_string_equal(scene_header(asked, "x-amz-checksum-crc32c"), text);
    assert_string_equal(scene_header(asked, "content-md5"), "");
    assert_string_equal(scene_header(asked, "x-amz-storage-class"), "STANDARD_IA");
    assert_string_equal(scene_header(asked, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(scene_header(asked, "x-amz-server-side-encryption-aws-kms-key-id"),
                        "arn:aws:kms:eu-north-1:1:key/2");
    assert_string_equal(scene_header(asked, "if-none-match"), "*");
    assert_string_equal(scene_header(asked, "x-amz-security-token"), "TOKEN2");
    assert_non_null(strstr(scene_header(asked, "Authorization"),
                           "SignedHeaders=content-type;host;if-none-match;x-amz-checksum-crc32c;"
                           "x-amz-content-sha256;x-amz-date;x-amz-security-token;x-amz-server-side-"
                           "encryption;x-amz-server-side-encryption-aws-kms-key-id;x-amz-storage-"
                           "class, "));
    lot_release(&lot);
    scene_close(scene);
}

static void each_refusal_is_understood(void **state)
{
    (void)state;
#define XML(code) "\n\n<Error><Code>" code "</Code><Message>As it says</Message></Error>"
    static const struct {
        const char *answers[4];
        enum send_result result;
        unsigned asked;
        const char *text;
    } rows[] = {
        {{"403" XML("SignatureDoesNotMatch")}, SEND_PARK, 1, "secret access key: As it says"},
        {{"403" XML("InvalidAccessKeyId")}, SEND_PARK, 1, "access key id"},
        {{"403" XML("AccessDenied")}, SEND_PARK, 1, "s3:PutObject"},
        {{"404" XML("NoSuchBucket")}, SEND_PARK, 1, "make the bucket"},
        {{"404" XML("XAdminUserNotFound")}, SEND_PARK, 1, "XAdminUserNotFound"},
        {{"400\n\n<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region>"
          "</Error>"},
         SEND_PARK,
         1,
         "region eu-west-3, set region"},
        {{"301\nx-amz-bucket-region: sa-east-1" XML("PermanentRedirect")},
         SEND_PARK,
         1,
         "region sa-east-1, set region"},
        {{"403" XML("RequestTimeTooSkewed"), "200"}, SEND_OK, 2, ""},
        {{"403" XML("RequestTimeTooSkewed")}, SEND_PARK, 2, "clock"},
        {{"400" XML("XAmzContentSHA256Mismatch"), "200"}, SEND_OK, 2, ""},
        {{"400" XML("BadDigest")}, SEND_REJECTED, 2, "changed on its way"},
        {{"400" XML("XAmzContentSHA256Mismatch")}, SEND_REJECTED, 2, "changed on its way"},
        {{"412" XML("PreconditionFailed")}, SEND_PARK, 1, "PreconditionFailed"},
        {{"413" XML("EntityTooLarge")}, SEND_TOO_LARGE, 1, ""},
        {{"400" XML("EntityTooLarge")}, SEND_TOO_LARGE, 1, ""},
        {{"400" XML("RequestTimeout")}, SEND_RETRY, 1, ""},
        {{"400" XML("InvalidStorageClass")}, SEND_PARK, 1, "InvalidStorageClass"},
        {{"409" XML("OperationAborted")}, SEND_RETRY, 1, ""},
        {{"429"}, SEND_RETRY, 1, "429"},
        {{"500" XML("InternalError")}, SEND_RETRY, 1, ""},
        {{"503" XML("SlowDown")}, SEND_RETRY, 1, "SlowDown"},
        {{"drop"}, SEND_RETRY, 1, ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct scene *scene = scene_open(&s3_uplink_class);
        struct s3_options options = options_of(scene);
        struct lot lot;
        scene_life(scene, &options);
        scene_answers(scene, rows[i].answers);
        assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
        if (lot_send(&lot, scene) != rows[i].result || scene->asked_count != rows[i].asked ||
            !strstr(scene->host.report.text, rows[i].text)) {
            fail_msg("row %zu: %d after %u, \"%s\"", i, scene->host.report.result,
                     scene->asked_count, scene->host.report.text);
        }
        assert_true(rows[i].result != SEND_PARK || scene->host.fault[0]);
        lot_release(&lot);
        scene_close(scene);
    }
}

/* The way to the service turns a bit of the first body; the service looks, as all of them do. */
static bool corrupts;

static const char *compared(struct scene *scene, const struct asked *asked)
{
    char text[128];
    (void)scene;
    if (corrupts) {
        asked->body[asked->size / 2] ^= 1;
        corrupts = false;
    }
    digest_text(HASH_MD5, asked, false, text);
    return strcmp(scene_header(asked, "content-md5"), text) == 0 ? "200" : "400" XML("BadDigest");
}

static void a_body_that_was_changed_is_sent_again(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    scene->answer = compared;
    scene_life(scene, &options);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 30, 0), ERR_OK);
    corrupts = true;
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 2);
    assert_memory_equal(scene->asked[1].body, lot.wire, scene->asked[1].size);
    assert_memory_not_equal(scene->asked[0].body, lot.wire, scene->asked[0].size);
    lot_release(&lot);
    scene_close(scene);
}

static void what_was_created_before_is_there(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {"412" XML("PreconditionFailed"), NULL};
    options.create_only = true;
    scene_life(scene, &options);
    scene_answers(scene, answers);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_true(scene->host.report.was_duplicate);
    lot_release(&lot);
    scene_close(scene);
}

static void ended_credentials_are_renewed_once(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {"400" XML("ExpiredToken"), "200", NULL};
    static const char *const ever[] = {"400" XML("ExpiredToken"), NULL};
    scene_life(scene, &options);
    scene_answers(scene, answers);
    renewals = 1;
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 2);
    assert_string_equal(scene_header(&scene->asked[1], "x-amz-security-token"), "TOKEN2");
    scene_answers(scene, ever);
    renewals = 5;
    refused = 0;
    assert_int_equal(lot_send(&lot, scene), SEND_PARK);
    assert_int_equal(scene->asked_count, 2);
    assert_int_equal(refused, 2);
    scene_answers(scene, ever);
    renewals = 0; /* they are fixed */
    assert_int_equal(lot_send(&lot, scene), SEND_PARK);
    assert_int_equal(scene->asked_count, 1);
    lot_release(&lot);
    scene_close(scene);
}

static void credentials_that_come_later_are_waited_for(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    scene_life(scene, &options);
    are_coming = true;
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    s3_uplink_class.send(scene->uplink, &lot.batch);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(loop_turn(scene->loop, 10), ERR_OK);
    }
    assert_int_equal(scene->host.done_count, 0);
    assert_int_equal(scene->asked_count, 0);
    are_coming = false;
    only.setup.changed(only.setup.context);
    while (scene->host.done_count == 0) {
        assert_int_equal(loop_turn(scene->loop, 100), ERR_OK);
    }
    assert_int_equal(scene->host.report.result, SEND_OK);
    lot_release(&lot);
    scene_close(scene);
}

/* The service says its time in the body, for a proxy has taken the header Date away. */
static void a_wrong_clock_is_corrected(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {
        "403\n\n<Error><Code>RequestTimeTooSkewed</Code><ServerTime>2037-11-25T12:00:00Z"
        "</ServerTime></Error>",
        "200", NULL};
    scene_life(scene, &options);
    scene_answers(scene, answers);
    assert_int_equal(lot_make(&lot, scene, &options, 1, 3, 0), ERR_OK);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_non_null(strstr(scene_header(&scene->asked[1], "x-amz-date"), "20371125T12"));
    lot_release(&lot);
    scene_close(scene);
}

/* --- uploads in parts --- */

#define LARGE_COUNT 17 /* events of a MiB: more than one request takes */

static const char *const large_answers[] = {
    "200\n\n<InitiateMultipartUploadResult><UploadId>up/1</UploadId>"
    "</InitiateMultipartUploadResult>",
    "200\nETag: \"e1\"",
    "200\nETag: \"e2\"",
    "200\nETag: \"e3\"",
    "200\n\n<CompleteMultipartUploadResult><ETag>x-3</ETag></CompleteMultipartUploadResult>",
    NULL};

static void make_large(struct lot *lot, struct scene *scene, const struct s3_options *options)
{
    assert_int_equal(lot_make(lot, scene, options, 1, LARGE_COUNT, 1024 * 1024), ERR_FULL);
    lot_release(lot); /* no new parcel is as large; one that was cut before may be */
    scene->cuts_before = true;
    assert_int_equal(lot_make(lot, scene, options, 1, LARGE_COUNT, 1024 * 1024), ERR_OK);
}

static void a_large_object_goes_in_parts(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    char text[128];
    options.object.codec = CONTAINER_NULL;
    scene_life(scene, &options);
    scene_answers(scene, large_answers);
    make_large(&lot, scene, &options);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 5);
    assert_non_null(strstr(scene_line(&scene->asked[0]), "POST /bucket1/"));
    assert_non_null(strstr(scene_line(&scene->asked[0]), ".avro?uploads= HTTP"));
    assert_non_null(strstr(scene_line(&scene->asked[2]), "?partNumber=2&uploadId=up%2F1 HTTP"));
    size_t size = 0;
    for (unsigned i = 1; i <= 3; i++) {
        const struct asked *asked = &scene->asked[i];
        digest_text(HASH_MD5, asked, false, text);
        assert_string_equal(scene_header(asked, "content-md5"), text);
        assert_memory_equal(asked->body, lot.batch.wire.data + size, asked->size);
        size += asked->size;
    }
    assert_int_equal(scene->asked[1].size, OBJECT_PART_SIZE);
    assert_true(size > LARGE_COUNT * 1024 * 1024);
    assert_non_null(strstr((char *)scene->asked[4].body,
                           "<Part><PartNumber>3</PartNumber><ETag>\"e3\"</ETag></Part>"));
    lot_release(&lot);
    scene_close(scene);
}

/* A lost answer costs one part: those before it are not sent again, in a second send() either. */
static void a_part_is_repeated_alone(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const first[] = {"200\n\n<R><UploadId>up1</UploadId></R>",
                                        "200\nETag: \"e1\"", "drop", NULL};
    static const char *const second[] = {"200\nETag: \"e2\"", "200\nETag: \"e3\"",
                                         "500" XML("InternalError"), NULL};
    static const char *const third[] = {"200" XML("InternalError"), "200\n\n<R></R>", NULL};
    options.object.codec = CONTAINER_NULL;
    scene_life(scene, &options);
    make_large(&lot, scene, &options);
    scene_answers(scene, first);
    assert_int_equal(lot_send(&lot, scene), SEND_RETRY);
    assert_in_range(scene->asked_count, 3, 4); /* the client may have tried once more by itself */
    scene_answers(scene, second);
    assert_int_equal(lot_send(&lot, scene), SEND_RETRY);
    assert_int_equal(scene->asked_count, 3);
    assert_non_null(strstr(scene_line(&scene->asked[0]), "partNumber=2&"));
    assert_non_null(strstr(scene_line(&scene->asked[1]), "partNumber=3&"));
    scene_answers(scene, third); /* it says 200, and means that it failed */
    assert_int_equal(lot_send(&lot, scene), SEND_RETRY);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_non_null(strstr(scene_line(&scene->asked[0]), "?uploadId=up1 "));
    assert_int_equal(scene->asked_count, 2);
    lot_release(&lot);
    scene_close(scene);
}

static void an_upload_that_is_refused_is_taken_back(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {"200\n\n<R><UploadId>up1</UploadId></R>",
                                          "403" XML("AccessDenied"), "204", NULL};
    options.object.codec = CONTAINER_NULL;
    scene_life(scene, &options);
    make_large(&lot, scene, &options);
    scene_answers(scene, answers);
    assert_int_equal(lot_send(&lot, scene), SEND_PARK);
    assert_int_equal(scene->asked_count, 3);
    assert_non_null(strstr(scene_line(&scene->asked[2]), "DELETE /bucket1/"));
    assert_non_null(strstr(scene_line(&scene->asked[2]), "?uploadId=up1 "));
    assert_non_null(strstr(scene->host.report.text, "AccessDenied"));
    lot_release(&lot);
    scene_close(scene);
}

static void an_upload_that_is_gone_begins_anew(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct lot lot;
    static const char *const answers[] = {"200\n\n<R><UploadId>up1</UploadId></R>",
                                          "404" XML("NoSuchUpload"),
                                          "200\n\n<R><UploadId>up2</UploadId></R>",
                                          "200\nETag: \"e1\"",
                                          "200\nETag: \"e2\"",
                                          "200\nETag: \"e3\"",
                                          "200\n\n<R></R>",
                                          NULL};
    options.object.codec = CONTAINER_NULL;
    scene_life(scene, &options);
    make_large(&lot, scene, &options);
    scene_answers(scene, answers);
    assert_int_equal(lot_send(&lot, scene), SEND_OK);
    assert_int_equal(scene->asked_count, 7);
    lot_release(&lot);
    scene_close(scene);
}

/* The size of the object of two events of this size, and how many parts it has. */
static size_t size_of_two(struct scene *scene, const struct s3_options *options, uint64_t first,
                          size_t size, uint32_t *ret_parts)
{
    struct lot lot;
    struct object object;
    assert_int_equal(lot_make(&lot, scene, options, first, 2, size), ERR_OK);
    object_of(&lot.batch, &object);
    *ret_parts = object.part_count;
    lot_release(&lot);
    return object.body.size;
}

/* 16 MiB go in one request; of what is more, all goes in parts. */
static void the_limit_of_one_request_is_kept(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    uint32_t parts = 0;
    size_t half = OBJECT_WHOLE_SIZE_MAX / 2 - 4096;
    options.object.codec = CONTAINER_NULL;
    scene->cuts_before = true;
    scene_life(scene, &options);
    /* The header says first and last: with one digit more its size is even, or odd. */
    uint64_t first = size_of_two(scene, &options, 1, half, &parts) % 2 == 0 ? 1 : 9;
    half += (OBJECT_WHOLE_SIZE_MAX - size_of_two(scene, &options, first, half, &parts)) / 2;
    assert_int_equal(size_of_two(scene, &options, first, half, &parts), OBJECT_WHOLE_SIZE_MAX);
    assert_int_equal(parts, 1);
    first = first == 1 ? 9 : 1;
    for (half -= 2; size_of_two(scene, &options, first, half, &parts) < OBJECT_WHOLE_SIZE_MAX;
         half++) {
        assert_int_equal(parts, 1);
    }
    assert_int_equal(size_of_two(scene, &options, first, half, &parts), OBJECT_WHOLE_SIZE_MAX + 1);
    assert_int_equal(parts, 3);
    scene_close(scene);
}

static void the_bucket_stands_where_it_is_wanted(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct why why = {""};
    struct endpoint endpoint;
    static const char *const bad[] = {"ftp://a",    "http://", "http://a?b",
                                      "http://u@a", "a:9000",  "https://a b"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(endpoint_check(&bad[i], &why), ERR_CONFIG);
    }
    assert_int_equal(endpoint_parse("https://a.example:443/x/", &endpoint, &why), ERR_OK);
    assert_true(slice_equal_text(endpoint.host, "a.example"));
    assert_true(slice_equal_text(endpoint.path, "/x"));
    struct s3 *s3;
    options.endpoint = NULL;
    scene_life(scene, &options);
    s3 = CONTAINER_OF(scene->uplink, struct s3, base.uplink);
    assert_false(s3->is_path_style);
    assert_true(slice_equal_text(s3->endpoint.host, "s3.eu-north-1.amazonaws.com"));
    options.bucket = "with.dots";
    scene_life(scene, &options);
    s3 = CONTAINER_OF(scene->uplink, struct s3, base.uplink);
    assert_true(s3->is_path_style);
    scene_close(scene);
}

/* An earlier try may have gone through, of which nobody knows: its events may be there twice then. But
 * it does not stand still for ever. */
static void what_may_be_there_is_cut_anew_and_counted(void **state)
{
    (void)state;
    static const char *const digests[] = {"400" XML("BadDigest"), NULL};
    static const char *const large[] = {"413" XML("EntityTooLarge"), NULL};
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
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

/* --- weir check --online --- */

static const struct {
    const char *const answers[3];
    unsigned asked;
    enum probe_level level;
    const char *option, *what, *text;
} found_rows[] = {
    {{"200\n\n<ListBucketResult><Name>bucket1</Name></ListBucketResult>"},
     1,
     PROBE_OK,
     "bucket",
     "bucket bucket1",
     "it is there"},
    {{"200\n\n<html>welcome</html>"}, 1, PROBE_ERROR, "endpoint", "bucket bucket1", "is this S3"},
    {{"404" XML("NoSuchBucket")}, 1, PROBE_ERROR, "bucket", "bucket bucket1", "make it"},
    {{"403" XML("AccessDenied"), "204"},
     1,
     PROBE_WARNING,
     "bucket",
     "bucket bucket1",
     "may not list the bucket: whether it is there"},
    {{"403" XML("InvalidAccessKeyId")}, 1, PROBE_ERROR, "credentials", "login at S3", "a double"},
    {{"403" XML("SignatureDoesNotMatch")},
     1,
     PROBE_ERROR,
     "credentials",
     "login at S3",
     "check the secret key"},
    {{"301\nx-amz-bucket-region: eu-west-1" XML("PermanentRedirect")},
     1,
     PROBE_ERROR,
     "region",
     "bucket bucket1",
     "set region to eu-west-1"},
    {{"503" XML("SlowDown")}, 1, PROBE_WARNING, "bucket", "bucket bucket1", "ask again later"},
    {{"418"}, 1, PROBE_ERROR, "endpoint", "bucket bucket1", "is this S3"},
};

static void check_online_asks_about_the_bucket(void **state)
{
    (void)state;
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    for (size_t i = 0; i < ARRAY_COUNT(found_rows); i++) {
        struct scene_found found;
        scene_answers(scene, found_rows[i].answers);
        scene_probe(scene, &options, &found);
        assert_int_equal(scene->asked_count, found_rows[i].asked);
        assert_true(scene_has_found(&found, found_rows[i].level, found_rows[i].option,
                                    found_rows[i].what, found_rows[i].text));
        assert_true(scene_has_found(&found, PROBE_OK, "credentials", "credentials", "a double"));
        assert_true(scene_has_found(&found, PROBE_OK, "endpoint", scene->url, "it answers"));
        assert_string_equal(scene_line(&scene->asked[0]),
                            "GET /bucket1/?list-type=2&max-keys=0 HTTP/1.1");
    }
    scene_close(scene);
}

/* AWS itself, by whatever name, is asked a second question; to others that could be a deletion. The
 * double is a proxy on the way there. */
static void check_online_asks_aws_a_second_question(void **state)
{
    (void)state;
    static const char *const urls[] = {"http://s3.eu-north-1.amazonaws.com",
                                       "http://bucket.vpce-1.s3.cn-north-1.amazonaws.com.cn:80/",
                                       "http://s3.amazonaws.com.example.com"};
    static const struct {
        const char *const answers[3];
        enum probe_level level;
        const char *text;
    } rows[] = {
        {{"403" XML("AccessDenied"), "404" XML("NoSuchUpload")}, PROBE_OK, "if not list it"},
        {{"403" XML("AccessDenied"), "403" XML("AccessDenied")},
         PROBE_WARNING,
         "nor end uploads in parts (s3:AbortMultipartUpload): whether it is there"},
    };
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    options.style = S3_STYLE_PATH;
    assert_int_equal(setenv("http_proxy", scene->url, 1), 0);
    for (size_t i = 0; i < ARRAY_COUNT(urls) * ARRAY_COUNT(rows); i++) {
        struct scene_found found;
        size_t row = i % ARRAY_COUNT(rows), url = i / ARRAY_COUNT(rows);
        bool is_aws = url < 2;
        options.endpoint = urls[url];
        scene_answers(scene, rows[row].answers);
        scene_probe(scene, &options, &found);
        assert_int_equal(scene->asked_count, is_aws ? 2 : 1);
        assert_true(scene_has_found(&found, is_aws ? rows[row].level : PROBE_WARNING, "bucket",
                                    "bucket bucket1", is_aws ? rows[row].text : "may not list"));
        assert_non_null(strstr(scene_line(&scene->asked[0]), "/bucket1/?list-type=2&max-keys=0 "));
        if (is_aws) {
            const char *line = scene_line(&scene->asked[1]);
            assert_int_equal(strncmp(line, "DELETE ", 7), 0);
            assert_non_null(
                strstr(line, "/bucket1/weir-check-online/no-object?uploadId=weir-check-online "));
        }
    }
    assert_int_equal(unsetenv("http_proxy"), 0);
    scene_close(scene);
}

static void check_online_signs_again_where_that_helps(void **state)
{
    (void)state;
    static const char *const ended[] = {"400" XML("ExpiredToken"), "404" XML("NoSuchBucket"), NULL};
    static const char *const skewed[] = {
        "403\nDate: Tue, 24 Nov 2020 12:00:00 GMT" XML("RequestTimeTooSkewed"),
        "404" XML("NoSuchBucket"), NULL};
    struct scene *scene = scene_open(&s3_uplink_class);
    struct s3_options options = options_of(scene);
    struct scene_found found;
    renewals = 1;
    scene_answers(scene, ended);
    scene_probe(scene, &options, &found);
    assert_int_equal(scene->asked_count, 2);
    assert_string_equal(scene_header(&scene->asked[1], "x-amz-security-token"), "TOKEN2");
    assert_true(scene_has_found(&found, PROBE_ERROR, "bucket", "bucket1", "make it"));
    scene_answers(scene, skewed);
    scene_probe(scene, &options, &found);
    assert_int_equal(scene->asked_count, 2);
    assert_memory_equal(scene_header(&scene->asked[1], "x-amz-date"), "20201124T1200", 13);
    assert_true(scene_has_found(&found, PROBE_ERROR, "endpoint", "clock", "set it (NTP)"));
    scene_close(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_one_object),
        cmocka_unit_test(what_is_asked_for_is_sent_and_signed),
        cmocka_unit_test(each_refusal_is_understood),
        cmocka_unit_test(what_may_be_there_is_cut_anew_and_counted),
        cmocka_unit_test(a_body_that_was_changed_is_sent_again),
        cmocka_unit_test(what_was_created_before_is_there),
        cmocka_unit_test(ended_credentials_are_renewed_once),
        cmocka_unit_test(credentials_that_come_later_are_waited_for),
        cmocka_unit_test(a_wrong_clock_is_corrected),
        cmocka_unit_test(a_large_object_goes_in_parts),
        cmocka_unit_test(a_part_is_repeated_alone),
        cmocka_unit_test(an_upload_that_is_refused_is_taken_back),
        cmocka_unit_test(an_upload_that_is_gone_begins_anew),
        cmocka_unit_test(the_limit_of_one_request_is_kept),
        cmocka_unit_test(the_bucket_stands_where_it_is_wanted),
        cmocka_unit_test(check_online_asks_about_the_bucket),
        cmocka_unit_test(check_online_asks_aws_a_second_question),
        cmocka_unit_test(check_online_signs_again_where_that_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
