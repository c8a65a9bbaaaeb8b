/* What comes over from a damaged file at once, into the fresh one: names and numbers, schemas, cursors,
 * the rows of open parcels, and what is still to be salvaged. */
#include <inttypes.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/machine.h"

struct copy {
    const char *columns;
    const char *table;
    const char *by_index; /* says all of it once more; NULL: no index does */
    const char *where;
    const char *order;
    int column_count;
};

static const struct copy copies[] = {
    {"id,name", "stream", "sqlite_autoindex_stream_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 256 AND length(name) BETWEEN 1 AND 63", "id", 2},
    {"id,name", "uplink", "sqlite_autoindex_uplink_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 65535", "id", 2},
    {"id,name", "driver", "sqlite_autoindex_driver_1",
     "typeof(name)='text' AND id BETWEEN 1 AND 65535", "id", 2},
    {"uplink,schema,id", "remote", NULL, "typeof(id)='blob'", "uplink", 3},
    {"driver,k,crc,v", "cursor", NULL, "typeof(v)='blob'", "driver", 4},
    {"n,file,crc,wanted,everyone,stream,low,seek,step,aside,found,lost", "salvage", NULL, "n>0",
     "n", 12},
};
enum { COPY_STREAM, COPY_UPLINK, COPY_DRIVER, COPY_SALVAGE = 5 };

enum copy_way { COPY_UP, COPY_DOWN, COPY_INDEX, COPY_WAYS };

static void copy_texts(const struct copy *c, enum copy_way way, char select[400], char insert[400])
{
    char order[80];
    static const char marks[] = "?,?,?,?,?,?,?,?,?,?,?,?,?,?";
    (void)snprintf(order, sizeof order, "ORDER BY %s%s", c->order, way == COPY_DOWN ? " DESC" : "");
    (void)snprintf(select, 400, "SELECT %s FROM %s %s %s WHERE %s %s", c->columns, c->table,
                   way == COPY_INDEX ? "INDEXED BY" : "", way == COPY_INDEX ? c->by_index : "",
                   c->where, way == COPY_INDEX ? "" : order); /* all of these fit */
    (void)snprintf(insert, 400, "INSERT OR IGNORE INTO %s(%s) VALUES(%.*s)", c->table, c->columns,
                   2 * c->column_count - 1, marks);
}

/* Every row that the statement gives; its end, or its error, in *ret_code. */
static enum err copy_each(struct buffer *b, sqlite3_stmt *read, const char *insert, int *ret_code,
                          struct why *why)
{
    sqlite3_stmt *write = NULL;
    int columns = sqlite3_column_count(read);
    int code = sqlite3_prepare_v2(b->db, insert, -1, &write, NULL);
    enum err e = code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
    while (!e && (*ret_code = sqlite3_step(read)) == SQLITE_ROW) {
        code = SQLITE_OK;
        for (int i = 0; i < columns && code == SQLITE_OK; i++) {
            code = sqlite3_bind_value(write, 1 + i, sqlite3_column_value(read, i));
        }
        int bound = code;
        (void)sqlite3_step(write);
        code = sqlite3_reset(write);
        code = bound == SQLITE_OK ? code : bound;
        e = code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
    }
    (void)sqlite3_finalize(write);
    return e;
}

/* *ret_whole: the last row was reached. */
static enum err copy_rows(struct buffer *b, struct buffer *from, const struct copy *c,
                          enum copy_way way, bool *ret_whole, struct why *why)
{
    char select[400];
    char insert[400];
    enum err e = ERR_OK;
    copy_texts(c, way, select, insert);
    *ret_whole = false;
    for (bool again = from && from->db; !e && again;) { /* what is there already stays */
        sqlite3_stmt *read = NULL;
        int code = sqlite3_prepare_v2(from->db, select, -1, &read, NULL);
        e = code == SQLITE_OK ? copy_each(b, read, insert, &code, why) : ERR_OK;
        (void)sqlite3_finalize(read);
        *ret_whole = code == SQLITE_DONE;
        e = e ? e : damaged_wait(from, code, &again, why);
    }
    return e;
}

/* From both ends, and from the index, as far as can be read. */
static enum err copy_table(struct buffer *b, struct buffer *from, const struct copy *c,
                           bool *ret_whole, struct why *why)
{
    enum err e = ERR_OK;
    *ret_whole = false;
    for (enum copy_way way = COPY_UP; !e && !*ret_whole && way < COPY_WAYS; way++) {
        if (way != COPY_INDEX || c->by_index) {
            e = copy_rows(b, from, c, way, ret_whole, why);
        }
    }
    return e;
}

