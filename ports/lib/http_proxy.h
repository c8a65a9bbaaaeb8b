/* Which proxy a request goes through. Pure but for the environment. */
#ifndef WEIR_PORTS_LIB_HTTP_PROXY_H
#define WEIR_PORTS_LIB_HTTP_PROXY_H

#include <stdbool.h>

/* The URL that the environment has for requests to `host` (as in a URL, IPv6 with brackets), and in
 * *ret_name the variable it is from: https_proxy, HTTPS_PROXY, or http_proxy in lower case only, since
 * a CGI server sets HTTP_PROXY from a header; else all_proxy, ALL_PROXY. NULL: none, because there is
 * no variable, or no_proxy or NO_PROXY has the host or a domain of it, or it is this machine or a
 * metadata service. */
const char *http_proxy_of_environment(bool is_https, const char *host, const char **ret_name);

/* Does a list as no_proxy is one, names with commas or spaces between them, have `host`? A name stands
 * for itself and all names below it, with or without a dot in front; "*" for all; an address for
 * itself. */
bool http_proxy_is_exempt(const char *list, const char *host);

#endif
