/* What a configuration says that its table of options can't see. */
#include "uplink/kafka/kafka_impl.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/tokens.h"

#define HEADER_NAME_SIZE_MAX 64

static enum err registries_check(const struct kafka_options *kafka, struct why *why)
{
    bool wants_registry = kafka->framing == FRAMING_REGISTRY;
    bool has_registry = kafka->registry.is_set || kafka->glue.is_set;
    if (kafka->registry.is_set && kafka->glue.is_set) {
        why_set(why, "`registry` and `glue` are two registries: keep one of them");
        return ERR_CONFIG;
    }
    if (wants_registry && !has_registry) {
        why_set(why, WEIR_HTTP_CLIENT
                         ? "framing: \"registry\" needs a registry: set `registry`, or `glue`"
                         : "framing: \"registry\" needs the HTTP client, and this build was made "
                           "without it");
        return ERR_CONFIG;
    }
    if (has_registry && !wants_registry && kafka->framing != FRAMING_AUTO) {
        why_set(why, "framing: only \"registry\" uses a registry: leave out `%s`, or `framing`",
                kafka->glue.is_set ? "glue" : "registry");
        return ERR_CONFIG;
    }
    if (!WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (kafka->glue.is_set) {
        return glue_options_check(&kafka->glue, why);
    }
    return kafka->registry.is_set ? registry_options_check(&kafka->registry, why) : ERR_OK;
}

/* What asks somebody over HTTP, in a build that can't. */
static enum err client_check(const struct kafka_options *kafka, struct why *why)
{
    if (WEIR_HTTP_CLIENT) {
        return ERR_OK;
    }
    if (!kafka->registry.is_set && !kafka->glue.is_set && !tokens_are_needed(&kafka->sasl)) {
        return ERR_OK;
    }
    why_set(why, "%s needs the HTTP client, and this build was made without it",
            kafka->registry.is_set ? "`registry`"
            : kafka->glue.is_set   ? "`glue`"
                                   : "this login");
    return ERR_CONFIG;
}

enum err kafka_check(const void *options, struct why *why)
{
    const struct kafka_options *kafka = options;
    for (size_t i = 0; i < kafka->headers_set.count; i++) {
        const char *name = kafka->headers_set.names[i];
        if (!name[0] || strlen(name) > HEADER_NAME_SIZE_MAX ||
            strcmp(name, RECORDS_HEADER_NAME) == 0 || strcmp(name, RECORDS_LANE_NAME) == 0) {
            why_set(why,
                    "headers_set: \"%.80s\" is no name for a header: 1 to %d bytes, and %s and %s "
                    "are what `headers` and backfill add",
                    name, HEADER_NAME_SIZE_MAX, RECORDS_HEADER_NAME, RECORDS_LANE_NAME);
            return ERR_CONFIG;
        }
    }
    if (client_check(kafka, why) || registries_check(kafka, why)) {
        return ERR_CONFIG;
    }
    const char *const *brokers = kafka->brokers.items;
    return kafka->sasl.is_set ? sasl_check(&kafka->sasl, brokers[0], why) : ERR_OK;
}

/* A batch is known by its framing, and has no place for a record without a value. */
enum err kafka_columns(const void *options, struct why *why)
{
    const struct kafka_options *kafka = options;
    const struct kafka_stream_options *streams = kafka->per_stream.items;
    if (kafka->framing == FRAMING_NONE || kafka->framing == FRAMING_JSON) {
        why_set(why, "columns are told from rows by the framing: set `framing` to \"auto\"");
        return ERR_CONFIG;
    }
    for (size_t i = 0; i < kafka->per_stream.count; i++) {
        if (streams[i].tombstone) {
            why_set(why,
                    "stream %s has a tombstone, which is a message without a value: it needs "
                    "the layout \"rows\"",
                    kafka->per_stream.names[i]);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

enum err kafka_fits(const void *options, struct slice schema, const char **ret_member,
                    struct why *why)
{
    const struct kafka_options *kafka = options;
    *ret_member = "registry";
    return WEIR_HTTP_CLIENT && kafka->registry.is_set
               ? registry_schema_check(&kafka->registry, schema, why)
               : ERR_OK;
}

enum err kafka_letter(const void *options, const char *topic, const char *of, const char *stream,
                      struct why *why)
{
    const struct kafka_options *kafka = options;
    char name[TARGET_NAME_SIZE_MAX];
    char taken[TARGET_NAME_SIZE_MAX];
    enum err e = kafka_topic_put(topic, of, "agent", name, why);
    if (!e && kafka_topic_put(kafka->topic, stream, "agent", taken, NULL) == ERR_OK &&
        strcmp(name, taken) == 0) {
        why_set(why, "topic %s has the events of stream %s: name another", name, stream);
        e = ERR_CONFIG;
    }
    return e;
}
