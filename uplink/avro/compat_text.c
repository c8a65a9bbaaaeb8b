/* Findings in words: for programs as Java has them, for people as sentences. */
#include <assert.h>
#include <stdio.h>

#include "uplink/avro/compat_impl.h"

#define WORDS_COUNT_MAX 8 /* branches or symbols that are named before "..." */

/* --- places --- */

#define STEP_SIZE_MAX 32

/* "/fields/1", "/type", "/0" */
static size_t step_text(const struct avro_place *place, char *text)
{
    int size = place->word    ? snprintf(text, STEP_SIZE_MAX, "/%s", place->word)
               : place->field ? snprintf(text, STEP_SIZE_MAX, "/fields/%u", place->index)
                              : snprintf(text, STEP_SIZE_MAX, "/%u", place->index);
    assert(size > 0 && size < STEP_SIZE_MAX);
    return (size_t)size;
}

/* Room for `size` bytes at the end, which the caller fills; NULL: there is none. */
static uint8_t *out_room(struct out *o, size_t size)
{
    if (o->overflow || o->size_max - o->size < size) {
        o->overflow = true;
        return NULL;
    }
    uint8_t *memory = o->data + o->size;
    o->size += size;
    return memory;
}

/* The chain leads from the leaf to the root: it is written from its end. */
void avro_place_put(const struct avro_place *place, struct out *ret)
{
    char text[STEP_SIZE_MAX];
    size_t size = 0;
    if (!place) {
        out_put_byte(ret, '/');
        return;
    }
    for (const struct avro_place *p = place; p; p = p->up) {
        size += step_text(p, text);
    }
    uint8_t *memory = out_room(ret, size);
    for (const struct avro_place *p = place; memory && p; p = p->up) {
        size_t step = step_text(p, text);
        size -= step;
        memcpy(memory + size, text, step);
    }
}

void avro_finding_put_location(const struct avro_finding *finding, struct out *ret)
{
    avro_place_put(finding->place, ret);
}

void avro_finding_put_field(const struct avro_finding *finding, struct out *ret)
{
    size_t size = 0;
    for (const struct avro_place *p = finding->place; p; p = p->up) {
        size += p->field ? p->field->name.size + (size > 0) : 0;
    }
    uint8_t *memory = size > 0 ? out_room(ret, size) : NULL;
    bool is_last = true;
    for (const struct avro_place *p = finding->place; memory && p; p = p->up) {
        if (!p->field) {
            continue;
        }
        if (!is_last) {
            memory[--size] = '.';
        }
        is_last = false;
        size -= p->field->name.size;
        memcpy(memory + size, p->field->name.data, p->field->name.size);
    }
}

/* --- types in words --- */

static void put_union(const struct avro_node *node, struct out *ret)
{
    for (uint32_t i = 0; i < node->branch_count && i < WORDS_COUNT_MAX; i++) {
        out_put_text(ret, i == 0 ? "" : " or ");
        avro_node_put_words(node->branches[i], ret);
    }
    out_put_text(ret, node->branch_count > WORDS_COUNT_MAX ? " or ..." : "");
    out_put_text(ret, node->branch_count == 0 ? "nothing (an empty union)" : "");
}

static void put_items(const struct avro_node *node, struct out *ret)
{
    bool is_union = node->items->kind == AVRO_UNION;
    out_put_text(ret, node->kind == AVRO_ARRAY ? "array of " : "map of ");
    out_put_text(ret, is_union ? "(" : "");
    avro_node_put_words(node->items, ret);
    out_put_text(ret, is_union ? ")" : "");
}

