/* Compatibility: each rule (compat_cases.txt, which compat_test.py asks Apache Avro about), modes,
 * texts, bounds. */
#include "uplink/avro/compat.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/avro/help.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"

#define TEXT_SIZE_MAX AVRO_SCHEMA_SIZE_MAX

/* --- each rule --- */

/* "KIND LOCATION;KIND LOCATION", "compatible", "no answer" */
static void put_answer(struct out *o, const struct avro_schema *reader,
                       const struct avro_schema *writer)
{
    struct avro_compat *compat = NULL;
    struct why why = {""};
    enum err e = avro_compat_open(&compat, reader, &writer, 1, AVRO_MODE_BACKWARD, &why);
    if (e) {
        assert_int_equal(e, ERR_CORRUPT);
        assert_non_null(strstr(why.text, "could take its value from"));
        assert_null(compat);
        out_put_text(o, "no answer");
        return;
    }
    for (uint32_t i = 0; i < avro_compat_count(compat); i++) {
        const struct avro_finding *f = avro_compat_finding(compat, i);
        assert_int_equal(f->old, 0);
        assert_false(f->is_forward);
        out_put_format(o, "%s%s ", i == 0 ? "" : ";", avro_finding_kind_name(f->kind));
        avro_finding_put_location(f, o);
    }
    out_put_text(o, avro_compat_count(compat) == 0 ? "compatible" : "");
    avro_compat_close(compat);
}

static void check_case(char *line)
{
    char text[4096];
    struct out o = out_over(text, sizeof text - 1);
    char *writer_text = strchr(line, '\t');
    assert_non_null(writer_text);
    *writer_text++ = 0;
    char *expected = strchr(writer_text, '\t');
    assert_non_null(expected);
    *expected++ = 0;
    expected[strcspn(expected, "\n")] = 0;
    struct avro_schema *reader = schema_of(line);
    struct avro_schema *writer = schema_of(writer_text);
    put_answer(&o, reader, writer);
    text[o.size] = 0;
    if (strcmp(text, expected) != 0) {
        fail_msg("%s reads %s: %s, not %s", line, writer_text, text, expected);
    }
    avro_schema_close(writer);
    avro_schema_close(reader);
}

static void test_cases(void **state)
{
    (void)state;
    FILE *file = fopen("tests/avro/compat_cases.txt", "r");
    char *line = NULL;
    size_t room = 0;
    unsigned count = 0;
    assert_non_null(file);
    while (getline(&line, &room, file) > 0) {
        if (line[0] != '#' && line[0] != '\n') {
            check_case(line);
            count++;
        }
    }
    free(line);
    (void)fclose(file);
    assert_true(count > 200);
}

/* --- modes --- */

/* A record "R" with these fields. */
static struct avro_schema *record_of(const char *fields)
{
    char text[2048];
    assert_true((size_t)snprintf(text, sizeof text,
                                 "{\"type\":\"record\",\"name\":\"R\",\"fields\":[%s]}",
                                 fields) < sizeof text);
    return schema_of(text);
}

#define FIELD_A "{\"name\":\"a\",\"type\":\"int\"}"
#define FIELD_A_LONG "{\"name\":\"a\",\"type\":\"long\"}"
#define FIELD_B "{\"name\":\"b\",\"type\":\"int\"}"
#define FIELD_B_DEFAULT "{\"name\":\"b\",\"type\":\"int\",\"default\":1}"

