/* Walks two schemas side by side. Types refer to each other, so that pairs of them nest deeper than
 * the texts do: the way back is kept in frames, not on the stack. */
#include "uplink/avro/compat_impl.h"

#include <stdlib.h>

#define TABLE_COUNT_FIRST 64

struct frame {
    struct pair *pair;
    const struct avro_place *place;
    uint32_t next;   /* branch or field that comes next */
    bool is_settled; /* a branch of the reader's union takes it */
};

/* --- places and findings --- */

static const struct avro_place *place_new(struct checker *c, struct avro_place place)
{
    struct avro_place *memory = arena_take(c->places, sizeof *memory);
    if (!memory) {
        c->e = ERR_NOMEM;
        return place.up;
    }
    *memory = place;
    return memory;
}

static const struct avro_place *place_word(struct checker *c, const struct avro_place *up,
                                           const char *word)
{
    return place_new(c, (struct avro_place){.up = up, .word = word});
}

static void pair_add(struct checker *c, struct pair *pair, struct item content)
{
    struct item *item = arena_take(&c->arena, sizeof *item);
    if (!item) {
        c->e = ERR_NOMEM;
        return;
    }
    *item = content;
    if (pair->last) {
        pair->last->next = item;
    } else {
        pair->first = item;
    }
    pair->last = item;
}

static void pair_add_finding(struct checker *c, struct pair *pair, struct avro_finding content)
{
    struct avro_finding *finding = arena_take(&c->arena, sizeof *finding);
    if (!finding) {
        c->e = ERR_NOMEM;
        return;
    }
    *finding = content;
    pair_add(c, pair, (struct item){.finding = finding});
}

/* --- pairs --- */

static uint32_t pair_slot(const struct checker *c, const struct avro_node *reader,
                          const struct avro_node *writer)
{
    uint64_t mixed = (uint64_t)(uintptr_t)reader * UINT64_C(0x9e3779b97f4a7c15) ^
                     (uint64_t)(uintptr_t)writer * UINT64_C(0xc2b2ae3d27d4eb4f);
    uint32_t at = (uint32_t)(mixed >> 32) & (c->table_count - 1);
    while (c->table[at] && (c->table[at]->reader != reader || c->table[at]->writer != writer)) {
        at = (at + 1) & (c->table_count - 1);
    }
    return at;
}

static bool table_grow(struct checker *c)
{
    struct pair **old = c->table;
    uint32_t old_count = c->table_count;
    c->table = calloc((size_t)old_count * 2, sizeof(struct pair *));
    if (!c->table) {
        c->table = old;
        c->e = ERR_NOMEM;
        return false;
    }
    c->table_count = old_count * 2;
    for (uint32_t i = 0; i < old_count; i++) {
        if (old[i]) {
            c->table[pair_slot(c, old[i]->reader, old[i]->writer)] = old[i];
        }
    }
    free(old);
    return true;
}

/* The pair; *ret_is_new: it was not there before. NULL: c->e says why. */
static struct pair *pair_of(struct checker *c, const struct avro_node *reader,
                            const struct avro_node *writer, bool *ret_is_new)
{
    uint32_t slot = pair_slot(c, reader, writer);
    *ret_is_new = !c->table[slot];
    if (c->table[slot]) {
        return c->table[slot];
    }
    if (c->pair_count == AVRO_COMPAT_PAIR_MAX) {
        why_set(c->why, "/: more than %d pairs of types to compare", AVRO_COMPAT_PAIR_MAX);
        c->e = ERR_REJECTED;
        return NULL;
    }
    if (c->pair_count * 2 >= c->table_count) {
        if (!table_grow(c)) {
            return NULL;
        }
        slot = pair_slot(c, reader, writer);
    }
    struct pair *pair = arena_take(&c->arena, sizeof *pair);
    if (!pair) {
        c->e = ERR_NOMEM;
        return NULL;
    }
    *pair = (struct pair){.reader = reader, .writer = writer};
    c->table[slot] = pair;
    c->pair_count++;
    return pair;
}

/* --- the rules for one pair, without what lies within --- */

static bool is_promoted(enum avro_kind reader, enum avro_kind writer)
{
    return (reader == AVRO_LONG && writer == AVRO_INT) ||
           (reader == AVRO_FLOAT && (writer == AVRO_INT || writer == AVRO_LONG)) ||
           (reader == AVRO_DOUBLE &&
            (writer == AVRO_INT || writer == AVRO_LONG || writer == AVRO_FLOAT)) ||
           (reader == AVRO_BYTES && writer == AVRO_STRING) ||
           (reader == AVRO_STRING && writer == AVRO_BYTES);
}

static struct slice name_without_space(struct slice full)
{
    size_t at = full.size;
    while (at > 0 && full.data[at - 1] != '.') {
        at--;
    }
    return (struct slice){full.data + at, full.size - at};
}

