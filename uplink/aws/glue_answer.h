/* What Glue answers: a JSON object, of an error too. Pure. */
#ifndef WEIR_UPLINK_AWS_GLUE_ANSWER_H
#define WEIR_UPLINK_AWS_GLUE_ANSWER_H

#include "uplink/aws/glue.h"

enum glue_status {
    GLUE_UNKNOWN, /* not said, or a word that is not known */
    GLUE_AVAILABLE,
    GLUE_PENDING,
    GLUE_FAILURE,
    GLUE_DELETING,
};

struct glue_answer {
    bool has_id;
    uint8_t id[GLUE_ID_SIZE]; /* SchemaVersionId */
    enum glue_status status;
    int64_t latest;          /* LatestSchemaVersion; 0: not said */
    int64_t version;         /* VersionNumber; 0: not said */
    char compatibility[16];  /* "" likewise */
    struct slice definition; /* in the body or in `scratch`; empty: not said */
    char error[64];          /* __type without what stands before '#'; "": none */
    char message[200];       /* printable */
};

/* What can't be read leaves the members empty: the status of HTTP decides. `scratch` has room for
 * as many bytes as the body. */
void glue_answer_parse(struct slice body, struct out *scratch, struct glue_answer *ret);

#endif
