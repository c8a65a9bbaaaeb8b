/* Inside of decoding: tapes, and the values that columns have. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_DECODE_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_DECODE_H

#include "uplink/layout/columns_impl.h"

/* Bytes of texts that a batch may mean, for each value that it may have. */
#define TEXT_BYTES_PER_VALUE 64

/* Rows of a table that have a column, ascending. */
struct decoded_rows {
    uint32_t table;
    const uint32_t *rows; /* NULL: all */
    uint32_t count;
    bool of_shape; /* of a shape's columns: those before it may be keys as well */
};

/* A column after decoding; taken value by value when rows are put together. */
struct decoded_column {
    struct decoded_rows set;
    int64_t *whole; /* values; bits of numbers; NULL: it has texts, or no values */
    struct slice *texts;
    const uint32_t *ids; /* of texts, for keys; NULL: it is no key */
    bool may_be_key;
    uint32_t next;
};

struct columns_decoder {
    const struct columns_plan *plan;
    struct arena arena;
    const int64_t *ints;
    size_t int_count;
    size_t int_at;
    const struct slice *strings;
    size_t string_count;
    size_t string_at;
    struct slice planes;
    uint64_t value_max; /* what is left of the budget */
    uint64_t text_size_max;
    uint32_t table_count;
    struct decoded_column *columns; /* by their numbers */
    struct decoded_column **leaves; /* of shapes, numbered on */
    uint32_t leaf_count;
    uint32_t leaf_max;    /* of the array */
    unsigned shape_depth; /* columns of shapes that it is within */
    const char *wrong;    /* sticky: why it is no batch */
    bool no_memory;       /* sticky */
};

/* Each gives up, with `wrong` or `no_memory` set, by false or NULL. */

/* columns_decode.c */
bool decoder_refuse(struct columns_decoder *d, const char *sentence);
bool decoder_spend(struct columns_decoder *d, uint64_t values);
bool decoder_spend_text(struct columns_decoder *d, uint64_t bytes);
void *decoder_take(struct columns_decoder *d, uint64_t count, size_t size);
bool decoder_int(struct columns_decoder *d, int64_t *ret);

/* columns_unpack.c: an integer column. `set` NULL: no key is allowed. */
int64_t *unpack_ints(struct columns_decoder *d, uint32_t count, const struct decoded_rows *set);

/* columns_unpack_text.c */
bool unpack_texts(struct columns_decoder *d, struct decoded_column *column,
                  const struct columns_words *known);
bool unpack_bytes(struct columns_decoder *d, struct decoded_column *column, int64_t fixed_size);

/* columns_unpack_shape.c: `shapes`, of `count` entries; `ids`: of each row. */
bool unpack_shapes(struct columns_decoder *d, struct decoded_column *column,
                   const struct slice *shapes, uint32_t count, const uint32_t *ids);

/* columns_unprint.c: texts of integers; the rows' memory is paid. */
bool print_numbers(struct columns_decoder *d, const int64_t *values, uint32_t count, int64_t mode,
                   struct slice *ret);
bool print_times(struct columns_decoder *d, const int64_t *values, uint32_t count, uint8_t between,
                 unsigned digits, struct slice *ret);

/* columns_unwalk.c: all columns of a batch, then a row as a datum. */
bool unwalk_columns(struct columns_decoder *d, uint32_t count);
void unwalk_row(struct columns_decoder *d, struct out *ret);

#endif
