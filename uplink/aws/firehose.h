/* The uplink `firehose`: Amazon Data Firehose, lines of JSON or Avro, each record sent until it is
 * taken and not once more (KINESIS.md). */
#ifndef WEIR_UPLINK_AWS_FIREHOSE_H
#define WEIR_UPLINK_AWS_FIREHOSE_H

#include "uplink/aws/aws.h"

#define FIREHOSE_NAME_SIZE_MAX 64
#define FIREHOSE_REQUEST_SIZE_MAX (4 * 1024 * 1024)
#define FIREHOSE_RECORD_SIZE_MAX (1000 * 1024)

struct firehose_options {
    struct aws_options aws;
    const char *delivery_stream; /* with {stream} and {agent} */
    int64_t framing;             /* enum framing; auto: json */
    bool event_id;
    int64_t record_size_max; /* up to which lines are put together */
};
extern const struct option firehose_table[];
extern const struct uplink_class firehose_uplink_class;

/* As uplink_class.probe(). */
enum err firehose_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;
/* As uplink_class.wrap(): entries as kinesis_entries.h has them. Pure. */
enum err firehose_wrap(const void *options, const struct batch *batch, struct out *ret) MUST_USE;

#endif
