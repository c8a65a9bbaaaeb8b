#include "uplink/registry/answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"

/* One line, whatever it was; a character that has no room is left out whole. */
static void message_add(struct slice text, struct registry_answer *ret)
{
    size_t size = strlen(ret->message);
    size_t room = sizeof ret->message - 1;
    if (size > 0 && size + 2 < room) {
        memcpy(ret->message + size, "; ", 2);
        size += 2;
    }
    for (size_t i = 0; i < text.size && size < room; i++) {
        uint8_t c = text.data[i];
        ret->message[size++] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    while (size > 0 && !slice_is_utf8((struct slice){(const uint8_t *)ret->message, size})) {
        size--;
    }
    ret->message[size] = '\0';
}

/* A string, its escapes resolved as far as there is room for them. */
static void message_string(const struct json_token *token, struct registry_answer *ret)
{
    uint8_t memory[4 * REGISTRY_MESSAGE_SIZE];
    struct out scratch = out_over(memory, sizeof memory);
    struct slice text = token->text;
    if (token->has_escapes && json_string(token, &scratch, &text)) {
        text = token->text; /* too long to be shown whole anyway */
    }
    message_add(text, ret);
}

/* A string, or a list of them. */
static void message_value(struct slice value, struct registry_answer *ret)
{
    struct json_reader reader;
    struct json_token token;
    json_init(&reader, value);
    while (json_next(&reader, &token) == ERR_OK) {
        if (token.kind == JSON_STRING) {
            message_string(&token, ret);
        }
    }
}

/* A whole number from 0 to 2^31-1, as Java's int has it. */
static bool number_of(struct slice value, uint32_t *ret)
{
    char text[24];
    char *end;
    if (!slice_to_text(value, text, sizeof text) || text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long long number = strtoull(text, &end, 10);
    if (*end != '\0' || number > INT32_MAX) {
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

static void answer_member(struct slice key, struct slice value, struct registry_answer *ret)
{
    uint32_t number;
    if (slice_equal_text(key, "id")) {
        ret->has_id = number_of(value, &ret->id);
    } else if (slice_equal_text(key, "version") && number_of(value, &number)) {
        ret->version = number;
    } else if (slice_equal_text(key, "error_code") && number_of(value, &number)) {
        ret->error_code = number;
    } else if (slice_equal_text(key, "is_compatible")) {
        ret->is_compatible = slice_equal_text(value, "true");
        ret->has_verdict = ret->is_compatible || slice_equal_text(value, "false");
    } else if (slice_equal_text(key, "message") || slice_equal_text(key, "messages") ||
               slice_equal_text(key, "reason")) {
        message_value(value, ret);
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
    assert(memchr(ret->message, '\0', sizeof ret->message));
}