static void test_modes(void **state)
{
    (void)state;
    /* 0: a; 1: a and b; the new one: a as a long, and b with a default */
    struct avro_schema *olds[2] = {record_of(FIELD_A), record_of(FIELD_A "," FIELD_B)};
    struct avro_schema *now = record_of(FIELD_A_LONG "," FIELD_B_DEFAULT);
    struct avro_schema *bad =
        record_of(FIELD_A_LONG "," FIELD_B ",{\"name\":\"c\",\"type\":\"int\"}");
    static const struct {
        enum avro_mode mode;
        const char *now;
        const char *bad; /* old, direction and kind */
    } cases[] = {
        {AVRO_MODE_NONE, "", ""},
        {AVRO_MODE_BACKWARD, "", "1bR;"},
        {AVRO_MODE_FORWARD, "1fT;", "1fT;"},
        {AVRO_MODE_FULL, "1fT;", "1bR;1fT;"},
        {AVRO_MODE_BACKWARD_TRANSITIVE, "", "0bR;0bR;1bR;"},
        {AVRO_MODE_FORWARD_TRANSITIVE, "0fT;1fT;", "0fT;1fT;"},
        {AVRO_MODE_FULL_TRANSITIVE, "0fT;1fT;", "0bR;0bR;0fT;1bR;1fT;"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases) * 2; i++) {
        const char *expected = i % 2 ? cases[i / 2].bad : cases[i / 2].now;
        struct avro_compat *compat = NULL;
        char text[256] = "";
        struct out o = out_over(text, sizeof text - 1);
        assert_int_equal(avro_compat_open(&compat, i % 2 ? bad : now,
                                          (const struct avro_schema *const *)olds, 2,
                                          cases[i / 2].mode, NULL),
                         ERR_OK);
        for (uint32_t k = 0; k < avro_compat_count(compat); k++) {
            const struct avro_finding *f = avro_compat_finding(compat, k);
            out_put_format(&o, "%u%c%c;", f->old, f->is_forward ? 'f' : 'b',
                           avro_finding_kind_name(f->kind)[0]);
        }
        assert_string_equal(text, expected);
        avro_compat_close(compat);
    }
    struct avro_compat *compat = NULL; /* the first version of all */
    assert_int_equal(avro_compat_open(&compat, bad, NULL, 0, AVRO_MODE_FULL_TRANSITIVE, NULL),
                     ERR_OK);
    assert_int_equal(avro_compat_count(compat), 0);
    avro_compat_close(compat);
    avro_compat_close(NULL);
    avro_schema_close(olds[0]);
    avro_schema_close(olds[1]);
    avro_schema_close(now);
    avro_schema_close(bad);
}

static void test_mode_names(void **state)
{
    (void)state;
    enum avro_mode mode = AVRO_MODE_FULL;
    assert_true(avro_mode_of(SLICE("none"), &mode));
    assert_int_equal(mode, AVRO_MODE_NONE);
    assert_true(avro_mode_of(SLICE("Backward_TRANSITIVE"), &mode));
    assert_int_equal(mode, AVRO_MODE_BACKWARD_TRANSITIVE);
    assert_string_equal(avro_mode_name(mode), "backward_transitive");
    assert_false(avro_mode_of(SLICE("backwards"), &mode));
    assert_false(avro_mode_of(SLICE("backward-transitive"), &mode));
    assert_false(avro_mode_of(SLICE(""), &mode));
    assert_int_equal(mode, AVRO_MODE_BACKWARD_TRANSITIVE);
}

/* --- texts --- */

#define R_OF(type) \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"out\",\"type\":{\"type\":" \
    "\"record\",\"name\":\"s.In\",\"fields\":[{\"name\":\"v\",\"type\":" type "}]}}]}"
#define ENUM_OF(name, symbols) "{\"type\":\"enum\",\"name\":\"" name "\",\"symbols\":[" symbols "]}"

