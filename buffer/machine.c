#include "buffer/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "ports/lib/crc32c.h"
#include "ports/log.h"
#include "ports/random.h"

#define ERA_SIZE_MAX (4 + STREAM_COUNT_MAX * 10)
#define ERAS_SIZE_MAX (4 + ERA_COUNT_MAX * ERA_SIZE_MAX)

/* --- as bytes: a checksum, then each era's incarnation and where it ends in each stream --- */

static struct slice eras_encode(const struct buffer *b, uint8_t *memory)
{
    struct out o = out_over(memory, ERAS_SIZE_MAX);
    out_put_u32_le(&o, 0);
    for (size_t i = 0; i < b->era_count; i++) {
        out_put_u32_le(&o, b->eras[i].incarnation);
        for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
            out_put_uvarint(&o, b->eras[i].next[s]);
        }
    }
    struct slice all = out_slice(&o); /* ERAS_SIZE_MAX is enough */
    struct out crc = out_over(memory, 4);
    out_put_u32_le(&crc, crc32c(0, (struct slice){all.data + 4, all.size - 4}));
    return all;
}

static bool eras_decode(struct buffer *b, struct slice data)
{
    uint32_t crc = 0;
    if (!slice_take_u32_le(&data, &crc) || crc != crc32c(0, data)) {
        return false;
    }
    bool good = true;
    for (b->era_count = 0; good && data.size > 0 && b->era_count < ERA_COUNT_MAX; b->era_count++) {
        struct era *era = &b->eras[b->era_count];
        good = slice_take_u32_le(&data, &era->incarnation);
        for (size_t s = 1; good && s <= STREAM_COUNT_MAX; s++) {
            good = slice_take_uvarint(&data, &era->next[s]);
        }
    }
    return good && data.size == 0;
}

static enum err eras_open(struct buffer *b)
{
    b->eras = b->eras ? b->eras : calloc(ERA_COUNT_MAX, sizeof *b->eras);
    return b->eras ? ERR_OK : ERR_NOMEM;
}

/* --- in the file --- */

static enum err take_eras(struct buffer *b, struct slice data)
{
    enum err e = eras_open(b);
    if (!e && !eras_decode(b, data)) {
        b->era_count = 0;
        log_warn("buffer",
                 "%s: it is not known any more which events are of an earlier incarnation: they go "
                 "by that of now",
                 b->path);
    }
    return e;
}

