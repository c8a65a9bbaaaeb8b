/* From columns back to rows: the row schema is walked as the encoder did, then once for each row, whose
 * values are the next of their columns. */
#include <assert.h>

#include "uplink/layout/columns_decode.h"
#include "uplink/layout/columns_number.h"

static bool unwalk(struct columns_decoder *d, const struct columns_node *node,
                   const struct decoded_rows *set);

/* --- leaves --- */

static bool in_range(struct columns_decoder *d, const struct decoded_column *column, int64_t least,
                     int64_t most)
{
    for (uint32_t i = 0; i < column->set.count; i++) {
        if (column->whole[i] < least || column->whole[i] > most) {
            return decoder_refuse(d, "a value is out of its type's range");
        }
    }
    return true;
}

static bool unwalk_whole(struct columns_decoder *d, const struct columns_node *node,
                         struct decoded_column *column)
{
    column->whole = unpack_ints(d, column->set.count, &column->set);
    if (!column->whole) {
        return false;
    }
    column->may_be_key = true;
    return node->kind == COLUMNS_BOOLEAN  ? in_range(d, column, 0, 1)
           : node->kind == COLUMNS_ENUM   ? in_range(d, column, 0, node->type->symbol_count - 1)
           : node->type->kind == AVRO_INT ? in_range(d, column, INT32_MIN, INT32_MAX)
                                          : true;
}

static bool add_corrections(struct columns_decoder *d, struct decoded_column *column)
{
    const int64_t *corrections = unpack_ints(d, column->set.count, NULL);
    for (uint32_t i = 0; corrections && i < column->set.count; i++) {
        column->whole[i] = wrap_add(column->whole[i], corrections[i]);
    }
    return corrections != NULL;
}

/* Floats that stand for doubles. */
static void widen(struct decoded_column *column)
{
    for (uint32_t i = 0; i < column->set.count; i++) {
        double value = number_of_bits(column->whole[i], true);
        memcpy(&column->whole[i], &value, sizeof value);
    }
}

static bool unwalk_number(struct columns_decoder *d, bool is_float, struct decoded_column *column)
{
    int64_t mode;
    uint32_t count = column->set.count;
    if (count == 0) {
        return true;
    }
    if (!decoder_int(d, &mode)) {
        return false;
    }
    if (mode < NUMBER_BITS || mode >= (is_float ? NUMBER_SINGLE : NUMBER_SINGLE * 2) ||
        (mode >= 0 && (mode & NUMBER_SCALE) > NUMBER_SCALE_MAX)) {
        return decoder_refuse(d, "a number column's mode is none");
    }
    column->whole = unpack_ints(d, count, &column->set);
    if (mode == NUMBER_BITS || !column->whole) {
        return column->whole && (!is_float || in_range(d, column, INT32_MIN, INT32_MAX));
    }
    if (!in_range(d, column, 1 - NUMBER_MANTISSA_MAX, NUMBER_MANTISSA_MAX - 1)) {
        return decoder_refuse(d, "a mantissa is too wide");
    }
    bool is_single = is_float || mode & NUMBER_SINGLE;
    for (uint32_t i = 0; i < count; i++) {
        column->whole[i] = number_quotient(column->whole[i], mode & NUMBER_SCALE, is_single);
    }
    bool fine = !(mode & NUMBER_CORRECTED) || add_corrections(d, column);
    if (fine && is_single && !is_float) {
        widen(column);
    }
    return fine;
}

static bool unwalk_decimal(struct columns_decoder *d, const struct columns_node *node,
                           struct decoded_column *column)
{
    bool is_fixed = node->type->kind == AVRO_FIXED;
    int64_t mode;
    if (column->set.count == 0) {
        column->may_be_key = true;
        return true;
    }
    if (!decoder_int(d, &mode)) {
        return false;
    }
    if (mode != 0) {
        return mode == 1 ? unpack_bytes(d, column, is_fixed ? (int64_t)node->type->size : -1)
                         : decoder_refuse(d, "a decimal column's mode is none");
    }
    column->whole = unpack_ints(d, column->set.count, &column->set);
    column->may_be_key = true;
    if (!column->whole || !is_fixed || node->type->size >= 8) {
        return column->whole != NULL;
    }
    int64_t limit = node->type->size ? INT64_C(1) << (8 * node->type->size - 1) : 0;
    return in_range(d, column, -limit, limit - 1);
}

