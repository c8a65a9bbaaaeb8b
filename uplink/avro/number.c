#include "uplink/avro/number.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ports/real.h"

/* A number as sign, digits without the point, and a power of ten. */
struct digits {
    bool negative;
    char digit[NUMBER_TEXT_SIZE_MAX]; /* values 0..9, no leading zeros */
    size_t count;
    int64_t exponent; /* value = digits * 10^exponent */
};

static int64_t exponent_of(struct slice text, size_t at)
{
    bool negative = at < text.size && text.data[at] == '-';
    if (at < text.size && (text.data[at] == '-' || text.data[at] == '+')) {
        at++;
    }
    int64_t value = 0;
    for (; at < text.size; at++) {
        value = value * 10 + (text.data[at] - '0');
        if (value > 1000000) {
            value = 1000000; /* far beyond every type; stays so */
        }
    }
    return negative ? -value : value;
}

static enum err digits_of(struct slice text, struct digits *ret)
{
    if (text.size == 0 || text.size > NUMBER_TEXT_SIZE_MAX) {
        return ERR_REJECTED;
    }
    bool behind_point = false;
    size_t at = text.data[0] == '-';
    ret->negative = at == 1;
    ret->count = 0;
    ret->exponent = 0;
    for (; at < text.size && (text.data[at] | 0x20) != 'e'; at++) {
        if (text.data[at] == '.') {
            behind_point = true;
            continue;
        }
        char digit = (char)(text.data[at] - '0');
        if (ret->count > 0 || digit != 0) {
            ret->digit[ret->count++] = digit;
        }
        ret->exponent -= behind_point;
    }
    ret->exponent += at < text.size ? exponent_of(text, at + 1) : 0;
    while (ret->count > 0 && ret->digit[ret->count - 1] == 0) {
        ret->count--;
        ret->exponent++;
    }
    return ERR_OK;
}

/* A short number as it is mostly written, "-12.5", without exponent: its digits as one whole number,
 * and how many of them stand behind the point. False: look at it properly. */
static bool number_is_short(struct slice text, uint64_t *ret_whole, size_t *ret_behind)
{
    uint64_t whole = 0;
    size_t point = text.size;
    if (text.size == 0 || text.size > 18) { /* of at most 18 digits: no overflow */
        return false;
    }
    for (size_t at = text.data[0] == '-'; at < text.size; at++) {
        unsigned digit = (unsigned)text.data[at] - '0';
        if (digit <= 9) {
            whole = whole * 10 + digit;
        } else if (text.data[at] == '.') {
            point = at + 1;
        } else {
            return false;
        }
    }
    *ret_whole = whole;
    *ret_behind = text.size - point;
    return true;
}

enum err number_to_long(struct slice text, int64_t *ret)
{
    uint64_t whole;
    size_t behind;
    if (number_is_short(text, &whole, &behind) && behind == 0) {
        *ret = text.data[0] == '-' ? -(int64_t)whole : (int64_t)whole;
        return ERR_OK;
    }
    struct digits d;
    enum err e = digits_of(text, &d);
    if (e) {
        return e;
    }
    if (d.count == 0) {
        *ret = 0;
        return ERR_OK;
    }
    if (d.exponent < 0 || d.exponent + (int64_t)d.count > 19) {
        return ERR_REJECTED;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < d.count + (size_t)d.exponent; i++) {
        value = value * 10 +
                (uint64_t)(i < d.count ? d.digit[i] : 0); /* at most 19 digits: no overflow */
    }
    uint64_t limit = (uint64_t)INT64_MAX + d.negative;
    if (value > limit) {
        return ERR_REJECTED;
    }
    *ret = d.negative ? (int64_t)(0 - value) : (int64_t)value;
    return ERR_OK;
}

enum err number_to_integer(struct slice text, int64_t *ret)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '-' && (text.data[i] < '0' || text.data[i] > '9')) {
            return ERR_REJECTED;
        }
    }
    return number_to_long(text, ret);
}

static bool number_copy(struct slice text, char ret[NUMBER_TEXT_SIZE_MAX + 1])
{
    return slice_to_text(text, ret, NUMBER_TEXT_SIZE_MAX + 1);
}

/* Two whole numbers that doubles hold exactly: their quotient is rounded once, and so correctly. Not
 * where results have more bits than doubles (x87). */
static bool number_divide(struct slice text, double *ret)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                  1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    uint64_t whole;
    size_t behind;
    if (FLT_EVAL_METHOD != 0 || !number_is_short(text, &whole, &behind) ||
        whole > UINT64_C(1) << DBL_MANT_DIG) {
        return false;
    }
    double value = (double)whole / tens[behind];
    *ret = text.data[0] == '-' ? -value : value;
    return true;
}

enum err number_to_double(struct slice text, double *ret)
{
    if (number_divide(text, ret)) {
        return ERR_OK;
    }
    char copy[NUMBER_TEXT_SIZE_MAX + 1];
    if (!number_copy(text, copy)) {
        return ERR_REJECTED;
    }
    double value = strtod(copy, NULL); /* the process stays in the C locale */
    if (!isfinite(value)) {
        return ERR_REJECTED;
    }
    *ret = value;
    return ERR_OK;
}

enum err number_to_float(struct slice text, float *ret)
{
    char copy[NUMBER_TEXT_SIZE_MAX + 1];
    if (!number_copy(text, copy)) {
        return ERR_REJECTED;
    }
    float value = strtof(copy, NULL);
    if (!isfinite(value)) {
        return ERR_REJECTED;
    }
    *ret = value;
    return ERR_OK;
}

