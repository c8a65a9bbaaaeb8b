/* weir schema diff: what changed between two schemas, field by field, and which modes forbid it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/schema_impl.h"

#define PATH_SIZE_MAX 2048
#define DEPTH_MAX 256
#define COMPARED_MAX 4096 /* pairs of named types */

enum way {
    WAY_BACKWARD = 1, /* the new schema reads here what the old one wrote */
    WAY_FORWARD = 2,  /* and the old one what the new one writes */
};

/* Two named types that were compared, for these ways. */
struct compared {
    const struct avro_node *now;
    const struct avro_node *old;
    unsigned ways;
};

struct diff {
    struct out line;
    struct out path;
    unsigned ways; /* who reads here: the others do not mind a change */
    struct compared *compared;
    uint32_t compared_count;
    uint32_t change_count;
    uint32_t depth;
    enum err e; /* sticky */
    struct why why;
};

static void diff_types(struct diff *d, const struct avro_node *now, const struct avro_node *old);

/* --- lines --- */

static void begin(struct diff *d)
{
    out_put_slice(&d->line, d->path.size > 0 ? out_slice(&d->path) : SLICE("(the schema)"));
    out_put_text(&d->line, d->path.overflow ? "...: " : ": ");
}

static void end(struct diff *d, bool fits_backward, bool fits_forward)
{
    fits_backward = fits_backward || !(d->ways & WAY_BACKWARD);
    fits_forward = fits_forward || !(d->ways & WAY_FORWARD);
    out_put_text(&d->line, fits_backward && fits_forward ? ": fits every mode"
                           : fits_backward               ? ": breaks forward and full"
                           : fits_forward                ? ": breaks backward and full"
                                                         : ": breaks backward, forward and full");
    schema_line_print(&d->line);
    d->change_count++;
}

static bool fits(struct diff *d, const struct avro_node *reader, const struct avro_node *writer)
{
    struct avro_compat *compat = NULL;
    if (!d->e) {
        d->e = avro_compat_open_types(&compat, reader, writer, &d->why);
    }
    bool is_compatible = d->e || avro_compat_count(compat) == 0;
    avro_compat_close(compat);
    return is_compatible;
}

/* The path with one more name, and what diff_types() finds there. */
static void descend(struct diff *d, struct slice name, const char *mark,
                    const struct avro_node *now, const struct avro_node *old)
{
    struct out before = d->path;
    out_put_text(&d->path, d->path.size > 0 && name.size > 0 ? "." : "");
    out_put_slice(&d->path, name);
    out_put_text(&d->path, mark);
    diff_types(d, now, old);
    d->path = before;
}

/* --- records --- */

#define NO_FIELD UINT32_MAX

/* Which field of `writer` each field of `reader` takes its value from. The caller frees it; NULL:
 * d->e says so. */
static uint32_t *sources_of(struct diff *d, const struct avro_node *reader,
                            const struct avro_node *writer)
{
    uint32_t *sources = malloc((reader->field_count + 1) * sizeof *sources);
    if (!sources) {
        d->e = ERR_NOMEM;
        return NULL;
    }
    for (uint32_t i = 0; i < reader->field_count; i++) {
        const struct avro_field *f = &reader->fields[i];
        int32_t at = avro_field_find(writer, f->name, i);
        for (uint32_t k = 0; at < 0 && k < f->alias_count; k++) {
            at = avro_field_find(writer, f->aliases[k], i);
        }
        sources[i] = at < 0 ? NO_FIELD : (uint32_t)at;
    }
    return sources;
}

/* The lines of a record's fields begin with the field. */
static void begin_field(struct diff *d, struct slice name)
{
    out_put_slice(&d->line, out_slice(&d->path));
    out_put_text(&d->line, d->path.size > 0 ? "." : "");
    out_put_slice(&d->line, name);
    out_put_text(&d->line, ": ");
}

