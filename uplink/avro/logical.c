/* Dates, times and identifiers from text. */
#include "ports/clock.h"
#include "uplink/avro/encode.h"

static bool take_digits(struct slice *s, size_t count, int64_t *ret)
{
    int64_t value = 0;
    if (s->size < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (s->data[i] < '0' || s->data[i] > '9') {
            return false;
        }
        value = value * 10 + (s->data[i] - '0');
    }
    s->data += count;
    s->size -= count;
    *ret = value;
    return true;
}

static bool take_character(struct slice *s, const char *any)
{
    for (; *any; any++) {
        if (s->size > 0 && s->data[0] == (uint8_t)*any) {
            s->data++;
            s->size--;
            return true;
        }
    }
    return false;
}

static bool take_date(struct slice *s, int64_t *ret_days)
{
    static const uint8_t days_of[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year;
    int64_t month;
    int64_t day;
    if (!take_digits(s, 4, &year) || !take_character(s, "-") || !take_digits(s, 2, &month) ||
        !take_character(s, "-") || !take_digits(s, 2, &day) || month < 1 || month > 12) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t last = days_of[month - 1] + (month == 2 && leap);
    if (year < 1 || day < 1 || day > last) {
        return false;
    }
    *ret_days = clock_days((int32_t)year, (unsigned)month, (unsigned)day);
    return true;
}

/* The fraction of a second, to nanoseconds; further digits must be there but may not count. */
static bool take_fraction(struct slice *s, int64_t *ret_nanos)
{
    int64_t nanos = 0;
    int64_t unit = 100000000;
    size_t count = 0;
    if (!take_character(s, ".,")) {
        *ret_nanos = 0;
        return true;
    }
    for (int64_t digit; take_digits(s, 1, &digit); count++) {
        nanos += digit * unit;
        unit /= 10;
    }
    *ret_nanos = nanos;
    return count > 0 && count <= 9;
}

static bool take_time(struct slice *s, int64_t *ret_nanos)
{
    int64_t hour;
    int64_t minute;
    int64_t second = 0;
    int64_t nanos = 0;
    if (!take_digits(s, 2, &hour) || !take_character(s, ":") || !take_digits(s, 2, &minute)) {
        return false;
    }
    if (take_character(s, ":") && (!take_digits(s, 2, &second) || !take_fraction(s, &nanos))) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    second = second == 60 ? 59 : second;
    *ret_nanos = ((hour * 60 + minute) * 60 + second) * 1000000000 + nanos;
    return true;
}

static bool take_offset(struct slice *s, bool local, int64_t *ret_seconds)
{
    *ret_seconds = 0;
    if (s->size == 0) {
        return local;
    }
    if (take_character(s, "Zz")) {
        return true;
    }
    bool west = s->data[0] == '-';
    int64_t hour;
    int64_t minute = 0;
    if (!take_character(s, "+-") || !take_digits(s, 2, &hour)) {
        return false;
    }
    /* "+0200" and "+02" are common, too */
    bool has_minute = take_character(s, ":") || s->size > 0;
    if ((has_minute && !take_digits(s, 2, &minute)) || hour > 23 || minute > 59) {
        return false;
    }
    *ret_seconds = (hour * 60 + minute) * 60 * (west ? -1 : 1);
    return true;
}

bool avro_date_of(struct slice text, int32_t *ret_days)
{
    int64_t days;
    if (!take_date(&text, &days) || text.size > 0) {
        return false;
    }
    *ret_days = (int32_t)days;
    return true;
}

bool avro_time_of(struct slice text, int64_t *ret_nanos)
{
    int64_t nanos;
    if (!take_time(&text, &nanos) || text.size > 0) {
        return false;
    }
    *ret_nanos = nanos;
    return true;
}

bool avro_timestamp_of(struct slice text, bool local, int64_t *ret_seconds, uint32_t *ret_nanos)
{
    int64_t days;
    int64_t nanos;
    int64_t offset;
    if (!take_date(&text, &days) || !take_character(&text, "Tt ") || !take_time(&text, &nanos) ||
        !take_offset(&text, local, &offset) || text.size > 0) {
        return false;
    }
    *ret_seconds = days * 86400 + nanos / 1000000000 - (local ? 0 : offset);
    *ret_nanos = (uint32_t)(nanos % 1000000000);
    return true;
}

bool avro_uuid_is(struct slice text)
{
    if (text.size != 36) {
        return false;
    }
    for (size_t i = 0; i < 36; i++) {
        uint8_t c = text.data[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool digit = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
        if (dash ? c != '-' : !digit) {
            return false;
        }
    }
    return true;
}
