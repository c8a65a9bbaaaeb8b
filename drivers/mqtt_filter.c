#include <string.h>

#include "drivers/mqtt_impl.h"

#define SHARE "$share/"

/* Takes the level at the front, and the '/' behind it. False: there is none any more. */
static bool level_take(const char **rest, struct slice *ret)
{
    if (!*rest) {
        return false;
    }
    size_t size = strcspn(*rest, "/");
    *ret = (struct slice){(const uint8_t *)*rest, size};
    *rest = (*rest)[size] ? *rest + size + 1 : NULL;
    return true;
}

static bool has(struct slice s, char c)
{
    return s.size && memchr(s.data, c, s.size);
}

static enum err share_check(const char **filter, struct why *why)
{
    if (strncmp(*filter, SHARE, strlen(SHARE)) != 0) {
        return ERR_OK;
    }
    const char *rest = *filter + strlen(SHARE);
    struct slice group = {NULL, 0};
    if (!level_take(&rest, &group) || group.size == 0 || has(group, '+') || has(group, '#') ||
        !rest || !*rest) {
        why_set(why, "\"%s\": a shared filter is written $share/GROUP/FILTER", *filter);
        return ERR_CONFIG;
    }
    *filter = rest;
    return ERR_OK;
}

enum err mqtt_filter_check(const char *filter, struct why *why)
{
    const char *whole = filter;
    enum err e = share_check(&filter, why);
    if (e) {
        return e;
    }
    if (!*filter || strlen(whole) > 65535 || !slice_is_utf8(slice_of_text(whole))) {
        why_set(why, "a topic filter has 1 to 65535 bytes of UTF-8");
        return ERR_CONFIG;
    }
    struct slice level;
    while (level_take(&filter, &level)) {
        if (has(level, '#') && (level.size > 1 || filter)) {
            why_set(why, "\"%s\": '#' must be the last level, and alone in it", whole);
            return ERR_CONFIG;
        }
        if (has(level, '+') && level.size > 1) {
            why_set(why, "\"%s\": '+' must be alone in its level", whole);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

bool mqtt_filter_covers(const char *a, const char *b)
{
    if (strcmp(a, b) == 0) {
        return true;
    }
    bool is_shared = strncmp(a, SHARE, strlen(SHARE)) == 0 || strncmp(b, SHARE, strlen(SHARE)) == 0;
    bool is_wild = *a == '+' || *a == '#';
    if (is_shared || (is_wild && *b == '$')) {
        return false; /* wildcards in front do not take $SYS */
    }
    struct slice one;
    struct slice other;
    while (level_take(&a, &one)) {
        if (slice_equal_text(one, "#")) {
            return true;
        }
        if (!level_take(&b, &other) || slice_equal_text(other, "#") ||
            (!slice_equal_text(one, "+") && !slice_equal(one, other))) {
            return false;
        }
    }
    return !b;
}
