/* From two schemas to what has to be done with data. */
#include "uplink/avro/resolve.h"

#include <assert.h>
#include <stdlib.h>

#include "uplink/avro/decode.h"
#include "uplink/avro/resolve_impl.h"

struct planner {
    struct arena *arena;
    struct plan *buckets[RESOLVE_BUCKET_COUNT]; /* one plan for each pair of types */
    struct plan *first;                         /* that is to be made */
    struct plan **end;
    uint32_t plan_count;
    uint32_t reordered_max; /* the most fields of a record that is reordered */
    uint64_t work;          /* names compared, against RESOLVE_WORK_MAX */
    enum err error;         /* sticky: no memory, or over a limit */
};

/* Is made later: types within each other, however deep, take no stack. */
static struct plan *plan_new(struct planner *p, const struct avro_node *writer,
                             const struct avro_node *reader)
{
    struct plan *plan = arena_take(p->arena, sizeof *plan);
    if (!plan || ++p->plan_count > AVRO_RESOLVE_MAX) {
        p->error = plan ? ERR_REJECTED : ERR_NOMEM;
        return NULL;
    }
    plan->writer = writer;
    plan->reader = reader;
    return plan;
}

static const struct plan *plan_of(struct planner *p, const struct avro_node *writer,
                                  const struct avro_node *reader)
{
    uint64_t hash = ((uintptr_t)writer >> 4) * UINT64_C(0x9e3779b97f4a7c15) +
                    ((uintptr_t)reader >> 4) * UINT64_C(0xc2b2ae3d27d4eb4f);
    struct plan **bucket = &p->buckets[(hash >> 32) % RESOLVE_BUCKET_COUNT];
    for (struct plan *plan = *bucket; plan; plan = plan->same_bucket) {
        if (plan->writer == writer && plan->reader == reader) {
            return plan;
        }
    }
    struct plan *plan = plan_new(p, writer, reader);
    if (plan) {
        plan->same_bucket = *bucket;
        *bucket = plan;
        *p->end = plan;
        p->end = &plan->next;
    }
    return plan;
}

static void *planner_take(struct planner *p, size_t size)
{
    void *memory = arena_take(p->arena, size);
    p->error = memory ? p->error : ERR_NOMEM;
    return memory;
}

/* So many names are about to be compared. */
static void planner_work(struct planner *p, uint64_t count)
{
    p->work += count;
    p->error = p->work > RESOLVE_WORK_MAX && !p->error ? ERR_REJECTED : p->error;
}

static void plan_misfit(struct plan *plan, enum misfit misfit)
{
    plan->kind = PLAN_MISFIT;
    plan->misfit = misfit;
}

/* --- which types match --- */

static struct slice short_name(struct slice full)
{
    size_t at = full.size;
    while (at > 0 && full.data[at - 1] != '.') {
        at--;
    }
    return (struct slice){full.data + at, full.size - at};
}

enum match { MATCH_NONE, MATCH_PROMOTED, MATCH_NAME, MATCH_SAME };

/* Of two records, enums or fixed. */
static enum match match_names(struct planner *p, const struct avro_node *writer,
                              const struct avro_node *reader)
{
    planner_work(p, reader->alias_count + 1);
    if (slice_equal(writer->name, reader->name)) {
        return MATCH_SAME;
    }
    for (uint32_t i = 0; i < reader->alias_count; i++) {
        if (slice_equal(reader->aliases[i], writer->name)) {
            return MATCH_SAME;
        }
    }
    return slice_equal(short_name(writer->name), short_name(reader->name)) ? MATCH_NAME
                                                                           : MATCH_NONE;
}

static bool is_promoted(enum avro_kind writer, enum avro_kind reader)
{
    if (writer == AVRO_STRING || writer == AVRO_BYTES) {
        return reader == AVRO_STRING || reader == AVRO_BYTES;
    }
    return writer >= AVRO_INT && writer < reader && reader <= AVRO_DOUBLE;
}

/* Of two types that are no unions. */
static enum match match_of(struct planner *p, const struct avro_node *writer,
                           const struct avro_node *reader)
{
    if (writer->kind != reader->kind) {
        return is_promoted(writer->kind, reader->kind) ? MATCH_PROMOTED : MATCH_NONE;
    }
    if (writer->kind == AVRO_FIXED && writer->size != reader->size) {
        return MATCH_NONE;
    }
    return writer->name.size ? match_names(p, writer, reader) : MATCH_SAME;
}

/* The branch that matches best; among equals the first, but where only the names without namespace
 * are equal the one at `hint`. -1: none. */
