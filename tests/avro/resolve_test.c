/* Schema resolution, a test for each rule of the specification. Schemas are written with ' for ". */
#include "uplink/avro/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/avro/help.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/decode.h"

#define DATUM_SIZE_MAX 2048

struct pair {
    struct avro_schema *writer;
    struct avro_schema *reader;
    struct avro_resolver *resolver;
};

static struct avro_schema *quoted(const char *text)
{
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    struct avro_schema *schema = schema_of(copy);
    free(copy);
    return schema;
}

static struct pair pair_open(const char *writer, const char *reader)
{
    struct why why = {""};
    struct pair pair = {.writer = quoted(writer), .reader = quoted(reader)};
    assert_int_equal(avro_resolver_open(&pair.resolver, pair.writer, pair.reader, &why), ERR_OK);
    return pair;
}

static void pair_close(struct pair *pair)
{
    avro_resolver_close(pair->resolver);
    avro_schema_close(pair->writer);
    avro_schema_close(pair->reader);
}

/* Resolves the hex digits of one datum, behind which `more` may stand; gives those of the other, or
 * the reason. */
static const char *resolved(const struct pair *pair, const char *hex, const char *more,
                            enum err *ret_e)
{
    static struct why why;
    static uint8_t result[DATUM_SIZE_MAX];
    uint8_t memory[DATUM_SIZE_MAX];
    struct out datum = out_over(memory, sizeof memory);
    struct out out = out_over(result, sizeof result);
    why = (struct why){""};
    hex_put(&datum, hex);
    hex_put(&datum, more);
    struct slice rest = out_slice(&datum);
    *ret_e = avro_resolve(pair->resolver, &rest, &out, &why);
    assert_int_equal(rest.size, *ret_e ? datum.size : strlen(more) / 2);
    if (*ret_e) {
        return why.text;
    }
    struct slice whole = out_slice(&out); /* it is a datum of the reader's */
    assert_int_equal(avro_skip(avro_schema_root(pair->reader), &whole), ERR_OK);
    assert_int_equal(whole.size, 0);
    return hex_of(out_slice(&out));
}

#define RECORD(name, fields) "{'type':'record','name':'" name "','fields':[" fields "]}"
#define FIELD(name, type) "{'name':'" name "','type':" type "}"
#define ENUM(name, symbols, more) \
    "{'type':'enum','name':'" name "','symbols':[" symbols "]" more "}"
#define FIXED(name, size, more) "{'type':'fixed','name':'" name "','size':" size more "}"
#define ARRAY(items) "{'type':'array','items':" items "}"
#define DECIMAL(precision, scale) \
    "{'type':'bytes','logicalType':'decimal','precision':" precision ",'scale':" scale "}"