/* --- types of types --- */

static bool unwalk_branches(struct columns_decoder *d, const struct columns_node *node,
                            const struct decoded_column *taken)
{
    const struct decoded_rows *set = &taken->set;
    for (uint32_t b = 0; b < node->child_count; b++) {
        struct decoded_rows some = {.table = set->table};
        for (uint32_t i = 0; i < set->count; i++) {
            some.count += taken->whole[i] == (int64_t)b;
        }
        uint32_t *rows = decoder_take(d, some.count, sizeof *rows);
        if (!rows) {
            return false;
        }
        for (uint32_t i = 0, at = 0; i < set->count; i++) {
            if (taken->whole[i] == (int64_t)b) {
                rows[at++] = set->rows ? set->rows[i] : i;
            }
        }
        some.rows = rows;
        if (!unwalk(d, &node->children[b], &some)) {
            return false;
        }
    }
    return true;
}

static bool unwalk_union(struct columns_decoder *d, const struct columns_node *node,
                         struct decoded_column *column)
{
    column->whole = unpack_ints(d, column->set.count, &column->set);
    column->may_be_key = true;
    return column->whole && in_range(d, column, 0, (int64_t)node->child_count - 1) &&
           unwalk_branches(d, node, column);
}

static bool unwalk_items(struct columns_decoder *d, const struct columns_node *node,
                         struct decoded_column *column)
{
    uint64_t total = 0;
    column->whole = unpack_ints(d, column->set.count, &column->set);
    column->may_be_key = true;
    for (uint32_t i = 0; column->whole && i < column->set.count; i++) {
        if (column->whole[i] < 0) {
            return decoder_refuse(d, "a negative length");
        }
        total += (uint64_t)column->whole[i];
        if (total > d->value_max) {
            return decoder_spend(d, total);
        }
    }
    if (!column->whole || !decoder_spend(d, total)) {
        return false;
    }
    struct decoded_rows items = {.table = ++d->table_count, .count = (uint32_t)total};
    if (node->kind == COLUMNS_MAP) {
        column[1].set = items;
        if (!unpack_texts(d, &column[1], node->words)) {
            return false;
        }
    }
    return unwalk(d, &node->children[0], &items);
}

/* Recurses as deep as the plan. */
static bool unwalk(struct columns_decoder *d, const struct columns_node *node,
                   const struct decoded_rows *set)
{
    struct decoded_column *column = &d->columns[node->column];
    bool fine = true;
    if (node->kind == COLUMNS_RECORD || node->kind == COLUMNS_NULL) {
        fine = decoder_spend(d, set->count); /* what has no column is paid as well */
        for (uint32_t i = 0; fine && i < node->child_count; i++) {
            fine = unwalk(d, &node->children[i], set);
        }
        return fine;
    }
    column->set = *set;
    switch (node->kind) {
    case COLUMNS_UNION:
        return unwalk_union(d, node, column);
    case COLUMNS_ARRAY:
    case COLUMNS_MAP:
        return unwalk_items(d, node, column);
    case COLUMNS_WHOLE:
    case COLUMNS_BOOLEAN:
    case COLUMNS_ENUM:
        return unwalk_whole(d, node, column);
    case COLUMNS_FLOAT:
    case COLUMNS_DOUBLE:
        return unwalk_number(d, node->kind == COLUMNS_FLOAT, column);
    case COLUMNS_TEXT:
        return unpack_texts(d, column, node->words);
    case COLUMNS_BYTES:
        return unpack_bytes(d, column, -1);
    case COLUMNS_FIXED:
        return unpack_bytes(d, column, (int64_t)node->type->size);
    case COLUMNS_DECIMAL:
        return unwalk_decimal(d, node, column);
    case COLUMNS_RECORD:
    case COLUMNS_NULL:
        break;
    }
    return fine;
}

