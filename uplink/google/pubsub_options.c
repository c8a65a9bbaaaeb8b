#include <string.h>

#include "uplink/google/pubsub.h"
#include "uplink/layout/framing.h"
#include "uplink/layout/pattern.h"

static const char *const transport_words[] = {"auto", "grpc", "rest", NULL};
static const char *const ordering_words[] = {"key", "agent", "none", NULL};
static const char *const attributes_words[] = {"id", "all", "none", NULL};

#define TOPIC_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~+%"

/* Only what is the same for all streams; pubsub_topic_put() looks at the rest. */
static enum err topic_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    for (const char *c = text; *c;) {
        size_t size = strspn(c, TOPIC_LETTERS "/:");
        size += pattern_word(c + size);
        if (size == 0) {
            why_set(why,
                    "topic \"%s\" can't be used from \"%s\" on: letters, digits and -_.~+%% are "
                    "allowed; {stream} and {agent} are filled in",
                    text, c);
            return ERR_CONFIG;
        }
        c += size;
    }
    return ERR_OK;
}

static enum err endpoint_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    const char *host = text && strncmp(text, "https://", 8) == 0  ? text + 8
                       : text && strncmp(text, "http://", 7) == 0 ? text + 7
                                                                  : "";
    size_t size = strcspn(host, "/");
    if (!text || (size > 0 && (!host[size] || !host[size + 1]))) {
        return ERR_OK;
    }
    why_set(why, "\"%s\" is no address: write https://HOST or https://HOST:PORT", text);
    return ERR_CONFIG;
}

const struct option pubsub_table[] = {
    {.name = "project",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct pubsub_options, project),
     .min = 1,
     .max = 64,
     .help =
         "The id of the Google Cloud project that has the topic, where `topic` does not say it."},
    {.name = "topic",
     .kind = OPTION_TEXT,
     .flags = OPTION_PER_STREAM,
     .offset = offsetof(struct pubsub_options, topic),
     .min = 1,
     .max = 249,
     .initial = "{stream}",
     .check = topic_check,
     .help =
         "The topic's id, or its whole name projects/P/topics/T; {stream} and {agent} stand for "
         "the names of stream and agent. weir creates no topics."},
    {.name = "endpoint",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct pubsub_options, endpoint),
     .min = 1,
     .max = 256,
     .check = endpoint_check,
     .help =
         "Where the service is; not given: https://pubsub.googleapis.com, or the address in the "
         "environment's PUBSUB_EMULATOR_HOST. A region's, https://REGION-pubsub.googleapis.com, "
         "keeps the data there. With http:// nothing is encrypted and no token is sent: for "
         "emulators."},
    {.name = "transport",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct pubsub_options, transport),
     .initial = "auto",
     .words = transport_words,
     .help = "grpc: over HTTP/2, about 400 bytes around a request. rest: JSON with base64, for "
             "networks that let nothing else through. auto: grpc, and for an hour rest when what "
             "lies between refuses it."},
    {.name = "ordering",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct pubsub_options, ordering),
     .initial = "key",
     .words = ordering_words,
     .help =
         "The messages' ordering key. key: the event's key, as `partition_by` says: a request "
         "has messages of one key only, so that `partition_by` `key` with many keys takes many "
         "requests. agent: the agent's id and incarnation, whatever the key is. none: no order. "
         "Subscriptions keep the order when they are made with message ordering."},
    {.name = "framing",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct pubsub_options, framing),
     .initial = "auto",
     .words = framing_words,
     .help =
         "How a message says what it is. single_object, and auto: Avro's single-object encoding, "
         "C3 01 and the schema's fingerprint before the datum. none: the bare datum, as topics "
         "with an Avro schema in binary encoding take it. json: plain JSON with the schema's "
         "field names, as topics with an Avro schema in JSON encoding take it where the schema "
         "has no unions. registry is not for Pub/Sub."},
    {.name = "attributes",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct pubsub_options, attributes),
     .initial = "id",
     .words = attributes_words,
     .help = "What a message carries beside its data. id: weir_id, "
             "agent/incarnation/stream/sequence, by which readers drop what came twice, and with "
             "columns weir_last, the last sequence. all: also stream, schema (the fingerprint "
             "CRC-64-AVRO) and type (single_object, avro, json, columns), for filters of "
             "subscriptions. none: nothing, and nobody can tell doubles."},
    {.name = "compress",
     .kind = OPTION_BOOL,
     .offset = offsetof(struct pubsub_options, compress),
     .initial = "true",
     .help = "Compress requests by gzip where that is smaller, with gRPC; readers do not see it."},
    {.name = "dictionary",
     .kind = OPTION_PATH,
     .flags = OPTION_FILE_EXISTS,
     .offset = offsetof(struct pubsub_options, dictionary),
     .help =
         "A zstd dictionary trained on batches of these streams (uplink/decoders/README.md), at "
         "most 112 KiB: each message of the layout `columns` is a zstd frame by it, where that "
         "is smaller. For small batches. Consumers need the same file: they know it by its "
         "number, which each frame carries."},
    {.name = "credentials",
     .kind = OPTION_PATH,
     .flags = OPTION_FILE_EXISTS,
     .offset = offsetof(struct pubsub_options, credentials),
     .help =
         "A file of credentials: a service account's key, a workload identity configuration, or "
         "a login of gcloud's. Not given: where Google's tools look, "
         "GOOGLE_APPLICATION_CREDENTIALS, gcloud's own, and the metadata server of machines at "
         "Google."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct pubsub_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "Settings of TLS, for the service and for token endpoints: a private authority, say."},
    {.name = "request_timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct pubsub_options, request_timeout_ms),
     .min = 1000,
     .max = 600000,
     .initial = "60 s",
     .help = "How long a request may make no progress."},
    {.name = NULL},
};
