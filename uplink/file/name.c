#include <inttypes.h>

#include "ports/clock.h"
#include "uplink/file/disk.h"

static void name_put_safe(struct out *ret, const char *text)
{
    for (size_t i = 0; text[i]; i++) {
        bool is_bad = text[i] == '/' || (unsigned char)text[i] < ' ' || (i == 0 && text[i] == '.');
        out_put_byte(ret, is_bad ? '_' : (uint8_t)text[i]);
    }
}

static bool name_put_word(struct slice word, const struct file_name *name, struct out *ret)
{
    if (slice_equal_text(word, "stream")) {
        name_put_safe(ret, name->stream);
    } else if (slice_equal_text(word, "agent")) {
        name_put_safe(ret, name->agent);
    } else if (slice_equal_text(word, "incarnation")) {
        out_put_format(ret, "%08" PRIx32, name->incarnation);
    } else if (slice_equal_text(word, "number")) {
        out_put_format(ret, "%06" PRId64, name->number);
    } else if (slice_equal_text(word, "first")) {
        out_put_format(ret, "%012" PRIu64, name->first);
    } else {
        return false;
    }
    return true;
}

static bool name_put_date(char letter, const struct civil *date, struct out *ret)
{
    switch (letter) {
    case 'Y':
        out_put_format(ret, "%04d", (int)date->year);
        return true;
    case 'm':
        out_put_format(ret, "%02u", date->month);
        return true;
    case 'd':
        out_put_format(ret, "%02u", date->day);
        return true;
    case 'H':
        out_put_format(ret, "%02u", date->hour);
        return true;
    case 'M':
        out_put_format(ret, "%02u", date->minute);
        return true;
    case '%':
        out_put_byte(ret, '%');
        return true;
    default:
        return false;
    }
}

enum err file_name_write(const char *pattern, const struct file_name *name, struct out *ret,
                         struct why *why)
{
    struct civil date;
    clock_civil(name->time_us, &date);
    for (const char *at = pattern; *at; at++) {
        const char *end = *at == '{' ? strchr(at, '}') : NULL;
        bool is_known = true;
        if (end) {
            struct slice word = {(const uint8_t *)at + 1, (size_t)(end - at) - 1};
            is_known = name_put_word(word, name, ret);
        } else if (*at == '%') {
            is_known = name_put_date(at[1], &date, ret);
        } else {
            out_put_byte(ret, (uint8_t)*at);
        }
        if (!is_known) {
            why_set(why,
                    "the name pattern \"%s\" has an unknown part at \"%.16s\": there are "
                    "{stream} {agent} {incarnation} {number} {first} %%Y %%m %%d %%H %%M",
                    pattern, at);
            return ERR_CONFIG;
        }
        at = end ? end : at + (*at == '%');
    }
    out_put_byte(ret, 0);
    if (ret->overflow) {
        why_set(why, "the name pattern \"%.64s\" gives a name that is too long", pattern);
        return ERR_CONFIG;
    }
    return ERR_OK;
}
