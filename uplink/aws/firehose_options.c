#include "uplink/aws/firehose.h"
#include "uplink/layout/framing.h"

static enum err name_check(const void *value, struct why *why)
{
    if (aws_name_is_arn(*(const char *const *)value)) {
        why_set(why, "the name of the delivery stream, not its ARN");
        return ERR_CONFIG;
    }
    return aws_name_check(value, why);
}

static enum err framing_check(const void *value, struct why *why)
{
    if (*(const int64_t *)value == FRAMING_REGISTRY) {
        why_set(why,
                "there is no schema registry for this destination: json, single_object or none");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const struct option firehose_table[] = {
    {.name = "delivery_stream",
     .kind = OPTION_TEXT,
     .flags = OPTION_PER_STREAM,
     .offset = offsetof(struct firehose_options, delivery_stream),
     .min = 1,
     .max = 249,
     .initial = "{stream}",
     .check = name_check,
     .help = "The delivery stream's name; {stream} and {agent} stand for the names of stream and "
             "agent. It is not created."},
    AWS_OPTIONS(struct firehose_options),
    {.name = "framing",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct firehose_options, framing),
     .initial = "auto",
     .words = framing_words,
     .check = framing_check,
     .help =
         "What the records hold. json (auto): lines of plain JSON with the schema's field names, "
         "each with its line end, as many of them in a record as `record_size` has room for. "
         "single_object: one event, Avro's single-object encoding. none: the bare datum. "
         "registry: not here."},
    {.name = "event_id",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct firehose_options, event_id),
     .initial = "true",
     .help = "Give each line of JSON a first member weir_id: agent/incarnation/stream/sequence, by "
             "which what a lost answer made twice can be told."},
    {.name = "record_size",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct firehose_options, record_size_max),
     .min = 1024,
     .max = FIREHOSE_RECORD_SIZE_MAX,
     .initial = "64 KiB",
     .help = "Lines of JSON are put together to records of up to this size: the service bills a "
             "record as if it were a multiple of 5 KiB. A single event may be larger, up to 1000 "
             "KiB."},
    {.name = NULL},
};
