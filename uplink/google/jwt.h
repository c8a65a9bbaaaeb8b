/* JSON Web Tokens as Google takes them, signed with a service account's own key (RFC 7519, AIP-4111),
 * and the key file they come from. */
#ifndef WEIR_UPLINK_GOOGLE_JWT_H
#define WEIR_UPLINK_GOOGLE_JWT_H

#include <stdint.h>

#include "ports/err.h"
#include "ports/slice.h"

struct sign_key;

#define JWT_LIFETIME_S 3600 /* the longest that is taken */

struct jwt_claims {
    const char *key_id;   /* kid */
    const char *email;    /* iss and sub */
    const char *audience; /* NULL: scope is said instead */
    const char *scope;
    int64_t now_s; /* iat; it ends JWT_LIFETIME_S later */
};
/* Appends the signed token. ERR_FULL, ERR_NOMEM; `ret` is unchanged then. */
enum err jwt_put(struct out *ret, const struct jwt_claims *claims, struct sign_key *key) MUST_USE;

#endif
