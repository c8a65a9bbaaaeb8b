/* Sparkplug B. The payloads were encoded by protoc, see tests/drivers/sparkplug. */
#include <stdio.h>
#include <stdlib.h>

#include "drivers/sparkplug_impl.h"
#include "tests/cmocka.h"

#define TEXT_SIZE_MAX 65536

struct fixture {
    struct sparkplug *sparkplug;
    uint8_t payload[4096];
    size_t size;
    struct sparkplug_message message;
    struct why why;
};

static struct fixture open_fixture(void)
{
    struct fixture f = {.size = 0};
    assert_int_equal(sparkplug_open(&f.sparkplug, TEXT_SIZE_MAX), ERR_OK);
    return f;
}

static void load(struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "tests/corpus/sparkplug/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_not_equal(fgetc(file), EOF);
    f->size = fread(f->payload, 1, sizeof f->payload, file);
    fclose(file);
    assert_true(f->size > 0);
}

static enum err read_payload(struct fixture *f, const char *topic)
{
    return sparkplug_read(f->sparkplug, slice_of_text(topic), (struct slice){f->payload, f->size},
                          &f->message, &f->why);
}

static void check(struct fixture *f, const char *topic, const char *name, const char *text)
{
    load(f, name);
    assert_int_equal(read_payload(f, topic), ERR_OK);
    char *got = calloc(1, f->message.text.size + 1);
    assert_non_null(got);
    memcpy(got, f->message.text.data, f->message.text.size);
    assert_string_equal(got, text);
    free(got);
}

static const char nbirth_text[] =
    "{\"type\":\"NBIRTH\",\"group\":\"G\",\"node\":\"N\",\"timestamp\":1700000000000,\"seq\":0,"
    "\"metrics\":["
    "{\"name\":\"bdSeq\",\"timestamp\":1700000000000,\"datatype\":\"UInt64\",\"value\":3},"
    "{\"name\":\"Node Control/Rebirth\",\"alias\":1,\"timestamp\":1700000000000,"
    "\"datatype\":\"Boolean\",\"value\":false},"
    "{\"name\":\"Temperature\",\"alias\":2,\"timestamp\":1700000000000,\"datatype\":\"Float\","
    "\"value\":21.1,\"properties\":{\"engUnit\":\"\xc2\xb0"
    "C\"},\"quality\":192},"
    "{\"name\":\"Offset\",\"alias\":3,\"timestamp\":1700000000000,\"datatype\":\"Int32\","
    "\"value\":-5},"
    "{\"name\":\"Level\",\"timestamp\":1700000000000,\"datatype\":\"Int8\",\"value\":-127}]}";

static void test_names_and_types_come_from_the_birth(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    check(&f, "spBv1.0/G/NBIRTH/N", "nbirth", nbirth_text);
    assert_true(f.message.has_time);
    assert_int_equal(f.message.time_us, 1700000000000000);
    check(
        &f, "spBv1.0/G/NDATA/N", "ndata",
        "{\"type\":\"NDATA\",\"group\":\"G\",\"node\":\"N\",\"timestamp\":1700000001000,\"seq\":1,"
        "\"metrics\":["
        "{\"name\":\"Temperature\",\"alias\":2,\"timestamp\":1700000000900,"
        "\"datatype\":\"Float\",\"value\":0.1},"
        "{\"name\":\"Offset\",\"alias\":3,\"timestamp\":1700000001000,\"datatype\":\"Int32\","
        "\"value\":-6,\"is_historical\":true,\"is_transient\":true},"
        "{\"name\":\"Level\",\"timestamp\":1700000001000,\"datatype\":\"Int8\",\"value\":-127},"
        "{\"alias\":9,\"timestamp\":1700000001000,\"value\":4294967290},"
        "{\"name\":\"Temperature\",\"alias\":2,\"timestamp\":1700000001000,"
        "\"datatype\":\"Float\",\"value\":null,\"quality\":500}]}");
    assert_int_equal(f.message.unnamed, 1);
    sparkplug_close(f.sparkplug);
}

