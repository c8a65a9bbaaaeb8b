/* Names in a damaged file: which number a stream or an uplink of the configuration had. No checksum
 * covers a name, but each stands there twice, in its table and in the table's index, and the state
 * says which numbers are in use. */
#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"

struct named {
    const char *table;
    bool (*is_used)(const struct buffer *b, int64_t number);
};

static bool stream_is_used(const struct buffer *b, int64_t number)
{
    return number >= 1 && number <= STREAM_COUNT_MAX && b->state->streams[number].sequence_next > 0;
}

static bool uplink_is_used(const struct buffer *b, int64_t number)
{
    bool found = false;
    for (uint32_t i = 0; i < b->state->owed_count && !found; i++) {
        found = number > 0 && b->state->owed[i].uplink == number;
    }
    return found;
}

static const struct named all_named[] = {{"stream", stream_is_used}, {"uplink", uplink_is_used}};
enum { NAMED_STREAM, NAMED_UPLINK };

static size_t setup_count(const struct buffer_setup *setup, size_t kind)
{
    return kind == NAMED_STREAM ? setup->stream_count : setup->uplink_count;
}

static const char *setup_name(const struct buffer_setup *setup, size_t kind, size_t i, bool before)
{
    return kind == NAMED_STREAM ? before ? setup->streams[i].renamed_from : setup->streams[i].name
           : before             ? setup->uplinks[i].renamed_from
                                : setup->uplinks[i].name;
}

/* SQLite's code; *ret 0: it is not there, or can't be read. `how`: NOT INDEXED, or INDEXED BY ...; "":
 * either. */
