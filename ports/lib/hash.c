#include "ports/lib/hash.h"

#include <assert.h>
#include <mbedtls/md.h>

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

bool hash_equal(struct slice a, struct slice b)
{
    uint8_t differs = 0;
    for (size_t i = 0; i < b.size; i++) {
        differs |= (uint8_t)(b.data[i] ^ (i < a.size ? a.data[i] : 0));
    }
    return a.size == b.size && differs == 0;
}
