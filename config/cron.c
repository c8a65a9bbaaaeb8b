#include "config/cron.h"

#include <string.h>

#include "ports/slice.h"

#define DAY_MINUTES 1440

struct cron_field {
    const char *name;
    unsigned min, max;
    const char *words; /* three letters each, for `min`, `min` + 1, ...; "": none */
};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };

static const struct cron_field fields[FIELD_COUNT] = {
    [MINUTE] = {"minute", 0, 59, ""},
    [HOUR] = {"hour", 0, 23, ""},
    [DAY] = {"day", 1, 31, ""},
    [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
    [WEEKDAY] = {"weekday", 0, 7, "sunmontuewedthufrisat"},
};

/* --- reading --- */

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool take_word(const struct cron_field *field, const char **text, unsigned *ret)
{
    for (unsigned i = 0; field->words[i * 3]; i++) {
        const char *word = field->words + (size_t)i * 3;
        size_t same = 0;
        while (same < 3 && (*text)[same] && lower((*text)[same]) == (unsigned char)word[same]) {
            same++;
        }
        if (same == 3) {
            *text += 3;
            *ret = field->min + i;
            return true;
        }
    }
    return false;
}

static bool take_number(const char **text, unsigned *ret)
{
    unsigned number = 0, digits = 0;
    for (; **text >= '0' && **text <= '9' && digits < 3; (*text)++, digits++) {
        number = number * 10 + (unsigned)(**text - '0');
    }
    *ret = number;
    return digits > 0;
}

static bool take_value(const struct cron_field *field, const char **text, unsigned *ret)
{
    return (take_number(text, ret) || take_word(field, text, ret)) && *ret >= field->min &&
           *ret <= field->max;
}

/* "*", "5", "1-5", any of these with "/2". */
static bool take_part(const struct cron_field *field, const char **text, uint64_t *bits)
{
    unsigned first = field->min, last = field->max, step = 1;
    bool is_range = **text == '*';
    if (is_range) {
        (*text)++;
    } else if (!take_value(field, text, &first)) {
        return false;
    } else if (**text == '-') {
        (*text)++;
        is_range = true;
        if (!take_value(field, text, &last) || last < first) {
            return false;
        }
    } else {
        last = first;
    }
    if (**text == '/') {
        (*text)++;
        if (!is_range || !take_number(text, &step) || step == 0) {
            return false;
        }
    }
    for (unsigned i = first; i <= last; i += step) {
        *bits |= UINT64_C(1) << i;
    }
    return true;
}

static bool take_field(const struct cron_field *field, const char **text, uint64_t *bits,
                       bool *ret_any)
{
    *ret_any = **text == '*' && ((*text)[1] == ' ' || !(*text)[1]);
    do {
        if (!take_part(field, text, bits)) {
            return false;
        }
    } while (**text == ',' && (*text)++);
    return **text == ' ' || !**text;
}

static void skip_spaces(const char **text)
{
    *text += strspn(*text, " ");
}

/* Is there a day in any year? A weekday is there in each month. */
static bool has_a_day(const struct cron *cron)
{
    static const uint8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool by_weekday = cron->any_day || !cron->any_weekday;
    for (unsigned month = 1; month <= 12; month++) {
        uint32_t days = cron->days & (uint32_t)((UINT64_C(2) << lengths[month - 1]) - 1);
        if ((cron->months >> month & 1) && (by_weekday || days)) {
            return true;
        }
    }
    return false;
}

enum err cron_parse(const char *text, struct cron *ret, struct why *why)
{
    uint64_t bits[FIELD_COUNT] = {0};
    bool any[FIELD_COUNT];
    for (unsigned i = 0; i < FIELD_COUNT; i++) {
        skip_spaces(&text);
        if (!*text) {
            why_set(why,
                    "five fields are wanted, \"MINUTE HOUR DAY MONTH WEEKDAY\": the %s is "
                    "missing",
                    fields[i].name);
            return ERR_CONFIG;
        }
        if (!take_field(&fields[i], &text, &bits[i], &any[i])) {
            why_set(why, "the %s can't be read: * or numbers from %u to %u, as 1,5 or 1-5 or */2",
                    fields[i].name, fields[i].min, fields[i].max);
            return ERR_CONFIG;
        }
    }
    skip_spaces(&text);
    if (*text) {
        why_set(why, "five fields are wanted, \"MINUTE HOUR DAY MONTH WEEKDAY\": there are more");
        return ERR_CONFIG;
    }
    uint64_t weekdays = (bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f;
    struct cron cron = {.minutes = bits[MINUTE],
                        .hours = (uint32_t)bits[HOUR],
                        .days = (uint32_t)bits[DAY],
                        .months = (uint16_t)bits[MONTH],
                        .weekdays = (uint8_t)weekdays,
                        .any_day = any[DAY],
                        .any_weekday = any[WEEKDAY]};
    if (!has_a_day(&cron)) {
        why_set(why, "it never comes: no month that it names has such a day");
        return ERR_CONFIG;
    }
    *ret = cron;
    return ERR_OK;
}

/* --- matching --- */

bool cron_has_day(const struct cron *cron, unsigned month, unsigned day, unsigned weekday)
{
    bool by_day = cron->days >> day & 1;
    bool by_weekday = cron->weekdays >> weekday & 1;
    bool either = !cron->any_day && !cron->any_weekday;
    return (cron->months >> month & 1) && (either ? by_day || by_weekday : by_day && by_weekday);
}

static bool cron_has_minute(const struct cron *cron, int minute)
{
    return (cron->hours >> (minute / 60) & 1) && (cron->minutes >> (minute % 60) & 1);
}

int cron_minute_before(const struct cron *cron, int minute)
{
    minute = minute < DAY_MINUTES ? minute : DAY_MINUTES - 1;
    while (minute >= 0 && !cron_has_minute(cron, minute)) {
        minute--;
    }
    return minute;
}

int cron_minute_after(const struct cron *cron, int minute)
{
    while (minute < DAY_MINUTES && !cron_has_minute(cron, minute)) {
        minute++;
    }
    return minute < DAY_MINUTES ? minute : -1;
}
