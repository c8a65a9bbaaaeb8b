#include <assert.h>
#include <stdio.h>

#include "tests/sim/kafka_broker_impl.h"

void broker_operations_set(struct broker *broker, const char *name, int32_t operations)
{
    broker_topic_of(broker, name)->operations = operations;
}

void broker_setting_set(struct broker *broker, const char *name, const char *setting,
                        const char *value)
{
    struct topic *topic = broker_topic_of(broker, name);
    unsigned i = 0;
    while (i < topic->setting_count && strcmp(topic->settings[i].name, setting) != 0) {
        i++;
    }
    assert(i < BROKER_SETTING_MAX);
    topic->setting_count = i == topic->setting_count ? i + 1 : topic->setting_count;
    (void)snprintf(topic->settings[i].name, sizeof topic->settings[i].name, "%s", setting);
    (void)snprintf(topic->settings[i].value, sizeof topic->settings[i].value, "%s", value);
}

void broker_settings_code_set(struct broker *broker, const char *name, int16_t code)
{
    broker_topic_of(broker, name)->settings_code = code;
}

static void put_string(struct out *o, struct slice text)
{
    out_put_u16_be(o, (uint16_t)text.size);
    out_put_slice(o, text);
}

static void put_setting(struct out *o, struct slice name, const char *value)
{
    put_string(o, name);
    put_string(o, slice_of_text(value));
    out_put_byte(o, 0);
    out_put_byte(o, 1); /* set on the topic */
    out_put_byte(o, 0);
    out_put_u32_be(o, 0); /* no synonyms */
}

/* The value of a setting; NULL: there is none of that name. */
static const char *value_of(const struct call *call, const struct topic *topic, struct slice name)
{
    if (!topic) {
        bool creates = call->broker->options.topic_create;
        bool is_it = slice_equal_text(name, "auto.create.topics.enable");
        return !is_it ? NULL : creates ? "true" : "false";
    }
    for (unsigned i = 0; i < topic->setting_count; i++) {
        if (slice_equal_text(name, topic->settings[i].name)) {
            return topic->settings[i].value;
        }
    }
    return NULL;
}

static bool put_resource(struct call *call, struct slice *s)
{
    uint8_t type;
    uint32_t count;
    struct slice name, names, setting;
    if (!slice_take_u8(s, &type)) {
        return false;
    }
    name = call_take_string(s);
    if (!name.data || !slice_take_u32_be(s, &count) || count > BROKER_SETTING_MAX) {
        return false;
    }
    struct topic *topic = type == 2 ? broker_topic_find(call->broker, name) : NULL;
    char id[16];
    (void)snprintf(id, sizeof id, "%u", call->node + 1);
    int16_t code = type == 2 && !topic                        ? 3
                   : topic                                    ? topic->settings_code
                   : type != 4 || !slice_equal_text(name, id) ? 42
                                                              : 0;
    out_put_u16_be(&call->answer, (uint16_t)code);
    out_put_u16_be(&call->answer, UINT16_MAX);
    out_put_byte(&call->answer, type);
    put_string(&call->answer, name);
    uint32_t known = 0;
    names = *s;
    for (uint32_t i = 0; i < count; i++) {
        setting = call_take_string(s);
        known += setting.data && !code && value_of(call, topic, setting);
    }
    out_put_u32_be(&call->answer, known);
    for (uint32_t i = 0; i < count && !code; i++) {
        setting = call_take_string(&names);
        const char *value = value_of(call, topic, setting);
        if (value) {
            put_setting(&call->answer, setting, value);
        }
    }
    return true;
}

bool call_describe_configs(struct call *call)
{
    struct slice s = call->body;
    uint32_t count;
    if (!slice_take_u32_be(&s, &count) || count > BROKER_TOPIC_MAX + 1) {
        return false;
    }
    out_put_u32_be(&call->answer, 0);
    out_put_u32_be(&call->answer, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!put_resource(call, &s)) {
            return false;
        }
    }
    return s.size == 1; /* whether synonyms are wanted */
}
