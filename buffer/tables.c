/* What is kept beside events: names and numbers, ids of registries, cursors. */
#include <string.h>

#include "buffer/internal.h"

static struct slice column_slice(sqlite3_stmt *s, int column)
{
    const void *data = sqlite3_column_blob(s, column);
    return (struct slice){data, (size_t)sqlite3_column_bytes(s, column)};
}

static enum err prepare(struct buffer *b, sqlite3_stmt **ret, const char *sql, struct why *why)
{
    if (!b->db) {
        why_set(why, "%s is damaged, and is being replaced", b->path);
        return ERR_AGAIN;
    }
    vfs_count_errno_set(b->vfs, 0);
    int code = sqlite3_prepare_v2(b->db, sql, -1, ret, NULL);
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "reading", why);
}

/* A loop over rows ended with this code. */
static enum err finish(struct buffer *b, sqlite3_stmt *s, int code, struct why *why)
{
    enum err e =
        code == SQLITE_DONE || code == SQLITE_ROW ? ERR_OK : sql_error(b, code, "reading", why);
    (void)sqlite3_finalize(s);
    return e;
}

enum err buffer_remote_each(struct buffer *b,
                            void (*each)(void *context, uint16_t uplink, uint32_t schema,
                                         struct slice id),
                            void *context)
{
    sqlite3_stmt *s = NULL;
    enum err e = prepare(b, &s, "SELECT uplink,schema,id FROM remote", NULL);
    int code = SQLITE_DONE;
    while (!e && (code = sqlite3_step(s)) == SQLITE_ROW) {
        each(context, (uint16_t)sqlite3_column_int64(s, 0), (uint32_t)sqlite3_column_int64(s, 1),
             column_slice(s, 2));
    }
    return e ? e : finish(b, s, code, NULL);
}

/* 0: not known. */
static enum err name_find(struct buffer *b, const char *sql, const char *name, int64_t *ret,
                          struct why *why)
{
    sqlite3_stmt *s = NULL;
    enum err e = prepare(b, &s, sql, why);
    if (e) {
        return e;
    }
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    *ret = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    return finish(b, s, code, why);
}

uint16_t buffer_stream_number(const struct buffer *b, const char *name)
{
    for (uint16_t i = 1; i <= STREAM_COUNT_MAX && name[0]; i++) { /* "": those that are unused */
        if (strcmp(b->streams[i].name, name) == 0) {
            return i;
        }
    }
    return 0;
}

const char *buffer_stream_name(const struct buffer *b, uint16_t stream)
{
    return stream <= STREAM_COUNT_MAX ? b->streams[stream].name : "";
}

enum err buffer_driver_find(struct buffer *b, const char *name, uint16_t *ret, struct why *why)
{
    int64_t id = 0;
    enum err e = name_find(b, "SELECT id FROM driver WHERE name=?", name, &id, why);
    *ret = (uint16_t)id; /* buffer_driver_number() gives no larger ones */
    return e;
}

enum err buffer_driver_number(struct buffer *b, const char *name, uint16_t *ret, struct why *why)
{
    int64_t id = 0;
    sqlite3_stmt *s = NULL;
    enum err e = name_find(b, "SELECT id FROM driver WHERE name=?", name, &id, why);
    if (!e && id == 0) {
        e = sql_mend(b, why);
        e = e ? e : prepare(b, &s, "INSERT INTO driver(name) VALUES(?)", why);
        if (e) {
            return e;
        }
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        e = sql_wrote(b, finish(b, s, sqlite3_step(s), why));
        id = sqlite3_last_insert_rowid(b->db);
    }
    if (!e && id > UINT16_MAX) {
        why_set(why, "%s has known more than 65535 drivers", b->path);
        return ERR_FULL;
    }
    *ret = e ? *ret : (uint16_t)id;
    return e;
}

/* The changed cursor of the driver with the lowest key in told+1..last, or NULL. */
static const struct changed_cursor *changed_next(const struct buffer *b, uint16_t driver,
                                                 int64_t told, int64_t last)
{
    const struct changed_cursor *next = NULL;
    for (size_t i = 0; i < b->changed_count; i++) {
        const struct changed_cursor *c = &b->changed[i];
        if (c->driver == driver && c->key > told && c->key <= last &&
            (!next || c->key < next->key)) {
            next = c;
        }
    }
    return next;
}

/* The value of the cursor that the statement stands on, checked. ERR_CORRUPT, ERR_NOMEM. */
static enum err cursor_take(struct buffer *b, sqlite3_stmt *s, uint16_t driver, int64_t key,
                            struct slice *ret)
{
    int64_t columns[6] = {driver, key, 0, 0, 0, 0};
    uint8_t beside[ROW_BESIDE_SIZE];
    uint32_t crc = (uint32_t)sqlite3_column_int64(s, 1);
    *ret = column_slice(s, 2);
    if (row_crc(0, columns, *ret) == crc) {
        return ERR_OK;
    }
    columns[2] = CURSOR_IS_ENCRYPTED;
    if (row_crc(0, columns, *ret) != crc) {
        return ERR_CORRUPT;
    }
    return content_read(b, row_beside('C', 0, columns, beside), *ret, ret, NULL);
}

/* What is in the table, unless the tail has newer; then what only the tail has. Together in the
 * order of keys. */
enum err buffer_cursor_each(struct buffer *b, uint16_t driver,
                            void (*each)(void *context, uint32_t key, struct slice value),
                            void *context)
{
    sqlite3_stmt *s = NULL;
    enum err e = prepare(b, &s, "SELECT k,crc,v FROM cursor WHERE driver=? ORDER BY k", NULL);
    if (e) {
        return e;
    }
    sqlite3_bind_int64(s, 1, driver);
    int64_t told = -1; /* highest key told so far */
    for (;;) {
        int code = sqlite3_step(s);
        int64_t row_key = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : (int64_t)UINT32_MAX + 1;
        const struct changed_cursor *next; /* below the row's key, or at it */
        while ((next = changed_next(b, driver, told, row_key))) {
            told = next->key;
            if (next->size > 0) {
                each(context, next->key, (struct slice){next->value, next->size});
            }
        }
        if (code != SQLITE_ROW) {
            return finish(b, s, code, NULL);
        }
        if (row_key > told) {
            struct slice value;
            e = cursor_take(b, s, driver, row_key, &value);
            if (e == ERR_NOMEM) {
                (void)sqlite3_finalize(s);
                return e;
            }
            if (!e) {
                each(context, (uint32_t)row_key, value);
            }
            told = row_key;
        }
    }
}
