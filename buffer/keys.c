/* The keys of a file: which ones its content may be under, and what is encrypted of it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"

#define SLOT_SIZE (KEY_PROOF_SIZE + 4) /* the proof, and its checksum */

/* What is in `meta` of the keys that the file's content may be under: at most two. */
static const char *const slot_names[] = {"key1", "key2"};
static_assert(ARRAY_COUNT(slot_names) == KEY_SLOT_COUNT, "a place for each name");

/* --- which keys --- */

/* False: damaged. */
static bool slot_value_take(struct slice value, struct key_slot *ret)
{
    struct slice rest = value;
    struct slice proof;
    uint32_t crc;
    if (!slice_take(&rest, KEY_PROOF_SIZE, &proof) || !slice_take_u32_le(&rest, &crc) ||
        rest.size > 0 || crc32c(0, proof) != crc) {
        return false;
    }
    memcpy(ret->proof, proof.data, KEY_PROOF_SIZE);
    return true;
}

/* Which of the keys that were given is it of? */
static enum err slot_match(const struct buffer *b, struct key_slot *slot)
{
    bool proves = false;
    enum err e = crypt_proves(b->setup_key, slot->proof, &proves);
    if (!e && proves) {
        slot->owner = SLOT_KEY;
        return ERR_OK;
    }
    e = e ? e : crypt_proves(b->setup_old_key, slot->proof, &proves);
    slot->owner = !e && proves ? SLOT_OLD_KEY : SLOT_FOREIGN;
    return e;
}

