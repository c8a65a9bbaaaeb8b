#include "agent/thin.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/decode.h"
#include "uplink/avro/schema.h"

#define STEP_MAX 4096 /* fields of a schema, those of records within counted instead of these */
#define EVENT_MAX 65536
#define GROUP_MAX 1024 /* (key, window) at one time: a power of two */
#define CELL_MAX 2048  /* (group, numeric field) at one time */
#define NO_EVENT UINT32_MAX

/* --- schemas --- */

/* One field, in the order of the datum. */
struct step {
    const struct avro_node *node;
    bool is_number;
    bool is_key;
};

struct plan {
    uint16_t stream;
    uint32_t schema;
    struct avro_schema *parsed;
    struct step *steps;
    size_t step_count;
    size_t number_count; /* of steps */
};

struct thin_stream {
    int64_t window_us; /* 0: not thinned */
    const char *key;
};

/* The events of one key in one window. */
struct group {
    bool is_used;
    uint64_t key; /* hash */
    int64_t window;
    uint32_t boot;
    uint32_t last; /* event */
    uint32_t cell; /* the first of its cells */
};

/* One numeric field of a group. */
struct cell {
    uint32_t min; /* events */
    uint32_t max;
    uint32_t last;
    const struct avro_node *min_node;
    const struct avro_node *max_node;
    struct slice min_value; /* as in the datum */
    struct slice max_value;
};

struct thin {
    struct thin_stream streams[STREAM_COUNT_MAX + 1];
    struct plan *plans;
    size_t plan_count;
    /* of the row at hand */
    const struct plan *plan; /* NULL: everything stays */
    int64_t window_us;
    uint32_t event_count;
    bool chosen;
    size_t cell_count;
    size_t group_count;
    struct group groups[GROUP_MAX];
    struct cell cells[CELL_MAX];
    uint8_t stays[EVENT_MAX / 8];
};

enum err thin_open(struct thin **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? ERR_OK : ERR_NOMEM;
}

void thin_close(struct thin *thin)
{
    for (size_t i = 0; thin && i < thin->plan_count; i++) {
        free(thin->plans[i].steps);
        avro_schema_close(thin->plans[i].parsed);
    }
    free(thin ? thin->plans : NULL);
    free(thin);
}

void thin_stream_set(struct thin *thin, uint16_t stream, int64_t window_us, const char *key)
{
    assert(stream >= 1 && stream <= STREAM_COUNT_MAX && window_us > 0);
    thin->streams[stream] = (struct thin_stream){window_us, key};
}

static bool is_number(const struct avro_node *node)
{
    switch (node->kind) {
    case AVRO_INT:
    case AVRO_LONG:
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return node->logical == AVRO_PLAIN;
    case AVRO_BYTES:
    case AVRO_FIXED:
        return node->logical == AVRO_DECIMAL;
    case AVRO_UNION:
        for (uint32_t i = 0; i < node->branch_count; i++) {
            if (node->branches[i]->kind != AVRO_UNION && is_number(node->branches[i])) {
                return true; /* one level: a union holds no union */
            }
        }
        return false;
    case AVRO_NULL:
    case AVRO_BOOLEAN:
    case AVRO_STRING:
    case AVRO_RECORD:
    case AVRO_ENUM:
    case AVRO_ARRAY:
    case AVRO_MAP:
        return false;
    }
    return false;
}

/* The record's fields, and in place of records theirs. False: too many. */
static bool plan_steps(struct plan *plan, const char *key)
{
    const struct avro_node *records[AVRO_DEPTH_MAX];
    uint32_t next[AVRO_DEPTH_MAX] = {0};
    size_t depth = 1;
    records[0] = avro_schema_root(plan->parsed);
    while (depth > 0) {
        const struct avro_node *record = records[depth - 1];
        if (next[depth - 1] == record->field_count) {
            depth--;
            continue;
        }
        const struct avro_field *field = &record->fields[next[depth - 1]++];
        if (field->node->kind == AVRO_RECORD && depth < AVRO_DEPTH_MAX) {
            records[depth] = field->node;
            next[depth++] = 0;
            continue;
        }
        if (plan->step_count == STEP_MAX) {
            return false;
        }
        bool counts = is_number(field->node);
        plan->steps[plan->step_count++] = (struct step){
            field->node, counts, depth == 1 && key && slice_equal_text(field->name, key)};
        plan->number_count += counts;
    }
    return plan->number_count <= CELL_MAX;
}

