/* Bytes of Kinesis: CBOR, the Producer Library's records, hashes, requests, answers, refusals. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "ports/lib/hash.h"
#include "uplink/aws/aws_error.h"
#include "uplink/aws/cbor.h"
#include "uplink/aws/kinesis_body.h"
#include "uplink/aws/kpl.h"

static void assert_hex(const struct out *o, const char *expected)
{
    char text[2048];
    struct out hex = out_over(text, sizeof text - 1);
    assert_false(o->overflow);
    hash_put_hex(&hex, out_slice(o));
    assert_false(hex.overflow);
    text[hex.size] = '\0';
    assert_string_equal(text, expected);
}

/* --- CBOR --- */

static void cbor_heads_have_their_shortest_form(void **state)
{
    static const struct {
        uint64_t count;
        const char *hex;
    } cases[] = {{0, "80"},
                 {23, "97"},
                 {24, "9818"},
                 {255, "98ff"},
                 {256, "990100"},
                 {65535, "99ffff"},
                 {65536, "9a00010000"},
                 {UINT32_MAX, "9affffffff"},
                 {UINT64_C(1) << 32, "9b0000000100000000"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t memory[16];
        struct out o = out_over(memory, sizeof memory);
        cbor_put_array(&o, cases[i].count);
        assert_hex(&o, cases[i].hex);
        struct slice s = out_slice(&o);
        struct cbor_item item;
        assert_int_equal(cbor_take(&s, &item), ERR_OK);
        assert_int_equal(item.kind, CBOR_ARRAY);
        assert_true(item.number == cases[i].count && s.size == 0);
    }
}

static void cbor_skips_whole_items(void **state)
{
    /* {"a": [1, h'0102' in pieces, {}], "b": tag 1(-1), "c": 1.5, "d": null} behind it 00 */
    static const uint8_t bytes[] = "\xbf\x61\x61\x83\x01\x5f\x41\x01\x41\x02\xff\xa0"
                                   "\x61\x62\xc1\x20\x61\x63\xf9\x3e\x00\x61\x64\xf6\xff\x00";
    (void)state;
    struct slice s = {bytes, sizeof bytes - 1};
    assert_int_equal(cbor_skip(&s), ERR_OK);
    assert_int_equal(s.size, 1);
    for (size_t size = 0; size < sizeof bytes - 2; size++) { /* cut off anywhere */
        s = (struct slice){bytes, size};
        assert_int_equal(cbor_skip(&s), ERR_CORRUPT);
    }
}

static void cbor_refuses_what_is_none(void **state)
{
    static const char *const bad[] = {
        "\x1c", "\x1f",         "\x3f",   "\xdf",
        "\xff", "\x82\x01\xff", "\x63zz", "\x7b\xff\xff\xff\xff\xff\xff\xff\xff"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct slice s = slice_of_text(bad[i]);
        assert_int_equal(cbor_skip(&s), ERR_CORRUPT);
    }
    uint8_t deep[CBOR_DEPTH_MAX + 2];
    memset(deep, 0x81, sizeof deep);
    deep[sizeof deep - 1] = 0;
    struct slice s = {deep + 1, sizeof deep - 1};
    assert_int_equal(cbor_skip(&s), ERR_OK); /* as deep as may be */
    s = (struct slice){deep, sizeof deep};
    assert_int_equal(cbor_skip(&s), ERR_REJECTED);
}

static void cbor_text_passes_over_what_is_none(void **state)
{
    static const uint8_t bytes[] = "\xc1\x62hi\x01\x9f\x01\xff\x7f\x61"
                                   "a\xff\x61z";
    (void)state;
    struct slice s = {bytes, sizeof bytes - 1}, text;
    static const char *const expected[] = {"hi", "", "", "", "z"};
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        assert_int_equal(cbor_text(&s, &text), ERR_OK);
        assert_true(slice_equal_text(text, expected[i]));
    }
    assert_int_equal(cbor_text(&s, &text), ERR_CORRUPT);
}

/* --- the Producer Library --- */

