#include "agent/map.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

#define TEXT_SIZE_MAX (1024 * 1024 + 4096)
#define SHOWN_SIZE 60

/* A value on its way: JSON text as written, or a driver's typed value. */
struct item {
    struct slice name; /* of a member */
    struct slice raw;  /* JSON; data NULL: `value` counts */
    struct value value;
};

struct mapper {
    struct json_reader reader;
    struct item items[MAP_ITEM_MAX]; /* a stack: members and elements of the open values */
    size_t item_count;
    const struct item *found[MAP_FIELD_MAX];
    struct item extra[EVENT_FIELD_MAX + MAP_OVERRIDE_MAX];
    struct out text; /* unescaped strings of this event */
    struct out *out;
    struct why *why;
    unsigned depth;
    bool strict; /* a number in text is no number: while a union's branch is chosen */
};

enum err mapper_open(struct mapper **ret)
{
    struct mapper *m = calloc(1, sizeof *m);
    if (!m) {
        return ERR_NOMEM;
    }
    m->text = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
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

/* --- reading one level of JSON --- */

static enum err not_json(struct mapper *m)
{
    why_set(m->why, "not JSON: %s", m->reader.why.text);
    return ERR_CORRUPT;
}

static struct item *push(struct mapper *m)
{
    return m->item_count < MAP_ITEM_MAX ? &m->items[m->item_count++] : NULL;
}

static enum err unescape(struct mapper *m, const struct json_token *token, struct slice *ret)
{
    return json_string(token, &m->text, ret);
}

/* The members of an object, or the elements of an array, onto the stack; children stay text. */
static enum err scan(struct mapper *m, struct slice json, bool is_object, size_t *ret_first,
                     size_t *ret_count)
{
    struct json_token token;
    size_t first = m->item_count;
    json_init(&m->reader, json);
    enum err e = json_next(&m->reader, &token);
    while (!e) {
        struct slice name = {NULL, 0};
        struct slice raw;
        if (is_object) {
            e = json_next(&m->reader, &token);
            if (e || token.kind == JSON_OBJECT_END) {
                break;
            }
            e = unescape(m, &token, &name);
        }
        e = e ? e : json_skip(&m->reader, &raw);
        if (e) {
            break;
        }
        struct item *item = push(m);
        if (!item) {
            why_set(m->why, "more than %d values in one event", MAP_ITEM_MAX);
            return ERR_REJECTED;
        }
        *item = (struct item){.name = name, .raw = raw};
    }
    if (e == ERR_CLOSED) { /* the array has no more elements */
        e = ERR_OK;
    }
    *ret_first = first;
    *ret_count = m->item_count - first;
    return e ? not_json(m) : ERR_OK;
}

/* --- complaints --- */

static const char *shown(struct slice s, char memory[SHOWN_SIZE])
{
    struct out o = out_over(memory, SHOWN_SIZE - 4);
    size_t size = s.size < SHOWN_SIZE / 2 ? s.size : SHOWN_SIZE / 2;
    out_put_slice(&o, (struct slice){s.data, size});
    if (size < s.size) {
        out_put_text(&o, "...");
    }
    memory[o.size] = 0;
    for (size_t i = 0; i < o.size; i++) {
        memory[i] =
            (memory[i] & 0x80) || (memory[i] >= 0x20 && memory[i] != 0x7f) ? memory[i] : '?';
    }
    return memory;
}

static enum err misfit(struct mapper *m, struct slice what, const char *is_no)
{
    char memory[SHOWN_SIZE];
    why_set(m->why, "%s is no %s", shown(what, memory), is_no);
    return ERR_REJECTED;
}

static const char *node_name(const struct avro_node *node)
{
    static const char *const logical[] = {[AVRO_DECIMAL] = "decimal of this precision and scale",
                                          [AVRO_UUID] = "UUID",
                                          [AVRO_DATE] = "date",
                                          [AVRO_TIME_MILLIS] = "time",
                                          [AVRO_TIME_MICROS] = "time",
                                          [AVRO_TIMESTAMP_MILLIS] = "timestamp",
                                          [AVRO_TIMESTAMP_MICROS] = "timestamp",
                                          [AVRO_TIMESTAMP_NANOS] = "timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_MILLIS] = "local timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_MICROS] = "local timestamp",
                                          [AVRO_LOCAL_TIMESTAMP_NANOS] = "local timestamp",
                                          [AVRO_DURATION] = "duration"};
    return node->logical != AVRO_PLAIN ? logical[node->logical] : avro_kind_name(node->kind);
}

