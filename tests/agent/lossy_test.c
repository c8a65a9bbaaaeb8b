/* What a user gives up of a stream's fields: rounding to a step, report by exception, which entries
 * are right for a schema, and what its doc says of them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lossy.h"
#include "agent/quantize.h"
#include "tests/cmocka.h"
#include "tests/fault_alloc.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

static struct option_decimal decimal(int64_t mantissa, uint8_t scale)
{
    return (struct option_decimal){mantissa, scale, true};
}

/* --- rounding --- */

static void assert_rounds(double value, int64_t mantissa, uint8_t scale, double expected)
{
    struct option_decimal step = decimal(mantissa, scale);
    double rounded = quantize_double(value, &step);
    if (memcmp(&rounded, &expected, sizeof rounded) != 0) {
        fail_msg("%.17g by %lld/10^%u: %.17g, not %.17g", value, (long long)mantissa, scale,
                 rounded, expected);
    }
}

static void doubles_become_the_nearest_multiple(void **state)
{
    (void)state;
    assert_rounds(23.47, 5, 2, 23.45); /* not 23.450000000000003 */
    assert_rounds(23.48, 5, 2, 23.5);
    assert_rounds(-23.47, 5, 2, -23.45);
    assert_rounds(0.3, 1, 1, 0.3);
    assert_rounds(1234.5678, 1, 2, 1234.57);
    assert_rounds(1234.5678, 100, 0, 1200);
    assert_rounds(7, 25, 1, 7.5);
    assert_rounds(-0.01, 5, 2, 0.0); /* and not -0 */
    assert_rounds(-0.0, 5, 2, 0.0);
    assert_rounds(0.145, 1, 2, 0.15); /* half by its decimals, whatever its binary fraction is */
    assert_rounds(1.005, 1, 2, 1.01);
    assert_rounds(-1.005, 1, 2, -1.01);
    assert_rounds(2.5, 1, 0, 3);
    assert_rounds(1e15, 1, 0, 1e15);
    assert_rounds(1e16, 1, 2, 1e16); /* as it is */
    assert_rounds(1e308, 1, 15, 1e308);
    assert_rounds((double)INFINITY, 1, 2, (double)INFINITY);
    assert_rounds(-(double)INFINITY, 1, 2, -(double)INFINITY);
    struct option_decimal step = decimal(1, 2);
    assert_true(isnan(quantize_double((double)NAN, &step)));
    assert_rounds(5e-324, 1, 15, 0.0);
}

/* Of many numbers: no further away than half a step, printed with no more decimals than the step has,
 * and as it is when it is rounded again. */
static void rounding_holds_what_it_says(void **state)
{
    static const struct option_decimal steps[] = {{5, 2, true}, {1, 3, true},   {25, 2, true},
                                                  {3, 0, true}, {125, 3, true}, {1, 9, true}};
    uint64_t random = 88172645463325252u;
    (void)state;
    for (size_t i = 0; i < 200000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const struct option_decimal *step = &steps[i % 6];
        double width = (double)step->mantissa / pow(10, step->scale);
        double value = ((double)(int64_t)random / 9.3e18) * pow(10, (double)(random % 7));
        double rounded = quantize_double(value, step);
        uint8_t text[40];
        struct out o = out_over(text, sizeof text);
        number_put_double(&o, rounded);
        struct number_size size;
        assert_true(number_size_of(out_slice(&o), &size));
        assert_true(size.behind <= step->scale);
        assert_true(fabs(value - rounded) <= width / 2 + fabs(value) * 0x1p-48);
        double again = quantize_double(rounded, step);
        assert_memory_equal(&again, &rounded, sizeof again);
    }
}

static void whole_numbers_stay_within_their_type(void **state)
{
    (void)state;
    assert_int_equal(quantize_long(12, 5, INT64_MIN, INT64_MAX), 10);
    assert_int_equal(quantize_long(13, 5, INT64_MIN, INT64_MAX), 15);
    assert_int_equal(quantize_long(-13, 5, INT64_MIN, INT64_MAX), -15);
    assert_int_equal(quantize_long(5, 10, INT64_MIN, INT64_MAX), 10);
    assert_int_equal(quantize_long(-5, 10, INT64_MIN, INT64_MAX), -10);
    assert_int_equal(quantize_long(0, 10, INT64_MIN, INT64_MAX), 0);
    assert_int_equal(quantize_long(INT32_MAX, 10, INT32_MIN, INT32_MAX), 2147483640);
    assert_int_equal(quantize_long(INT32_MIN, 10, INT32_MIN, INT32_MAX), -2147483640);
    assert_true(quantize_long(INT64_MAX, 10, INT64_MIN, INT64_MAX) == INT64_MAX - 7);
    assert_true(quantize_long(INT64_MIN, 10, INT64_MIN, INT64_MAX) == INT64_MIN + 8);
    assert_int_equal(quantize_long(3, 999999999999999, INT64_MIN, INT64_MAX), 0);
}

