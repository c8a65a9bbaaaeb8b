/* Kafka's bytes: every request against golden bytes written by hand from the protocol's field
 * lists, answers, the table of errors, the partitioner. */
#include "tests/cmocka.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "uplink/kafka/errors.h"
#include "uplink/kafka/murmur2.h"
#include "uplink/kafka/wire.h"

static void check_hex(const struct out *o, const char *hex)
{
    char text[1024] = "", wanted[1024];
    size_t size = 0;
    assert_false(o->overflow);
    for (size_t i = 0; i < o->size; i++) {
        (void)snprintf(text + i * 2, sizeof text - i * 2, "%02x", o->data[i]);
    }
    for (; *hex; hex++) {
        wanted[size] = *hex;
        size += *hex != ' ';
    }
    wanted[size] = '\0';
    assert_string_equal(text, wanted);
}

static void requests_are_golden(void **state)
{
    (void)state;
    uint8_t memory[256];
    struct out o = out_over(memory, sizeof memory);
    wire_head(&o, WIRE_PRODUCE, wire_version(WIRE_PRODUCE), 258, SLICE("weir"), 3);
    check_hex(&o, "00000011 0000 0007 00000102 0004 77656972");
    o.size = 0;
    wire_head(&o, WIRE_DESCRIBE_PRODUCERS, 0, 1, SLICE("w"), 0);
    check_hex(&o, "0000000c 003d 0000 00000001 0001 77 00");
    o.size = 0;
    wire_produce_begin(&o, 30000, 1);
    wire_produce_topic(&o, SLICE("t"), 2);
    wire_produce_partition(&o, 3, 5);
    check_hex(&o, "ffff ffff 00007530 00000001 0001 74 00000002 00000003 00000005");
    o.size = 0;
    wire_metadata_begin(&o, 2);
    wire_metadata_topic(&o, SLICE("a"));
    wire_metadata_topic(&o, SLICE("bc"));
    wire_metadata_end(&o, true);
    check_hex(&o, "00000002 000161 00026263 01");
    o.size = 0;
    wire_create_topic(&o, SLICE("t"), 10000);
    check_hex(&o, "00000001 000174 ffffffff ffff 00000000 00000000 00002710 00");
    o.size = 0;
    wire_init_producer_id(&o);
    check_hex(&o, "ffff 7fffffff");
    o.size = 0;
    wire_sasl_handshake(&o, "PLAIN");
    check_hex(&o, "0005 504c41494e");
    o.size = 0;
    wire_sasl_authenticate(&o, 4);
    check_hex(&o, "00000004");
    assert_int_equal(o.size, WIRE_SASL_TOKEN_AT);
    o.size = 0;
    wire_describe_producers(&o, SLICE("t"), 7);
    check_hex(&o, "02 0274 02 00000007 00 00");
}

struct seen {
    unsigned count;
    struct wire_produced last;
    char text[256];
};

static void see_produced(void *context, const struct wire_produced *produced)
{
    struct seen *seen = context;
    seen->count++;
    seen->last = *produced;
}

static void produce_answers(void **state)
{
    (void)state;
    static const char bytes[] = "\0\0\0\1"
                                "\0\1t"
                                "\0\0\0\2"
                                "\0\0\0\5"
                                "\0\6"
                                "\xff\xff\xff\xff\xff\xff\xff\xff"
                                "\xff\xff\xff\xff\xff\xff\xff\xff"
                                "\0\0\0\0\0\0\0\0"
                                "\0\0\0\1"
                                "\0\0"
                                "\0\0\0\0\0\0\1\0"
                                "\0\0\0\0\0\0\0\7"
                                "\0\0\0\0\0\0\0\0"
                                "\0\0\0\x64";
    struct slice body = {(const uint8_t *)bytes, sizeof bytes - 1};
    struct seen seen = {0};
    int32_t throttle = -1;
    assert_int_equal(wire_produce_parse(body, see_produced, &seen, &throttle), ERR_OK);
    assert_int_equal(throttle, 100);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.last.partition, 1);
    assert_int_equal(seen.last.base_offset, 256);
    assert_int_equal(seen.last.log_append_time_ms, 7);
    for (size_t size = 0; size < body.size; size++) { /* cut anywhere: nothing is reported */
        seen.count = 0;
        assert_int_equal(
            wire_produce_parse((struct slice){body.data, size}, see_produced, &seen, &throttle),
            ERR_CORRUPT);
        assert_int_equal(seen.count, 0);
    }
}

static void see_node(void *context, int32_t id, struct slice host, uint16_t port)
{
    struct seen *seen = context;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "n%d %.*s %u;", id, (int)host.size,
                   (const char *)host.data, port);
}

