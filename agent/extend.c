#include "agent/extend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/infer.h"
#include "ports/lib/json.h"
#include "uplink/avro/encode.h"

/* A reader with all levels that a schema's text may have. */
struct deep_reader {
    struct json_reader reader;
    struct json_frame frames[AVRO_JSON_DEPTH_MAX - JSON_DEPTH_MAX];
};

static void deep_init(struct deep_reader *r, struct slice text)
{
    json_init_deep(&r->reader, text, r->frames, ARRAY_COUNT(r->frames));
}

static struct slice last_name(struct slice full)
{
    struct slice name = full;
    for (size_t i = 0; i < full.size; i++) {
        if (full.data[i] == '.') {
            name = (struct slice){full.data + i + 1, full.size - i - 1};
        }
    }
    return name;
}

/* --- what is added --- */

/* A record that gets fields. */
struct group {
    const struct avro_node *record;
    const uint8_t *at;  /* in the schema's text: the bracket behind its fields */
    bool has_fields;    /* already */
    struct slice added; /* text, with commas between */
};

struct extending {
    struct deep_reader deep;
    struct group groups[MAP_UNKNOWN_MAX];
    size_t group_count;
    struct out names; /* of types, for infer */
    struct out keys;  /* scratch of the reader */
    struct out added; /* texts of all groups */
    struct out text;  /* the new schema */
    struct extension *result;
    struct why *why;
};

static enum err extending_open(struct extending **ret, size_t text_size)
{
    struct extending *x = calloc(1, sizeof *x);
    if (!x) {
        return ERR_NOMEM;
    }
    x->names = out_over(malloc(INFER_NAMES_SIZE_MAX), INFER_NAMES_SIZE_MAX);
    x->keys = out_over(malloc(text_size), text_size);
    x->added = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    x->text = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    *ret = x;
    return x->names.data && x->keys.data && x->added.data && x->text.data ? ERR_OK : ERR_NOMEM;
}

static void extending_close(struct extending *x)
{
    if (x) {
        free(x->names.data);
        free(x->keys.data);
        free(x->added.data);
        free(x->text.data);
        free(x);
    }
}

/* Every text behind a "name": also those of fields, which does no harm. */
static void note_names(struct extending *x, struct slice text)
{
    struct json_token token;
    bool is_name = false;
    deep_init(&x->deep, text);
    while (json_next(&x->deep.reader, &token) == ERR_OK) {
        if (is_name && token.kind == JSON_STRING) {
            out_put_slice(&x->names, last_name(token.text));
            out_put_byte(&x->names, '\n');
        }
        is_name = token.kind == JSON_KEY && slice_equal_text(token.text, "name");
    }
}

/* Where the fields of the record end. */
static enum err find_end(struct extending *x, struct group *group)
{
    struct json_token token;
    struct slice key;
    struct slice value = {NULL, 0};
    deep_init(&x->deep, group->record->json);
    enum err e = json_next(&x->deep.reader, &token);
    while (!e) {
        x->keys.size = 0;
        e = json_member(&x->deep.reader, &x->keys, &key, &value);
        if (!e && slice_equal_text(key, "fields")) {
            group->at = value.data + value.size - 1;
            group->has_fields = group->record->field_count > 0;
            return ERR_OK;
        }
    }
    why_set(x->why, "its record can't be extended");
    return ERR_REJECTED;
}

/* A typed value as JSON of the same type; only the type counts. */
static struct slice json_of_value(const struct value *value)
{
    switch (value->kind) {
    case VALUE_BOOL:
        return SLICE("true");
    case VALUE_INT:
        return SLICE("1");
    case VALUE_DOUBLE:
        return SLICE("0.5");
    case VALUE_NUMBER:
        return value->as.text;
    case VALUE_TEXT:
        return SLICE("\"\"");
    case VALUE_NULL:
    case VALUE_BYTES:
        break;
    }
    return SLICE("null");
}

