#include "config/walk.h"

#include <assert.h>

struct walk walk_begin(const struct option *table)
{
    return (struct walk){.rows = {table}, .depth = 1};
}

enum walk_step walk_next(struct walk *walk, const struct option **ret)
{
    if (walk->depth == 0) {
        return WALK_END;
    }
    const struct option *row = walk->rows[walk->depth - 1];
    while (row->flags & OPTION_NONE) {
        row = ++walk->rows[walk->depth - 1];
    }
    if (!row->name) {
        walk->depth--;
        *ret = walk->depth ? walk->outer[walk->depth] : NULL;
        return walk->depth ? WALK_LEAVE : WALK_END;
    }
    walk->rows[walk->depth - 1]++;
    *ret = row;
    if (!row->record) {
        return WALK_ROW;
    }
    assert(walk->depth < WALK_DEPTH_MAX);
    walk->outer[walk->depth] = row;
    walk->rows[walk->depth++] = row->record;
    return WALK_ENTER;
}
