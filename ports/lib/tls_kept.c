/* The sessions of a client that are kept for resumption, and their way through restarts. */
#include <assert.h>

#include <mbedtls/platform_util.h>

#include "ports/lib/hash.h"
#include "ports/lib/tls_impl.h"

#define BLOB_SIZE_MAX 8192 /* of a session; with TLS 1.2 the server's certificate is within */

static void tls_kept_free(struct tls_kept *kept)
{
    if (kept) {
        mbedtls_ssl_session_free(&kept->session);
        free(kept);
    }
}

/* The place of a server among those kept, or TLS_SESSION_KEPT_MAX. */
static size_t tls_kept_index(const struct tls *tls, const char *name, uint16_t port)
{
    size_t i = 0;
    while (i < TLS_SESSION_KEPT_MAX &&
           !(tls->kept[i] && tls->kept[i]->port == port && strcmp(tls->kept[i]->name, name) == 0)) {
        i++;
    }
    return i;
}

const mbedtls_ssl_session *tls_kept_find(struct tls *tls, const char *name, uint16_t port)
{
    size_t i = tls_kept_index(tls, name, port);
    if (i == TLS_SESSION_KEPT_MAX) {
        return NULL;
    }
    tls->kept[i]->used = ++tls->kept_order;
    return &tls->kept[i]->session;
}

void tls_kept_drop(struct tls *tls, const char *name, uint16_t port)
{
    size_t i = tls_kept_index(tls, name, port);
    if (i < TLS_SESSION_KEPT_MAX) {
        tls_kept_free(tls->kept[i]);
        tls->kept[i] = NULL;
    }
}

/* A free place, or that of the server that was used longest ago. */
static size_t tls_kept_place(const struct tls *tls)
{
    size_t place = 0;
    for (size_t i = 0; i < TLS_SESSION_KEPT_MAX; i++) {
        if (!tls->kept[i]) {
            return i;
        }
        if (tls->kept[i]->used < tls->kept[place]->used) {
            place = i;
        }
    }
    return place;
}

static void kept_add(struct tls *tls, struct tls_kept *kept, const char *name, uint16_t port)
{
    (void)snprintf(kept->name, sizeof kept->name, "%s", name); /* its size was looked at */
    kept->port = port;
    kept->used = ++tls->kept_order;
    tls_kept_drop(tls, name, port);
    size_t place = tls_kept_place(tls);
    tls_kept_free(tls->kept[place]);
    tls->kept[place] = kept;
}

void tls_kept_put(struct tls *tls, const char *name, uint16_t port, mbedtls_ssl_context *ssl)
{
    struct tls_kept *kept = calloc(1, sizeof *kept);
    if (!kept) {
        return;
    }
    mbedtls_ssl_session_init(&kept->session);
    if (strlen(name) >= sizeof kept->name || mbedtls_ssl_get_session(ssl, &kept->session)) {
        tls_kept_free(kept); /* TLS 1.3: no ticket has come yet */
        return;
    }
    kept_add(tls, kept, name, port);
    if (tls->kept_changed) {
        tls->kept_changed(tls->kept_context);
    }
}

static void foreign_free(struct tls *tls)
{
    if (tls->foreign) {
        mbedtls_platform_zeroize(tls->foreign, tls->foreign_size);
        free(tls->foreign);
    }
    tls->foreign = NULL;
    tls->foreign_size = 0;
}

void tls_kept_release(struct tls *tls)
{
    for (size_t i = 0; i < TLS_SESSION_KEPT_MAX; i++) {
        tls_kept_free(tls->kept[i]);
        tls->kept[i] = NULL;
    }
    foreign_free(tls);
}

/* --- another's --- */

/* False: no memory, and nothing has changed. */
static bool foreign_copy(struct tls *tls, struct slice sessions)
{
    uint8_t *copy = malloc(sessions.size + 1);
    if (!copy) {
        return false;
    }
    memcpy(copy, sessions.data, sessions.size);
    foreign_free(tls);
    tls->foreign = copy;
    tls->foreign_size = sessions.size;
    return true;
}

void tls_kept_foreign_set(struct tls *tls, struct slice sessions)
{
    if (sessions.size == 0 || slice_equal(sessions, tls_kept_foreign(tls))) {
        return;
    }
    if (foreign_copy(tls, sessions) && tls->kept_changed) {
        tls->kept_changed(tls->kept_context);
    }
}

struct slice tls_kept_foreign(const struct tls *tls)
{
    return (struct slice){tls->foreign, tls->foreign_size};
}

void tls_kept_watch(struct tls *tls, void (*changed)(void *context), void *context)
{
    tls->kept_changed = changed;
    tls->kept_context = context;
}

