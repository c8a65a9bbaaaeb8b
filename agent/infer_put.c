/* What was seen becomes a schema. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/infer_impl.h"

#define PRECISION_MIN 38 /* of a decimal: it may grow */

struct putting {
    struct out *out;
    struct out *names; /* of types, each in a line of its own */
    unsigned indent;
    uint32_t field_count;
    bool is_plain; /* infer_put_fields() */
    bool too_long; /* a name */
    enum err e;
};

/* --- names of types: the record's, with those of its members behind it --- */

struct path {
    char text[INFER_NAME_SIZE_MAX + 1];
};

static bool is_used(const struct out *names, const char *name)
{
    struct slice rest = out_slice(names);
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        struct slice used = {rest.data, (size_t)(end - rest.data)};
        if (slice_equal_text(used, name)) {
            return true;
        }
        rest = (struct slice){end + 1, rest.size - used.size - 1};
    }
    return false;
}

static struct path path_below(struct putting *p, const struct path *path, struct slice name)
{
    struct path below;
    int size = snprintf(below.text, sizeof below.text, "%s_%.*s", path->text, (int)name.size,
                        (const char *)name.data);
    p->too_long = p->too_long || size < 0 || (size_t)size >= sizeof below.text;
    return below;
}

/* The path, with a number behind it where the name is taken. */
static void put_type_name(struct putting *p, const struct path *path)
{
    struct path name = *path;
    for (unsigned i = 2; is_used(p->names, name.text); i++) {
        int size = snprintf(name.text, sizeof name.text, "%s_%u", path->text, i);
        p->too_long = p->too_long || size < 0 || (size_t)size >= sizeof name.text;
        if (p->too_long) {
            return;
        }
    }
    out_put_text(p->names, name.text);
    out_put_byte(p->names, '\n');
    out_put_format(p->out, "\"name\": \"%s\"", name.text);
}

static void put_line(struct putting *p)
{
    out_put_byte(p->out, '\n');
    for (unsigned i = 0; i < p->indent; i++) {
        out_put_text(p->out, "  ");
    }
}

/* --- scalars --- */

static void put_number(struct putting *p, const struct shape *shape)
{
    bool is_long = shape->reals == 0 && !shape->beyond_long;
    int64_t precision = shape->digits_before + shape->digits_behind;
    if (is_long || !shape->beyond_double || p->is_plain) {
        out_put_text(p->out, is_long ? "\"long\"" : "\"double\"");
        return;
    }
    precision = precision > PRECISION_MIN ? precision : PRECISION_MIN;
    out_put_format(p->out,
                   "{\"type\": \"bytes\", \"logicalType\": \"decimal\", \"precision\": %" PRId64
                   ", \"scale\": %" PRId64 "}",
                   precision, shape->digits_behind);
}

static bool is_time(const struct shape *shape)
{
    return shape->time_texts == shape->texts && shape->time_digits <= 9 && shape->numbers == 0;
}

static bool is_enum(const struct shape *shape)
{
    return shape->name_texts == shape->texts && !shape->values_end &&
           shape->value_count <= INFER_SYMBOL_MAX &&
           shape->texts >= INFER_SYMBOL_SEEN * shape->value_count;
}

static void put_strings(struct putting *p, const struct shape *shape)
{
    for (size_t i = 0; i < shape->value_count; i++) {
        out_put_text(p->out, i ? ", " : "");
        out_put_json(p->out, shape->values[i].text);
    }
}

static void put_text(struct putting *p, const struct shape *shape, const struct path *path)
{
    if (!p->is_plain && is_time(shape)) {
        const char *unit = shape->time_digits <= 3   ? "millis"
                           : shape->time_digits <= 6 ? "micros"
                                                     : "nanos";
        out_put_format(p->out, "{\"type\": \"long\", \"logicalType\": \"timestamp-%s\"}", unit);
    } else if (!p->is_plain && is_enum(shape)) {
        out_put_text(p->out, "{\"type\": \"enum\", ");
        put_type_name(p, path);
        out_put_text(p->out, ", \"symbols\": [");
        put_strings(p, shape);
        out_put_text(p->out, "]}");
    } else {
        out_put_text(p->out, "\"string\"");
    }
}

