#include "uplink/object/endpoint.h"

static bool ends_with(struct slice s, struct slice end)
{
    return s.size >= end.size && memcmp(s.data + s.size - end.size, end.data, end.size) == 0;
}

enum err endpoint_parse(const char *url, struct endpoint *ret, struct why *why)
{
    struct slice rest = slice_of_text(url);
    bool is_https = slice_starts_with(rest, SLICE("https://"));
    bool is_http = slice_starts_with(rest, SLICE("http://"));
    struct endpoint endpoint;
    size_t host_size = 0;
    if ((!is_http && !is_https) || !slice_take(&rest, is_https ? 8 : 7, &endpoint.scheme)) {
        why_set(why, "\"%.200s\" must begin with http:// or https://", url);
        return ERR_CONFIG;
    }
    while (host_size < rest.size && rest.data[host_size] != '/') {
        host_size++;
    }
    bool is_bad = !slice_take(&rest, host_size, &endpoint.host) || host_size == 0;
    for (const char *c = url; *c; c++) {
        is_bad = is_bad || *c <= ' ' || *c > '~' || strchr("@?#\\\"<>{}", *c);
    }
    if (is_bad) {
        why_set(why,
                "\"%.200s\" is no address of a store: it has a scheme, a host, and perhaps a "
                "port and a path, nothing else",
                url);
        return ERR_CONFIG;
    }
    while (rest.size && rest.data[rest.size - 1] == '/') {
        rest.size--;
    }
    endpoint.path = rest;
    struct slice own_port = is_https ? SLICE(":443") : SLICE(":80");
    if (ends_with(endpoint.host, own_port)) {
        endpoint.host.size -= own_port.size;
    }
    *ret = endpoint;
    return ERR_OK;
}

enum err endpoint_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    struct endpoint endpoint;
    return url ? endpoint_parse(url, &endpoint, why) : ERR_OK;
}