/* --- as bytes --- */

static void digest_add(uint8_t digest[HASH_SHA256_SIZE], struct slice more)
{
    uint8_t both[2 * HASH_SHA256_SIZE];
    memcpy(both, digest, HASH_SHA256_SIZE);
    hash_of(HASH_SHA256, more, both + HASH_SHA256_SIZE);
    hash_of(HASH_SHA256, (struct slice){both, sizeof both}, digest);
}

static void digest_add_chain(uint8_t digest[HASH_SHA256_SIZE], const mbedtls_x509_crt *chain)
{
    for (const mbedtls_x509_crt *c = chain; c && c->raw.p; c = c->next) {
        digest_add(digest, (struct slice){c->raw.p, c->raw.len});
    }
    digest_add(digest, SLICE("end"));
}

/* Of all that a server and we were verified by: who resumes a session relies on it. */
static void trust_digest(const struct tls *tls, uint8_t ret[HASH_SHA256_SIZE])
{
    const uint8_t settings[] = {tls->insecure,
                                (uint8_t)tls->config.MBEDTLS_PRIVATE(min_tls_version)};
    memset(ret, 0, HASH_SHA256_SIZE);
    digest_add(ret, (struct slice){settings, sizeof settings});
    digest_add(ret, slice_of_text(tls->server_name ? tls->server_name : ""));
    digest_add_chain(ret, &tls->trusted);
    digest_add_chain(ret, &tls->own);
}

void tls_kept_save(const struct tls *tls, struct out *o)
{
    assert(tls->side == TLS_CLIENT);
    uint8_t digest[HASH_SHA256_SIZE];
    trust_digest(tls, digest);
    out_put(o, digest, sizeof digest);
    for (size_t i = 0; i < TLS_SESSION_KEPT_MAX; i++) {
        const struct tls_kept *kept = tls->kept[i];
        size_t size = 0;
        if (!kept) {
            continue;
        }
        /* Only the size is wanted at first. */
        (void)mbedtls_ssl_session_save(&kept->session, NULL, 0, &size);
        if (size == 0 || size > BLOB_SIZE_MAX) {
            continue;
        }
        out_put_uvarint(o, strlen(kept->name));
        out_put_text(o, kept->name);
        out_put_u16_be(o, kept->port);
        out_put_uvarint(o, size);
        if (o->overflow || o->size_max - o->size < size) {
            o->overflow = true;
            return;
        }
        if (mbedtls_ssl_session_save(&kept->session, o->data + o->size, size, &size)) {
            o->overflow = true; /* UNTESTED: no memory within mbedTLS */
            return;
        }
        o->size += size;
    }
    if (tls->foreign_size) {
        out_put_uvarint(o, 0); /* no server has such a name */
        out_put_u16_be(o, 0);
        out_put_uvarint(o, tls->foreign_size);
        out_put(o, tls->foreign, tls->foreign_size);
    }
}

static bool kept_take(struct tls *tls, struct slice *rest)
{
    uint64_t size;
    struct slice name, blob;
    uint16_t port;
    char text[TLS_NAME_SIZE_MAX];
    if (!slice_take_uvarint(rest, &size) || size > rest->size ||
        !slice_take(rest, (size_t)size, &name) || !slice_to_text(name, text, sizeof text) ||
        !slice_take_u16_be(rest, &port) || !slice_take_uvarint(rest, &size) || size > rest->size ||
        !slice_take(rest, (size_t)size, &blob)) {
        return false;
    }
    if (name.size == 0) {
        return foreign_copy(tls, blob);
    }
    struct tls_kept *kept = calloc(1, sizeof *kept);
    if (!kept) {
        return false;
    }
    mbedtls_ssl_session_init(&kept->session);
    if (mbedtls_ssl_session_load(&kept->session, blob.data, blob.size)) {
        tls_kept_free(kept); /* of another build, or damaged */
        return true;
    }
    kept_add(tls, kept, text, port);
    return true;
}

void tls_kept_load(struct tls *tls, struct slice saved)
{
    assert(tls->side == TLS_CLIENT);
    uint8_t digest[HASH_SHA256_SIZE];
    struct slice theirs;
    trust_digest(tls, digest);
    if (!slice_take(&saved, sizeof digest, &theirs) ||
        !slice_equal(theirs, (struct slice){digest, sizeof digest})) {
        return;
    }
    for (size_t i = 0; i <= TLS_SESSION_KEPT_MAX && saved.size > 0; i++) {
        if (!kept_take(tls, &saved)) {
            return;
        }
    }
}
