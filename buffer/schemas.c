/* Schemas: what events mean. Each stands in its table and once more in the table's index, under a
 * checksum, and in memory while the buffer is open, so that a damaged file takes none along. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/look.h"
#include "ports/lib/crc32c.h"

#define FINGERPRINT_SIZE 8
#define NUMBER_MAX INT64_C(4000000000)
#define NUMBER_JUMP 65536 /* beyond what may have been used */

#define ROOM_COMMITS 16 /* in which rows give way to a schema */
#define TREE_PAGES 16   /* of the table and of its index, beside those that the text alone takes */
#define SMALL_PAGES (TREE_PAGES + 8)

/* Files of before have the fingerprint alone. */
enum { CHECK_SIZE = FINGERPRINT_SIZE + 4 };

enum way { BY_TABLE, BY_TABLE_DOWN, BY_INDEX, WAY_COUNT };

struct schema_text {
    uint32_t number;
    uint16_t stream;
    uint8_t check[CHECK_SIZE]; /* the fingerprint, and a checksum of all the rest */
    struct slice json;
};

/* --- in memory, in order of their numbers --- */

static const struct schema_text *find(const struct buffer *b, uint32_t number)
{
    for (size_t i = 0; i < b->schema_count; i++) {
        if (b->schemas[i].number == number) {
            return &b->schemas[i];
        }
    }
    return NULL;
}

bool schema_is_known(const struct buffer *b, uint32_t number)
{
    return find(b, number) != NULL;
}

/* A copy of it; nothing if it is known. */
static enum err remember(struct buffer *b, const struct schema_text *schema)
{
    if (find(b, schema->number)) {
        return ERR_OK;
    }
    struct schema_text *grown = realloc(b->schemas, (b->schema_count + 1) * sizeof *grown);
    if (!grown) {
        return ERR_NOMEM;
    }
    b->schemas = grown;
    uint8_t *json = malloc(schema->json.size);
    if (!json) {
        return ERR_NOMEM;
    }
    memcpy(json, schema->json.data, schema->json.size);
    size_t at = b->schema_count++;
    for (; at > 0 && grown[at - 1].number > schema->number; at--) {
        grown[at] = grown[at - 1];
    }
    grown[at] = *schema;
    grown[at].json.data = json;
    return ERR_OK;
}

static void forget_newest(struct buffer *b)
{
    b->schema_count--;
    free((void *)(uintptr_t)b->schemas[b->schema_count].json.data);
}

void schemas_forget(struct buffer *b)
{
    while (b->schema_count > 0) {
        forget_newest(b);
    }
    free(b->schemas);
    b->schemas = NULL;
}

/* --- in the file --- */

static void check_make(struct schema_text *schema, const uint8_t *fingerprint)
{
    uint8_t beside[6 + FINGERPRINT_SIZE];
    struct out o = out_over(beside, sizeof beside);
    out_put_u32_le(&o, schema->number);
    out_put_u16_le(&o, schema->stream);
    out_put(&o, fingerprint, FINGERPRINT_SIZE);
    uint32_t crc = crc32c(crc32c(0, out_slice(&o)), schema->json);
    o = out_over(schema->check, CHECK_SIZE);
    out_put(&o, fingerprint, FINGERPRINT_SIZE);
    out_put_u32_le(&o, crc);
}

static struct slice column_slice(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    return (struct slice){data, (size_t)sqlite3_column_bytes(s, column)};
}

/* The row that the statement stands on. False: it is damaged. */
static bool schema_take(sqlite3_stmt *s, struct schema_text *ret)
{
    int64_t number = sqlite3_column_int64(s, 0);
    int64_t stream = sqlite3_column_int64(s, 1);
    struct slice check = column_slice(s, 2);
    struct slice json = column_slice(s, 3);
    if (sqlite3_column_type(s, 2) != SQLITE_BLOB || sqlite3_column_type(s, 3) != SQLITE_TEXT ||
        number < 1 || number > NUMBER_MAX || stream < 1 || stream > STREAM_COUNT_MAX ||
        (check.size != CHECK_SIZE && check.size != FINGERPRINT_SIZE) || json.size == 0) {
        return false;
    }
    *ret =
        (struct schema_text){.number = (uint32_t)number, .stream = (uint16_t)stream, .json = json};
    check_make(ret, check.data);
    return memcmp(ret->check, check.data, check.size) == 0;
}

struct found {
    unsigned good;
    unsigned damaged;
    int code; /* SQLite's, at its end */
};

