#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map_impl.h"
#include "config/template.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

enum err mapper_open(struct mapper **ret)
{
    struct mapper *m = calloc(1, sizeof *m);
    if (!m) {
        return ERR_NOMEM;
    }
    m->text = out_over(malloc(MAP_TEXT_SIZE_MAX), MAP_TEXT_SIZE_MAX);
    if (!m->text.data) {
        free(m);
        return ERR_NOMEM;
    }
    *ret = m;
    return ERR_OK;
}

void mapper_close(struct mapper *mapper)
{
    if (mapper) {
        free(mapper->text.data);
        free(mapper);
    }
}

/* --- the event --- */

/* What the schema does not have. The event's time need not be in it. */
static enum err unknown(struct mapper *m, const struct map_task *task, const struct map_item *item)
{
    bool is_time = task->time_field && slice_equal_text(item->name, task->time_field);
    return is_time ? ERR_OK : map_put_unknown(m, task->record, item);
}

/* A member of the payload goes to its field, unless a driver or a route has set that. */
static enum err find_members(struct mapper *m, const struct map_task *task)
{
    size_t first;
    size_t count;
    uint32_t hint = 0;
    enum err e = map_scan(m, task->body, true, &first, &count);
    for (size_t i = 0; !e && i < count; i++) {
        const struct map_item *item = &m->items[first + i];
        int32_t index = avro_field_find(task->record, item->name, hint);
        if (index >= 0) {
            m->found[index] = m->found[index] ? m->found[index] : item;
            hint = (uint32_t)index + 1;
            continue;
        }
        e = unknown(m, task, item);
    }
    return e;
}

static enum err find_body(struct mapper *m, const struct map_task *task)
{
    if (task->body_kind == BODY_NONE) {
        return ERR_OK;
    }
    if (task->body_kind == BODY_JSON) {
        size_t at = 0;
        while (at < task->body.size && memchr(" \t\r\n", task->body.data[at], 4)) {
            at++;
        }
        if (at < task->body.size && task->body.data[at] == '{') {
            enum err e = find_members(m, task);
            if (!e && json_end(&m->reader) != task->body.size) {
                why_set(m->why, "not JSON: something follows behind the object at byte %zu",
                        json_end(&m->reader));
                e = ERR_CORRUPT;
            }
            return e;
        }
        why_set(m->why, "not a JSON object: a stream with a schema takes objects, whose members "
                        "are its fields");
        return ERR_REJECTED;
    }
    why_set(
        m->why,
        "bytes without names: a stream with a schema takes objects, whose members are its fields");
    return ERR_REJECTED;
}

static enum err find_typed(struct mapper *m, const struct map_task *task)
{
    size_t used = 0;
    for (size_t i = 0; i < task->override_count; i++) {
        if (task->overrides[i].fill != FILL_NONE) {
            continue;
        }
        int32_t index = avro_field_find(task->record, task->overrides[i].field, 0);
        if (index >= 0 && used < MAP_OVERRIDE_MAX) {
            struct map_item *item = &m->extra[used++];
            *item = (struct map_item){
                .name = task->overrides[i].field,
                .value = {.kind = VALUE_TEXT, .as.text = task->overrides[i].text}};
            m->found[index] = item;
        }
    }
    for (size_t i = 0; i < task->field_count && i < EVENT_FIELD_MAX; i++) {
        struct map_item item = {.name = task->fields[i].name, .value = task->fields[i].value};
        int32_t index = avro_field_find(task->record, item.name, (uint32_t)i);
        enum err e = index < 0 ? unknown(m, task, &item) : ERR_OK;
        if (e) {
            return e;
        }
        if (index >= 0 && !m->found[index]) {
            m->extra[used] = item;
            m->found[index] = &m->extra[used++];
        }
    }
    return ERR_OK;
}