static const struct {
    const char *writer;
    const char *reader;
    const char *from;
    const char *to;
} accepted[] = {
    {"'null'", "'null'", "", ""},
    {"'boolean'", "'boolean'", "01", "01"},
    /* promotions */
    {"'int'", "'long'", "7f", "7f"},
    {"'int'", "'float'", "06", "00004040"},
    {"'int'", "'double'", "06", "0000000000000840"},
    {"'long'", "'float'", "8080808020", "0000804f"},
    {"'long'", "'double'", "feffffffffffffffff01", "000000000000e043"},
    {"'float'", "'double'", "0000c03f", "000000000000f83f"},
    {"'string'", "'bytes'", "04c3bc", "04c3bc"},
    {"'bytes'", "'string'", "04c3bc", "04c3bc"},
    {ARRAY("'int'"), ARRAY("'float'"), "02060304080a00", "020000404004000080400000a04000"},
    {"{'type':'map','values':'int'}", "{'type':'map','values':'double'}", "02026b0600",
     "02026b000000000000084000"},
    /* names without namespace, aliases */
    {FIXED("a.F", "2", ""), FIXED("b.F", "2", ""), "0102", "0102"},
    {FIXED("a.F", "2", ""), FIXED("G", "2", ",'aliases':['a.F']"), "0102", "0102"},
    {FIXED("a.F", "2", ""), FIXED("a.G", "2", ",'aliases':['F']"), "0102", "0102"},
    {ENUM("E", "'A','B'", ""), ENUM("x.E", "'B','A'", ""), "00", "02"},
    {ENUM("E", "'A','B','C'", ""), ENUM("E", "'C','D'", ",'default':'D'"), "02", "02"},
    {ENUM("E", "'A','B'", ",'default':'A'"), ENUM("E", "'B'", ""), "02", "00"},
    /* fields: passed over, added, in another order, renamed */
    {RECORD("R", FIELD("a", "'int'") "," FIELD("b", "'string'") "," FIELD("c", "'long'")),
     RECORD("R", FIELD("b", "'bytes'")), "0204616206", "046162"},
    {RECORD("R", FIELD("a", "'int'")),
     RECORD("n.R", "{'name':'z','type':'string','default':'x'}," FIELD("a", "'double'")), "02",
     "0278000000000000f03f"},
    {RECORD("R", FIELD("a", "'int'") "," FIELD("b", "'string'") "," FIELD("c", "'long'")),
     RECORD("R", FIELD("c", "'long'") "," FIELD("a", "'long'")), "0204616206", "0602"},
    {RECORD("R", FIELD("a", "'int'")),
     "{'type':'record','name':'S','aliases':['R'],'fields':[{'name':'b','type':'int','aliases':["
     "'x','a']}]}",
     "02", "02"},
    /* an alias does not take what a name has, and two may want the same */
    {RECORD("R", FIELD("a", "'int'") "," FIELD("b", "'int'")),
     RECORD("R", "{'name':'b','type':'int','aliases':['a']}"), "0204", "04"},
    {RECORD("R", FIELD("a", "'int'")),
     RECORD("R", FIELD("a", "'int'") ",{'name':'b','type':'long','aliases':['a']}"), "06", "0606"},
    /* as though it were named b: the new a is another one */
    {RECORD("R", FIELD("a", "'int'")),
     RECORD("R", "{'name':'a','type':'string','default':'x'},"
                 "{'name':'b','type':'long','aliases':['a']}"),
     "06", "027806"},
    {RECORD("R", FIELD("a", RECORD("I", FIELD("x", "'int'") "," FIELD("y", "'int'"))) "," FIELD(
                     "b", "'int'")),
     RECORD("R", FIELD("b", "'int'") "," FIELD(
                     "a", RECORD("I", FIELD("y", "'int'") "," FIELD("x", "'long'")))),
     "020406", "060402"},
    {RECORD("R", FIELD("a", "'null'") "," FIELD("b", "'null'")),
     RECORD("R", FIELD("b", "'null'") "," FIELD("a", "['null']")), "", "00"},
    {RECORD("R", FIELD("a", "'int'") "," FIELD("b", "'int'")),
     RECORD("R", "{'name':'b','type':'int','aliases':['a']},"
                 "{'name':'c','type':'int','aliases':['b']}"),
     "0204", "0204"},
    /* unions on either side and on both */
    {"['null','int']", "'int'", "0206", "06"},
    {"'int'", "['null','int']", "06", "0206"},
    {"'int'", "['null','long','int']", "06", "0406"},
    {"'int'", "['null','double','long']", "06", "020000000000000840"},
    {"['null','string','int']", "['null','float','double']", "0406", "0200004040"},
    {"'string'", "['null','bytes']", "0261", "020261"},
    {"['int','string','null']", "['null','string','int']", "020261", "020261"},
    {"['int','string','null']", "['null','string','int']", "04", "00"},
    {"['int','string','null']", "['null','string','int']", "0006", "0406"},
    /* the same name: the namespace decides, then the place */
    {"[" FIXED("a.F", "1", "") "," FIXED("b.F", "1", "") "]",
     "[" FIXED("b.F", "1", "") "," FIXED("a.F", "1", "") "]", "0207", "0007"},
    {"[" FIXED("a.F", "1", "") "," FIXED("b.F", "1", "") "]",
     "[" FIXED("c.F", "1", "") "," FIXED("d.F", "1", "") "]", "0207", "0207"},
    {FIXED("a.F", "1", ""), "[" FIXED("c.F", "2", "") "," FIXED("d.F", "1", "") "]", "07", "0207"},
    /* recursion */
    {RECORD("L", FIELD("v", "'int'") "," FIELD("n", "['null','L']")),
     RECORD("L", FIELD("n", "['null','L']") "," FIELD(
                     "v", "'long'") ","
                                    "{'name':'w','type':'int','default':-1}"),
     "02020400", "020004010201"},
    {DECIMAL("4", "2"), DECIMAL("6", "2"), "020a", "020a"},
};