static enum err add_sample(struct extending *x, struct infer *infer, const struct map_unknown *u)
{
    struct slice value = u->raw.data ? u->raw : json_of_value(&u->value);
    size_t room = value.size + EXTEND_NAME_SIZE_MAX + 8;
    if (u->name.size > EXTEND_NAME_SIZE_MAX || !infer_is_name(u->name)) {
        why_set(x->why,
                "can't be added to the schema: a field's name is at most %d letters, digits and _",
                EXTEND_NAME_SIZE_MAX);
        return ERR_REJECTED;
    }
    struct out sample = out_over(malloc(room), room);
    if (!sample.data) {
        return ERR_NOMEM;
    }
    out_put_text(&sample, "{\"");
    out_put_slice(&sample, u->name);
    out_put_text(&sample, "\":");
    out_put_slice(&sample, value);
    out_put_text(&sample, "}");
    enum err e = infer_add(infer, out_slice(&sample), x->why);
    free(sample.data);
    return e == ERR_CORRUPT ? ERR_REJECTED : e;
}

/* Infer knows JSON alone. */
static void put_bytes(struct extending *x, const struct map_unknown *u, uint32_t *count)
{
    if (!u->raw.data && u->value.kind == VALUE_BYTES) {
        out_put_format(&x->added,
                       "%s{\"name\": \"%.*s\", \"type\": [\"null\", \"bytes\"], \"default\": null}",
                       *count ? "," : "", (int)u->name.size, (const char *)u->name.data);
        ++*count;
    }
}

/* Once each, and only what was added. */
static bool is_shown(const struct group *group, const struct map_unknown *unknowns, size_t index)
{
    char text[EXTEND_NAME_SIZE_MAX + 16];
    struct out o = out_over(text, sizeof text);
    for (size_t i = 0; i < index; i++) {
        if (unknowns[i].record == group->record &&
            slice_equal(unknowns[i].name, unknowns[index].name)) {
            return false;
        }
    }
    out_put_format(&o, "\"name\": \"%.*s\"", (int)unknowns[index].name.size,
                   (const char *)unknowns[index].name.data);
    return memmem(group->added.data, group->added.size, text, o.size) != NULL;
}

static void show_name(struct extension *result, const struct group *group, bool is_root,
                      struct slice name)
{
    size_t size = strlen(result->names);
    struct slice record = last_name(group->record->name);
    struct out o = out_over(result->names + size, EXTEND_NAMES_SIZE - size - 1);
    out_put_text(&o, size ? ", " : "");
    if (!is_root) {
        out_put_slice(&o, record);
        out_put_byte(&o, '.');
    }
    out_put_slice(&o, name);
    result->names[o.overflow ? size : size + o.size] = '\0'; /* what finds no room is not shown */
}

/* All fields that the record gets. */
static enum err infer_fields(struct extending *x, const struct group *group,
                             const struct map_unknown *unknowns, size_t unknown_count,
                             uint32_t *ret_count)
{
    struct infer *infer;
    char name[INFER_NAME_SIZE_MAX + 1];
    if (!slice_to_text(last_name(group->record->name), name, sizeof name)) {
        why_set(x->why, "the name of its record is too long");
        return ERR_REJECTED;
    }
    enum err e = infer_open(&infer);
    if (e) {
        return e;
    }
    for (size_t i = 0; !e && i < unknown_count; i++) {
        const struct map_unknown *u = &unknowns[i];
        e = u->record == group->record ? add_sample(x, infer, u) : ERR_OK;
        if (e && u->name.size <= EXTEND_NAME_SIZE_MAX) {
            why_add(x->why, "field \"%.*s\"", (int)u->name.size, (const char *)u->name.data);
        }
    }
    e = e ? e : infer_put_fields(infer, name, &x->names, &x->added, ret_count, x->why);
    infer_close(infer);
    return e;
}

static enum err add_fields(struct extending *x, struct group *group, bool is_root,
                           const struct map_unknown *unknowns, size_t unknown_count)
{
    uint32_t count = 0;
    size_t start = x->added.size;
    enum err e = infer_fields(x, group, unknowns, unknown_count, &count);
    for (size_t i = 0; !e && i < unknown_count; i++) {
        if (unknowns[i].record == group->record) {
            put_bytes(x, &unknowns[i], &count);
        }
    }
    group->added = (struct slice){x->added.data + start, x->added.size - start};
    for (size_t i = 0; !e && i < unknown_count; i++) {
        if (unknowns[i].record == group->record && is_shown(group, unknowns, i)) {
            show_name(x->result, group, is_root, unknowns[i].name);
        }
    }
    x->result->count += count;
    return e;
}