static void see_topic(void *context, struct slice name, int16_t error, uint32_t count)
{
    struct seen *seen = context;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "t%.*s %d %u;", (int)name.size,
                   (const char *)name.data, error, count);
}

static void see_partition(void *context, uint32_t index, int16_t error, int32_t leader)
{
    struct seen *seen = context;
    size_t at = strlen(seen->text);
    (void)snprintf(seen->text + at, sizeof seen->text - at, "p%u %d %d;", index, error, leader);
}

static void metadata_answers(void **state)
{
    (void)state;
    static const char bytes[] = "\0\0\0\0"
                                "\0\0\0\1"
                                "\0\0\0\3"
                                "\0\1h"
                                "\0\0\x23\x84"
                                "\xff\xff"
                                "\0\2id"
                                "\0\0\0\3"
                                "\0\0\0\1"
                                "\0\0"
                                "\0\1t"
                                "\0"
                                "\0\0\0\1"
                                "\0\0"
                                "\0\0\0\0"
                                "\0\0\0\3"
                                "\0\0\0\1\0\0\0\3"
                                "\0\0\0\1\0\0\0\3"
                                "\0\0\0\0";
    struct slice body = {(const uint8_t *)bytes, sizeof bytes - 1};
    struct seen seen = {0};
    struct wire_metadata_visitor visitor = {&seen, see_node, see_topic, see_partition};
    struct wire_metadata metadata;
    assert_int_equal(wire_metadata_parse(body, &visitor, &metadata), ERR_OK);
    assert_string_equal(seen.text, "n3 h 9092;tt 0 1;p0 0 3;");
    assert_true(slice_equal_text(metadata.cluster_id, "id"));
    assert_int_equal(metadata.controller, 3);
    for (size_t size = 0; size < body.size; size++) {
        struct seen none = {0};
        visitor.context = &none;
        assert_int_equal(wire_metadata_parse((struct slice){body.data, size}, &visitor, &metadata),
                         ERR_CORRUPT);
        assert_string_equal(none.text, "");
    }
}

static void created_answers(void **state)
{
    (void)state;
    static const char bytes[] = "\0\0\0\7"
                                "\0\0\0\1"
                                "\0\1t"
                                "\0\x26"
                                "\0\2no";
    struct slice body = {(const uint8_t *)bytes, sizeof bytes - 1};
    struct wire_created created;
    assert_int_equal(wire_create_topic_parse(body, &created), ERR_OK);
    assert_int_equal(created.throttle_ms, 7);
    assert_int_equal(created.error, 38);
    assert_true(slice_equal_text(created.text, "no"));
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(wire_create_topic_parse((struct slice){body.data, size}, &created),
                         ERR_CORRUPT);
    }
}

static void described_answers(void **state)
{
    (void)state;
    static const char bytes[] = "\0"
                                "\0\0\0\0"
                                "\2"
                                "\2t"
                                "\2"
                                "\0\0\0\7"
                                "\0\0"
                                "\0"
                                "\3"
                                "\0\0\0\0\0\0\0\1"
                                "\0\0\0\0"
                                "\0\0\0\2"
                                "\0\0\0\0\0\0\0\0"
                                "\0\0\0\0"
                                "\xff\xff\xff\xff\xff\xff\xff\xff"
                                "\0"
                                "\0\0\0\0\0\0\0\x2a"
                                "\0\0\0\0"
                                "\0\0\0\x63"
                                "\0\0\0\0\0\0\0\0"
                                "\0\0\0\0"
                                "\xff\xff\xff\xff\xff\xff\xff\xff"
                                "\0"
                                "\0"
                                "\0"
                                "\0";
    struct slice body = {(const uint8_t *)bytes, sizeof bytes - 1};
    struct wire_described found;
    assert_int_equal(wire_describe_producers_parse(body, 42, &found), ERR_OK);
    assert_true(found.found);
    assert_int_equal(found.last_sequence, 99);
    assert_int_equal(wire_describe_producers_parse(body, 43, &found), ERR_OK);
    assert_false(found.found);
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(wire_describe_producers_parse((struct slice){body.data, size}, 42, &found),
                         ERR_CORRUPT);
    }
}

/* The codes that Produce, InitProducerId and the login are known to answer, each with what
 * follows from it. */