static void test_accepted(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(accepted); i++) {
        struct pair pair = pair_open(accepted[i].writer, accepted[i].reader);
        enum err e;
        const char *got = resolved(&pair, accepted[i].from, "ee", &e);
        if (e || strcmp(got, accepted[i].to) != 0) {
            fail_msg("%s as %s: %s", accepted[i].writer, accepted[i].reader, got);
        }
        pair_close(&pair);
    }
}

static const struct {
    const char *writer;
    const char *reader;
    const char *from;
    enum err e;
    const char *why;
} refused[] = {
    {"'long'", "'int'", "02", ERR_REJECTED, "byte 0: the writer's long can't be read as int"},
    {"'double'", "'float'", "0000000000000000", ERR_REJECTED, "byte 0: the writer's double"},
    {"'boolean'", "'int'", "00", ERR_REJECTED, "byte 0: the writer's boolean"},
    {"'int'", "'string'", "00", ERR_REJECTED, "byte 0: the writer's int"},
    {"'string'", ENUM("E", "'A'", ""), "00", ERR_REJECTED, "byte 0: the writer's string"},
    {"'bytes'", FIXED("F", "1", ""), "0200", ERR_REJECTED, "byte 0: the writer's bytes"},
    {"'bytes'", "'string'", "02ff", ERR_REJECTED, "byte 2: the writer's bytes are no UTF-8"},
    {ARRAY("'int'"), "{'type':'map','values':'int'}", "00", ERR_REJECTED, "byte 0: the writer's"},
    {ARRAY("'string'"), ARRAY("'int'"), "020261", ERR_REJECTED, "byte 1: the writer's string"},
    {FIXED("F", "1", ""), FIXED("G", "1", ""), "00", ERR_REJECTED,
     "byte 0: the writer's fixed is F, the reader's is G"},
    /* an alias of the writer's counts for nothing, and one with another namespace neither */
    {FIXED("F", "1", ",'aliases':['G']"), FIXED("G", "1", ""), "00", ERR_REJECTED, "byte 0: the"},
    {FIXED("a.F", "1", ""), FIXED("G", "1", ",'aliases':['F']"), "00", ERR_REJECTED, "byte 0: the"},
    {FIXED("F", "1", ""), FIXED("F", "2", ""), "00", ERR_REJECTED,
     "byte 0: the writer's fixed F has 1 bytes, the reader's has 2"},
    {ENUM("E", "'A'", ""), ENUM("D", "'A'", ""), "00", ERR_REJECTED, "byte 0: the writer's enum"},
    {ENUM("E", "'A','B'", ",'default':'A'"), ENUM("E", "'A'", ""), "02", ERR_REJECTED,
     "byte 1: the reader's enum E has no symbol B, and no default"},
    {RECORD("R", ""), RECORD("S", ""), "", ERR_REJECTED, "byte 0: the writer's record is R"},
    {RECORD("R", FIELD("a", "'int'")), RECORD("R", FIELD("b", "'int'")), "02", ERR_REJECTED,
     "byte 0: the writer's record R has no field b, and the reader's has no default"},
    {"['null','int']", "'int'", "00", ERR_REJECTED, "byte 1: the writer's null can't be read"},
    {"['null','string']", "['null','int']", "0200", ERR_REJECTED,
     "byte 1: no branch of the reader's union takes the writer's string"},
    {DECIMAL("4", "2"), DECIMAL("4", "1"), "020a", ERR_REJECTED, "byte 0: the writer's decimal"},
    /* what is no datum at all */
    {"'int'", "'double'", "8080808080", ERR_CORRUPT, "byte 0: not an int"},
    {"'int'", "['double']", "", ERR_CORRUPT, "byte "},
    {"['int']", "'int'", "0202", ERR_CORRUPT, "byte 1: not a branch's index"},
    {"['null']", "'null'", "02", ERR_CORRUPT, "byte "},
    {ENUM("E", "'A'", ""), ENUM("E", "'A','B'", ""), "02", ERR_CORRUPT, "byte "},
    {ARRAY("'int'"), ARRAY("'long'"), "06", ERR_CORRUPT, "byte "},
    {"'string'", "'bytes'", "02ff", ERR_CORRUPT, "byte 2: a string that is not UTF-8"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct pair pair = pair_open(refused[i].writer, refused[i].reader);
        enum err e;
        const char *why = resolved(&pair, refused[i].from, "", &e);
        if (e != refused[i].e) {
            fail_msg("%s as %s: %s", refused[i].writer, refused[i].reader, why);
        }
        assert_starts(why, refused[i].why);
        pair_close(&pair);
    }
}

