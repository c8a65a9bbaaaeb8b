/* The engine by Eclipse Paho's MQTTAsync. Its callbacks run on its threads, under its one lock for
 * all clients: they copy, put into the inbox, and return. A message callback must never return 0:
 * Paho would acknowledge, keep the message, and call back again for ever. */
#include <MQTTAsync.h>
#include <assert.h>
#include <stdlib.h>

#include "drivers/mqtt_engine.h"

#define CONNECT_TIMEOUT_S 86400 /* the gate decides when a broker is out of reach */

struct mqtt_engine {
    struct mqtt_engine_setup setup;
    MQTTAsync client;
    char *client_id, *user, *password;
    char **filters;
    int *qos;                       /* one per filter */
    MQTTSubscribe_options *options; /* the same */
};

/* --- what comes back, on Paho's threads --- */

/* Without memory, or room in the inbox, the item is lost: of a message the gate will notice that. */
static void engine_put(struct mqtt_engine *engine, struct mqtt_item *item)
{
    if (item && inbox_put(engine->setup.inbox, &item->item) != ERR_OK) {
        free(item);
    }
}

static void engine_lost(struct mqtt_engine *engine)
{
    struct mqtt_item *item = calloc(1, sizeof *item);
    if (item) {
        item->kind = MQTT_ITEM_LOST;
    }
    engine_put(engine, item);
}

static size_t properties_size(const MQTTProperties *properties, size_t *ret_count)
{
    size_t size = 0;
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *p = &properties->array[i];
        if (p->identifier == MQTTPROPERTY_CODE_USER_PROPERTY) {
            size += 4 + (size_t)p->value.data.len + (size_t)p->value.value.len;
            (*ret_count)++;
        }
    }
    return size;
}

static void put_text(struct out *o, const MQTTLenString *text)
{
    out_put_u16_be(o, (uint16_t)text->len);
    out_put(o, text->data, (size_t)text->len);
}

static void put_properties(struct out *o, const MQTTProperties *properties)
{
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *p = &properties->array[i];
        if (p->identifier == MQTTPROPERTY_CODE_USER_PROPERTY) {
            put_text(o, &p->value.data);
            put_text(o, &p->value.value);
        }
    }
}

static struct mqtt_item *engine_copy(const struct mqtt_engine *engine, struct slice topic,
                                     const MQTTAsync_message *message)
{
    struct slice payload = {message->payload, (size_t)message->payloadlen};
    size_t count = 0;
    size_t extra =
        engine->setup.with_properties ? properties_size(&message->properties, &count) : 0;
    size_t size = topic.size + payload.size + extra;
    struct mqtt_item *item = malloc(sizeof *item + size);
    if (!item) {
        return NULL;
    }
    *item = (struct mqtt_item){.kind = MQTT_ITEM_MESSAGE,
                               .id = (uint16_t)message->msgid,
                               .qos = (uint8_t)message->qos,
                               .is_copy = message->dup != 0,
                               .is_retained = message->retained != 0,
                               .property_count = count};
    struct out data = out_over(item->data, size);
    out_put_slice(&data, topic);
    out_put_slice(&data, payload);
    if (extra) {
        put_properties(&data, &message->properties);
    }
    assert(!data.overflow && data.size == size);
    item->topic = (struct slice){item->data, topic.size};
    item->payload = (struct slice){item->data + topic.size, payload.size};
    item->properties = (struct slice){item->data + topic.size + payload.size, extra};
    return item;
}

