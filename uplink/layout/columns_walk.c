/* From rows to columns: the row schema is walked once, depth first. A column's place in that order is
 * also that of its values in a datum, so that each row needs no more than a cursor that moves on. */
#include <assert.h>

#include "uplink/layout/columns_impl.h"
#include "uplink/layout/columns_number.h"

#define BRANCHES_KEYED_MIN 3 /* presence alone tells no series apart */

static void walk(struct columns_work *work, const struct columns_node *node,
                 const struct table_rows *set);
static void skip_item(const struct columns_node *node, const uint8_t **cursor);

/* --- skipping --- */

/* Moves over the header of a block. False: there are no more. */
static bool block_next(const uint8_t **cursor, uint64_t *ret_count)
{
    int64_t count = read_whole(cursor);
    if (count < 0) {
        (void)read_whole(cursor); /* its size */
        count = -count;
    }
    *ret_count = (uint64_t)count;
    return count > 0;
}

static void skip_leaf(const struct columns_node *node, const uint8_t **cursor)
{
    bool is_fixed = node->type && node->type->kind == AVRO_FIXED;
    switch (node->kind) {
    case COLUMNS_WHOLE:
    case COLUMNS_ENUM:
        (void)read_whole(cursor);
        break;
    case COLUMNS_BOOLEAN:
        *cursor += 1;
        break;
    case COLUMNS_FLOAT:
        *cursor += 4;
        break;
    case COLUMNS_DOUBLE:
        *cursor += 8;
        break;
    case COLUMNS_TEXT:
    case COLUMNS_BYTES:
    case COLUMNS_FIXED:
    case COLUMNS_DECIMAL:
        if (is_fixed) {
            *cursor += node->type->size;
        } else {
            (void)read_bytes(cursor);
        }
        break;
    case COLUMNS_RECORD:
    case COLUMNS_UNION:
    case COLUMNS_ARRAY:
    case COLUMNS_MAP:
    case COLUMNS_NULL: /* no bytes of their own */
        break;
    }
}

/* Recurses as deep as the plan. */
static void skip(const struct columns_node *node, const uint8_t **cursor)
{
    uint64_t count;
    if (node->kind == COLUMNS_RECORD) {
        for (uint32_t i = 0; i < node->child_count; i++) {
            skip(&node->children[i], cursor);
        }
    } else if (node->kind == COLUMNS_UNION) {
        skip(&node->children[read_whole(cursor)], cursor);
    } else if (node->kind == COLUMNS_ARRAY || node->kind == COLUMNS_MAP) {
        while (block_next(cursor, &count)) {
            for (; count > 0; count--) {
                skip_item(node, cursor);
            }
        }
    } else {
        skip_leaf(node, cursor);
    }
}

/* With its key, where it has one. */
static void skip_item(const struct columns_node *node, const uint8_t **cursor)
{
    if (node->kind == COLUMNS_MAP) {
        (void)read_bytes(cursor);
    }
    skip(&node->children[0], cursor);
}

/* --- leaves --- */

static uint32_t read_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void walk_whole(struct columns_work *work, const struct columns_node *node,
                       const struct table_rows *set)
{
    int64_t *values = work_take(work, set->count * sizeof *values);
    bool may_be_key = node->kind == COLUMNS_ENUM ||
                      (node->kind == COLUMNS_WHOLE && node->type->logical == AVRO_PLAIN);
    if (!values) {
        return;
    }
    const uint8_t **cursors = set->table->cursors;
    const uint32_t *rows = set->rows;
    bool is_boolean = node->kind == COLUMNS_BOOLEAN;
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t **cursor = &cursors[rows ? rows[i] : i];
        values[i] = is_boolean ? *(*cursor)++ : read_whole(cursor);
    }
    ints_put(work, values, set->count, set, may_be_key ? node->column : KEY_NONE);
}