/* --- a stream with fields --- */

#define SCHEMA \
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":[" \
    "{\"name\":\"ts\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}}," \
    "{\"name\":\"id\",\"type\":\"string\",\"doc\":\"\"}," \
    "{\"name\":\"t\",\"type\":[\"null\",\"double\"],\"doc\":\"air, \\\"dry\\\"\"}," \
    "{\"name\":\"p\",\"type\":\"float\"}," \
    "{\"name\":\"n\",\"type\":\"long\",\"doc\":\"\"}," \
    "{\"name\":\"s\",\"type\":[\"null\",\"string\"],\"default\":null}," \
    "{\"name\":\"parts\",\"type\":[\"null\",{\"type\":\"array\",\"items\":{\"type\":\"record\"," \
    "\"name\":\"P\",\"fields\":[{\"name\":\"x\",\"type\":\"int\"}]}}],\"default\":null}," \
    "{\"name\":\"d\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9," \
    "\"scale\":2},\"default\":\"\"}]}"

#define FIELD_MAX 20

struct scene {
    struct avro_schema *schema;
    struct config_stream stream;
    struct stream_field fields[FIELD_MAX];
    const char *names[FIELD_MAX];
    struct lossy *lossy;
    struct mapper *mapper;
    uint8_t memory[4096];
    int64_t time_us;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(avro_schema_parse(&s->schema, SLICE(SCHEMA), NULL), ERR_OK);
    assert_int_equal(mapper_open(&s->mapper), ERR_OK);
    s->stream = (struct config_stream){
        .name = "r",
        .options = {.key = "id", .fields = {s->names, s->fields, 0}, .max_interval_ms = 60000}};
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    lossy_close(s->lossy);
    mapper_close(s->mapper);
    avro_schema_close(s->schema);
    free(s);
    return 0;
}

static struct stream_field *add(struct scene *s, const char *name)
{
    size_t index = s->stream.options.fields.count++;
    assert_true(index < FIELD_MAX);
    s->names[index] = name;
    return &s->fields[index];
}

static void open_it(struct scene *s)
{
    assert_int_equal(lossy_open(&s->lossy, &s->stream), ERR_OK);
    assert_non_null(s->lossy);
    lossy_schema_set(s->lossy, s->schema);
}

/* Is the event held back? What is not, is stored. */
static bool is_held(struct scene *s, const char *json)
{
    struct why why = {""};
    struct map_result result;
    struct out datum = out_over(s->memory, sizeof s->memory);
    struct map_task task = {.record = avro_schema_root(s->schema),
                            .body_kind = BODY_JSON,
                            .body = slice_of_text(json),
                            .steps = s->lossy->steps,
                            .step_count = s->lossy->step_count,
                            .field_ends = deadband_ends(s->lossy->deadband)};
    if (map_run(s->mapper, &task, &datum, &result, &why)) {
        fail_msg("%s: %s", json, why.text);
    }
    bool holds = deadband_holds(s->lossy->deadband, out_slice(&datum), s->time_us);
    if (!holds) {
        deadband_reported(s->lossy->deadband);
    }
    return holds;
}

static bool is_held_with(struct scene *s, const char *id, const char *t, const char *rest)
{
    char json[1024];
    (void)snprintf(json, sizeof json, "{\"ts\":%lld,\"id\":\"%s\",\"t\":%s,\"p\":0,\"n\":1%s}",
                   (long long)s->time_us, id, t, rest);
    return is_held(s, json);
}

static bool t_is_held(struct scene *s, const char *t)
{
    return is_held_with(s, "a", t, "");
}

