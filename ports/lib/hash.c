#include "ports/lib/hash.h"

#include <assert.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

static const mbedtls_md_info_t *hash_info(enum hash_kind kind)
{
    static const mbedtls_md_type_t types[] = {[HASH_MD5] = MBEDTLS_MD_MD5,
                                              [HASH_SHA256] = MBEDTLS_MD_SHA256,
                                              [HASH_SHA512] = MBEDTLS_MD_SHA512};
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(types[kind]);
    assert(info); /* compiled in: ports/static */
    return info;
}

size_t hash_size(enum hash_kind kind)
{
    return kind == HASH_MD5      ? HASH_MD5_SIZE
           : kind == HASH_SHA256 ? HASH_SHA256_SIZE
                                 : HASH_SHA512_SIZE;
}

void hash_of(enum hash_kind kind, struct slice data, uint8_t *ret)
{
    int failed = mbedtls_md(hash_info(kind), data.data, data.size, ret);
    assert(failed == 0); /* software hashes do not fail */
    (void)failed;
}

void hash_hmac(enum hash_kind kind, struct slice key, struct slice data, uint8_t *ret)
{
    int failed = mbedtls_md_hmac(hash_info(kind), key.data, key.size, data.data, data.size, ret);
    assert(failed ==
           0); /* allocates a context: without 300 bytes of memory nothing goes on anyway */
    (void)failed;
}

void hash_put_hex(struct out *o, struct slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.size; i++) {
        out_put_byte(o, (uint8_t)digits[bytes.data[i] >> 4]);
        out_put_byte(o, (uint8_t)digits[bytes.data[i] & 15]);
    }
}

static void put_base64(struct out *o, struct slice bytes, const char *last_digits, bool is_padded)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        for (size_t j = 0; j < 4 && (j <= left || is_padded); j++) {
            unsigned digit = group >> (18 - 6 * j) & 63;
            out_put_byte(o, (uint8_t)(j > left     ? '='
                                      : digit < 62 ? digits[digit]
                                                   : last_digits[digit - 62]));
        }
    }
}

void hash_put_base64(struct out *o, struct slice bytes)
{
    put_base64(o, bytes, "+/", true);
}

void hash_put_base64url(struct out *o, struct slice bytes)
{
    put_base64(o, bytes, "-_", false);
}

bool hash_take_base64(struct slice text, struct out *ret)
{
    size_t size = 0;
    if (ret->overflow || mbedtls_base64_decode(ret->data + ret->size, ret->size_max - ret->size,
                                               &size, text.data, text.size)) {
        return false;
    }
    ret->size += size;
    return true;
}

bool hash_equal(struct slice a, struct slice b)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < b.size; i++) {
        differs |= (uint8_t)(b.data[i] ^ (i < a.size ? a.data[i] : 0));
    }
    return a.size == b.size && differs == 0;
}

struct hash_stretch {
    mbedtls_md_context_t hmac; /* keyed with the password */
    size_t size;
    uint32_t left; /* iterations */
    uint8_t last[HASH_SIZE_MAX];
    uint8_t sum[HASH_SIZE_MAX];
};

/* One iteration: `last` becomes the keyed hash of `data` and `more`. */
static void stretch_step(struct hash_stretch *s, struct slice data, struct slice more)
{
    int failed = mbedtls_md_hmac_reset(&s->hmac);
    failed = failed ? failed : mbedtls_md_hmac_update(&s->hmac, data.data, data.size);
    failed = failed ? failed : mbedtls_md_hmac_update(&s->hmac, more.data, more.size);
    failed = failed ? failed : mbedtls_md_hmac_finish(&s->hmac, s->last);
    assert(failed == 0); /* software hashes do not fail */
    (void)failed;
    for (size_t i = 0; i < s->size; i++) {
        s->sum[i] ^= s->last[i];
    }
    s->left--;
}

enum err hash_stretch_open(struct hash_stretch **ret, enum hash_kind kind, struct slice password,
                           struct slice salt, uint32_t iterations)
{
    assert(iterations > 0);
    struct hash_stretch *s = calloc(1, sizeof *s);
    if (!s) {
        return ERR_NOMEM;
    }
    s->size = hash_size(kind);
    s->left = iterations;
    mbedtls_md_init(&s->hmac);
    if (mbedtls_md_setup(&s->hmac, hash_info(kind), 1) ||
        mbedtls_md_hmac_starts(&s->hmac, password.data, password.size)) {
        hash_stretch_close(s);
        return ERR_NOMEM;
    }
    stretch_step(s, salt, SLICE("\0\0\0\1")); /* the first block, which is all that is wanted */
    *ret = s;
    return ERR_OK;
}

bool hash_stretch_go(struct hash_stretch *stretch, uint32_t iterations, uint8_t *ret)
{
    while (stretch->left > 0 && iterations > 0) {
        stretch_step(stretch, (struct slice){stretch->last, stretch->size}, SLICE(""));
        iterations--;
    }
    if (stretch->left > 0) {
        return false;
    }
    memcpy(ret, stretch->sum, stretch->size);
    return true;
}

void hash_stretch_close(struct hash_stretch *stretch)
{
    if (stretch) {
        mbedtls_md_free(&stretch->hmac);
        mbedtls_platform_zeroize(stretch, sizeof *stretch);
        free(stretch);
    }
}
