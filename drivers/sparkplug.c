#include "drivers/sparkplug_impl.h"

#include <stdlib.h>

#include "ports/lib/hash.h"

struct sparkplug {
    struct out text;
    struct births births;
    /* While a message is read. */
    struct why *why;
    uint16_t source;
    bool is_birth;
    bool has_time;
    uint64_t time_ms;
    uint32_t unnamed;
};

enum err sparkplug_open(struct sparkplug **ret, size_t text_size_max)
{
    struct sparkplug *s = malloc(sizeof *s);
    if (!s) {
        return ERR_NOMEM;
    }
    s->text = out_over(malloc(text_size_max), text_size_max);
    if (!s->text.data) {
        free(s);
        return ERR_NOMEM;
    }
    births_init(&s->births);
    *ret = s;
    return ERR_OK;
}

void sparkplug_close(struct sparkplug *sparkplug)
{
    if (sparkplug) {
        free(sparkplug->text.data);
        free(sparkplug);
    }
}

static enum err corrupt(struct sparkplug *s, const char *what)
{
    why_set(s->why, "not a Sparkplug B payload: %s", what);
    return ERR_CORRUPT;
}

/* --- topics: section 4.1, namespace/group/type/node[/device] --- */

struct topic {
    struct slice group;
    struct slice type;
    struct slice node;
    struct slice device; /* data NULL: a node's message */
};

/* The next level; false: there are no more. */
static bool take_level(struct slice *topic, struct slice *ret)
{
    if (!topic->data) {
        return false;
    }
    const uint8_t *slash = topic->size ? memchr(topic->data, '/', topic->size) : NULL;
    size_t size = slash ? (size_t)(slash - topic->data) : topic->size;
    *ret = (struct slice){topic->data, size};
    *topic = slash ? (struct slice){slash + 1, topic->size - size - 1} : (struct slice){NULL, 0};
    return size > 0;
}

static bool topic_read(struct slice text, struct topic *ret)
{
    static const char *const types[] = {"BIRTH", "DEATH", "DATA", "CMD"};
    struct slice namespace_;
    *ret = (struct topic){.device = {NULL, 0}};
    if (!take_level(&text, &namespace_) || !slice_equal_text(namespace_, "spBv1.0") ||
        !take_level(&text, &ret->group) || !take_level(&text, &ret->type) ||
        !take_level(&text, &ret->node)) {
        return false;
    }
    bool is_device = ret->type.data[0] == 'D';
    bool is_known = is_device || ret->type.data[0] == 'N';
    struct slice word = {ret->type.data + 1, ret->type.size - 1};
    bool is_word = false;
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        is_word = is_word || slice_equal_text(word, types[i]);
    }
    return is_known && is_word && is_device == take_level(&text, &ret->device) && !text.data;
}

/* "spBv1.0/STATE/HOST": what a host application says of itself, in JSON. */
static bool topic_is_state(struct slice text)
{
    return slice_starts_with(text, SLICE("spBv1.0/STATE/")) ||
           slice_starts_with(text, SLICE("STATE/"));
}

/* --- metrics --- */

struct metric {
    struct slice name; /* data NULL: none */
    bool has_alias;
    uint64_t alias;
    bool has_time;
    uint64_t time_ms;
    uint64_t type;
    bool is_historical;
    bool is_transient;
    bool is_null;
    struct slice metadata;
    struct slice properties;
    struct protobuf_field value; /* members 10 to 19; number 0: none */
};

static void metric_number(struct metric *m, const struct protobuf_field *field)
{
    switch (field->number) {
    case 2:
        m->has_alias = true;
        m->alias = field->value;
        break;
    case 3:
        m->has_time = true;
        m->time_ms = field->value;
        break;
    case 4:
        m->type = field->value;
        break;
    case 5:
        m->is_historical = field->value != 0;
        break;
    case 6:
        m->is_transient = field->value != 0;
        break;
    default:
        m->is_null = field->value != 0;
    }
}

