/* Signatures with RSA keys by mbedTLS; sign.c wraps it. A key serves one thread at a time. */
#ifndef WEIR_PORTS_LIB_SIGN_H
#define WEIR_PORTS_LIB_SIGN_H

#include "ports/err.h"
#include "ports/slice.h"

struct sign_key; /* a private key, wiped when it is closed */

#define SIGN_RSA_SIZE_MAX 1024 /* bytes of a signature: keys of up to 8192 bits */

/* A private RSA key in PEM (PKCS#8 or PKCS#1, not encrypted) of 2048 to 8192 bits. ERR_CONFIG: it is
 * none, *why says what it is; ERR_NOMEM. */
enum err sign_key_open(struct sign_key **ret, struct slice pem, struct why *why) MUST_USE;
/* NULL is allowed. */
void sign_key_close(struct sign_key *key);
/* RSASSA-PKCS1-v1_5 with SHA-256 (RS256 of RFC 7518), a few milliseconds of work, some dozens on a
 * small board. Appends the signature. ERR_NOMEM, ERR_FULL; `ret` is unchanged then. */
enum err sign_rs256(struct sign_key *key, struct slice data, struct out *ret) MUST_USE;

#endif
