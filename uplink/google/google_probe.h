/* What the probes of Google's services have in common: the access token, and what a service says that
 * these credentials may do. Embedded at the front of a service's probe. Loop thread. */
#ifndef WEIR_UPLINK_GOOGLE_GOOGLE_PROBE_H
#define WEIR_UPLINK_GOOGLE_GOOGLE_PROBE_H

#include "uplink/google/token.h"
#include "uplink/http/service_probe.h"

struct google_probe {
    struct service_probe base; /* first; its first block is filled by the service */
    const char *credentials;   /* of struct google_token_setup, and so these */
    const char *scope, *audience;
    bool is_anonymous; /* no token is sent */
    /* --- from google_probe_open() on --- */
    struct google_token *token;
    bool is_told;
};

/* As service_probe_open(). */
enum err google_probe_open(struct google_probe *p) MUST_USE;
/* For free(). */
void google_probe_release(struct google_probe *p);
/* For ask(): the header with the token. ERR_AGAIN: there is none yet, or none at all, which is told, and
 * it is over. ERR_FULL. */
enum err google_probe_authorize(struct google_probe *p, struct http_request *ret) MUST_USE;

/* {"permissions":["pubsub.topics.publish"]}: is this one of them? */
bool google_probe_may(struct slice body, const char *permission);

#endif
