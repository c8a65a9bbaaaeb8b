#include <string.h>

#include "uplink/kafka/cluster.h"
#include "uplink/kafka/kafka.h"
#include "uplink/kafka/service.h"
#include "uplink/layout/pattern.h"

#define MESSAGE_SIZE_MIN 4096

static const char *const timestamp_words[] = {"send", "event", NULL};
static const char *const topic_create_words[] = {"never", "broker", "always", NULL};
static const char *const in_doubt_words[] = {"resend", "set_aside", NULL};

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static enum err broker_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    struct slice host;
    uint16_t port;
    if (text[strspn(text, LETTERS "[]:%")]) {
        why_set(why,
                "\"%s\" is no broker: write host:port, one in each text of the list, without "
                "spaces and without a scheme like kafka://",
                text);
        return ERR_CONFIG;
    }
    return cluster_broker_parse(text, &host, &port, why);
}

static enum err topic_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    for (const char *c = text; *c;) {
        size_t size = strspn(c, LETTERS);
        size += pattern_word(c + size);
        if (size == 0) {
            why_set(why,
                    "topic \"%s\" can't be used from \"%s\" on: letters, digits, dots, _ and - "
                    "are allowed; {stream} and {agent} are filled in",
                    text, c);
            return ERR_CONFIG;
        }
        c += size;
    }
    return ERR_OK;
}

static const struct option broker_item = {
    .kind = OPTION_TEXT, .min = 1, .max = 300, .check = broker_check};

static const struct option header_item = {.kind = OPTION_TEXT, .max = 256};

static enum err stream_size_check(const void *value, struct why *why)
{
    int64_t size = *(const int64_t *)value;
    if (size == 0 || size >= MESSAGE_SIZE_MIN) {
        return ERR_OK;
    }
    why_set(why, "too small: at least %d B", MESSAGE_SIZE_MIN);
    return ERR_CONFIG;
}

static const char *timestamp_warn(const void *value)
{
    return *(const int64_t *)value == KAFKA_TIME_EVENT
               ? "brokers delete what is older than the topic's retention, by this stamp: after an "
                 "outage longer than that the backlog is gone as soon as it arrives. \"send\" is "
                 "safe"
               : NULL;
}

static const struct option stream_table[] = {
    {.name = "message_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct kafka_stream_options, message_size_max),
     .max = 1048588,
     .help = "max.message.bytes of this stream's topic, at least 4 KiB, where it differs from the "
             "uplink's `message_size_max`; 0 B: it does not.",
     .check = stream_size_check},
    {.name = "tombstone",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct kafka_stream_options, tombstone),
     .min = 1,
     .help = "A boolean field of the stream's schema: where it is true, the record has the event's "
             "key and no value, by which a compacted topic forgets that key. The stream needs a "
             "key; an event without one is sent as it is."},
    {.name = NULL},
};

