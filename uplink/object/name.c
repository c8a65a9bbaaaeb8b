#include "uplink/object/name.h"

#include <inttypes.h>

#include "ports/clock.h"

#define NAME_SIZE_MAX 4096

/* What is filled in is a part of a path, and of a pattern where it is bound. */
static void name_put_safe(struct out *ret, const char *text, bool is_bound)
{
    for (size_t i = 0; text[i]; i++) {
        char c = text[i];
        bool is_bad = c == '/' || (unsigned char)c < ' ' || (i == 0 && c == '.') ||
                      (is_bound && (c == '{' || c == '}'));
        out_put_byte(ret, is_bad ? '_' : (uint8_t)c);
        if (is_bound && c == '%') {
            out_put_byte(ret, '%');
        }
    }
}

static bool name_put_who(struct slice word, const struct object_name *name, bool is_bound,
                         struct out *ret)
{
    if (slice_equal_text(word, "stream")) {
        name_put_safe(ret, name->stream, is_bound);
    } else if (slice_equal_text(word, "agent")) {
        name_put_safe(ret, name->agent, is_bound);
    } else if (slice_equal_text(word, "incarnation")) {
        out_put_format(ret, "%08" PRIx32, name->incarnation);
    } else {
        return false;
    }
    return true;
}

static bool name_put_word(struct slice word, const struct object_name *name, struct out *ret)
{
    if (name_put_who(word, name, false, ret)) {
        return true;
    }
    if (slice_equal_text(word, "number")) {
        out_put_format(ret, "%06" PRId64, name->number);
    } else if (slice_equal_text(word, "first")) {
        out_put_format(ret, "%012" PRIu64, name->first);
    } else if (slice_equal_text(word, "last")) {
        out_put_format(ret, "%012" PRIu64, name->last);
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

static enum err name_end(const char *pattern, struct out *ret, struct why *why)
{
    out_put_byte(ret, 0);
    if (ret->overflow) {
        why_set(why, "the name pattern \"%.64s\" gives a name that is too long", pattern);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err object_name_write(const char *pattern, const struct object_name *name, struct out *ret,
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
                    "{stream} {agent} {incarnation} {number} {first} {last} %%Y %%m %%d %%H %%M",
                    pattern, at);
            return ERR_CONFIG;
        }
        at = end ? end : at + (*at == '%');
    }
    return name_end(pattern, ret, why);
}

enum err object_name_bind(const char *pattern, const struct object_name *name, struct out *ret,
                          struct why *why)
{
    for (const char *at = pattern; *at; at++) {
        const char *end = *at == '{' ? strchr(at, '}') : NULL;
        struct slice word = {(const uint8_t *)at + 1, end ? (size_t)(end - at) - 1 : 0};
        if (end && name_put_who(word, name, true, ret)) {
            at = end;
        } else {
            out_put_byte(ret, (uint8_t)*at);
        }
    }
    return name_end(pattern, ret, why);
}

enum err object_name_check(const char *pattern, const char *const *parts, struct why *why)
{
    uint8_t memory[NAME_SIZE_MAX];
    struct out out = out_over(memory, sizeof memory);
    struct object_name name = {.stream = "s", .agent = "a"};
    enum err e = object_name_write(pattern, &name, &out, why);
    if (!e && (pattern[0] == '/' || strstr(pattern, ".."))) {
        why_set(why, "the name pattern \"%s\" must hold no \"..\" and no / at its beginning",
                pattern);
        return ERR_CONFIG;
    }
    for (const char *const *part = parts; !e && *part; part++) {
        if (!strstr(pattern, *part)) {
            why_set(why, "the name pattern \"%s\" must hold %s", pattern, *part);
            return ERR_CONFIG;
        }
    }
    return e;
}