/* Java looks at the namespace only in aliases. Types without a name fit. */
bool avro_compat_names_fit(const struct avro_node *reader, const struct avro_node *writer)
{
    bool fits = reader->name.size == 0 ||
                slice_equal(name_without_space(reader->name), name_without_space(writer->name));
    for (uint32_t i = 0; !fits && i < reader->alias_count; i++) {
        fits = slice_equal(reader->aliases[i], writer->name);
    }
    return fits;
}

/* An enum's own default stands for every symbol that it lacks. */
static bool symbols_fit(const struct avro_node *reader, const struct avro_node *writer)
{
    bool fits = true;
    for (uint32_t i = 0; reader->symbol_default < 0 && fits && i < writer->symbol_count; i++) {
        fits = avro_symbol_find(reader, writer->symbols[i]) >= 0;
    }
    return fits;
}

static void check_pair(struct checker *c, const struct frame *f)
{
    const struct avro_node *reader = f->pair->reader;
    const struct avro_node *writer = f->pair->writer;
    struct avro_finding finding = {.reader = reader, .writer = writer, .place = f->place};
    if (reader->kind == AVRO_UNION || writer->kind == AVRO_UNION) {
        return;
    }
    if (reader->kind != writer->kind) {
        finding.kind = AVRO_TYPE_MISMATCH;
        if (!is_promoted(reader->kind, writer->kind)) {
            pair_add_finding(c, f->pair, finding);
        }
        return;
    }
    if (!avro_compat_names_fit(reader, writer)) {
        finding.kind = AVRO_NAME_MISMATCH;
        finding.place = place_word(c, f->place, "name");
        pair_add_finding(c, f->pair, finding);
    }
    if (reader->kind == AVRO_FIXED && reader->size != writer->size) {
        finding.kind = AVRO_FIXED_SIZE_MISMATCH;
        finding.place = place_word(c, f->place, "size");
        pair_add_finding(c, f->pair, finding);
    }
    if (reader->kind == AVRO_ENUM && !symbols_fit(reader, writer)) {
        finding.kind = AVRO_MISSING_ENUM_SYMBOLS;
        finding.place = place_word(c, f->place, "symbols");
        pair_add_finding(c, f->pair, finding);
    }
}

/* --- what lies within --- */

struct child {
    const struct avro_node *reader;
    const struct avro_node *writer;
    const struct avro_place *place;
};

static void tell_second_source(struct checker *c, const struct frame *f, uint32_t at,
                               const struct avro_field *first, const struct avro_field *second)
{
    char text[WHY_SIZE_MAX];
    struct out o = out_over(text, sizeof text);
    const struct avro_place place = {
        .up = f->place, .field = &f->pair->reader->fields[at], .index = at};
    avro_place_put(&place, &o);
    why_set(
        c->why,
        "%.*s: this field could take its value from \"%.*s\" and from \"%.*s\", which were both "
        "written: take the name that is not meant out of its aliases",
        (int)o.size, text, (int)first->name.size, (const char *)first->name.data,
        (int)second->name.size, (const char *)second->name.data);
    c->e = ERR_CORRUPT;
}

/* The writer's field that a reader's field takes its value from. NULL: none, or several, which
 * c->e tells: Java gives no answer then. */
static const struct avro_field *source_of(struct checker *c, const struct frame *f, uint32_t at)
{
    const struct avro_field *field = &f->pair->reader->fields[at];
    const struct avro_node *writer = f->pair->writer;
    int32_t direct = avro_field_find(writer, field->name, at);
    int32_t aliased = -1;
    for (uint32_t i = 0; i < field->alias_count; i++) {
        int32_t other = avro_field_find(writer, field->aliases[i], 0);
        if (other < 0 || other == aliased) {
            continue;
        }
        if (direct >= 0 || aliased >= 0) {
            int32_t first = direct >= 0 ? direct : aliased;
            tell_second_source(c, f, at, &writer->fields[first], &writer->fields[other]);
            return NULL;
        }
        aliased = other;
    }
    int32_t found = direct >= 0 ? direct : aliased;
    return found < 0 ? NULL : &writer->fields[found];
}

/* The next field that both records have. */
static bool next_field(struct checker *c, struct frame *f, struct child *ret)
{
    const struct avro_node *reader = f->pair->reader;
    while (f->next < reader->field_count && !c->e) {
        uint32_t at = f->next++;
        const struct avro_field *field = &reader->fields[at];
        const struct avro_field *source = source_of(c, f, at);
        if (c->e || (!source && field->has_default)) {
            continue;
        }
        const struct avro_place *place =
            place_new(c, (struct avro_place){.up = f->place, .field = field, .index = at});
        /* Java compares an enum that has a default of its own with the record. */
        bool is_compared =
            source || (field->node->kind == AVRO_ENUM && field->node->symbol_default >= 0);
        if (is_compared) {
            *ret = (struct child){field->node, source ? source->node : f->pair->writer,
                                  place_word(c, place, "type")};
            return !c->e;
        }
        pair_add_finding(c, f->pair,
                         (struct avro_finding){.kind = AVRO_READER_FIELD_MISSING_DEFAULT_VALUE,
                                               .reader = reader,
                                               .writer = f->pair->writer,
                                               .field = field,
                                               .place = place});
    }
    return false;
}

