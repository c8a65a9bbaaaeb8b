/* Questions to one broker, and what its answers say about the topics. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "uplink/kafka/errors.h"
#include "uplink/kafka/probe_impl.h"
#include "uplink/kafka/service.h"

#define PRODUCER_TRIES_MAX 10 /* a cluster that has just started takes its time */
#define PRODUCER_PAUSE_MS 500
#define TOPIC_SIZE_MAX (WIRE_NAME_SIZE_MAX + 2)
#define SETTINGS_SIZE_MAX 400 /* of a resource: names of settings */

static const char creates_setting[] = "auto.create.topics.enable";

static struct probe_topic *topic_find(struct kafka_probe *p, struct slice name)
{
    for (size_t i = 0; i < p->topic_count; i++) {
        if (slice_equal_text(name, p->topics[i].name)) {
            return &p->topics[i];
        }
    }
    return NULL;
}

enum err kafka_probe_topics(struct kafka_probe *p)
{
    p->topics = calloc(p->setup.stream_count + 1, sizeof *p->topics);
    if (!p->topics) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < p->setup.stream_count; i++) {
        const struct probe_stream *stream = &p->setup.streams[i];
        char name[TARGET_NAME_SIZE_MAX];
        struct why why;
        if (kafka_topic_put(stream->letter_topic ? stream->letter_topic : p->options->topic,
                            stream->letter_topic ? stream->letter_of : stream->name,
                            p->setup.agent_id, name, &why)) {
            probe_found(&p->setup, PROBE_ERROR, "topic", "name of the topic", "%s", why.text);
            continue;
        }
        struct probe_topic *topic = topic_find(p, slice_of_text(name));
        if (!topic) {
            topic = &p->topics[p->topic_count++];
            *topic = (struct probe_topic){.operations = PROBE_OPERATIONS_UNKNOWN,
                                          .retention_ms = -1,
                                          .message_size_max = -1,
                                          .age_ms_max = -1};
            memcpy(topic->name, name, sizeof topic->name);
        }
        int64_t kept_ms = stream->age_max_ms ? stream->age_max_ms : INT64_MAX;
        topic->kept_ms = kept_ms > topic->kept_ms ? kept_ms : topic->kept_ms;
        topic->keyless = stream->has_key ? topic->keyless : stream->name;
        uint32_t sent_size_max = kafka_message_size_max(p->options, stream->name);
        topic->sent_size_max =
            sent_size_max > topic->sent_size_max ? sent_size_max : topic->sent_size_max;
    }
    return ERR_OK;
}

void kafka_probe_topics_release(struct kafka_probe *p)
{
    for (size_t i = 0; i < PROBE_ASK_COUNT; i++) {
        free(p->questions[i].memory);
    }
    free(p->topics);
}

/* --- questions --- */

/* Room for the body of a question; data NULL: no memory, which has been told. */
static struct out question_begin(struct kafka_probe *p, enum probe_ask ask, size_t size)
{
    struct probe_question *q = &p->questions[ask];
    assert(!q->memory);
    q->memory = malloc(size);
    if (!q->memory) {
        probe_found(&p->setup, PROBE_ERROR, "", "questions", "not enough memory to ask them");
    }
    return out_over(q->memory, q->memory ? size : 0);
}

static void question_send(struct kafka_probe *p, enum probe_ask ask, const struct out *body,
                          const struct connection_request *request)
{
    struct probe_question *q = &p->questions[ask];
    struct connection *connection = p->asker->connection;
    if (!body->data) {
        return;
    }
    assert(!body->overflow);
    if (!connection || !connection_has_room(connection)) {
        probe_found(&p->setup, PROBE_WARNING, p->asker->option, "questions",
                    "%s has no time for all of them: try again", p->asker->name);
        return;
    }
    q->probe = p;
    q->body = out_slice(body);
    q->request = *request;
    q->request.body = &q->body;
    q->request.body_count = 1;
    p->pending++;
    connection_send(connection, &q->request);
}