static int more_frequent(const void *a, const void *b)
{
    const struct seen_text *x = a;
    const struct seen_text *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

/* The property of a field whose texts repeat themselves. */
static void put_values(struct putting *p, const struct shape *shape)
{
    struct shape sorted = *shape;
    bool repeats = !p->is_plain && shape->texts > 0 && !is_time(shape) && !is_enum(shape) &&
                   !shape->values_end && shape->texts >= INFER_VALUE_SEEN * shape->value_count;
    if (!repeats) {
        return;
    }
    sorted.values = calloc(shape->value_count, sizeof *sorted.values);
    if (!sorted.values) {
        p->e = ERR_NOMEM;
        return;
    }
    memcpy(sorted.values, shape->values, shape->value_count * sizeof *sorted.values);
    qsort(sorted.values, sorted.value_count, sizeof *sorted.values, more_frequent);
    out_put_text(p->out, ", \"weir.values\": [");
    put_strings(p, &sorted);
    out_put_text(p->out, "]");
    free(sorted.values);
}

/* --- types --- */

static void put_type(struct putting *p, const struct shape *shape, const struct path *path,
                     bool is_optional);

static void put_field(struct putting *p, const struct shape *parent, const struct shape *member,
                      const struct path *path)
{
    struct path below = path_below(p, path, member->name);
    bool is_optional = p->is_plain || member->nulls > 0 || member->seen < parent->objects;
    p->field_count++;
    put_line(p);
    out_put_format(p->out, "{\"name\": \"%.*s\", \"type\": ", (int)member->name.size,
                   (const char *)member->name.data);
    put_type(p, member, &below, is_optional);
    put_values(p, member);
    out_put_text(p->out, is_optional ? ", \"default\": null}" : "}");
}

/* Not only null, or lists of nothing. As deep as samples nest. */
static bool is_told(const struct shape *shape)
{
    bool has_elements = shape->elements && is_told(shape->elements);
    return shape->booleans || shape->numbers || shape->texts || shape->objects || has_elements;
}

static void put_members(struct putting *p, const struct shape *shape, const struct path *path)
{
    bool is_first = true;
    for (size_t i = 0; i < shape->member_count; i++) {
        if (!p->is_plain || is_told(shape->members[i])) {
            out_put_text(p->out, is_first ? "" : ",");
            is_first = false;
            put_field(p, shape, shape->members[i], path);
        }
    }
}

static void put_object(struct putting *p, const struct shape *shape, const struct path *path)
{
    if (shape->values_of_map) {
        struct path below = path_below(p, path, SLICE("value"));
        out_put_text(p->out, "{\"type\": \"map\", \"values\": ");
        put_type(p, shape->values_of_map, &below, shape->values_of_map->nulls > 0);
        out_put_text(p->out, "}");
        return;
    }
    out_put_text(p->out, "{\"type\": \"record\", ");
    put_type_name(p, path);
    out_put_text(p->out, ", \"fields\": [");
    p->indent++;
    put_members(p, shape, path);
    p->indent--;
    out_put_text(p->out, "]}");
}

static void put_list(struct putting *p, const struct shape *shape, const struct path *path)
{
    static const struct shape nothing = {.texts = 1, .values_end = true};
    const struct shape *elements =
        shape->elements && shape->elements->seen > 0 ? shape->elements : &nothing;
    struct path below = path_below(p, path, SLICE("element"));
    out_put_text(p->out, "{\"type\": \"array\", \"items\": ");
    put_type(p, elements, &below, elements->nulls > 0);
    out_put_text(p->out, "}");
}

/* Behind a comma when it is not the first of a union. */
static bool branch(struct putting *p, uint64_t count, bool *is_first)
{
    if (count > 0) {
        out_put_text(p->out, *is_first ? "" : ", ");
        *is_first = false;
    }
    return count > 0;
}

static void put_type(struct putting *p, const struct shape *shape, const struct path *path,
                     bool is_optional)
{
    bool only_null = shape->nulls == shape->seen && shape->seen > 0;
    int kinds = (shape->booleans > 0) + (shape->numbers > 0) + (shape->texts > 0 || only_null) +
                (shape->lists > 0) + (shape->objects > 0);
    bool is_union = kinds + is_optional > 1;
    bool is_first = true;
    out_put_text(p->out, is_union ? "[" : "");
    if (branch(p, is_optional, &is_first)) {
        out_put_text(p->out, "\"null\"");
    }
    if (branch(p, shape->booleans, &is_first)) {
        out_put_text(p->out, "\"boolean\"");
    }
    if (branch(p, shape->numbers, &is_first)) {
        put_number(p, shape);
    }
    if (branch(p, only_null, &is_first)) { /* what it may be one day */
        out_put_text(p->out, "\"string\"");
    }
    if (branch(p, shape->texts, &is_first)) {
        put_text(p, shape, path);
    }
    if (branch(p, shape->lists, &is_first)) {
        put_list(p, shape, path);
    }
    if (branch(p, shape->objects, &is_first)) {
        put_object(p, shape, path);
    }
    out_put_text(p->out, is_union ? "]" : "");
}

static enum err put_result(const struct putting *p, struct why *why)
{
    if (p->e) {
        return p->e;
    }
    if (p->too_long) {
        why_set(why, "fields within fields whose names are together longer than %d",
                INFER_NAME_SIZE_MAX);
        return ERR_REJECTED;
    }
    return p->out->overflow ? ERR_FULL : ERR_OK;
}

enum err infer_put(const struct infer *infer, const char *name, const char *namespace_,
                   struct out *ret, struct why *why)
{
    struct path path;
    struct out names = out_over(malloc(INFER_NAMES_SIZE_MAX), INFER_NAMES_SIZE_MAX);
    struct putting p = {.out = ret, .names = &names};
    if (!names.data) {
        return ERR_NOMEM;
    }
    if (infer->root.seen == 0) {
        free(names.data);
        why_set(why, "there are no samples");
        return ERR_REJECTED;
    }
    (void)snprintf(path.text, sizeof path.text, "%s", name); /* the caller's: short enough */
    out_put_text(ret, "{\"type\": \"record\", ");
    put_type_name(&p, &path);
    if (namespace_) {
        out_put_format(ret, ", \"namespace\": \"%s\"", namespace_);
    }
    out_put_text(ret, ", \"fields\": [");
    p.indent = 1;
    put_members(&p, &infer->root, &path);
    out_put_text(ret, "]}\n");
    free(names.data);
    return put_result(&p, why);
}

enum err infer_put_fields(const struct infer *infer, const char *name, struct out *names,
                          struct out *ret, uint32_t *ret_count, struct why *why)
{
    struct path path;
    struct putting p = {.out = ret, .names = names, .is_plain = true};
    int size = snprintf(path.text, sizeof path.text, "%s", name);
    p.too_long = size < 0 || (size_t)size >= sizeof path.text;
    put_members(&p, &infer->root, &path);
    enum err e = put_result(&p, why);
    if (!e) {
        *ret_count = p.field_count;
    }
    return e;
}
