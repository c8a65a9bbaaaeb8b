#include "ports/lib/aead.h"

#include <assert.h>
#include <mbedtls/chachapoly.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/platform_util.h>

#include "ports/lib/hash.h"

void aead_encrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                  struct slice beside, struct slice plain, uint8_t *ret)
{
    mbedtls_chachapoly_context context;
    mbedtls_chachapoly_init(&context);
    int failed = mbedtls_chachapoly_setkey(&context, key);
    failed =
        failed ? failed
               : mbedtls_chachapoly_encrypt_and_tag(&context, plain.size, nonce, beside.data,
                                                    beside.size, plain.data, ret, ret + plain.size);
    mbedtls_chachapoly_free(&context); /* wipes it */
    assert(failed == 0);               /* software ciphers do not fail */
    (void)failed;
}

bool aead_decrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                  struct slice beside, struct slice cipher, uint8_t *ret)
{
    if (cipher.size < AEAD_TAG_SIZE) {
        return false;
    }
    mbedtls_chachapoly_context context;
    size_t size = cipher.size - AEAD_TAG_SIZE;
    mbedtls_chachapoly_init(&context);
    int failed = mbedtls_chachapoly_setkey(&context, key);
    failed = failed
                 ? failed
                 : mbedtls_chachapoly_auth_decrypt(&context, size, nonce, beside.data, beside.size,
                                                   cipher.data + size, cipher.data, ret);
    mbedtls_chachapoly_free(&context);
    return failed == 0;
}

enum err aead_key_derive(const uint8_t key[AEAD_KEY_SIZE], struct slice salt, const char *purpose,
                         uint8_t ret[AEAD_KEY_SIZE])
{
    struct slice info = slice_of_text(purpose);
    int failed = mbedtls_hkdf(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), salt.data, salt.size,
                              key, AEAD_KEY_SIZE, info.data, info.size, ret, AEAD_KEY_SIZE);
    assert(failed == 0 || failed == MBEDTLS_ERR_MD_ALLOC_FAILED);
    return failed ? ERR_NOMEM : ERR_OK;
}

/* -1: none. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool key_of_hex(const char *text, uint8_t ret[AEAD_KEY_SIZE])
{
    for (size_t i = 0; i < AEAD_KEY_SIZE; i++) {
        int high = digit_of(text[2 * i]);
        int low = digit_of(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool aead_key_of_text(const char *text, uint8_t ret[AEAD_KEY_SIZE])
{
    struct slice all = slice_of_text(text);
    if (all.size == (size_t)2 * AEAD_KEY_SIZE) {
        return key_of_hex(text, ret);
    }
    struct out key = out_over(ret, AEAD_KEY_SIZE);
    return hash_take_base64(all, &key) && key.size == AEAD_KEY_SIZE;
}

void aead_wipe(void *secret, size_t size)
{
    mbedtls_platform_zeroize(secret, size);
}