/* All that can be read that way. */
static enum err load(struct buffer *b, sqlite3 *db, enum way way, struct found *ret)
{
    static const char *const selects[WAY_COUNT] = {
        [BY_TABLE] = "SELECT id,stream,fp,json FROM schema NOT INDEXED ORDER BY id",
        [BY_TABLE_DOWN] = "SELECT id,stream,fp,json FROM schema NOT INDEXED ORDER BY id DESC",
        [BY_INDEX] = "SELECT id,stream,fp,json FROM schema INDEXED BY schema_text",
    };
    sqlite3_stmt *s = NULL;
    struct schema_text schema;
    enum err e = ERR_OK;
    *ret = (struct found){.code = sqlite3_prepare_v2(db, selects[way], -1, &s, NULL)};
    while (!e && (ret->code == SQLITE_OK || ret->code == SQLITE_ROW)) {
        ret->code = sqlite3_step(s);
        bool is_good = ret->code == SQLITE_ROW && schema_take(s, &schema);
        ret->good += is_good;
        ret->damaged += ret->code == SQLITE_ROW && !is_good;
        e = is_good ? remember(b, &schema) : ERR_OK;
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return e;
}

enum err schemas_load(struct buffer *b, struct why *why)
{
    struct found table = {0};
    struct found index = {0};
    schemas_forget(b);
    enum err e = load(b, b->db, BY_TABLE, &table);
    e = e ? e : load(b, b->db, BY_INDEX, &index);    /* what the one lacks the other may have */
    if (!e && (index.code & 0xff) == SQLITE_ERROR) { /* an older file does not have it */
        index = (struct found){table.good, 0, SQLITE_DONE};
    }
    e = e || table.code == SQLITE_DONE ? e : sql_error(b, table.code, "opening", why);
    e = e || index.code == SQLITE_DONE ? e : sql_error(b, index.code, "opening", why);
    e = e ? e : sql_look(b, "SELECT v FROM meta WHERE k='schema_floor'", 0, &b->schema_floor, why);
    bool is_whole = table.damaged == 0 && index.damaged == 0 && table.good == b->schema_count &&
                    index.good == b->schema_count && b->schema_floor >= 0 &&
                    b->schema_floor <= NUMBER_MAX;
    if (!e && !is_whole) {
        why_set(why, "%s: a schema is damaged", b->path);
        e = ERR_CORRUPT;
    }
    return e;
}

enum err schemas_load_damaged(struct buffer *b, struct buffer *source, struct why *why)
{
    enum err e = ERR_OK;
    int64_t floor = 0;
    schemas_forget(b);
    for (enum way way = BY_TABLE; way < WAY_COUNT; way++) {
        for (bool again = source && source->db; !e && again;) {
            struct found found;
            e = load(b, source->db, way, &found);
            e = e ? e : damaged_wait(source, found.code, &again, why);
        }
    }
    if (!e && source) {
        e = damaged_number(source, "SELECT v FROM meta WHERE k='schema_floor'", 0, &floor, why);
    }
    int64_t highest = b->schema_count > 0 ? b->schemas[b->schema_count - 1].number : 0;
    highest = floor > highest && floor <= NUMBER_MAX ? floor : highest;
    highest += NUMBER_JUMP; /* those that are lost are not used again */
    b->schema_floor = highest < NUMBER_MAX ? highest : NUMBER_MAX;
    return e;
}

static enum err insert(struct buffer *b, const struct schema_text *schema, struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, "INSERT INTO schema VALUES(?,?,?,?)", -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, schema->number);
        sqlite3_bind_int64(s, 2, schema->stream);
        sqlite3_bind_blob64(s, 3, schema->check, CHECK_SIZE, SQLITE_STATIC);
        sqlite3_bind_text64(s, 4, (const char *)schema->json.data, schema->json.size, SQLITE_STATIC,
                            SQLITE_UTF8);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}

enum err schemas_put(struct buffer *b, struct why *why)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, "INSERT INTO meta VALUES('schema_floor',%" PRId64 ")",
                   b->schema_floor); /* fits */
    enum err e = sql_exec(b, sql, why);
    for (size_t i = 0; !e && i < b->schema_count; i++) {
        e = insert(b, &b->schemas[i], why);
    }
    return e;
}

/* --- room for one more --- */

/* Behind it there still is room for the largest write and for what is always kept back: else nobody
 * could add anything. A small one may take of the latter, but nothing from what was admitted. */
