/* SASL as Kafka carries it: tokens to and fro until the broker is satisfied. A mechanism is one row
 * of the table in sasl.c. */
#ifndef WEIR_UPLINK_KAFKA_SASL_H
#define WEIR_UPLINK_KAFKA_SASL_H

#include "ports/err.h"
#include "ports/option.h"
#include "ports/slice.h"

#define SASL_TOKEN_SIZE_MAX 4096

enum sasl_mechanism { SASL_PLAIN };

/* The "sasl" object of the uplink. */
struct sasl_options {
    bool is_set;
    int64_t mechanism; /* enum sasl_mechanism */
    const char *user;
    const char *password;
};
extern const struct option sasl_table[];

/* One login. */
struct sasl {
    const struct sasl_options *options;
    unsigned step;
};

/* "PLAIN": as SaslHandshake names it. */
const char *sasl_name(const struct sasl_options *options);
void sasl_init(struct sasl *sasl, const struct sasl_options *options);
/* The next token for the broker, after its `challenge` (empty at first). ERR_CLOSED: none, the
 * broker's word is final. ERR_AUTH: the broker's answer is not what it should be. */
enum err sasl_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                   struct why *why) MUST_USE;

#endif