/* The answer's end. What ended the connection is told by on_closed(). */
static enum err question_end(struct probe_question *q, enum err e, const char *what)
{
    struct kafka_probe *p = q->probe;
    if (e == ERR_REJECTED || e == ERR_CORRUPT) {
        probe_found(&p->setup, PROBE_ERROR, "", what, "the answer of %s can't be used: %s",
                    p->asker->name, err_name(e));
    }
    kafka_probe_less(p);
    return ERR_OK;
}

/* --- the producer id --- */

static enum err producer_answered(struct connection_request *request, enum err e,
                                  struct slice answer)
{
    struct probe_question *q = CONTAINER_OF(request, struct probe_question, request);
    struct kafka_probe *p = q->probe;
    struct wire_producer_id id;
    e = e ? e : wire_init_producer_id_parse(answer, &id);
    if (!e && kafka_error_of(id.error)->first == KAFKA_RETRY &&
        ++p->producer_tries < PRODUCER_TRIES_MAX) {
        timer_arm(&p->again, PRODUCER_PAUSE_MS);
        return ERR_OK;
    }
    if (!e && id.error) {
        const struct kafka_error *error = kafka_error_of(id.error);
        probe_found(&p->setup, error->first == KAFKA_PARK ? PROBE_ERROR : PROBE_WARNING, "",
                    "producer id", "refused (%s): %s", error->name,
                    error->advice[0] ? error->advice
                                     : "the brokers are busy with themselves; try again");
    } else if (!e) {
        probe_found(&p->setup, PROBE_OK, "", "producer id", "given: batches can be numbered");
    }
    return question_end(q, e, "producer id");
}

void kafka_probe_again(struct timer *timer)
{
    struct kafka_probe *p = CONTAINER_OF(timer, struct kafka_probe, again);
    struct probe_question *q = &p->questions[PROBE_ASK_PRODUCER];
    struct connection *connection = p->asker->connection;
    if (!connection || !connection_has_room(connection)) {
        kafka_probe_less(p); /* what ended it has been told */
        return;
    }
    connection_send(connection, &q->request);
}

/* --- settings --- */

static void configs_resource(void *context, int8_t type, struct slice name, int16_t error)
{
    struct kafka_probe *p = context;
    p->is_reading_broker = type == PROBE_BROKER;
    p->reading = type == PROBE_TOPIC ? topic_find(p, name) : NULL;
    if (p->reading) {
        p->reading->has_settings = true;
        p->reading->settings_error = error;
    }
}

static void configs_setting(void *context, struct slice name, struct slice value)
{
    struct kafka_probe *p = context;
    if (p->is_reading_broker && slice_equal_text(name, creates_setting) && value.data) {
        p->creates_topics = slice_equal_text(value, "true");
    } else if (p->reading) {
        kafka_probe_setting(p->reading, name, value);
    }
}

static void tell_all_settings(struct kafka_probe *p)
{
    for (size_t i = 0; i < p->topic_count; i++) {
        kafka_probe_tell_settings(p, &p->topics[i]);
    }
}

static enum err configs_answered(struct connection_request *request, enum err e,
                                 struct slice answer)
{
    struct probe_question *q = CONTAINER_OF(request, struct probe_question, request);
    struct probe_configs_visitor visitor = {q->probe, configs_resource, configs_setting};
    e = e ? e : probe_configs_parse(answer, &visitor);
    if (!e) {
        tell_all_settings(q->probe);
    }
    return question_end(q, e, "settings of the topics");
}

