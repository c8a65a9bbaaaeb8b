/* The body of a registry's answer (Confluent's "Schema Registry API Reference"): an object with "id"
 * on success, "error_code" and "message" else. Pure. */
#ifndef WEIR_UPLINK_REGISTRY_ANSWER_H
#define WEIR_UPLINK_REGISTRY_ANSWER_H

#include <stdbool.h>

#include "ports/slice.h"

#define REGISTRY_MESSAGE_SIZE 1024

struct registry_answer {
    bool has_id;
    uint32_t id;
    uint32_t version;   /* 0: not said */
    int64_t error_code; /* 0: none */
    bool has_verdict;   /* of /compatibility: */
    bool is_compatible;
    /* "": none. One line of UTF-8. Of /compatibility: its messages, or its reason. */
    char message[REGISTRY_MESSAGE_SIZE];
};
/* What can't be read leaves the members empty: the status decides. */
void registry_answer_parse(struct slice body, struct registry_answer *ret);

#endif
