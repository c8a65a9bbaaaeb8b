#include <assert.h>
#include <string.h>

#include "ports/lib/json_impl.h"

/* What may come next. */
enum json_state {
    STATE_VALUE,     /* a value: the document's, after a colon, after a comma in an array */
    STATE_ELEMENT,   /* after '[': a value or ']' */
    STATE_KEY,       /* after ',' in an object: a key */
    STATE_KEY_FIRST, /* after '{': a key or '}' */
    STATE_AFTER,     /* after a value: ',' or the end of what is open */
    STATE_DONE,      /* the document's value is complete */
    STATE_FAILED,
};

/* Bytes that end the plain run within a string: quote, backslash, controls. Bytes from 0x80 on are
 * checked when the string is complete: inside well-formed UTF-8 none of them looks like these. */
static bool json_is_special(uint8_t byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

static_assert(JSON_KEY_MAX <= UINT16_MAX && JSON_KEY_LIST <= UINT8_MAX, "counts fit json_frame");

enum err json_fail_as(struct json_reader *r, enum err e, size_t offset, const char *text)
{
    r->state = STATE_FAILED;
    r->error = e;
    r->error_offset = offset;
    why_set(&r->why, "%s at byte %zu", text, offset);
    return e;
}

enum err json_fail(struct json_reader *r, size_t offset, const char *text)
{
    bool is_end = offset >= r->input.size;
    return json_fail_as(r, ERR_CORRUPT, offset, is_end ? "the text ends too early" : text);
}

void json_init(struct json_reader *reader, struct slice input)
{
    json_init_deep(reader, input, NULL, 0);
}

void json_init_deep(struct json_reader *reader, struct slice input, struct json_frame *deep,
                    unsigned deep_count)
{
    reader->depth_max = JSON_DEPTH_MAX + deep_count;
    reader->deep = deep;
    reader->input = input;
    reader->at = 0;
    reader->depth = 0;
    reader->state = STATE_VALUE;
    reader->error = ERR_OK;
    reader->key_count = 0;
    reader->list_count = 0;
    reader->rescanned = 0;
    reader->why.text[0] = 0;
    reader->error_offset = 0;
    if (input.size >= UINT32_MAX) {
        (void)json_fail_as(reader, ERR_REJECTED, 0, "JSON text over 4 GiB");
    }
}

static size_t json_white_space(struct slice input, size_t at)
{
    while (at < input.size && input.data[at] <= ' ' &&
           (input.data[at] == ' ' || input.data[at] == '\n' || input.data[at] == '\r' ||
            input.data[at] == '\t')) {
        at++;
    }
    return at;
}

size_t json_end(struct json_reader *reader)
{
    return json_white_space(reader->input, reader->at);
}

/* Where the plain run of a string that starts at `at` ends: eight bytes a step, then one by one. */
static size_t json_plain_run(struct slice input, size_t at, uint64_t *high_bits)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones * 0x80;
    while (input.size - at >= 8) {
        uint64_t word;
        memcpy(&word, input.data + at, 8);
        uint64_t quote = word ^ ones * '"';
        uint64_t slash = word ^ ones * '\\';
        /* A top bit is set where a byte is below 0x20, or zero after the xor; bytes from 0x80 on
         * are masked out. A borrow can only mark a byte above a true find. */
        uint64_t found = (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
                          ((slash - ones) & ~slash)) &
                         tops;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        if (found) {
            *high_bits |= word & tops & (found ^ (found - 1)) >> 8; /* of the bytes before it */
            return at + (size_t)__builtin_ctzll(found) / 8;
        }
#else
        if (found) {
            break;
        }
#endif
        *high_bits |= word & tops;
        at += 8;
    }
    while (at < input.size && !json_is_special(input.data[at])) {
        *high_bits |= input.data[at] & 0x80;
        at++;
    }
    return at;
}

