/* A datum of the writer's schema becomes one of the reader's, in one walk. */
#include <assert.h>

#include "uplink/avro/decode_impl.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/resolve_impl.h"

struct resolving {
    struct avro_resolver *resolver;
    struct walk walk;
    struct out *out;
    struct why *why;
    size_t size; /* of the data when the walk began */
};

static enum err resolve(struct resolving *r, const struct plan *plan);

/* A name, or that of the kind, for a sentence. */
#define SHOWN(node) \
    (int)((node)->name.size > 100 ? 100 : (node)->name.size), (const char *)(node)->name.data

static enum err misfit(struct resolving *r, const struct plan *plan)
{
    const struct avro_node *writer = plan->writer;
    const char *kind = avro_kind_name(writer->kind);
    switch (plan->misfit) {
    case MISFIT_KIND:
        why_set(r->why, "the writer's %s can't be read as %s", kind,
                avro_kind_name(plan->reader->kind));
        break;
    case MISFIT_NAME:
        why_set(r->why, "the writer's %s is %.*s, the reader's is %.*s without such an alias", kind,
                SHOWN(writer), SHOWN(plan->reader));
        break;
    case MISFIT_SIZE:
        why_set(r->why, "the writer's fixed %.*s has %u bytes, the reader's has %u", SHOWN(writer),
                writer->size, plan->reader->size);
        break;
    case MISFIT_SCALE:
        why_set(r->why, "the writer's decimal has scale %u, the reader's has scale %u",
                writer->scale, plan->reader->scale);
        break;
    case MISFIT_BRANCH:
        why_set(r->why, "no branch of the reader's union takes the writer's %s %.*s", kind,
                SHOWN(writer));
        break;
    case MISFIT_FIELD:
        why_set(r->why,
                "the writer's record %.*s has no field %.*s, and the reader's has no default",
                SHOWN(writer), SHOWN(plan->field));
        break;
    }
    return ERR_REJECTED;
}

static enum err resolve_same(struct resolving *r, const struct plan *plan)
{
    struct walk before = r->walk;
    r->walk.depth--; /* it was entered already, and is counted behind */
    enum err e = walk_skip(&r->walk, plan->writer);
    r->walk.depth = before.depth;
    r->walk.empty_count = before.empty_count;
    if (!e) {
        out_put_slice(r->out,
                      (struct slice){before.data.data, before.data.size - r->walk.data.size});
    }
    return e;
}

static enum err resolve_real(struct resolving *r, const struct plan *plan)
{
    int64_t whole = 0;
    float small = 0;
    bool is_whole = plan->writer->kind != AVRO_FLOAT;
    if (is_whole) {
        enum err e = walk_whole(&r->walk, plan->writer->kind, &whole);
        if (e) {
            return e;
        }
    } else if (!avro_take_float(&r->walk.data, &small)) {
        return walk_corrupt(&r->walk, "the datum ends within a number");
    }
    if (plan->reader->kind == AVRO_FLOAT) {
        avro_put_float(r->out, (float)whole);
    } else {
        avro_put_double(r->out, is_whole ? (double)whole : (double)small);
    }
    return ERR_OK;
}

static enum err resolve_text(struct resolving *r, const struct plan *plan)
{
    struct slice bytes;
    enum err e = walk_bytes(&r->walk, plan->writer, &bytes);
    if (!e && !slice_is_utf8(bytes)) {
        why_set(r->why, "the writer's bytes are no UTF-8, and can't be read as string");
        return ERR_REJECTED;
    }
    if (!e) {
        avro_put_bytes(r->out, bytes);
    }
    return e;
}

static enum err resolve_enum(struct resolving *r, const struct plan *plan)
{
    uint32_t index;
    enum err e = walk_symbol(&r->walk, plan->writer, &index);
    if (!e && plan->symbols[index] < 0) {
        struct slice symbol = plan->writer->symbols[index];
        why_set(r->why, "the reader's enum %.*s has no symbol %.*s, and no default",
                SHOWN(plan->reader), (int)(symbol.size > 100 ? 100 : symbol.size),
                (const char *)symbol.data);
        return ERR_REJECTED;
    }
    if (!e) {
        out_put_varint(r->out, plan->symbols[index]);
    }
    return e;
}

static enum err resolve_item(struct resolving *r, const struct plan *plan)
{
    struct slice key;
    if (plan->writer->kind == AVRO_MAP) {
        enum err e = walk_key(&r->walk, &key);
        if (e) {
            return e;
        }
        avro_put_bytes(r->out, key);
    }
    return resolve(r, plan->inner);
}

/* Block by block. */
static enum err resolve_items(struct resolving *r, const struct plan *plan)
{
    for (;;) {
        uint64_t count;
        enum err e = walk_count(&r->walk, &count);
        if (e) {
            return e;
        }
        out_put_varint(r->out, (int64_t)count);
        if (count == 0) {
            return ERR_OK;
        }
        for (uint64_t i = 0; i < count; i++) {
            e = r->out->overflow ? ERR_FULL : resolve_item(r, plan);
            if (e) {
                return e;
            }
        }
    }
}