static void test_without_a_birth_the_alias_stays(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata",
          "{\"type\":\"DDATA\",\"group\":\"G\",\"node\":\"N\",\"device\":\"D\","
          "\"timestamp\":1700000004000,\"seq\":4,\"metrics\":["
          "{\"alias\":2,\"timestamp\":1700000004000,\"value\":-1e+300}]}");
    assert_int_equal(f.message.unnamed, 1);
    sparkplug_close(f.sparkplug);
}

static const char ddata_text[] =
    "{\"type\":\"DDATA\",\"group\":\"G\",\"node\":\"N\",\"device\":\"D\","
    "\"timestamp\":1700000004000,\"seq\":4,\"metrics\":["
    "{\"name\":\"Speed\",\"alias\":2,\"timestamp\":1700000004000,\"datatype\":\"Double\","
    "\"value\":-1e+300}]}";

static void test_each_device_has_its_own_aliases(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    load(&f, "nbirth");
    assert_int_equal(read_payload(&f, "spBv1.0/G/NBIRTH/N"), ERR_OK);
    load(&f, "dbirth");
    assert_int_equal(read_payload(&f, "spBv1.0/G/DBIRTH/N/D"), ERR_OK);
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata", ddata_text);
    load(&f, "ddata"); /* of another device, and another node with the beginning of this name */
    assert_int_equal(read_payload(&f, "spBv1.0/G/DDATA/N/E"), ERR_OK);
    assert_int_equal(f.message.unnamed, 1);
    assert_int_equal(read_payload(&f, "spBv1.0/G/DDATA/N2/D"), ERR_OK);
    assert_int_equal(f.message.unnamed, 1);
    load(&f, "nbirth"); /* the other node's birth leaves this one's devices alone */
    assert_int_equal(read_payload(&f, "spBv1.0/G/NBIRTH/N2"), ERR_OK);
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata", ddata_text);
    load(&f, "nbirth"); /* its own ends what they have said */
    assert_int_equal(read_payload(&f, "spBv1.0/G/NBIRTH/N"), ERR_OK);
    load(&f, "ddata");
    assert_int_equal(read_payload(&f, "spBv1.0/G/DDATA/N/D"), ERR_OK);
    assert_int_equal(f.message.unnamed, 1);
    sparkplug_close(f.sparkplug);
}

/* A death forgets nothing: the broker may send one late, after the birth that follows it. What data
 * leave out stands until the next birth says otherwise. */
static void test_deaths_are_events_and_births_end_what_was_said(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    static const char ndeath_text[] =
        "{\"type\":\"NDEATH\",\"group\":\"G\",\"node\":\"N\",\"timestamp\":1700000005000,"
        "\"metrics\":[{\"name\":\"bdSeq\",\"timestamp\":1700000005000,\"datatype\":\"UInt64\","
        "\"value\":3}]}";
    check(&f, "spBv1.0/G/NDEATH/N", "ndeath", ndeath_text); /* of a node that nobody knows */
    assert_true(f.message.has_time);
    assert_int_equal(f.message.time_us, 1700000005000000);
    assert_int_equal(f.message.unnamed, 0);
    load(&f, "nbirth");
    assert_int_equal(read_payload(&f, "spBv1.0/G/NBIRTH/N"), ERR_OK);
    load(&f, "dbirth");
    assert_int_equal(read_payload(&f, "spBv1.0/G/DBIRTH/N/D"), ERR_OK);
    check(&f, "spBv1.0/G/DDEATH/N/D", "ddeath",
          "{\"type\":\"DDEATH\",\"group\":\"G\",\"node\":\"N\",\"device\":\"D\","
          "\"timestamp\":1700000006000,\"seq\":6,\"metrics\":[]}");
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata", ddata_text);
    check(&f, "spBv1.0/G/NDEATH/N", "ndeath", ndeath_text);
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata", ddata_text);
    load(&f, "ndata");
    assert_int_equal(read_payload(&f, "spBv1.0/G/NDATA/N"), ERR_OK);
    assert_int_equal(f.message.unnamed, 1);                 /* alias 9, which no birth has named */
    check(&f, "spBv1.0/G/NBIRTH/N", "nbirth", nbirth_text); /* it lives again, its device not yet */
    load(&f, "ddata");
    assert_int_equal(read_payload(&f, "spBv1.0/G/DDATA/N/D"), ERR_OK);
    assert_int_equal(f.message.unnamed, 1);
    load(&f, "dbirth");
    assert_int_equal(read_payload(&f, "spBv1.0/G/DBIRTH/N/D"), ERR_OK);
    check(&f, "spBv1.0/G/DDATA/N/D", "ddata", ddata_text);
    static const char *const topics[] = {"spBv1.0/G/NDEATH/N/D", "spBv1.0/G/DDEATH/N"};
    load(&f, "ddeath");
    for (size_t i = 0; i < ARRAY_COUNT(topics); i++) {
        assert_int_equal(read_payload(&f, topics[i]), ERR_REJECTED);
    }
    sparkplug_close(f.sparkplug);
}

