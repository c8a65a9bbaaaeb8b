/* Bodies of PutRecords and PutRecordBatch, and of their answers, in CBOR and JSON. Nothing allocates;
 * any thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_BODY_H
#define WEIR_UPLINK_AWS_KINESIS_BODY_H

#include "uplink/aws/kinesis_entries.h"

/* Entries that go in one request, as offsets, in order. */
struct picked {
    uint32_t at[ENTRY_REQUEST_MAX];
    size_t count;
    size_t size;     /* of their keys and data */
    size_t key_size; /* of the keys alone */
};

void picked_clear(struct picked *picked);
void picked_add(struct picked *picked, const struct entry *entry);

/* Room for a body that always suffices. */
size_t kinesis_body_size(const struct picked *picked, const char *name);
/* PutRecords: `name` is the stream's name or its ARN. */
void kinesis_body_put(struct out *ret, bool is_cbor, const char *name, struct slice entries,
                      const struct picked *picked);
/* PutRecordBatch; JSON. */
void firehose_body_put(struct out *ret, const char *name, struct slice entries,
                       const struct picked *picked);

/* What the answer says of one record. */
struct put_answer {
    bool is_stored;
    struct slice shard; /* JSON: may be escaped, but no shard's name is */
    struct slice error_code, error_text;
};

/* Reads an answer of either call, CBOR or JSON: each() for every record, in order. ERR_CORRUPT: it is
 * none; what each() was told stands. */
enum err put_answer_read(struct slice body,
                         void (*each)(void *context, size_t index, const struct put_answer *answer),
                         void *context, size_t *ret_count) MUST_USE;

#endif
