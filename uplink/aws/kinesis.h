/* The uplink `kinesis`: Kinesis Data Streams, order per key, each record sent until it is stored and
 * not once more (KINESIS.md). */
#ifndef WEIR_UPLINK_AWS_KINESIS_H
#define WEIR_UPLINK_AWS_KINESIS_H

#include "uplink/aws/aws.h"
#include "uplink/aws/glue.h"
#include "uplink/aws/kinesis_hash.h"

#define KINESIS_NAME_SIZE_MAX 128
#define KINESIS_BUCKET_MAX PARCEL_PARTITION_MAX
#define KINESIS_REQUEST_SIZE_MAX (10 * 1024 * 1024) /* data and keys */
#define KINESIS_KEY_LENGTH_MAX 256                  /* characters */

enum kinesis_encoding { KINESIS_ENCODING_AUTO, KINESIS_ENCODING_CBOR, KINESIS_ENCODING_JSON };
enum kinesis_ordering { KINESIS_ORDER_KEY, KINESIS_ORDER_NONE };
enum kinesis_event_id { KINESIS_ID_PARTITION_KEY, KINESIS_ID_NONE };

struct kinesis_options {
    struct aws_options aws;
    const char *stream;            /* name or ARN, with {stream} and {agent} */
    int64_t framing;               /* enum framing */
    struct glue_options glue;      /* as given; kinesis_glue() has it whole */
    int64_t encoding;              /* enum kinesis_encoding */
    int64_t ordering;              /* enum kinesis_ordering */
    int64_t event_id;              /* enum kinesis_event_id */
    int64_t aggregate_size_max;    /* of a record of several events; 0: one event a record */
    const char *explicit_hash_key; /* NULL: the hash of the key */
    int64_t record_size_max;
};
extern const struct option kinesis_table[];
extern const struct uplink_class kinesis_uplink_class;
struct uplink_plan;
extern const struct uplink_plan kinesis_uplink_plan; /* kinesis_plan.c */
/* Its `glue`, with the uplink's own region and credentials where it says nothing else. */
struct glue_options kinesis_glue(const struct kinesis_options *options);

/* --- kinesis_probe.c: uplink_class.probe() --- */

enum err kinesis_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

/* --- kinesis_wrap.c: pure --- */

/* The records of a batch as kinesis_entries.h has them. As uplink_class.wrap(). */
enum err kinesis_wrap(const void *options, const struct batch *batch, struct out *ret) MUST_USE;
/* As uplink_class.place(). */
uint32_t kinesis_place(const struct target *target, struct slice key, uint64_t sequence);

#endif
