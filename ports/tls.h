/* TLS settings and identities, shared by many connections. ports/lib/tls.c is the only file that
 * includes mbedTLS's SSL and X.509 headers. TLS 1.2 and 1.3; certificate and host name are verified
 * unless `insecure` is said. Loop thread. */
#ifndef WEIR_PORTS_TLS_H
#define WEIR_PORTS_TLS_H

#include "ports/option.h"
#include "ports/slice.h"

struct tls; /* settings, loaded certificates and keys, and the sessions to resume */

/* The "tls" object of drivers and uplinks. */
struct tls_options {
    bool is_set;
    const char *ca;          /* PEM file; NULL: the system's bundle */
    const char *certificate; /* PEM file: own certificate and chain */
    const char *key;         /* PEM file; refused when readable by others */
    const char *server_name; /* instead of the host's name */
    int64_t version_min;     /* 0: 1.2, 1: 1.3 */
    bool insecure;           /* no verification */
    const char *client_ca;   /* server side: PEM file; clients must show a certificate of it */
};
extern const struct option tls_client_table[];
extern const struct option tls_server_table[];

enum tls_side { TLS_CLIENT, TLS_SERVER };

/* Loads the files. ERR_CONFIG, ERR_AUTH, ERR_CLOSED: *why names the file and what to do. */
enum err tls_open(struct tls **ret, const struct tls_options *options, enum tls_side side,
                  struct why *why) MUST_USE;
/* Loads the files as tls_open() does, and lets go of them. *ret_member is the option that is wrong:
 * "ca", "client_ca", "certificate" or "key". */
enum err tls_check(const struct tls_options *options, enum tls_side side, const char **ret_member,
                   struct why *why) MUST_USE;
/* Appends the common name (CN) of the first certificate of a PEM file. ERR_CONFIG: *why. */
enum err tls_common_name(const char *path, struct out *ret, struct why *why) MUST_USE;
/* When the own certificate's chain expires, in seconds since 1970; 0: there is none. */
int64_t tls_own_end_s(const struct tls *tls);
/* Connections that use it must be closed. NULL is allowed. */
void tls_close(struct tls *tls);

/* --- a client's sessions, which servers resume: for ports/tickets.h --- */

/* changed() is called within calls of streams whenever a session is kept anew; NULL: not any more. */
void tls_kept_watch(struct tls *tls, void (*changed)(void *context), void *context);
/* Writes them all. They are secrets: who has one reads and speaks as we do. */
void tls_kept_save(const struct tls *tls, struct out *o);
/* Takes what tls_kept_save() wrote under the same authorities, own certificate and settings; all else,
 * and what is damaged or of another build, is left out: handshakes are full ones then. */
void tls_kept_load(struct tls *tls, struct slice saved);

#endif