/* --- the new schema --- */

static enum err find_groups(struct extending *x, const struct map_unknown *unknowns, size_t count)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < count; i++) {
        size_t g = 0;
        while (g < x->group_count && x->groups[g].record != unknowns[i].record) {
            g++;
        }
        if (g == x->group_count) {
            x->groups[x->group_count++].record = unknowns[i].record;
            e = find_end(x, &x->groups[g]);
        }
    }
    return e;
}

/* The group whose place comes next behind `at`. NULL: none does. */
static const struct group *next_group(const struct extending *x, const uint8_t *at)
{
    const struct group *next = NULL;
    for (size_t i = 0; i < x->group_count; i++) {
        const struct group *group = &x->groups[i];
        if (group->added.size && group->at >= at && (!next || group->at < next->at)) {
            next = group;
        }
    }
    return next;
}

static void put_schema(struct extending *x, struct slice text)
{
    const uint8_t *at = text.data;
    const struct group *group;
    while ((group = next_group(x, at))) {
        out_put_slice(&x->text, (struct slice){at, (size_t)(group->at - at)});
        out_put_text(&x->text, group->has_fields ? "," : "");
        out_put_slice(&x->text, group->added);
        out_put_byte(&x->text, ']');
        at = group->at + 1;
    }
    out_put_slice(&x->text, (struct slice){at, (size_t)(text.data + text.size - at)});
}

static enum err extend(struct extending *x, const struct avro_schema *schema,
                       const struct map_unknown *unknowns, size_t unknown_count, uint32_t count_max)
{
    const struct avro_node *root = avro_schema_root(schema);
    note_names(x, root->json);
    enum err e = find_groups(x, unknowns, unknown_count);
    for (size_t g = 0; !e && g < x->group_count; g++) {
        e = add_fields(x, &x->groups[g], x->groups[g].record == root, unknowns, unknown_count);
    }
    if (e || x->result->count == 0) {
        return e == ERR_FULL ? ERR_REJECTED : e;
    }
    if (x->result->count > count_max) {
        why_set(x->why,
                "%u fields more than the schema has, and to one stream's at most %d are added, of "
                "which %u are left: write them into its file",
                x->result->count, EXTEND_MAX, count_max);
        return ERR_REJECTED;
    }
    put_schema(x, root->json);
    if (x->added.overflow || x->text.overflow) {
        why_set(x->why, "with its fields the schema would be larger than %d bytes",
                AVRO_SCHEMA_SIZE_MAX);
        return ERR_REJECTED;
    }
    e = avro_schema_parse(&x->result->schema, out_slice(&x->text), x->why);
    if (e && e != ERR_NOMEM) {
        why_add(x->why, "its fields can't be added to the schema");
        return ERR_REJECTED;
    }
    return e;
}

enum err extend_schema(const struct avro_schema *schema, const struct map_unknown *unknowns,
                       size_t unknown_count, uint32_t count_max, struct extension *ret,
                       struct why *why)
{
    struct extension result = {.schema = NULL};
    struct extending *x = NULL;
    struct avro_node const *root = avro_schema_root(schema);
    assert(unknown_count <= MAP_UNKNOWN_MAX && count_max <= EXTEND_MAX);
    enum err e = extending_open(&x, root->json.size);
    if (!e) {
        x->result = &result;
        x->why = why;
        e = extend(x, schema, unknowns, unknown_count, count_max);
    }
    extending_close(x);
    if (!e && result.schema && avro_schema_root(result.schema)->field_count > MAP_FIELD_MAX) {
        avro_schema_close(result.schema);
        why_set(why, "with its fields the schema would have more than %d", MAP_FIELD_MAX);
        return ERR_REJECTED;
    }
    if (!e) {
        *ret = result;
    }
    return e;
}