static void walk_number(struct columns_work *work, const struct columns_node *node,
                        const struct table_rows *set)
{
    bool is_float = node->kind == COLUMNS_FLOAT;
    int64_t *bits = work_take(work, set->count * sizeof *bits);
    if (!bits) {
        return;
    }
    const uint8_t **cursors = set->table->cursors;
    const uint32_t *rows = set->rows;
    for (uint32_t i = 0, count = set->count; i < count; i++) {
        const uint8_t **cursor = &cursors[rows ? rows[i] : i];
        const uint8_t *at = *cursor;
        bits[i] = is_float ? (int64_t)(int32_t)read_u32(at)
                           : (int64_t)(read_u32(at) | (uint64_t)read_u32(at + 4) << 32);
        *cursor = at + (is_float ? 4 : 8);
    }
    numbers_put(work, bits, set->count, is_float, set);
}

/* The unscaled value; false: it has more than 64 bits, or more bytes than it needs (a fixed has as
 * many as its type says, which are its sign). */
static bool decimal_of(struct slice bytes, bool is_fixed, int64_t *ret)
{
    if (bytes.size == 0) {
        return false;
    }
    uint8_t sign = bytes.data[0] & 0x80 ? 0xff : 0;
    size_t spare = 0; /* bytes in front that only repeat the sign */
    while (spare + 1 < bytes.size && bytes.data[spare] == sign &&
           (bytes.data[spare + 1] & 0x80) == (sign & 0x80)) {
        spare++;
    }
    if ((spare > 0 && !is_fixed) || bytes.size - spare > 8) {
        return false;
    }
    uint64_t value = sign ? UINT64_MAX : 0;
    for (size_t i = spare; i < bytes.size; i++) {
        value = value << 8 | bytes.data[i];
    }
    *ret = (int64_t)value;
    return true;
}

static void walk_decimal(struct columns_work *work, const struct columns_node *node,
                         const struct table_rows *set)
{
    bool is_fixed = node->type->kind == AVRO_FIXED;
    int64_t fixed_size = is_fixed ? (int64_t)node->type->size : -1;
    int64_t *values = work_take(work, set->count * sizeof *values);
    bool fits = values != NULL;
    for (uint32_t i = 0; fits && i < set->count; i++) {
        const uint8_t *cursor = set->table->cursors[table_row(set, i)];
        struct slice bytes = {cursor, (size_t)fixed_size};
        bytes = is_fixed ? bytes : read_bytes(&cursor);
        fits = decimal_of(bytes, is_fixed, &values[i]);
    }
    work_put_int(work, fits ? 0 : 1);
    if (!fits) {
        bytes_put(work, set, fixed_size, node->column);
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        skip(node, &set->table->cursors[table_row(set, i)]);
    }
    ints_put(work, values, set->count, set, node->column);
}

/* --- types of types --- */

/* The columns of one branch, for the rows that took it. */
static void walk_branch(struct columns_work *work, const struct columns_node *branch,
                        const struct table_rows *set, const uint8_t *taken, uint8_t number)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        count += taken[i] == number;
    }
    if (count == set->count || count == 0) {
        if (count > 0) {
            walk(work, branch, set);
        }
        return;
    }
    size_t high = work->high;
    uint32_t *rows = work_take(work, count * sizeof *rows);
    if (rows) {
        struct table_rows some = {set->table, rows, 0};
        for (uint32_t i = 0; i < set->count; i++) {
            if (taken[i] == number) {
                rows[some.count++] = table_row(set, i);
            }
        }
        walk(work, branch, &some);
    }
    work->high = high;
}

static void walk_union(struct columns_work *work, const struct columns_node *node,
                       const struct table_rows *set)
{
    uint8_t *taken = work_take(work, set->count);
    size_t high = work->high;
    int64_t *values = work_take(work, set->count * sizeof *values);
    if (!values) {
        return;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        values[i] = read_whole(&set->table->cursors[table_row(set, i)]);
        taken[i] = (uint8_t)values[i];
    }
    bool may_be_key = node->child_count >= BRANCHES_KEYED_MIN;
    ints_put(work, values, set->count, set, may_be_key ? node->column : KEY_NONE);
    work->high = high;
    for (uint32_t i = 0; i < node->child_count; i++) {
        if (node->children[i].kind != COLUMNS_NULL) {
            walk_branch(work, &node->children[i], set, taken, (uint8_t)i);
        }
    }
}

static bool table_init(struct table *table, struct columns_work *work, uint32_t count)
{
    *table = (struct table){.count = count};
    for (uint32_t i = 0; i < KEY_MAX; i++) {
        table->keys[i].ids = work_take(work, count);
    }
    table->cursors = work_take(work, count * sizeof *table->cursors);
    return table->cursors != NULL;
}

