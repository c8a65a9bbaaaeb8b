/* Names of Avro containers, in a folder or a bucket, from a pattern: {stream}, {agent},
 * {incarnation}, {number}, {first}, {last}; %Y %m %d %H %M of the first event's time in UTC; %% is
 * %. Pure. */
#ifndef WEIR_UPLINK_OBJECT_NAME_H
#define WEIR_UPLINK_OBJECT_NAME_H

#include "ports/err.h"
#include "ports/slice.h"

struct object_name {
    const char *stream;
    const char *agent;
    uint32_t incarnation;
    int64_t number; /* the file uplink's */
    uint64_t first, last;
    int64_t time_us;
};

/* Appends the name and a NUL. Characters of stream and agent that are no good in paths become '_'.
 * ERR_CONFIG: unknown placeholder, or longer than `ret`. */
enum err object_name_write(const char *pattern, const struct object_name *name, struct out *ret,
                           struct why *why) MUST_USE;
/* Appends the pattern and a NUL, with stream, agent and incarnation filled in and all else left as
 * it is: what is put on record with a parcel, so that its names do not depend on the configuration
 * any more. ERR_CONFIG: longer than `ret`. */
enum err object_name_bind(const char *pattern, const struct object_name *name, struct out *ret,
                          struct why *why) MUST_USE;
/* Is it a pattern, for a path below a folder, that holds all of these? `parts` ends with NULL. */
enum err object_name_check(const char *pattern, const char *const *parts, struct why *why) MUST_USE;

#endif
