#include "uplink/aws/glue_answer.h"

#include "ports/lib/json.h"

/* What can't be unescaped is empty. */
static struct slice plain(struct slice value, struct out *scratch)
{
    struct slice text;
    return json_plain(value, scratch, &text) ? (struct slice){NULL, 0} : text;
}

static void text_keep(char *ret, size_t size, struct slice text)
{
    size_t count = text.size < size - 1 ? text.size : size - 1;
    for (size_t i = 0; i < count; i++) {
        ret[i] = (char)(text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
    }
    ret[count] = '\0';
}

static int digit_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "94a11363-3b9a-43ef-88c9-7c3a0da817b1" */
static bool uuid_parse(struct slice text, uint8_t ret[GLUE_ID_SIZE])
{
    size_t count = 0;
    if (text.size != 36) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23) {
            if (text.data[i] != '-') {
                return false;
            }
            continue;
        }
        int high = digit_of(text.data[i]), low = digit_of(text.data[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret[count++] = (uint8_t)(high << 4 | low);
        i++;
    }
    return true;
}

static enum glue_status status_of(struct slice text)
{
    static const char *const words[] = {[GLUE_UNKNOWN] = "",
                                        [GLUE_AVAILABLE] = "AVAILABLE",
                                        [GLUE_PENDING] = "PENDING",
                                        [GLUE_FAILURE] = "FAILURE",
                                        [GLUE_DELETING] = "DELETING"};
    for (size_t i = 1; i < ARRAY_COUNT(words); i++) {
        if (slice_equal_text(text, words[i])) {
            return (enum glue_status)i;
        }
    }
    return GLUE_UNKNOWN;
}

static int64_t version_of(struct slice text)
{
    int64_t value = 0;
    for (size_t i = 0; i < text.size && i < 9; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return 0;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    return text.size < 10 ? value : 0;
}

static void error_keep(struct glue_answer *answer, struct slice text)
{
    const uint8_t *hash = text.size ? memrchr(text.data, '#', text.size) : NULL;
    if (hash) {
        size_t before = (size_t)(hash + 1 - text.data);
        text = (struct slice){hash + 1, text.size - before};
    }
    text_keep(answer->error, sizeof answer->error, text);
}

static void member(struct glue_answer *answer, struct slice key, struct slice value)
{
    if (slice_equal_text(key, "SchemaVersionId")) {
        answer->has_id = uuid_parse(value, answer->id);
    } else if (slice_equal_text(key, "Status") || slice_equal_text(key, "SchemaVersionStatus")) {
        answer->status = status_of(value);
    } else if (slice_equal_text(key, "LatestSchemaVersion")) {
        answer->latest = version_of(value);
    } else if (slice_equal_text(key, "VersionNumber")) {
        answer->version = version_of(value);
    } else if (slice_equal_text(key, "Compatibility")) {
        text_keep(answer->compatibility, sizeof answer->compatibility, value);
    } else if (slice_equal_text(key, "SchemaDefinition")) {
        answer->definition = value;
    } else if (slice_equal_text(key, "__type")) {
        error_keep(answer, value);
    } else if (slice_equal_text(key, "message") || slice_equal_text(key, "Message")) {
        text_keep(answer->message, sizeof answer->message, value);
    }
}

void glue_answer_parse(struct slice body, struct out *scratch, struct glue_answer *ret)
{
    struct json_reader reader;
    struct json_token token;
    struct slice key, value;
    struct glue_answer answer = {.has_id = false};
    *ret = answer;
    json_init(&reader, body);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return;
    }
    enum err e;
    while (!(e = json_member(&reader, scratch, &key, &value))) {
        /* The status of a schema is no status of a version. */
        if (!slice_equal_text(key, "SchemaStatus")) {
            member(&answer, key, plain(value, scratch));
        }
    }
    if (e == ERR_CLOSED) {
        *ret = answer;
    }
}
