#include "uplink/registry/answer.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"

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
    } else if (slice_equal_text(key, "message") && value.size >= 2) {
        struct out text = out_over(ret->message, sizeof ret->message - 1);
        size_t size = value.size - 2 < text.size_max ? value.size - 2 : text.size_max;
        out_put(&text, value.data + 1, size); /* escapes stay: it is for the log */
        ret->message[text.size] = '\0';
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