/* Reads the string whose quote is at r->at. */
static enum err json_read_string(struct json_reader *r, struct json_token *ret)
{
    struct slice input = r->input;
    size_t start = r->at + 1;
    size_t at = start;
    uint64_t high_bits = 0;
    bool has_escapes = false;
    for (;;) {
        at = json_plain_run(input, at, &high_bits);
        if (at == input.size) {
            return json_fail(r, at, "");
        }
        if (input.data[at] == '"') {
            break;
        }
        uint32_t character;
        if (input.data[at] != '\\') {
            return json_fail(r, at, "a control character within a string");
        }
        size_t step = json_escape(input.data + at, input.data + input.size, &character);
        if (step == 0) {
            return json_fail(r, at, "a wrong escape, or half of a surrogate pair");
        }
        has_escapes = true;
        at += step;
    }
    struct slice text = {input.data + start, at - start};
    if (high_bits && !slice_is_utf8(text)) {
        return json_fail(r, r->at, "invalid UTF-8 in the string");
    }
    ret->kind = JSON_STRING;
    ret->text = text;
    ret->has_escapes = has_escapes;
    r->at = at + 1;
    return ERR_OK;
}

/* --- tokens --- */

static size_t json_digits(struct slice input, size_t at)
{
    while (at < input.size && (uint8_t)(input.data[at] - '0') < 10) {
        at++;
    }
    return at;
}

/* RFC 8259, section 6: where the number that begins at `at` ends. *ret_wrong: what is wrong there. */
static size_t json_number_end(struct slice input, size_t at, const char **ret_wrong)
{
    at += input.data[at] == '-';
    size_t digits = at;
    at = json_digits(input, at);
    if (at == digits || (input.data[digits] == '0' && at > digits + 1)) {
        *ret_wrong = "not a number as JSON writes it";
        return digits;
    }
    if (at < input.size && input.data[at] == '.') {
        digits = at + 1;
        at = json_digits(input, digits);
        if (at == digits) {
            *ret_wrong = "no digit behind the decimal point";
            return at;
        }
    }
    if (at < input.size && (input.data[at] | 0x20) == 'e') {
        digits = at + 1;
        if (digits < input.size && (input.data[digits] == '+' || input.data[digits] == '-')) {
            digits++;
        }
        at = json_digits(input, digits);
        if (at == digits) {
            *ret_wrong = "no digit in the exponent";
        }
    }
    return at;
}

static enum err json_read_number(struct json_reader *r, struct json_token *ret)
{
    const char *wrong = NULL;
    size_t end = json_number_end(r->input, r->at, &wrong);
    if (wrong) {
        return json_fail(r, end, wrong);
    }
    ret->kind = JSON_NUMBER;
    ret->text = (struct slice){r->input.data + r->at, end - r->at};
    r->at = end;
    return ERR_OK;
}

static enum err json_read_word(struct json_reader *r, struct json_token *ret)
{
    static const struct {
        struct slice word;
        enum json_kind kind;
    } words[] = {
        {{(const uint8_t *)"null", 4}, JSON_NULL},
        {{(const uint8_t *)"true", 4}, JSON_TRUE},
        {{(const uint8_t *)"false", 5}, JSON_FALSE},
    };
    struct slice rest = {r->input.data + r->at, r->input.size - r->at};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (slice_starts_with(rest, words[i].word)) {
            ret->kind = words[i].kind;
            ret->text = (struct slice){rest.data, words[i].word.size};
            r->at += words[i].word.size;
            return ERR_OK;
        }
    }
    return json_fail(r, r->at, "not a JSON value");
}

static enum err json_begin(struct json_reader *r, struct json_token *ret, bool is_object)
{
    if (r->depth == r->depth_max) {
        return json_fail_as(r, ERR_REJECTED, r->at, "nested deeper than allowed");
    }
    *json_frame(r, ++r->depth) = (struct json_frame){.begin_at = (uint32_t)r->at,
                                                     .key_first = (uint16_t)r->key_count,
                                                     .list_first = (uint8_t)r->list_count,
                                                     .is_object = is_object};
    r->state = is_object ? STATE_KEY_FIRST : STATE_ELEMENT;
    ret->kind = is_object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
    ret->text = (struct slice){r->input.data + r->at, 1};
    r->at++;
    return ERR_OK;
}