static void aggregate_is_as_the_library_has_it(void **state)
{
    uint8_t memory[128];
    struct out o = out_over(memory, sizeof memory);
    (void)state;
    kpl_begin(&o);
    kpl_put_key(&o, SLICE("k1"));
    kpl_put_key(&o, SLICE("k2"));
    kpl_put_event(&o, 0, false, SLICE("a"));
    kpl_put_event(&o, 1, false, SLICE("b"));
    kpl_end(&o, 0);
    assert_hex(&o, "f3899ac20a026b310a026b321a0508001a01611a0508011a01623a12e6ee1b0d05175610663b73b"
                   "1a66a");
    assert_int_equal(o.size, KPL_AROUND_SIZE + 2 * kpl_key_size(2) + kpl_event_size(0, false, 1) +
                                 kpl_event_size(1, false, 1));
}

static void sizes_of_an_aggregate_are_exact(void **state)
{
    uint8_t memory[1024], data[300] = {0};
    (void)state;
    static const size_t sizes[] = {0, 1, 120, 127, 128, 300};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (uint32_t index = 0; index < 400; index += 133) {
            struct out o = out_over(memory, sizeof memory);
            kpl_put_event(&o, index, true, (struct slice){data, sizes[i]});
            assert_int_equal(o.size, kpl_event_size(index, true, sizes[i]));
            o.size = 0;
            kpl_put_hash_key(&o, (struct slice){data, sizes[i]});
            assert_int_equal(o.size, kpl_key_size(sizes[i]));
        }
    }
}

/* --- hashes --- */

static void hashes_are_decimal(void **state)
{
    static const char *const texts[] = {"0",
                                        "9",
                                        "10",
                                        "4294967296",
                                        "1000000000",
                                        "340282366920938463463374607431768211455",
                                        "170141183460469231731687303715884105728",
                                        "242208671286853988395785178707875403226"};
    char text[KINESIS_HASH_TEXT_SIZE];
    struct kinesis_hash hash = kinesis_hash_of(SLICE("k1"));
    (void)state;
    kinesis_hash_text(&hash, text);
    assert_string_equal(text, "242208671286853988395785178707875403226");
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_true(kinesis_hash_parse(slice_of_text(texts[i]), &hash));
        kinesis_hash_text(&hash, text);
        assert_string_equal(text, texts[i]);
    }
    static const char *const bad[] = {"",
                                      "01",
                                      "-1",
                                      "1 ",
                                      "x",
                                      "340282366920938463463374607431768211456",
                                      "1000000000000000000000000000000000000000"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(kinesis_hash_parse(slice_of_text(bad[i]), &hash));
    }
}

static void buckets_are_even(void **state)
{
    struct kinesis_hash hash;
    (void)state;
    for (uint32_t count = 1; count <= 16; count++) {
        for (uint32_t bucket = 0; bucket < count; bucket++) {
            hash = kinesis_hash_middle(bucket, count);
            assert_int_equal(kinesis_hash_bucket(&hash, count), bucket);
        }
        memset(hash.bytes, 0xff, sizeof hash.bytes);
        assert_int_equal(kinesis_hash_bucket(&hash, count), count - 1);
    }
    /* As the service splits a stream of four: the second shard begins at 2^126. */
    assert_true(kinesis_hash_parse(SLICE("85070591730234615865843651857942052864"), &hash));
    assert_int_equal(kinesis_hash_bucket(&hash, 4), 1);
    assert_true(kinesis_hash_parse(SLICE("85070591730234615865843651857942052863"), &hash));
    assert_int_equal(kinesis_hash_bucket(&hash, 4), 0);
}

/* --- requests --- */

static void entry_add(struct out *o, const char *key, struct slice data, uint8_t flags)
{
    struct entry entry = {.at = (uint32_t)o->size,
                          .before = ENTRY_NONE,
                          .flags = flags,
                          .hash = kinesis_hash_of(slice_of_text(key)),
                          .key = slice_of_text(key),
                          .data = data};
    entries_put(o, 0, &entry);
}

static void pick_all(struct picked *picked, struct slice entries)
{
    struct entry entry;
    uint32_t at = 0;
    *picked = (struct picked){.count = 0};
    while (entries_next(entries, &at, &entry)) {
        picked->at[picked->count++] = entry.at;
        picked->size += entry.key.size + entry.data.size;
        picked->key_size += entry.key.size;
    }
}