static void test_every_datatype(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
#define AT "\"timestamp\":1700000002000,"
    check(
        &f, "spBv1.0/G/NDATA/N", "types",
        "{\"type\":\"NDATA\",\"group\":\"G\",\"node\":\"N\",\"timestamp\":1700000002000,\"seq\":2,"
        "\"uuid\":\"u-1\",\"body\":\"AQID\",\"metrics\":["
        "{\"name\":\"a\"," AT "\"datatype\":\"Int16\",\"value\":-1},"
        "{\"name\":\"b\"," AT "\"datatype\":\"Int64\",\"value\":-1},"
        "{\"name\":\"c\"," AT "\"datatype\":\"UInt64\",\"value\":18446744073709551615},"
        "{\"name\":\"d\"," AT "\"datatype\":\"Double\",\"value\":0.1},"
        "{\"name\":\"e\"," AT "\"datatype\":\"Double\",\"value\":\"Infinity\"},"
        "{\"name\":\"f\"," AT "\"datatype\":\"Float\",\"value\":\"NaN\"},"
        "{\"name\":\"g\"," AT "\"datatype\":\"String\",\"value\":\"say \\\"hi\\\"\"},"
        "{\"name\":\"h\"," AT "\"datatype\":\"DateTime\",\"value\":1700000000123},"
        "{\"name\":\"i\"," AT "\"datatype\":\"Bytes\",\"value\":\"AP8=\","
        "\"metadata\":{\"is_multi_part\":false,\"content_type\":\"x/y\",\"size\":2}},"
        "{\"name\":\"j\"," AT "\"datatype\":\"Int16Array\",\"value\":[-2,3]},"
        "{\"name\":\"k\"," AT "\"datatype\":\"BooleanArray\","
        "\"value\":[true,false,false,false,false,false,false,false,false,true]},"
        "{\"name\":\"l\"," AT "\"datatype\":\"StringArray\",\"value\":[\"one\",\"\"]},"
        "{\"name\":\"m\"," AT "\"datatype\":\"FloatArray\",\"value\":[1]},"
        "{\"name\":\"n\"," AT "\"datatype\":\"DateTimeArray\",\"value\":[1]},"
        "{\"name\":\"o\"," AT "\"datatype\":\"DataSet\",\"value\":{\"columns\":[\"x\",\"y\"],"
        "\"datatypes\":[\"Int32\",\"String\"],\"rows\":[[-1,\"q\"],[1,null]]}},"
        "{\"name\":\"p\"," AT "\"datatype\":\"Template\",\"value\":{\"reference\":\"Pump\","
        "\"version\":\"v1\",\"is_definition\":false,\"parameters\":[{\"name\":\"size\","
        "\"datatype\":\"UInt8\",\"value\":4}],\"metrics\":[{\"name\":\"rpm\"," AT
        "\"datatype\":\"UInt32\",\"value\":900}]}},"
        "{\"name\":\"q\"," AT "\"datatype\":\"Int32\",\"value\":1,\"properties\":{\"s\":"
        "{\"t\":true},\"l\":[{\"u\":null},{}]}}]}");
    sparkplug_close(f.sparkplug);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    static const char *const topics[] = {"",
                                         "spBv1.0",
                                         "spBv1.0/G/NDATA",
                                         "spBv1.0/G/NDATA/",
                                         "spBv1.0/G/NDATA/N/D",
                                         "spBv1.0/G/DDATA/N",
                                         "spBv1.0/G/DDATA/N/D/E",
                                         "spBv1.0/G/XDATA/N",
                                         "spBv1.0/G/NOTHING/N",
                                         "spAv1.0/G/NDATA/N"};
    load(&f, "ndata");
    for (size_t i = 0; i < ARRAY_COUNT(topics); i++) {
        f.why.text[0] = 0;
        assert_int_equal(read_payload(&f, topics[i]), ERR_REJECTED);
        assert_non_null(strstr(f.why.text, "topic"));
    }
    static const char *const texts[] = {"\x08", "{\"a\":1}", "\x12\x05", "\x12\x02\x10\x80"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        f.size = strlen(texts[i]);
        memcpy(f.payload, texts[i], f.size);
        assert_int_equal(read_payload(&f, "spBv1.0/G/NDATA/N"), ERR_CORRUPT);
        assert_non_null(strstr(f.why.text, "payload"));
    }
    load(&f, "types"); /* cut anywhere: an error, or fewer fields, and never more than the text */
    size_t whole = f.size;
    unsigned refused = 0;
    for (f.size = 0; f.size < whole; f.size++) {
        refused += read_payload(&f, "spBv1.0/G/NDATA/N") == ERR_CORRUPT;
    }
    assert_true(refused > whole / 2);
    sparkplug_close(f.sparkplug);
    assert_int_equal(sparkplug_open(&f.sparkplug, 200), ERR_OK);
    load(&f, "types");
    assert_int_equal(read_payload(&f, "spBv1.0/G/NDATA/N"), ERR_FULL);
    sparkplug_close(f.sparkplug);
}

