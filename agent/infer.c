/* Samples are looked at one by one, and what was seen is kept by place. */
#include <stdlib.h>
#include <string.h>

#include "agent/infer_impl.h"
#include "ports/lib/json.h"
#include "uplink/avro/encode.h"
#include "uplink/avro/number.h"
#include "uplink/avro/schema.h"

#define TEXT_SIZE_MAX ((size_t)1024 * 1024)

enum err infer_open(struct infer **ret)
{
    struct infer *infer = calloc(1, sizeof *infer);
    if (!infer) {
        return ERR_NOMEM;
    }
    infer->text = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    if (!infer->text.data) {
        free(infer);
        return ERR_NOMEM;
    }
    *ret = infer;
    return ERR_OK;
}

void infer_close(struct infer *infer)
{
    if (infer) {
        infer_release(&infer->root);
        free(infer->text.data);
        free(infer);
    }
}

static enum err shape_new(struct infer *infer, struct slice name, struct shape **ret,
                          struct why *why)
{
    if (infer->shape_count == INFER_SHAPE_MAX) {
        why_set(why, "more than %d different fields", INFER_SHAPE_MAX);
        return ERR_REJECTED;
    }
    struct shape *shape = calloc(1, sizeof *shape);
    enum err e = shape ? infer_copy(name, &shape->name) : ERR_NOMEM;
    if (e) {
        free(shape);
        return e;
    }
    infer->shape_count++;
    *ret = shape;
    return ERR_OK;
}

bool infer_is_name(struct slice text)
{
    return avro_name_is_valid(text) && text.size <= INFER_NAME_SIZE_MAX;
}

/* --- scalars --- */

static enum err see_number(struct shape *shape, struct slice text, struct why *why)
{
    struct number_size size;
    int64_t whole;
    if (!number_size_of(text, &size) || size.before > DECIMAL_DIGIT_MAX / 2 ||
        size.behind > DECIMAL_DIGIT_MAX / 2) {
        why_set(why, "a number of more than %d digits before or behind its point",
                DECIMAL_DIGIT_MAX / 2);
        return ERR_REJECTED;
    }
    shape->numbers++;
    shape->digits_before = size.before > shape->digits_before ? size.before : shape->digits_before;
    shape->digits_behind = size.behind > shape->digits_behind ? size.behind : shape->digits_behind;
    bool is_whole = !memchr(text.data, '.', text.size) && !memchr(text.data, 'e', text.size) &&
                    !memchr(text.data, 'E', text.size);
    shape->reals += !is_whole;
    shape->beyond_long = shape->beyond_long || (is_whole && number_to_long(text, &whole));
    shape->beyond_double = shape->beyond_double || !size.is_double;
    return ERR_OK;
}

/* Digits of the second's fraction; -1: it is no time stamp. */
static int time_digits(struct slice text)
{
    int64_t seconds;
    uint32_t nanos;
    int digits = 0;
    const uint8_t *point = text.size ? memchr(text.data, '.', text.size) : NULL;
    if (!avro_timestamp_of(text, false, &seconds, &nanos)) {
        return -1;
    }
    while (point && point + 1 + digits < text.data + text.size && point[1 + digits] >= '0' &&
           point[1 + digits] <= '9') {
        digits++;
    }
    return digits;
}

static enum err see_text(struct shape *shape, struct slice text)
{
    int digits = time_digits(text);
    shape->texts++;
    shape->time_texts += digits >= 0;
    shape->time_digits = digits > shape->time_digits ? digits : shape->time_digits;
    shape->name_texts += infer_is_name(text);
    return infer_remember(shape, text, 1);
}

/* --- all values --- */

static enum err see(struct infer *infer, struct shape *shape, struct slice json, unsigned depth,
                    struct why *why);

static enum err member_of(struct infer *infer, struct shape *shape, struct slice key,
                          struct shape **ret, struct why *why)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        if (slice_equal(shape->members[i]->name, key)) {
            *ret = shape->members[i];
            return ERR_OK;
        }
    }
    struct shape **grown =
        realloc(shape->members, (shape->member_count + 1) * sizeof(struct shape *));
    if (!grown) {
        return ERR_NOMEM;
    }
    shape->members = grown;
    enum err e = shape_new(infer, key, ret, why);
    if (!e) {
        shape->members[shape->member_count++] = *ret;
    }
    return e;
}

