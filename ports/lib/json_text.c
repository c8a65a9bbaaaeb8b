#include <assert.h>
#include <string.h>

#include "ports/lib/json_impl.h"

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

size_t json_escape(const uint8_t *p, const uint8_t *end, uint32_t *ret_character)
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

size_t json_unescape(const uint8_t **p, const uint8_t *end, uint8_t ret[4])
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

enum err json_plain(struct slice value, struct out *scratch, struct slice *ret)
{
    if (value.size < 2 || value.data[0] != '"') {
        *ret = value;
        return ERR_OK;
    }
    struct json_token token = {.kind = JSON_STRING,
                               .text = {value.data + 1, value.size - 2},
                               .has_escapes = memchr(value.data, '\\', value.size) != NULL};
    return json_string(&token, scratch, ret);
}
