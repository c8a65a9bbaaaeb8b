/* What config.c and check.c share while a file is being loaded. */
#ifndef WEIR_CONFIG_LOAD_H
#define WEIR_CONFIG_LOAD_H

#include "config/config.h"
#include "config/fill.h"

struct load {
    struct config *config;
    struct fill fill;
    const struct config_parts *parts;
    const struct json_node *root;
};

/* What belongs together: names that refer to streams and uplinks, shares, which stream goes where.
 * Everything is filled, as far as it could be. */
void load_check(struct load *load);
/* differ.c: of each part of what is loaded and right. ERR_NOMEM. */
enum err load_digest(struct config *config) MUST_USE;

#endif
