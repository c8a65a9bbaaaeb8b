#include "agent/lossy.h"

#include <assert.h>
#include <stdlib.h>

#include "config/units.h"
#include "ports/lib/json.h"
#include "ports/log.h"

#define MARK_SIZE_MAX 200

/* --- which field --- */

/* The record that a value of this type is, or has in it: of a union, an array or a map the first. */
static const struct avro_node *record_in(const struct avro_node *node)
{
    for (unsigned depth = 0; depth < AVRO_DEPTH_MAX && node->kind != AVRO_RECORD; depth++) {
        const struct avro_node *next = node->items;
        for (uint32_t i = 0; node->kind == AVRO_UNION && i < node->branch_count; i++) {
            enum avro_kind kind = node->branches[i]->kind;
            bool has_parts = kind == AVRO_RECORD || kind == AVRO_ARRAY || kind == AVRO_MAP;
            next = has_parts && !next ? node->branches[i] : next;
        }
        if (!next) {
            return NULL;
        }
        node = next;
    }
    return node->kind == AVRO_RECORD ? node : NULL;
}

/* "satellites.el". NULL: there is none; *ret_inner: it does not lie in the record itself. */
static const struct avro_field *find_field(const struct avro_node *node, const char *path,
                                           bool *ret_inner)
{
    const struct avro_field *field = NULL;
    struct slice rest = slice_of_text(path);
    *ret_inner = false;
    for (;;) {
        const uint8_t *dot = rest.size ? memchr(rest.data, '.', rest.size) : NULL;
        struct slice name = {rest.data, dot ? (size_t)(dot - rest.data) : rest.size};
        const struct avro_node *record = record_in(node);
        int32_t index = record ? avro_field_find(record, name, 0) : -1;
        if (index < 0) {
            return NULL;
        }
        field = &record->fields[index];
        if (!dot) {
            return field;
        }
        *ret_inner = true;
        node = field->node;
        rest = (struct slice){dot + 1, rest.size - name.size - 1};
    }
}

static bool is_number(const struct avro_node *node)
{
    return node->logical == AVRO_PLAIN && (node->kind == AVRO_INT || node->kind == AVRO_LONG ||
                                           node->kind == AVRO_FLOAT || node->kind == AVRO_DOUBLE);
}

static bool is_whole(const struct avro_node *node)
{
    return is_number(node) && (node->kind == AVRO_INT || node->kind == AVRO_LONG);
}

static bool is_time(const struct avro_node *node)
{
    return node->logical >= AVRO_DATE && node->logical <= AVRO_LOCAL_TIMESTAMP_NANOS;
}

/* Is it one, or a union with some? */
static bool has(const struct avro_node *node, bool (*is)(const struct avro_node *node))
{
    bool found = is(node);
    for (uint32_t i = 0; i < node->branch_count; i++) {
        found = found || is(node->branches[i]);
    }
    return found;
}

static const struct stream_field *fields_of(const struct stream_config *options)
{
    return options->fields.items;
}

static size_t band_count(const struct stream_config *options)
{
    size_t count = 0;
    for (size_t i = 0; i < options->fields.count; i++) {
        count += fields_of(options)[i].deadband.is_set;
    }
    return count;
}

/* --- is it right? --- */

static enum err wrong(struct why *why, const char **ret_member, const char *member,
                      const char *text)
{
    *ret_member = member;
    why_set(why, "%s", text);
    return ERR_CONFIG;
}

static enum err check_quantize(const struct stream_field *f, const struct avro_field *field,
                               const char **ret_member, struct why *why)
{
    if (!has(field->node, is_number)) {
        return wrong(why, ret_member, "quantize",
                     "only an int, long, float or double without a logical type is rounded");
    }
    if (has(field->node, is_whole) && f->quantize.scale > 0) {
        return wrong(why, ret_member, "quantize",
                     "the field holds whole numbers: a whole step, as 5");
    }
    return ERR_OK;
}