/* Numbers that may have been used and are not known any more are not used again. */
static enum err reserve_numbers(struct buffer *b, const bool whole[], struct why *why)
{
    char sql[160];
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && !whole[COPY_STREAM] && s <= STREAM_COUNT_MAX; s++) {
        if (b->state->streams[s].sequence_next > 0) {
            (void)snprintf(sql, sizeof sql,
                           "INSERT OR IGNORE INTO stream VALUES(%u,'" LOST_STREAM_NAME "')", s,
                           s); /* fits */
            e = sql_exec(b, sql, why);
        }
    }
    const char *const tables[] = {"uplink", "driver"};
    for (size_t i = 0; !e && i < ARRAY_COUNT(tables); i++) {
        if (!whole[COPY_UPLINK + i]) {
            (void)snprintf(sql, sizeof sql,
                           "INSERT INTO %s(id,name) SELECT coalesce(max(id),0)+1000,'(lost)' FROM "
                           "%s; DELETE FROM %s WHERE name='(lost)'",
                           tables[i], tables[i], tables[i]); /* fits */
            e = sql_exec(b, sql, why);
        }
    }
    return e;
}

enum err damage_put_name(struct buffer *b, const char *sql, int64_t id, const char *name,
                         struct why *why)
{
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(b->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_int64(s, 1, id);
        sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
        (void)sqlite3_step(s); /* finalize repeats its error */
        code = sqlite3_finalize(s);
    }
    return code == SQLITE_OK ? ERR_OK : sql_error(b, code, "writing", why);
}

/* The names that are in memory, if the buffer was running. */
static enum err put_names(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        if (b->streams[s].name[0]) {
            e = damage_put_name(b, "INSERT OR REPLACE INTO stream VALUES(?,?)", s,
                                b->streams[s].name, why);
        }
    }
    for (size_t i = 0; !e && i < b->uplink_count; i++) {
        e = damage_put_name(b, "INSERT OR REPLACE INTO uplink VALUES(?,?)", b->uplinks[i].number,
                            b->uplinks[i].name, why);
    }
    return e;
}

static enum err put_identity(struct buffer *b, struct why *why)
{
    char sql[200];
    (void)snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('boot',%" PRIu32 ")",
                   b->boot); /* fits */
    enum err e = sql_exec(b, sql, why);
    if (e || b->incarnation == 0) {
        return e; /* the new one that the file was made with */
    }
    (void)snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO meta VALUES('incarnation',%" PRIu32 ")",
                   b->incarnation); /* fits */
    e = sql_exec(b, sql, why);
    return e ? e : machine_put(b, why);
}

enum err damage_take_over(struct buffer *b, const struct buffer_write *write, struct why *why)
{
    struct salvage *w = b->salvage;
    int64_t known = 0;
    bool whole[ARRAY_COUNT(copies)];
    bool all_known = true;
    enum err e = sql_run(b, SQL_BEGIN, why);
    e = e ? e : sql_exec(b, salvage_table, why);
    e = e ? e : put_identity(b, why);
    e = e ? e : put_names(b, why);
    e = e || !b->setup ? e : names_keep(b, why);
    for (size_t i = 0; !e && i < ARRAY_COUNT(copies); i++) {
        e = copy_table(b, w->source, &copies[i], &whole[i], why);
    }
    e = e || !b->setup ? e : schemas_load_damaged(b, w->source, why);
    e = e ? e : schemas_put(b, why);
    e = e ? e : salvage_put_before(b, whole[COPY_SALVAGE], why);
    e = e || !b->setup ? e : names_adopt(b, &all_known, why);
    e = e ? e : reserve_numbers(b, whole, why);
    w->everyone = w->everyone || !all_known;
    e = e ? e : salvage_parcels(b, write, why);
    e = e ? e : sql_look(b, "SELECT max(n) FROM salvage WHERE n<99", 0, &known, why);
    w->number = w->number > known ? w->number : known + 1; /* its file may be gone */
    /* Then its name may be this one's now. */
    e = e ? e
          : damage_put_name(b, "UPDATE salvage SET file=file||'-gone' WHERE n<>? AND file=?",
                            w->number, w->file, why);
    e = e ? e : salvage_put(b, why);
    return e ? e : commit_state(b, why);
}
