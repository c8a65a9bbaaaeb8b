#include "uplink/registry/answer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"

/* One line, whatever it was; a character that has no room is left out whole. Escapes are resolved
 * when there is room for the text as it is written. */
static void message_add(const struct json_token *token, struct registry_answer *ret)
{
    struct slice text = token->text;
    size_t size = strlen(ret->message);
    size_t room = sizeof ret->message - 1;
    if (size > 0 && size + 2 < room) {
        memcpy(ret->message + size, "; ", 2);
        size += 2;
    }
    struct out place = out_over(ret->message + size, room - size); /* it may get there at once */
    if (json_string(token, &place, &text)) {
        text = token->text;
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

/* The value that comes next: a string, or a list of them. */
static enum err message_value(struct json_reader *reader, struct registry_answer *ret)
{
    struct json_token token;
    unsigned depth = reader->depth;
    do {
        enum err e = json_next(reader, &token);
        if (e) {
            return e;
        }
        if (token.kind == JSON_STRING) {
            message_add(&token, ret);
        }
    } while (reader->depth > depth);
    return ERR_OK;
}

static bool is_message(struct slice key)
{
    return slice_equal_text(key, "message") || slice_equal_text(key, "messages") ||
           slice_equal_text(key, "reason");
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
    enum err e = ERR_OK;
    while (!e && !json_next(&reader, &token) && token.kind == JSON_KEY) {
        struct slice value;
        struct slice key = token.text;
        if (is_message(key)) {
            e = message_value(&reader, ret);
        } else {
            e = json_skip(&reader, &value);
            if (!e) {
                answer_member(key, value, ret);
            }
        }
    }
    assert(memchr(ret->message, '\0', sizeof ret->message));
}
