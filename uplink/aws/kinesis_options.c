#include "uplink/aws/kinesis.h"
#include "uplink/layout/framing.h"

static const char *const encoding_words[] = {"auto", "cbor", "json", NULL};
static const char *const ordering_words[] = {"key", "none", NULL};
static const char *const event_id_words[] = {"partition_key", "none", NULL};

static enum err hash_key_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    struct kinesis_hash hash;
    if (text && !kinesis_hash_parse(slice_of_text(text), &hash)) {
        why_set(why, "\"%s\" is no hash key: a decimal number from 0 to 2^128 - 1", text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err aggregate_check(const void *value, struct why *why)
{
    int64_t size = *(const int64_t *)value;
    if (size != 0 && size < 1024) {
        why_set(why, "too small: 0 B for none, else at least 1 KiB");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

const struct option kinesis_table[] = {
    {.name = "stream",
     .kind = OPTION_TEXT,
     .flags = OPTION_PER_STREAM,
     .offset = offsetof(struct kinesis_options, stream),
     .min = 1,
     .max = 249,
     .initial = "{stream}",
     .check = aws_name_check,
     .help = "The Kinesis data stream: its name, or its ARN, which another account's stream needs. "
             "{stream} and {agent} stand for the names of stream and agent. It is not created."},
    AWS_OPTIONS(struct kinesis_options),
    {.name = "framing",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kinesis_options, framing),
     .initial = "auto",
     .words = framing_words,
     .help =
         "How a message says what it is. registry: Glue's header, 03 00 and the 16 bytes of the "
         "schema's version, before the datum; it needs `glue`. single_object: Avro's "
         "single-object encoding, C3 01 and the schema's fingerprint. none: the bare datum. "
         "json: plain JSON with the schema's field names. auto: registry where `glue` is set, "
         "else single_object."},
    {.name = "glue",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct kinesis_options, glue),
     .record = glue_table,
     .record_size = sizeof(struct glue_options),
     .help =
         "The AWS Glue Schema Registry: messages carry its version ids (uplink/aws/GLUE.md). {} "
         "for the registry `default-registry`; region and credentials are the uplink's where "
         "they are not said here. The topic of `schema_name` is the Kinesis stream's name."},
    {.name = "ordering",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kinesis_options, ordering),
     .initial = "key",
     .words = ordering_words,
     .help = "key: of each key one record is under way at a time, for the service keeps no order "
             "within a request; a key then has as many records a second as there are round trips "
             "(or many more, with `aggregate_size`). none: as many as fit, in any order."},
    {.name = "event_id",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kinesis_options, event_id),
     .initial = "partition_key",
     .words = event_id_words,
     .help = "How consumers know what a lost answer made twice, in `rows`. partition_key: the "
             "record's partition key is agent/incarnation/stream/sequence, while its explicit hash "
             "key sends it to the shard of the event's own key. none: the partition key is the "
             "event's key; then give the schema a field {id}. (`columns` have it in the batch.)"},
    {.name = "aggregate_size",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct kinesis_options, aggregate_size_max),
     .max = 1000000,
     .initial = "0 B",
     .check = aggregate_check,
     .help = "Events in `rows` are put together to records of up to this size, as the Kinesis "
             "Producer Library does (50 KiB is its size); for consumers that take them apart: the "
             "Kinesis Client Library, or the deaggregation modules for Lambda. 0 B: one event a "
             "record."},
    {.name = "explicit_hash_key",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct kinesis_options, explicit_hash_key),
     .min = 1,
     .max = 39,
     .check = hash_key_check,
     .help = "All records go to the shard that owns this number (0 to 2^128 - 1), whatever their "
             "keys are: a shard for a site."},
    {.name = "encoding",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kinesis_options, encoding),
     .initial = "auto",
     .words = encoding_words,
     .help =
         "Of requests. cbor saves a quarter of the bytes, and is what AWS's Java SDK speaks; "
         "json is what all stand-ins understand. auto: cbor, and json where the service refuses "
         "that."},
    {.name = "record_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct kinesis_options, record_size_max),
     .min = 4096,
     .max = 10485760,
     .initial = "1 MiB",
     .help = "The largest record that the stream takes, key included: its MaxRecordSizeInKiB."},
    {.name = NULL},
};

struct glue_options kinesis_glue(const struct kinesis_options *options)
{
    struct glue_options glue = options->glue;
    glue.region = glue.region ? glue.region : options->aws.region;
    if (!glue.credentials.is_set) {
        glue.credentials = options->aws.credentials;
    }
    return glue;
}
