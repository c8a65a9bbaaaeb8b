/* The keys of a file: which ones its content may be under, and what is encrypted of it. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"

#define SLOT_SIZE (KEY_PROOF_SIZE + 4) /* the proof, and its checksum */

/* What is in `meta` of the keys that the file's content may be under: at most two. */
static const char *const slots[] = {"key1", "key2"};
static_assert(ARRAY_COUNT(slots) == KEY_SLOT_COUNT, "a place for each name");

/* --- which keys --- */

/* False: damaged. */
static bool proof_take(struct slice value, uint8_t ret[KEY_PROOF_SIZE])
{
    struct slice rest = value;
    struct slice proof;
    uint32_t crc;
    if (!slice_take(&rest, KEY_PROOF_SIZE, &proof) || !slice_take_u32_le(&rest, &crc) ||
        rest.size > 0 || crc32c(0, proof) != crc) {
        return false;
    }
    memcpy(ret, proof.data, KEY_PROOF_SIZE);
    return true;
}

/* *ret: which one it is of. */
static enum err slot_match(const struct buffer *b, const uint8_t proof[KEY_PROOF_SIZE],
                           enum key_slot *ret)
{
    bool proves = false;
    enum err e = crypt_proves(b->setup_key, proof, &proves);
    if (!e && proves) {
        *ret = SLOT_KEY;
        return ERR_OK;
    }
    e = e ? e : crypt_proves(b->setup_old_key, proof, &proves);
    *ret = !e && proves ? SLOT_OLD_KEY : SLOT_FOREIGN;
    return e;
}

static enum err slot_read(struct buffer *b, size_t slot, struct why *why)
{
    sqlite3_stmt *s = NULL;
    uint8_t proof[KEY_PROOF_SIZE];
    b->key_slots[slot] = SLOT_EMPTY;
    if (sqlite3_prepare_v2(b->db, "SELECT v FROM meta WHERE k=?", -1, &s, NULL) != SQLITE_OK) {
        return sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    sqlite3_bind_text(s, 1, slots[slot], -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    enum err e = ERR_OK;
    if (code == SQLITE_ROW) {
        struct slice value = {sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
        e = proof_take(value, proof) ? slot_match(b, proof, &b->key_slots[slot]) : ERR_CORRUPT;
        if (e == ERR_CORRUPT) {
            why_set(why, "%s is damaged: what it says of its key", b->path);
        }
    } else if (code != SQLITE_DONE) {
        e = sql_error(b, sqlite3_extended_errcode(b->db), "opening", why);
    }
    (void)sqlite3_finalize(s); /* step() gave its error */
    return e;
}

enum err keys_check(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        e = slot_read(b, i, why);
        if (e || b->key_slots[i] != SLOT_FOREIGN) {
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

static enum err slot_write(struct buffer *b, size_t slot, struct why *why)
{
    uint8_t value[SLOT_SIZE];
    sqlite3_stmt *s = NULL;
    enum err e = crypt_prove(b->setup_key, value);
    if (e) {
        return e;
    }
    struct out crc = out_over(value + KEY_PROOF_SIZE, 4);
    out_put_u32_le(&crc, crc32c(0, (struct slice){value, KEY_PROOF_SIZE}));
    if (sqlite3_prepare_v2(b->db, "INSERT INTO meta(k,v) VALUES(?,?)", -1, &s, NULL) == SQLITE_OK) {
        sqlite3_bind_text(s, 1, slots[slot], -1, SQLITE_STATIC);
        sqlite3_bind_blob(s, 2, value, sizeof value, SQLITE_STATIC);
        (void)sqlite3_step(s); /* finalize repeats its error */
    }
    e = sqlite3_finalize(s) == SQLITE_OK && sqlite3_errcode(b->db) == SQLITE_OK
            ? ERR_OK
            : sql_error(b, sqlite3_extended_errcode(b->db), "writing", why);
    b->key_slots[slot] = e ? SLOT_EMPTY : SLOT_KEY;
    return e;
}

enum err keys_join(struct buffer *b, struct why *why)
{
    size_t empty = KEY_SLOT_COUNT;
    for (size_t i = 0; i < KEY_SLOT_COUNT; i++) {
        if (b->key_slots[i] == SLOT_KEY) {
            return ERR_OK;
        }
        empty = b->key_slots[i] == SLOT_EMPTY ? i : empty;
    }
    /* Both are taken by keys that were given, so by this one too: but for a file that has one key
     * twice. */
    return b->setup_key && empty < KEY_SLOT_COUNT ? slot_write(b, empty, why) : ERR_OK;
}

enum err keys_leave(struct buffer *b, struct why *why)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < KEY_SLOT_COUNT; i++) {
        char sql[64];
        if (b->key_slots[i] == SLOT_OLD_KEY) {
            (void)snprintf(sql, sizeof sql, "DELETE FROM meta WHERE k='%s'", slots[i]); /* fits */
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
