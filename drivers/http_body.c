#include "drivers/http_body.h"

#include <assert.h>

enum http_body_form { FORM_VALUE, FORM_ARRAY, FORM_LINES };

static bool http_body_is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void http_body_skip_space(struct http_body *body)
{
    while (body->at < body->text.size && http_body_is_space(body->text.data[body->at])) {
        body->at++;
    }
}

static struct slice http_body_trim(struct slice s)
{
    while (s.size && http_body_is_space(s.data[0])) {
        s.data++;
        s.size--;
    }
    while (s.size && http_body_is_space(s.data[s.size - 1])) {
        s.size--;
    }
    return s;
}

/* The offset behind a string that begins at `at`; 0: it has no end. */
static size_t http_body_string_end(struct slice text, size_t at)
{
    for (at++; at < text.size; at++) {
        if (text.data[at] == '\\') {
            at++;
        } else if (text.data[at] == '"') {
            return at + 1;
        }
    }
    return 0;
}

/* The offset at which the value that begins at `at` ends: before a comma, a closing bracket, or,
 * for an object, an array, or a string, behind it. 0: brackets or quotes do not match. */
static size_t http_body_value_end(struct slice text, size_t at)
{
    uint8_t open[HTTP_BODY_DEPTH_MAX];
    size_t depth = 0;
    while (at < text.size) {
        uint8_t c = text.data[at];
        if (c == '"') {
            at = http_body_string_end(text, at);
            if (at == 0) {
                return 0;
            }
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == HTTP_BODY_DEPTH_MAX) {
                return 0;
            }
            open[depth++] = c == '{' ? '}' : ']';
        } else if (depth == 0 && (c == ',' || c == ']' || c == '}')) {
            return at;
        } else if (c == '}' || c == ']') {
            if (open[--depth] != c) {
                return 0;
            }
        }
        at++;
    }
    return depth == 0 ? at : 0;
}

/* An array's next element; the place behind it is a comma, or the closing bracket. */
static enum err http_body_element(struct http_body *body, struct slice *ret, struct why *why)
{
    size_t first = body->at;
    size_t end = http_body_value_end(body->text, first);
    struct slice element =
        http_body_trim((struct slice){body->text.data + first, end > first ? end - first : 0});
    if (element.size == 0 || end == body->text.size || body->text.data[end] == '}') {
        why_set(why, "element %llu of the array, at byte %zu, is empty or has no end",
                (unsigned long long)body->line + 1, first);
        return ERR_CORRUPT;
    }
    body->at = end + 1;
    body->line++;
    if (body->text.data[end] == ']') {
        http_body_skip_space(body);
        if (body->at < body->text.size) {
            why_set(why, "text follows the array, at byte %zu", body->at);
            return ERR_CORRUPT;
        }
    }
    *ret = element;
    return ERR_OK;
}

static enum err http_body_init_array(struct http_body *body, uint64_t *ret_count, struct why *why)
{
    body->form = FORM_ARRAY;
    http_body_skip_space(body);
    body->at++; /* '[' */
    http_body_skip_space(body);
    if (body->at < body->text.size && body->text.data[body->at] == ']') {
        body->at++;
        http_body_skip_space(body);
        if (body->at < body->text.size) {
            why_set(why, "text follows the array, at byte %zu", body->at);
            return ERR_CORRUPT;
        }
        *ret_count = 0;
        return ERR_OK;
    }
    struct http_body walk = *body;
    do {
        struct slice element;
        enum err e = http_body_element(&walk, &element, why);
        if (e) {
            return e;
        }
    } while (walk.at < walk.text.size || walk.text.data[walk.at - 1] == ',');
    *ret_count = walk.line;
    return ERR_OK;
}

/* Is it one value and nothing more? An object's end must be the body's. */
static bool http_body_is_value(const struct http_body *body)
{
    struct slice text = http_body_trim(body->text);
    if (text.size == 0) {
        return false;
    }
    size_t end = http_body_value_end(text, 0);
    if (end != text.size) {
        return false;
    }
    if (text.data[0] != '{') {
        return !memchr(text.data, '\n', text.size);
    }
    /* {"a":1} {"b":2} has matching brackets, too: the first one must be closed by the last. */
    size_t depth = 0;
    for (size_t at = 0; at < text.size;) {
        uint8_t c = text.data[at];
        if (c == '"') {
            at = http_body_string_end(text, at);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        at++;
        if (depth == 0) {
            return at == text.size;
        }
    }
    return false;
}

static bool http_body_next_line(struct http_body *body, struct slice *ret, uint64_t *ret_line)
{
    while (body->at < body->text.size) {
        struct slice rest = {body->text.data + body->at, body->text.size - body->at};
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        struct slice line = {rest.data, end ? (size_t)(end - rest.data) : rest.size};
        body->at += line.size + (end ? 1 : 0);
        body->line++;
        line = http_body_trim(line);
        if (line.size) {
            *ret = line;
            *ret_line = body->line;
            return true;
        }
    }
    return false;
}

enum err http_body_init(struct http_body *body, struct slice text, enum http_body_kind kind,
                        uint64_t *ret_count, struct why *why)
{
    struct http_body made = {.text = text};
    struct http_body walk = made;
    http_body_skip_space(&walk);
    uint8_t first = walk.at < text.size ? text.data[walk.at] : 0;
    enum err e = ERR_OK;
    if (kind != HTTP_BODY_LINES && first == '[') {
        e = http_body_init_array(&made, ret_count, why);
    } else if (kind != HTTP_BODY_LINES && http_body_is_value(&made)) {
        made.form = FORM_VALUE;
        *ret_count = 1;
    } else if (kind == HTTP_BODY_JSON) {
        why_set(why, "the body is not one JSON value: for one event a line, say Content-Type: "
                     "application/x-ndjson");
        e = ERR_CORRUPT;
    } else {
        made.form = FORM_LINES;
        walk = made;
        uint64_t count = 0;
        struct slice line;
        uint64_t number;
        while (http_body_next_line(&walk, &line, &number)) {
            count++;
        }
        *ret_count = count;
    }
    if (!e) {
        *body = made;
    }
    return e;
}

bool http_body_next(struct http_body *body, struct slice *ret, uint64_t *ret_line)
{
    if (body->form == FORM_LINES) {
        return http_body_next_line(body, ret, ret_line);
    }
    if (body->at >= body->text.size) {
        return false;
    }
    if (body->form == FORM_VALUE) {
        *ret = http_body_trim(body->text);
        body->at = body->text.size;
        body->line++;
    } else {
        enum err e = http_body_element(body, ret, NULL);
        assert(e == ERR_OK); /* http_body_init() went the same way */
    }
    *ret_line = body->line;
    return true;
}
