#include <string.h>
#include <strings.h>

#include "config/fill.h"

#define SUGGEST_SIZE_MAX 40
#define SUGGEST_PREFIX_MIN 4

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* How many characters must be put in, left out, replaced, or swapped with their neighbour (the
 * optimal string alignment distance). Both at most SUGGEST_SIZE_MAX bytes. */
static unsigned suggest_distance(const char *a, const char *b)
{
    unsigned rows[3][SUGGEST_SIZE_MAX + 1];
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    for (unsigned j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *twice = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            row[j] =
                smaller(above[j - 1] + (a[i - 1] != b[j - 1]), smaller(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = smaller(row[j], twice[j - 2] + 1);
            }
        }
    }
    return rows[a_size % 3][b_size];
}

/* "username" for "user", "compression" for "compression_level"; "plain" for "PLAIN". */
static const char *suggest_alike(const char *name, const char *const *candidates)
{
    size_t size = strlen(name);
    for (; *candidates; candidates++) {
        size_t other = strlen(*candidates);
        size_t common = size < other ? size : other;
        if (common >= SUGGEST_PREFIX_MIN && strncasecmp(name, *candidates, common) == 0) {
            return *candidates;
        }
    }
    return NULL;
}

const char *suggest_name(const char *name, const char *const *candidates)
{
    const char *best = NULL;
    size_t size = strlen(name);
    unsigned limit = (unsigned)(size < 4 ? 1 : size / 3);
    if (size > SUGGEST_SIZE_MAX) {
        return suggest_alike(name, candidates);
    }
    for (const char *const *c = candidates; *c; c++) {
        if (strlen(*c) > SUGGEST_SIZE_MAX) {
            continue;
        }
        unsigned distance = suggest_distance(name, *c);
        if (distance <= limit) {
            best = *c;
            limit = distance - (distance > 0);
        }
    }
    return best ? best : suggest_alike(name, candidates);
}