static enum err json_finish(struct json_reader *r, struct json_token *ret)
{
    assert(r->depth > 0);
    const struct json_frame *frame = json_frame(r, r->depth--);
    r->key_count = frame->key_first;
    r->list_count = frame->list_first;
    ret->kind = frame->is_object ? JSON_OBJECT_END : JSON_ARRAY_END;
    ret->text = (struct slice){r->input.data + r->at, 1};
    r->at++;
    r->state = r->depth ? STATE_AFTER : STATE_DONE;
    return ERR_OK;
}

static enum err json_read_value(struct json_reader *r, struct json_token *ret)
{
    uint8_t byte = r->input.data[r->at];
    if (byte == '{' || byte == '[') {
        return json_begin(r, ret, byte == '{');
    }
    enum err e;
    if (byte == '"') {
        e = json_read_string(r, ret);
    } else if (byte == '-' || (uint8_t)(byte - '0') < 10) {
        e = json_read_number(r, ret);
    } else {
        e = json_read_word(r, ret);
    }
    if (!e) {
        r->state = r->depth ? STATE_AFTER : STATE_DONE;
    }
    return e;
}

/* A key and the colon behind it. */
static enum err json_read_key(struct json_reader *r, struct json_token *ret)
{
    if (r->input.data[r->at] != '"') {
        return json_fail(r, r->at, "no key in quotes");
    }
    enum err e = json_read_string(r, ret);
    if (e) {
        return e;
    }
    ret->kind = JSON_KEY;
    e = json_key_add(r, ret);
    if (e) {
        return e;
    }
    r->at = json_white_space(r->input, r->at);
    if (r->at == r->input.size || r->input.data[r->at] != ':') {
        return json_fail(r, r->at, "no colon behind the key");
    }
    r->at++;
    r->state = STATE_VALUE;
    return ERR_OK;
}

/* After a value: takes the comma. True: the end of what is open comes instead. */
static enum err json_read_comma(struct json_reader *r, bool *ret_is_end)
{
    bool is_object = json_frame(r, r->depth)->is_object;
    uint8_t byte = r->input.data[r->at];
    if (byte == (is_object ? '}' : ']')) {
        *ret_is_end = true;
        return ERR_OK;
    }
    if (byte != ',') {
        return json_fail(r, r->at, is_object ? "no comma or '}'" : "no comma or ']'");
    }
    r->at = json_white_space(r->input, r->at + 1);
    if (r->at == r->input.size) {
        return json_fail(r, r->at, "");
    }
    r->state = is_object ? STATE_KEY : STATE_VALUE;
    *ret_is_end = false;
    return ERR_OK;
}

/* Goes to the first byte of the next token. *ret_is_end: it ends what is open. */
static enum err json_advance(struct json_reader *r, bool *ret_is_end)
{
    if (r->state == STATE_FAILED) {
        return r->error;
    }
    if (r->state == STATE_DONE) {
        return ERR_CLOSED;
    }
    r->at = json_white_space(r->input, r->at);
    if (r->at == r->input.size) {
        return json_fail(r, r->at, "");
    }
    if (r->state == STATE_AFTER) {
        return json_read_comma(r, ret_is_end);
    }
    uint8_t byte = r->input.data[r->at];
    *ret_is_end =
        (r->state == STATE_ELEMENT && byte == ']') || (r->state == STATE_KEY_FIRST && byte == '}');
    return ERR_OK;
}

enum err json_next(struct json_reader *reader, struct json_token *ret)
{
    bool is_end = false;
    enum err e = json_advance(reader, &is_end);
    if (e) {
        return e;
    }
    struct json_token token = {.offset = reader->at};
    if (is_end) {
        e = json_finish(reader, &token);
    } else if (reader->state == STATE_KEY || reader->state == STATE_KEY_FIRST) {
        e = json_read_key(reader, &token);
    } else {
        e = json_read_value(reader, &token);
    }
    if (!e) {
        *ret = token;
    }
    return e;
}