const struct option kafka_table[] = {
    {.name = "brokers",
     .kind = OPTION_LIST,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct kafka_options, brokers),
     .min = 1,
     .max = 32,
     .item = &broker_item,
     .help = "Brokers to ask first, as host:port (port 9092 when not said; an IPv6 address in "
             "brackets, [2001:db8::7]:9092). The others are learned from them, under the names "
             "that they advertise on this listener."},
    {.name = "topic",
     .kind = OPTION_TEXT,
     .flags = OPTION_PER_STREAM,
     .offset = offsetof(struct kafka_options, topic),
     .min = 1,
     .max = 249,
     .initial = "{stream}",
     .check = topic_check,
     .help = "The topic; {stream} and {agent} stand for the names of stream and agent."},
    {.name = "client_id",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct kafka_options, client_id),
     .min = 1,
     .max = 250,
     .initial = "weir",
     .help = "The name by which brokers know this client in logs and quotas. It travels with "
             "each request."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct kafka_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "Speak TLS, with these settings; {} for the defaults. Without it: plain TCP."},
    {.name = "sasl",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct kafka_options, sasl),
     .record = sasl_table,
     .record_size = sizeof(struct sasl_options),
     .help = "Log in. Without it: no login."},
    {.name = "registry",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct kafka_options, registry),
     .record = registry_table,
     .record_size = sizeof(struct registry_options),
     .help = "Schema registry with Confluent's API: messages carry its ids."},
    {.name = "glue",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct kafka_options, glue),
     .record = glue_table,
     .record_size = sizeof(struct glue_options),
     .help = "The AWS Glue Schema Registry, instead of `registry`: messages carry its version ids "
             "(uplink/aws/GLUE.md)."},
    {.name = "framing",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kafka_options, framing),
     .initial = "auto",
     .words = framing_words,
     .help =
         "How a message says what it is. registry: Confluent's wire format, a zero byte and the "
         "registry's id before the datum; with `glue` 03 00 and the version's 16 bytes. "
         "single_object: Avro's single-object encoding, C3 01 "
         "and the schema's fingerprint before it. none: the bare datum, for readers that know "
         "the schema. json: plain JSON with the schema's field names, for readers without Avro: "
         "unions are not wrapped, decimals are numbers, NaN and infinite numbers null, bytes "
         "text where they are UTF-8, else a character U+0000 to U+00FF each. auto: registry "
         "where one is set, else single_object."},
    {.name = "timestamp",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kafka_options, timestamp),
     .initial = "send",
     .words = timestamp_words,
     .warn = timestamp_warn,
     .help = "The records' time stamp. send: the time of sending. event: the event's own; then a "
             "backlog that is older than the topic's retention is deleted by the brokers as soon "
             "as it arrives, and what is older than a day may be stored twice after a crash."},
    {.name = "headers",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct kafka_options, headers),
     .initial = "false",
     .help = "Give each record a header weir_id: agent/incarnation/stream/sequence of its "
             "(first) event."},
    {.name = "headers_set",
     .kind = OPTION_MAP,
     .offset = offsetof(struct kafka_options, headers_set),
     .max = KAFKA_HEADER_MAX,
     .item = &header_item,
     .help = "Further headers of each record: name to text, in which {stream} and {agent} stand "
             "for the names of stream and agent. They are packed with the records, and so cost "
             "next to nothing."},
    {.name = "compression_level",
     .kind = OPTION_INT,
     .offset = offsetof(struct kafka_options, compression_level),
     .min = -1,
     .max = 19,
     .initial = "-1",
     .help = "zstd's level; 0 sends without compression, for services that take none. -1: by the "
             "layout, 9 for `columns` (19 up to 4 KiB), else 3."},
    {.name = "dictionary",
     .kind = OPTION_PATH,
     .flags = OPTION_FILE_EXISTS,
     .offset = offsetof(struct kafka_options, dictionary),
     .help = "A zstd dictionary trained on batches of these streams (uplink/decoders/README.md), "
             "at most "
             "112 KiB: each message of the layout `columns` is a zstd frame by it, where that is "
             "smaller. For "
             "small batches. Consumers need the same file: they know it by its number, which each "
             "frame "
             "carries."},
    {.name = "in_doubt",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kafka_options, in_doubt),
     .initial = "resend",
     .words = in_doubt_words,
     .help = "What happens to a batch of which nobody knows any more whether it was stored "
             "(AFTER_A_CRASH.md): resend may store it twice, set_aside keeps it here for a "
             "person to decide."},
    {.name = "in_doubt_read",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct kafka_options, in_doubt_read_max),
     .max = 1073741824,
     .initial = "1 MiB",
     .help = "Before in_doubt decides: how much of the topic is read back at most, for each such "
             "batch, to look for it, from the time of sending on. It needs READ on the topic, and "
             "what is read comes over the link, up to so much for a batch: less for a metered "
             "one, 0 B for nothing."},
    {.name = "request_timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct kafka_options, request_timeout_ms),
     .min = 1000,
     .max = 600000,
     .initial = "30 s",
     .help = "How long a broker may take for an answer, while the request makes no progress."},
    {.name = "message_size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct kafka_options, message_size_max),
     .min = MESSAGE_SIZE_MIN,
     .max = 1048588,
     .initial = "1048588 B",
     .help = "The topic's max.message.bytes, when it is smaller than Kafka's default. It is "
             "found out by itself too, at the price of a refused request. For all topics; "
             "`per_stream` has it for single ones."},
    {.name = "service",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kafka_options, service),
     .initial = "kafka",
     .words = kafka_service_words,
     .help = "Whose service it is. event_hubs: requests of at most 1046528 bytes, no compression, "
             "connections that were silent for 3 minutes are opened anew, and no producer ids: a "
             "batch of which nobody knows whether it was stored goes by in_doubt at once (log in "
             "by PLAIN as $ConnectionString). redpanda: batches of at most 1 MiB."},
    {.name = "topic_create",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct kafka_options, topic_create),
     .initial = "broker",
     .words = topic_create_words,
     .help = "What happens to a topic that is missing. broker: the broker creates it, if it is set "
             "up to (auto.create.topics.enable). always: else weir does, with the broker's own "
             "numbers of partitions and replicas (Kafka 2.4 or later; the user needs the right "
             "CREATE). never: it is waited for. While a topic is missing its streams stand still, "
             "which the log and the status say, and go on by themselves when it is there; all "
             "others go on."},
    {.name = "clock_wait",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct kafka_options, clock_wait_ms),
     .max = 86400000,
     .initial = "5 min",
     .help = "How long after the start to wait for a plausible clock, and for one that is behind "
             "what was sent before. Then batches go without time stamps, which gives up "
             "exactly-once for what is in flight at a crash, and in_doubt decides about those "
             "that are."},
    {.name = "per_stream",
     .kind = OPTION_MAP,
     .flags = OPTION_STREAMS,
     .offset = offsetof(struct kafka_options, per_stream),
     .max = 255,
     .record = stream_table,
     .record_size = sizeof(struct kafka_stream_options),
     .help = "What is different for single streams: name of the stream to settings."},
    {.name = "acks",
     .kind = OPTION_INT,
     .flags = OPTION_NONE,
     .help = "there is no such setting: a batch is done when all replicas in sync have it "
             "(acks=all), else it could be lost; leave it out"},
    {.name = NULL},
};
