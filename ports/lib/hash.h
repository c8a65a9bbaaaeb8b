/* Hashes and keyed hashes by mbedTLS; hash.c wraps them. Any thread. */
#ifndef WEIR_PORTS_LIB_HASH_H
#define WEIR_PORTS_LIB_HASH_H

#include "ports/err.h"
#include "ports/slice.h"

#define HASH_MD5_SIZE 16
#define HASH_SHA256_SIZE 32
#define HASH_SHA512_SIZE 64
#define HASH_SIZE_MAX 64

enum hash_kind { HASH_MD5, HASH_SHA256, HASH_SHA512 };

/* Bytes of a digest. */
size_t hash_size(enum hash_kind kind);
/* Writes hash_size(kind) bytes. */
void hash_of(enum hash_kind kind, struct slice data, uint8_t *ret);
void hash_hmac(enum hash_kind kind, struct slice key, struct slice data, uint8_t *ret);
/* Lower-case hexadecimal. */
void hash_put_hex(struct out *o, struct slice bytes);
/* Base64 with padding (RFC 4648). */
void hash_put_base64(struct out *o, struct slice bytes);
/* With the alphabet for URLs, and without padding (RFC 4648 section 5). */
void hash_put_base64url(struct out *o, struct slice bytes);
/* Appends what the text stands for. False: it is no base64, or does not fit. */
bool hash_take_base64(struct slice text, struct out *ret) MUST_USE;
/* Equal, in a time that does not depend on where they differ. */
bool hash_equal(struct slice a, struct slice b);

/* A key of one digest's length made of a password: PBKDF2 (RFC 8018) with HMAC. It is meant to be
 * slow, so it is done in pieces. */
struct hash_stretch;
enum err hash_stretch_open(struct hash_stretch **ret, enum hash_kind kind, struct slice password,
                           struct slice salt, uint32_t iterations) MUST_USE;
/* At most so many iterations more. True: it is done, and `ret` has its hash_size(kind) bytes. */
bool hash_stretch_go(struct hash_stretch *stretch, uint32_t iterations, uint8_t *ret);
/* NULL is allowed. */
void hash_stretch_close(struct hash_stretch *stretch);

#endif
