#include <stdlib.h>
#include <string.h>

#include "ports/lib/json.h"
#include "uplink/kafka/oauth.h"

/* What may stand in a header, and in the message to the broker (RFC 6750, 2.1, and a little more). */
static bool token_is_plain(struct slice token)
{
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] <= ' ' || token.data[i] > '~') {
            return false;
        }
    }
    return token.size > 0 && token.size <= SASL_ACCESS_TOKEN_SIZE_MAX;
}

static void error_put(char ret[160], struct slice text)
{
    size_t at = strlen(ret);
    if (at > 0 && at < 158) {
        memcpy(ret + at, ": ", 2);
        at += 2;
    }
    for (size_t i = 0; i < text.size && at < 159; i++) {
        ret[at++] = (char)(text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
    }
    ret[at < 159 ? at : 159] = '\0';
}

/* A number may be written as a text. What can't be unescaped stays as it is. */
static struct slice plain(struct slice value, struct out *scratch)
{
    struct slice text;
    return json_plain(value, scratch, &text) ? value : text;
}

/* What is over already counts as 0; what is no number leaves *ret as it is. */
static void take_seconds(struct slice text, uint64_t *ret)
{
    char number[20];
    char *end;
    if (!slice_to_text(text, number, sizeof number)) {
        return;
    }
    bool is_over = number[0] == '-';
    if (number[is_over] >= '0' && number[is_over] <= '9') {
        uint64_t seconds = strtoull(number + is_over, &end, 10);
        if (*end == '\0' || *end == '.') {
            *ret = is_over ? 0 : seconds;
        }
    }
}

static void member(struct slice key, struct slice value, struct oauth_answer *answer,
                   char ret_error[160])
{
    if (slice_equal_text(key, "access_token")) {
        answer->token = value;
    } else if (slice_equal_text(key, "expires_in")) {
        take_seconds(value, &answer->lifetime_s);
    } else if (slice_equal_text(key, "error") || slice_equal_text(key, "error_description")) {
        error_put(ret_error, value);
    }
}

enum err oauth_answer_parse(struct slice body, struct out *scratch, struct oauth_answer *ret,
                            char ret_error[160])
{
    struct json_reader reader;
    struct json_token token;
    struct oauth_answer answer = {.lifetime_s = OAUTH_LIFETIME_S_DEFAULT};
    struct slice key, value;
    ret_error[0] = '\0';
    json_init(&reader, body);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return ERR_CORRUPT;
    }
    enum err e;
    while (!(e = json_member(&reader, scratch, &key, &value))) {
        member(key, plain(value, scratch), &answer, ret_error);
    }
    if (e != ERR_CLOSED || !token_is_plain(answer.token)) {
        return ERR_CORRUPT;
    }
    if (answer.lifetime_s == 0) {
        error_put(ret_error, SLICE("expires_in says that it has ended already"));
        return ERR_CORRUPT;
    }
    *ret = answer;
    return ERR_OK;
}