static const struct {
    const char *reader;
    const char *writer;
    const char *sentence[2]; /* backward, forward */
    const char *way_out[2];
} sentences[] = {
    {R_OF("\"int\""),
     R_OF("[\"null\",{\"type\":\"array\",\"items\":[\"int\",\"string\"]}]"),
     {"field \"out.v\": the old schema writes null, which the new one can't read as int",
      "field \"out.v\": the new schema writes null, which the old one can't read as int"},
     {"keep the old type, or make it a union", "keep the old type, and give the new type"}},
    {R_OF("\"int\""),
     R_OF("{\"type\":\"fixed\",\"name\":\"F\",\"size\":16,\"logicalType\":\"decimal\","
          "\"precision\":9,\"scale\":2}"),
     {"field \"out.v\": the old schema writes fixed s.F of 16 bytes (decimal, 9 digits, 2 "
      "behind "
      "the point), which the new one can't read as int",
      "field \"out.v\": the new schema writes fixed s.F of 16 bytes"},
     {"keep the old type", "keep the old type"}},
    {"[\"null\"]",
     "[\"null\",{\"type\":\"map\",\"values\":[\"int\",{\"type\":\"long\",\"logicalType\":"
     "\"timestamp-millis\"}]}]",
     {"the schema itself: the old schema may write map of (int or long (timestamp-millis)), "
      "which fits no branch of the new one's null",
      "the schema itself: the new schema may write map of"},
     {"keep this type in the union", "leave this type out until all readers"}},
    {R_OF(ENUM_OF("E", "\"A\"")),
     R_OF(ENUM_OF("E", "\"A\",\"B\",\"C\"")),
     {"field \"out.v\": the old schema may write \"B\", \"C\", which the new one's enum s.E "
      "lacks, and that enum has no default",
      "field \"out.v\": the new schema may write \"B\", \"C\", which the old one's enum s.E"},
     {"keep these symbols, or give the enum a \"default\"",
      "leave these symbols out until all readers"}},
    {R_OF(ENUM_OF("E", "")),
     R_OF(ENUM_OF("E", "\"A\",\"B\",\"C\",\"D\",\"E\",\"F\",\"G\",\"H\",\"I\"")),
     {"field \"out.v\": the old schema may write \"A\", \"B\", \"C\", \"D\", \"E\", \"F\", "
      "\"G\", "
      "\"H\", ..., which",
      "field"},
     {"keep", "leave"}},
    {R_OF(ENUM_OF("E", "\"A\"")),
     R_OF(ENUM_OF("x.F", "\"A\"")),
     {"field \"out.v\": the old schema writes enum x.F, which is neither the name nor an alias "
      "of "
      "the new one's enum s.E",
      "field \"out.v\": the new schema writes enum x.F"},
     {"keep the name, or put \"x.F\" into the \"aliases\" of s.E", "keep the name: aliases"}},
    {R_OF("{\"type\":\"fixed\",\"name\":\"F\",\"size\":8}"),
     R_OF("{\"type\":\"fixed\",\"name\":\"F\",\"size\":4}"),
     {"field \"out.v\": the old schema writes 4 bytes, the new one reads 8",
      "field \"out.v\": the new schema writes 4 bytes, the old one reads 8"},
     {"keep the size, or give", "keep the size, and give"}},
    {R_OF("\"int\""),
     "{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}",
     {"field \"out\" of the new schema is not in the old one, and has no default",
      "field \"out\" of the old schema is not in the new one, and has no default"},
     {"give it a \"default\"; if it is an old field with a new name",
      "keep the field under this name"}},
    {"[]",
     "[\"null\"]",
     {"the schema itself: the old schema may write null, which fits no branch of the new one's "
      "nothing (an empty union)",
      "the schema itself"},
     {"keep", "leave"}},
};

static void test_sentences(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(sentences) * 2; i++) {
        bool is_forward = i % 2;
        struct avro_schema *reader = schema_of(sentences[i / 2].reader);
        struct avro_schema *writer = schema_of(sentences[i / 2].writer);
        const struct avro_schema *old = is_forward ? reader : writer;
        struct avro_compat *compat = NULL;
        assert_int_equal(avro_compat_open(&compat, is_forward ? writer : reader, &old, 1,
                                          is_forward ? AVRO_MODE_FORWARD : AVRO_MODE_BACKWARD,
                                          NULL),
                         ERR_OK);
        assert_true(avro_compat_count(compat) > 0);
        const struct avro_finding *f = avro_compat_finding(compat, 0);
        char text[512] = "";
        struct out o = out_over(text, sizeof text - 1);
        avro_finding_put_sentence(f, &o);
        assert_starts(text, sentences[i / 2].sentence[is_forward]);
        memset(text, 0, sizeof text);
        o = out_over(text, sizeof text - 1);
        avro_finding_put_way_out(f, &o);
        assert_starts(text, sentences[i / 2].way_out[is_forward]);
        for (size_t size = 0; size < 8; size++) { /* shorter than any of them */
            o = out_over(text, size);
            avro_finding_put_location(f, &o);
            assert_true(o.size <= size);
            o = out_over(text, size);
            avro_finding_put_sentence(f, &o);
            assert_true(o.overflow && o.size <= size);
        }
        avro_compat_close(compat);
        avro_schema_close(writer);
        avro_schema_close(reader);
    }
}

