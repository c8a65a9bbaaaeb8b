/* What an error code of Kafka means for a batch: one table, to be held against the protocol's own
 * list (kafka.apache.org/protocol, "Error Codes"). Pure. */
#ifndef WEIR_UPLINK_KAFKA_ERRORS_H
#define WEIR_UPLINK_KAFKA_ERRORS_H

#include <stdbool.h>
#include <stdint.h>

/* What is to be done with a batch that got a code. */
enum kafka_action {
    KAFKA_DONE,        /* it is there */
    KAFKA_RETRY,       /* the same records and numbers again, after a pause */
    KAFKA_REFRESH,     /* new metadata, then the same again */
    KAFKA_HALVE,       /* too large: nothing stored, the numbers are free */
    KAFKA_STAMP,       /* nothing stored: new time of sending, same base sequence */
    KAFKA_REFUSED,     /* nothing stored: a record in it is bad */
    KAFKA_ONCE_MORE,   /* the same again once, then: first send REFUSED, later one DOUBT */
    KAFKA_THREE_TRIES, /* the same again, three times in all, then the same */
    KAFKA_PARK,        /* a setting or a right is missing: the same again after a long wait */
    KAFKA_DOUBT,       /* it proves nothing: the broker is asked, else the user's policy */
};

/* `first`: every earlier try of these numbers ended with an answer that nothing was stored, or
 * there was none. `again`: some try was left open, or belongs to an earlier life of the process. On
 * a first send a refusal means that nothing was stored. On a later one it proves nothing: most
 * checks come before the one for duplicates. */
struct kafka_error {
    int16_t code;
    const char *name;
    enum kafka_action first;
    enum kafka_action again;
    bool may_be_stored; /* with this answer the records may lie on the leader all the same */
    const char *advice; /* what a person can do; "" when nothing */
};

/* Never NULL: codes that the table does not have are retried. */
const struct kafka_error *kafka_error_of(int16_t code);
/* The table itself, ordered by code, for tests and pages. */
const struct kafka_error *kafka_error_table(unsigned *ret_count);

#endif