static void bodies_are_as_the_service_has_them(void **state)
{
    uint8_t memory[1024], body[2048];
    struct out entries = out_over(memory, sizeof memory), o = out_over(body, sizeof body);
    struct picked picked;
    (void)state;
    entry_add(&entries, "k1", SLICE("\x00\x01\x02"), 0);
    pick_all(&picked, out_slice(&entries));
    kinesis_body_put(&o, true, "s1", out_slice(&entries), &picked);
    assert_hex(&o, "a26a53747265616d4e616d65627331675265636f72647381a26444617461430001026c506172746"
                   "974696f6e4b6579626b31");
    entry_add(&entries, "k\"2", SLICE("world"), ENTRY_HAS_HASH_KEY);
    pick_all(&picked, out_slice(&entries));
    o.size = 0;
    kinesis_body_put(&o, false, "s1", out_slice(&entries), &picked);
    assert_true(slice_equal_text(
        out_slice(&o),
        "{\"StreamName\":\"s1\",\"Records\":[{\"Data\":\"AAEC\",\"PartitionKey\":\"k1\"},{\"Data\":"
        "\"d29ybGQ=\",\"PartitionKey\":\"k\\\"2\",\"ExplicitHashKey\":"
        "\"11930254529245323405291303121585111822\"}]}"));
    o.size = 0;
    kinesis_body_put(&o, false, "arn:aws:kinesis:eu-west-1:1:stream/s1", out_slice(&entries),
                     &picked);
    assert_true(slice_starts_with(
        out_slice(&o), SLICE("{\"StreamARN\":\"arn:aws:kinesis:eu-west-1:1:stream/s1\",")));
    o.size = 0;
    firehose_body_put(&o, "d1", out_slice(&entries), &picked);
    assert_true(slice_equal_text(out_slice(&o), "{\"DeliveryStreamName\":\"d1\",\"Records\":[{"
                                                "\"Data\":\"AAEC\"},{\"Data\":\"d29ybGQ=\"}]}"));
}

static void there_is_always_room_for_a_body(void **state)
{
    (void)state;
    for (size_t size = 0; size < 40; size++) {
        uint8_t memory[4096];
        char key[41];
        struct out entries = out_over(memory, sizeof memory);
        struct picked picked;
        memset(key, 1, size); /* each byte of it is six in JSON */
        key[size] = '\0';
        for (size_t i = 0; i < 5; i++) {
            entry_add(&entries, key, slice_of_text(key), ENTRY_HAS_HASH_KEY);
        }
        pick_all(&picked, out_slice(&entries));
        size_t room = kinesis_body_size(&picked, "a-name");
        uint8_t *body = malloc(room);
        assert_non_null(body);
        for (int is_cbor = 0; is_cbor < 2; is_cbor++) {
            struct out o = out_over(body, room);
            kinesis_body_put(&o, is_cbor, "a-name", out_slice(&entries), &picked);
            assert_false(o.overflow);
        }
        free(body);
    }
}

static void what_is_stored_and_what_has_to_be_before(void **state)
{
    uint8_t memory[1024];
    struct out o = out_over(memory, sizeof memory);
    struct entries_order *order = NULL;
    static const char *const keys[] = {"a", "b", "a", "a"};
    static const bool next_at_first[] = {true, true, false, false};
    static const bool next_then[] = {false, true, true, false};
    struct entry entry;
    uint32_t at = 0;
    size_t done;
    (void)state;
    assert_int_equal(entries_order_open(&order, 4), ERR_OK);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        uint32_t own = (uint32_t)o.size;
        struct kinesis_hash hash = kinesis_hash_of(slice_of_text(keys[i]));
        entry_add(&o, keys[i], SLICE("x"), 0);
        entry_before_set(memory, own, entries_order_put(order, out_slice(&o), &hash, own));
    }
    entries_order_close(order);
    for (size_t i = 0; entries_next(out_slice(&o), &at, &entry); i++) {
        assert_true(entry_is_next(out_slice(&o), &entry) == next_at_first[i]);
    }
    entry_done_set(memory, 0);
    assert_true(entry_is_done(out_slice(&o), 0));
    at = 0;
    for (size_t i = 0; entries_next(out_slice(&o), &at, &entry); i++) {
        assert_true(entry_is_next(out_slice(&o), &entry) == next_then[i]);
    }
    assert_int_equal(entries_count(out_slice(&o), &done), 4);
    assert_int_equal(done, 1);
    assert_false(entries_are_done(out_slice(&o)));
}