static void a_band_lies_around_the_value_reported_last(void **state)
{
    struct scene *s = *state;
    add(s, "t")->deadband = decimal(2, 1);
    open_it(s);
    assert_false(t_is_held(s, "20.0"));
    assert_true(t_is_held(s, "20.1"));
    assert_true(t_is_held(s, "20.2")); /* the band itself is within */
    assert_true(t_is_held(s, "19.8"));
    assert_false(t_is_held(s, "20.21"));
    assert_true(t_is_held(s, "20.41")); /* of 20.21: no creeping */
    assert_false(t_is_held(s, "20.42"));
    assert_false(t_is_held(s, "null"));
    assert_true(t_is_held(s, "null"));
    assert_false(t_is_held(s, "20.42"));
    assert_false(t_is_held(s, "\"NaN\""));
    assert_true(t_is_held(s, "\"NaN\""));
    assert_false(t_is_held(s, "19.9"));
    assert_true(t_is_held(s, "20.1")); /* 0.2 by their decimals, more by their bits */
    assert_false(t_is_held(s, "1e300"));
    assert_false(t_is_held(s, "-1e300"));
}

static void each_key_is_a_series_and_all_else_counts(void **state)
{
    struct scene *s = *state;
    add(s, "t")->deadband = decimal(1, 0);
    open_it(s);
    assert_false(is_held_with(s, "a", "5", ""));
    assert_false(is_held_with(s, "b", "5", ""));
    assert_true(is_held_with(s, "a", "6", ""));
    assert_true(is_held_with(s, "b", "4", ""));
    s->time_us += 1000; /* another "ts" as well: that is no change */
    assert_true(is_held_with(s, "a", "5", ""));
    assert_false(is_held_with(s, "a", "5", ",\"s\":\"on\""));
    assert_true(is_held_with(s, "a", "5", ",\"s\":\"on\""));
    assert_false(is_held_with(s, "a", "5", ",\"s\":\"off\""));
    assert_false(is_held_with(s, "a", "5", ",\"parts\":[{\"x\":1}]"));
    assert_false(is_held_with(s, "a", "5", ",\"parts\":[{\"x\":2}]"));
    assert_true(is_held_with(s, "b", "4", ""));
}

static void several_bands_and_fields_that_do_not_count(void **state)
{
    struct scene *s = *state;
    add(s, "p")->deadband = decimal(1, 1);
    add(s, "n")->deadband = decimal(25, 1); /* of whole numbers: 2 */
    add(s, "s")->ignore_changes = true;
    struct stream_field *t = add(s, "t");
    t->deadband = decimal(0, 0);
    t->quantize = decimal(5, 1);
    open_it(s);
    assert_false(is_held(s, "{\"ts\":1,\"id\":\"a\",\"t\":1,\"p\":20.1,\"n\":10,\"s\":\"1\"}"));
    assert_true(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1,\"p\":20.2,\"n\":12,\"s\":\"2\"}"));
    assert_true(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1.2,\"p\":20,\"n\":8}")); /* rounded */
    assert_false(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1,\"p\":20.1,\"n\":13}"));
    assert_false(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1.3,\"p\":20.1,\"n\":13}"));
    assert_false(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1.3,\"p\":20.3,\"n\":13}"));
    assert_false(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1.3,\"p\":20.3,"
                            "\"n\":-9223372036854775808}"));
    assert_false(is_held(s, "{\"ts\":2,\"id\":\"a\",\"t\":1.3,\"p\":20.3,"
                            "\"n\":9223372036854775807}"));
}

static void after_the_longest_interval_it_is_reported(void **state)
{
    struct scene *s = *state;
    add(s, "t")->deadband = decimal(1, 0);
    open_it(s);
    assert_false(t_is_held(s, "5"));
    s->time_us = 59999999;
    assert_true(t_is_held(s, "5"));
    s->time_us = 60000000;
    assert_false(t_is_held(s, "5"));
    s->time_us = 119999999;
    assert_true(t_is_held(s, "5"));
    s->time_us = 1; /* the clock went back: nearly as long ago, */
    assert_true(t_is_held(s, "5"));
    s->time_us = 0; /* and as long */
    assert_false(t_is_held(s, "5"));
    s->time_us = INT64_MAX;
    assert_false(t_is_held(s, "5"));
    s->time_us = INT64_MIN;
    assert_false(t_is_held(s, "5"));
    lossy_schema_set(s->lossy, s->schema);
    assert_false(t_is_held(s, "5"));
    assert_true(t_is_held(s, "5"));
}

/* The table is full: what has no place is reported each time; places come free with time. */
static void too_many_series_are_all_reported(void **state)
{
    struct scene *s = *state;
    char id[64];
    size_t held = 0;
    add(s, "t")->deadband = decimal(1, 0);
    open_it(s);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3 * DEADBAND_SERIES_MAX; i++) {
            (void)snprintf(id, sizeof id, "device-%u", i);
            held += is_held_with(s, id, "5", "");
        }
        assert_true(round ? held > DEADBAND_SERIES_MAX * 9 / 10 && held <= DEADBAND_SERIES_MAX
                          : held == 0);
    }
    s->time_us += 60000000;
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(id, sizeof id, "new-%u", i);
        assert_false(is_held_with(s, id, "5", ""));
        assert_true(is_held_with(s, id, "5", ""));
    }
}

