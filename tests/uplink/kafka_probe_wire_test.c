/* The bytes of what `check --online` asks a broker: golden ones from the protocol's field lists;
 * answers, whole, cut and changed. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/kafka/probe_wire.h"

static size_t from_hex(const char *hex, uint8_t *ret)
{
    size_t size = 0;
    for (; *hex; hex++) {
        unsigned value;
        if (*hex != ' ') {
            assert_int_equal(sscanf(hex, "%2x", &value), 1);
            ret[size++] = (uint8_t)value;
            hex++;
        }
    }
    return size;
}

static void check_hex(const struct out *o, const char *hex)
{
    uint8_t wanted[512];
    size_t size = from_hex(hex, wanted);
    assert_false(o->overflow);
    assert_int_equal(o->size, size);
    assert_memory_equal(o->data, wanted, size);
}

static void requests_are_golden(void **state)
{
    (void)state;
    uint8_t memory[256];
    struct out o = out_over(memory, sizeof memory);
    static const char *const settings[] = {"a.b", "c"};
    wire_metadata_begin(&o, 1);
    wire_metadata_topic(&o, SLICE("t"));
    probe_metadata_end(&o, PROBE_METADATA_VERSION);
    check_hex(&o, "00000001 0001 74 00 00 01"); /* create nothing, topics' rights only */
    o.size = 0;
    wire_metadata_begin(&o, 0);
    probe_metadata_end(&o, wire_version(WIRE_METADATA));
    check_hex(&o, "00000000 00");
    o.size = 0;
    probe_configs_begin(&o, 2);
    probe_configs_resource(&o, PROBE_TOPIC, SLICE("t"), settings, 2);
    probe_configs_resource(&o, PROBE_BROKER, SLICE("1"), settings, 0);
    probe_configs_end(&o);
    check_hex(&o, "00000002 02 0001 74 00000002 0003 612e62 0001 63 04 0001 31 00000000 00");
    assert_int_equal(wire_version(WIRE_DESCRIBE_CONFIGS), 1);
}

/* What was reported, as a text. */
struct told {
    char text[512];
    struct out o;
};

static void told_node(void *context, int32_t id, struct slice host, uint16_t port)
{
    struct told *told = context;
    out_put_format(&told->o, "node %d %.*s %u;", (int)id, (int)host.size, (const char *)host.data,
                   port);
}

static void told_topic(void *context, const struct probe_metadata_topic *topic)
{
    struct told *told = context;
    out_put_format(&told->o, "topic %.*s %d %u %u %d;", (int)topic->name.size,
                   (const char *)topic->name.data, topic->error, topic->partition_count,
                   topic->leaderless_count, (int)topic->operations);
}

static void told_resource(void *context, int8_t type, struct slice name, int16_t error)
{
    struct told *told = context;
    out_put_format(&told->o, "resource %d %.*s %d;", type, (int)name.size, (const char *)name.data,
                   error);
}

static void told_setting(void *context, struct slice name, struct slice value)
{
    struct told *told = context;
    out_put_format(&told->o, "%.*s=%.*s;", (int)name.size, (const char *)name.data,
                   value.data ? (int)value.size : 4,
                   value.data ? (const char *)value.data : "null");
}

/* Version 8, version 5, DescribeConfigs. */
enum kind { RIGHTS, METADATA, CONFIGS, KIND_COUNT };

static enum err parse(enum kind kind, struct slice body, struct told *told)
{
    *told = (struct told){0};
    told->o = out_over(told->text, sizeof told->text - 1);
    struct probe_metadata_visitor metadata = {told, told_node, told_topic};
    struct probe_configs_visitor configs = {told, told_resource, told_setting};
    int16_t version = kind == RIGHTS ? PROBE_METADATA_VERSION : wire_version(WIRE_METADATA);
    return kind == CONFIGS ? probe_configs_parse(body, &configs)
                           : probe_metadata_parse(body, version, &metadata);
}

#define NODES "00000007 00000001 00000001 0001 68 00002384 ffff 0002 6964 00000001 00000002 "
#define REPLICAS "00000001 00000001 00000001 00000001 00000000 "

static const struct {
    const char *hex, *told;
} answers[KIND_COUNT] = {
    [RIGHTS] = {NODES "0000 0001 74 00 00000002 "
                      "0000 00000000 00000001 00000005 " REPLICAS
                      "0005 00000001 ffffffff 00000000 " REPLICAS "00000918 "
                      "001d 0001 75 00 00000000 80000000 80000000",
                "node 1 h 9092;topic t 0 2 1 2328;topic u 29 0 0 -2147483648;"},
    [METADATA] = {NODES "0000 0001 74 00 00000001 "
                        "0000 00000000 00000001 " REPLICAS "0003 0001 75 00 00000000",
                  "node 1 h 9092;topic t 0 1 0 -2147483648;topic u 3 0 0 -2147483648;"},
    [CONFIGS] = {"00000000 00000002 0000 ffff 02 0001 74 00000002 "
                 "0001 61 0002 2d31 00 01 00 00000001 0001 61 0001 62 05 "
                 "0001 73 ffff 00 01 01 00000000 "
                 "001d 0002 6e6f 04 0001 31 00000000",
                 "resource 2 t 0;a=-1;s=null;resource 4 1 29;"},
};

static void answers_are_read(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        uint8_t body[512];
        struct told told;
        size_t size = from_hex(answers[kind].hex, body);
        assert_int_equal(parse((enum kind)kind, (struct slice){body, size}, &told), ERR_OK);
        assert_string_equal(told.text, answers[kind].told);
    }
}

static void what_cannot_be_read_reports_nothing(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        uint8_t body[512];
        struct told told;
        size_t size = from_hex(answers[kind].hex, body);
        body[size] = 0;
        assert_int_equal(parse((enum kind)kind, (struct slice){body, size + 1}, &told),
                         ERR_CORRUPT);
        assert_string_equal(told.text, "");
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1); /* sanitizers see a byte too far */
            assert_non_null(exact);
            memcpy(exact, body, cut);
            assert_int_equal(parse((enum kind)kind, (struct slice){exact, cut}, &told),
                             ERR_CORRUPT);
            assert_string_equal(told.text, "");
            free(exact);
        }
        for (size_t at = 0; at + 4 <= size; at++) { /* counts that no answer can hold */
            uint8_t changed[512];
            memcpy(changed, body, size);
            memset(changed + at, 0x7f, 4);
            enum err e = parse((enum kind)kind, (struct slice){changed, size}, &told);
            assert_true(e == ERR_OK || told.text[0] == '\0');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_golden),
        cmocka_unit_test(answers_are_read),
        cmocka_unit_test(what_cannot_be_read_reports_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
