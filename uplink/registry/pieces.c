#include "uplink/registry/pieces.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/lib/json.h"
#include "ports/option.h"
#include "uplink/avro/schema.h"

/* A piece while it is being cut. */
struct cut {
    const struct avro_node *node;
    const char *name, *subject;
    bool needs[PIECE_MAX]; /* by index of cuts */
    bool is_placed;
    size_t place;
};

struct cutting {
    struct cut cuts[PIECE_MAX]; /* the schema itself is the first */
    size_t count;
    bool *seen; /* by ordinal: named types that were walked through */
    struct why *why;
    struct json_frame deep[AVRO_JSON_DEPTH_MAX - JSON_DEPTH_MAX]; /* while a text is read */
};

static bool is_within(struct slice inner, struct slice outer)
{
    return inner.data >= outer.data && inner.data + inner.size <= outer.data + outer.size;
}

static bool is_named(const struct avro_node *node)
{
    return node->kind == AVRO_RECORD || node->kind == AVRO_ENUM || node->kind == AVRO_FIXED;
}

/* The innermost piece in whose text this type is defined. */
static size_t owner_of(const struct cutting *c, const struct avro_node *node)
{
    size_t owner = 0;
    for (size_t i = 1; i < c->count; i++) {
        struct slice span = c->cuts[i].node->json;
        if (is_within(node->json, span) && span.size < c->cuts[owner].node->json.size) {
            owner = i;
        }
    }
    return owner;
}

static enum err cut_needs(struct cutting *c, size_t cut, const struct avro_node *node);

/* A type that is used in the text of `cut`. */
static enum err cut_uses(struct cutting *c, size_t cut, const struct avro_node *node)
{
    size_t owner = is_named(node) ? owner_of(c, node) : cut;
    if (owner == cut) {
        return cut_needs(c, cut, node);
    }
    if (owner == 0) {
        why_set(c->why,
                "registry.references: type %s uses %.*s, which is not part of it: give that type a "
                "subject in registry.references too",
                c->cuts[cut].name, (int)node->name.size, (const char *)node->name.data);
        return ERR_CONFIG;
    }
    c->cuts[cut].needs[owner] = true;
    return ERR_OK;
}

/* Types nest: this recurses, at most AVRO_DEPTH_MAX deep, as each named type is gone through
 * once, where it is defined. */
static enum err cut_needs(struct cutting *c, size_t cut, const struct avro_node *node)
{
    enum err e = ERR_OK;
    if (is_named(node)) {
        if (c->seen[node->ordinal]) {
            return ERR_OK;
        }
        c->seen[node->ordinal] = true;
    }
    if (node->items) {
        e = cut_uses(c, cut, node->items);
    }
    for (uint32_t i = 0; !e && i < node->branch_count; i++) {
        e = cut_uses(c, cut, node->branches[i]);
    }
    for (uint32_t i = 0; !e && i < node->field_count; i++) {
        e = cut_uses(c, cut, node->fields[i].node);
    }
    return e;
}

/* The definitions that are to be apart, wherever they stand. */
static void find_cuts(struct cutting *c, const struct avro_node *node,
                      const struct option_map *references)
{
    if (is_named(node)) {
        if (c->seen[node->ordinal]) {
            return;
        }
        c->seen[node->ordinal] = true;
        const char *const *subjects = references->items;
        for (size_t i = 0; i < references->count && node != c->cuts[0].node; i++) {
            if (slice_equal_text(node->name, references->names[i])) {
                assert(c->count < PIECE_MAX); /* the option's bound, and names differ */
                c->cuts[c->count++] = (struct cut){
                    .node = node, .name = references->names[i], .subject = subjects[i]};
            }
        }
    }
    if (node->items) {
        find_cuts(c, node->items, references);
    }
    for (uint32_t i = 0; i < node->branch_count; i++) {
        find_cuts(c, node->branches[i], references);
    }
    for (uint32_t i = 0; i < node->field_count; i++) {
        find_cuts(c, node->fields[i].node, references);
    }
}

/* --- texts --- */

/* The type's own full name, whatever namespace it stood in. */
static void put_head(struct out *o, struct cutting *c, const struct avro_node *node)
{
    struct json_reader reader;
    struct json_token token;
    struct slice value;
    bool has_space = false;
    size_t name_size = node->name.size;
    json_init_deep(&reader, node->json, c->deep, ARRAY_COUNT(c->deep));
    enum err e = json_next(&reader, &token);
    assert(!e && token.kind == JSON_OBJECT_BEGIN);
    while (!json_next(&reader, &token) && token.kind == JSON_KEY) {
        bool is_space = slice_equal_text(token.text, "namespace");
        bool is_name = slice_equal_text(token.text, "name");
        if (json_skip(&reader, &value)) {
            break;
        }
        has_space = has_space || is_space || (is_name && memchr(value.data, '.', value.size));
    }
    while (name_size > 0 && node->name.data[name_size - 1] != '.') {
        name_size--;
    }
    out_put_byte(o, '{');
    if (!has_space && name_size > 0) {
        out_put_text(o, "\"namespace\":");
        out_put_json(o, (struct slice){node->name.data, name_size - 1});
        out_put_byte(o, ',');
    }
}

/* What is cut out of this text next: the outermost, first one. NULL: nothing. */
static const struct avro_node *next_cut(const struct cutting *c, size_t cut, const uint8_t *at)
{
    const struct avro_node *best = NULL;
    for (size_t i = 1; i < c->count; i++) {
        struct slice span = c->cuts[i].node->json;
        bool inside = i != cut && is_within(span, c->cuts[cut].node->json) && span.data >= at;
        if (inside && (!best || span.data < best->json.data)) {
            best = c->cuts[i].node;
        }
    }
    return best;
}