static int name_find(sqlite3 *db, const char *table, const char *how, const char *name,
                     int64_t *ret)
{
    char sql[160];
    sqlite3_stmt *s = NULL;
    *ret = 0;
    if (!name || !db) {
        return SQLITE_DONE;
    }
    (void)snprintf(sql, sizeof sql, "SELECT id FROM %s %s WHERE name=?", table, how); /* fits */
    int code = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (code == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        code = sqlite3_step(s);
        *ret = code == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return code;
}

struct names_in {
    struct buffer *source; /* the damaged file; NULL: it can't be opened */
    const char *table;
    struct why *why;
};

/* 0: it is not there, or the file is damaged there. */
static enum err name_look(const struct names_in *in, bool by_index, const char *name, int64_t *ret)
{
    char how[80] = "NOT INDEXED";
    enum err e = ERR_OK;
    if (by_index) {
        (void)snprintf(how, sizeof how, "INDEXED BY sqlite_autoindex_%s_1", in->table); /* fits */
    }
    *ret = 0;
    for (bool again = in->source; !e && again;) {
        int code = name_find(in->source->db, in->table, how, name, ret);
        e = damaged_wait(in->source, code, &again, in->why);
    }
    return e;
}

static enum err name_keep(struct buffer *b, const struct named *n, const char *name,
                          struct why *why)
{
    char sql[80];
    const struct names_in in = {b->salvage->source, n->table, why};
    (void)snprintf(sql, sizeof sql, "INSERT OR IGNORE INTO %s VALUES(?,?)", n->table); /* fits */
    for (unsigned by_index = 0; by_index < 2; by_index++) {
        int64_t number = 0;
        enum err e = name_look(&in, by_index, name, &number);
        if (e || n->is_used(b, number)) {
            return e ? e : damage_put_name(b, sql, number, name, why);
        }
    }
    return ERR_OK;
}

enum err names_keep(struct buffer *b, struct why *why)
{
    const struct buffer_setup *setup = b->setup;
    enum err e = ERR_OK;
    for (size_t kind = 0; kind < ARRAY_COUNT(all_named); kind++) {
        for (size_t i = 0; !e && i < setup_count(setup, kind); i++) {
            e = name_keep(b, &all_named[kind], setup_name(setup, kind, i, false), why);
            e = e ? e : name_keep(b, &all_named[kind], setup_name(setup, kind, i, true), why);
        }
    }
    return e;
}

/* How many numbers are in use that have no name any more; one of them. */
static enum err numbers_without_name(struct buffer *b, const struct named *n, unsigned *ret_count,
                                     int64_t *ret, struct why *why)
{
    char sql[80];
    enum err e = ERR_OK;
    *ret_count = 0;
    for (int64_t number = 1; !e && number <= UINT16_MAX; number++) {
        if (n->is_used(b, number)) {
            int64_t names = 0;
            (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE id=%lld", n->table,
                           (long long)number); /* fits */
            e = sql_look(b, sql, 0, &names, why);
            *ret = names > 0 ? *ret : number;
            *ret_count += names == 0;
        }
    }
    return e;
}

/* Has the fresh file a number for this name, or the one before it? */
static enum err name_is_known(struct buffer *b, size_t kind, size_t i, bool *ret, struct why *why)
{
    *ret = false;
    for (unsigned before = 0; !*ret && before < 2; before++) {
        int64_t number = 0;
        const char *name = setup_name(b->setup, kind, i, before);
        int code = name_find(b->db, all_named[kind].table, "", name, &number);
        if (code != SQLITE_ROW && code != SQLITE_DONE) {
            return sql_error(b, code, "reading", why);
        }
        *ret = number > 0;
    }
    return ERR_OK;
}

/* How many names of the configuration have no number any more; one of them. */
static enum err names_without_number(struct buffer *b, size_t kind, const char **ret,
                                     unsigned *ret_count, struct why *why)
{
    const struct buffer_setup *setup = b->setup;
    enum err e = ERR_OK;
    *ret_count = 0;
    for (size_t i = 0; !e && i < setup_count(setup, kind); i++) {
        bool known = false;
        e = name_is_known(b, kind, i, &known, why);
        *ret = known ? *ret : setup_name(setup, kind, i, false);
        *ret_count += !known;
    }
    return e;
}

enum err names_adopt(struct buffer *b, bool *ret_all_known, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t kind = 0; !e && kind < ARRAY_COUNT(all_named); kind++) {
        const struct named *n = &all_named[kind];
        const char *name = NULL;
        int64_t number = 0;
        unsigned names = 0;
        unsigned numbers = 0;
        e = names_without_number(b, kind, &name, &names, why);
        e = e ? e : numbers_without_name(b, n, &numbers, &number, why);
        if (e) {
            return e;
        }
        if (names == 1 && numbers == 1) {
            char sql[80];
            (void)snprintf(sql, sizeof sql, "INSERT INTO %s VALUES(?,?)", n->table); /* fits */
            e = damage_put_name(b, sql, number, name, why);
            numbers = 0;
        }
        *ret_all_known = kind == NAMED_UPLINK ? numbers == 0 : *ret_all_known;
    }
    return e;
}

enum err names_read(struct buffer *source, const char *table, uint16_t number,
                    char ret[UPLINK_NAME_SIZE], struct why *why)
{
    char sql[80];
    int64_t by_index = 0;
    enum err e = ERR_OK;
    const struct names_in in = {source, table, why};
    ret[0] = '\0';
    (void)snprintf(sql, sizeof sql, "SELECT name FROM %s WHERE id=%u", table, number); /* fits */
    for (bool again = true; !e && again;) {
        sqlite3_stmt *s = NULL;
        int code = sqlite3_prepare_v2(source->db, sql, -1, &s, NULL);
        code = code == SQLITE_OK ? sqlite3_step(s) : code;
        if (code == SQLITE_ROW) {
            struct slice name = {sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
            bool fits = slice_to_text(name, ret, UPLINK_NAME_SIZE);
            (void)fits; /* else it is "" */
        }
        (void)sqlite3_finalize(s); /* step() gave its error */
        e = damaged_wait(source, code, &again, why);
    }
    e = e || !ret[0] ? e : name_look(&in, true, ret, &by_index);
    if (by_index != number) {
        ret[0] = '\0';
    }
    return e;
}

enum err names_number(struct buffer *source, const char *table, const char *const names[2],
                      int64_t *ret, struct why *why)
{
    const struct names_in in = {source, table, why};
    enum err e = ERR_OK;
    *ret = 0;
    for (size_t i = 0; !e && *ret == 0 && i < 4; i++) {
        e = name_look(&in, i % 2, names[i / 2], ret);
    }
    return e;
}
