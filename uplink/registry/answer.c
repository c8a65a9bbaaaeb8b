#include "uplink/registry/answer.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"

/* Escapes stay: it is for the log. So do brackets and quotes of a list, but not its line breaks. */
static void answer_message(struct slice text, struct registry_answer *ret)
{
    size_t size = 0;
    for (size_t i = 0; i < text.size && size < sizeof ret->message - 1; i++) {
        if (text.data[i] >= ' ') {
            ret->message[size++] = (char)text.data[i];
        }
    }
    ret->message[size] = '\0';
}

static void answer_member(struct slice key, struct slice value, struct registry_answer *ret)
{
    char number[24];
    if (slice_equal_text(key, "id") && slice_to_text(value, number, sizeof number)) {
        char *end;
        unsigned long long id = strtoull(number, &end, 10);
        ret->has_id = *end == '\0' && number[0] >= '0' && number[0] <= '9' && id <= INT32_MAX;
        ret->id = (uint32_t)id;
    } else if (slice_equal_text(key, "error_code") && slice_to_text(value, number, sizeof number)) {
        ret->error_code = strtoll(number, NULL, 10);
    } else if (slice_equal_text(key, "is_compatible")) {
        ret->is_compatible = slice_equal_text(value, "true");
    } else if ((slice_equal_text(key, "message") || slice_equal_text(key, "messages")) &&
               value.size >= 2) {
        answer_message((struct slice){value.data + 1, value.size - 2}, ret);
    }
}

void registry_answer_parse(struct slice body, struct registry_answer *ret)
{
    struct json_reader reader;
    struct json_token token;
    *ret = (struct registry_answer){0};
    json_init(&reader, body);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return;
    }
    while (!json_next(&reader, &token) && token.kind == JSON_KEY) {
        struct slice value;
        struct slice key = token.text;
        if (json_skip(&reader, &value)) {
            return;
        }
        answer_member(key, value, ret);
    }
}
