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

/* 0: it is not there, or can't be read. `how`: NOT INDEXED, or INDEXED BY ...; "": either. */
static int64_t name_find(sqlite3 *db, const char *table, const char *how, const char *name)
{
    char sql[160];
    sqlite3_stmt *s = NULL;
    int64_t number = 0;
    (void)snprintf(sql, sizeof sql, "SELECT id FROM %s %s WHERE name=?", table, how); /* fits */
    if (name && db && sqlite3_prepare_v2(db, sql, -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
        number = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    }
    (void)sqlite3_finalize(s); /* what can't be read is not there */
    return number;
}

static enum err name_keep(struct buffer *b, sqlite3 *from, const struct named *n, const char *name,
                          struct why *why)
{
    char by_index[80];
    char sql[80];
    (void)snprintf(by_index, sizeof by_index, "INDEXED BY sqlite_autoindex_%s_1", n->table);
    (void)snprintf(sql, sizeof sql, "INSERT OR IGNORE INTO %s VALUES(?,?)", n->table); /* fit */
    const int64_t numbers[] = {name_find(from, n->table, "NOT INDEXED", name),
                               name_find(from, n->table, by_index, name)};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (n->is_used(b, numbers[i])) {
            return damage_put_name(b, sql, numbers[i], name, why);
        }
    }
    return ERR_OK;
}

enum err names_keep(struct buffer *b, sqlite3 *from, const struct buffer_setup *setup,
                    struct why *why)
{
    enum err e = ERR_OK;
    for (size_t kind = 0; kind < ARRAY_COUNT(all_named); kind++) {
        for (size_t i = 0; !e && i < setup_count(setup, kind); i++) {
            e = name_keep(b, from, &all_named[kind], setup_name(setup, kind, i, false), why);
            e = e ? e : name_keep(b, from, &all_named[kind], setup_name(setup, kind, i, true), why);
        }
    }
    return e;
}

/* How many numbers are in use that have no name any more; one of them. */
static unsigned numbers_without_name(struct buffer *b, const struct named *n, int64_t *ret)
{
    char sql[80];
    unsigned count = 0;
    for (int64_t number = 1; number <= UINT16_MAX; number++) {
        if (n->is_used(b, number)) {
            (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE id=%lld", n->table,
                           (long long)number); /* fits */
            bool has_name = sql_number(b, sql, 0) > 0;
            *ret = has_name ? *ret : number;
            count += !has_name;
        }
    }
    return count;
}

/* How many names of the configuration have no number any more; one of them. */
static unsigned names_without_number(struct buffer *b, const struct buffer_setup *setup,
                                     size_t kind, const char **ret)
{
    const char *table = all_named[kind].table;
    unsigned count = 0;
    for (size_t i = 0; i < setup_count(setup, kind); i++) {
        const char *name = setup_name(setup, kind, i, false);
        bool known = name_find(b->db, table, "", name) ||
                     name_find(b->db, table, "", setup_name(setup, kind, i, true));
        *ret = known ? *ret : name;
        count += !known;
    }
    return count;
}

enum err names_adopt(struct buffer *b, const struct buffer_setup *setup, bool *ret_all_known,
                     struct why *why)
{
    enum err e = ERR_OK;
    for (size_t kind = 0; !e && kind < ARRAY_COUNT(all_named); kind++) {
        const struct named *n = &all_named[kind];
        const char *name = NULL;
        int64_t number = 0;
        unsigned names = names_without_number(b, setup, kind, &name);
        unsigned numbers = numbers_without_name(b, n, &number);
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

bool names_read(struct buffer *source, const char *table, uint16_t number,
                char ret[UPLINK_NAME_SIZE])
{
    char by_index[80];
    char sql[80];
    sqlite3_stmt *s = NULL;
    bool found = false;
    (void)snprintf(by_index, sizeof by_index, "INDEXED BY sqlite_autoindex_%s_1", table);
    (void)snprintf(sql, sizeof sql, "SELECT name FROM %s WHERE id=%u", table, number); /* fit */
    if (sqlite3_prepare_v2(source->db, sql, -1, &s, NULL) == SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        struct slice name = {sqlite3_column_text(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
        found = name.size > 0 && slice_to_text(name, ret, UPLINK_NAME_SIZE) &&
                name_find(source->db, table, by_index, ret) == number;
    }
    (void)sqlite3_finalize(s); /* what can't be read is not there */
    return found;
}

int64_t names_number(struct buffer *source, const char *table, const char *name,
                     const char *renamed_from)
{
    char by_index[80];
    (void)snprintf(by_index, sizeof by_index, "INDEXED BY sqlite_autoindex_%s_1", table); /* fits */
    const char *const names[] = {name, renamed_from};
    int64_t number = 0;
    for (size_t i = 0; number == 0 && i < ARRAY_COUNT(names); i++) {
        number = name_find(source->db, table, "NOT INDEXED", names[i]);
        number = number ? number : name_find(source->db, table, by_index, names[i]);
    }
    return number;
}
