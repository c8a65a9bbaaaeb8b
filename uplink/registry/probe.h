/* What a schema registry says about our schemas, for `weir check --online`: reachable, its login, its
 * clock, and of each subject whether the schema is there, or would be taken. Nothing is registered.
 * Loop thread. */
#ifndef WEIR_UPLINK_REGISTRY_PROBE_H
#define WEIR_UPLINK_REGISTRY_PROBE_H

#include "ports/probe.h"
#include "uplink/registry/registry.h"

struct registry_probe;

struct registry_probe_setup {
    const struct probe_setup *probe; /* where findings go; outlives the probe */
    const struct registry_options *options;
    struct http *http; /* likewise */
    void *context;
    void (*done)(void *context); /* once, never within a call of the user's */
};

enum err registry_probe_open(struct registry_probe **ret,
                             const struct registry_probe_setup *setup) MUST_USE;
/* A schema on a topic; before begin(). Subjects that were added already are left out. ERR_NOMEM. */
enum err registry_probe_add(struct registry_probe *probe, const char *topic,
                            const struct schema_info *schema) MUST_USE;
void registry_probe_begin(struct registry_probe *probe);
/* An answer had the registry's time: the clock here was told of. NULL: no. */
bool registry_probe_has_said_time(const struct registry_probe *probe);
/* NULL is allowed. */
void registry_probe_close(struct registry_probe *probe);

#endif