static void error_table_is_complete(void **state)
{
    (void)state;
    static const struct {
        int16_t code;
        enum kafka_action first, again;
    } wanted[] = {
        {-1, KAFKA_THREE_TRIES, KAFKA_DOUBT},  {0, KAFKA_DONE, KAFKA_DONE},
        {2, KAFKA_ONCE_MORE, KAFKA_ONCE_MORE}, {3, KAFKA_REFRESH, KAFKA_REFRESH},
        {5, KAFKA_REFRESH, KAFKA_REFRESH},     {6, KAFKA_REFRESH, KAFKA_REFRESH},
        {7, KAFKA_RETRY, KAFKA_RETRY},         {10, KAFKA_HALVE, KAFKA_DOUBT},
        {14, KAFKA_RETRY, KAFKA_RETRY},        {15, KAFKA_RETRY, KAFKA_RETRY},
        {16, KAFKA_RETRY, KAFKA_RETRY},        {17, KAFKA_PARK, KAFKA_PARK},
        {18, KAFKA_HALVE, KAFKA_DOUBT},        {19, KAFKA_RETRY, KAFKA_RETRY},
        {20, KAFKA_RETRY, KAFKA_RETRY},        {21, KAFKA_PARK, KAFKA_PARK},
        {29, KAFKA_PARK, KAFKA_PARK},          {31, KAFKA_PARK, KAFKA_PARK},
        {32, KAFKA_STAMP, KAFKA_DOUBT},        {33, KAFKA_PARK, KAFKA_PARK},
        {34, KAFKA_PARK, KAFKA_PARK},          {44, KAFKA_RETRY, KAFKA_RETRY},
        {45, KAFKA_DOUBT, KAFKA_DOUBT},        {46, KAFKA_DONE, KAFKA_DONE},
        {47, KAFKA_DOUBT, KAFKA_DOUBT},        {53, KAFKA_PARK, KAFKA_PARK},
        {56, KAFKA_REFRESH, KAFKA_REFRESH},    {58, KAFKA_PARK, KAFKA_PARK},
        {59, KAFKA_DOUBT, KAFKA_DOUBT},        {74, KAFKA_REFRESH, KAFKA_REFRESH},
        {76, KAFKA_PARK, KAFKA_PARK},          {87, KAFKA_REFUSED, KAFKA_DOUBT},
        {89, KAFKA_RETRY, KAFKA_RETRY},        {100, KAFKA_REFRESH, KAFKA_REFRESH},
    };
    for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
        const struct kafka_error *error = kafka_error_of(wanted[i].code);
        assert_int_equal(error->code, wanted[i].code);
        assert_int_equal(error->first, wanted[i].first);
        assert_int_equal(error->again, wanted[i].again);
    }
    unsigned count;
    const struct kafka_error *table = kafka_error_table(&count);
    for (unsigned i = 0; i < count; i++) {
        assert_true(i == 0 || table[i - 1].code < table[i].code);
        /* What is refused the first time must prove nothing later. */
        if (table[i].first == KAFKA_HALVE || table[i].first == KAFKA_REFUSED ||
            table[i].first == KAFKA_STAMP) {
            assert_int_equal(table[i].again, KAFKA_DOUBT);
        }
        assert_true(table[i].first != KAFKA_PARK || table[i].advice[0]);
    }
    assert_int_equal(kafka_error_of(12345)->first, KAFKA_RETRY);
}

static void murmur2_places_like_java(void **state)
{
    (void)state;
    const struct {
        struct slice key;
        uint32_t hash;
        int partition_of_12;
    } vectors[] = {
        {SLICE(""), 0x106e08d9, 9},
        {SLICE("a"), 0xa2d0b27c, 4},
        {SLICE("ab"), 0x12d8262a, -1},
        {SLICE("abc"), 0x1c94221b, -1},
        {SLICE("abcd"), 0xb11ab5f4, -1},
        {SLICE("21"), 0xc5f2f8ec, -1},
        {SLICE("foobar"), 0xd0e47bbe, -1},
        {SLICE("abcde"), 0x1b897edd, 1},
        {SLICE("pumpe-süd"), 0xc060c5d1, 5},
        {SLICE("温度"), 0xfd61a960, 4},
        {SLICE("device-0000000001"), 0x657f2be0, 0},
        {SLICE("\xff\x80\x7f"), 0x39b67e0e, 10},
    };
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        assert_int_equal(murmur2(vectors[i].key), vectors[i].hash);
        if (vectors[i].partition_of_12 >= 0) {
            assert_int_equal(murmur2_partition(vectors[i].key, 12), vectors[i].partition_of_12);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_golden),      cmocka_unit_test(produce_answers),
        cmocka_unit_test(metadata_answers),         cmocka_unit_test(described_answers),
        cmocka_unit_test(created_answers),          cmocka_unit_test(error_table_is_complete),
        cmocka_unit_test(murmur2_places_like_java),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
