#include "uplink/aws/aws_error.h"

#include "ports/lib/json.h"
#include "uplink/aws/cbor.h"

#define SCRATCH_SIZE \
    1024 /* unescaped; a longer message is left out, and its name is in a header too */

/* --- what it says --- */

struct slice aws_error_name(struct slice type)
{
    const uint8_t *hash = type.size ? memchr(type.data, '#', type.size) : NULL;
    if (hash) {
        type.size -= (size_t)(hash + 1 - type.data);
        type.data = hash + 1;
    }
    const uint8_t *colon = type.size ? memchr(type.data, ':', type.size) : NULL;
    if (colon) {
        type.size = (size_t)(colon - type.data);
    }
    return type;
}

/* Cut where it does not fit; what can't be printed becomes a space. */
static void text_copy(char *ret, size_t size_max, struct slice text)
{
    size_t size = text.size < size_max - 1 ? text.size : size_max - 1;
    for (size_t i = 0; i < size; i++) {
        bool is_control = text.data[i] < ' ' || text.data[i] == 0x7f;
        memcpy(&ret[i], is_control ? (const uint8_t *)" " : &text.data[i], 1);
    }
    ret[size] = '\0';
}

static void member_take(struct aws_error *error, struct slice name, struct slice value)
{
    if (slice_equal_text(name, "__type") && !error->type[0]) {
        text_copy(error->type, sizeof error->type, aws_error_name(value));
    } else if (slice_equal_text(name, "message") || slice_equal_text(name, "Message")) {
        text_copy(error->text, sizeof error->text, value);
    }
}

static void read_json(struct aws_error *error, struct slice body)
{
    struct json_reader reader;
    uint8_t memory[SCRATCH_SIZE];
    struct json_token token;
    json_init(&reader, body);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return;
    }
    while (!json_next(&reader, &token) && token.kind == JSON_KEY) {
        struct out scratch = out_over(memory, sizeof memory);
        struct json_token value;
        struct slice name, text;
        if (json_string(&token, &scratch, &name)) {
            return;
        }
        if (json_next(&reader, &value) || value.kind == JSON_OBJECT_BEGIN ||
            value.kind == JSON_ARRAY_BEGIN) {
            return; /* no error of AWS has them before what is looked for */
        }
        if (value.kind == JSON_STRING && !json_string(&value, &scratch, &text)) {
            member_take(error, name, text);
        }
    }
}

static void read_cbor(struct aws_error *error, struct slice body)
{
    struct cbor_item map;
    uint64_t given = 0;
    if (cbor_take(&body, &map) || map.kind != CBOR_MAP) {
        return;
    }
    while (cbor_more(&body, &map, &given)) {
        struct slice name, text;
        if (cbor_text(&body, &name) || cbor_text(&body, &text)) {
            return;
        }
        if (text.data) {
            member_take(error, name, text);
        }
    }
}

static struct slice between(struct slice text, const char *before, const char *after)
{
    const struct slice none = {NULL, 0};
    const uint8_t *begin = memmem(text.data, text.size, before, strlen(before));
    if (!begin) {
        return none;
    }
    begin += strlen(before);
    size_t left = text.size - (size_t)(begin - text.data);
    const uint8_t *end = memmem(begin, left, after, strlen(after));
    return end ? (struct slice){begin, (size_t)(end - begin)} : none;
}

static void read_xml(struct aws_error *error, struct slice body)
{
    struct slice code = between(body, "<Code>", "</Code>");
    if (code.data && !error->type[0]) {
        text_copy(error->type, sizeof error->type, code);
    }
    struct slice text = between(body, "<Message>", "</Message>");
    if (text.data) {
        text_copy(error->text, sizeof error->text, text);
    }
}

void aws_error_read(struct aws_error *ret, struct slice header_type, struct slice body)
{
    *ret = (struct aws_error){"", ""};
    text_copy(ret->type, sizeof ret->type, aws_error_name(header_type));
    if (body.size == 0) {
        return;
    }
    uint8_t first = body.data[0];
    if (first >> 5 == CBOR_MAP) {
        read_cbor(ret, body);
    } else if (first == '<') {
        read_xml(ret, body);
    } else {
        read_json(ret, body);
    }
}