/* --- answers --- */

struct told {
    unsigned count, stored;
    char text[256];
};

static void tell(void *context, size_t index, const struct put_answer *answer)
{
    struct told *told = context;
    assert_int_equal(index, told->count);
    told->count++;
    told->stored += answer->is_stored;
    size_t size = strlen(told->text);
    (void)snprintf(told->text + size, sizeof told->text - size, "%.*s%.*s;",
                   (int)answer->shard.size, (const char *)answer->shard.data,
                   (int)answer->error_code.size, (const char *)answer->error_code.data);
}

static enum err read_answer(struct slice body, struct told *ret)
{
    size_t count;
    *ret = (struct told){.count = 0};
    enum err e = put_answer_read(body, tell, ret, &count);
    assert_int_equal(count, ret->count);
    return e;
}

static void answers_say_what_is_stored(void **state)
{
    struct told told;
    (void)state;
    assert_int_equal(
        read_answer(SLICE("{\"FailedRecordCount\":1,\"Records\":[{\"ShardId\":\"shardId-1\","
                          "\"SequenceNumber\":\"49\"},{\"ErrorCode\":\"InternalFailure\","
                          "\"ErrorMessage\":\"x\"},{\"SequenceNumber\":null}],\"EncryptionType\":"
                          "\"NONE\"}"),
                    &told),
        ERR_OK);
    assert_int_equal(told.stored, 1);
    assert_string_equal(told.text, "shardId-1;InternalFailure;;");
    assert_int_equal(read_answer(SLICE("{\"FailedPutCount\":1,\"Encrypted\":false,"
                                       "\"RequestResponses\":[{\"RecordId\":\"e\"},{\"ErrorCode\":"
                                       "\"ServiceUnavailableException\",\"ErrorMessage\":\"\"}]}"),
                                 &told),
                     ERR_OK);
    assert_int_equal(told.stored, 1);
    assert_string_equal(told.text, ";ServiceUnavailableException;");
    /* CBOR as Java writes it, without sizes; a null among the texts, a tagged time beside them. */
    static const uint8_t cbor[] =
        "\xbf\x71"
        "FailedRecordCount\x01\x61t\xc1\x1b\x00\x00\x01\x8f\x00\x00\x00\x00"
        "\x67Records\x9f"
        "\xbf\x67ShardId\x62s1\x6eSequenceNumber\x62"
        "49\x69"
        "ErrorCode\xf6\xff"
        "\xa1\x69"
        "ErrorCode\x61X\xff\xff";
    assert_int_equal(read_answer((struct slice){cbor, sizeof cbor - 1}, &told), ERR_OK);
    assert_int_equal(told.stored, 1);
    assert_string_equal(told.text, "s1;X;");
    for (size_t size = 0; size < sizeof cbor - 1; size++) {
        enum err e = read_answer((struct slice){cbor, size}, &told);
        assert_true(told.stored <= 1);
        assert_int_equal(e, ERR_CORRUPT);
    }
}

static void what_is_no_answer_is_told(void **state)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "<html>",
                                      "{\"Records\":{}}",
                                      "{\"Records\":[1]}",
                                      "{\"Records\":[{\"a\":[]}]}",
                                      "{\"Records\":[{}",
                                      "\xa1\x67Records\x01",
                                      "\xa0"};
    struct told told;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_int_equal(read_answer(slice_of_text(bad[i]), &told), ERR_CORRUPT);
        assert_int_equal(told.stored, 0);
    }
}

/* --- refusals --- */

