/* The status as lines for a person. */
#ifndef WEIR_AGENT_STATUS_PRINT_H
#define WEIR_AGENT_STATUS_PRINT_H

#include <stdio.h>

#include "ports/lib/json_tree.h"

/* `before`: the status some time before, for what came and went a second; NULL: none. */
void status_print(FILE *to, const struct json_node *root, const struct json_node *before);

#endif