static enum err slot_read(struct buffer *b, size_t index, struct why *why)
{
    sqlite3_stmt *s = NULL;
    struct key_slot *slot = &b->key_slots[index];
    slot->owner = SLOT_EMPTY;
    if (sqlite3_prepare_v2(b->db, "SELECT v FROM meta WHERE k=?", -1, &s, NULL) != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    sqlite3_bind_text(s, 1, slot_names[index], -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    enum err e = ERR_OK;
    if (code == SQLITE_ROW) {
        struct slice value = {sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
        bool is_whole = slot_value_take(value, slot);
        b->proof_damaged = b->proof_damaged || !is_whole;
        e = is_whole ? slot_match(b, slot) : ERR_OK; /* else its place is empty */
    } else if (code != SQLITE_DONE) {
        e = sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return e;
}

static enum err slots_read(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        e = slot_read(b, i, why);
    }
    return e;
}

/* Does a key that was given open any of the first rows? */
static bool opens_rows(struct buffer *b)
{
    sqlite3_stmt *s = NULL;
    bool opens = false;
    int code = sqlite3_prepare_v2(b->db,
                                  "SELECT id,last,n,schema,t0,t1,raw,crc,body FROM batch ORDER BY "
                                  "id LIMIT 16",
                                  -1, &s, NULL);
    while (code == SQLITE_OK && !opens && sqlite3_step(s) == SQLITE_ROW) {
        int64_t columns[6];
        uint8_t beside[ROW_BESIDE_SIZE];
        int64_t id = sqlite3_column_int64(s, 0);
        struct slice body = {sqlite3_column_blob(s, 8), (size_t)sqlite3_column_bytes(s, 8)};
        for (int i = 0; i < 6; i++) {
            columns[i] = sqlite3_column_int64(s, 1 + i);
        }
        opens = crypt_is_encrypted(body) &&
                content_read(b, row_beside('B', id, columns, beside), body, &body, NULL) == ERR_OK;
    }
    (void)sqlite3_finalize(s); /* what can't be read opens nothing */
    return opens;
}

enum err keys_check(struct buffer *b, struct why *why)
{
    b->proof_damaged = false;
    enum err e = slots_read(b, why);
    b->keys_are_known = e == ERR_OK && !b->proof_damaged;
    if (!e && b->proof_damaged && !opens_rows(b)) {
        why_set(why,
                "%s is damaged: what it says of its key; and the key that is given (buffer."
                "encryption) opens none of its rows: give the right one, or take the file away",
                b->path);
        e = ERR_CORRUPT;
    }
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        if (b->key_slots[i].owner != SLOT_FOREIGN) {
            continue;
        }
        if (b->setup_key || b->setup_old_key) {
            why_set(why,
                    "%s is encrypted with another key than the one given (buffer.encryption): "
                    "give the right one; if the key was changed, give the one before as old_key",
                    b->path);
        } else {
            why_set(why,
                    "%s is encrypted: give its key (buffer.encryption.key); to go on without "
                    "encryption, give it as old_key",
                    b->path);
        }
        e = ERR_CONFIG;
    }
    return e;
}

/* `key` gets a place, unless it has one, or there is none: then both are taken by keys that were
 * given, so by this one too. */
static enum err slot_take(struct buffer *b, const uint8_t *key, enum key_owner owner)
{
    struct key_slot *empty = NULL;
    for (size_t i = 0; i < KEY_SLOT_COUNT; i++) {
        if (b->key_slots[i].owner == owner) {
            return ERR_OK;
        }
        empty = b->key_slots[i].owner == SLOT_EMPTY ? &b->key_slots[i] : empty;
    }
    if (!key || !empty) {
        return ERR_OK;
    }
    enum err e = crypt_prove(key, empty->proof);
    empty->owner = e ? SLOT_EMPTY : owner;
    return e;
}

static enum err slot_write(struct buffer *b, size_t index, struct why *why)
{
    uint8_t value[SLOT_SIZE];
    struct out o = out_over(value, sizeof value);
    struct slice proof = {b->key_slots[index].proof, KEY_PROOF_SIZE};
    out_put_slice(&o, proof);
    out_put_u32_le(&o, crc32c(0, proof));
    return sql_put_meta(b, slot_names[index], out_slice(&o), why);
}

/* What comes over from a damaged file is under the keys that it had. */
enum err keys_may_change(struct buffer *b, struct why *why)
{
    if (sql_number(b, "SELECT count(*) FROM salvage", 0) == 0) {
        return ERR_OK;
    }
    why_set(
        why,
        "%s: a damaged file is still being salvaged, under the keys it had: run the agent until "
        "that has ended, then change the key",
        b->path);
    return ERR_CONFIG;
}

enum err keys_join(struct buffer *b, struct why *why)
{
    bool is_new =
        b->setup_key && b->key_slots[0].owner != SLOT_KEY && b->key_slots[1].owner != SLOT_KEY;
    enum err e = b->as_it_is && is_new ? keys_may_change(b, why) : ERR_OK;
    e = e ? e : slot_take(b, b->setup_key, SLOT_KEY);
    if (!e && !b->keys_are_known) {
        e = slot_take(b, b->setup_old_key, SLOT_OLD_KEY);
    }
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        e = b->key_slots[i].owner == SLOT_EMPTY ? ERR_OK : slot_write(b, i, why);
    }
    return e;
}

enum err keys_leave(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        char sql[64];
        if (b->key_slots[i].owner == SLOT_OLD_KEY) {
            (void)snprintf(sql, sizeof sql, "DELETE FROM meta WHERE k='%s'",
                           slot_names[i]); /* fits */
            e = sql_exec(b, sql, why);
        }
    }
    return e;
}

/* --- what is encrypted --- */

enum err content_read(struct buffer *b, struct slice beside, struct slice content,
                      struct slice *ret, bool *ret_is_old)
{
    b->cipher.size = 0;
    b->cipher.overflow = false;
    enum err e = crypt_decrypt(b->crypt, beside, content, &b->cipher, ret_is_old);
    if (!e) {
        *ret = out_slice(&b->cipher);
    }
    return e;
}

struct slice content_write(struct buffer *b, struct slice beside, struct slice plain)
{
    b->cipher.size = 0;
    b->cipher.overflow = false;
    crypt_encrypt(b->crypt, beside, plain, &b->cipher);
    assert(!b->cipher.overflow); /* as large as the largest plain content, and more */
    return out_slice(&b->cipher);
}

struct slice row_beside(char table, int64_t id, const int64_t columns[6],
                        uint8_t ret[ROW_BESIDE_SIZE])
{
    struct out o = out_over(ret, ROW_BESIDE_SIZE);
    out_put_byte(&o, (uint8_t)table);
    out_put_u64_le(&o, (uint64_t)id);
    for (size_t i = 0; i < 6; i++) {
        out_put_u64_le(&o, (uint64_t)columns[i]);
    }
    return out_slice(&o);
}