static void refusals_are_read_in_any_form(void **state)
{
    static const struct {
        const char *header, *body, *type, *text;
    } cases[] = {
        {"", "{\"__type\":\"ResourceNotFoundException\",\"message\":\"Stream nope\"}",
         "ResourceNotFoundException", "Stream nope"},
        {"", "{\"__type\":\"com.amazonaws.kinesis#SerializationException\",\"Message\":\"'%%%'\"}",
         "SerializationException", "'%%%'"},
        {"AccessDeniedException:http://internal", "", "AccessDeniedException", ""},
        {"a#ExpiredTokenException", "{}", "ExpiredTokenException", ""},
        {"", "\xa2\x66__type\x61X\x67message\x62no", "X", "no"},
        {"", "\xbf\x61n\x01\x66__type\x61X\xff", "X", ""},
        {"", "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>m</Message>",
         "SignatureDoesNotMatch", "m"},
        {"", "<html><body>502 Bad Gateway</body></html>", "", ""},
        {"", "", "", ""},
        {"", "no", "", ""},
        {"", "{\"message\":\"a\\nb\"", "", "a b"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct aws_error error;
        aws_error_read(&error, slice_of_text(cases[i].header), slice_of_text(cases[i].body));
        assert_string_equal(error.type, cases[i].type);
        assert_string_equal(error.text, cases[i].text);
    }
}

static void each_refusal_has_its_action(void **state)
{
    static const struct {
        const char *type;
        long status;
        enum aws_action action;
    } cases[] = {
        {"ProvisionedThroughputExceededException", 400, AWS_SLOW_DOWN},
        {"KMSThrottlingException", 400, AWS_SLOW_DOWN},
        {"LimitExceededException", 400, AWS_SLOW_DOWN},
        {"ServiceUnavailableException", 500, AWS_SLOW_DOWN},
        {"ServiceUnavailableException", 503, AWS_SLOW_DOWN},
        {"ResourceNotFoundException", 400, AWS_MISSING},
        {"InvalidArgumentException", 400, AWS_REFUSED},
        {"ValidationException", 400, AWS_REFUSED},
        {"SerializationException", 400, AWS_HALVE},
        {"", 413, AWS_HALVE},
        {"ExpiredTokenException", 400, AWS_CREDENTIALS},
        {"AccessDeniedException", 400, AWS_STOP},
        {"AccessDeniedException", 403, AWS_STOP},
        {"UnrecognizedClientException", 400, AWS_STOP},
        {"InvalidSignatureException", 400, AWS_CLOCK},
        {"RequestExpired", 403, AWS_CLOCK},
        {"InternalFailure", 500, AWS_AGAIN},
        {"", 500, AWS_AGAIN},
        {"", 502, AWS_AGAIN},
        {"", 503, AWS_AGAIN},
        {"", 504, AWS_AGAIN},
        {"", 429, AWS_SLOW_DOWN},
        {"", 403, AWS_STOP},
        {"", 404, AWS_STOP},
        {"NobodyKnowsException", 400, AWS_REFUSED},
        {"NobodyKnowsException", 500, AWS_AGAIN},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct aws_error error = {"", ""};
        (void)snprintf(error.type, sizeof error.type, "%s", cases[i].type);
        enum aws_action action = aws_error_action(&error, cases[i].status);
        assert_int_equal(action, cases[i].action);
        assert_true(strlen(aws_error_advice(action)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cbor_heads_have_their_shortest_form),
        cmocka_unit_test(cbor_skips_whole_items),
        cmocka_unit_test(cbor_refuses_what_is_none),
        cmocka_unit_test(cbor_text_passes_over_what_is_none),
        cmocka_unit_test(aggregate_is_as_the_library_has_it),
        cmocka_unit_test(sizes_of_an_aggregate_are_exact),
        cmocka_unit_test(hashes_are_decimal),
        cmocka_unit_test(buckets_are_even),
        cmocka_unit_test(bodies_are_as_the_service_has_them),
        cmocka_unit_test(there_is_always_room_for_a_body),
        cmocka_unit_test(what_is_stored_and_what_has_to_be_before),
        cmocka_unit_test(answers_say_what_is_stored),
        cmocka_unit_test(what_is_no_answer_is_told),
        cmocka_unit_test(refusals_are_read_in_any_form),
        cmocka_unit_test(each_refusal_has_its_action),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