static void what_is_too_long_for_the_table_is_reported(void **state)
{
    struct scene *s = *state;
    char id[DEADBAND_KEY_SIZE_MAX + 2];
    char text[DEADBAND_REST_SIZE_MAX + 32];
    add(s, "t")->deadband = decimal(1, 0);
    open_it(s);
    memset(id, 'k', sizeof id);
    id[DEADBAND_KEY_SIZE_MAX - 1] = '\0'; /* with its length */
    assert_false(is_held_with(s, id, "5", ""));
    assert_true(is_held_with(s, id, "5", ""));
    id[DEADBAND_KEY_SIZE_MAX - 1] = 'k';
    id[DEADBAND_KEY_SIZE_MAX] = '\0';
    assert_false(is_held_with(s, id, "5", ""));
    assert_false(is_held_with(s, id, "5", ""));
    memset(text, 'x', sizeof text);
    memcpy(text, ",\"s\":\"", 6);
    memcpy(text + sizeof text - 2, "\"", 2);
    assert_false(is_held_with(s, "a", "5", text));
    assert_false(is_held_with(s, "a", "5", text));
}

/* --- what fits --- */

static void assert_wrong(struct scene *s, const char *member, const char *reason)
{
    const char *found = NULL;
    struct why why = {""};
    size_t index = s->stream.options.fields.count - 1;
    assert_int_equal(lossy_check(&s->stream.options, index, s->schema, &found, &why), ERR_CONFIG);
    assert_string_equal(found, member);
    if (!strstr(why.text, reason)) {
        fail_msg("%s", why.text);
    }
    s->fields[index] = (struct stream_field){0};
    s->stream.options.fields.count--;
}

static void an_entry_that_does_not_fit_is_told(void **state)
{
    struct scene *s = *state;
    add(s, "x")->quantize = decimal(1, 0);
    assert_wrong(s, "", "no such field");
    add(s, "t.x")->quantize = decimal(1, 0);
    assert_wrong(s, "", "no such field");
    add(s, "parts.")->quantize = decimal(1, 0);
    assert_wrong(s, "", "no such field");
    add(s, "");
    assert_wrong(s, "", "no such field");
    add(s, "t");
    assert_wrong(s, "", "says nothing");
    add(s, "s")->quantize = decimal(1, 0);
    assert_wrong(s, "quantize", "only an int");
    add(s, "ts")->quantize = decimal(1000, 0);
    assert_wrong(s, "quantize", "without a logical type");
    add(s, "d")->quantize = decimal(1, 0);
    assert_wrong(s, "quantize", "without a logical type");
    add(s, "n")->quantize = decimal(5, 1);
    assert_wrong(s, "quantize", "a whole step");
    add(s, "parts.x")->deadband = decimal(1, 0);
    assert_wrong(s, "deadband", "not of what lies in it");
    add(s, "s")->deadband = decimal(1, 0);
    assert_wrong(s, "deadband", "only an int");
    add(s, "n")->ignore_changes = true;
    assert_wrong(s, "ignore_changes", "no field of the stream has a deadband");
    struct stream_field *both = add(s, "n");
    both->ignore_changes = true;
    both->deadband = decimal(1, 0);
    assert_wrong(s, "ignore_changes", "two things");
    s->stream.options.key = "n";
    add(s, "n")->deadband = decimal(1, 0);
    assert_wrong(s, "deadband", "the stream's key");
    s->stream.options.key = NULL;
    for (unsigned i = 0; i <= DEADBAND_BAND_MAX; i++) {
        add(s, "n")->deadband = decimal(1, 0);
    }
    assert_wrong(s, "deadband", "at most 16 fields");
}

