/* What stays of a row, held against the plain definition: for each key, window and numeric field the
 * events with the minimum, the maximum and the last value. */
#include "agent/thin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cmocka.h"
#include "uplink/avro/encode.h"

#define EVENTS 3000
#define FIELDS 5
#define MINUTE_US INT64_C(60000000)
#define STREAM 3
#define SCHEMA 9

static const char schema[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},"
    "{\"name\":\"device\",\"type\":\"string\"},"
    "{\"name\":\"v\",\"type\":\"double\"},"
    "{\"name\":\"n\",\"type\":[\"null\",\"long\",\"string\"]},"
    "{\"name\":\"d\",\"type\":{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":9,"
    "\"scale\":2}},"
    "{\"name\":\"r\",\"type\":{\"type\":\"record\",\"name\":\"X\",\"fields\":["
    "{\"name\":\"x\",\"type\":\"int\"},{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":"
    "\"int\"}},{\"name\":\"f\",\"type\":\"float\"}]}},"
    "{\"name\":\"id\",\"type\":\"string\"}]}";

/* An event as the test knows it. */
struct known {
    unsigned key;
    int64_t time_us;
    uint32_t boot; /* 0: wall time */
    bool has[FIELDS];
    double values[FIELDS];
    struct stored_event event;
    uint8_t bytes[160];
};

struct scene {
    struct thin *thin;
    struct buffer_thinner thinner;
    struct known *events;
    size_t count;
    uint64_t chance;
};

static uint32_t below(struct scene *s, uint32_t limit)
{
    s->chance = s->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(s->chance >> 33) % limit;
}

static void put_text(struct out *o, const char *text)
{
    out_put_varint(o, (int64_t)strlen(text));
    out_put_text(o, text);
}

/* A decimal of two digits behind the point, now and then with bytes that need not be there. */
static void put_decimal(struct scene *s, struct out *o, int64_t hundredths)
{
    size_t size = 3 + below(s, 3);
    out_put_varint(o, (int64_t)size);
    for (size_t i = size; i-- > 0;) {
        out_put_byte(o, (uint8_t)((uint64_t)hundredths >> 8 * (i < 8 ? i : 7)));
    }
}

static void put_values(struct scene *s, struct known *k, struct out *o)
{
    char name[16];
    (void)snprintf(name, sizeof name, "dev%u", k->key);
    put_text(o, name);
    k->values[0] = below(s, 50) ? (double)below(s, 2000) / 7 - 100 : (double)NAN;
    avro_put_double(o, k->values[0]);
    k->has[1] = below(s, 3) > 0;
    k->values[1] = (double)below(s, 1000) - 500;
    out_put_varint(o, k->has[1] ? 1 : below(s, 2) ? 0 : 2);
    uint8_t branch = (uint8_t)(o->data[o->size - 1] >> 1);
    if (k->has[1]) {
        out_put_varint(o, (int64_t)k->values[1]);
    } else if (branch == 2) {
        put_text(o, "none");
    }
    k->values[2] = (double)below(s, 60000) - 30000;
    put_decimal(s, o, (int64_t)k->values[2]);
    k->values[3] = (double)below(s, 100) - 50;
    out_put_varint(o, (int64_t)k->values[3]);
    out_put_varint(o, 1); /* an array, whose numbers do not count */
    out_put_varint(o, below(s, 1000));
    out_put_varint(o, 0);
    k->values[4] = (double)below(s, 64) / 4;
    avro_put_float(o, (float)k->values[4]);
}

