/* What is printed from the option tables: the loaded configuration with all defaults, the JSON
 * Schema, the reference page. */
#ifndef WEIR_CONFIG_PRINT_H
#define WEIR_CONFIG_PRINT_H

#include "config/config.h"

#define PRINT_SIZE_MAX (4 * 1024 * 1024)

/* JSON that loads again; secrets are "***", texts that stand for something else as written. */
void print_config(const struct config *config, struct out *ret);
/* JSON Schema, draft 2020-12. */
void print_schema(const struct config_parts *parts, struct out *ret);
/* Markdown. */
void print_reference(const struct config_parts *parts, struct out *ret);

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