/* Recurses into what has no name: at most AVRO_DEPTH_MAX deep. */
void avro_node_put_words(const struct avro_node *node, struct out *ret)
{
    if (node->kind == AVRO_UNION) {
        put_union(node, ret);
        return;
    }
    if (node->items) {
        put_items(node, ret);
        return;
    }
    out_put_text(ret, avro_kind_name(node->kind));
    if (node->name.size > 0) {
        out_put_byte(ret, ' ');
        out_put_slice(ret, node->name);
    }
    if (node->kind == AVRO_FIXED) {
        out_put_format(ret, " of %u bytes", node->size);
    }
    if (node->logical == AVRO_DECIMAL) {
        out_put_format(ret, " (decimal, %u digits, %u behind the point)", node->precision,
                       node->scale);
    } else if (node->logical != AVRO_PLAIN) {
        out_put_format(ret, " (%s)", avro_logical_name(node->logical));
    }
}

/* --- sentences --- */

const char *avro_finding_kind_name(enum avro_kind_of_finding kind)
{
    static const char *const names[] = {
        "NAME_MISMATCH",        "FIXED_SIZE_MISMATCH",
        "MISSING_ENUM_SYMBOLS", "READER_FIELD_MISSING_DEFAULT_VALUE",
        "TYPE_MISMATCH",        "MISSING_UNION_BRANCH"};
    assert((size_t)kind < ARRAY_COUNT(names));
    return names[kind];
}

static void put_name(struct out *ret, struct slice name)
{
    out_put_byte(ret, '"');
    out_put_slice(ret, name);
    out_put_byte(ret, '"');
}

/* The symbols that the reader lacks. */
static void put_symbols(const struct avro_finding *f, struct out *ret)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < f->writer->symbol_count; i++) {
        if (avro_symbol_find(f->reader, f->writer->symbols[i]) >= 0) {
            continue;
        }
        if (count++ == WORDS_COUNT_MAX) {
            out_put_text(ret, ", ...");
            return;
        }
        out_put_text(ret, count == 1 ? "" : ", ");
        put_name(ret, f->writer->symbols[i]);
    }
}

/* `field "a.b"`; of the root its type. */
static void put_subject(const struct avro_finding *f, struct out *ret)
{
    const struct avro_place *place = f->place;
    while (place && !place->field) {
        place = place->up;
    }
    if (!place) {
        out_put_text(ret, "the schema itself");
        return;
    }
    out_put_text(ret, "field \"");
    avro_finding_put_field(f, ret);
    out_put_byte(ret, '"');
}

void avro_finding_put_sentence(const struct avro_finding *f, struct out *ret)
{
    const char *writer = f->is_forward ? "new" : "old";
    const char *reader = f->is_forward ? "old" : "new";
    put_subject(f, ret);
    switch (f->kind) {
    case AVRO_NAME_MISMATCH:
        out_put_format(ret, ": the %s schema writes ", writer);
        avro_node_put_words(f->writer, ret);
        out_put_format(ret, ", which is neither the name nor an alias of the %s one's ", reader);
        avro_node_put_words(f->reader, ret);
        return;
    case AVRO_FIXED_SIZE_MISMATCH:
        out_put_format(ret, ": the %s schema writes %u bytes, the %s one reads %u", writer,
                       f->writer->size, reader, f->reader->size);
        return;
    case AVRO_MISSING_ENUM_SYMBOLS:
        out_put_format(ret, ": the %s schema may write ", writer);
        put_symbols(f, ret);
        out_put_format(ret, ", which the %s one's ", reader);
        avro_node_put_words(f->reader, ret);
        out_put_text(ret, " lacks, and that enum has no default");
        return;
    case AVRO_READER_FIELD_MISSING_DEFAULT_VALUE:
        out_put_format(ret, " of the %s schema is not in the %s one, and has no default", reader,
                       writer);
        return;
    case AVRO_TYPE_MISMATCH:
        out_put_format(ret, ": the %s schema writes ", writer);
        avro_node_put_words(f->writer, ret);
        out_put_format(ret, ", which the %s one can't read as ", reader);
        avro_node_put_words(f->reader, ret);
        return;
    case AVRO_MISSING_UNION_BRANCH:
        out_put_format(ret, ": the %s schema may write ", writer);
        avro_node_put_words(f->writer, ret);
        out_put_format(ret, ", which fits no branch of the %s one's ", reader);
        avro_node_put_words(f->reader, ret);
        return;
    }
}