static void test_hosts_state_goes_through(void **state)
{
    (void)state;
    struct fixture f = open_fixture();
    check(&f, "spBv1.0/STATE/host", "state", "{\"online\":true,\"timestamp\":1}");
    assert_false(f.message.has_time);
    sparkplug_close(f.sparkplug);
}

static void test_the_table_is_bounded(void **state)
{
    (void)state;
    struct births *births = malloc(sizeof *births);
    assert_non_null(births);
    births_init(births);
    char text[BIRTH_SOURCE_SIZE_MAX + 8];
    for (unsigned i = 0; i < BIRTH_SOURCE_MAX; i++) {
        snprintf(text, sizeof text, "g/node%u", i);
        assert_int_equal(births_begin(births, slice_of_text(text)), i);
    }
    assert_int_equal(births_begin(births, SLICE("g/more")), BIRTH_SOURCE_MAX);
    for (uint64_t alias = 0; alias < BIRTH_METRIC_MAX + 100; alias++) {
        births_add(births, 7, SLICE("name"), &alias, SPARKPLUG_INT8);
        births_add(births, 7, SLICE("name"), &alias, SPARKPLUG_INT64); /* the first one counts */
    }
    uint64_t last = BIRTH_METRIC_MAX - 1;
    assert_int_equal(births_find(births, 7, SLICE(""), &last)->type, SPARKPLUG_INT8);
    last++;
    assert_null(births_find(births, 7, SLICE(""), &last));
    births_add(births, 8, SLICE("more"), NULL, SPARKPLUG_INT8);
    assert_null(births_find(births, 8, SLICE("more"), NULL));
    /* A source that begins anew gives all of its room back. */
    assert_int_equal(births_begin(births, SLICE("g/node7")), 7);
    births_add(births, 8, SLICE("more"), NULL, SPARKPLUG_INT8);
    assert_non_null(births_find(births, 8, SLICE("more"), NULL));
    last = 0;
    assert_null(births_find(births, 7, SLICE(""), &last));
    memset(text, 'x', sizeof text);
    births_init(births);
    assert_int_equal(births_begin(births, (struct slice){(uint8_t *)text, sizeof text}),
                     BIRTH_SOURCE_MAX);
    assert_int_equal(births_begin(births, SLICE("g/n")), 0);
    free(births);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_types_come_from_the_birth),
        cmocka_unit_test(test_without_a_birth_the_alias_stays),
        cmocka_unit_test(test_each_device_has_its_own_aliases),
        cmocka_unit_test(test_deaths_are_events_and_births_end_what_was_said),
        cmocka_unit_test(test_every_datatype),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_hosts_state_goes_through),
        cmocka_unit_test(test_the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
