/* Carries the bytes of TLS connections to the HTTP library over socket pairs: its own TLS is
 * another one than ours. Only for http_server.c. Loop thread. */
#ifndef WEIR_PORTS_LIB_HTTP_SERVER_TLS_H
#define WEIR_PORTS_LIB_HTTP_SERVER_TLS_H

#include "ports/lib/http_server.h"

struct http_server_tls;

/* `adopt` gets the library's end of each connection and owns it when it returns true. */
enum err http_server_tls_open(struct http_server_tls **ret, struct loop *loop,
                              const struct http_server_options *options,
                              bool (*adopt)(void *context, int fd), void *context,
                              struct why *why) MUST_USE;
uint16_t http_server_tls_port(const struct http_server_tls *tls);
/* The peer of the connection whose library end is `fd`, while adopt() runs. */
const char *http_server_tls_peer(const struct http_server_tls *tls, int fd);
/* No new connections. NULL is allowed. */
void http_server_tls_stop(struct http_server_tls *tls);
/* NULL is allowed. */
void http_server_tls_close(struct http_server_tls *tls);

#endif