/* What the members had becomes what the map's values have. */
static enum err become_map(struct infer *infer, struct shape *shape, struct why *why)
{
    enum err e = shape_new(infer, (struct slice){NULL, 0}, &shape->values_of_map, why);
    for (size_t i = 0; !e && i < shape->member_count; i++) {
        e = infer_merge(shape->values_of_map, shape->members[i]);
    }
    return e;
}

static enum err see_member(struct infer *infer, struct shape *shape, struct slice key,
                           struct slice value, unsigned depth, struct why *why)
{
    enum err e = ERR_OK;
    struct shape *member = NULL;
    bool is_field = infer_is_name(key) && shape->member_count < INFER_FIELD_MAX;
    if (depth == 0 && !is_field) {
        why_set(why,
                "member \"%.*s\" can't be a field of an event: at most %d, and names of letters, "
                "digits and _; rename it at its source, or set a field from it in a route",
                (int)(key.size < 80 ? key.size : 80), (const char *)key.data, INFER_FIELD_MAX);
        return ERR_REJECTED;
    }
    if (!is_field && !shape->values_of_map) {
        e = become_map(infer, shape, why);
    }
    if (!e && !shape->values_of_map) {
        e = member_of(infer, shape, key, &member, why);
    }
    return e ? e : see(infer, member ? member : shape->values_of_map, value, depth + 1, why);
}

static enum err see_members(struct infer *infer, struct shape *shape, struct slice json,
                            unsigned depth, struct why *why)
{
    struct json_reader reader;
    struct json_token token;
    json_init(&reader, json);
    enum err e = json_next(&reader, &token);
    while (!e) {
        struct slice key;
        struct slice value;
        size_t before = infer->text.size;
        e = json_member(&reader, &infer->text, &key, &value);
        if (e) {
            break;
        }
        e = see_member(infer, shape, key, value, depth, why); /* the key's text is still there */
        infer->text.size = before;
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

static enum err see_elements(struct infer *infer, struct shape *shape, struct slice json,
                             unsigned depth, struct why *why)
{
    struct json_reader reader;
    struct json_token token;
    if (!shape->elements) {
        enum err e = shape_new(infer, (struct slice){NULL, 0}, &shape->elements, why);
        if (e) {
            return e;
        }
    }
    json_init(&reader, json);
    enum err e = json_next(&reader, &token);
    while (!e) {
        struct slice value;
        e = json_skip(&reader, &value);
        e = e ? e : see(infer, shape->elements, value, depth + 1, why);
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

static enum err see_string(struct infer *infer, struct shape *shape, struct slice json,
                           struct why *why)
{
    struct json_reader reader;
    struct json_token token;
    struct slice text;
    size_t before = infer->text.size;
    json_init(&reader, json);
    enum err e = json_next(&reader, &token);
    e = e ? e : json_string(&token, &infer->text, &text);
    infer->text.size = before;
    infer->text.overflow = false;
    if (e == ERR_FULL) {
        why_set(why, "a text of more than %zu bytes", TEXT_SIZE_MAX);
        return ERR_REJECTED;
    }
    return e ? e : see_text(shape, text);
}

static enum err see(struct infer *infer, struct shape *shape, struct slice json, unsigned depth,
                    struct why *why)
{
    if (depth > INFER_DEPTH_MAX) {
        why_set(why, "nested more than %d deep", INFER_DEPTH_MAX);
        return ERR_REJECTED;
    }
    shape->seen++;
    switch (json.data[0]) {
    case '{':
        shape->objects++;
        return see_members(infer, shape, json, depth, why);
    case '[':
        shape->lists++;
        return see_elements(infer, shape, json, depth, why);
    case '"':
        return see_string(infer, shape, json, why);
    case 'n':
        shape->nulls++;
        return ERR_OK;
    case 't':
    case 'f':
        shape->booleans++;
        return ERR_OK;
    default:
        return see_number(shape, json, why);
    }
}

enum err infer_add(struct infer *infer, struct slice json, struct why *why)
{
    struct json_reader reader;
    struct slice value;
    json_init(&reader, json);
    enum err e = json_skip(&reader, &value);
    if (e) {
        *why = reader.why;
        return e == ERR_CLOSED ? ERR_CORRUPT : e;
    }
    if (json_end(&reader) != json.size) {
        why_set(why, "something follows behind the value at byte %zu", json_end(&reader));
        return ERR_CORRUPT;
    }
    if (value.data[0] != '{') {
        why_set(why, "not a JSON object: an event is one, its members are the fields");
        return ERR_REJECTED;
    }
    return see(infer, &infer->root, value, 0, why);
}