static void put_default(struct out *line, const struct avro_field *f)
{
    if (f->has_default) {
        out_put_text(line, "default ");
        out_put_slice(line, f->default_json);
    } else {
        out_put_text(line, "no default");
    }
}

/* One field reads the other, by `ways`; `is_found_*`: it has somewhere to read from. */
struct field_pair {
    const struct avro_field *now;
    const struct avro_field *old;
    unsigned ways;
    bool is_found_backward;
    bool is_found_forward;
};

static void diff_field(struct diff *d, const struct field_pair *pair)
{
    const struct avro_field *now = pair->now;
    const struct avro_field *old = pair->old;
    unsigned before = d->ways;
    if (!slice_equal(now->name, old->name)) {
        begin_field(d, now->name);
        out_put_text(&d->line, "was called ");
        out_put_slice(&d->line, old->name);
        end(d, pair->is_found_backward || now->has_default,
            pair->is_found_forward || old->has_default);
    }
    if (now->has_default != old->has_default ||
        !slice_equal(now->default_json, old->default_json)) {
        begin_field(d, now->name);
        put_default(&d->line, now);
        out_put_text(&d->line, ", was ");
        put_default(&d->line, old);
        end(d, true, true);
    }
    if (!slice_equal(now->doc, old->doc)) {
        begin_field(d, now->name);
        out_put_text(&d->line, "another doc");
        end(d, true, true);
    }
    d->ways &= pair->ways;
    descend(d, now->name, "", now->node, old->node);
    d->ways = before;
}

/* What the new field `at` reads, and who of the old ones reads it. False: nobody and nothing. */
static bool diff_pairs(struct diff *d, const struct avro_node *now, const struct avro_node *old,
                       const uint32_t *backward, const uint32_t *forward, uint32_t at)
{
    bool is_any = false;
    for (uint32_t i = 0; i < old->field_count; i++) {
        unsigned ways =
            (backward[at] == i ? WAY_BACKWARD : 0) | (forward[i] == at ? WAY_FORWARD : 0);
        if (ways) {
            is_any = true;
            diff_field(d, &(struct field_pair){.now = &now->fields[at],
                                               .old = &old->fields[i],
                                               .ways = ways,
                                               .is_found_backward = backward[at] != NO_FIELD,
                                               .is_found_forward = forward[i] != NO_FIELD});
        }
    }
    return is_any;
}

static void put_field(struct diff *d, const char *what, const struct avro_field *f)
{
    begin_field(d, f->name);
    out_put_text(&d->line, what);
    avro_node_put_words(f->node, &d->line);
    out_put_text(&d->line, ", ");
    put_default(&d->line, f);
}

static void diff_fields(struct diff *d, const struct avro_node *now, const struct avro_node *old,
                        const uint32_t *backward, const uint32_t *forward)
{
    for (uint32_t i = 0; i < now->field_count; i++) {
        if (!diff_pairs(d, now, old, backward, forward, i)) {
            put_field(d, "new, ", &now->fields[i]);
            end(d, now->fields[i].has_default, true);
        }
    }
    for (uint32_t i = 0; i < old->field_count; i++) {
        bool is_gone = forward[i] == NO_FIELD;
        for (uint32_t k = 0; is_gone && k < now->field_count; k++) {
            is_gone = backward[k] != i;
        }
        if (is_gone) {
            put_field(d, "gone, was ", &old->fields[i]);
            end(d, true, old->fields[i].has_default);
        }
    }
}

static void diff_record(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    uint32_t *backward = sources_of(d, now, old);
    uint32_t *forward = sources_of(d, old, now);
    if (backward && forward) {
        diff_fields(d, now, old, backward, forward);
    }
    free(backward);
    free(forward);
}

/* --- the other types --- */

