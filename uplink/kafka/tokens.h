/* What has to be there before a login begins: OAUTHBEARER's access token, or AWS's
 * credentials. They are put into the store of the logins. Loop thread. */
#ifndef WEIR_UPLINK_KAFKA_TOKENS_H
#define WEIR_UPLINK_KAFKA_TOKENS_H

#include "uplink/kafka/sasl.h"

struct http;
struct loop;
struct names;
struct tokens;

struct tokens_setup {
    struct loop *loop;
    struct names *names;
    struct http *http;                  /* lives longer */
    const struct sasl_options *options; /* likewise */
    struct sasl_store *store;           /* likewise */
    const char *broker;                 /* one of them, as "host:port" */
    void *context;
    /* There is something to log in with, or a reason why there is not. Never within a call of the
     * user's. */
    void (*changed)(void *context);
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received);
    void (*dated)(void *context, int64_t date_s); /* an endpoint's time, of now; NULL: unwanted */
};

/* Does the mechanism need any? Without "sasl": no. */
bool tokens_are_needed(const struct sasl_options *options);
/* Only where they are needed. ERR_NOMEM; ERR_CONFIG: *why. */
enum err tokens_open(struct tokens **ret, const struct tokens_setup *setup,
                     struct why *why) MUST_USE;
/* NULL is allowed, here and in what follows: nothing is needed. */
void tokens_close(struct tokens *tokens);

/* Is there something to log in with? ERR_AGAIN: it is being asked for. `fresh`: only what will
 * last. */
enum err tokens_ready(struct tokens *tokens, bool fresh) MUST_USE;
/* A broker did not take what has this number (of its `struct sasl`). False: there is, or will be
 * at once, something newer. */
bool tokens_refused(struct tokens *tokens, uint64_t number);
/* Why there is nothing; NULL: nothing is known to be wrong. *ret_e: ERR_AUTH when a setting is
 * wrong. */
const struct why *tokens_fault(const struct tokens *tokens, enum err *ret_e);
/* Who logs in, for a person: "the access token of client x". `text` is a place for it. */
const char *tokens_name(const struct tokens *tokens, char *text, size_t size);

#endif
