#include "uplink/layout/layout_columns.h"

#include <assert.h>

#include "uplink/layout/columns.h"

enum err layout_columns_add(struct message *ret, const struct layout_setup *setup,
                            const struct layout_row *row)
{
    size_t around = setup->prefix.size + row->key.size + setup->agent.size;
    if (!setup->plan || row->is_tombstone || columns_check(setup->plan, row->datum) ||
        around + COLUMNS_AROUND_SIZE_MAX + row->datum.size > setup->record_size_max) {
        return ERR_REJECTED;
    }
    *ret = (struct message){.key = row->key,
                            .body = row->datum,
                            .sequence = row->sequence,
                            .time_us = row->time_us,
                            .event_count = 1};
    return ERR_OK;
}

struct grouping {
    const struct layout_setup *setup;
    struct columns_setup columns;
    struct message *rows; /* what is built of the k-th group is in rows[k].headers, for a while */
    size_t count;
    struct out *memory;
    size_t start; /* of what is built in `memory` */
};

/* ERR_REJECTED: the message would be too large. */
static enum err build_one(const struct grouping *g, size_t first, size_t count, struct slice *ret)
{
    size_t start = g->memory->size;
    out_put_slice(g->memory, g->setup->prefix);
    const struct message *rows = g->rows + first;
    enum err e = g->memory->overflow ? ERR_FULL
                                     : columns_encode(&g->columns, rows, (uint32_t)count,
                                                      COLUMNS_BETTER, g->memory);
    if (e == ERR_FULL && g->setup->events_per_record && !g->memory->overflow) {
        /* What is on record has to go out as it is: another version may need more memory. */
        e = columns_encode(&g->columns, rows, (uint32_t)count, COLUMNS_AS_ROWS, g->memory);
    }
    *ret = (struct slice){g->memory->data + start, g->memory->size - start};
    return !e && ret->size + g->rows[first].key.size > g->setup->record_size_max ? ERR_REJECTED : e;
}

static enum err build(const struct grouping *g, size_t group)
{
    enum err e = ERR_OK;
    g->memory->size = g->start;
    for (size_t at = 0, k = 0; !e && at < g->count; at += group, k++) {
        size_t count = g->count - at < group ? g->count - at : group;
        e = build_one(g, at, count, &g->rows[k].headers);
    }
    if (e) {
        g->memory->size = g->start;
        g->memory->overflow = false;
    }
    return e;
}

/* In ever smaller groups until they fit. */
static enum err build_fitting(const struct grouping *g, size_t *group)
{
    for (;;) {
        enum err e = build(g, *group);
        if ((e != ERR_FULL && e != ERR_REJECTED) || *group == 1) {
            return e;
        }
        *group = (*group + 1) / 2;
    }
}

/* What is sent of messages without a dictionary. */
static enum err sent_size(const struct grouping *g, struct slice built, size_t *ret)
{
    *ret = built.size;
    return g->setup->is_plain ? ERR_OK
                              : columns_packed_size(g->columns.work, built, g->memory, ret);
}

/* Messages of COLUMNS_GROUP events instead, if together they are sent as less. */
static enum err try_groups(const struct grouping *g, size_t *group)
{
    size_t whole = 0;
    size_t grouped = 0;
    struct slice built = {g->memory->data + g->start, g->memory->size - g->start};
    enum err e = sent_size(g, built, &whole);
    e = e ? e : build(g, COLUMNS_GROUP);
    built.size = g->memory->size - g->start;
    e = e ? e : sent_size(g, built, &grouped);
    if (!e && grouped < whole) {
        *group = COLUMNS_GROUP;
        return ERR_OK;
    }
    return e == ERR_NOMEM ? e : build(g, *group);
}

/* Each message by the dictionary, if all are smaller so than they would be together without. In doubt,
 * and without room, they stay as they are. */
static void pack_messages(const struct grouping *g, struct message *messages, size_t count)
{
    struct out *memory = g->memory;
    struct slice built = {memory->data + g->start, memory->size - g->start};
    size_t middle = memory->size;
    size_t without = 0;
    enum err e = sent_size(g, built, &without);
    for (size_t k = 0; !e && k < count; k++) {
        size_t start = memory->size;
        e = columns_pack_by(g->columns.work, g->setup->dictionary, messages[k].body, memory);
        messages[k].headers = (struct slice){memory->data + start, memory->size - start};
    }
    bool is_smaller = !e && memory->size - middle < without;
    for (size_t k = 0; k < count; k++) {
        messages[k].body = is_smaller ? messages[k].headers : messages[k].body;
        messages[k].headers = (struct slice){NULL, 0};
        messages[k].is_packed = is_smaller;
    }
    memory->size = is_smaller ? memory->size : middle;
    memory->overflow = false;
}

enum err layout_columns_finish(const struct layout_setup *setup, struct message *messages,
                               size_t count, struct out *memory, uint32_t *ret_group)
{
    struct grouping g = {.setup = setup,
                         .columns = {.plan = setup->plan,
                                     .work = setup->work,
                                     .schema_id = setup->row_schema_id,
                                     .agent = setup->agent,
                                     .is_plain = setup->is_plain && !setup->dictionary},
                         .rows = messages,
                         .count = count,
                         .memory = memory,
                         .start = memory->size};
    size_t group = setup->events_per_record;
    enum err e;
    if (group) {
        e = build(&g, group);
    } else {
        bool is_limited = setup->events_per_record_max && setup->events_per_record_max < count;
        group = is_limited ? setup->events_per_record_max : count;
        e = build_fitting(&g, &group);
        if (!e && !setup->events_per_record_max && group > COLUMNS_GROUPED_MIN) {
            e = try_groups(&g, &group);
        }
    }
    if (e) {
        return e == ERR_REJECTED ? ERR_FULL : e;
    }
    size_t made = 0;
    for (size_t at = 0, k = 0; at < count; at += group, k++) {
        size_t events = count - at < group ? count - at : group;
        messages[k] = (struct message){.key = messages[at].key,
                                       .body = messages[k].headers,
                                       .sequence = messages[at].sequence,
                                       .time_us = messages[at].time_us,
                                       .event_count = (uint32_t)events};
        made = k + 1;
    }
    if (setup->dictionary) {
        pack_messages(&g, messages, made);
    }
    *ret_group = (uint32_t)group;
    return ERR_OK;
}