bool unwalk_columns(struct columns_decoder *d, uint32_t count)
{
    return unwalk(d, d->plan->root, &(struct decoded_rows){.table = 0, .count = count});
}

/* --- a row --- */

/* The shortest two's complement, or as many bytes as a fixed has. */
static void put_decimal(const struct avro_node *type, int64_t value, struct out *ret)
{
    uint64_t magnitude = (uint64_t)(value < 0 ? ~value : value);
    size_t size = 1;
    while (size < 8 && magnitude >> (8 * size - 1)) {
        size++;
    }
    if (type->kind == AVRO_FIXED) {
        size = type->size;
    } else {
        out_put_varint(ret, (int64_t)size);
    }
    for (size_t i = size; i-- > 0;) {
        out_put_byte(ret, (uint8_t)(i < 8 ? (uint64_t)value >> (8 * i) : value < 0 ? 0xff : 0));
    }
}

static void put_text(const struct decoded_column *column, uint32_t at, bool has_size,
                     struct out *ret)
{
    if (has_size) {
        out_put_varint(ret, (int64_t)column->texts[at].size);
    }
    out_put_slice(ret, column->texts[at]);
}

static void put_row(struct columns_decoder *d, const struct columns_node *node, struct out *ret);

static void put_items(struct columns_decoder *d, const struct columns_node *node, int64_t count,
                      struct out *ret)
{
    struct decoded_column *keys = &d->columns[node->column + 1];
    if (count > 0) {
        out_put_varint(ret, count);
    }
    for (int64_t i = 0; i < count; i++) {
        if (node->kind == COLUMNS_MAP) {
            put_text(keys, keys->next++, true, ret);
        }
        put_row(d, &node->children[0], ret);
    }
    out_put_varint(ret, 0);
}

static void put_leaf(const struct columns_node *node, const struct decoded_column *column,
                     uint32_t at, struct out *ret)
{
    switch (node->kind) {
    case COLUMNS_BOOLEAN:
        out_put_byte(ret, (uint8_t)column->whole[at]);
        break;
    case COLUMNS_FLOAT:
        out_put_u32_le(ret, (uint32_t)column->whole[at]);
        break;
    case COLUMNS_DOUBLE:
        out_put_u64_le(ret, (uint64_t)column->whole[at]);
        break;
    case COLUMNS_DECIMAL:
        if (column->whole) {
            put_decimal(node->type, column->whole[at], ret);
        } else {
            put_text(column, at, node->type->kind == AVRO_BYTES, ret);
        }
        break;
    case COLUMNS_TEXT:
    case COLUMNS_BYTES:
    case COLUMNS_FIXED:
        put_text(column, at, node->kind != COLUMNS_FIXED, ret);
        break;
    case COLUMNS_WHOLE:
    case COLUMNS_ENUM:
    case COLUMNS_RECORD:
    case COLUMNS_NULL:
    case COLUMNS_UNION:
    case COLUMNS_ARRAY:
    case COLUMNS_MAP:
        out_put_varint(ret, column->whole[at]);
        break;
    }
}

/* Recurses as deep as the plan. */
static void put_row(struct columns_decoder *d, const struct columns_node *node, struct out *ret)
{
    struct decoded_column *column = &d->columns[node->column];
    if (node->kind == COLUMNS_NULL) {
        return;
    }
    if (node->kind == COLUMNS_RECORD) {
        for (uint32_t i = 0; i < node->child_count; i++) {
            put_row(d, &node->children[i], ret);
        }
        return;
    }
    uint32_t at = column->next++;
    assert(at < column->set.count);
    if (node->kind == COLUMNS_ARRAY || node->kind == COLUMNS_MAP) {
        put_items(d, node, column->whole[at], ret);
        return;
    }
    put_leaf(node, column, at, ret);
    if (node->kind == COLUMNS_UNION) {
        put_row(d, &node->children[column->whole[at]], ret);
    }
}

void unwalk_row(struct columns_decoder *d, struct out *ret)
{
    put_row(d, d->plan->root, ret);
}