/* The new schema reads: it can be mended. */
static void put_way_backward(const struct avro_finding *f, struct out *ret)
{
    switch (f->kind) {
    case AVRO_NAME_MISMATCH:
        out_put_text(ret, "keep the name, or put ");
        put_name(ret, f->writer->name);
        out_put_text(ret, " into the \"aliases\" of ");
        out_put_slice(ret, f->reader->name);
        return;
    case AVRO_FIXED_SIZE_MISMATCH:
        out_put_text(ret, "keep the size, or give the other size to a new field with a default");
        return;
    case AVRO_MISSING_ENUM_SYMBOLS:
        out_put_text(ret, "keep these symbols, or give the enum a \"default\"");
        return;
    case AVRO_READER_FIELD_MISSING_DEFAULT_VALUE:
        out_put_text(ret, "give it a \"default\"; if it is an old field with a new name, put the "
                          "old name into its \"aliases\"");
        return;
    case AVRO_TYPE_MISMATCH:
        out_put_text(ret, "keep the old type, or make it a union of both types, or give the new "
                          "type to a new field with a default");
        return;
    case AVRO_MISSING_UNION_BRANCH:
        out_put_text(ret, "keep this type in the union, as it was");
        return;
    }
}

/* Readers that have the old schema can't be mended from here: the change has to wait for them. */
static void put_way_forward(const struct avro_finding *f, struct out *ret)
{
    switch (f->kind) {
    case AVRO_NAME_MISMATCH:
        out_put_text(ret, "keep the name: aliases help only readers that have them");
        return;
    case AVRO_FIXED_SIZE_MISMATCH:
        out_put_text(ret, "keep the size, and give the other size to a new field");
        return;
    case AVRO_MISSING_ENUM_SYMBOLS:
        out_put_text(ret, "leave these symbols out until all readers have a schema with them, or "
                          "one that gives the enum a \"default\"");
        return;
    case AVRO_READER_FIELD_MISSING_DEFAULT_VALUE:
        out_put_text(ret, "keep the field under this name; to be rid of it, first give it a "
                          "\"default\", and take it out when all readers have that schema");
        return;
    case AVRO_TYPE_MISMATCH:
        out_put_text(ret, "keep the old type, and give the new type to a new field; or first make "
                          "it a union of both types, and change it when all readers have that");
        return;
    case AVRO_MISSING_UNION_BRANCH:
        out_put_text(ret, "leave this type out until all readers have a schema that knows it");
        return;
    }
}

void avro_finding_put_way_out(const struct avro_finding *finding, struct out *ret)
{
    if (finding->is_forward) {
        put_way_forward(finding, ret);
    } else {
        put_way_backward(finding, ret);
    }
}

/* --- modes --- */

const char *avro_mode_name(enum avro_mode mode)
{
    static const char *const names[] = {"none",
                                        "backward",
                                        "forward",
                                        "full",
                                        "backward_transitive",
                                        "forward_transitive",
                                        "full_transitive"};
    assert((size_t)mode < ARRAY_COUNT(names));
    return names[mode];
}

static bool equal_in_any_case(struct slice a, const char *lower)
{
    bool is_equal = a.size == strlen(lower);
    for (size_t i = 0; is_equal && i < a.size; i++) {
        uint8_t c = a.data[i];
        is_equal = (c >= 'A' && c <= 'Z' ? c | 0x20 : c) == (uint8_t)lower[i];
    }
    return is_equal;
}

bool avro_mode_of(struct slice text, enum avro_mode *ret)
{
    for (int mode = AVRO_MODE_NONE; mode <= AVRO_MODE_FULL_TRANSITIVE; mode++) {
        if (equal_in_any_case(text, avro_mode_name((enum avro_mode)mode))) {
            *ret = (enum avro_mode)mode;
            return true;
        }
    }
    return false;
}
