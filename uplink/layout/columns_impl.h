/* Inside of the layout `columns`: what its files share. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_IMPL_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_IMPL_H

#include "uplink/avro/arena.h"
#include "uplink/avro/schema.h"
#include "uplink/layout/columns.h"

/* Modes of an integer column. Below 0: constant. */
enum {
    INTS_ORDER = 3,
    INTS_TRIMMED = 4,
    INTS_PLANES = 8,
    INTS_DICTIONARY = 16,
    INTS_DIVISOR = 32,
    INTS_KEY = 64, /* times the column's number + 1 */
};

/* Modes of a number column. */
enum {
    NUMBER_SCALE = 31,
    NUMBER_CORRECTED = 32,
    NUMBER_SINGLE = 64,
    NUMBER_SCALE_MAX = 22,
    NUMBER_SCALE_SINGLE_MAX = 7,
    NUMBER_BITS = -1,
};
#define NUMBER_MANTISSA_MAX (INT64_C(1) << 53) /* mantissas are less */

/* Modes of a string column. Below 0: all are one entry. */
enum { TEXT_INDICES = 0, TEXT_TEMPLATES = 1, TEXT_NEW = 2, TEXT_SHAPES = 3 };
#define TEXT_MARK 1             /* U+0001 stands for a number */
#define TEMPLATE_USES_MIN 8     /* with fewer uses a template's numbers share a column */
#define TEMPLATE_NUMBER_SIZE 15 /* digits of a number, at most */

/* What stands for something in a shape. */
enum shape_mark { SHAPE_NUMBER = 1, SHAPE_TEXT, SHAPE_TIME, SHAPE_LIST };
#define SHAPE_NEST_MAX 4       /* columns of shapes within each other */
#define COLUMNS_LEAF_MAX 65536 /* columns of all shapes of a batch */

/* Modes of printed numbers: texts; or digits behind the point, and how they print. */
enum {
    PRINTED_TEXTS = -1,
    PRINTED_SCALE = 31,
    PRINTED_POINT = 32, /* without zeros at the end, but for the first digit behind the point */
    PRINTED_BARE = 64,  /* without zeros at the end */
    PRINTED_SCALE_MAX = 18,
};

/* In place of a bytes column's first mode: a string column. */
#define BYTES_AS_TEXTS 3

#define COLUMNS_SCHEMA_FIXED 1 /* branches of Batch.schema: 0 is the int */
#define COLUMNS_SCHEMA_UUID 2

/* --- columns_plan.c --- */

/* Strings that the schema lists, with a table to find them. */
struct columns_words {
    const struct slice *words;
    uint32_t count;
    uint32_t mask;         /* of `table` */
    const uint32_t *table; /* index + 1; 0: free */
};

enum columns_kind {
    COLUMNS_RECORD,
    COLUMNS_NULL,
    COLUMNS_UNION,
    COLUMNS_ARRAY,
    COLUMNS_MAP,
    COLUMNS_WHOLE, /* int, long */
    COLUMNS_BOOLEAN,
    COLUMNS_ENUM,
    COLUMNS_FLOAT,
    COLUMNS_DOUBLE,
    COLUMNS_TEXT,
    COLUMNS_BYTES,
    COLUMNS_FIXED,
    COLUMNS_DECIMAL,
};

/* One type at one place of the row schema. */
struct columns_node {
    enum columns_kind kind;
    uint32_t column; /* the number of its first column; a map's keys have the one after it */
    uint32_t child_count;
    const struct columns_node *children; /* fields, branches, items */
    const struct avro_node *type;
    const struct columns_words *words; /* TEXT: known strings; MAP: known keys */
};

struct columns_plan {
    struct arena arena;
    const struct avro_schema *schema;
    const struct columns_node *root; /* NULL: rows only */
    uint32_t column_count;
    const char *obstacle;
    uint8_t schema_id[8];
};

uint32_t columns_hash(struct slice s);
/* Index of the word with that columns_hash(); -1: none. */
int32_t columns_word_find(const struct columns_words *words, struct slice word, uint32_t hash);

