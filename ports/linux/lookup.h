/* One getaddrinfo() in a thread of its own: not on a struct worker, because nothing ends one that
 * hangs. The query is answered when its time is over, and what is left of the lookup, even after
 * lookups_close(), belongs to its thread alone. */
#ifndef WEIR_PORTS_LINUX_LOOKUP_H
#define WEIR_PORTS_LINUX_LOOKUP_H

#include "ports/names.h"

struct lookups;

struct lookup {
    struct lookups *lookups;
    struct lookup *next;
    char host[NAMES_HOST_SIZE_MAX];
    int result; /* getaddrinfo's */
    int result_errno;
    struct address addresses[NAMES_ADDRESS_MAX];
    size_t address_count;
};

enum err lookups_open(struct lookups **ret) MUST_USE;
/* What still runs is forgotten. NULL is allowed. */
void lookups_close(struct lookups *lookups);
/* Readable while there is something to take. */
int lookups_fd(const struct lookups *lookups);
/* ERR_NOMEM: no thread for it. *ret is to know it by, until it is taken. */
enum err lookup_start(struct lookups *lookups, const char *host, struct lookup **ret) MUST_USE;
/* Before lookup_take(): what the descriptor told is known. */
void lookups_clear(struct lookups *lookups);
/* One that has ended, or NULL; the caller frees it by free(). */
struct lookup *lookup_take(struct lookups *lookups);
/* What its result means; *why is set for errors. */
enum err lookup_error(const struct lookup *lookup, struct why *why) MUST_USE;

#endif