/* --- bounds --- */

#define TEXT_SIZE_MAX ((size_t)256 * 1024)

static struct out text_begin(const char *text)
{
    struct out o = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    out_put_text(&o, text);
    return o;
}

static struct avro_schema *text_end(struct out *o)
{
    out_put_byte(o, 0);
    assert_false(o->overflow);
    struct avro_schema *schema = quoted((const char *)o->data);
    free(o->data);
    return schema;
}

/* Each record holds the one before: plans within plans, 2000 deep. */
static void test_deep_types(void **state)
{
    (void)state;
    struct avro_resolver *resolver = NULL;
    struct why why = {""};
    struct out o = text_begin("{'type':'record','name':'Z','fields':[{'name':'f','type':"
                              "{'type':'record','name':'R0','fields':[]}}");
    for (int i = 1; i < 2000; i++) {
        out_put_format(&o, ",{'name':'f%d','type':{'type':'record','name':'R%d','fields':[", i, i);
        out_put_format(&o, "{'name':'f','type':'R%d'}]}}", i - 1);
    }
    out_put_text(&o, "]}");
    struct avro_schema *schema = text_end(&o);
    assert_int_equal(avro_resolver_open(&resolver, schema, schema, &why), ERR_OK);
    uint8_t memory[8];
    struct out out = out_over(memory, sizeof memory);
    struct slice data = {memory, 0};
    assert_int_equal(avro_resolve(resolver, &data, &out, &why), ERR_CORRUPT);
    assert_non_null(strstr(why.text, "nested too deeply"));
    avro_resolver_close(resolver);
    avro_schema_close(schema);
}

/* A ring of `count` records of the same name: each with each of another ring. */
static struct avro_schema *ring(int count)
{
    struct out o = text_begin("{'type':'record','name':'n0.R','fields':[");
    for (int i = 1; i < count; i++) {
        out_put_format(&o,
                       "{'name':'d%d','default':null,'type':['null',{'type':'record','name':'n%d.R'"
                       ",'fields':[{'name':'a','type':'n%d.R'}]}]},",
                       i, i, i - 1);
    }
    out_put_format(&o, "{'name':'a','type':['null','n%d.R']}]}", count - 1);
    return text_end(&o);
}

static void test_many_pairs(void **state)
{
    (void)state;
    struct avro_resolver *resolver = NULL;
    struct why why = {""};
    struct avro_schema *writer = ring(300);
    struct avro_schema *reader = ring(301);
    assert_int_equal(avro_resolver_open(&resolver, writer, reader, &why), ERR_REJECTED);
    assert_null(resolver);
    assert_non_null(strstr(why.text, "too large"));
    avro_schema_close(writer);
    avro_schema_close(reader);
}