static bool has_room(const struct buffer *b)
{
    size_t largest =
        b->event_size_max > WRITE_SIZE_MAX ? (size_t)b->event_size_max : (size_t)WRITE_SIZE_MAX;
    int64_t left = quota_free_pages(b) - b->schema_pages;
    if (b->schema_pages > SMALL_PAGES) {
        return left >= RESERVE_PAGES + quota_seal_pages(b, b->tail_size + largest);
    }
    size_t admitted = 0;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        admitted = b->room[s] > admitted ? b->room[s] : admitted;
    }
    admitted = admitted < largest ? admitted : largest;
    return left >= RESERVE_PAGES / 2 + quota_seal_pages(b, b->tail_size + admitted);
}

/* In the log, and in the file. */
static enum err reserve(struct buffer *b, struct why *why)
{
    /* Mended, the log is begun anew. */
    b->broken = b->broken || b->wal_frames + b->schema_pages > WAL_FRAME_MAX;
    enum err e = sql_mend(b, why);
    return e ? e : quota_reserve(b, b->schema_pages + RESERVE_PAGES, why);
}

/* Rows give way to it as they do to an event of its stream. */
static enum err make_room(struct buffer *b, uint16_t stream, size_t size, struct why *why)
{
    static const struct buffer_write nothing;
    if (b->read_only) {
        why_set(why, "%s is open for reading only", b->path);
        return ERR_READONLY;
    }
    b->schema_stream = stream;
    b->schema_pages = 2 * ((int64_t)(size / (PAGE_SIZE - 100)) + 1) + TREE_PAGES;
    enum err e = reserve(b, why);
    for (unsigned i = 0; !e && i < ROOM_COMMITS && !has_room(b); i++) {
        e = buffer_commit(b, &nothing, NULL, why);
    }
    e = e ? e : reserve(b, why);
    if (!e && !has_room(b)) {
        why_set(why, "%s has no room for a schema of %zu bytes: %s", b->path, size,
                b->disk_full ? "the disk is full: free room on it"
                             : "let it send what it has, or raise its size_max");
        e = ERR_NOSPACE;
    }
    b->schema_stream = 0;
    b->schema_pages = 0;
    return e;
}

/* --- for others --- */

static int64_t number_highest(const struct buffer *b)
{
    int64_t highest = b->schema_count > 0 ? b->schemas[b->schema_count - 1].number : 0;
    return highest > b->schema_floor ? highest : b->schema_floor;
}

enum err buffer_schema_add(struct buffer *b, uint16_t stream, struct slice json,
                           const uint8_t fingerprint[8], uint32_t *ret_schema, struct why *why)
{
    for (size_t i = 0; i < b->schema_count; i++) {
        const struct schema_text *known = &b->schemas[i];
        if (known->stream == stream && slice_equal(known->json, json)) {
            *ret_schema = known->number;
            return ERR_OK;
        }
    }
    if (!b->db) {
        why_set(why, "%s is damaged, and is being replaced", b->path);
        return ERR_AGAIN;
    }
    vfs_count_errno_set(b->vfs, 0);
    enum err e = make_room(b, stream, json.size, why);
    struct schema_text schema = {
        .number = (uint32_t)number_highest(b) + 1, .stream = stream, .json = json};
    check_make(&schema, fingerprint);
    e = e ? e : remember(b, &schema); /* it has the highest number */
    if (e) {
        return e;
    }
    e = sql_wrote(b, insert(b, &schema, why));
    if (e) {
        forget_newest(b);
        return e;
    }
    *ret_schema = schema.number;
    if (quota_measure(b, NULL)) {
        b->broken = true; /* it stands; the measures are those of before */
    }
    quota_rooms(b);
    return ERR_OK;
}

void buffer_schema_each(const struct buffer *b,
                        void (*each)(void *context, uint16_t stream, uint32_t schema,
                                     struct slice json),
                        void *context)
{
    for (size_t i = 0; i < b->schema_count; i++) {
        each(context, b->schemas[i].stream, b->schemas[i].number, b->schemas[i].json);
    }
}

enum err buffer_schema_text(const struct buffer *b, uint32_t number, struct out *ret,
                            struct why *why)
{
    const struct schema_text *schema = find(b, number);
    if (!schema) {
        why_set(why, "%s has no schema %u", b->path, number);
        return ERR_CLOSED;
    }
    out_put_slice(ret, schema->json);
    return ret->overflow ? ERR_FULL : ERR_OK;
}
