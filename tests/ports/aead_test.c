/* Encryption by the vectors of its standards; anything that was changed is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/cmocka.h"

#include "ports/lib/aead.h"
#include "ports/lib/hash.h"

static const char plain_text[] = "Ladies and Gentlemen of the class of '99: If I could offer you "
                                 "only one tip for the future, sunscreen would be it.";
#define PLAIN_SIZE (sizeof plain_text - 1)

static void bytes_of(const char *hex, uint8_t *ret, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned byte = 0;
        for (size_t k = 0; k < 2; k++) {
            char c = hex[2 * i + k];
            byte = byte << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        ret[i] = (uint8_t)byte;
    }
}

struct vector {
    uint8_t key[AEAD_KEY_SIZE];
    uint8_t nonce[AEAD_NONCE_SIZE];
    uint8_t beside[12];
    uint8_t cipher[PLAIN_SIZE + AEAD_TAG_SIZE];
};

/* RFC 8439, 2.8.2 */
static void standard_vector(struct vector *v)
{
    bytes_of("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", v->key,
             sizeof v->key);
    bytes_of("070000004041424344454647", v->nonce, sizeof v->nonce);
    bytes_of("50515253c0c1c2c3c4c5c6c7", v->beside, sizeof v->beside);
    bytes_of("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
             "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
             "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
             "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
             v->cipher, sizeof v->cipher);
}

static struct slice beside_of(const struct vector *v)
{
    return (struct slice){v->beside, sizeof v->beside};
}

static void test_the_standard_s_vector(void **state)
{
    struct vector v;
    uint8_t cipher[sizeof v.cipher];
    uint8_t opened[PLAIN_SIZE];
    (void)state;
    standard_vector(&v);
    aead_encrypt(v.key, v.nonce, beside_of(&v), slice_of_text(plain_text), cipher);
    assert_memory_equal(cipher, v.cipher, sizeof cipher);
    assert_true(
        aead_decrypt(v.key, v.nonce, beside_of(&v), (struct slice){cipher, sizeof cipher}, opened));
    assert_memory_equal(opened, plain_text, PLAIN_SIZE);
    memcpy(cipher, plain_text, PLAIN_SIZE); /* in place */
    aead_encrypt(v.key, v.nonce, beside_of(&v), (struct slice){cipher, PLAIN_SIZE}, cipher);
    assert_memory_equal(cipher, v.cipher, sizeof cipher);
}

static bool opens(const struct vector *v)
{
    uint8_t opened[PLAIN_SIZE];
    return aead_decrypt(v->key, v->nonce, beside_of(v), (struct slice){v->cipher, sizeof v->cipher},
                        opened);
}

static void test_each_changed_bit_is_seen(void **state)
{
    struct vector v;
    (void)state;
    standard_vector(&v);
    uint8_t *bytes = (uint8_t *)&v;
    for (size_t bit = 0; bit < sizeof v * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(opens(&v));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(opens(&v));
}

static void test_nothing_and_too_little(void **state)
{
    struct vector v;
    uint8_t tag[AEAD_TAG_SIZE];
    uint8_t opened[PLAIN_SIZE];
    (void)state;
    standard_vector(&v);
    aead_encrypt(v.key, v.nonce, beside_of(&v), SLICE(""), tag);
    assert_true(
        aead_decrypt(v.key, v.nonce, beside_of(&v), (struct slice){tag, sizeof tag}, opened));
    for (size_t size = 0; size < sizeof tag; size++) {
        assert_false(
            aead_decrypt(v.key, v.nonce, beside_of(&v), (struct slice){tag, size}, opened));
    }
}

/* RFC 5869: extract, then expand, both of them HMAC. */
static void test_derived_keys(void **state)
{
    uint8_t key[AEAD_KEY_SIZE];
    uint8_t derived[AEAD_KEY_SIZE];
    uint8_t extracted[HASH_SHA256_SIZE];
    uint8_t expanded[HASH_SHA256_SIZE];
    (void)state;
    memset(key, 11, sizeof key);
    assert_int_equal(aead_key_derive(key, SLICE("salt"), "purpose", derived), ERR_OK);
    hash_hmac(HASH_SHA256, SLICE("salt"), (struct slice){key, sizeof key}, extracted);
    hash_hmac(HASH_SHA256, (struct slice){extracted, sizeof extracted}, SLICE("purpose\1"),
              expanded);
    assert_memory_equal(derived, expanded, sizeof derived);
    assert_int_equal(aead_key_derive(key, SLICE("salt"), "another", expanded), ERR_OK);
    assert_memory_not_equal(derived, expanded, sizeof derived);
    assert_int_equal(aead_key_derive(key, SLICE("sale"), "purpose", expanded), ERR_OK);
    assert_memory_not_equal(derived, expanded, sizeof derived);
}

static void test_keys_as_texts(void **state)
{
    static const char *const wrong[] = {
        "",
        "00",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1g",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISI=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8*",
    };
    uint8_t expected[AEAD_KEY_SIZE];
    uint8_t key[AEAD_KEY_SIZE];
    (void)state;
    for (size_t i = 0; i < sizeof expected; i++) {
        expected[i] = (uint8_t)i;
    }
    assert_true(
        aead_key_of_text("000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F", key));
    assert_memory_equal(key, expected, sizeof key);
    memset(key, 0, sizeof key);
    assert_true(aead_key_of_text("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", key));
    assert_memory_equal(key, expected, sizeof key);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(aead_key_of_text(wrong[i], key));
    }
    aead_wipe(key, sizeof key);
    memset(expected, 0, sizeof expected);
    assert_memory_equal(key, expected, sizeof key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_standard_s_vector),
        cmocka_unit_test(test_each_changed_bit_is_seen),
        cmocka_unit_test(test_nothing_and_too_little),
        cmocka_unit_test(test_derived_keys),
        cmocka_unit_test(test_keys_as_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