/* SQLite's code; ERR_NOMEM in *ret. */
static int take_meta(struct buffer *b, sqlite3 *db, enum err *ret)
{
    sqlite3_stmt *s = NULL;
    machine_forget(b);
    *ret = ERR_OK;
    int code =
        sqlite3_prepare_v2(db, "SELECT k,v FROM meta WHERE k IN('machine','eras')", -1, &s, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW && !*ret) {
        bool is_machine = sqlite3_column_bytes(s, 0) == (int)sizeof "machine" - 1;
        struct slice v = {sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
        code = SQLITE_OK;
        if (!is_machine) {
            *ret = take_eras(b, v);
        } else if (v.data && v.size == sizeof b->machine) {
            memcpy(&b->machine, v.data, v.size);
        }
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

enum err machine_read(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    int code = take_meta(b, b->db, &e);
    return e || code == SQLITE_OK ? e : sql_error(b, code, "opening", why);
}

enum err machine_read_damaged(struct buffer *b, struct buffer *source, struct why *why)
{
    enum err e = ERR_OK;
    for (bool again = source->db; !e && again;) {
        int code = take_meta(b, source->db, &e);
        e = e ? e : damaged_wait(source, code, &again, why);
    }
    return e;
}

static enum err put_eras(struct buffer *b, struct why *why)
{
    uint8_t *memory = malloc(ERAS_SIZE_MAX);
    if (!memory) {
        return ERR_NOMEM;
    }
    enum err e = sql_put_meta(b, "eras", eras_encode(b, memory), why);
    free(memory);
    return e;
}

enum err machine_put(struct buffer *b, struct why *why)
{
    struct slice machine = {(const uint8_t *)&b->machine, sizeof b->machine};
    enum err e = sql_put_meta(b, "machine", machine, why);
    return e || b->era_count == 0 ? e : put_eras(b, why);
}

void machine_forget(struct buffer *b)
{
    b->machine = (struct machine){{0}, {0}};
    b->era_count = 0;
}

/* --- at opening --- */

static bool is_known(const uint8_t mark[MACHINE_MARK_SIZE])
{
    static const uint8_t none[MACHINE_MARK_SIZE] = {0};
    return memcmp(mark, none, MACHINE_MARK_SIZE) != 0;
}

static bool is_same(const struct machine *a, const struct machine *b)
{
    if (is_known(a->board) && is_known(b->board)) {
        return memcmp(a->board, b->board, MACHINE_MARK_SIZE) == 0;
    }
    bool is_comparable = is_known(a->system) && is_known(b->system);
    return !is_comparable || memcmp(a->system, b->system, MACHINE_MARK_SIZE) == 0;
}

static enum err begin_era(struct buffer *b, struct why *why)
{
    char sql[80];
    enum err e = eras_open(b);
    if (e) {
        return e;
    }
    if (b->era_count == ERA_COUNT_MAX) {
        b->era_count--;
        memmove(b->eras, b->eras + 1, b->era_count * sizeof *b->eras);
    }
    struct era *era = &b->eras[b->era_count++];
    era->incarnation = b->incarnation;
    for (size_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        era->next[s] = b->state->streams[s].sequence_next;
    }
    b->incarnation_before = b->incarnation;
    do {
        b->incarnation = random_u32();
    } while (b->incarnation == 0 || b->incarnation == b->incarnation_before);
    b->joined = true; /* outlives the log */
    (void)snprintf(sql, sizeof sql, "UPDATE meta SET v=%" PRIu32 " WHERE k='incarnation'",
                   b->incarnation); /* fits */
    return sql_exec(b, sql, why);
}

enum err machine_join(struct buffer *b, const struct buffer_setup *setup, struct why *why)
{
    if (!setup->machine) {
        return ERR_OK;
    }
    struct machine now = *setup->machine;
    bool same = is_same(&b->machine, &now);
    if (same && !is_known(now.board)) { /* it can't be read at the moment */
        memcpy(now.board, b->machine.board, MACHINE_MARK_SIZE);
    }
    if (same && !is_known(now.system)) {
        memcpy(now.system, b->machine.system, MACHINE_MARK_SIZE);
    }
    if (same && memcmp(&now, &b->machine, sizeof now) == 0) {
        return ERR_OK;
    }
    b->machine = now;
    enum err e = same ? ERR_OK : begin_era(b, why);
    return e ? e : machine_put(b, why);
}

/* --- what is constant --- */

uint32_t buffer_incarnation_at(const struct buffer *b, uint16_t stream, uint64_t sequence,
                               uint64_t *ret_last)
{
    for (size_t i = 0; i < b->era_count; i++) {
        if (sequence < b->eras[i].next[stream]) {
            *ret_last = b->eras[i].next[stream] - 1;
            return b->eras[i].incarnation;
        }
    }
    *ret_last = UINT64_MAX;
    return b->incarnation;
}

uint32_t buffer_incarnation_before(const struct buffer *b)
{
    return b->incarnation_before;
}

bool buffer_incarnation_is_ours(const struct buffer *b, uint32_t incarnation)
{
    bool is_ours = incarnation == b->incarnation;
    for (size_t i = 0; i < b->era_count && !is_ours; i++) {
        is_ours = incarnation == b->eras[i].incarnation;
    }
    return is_ours;
}

void machine_figures(const struct buffer *b, struct buffer_figures *ret)
{
    ret->knows_board = is_known(b->machine.board);
    ret->knows_system = is_known(b->machine.system);
    ret->earlier_count = b->era_count;
    for (size_t i = 0; i < b->era_count; i++) {
        ret->earlier[i] = b->eras[i].incarnation;
    }
}

bool machine_has(const struct buffer *b, uint32_t incarnation, const struct state *state)
{
    bool has = incarnation == b->incarnation;
    for (size_t i = 0; i < b->era_count && !has; i++) {
        has = incarnation == b->eras[i].incarnation;
        for (size_t s = 1; has && s <= STREAM_COUNT_MAX; s++) {
            has = state->streams[s].sequence_next <= b->eras[i].next[s];
        }
    }
    return has;
}
