#include "drivers/http_impl.h"
#include "ports/listen.h"

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
     .check = listen_check,
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

enum err http_options_check(const void *options, struct why *why)
{
    const struct http_options *o = options;
    struct listen_safety safety = {
        .has_token = o->token, .has_tls = o->tls.is_set, .insecure = o->insecure};
    return listen_check_safe(o->listen, &safety, why);
}
