/* Going through an option table. */
#ifndef WEIR_CONFIG_WALK_H
#define WEIR_CONFIG_WALK_H

#include "ports/option.h"

/* A way through a table and the tables within it, without recursion. */
#define WALK_DEPTH_MAX 8

enum walk_step { WALK_ROW, WALK_ENTER, WALK_LEAVE, WALK_END };

struct walk {
    const struct option *rows[WALK_DEPTH_MAX]; /* the next ones */
    const struct option *outer[WALK_DEPTH_MAX];
    unsigned depth;
};

struct walk walk_begin(const struct option *table);
/* The next row; ENTER: it holds a record, whose rows follow, then LEAVE with the same row. */
enum walk_step walk_next(struct walk *walk, const struct option **ret);

#endif
