/* The layout `columns`: many rows as one Avro record weir.columns.Batch, whose arrays hold the rows'
 * fields column by column. COLUMNS.md describes the format; this is its encoder and its decoder.
 *
 * Pure: the same rows give the same bytes, on every machine. A plan does not change once it is open
 * and may be shared; a workspace serves one call at a time. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_H

#include "ports/err.h"
#include "ports/uplink.h"

/* Full name and fingerprint (CRC-64-AVRO, little endian) of the schema that all batches have. */
#define COLUMNS_SCHEMA_NAME "weir.columns.Batch"
#define COLUMNS_FINGERPRINT \
    { \
        0xbd, 0x94, 0x8c, 0x1e, 0x7d, 0x1f, 0xbe, 0xf6 \
    }
#define COLUMNS_COLUMN_MAX 1000     /* columns of a row schema; beyond that: the row body only */
#define COLUMNS_NEST_MAX 64         /* types within each other; beyond that: likewise */
#define COLUMNS_WORD_MAX 2048       /* entries of a list of known strings */
#define COLUMNS_WORD_SIZE_MAX 16384 /* and their bytes together */
#define COLUMNS_EVENT_MAX 65536     /* events of one batch that is encoded */
#define COLUMNS_ZSTD_LEVEL 9        /* by which the smaller body is chosen */
/* Usual size of a workspace: enough for 2 000 events of 10 fields. All of it is taken at once. */
#define COLUMNS_WORK_SIZE (240 * 1024)
#define COLUMNS_VALUE_MAX 10000000 /* usual budget of decoding */
/* What a batch of one event has around its datum, at most, besides the agent's name. */
#define COLUMNS_AROUND_SIZE_MAX 96

struct zstd_dictionary;
struct avro_schema;
struct columns_plan; /* what a row schema says of its columns */
struct columns_work; /* memory of encoding */

/* The text of the schema of all batches, as it is registered. */
struct slice columns_batch_schema(void);

/* Keeps `schema`, which must stay until columns_plan_close(). ERR_NOMEM. */
enum err columns_plan_open(struct columns_plan **ret, const struct avro_schema *schema) MUST_USE;
/* NULL is allowed. */
void columns_plan_close(struct columns_plan *plan);
/* NULL: its rows can be in columns. Else why they can't, as a sentence: batches have the row body
 * only. */
const char *columns_plan_obstacle(const struct columns_plan *plan);

/* `size`: COLUMNS_WORK_SIZE, or more for larger batches. Beside that it has a zstd context, which
 * takes its memory with the first batch whose bodies have to be compared. */
enum err columns_work_open(struct columns_work **ret, size_t size) MUST_USE;
/* NULL is allowed. */
void columns_work_close(struct columns_work *work);
/* The most of its memory that was in use since it was opened. */
size_t columns_work_peak(const struct columns_work *work);

/* Is it one datum of the row schema, which a batch can hold? ERR_REJECTED: it is not. */
enum err columns_check(const struct columns_plan *plan, struct slice datum) MUST_USE;

struct columns_setup {
    const struct columns_plan *plan;
    struct columns_work *work;
    /* How the row schema is found: 4 bytes, a registry's id, big endian; 16 bytes, a Glue schema
     * version; empty, the CRC-64-AVRO of its text. */
    struct slice schema_id;
    struct slice agent; /* "id/incarnation"; empty where nobody asks for it */
    bool is_plain;      /* nothing will compress it: bodies are compared as they are */
};

enum columns_body {
    COLUMNS_BETTER, /* whichever is smaller, by zstd if not is_plain */
    COLUMNS_AS_COLUMNS,
    COLUMNS_AS_ROWS,
};

/* Puts one batch of `count` rows (at most COLUMNS_EVENT_MAX): each a message whose body is its datum,
 * which columns_check() has taken, and `sequence` its number; nothing else of it is looked at.
 * ERR_FULL: it needs more memory than the workspace or `ret` has: take half of the rows; a single row
 * always fits the workspace. With COLUMNS_BETTER the free room in `ret` is used to compare: it should
 * be three times the size of the datums. ERR_REJECTED: no rows of a schema without columns, for a row
 * body of nothing is none. ERR_NOMEM. On failure `ret` is unchanged. */
enum err columns_encode(const struct columns_setup *setup, const struct message *rows,
                        uint32_t count, enum columns_body body, struct out *ret) MUST_USE;

/* What zstd makes of the bytes, at the level by which bodies are chosen; it is tried in the free room
 * of `room`. ERR_FULL, ERR_NOMEM. */
enum err columns_packed_size(struct columns_work *work, struct slice raw, const struct out *room,
                             size_t *ret) MUST_USE;
/* Packs a message by the dictionary, behind what `ret` has. ERR_FULL: it finds no room there. */
enum err columns_pack_by(struct columns_work *work, const struct zstd_dictionary *dictionary,
                         struct slice message, struct out *ret) MUST_USE;

/* --- and back --- */

struct columns_head {
    struct slice schema_id; /* 4 bytes, big endian; 8, the CRC-64-AVRO little endian; 16 */
    struct slice agent;
    uint32_t count;
    bool is_rows; /* it has the row body */
    uint8_t id_memory[4];
};

/* Who gets the rows. */
struct columns_taker {
    /* Comes once, before the rows; may be NULL. */
    enum err (*head)(void *context, const struct columns_head *head);
    /* Takes one row; the datum is good until it returns. */
    enum err (*row)(void *context, struct slice datum, uint64_t sequence);
    void *context;
};

/* One whole record, which may be hostile, in its rows' order. At most `value_max` values are made, and
 * memory is in proportion to them. ERR_CORRUPT: not such a batch: *why says what is wrong, and the
 * taker was not called. ERR_NOMEM. What the taker returns ends it and is passed on. */
enum err columns_decode(const struct columns_plan *plan, struct slice record, uint64_t value_max,
                        const struct columns_taker *taker, struct why *why) MUST_USE;

#endif
