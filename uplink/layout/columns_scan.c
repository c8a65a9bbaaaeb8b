/* What differs between messages that are alike: the numbers, texts, times and lists of JSON. Nothing
 * is checked: whatever is taken for what, the shape with its leaves is the text again. */
#include "uplink/layout/columns_shape.h"

#include <assert.h>

#define NUMBER_DIGIT_MAX 18
#define NUMBER_LIMIT INT64_C(100000000000000000) /* of a mantissa that takes one more digit */
#define TIME_SIZE 19                             /* 2024-05-01T12:00:00 */
#define FRACTION_MAX 9
#define ZONE_SIZE 6 /* +01:00 */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Of numbers, and of true, false and null. */
static bool is_token(uint8_t c)
{
    return is_digit(c) || c == '-' || c == '.' || c == '+' || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

static bool is_mark(uint8_t c)
{
    return c >= SHAPE_NUMBER && c <= SHAPE_LIST;
}

/* --- ends: of what begins at `at`, or the text's size --- */

static size_t token_end(struct slice s, size_t at)
{
    while (at < s.size && is_token(s.data[at])) {
        at++;
    }
    return at;
}

/* The closing quote. */
static size_t string_end(struct slice s, size_t at)
{
    while (at < s.size && s.data[at] != '"') {
        at += s.data[at] == '\\' ? 2 : 1;
    }
    return at < s.size ? at : s.size;
}

/* The comma behind an item, or the bracket behind the last one. */
static size_t item_end(struct slice s, size_t at)
{
    size_t depth = 0;
    for (; at < s.size; at++) {
        uint8_t c = s.data[at];
        if (c == '"') {
            at = string_end(s, at + 1);
        } else if (c == '[' || c == '{') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == ']' || c == '}')) {
            return at;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return s.size;
}

static size_t list_end(struct slice s, size_t at)
{
    at = item_end(s, at);
    while (at < s.size && s.data[at] == ',') {
        at = item_end(s, at + 1);
    }
    return at;
}

struct slice scan_item(struct slice *list)
{
    size_t end = item_end(*list, 0);
    struct slice item = {list->data, end};
    size_t used = end < list->size ? end + 1 : end;
    *list = (struct slice){list->data + used, list->size - used};
    return item;
}

uint32_t scan_item_count(struct slice list)
{
    uint32_t count = list.size > 0;
    for (size_t at = 0; list.size > 0; at++) {
        at = item_end(list, at);
        if (at == list.size) {
            break;
        }
        count++;
    }
    return count;
}

/* --- numbers and times --- */

bool scan_number(struct slice text, struct printed *ret)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t start = is_negative;
    size_t point = text.size;
    int64_t mantissa = 0;
    size_t at = start;
    for (; at < text.size && mantissa < NUMBER_LIMIT; at++) {
        if (text.data[at] == '.' && point == text.size) {
            point = at;
        } else if (is_digit(text.data[at])) {
            mantissa = mantissa * 10 + (text.data[at] - '0');
        } else {
            return false;
        }
    }
    size_t whole = point - start; /* digits before the point */
    if (at < text.size || whole == 0 || (whole > 1 && text.data[start] == '0') ||
        point + 1 == text.size || (is_negative && mantissa == 0) ||
        text.size - start - (point < text.size) > NUMBER_DIGIT_MAX) {
        return false;
    }
    ret->mantissa = is_negative ? -mantissa : mantissa;
    ret->fraction = point < text.size ? (unsigned)(text.size - point - 1) : 0;
    return true;
}

/* `count` digits at `at`; -1: there are others. */
static int64_t digits(struct slice s, size_t at, size_t count)
{
    int64_t value = 0;
    for (size_t i = at; i < at + count; i++) {
        if (i >= s.size || !is_digit(s.data[i])) {
            return -1;
        }
        value = value * 10 + (s.data[i] - '0');
    }
    return value;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970; false: there is no such day. */
static bool day_number(int64_t year, int64_t month, int64_t day, int64_t *ret)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    if (year < 0 || month < 1 || month > 12 || day < 1) {
        return false;
    }
    int64_t length = before[month] - before[month - 1] + (month == 2 && is_leap(year));
    int64_t last = year - 1 + 400; /* of whole years, none below 0 */
    *ret = 365 * year + last / 4 - last / 100 + last / 400 - 97 + before[month - 1] + day - 1 +
           (month > 2 && is_leap(year)) - 719527;
    return day <= length;
}

/* A clock's hours, minutes and seconds as seconds of the day; -1: there is no such time. */
static int64_t second_of_day(struct slice s)
{
    int64_t hour = digits(s, 11, 2);
    int64_t minute = digits(s, 14, 2);
    int64_t second = digits(s, 17, 2);
    bool fine = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 &&
                second < 60 && s.data[13] == ':' && s.data[16] == ':';
    return fine ? hour * 3600 + minute * 60 + second : -1;
}

bool scan_time(struct slice s, int64_t *ret)
{
    int64_t day;
    if (s.size < TIME_SIZE || s.data[4] != '-' || s.data[7] != '-' ||
        (s.data[10] != 'T' && s.data[10] != ' ') ||
        !day_number(digits(s, 0, 4), digits(s, 5, 2), digits(s, 8, 2), &day)) {
        return false;
    }
    int64_t second = second_of_day(s);
    size_t count = s.size > TIME_SIZE ? s.size - TIME_SIZE - 1 : 0;
    bool has_fraction = s.size > TIME_SIZE;
    if (second < 0 || count > FRACTION_MAX || (has_fraction && s.data[TIME_SIZE] != '.') ||
        (has_fraction && (count == 0 || digits(s, TIME_SIZE + 1, count) < 0))) {
        return false;
    }
    int64_t value = day * 86400 + second;
    for (size_t i = 0; i < count; i++) {
        int64_t limit = (INT64_MAX - 9) / 10;
        if (value > limit || value < -limit) {
            return false;
        }
        value = value * 10;
    }
    *ret = value + (count ? digits(s, TIME_SIZE + 1, count) : 0);
    return true;
}

