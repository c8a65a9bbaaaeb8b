#include "drivers/replay_time.h"

#include "ports/clock.h"
#include "ports/lib/json.h"

/* Exactly `count` digits. */
static bool time_digits(struct slice *s, unsigned count, unsigned *ret)
{
    struct slice digits;
    unsigned value = 0;
    if (!slice_take(s, count, &digits)) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return false;
        }
        value = value * 10 + (digits.data[i] - '0');
    }
    *ret = value;
    return true;
}

static bool time_sign(struct slice *s, const char *allowed, char *ret)
{
    struct slice c;
    if (s->size == 0 || !strchr(allowed, s->data[0]) || s->data[0] == 0) {
        return false;
    }
    *ret = (char)s->data[0];
    return slice_take(s, 1, &c);
}

bool replay_time_parse(struct slice text, int64_t *ret_us)
{
    unsigned part[6];
    char sign;
    static const char *const between[] = {"-", "-", "Tt ", ":", ":"};
    for (unsigned i = 0; i < 6; i++) {
        if (!time_digits(&text, i == 0 ? 4 : 2, &part[i]) ||
            (i < 5 && !time_sign(&text, between[i], &sign))) {
            return false;
        }
    }
    if (part[1] < 1 || part[1] > 12 || part[2] < 1 || part[2] > 31 || part[3] > 23 ||
        part[4] > 59 || part[5] > 60) {
        return false;
    }
    int64_t us = clock_days((int32_t)part[0], part[1], part[2]) * 86400 + part[3] * 3600 +
                 part[4] * 60 + part[5];
    us *= 1000000;
    if (time_sign(&text, ".", &sign)) {
        unsigned digit;
        for (int64_t unit = 100000; time_digits(&text, 1, &digit); unit /= 10) {
            us += unit * digit;
        }
    }
    unsigned hours;
    unsigned minutes;
    if (time_sign(&text, "+-", &sign) && time_digits(&text, 2, &hours)) {
        (void)time_sign(&text, ":", &(char){0});
        if (!time_digits(&text, 2, &minutes)) {
            return false;
        }
        int64_t offset_us = (int64_t)(hours * 3600 + minutes * 60) * 1000000;
        us += sign == '+' ? -offset_us : offset_us;
    }
    *ret_us = us;
    return true;
}

/* Seconds until the year 5138 are below 1e11, milliseconds since 1973 above, and so on. */
static bool time_number(struct slice text, int64_t *ret_us)
{
    char number[40];
    if (!slice_to_text(text, number, sizeof number)) {
        return false;
    }
    double value = strtod(number, NULL);
    double size = value < 0 ? -value : value;
    double us = size < 1e11   ? value * 1e6
                : size < 1e14 ? value * 1e3
                : size < 1e17 ? value
                              : value / 1e3;
    if (!(us > -9e18 && us < 9e18)) {
        return false;
    }
    *ret_us = (int64_t)us;
    return true;
}

bool replay_time_find(struct slice json, const char *field, int64_t *ret_us)
{
    struct json_reader reader;
    struct json_token token;
    struct slice skipped;
    json_init(&reader, json);
    if (json_next(&reader, &token) != ERR_OK || token.kind != JSON_OBJECT_BEGIN) {
        return false;
    }
    while (json_next(&reader, &token) == ERR_OK && token.kind == JSON_KEY) {
        if (slice_equal_text(token.text, field)) {
            if (json_next(&reader, &token) != ERR_OK) {
                return false;
            }
            return token.kind == JSON_NUMBER   ? time_number(token.text, ret_us)
                   : token.kind == JSON_STRING ? replay_time_parse(token.text, ret_us)
                                               : false;
        }
        if (json_skip(&reader, &skipped) != ERR_OK) {
            return false;
        }
    }
    return false;
}