/* Passes over the writer's fields [from, to); `places` has room for where each begins, or is NULL. */
static enum err skip_fields(struct resolving *r, const struct avro_node *writer, uint32_t from,
                            uint32_t to, size_t *places)
{
    for (uint32_t i = from; i < to; i++) {
        if (places) {
            places[i] = r->walk.data.size;
        }
        enum err e = walk_skip(&r->walk, writer->fields[i].node);
        if (e) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err resolve_in_order(struct resolving *r, const struct plan *plan)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        if (!step->plan) {
            out_put_slice(r->out, step->field->default_bytes);
            continue;
        }
        enum err e = skip_fields(r, plan->writer, next, step->from, NULL);
        e = e ? e : resolve(r, step->plan);
        if (e) {
            return e;
        }
        next = step->from + 1;
    }
    return skip_fields(r, plan->writer, next, plan->writer->field_count, NULL);
}

/* First where each field begins, then each as the reader wants them. A record in another one is
 * passed over once for each record around it that is reordered, too. */
static enum err resolve_reordered(struct resolving *r, const struct plan *plan)
{
    struct avro_resolver *resolver = r->resolver;
    uint32_t count = plan->writer->field_count;
    if (count > resolver->place_max - resolver->place_count) {
        return walk_corrupt(&r->walk, "nested too deeply");
    }
    size_t *places = resolver->places + resolver->place_count;
    struct slice record = r->walk.data;
    size_t empty_count = r->walk.empty_count;
    enum err e = skip_fields(r, plan->writer, 0, count, places);
    struct slice behind = r->walk.data;
    if (e) {
        return e;
    }
    r->walk.empty_count = empty_count; /* they are counted below */
    resolver->place_count += count;
    for (uint32_t i = 0; !e && i < plan->step_count; i++) {
        const struct plan_step *step = &plan->steps[i];
        if (!step->plan) {
            out_put_slice(r->out, step->field->default_bytes);
            continue;
        }
        struct slice passed;
        r->walk.data = record;
        e = slice_take(&r->walk.data, record.size - places[step->from], &passed) ? ERR_OK
                                                                                 : ERR_CORRUPT;
        e = e ? e : resolve(r, step->plan);
    }
    resolver->place_count -= count;
    r->walk.data = e ? r->walk.data : behind;
    return e;
}

static enum err resolve_plain(struct resolving *r, const struct plan *plan)
{
    switch (plan->kind) {
    case PLAN_SAME:
        return resolve_same(r, plan);
    case PLAN_REAL:
        return resolve_real(r, plan);
    case PLAN_TEXT:
        return resolve_text(r, plan);
    case PLAN_ITEMS:
        return resolve_items(r, plan);
    case PLAN_ENUM:
        return resolve_enum(r, plan);
    case PLAN_RECORD:
        return plan->reordered ? resolve_reordered(r, plan) : resolve_in_order(r, plan);
    case PLAN_SWITCH:
    case PLAN_BRANCH:
        assert(false); /* resolve() has followed them */
        break;
    case PLAN_MISFIT:
        return misfit(r, plan);
    }
    return ERR_REJECTED;
}

/* Recurses as deep as walk_enter() allows. */
static enum err resolve(struct resolving *r, const struct plan *plan)
{
    size_t before = r->walk.data.size;
    enum err e = walk_enter(&r->walk);
    while (!e && (plan->kind == PLAN_SWITCH || plan->kind == PLAN_BRANCH)) {
        uint32_t index;
        if (plan->kind == PLAN_BRANCH) {
            out_put_varint(r->out, plan->index);
            plan = plan->inner;
        } else {
            e = walk_branch(&r->walk, plan->writer, &index);
            plan = e ? plan : plan->branches[index];
        }
    }
    e = e ? e : resolve_plain(r, plan);
    return e ? e : walk_leave(&r->walk, before);
}

enum err avro_resolve(struct avro_resolver *resolver, struct slice *data, struct out *ret,
                      struct why *why)
{
    struct resolving r = {
        .resolver = resolver, .walk = {.data = *data}, .out = ret, .why = why, .size = data->size};
    resolver->place_count = 0;
    enum err e = resolve(&r, resolver->root);
    if (!e && ret->overflow) {
        e = ERR_FULL;
    }
    if (e == ERR_CORRUPT) {
        why_set(why, "%s", r.walk.wrong);
    }
    if (e == ERR_CORRUPT || e == ERR_REJECTED) {
        why_add(why, "byte %zu", r.size - r.walk.data.size);
    }
    if (!e) {
        *data = r.walk.data;
    }
    return e;
}