static void make_event(struct scene *s, size_t index, unsigned keys, int64_t step_us)
{
    struct known *k = &s->events[index];
    struct out o = out_over(k->bytes, sizeof k->bytes);
    *k = (struct known){.key = below(s, keys), .has = {true, true, true, true, true}};
    k->time_us = (int64_t)index * step_us - 20 * MINUTE_US - below(s, 3) * MINUTE_US / 2;
    k->boot = below(s, 3) == 0 ? 1 + below(s, 2) : 0;
    k->event = (struct stored_event){.stream = STREAM,
                                     .schema = SCHEMA,
                                     .sequence = 100 + index,
                                     .time_us = k->time_us,
                                     .trust = k->boot ? TIME_BOOT : TIME_WALL,
                                     .boot = k->boot};
    if (k->boot) {
        k->event.fills[k->event.fill_count++] = (struct fill){FILL_TIME_MICROS, 0};
    } else {
        out_put_varint(&o, k->time_us);
    }
    put_values(s, k, &o);
    if (below(s, 2)) {
        k->event.fills[k->event.fill_count++] = (struct fill){FILL_ID, (uint32_t)o.size};
    } else {
        put_text(&o, "an id");
    }
    assert_false(o.overflow);
    k->event.datum = out_slice(&o);
}

/* --- the plain definition --- */

static bool is_same_group(const struct known *a, const struct known *b)
{
    double x = floor((double)a->time_us / MINUTE_US);
    double y = floor((double)b->time_us / MINUTE_US);
    return a->key == b->key && a->boot == b->boot && x >= y && x <= y;
}

static bool has_number(const struct known *k, size_t field)
{
    return k->has[field] && !isnan(k->values[field]);
}

/* Is there none of the group that is lower (sign 1) or higher (-1), or equal and earlier? */
static bool is_extreme(const struct scene *s, size_t index, size_t field, int sign)
{
    const struct known *k = &s->events[index];
    for (size_t i = 0; i < s->count; i++) {
        const struct known *other = &s->events[i];
        double difference = sign * (other->values[field] - k->values[field]);
        if (is_same_group(k, other) && has_number(other, field) &&
            (difference < 0 || (difference <= 0 && i < index))) {
            return false;
        }
    }
    return true;
}

static bool is_last(const struct scene *s, size_t index, size_t field)
{
    for (size_t i = index + 1; i < s->count; i++) {
        if (is_same_group(&s->events[index], &s->events[i]) && s->events[i].has[field]) {
            return false;
        }
    }
    return true;
}

static bool has_to_stay(const struct scene *s, size_t index)
{
    const struct known *k = &s->events[index];
    for (size_t f = 0; f < FIELDS; f++) {
        if (k->has[f] && is_last(s, index, f)) {
            return true;
        }
        if (has_number(k, f) && (is_extreme(s, index, f, 1) || is_extreme(s, index, f, -1))) {
            return true;
        }
    }
    return false;
}

/* --- tests --- */

static size_t run(struct scene *s, bool *stays)
{
    size_t count = 0;
    s->thinner.begin(s->thinner.context, STREAM, SCHEMA);
    for (size_t i = 0; i < s->count; i++) {
        s->thinner.look(s->thinner.context, &s->events[i].event);
    }
    for (size_t i = 0; i < s->count; i++) {
        stays[i] = s->thinner.stays(s->thinner.context, i);
        count += stays[i];
    }
    return count;
}

static void extremes_and_the_last_stay(void **state)
{
    struct scene *s = *state;
    static bool stays[EVENTS];
    for (unsigned seed = 1; seed <= 6; seed++) {
        s->chance = seed;
        s->count = 300 + seed * 30;
        for (size_t i = 0; i < s->count; i++) {
            make_event(s, i, 1 + seed / 2, MINUTE_US / 40);
        }
        size_t count = run(s, stays);
        for (size_t i = 0; i < s->count; i++) {
            if (stays[i] != has_to_stay(s, i)) {
                fail_msg("seed %u: event %zu %s", seed, i, stays[i] ? "stays" : "goes");
            }
        }
        assert_in_range(count, 10, s->count - 30);
    }
}

/* The same events, the same choice; nothing is left of the row before. */
static void the_choice_is_a_function_of_the_events(void **state)
{
    struct scene *s = *state;
    static bool first[EVENTS];
    static bool second[EVENTS];
    s->count = 400;
    for (size_t i = 0; i < s->count; i++) {
        make_event(s, i, 3, MINUTE_US / 100);
    }
    size_t count = run(s, first);
    s->count = 200;
    (void)run(s, second);
    s->count = 400;
    assert_int_equal(run(s, second), count);
    assert_memory_equal(first, second, sizeof first[0] * s->count);
}

