#include "ports/listen.h"

#include <string.h>

bool listen_parse(const char *text, char ret_host[LISTEN_HOST_SIZE], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1]) {
        return false;
    }
    const char *first = text;
    const char *end = colon;
    if (*first == '[') {
        if (end[-1] != ']') {
            return false;
        }
        first++;
        end--;
    }
    unsigned port = 0;
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9' || port > 6553) {
            return false;
        }
        port = port * 10 + (unsigned)(*c - '0');
    }
    size_t size = (size_t)(end - first);
    if (size == 0 || size >= LISTEN_HOST_SIZE || port > 65535) {
        return false;
    }
    memcpy(ret_host, first, size);
    ret_host[size] = 0;
    *ret_port = (uint16_t)port;
    return true;
}

bool listen_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

enum err listen_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    char host[LISTEN_HOST_SIZE];
    uint16_t port;
    if (!listen_parse(text, host, &port)) {
        why_set(why, "\"%s\" is no address with a port: write it like 127.0.0.1:8080 or [::1]:8080",
                text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

enum err listen_check_safe(const char *text, const struct listen_safety *safety, struct why *why)
{
    char host[LISTEN_HOST_SIZE] = "";
    uint16_t port;
    if (!listen_parse(text, host, &port)) {
        return listen_check(&text, why);
    }
    if (listen_is_loopback(host) || safety->insecure || (safety->has_token && safety->has_tls)) {
        return ERR_OK;
    }
    why_set(why, "%s is reachable from outside: set %s, or say \"insecure\": true", text,
            safety->has_token ? "tls"
            : safety->has_tls ? "a token"
                              : "a token and tls");
    return ERR_CONFIG;
}