static int engine_on_message(void *context, char *topic, int topic_size, MQTTAsync_message *message)
{
    struct mqtt_engine *engine = context;
    /* Size 0: the topic ends with its NUL. */
    struct slice text =
        topic_size ? (struct slice){(uint8_t *)topic, (size_t)topic_size} : slice_of_text(topic);
    engine_put(engine, engine_copy(engine, text, message));
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void engine_on_lost(void *context, char *cause)
{
    (void)cause; /* the gate knows better */
    engine_lost(context);
}

/* The broker said DISCONNECT: Paho calls this, and not the callback for lost connections. */
static void engine_on_disconnected(void *context, MQTTProperties *properties,
                                   enum MQTTReasonCodes code)
{
    (void)properties;
    (void)code; /* as above */
    engine_lost(context);
}

static void engine_on_failure(void *context, MQTTAsync_failureData *data)
{
    (void)data; /* as above */
    engine_lost(context);
}

static void engine_on_failure5(void *context, MQTTAsync_failureData5 *data)
{
    (void)data;
    engine_lost(context);
}

/* --- subscribing --- */

static struct mqtt_item *engine_answers(const struct mqtt_engine *engine)
{
    struct mqtt_item *item = calloc(1, sizeof *item + engine->setup.filter_count);
    if (item) {
        item->kind = MQTT_ITEM_SUBSCRIBED;
        item->payload = (struct slice){item->data, engine->setup.filter_count};
    }
    return item;
}

static void engine_on_subscribed(void *context, MQTTAsync_successData *data)
{
    struct mqtt_engine *engine = context;
    struct mqtt_item *item = engine_answers(engine);
    for (size_t i = 0; item && i < engine->setup.filter_count; i++) {
        item->data[i] = (uint8_t)(engine->setup.filter_count == 1 ? data->alt.qos
                                  : data->alt.qosList             ? data->alt.qosList[i]
                                                                  : 0x80);
    }
    engine_put(engine, item);
}

static void engine_on_subscribed5(void *context, MQTTAsync_successData5 *data)
{
    struct mqtt_engine *engine = context;
    struct mqtt_item *item = engine_answers(engine);
    for (size_t i = 0; item && i < engine->setup.filter_count; i++) {
        bool is_list = data->alt.sub.reasonCodeCount > (int)i && engine->setup.filter_count > 1;
        item->data[i] =
            (uint8_t)(engine->setup.filter_count == 1        ? data->reasonCode
                      : is_list && data->alt.sub.reasonCodes ? data->alt.sub.reasonCodes[i]
                                                             : MQTTREASONCODE_UNSPECIFIED_ERROR);
    }
    engine_put(engine, item);
}

/* The connection ended first, or, with one filter only, the broker refuses it. */
static void engine_on_unsubscribed(void *context, MQTTAsync_failureData *data)
{
    struct mqtt_engine *engine = context;
    struct mqtt_item *item = data->code == MQTT_BAD_SUBSCRIBE ? engine_answers(engine) : NULL;
    if (item) {
        item->data[0] = MQTT_BAD_SUBSCRIBE;
        engine_put(engine, item);
    }
}

static void engine_on_unsubscribed5(void *context, MQTTAsync_failureData5 *data)
{
    struct mqtt_engine *engine = context;
    bool is_refused = data->reasonCode >= MQTTREASONCODE_UNSPECIFIED_ERROR;
    struct mqtt_item *item = is_refused ? engine_answers(engine) : NULL;
    if (item) {
        item->data[0] = (uint8_t)data->reasonCode;
        engine_put(engine, item);
    }
}

static void engine_subscribe(struct mqtt_engine *engine)
{
    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.context = engine;
    if (engine->setup.is_5) {
        response.onSuccess5 = engine_on_subscribed5;
        response.onFailure5 = engine_on_unsubscribed5;
        response.subscribeOptionsCount = (int)engine->setup.filter_count;
        response.subscribeOptionsList = engine->options;
        response.subscribeOptions = engine->options[0];
    } else {
        response.onSuccess = engine_on_subscribed;
        response.onFailure = engine_on_unsubscribed;
    }
    if (MQTTAsync_subscribeMany(engine->client, (int)engine->setup.filter_count, engine->filters,
                                engine->qos, &response) != MQTTASYNC_SUCCESS) {
        engine_lost(engine); /* no memory */
    }
}

static void engine_on_connected(void *context, MQTTAsync_successData *data)
{
    (void)data;
    engine_subscribe(context);
}

static void engine_on_connected5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    engine_subscribe(context);
}

/* --- the verbs --- */

static char *copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static enum err engine_copy_setup(struct mqtt_engine *engine)
{
    const struct mqtt_engine_setup *setup = &engine->setup;
    engine->client_id = copy(setup->client_id);
    engine->user = copy(setup->user);
    engine->password = copy(setup->password);
    engine->filters = calloc(setup->filter_count, sizeof *engine->filters);
    engine->qos = calloc(setup->filter_count, sizeof *engine->qos);
    engine->options = calloc(setup->filter_count, sizeof *engine->options);
    if (!engine->client_id || (setup->user && !engine->user) ||
        (setup->password && !engine->password) || !engine->filters || !engine->qos ||
        !engine->options) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < setup->filter_count; i++) {
        engine->filters[i] = copy(setup->filters[i]);
        if (!engine->filters[i]) {
            return ERR_NOMEM;
        }
        engine->qos[i] = (int)setup->qos;
        engine->options[i] = (MQTTSubscribe_options)MQTTSubscribe_options_initializer;
        engine->options[i].retainHandling = 1; /* else they come again with every connect */
    }
    return ERR_OK;
}

