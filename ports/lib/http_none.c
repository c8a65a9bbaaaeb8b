/* The HTTP client of builds without one (WEIR_HTTP_CLIENT): it does not open. What needs it is
 * refused by the checks of the configuration. */
#include <assert.h>

#include "ports/http.h"

enum err http_open(struct http **ret, struct loop *loop, struct names *names)
{
    assert(ret && loop);
    (void)names;
    return ERR_CONFIG;
}

void http_link_set(struct http *http, void (*link)(void *context, struct http_link *ret),
                   void *context)
{
    assert(!http);
    (void)link;
    (void)context;
}

void http_tickets_set(struct http *http, struct tickets *tickets, const char *name)
{
    assert(!http);
    (void)tickets;
    (void)name;
}

void http_cut(struct http *http, uint64_t *ret_sent, uint64_t *ret_received)
{
    assert(!http);
    *ret_sent = 0;
    *ret_received = 0;
}

void http_close(struct http *http)
{
    assert(!http);
}

enum err http_send(struct http *http, struct http_request *request)
{
    assert(!http);
    (void)request;
    return ERR_CONFIG;
}

void http_cancel(struct http *http, struct http_request *request)
{
    assert(!http);
    (void)request;
}