/* More keys and windows than are kept apart: what has to stay stays, and more. */
static void memory_is_bounded(void **state)
{
    struct scene *s = *state;
    static bool stays[EVENTS];
    s->count = EVENTS;
    for (size_t i = 0; i < s->count; i++) {
        make_event(s, i, 40, MINUTE_US / 10);
    }
    size_t count = run(s, stays);
    for (size_t i = 0; i < s->count; i += 7) {
        assert_true(stays[i] || !has_to_stay(s, i));
    }
    assert_in_range(count, 1, s->count - 1);
}

/* A schema that is not known, and a datum that is not as its schema says. */
static void what_is_not_understood_stays(void **state)
{
    struct scene *s = *state;
    s->count = 50;
    for (size_t i = 0; i < s->count; i++) {
        make_event(s, i, 1, 1000);
    }
    s->thinner.begin(s->thinner.context, STREAM, SCHEMA + 1);
    for (size_t i = 0; i < s->count; i++) {
        s->thinner.look(s->thinner.context, &s->events[i].event);
    }
    for (size_t i = 0; i < s->count; i++) {
        assert_true(s->thinner.stays(s->thinner.context, i));
    }
    for (size_t cut = 0; cut < s->events[20].event.datum.size; cut++) {
        static bool stays[EVENTS];
        struct slice whole = s->events[20].event.datum;
        uint8_t *copy = malloc(cut + 1); /* of this size, so that reading beyond is seen */
        assert_non_null(copy);
        memcpy(copy, whole.data, cut);
        s->events[20].event.datum = (struct slice){copy, cut};
        s->events[20].event.fill_count = 0;
        (void)run(s, stays);
        assert_true(stays[20]);
        s->events[20].event.datum = whole;
        free(copy);
    }
}

/* Without a numeric field the last of each key and window stays. */
static void the_last_stays_of_what_has_no_numbers(void **state)
{
    struct scene *s = *state;
    static const char texts[] = "{\"type\":\"record\",\"name\":\"T\",\"fields\":["
                                "{\"name\":\"a\",\"type\":\"string\"}]}";
    static bool stays[EVENTS];
    assert_int_equal(thin_schema_add(s->thin, STREAM, SCHEMA + 2, slice_of_text(texts)), ERR_OK);
    s->thinner.begin(s->thinner.context, STREAM, SCHEMA + 2);
    for (int64_t i = 0; i < 100; i++) {
        struct stored_event event = {.stream = STREAM,
                                     .schema = SCHEMA + 2,
                                     .trust = TIME_WALL,
                                     .time_us = i * MINUTE_US / 10,
                                     .datum = {(const uint8_t *)"\4hi", 3}};
        s->thinner.look(s->thinner.context, &event);
    }
    for (size_t i = 0; i < 100; i++) {
        stays[i] = s->thinner.stays(s->thinner.context, i);
        assert_int_equal(stays[i], i % 10 == 9);
    }
}

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->events = calloc(EVENTS, sizeof *s->events);
    assert_non_null(s->events);
    assert_int_equal(thin_open(&s->thin), ERR_OK);
    thin_stream_set(s->thin, STREAM, MINUTE_US, "device");
    assert_int_equal(thin_schema_add(s->thin, STREAM, SCHEMA, slice_of_text(schema)), ERR_OK);
    assert_int_equal(thin_schema_add(s->thin, STREAM + 1, SCHEMA, slice_of_text(schema)), ERR_OK);
    assert_int_equal(thin_schema_add(s->thin, STREAM, SCHEMA + 1, SLICE("no schema")), ERR_OK);
    s->thinner = thin_thinner(s->thin);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    thin_close(s->thin);
    free(s->events);
    free(s);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(extremes_and_the_last_stay),
        TEST(the_choice_is_a_function_of_the_events),
        TEST(memory_is_bounded),
        TEST(what_is_not_understood_stays),
        TEST(the_last_stays_of_what_has_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