/* Modulo 2^64. */
static inline int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t wrap_sub(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* --- columns_work.c: memory of encoding --- */

#define TAPE_BLOCK_SIZE 500

struct tape_block {
    struct tape_block *next;
    uint32_t used;
    uint8_t data[TAPE_BLOCK_SIZE];
};

/* Bytes that are put one behind the other, in pieces of the workspace. */
struct tape {
    struct tape_block *first;
    struct tape_block *last;
    size_t size;
};

#define SAMPLE_MAX 64                             /* residuals that a cost looks at */
#define VARINT_SIZE_MAX 10                        /* bytes */
#define WEIGHT_MAX (SAMPLE_MAX * VARINT_SIZE_MAX) /* symbols that are counted */

#define KEY_MAX 2     /* columns of a table that series are told apart by */
#define KEY_ID_MAX 64 /* different values of such a column */
#define KEY_ABSENT KEY_ID_MAX

/* The last value and difference of each series. */
struct series {
    int64_t last[KEY_ID_MAX + 1];
    int64_t delta[KEY_ID_MAX + 1];
    uint8_t seen[KEY_ID_MAX + 1];
};

struct columns_work {
    uint8_t *memory;
    size_t size;
    size_t low;  /* in use at the front, until the batch is done: tapes */
    size_t high; /* in use from here to the end, as a stack */
    size_t peak;
    bool full; /* sticky */
    struct tape ints;
    struct tape strings; /* texts, each behind its size and whether it lies elsewhere */
    struct tape planes;  /* likewise */
    uint32_t int_count;
    uint32_t string_count;
    size_t string_size; /* of all texts */
    size_t plane_size;
    uint32_t column_next;      /* columns of the row schema: those of shapes are numbered on */
    uint32_t leaf_count;       /* of shapes, so far */
    struct zstd_encoder *zstd; /* NULL: not needed yet */
    /* columns_cost.c */
    uint32_t weights[WEIGHT_MAX + 1];
    uint16_t byte_counts[256];
    struct series series; /* columns_ints.c */
};

/* Memory of the stack, aligned for anything; NULL when there is no room, which sticks. It is given
 * back by setting `high` to what it was. */
void *work_take(struct columns_work *work, size_t size);
/* Memory that stays until the batch is done; NULL likewise. */
uint8_t *work_keep(struct columns_work *work, size_t size);
/* Nothing of it is in use any more. */
void work_clear(struct columns_work *work);

/* A set of rows that columns belong to: the batch, or the items of an array or map. */
struct table_key {
    uint32_t column;
    uint32_t distinct;
    uint8_t *ids; /* of each row; KEY_ABSENT: it has no value there */
};

struct table {
    uint32_t count;
    const uint8_t **cursors; /* where each row is read on */
    struct table_key
        keys[KEY_MAX]; /* the one with the most distinct values first; each has `ids` */
    uint32_t key_count;
};

/* Those rows of a table that have a column. */
struct table_rows {
    struct table *table;
    const uint32_t *rows; /* NULL: all */
    uint32_t count;
};

static inline uint32_t table_row(const struct table_rows *set, uint32_t index)
{
    return set->rows ? set->rows[index] : index;
}

/* --- columns_ints.c --- */

#define KEY_NONE 0 /* no column that may be a key has this number */

/* Puts an integer column. `set`: its rows, whose table's keys may be used; NULL: it may not be keyed.
 * `column`: may be a key for those after it; KEY_NONE: it may not. */
void ints_put(struct columns_work *work, const int64_t *values, uint32_t count,
              const struct table_rows *set, uint32_t column);
/* Offers the column as a key, with the number of the value of each row (below `distinct`). */
void table_offer_key(const struct table_rows *set, uint32_t column, const uint32_t *ids,
                     uint32_t distinct);

/* --- columns_text.c, columns_template.c, columns_shape.c --- */

/* Different texts, numbered: those that are known, then new ones in order of first use. */
struct text_table {
    const struct columns_words *known; /* NULL: none */
    struct slice *fresh;
    uint32_t fresh_count;
    uint32_t fresh_max;
    uint32_t *slots; /* index in `fresh` + 1; 0: free */
    uint32_t mask;
};

/* Memory of the stack for so many new texts. False: there is no room. */
bool text_table_init(struct text_table *table, struct columns_work *work,
                     const struct columns_words *known, uint32_t fresh_max) MUST_USE;
/* The number of the text, which must stay. */
uint32_t text_table_add(struct text_table *table, struct slice text);
struct slice text_table_get(const struct text_table *table, uint32_t id);
static inline uint32_t text_table_known(const struct text_table *table)
{
    return table->known ? table->known->count : 0;
}

/* Texts of a column, each once. */
struct texts {
    struct text_table table;
    const uint32_t *ids; /* of each row */
    uint32_t count;      /* rows */
    uint32_t *used;      /* ids in order of first use */
    uint32_t used_count;
    uint32_t *places; /* of each row in `used` */
    bool in_bytes;    /* they are values of a bytes column */
};

/* Puts a string column that is read at the cursors of its rows. */
void texts_put(struct columns_work *work, const struct table_rows *set,
               const struct columns_words *known, uint32_t column);
/* Puts a string column of the texts of each row; none is known. */
void texts_put_slices(struct columns_work *work, const struct table_rows *set,
                      const struct slice *texts, uint32_t column);
/* Puts a bytes column; `fixed_size` < 0: each has its size in front. */
void bytes_put(struct columns_work *work, const struct table_rows *set, int64_t fixed_size,
               uint32_t column);
/* Puts it as templates, if they are worth it. */
bool templates_put(struct columns_work *work, const struct texts *texts);

/* --- columns_walk.c --- */

/* Puts all columns of rows that columns_check() has taken. */
void walk_put(struct columns_work *work, const struct columns_node *root,
              const struct message *rows, uint32_t count);

/* Reading of checked datums. */
static inline int64_t read_whole(const uint8_t **cursor)
{
    const uint8_t *at = *cursor;
    uint64_t value = *at & 127;
    for (unsigned shift = 7; *at++ > 127; shift += 7) {
        value |= (uint64_t)(*at & 127) << shift;
    }
    *cursor = at;
    return unzigzag(value);
}

static inline struct slice read_bytes(const uint8_t **cursor)
{
    size_t size = (size_t)read_whole(cursor);
    struct slice bytes = {*cursor, size};
    *cursor += size;
    return bytes;
}

void work_put_int(struct columns_work *work, int64_t value);
void work_put_ints(struct columns_work *work, const int64_t *values, uint32_t count);
/* The bytes must stay until the batch is done. */
void work_put_string(struct columns_work *work, struct slice text);
void work_put_plane(struct columns_work *work, struct slice bytes);
/* The first `size` bytes of the tape of integers. */
void tape_copy(const struct tape *tape, size_t size, struct out *ret);
/* The texts or planes, each with its size in front or not. */
void tape_copy_bytes(const struct tape *tape, bool with_sizes, struct out *ret);

#endif
