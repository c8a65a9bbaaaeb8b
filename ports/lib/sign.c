#include "ports/lib/sign.h"

#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "ports/random.h"

#define KEY_BITS_MIN 2048

struct sign_key {
    mbedtls_pk_context pk;
};

/* The kernel's generator: mbedTLS blinds the key with it. */
static int chance(void *context, unsigned char *ret, size_t size)
{
    (void)context;
    random_bytes(ret, size);
    return 0;
}

/* PEM is read up to a NUL, which the copy has. */
static int key_parse(mbedtls_pk_context *pk, struct slice pem)
{
    unsigned char *text = malloc(pem.size + 1);
    if (!text) {
        return MBEDTLS_ERR_PK_ALLOC_FAILED;
    }
    memcpy(text, pem.data, pem.size);
    text[pem.size] = 0;
    int failed = mbedtls_pk_parse_key(pk, text, pem.size + 1, NULL, 0, chance, NULL);
    mbedtls_platform_zeroize(text, pem.size);
    free(text);
    return failed;
}

enum err sign_key_open(struct sign_key **ret, struct slice pem, struct why *why)
{
    struct sign_key *key = calloc(1, sizeof *key);
    if (!key) {
        return ERR_NOMEM;
    }
    mbedtls_pk_init(&key->pk);
    int failed = pem.size ? key_parse(&key->pk, pem) : MBEDTLS_ERR_PK_KEY_INVALID_FORMAT;
    if (failed == MBEDTLS_ERR_PK_ALLOC_FAILED) {
        sign_key_close(key);
        return ERR_NOMEM;
    }
    size_t bits = failed ? 0 : mbedtls_pk_get_bitlen(&key->pk);
    if (failed || mbedtls_pk_get_type(&key->pk) != MBEDTLS_PK_RSA || bits < KEY_BITS_MIN ||
        bits > (size_t)8 * SIGN_RSA_SIZE_MAX) {
        why_set(why,
                failed ? "no private key in PEM, or it is encrypted (mbedTLS -0x%04x)"
                       : "no RSA key of 2048 to 8192 bits (%d)",
                failed ? (unsigned)-failed : (unsigned)bits);
        sign_key_close(key);
        return ERR_CONFIG;
    }
    *ret = key;
    return ERR_OK;
}

void sign_key_close(struct sign_key *key)
{
    if (key) {
        mbedtls_pk_free(&key->pk); /* wipes it */
        free(key);
    }
}

enum err sign_rs256(struct sign_key *key, struct slice data, struct out *ret)
{
    uint8_t digest[HASH_SHA256_SIZE];
    uint8_t signature[SIGN_RSA_SIZE_MAX];
    size_t size = 0;
    if (ret->overflow || ret->size_max - ret->size < mbedtls_pk_get_len(&key->pk)) {
        return ERR_FULL;
    }
    hash_of(HASH_SHA256, data, digest);
    int failed = mbedtls_pk_sign(&key->pk, MBEDTLS_MD_SHA256, digest, sizeof digest, signature,
                                 sizeof signature, &size, chance, NULL);
    if (failed) {
        return ERR_NOMEM; /* a key that was read signs: only memory can be missing */
    }
    out_put(ret, signature, size);
    return ERR_OK;
}