static void ask_configs(struct kafka_probe *p)
{
    uint32_t count = 0, missing = 0;
    char id[16];
    for (size_t i = 0; i < p->topic_count; i++) {
        count += p->topics[i].is_answered && p->topics[i].error == 0;
        missing += p->topics[i].error == 3;
    }
    if (p->asker->id < 0 && p->node_count == 1) {
        p->asker->id = p->node_id; /* by another name than its own */
    }
    bool ask_broker = missing > 0 && p->options->topic_create && p->asker->id >= 0;
    int16_t max = connection_api_max(p->asker->connection, WIRE_DESCRIBE_CONFIGS);
    if (count + ask_broker == 0 || max < wire_version(WIRE_DESCRIBE_CONFIGS)) {
        tell_all_settings(p);
        return;
    }
    struct out o = question_begin(p, PROBE_ASK_CONFIGS,
                                  (p->topic_count + 1) * (TOPIC_SIZE_MAX + SETTINGS_SIZE_MAX) + 16);
    probe_configs_begin(&o, count + ask_broker);
    for (size_t i = 0; i < p->topic_count; i++) {
        if (p->topics[i].is_answered && p->topics[i].error == 0) {
            probe_configs_resource(&o, PROBE_TOPIC, slice_of_text(p->topics[i].name),
                                   kafka_probe_settings, PROBE_SETTING_COUNT);
        }
    }
    if (ask_broker) {
        const char *setting = creates_setting;
        (void)snprintf(id, sizeof id, "%d", (int)p->asker->id);
        probe_configs_resource(&o, PROBE_BROKER, slice_of_text(id), &setting, 1);
    }
    probe_configs_end(&o);
    question_send(
        p, PROBE_ASK_CONFIGS, &o,
        &(struct connection_request){.api = WIRE_DESCRIBE_CONFIGS, .answered = configs_answered});
}

/* --- metadata --- */

static void metadata_node(void *context, int32_t id, struct slice host, uint16_t port)
{
    struct kafka_probe *p = context;
    p->node_count++;
    p->node_id = id;
    kafka_probe_learn(p, id, host, port);
}

static void metadata_topic(void *context, const struct probe_metadata_topic *found)
{
    struct probe_topic *topic = topic_find(context, found->name);
    if (topic) {
        topic->is_answered = true;
        topic->error = found->error;
        topic->partition_count = found->partition_count;
        topic->leaderless_count = found->leaderless_count;
        topic->operations = found->operations;
    }
}

static enum err metadata_answered(struct connection_request *request, enum err e,
                                  struct slice answer)
{
    struct probe_question *q = CONTAINER_OF(request, struct probe_question, request);
    struct kafka_probe *p = q->probe;
    struct probe_metadata_visitor visitor = {p, metadata_node, metadata_topic};
    e = e ? e : probe_metadata_parse(answer, p->metadata_version, &visitor);
    if (!e) {
        if (p->metadata_version < PROBE_METADATA_VERSION) {
            probe_found(&p->setup, PROBE_WARNING, "topic", "rights",
                        "%s does not tell them (Kafka 2.3 and later do): what is missing shows "
                        "when the first event is sent",
                        p->asker->name);
        }
        for (size_t i = 0; i < p->topic_count; i++) {
            kafka_probe_tell_topic(p, &p->topics[i]);
        }
        ask_configs(p);
    }
    return question_end(q, e, "topics");
}

void kafka_probe_ask(struct kafka_probe *p)
{
    bool has_rights =
        connection_api_max(p->asker->connection, WIRE_METADATA) >= PROBE_METADATA_VERSION;
    p->metadata_version = wire_version(WIRE_METADATA);
    if (has_rights) {
        p->metadata_version = PROBE_METADATA_VERSION;
    }
    struct out o = question_begin(p, PROBE_ASK_METADATA, p->topic_count * TOPIC_SIZE_MAX + 16);
    wire_metadata_begin(&o, (uint32_t)p->topic_count);
    for (size_t i = 0; i < p->topic_count; i++) {
        wire_metadata_topic(&o, slice_of_text(p->topics[i].name));
    }
    probe_metadata_end(&o, p->metadata_version);
    question_send(p, PROBE_ASK_METADATA, &o,
                  &(struct connection_request){.api = WIRE_METADATA,
                                               .version = p->metadata_version,
                                               .answered = metadata_answered});
    if (!kafka_service_of(p->options->service)->is_idempotent) {
        return;
    }
    o = question_begin(p, PROBE_ASK_PRODUCER, 16);
    wire_init_producer_id(&o);
    question_send(
        p, PROBE_ASK_PRODUCER, &o,
        &(struct connection_request){.api = WIRE_INIT_PRODUCER_ID, .answered = producer_answered});
}
