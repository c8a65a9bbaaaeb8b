#include <string.h>

#include "ports/lib/json.h"
#include "uplink/registry/registry.h"

/* The full name of the schema's type: "namespace" and "name" of the outermost object. */
static enum err full_name(struct slice schema, struct out *ret)
{
    struct json_reader reader;
    struct json_token token;
    struct slice name = {NULL, 0}, space = {NULL, 0};
    json_init(&reader, schema);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return ERR_CORRUPT;
    }
    while (!json_next(&reader, &token) && token.kind == JSON_KEY) {
        bool is_name = slice_equal_text(token.text, "name");
        bool is_space = slice_equal_text(token.text, "namespace");
        struct slice value;
        if (json_skip(&reader, &value)) {
            return ERR_CORRUPT;
        }
        if ((is_name || is_space) && value.size >= 2 && value.data[0] == '"') {
            *(is_name ? &name : &space) = (struct slice){value.data + 1, value.size - 2};
        }
    }
    if (name.size == 0) {
        return ERR_CORRUPT;
    }
    if (space.size > 0 && !memchr(name.data, '.', name.size)) {
        out_put_slice(ret, space);
        out_put_byte(ret, '.');
    }
    out_put_slice(ret, name);
    return ret->overflow ? ERR_FULL : ERR_OK;
}

enum err registry_subject_put(enum registry_subject kind, const char *topic, struct slice schema,
                              struct out *ret)
{
    if (kind != REGISTRY_RECORD_NAME) {
        out_put_text(ret, topic);
        out_put_byte(ret, '-');
    }
    if (kind == REGISTRY_TOPIC_NAME) {
        out_put_text(ret, "value");
        return ret->overflow ? ERR_FULL : ERR_OK;
    }
    return full_name(schema, ret);
}