/* By the field's own type. FILL_NONE: it can't be filled in there. */
static enum fill_kind fill_of_type(enum fill_kind asked, const struct avro_node *node)
{
    if (asked != FILL_TIME_MILLIS) {
        return node->kind == AVRO_STRING ? asked : FILL_NONE;
    }
    if (node->kind != AVRO_LONG) {
        return FILL_NONE;
    }
    return node->logical == AVRO_TIMESTAMP_MICROS  ? FILL_TIME_MICROS
           : node->logical == AVRO_TIMESTAMP_NANOS ? FILL_TIME_NANOS
                                                   : FILL_TIME_MILLIS;
}

static enum fill_kind fill_of(const struct map_task *task, const struct avro_field *field)
{
    for (size_t i = 0; i < task->override_count; i++) {
        const struct map_override *o = &task->overrides[i];
        if (o->fill != FILL_NONE && slice_equal(o->field, field->name)) {
            return fill_of_type(o->fill, field->node);
        }
    }
    return FILL_NONE;
}

static enum err put_fields(struct mapper *m, const struct map_task *task, struct map_result *result)
{
    const struct avro_node *record = task->record;
    for (uint32_t f = 0; f < record->field_count; f++) {
        const struct avro_field *field = &record->fields[f];
        enum fill_kind fill = task->override_count ? fill_of(task, field) : FILL_NONE;
        if (fill != FILL_NONE && result->fill_count < FILL_MAX) {
            result->fills[result->fill_count++] =
                (struct fill){(uint8_t)fill, (uint32_t)m->out->size};
        } else {
            enum err e = map_put_field(m, field, m->found[f]);
            if (e) {
                return map_within(m, e, field->name);
            }
        }
        if (task->field_ends) {
            task->field_ends[f] = (uint32_t)m->out->size;
        }
    }
    return ERR_OK;
}

/* --- the event's own time --- */

/* Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by size: as seconds,
 * 1e11 is the year 5138; as milliseconds, it is 1973. */
static bool time_of_number(struct slice text, int64_t *ret_us)
{
    int64_t whole;
    double number;
    if (number_to_long(text, &whole) == ERR_OK) {
        uint64_t size = whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole;
        *ret_us = size < UINT64_C(100000000000)         ? whole * 1000000
                  : size < UINT64_C(100000000000000)    ? whole * 1000
                  : size < UINT64_C(100000000000000000) ? whole
                                                        : whole / 1000;
        return true;
    }
    if (number_to_double(text, &number) || fabs(number) >= 1e17) {
        return false;
    }
    double size = fabs(number);
    double us = size < 1e11 ? number * 1e6 : size < 1e14 ? number * 1e3 : number;
    double rest = us - (double)(int64_t)us;
    *ret_us = (int64_t)us + (rest >= 0.5) - (rest <= -0.5); /* to the nearest */
    return true;
}

static bool time_of_text(struct slice text, int64_t *ret_us)
{
    int64_t seconds;
    uint32_t nanos;
    if (avro_timestamp_of(text, false, &seconds, &nanos)) {
        *ret_us = seconds * 1000000 + nanos / 1000;
        return true;
    }
    return map_number_is(text) && time_of_number(text, ret_us);
}

static bool time_of_value(const struct value *value, int64_t *ret_us)
{
    uint8_t memory[40];
    struct out text = out_over(memory, sizeof memory);
    switch (value->kind) {
    case VALUE_INT:
        out_put_format(&text, "%lld", (long long)value->as.integer);
        return time_of_number(out_slice(&text), ret_us);
    case VALUE_DOUBLE:
        if (!isfinite(value->as.real)) {
            return false;
        }
        number_put_double(&text, value->as.real);
        return time_of_number(out_slice(&text), ret_us);
    case VALUE_NUMBER:
        return time_of_number(value->as.text, ret_us);
    case VALUE_TEXT:
        return time_of_text(value->as.text, ret_us);
    case VALUE_NULL:
    case VALUE_BOOL:
    case VALUE_BYTES:
        break;
    }
    return false;
}

static bool time_of_json(struct mapper *m, struct slice raw, int64_t *ret_us)
{
    struct slice text;
    if (raw.data[0] == '"') {
        return map_unquote(m, raw, &text) == ERR_OK && time_of_text(text, ret_us);
    }
    return map_number_is(raw) && time_of_number(raw, ret_us);
}