static int32_t best_branch(struct planner *p, const struct avro_node *writer,
                           const struct avro_node *reader, uint32_t hint)
{
    enum match best = MATCH_NONE;
    int32_t found = -1;
    for (uint32_t i = 0; i < reader->branch_count; i++) {
        enum match match = match_of(p, writer, reader->branches[i]);
        if (match > best || (match == best && match == MATCH_NAME && i == hint)) {
            best = match;
            found = (int32_t)i;
        }
    }
    return found;
}

/* --- plans --- */

static void make_branch(struct planner *p, struct plan *plan, uint32_t hint)
{
    int32_t index = best_branch(p, plan->writer, plan->reader, hint);
    if (index < 0) {
        plan_misfit(plan, MISFIT_BRANCH);
        return;
    }
    plan->kind = PLAN_BRANCH;
    plan->index = (uint32_t)index;
    plan->inner = plan_of(p, plan->writer, plan->reader->branches[index]);
}

static void make_switch(struct planner *p, struct plan *plan)
{
    const struct avro_node *writer = plan->writer;
    const struct plan **branches =
        planner_take(p, (writer->branch_count + 1) * sizeof(struct plan *));
    for (uint32_t i = 0; !p->error && i < writer->branch_count; i++) {
        if (plan->reader->kind != AVRO_UNION) {
            branches[i] = plan_of(p, writer->branches[i], plan->reader);
            continue;
        }
        struct plan *branch = plan_new(p, writer->branches[i], plan->reader);
        if (branch) {
            make_branch(p, branch, i);
        }
        branches[i] = branch;
    }
    plan->kind = PLAN_SWITCH;
    plan->branches = branches;
}

static void make_enum(struct planner *p, struct plan *plan)
{
    int32_t *symbols = planner_take(p, (plan->writer->symbol_count + 1) * sizeof *symbols);
    plan->kind = PLAN_ENUM;
    plan->symbols = symbols;
    planner_work(p, (uint64_t)plan->writer->symbol_count * plan->reader->symbol_count);
    for (uint32_t i = 0; !p->error && i < plan->writer->symbol_count; i++) {
        symbols[i] = avro_symbol_find(plan->reader, plan->writer->symbols[i]);
        symbols[i] = symbols[i] < 0 ? plan->reader->symbol_default : symbols[i];
    }
}

static bool has_alias(const struct avro_field *field, struct slice name)
{
    for (uint32_t i = 0; i < field->alias_count; i++) {
        if (slice_equal(field->aliases[i], name)) {
            return true;
        }
    }
    return false;
}

/* The writer's field of this name is as though it were named otherwise, when that name is an alias
 * of another of the reader's fields, which the writer does not have. */
static bool is_renamed(const struct avro_node *writer, const struct avro_node *reader,
                       const struct avro_field *field)
{
    for (uint32_t i = 0; i < reader->field_count; i++) {
        const struct avro_field *other = &reader->fields[i];
        if (other != field && has_alias(other, field->name) &&
            avro_field_find(writer, other->name, 0) < 0) {
            return true;
        }
    }
    return false;
}

static int32_t field_by_alias(const struct avro_node *writer, const struct avro_field *field)
{
    int32_t at = -1;
    for (uint32_t i = 0; at < 0 && i < field->alias_count; i++) {
        at = avro_field_find(writer, field->aliases[i], 0);
    }
    return at;
}

/* A field that was renamed serves its old name, too, where nothing else does. */
static int32_t writer_field(const struct avro_node *writer, const struct avro_node *reader,
                            const struct avro_field *field, uint32_t hint)
{
    int32_t at = avro_field_find(writer, field->name, hint);
    if (at >= 0 && !is_renamed(writer, reader, field)) {
        return at;
    }
    int32_t by_alias = field_by_alias(writer, field);
    return by_alias >= 0 || field->has_default ? by_alias : at;
}

static void record_work(struct planner *p, const struct avro_node *writer,
                        const struct avro_node *reader)
{
    uint64_t name_count = reader->field_count;
    for (uint32_t i = 0; i < reader->field_count; i++) {
        name_count += reader->fields[i].alias_count;
    }
    planner_work(p, name_count * ((uint64_t)writer->field_count + reader->field_count));
}