/* With a schema that lacks the fields nothing is done, and all is reported. */
static void another_schema_may_lack_them(void **state)
{
    struct scene *s = *state;
    struct avro_schema *other = NULL;
    assert_int_equal(
        avro_schema_parse(&other,
                          SLICE("{\"type\":\"record\",\"name\":\"O\",\"fields\":[{\"name\":\"t\","
                                "\"type\":\"string\"}]}"),
                          NULL),
        ERR_OK);
    struct stream_field *t = add(s, "t");
    t->quantize = decimal(5, 1);
    t->deadband = decimal(1, 0);
    open_it(s);
    assert_int_equal(s->lossy->step_count, 1);
    assert_false(t_is_held(s, "1"));
    assert_true(t_is_held(s, "1"));
    lossy_schema_set(s->lossy, other);
    assert_int_equal(s->lossy->step_count, 0);
    deadband_ends(s->lossy->deadband)[0] = 2;
    for (unsigned i = 0; i < 2; i++) {
        assert_false(deadband_holds(s->lossy->deadband, SLICE("\x02x"), 0));
        deadband_reported(s->lossy->deadband);
    }
    lossy_schema_set(s->lossy, s->schema);
    assert_int_equal(s->lossy->step_count, 1);
    assert_false(t_is_held(s, "1"));
    avro_schema_close(other);
}

/* --- the schema's doc --- */

static void assert_marks(struct scene *s, const char *field, const char *doc)
{
    const struct avro_node *root = avro_schema_root(s->schema);
    int32_t index = avro_field_find(root, slice_of_text(field), 0);
    assert_true(index >= 0);
    assert_true(slice_equal_text(root->fields[index].doc, doc));
}

static void the_doc_says_what_was_done(void **state)
{
    struct scene *s = *state;
    struct avro_schema *before = s->schema;
    uint8_t canonical[2][2048];
    struct out o = out_over(canonical[0], sizeof canonical[0]);
    avro_canonical(s->schema, &o);
    size_t size = o.size;
    struct stream_field *t = add(s, "t");
    t->quantize = decimal(5, 2);
    t->deadband = decimal(2, 1);
    add(s, "n")->quantize = decimal(5, 0);
    add(s, "p")->deadband = decimal(0, 0);
    add(s, "parts.x")->quantize = decimal(10, 0);
    add(s, "s")->ignore_changes = true;
    add(s, "gone")->quantize = decimal(1, 0); /* another version of the schema has it */
    assert_int_equal(lossy_mark(&s->stream.options, &s->schema, NULL), ERR_OK);
    assert_ptr_not_equal(s->schema, before);
    assert_marks(s, "t",
                 "air, \"dry\" (rounded to multiples of 0.05; events in which it moved by no "
                 "more than 0.2 may be left out)");
    assert_marks(s, "n", "rounded to multiples of 5");
    assert_marks(s, "p", "events in which it moved by no more than 0 may be left out");
    assert_marks(s, "s", "");
    assert_non_null(strstr((const char *)avro_schema_text(s->schema).data,
                           "{\"name\":\"x\",\"type\":\"int\",\"doc\":\"rounded to multiples of "
                           "10\"}"));
    o = out_over(canonical[1], sizeof canonical[1]);
    avro_canonical(s->schema, &o);
    assert_int_equal(o.size, size);
    assert_memory_equal(canonical[0], canonical[1], size); /* readers and registries: compatible */
    before = s->schema;
    assert_int_equal(lossy_mark(&s->stream.options, &s->schema, NULL), ERR_OK);
    assert_ptr_equal(s->schema, before); /* a file that has the word already keeps it */
}

static void marking_without_memory(void **state)
{
    struct scene *s = *state;
    add(s, "t")->deadband = decimal(5, 2);
    enum err e = ERR_NOMEM;
    for (unsigned n = 1; e == ERR_NOMEM; n++) {
        fault_alloc_set(n);
        e = lossy_mark(&s->stream.options, &s->schema, NULL);
        fault_alloc_set(0);
        assert_true(e == ERR_OK || n < 1000);
    }
    assert_int_equal(e, ERR_OK);
    for (e = ERR_NOMEM; e == ERR_NOMEM;) {
        static unsigned n = 1;
        fault_alloc_set(n++);
        e = lossy_open(&s->lossy, &s->stream);
        fault_alloc_set(0);
    }
    assert_int_equal(e, ERR_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {cmocka_unit_test(doubles_become_the_nearest_multiple),
                                       cmocka_unit_test(rounding_holds_what_it_says),
                                       cmocka_unit_test(whole_numbers_stay_within_their_type),
                                       TEST(a_band_lies_around_the_value_reported_last),
                                       TEST(each_key_is_a_series_and_all_else_counts),
                                       TEST(several_bands_and_fields_that_do_not_count),
                                       TEST(after_the_longest_interval_it_is_reported),
                                       TEST(too_many_series_are_all_reported),
                                       TEST(what_is_too_long_for_the_table_is_reported),
                                       TEST(an_entry_that_does_not_fit_is_told),
                                       TEST(another_schema_may_lack_them),
                                       TEST(the_doc_says_what_was_done),
                                       TEST(marking_without_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