/* A time that is missing or null is none; one that can't be read is a mistake. */
static enum err find_time(struct mapper *m, const struct map_task *task, struct map_result *result)
{
    char memory[MAP_SHOWN_SIZE];
    struct slice shown = SLICE("it");
    bool is_there = false;
    for (size_t i = 0; task->time_field && i < task->field_count && !is_there; i++) {
        const struct field *field = &task->fields[i];
        is_there =
            field->value.kind != VALUE_NULL && slice_equal_text(field->name, task->time_field);
        if (is_there) {
            result->has_time = time_of_value(&field->value, &result->time_us);
        }
    }
    for (size_t i = 0; task->time_field && i < m->item_count && !is_there; i++) {
        const struct map_item *item = &m->items[i];
        is_there = item->raw.data[0] != 'n' && slice_equal_text(item->name, task->time_field);
        if (is_there) {
            shown = item->raw;
            result->has_time = time_of_json(m, item->raw, &result->time_us);
        }
    }
    if (is_there && !result->has_time) {
        why_set(m->why, "field \"%s\": %s is no time: RFC 3339, or a number since 1970",
                task->time_field, map_shown(shown, memory));
        return ERR_REJECTED;
    }
    return ERR_OK;
}

enum err map_run(struct mapper *m, const struct map_task *task, struct out *ret,
                 struct map_result *ret_result, struct why *why)
{
    struct map_result result = {.fill_count = 0};
    assert(task->record->kind == AVRO_RECORD && task->record->field_count <= MAP_FIELD_MAX &&
           ret->size == 0);
    m->item_count = 0;
    m->text.size = 0;
    m->text.overflow = false;
    m->out = ret;
    m->steps = task->steps;
    m->step_count = task->step_count;
    m->why = why;
    m->depth = 0;
    m->work = 0;
    m->strict = false;
    m->unknown_count = 0;
    m->unknown_kept = 0;
    m->unknown_is_kept = task->unknown_is_kept;
    m->unknown_is_refused = task->unknown_is_refused;
    m->missing_is_refused = task->missing_is_refused;
    memset(m->found, 0, task->record->field_count * sizeof m->found[0]);
    enum err e = find_typed(m, task);
    e = e ? e : find_body(m, task);
    e = e ? e : find_time(m, task, &result);
    e = e ? e : put_fields(m, task, &result);
    if (!e && ret->overflow) {
        why_set(why, "larger than an event may be");
        e = ERR_FULL;
    }
    result.unknown_count = m->unknown_count;
    result.unknowns = m->unknowns;
    result.unknown_kept = m->unknown_kept;
    if (!e) {
        *ret_result = result;
    }
    return e;
}

struct slice map_payload_text(struct mapper *m, struct slice body, struct slice name)
{
    struct why why;
    struct slice text = {NULL, 0};
    size_t first;
    size_t count;
    size_t at = 0;
    while (at < body.size && memchr(" \t\r\n", body.data[at], 4)) {
        at++;
    }
    if (at == body.size || body.data[at] != '{') {
        return text;
    }
    m->why = &why;
    m->item_count = 0;
    m->work = 0;
    m->text.size = 0;
    m->text.overflow = false;
    if (map_scan(m, body, true, &first, &count)) {
        return text;
    }
    for (size_t i = 0; i < count; i++) {
        struct slice raw = m->items[i].raw;
        if (!slice_equal(m->items[i].name, name)) {
            continue;
        }
        if (raw.data[0] != '"') {
            return raw;
        }
        return map_unquote(m, raw, &text) ? (struct slice){NULL, 0} : text;
    }
    return text;
}

enum fill_kind map_fill_of_template(const char *text)
{
    enum template_kind kind = template_late(text);
    return kind == TEMPLATE_TIME         ? FILL_TIME_MILLIS
           : kind == TEMPLATE_ID         ? FILL_ID
           : kind == TEMPLATE_TIME_TRUST ? FILL_TIME_TRUST
                                         : FILL_NONE;
}
