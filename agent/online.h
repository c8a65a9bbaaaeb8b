/* `weir check --online`: what the network says about a configuration that is right in itself. */
#ifndef WEIR_AGENT_ONLINE_H
#define WEIR_AGENT_ONLINE_H

#include "config/config.h"

/* Runs the probes of all drivers and uplinks (ports/probe.h) side by side, on a loop of its own, and
 * prints what they find: a line each, or one JSON document. Returns the exit code: 0, 1 when there
 * is an error among it, 3 failed. Neither opens the buffer nor sends an event. */
int online_check(const struct config *config, bool json);

#endif
