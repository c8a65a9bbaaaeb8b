/* The body of a registry's answer (Confluent's "Schema Registry API Reference"): an object with "id"
 * on success, "error_code" and "message" else. Pure. */
#ifndef WEIR_UPLINK_REGISTRY_ANSWER_H
#define WEIR_UPLINK_REGISTRY_ANSWER_H

#include <stdbool.h>

#include "ports/slice.h"

struct registry_answer {
    bool has_id;
    uint32_t id;
    int64_t error_code; /* 0: none */
    bool is_compatible; /* what /compatibility says */
    char message[256];  /* "": none; JSON's escapes stay: it is for the log. Of
                           /compatibility: its messages */
};
/* What can't be read leaves the members empty: the status decides. */
void registry_answer_parse(struct slice body, struct registry_answer *ret);

#endif