static enum err check_deadband(const struct stream_config *options, size_t index,
                               const struct avro_field *field, const char **ret_member,
                               struct why *why)
{
    const char *name = options->fields.names[index];
    if (!has(field->node, is_number)) {
        return wrong(why, ret_member, "deadband",
                     "only an int, long, float or double without a logical type has one");
    }
    if (options->key && strcmp(options->key, name) == 0) {
        return wrong(why, ret_member, "deadband",
                     "this is the stream's key: another key is another series");
    }
    if (band_count(options) > DEADBAND_BAND_MAX) {
        *ret_member = "deadband";
        why_set(why, "at most %d fields of a stream have a deadband", DEADBAND_BAND_MAX);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err lossy_check(const struct stream_config *options, size_t index,
                     const struct avro_schema *schema, const char **ret_member, struct why *why)
{
    const struct stream_field *f = &fields_of(options)[index];
    bool is_inner;
    const struct avro_field *field =
        find_field(avro_schema_root(schema), options->fields.names[index], &is_inner);
    if (!field) {
        return wrong(why, ret_member, "", "the stream's schema has no such field");
    }
    if (!f->quantize.is_set && !f->deadband.is_set && !f->ignore_changes) {
        return wrong(why, ret_member, "",
                     "says nothing: give it quantize, deadband or ignore_changes");
    }
    if (is_inner && (f->deadband.is_set || f->ignore_changes)) {
        return wrong(why, ret_member, f->deadband.is_set ? "deadband" : "ignore_changes",
                     "only for fields of the event itself, not of what lies in it");
    }
    if (f->ignore_changes && (f->deadband.is_set || band_count(options) == 0)) {
        return wrong(why, ret_member, "ignore_changes",
                     f->deadband.is_set ? "beside a deadband of the same field it says two things"
                                        : "no field of the stream has a deadband");
    }
    enum err e = f->quantize.is_set ? check_quantize(f, field, ret_member, why) : ERR_OK;
    if (!e && f->deadband.is_set) {
        e = check_deadband(options, index, field, ret_member, why);
    }
    return e;
}

/* --- the word in the schema --- */

static void put_mark(const struct stream_field *f, struct out *o)
{
    if (f->quantize.is_set) {
        out_put_text(o, "rounded to multiples of ");
        units_put_decimal(&f->quantize, o);
    }
    if (f->deadband.is_set) {
        out_put_text(o, f->quantize.is_set ? "; " : "");
        out_put_text(o, "events in which it moved by no more than ");
        units_put_decimal(&f->deadband, o);
        out_put_text(o, " may be left out");
    }
}

/* The value of the field's doc in the schema's text, with its quotes; data NULL: it has none. */
static enum err find_doc(const struct avro_field *field, struct slice *ret)
{
    struct json_reader *reader = malloc(sizeof *reader);
    struct out keys = out_over(malloc(field->json.size + 1), field->json.size + 1);
    struct json_token token;
    struct slice key;
    struct slice value = {NULL, 0};
    enum err e = reader && keys.data ? ERR_OK : ERR_NOMEM;
    *ret = value;
    if (!e) {
        json_init(reader, field->json);
        e = json_next(reader, &token);
    }
    while (!e) {
        keys.size = 0;
        e = json_member(reader, &keys, &key, &value);
        if (!e && slice_equal_text(key, "doc")) {
            *ret = value;
        }
    }
    free(reader);
    free(keys.data);
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* The whole schema with the mark in this field's doc. */
static enum err put_marked(const struct avro_schema *schema, const struct avro_field *field,
                           struct slice mark, struct out *o)
{
    struct slice text = avro_schema_root(schema)->json;
    struct slice doc;
    enum err e = find_doc(field, &doc);
    if (e) {
        return e;
    }
    bool has_doc = doc.size >= 2 && doc.data[0] == '"';
    const uint8_t *at = has_doc ? doc.data + doc.size - 1 : field->json.data + field->json.size - 1;
    assert(at > text.data && at < text.data + text.size);
    out_put_slice(o, (struct slice){text.data, (size_t)(at - text.data)});
    out_put_text(o, !has_doc ? ",\"doc\":\"" : doc.size > 2 ? " (" : "");
    out_put_slice(o, mark);
    out_put_text(o, !has_doc ? "\"" : doc.size > 2 ? ")" : "");
    out_put_slice(o, (struct slice){at, (size_t)(text.data + text.size - at)});
    return ERR_OK;
}

static enum err mark_field(struct avro_schema **schema, const struct avro_field *field,
                           const struct stream_field *f, struct why *why)
{
    uint8_t memory[MARK_SIZE_MAX];
    struct out mark = out_over(memory, sizeof memory);
    put_mark(f, &mark);
    assert(!mark.overflow);
    if (field->doc.size && memmem(field->doc.data, field->doc.size, memory, mark.size)) {
        return ERR_OK; /* the file has it already */
    }
    struct out text = out_over(malloc(AVRO_SCHEMA_SIZE_MAX), AVRO_SCHEMA_SIZE_MAX);
    struct avro_schema *marked = NULL;
    enum err e = text.data ? put_marked(*schema, field, out_slice(&mark), &text) : ERR_NOMEM;
    if (!e && text.overflow) {
        why_set(why,
                "with what its fields say of rounding and deadbands the schema would be "
                "larger than %d bytes",
                AVRO_SCHEMA_SIZE_MAX);
        e = ERR_REJECTED;
    }
    e = e ? e : avro_schema_parse(&marked, out_slice(&text), why);
    free(text.data);
    if (!e) {
        avro_schema_close(*schema);
        *schema = marked;
    }
    return e;
}

enum err lossy_mark(const struct stream_config *options, struct avro_schema **schema,
                    struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < options->fields.count; i++) {
        const struct stream_field *f = &fields_of(options)[i];
        const char *member;
        struct why unfit;
        bool is_inner;
        if (avro_schema_root(*schema)->kind == AVRO_RECORD &&
            (f->quantize.is_set || f->deadband.is_set) &&
            lossy_check(options, i, *schema, &member, &unfit) == ERR_OK) {
            const struct avro_field *field =
                find_field(avro_schema_root(*schema), options->fields.names[i], &is_inner);
            e = mark_field(schema, field, f, why);
        }
    }
    return e;
}

/* --- for intake --- */

enum err lossy_open(struct lossy **ret, const struct config_stream *stream)
{
    *ret = NULL;
    if (stream->options.fields.count == 0) {
        return ERR_OK;
    }
    struct lossy *lossy = calloc(1, sizeof *lossy);
    if (!lossy) {
        return ERR_NOMEM;
    }
    lossy->stream = stream;
    enum err e = band_count(&stream->options)
                     ? deadband_open(&lossy->deadband, stream->options.max_interval_ms)
                     : ERR_OK;
    if (e) {
        lossy_close(lossy);
        return e;
    }
    *ret = lossy;
    return ERR_OK;
}

void lossy_close(struct lossy *lossy)
{
    if (lossy) {
        deadband_close(lossy->deadband);
        free(lossy);
    }
}

/* What may change without being reported: all times, and what says which event it is. */
static void set_roles(struct deadband *deadband, const struct stream_config *options,
                      const struct avro_node *record)
{
    deadband_record_set(deadband, record);
    for (uint32_t f = 0; f < record->field_count; f++) {
        const struct avro_field *field = &record->fields[f];
        if (options->key && slice_equal_text(field->name, options->key)) {
            deadband_role_set(deadband, f, DEADBAND_KEY);
        } else if (has(field->node, is_time) ||
                   (options->time && slice_equal_text(field->name, options->time))) {
            deadband_role_set(deadband, f, DEADBAND_IGNORED);
        }
    }
}

void lossy_schema_set(struct lossy *lossy, const struct avro_schema *schema)
{
    const struct stream_config *options = &lossy->stream->options;
    const struct avro_node *record = avro_schema_root(schema);
    lossy->step_count = 0;
    if (lossy->deadband) {
        set_roles(lossy->deadband, options, record);
    }
    for (size_t i = 0; i < options->fields.count; i++) {
        const struct stream_field *f = &fields_of(options)[i];
        const char *name = options->fields.names[i];
        const char *member;
        struct why why = {""};
        bool is_inner;
        if (lossy_check(options, i, schema, &member, &why)) {
            log_warn("weir", "stream %s: fields.%s does nothing with the schema in use: %s",
                     lossy->stream->name, name, why.text);
            continue;
        }
        const struct avro_field *field = find_field(record, name, &is_inner);
        uint32_t index = is_inner ? 0 : (uint32_t)(field - record->fields);
        if (f->quantize.is_set) {
            assert(lossy->step_count < LOSSY_FIELD_MAX);
            lossy->steps[lossy->step_count++] = (struct map_step){field, f->quantize};
        }
        if (f->deadband.is_set) {
            deadband_band_add(lossy->deadband, index, &f->deadband);
        } else if (f->ignore_changes) {
            deadband_role_set(lossy->deadband, index, DEADBAND_IGNORED);
        }
    }
}