/* --- what is to be done --- */

static const struct {
    const char *type;
    enum aws_action action;
} known[] = {
    {"ProvisionedThroughputExceededException", AWS_SLOW_DOWN},
    {"KMSThrottlingException", AWS_SLOW_DOWN},
    {"LimitExceededException", AWS_SLOW_DOWN},
    {"ThrottlingException", AWS_SLOW_DOWN},
    {"Throttling", AWS_SLOW_DOWN},
    {"RequestLimitExceeded", AWS_SLOW_DOWN},
    {"ServiceUnavailableException", AWS_SLOW_DOWN},
    {"ServiceUnavailable", AWS_AGAIN},
    {"InternalFailure", AWS_AGAIN},
    {"InternalFailureException", AWS_AGAIN},
    {"InternalServerError", AWS_AGAIN},
    {"RequestTimeout", AWS_AGAIN},
    {"ResourceInUseException", AWS_SLOW_DOWN}, /* the stream is being made */
    {"ResourceNotFoundException", AWS_MISSING},
    {"InvalidArgumentException", AWS_REFUSED},
    {"ValidationException", AWS_REFUSED},
    {"ValidationError", AWS_REFUSED},
    {"InvalidSourceException", AWS_STOP},
    {"SerializationException", AWS_HALVE},
    {"RequestEntityTooLargeException", AWS_HALVE},
    {"ExpiredTokenException", AWS_CREDENTIALS},
    {"ExpiredToken", AWS_CREDENTIALS},
    {"InvalidSignatureException", AWS_CLOCK},
    {"RequestExpired", AWS_CLOCK},
    {"RequestTimeTooSkewed", AWS_CLOCK},
    {"AccessDeniedException", AWS_STOP},
    {"AccessDenied", AWS_STOP},
    {"UnrecognizedClientException", AWS_STOP},
    {"InvalidClientTokenId", AWS_STOP},
    {"SignatureDoesNotMatch", AWS_CLOCK}, /* as old clocks and wrong secrets are both told */
    {"MissingAuthenticationTokenException", AWS_STOP},
    {"MissingAuthenticationToken", AWS_STOP},
    {"IncompleteSignatureException", AWS_STOP},
    {"IncompleteSignature", AWS_STOP},
    {"NotAuthorized", AWS_STOP},
    {"OptInRequired", AWS_STOP},
    {"SubscriptionRequiredException", AWS_STOP},
    {"KMSAccessDeniedException", AWS_STOP},
    {"KMSDisabledException", AWS_STOP},
    {"KMSInvalidStateException", AWS_STOP},
    {"KMSNotFoundException", AWS_STOP},
    {"KMSOptInRequired", AWS_STOP},
    {"InvalidKMSResourceException", AWS_STOP},
    {"UnknownOperationException", AWS_STOP},
};

static enum aws_action status_action(long status)
{
    if (status == 408 || status == 425 || status >= 500) {
        return AWS_AGAIN;
    }
    if (status == 429) {
        return AWS_SLOW_DOWN;
    }
    if (status == 413) {
        return AWS_HALVE;
    }
    return status == 400 || status == 409 || status == 422 ? AWS_REFUSED : AWS_STOP;
}

enum aws_action aws_error_action(const struct aws_error *error, long status)
{
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (strcmp(error->type, known[i].type) == 0) {
            return known[i].action;
        }
    }
    return status_action(status);
}

const char *aws_error_advice(enum aws_action action)
{
    switch (action) {
    case AWS_SLOW_DOWN:
        return "the service asks for less; tried again";
    case AWS_AGAIN:
        return "the service failed; tried again";
    case AWS_HALVE:
        return "too large, or not understood";
    case AWS_REFUSED:
        return "the service refuses it";
    case AWS_MISSING:
        return "is the stream's name right, and the region?";
    case AWS_STOP:
        return "check the credentials and their rights";
    case AWS_CREDENTIALS:
        return "the credentials have ended: renew them";
    case AWS_CLOCK:
        return "check the secret key, and the clock";
    }
    return "";
}
