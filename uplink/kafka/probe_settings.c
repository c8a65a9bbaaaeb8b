/* What a topic's state, rights and settings mean for us. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "uplink/kafka/errors.h"
#include "uplink/kafka/probe_impl.h"

/* How long an outage the buffer is good for is not known: it depends on what comes. This is a site
 * of ten events of 100 bytes a second. */
#define BUFFER_BYTES_PER_S 1000
#define MISSING 3 /* UNKNOWN_TOPIC_OR_PARTITION */

const char *const kafka_probe_settings[PROBE_SETTING_COUNT] = {
    "retention.ms",
    "max.message.bytes",
    "cleanup.policy",
    "compression.type",
    "message.timestamp.type",
    "message.timestamp.before.max.ms",     /* 3.6 and later */
    "message.timestamp.difference.max.ms", /* before 4.0 */
};

static int64_t number_of(struct slice value)
{
    char text[24];
    char *end = NULL;
    if (!slice_to_text(value, text, sizeof text) || !text[0]) {
        return -1;
    }
    int64_t number = strtoll(text, &end, 10);
    return *end ? -1 : number;
}

/* Cut is fine: it is for a person, or none of the words that are looked for. */
static void text_of(struct slice value, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%.*s", (int)(value.size < size ? value.size : size),
                   value.data ? (const char *)value.data : "");
}

void kafka_probe_setting(struct probe_topic *topic, struct slice name, struct slice value)
{
    if (slice_equal_text(name, "retention.ms")) {
        int64_t ms = number_of(value);
        topic->retention_ms = slice_equal_text(value, "-1") ? INT64_MAX : ms;
    } else if (slice_equal_text(name, "max.message.bytes")) {
        topic->message_size_max = number_of(value);
    } else if (slice_equal_text(name, "cleanup.policy")) {
        text_of(value, topic->cleanup, sizeof topic->cleanup);
    } else if (slice_equal_text(name, "compression.type")) {
        text_of(value, topic->compression, sizeof topic->compression);
    } else if (slice_equal_text(name, "message.timestamp.type")) {
        text_of(value, topic->stamp, sizeof topic->stamp);
    } else if (slice_starts_with(name, SLICE("message.timestamp."))) {
        int64_t ms = number_of(value); /* the smaller of the two, where both are there */
        if (ms >= 0 && (topic->age_ms_max < 0 || ms < topic->age_ms_max)) {
            topic->age_ms_max = ms;
        }
    }
}

/* --- is it there, and may we? --- */

static void tell_rights(struct kafka_probe *p, const struct probe_topic *topic)
{
    const struct sasl_options *sasl = &p->options->sasl;
    const char *user = sasl->is_set && sasl->user ? sasl->user : "this user";
    char what[PROBE_WHAT_SIZE];
    if (topic->operations == PROBE_OPERATIONS_UNKNOWN) {
        return;
    }
    (void)snprintf(what, sizeof what, "rights on topic %s", topic->name);
    if (!(topic->operations & PROBE_MAY_WRITE)) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what,
                    "%s may not write: give it Write on the topic (kafka-acls --add "
                    "--allow-principal User:NAME --operation Write --topic %s)",
                    user, topic->name);
    } else if (!(topic->operations & PROBE_MAY_READ)) {
        probe_found(&p->setup, PROBE_WARNING, "in_doubt", what,
                    "%s may write but not read: whether a batch of before a crash was stored "
                    "can't be found out once the broker refuses to say, and in_doubt decides; "
                    "give it Read to have that looked up",
                    user);
    } else {
        probe_found(&p->setup, PROBE_OK, "topic", what, "Write, Describe, Read");
    }
}

void kafka_probe_tell_topic(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "topic %s", topic->name);
    if (!topic->is_answered) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what, "the broker says nothing about it");
    } else if (topic->error == MISSING) {
        return; /* first it is asked whether it would be created */
    } else if (topic->error == 29) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what,
                    "it is not there, or may not be seen: give the user Describe and Write on it, "
                    "or create it");
    } else if (topic->error) {
        const struct kafka_error *error = kafka_error_of(topic->error);
        probe_found(&p->setup, error->first == KAFKA_PARK ? PROBE_ERROR : PROBE_WARNING, "topic",
                    what, "%s%s%s", error->name, error->advice[0] ? ": " : "", error->advice);
    } else if (topic->leaderless_count > 0) {
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "%" PRIu32 " of its %" PRIu32
                    " partitions have no leader at the moment: what goes there waits. Are all "
                    "brokers up?",
                    topic->leaderless_count, topic->partition_count);
    } else {
        probe_found(&p->setup, PROBE_OK, "topic", what, "%" PRIu32 " partition%s",
                    topic->partition_count, topic->partition_count == 1 ? "" : "s");
    }
    if (topic->is_answered && topic->error == 0) {
        tell_rights(p, topic);
    }
}

static void tell_missing(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "topic %s", topic->name);
    if (p->options->topic_create == TOPIC_CREATE_NEVER) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what,
                    "it is not there: create it (topic_create is never)");
    } else if (p->options->topic_create == TOPIC_CREATE_ALWAYS) {
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "it is not there: it will be created with the first event, with the brokers' "
                    "default settings, if the user may create topics");
    } else if (p->creates_topics == 0) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what,
                    "it is not there, and the brokers create none "
                    "(auto.create.topics.enable=false): create it, or set topic_create to "
                    "\"always\"");
    } else if (p->creates_topics == 1) {
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "it is not there: the brokers will create it with the first event, with "
                    "their default settings, if the user may create topics");
    } else {
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "it is not there: create it, unless the brokers are set up to do so "
                    "(auto.create.topics.enable)");
    }
}