/* Of a string that is a time: how much of it is, with Z, an offset or nothing behind it. 0: it is
 * none. */
static size_t time_size(struct slice s)
{
    int64_t value;
    if (s.size < TIME_SIZE || s.size > TIME_SIZE + 1 + FRACTION_MAX + ZONE_SIZE ||
        s.data[4] != '-') {
        return 0;
    }
    size_t end = TIME_SIZE;
    if (end < s.size && s.data[end] == '.') {
        end++;
        while (end < s.size && is_digit(s.data[end])) {
            end++;
        }
    }
    size_t zone = s.size - end;
    bool is_offset = zone == ZONE_SIZE && (s.data[end] == '+' || s.data[end] == '-') &&
                     digits(s, end + 1, 2) >= 0 && s.data[end + 3] == ':' &&
                     digits(s, end + 4, 2) >= 0;
    bool fine = zone == 0 || (zone == 1 && s.data[end] == 'Z') || is_offset;
    return fine && scan_time((struct slice){s.data, end}, &value) ? end : 0;
}

/* --- shapes --- */

static void put_mark(enum shape_mark mark, struct out *ret)
{
    out_put_byte(ret, (uint8_t)mark);
}

static bool put_literal(struct slice s, size_t from, size_t to, struct out *ret)
{
    for (size_t i = from; i < to; i++) {
        if (is_mark(s.data[i])) {
            return false;
        }
    }
    out_put(ret, s.data + from, to - from);
    return true;
}

static bool is_key(struct slice s, size_t at)
{
    while (at < s.size &&
           (s.data[at] == ' ' || s.data[at] == '\t' || s.data[at] == '\n' || s.data[at] == '\r')) {
        at++;
    }
    return at < s.size && s.data[at] == ':';
}

/* Both quotes and what is between them, from *at on. */
static bool scan_string(struct slice s, size_t *at, struct out *ret)
{
    size_t start = *at + 1;
    size_t end = string_end(s, start);
    if (end == s.size) {
        return false;
    }
    *at = end + 1;
    if (is_key(s, end + 1)) {
        return put_literal(s, start - 1, end + 1, ret);
    }
    out_put_byte(ret, '"');
    size_t time = time_size((struct slice){s.data + start, end - start});
    if (time > 0) {
        put_mark(SHAPE_TIME, ret);
        out_put_byte(ret, s.data[start + 10]);
        out_put_byte(ret, (uint8_t)('0' + (time > TIME_SIZE ? time - TIME_SIZE - 1 : 0)));
        out_put(ret, s.data + start + time, end - start - time);
    } else {
        put_mark(SHAPE_TEXT, ret);
    }
    out_put_byte(ret, '"');
    return true;
}

static bool scan_list(struct slice s, size_t *at, struct out *ret)
{
    size_t end = list_end(s, *at + 1);
    if (end == s.size || s.data[end] != ']') {
        return false;
    }
    out_put_byte(ret, '[');
    put_mark(SHAPE_LIST, ret);
    out_put_byte(ret, ']');
    *at = end + 1;
    return true;
}

/* A mark behind a quote is within quotes: so none may be there that is not. */
static bool scan_token(struct slice s, size_t *at, struct out *ret)
{
    struct printed number;
    size_t end = token_end(s, *at);
    if (ret->size > 0 && ret->data[ret->size - 1] == '"') {
        return false;
    }
    bool is_number = scan_number((struct slice){s.data + *at, end - *at}, &number);
    put_mark(is_number ? SHAPE_NUMBER : SHAPE_TEXT, ret);
    *at = end;
    return true;
}

bool scan_shape(struct slice text, bool is_item, struct out *ret)
{
    struct printed number;
    uint8_t first = text.size > 0 ? text.data[0] : 0;
    bool fine = is_item || first == '{' || first == '[';
    if (!fine) {
        put_mark(SHAPE_NUMBER, ret);
        return scan_number(text, &number) && !ret->overflow;
    }
    for (size_t at = 0; fine && at < text.size && !ret->overflow;) {
        uint8_t c = text.data[at];
        if (c == '"') {
            fine = scan_string(text, &at, ret);
        } else if (c == '[') {
            fine = scan_list(text, &at, ret);
        } else if (is_token(c)) {
            fine = scan_token(text, &at, ret);
        } else {
            fine = !is_mark(c);
            out_put_byte(ret, c);
            at++;
        }
    }
    return fine && !ret->overflow;
}

size_t scan_leaf(struct slice shape, size_t at, struct slice rest)
{
    if (shape.size == 1 && shape.data[0] == SHAPE_TEXT) {
        return rest.size;
    }
    switch ((enum shape_mark)shape.data[at]) {
    case SHAPE_NUMBER:
        return token_end(rest, 0);
    case SHAPE_TEXT:
        return at > 0 && shape.data[at - 1] == '"' ? string_end(rest, 0) : token_end(rest, 0);
    case SHAPE_TIME:
        return TIME_SIZE + (shape.data[at + 2] > '0' ? 1U + shape.data[at + 2] - '0' : 0);
    case SHAPE_LIST:
        return list_end(rest, 0);
    }
    assert(false);
    return 0;
}