enum err thin_schema_add(struct thin *thin, uint16_t stream, uint32_t number, struct slice json)
{
    struct plan plan = {.stream = stream, .schema = number};
    bool is_needless = thin->streams[stream].window_us == 0;
    for (size_t i = 0; i < thin->plan_count && !is_needless; i++) {
        is_needless = thin->plans[i].stream == stream && thin->plans[i].schema == number;
    }
    if (is_needless) {
        return ERR_OK;
    }
    struct plan *grown = realloc(thin->plans, (thin->plan_count + 1) * sizeof *grown);
    if (!grown) {
        return ERR_NOMEM;
    }
    thin->plans = grown;
    enum err e = avro_schema_parse(&plan.parsed, json, NULL);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_OK;
    }
    plan.steps = calloc(STEP_MAX, sizeof *plan.steps);
    bool fits = plan.steps && avro_schema_root(plan.parsed)->kind == AVRO_RECORD &&
                plan_steps(&plan, thin->streams[stream].key);
    if (!fits) {
        e = plan.steps ? ERR_OK : ERR_NOMEM;
        free(plan.steps);
        avro_schema_close(plan.parsed);
        return e;
    }
    struct step *cut = realloc(plan.steps, (plan.step_count + 1) * sizeof *cut);
    plan.steps = cut ? cut : plan.steps;
    thin->plans[thin->plan_count++] = plan;
    return ERR_OK;
}

/* --- values, as they stand in the datum --- */

static double real_of(const struct avro_node *node, struct slice value)
{
    float single = 0;
    double number = 0;
    bool read = node->kind == AVRO_FLOAT ? avro_take_float(&value, &single)
                                         : avro_take_double(&value, &number);
    return !read ? (double)NAN : node->kind == AVRO_FLOAT ? (double)single : number;
}

static struct slice decimal_of(const struct avro_node *node, struct slice value)
{
    struct slice bytes = value;
    if (node->kind == AVRO_BYTES && !avro_take_bytes(&value, &bytes)) {
        bytes.size = 0;
    }
    return bytes;
}

/* Big-endian, two's complement, of any length. */
static int compare_decimals(struct slice a, struct slice b)
{
    bool a_minus = a.size > 0 && a.data[0] >> 7;
    bool b_minus = b.size > 0 && b.data[0] >> 7;
    if (a_minus != b_minus) {
        return a_minus ? -1 : 1;
    }
    uint8_t sign = a_minus ? 0xff : 0;
    size_t size = a.size > b.size ? a.size : b.size;
    for (size_t i = 0; i < size; i++) {
        uint8_t x = i < size - a.size ? sign : a.data[i - (size - a.size)];
        uint8_t y = i < size - b.size ? sign : b.data[i - (size - b.size)];
        if (x != y) {
            return x < y ? -1 : 1;
        }
    }
    return 0;
}

/* Two values of one field; of different branches of its union they are compared as doubles. */
static double number_of(const struct avro_node *node, struct slice value)
{
    int64_t whole = 0;
    if (node->kind == AVRO_INT || node->kind == AVRO_LONG) {
        return slice_take_varint(&value, &whole) ? (double)whole : (double)NAN;
    }
    if (node->kind == AVRO_FLOAT || node->kind == AVRO_DOUBLE) {
        return real_of(node, value);
    }
    struct slice bytes = decimal_of(node, value);
    double number = bytes.size > 0 && bytes.data[0] >> 7 ? -1 : 0;
    for (size_t i = 0; i < bytes.size; i++) {
        number = number * 256 + bytes.data[i];
    }
    for (uint32_t i = 0; i < node->scale; i++) {
        number /= 10;
    }
    return number;
}