static void test_second_source(void **state)
{
    (void)state;
    struct avro_schema *reader = schema_of(
        R_OF("{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"P\",\"fields\":"
             "[{\"name\":\"x\",\"type\":\"int\",\"aliases\":[\"y\"]}]}}"));
    const struct avro_schema *writer = schema_of(
        R_OF("{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"P\",\"fields\":"
             "[{\"name\":\"y\",\"type\":\"int\"},{\"name\":\"x\",\"type\":\"int\"}]}}"));
    struct avro_compat *compat = NULL;
    struct why why = {""};
    assert_int_equal(avro_compat_open(&compat, reader, &writer, 1, AVRO_MODE_FULL, &why),
                     ERR_CORRUPT);
    assert_null(compat);
    assert_string_equal(
        why.text, "/fields/0/type/fields/0/type/items/fields/0: this field could take its "
                  "value from \"x\" and from \"y\", which were both written: take the name that "
                  "is not meant out of its aliases");
    avro_schema_close(reader);
    avro_schema_close((struct avro_schema *)(uintptr_t)writer);
}

/* --- bounds --- */

struct text {
    char *data;
    size_t size;
};

static void PRINTF_LIKE(2, 3) put(struct text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(t->data + t->size, TEXT_SIZE_MAX - t->size, format, arguments);
    va_end(arguments);
    assert_true(size >= 0 && t->size + (size_t)size < TEXT_SIZE_MAX);
    t->size += (size_t)size;
}

/* A record whose field "z" leads through `count` records, each defined in a field named after the
 * side; "end" is at the end. */
static struct avro_schema *chain(char side, unsigned count, const char *end)
{
    struct text t = {malloc(TEXT_SIZE_MAX), 0};
    assert_non_null(t.data);
    put(&t, "{\"type\":\"record\",\"name\":\"R\",\"fields\":[");
    for (unsigned i = 0; i < count; i++) {
        put(&t, "{\"name\":\"%c%u\",\"default\":null,\"type\":[\"null\",", side, i);
        put(&t, "{\"type\":\"record\",\"name\":\"N%u\",\"fields\":[{\"name\":\"f\",\"type\":", i);
        if (i == 0) {
            put(&t, "\"%s\"}]}]},", end);
        } else {
            put(&t, "\"N%u\"}]}]},", i - 1);
        }
    }
    put(&t, "{\"name\":\"z\",\"type\":\"N%u\"}]}", count - 1);
    struct avro_schema *schema = schema_of(t.data);
    free(t.data);
    return schema;
}

static void test_depth(void **state)
{
    (void)state;
    static const unsigned counts[] = {AVRO_COMPAT_DEPTH_MAX - 2, AVRO_COMPAT_DEPTH_MAX - 1};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) { /* the record R and the end count, too */
        struct avro_schema *reader = chain('r', counts[i], "int");
        struct avro_schema *writer = chain('w', counts[i], "string");
        struct avro_compat *compat = NULL;
        struct why why = {""};
        enum err e = avro_compat_open_types(&compat, avro_schema_root(reader),
                                            avro_schema_root(writer), &why);
        assert_int_equal(e, i == 0 ? ERR_OK : ERR_REJECTED);
        if (i == 0) {
            uint8_t *memory = malloc(TEXT_SIZE_MAX);
            struct out o = out_over(memory, TEXT_SIZE_MAX);
            assert_int_equal(avro_compat_count(compat), 1);
            avro_finding_put_location(avro_compat_finding(compat, 0), &o);
            assert_int_equal(o.size,
                             strlen("/fields/1022/type") + counts[0] * strlen("/fields/0/type"));
            avro_finding_put_field(avro_compat_finding(compat, 0), &o);
            avro_compat_close(compat);
            free(memory);
        } else {
            assert_string_equal(why.text, "/: pairs of types nest deeper than 1024");
        }
        avro_schema_close(writer);
        avro_schema_close(reader);
    }
}

