#include "buffer/crypt.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "ports/random.h"

#define PURPOSE_DATA "weir buffer: data"
#define PURPOSE_PROOF "weir buffer: proof"
#define DERIVED_KEPT 8 /* keys of as many openings: neighbouring rows are mostly of one */

struct derived {
    bool is_set;
    bool is_old; /* of old_key */
    uint8_t salt[SALT_SIZE];
    uint8_t key[AEAD_KEY_SIZE];
};

struct crypt {
    bool has_key;
    bool has_old_key;
    uint8_t key[AEAD_KEY_SIZE];
    uint8_t old_key[AEAD_KEY_SIZE];
    struct derived own; /* of this opening: what is new */
    uint64_t counter;   /* the last that was used */
    struct derived kept[DERIVED_KEPT];
    size_t kept_next;
};

enum err crypt_open(struct crypt **ret, const uint8_t *key, const uint8_t *old_key)
{
    struct crypt *c = calloc(1, sizeof *c);
    if (!c) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    if (old_key) {
        memcpy(c->old_key, old_key, sizeof c->old_key);
        c->has_old_key = true;
    }
    if (key) {
        memcpy(c->key, key, sizeof c->key);
        c->has_key = true;
        random_bytes(c->own.salt, SALT_SIZE);
        e = aead_key_derive(c->key, (struct slice){c->own.salt, SALT_SIZE}, PURPOSE_DATA,
                            c->own.key);
        c->own.is_set = true;
    }
    if (e) {
        crypt_close(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

void crypt_close(struct crypt *crypt)
{
    if (crypt) {
        aead_wipe(crypt, sizeof *crypt);
        free(crypt);
    }
}

bool crypt_writes(const struct crypt *crypt)
{
    return crypt && crypt->has_key;
}

static void nonce_of(uint64_t counter, uint8_t ret[AEAD_NONCE_SIZE])
{
    struct out o = out_over(ret, AEAD_NONCE_SIZE);
    out_put_u32_le(&o, 0);
    out_put_u64_le(&o, counter);
}

void crypt_encrypt(struct crypt *c, struct slice beside, struct slice plain, struct out *ret)
{
    uint8_t nonce[AEAD_NONCE_SIZE];
    assert(crypt_writes(c));
    if (ret->overflow || ret->size_max - ret->size < CRYPT_MORE + plain.size) {
        ret->overflow = true;
        return;
    }
    c->counter++;
    nonce_of(c->counter, nonce);
    out_put_byte(ret, CRYPT_MARK);
    out_put(ret, c->own.salt, SALT_SIZE);
    out_put_u64_le(ret, c->counter);
    aead_encrypt(c->own.key, nonce, beside, plain, ret->data + ret->size);
    ret->size += plain.size + AEAD_TAG_SIZE;
}

bool crypt_is_encrypted(struct slice content)
{
    return content.size >= CRYPT_MORE && content.data[0] == CRYPT_MARK;
}

/* --- opening --- */

/* The key that this salt and one of the two keys make; from those that were made lately, if it is
 * among them. */
static enum err derived_of(struct crypt *c, const uint8_t *salt, bool is_old,
                           const struct derived **ret)
{
    if (!is_old && c->own.is_set && memcmp(c->own.salt, salt, SALT_SIZE) == 0) {
        *ret = &c->own;
        return ERR_OK;
    }
    for (size_t i = 0; i < DERIVED_KEPT; i++) {
        const struct derived *d = &c->kept[i];
        if (d->is_set && d->is_old == is_old && memcmp(d->salt, salt, SALT_SIZE) == 0) {
            *ret = d;
            return ERR_OK;
        }
    }
    struct derived *d = &c->kept[c->kept_next++ % DERIVED_KEPT];
    d->is_set = false;
    enum err e = aead_key_derive(is_old ? c->old_key : c->key, (struct slice){salt, SALT_SIZE},
                                 PURPOSE_DATA, d->key);
    if (e) {
        return e;
    }
    memcpy(d->salt, salt, SALT_SIZE);
    d->is_old = is_old;
    d->is_set = true;
    *ret = d;
    return ERR_OK;
}

/* With one of the two keys. ERR_CORRUPT: it does not open it. */
static enum err decrypt_with(struct crypt *c, bool is_old, struct slice beside,
                             struct slice content, struct out *ret)
{
    const struct derived *derived;
    uint8_t nonce[AEAD_NONCE_SIZE] = {0};
    memcpy(nonce + AEAD_NONCE_SIZE - 8, content.data + 1 + SALT_SIZE, 8);
    enum err e = derived_of(c, content.data + 1, is_old, &derived);
    if (e) {
        return e;
    }
    struct slice cipher = {content.data + CRYPT_HEAD_SIZE, content.size - CRYPT_HEAD_SIZE};
    if (!aead_decrypt(derived->key, nonce, beside, cipher, ret->data + ret->size)) {
        return ERR_CORRUPT;
    }
    ret->size += cipher.size - AEAD_TAG_SIZE;
    return ERR_OK;
}

enum err crypt_decrypt(struct crypt *c, struct slice beside, struct slice content, struct out *ret,
                       bool *ret_is_old)
{
    if (!c || !crypt_is_encrypted(content) || ret->overflow ||
        ret->size_max - ret->size < content.size - CRYPT_MORE) {
        return ERR_CORRUPT;
    }
    bool is_old = false;
    enum err e = c->has_key ? decrypt_with(c, false, beside, content, ret) : ERR_CORRUPT;
    if (e == ERR_CORRUPT && c->has_old_key) {
        is_old = true;
        e = decrypt_with(c, true, beside, content, ret);
    }
    if (!e && ret_is_old) {
        *ret_is_old = is_old;
    }
    return e;
}

/* --- proofs --- */

static enum err proof_of(const uint8_t *key, const uint8_t *salt, uint8_t ret[KEY_PROOF_SIZE])
{
    uint8_t derived[AEAD_KEY_SIZE];
    enum err e = aead_key_derive(key, (struct slice){salt, SALT_SIZE}, PURPOSE_PROOF, derived);
    if (!e) {
        memmove(ret, salt, SALT_SIZE);
        memcpy(ret + SALT_SIZE, derived, KEY_PROOF_SIZE - SALT_SIZE);
    }
    aead_wipe(derived, sizeof derived);
    return e;
}

enum err crypt_prove(const uint8_t key[AEAD_KEY_SIZE], uint8_t ret[KEY_PROOF_SIZE])
{
    uint8_t salt[SALT_SIZE];
    random_bytes(salt, sizeof salt);
    return proof_of(key, salt, ret);
}

enum err crypt_proves(const uint8_t *key, const uint8_t proof[KEY_PROOF_SIZE], bool *ret)
{
    uint8_t own[KEY_PROOF_SIZE];
    if (!key) {
        *ret = false;
        return ERR_OK;
    }
    enum err e = proof_of(key, proof, own);
    if (!e) {
        *ret = hash_equal((struct slice){own, sizeof own}, (struct slice){proof, KEY_PROOF_SIZE});
    }
    return e;
}
