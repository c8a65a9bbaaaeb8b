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

static void put_escaped(struct out *o, struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            out_put_byte(o, c);
        } else {
            out_put_format(o, "%%%02X", c);
        }
    }
}

void registry_url_put(const struct registry_options *options, const char *folder,
                      struct slice subject, struct out *ret)
{
    size_t base = strlen(options->url);
    while (base > 0 && options->url[base - 1] == '/') {
        base--;
    }
    out_put(ret, options->url, base);
    out_put_text(ret, folder);
    put_escaped(ret, subject);
}