/* The next pair that this one consists of; false: there is none. What is compared for a branch of
 * the reader's union starts at a root of its own, as in Java. */
static bool next_child(struct checker *c, struct frame *f, struct child *ret)
{
    const struct avro_node *reader = f->pair->reader;
    const struct avro_node *writer = f->pair->writer;
    if (writer->kind == AVRO_UNION) {
        uint32_t at = f->next++;
        if (at >= writer->branch_count) {
            return false;
        }
        *ret = (struct child){.reader = reader, .writer = writer->branches[at]};
        if (reader->kind != AVRO_UNION) {
            ret->place = place_new(c, (struct avro_place){.up = f->place, .index = at});
        }
        return !c->e;
    }
    if (reader->kind == AVRO_UNION) {
        uint32_t at = f->next++;
        if (f->is_settled || at >= reader->branch_count) {
            return false;
        }
        *ret = (struct child){.reader = reader->branches[at], .writer = writer};
        return true;
    }
    if (reader->kind != writer->kind) {
        return false;
    }
    if (reader->kind == AVRO_RECORD) {
        return next_field(c, f, ret);
    }
    if (!reader->items || f->next++ > 0) {
        return false;
    }
    const char *word = reader->kind == AVRO_ARRAY ? "items" : "values";
    *ret = (struct child){reader->items, writer->items, place_word(c, f->place, word)};
    return !c->e;
}

static void add_missing_branch(struct checker *c, struct frame *f, const struct avro_node *writer,
                               const struct avro_place *place)
{
    pair_add_finding(c, f->pair,
                     (struct avro_finding){.kind = AVRO_MISSING_UNION_BRANCH,
                                           .reader = f->pair->reader,
                                           .writer = writer,
                                           .place = place});
}

/* What was found about the child that next_child() gave last. */
static void take_child(struct checker *c, struct frame *f, const struct pair *child)
{
    const struct avro_node *reader = f->pair->reader;
    const struct avro_node *writer = f->pair->writer;
    bool fits = !child->is_done || !child->first;
    if (reader->kind == AVRO_UNION && writer->kind != AVRO_UNION) {
        f->is_settled = fits;
    } else if (!fits && reader->kind == AVRO_UNION) {
        uint32_t at = f->next - 1;
        add_missing_branch(c, f, writer->branches[at],
                           place_new(c, (struct avro_place){.up = f->place, .index = at}));
    } else if (!fits) {
        pair_add(c, f->pair, (struct item){.pair = child});
    }
}

static void finish(struct checker *c, struct frame *f)
{
    const struct pair *pair = f->pair;
    if (pair->reader->kind == AVRO_UNION && pair->writer->kind != AVRO_UNION && !f->is_settled) {
        add_missing_branch(c, f, pair->writer, f->place);
    }
    f->pair->is_done = true;
}

static void push(struct checker *c, struct pair *pair, const struct avro_place *place)
{
    if (c->depth == AVRO_COMPAT_DEPTH_MAX) {
        why_set(c->why, "/: pairs of types nest deeper than %d", AVRO_COMPAT_DEPTH_MAX);
        c->e = ERR_REJECTED;
        return;
    }
    c->frames[c->depth] = (struct frame){.pair = pair, .place = place};
    check_pair(c, &c->frames[c->depth++]);
}

static void walk(struct checker *c)
{
    while (c->depth > 0 && !c->e) {
        struct frame *f = &c->frames[c->depth - 1];
        struct child child = {NULL, NULL, NULL};
        if (next_child(c, f, &child)) {
            bool is_new;
            struct pair *pair = pair_of(c, child.reader, child.writer, &is_new);
            if (pair && is_new) {
                push(c, pair, child.place);
            } else if (pair) {
                take_child(c, f, pair);
            }
        } else if (!c->e) {
            finish(c, f);
            c->depth--;
            if (c->depth > 0) {
                take_child(c, f - 1, f->pair);
            }
        }
    }
}

enum err checker_run(struct checker *c, const struct avro_node *reader,
                     const struct avro_node *writer, const struct pair **ret)
{
    bool is_new;
    c->table_count = TABLE_COUNT_FIRST;
    c->table = calloc(c->table_count, sizeof(struct pair *));
    c->frames = calloc(AVRO_COMPAT_DEPTH_MAX, sizeof *c->frames);
    if (!c->table || !c->frames) {
        return ERR_NOMEM;
    }
    struct pair *root = pair_of(c, reader, writer, &is_new);
    if (root) {
        push(c, root, NULL);
        walk(c);
        *ret = root;
    }
    return c->e;
}

void checker_release(struct checker *c)
{
    free(c->table);
    free(c->frames);
    arena_release(&c->arena);
}
