/* The time stamp of a JSON object, wherever it is on its first level. Pure. */
#ifndef WEIR_DRIVERS_REPLAY_TIME_H
#define WEIR_DRIVERS_REPLAY_TIME_H

#include "ports/slice.h"

/* Microseconds since 1970 of the field: RFC 3339 text ("2026-03-01T12:34:56.7Z", also with a space
 * or an offset), or a number of seconds, milli-, micro- or nanoseconds, told apart by its size.
 * False: no object, no such field, or no time. */
bool replay_time_find(struct slice json, const char *field, int64_t *ret_us) MUST_USE;
bool replay_time_parse(struct slice text, int64_t *ret_us) MUST_USE;

#endif
