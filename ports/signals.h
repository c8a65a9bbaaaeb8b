/* Signals as events of the loop. Open before the first thread starts: threads inherit what is
 * blocked. Loop thread. */
#ifndef WEIR_PORTS_SIGNALS_H
#define WEIR_PORTS_SIGNALS_H

#include "ports/loop.h"

struct signals;

/* From now on SIGTERM, SIGINT and SIGHUP come as `caught` (on the loop, never within a call of the
 * user's), and SIGPIPE is ignored: writing to a closed socket is an error like any other. */
enum err signals_open(struct signals **ret, struct loop *loop,
                      void (*caught)(void *context, int number), void *context) MUST_USE;
/* Gives the signals back as they were; SIGPIPE stays ignored. NULL is allowed. */
void signals_close(struct signals *signals);

#endif
