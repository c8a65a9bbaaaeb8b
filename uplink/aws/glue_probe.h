/* What AWS's schema registry says of our schemas, for `weir check --online`: reached, its login, its clock,
 * and of each schema whether it is there, or would be taken. Nothing is registered. For an uplink that
 * has the option `glue`. Loop thread. */
#ifndef WEIR_UPLINK_AWS_GLUE_PROBE_H
#define WEIR_UPLINK_AWS_GLUE_PROBE_H

#include "ports/probe.h"
#include "uplink/aws/glue.h"

struct glue_probe;

struct glue_probe_setup {
    const struct probe_setup *probe; /* copied; its done() is not called */
    const struct glue_options *options;
    /* Where this stream's events go, by which schemas are named; "": it has no schema there. */
    enum err (*topic)(const struct probe_setup *probe, const struct probe_stream *stream,
                      char ret[TARGET_NAME_SIZE_MAX], struct why *why);
    void *context;
    void (*done)(void *context); /* once, never within opening */
};

/* ERR_NOMEM. */
enum err glue_probe_open(struct glue_probe **ret, const struct glue_probe_setup *setup) MUST_USE;
/* An answer had the registry's time: the clock here was told of. NULL: no. */
bool glue_probe_has_said_time(const struct glue_probe *probe);
/* NULL is allowed. */
void glue_probe_close(struct glue_probe *probe);

#endif