static int compare_reals(double x, double y)
{
    return x < y ? -1 : x > y;
}

static int compare(const struct avro_node *a, struct slice x, const struct avro_node *b,
                   struct slice y)
{
    int64_t i = 0;
    int64_t j = 0;
    bool alike = a == b;
    if (alike && (a->kind == AVRO_INT || a->kind == AVRO_LONG)) {
        bool read = slice_take_varint(&x, &i) && slice_take_varint(&y, &j);
        return !read ? 0 : i < j ? -1 : i > j;
    }
    if (alike && (a->kind == AVRO_BYTES || a->kind == AVRO_FIXED)) {
        return compare_decimals(decimal_of(a, x), decimal_of(b, y));
    }
    return compare_reals(number_of(a, x), number_of(b, y));
}

/* --- groups --- */

static void mark(struct thin *thin, uint32_t event)
{
    if (event != NO_EVENT) {
        thin->stays[event / 8] |= (uint8_t)(1u << event % 8);
    }
}

/* What the groups hold stays; they begin anew. */
static void groups_end(struct thin *thin)
{
    for (size_t i = 0; i < GROUP_MAX; i++) {
        if (thin->groups[i].is_used) {
            mark(thin, thin->groups[i].last);
        }
    }
    for (size_t i = 0; i < thin->cell_count; i++) {
        mark(thin, thin->cells[i].min);
        mark(thin, thin->cells[i].max);
        mark(thin, thin->cells[i].last);
    }
    memset(thin->groups, 0, sizeof thin->groups);
    thin->group_count = 0;
    thin->cell_count = 0;
}

static struct group *group_place(struct thin *thin, const struct group *wanted)
{
    uint64_t hash = wanted->key ^ (uint64_t)wanted->window * UINT64_C(0x9e3779b97f4a7c15) ^
                    (uint64_t)wanted->boot << 32;
    hash ^= hash >> 29;
    for (size_t i = 0;; i++) {
        struct group *g = &thin->groups[(hash + i) & (GROUP_MAX - 1)];
        bool same = g->key == wanted->key && g->window == wanted->window && g->boot == wanted->boot;
        if (!g->is_used || same) {
            return g; /* there is always an unused one */
        }
    }
}

static struct group *group_of(struct thin *thin, const struct group *wanted)
{
    size_t numbers = thin->plan->number_count;
    struct group *group = group_place(thin, wanted);
    if (group->is_used) {
        return group;
    }
    if (thin->group_count == GROUP_MAX / 2 || thin->cell_count + numbers > CELL_MAX) {
        groups_end(thin); /* more stays than has to, and memory is bounded */
        group = group_place(thin, wanted);
    }
    *group = *wanted;
    group->is_used = true;
    group->cell = (uint32_t)thin->cell_count;
    thin->group_count++;
    for (size_t i = 0; i < numbers; i++) {
        thin->cells[thin->cell_count++] =
            (struct cell){NO_EVENT, NO_EVENT, NO_EVENT, .min_node = NULL};
    }
    return group;
}

/* --- one event --- */

/* A value that a field of the event has. */
struct found {
    const struct avro_node *node; /* NULL: none, or none that counts */
    struct slice value;
};

static bool is_filled(const struct step *step, const struct fill *fill)
{
    return fill->kind == FILL_ID ? step->node->kind == AVRO_STRING : step->node->kind == AVRO_LONG;
}

/* Takes the field off the front. False: the datum is not as the schema says. */
static bool take_field(const struct step *step, struct slice *data, struct found *ret)
{
    const struct avro_node *node = step->node;
    int64_t branch = 0;
    *ret = (struct found){NULL, {NULL, 0}};
    if (node->kind == AVRO_UNION && step->is_number) {
        if (!slice_take_varint(data, &branch) || branch < 0 ||
            branch >= (int64_t)node->branch_count) {
            return false;
        }
        node = node->branches[branch];
    }
    struct slice value = *data;
    if (avro_skip(node, data)) {
        return false;
    }
    value.size -= data->size;
    if (step->is_number && is_number(node)) {
        *ret = (struct found){node, value};
    }
    return true;
}

