/* Where a store is: "https://host[:port][/path]". Pure. */
#ifndef WEIR_UPLINK_OBJECT_ENDPOINT_H
#define WEIR_UPLINK_OBJECT_ENDPOINT_H

#include "ports/err.h"
#include "ports/slice.h"

struct endpoint {
    struct slice scheme; /* "https://" */
    struct slice host;   /* as in the header Host: without a port that is the scheme's own */
    struct slice path;   /* "" or "/...", without '/' at its end */
};

/* Points into `url`. ERR_CONFIG: it is none, or holds a user, a query or a fragment. */
enum err endpoint_parse(const char *url, struct endpoint *ret, struct why *why) MUST_USE;
/* The same as the check of an option. */
enum err endpoint_check(const void *value, struct why *why);

#endif
