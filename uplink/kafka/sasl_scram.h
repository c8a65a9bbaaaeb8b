/* SCRAM (RFC 5802, RFC 7677): the password is proved, not sent, and so is the broker's knowledge
 * of it. Pure, but for the nonce. */
#ifndef WEIR_UPLINK_KAFKA_SASL_SCRAM_H
#define WEIR_UPLINK_KAFKA_SASL_SCRAM_H

#include "uplink/kafka/sasl.h"

#define SCRAM_NONCE_SIZE 20 /* characters of ours, 120 bits */
/* Fewer make a stolen exchange cheap to search; so many more only a hostile broker asks for. */
#define SCRAM_ITERATIONS_MIN 4096
#define SCRAM_ITERATIONS_MAX 200000

/* A login with this nonce, of SCRAM_NONCE_SIZE printable characters without a comma. */
enum err scram_open(struct scram **ret, enum hash_kind kind, struct sasl_store *store,
                    const char *nonce) MUST_USE;
/* NULL is allowed. */
void scram_close(struct scram *scram);
/* As sasl_next(). */
enum err scram_next(struct scram *scram, struct slice challenge, struct out *ret,
                    struct why *why) MUST_USE;

#endif
