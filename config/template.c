#include "config/template.h"

#include <string.h>

/* What stands between the braces. */
static enum err template_name(struct slice name, struct template_piece *ret, struct why *why)
{
    static const struct {
        const char *name;
        enum template_kind kind;
    } words[] = {{"topic", TEMPLATE_TOPIC},
                 {"source", TEMPLATE_SOURCE},
                 {"driver", TEMPLATE_DRIVER},
                 {"agent", TEMPLATE_AGENT},
                 {"time", TEMPLATE_TIME},
                 {"id", TEMPLATE_ID},
                 {"time_trust", TEMPLATE_TIME_TRUST}};
    struct template_piece piece = {.text = name};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (slice_equal_text(name, words[i].name)) {
            piece.kind = words[i].kind;
            *ret = piece;
            return ERR_OK;
        }
    }
    struct slice rest = name;
    struct slice front;
    if (slice_starts_with(name, SLICE("payload.")) && slice_take(&rest, 8, &front) && rest.size) {
        *ret = (struct template_piece){.kind = TEMPLATE_PAYLOAD, .text = rest};
        return ERR_OK;
    }
    bool is_level = slice_starts_with(name, SLICE("topic.")) && name.size >= 7 && name.size <= 8;
    for (size_t i = 6; is_level && i < name.size; i++) {
        is_level = name.data[i] >= '0' && name.data[i] <= '9';
        piece.level = piece.level * 10 + (unsigned)(name.data[i] - '0');
    }
    if (is_level && piece.level <= TEMPLATE_LEVEL_MAX) {
        piece.kind = TEMPLATE_TOPIC_LEVEL;
        *ret = piece;
        return ERR_OK;
    }
    why_set(why,
            "{%.*s} is unknown: there are {topic}, {topic.0} to {topic.%d}, {source}, "
            "{driver}, {agent}, {payload.NAME}, {time}, {id}, {time_trust}; a brace itself is "
            "written twice",
            name.size > 64 ? 64 : (int)name.size, (const char *)name.data, TEMPLATE_LEVEL_MAX);
    return ERR_CONFIG;
}

enum err template_next(struct slice *rest, struct template_piece *ret, struct why *why)
{
    if (rest->size == 0) {
        return ERR_CLOSED;
    }
    const uint8_t *p = rest->data;
    size_t size = 0;
    while (size < rest->size && p[size] != '{' && p[size] != '}') {
        size++;
    }
    struct slice taken;
    if (size == 0 && rest->size >= 2 && p[1] == p[0]) {
        *ret = (struct template_piece){.kind = TEMPLATE_TEXT, .text = {p, 1}};
        return slice_take(rest, 2, &taken) ? ERR_OK : ERR_CLOSED;
    }
    if (size > 0) {
        *ret = (struct template_piece){.kind = TEMPLATE_TEXT, .text = {p, size}};
        return slice_take(rest, size, &taken) ? ERR_OK : ERR_CLOSED;
    }
    const uint8_t *end = p[0] == '{' ? memchr(p, '}', rest->size) : NULL;
    if (!end) {
        why_set(why, "a %c without its other half: a brace itself is written twice", p[0]);
        return ERR_CONFIG;
    }
    enum err e = template_name((struct slice){p + 1, (size_t)(end - p) - 1}, ret, why);
    if (!e && !slice_take(rest, (size_t)(end - p) + 1, &taken)) {
        e = ERR_CLOSED;
    }
    return e;
}

enum err template_check(const char *text, struct why *why)
{
    struct slice rest = slice_of_text(text);
    struct template_piece piece;
    bool is_late = false;
    size_t count = 0;
    enum err e;
    while (!(e = template_next(&rest, &piece, why))) {
        is_late = is_late || piece.kind >= TEMPLATE_TIME;
        count++;
    }
    if (e == ERR_CLOSED && is_late && count > 1) {
        why_set(why, "{time}, {id} and {time_trust} are filled in when the event is sent: each has "
                     "to stand alone in its text");
        return ERR_CONFIG;
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

enum template_kind template_late(const char *text)
{
    struct slice rest = slice_of_text(text);
    struct template_piece piece;
    return !template_next(&rest, &piece, NULL) && piece.kind >= TEMPLATE_TIME ? piece.kind
                                                                              : TEMPLATE_TEXT;
}

/* Takes the level at the front, and the '/' behind it. False: there is none any more. */
static bool level_take(struct slice *rest, bool *is_over, struct slice *ret)
{
    if (*is_over) {
        return false;
    }
    const uint8_t *end = rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    if (!end) {
        *ret = *rest;
        *is_over = true;
        return true;
    }
    size_t size = (size_t)(end - rest->data);
    *ret = (struct slice){rest->data, size};
    rest->data += size + 1;
    rest->size -= size + 1;
    return true;
}

/* '*' stands for any characters. At a mismatch the last '*' takes one character more, so that the
 * work is at most pattern times text. */
static bool level_match(struct slice pattern, struct slice text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX;
    size_t star_text = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.size;
}

bool route_match(const char *pattern, struct slice subject)
{
    struct slice pattern_rest = slice_of_text(pattern);
    struct slice pattern_level;
    struct slice level;
    bool pattern_over = false;
    bool subject_over = false;
    while (level_take(&pattern_rest, &pattern_over, &pattern_level)) {
        if (slice_equal_text(pattern_level, "#")) {
            return true;
        }
        if (!level_take(&subject, &subject_over, &level)) {
            return false;
        }
        if (!slice_equal_text(pattern_level, "+") && !level_match(pattern_level, level)) {
            return false;
        }
    }
    return subject_over;
}

bool route_level(struct slice subject, unsigned level, struct slice *ret)
{
    struct slice found;
    bool is_over = false;
    for (unsigned i = 0; level_take(&subject, &is_over, &found); i++) {
        if (i == level) {
            *ret = found;
            return true;
        }
    }
    return false;
}

enum err route_check(const char *pattern, struct why *why)
{
    struct slice rest = slice_of_text(pattern);
    struct slice level;
    bool is_over = false;
    while (level_take(&rest, &is_over, &level)) {
        bool has_hash = level.size && memchr(level.data, '#', level.size);
        bool has_plus = level.size && memchr(level.data, '+', level.size);
        if (has_hash && (level.size > 1 || !is_over)) {
            why_set(why, "'#' must be the last level, and alone in it");
            return ERR_CONFIG;
        }
        if (has_plus && level.size > 1) {
            why_set(why, "'+' must be alone in its level");
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}
