/* Mapping, the values with parts: one level of JSON onto the mapper's stack, then its members or
 * elements in the schema's order. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "agent/map_impl.h"
#include "agent/quantize.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"

/* --- reading one level of JSON --- */

static enum err not_json(struct mapper *m)
{
    why_set(m->why, "not JSON: %s", m->reader.why.text);
    return ERR_CORRUPT;
}

static enum err text_full(struct mapper *m)
{
    why_set(m->why, "its texts are longer than %d bytes", MAP_TEXT_SIZE_MAX);
    return ERR_REJECTED;
}

enum err map_unquote(struct mapper *m, struct slice raw, struct slice *ret)
{
    struct json_token token = {.kind = JSON_STRING, .text = {raw.data + 1, raw.size - 2}};
    token.has_escapes = memchr(token.text.data, '\\', token.text.size) != NULL;
    return json_string(&token, &m->text, ret) ? text_full(m) : ERR_OK;
}

/* The next member or element onto the stack. ERR_CLOSED: there is none. */
static enum err scan_next(struct mapper *m, bool is_object)
{
    struct map_item *item = &m->items[m->item_count];
    item->name = (struct slice){NULL, 0};
    enum err e = is_object ? json_member(&m->reader, &m->text, &item->name, &item->raw)
                           : json_skip(&m->reader, &item->raw);
    if (e) {
        return e == ERR_CLOSED ? ERR_CLOSED : e == ERR_FULL ? text_full(m) : not_json(m);
    }
    if (m->item_count == MAP_ITEM_MAX) {
        why_set(m->why, "more than %d values in one event", MAP_ITEM_MAX);
        return ERR_REJECTED;
    }
    m->item_count++;
    return ERR_OK;
}

