#include "ports/lib/json.h"

#include <assert.h>
#include <string.h>

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

static enum err json_fail_as(struct json_reader *r, enum err e, size_t offset, const char *text)
{
    r->state = STATE_FAILED;
    r->error = e;
    r->error_offset = offset;
    why_set(&r->why, "%s at byte %zu", text, offset);
    return e;
}

static enum err json_fail(struct json_reader *r, size_t offset, const char *text)
{
    bool is_end = offset >= r->input.size;
    return json_fail_as(r, ERR_CORRUPT, offset, is_end ? "the text ends too early" : text);
}

void json_init(struct json_reader *reader, struct slice input)
{
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
    while (at < input.size && (input.data[at] == ' ' || input.data[at] == '\n' ||
                               input.data[at] == '\r' || input.data[at] == '\t')) {
        at++;
    }
    return at;
}

size_t json_end(struct json_reader *reader)
{
    return json_white_space(reader->input, reader->at);
}

/* --- characters --- */

static int json_hex(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The 16 bits of "uXXXX" at p, or -1. */
static int json_unit(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 5 || p[0] != 'u') {
        return -1;
    }
    int unit = 0;
    for (size_t i = 1; i < 5; i++) {
        int digit = json_hex(p[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

/* The character of the escape whose backslash is at p, and its size as written; 0: not an escape
 * (RFC 8259, section 7), or half a surrogate pair. */
static size_t json_escape(const uint8_t *p, const uint8_t *end, uint32_t *ret_character)
{
    static const char letters[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    if (end - p < 2) {
        return 0;
    }
    for (size_t i = 0; i < sizeof letters - 1; i += 2) {
        if (p[1] == (uint8_t)letters[i]) {
            *ret_character = (uint8_t)letters[i + 1];
            return 2;
        }
    }
    int unit = json_unit(p + 1, end);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return 0;
    }
    if (unit < 0xd800 || unit > 0xdbff) {
        *ret_character = (uint32_t)unit;
        return 6;
    }
    int low = end - p >= 12 && p[6] == '\\' ? json_unit(p + 7, end) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *ret_character = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 12;
}

static size_t json_utf8(uint32_t character, uint8_t ret[4])
{
    if (character < 0x80) {
        ret[0] = (uint8_t)character;
        return 1;
    }
    if (character < 0x800) {
        ret[0] = (uint8_t)(0xc0 | character >> 6);
        ret[1] = (uint8_t)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        ret[0] = (uint8_t)(0xe0 | character >> 12);
        ret[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        ret[2] = (uint8_t)(0x80 | (character & 0x3f));
        return 3;
    }
    ret[0] = (uint8_t)(0xf0 | character >> 18);
    ret[1] = (uint8_t)(0x80 | (character >> 12 & 0x3f));
    ret[2] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
    ret[3] = (uint8_t)(0x80 | (character & 0x3f));
    return 4;
}

/* Unescapes what is at the front of a checked text: a plain byte or one escape, as UTF-8. */
static size_t json_unescape(const uint8_t **p, const uint8_t *end, uint8_t ret[4])
{
    if (**p != '\\') {
        ret[0] = *(*p)++;
        return 1;
    }
    uint32_t character = 0;
    size_t step = json_escape(*p, end, &character);
    assert(step > 0);
    *p += step;
    return json_utf8(character, ret);
}

enum err json_string(const struct json_token *token, struct out *scratch, struct slice *ret)
{
    assert(token->kind == JSON_STRING || token->kind == JSON_KEY);
    if (!token->has_escapes) {
        *ret = token->text;
        return ERR_OK;
    }
    if (scratch->overflow || scratch->size_max - scratch->size < token->text.size) {
        return ERR_FULL;
    }
    size_t start = scratch->size;
    const uint8_t *p = token->text.data;
    const uint8_t *end = p + token->text.size;
    while (p < end) {
        uint8_t bytes[4];
        out_put(scratch, bytes, json_unescape(&p, end, bytes));
    }
    *ret = (struct slice){scratch->data + start, scratch->size - start};
    return ERR_OK;
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
        if (found) {
            break;
        }
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

/* --- duplicate keys ---
 *
 * About a hundred keys of the open objects stand in a list with their hashes, and each object has
 * 64 bits that say "perhaps" or "certainly new". The keys that find no room in the list are marked
 * in a filter (two bits of 32 768 each); where it says "perhaps", the object's text is read again.
 * So a key costs the same however many there are, a struct on the stack is enough, and an input
 * made to hit the filter ends at JSON_RESCAN_MAX. */

static uint64_t json_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* The hash of a key as it is meant: escaped and plain spellings give the same. */
static uint32_t json_key_hash(const struct json_token *key)
{
    const uint8_t *p = key->text.data;
    const uint8_t *end = p + key->text.size;
    uint64_t hash = 0;
    uint64_t word = 0;
    if (!key->has_escapes) {
        for (; end - p >= 8; p += 8) {
            memcpy(&word, p, 8);
            hash = json_mix(hash, word);
        }
        word = 0;
        memcpy(&word, p, (size_t)(end - p));
        hash = json_mix(hash, word);
        return (uint32_t)(json_mix(hash, key->text.size) >> 32);
    }
    uint8_t gathered[8 + 4];
    size_t count = 0;
    size_t size = 0;
    while (p < end) {
        size_t step = json_unescape(&p, end, gathered + count);
        count += step;
        size += step;
        if (count >= 8) {
            memcpy(&word, gathered, 8);
            hash = json_mix(hash, word);
            count -= 8;
            memmove(gathered, gathered + 8, 4);
        }
    }
    word = 0;
    memcpy(&word, gathered, count);
    hash = json_mix(hash, word);
    return (uint32_t)(json_mix(hash, size) >> 32);
}

/* Is the key whose quote is at `offset` of the checked input the same as `key`? */
static bool json_key_equal(struct slice input, size_t offset, const struct json_token *key)
{
    const uint8_t *a = input.data + offset + 1;
    const uint8_t *a_end = input.data + input.size;
    const uint8_t *b = key->text.data;
    const uint8_t *b_end = b + key->text.size;
    uint8_t a_bytes[4];
    uint8_t b_bytes[4];
    size_t a_count = 0;
    size_t b_count = 0;
    size_t a_index = 0;
    size_t b_index = 0;
    for (;;) {
        if (a_index == a_count) {
            a_count = *a == '"' ? 0 : json_unescape(&a, a_end, a_bytes);
            a_index = 0;
        }
        if (b_index == b_count) {
            b_count = b == b_end ? 0 : json_unescape(&b, b_end, b_bytes);
            b_index = 0;
        }
        if (a_count == 0 || b_count == 0) {
            return a_count == b_count;
        }
        if (a_bytes[a_index++] != b_bytes[b_index++]) {
            return false;
        }
    }
}

/* Behind the string whose quote is at `at`; the text is checked. */
static size_t json_behind_string(struct slice input, size_t at)
{
    for (at++; input.data[at] != '"'; at++) {
        at += input.data[at] == '\\';
    }
    return at + 1;
}

/* Reads the object's checked text again, from its brace to `key`: does it have this key already? */
static bool json_key_rescan(struct json_reader *r, size_t begin, const struct json_token *key)
{
    struct slice input = r->input;
    size_t depth = 0;
    bool is_key = false;
    r->rescanned += key->offset - begin;
    for (size_t at = begin; at < key->offset;) {
        uint8_t byte = input.data[at];
        if (byte == '"') {
            if (is_key && json_key_equal(input, at, key)) {
                return true;
            }
            is_key = false;
            at = json_behind_string(input, at);
            continue;
        }
        if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            depth--;
        }
        if (byte == '{' || byte == ',') {
            is_key = depth == 1;
        }
        at++;
    }
    return false;
}

/* Marks the key in the filter. True: both its bits were set before. */
static bool json_filter_put(struct json_reader *r, uint32_t hash, uint32_t begin)
{
    uint64_t mixed = json_mix(hash, begin);
    bool was_set = true;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bit = (mixed >> (16 + 16 * i)) % (JSON_FILTER_WORDS * 64);
        uint64_t mask = UINT64_C(1) << bit % 64;
        was_set = was_set && (r->filter[bit / 64] & mask);
        r->filter[bit / 64] |= mask;
    }
    return was_set;
}

static bool json_key_is_listed(const struct json_reader *r, uint32_t hash,
                               const struct json_token *key)
{
    for (uint32_t i = r->list_first[r->depth - 1]; i < r->list_count; i++) {
        if (r->keys[i].hash == hash && json_key_equal(r->input, r->keys[i].offset, key)) {
            return true;
        }
    }
    return false;
}

static enum err json_key_add(struct json_reader *r, const struct json_token *key)
{
    static const char duplicate[] = "a key that the object has already";
    uint32_t hash = json_key_hash(key);
    uint64_t *bits = &r->key_bits[r->depth - 1];
    uint64_t bit = UINT64_C(1) << hash % 64;
    if ((*bits & bit) && json_key_is_listed(r, hash, key)) {
        return json_fail(r, key->offset, duplicate);
    }
    *bits |= bit;
    if (r->key_count == JSON_KEY_MAX) {
        return json_fail_as(r, ERR_REJECTED, key->offset, "more keys in open objects than allowed");
    }
    /* Once an object's keys go to the filter, all its later ones do: what is in the list when the
     * object goes on is what was there when it was left. */
    uint32_t own = r->list_count - r->list_first[r->depth - 1];
    if (r->list_count < JSON_KEY_LIST / 4 * 3 ||
        (r->list_count < JSON_KEY_LIST && own < JSON_KEY_OWN)) {
        r->keys[r->list_count++] = (struct json_key){hash, (uint32_t)key->offset};
        r->key_count++;
        return ERR_OK;
    }
    if (r->key_count == r->list_count) {
        memset(r->filter, 0, sizeof r->filter);
    }
    uint32_t begin = r->begin_at[r->depth - 1];
    r->key_count++;
    if (!json_filter_put(r, hash, begin)) {
        return ERR_OK;
    }
    if (r->rescanned > JSON_RESCAN_MAX) {
        return json_fail_as(r, ERR_REJECTED, key->offset, "too many keys to tell duplicates");
    }
    return json_key_rescan(r, begin, key) ? json_fail(r, key->offset, duplicate) : ERR_OK;
}

/* --- tokens --- */

static size_t json_digits(struct slice input, size_t at)
{
    while (at < input.size && (uint8_t)(input.data[at] - '0') < 10) {
        at++;
    }
    return at;
}

/* RFC 8259, section 6. */
static enum err json_read_number(struct json_reader *r, struct json_token *ret)
{
    struct slice input = r->input;
    size_t at = r->at;
    at += input.data[at] == '-';
    size_t digits = at;
    at = json_digits(input, at);
    if (at == digits || (input.data[digits] == '0' && at > digits + 1)) {
        return json_fail(r, digits, "not a number as JSON writes it");
    }
    if (at < input.size && input.data[at] == '.') {
        digits = at + 1;
        at = json_digits(input, digits);
        if (at == digits) {
            return json_fail(r, at, "no digit behind the decimal point");
        }
    }
    if (at < input.size && (input.data[at] | 0x20) == 'e') {
        digits = at + 1;
        if (digits < input.size && (input.data[digits] == '+' || input.data[digits] == '-')) {
            digits++;
        }
        at = json_digits(input, digits);
        if (at == digits) {
            return json_fail(r, at, "no digit in the exponent");
        }
    }
    ret->kind = JSON_NUMBER;
    ret->text = (struct slice){input.data + r->at, at - r->at};
    r->at = at;
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
    if (r->depth == JSON_DEPTH_MAX) {
        return json_fail_as(r, ERR_REJECTED, r->at, "more nested than allowed");
    }
    r->is_object[r->depth] = is_object;
    r->begin_at[r->depth] = (uint32_t)r->at;
    r->key_first[r->depth] = r->key_count;
    r->list_first[r->depth] = r->list_count;
    r->key_bits[r->depth] = 0;
    r->depth++;
    r->state = is_object ? STATE_KEY_FIRST : STATE_ELEMENT;
    ret->kind = is_object ? JSON_OBJECT_BEGIN : JSON_ARRAY_BEGIN;
    ret->text = (struct slice){r->input.data + r->at, 1};
    r->at++;
    return ERR_OK;
}

static enum err json_finish(struct json_reader *r, struct json_token *ret)
{
    assert(r->depth > 0);
    r->depth--;
    r->key_count = r->key_first[r->depth];
    r->list_count = r->list_first[r->depth];
    ret->kind = r->is_object[r->depth] ? JSON_OBJECT_END : JSON_ARRAY_END;
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
    bool is_object = r->is_object[r->depth - 1];
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
    do { /* each turn takes a token off the input */
        struct json_token token;
        e = json_next(reader, &token);
        if (e) {
            return e;
        }
    } while (reader->depth > depth);
    *ret_text = (struct slice){reader->input.data + start, reader->at - start};
    return ERR_OK;
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