static enum err metric_read(struct slice message, struct metric *ret)
{
    struct protobuf_field field;
    enum err e;
    *ret = (struct metric){.type = SPARKPLUG_UNKNOWN};
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        bool is_number = field.number >= 2 && field.number <= 7;
        bool is_bytes = field.number == 1 || field.number == 8 || field.number == 9;
        if ((is_number && field.kind != PROTOBUF_VARINT) ||
            (is_bytes && field.kind != PROTOBUF_BYTES)) {
            return ERR_CORRUPT;
        }
        if (is_number) {
            metric_number(ret, &field);
        } else if (field.number == 1) {
            ret->name = field.bytes;
        } else if (field.number == 8) {
            ret->metadata = field.bytes;
        } else if (field.number == 9) {
            ret->properties = field.bytes;
        } else if (field.number >= 10 && field.number <= 19) {
            ret->value = field;
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* Births are remembered; what others leave out is taken from there. */
static void metric_complete(struct sparkplug *s, struct metric *m)
{
    const uint64_t *alias = m->has_alias ? &m->alias : NULL;
    if (s->is_birth) {
        births_add(&s->births, s->source, m->name, alias, m->type);
        return;
    }
    const struct birth_metric *birth =
        m->name.data && m->type ? NULL : births_find(&s->births, s->source, m->name, alias);
    if (birth) {
        m->type = m->type ? m->type : birth->type;
    }
    if (birth && !m->name.data) {
        m->name = (struct slice){(const uint8_t *)birth->name, birth->name_size};
    }
}

/* MetaData. */
static enum err put_metadata(struct out *json, struct slice message)
{
    static const char *const names[] = {NULL,        "is_multi_part", "content_type",
                                        "size",      "seq",           "file_name",
                                        "file_type", "md5",           "description"};
    struct protobuf_field field;
    bool is_first = true;
    enum err e;
    sparkplug_member(json, "metadata");
    out_put_byte(json, '{');
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        if (field.number >= ARRAY_COUNT(names)) {
            continue;
        }
        bool is_text = field.number != 1 && field.number != 3 && field.number != 4;
        if (field.kind != (is_text ? PROTOBUF_BYTES : PROTOBUF_VARINT)) {
            return ERR_CORRUPT;
        }
        out_put_format(json, "%s\"%s\":", is_first ? "" : ",", names[field.number]);
        is_first = false;
        if (is_text) {
            out_put_json(json, field.bytes);
        } else if (field.number == 1) {
            out_put_text(json, field.value ? "true" : "false");
        } else {
            out_put_number(json, field.value);
        }
    }
    out_put_byte(json, '}');
    return e == ERR_CLOSED ? ERR_OK : e;
}

static enum err put_metric(struct sparkplug *s, struct slice message, unsigned depth);

/* Template.Parameter: name, type, and the members 3 to 8. */
static enum err put_parameter(void *context, struct slice message)
{
    struct out *json = context;
    struct protobuf_field field;
    struct protobuf_field value = {.number = 0};
    struct slice name = {NULL, 0};
    uint64_t type = SPARKPLUG_UNKNOWN;
    enum err e;
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        if ((field.number == 1 && field.kind != PROTOBUF_BYTES) ||
            (field.number == 2 && field.kind != PROTOBUF_VARINT)) {
            return ERR_CORRUPT;
        }
        name = field.number == 1 ? field.bytes : name;
        type = field.number == 2 ? field.value : type;
        value = field.number >= 3 && field.number <= 8 ? field : value;
    }
    const char *type_name = sparkplug_type_name(type);
    if (e != ERR_CLOSED || !type_name) {
        return ERR_CORRUPT;
    }
    out_put_text(json, "{\"name\":");
    out_put_json(json, name);
    out_put_format(json, ",\"datatype\":\"%s\",\"value\":", type_name);
    e = ERR_OK;
    if (value.number) {
        e = sparkplug_scalar(json, value.number - 3, type, &value);
    } else {
        out_put_text(json, "null");
    }
    out_put_byte(json, '}');
    return e;
}

/* The metrics of a payload, or of a template at this depth. */
struct nested {
    struct sparkplug *s;
    unsigned depth;
};

static enum err put_nested(void *context, struct slice message)
{
    struct nested *nested = context;
    return put_metric(nested->s, message, nested->depth);
}

