/* Hashes and keyed hashes by mbedTLS; hash.c wraps them. Any thread. */
#ifndef WEIR_PORTS_LIB_HASH_H
#define WEIR_PORTS_LIB_HASH_H

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
/* Equal, in a time that does not depend on where they differ. */
bool hash_equal(struct slice a, struct slice b);

#endif
