/* The TLS sessions that curl keeps. It has them in its multi handle, which goes with the link: they are
 * copied to the settings they were made under, and from there into new handles, and by
 * ports/tickets.h through restarts. What curl does not take is left out: handshakes are full then. */
#include "ports/lib/http_impl.h"
#include "ports/lib/tls_session.h"
#include "ports/tickets.h"

#define SESSIONS_SIZE_MAX 32768

/* NOLINTNEXTLINE(readability-function-size): the parameters are the library's. */
static CURLcode on_session(CURL *easy, void *context, const char *key, const unsigned char *hash,
                           size_t hash_size, const unsigned char *session, size_t session_size,
                           curl_off_t until_s, int version, const char *alpn, size_t early_size)
{
    (void)easy;
    (void)key; /* the name of the server is not needed: the hash is of it */
    (void)until_s;
    (void)version;
    (void)alpn;
    (void)early_size;
    struct out *o = context;
    size_t before = o->size;
    out_put_uvarint(o, hash_size);
    out_put(o, hash, hash_size);
    out_put_uvarint(o, session_size);
    out_put(o, session, session_size);
    if (o->overflow) { /* what there is room for */
        o->size = before;
        o->overflow = false;
    }
    return CURLE_OK;
}

void http_call_take_sessions(struct http_call *call)
{
    struct tls *tls = call->identity->tls;
    long connection_count = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connection_count); /* else none */
    uint8_t *memory =
        call->is_https && tls && connection_count > 0 ? malloc(SESSIONS_SIZE_MAX) : NULL;
    if (!memory) {
        return;
    }
    struct out o = out_over(memory, SESSIONS_SIZE_MAX);
    if (curl_easy_ssls_export(call->easy, on_session, &o) == CURLE_OK) {
        tls_kept_foreign_set(tls, out_slice(&o));
    }
    explicit_bzero(memory, SESSIONS_SIZE_MAX);
    free(memory);
}

void http_call_give_sessions(struct http_call *call)
{
    struct http_identity *identity = call->identity;
    if (!call->is_https || !identity->tls || identity->has_sessions) {
        return;
    }
    identity->has_sessions = true;
    struct slice rest = tls_kept_foreign(identity->tls);
    uint64_t size;
    struct slice hash, session;
    while (rest.size > 0 && slice_take_uvarint(&rest, &size) && slice_take(&rest, size, &hash) &&
           slice_take_uvarint(&rest, &size) && slice_take(&rest, size, &session)) {
        (void)curl_easy_ssls_import(call->easy, NULL, hash.data, hash.size, session.data,
                                    session.size); /* or is not taken: see above */
    }
}

/* --- through restarts --- */

void http_tickets_set(struct http *http, struct tickets *tickets, const char *name)
{
    http->tickets = tickets;
    (void)snprintf(http->tickets_name, sizeof http->tickets_name, "%s",
                   name); /* cut: still a name */
}

void http_identity_join(struct http_identity *identity)
{
    struct http *http = identity->http;
    char name[sizeof http->tickets_name + sizeof " http 0"];
    size_t index = 0;
    while (index < HTTP_IDENTITY_MAX && http->identities[index] != identity) {
        index++;
    }
    (void)snprintf(name, sizeof name, "%s http %u", http->tickets_name, (unsigned)index); /* fits */
    tickets_join(http->tickets, name, identity->tls);
}

void http_identity_leave(struct http_identity *identity)
{
    tickets_leave(identity->http->tickets, identity->tls);
}