static void cell_look(struct cell *cell, const struct found *found, uint32_t index)
{
    const struct avro_node *node = found->node;
    bool is_real = node->kind == AVRO_FLOAT || node->kind == AVRO_DOUBLE;
    cell->last = index;
    if (is_real && isnan(real_of(node, found->value))) {
        return;
    }
    if (cell->min == NO_EVENT || compare(node, found->value, cell->min_node, cell->min_value) < 0) {
        cell->min = index;
        cell->min_node = node;
        cell->min_value = found->value;
    }
    if (cell->max == NO_EVENT || compare(node, found->value, cell->max_node, cell->max_value) > 0) {
        cell->max = index;
        cell->max_node = node;
        cell->max_value = found->value;
    }
}

/* Goes through an event: *ret_key is the hash of its key, numbers go to `cells` if there are. False:
 * it is not as the schema says. */
static bool walk(const struct plan *plan, const struct stored_event *event, uint32_t index,
                 struct cell *cells, uint64_t *ret_key)
{
    struct slice data = event->datum;
    size_t fill = 0;
    size_t number = 0;
    for (size_t i = 0; i < plan->step_count; i++) {
        const struct step *step = &plan->steps[i];
        struct found found = {NULL, {NULL, 0}};
        struct slice field = data;
        size_t at = event->datum.size - data.size;
        bool filled = fill < event->fill_count && event->fills[fill].offset == at &&
                      is_filled(step, &event->fills[fill]);
        fill += filled;
        if (!filled && !take_field(step, &data, &found)) {
            return false;
        }
        field.size -= data.size;
        if (step->is_key) {
            *ret_key = avro_crc64(field);
        }
        if (cells && found.node) {
            cell_look(&cells[number], &found, index);
        }
        number += step->is_number;
    }
    return true;
}

static int64_t window_of(int64_t time_us, int64_t window_us)
{
    return time_us / window_us - (time_us % window_us < 0);
}

static void look(void *context, const struct stored_event *event)
{
    struct thin *thin = context;
    struct group wanted = {.window = window_of(event->time_us, thin->window_us),
                           .boot = event->trust == TIME_BOOT ? event->boot + 1 : 0};
    uint32_t index = thin->event_count++;
    if (!thin->plan || index >= EVENT_MAX) {
        return;
    }
    if (!walk(thin->plan, event, index, NULL, &wanted.key)) {
        mark(thin, index);
        return;
    }
    struct group *group = group_of(thin, &wanted);
    group->last = index;
    bool read = walk(thin->plan, event, index, &thin->cells[group->cell], &wanted.key);
    assert(read); /* it was a moment ago */
}

static void begin(void *context, uint16_t stream, uint32_t schema)
{
    struct thin *thin = context;
    thin->plan = NULL;
    for (size_t i = 0; i < thin->plan_count && !thin->plan; i++) {
        bool same = thin->plans[i].stream == stream && thin->plans[i].schema == schema;
        thin->plan = same ? &thin->plans[i] : NULL;
    }
    thin->window_us = thin->streams[stream].window_us;
    thin->event_count = 0;
    thin->chosen = false;
    memset(thin->stays, 0, sizeof thin->stays);
    memset(thin->groups, 0, sizeof thin->groups);
    thin->group_count = 0;
    thin->cell_count = 0;
}

static bool stays(void *context, size_t index)
{
    struct thin *thin = context;
    if (!thin->chosen) {
        groups_end(thin);
        thin->chosen = true;
    }
    return !thin->plan || index >= EVENT_MAX || thin->stays[index / 8] >> index % 8 & 1;
}

struct buffer_thinner thin_thinner(struct thin *thin)
{
    return (struct buffer_thinner){begin, look, stays, thin};
}
