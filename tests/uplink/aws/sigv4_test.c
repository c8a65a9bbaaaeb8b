/* Signatures against values that botocore 1.44.5 has computed, AWS's own signer for Python. */
#include "tests/cmocka.h"

#include "uplink/aws/sigv4.h"

#define KEY_ID "AKIDEXAMPLE"
#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOON 1795521600 /* 2026-11-24T12:00:00Z */

static const struct aws_credentials plain = {.key_id = KEY_ID, .secret = SECRET};
static const struct aws_credentials with_token = {
    .key_id = KEY_ID, .secret = SECRET, .session_token = "TOKEN"};

static const uint8_t cbor[] = "\xa2\x6aStreamName\x62s1\x67Records\x81\xa2\x64"
                              "Data\x43\x00\x01\x02\x6cPartitionKey\x62k1";

static struct sigv4_request put_records(const struct sigv4_header headers[2], const char *body_hash)
{
    return (struct sigv4_request){.method = "POST",
                                  .host = SLICE("kinesis.us-east-1.amazonaws.com"),
                                  .path = SLICE("/"),
                                  .headers = headers,
                                  .header_count = 2,
                                  .body_hash = body_hash,
                                  .region = "us-east-1",
                                  .service = "kinesis",
                                  .time_s = NOON};
}

static void assert_signed(const struct sigv4_request *request,
                          const struct aws_credentials *credentials, const char *expected)
{
    uint8_t memory[8192];
    struct out o = out_over(memory, sizeof memory);
    out_put_text(&o, "Authorization: "); /* what is there stays there */
    sigv4_sign(request, credentials, &o);
    assert_false(o.overflow);
    char text[1024];
    assert_true(slice_to_text(out_slice(&o), text, sizeof text));
    assert_string_equal(text, expected);
}

static void cbor_body(void **state)
{
    (void)state;
    struct sigv4_header headers[] = {
        {"X-Amz-Target", SLICE("Kinesis_20131202.PutRecords")},
        {"Content-Type", SLICE("application/x-amz-cbor-1.1")},
    };
    char hash[SIGV4_HASH_SIZE];
    sigv4_hash((struct slice){cbor, sizeof cbor - 1}, hash);
    struct sigv4_request request = put_records(headers, hash);
    assert_signed(&request, &plain,
                  "Authorization: AWS4-HMAC-SHA256 "
                  "Credential=AKIDEXAMPLE/20261124/us-east-1/kinesis/aws4_request, "
                  "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
                  "Signature=980a40e4213baaa15a07392c47df2ef6db586c7aa1abd00139da6c514bf98bbc");
}

static void json_body_with_session_token(void **state)
{
    (void)state;
    struct sigv4_header headers[] = {
        {"Content-Type", SLICE(" application/x-amz-json-1.1\t")},
        {"x-amz-target", SLICE("Kinesis_20131202.PutRecords")},
    };
    char hash[SIGV4_HASH_SIZE];
    sigv4_hash(SLICE("{}"), hash);
    struct sigv4_request request = put_records(headers, hash);
    assert_signed(&request, &with_token,
                  "Authorization: AWS4-HMAC-SHA256 "
                  "Credential=AKIDEXAMPLE/20261124/us-east-1/kinesis/aws4_request, "
                  "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
                  "Signature=9b69204ee5122823b6010a5e5c26cd948042e07048738cc2405dad8d945d155c");
}

static void dates(void **state)
{
    (void)state;
    char date[SIGV4_DATE_SIZE];
    sigv4_date(NOON, date);
    assert_string_equal(date, "20261124T120000Z");
    sigv4_date(0, date);
    assert_string_equal(date, "19700101T000000Z");
    sigv4_date(INT64_C(253402300800), date); /* the year 10000 */
    assert_string_equal(date, "");
}

static void encoding(void **state)
{
    (void)state;
    char memory[128];
    struct out o = out_over(memory, sizeof memory - 1);
    sigv4_put_path(&o, SLICE("/year=2026/\xc3\xbc +~._-%"));
    out_put_text(&o, "?");
    sigv4_put_query(&o, SLICE("a/b&c=d"));
    memory[o.size] = '\0';
    assert_string_equal(memory, "/year%3D2026/%C3%BC%20%2B~._-%25?a%2Fb%26c%3Dd");
}

/* What is signed is what curl sends as Host. */
static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *url, *host, *path;
    } cases[] = {
        {"https://glue.eu-central-1.amazonaws.com/", "glue.eu-central-1.amazonaws.com", "/"},
        {"https://vpce-1.amazonaws.com:443/a/b", "vpce-1.amazonaws.com", "/a/b"},
        {"https://vpce-1.amazonaws.com:443", "vpce-1.amazonaws.com", ""},
        {"https://h:8443/", "h:8443", "/"},
        {"https://h:80/", "h:80", "/"},
        {"http://h:80/", "h", "/"},
        {"http://h:443/", "h:443", "/"},
        {"http://h:8080", "h:8080", ""},
        {"HTTPS://h:443/", "h", "/"},
        {"https://[::1]:443/", "[::1]", "/"},
        {"h:80/x", "h", "/x"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        const char *path = NULL;
        struct slice host = sigv4_host(cases[i].url, &path);
        assert_int_equal(host.size, strlen(cases[i].host));
        assert_memory_equal(host.data, cases[i].host, host.size);
        assert_string_equal(path, cases[i].path);
    }
}

/* However little room there is, nothing is written outside it, and a text that is there is whole. */
static void too_little_room(void **state)
{
    (void)state;
    char hash[SIGV4_HASH_SIZE];
    sigv4_hash(SLICE(""), hash);
    struct sigv4_request request = {.method = "GET",
                                    .host = SLICE("b-1.example.com"),
                                    .path = SLICE("/a%20b"),
                                    .query = SLICE("z=1&Action=x"),
                                    .body_hash = hash,
                                    .region = "eu-central-1",
                                    .service = "kafka-cluster",
                                    .time_s = NOON};
    uint8_t memory[4096];
    bool was_full = true;
    for (size_t size = 0; size < sizeof memory; size += 1) {
        for (int way = 0; way < 2; way++) {
            memset(memory, 0xee, sizeof memory);
            struct out o = out_over(memory, size);
            if (way) {
                sigv4_presign(&request, &with_token, 900, &o);
            } else {
                sigv4_sign(&request, &with_token, &o);
            }
            for (size_t i = size; i < sizeof memory; i++) {
                assert_int_equal(memory[i], 0xee);
            }
            assert_true(was_full || !o.overflow);
            was_full = way ? o.overflow : was_full;
        }
    }
    assert_false(was_full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cbor_body), cmocka_unit_test(json_body_with_session_token),
        cmocka_unit_test(dates),     cmocka_unit_test(encoding),
        cmocka_unit_test(hosts),     cmocka_unit_test(too_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