/* A union of `count` records with names of their own. */
static struct avro_schema *wide(char side, unsigned count)
{
    struct text t = {malloc(TEXT_SIZE_MAX), 0};
    assert_non_null(t.data);
    for (unsigned i = 0; i < count; i++) {
        put(&t, "%c{\"type\":\"record\",\"name\":\"%c%u\",\"fields\":[]}", i == 0 ? '[' : ',', side,
            i);
    }
    put(&t, "]");
    struct avro_schema *schema = schema_of(t.data);
    free(t.data);
    return schema;
}

static void test_pairs(void **state)
{
    (void)state;
    static const unsigned counts[] = {255, 256};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct avro_schema *reader = wide('r', counts[i]);
        struct avro_schema *writer = wide('w', counts[i]);
        struct avro_compat *compat = NULL;
        struct why why = {""};
        enum err e = avro_compat_open_types(&compat, avro_schema_root(reader),
                                            avro_schema_root(writer), &why);
        assert_int_equal(e, i == 0 ? ERR_OK : ERR_REJECTED);
        if (i == 0) {
            assert_int_equal(avro_compat_count(compat), 255);
            assert_false(avro_compat_is_cut(compat));
        } else {
            assert_string_equal(why.text, "/: more than 65536 pairs of types to compare");
        }
        avro_compat_close(compat);
        avro_schema_close(writer);
        avro_schema_close(reader);
    }
}

/* Each record has the one before it twice: what the first lacks is told 2 to the power of `count`
 * times. */
static struct avro_schema *doubling(unsigned count, const char *end)
{
    struct text t = {malloc(TEXT_SIZE_MAX), 0};
    assert_non_null(t.data);
    for (unsigned i = count; i > 0; i--) {
        put(&t, "{\"type\":\"record\",\"name\":\"D%u\",\"fields\":[{\"name\":\"a\",\"type\":", i);
    }
    put(&t, "{\"type\":\"record\",\"name\":\"D0\",\"fields\":[{\"name\":\"e\",\"type\":\"%s\"}]}",
        end);
    for (unsigned i = 1; i <= count; i++) {
        put(&t, "},{\"name\":\"b\",\"type\":\"D%u\"}]}", i - 1);
    }
    struct avro_schema *schema = schema_of(t.data);
    free(t.data);
    return schema;
}

static void test_findings(void **state)
{
    (void)state;
    static const struct {
        unsigned count;
        unsigned found;
        bool is_cut;
    } cases[] = {{0, 1, false}, {12, 4096, false}, {13, 4096, true}, {20, 4096, true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct avro_schema *reader = doubling(cases[i].count, "int");
        struct avro_schema *writer = doubling(cases[i].count, "string");
        struct avro_compat *compat = NULL;
        assert_int_equal(avro_compat_open_types(&compat, avro_schema_root(reader),
                                                avro_schema_root(writer), NULL),
                         ERR_OK);
        assert_int_equal(avro_compat_count(compat), cases[i].found);
        assert_int_equal(avro_compat_is_cut(compat), cases[i].is_cut);
        avro_compat_close(compat);
        avro_schema_close(writer);
        avro_schema_close(reader);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    /* Enough that tables, lists and arenas grow. */
    struct avro_schema *schemas[] = {wide('r', 20), wide('w', 20), doubling(6, "int"),
                                     doubling(6, "string")};
    for (size_t i = 0; i < ARRAY_COUNT(schemas); i += 2) {
        const struct avro_schema *old = schemas[i + 1];
        for (unsigned n = 1;; n++) {
            struct avro_compat *compat = NULL;
            struct why why = {""};
            fault_alloc_set(n);
            enum err e = avro_compat_open(&compat, schemas[i], &old, 1, AVRO_MODE_FULL, &why);
            bool happened = fault_alloc_happened();
            fault_alloc_set(0);
            assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
            avro_compat_close(compat);
            if (!happened) {
                assert_true(n > 8);
                break;
            }
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(schemas); i++) {
        avro_schema_close(schemas[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_modes),
        cmocka_unit_test(test_mode_names),    cmocka_unit_test(test_sentences),
        cmocka_unit_test(test_second_source), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_pairs),         cmocka_unit_test(test_findings),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
