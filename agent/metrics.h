/* The status as Prometheus reads it: text format 0.0.4. Every number is taken from the JSON of
 * agent_status(), by one table: what is no member there is no metric. Pure. */
#ifndef WEIR_AGENT_METRICS_H
#define WEIR_AGENT_METRICS_H

#include "ports/lib/json_tree.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* `status` is the root. What it does not have, or has as null, is left out. */
void metrics_put(const struct json_node *status, struct out *ret);

#endif
