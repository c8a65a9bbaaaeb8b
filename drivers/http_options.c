#include <string.h>

#include "drivers/http_impl.h"

bool http_listen_parse(const char *text, char ret_host[HTTP_HOST_SIZE], uint16_t *ret_port)
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
    if (size == 0 || size >= HTTP_HOST_SIZE || port > 65535) {
        return false;
    }
    memcpy(ret_host, first, size);
    ret_host[size] = 0;
    *ret_port = (uint16_t)port;
    return true;
}

static enum err http_listen_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    char host[HTTP_HOST_SIZE];
    uint16_t port;
    if (!http_listen_parse(text, host, &port)) {
        why_set(why, "\"%s\" is no address with a port: write it like 127.0.0.1:8080 or [::1]:8080",
                text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err http_path_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (text[0] != '/') {
        why_set(why, "the path \"%s\" must begin with /", text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

#define HTTP_ROW(member) .offset = offsetof(struct http_options, member)

const struct option http_options_table[] = {
    {.name = "listen",
     .kind = OPTION_TEXT,
     HTTP_ROW(listen),
     .max = 128,
     .initial = "127.0.0.1:8080",
     .check = http_listen_check,
     .help = "Address and port. Off loopback a token and TLS are needed, unless `insecure`."},
    {.name = "path",
     .kind = OPTION_TEXT,
     HTTP_ROW(path),
     .min = 1,
     .max = 256,
     .initial = "/",
     .check = http_path_check,
     .help = "Only below this path events are taken; what follows it is the subject: POST "
             "/site/a/temp has the subject \"site/a/temp\"."},
    {.name = "token",
     .kind = OPTION_SECRET,
     HTTP_ROW(token),
     .max = 1024,
     .help = "Requests must carry \"Authorization: Bearer TOKEN\"."},
    {.name = "insecure",
     .kind = OPTION_BOOL,
     HTTP_ROW(insecure),
     .initial = "false",
     .help = "Allows to listen off loopback without a token or without TLS."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     HTTP_ROW(tls),
     .record = tls_server_table,
     .record_size = sizeof(struct tls_options),
     .help = "Certificate and key of the server."},
    {.name = "body_size_max",
     .kind = OPTION_SIZE,
     HTTP_ROW(body_size_max),
     .min = 1024,
     .max = 64 * 1024 * 1024,
     .initial = "1 MiB",
     .help = "Larger requests are answered with 413."},
    {.name = "memory_max",
     .kind = OPTION_SIZE,
     HTTP_ROW(memory_max),
     .min = 1024,
     .max = 1024 * 1024 * 1024,
     .initial = "4 MiB",
     .help = "All bodies together; beyond it requests are answered with 429."},
    {.name = "connection_max",
     .kind = OPTION_INT,
     HTTP_ROW(connection_max),
     .min = 1,
     .max = 1024,
     .initial = "32",
     .help = "Connections at one time; further ones wait to be accepted."},
    {.name = "idle_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(idle_ms),
     .min = 1000,
     .max = 3600000,
     .initial = "60 s",
     .help = "A connection on which nothing comes for so long is closed."},
    {.name = "request_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(request_ms),
     .min = 100,
     .max = 3600000,
     .initial = "30 s",
     .help = "A request must have arrived whole within this time."},
    {.name = "ack_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(ack_ms),
     .min = 100,
     .max = 3600000,
     .initial = "30 s",
     .help =
         "A request whose events are not all stored by then is answered with 503 and the number "
         "of those that are."},
    {.name = "retry_after",
     .kind = OPTION_DURATION,
     HTTP_ROW(retry_after_ms),
     .min = 1000,
     .max = 86400000,
     .initial = "5 s",
     .help = "What 429 and 503 tell the client to wait."},
    {.name = "idempotency_keys",
     .kind = OPTION_INT,
     HTTP_ROW(idempotency_keys),
     .max = 4096,
     .initial = "256",
     .help = "How many Idempotency-Key headers are remembered, across restarts; 0: none."},
    {.name = NULL},
};

static bool http_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

enum err http_options_check(const void *options, struct why *why)
{
    const struct http_options *o = options;
    char host[HTTP_HOST_SIZE] = "";
    uint16_t port;
    if (!http_listen_parse(o->listen, host, &port)) {
        return http_listen_check(&o->listen, why);
    }
    if (http_is_loopback(host) || o->insecure) {
        return ERR_OK;
    }
    if (!o->token || !o->tls.is_set) {
        why_set(why, "%s is reachable from outside: set %s, or say \"insecure\": true", o->listen,
                o->token        ? "tls"
                : o->tls.is_set ? "a token"
                                : "a token and tls");
        return ERR_CONFIG;
    }
    return ERR_OK;
}