enum err mqtt_engine_open(struct mqtt_engine **ret, const struct mqtt_engine_setup *setup,
                          struct why *why)
{
    assert(setup->filter_count > 0);
    struct mqtt_engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        return ERR_NOMEM;
    }
    /* Paho would send even loopback through a proxy, and write a trace. Nothing else of ours reads
     * these. */
    unsetenv("http_proxy");
    unsetenv("PAHO_C_CLIENT_USE_HTTP_PROXY");
    unsetenv("MQTT_C_CLIENT_TRACE");
    engine->setup = *setup;
    char url[40];
    (void)snprintf(url, sizeof url, "tcp://127.0.0.1:%u", setup->port);
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    options.MQTTVersion = setup->is_5 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    enum err e = engine_copy_setup(engine);
    if (!e && (MQTTAsync_createWithOptions(&engine->client, url, engine->client_id,
                                           MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                           &options) != MQTTASYNC_SUCCESS ||
               MQTTAsync_setCallbacks(engine->client, engine, engine_on_lost, engine_on_message,
                                      NULL) != MQTTASYNC_SUCCESS ||
               MQTTAsync_setDisconnected(engine->client, engine, engine_on_disconnected) !=
                   MQTTASYNC_SUCCESS)) {
        why_set(why, "the MQTT library can't be opened");
        e = ERR_NOMEM;
    }
    if (e) {
        mqtt_engine_close(engine);
        return e;
    }
    *ret = engine;
    return ERR_OK;
}

static enum err engine_err(int rc, struct why *why)
{
    if (rc == MQTTASYNC_SUCCESS) {
        return ERR_OK;
    }
    if (rc == MQTTASYNC_BAD_UTF8_STRING) {
        why_set(why, "the MQTT library refuses to connect: a text that is no UTF-8; look at "
                     "\"client_id\", \"user\" and \"topics\"");
        return ERR_CONFIG;
    }
    const char *text = MQTTAsync_strerror(rc);
    why_set(why, "the MQTT library can't connect: %s", text ? text : "unknown reason");
    return ERR_NOMEM;
}

static bool add_number(MQTTProperties *properties, enum MQTTPropertyCodes code, uint32_t value)
{
    MQTTProperty p = {.identifier = code};
    if (code == MQTTPROPERTY_CODE_RECEIVE_MAXIMUM) {
        p.value.integer2 = (uint16_t)value;
    } else {
        p.value.integer4 = value;
    }
    return MQTTProperties_add(properties, &p) == 0;
}

enum err mqtt_engine_connect(struct mqtt_engine *engine, struct why *why)
{
    const struct mqtt_engine_setup *setup = &engine->setup;
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    MQTTAsync_connectOptions options5 = MQTTAsync_connectOptions_initializer5;
    MQTTProperties properties = MQTTProperties_initializer;
    bool is_complete = true;
    if (setup->is_5) {
        options = options5;
        options.cleanstart = 0;
        options.onSuccess5 = engine_on_connected5;
        options.onFailure5 = engine_on_failure5;
        is_complete =
            add_number(&properties, MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL,
                       setup->session_expiry_s) &&
            add_number(&properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM, setup->receive_max) &&
            add_number(&properties, MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE, setup->packet_size_max);
        options.connectProperties = &properties;
    } else {
        options.MQTTVersion = MQTTVERSION_3_1_1;
        options.cleansession = 0;
        options.onSuccess = engine_on_connected;
        options.onFailure = engine_on_failure;
    }
    options.context = engine;
    options.keepAliveInterval = setup->keepalive_s;
    options.connectTimeout = CONNECT_TIMEOUT_S;
    options.username = engine->user;
    options.password = engine->password;
    int rc = is_complete ? MQTTAsync_connect(engine->client, &options) : MQTTASYNC_FAILURE;
    MQTTProperties_free(&properties);
    return engine_err(rc, why);
}

void mqtt_engine_close(struct mqtt_engine *engine)
{
    if (!engine) {
        return;
    }
    MQTTAsync_destroy(&engine->client); /* waits for its threads; NULL is allowed */
    for (size_t i = 0; engine->filters && i < engine->setup.filter_count; i++) {
        free(engine->filters[i]);
    }
    free(engine->filters);
    free(engine->qos);
    free(engine->options);
    free(engine->client_id);
    free(engine->user);
    free(engine->password);
    free(engine);
}