/* Where each item of an array or map begins. */
struct found_items {
    const uint8_t **items;
    size_t count;
    size_t max;
};

/* Reads the length of one row, and adds its items. False: there is no room. */
static bool find_row_items(const struct columns_node *node, const uint8_t **cursor, int64_t *length,
                           struct found_items *found)
{
    uint64_t block;
    *length = 0;
    while (block_next(cursor, &block)) {
        *length += (int64_t)block;
        for (; block > 0; block--) {
            if (found->count == found->max) {
                return false;
            }
            found->items[found->count++] = *cursor;
            skip_item(node, cursor);
        }
    }
    return true;
}

/* In the free memory, until that is used otherwise. False: there is no room. */
static bool find_items(struct columns_work *work, const struct columns_node *node,
                       const struct table_rows *set, int64_t *lengths, uint32_t *ret_count)
{
    struct found_items found = {(const uint8_t **)(void *)(work->memory + work->low), 0,
                                (work->high - work->low) / sizeof *found.items};
    found.max = found.max < INT32_MAX ? found.max : INT32_MAX;
    for (uint32_t i = 0; i < set->count; i++) {
        const uint8_t **cursor = &set->table->cursors[table_row(set, i)];
        if (!find_row_items(node, cursor, &lengths[i], &found)) {
            work->full = true;
            return false;
        }
    }
    *ret_count = (uint32_t)found.count;
    return true;
}

static void walk_items(struct columns_work *work, const struct columns_node *node,
                       const struct table_rows *set)
{
    struct table table;
    uint32_t count;
    int64_t *lengths = work_take(work, set->count * sizeof *lengths);
    if (!lengths || !find_items(work, node, set, lengths, &count)) {
        return;
    }
    const uint8_t *found = work->memory + work->low;
    if (!table_init(&table, work, count)) {
        return;
    }
    memmove(table.cursors, found, count * sizeof *table.cursors); /* before tapes grow there */
    ints_put(work, lengths, set->count, set, KEY_NONE);
    struct table_rows all = {&table, NULL, count};
    if (node->kind == COLUMNS_MAP && count > 0) {
        texts_put(work, &all, node->words, node->column + 1);
    }
    walk(work, &node->children[0], &all);
}

/* Recurses as deep as the plan: at most COLUMNS_NEST_MAX. */
static void walk(struct columns_work *work, const struct columns_node *node,
                 const struct table_rows *set)
{
    size_t high = work->high;
    if (set->count == 0 || work->full) {
        return;
    }
    switch (node->kind) {
    case COLUMNS_RECORD:
        for (uint32_t i = 0; i < node->child_count; i++) {
            walk(work, &node->children[i], set);
        }
        break;
    case COLUMNS_UNION:
        walk_union(work, node, set);
        break;
    case COLUMNS_ARRAY:
    case COLUMNS_MAP:
        walk_items(work, node, set);
        break;
    case COLUMNS_WHOLE:
    case COLUMNS_BOOLEAN:
    case COLUMNS_ENUM:
        walk_whole(work, node, set);
        break;
    case COLUMNS_FLOAT:
    case COLUMNS_DOUBLE:
        walk_number(work, node, set);
        break;
    case COLUMNS_TEXT:
        texts_put(work, set, node->words, node->column);
        break;
    case COLUMNS_BYTES:
    case COLUMNS_FIXED:
        bytes_put(work, set, node->kind == COLUMNS_FIXED ? (int64_t)node->type->size : -1,
                  node->column);
        break;
    case COLUMNS_DECIMAL:
        walk_decimal(work, node, set);
        break;
    case COLUMNS_NULL:
        break;
    }
    work->high = high;
}

void walk_put(struct columns_work *work, const struct columns_node *root,
              const struct message *rows, uint32_t count)
{
    struct table table;
    size_t high = work->high;
    if (table_init(&table, work, count)) {
        for (uint32_t i = 0; i < count; i++) {
            table.cursors[i] = rows[i].body.data;
        }
        walk(work, root, &(struct table_rows){&table, NULL, count});
    }
    work->high = high;
}
