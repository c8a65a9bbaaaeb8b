/* Encryption with a proof that nothing was changed: ChaCha20-Poly1305 (RFC 8439), and keys derived
 * from a key by HKDF-SHA-256 (RFC 5869), by mbedTLS; aead.c wraps them. Any thread. */
#ifndef WEIR_PORTS_LIB_AEAD_H
#define WEIR_PORTS_LIB_AEAD_H

#include "ports/err.h"
#include "ports/slice.h"

#define AEAD_KEY_SIZE 32
#define AEAD_NONCE_SIZE 12
#define AEAD_TAG_SIZE 16

/* Writes the ciphertext and its tag: plain.size + AEAD_TAG_SIZE bytes. `ret` may be plain.data, and
 * else does not overlap with it. `beside` is not written, but has to be the same when it is decrypted. A
 * nonce must never come twice with one key. */
void aead_encrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                  struct slice beside, struct slice plain, uint8_t *ret);
/* Writes cipher.size - AEAD_TAG_SIZE bytes, not over cipher.data. False: another key, or something
 * was changed; what is in `ret` then is worth nothing. */
bool aead_decrypt(const uint8_t key[AEAD_KEY_SIZE], const uint8_t nonce[AEAD_NONCE_SIZE],
                  struct slice beside, struct slice cipher, uint8_t *ret) MUST_USE;

/* The key that belongs to a salt and a purpose. ERR_NOMEM. */
enum err aead_key_derive(const uint8_t key[AEAD_KEY_SIZE], struct slice salt, const char *purpose,
                         uint8_t ret[AEAD_KEY_SIZE]) MUST_USE;
/* A key as a person writes it: 64 hexadecimal digits, or base64 of 32 bytes. */
bool aead_key_of_text(const char *text, uint8_t ret[AEAD_KEY_SIZE]) MUST_USE;
/* Nothing of it stays in memory. */
void aead_wipe(void *secret, size_t size);

#endif
