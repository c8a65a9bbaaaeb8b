/* What the service manager is told (sd_notify(3)): that the program is ready, reloading, stopping,
 * how it is, and, where it asks for that, that the loop still turns. Its protocol is one datagram of
 * NAME=value lines to the unix socket of the environment's NOTIFY_SOCKET; without that nothing is
 * told. Nothing here fails: a manager that does not listen stops nobody. Loop thread. */
#ifndef WEIR_PORTS_NOTIFY_H
#define WEIR_PORTS_NOTIFY_H

#include "ports/loop.h"

struct notify;

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and takes them out of the environment, so that
 * commands which the agent starts do not speak in its name. The watchdog is fed from the loop, twice
 * in its time. *ret is NULL where there is no manager, or no memory to speak to it. */
void notify_open(struct notify **ret, struct loop *loop);
/* NULL is allowed, here and below. */
void notify_close(struct notify *notify);

/* `status` is a line for a person; longer ones are cut. */
void notify_ready(struct notify *notify, const char *status);
void notify_status(struct notify *notify, const char *status);
/* notify_ready() ends it. */
void notify_reloading(struct notify *notify);
void notify_stopping(struct notify *notify);

#endif
