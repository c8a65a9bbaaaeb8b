#include "uplink/google/jwt.h"

#include <assert.h>
#include <inttypes.h>

#include "ports/lib/hash.h"
#include "ports/lib/sign.h"

/* What a token may be, signature included: names and scopes of a service account are far shorter. */
#define CLAIMS_SIZE_MAX 4096

static void put_member(struct out *o, const char *name, const char *text)
{
    out_put_format(o, "%s\"%s\":", o->size > 1 ? "," : "", name);
    out_put_json(o, slice_of_text(text));
}

static void put_header(struct out *ret, const char *key_id, struct out *json)
{
    json->size = 0;
    out_put_byte(json, '{');
    put_member(json, "alg", "RS256");
    put_member(json, "typ", "JWT");
    put_member(json, "kid", key_id);
    out_put_byte(json, '}');
    hash_put_base64url(ret, out_slice(json));
}

static void put_claims(struct out *ret, const struct jwt_claims *claims, struct out *json)
{
    json->size = 0;
    out_put_byte(json, '{');
    put_member(json, "iss", claims->email);
    put_member(json, "sub", claims->email);
    put_member(json, claims->audience ? "aud" : "scope",
               claims->audience ? claims->audience : claims->scope);
    out_put_format(json, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", claims->now_s,
                   claims->now_s + JWT_LIFETIME_S);
    hash_put_base64url(ret, out_slice(json));
}

enum err jwt_put(struct out *ret, const struct jwt_claims *claims, struct sign_key *key)
{
    assert(claims->email && claims->key_id && (claims->audience || claims->scope));
    uint8_t memory[CLAIMS_SIZE_MAX];
    uint8_t signature_memory[SIGN_RSA_SIZE_MAX];
    struct out json = out_over(memory, sizeof memory);
    struct out signature = out_over(signature_memory, sizeof signature_memory);
    struct out jwt = *ret;
    put_header(&jwt, claims->key_id, &json);
    out_put_byte(&jwt, '.');
    put_claims(&jwt, claims, &json);
    if (jwt.overflow || json.overflow) {
        return ERR_FULL;
    }
    struct slice signed_part = {ret->data + ret->size, jwt.size - ret->size};
    enum err e = sign_rs256(key, signed_part, &signature);
    out_put_byte(&jwt, '.');
    hash_put_base64url(&jwt, out_slice(&signature));
    if (e || jwt.overflow) {
        return e ? e : ERR_FULL;
    }
    *ret = jwt;
    return ERR_OK;
}