/* --- settings: each says whether it had something to tell --- */

static bool tell_size(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    if (topic->message_size_max < 0 || topic->message_size_max >= topic->sent_size_max) {
        return false;
    }
    (void)snprintf(what, sizeof what, "message size of topic %s", topic->name);
    probe_found(&p->setup, PROBE_WARNING, "message_size_max", what,
                "the topic takes batches of %" PRId64
                " bytes (max.message.bytes), and up to %" PRId64
                " may be sent: set message_size_max to \"%" PRId64
                " B\", else larger ones are refused before they are cut",
                topic->message_size_max, topic->sent_size_max, topic->message_size_max);
    return true;
}

static bool tell_cleanup(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    if (!strstr(topic->cleanup, "compact")) {
        return false;
    }
    (void)snprintf(what, sizeof what, "cleanup.policy of topic %s", topic->name);
    if (topic->keyless) {
        probe_found(&p->setup, PROBE_ERROR, "topic", what,
                    "it is compacted and refuses messages without a key, and stream %s has none: "
                    "set the stream's key, or the topic's cleanup.policy to delete",
                    topic->keyless);
    } else {
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "it is compacted: of each key only the last event stays");
    }
    return true;
}

/* With the events' own times a backlog may be older than the topic keeps, or takes. */
static bool tell_age(struct kafka_probe *p, const struct probe_topic *topic)
{
    int64_t room_ms = p->setup.buffer_size_max / BUFFER_BYTES_PER_S * 1000;
    char what[PROBE_WHAT_SIZE];
    char age[32], room[80], limit[32];
    if (p->options->timestamp != KAFKA_TIME_EVENT) {
        return false;
    }
    if (strcmp(topic->stamp, "LogAppendTime") == 0) {
        (void)snprintf(what, sizeof what, "time stamps of topic %s", topic->name);
        probe_found(&p->setup, PROBE_WARNING, "timestamp", what,
                    "the topic replaces them by the time of arrival (message.timestamp.type): "
                    "\"timestamp\": \"event\" has no effect");
        return true;
    }
    bool by_age = topic->kept_ms < room_ms;
    room_ms = by_age ? topic->kept_ms : room_ms;
    probe_duration(room_ms, age);
    (void)snprintf(room, sizeof room,
                   by_age ? "keeps them for %s (age_max)" : "has room for about %s of 1 kB/s",
                   age); /* fits */
    bool is_refused = topic->age_ms_max >= 0 && topic->age_ms_max < room_ms;
    if (is_refused) {
        probe_duration(topic->age_ms_max, limit);
        (void)snprintf(what, sizeof what, "oldest time stamp of topic %s", topic->name);
        probe_found(&p->setup, PROBE_WARNING, "timestamp", what,
                    "events older than %s are refused (message.timestamp.before.max.ms), and the "
                    "buffer %s: raise it, lower the stream's age_max, or set timestamp to \"send\"",
                    limit, room);
    }
    if (topic->retention_ms < 0 || topic->retention_ms >= room_ms) {
        return is_refused;
    }
    probe_duration(topic->retention_ms, limit);
    (void)snprintf(what, sizeof what, "retention of topic %s", topic->name);
    probe_found(
        &p->setup, PROBE_WARNING, "timestamp", what,
        "the topic keeps events for %s by their own time (retention.ms), and the buffer %s: what "
        "is delivered later than that is deleted as soon as it arrives; raise it, lower the "
        "stream's age_max, or set timestamp to \"send\"",
        limit, room);
    return true;
}

static bool tell_compression(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    if (strcmp(topic->compression, "uncompressed") != 0 || p->options->compression_level == 0) {
        return false;
    }
    (void)snprintf(what, sizeof what, "compression of topic %s", topic->name);
    probe_found(&p->setup, PROBE_WARNING, "compression_level", what,
                "the brokers unpack every batch and store it plain (compression.type): "
                "\"producer\" would keep what was sent");
    return true;
}

static void tell_fine(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    char kept[32] = "for ever";
    if (topic->retention_ms < INT64_MAX) {
        probe_duration(topic->retention_ms, kept);
    }
    bool by_event = p->options->timestamp == KAFKA_TIME_EVENT;
    (void)snprintf(what, sizeof what, "settings of topic %s", topic->name);
    probe_found(&p->setup, PROBE_OK, "topic", what,
                "events are kept %s%s; batches up to %" PRId64 " bytes; %s", kept,
                by_event ? ", by their own time" : " from their arrival", topic->message_size_max,
                strcmp(topic->compression, "producer") == 0 ? "compressed as they come"
                                                            : topic->compression);
}

void kafka_probe_tell_settings(struct kafka_probe *p, const struct probe_topic *topic)
{
    char what[PROBE_WHAT_SIZE];
    if (topic->is_answered && topic->error == MISSING) {
        tell_missing(p, topic);
        return;
    }
    if (!topic->is_answered || topic->error) {
        return;
    }
    if (!topic->has_settings || topic->settings_error || topic->message_size_max < 0) {
        (void)snprintf(what, sizeof what, "settings of topic %s", topic->name);
        probe_found(&p->setup, PROBE_WARNING, "topic", what,
                    "they may not be read (%s): give the user DescribeConfigs on the topic, and "
                    "its retention and message size are compared with this configuration",
                    topic->settings_error ? kafka_error_of(topic->settings_error)->name
                                          : "no answer");
        return;
    }
    bool has_told = tell_size(p, topic);
    has_told = tell_cleanup(p, topic) || has_told;
    has_told = tell_age(p, topic) || has_told;
    has_told = tell_compression(p, topic) || has_told;
    if (!has_told) {
        tell_fine(p, topic);
    }
}