static enum err within(struct mapper *m, enum err e, struct slice name)
{
    if (e && m->why) {
        char memory[SHOWN_SIZE];
        char inner[WHY_SIZE_MAX];
        memcpy(inner, m->why->text, sizeof inner);
        why_set(m->why, "field \"%s\": %s", shown(name, memory), inner);
    }
    return e;
}

/* --- scalars: a number's text, or characters --- */

static int64_t unit_of(enum avro_logical logical)
{
    switch (logical) {
    case AVRO_TIMESTAMP_MILLIS:
    case AVRO_LOCAL_TIMESTAMP_MILLIS:
    case AVRO_TIME_MILLIS:
        return 1000;
    case AVRO_TIMESTAMP_MICROS:
    case AVRO_LOCAL_TIMESTAMP_MICROS:
    case AVRO_TIME_MICROS:
        return 1000000;
    case AVRO_TIMESTAMP_NANOS:
    case AVRO_LOCAL_TIMESTAMP_NANOS:
        return 1000000000;
    case AVRO_PLAIN:
    case AVRO_DECIMAL:
    case AVRO_UUID:
    case AVRO_DATE:
    case AVRO_DURATION:
        break;
    }
    return 0;
}

/* A date or time from text, in the type's own unit. What is finer than the unit is cut off: a
 * timestamp-millis holds milliseconds. */
static bool time_of_text(enum avro_logical logical, struct slice text, int64_t *ret)
{
    int64_t unit = unit_of(logical);
    int32_t days;
    int64_t seconds;
    uint32_t nanos;
    if (logical == AVRO_DATE) {
        if (!avro_date_of(text, &days)) {
            return false;
        }
        *ret = days;
        return true;
    }
    if (logical == AVRO_TIME_MILLIS || logical == AVRO_TIME_MICROS) {
        if (!avro_time_of(text, &seconds)) {
            return false;
        }
        *ret = seconds / (1000000000 / unit);
        return true;
    }
    bool local = logical >= AVRO_LOCAL_TIMESTAMP_MILLIS && logical <= AVRO_LOCAL_TIMESTAMP_NANOS;
    if (unit == 0 || !avro_timestamp_of(text, local, &seconds, &nanos) ||
        seconds > INT64_MAX / unit - 1 || seconds < INT64_MIN / unit + 1) {
        return false;
    }
    *ret = seconds * unit + nanos / (1000000000 / unit);
    return true;
}

