/* Access tokens for Google's services, from where Google's own tools take them: the file of the
 * option `credentials`; GOOGLE_APPLICATION_CREDENTIALS; gcloud's well-known file; the metadata
 * server. A file is a service account's key (a self-signed JWT: no request is needed), a workload
 * identity configuration (external_account: one exchange, then impersonation if it says so), or a
 * user's (authorized_user). Asked for when one is needed, and anew before it ends; never logged.
 * Loop thread. */
#ifndef WEIR_UPLINK_GOOGLE_TOKEN_H
#define WEIR_UPLINK_GOOGLE_TOKEN_H

#include "ports/loop.h"
#include "ports/slice.h"

struct google_token;
struct http;
struct names;
struct server_clock;
struct tls_options;

/* Google's STS may give 12 288 bytes; all others are below 2 KiB. */
#define GOOGLE_TOKEN_SIZE_MAX 12288

struct google_token_setup {
    struct loop *loop;
    struct names *names; /* for a client of its own, not bound to a link: the metadata server */
    struct http *http;   /* over the link, for everybody else; lives longer */
    const struct tls_options *tls;    /* for these; NULL: defaults; lives longer */
    const struct server_clock *clock; /* the time that JWTs are signed with; lives longer */
    const char *credentials;          /* path of a file; NULL: as Google's tools look for them */
    const char *scope;    /* what the token is for; also of JWTs, where `audience` is NULL */
    const char *audience; /* of self-signed JWTs: "https://pubsub.googleapis.com/"; or NULL */
    void *context;
    /* There is a token, or a reason why there is none. Never within a call of the user's. */
    void (*changed)(void *context);
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received); /* of `http`'s */
};

/* Reads the file, if there is one. ERR_CONFIG, ERR_AUTH, ERR_CLOSED: *why names it and says what to
 * do. Not finding any is no error: then it is the metadata server. */
enum err google_token_open(struct google_token **ret, const struct google_token_setup *setup,
                           struct why *why) MUST_USE;
/* NULL is allowed. */
void google_token_close(struct google_token *token);

/* The token, without "Bearer ", with a NUL behind; good until the next call with this object, or
 * its changed(). *ret_number tells it from others. ERR_AGAIN: it is being asked for, changed()
 * follows. */
enum err google_token_get(struct google_token *token, const char **ret_text,
                          uint64_t *ret_number) MUST_USE;
/* The service did not take this one (401): it is not used again, and the file is read again before
 * the next. False: there is a newer one by now, which stays. */
bool google_token_refused(struct google_token *token, uint64_t number);
/* Why there is no token; NULL: nothing is known to be wrong. *ret_e: ERR_AUTH, ERR_CONFIG when a
 * setting is wrong. */
const struct why *google_token_fault(const struct google_token *token, enum err *ret_e);

/* What there is, for `weir check` and the log: "service account x@y (key k) from /path", "the
 * metadata server". */
const char *google_token_source(const struct google_token *token);

#endif