/* Many records of one name, each to be compared with one of very many aliases. */
static void test_many_names(void **state)
{
    (void)state;
    struct avro_resolver *resolver = NULL;
    struct why why = {""};
    struct out o = text_begin("{'type':'record','name':'W','fields':[");
    for (int i = 0; i < 200; i++) {
        out_put_format(&o, "%s{'name':'f%d','type':{'type':'record','name':'n%d.R','fields':[",
                       i ? "," : "", i, i);
        for (int field = 0; field < 30; field++) {
            out_put_format(&o, "%s{'name':'a%d','type':'int'}", field ? "," : "", field);
        }
        out_put_text(&o, "]}}");
    }
    out_put_text(&o, "]}");
    struct avro_schema *writer = text_end(&o);
    o = text_begin("{'type':'record','name':'W','fields':[{'name':'f0','type':"
                   "{'type':'record','name':'R','fields':[{'name':'b','type':'int','default':0,"
                   "'aliases':['x'");
    for (int i = 0; i < 40000; i++) {
        out_put_text(&o, ",'y'");
    }
    out_put_text(&o, "]}]}}");
    for (int i = 1; i < 200; i++) {
        out_put_format(&o, ",{'name':'f%d','type':'R'}", i);
    }
    out_put_text(&o, "]}");
    struct avro_schema *reader = text_end(&o);
    assert_int_equal(avro_resolver_open(&resolver, writer, reader, &why), ERR_REJECTED);
    assert_non_null(strstr(why.text, "too large"));
    avro_schema_close(writer);
    avro_schema_close(reader);
}

/* Data that nest, in a recursive record whose fields change their order. */
static void test_deep_data(void **state)
{
    (void)state;
    struct pair pair =
        pair_open("{'type':'record','name':'L','fields':[{'name':'v','type':'int'},"
                  "{'name':'n','type':['null','L']}]}",
                  "{'type':'record','name':'L','fields':[{'name':'n','type':['null','L']},"
                  "{'name':'v','type':'int'}]}");
    char hex[2 * 4 * AVRO_NEST_MAX + 8] = "";
    enum err e;
    for (int depth = 1; depth <= 2 * AVRO_NEST_MAX; depth++) {
        struct out o = out_over(hex, sizeof hex - 1);
        for (int i = 0; i < depth; i++) {
            out_put_text(&o, i ? "0206" : "06");
        }
        out_put_text(&o, "00");
        hex[o.size] = 0;
        const char *got = resolved(&pair, hex, "", &e);
        if (depth > AVRO_NEST_MAX) {
            assert_int_equal(e, ERR_CORRUPT);
            assert_non_null(strstr(got, "nested too deeply"));
        } else if (depth < AVRO_NEST_MAX / 2) {
            assert_int_equal(e, ERR_OK);
        }
    }
    assert_string_equal(resolved(&pair, "06020000", "", &e), "02000006");
    pair_close(&pair);
}

/* A few bytes that mean very many values, with and without a field's default for each. */
static void test_empty_data(void **state)
{
    (void)state;
    struct why why = {""};
    struct pair pair = pair_open(
        ARRAY("{'type':'record','name':'R','fields':[]}"),
        ARRAY("{'type':'record','name':'R','fields':[{'name':'a','type':'long','default':-1}]}"));
    uint8_t memory[16];
    uint8_t *result = malloc(AVRO_EMPTY_MAX + 16);
    assert_non_null(result);
    for (int more = -1; more <= 1; more++) {
        struct out data = out_over(memory, sizeof memory);
        struct out out = out_over(result, AVRO_EMPTY_MAX + 16);
        out_put_varint(&data, AVRO_EMPTY_MAX + more);
        out_put_varint(&data, 0);
        struct slice rest = out_slice(&data);
        assert_int_equal(avro_resolve(pair.resolver, &rest, &out, &why),
                         more > 0 ? ERR_CORRUPT : ERR_OK);
        rest = out_slice(&data); /* stops soon where there is no room */
        out = out_over(result, 100);
        assert_int_equal(avro_resolve(pair.resolver, &rest, &out, &why), ERR_FULL);
        assert_int_equal(rest.size, data.size);
    }
    free(result);
    pair_close(&pair);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct avro_schema *schema = ring(40);
    for (unsigned n = 1;; n++) {
        struct avro_resolver *resolver = NULL;
        struct why why = {""};
        fault_alloc_set(n);
        enum err e = avro_resolver_open(&resolver, schema, schema, &why);
        bool happened = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, happened ? ERR_NOMEM : ERR_OK);
        avro_resolver_close(resolver);
        if (!happened) {
            assert_true(n > 4);
            break;
        }
    }
    avro_schema_close(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),   cmocka_unit_test(test_refused),
        cmocka_unit_test(test_deep_types), cmocka_unit_test(test_many_pairs),
        cmocka_unit_test(test_many_names), cmocka_unit_test(test_deep_data),
        cmocka_unit_test(test_empty_data), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
