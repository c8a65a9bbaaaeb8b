/* What fill.c and fill_value.c share. */
#ifndef WEIR_CONFIG_FILL_VALUE_H
#define WEIR_CONFIG_FILL_VALUE_H

#include "config/fill.h"

/* A value on its way into a member. */
struct fill_value {
    const struct option *option;
    const struct json_node *node; /* NULL: `text` is a default */
    const char *path;
    size_t offset;
    void *member;
};

/* A bool, number, text, or any value: from its node into the member, or a finding. */
void fill_plain(struct fill *fill, const struct fill_value *value);
/* Without a node: the option's default, if it has one. */
void fill_default(struct fill *fill, const struct fill_value *value);
/* Notes that the node is of another kind than is wanted. */
void fill_wrong_kind(struct fill *fill, const struct fill_value *value);

#endif