static enum err put_template(struct sparkplug *s, struct slice message, unsigned depth)
{
    struct out *json = &s->text;
    struct protobuf_field field;
    struct slice rest = message;
    struct slice version = {NULL, 0};
    struct slice reference = {NULL, 0};
    bool is_definition = false;
    enum err e;
    while ((e = protobuf_next(&rest, &field)) == ERR_OK) {
        bool is_text = field.number == 1 || field.number == 4;
        if ((is_text && field.kind != PROTOBUF_BYTES) ||
            (field.number == 5 && field.kind != PROTOBUF_VARINT)) {
            return ERR_CORRUPT;
        }
        version = field.number == 1 ? field.bytes : version;
        reference = field.number == 4 ? field.bytes : reference;
        is_definition = field.number == 5 ? field.value != 0 : is_definition;
    }
    if (e != ERR_CLOSED) {
        return e;
    }
    out_put_text(json, "{\"reference\":");
    out_put_json(json, reference);
    out_put_text(json, ",\"version\":");
    out_put_json(json, version);
    out_put_format(json, ",\"is_definition\":%s,\"parameters\":", is_definition ? "true" : "false");
    e = sparkplug_array(json, message, 3, put_parameter, json);
    out_put_text(json, ",\"metrics\":");
    struct nested nested = {s, depth};
    e = e ? e : sparkplug_array(json, message, 2, put_nested, &nested);
    out_put_byte(json, '}');
    return e;
}

static enum err put_value(struct sparkplug *s, const struct metric *m, unsigned depth)
{
    const struct protobuf_field *value = &m->value;
    sparkplug_member(&s->text, "value");
    if (m->is_null || value->number == 0) {
        out_put_text(&s->text, "null");
        return ERR_OK;
    }
    if (value->number <= 15) {
        return sparkplug_scalar(&s->text, value->number - 10, m->type, value);
    }
    if (value->kind != PROTOBUF_BYTES || depth == SPARKPLUG_DEPTH_MAX) {
        return ERR_CORRUPT;
    }
    switch (value->number) {
    case 17:
        return sparkplug_dataset(&s->text, value->bytes);
    case 18:
        return put_template(s, value->bytes, depth + 1);
    default: /* bytes_value; an extension stands as its bytes */
        return sparkplug_bytes(&s->text, m->type, value->bytes);
    }
}

static void put_marks(struct out *json, const struct metric *m)
{
    if (m->is_historical) {
        sparkplug_member(json, "is_historical");
        out_put_text(json, "true");
    }
    if (m->is_transient) {
        sparkplug_member(json, "is_transient");
        out_put_text(json, "true");
    }
}

static enum err put_properties(struct out *json, struct slice properties, unsigned depth)
{
    struct protobuf_field quality;
    enum err e = sparkplug_properties(json, properties, "properties", depth, &quality);
    if (!e && quality.number) {
        sparkplug_member(json, "quality");
        e = sparkplug_scalar(json, 0, SPARKPLUG_INT32, &quality);
    }
    return e;
}

static void put_who(struct sparkplug *s, const struct metric *m)
{
    struct out *json = &s->text;
    size_t begin = json->size;
    if (m->name.data) {
        sparkplug_member(json, "name");
        out_put_json(json, m->name);
    }
    if (m->has_alias) {
        sparkplug_member(json, "alias");
        out_put_number(json, m->alias);
    }
    if (m->has_time || s->has_time) {
        sparkplug_member(json, "timestamp");
        out_put_number(json, m->has_time ? m->time_ms : s->time_ms);
    }
    if (m->type && sparkplug_type_name(m->type)) {
        out_put_format(json, ",\"datatype\":\"%s\"", sparkplug_type_name(m->type));
    }
    if (!json->overflow && json->size > begin) {
        json->data[begin] = '{'; /* in place of the first comma */
    } else {
        out_put_text(json, "{\"name\":null");
    }
}

static enum err put_metric(struct sparkplug *s, struct slice message, unsigned depth)
{
    struct metric m;
    enum err e = metric_read(message, &m);
    if (e) {
        return e;
    }
    if (depth == 0) {
        metric_complete(s, &m);
    }
    s->unnamed += !m.name.data;
    put_who(s, &m);
    e = put_value(s, &m, depth);
    put_marks(&s->text, &m);
    e = e || !m.metadata.data ? e : put_metadata(&s->text, m.metadata);
    e = e || !m.properties.data ? e : put_properties(&s->text, m.properties, depth);
    out_put_byte(&s->text, '}');
    return e;
}

/* --- payloads --- */

struct payload {
    bool has_sequence;
    uint64_t sequence;
    struct slice uuid;
    struct slice body;
};