static bool number_is(struct slice text)
{
    size_t at = text.size > 0 && text.data[0] == '-';
    bool digit = false;
    if (at < text.size && text.data[at] == '0' && at + 1 < text.size && text.data[at + 1] >= '0' &&
        text.data[at + 1] <= '9') {
        return false;
    }
    for (; at < text.size; at++) {
        uint8_t c = text.data[at];
        bool ok = (c >= '0' && c <= '9') ||
                  (digit && (c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'));
        if (!ok) {
            return false;
        }
        digit = digit || (c >= '0' && c <= '9');
    }
    return digit && text.data[text.size - 1] >= '0' && text.data[text.size - 1] <= '9';
}

static enum err put_whole(struct mapper *m, const struct avro_node *node, struct slice text,
                          bool is_number)
{
    int64_t value;
    if (!is_number && node->logical != AVRO_PLAIN && time_of_text(node->logical, text, &value)) {
        out_put_varint(m->out, value);
        return ERR_OK;
    }
    if ((!is_number && (m->strict || !number_is(text))) || number_to_long(text, &value) ||
        (node->kind == AVRO_INT && (value < INT32_MIN || value > INT32_MAX))) {
        return misfit(m, text, node_name(node));
    }
    out_put_varint(m->out, value);
    return ERR_OK;
}

static enum err put_real(struct mapper *m, const struct avro_node *node, struct slice text,
                         bool is_number)
{
    double real = 0;
    float small = 0;
    bool fits = is_number || (!m->strict && number_is(text));
    if (!is_number && slice_equal_text(text, "NaN")) {
        real = (double)NAN;
        small = NAN;
    } else if (!fits || (node->kind == AVRO_FLOAT ? number_to_float(text, &small)
                                                  : number_to_double(text, &real))) {
        return misfit(m, text, node->kind == AVRO_FLOAT ? "number that fits a float" : "number");
    }
    if (node->kind == AVRO_FLOAT) {
        avro_put_float(m->out, small);
    } else {
        avro_put_double(m->out, real);
    }
    return ERR_OK;
}

static enum err put_decimal(struct mapper *m, const struct avro_node *node, struct slice text,
                            bool is_number)
{
    uint8_t memory[DECIMAL_PRECISION_MAX];
    struct out bytes = out_over(memory, sizeof memory);
    if ((!is_number && (m->strict || !number_is(text))) ||
        number_to_decimal(text, node->precision, node->scale, &bytes) ||
        (node->kind == AVRO_FIXED && bytes.size > node->size)) {
        return misfit(m, text, node_name(node));
    }
    if (node->kind == AVRO_BYTES) {
        avro_put_bytes(m->out, out_slice(&bytes));
        return ERR_OK;
    }
    for (size_t i = bytes.size; i < node->size; i++) {
        out_put_byte(m->out, memory[0] & 0x80 ? 0xff : 0);
    }
    out_put_slice(m->out, out_slice(&bytes));
    return ERR_OK;
}

static uint8_t hex_value(uint8_t c)
{
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

static enum err put_fixed(struct mapper *m, const struct avro_node *node, struct slice text)
{
    if (node->logical == AVRO_UUID && avro_uuid_is(text)) {
        for (size_t i = 0; i < text.size; i += 2) {
            i += text.data[i] == '-';
            out_put_byte(m->out,
                         (uint8_t)(hex_value(text.data[i]) << 4 | hex_value(text.data[i + 1])));
        }
        return ERR_OK;
    }
    if (text.size != node->size) {
        why_set(m->why, "%zu bytes where the fixed has %u", text.size, node->size);
        return ERR_REJECTED;
    }
    out_put_slice(m->out, text);
    return ERR_OK;
}

static enum err put_enum(struct mapper *m, const struct avro_node *node, struct slice text)
{
    int32_t index = avro_symbol_find(node, text);
    index = index < 0 && !m->strict ? node->symbol_default : index;
    if (index < 0) {
        return misfit(m, text, "symbol of the enum");
    }
    out_put_varint(m->out, index);
    return ERR_OK;
}

/* A scalar from its text; is_number: it is a JSON number. */
static enum err put_scalar(struct mapper *m, const struct avro_node *node, struct slice text,
                           bool is_number)
{
    if (node->logical == AVRO_DECIMAL) {
        return put_decimal(m, node, text, is_number);
    }
    switch (node->kind) {
    case AVRO_INT:
    case AVRO_LONG:
        return put_whole(m, node, text, is_number);
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return put_real(m, node, text, is_number);
    case AVRO_STRING:
    case AVRO_BYTES:
        if ((is_number && m->strict) || (node->logical == AVRO_UUID && !avro_uuid_is(text))) {
            return misfit(m, text, node_name(node));
        }
        if (node->kind == AVRO_STRING && !slice_is_utf8(text)) {
            return misfit(m, text, "UTF-8 text");
        }
        avro_put_bytes(m->out, text);
        return ERR_OK;
    case AVRO_FIXED:
        return is_number ? misfit(m, text, node_name(node)) : put_fixed(m, node, text);
    case AVRO_ENUM:
        return is_number ? misfit(m, text, "symbol of the enum") : put_enum(m, node, text);
    case AVRO_BOOLEAN:
        if (!m->strict && (slice_equal_text(text, "true") || slice_equal_text(text, "false"))) {
            avro_put_boolean(m->out, text.data[0] == 't');
            return ERR_OK;
        }
        return misfit(m, text, "boolean");
    case AVRO_NULL:
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
    case AVRO_UNION:
        break;
    }
    return misfit(m, text, node_name(node));
}

/* --- values --- */

static enum err put_item(struct mapper *m, const struct avro_node *node, const struct item *item);

static enum err put_missing(struct mapper *m, const struct avro_field *field)
{
    int32_t null_branch = avro_null_branch(field->node);
    if (field->has_default) {
        out_put_slice(m->out, field->default_bytes);
    } else if (null_branch >= 0) {
        out_put_varint(m->out, null_branch);
    } else if (field->node->kind != AVRO_NULL) {
        why_set(m->why, "is missing, and the schema has no default for it");
        return ERR_REJECTED;
    }
    return ERR_OK;
}

static enum err put_record(struct mapper *m, const struct avro_node *node, struct slice json)
{
    size_t first;
    size_t count;
    enum err e = scan(m, json, true, &first, &count);
    for (uint32_t f = 0; !e && f < node->field_count; f++) {
        const struct item *item = NULL;
        for (size_t i = 0; i < count && !item;
             i++) { /* usually in the schema's order: begin there */
            const struct item *candidate = &m->items[first + (f + i) % count];
            item = slice_equal(candidate->name, node->fields[f].name) ? candidate : NULL;
        }
        e = item ? put_item(m, node->fields[f].node, item) : put_missing(m, &node->fields[f]);
        e = within(m, e, node->fields[f].name);
    }
    m->item_count = first;
    return e;
}

static enum err put_elements(struct mapper *m, const struct avro_node *node, struct slice json)
{
    size_t first;
    size_t count;
    enum err e = scan(m, json, node->kind == AVRO_MAP, &first, &count);
    if (!e && count > 0) {
        out_put_varint(m->out, (int64_t)count);
    }
    for (size_t i = 0; !e && i < count; i++) {
        const struct item *item = &m->items[first + i];
        if (node->kind == AVRO_MAP) {
            avro_put_bytes(m->out, item->name);
        }
        e = put_item(m, node->items, item);
    }
    out_put_varint(m->out, 0);
    m->item_count = first;
    return e;
}

/* The first branch that takes the value as it is; else the first that takes it with a number in
 * text and the like. */
static enum err put_union(struct mapper *m, const struct avro_node *node, const struct item *item)
{
    struct why *why = m->why;
    struct why inner = {""};
    bool was_strict = m->strict;
    size_t size = m->out->size;
    m->why = &inner;
    for (unsigned pass = 0; pass < 2; pass++) {
        m->strict = pass == 0;
        for (uint32_t i = 0; i < node->branch_count; i++) {
            out_put_varint(m->out, i);
            if (put_item(m, node->branches[i], item) == ERR_OK) {
                m->strict = was_strict;
                m->why = why;
                return ERR_OK;
            }
            m->out->size = size;
        }
    }
    m->strict = was_strict;
    m->why = why;
    why_set(why, "%s",
            node->branch_count <= 2 && inner.text[0] ? inner.text : "fits no branch of the union");
    return ERR_REJECTED;
}

static enum err put_json(struct mapper *m, const struct avro_node *node, struct slice raw)
{
    struct slice text;
    assert(raw.size > 0);
    switch (raw.data[0]) {
    case '"': {
        struct json_token token = {.kind = JSON_STRING, .text = {raw.data + 1, raw.size - 2}};
        token.has_escapes = memchr(token.text.data, '\\', token.text.size) != NULL;
        if (unescape(m, &token, &text)) {
            why_set(m->why, "its texts are too long");
            return ERR_REJECTED;
        }
        return put_scalar(m, node, text, false);
    }
    case '{':
        if (node->kind == AVRO_RECORD) {
            return put_record(m, node, raw);
        }
        return node->kind == AVRO_MAP ? put_elements(m, node, raw)
                                      : misfit(m, SLICE("an object"), node_name(node));
    case '[':
        return node->kind == AVRO_ARRAY ? put_elements(m, node, raw)
                                        : misfit(m, SLICE("an array"), node_name(node));
    case 't':
    case 'f':
        if (node->kind == AVRO_BOOLEAN) {
            avro_put_boolean(m->out, raw.data[0] == 't');
            return ERR_OK;
        }
        return misfit(m, raw, node_name(node));
    case 'n':
        return node->kind == AVRO_NULL ? ERR_OK : misfit(m, raw, node_name(node));
    default:
        return put_scalar(m, node, raw, true);
    }
}

static enum err put_typed(struct mapper *m, const struct avro_node *node, const struct value *value)
{
    uint8_t memory[40];
    struct out text = out_over(memory, sizeof memory);
    switch (value->kind) {
    case VALUE_NULL:
        return node->kind == AVRO_NULL ? ERR_OK : misfit(m, SLICE("null"), node_name(node));
    case VALUE_BOOL:
        return put_json(m, node, value->as.boolean ? SLICE("true") : SLICE("false"));
    case VALUE_INT:
        out_put_format(&text, "%lld", (long long)value->as.integer);
        return put_scalar(m, node, out_slice(&text), true);
    case VALUE_DOUBLE:
        if (node->kind == AVRO_DOUBLE) {
            avro_put_double(m->out, value->as.real);
            return ERR_OK;
        }
        if (!isfinite(value->as.real)) {
            return misfit(m, SLICE("a number without bound"), node_name(node));
        }
        number_put_double(&text, value->as.real);
        return put_scalar(m, node, out_slice(&text), true);
    case VALUE_NUMBER:
        return put_scalar(m, node, value->as.text, true);
    case VALUE_TEXT:
    case VALUE_BYTES:
        return put_scalar(m, node, value->as.text, false);
    }
    return ERR_REJECTED;
}

/* Values nest as deep as JSON and the schema do, both bounded: so is this recursion. */
static enum err put_item(struct mapper *m, const struct avro_node *node, const struct item *item)
{
    if (m->depth == AVRO_DEPTH_MAX) {
        why_set(m->why, "nested too deeply");
        return ERR_REJECTED;
    }
    m->depth++;
    enum err e = node->kind == AVRO_UNION ? put_union(m, node, item)
                 : item->raw.data         ? put_json(m, node, item->raw)
                                          : put_typed(m, node, &item->value);
    m->depth--;
    return e;
}

/* --- the event --- */

/* A member of the payload goes to its field, unless a driver or a route has set that. */
static enum err find_members(struct mapper *m, const struct map_task *task,
                             struct map_result *result)
{
    size_t first;
    size_t count;
    uint32_t hint = 0;
    enum err e = scan(m, task->body, true, &first, &count);
    for (size_t i = 0; !e && i < count; i++) {
        const struct item *item = &m->items[first + i];
        int32_t index = avro_field_find(task->record, item->name, hint);
        if (index >= 0) {
            m->found[index] = m->found[index] ? m->found[index] : item;
            hint = (uint32_t)index + 1;
            continue;
        }
        result->unknown_count++;
        bool is_time = task->time_field && slice_equal_text(item->name, task->time_field);
        if (task->unknown_is_refused && !is_time) {
            why_set(m->why, "is not in the schema");
            e = within(m, ERR_REJECTED, item->name);
        }
    }
    return e;
}

static enum err find_body(struct mapper *m, const struct map_task *task, struct map_result *result)
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
            enum err e = find_members(m, task, result);
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

static void find_typed(struct mapper *m, const struct map_task *task, struct map_result *result)
{
    size_t used = 0;
    for (size_t i = 0; i < task->override_count && task->overrides[i].fill == FILL_NONE; i++) {
        int32_t index = avro_field_find(task->record, task->overrides[i].field, 0);
        if (index >= 0 && used < MAP_OVERRIDE_MAX) {
            struct item *item = &m->extra[used++];
            *item =
                (struct item){.name = task->overrides[i].field,
                              .value = {.kind = VALUE_TEXT, .as.text = task->overrides[i].text}};
            m->found[index] = item;
        }
    }
    for (size_t i = 0; i < task->field_count && i < EVENT_FIELD_MAX; i++) {
        int32_t index = avro_field_find(task->record, task->fields[i].name, (uint32_t)i);
        result->unknown_count += index < 0;
        if (index >= 0 && !m->found[index]) {
            struct item *item = &m->extra[used++];
            *item = (struct item){.name = task->fields[i].name, .value = task->fields[i].value};
            m->found[index] = item;
        }
    }
}

static enum fill_kind fill_of(const struct map_task *task, const struct avro_field *field)
{
    for (size_t i = 0; i < task->override_count; i++) {
        const struct map_override *o = &task->overrides[i];
        if (o->fill == FILL_NONE || !slice_equal(o->field, field->name)) {
            continue;
        }
        if (o->fill == FILL_ID) {
            return FILL_ID;
        }
        return field->node->logical == AVRO_TIMESTAMP_MICROS  ? FILL_TIME_MICROS
               : field->node->logical == AVRO_TIMESTAMP_NANOS ? FILL_TIME_NANOS
                                                              : FILL_TIME_MILLIS;
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
            continue;
        }
        enum err e = m->found[f] ? put_item(m, field->node, m->found[f]) : put_missing(m, field);
        if (e) {
            return within(m, e, field->name);
        }
    }
    return ERR_OK;
}

/* The event's own time: RFC 3339 text, or a number of seconds, milliseconds, microseconds or
 * nanoseconds since 1970, told apart by size. */
static bool time_of_item(struct mapper *m, struct slice raw, int64_t *ret_us)
{
    int64_t seconds;
    uint32_t nanos;
    double number;
    if (raw.data[0] == '"') {
        struct json_token token = {
            .kind = JSON_STRING, .text = {raw.data + 1, raw.size - 2}, .has_escapes = true};
        struct slice text;
        if (unescape(m, &token, &text) || !avro_timestamp_of(text, false, &seconds, &nanos)) {
            return false;
        }
        *ret_us = seconds * 1000000 + nanos / 1000;
        return true;
    }
    if (number_to_double(raw, &number) || fabs(number) > 9e18) {
        return false;
    }
    double size = fabs(number);
    double us = size < 1e11   ? number * 1e6
                : size < 1e14 ? number * 1e3
                : size < 1e17 ? number
                              : number / 1e3;
    *ret_us = (int64_t)us;
    return true;
}

static enum err find_time(struct mapper *m, const struct map_task *task, struct map_result *result)
{
    if (!task->time_field || task->body_kind != BODY_JSON) {
        return ERR_OK;
    }
    for (size_t i = 0; i < m->item_count; i++) {
        if (slice_equal_text(m->items[i].name, task->time_field)) {
            char memory[SHOWN_SIZE];
            result->has_time = time_of_item(m, m->items[i].raw, &result->time_us);
            if (!result->has_time) {
                why_set(m->why, "field \"%s\": %s is no time: RFC 3339, or a number since 1970",
                        task->time_field, shown(m->items[i].raw, memory));
                return ERR_REJECTED;
            }
            return ERR_OK;
        }
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
    m->why = why;
    m->depth = 0;
    m->strict = false;
    memset(m->found, 0, task->record->field_count * sizeof m->found[0]);
    find_typed(m, task, &result);
    enum err e = find_body(m, task, &result);
    e = e ? e : find_time(m, task, &result);
    e = e ? e : put_fields(m, task, &result);
    if (!e && ret->overflow) {
        why_set(why, "larger than an event may be");
        e = ERR_FULL;
    }
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
    if (scan(m, body, true, &first, &count)) {
        return text;
    }
    for (size_t i = 0; i < count; i++) {
        struct slice raw = m->items[i].raw;
        if (!slice_equal(m->items[i].name, name)) {
            continue;
        }
        struct json_token token = {
            .kind = JSON_STRING, .text = {raw.data + 1, raw.size - 2}, .has_escapes = true};
        return raw.data[0] != '"'           ? raw
               : unescape(m, &token, &text) ? (struct slice){NULL, 0}
                                            : text;
    }
    return text;
}