static void put_text(struct out *o, struct cutting *c, size_t cut)
{
    struct slice text = c->cuts[cut].node->json;
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;
    if (cut > 0) {
        put_head(o, c, c->cuts[cut].node);
        at++;
    }
    for (const struct avro_node *out = next_cut(c, cut, at); out; out = next_cut(c, cut, at)) {
        out_put(o, at, (size_t)(out->json.data - at));
        out_put_json(o, out->name);
        at = out->json.data + out->json.size;
    }
    out_put(o, at, (size_t)(end - at));
}

/* --- order --- */

static bool is_ready(const struct cutting *c, size_t cut)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->cuts[cut].needs[i] && !c->cuts[i].is_placed) {
            return false;
        }
    }
    return !c->cuts[cut].is_placed;
}

static enum err place_pieces(struct cutting *c, struct pieces *pieces, struct out *memory)
{
    while (pieces->count < c->count) {
        size_t cut = c->count; /* the schema itself, the first, is the last to be looked at */
        while (cut > 0 && !is_ready(c, cut - 1)) {
            cut--;
        }
        if (cut == 0) {
            why_set(c->why, "registry.references: types that need each other can't be apart");
            return ERR_CONFIG;
        }
        struct cut *ready = &c->cuts[cut - 1];
        struct piece *piece = &pieces->items[pieces->count];
        size_t start = memory->size;
        put_text(memory, c, cut - 1);
        assert(!memory->overflow);
        *piece = (struct piece){.name = ready->name,
                                .subject = ready->subject,
                                .text = {memory->data + start, memory->size - start}};
        for (size_t i = 0; i < c->count; i++) {
            piece->needs[c->cuts[i].place] |= ready->needs[i];
        }
        ready->is_placed = true;
        ready->place = pieces->count++;
    }
    assert(!pieces->items[c->count - 1].name);
    return ERR_OK;
}

/* Each byte of the schema is in one of the pieces; and each name is in the head of its own, and in
 * the text that it was cut out of. */
static size_t texts_size(struct slice schema, const struct option_map *references)
{
    size_t size = schema.size;
    for (size_t i = 0; i < references->count; i++) {
        size += 2 * 6 * strlen(references->names[i]) + 32;
    }
    return size;
}

static enum err cut_schema(struct pieces *ret, const struct avro_schema *schema,
                           const struct option_map *references, struct why *why)
{
    size_t seen_size = (AVRO_NODE_MAX + 1) * sizeof(bool);
    struct cutting *c = calloc(1, sizeof *c);
    bool *seen = calloc(1, seen_size);
    size_t room = texts_size(avro_schema_root(schema)->json, references);
    uint8_t *memory = malloc(room);
    struct piece *items = calloc(PIECE_MAX, sizeof *items);
    enum err e = c && seen && memory && items ? ERR_OK : ERR_NOMEM;
    *ret = (struct pieces){.items = items, .memory = memory};
    if (!e) {
        struct out texts = out_over(memory, room);
        c->seen = seen;
        c->why = why;
        c->cuts[c->count++].node = avro_schema_root(schema);
        find_cuts(c, avro_schema_root(schema), references);
        memset(seen, 0, seen_size);
        for (size_t i = 0; !e && i < c->count; i++) {
            e = cut_needs(c, i, c->cuts[i].node);
        }
        e = e ? e : place_pieces(c, ret, &texts);
    }
    free(seen);
    free(c);
    if (e) {
        pieces_close(ret);
    }
    return e;
}

enum err pieces_open(struct pieces *ret, struct slice schema, const struct option_map *references,
                     struct why *why)
{
    assert(references->count < PIECE_MAX);
    if (references->count == 0) {
        *ret = (struct pieces){.items = calloc(1, sizeof *ret->items), .count = 1};
        if (!ret->items) {
            return ERR_NOMEM;
        }
        ret->items[0].text = schema;
        return ERR_OK;
    }
    struct avro_schema *parsed = NULL;
    enum err e = avro_schema_parse(&parsed, schema, why);
    e = e ? e : cut_schema(ret, parsed, references, why);
    avro_schema_close(parsed);
    return e == ERR_NOMEM || !e ? e : ERR_CONFIG;
}

void pieces_close(struct pieces *pieces)
{
    free(pieces->items);
    free(pieces->memory);
    *pieces = (struct pieces){.items = NULL};
}

enum err piece_body(const struct pieces *pieces, size_t index, const uint32_t *versions,
                    struct slice *ret)
{
    const struct piece *piece = &pieces->items[index];
    size_t room = piece->text.size * 6 + 64; /* a control character becomes \u0000 */
    for (size_t i = 0; i < index; i++) {
        const struct piece *needed = &pieces->items[i];
        room += piece->needs[i] ? (strlen(needed->name) + strlen(needed->subject)) * 6 + 64 : 0;
    }
    struct out body = out_over(malloc(room), room);
    if (!body.data) {
        return ERR_NOMEM;
    }
    bool has_references = false;
    out_put_text(&body, "{\"schema\":");
    out_put_json(&body, piece->text);
    for (size_t i = 0; i < index; i++) {
        if (piece->needs[i]) {
            out_put_text(&body, has_references ? "," : ",\"references\":[");
            out_put_text(&body, "{\"name\":");
            out_put_json(&body, slice_of_text(pieces->items[i].name));
            out_put_text(&body, ",\"subject\":");
            out_put_json(&body, slice_of_text(pieces->items[i].subject));
            out_put_format(&body, ",\"version\":%u}", (unsigned)versions[i]);
            has_references = true;
        }
    }
    out_put_text(&body, has_references ? "]}" : "}");
    assert(!body.overflow);
    *ret = out_slice(&body);
    return ERR_OK;
}