enum err map_scan(struct mapper *m, struct slice json, bool is_object, size_t *ret_first,
                  size_t *ret_count)
{
    struct json_token token;
    size_t first = m->item_count;
    *ret_first = first;
    *ret_count = 0;
    m->work += json.size;
    if (m->work > MAP_WORK_MAX) {
        why_set(m->why, "its values fit the schema's unions in too many ways");
        return ERR_REJECTED;
    }
    json_init(&m->reader, json);
    if (json_next(&m->reader, &token)) {
        return not_json(m);
    }
    enum err e = ERR_OK;
    while (!e) {
        e = scan_next(m, is_object);
    }
    *ret_count = m->item_count - first;
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* --- values --- */

static bool is_null(const struct map_item *item)
{
    return item->raw.data ? item->raw.data[0] == 'n' : item->value.kind == VALUE_NULL;
}

/* Null, or an empty list: no type can be told of it. */
static bool is_nothing(const struct map_item *item)
{
    size_t at = 1;
    struct slice raw = item->raw;
    if (is_null(item) || !raw.data || raw.data[0] != '[') {
        return is_null(item);
    }
    while (memchr(" \t\r\n", raw.data[at], 4)) {
        at++;
    }
    return raw.data[at] == ']';
}

enum err map_put_unknown(struct mapper *m, const struct avro_node *record,
                         const struct map_item *item)
{
    m->unknown_count++;
    if (m->unknown_is_refused) {
        why_set(m->why, "is not in the schema");
        return map_within(m, ERR_REJECTED, item->name);
    }
    if (m->unknown_is_kept && m->unknown_kept < MAP_UNKNOWN_MAX && !is_nothing(item)) {
        m->unknowns[m->unknown_kept++] = (struct map_unknown){
            .record = record, .name = item->name, .raw = item->raw, .value = item->value};
    }
    return ERR_OK;
}

static enum err put_missing(struct mapper *m, const struct avro_field *field)
{
    int32_t null_branch = avro_null_branch(field->node);
    if (m->missing_is_refused) {
        why_set(m->why, "is missing");
        return ERR_REJECTED;
    }
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

enum err map_put_field(struct mapper *m, const struct avro_field *field,
                       const struct map_item *item)
{
    size_t start = m->out->size;
    enum err e = item ? map_put_item(m, field->node, item) : put_missing(m, field);
    for (size_t i = 0; !e && i < m->step_count; i++) {
        if (m->steps[i].field == field) {
            quantize_datum(field->node, &m->steps[i].step, m->out, start);
        }
    }
    return e;
}

static enum err put_record(struct mapper *m, const struct avro_node *node, struct slice json)
{
    size_t first;
    size_t count;
    size_t found = 0;
    enum err e = map_scan(m, json, true, &first, &count);
    for (uint32_t f = 0; !e && f < node->field_count; f++) {
        const struct map_item *item = NULL;
        for (size_t i = 0; i < count && !item;
             i++) { /* usually in the schema's order: begin there */
            const struct map_item *candidate = &m->items[first + (f + i) % count];
            item = slice_equal(candidate->name, node->fields[f].name) ? candidate : NULL;
        }
        found += item != NULL;
        e = map_put_field(m, &node->fields[f], item);
        e = map_within(m, e, node->fields[f].name);
    }
    for (size_t i = 0; !e && found < count && i < count; i++) {
        const struct map_item *item = &m->items[first + i];
        if (avro_field_find(node, item->name, (uint32_t)i) < 0) {
            e = map_put_unknown(m, node, item);
        }
    }
    m->item_count = first;
    return e;
}

static enum err put_elements(struct mapper *m, const struct avro_node *node, struct slice json)
{
    size_t first;
    size_t count;
    enum err e = map_scan(m, json, node->kind == AVRO_MAP, &first, &count);
    if (!e && count > 0) {
        out_put_varint(m->out, (int64_t)count);
    }
    for (size_t i = 0; !e && i < count; i++) {
        const struct map_item *item = &m->items[first + i];
        if (node->kind == AVRO_MAP) {
            avro_put_bytes(m->out, item->name);
        }
        e = map_put_item(m, node->items, item);
        if (e && node->kind == AVRO_MAP) {
            e = map_within(m, e, item->name);
        } else if (e) {
            why_add(m->why, "element %zu", i);
        }
    }
    out_put_varint(m->out, 0);
    m->item_count = first;
    return e;
}

/* A union of null and one other type, as optional fields are: that type's index, else -1. */
static int32_t only_branch(const struct avro_node *node)
{
    int32_t null_branch = avro_null_branch(node);
    if (node->branch_count == 1) {
        return 0;
    }
    return node->branch_count == 2 && null_branch >= 0 ? 1 - null_branch : -1;
}

static bool union_try(struct mapper *m, const struct avro_node *node, const struct map_item *item)
{
    size_t size = m->out->size;
    size_t text_size = m->text.size;
    unsigned unknown_count = m->unknown_count;
    size_t unknown_kept = m->unknown_kept;
    bool overflow = m->out->overflow;
    for (uint32_t i = 0; i < node->branch_count; i++) {
        if (node->branches[i]->kind == AVRO_NULL) {
            continue;
        }
        out_put_varint(m->out, i);
        if (map_put_item(m, node->branches[i], item) == ERR_OK) {
            return true;
        }
        m->out->size = size;
        m->out->overflow = overflow;
        m->text.size = text_size;
        m->unknown_count = unknown_count;
        m->unknown_kept = unknown_kept;
    }
    return false;
}

/* What it is, and what the union has. */
static enum err no_branch(struct mapper *m, const struct avro_node *node,
                          const struct map_item *item)
{
    char memory[MAP_SHOWN_SIZE];
    uint8_t branches[120];
    struct out o = out_over(branches, sizeof branches);
    if (m->work > MAP_WORK_MAX) {
        why_set(m->why, "its values fit the schema's unions in too many ways");
        return ERR_REJECTED;
    }
    for (uint32_t i = 0; i < node->branch_count; i++) {
        size_t before = o.size;
        out_put_text(&o, i ? ", " : "");
        out_put_text(&o, avro_kind_name(node->branches[i]->kind));
        o.size = o.overflow ? before : o.size;
    }
    why_set(m->why, "%s fits no branch of the union of %.*s",
            item->raw.data ? map_shown(item->raw, memory) : "it", (int)o.size,
            (const char *)branches);
    return ERR_REJECTED;
}

/* The first branch that takes the value as it is; else the first that takes it with a number in
 * text and the like. Where there is only one, its own reason is given. */
static enum err put_union(struct mapper *m, const struct avro_node *node,
                          const struct map_item *item)
{
    int32_t only = is_null(item) ? avro_null_branch(node) : only_branch(node);
    if (only >= 0) {
        out_put_varint(m->out, only);
        return map_put_item(m, node->branches[only], item);
    }
    struct why *why = m->why;
    bool was_strict = m->strict;
    m->why = NULL;
    m->strict = true;
    bool taken = union_try(m, node, item);
    m->strict = was_strict;
    taken = taken || (!was_strict && union_try(m, node, item));
    m->why = why;
    if (!taken) {
        return no_branch(m, node, item);
    }
    return ERR_OK;
}

static enum err put_json(struct mapper *m, const struct avro_node *node, struct slice raw)
{
    struct slice text;
    assert(raw.size > 0);
    switch (raw.data[0]) {
    case '"': {
        enum err e = map_unquote(m, raw, &text);
        return e ? e : map_put_scalar(m, node, text, false);
    }
    case '{':
        if (node->kind == AVRO_RECORD) {
            return put_record(m, node, raw);
        }
        return node->kind == AVRO_MAP ? put_elements(m, node, raw)
                                      : map_misfit(m, SLICE("an object"), map_node_name(node));
    case '[':
        return node->kind == AVRO_ARRAY ? put_elements(m, node, raw)
                                        : map_misfit(m, SLICE("an array"), map_node_name(node));
    case 't':
    case 'f':
        if (node->kind == AVRO_BOOLEAN) {
            avro_put_boolean(m->out, raw.data[0] == 't');
            return ERR_OK;
        }
        return map_misfit(m, raw, map_node_name(node));
    case 'n':
        return node->kind == AVRO_NULL ? ERR_OK : map_misfit(m, raw, map_node_name(node));
    default:
        return map_put_scalar(m, node, raw, true);
    }
}

static enum err put_typed(struct mapper *m, const struct avro_node *node, const struct value *value)
{
    uint8_t memory[40];
    struct out text = out_over(memory, sizeof memory);
    switch (value->kind) {
    case VALUE_NULL:
        return node->kind == AVRO_NULL ? ERR_OK : map_misfit(m, SLICE("null"), map_node_name(node));
    case VALUE_BOOL:
        return put_json(m, node, value->as.boolean ? SLICE("true") : SLICE("false"));
    case VALUE_INT:
        out_put_format(&text, "%lld", (long long)value->as.integer);
        return map_put_scalar(m, node, out_slice(&text), true);
    case VALUE_DOUBLE:
        if (node->kind == AVRO_DOUBLE) {
            avro_put_double(m->out, value->as.real);
            return ERR_OK;
        }
        if (node->kind == AVRO_FLOAT && !isfinite(value->as.real)) {
            avro_put_float(m->out, (float)value->as.real);
            return ERR_OK;
        }
        if (!isfinite(value->as.real)) {
            return map_misfit(m, SLICE("a number without bound"), map_node_name(node));
        }
        number_put_double(&text, value->as.real);
        return map_put_scalar(m, node, out_slice(&text), true);
    case VALUE_NUMBER:
        return map_put_scalar(m, node, value->as.text, true);
    case VALUE_TEXT:
    case VALUE_BYTES:
        return map_put_scalar(m, node, value->as.text, false);
    }
    return ERR_REJECTED;
}

/* Values nest as deep as JSON and the schema do, both bounded: so is this recursion. */
enum err map_put_item(struct mapper *m, const struct avro_node *node, const struct map_item *item)
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