#define BIG_SIZE DECIMAL_SIZE_MAX
static_assert(BIG_SIZE * 8 > DECIMAL_DIGIT_MAX * 3322 / 1000 + 2, "room for every decimal");

/* big = big * 10 + digit; big-endian. */
static void big_push(uint8_t big[BIG_SIZE], unsigned digit)
{
    unsigned carry = digit;
    for (size_t i = BIG_SIZE; i-- > 0;) {
        unsigned value = big[i] * 10u + carry;
        big[i] = (uint8_t)value;
        carry = value >> 8;
    }
    assert(carry == 0);
}

static void big_negate(uint8_t big[BIG_SIZE])
{
    unsigned carry = 1;
    for (size_t i = BIG_SIZE; i-- > 0;) {
        unsigned value = (uint8_t)~big[i] + carry;
        big[i] = (uint8_t)value;
        carry = value >> 8;
    }
}

enum err number_to_decimal(struct slice text, uint32_t precision, uint32_t scale, struct out *ret)
{
    assert(precision > 0);
    struct digits d;
    enum err e = digits_of(text, &d);
    if (e) {
        return e;
    }
    int64_t zeros = d.exponent + (int64_t)scale;
    precision = precision < DECIMAL_DIGIT_MAX ? precision : DECIMAL_DIGIT_MAX;
    if (d.count > 0 && (zeros < 0 || zeros + (int64_t)d.count > (int64_t)precision)) {
        return ERR_REJECTED;
    }
    uint8_t big[BIG_SIZE] = {0};
    for (size_t i = 0; d.count > 0 && i < d.count + (size_t)zeros; i++) {
        big_push(big, i < d.count ? (unsigned)d.digit[i] : 0);
    }
    if (d.negative) {
        big_negate(big);
    }
    size_t first = 0;
    uint8_t sign = big[0] & 0x80 ? 0xff : 0;
    while (first < BIG_SIZE - 1 && big[first] == sign && (big[first + 1] & 0x80) == (sign & 0x80)) {
        first++;
    }
    out_put(ret, big + first, BIG_SIZE - first);
    return ERR_OK;
}

/* big = big / 10; returns the remainder. */
static unsigned big_pop(uint8_t big[BIG_SIZE])
{
    unsigned rest = 0;
    for (size_t i = 0; i < BIG_SIZE; i++) {
        unsigned value = rest << 8 | big[i];
        big[i] = (uint8_t)(value / 10);
        rest = value % 10;
    }
    return rest;
}

static bool big_is_zero(const uint8_t big[BIG_SIZE])
{
    size_t i = 0;
    while (i < BIG_SIZE && big[i] == 0) {
        i++;
    }
    return i == BIG_SIZE;
}

bool number_put_decimal(struct out *o, struct slice unscaled, uint32_t scale)
{
    uint8_t big[BIG_SIZE];
    char digits[DECIMAL_DIGIT_MAX + 16]; /* of 210 bytes, from the last to the first */
    size_t count = 0;
    bool negative = unscaled.size > 0 && unscaled.data[0] & 0x80;
    if (unscaled.size > BIG_SIZE || scale > DECIMAL_DIGIT_MAX) {
        return false;
    }
    memset(big, negative ? 0xff : 0, BIG_SIZE);
    if (unscaled.size > 0) {
        memcpy(big + BIG_SIZE - unscaled.size, unscaled.data, unscaled.size);
    }
    if (negative) {
        big_negate(big);
    }
    while (count <= scale || !big_is_zero(big)) {
        digits[count++] = (char)('0' + big_pop(big));
    }
    out_put_text(o, negative ? "-" : "");
    while (count > 0) {
        out_put_text(o, count == scale ? "." : "");
        out_put_byte(o, (uint8_t)digits[--count]);
    }
    return true;
}

/* "1" and "1e+20" get a ".0" in their mantissa, as Java and Python write doubles, so that they stay
 * doubles for readers. */
static void put_shortest(struct out *o, const char *text)
{
    size_t mantissa = strcspn(text, "e");
    out_put(o, text, mantissa);
    if (!memchr(text, '.', mantissa)) {
        out_put_text(o, ".0");
    }
    out_put_text(o, text + mantissa);
}

void number_put_double(struct out *o, double value)
{
    char text[REAL_TEXT_SIZE];
    real_of_double(value, text);
    put_shortest(o, text);
}

void number_put_float(struct out *o, float value)
{
    char text[REAL_TEXT_SIZE];
    real_of_float(value, text);
    put_shortest(o, text);
}

static bool is_same(const struct digits *a, const struct digits *b)
{
    return a->count == b->count && memcmp(a->digit, b->digit, a->count) == 0 &&
           (a->count == 0 || (a->exponent == b->exponent && a->negative == b->negative));
}

bool number_size_of(struct slice text, struct number_size *ret)
{
    struct digits exact;
    struct digits rounded;
    char memory[REAL_TEXT_SIZE + 2];
    struct out o = out_over(memory, sizeof memory);
    double value;
    if (digits_of(text, &exact)) {
        return false;
    }
    int64_t before = exact.exponent + (int64_t)exact.count;
    *ret =
        (struct number_size){.before = exact.count > 0 && before > 0 ? before : 0,
                             .behind = exact.count > 0 && exact.exponent < 0 ? -exact.exponent : 0};
    if (number_to_double(text, &value) == ERR_OK) {
        number_put_double(&o, value);
        ret->is_double = digits_of(out_slice(&o), &rounded) == ERR_OK && is_same(&exact, &rounded);
    }
    return true;
}
