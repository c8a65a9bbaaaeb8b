/* Where a server of ours listens, as an option says it, and what is wanted of it off loopback.
 * Pure. */
#ifndef WEIR_PORTS_LISTEN_H
#define WEIR_PORTS_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "ports/err.h"

#define LISTEN_HOST_SIZE 64

/* "127.0.0.1:8080" or "[::1]:8080". False: it is neither; what is returned is unchanged. */
bool listen_parse(const char *text, char ret_host[LISTEN_HOST_SIZE], uint16_t *ret_port) MUST_USE;
bool listen_is_loopback(const char *host);
/* The `check` of an option row whose member is the text. */
enum err listen_check(const void *value, struct why *why);

struct listen_safety {
    bool has_token;
    bool has_tls;
    bool insecure; /* the user has said that it may be without */
};
/* Off loopback a token and TLS are needed, unless `insecure`: ERR_CONFIG, *why says what is
 * missing. */
enum err listen_check_safe(const char *text, const struct listen_safety *safety,
                           struct why *why) MUST_USE;

#endif