/* The symbols that `other` lacks, one line each. */
static void diff_symbols(struct diff *d, const struct avro_node *node,
                         const struct avro_node *other, bool is_new)
{
    for (uint32_t i = 0; i < node->symbol_count; i++) {
        if (avro_symbol_find(other, node->symbols[i]) < 0) {
            begin(d);
            out_put_text(&d->line, is_new ? "new symbol " : "symbol gone: ");
            out_put_slice(&d->line, node->symbols[i]);
            bool is_taken = other->symbol_default >= 0; /* for one that it does not know */
            end(d, is_new || is_taken, !is_new || is_taken);
        }
    }
}

static struct slice symbol_default(const struct avro_node *node)
{
    return node->symbol_default < 0 ? SLICE("none") : node->symbols[node->symbol_default];
}

static void diff_enum(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    diff_symbols(d, now, old, true);
    diff_symbols(d, old, now, false);
    struct slice default_now = symbol_default(now);
    struct slice default_old = symbol_default(old);
    if (!slice_equal(default_now, default_old)) {
        begin(d);
        out_put_format(&d->line, "symbol for unknown ones: %.*s, was %.*s", (int)default_now.size,
                       (const char *)default_now.data, (int)default_old.size,
                       (const char *)default_old.data);
        end(d, true, true);
    }
}

/* The branch of the same type; NULL: none. */
static const struct avro_node *branch_like(const struct avro_node *node,
                                           const struct avro_node *branch)
{
    for (uint32_t i = 0; i < node->branch_count; i++) {
        const struct avro_node *b = node->branches[i];
        if (b->kind == branch->kind &&
            (avro_compat_names_fit(b, branch) || avro_compat_names_fit(branch, b))) {
            return b;
        }
    }
    return NULL;
}

static void diff_union(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    for (uint32_t i = 0; i < now->branch_count; i++) {
        const struct avro_node *branch = now->branches[i];
        const struct avro_node *before = branch_like(old, branch);
        if (before) {
            diff_types(d, branch, before);
            continue;
        }
        begin(d);
        out_put_text(&d->line, "new in the union: ");
        avro_node_put_words(branch, &d->line);
        end(d, true, fits(d, old, branch));
    }
    for (uint32_t i = 0; i < old->branch_count; i++) {
        if (!branch_like(now, old->branches[i])) {
            begin(d);
            out_put_text(&d->line, "gone from the union: ");
            avro_node_put_words(old->branches[i], &d->line);
            end(d, fits(d, now, old->branches[i]), true);
        }
    }
}

static void diff_words(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    begin(d);
    avro_node_put_words(now, &d->line);
    out_put_text(&d->line, ", was ");
    avro_node_put_words(old, &d->line);
}

/* The ways for which these two were not compared yet; from now on they were. */
static unsigned ways_to_compare(struct diff *d, const struct avro_node *now,
                                const struct avro_node *old)
{
    uint32_t i = 0;
    while (i < d->compared_count && (d->compared[i].now != now || d->compared[i].old != old)) {
        i++;
    }
    if (i == COMPARED_MAX) {
        why_set(&d->why, "more than %d pairs of its types would have to be compared", COMPARED_MAX);
        d->e = ERR_REJECTED;
        return 0;
    }
    if (i == d->compared_count) {
        d->compared[d->compared_count++] = (struct compared){.now = now, .old = old};
    }
    unsigned ways = d->ways & ~d->compared[i].ways;
    d->compared[i].ways |= ways;
    return ways;
}

static void diff_contents(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    if (!slice_equal(now->name, old->name)) {
        diff_words(d, now, old);
        end(d, avro_compat_names_fit(now, old), avro_compat_names_fit(old, now));
    }
    if (now->size != old->size) {
        diff_words(d, now, old);
        end(d, false, false);
    }
    if (!slice_equal(now->doc, old->doc)) {
        begin(d);
        out_put_text(&d->line, "another doc");
        end(d, true, true);
    }
    if (now->kind == AVRO_ENUM) {
        diff_enum(d, now, old);
    } else if (now->kind == AVRO_RECORD) {
        diff_record(d, now, old);
    }
}