static void make_record(struct planner *p, struct plan *plan)
{
    const struct avro_node *reader = plan->reader;
    record_work(p, plan->writer, reader);
    struct plan_step *steps = planner_take(p, (reader->field_count + 1) * sizeof *steps);
    uint32_t next = 0; /* behind the writer's field that was used last */
    plan->kind = PLAN_RECORD;
    plan->steps = steps;
    plan->step_count = reader->field_count;
    for (uint32_t i = 0; !p->error && i < reader->field_count; i++) {
        steps[i].field = &reader->fields[i];
        int32_t at = writer_field(plan->writer, reader, &reader->fields[i], next);
        if (at < 0 && !reader->fields[i].has_default) {
            plan_misfit(plan, MISFIT_FIELD);
            plan->field = &reader->fields[i];
            return;
        }
        if (at >= 0) {
            plan->reordered = plan->reordered || (uint32_t)at < next;
            steps[i].from = next = (uint32_t)at;
            next++;
            steps[i].plan = plan_of(p, plan->writer->fields[at].node, reader->fields[i].node);
        }
    }
    if (plan->reordered && plan->writer->field_count > p->reordered_max) {
        p->reordered_max = plan->writer->field_count;
    }
}

static void make_promoted(struct plan *plan)
{
    enum avro_kind writer = plan->writer->kind;
    enum avro_kind reader = plan->reader->kind;
    if (!is_promoted(writer, reader)) {
        plan_misfit(plan, MISFIT_KIND);
    } else if (reader == AVRO_STRING) {
        plan->kind = PLAN_TEXT;
    } else {
        plan->kind = reader == AVRO_FLOAT || reader == AVRO_DOUBLE ? PLAN_REAL : PLAN_SAME;
    }
}

static void plan_make(struct planner *p, struct plan *plan)
{
    const struct avro_node *writer = plan->writer;
    const struct avro_node *reader = plan->reader;
    if (writer->kind == AVRO_UNION) {
        make_switch(p, plan);
    } else if (reader->kind == AVRO_UNION) {
        make_branch(p, plan, UINT32_MAX);
    } else if (writer->kind != reader->kind) {
        make_promoted(plan);
    } else if (writer->name.size && match_names(p, writer, reader) == MATCH_NONE) {
        plan_misfit(plan, MISFIT_NAME);
    } else if (writer->kind == AVRO_FIXED && writer->size != reader->size) {
        plan_misfit(plan, MISFIT_SIZE);
    } else if (writer->logical == AVRO_DECIMAL && reader->logical == AVRO_DECIMAL &&
               writer->scale != reader->scale) {
        plan_misfit(plan, MISFIT_SCALE);
    } else if (writer->kind == AVRO_RECORD) {
        make_record(p, plan);
    } else if (writer->kind == AVRO_ENUM) {
        make_enum(p, plan);
    } else if (writer->kind == AVRO_ARRAY || writer->kind == AVRO_MAP) {
        plan->kind = PLAN_ITEMS;
        plan->inner = plan_of(p, writer->items, reader->items);
    } else {
        plan->kind = PLAN_SAME;
    }
}

/* Memory for where fields begin, of records as deep in each other as they may be. */
static enum err places_take(struct avro_resolver *resolver, uint32_t reordered_max)
{
    size_t count = (size_t)reordered_max * (AVRO_NEST_MAX + 1);
    if (count == 0) {
        return ERR_OK;
    }
    resolver->place_max = count < RESOLVE_PLACE_MAX ? count : RESOLVE_PLACE_MAX;
    resolver->places = arena_take(&resolver->arena, resolver->place_max * sizeof(size_t));
    return resolver->places ? ERR_OK : ERR_NOMEM;
}

static enum err resolver_plan(struct avro_resolver *resolver, struct planner *p)
{
    for (struct plan *plan = p->first; plan && !p->error; plan = plan->next) {
        plan_make(p, plan);
    }
    return p->error ? p->error : places_take(resolver, p->reordered_max);
}

enum err avro_resolver_open(struct avro_resolver **ret, const struct avro_schema *writer,
                            const struct avro_schema *reader, struct why *why)
{
    assert(writer && reader);
    struct avro_resolver *resolver = calloc(1, sizeof *resolver);
    struct planner *p = calloc(1, sizeof *p);
    enum err e = resolver && p ? ERR_OK : ERR_NOMEM;
    if (!e) {
        p->arena = &resolver->arena;
        p->end = &p->first;
        resolver->root = plan_of(p, avro_schema_root(writer), avro_schema_root(reader));
        e = resolver_plan(resolver, p);
    }
    free(p);
    if (e) {
        why_set(why, e == ERR_NOMEM ? "no memory" : "the two schemas are too large to be compared");
        avro_resolver_close(resolver);
        return e;
    }
    *ret = resolver;
    return ERR_OK;
}

void avro_resolver_close(struct avro_resolver *resolver)
{
    if (resolver) {
        arena_release(&resolver->arena);
        free(resolver);
    }
}