static enum err payload_read(struct sparkplug *s, struct slice message, struct payload *ret)
{
    struct protobuf_field field;
    enum err e;
    *ret = (struct payload){.has_sequence = false};
    while ((e = protobuf_next(&message, &field)) == ERR_OK) {
        bool is_number = field.number == 1 || field.number == 3;
        bool is_bytes = field.number == 2 || field.number == 4 || field.number == 5;
        if ((is_number && field.kind != PROTOBUF_VARINT) ||
            (is_bytes && field.kind != PROTOBUF_BYTES)) {
            return ERR_CORRUPT;
        }
        if (field.number == 1) {
            s->has_time = true;
            s->time_ms = field.value;
        } else if (field.number == 3) {
            ret->has_sequence = true;
            ret->sequence = field.value;
        } else if (field.number == 4) {
            ret->uuid = field.bytes;
        } else if (field.number == 5) {
            ret->body = field.bytes;
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

static void put_head(struct sparkplug *s, const struct topic *topic, const struct payload *payload)
{
    struct out *json = &s->text;
    out_put_text(json, "{\"type\":");
    out_put_json(json, topic->type);
    sparkplug_member(json, "group");
    out_put_json(json, topic->group);
    sparkplug_member(json, "node");
    out_put_json(json, topic->node);
    if (topic->device.data) {
        sparkplug_member(json, "device");
        out_put_json(json, topic->device);
    }
    if (s->has_time) {
        sparkplug_member(json, "timestamp");
        out_put_number(json, s->time_ms);
    }
    if (payload->has_sequence) {
        sparkplug_member(json, "seq");
        out_put_number(json, payload->sequence);
    }
    if (payload->uuid.data) {
        sparkplug_member(json, "uuid");
        out_put_json(json, payload->uuid);
    }
    if (payload->body.data) {
        sparkplug_member(json, "body");
        out_put_byte(json, '"');
        hash_put_base64(json, payload->body);
        out_put_byte(json, '"');
    }
}

/* Who speaks, in the table of births. */
static void find_source(struct sparkplug *s, const struct topic *topic)
{
    uint8_t memory[BIRTH_SOURCE_SIZE_MAX];
    struct out path = out_over(memory, sizeof memory - 1);
    out_put_slice(&path, topic->group);
    out_put_byte(&path, '/');
    out_put_slice(&path, topic->node);
    out_put_text(&path, topic->device.data ? "/" : "");
    out_put_slice(&path, topic->device);
    struct slice type = {topic->type.data + 1, topic->type.size - 1};
    s->is_birth = slice_equal_text(type, "BIRTH");
    s->source = path.overflow ? BIRTH_SOURCE_MAX
                : s->is_birth ? births_begin(&s->births, out_slice(&path))
                              : births_source(&s->births, out_slice(&path));
}

enum err sparkplug_read(struct sparkplug *sparkplug, struct slice topic, struct slice payload,
                        struct sparkplug_message *ret, struct why *why)
{
    struct sparkplug *s = sparkplug;
    struct topic parts;
    struct payload head;
    *ret = (struct sparkplug_message){.text = payload};
    if (topic_is_state(topic)) {
        return ERR_OK;
    }
    if (!topic_read(topic, &parts)) {
        why_set(why, "not a Sparkplug B topic (spBv1.0/GROUP/TYPE/NODE, or /DEVICE behind it)");
        return ERR_REJECTED;
    }
    s->why = why;
    s->text.size = 0;
    s->text.overflow = false;
    s->has_time = false;
    s->unnamed = 0;
    if (payload_read(s, payload, &head)) {
        return corrupt(s, "it is no protobuf message with its fields");
    }
    find_source(s, &parts);
    put_head(s, &parts, &head);
    sparkplug_member(&s->text, "metrics");
    struct nested nested = {s, 0};
    if (sparkplug_array(&s->text, payload, 2, put_nested, &nested)) {
        return corrupt(s, "a metric can't be read");
    }
    out_put_byte(&s->text, '}');
    if (s->text.overflow) {
        why_set(why, "its JSON text would be longer than %zu bytes", s->text.size_max);
        return ERR_FULL;
    }
    ret->text = out_slice(&s->text);
    ret->has_time = s->has_time && s->time_ms <= INT64_MAX / 1000;
    ret->time_us = ret->has_time ? (int64_t)s->time_ms * 1000 : 0;
    ret->unnamed = s->unnamed;
    return ERR_OK;
}