static void diff_named(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    unsigned before = d->ways;
    d->ways = ways_to_compare(d, now, old);
    if (d->ways) {
        diff_contents(d, now, old);
    }
    d->ways = before;
}

static bool same_logical(const struct avro_node *a, const struct avro_node *b)
{
    return a->logical == b->logical && a->precision == b->precision && a->scale == b->scale;
}

/* Recurses, at most DEPTH_MAX deep. */
static void diff_types(struct diff *d, const struct avro_node *now, const struct avro_node *old)
{
    if (d->depth == DEPTH_MAX || d->e) {
        if (!d->e) {
            why_set(&d->why, "its types lie more than %d deep in each other", DEPTH_MAX);
            d->e = ERR_REJECTED;
        }
        return;
    }
    d->depth++;
    if (now->kind != old->kind) {
        diff_words(d, now, old);
        end(d, fits(d, now, old), fits(d, old, now));
    } else {
        if (!same_logical(now, old)) {
            diff_words(d, now, old);
            out_put_text(&d->line, " (the values mean something else)");
            end(d, true, true);
        }
        if (now->kind == AVRO_UNION) {
            diff_union(d, now, old);
        } else if (now->items) {
            descend(d, (struct slice){NULL, 0}, now->kind == AVRO_ARRAY ? "[]" : "{}", now->items,
                    old->items);
        } else if (now->ordinal > 0) {
            diff_named(d, now, old);
        }
    }
    d->depth--;
}

/* --- the command --- */

static const enum avro_mode modes[] = {AVRO_MODE_BACKWARD, AVRO_MODE_FORWARD, AVRO_MODE_FULL};

static enum err check_modes(const struct avro_schema *now, const struct avro_schema *old,
                            bool *ret_fits, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < ARRAY_COUNT(modes) && !e; i++) {
        struct avro_compat *compat = NULL;
        e = avro_compat_open(&compat, now, &old, 1, modes[i], why);
        ret_fits[i] = !e && avro_compat_count(compat) == 0;
        avro_compat_close(compat);
    }
    return e;
}

static int print_diff(struct diff *d, const struct avro_schema *now, const struct avro_schema *old,
                      const char *path)
{
    bool is_fit[ARRAY_COUNT(modes)] = {false};
    d->e = check_modes(now, old, is_fit, &d->why);
    diff_types(d, avro_schema_root(now), avro_schema_root(old));
    if (d->e) {
        (void)command_finish(); /* what is wrong with the schema is told */
        return command_complain(path, d->e, &d->why);
    }
    if (d->change_count == 0) {
        puts("nothing has changed that readers or writers would notice");
    }
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        printf("%-9s %s\n", avro_mode_name(modes[i]), is_fit[i] ? "fits" : "breaks");
    }
    return command_finish();
}

int schema_diff_command(int argc, char **argv)
{
    char path[PATH_SIZE_MAX];
    struct avro_schema *schemas[2] = {NULL, NULL}; /* old, new */
    struct diff d = {.path = out_over(path, sizeof path), .ways = WAY_BACKWARD | WAY_FORWARD};
    int code = EXIT_FINE;
    if (argc != 2) {
        return command_misuse("schema diff", "usage: weir schema diff OLD NEW");
    }
    for (int i = 0; i < 2 && !code; i++) {
        enum err e = command_read_schema(argv[i], &schemas[i], &d.why);
        code = e ? command_complain(argv[i], e, &d.why) : code;
    }
    d.compared = calloc(COMPARED_MAX, sizeof *d.compared);
    if (!code) {
        code = d.compared && schema_line_open(&d.line)
                   ? print_diff(&d, schemas[1], schemas[0], argv[1])
                   : EXIT_FAILED;
    }
    free(d.line.data);
    free(d.compared);
    avro_schema_close(schemas[0]);
    avro_schema_close(schemas[1]);
    return code;
}
