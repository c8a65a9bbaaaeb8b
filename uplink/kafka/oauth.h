/* An access token for OAUTHBEARER, by the client credentials of OAuth 2.0 (RFC 6749, section 4.4):
 * asked for when one is needed, anew before it ends. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_OAUTH_H
#define WEIR_UPLINK_KAFKA_OAUTH_H

#include "uplink/kafka/sasl.h"

struct http;
struct loop;
struct oauth;

struct oauth_setup {
    struct loop *loop;
    struct http *http;                   /* lives longer */
    const struct oauth_options *options; /* likewise */
    struct sasl_store *store;            /* its `token` is set */
    void *context;
    /* There is a token, or a reason why there is none. Never within a call of the user's. */
    void (*changed)(void *context);
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received);
    void (*dated)(void *context, int64_t date_s); /* the endpoint's time, of now; NULL: unwanted */
};

enum err oauth_open(struct oauth **ret, const struct oauth_setup *setup) MUST_USE;
/* NULL is allowed. */
void oauth_close(struct oauth *oauth);

/* Is there a token to log in with? Asks for one when there is none, or when it has had four fifths
 * of its time. ERR_AGAIN: it is being asked for. `fresh`: only one that will last. */
enum err oauth_ready(struct oauth *oauth, bool fresh) MUST_USE;
/* A broker did not take the token with this number (of its `struct sasl`): it is not used again.
 * False: there is a newer one by now, which stays. */
bool oauth_refused(struct oauth *oauth, uint64_t token_number);
/* Why there is no token; NULL: nothing is known to be wrong. *ret_e: ERR_AUTH when a setting is
 * wrong. */
const struct why *oauth_fault(const struct oauth *oauth, enum err *ret_e);

/* When the endpoint does not say: `expires_in` is recommended, not required. */
#define OAUTH_LIFETIME_S_DEFAULT 300

/* The answer of a token endpoint (RFC 6749, 5.1 and 5.2). ERR_CORRUPT: no token that could be
 * sent; `ret_error` then has what the answer says about it, "" when nothing. Pure. */
struct oauth_answer {
    struct slice token;
    uint64_t lifetime_s;
};
enum err oauth_answer_parse(struct slice body, struct out *scratch, struct oauth_answer *ret,
                            char ret_error[160]) MUST_USE;

#endif