enum err json_skip(struct json_reader *reader, struct slice *ret_text)
{
    bool is_end = false;
    enum err e = json_advance(reader, &is_end);
    if (e) {
        return e;
    }
    if (is_end) {
        return ERR_CLOSED;
    }
    assert(reader->state == STATE_VALUE || reader->state == STATE_ELEMENT);
    size_t start = reader->at;
    unsigned depth = reader->depth;
    struct json_token token;
    e = json_read_value(reader, &token);
    while (!e && reader->depth > depth) { /* each turn takes a token off the input */
        e = json_next(reader, &token);
    }
    if (e) {
        return e;
    }
    *ret_text = (struct slice){reader->input.data + start, reader->at - start};
    return ERR_OK;
}

/* --- members --- */

/* The string whose quote is at `at`, when it is plain ASCII: where it ends, behind its quote; else
 * 0. */
static size_t json_plain_string(struct slice input, size_t at)
{
    uint64_t high_bits = 0;
    at = json_plain_run(input, at + 1, &high_bits);
    return at < input.size && input.data[at] == '"' && !high_bits ? at + 1 : 0;
}

/* The value at `at`, when it is a plain string or a number: where it ends; else 0. */
static size_t json_plain_value(struct slice input, size_t at)
{
    const char *wrong = NULL;
    uint8_t byte = input.data[at];
    if (byte == '"') {
        return json_plain_string(input, at);
    }
    if (byte != '-' && (uint8_t)(byte - '0') >= 10) {
        return 0;
    }
    at = json_number_end(input, at, &wrong);
    return wrong ? 0 : at;
}

/* A member as nearly all are, in one go. False: another one, or none, or a wrong one, and nothing is
 * taken. */
static bool json_member_plain(struct json_reader *r, struct slice *ret_key, struct slice *ret_value)
{
    struct slice input = r->input;
    size_t at = json_white_space(input, r->at);
    if (r->state == STATE_AFTER && at < input.size && input.data[at] == ',') {
        at = json_white_space(input, at + 1);
    } else if (r->state != STATE_KEY_FIRST) {
        return false;
    }
    size_t key_end = at < input.size && input.data[at] == '"' ? json_plain_string(input, at) : 0;
    size_t colon = key_end ? json_white_space(input, key_end) : input.size;
    if (colon >= input.size || input.data[colon] != ':') {
        return false;
    }
    size_t value = json_white_space(input, colon + 1);
    size_t end = value < input.size ? json_plain_value(input, value) : 0;
    struct json_token key = {
        .kind = JSON_KEY, .text = {input.data + at + 1, key_end - at - 2}, .offset = at};
    if (!end || json_key_add(r, &key)) {
        return false; /* of a refused key json_next() gives the error again */
    }
    r->at = end;
    r->state = STATE_AFTER;
    *ret_key = (struct slice){input.data + at + 1, key_end - at - 2};
    *ret_value = (struct slice){input.data + value, end - value};
    return true;
}

enum err json_member(struct json_reader *reader, struct out *scratch, struct slice *ret_key,
                     struct slice *ret_value)
{
    assert(reader->depth == 0 || json_frame(reader, reader->depth)->is_object);
    if (json_member_plain(reader, ret_key, ret_value)) {
        return ERR_OK;
    }
    struct json_token key;
    struct slice value;
    enum err e = json_next(reader, &key);
    if (!e && key.kind == JSON_OBJECT_END) {
        return ERR_CLOSED;
    }
    e = e ? e : json_skip(reader, &value);
    e = e ? e : json_string(&key, scratch, ret_key);
    if (!e) {
        *ret_value = value;
    }
    return e;
}

void json_place(struct slice input, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1;
    size_t line_start = 0;
    if (offset > input.size) {
        offset = input.size;
    }
    for (size_t i = 0; i < offset; i++) {
        if (input.data[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    *ret_line = line;
    *ret_column = (unsigned)(offset - line_start) + 1;
}
