#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "uplink/http/http_impl.h"
#include "uplink/layout/pattern.h"
#include "uplink/object/object.h"

static const char *const http_methods[] = {"POST", "PUT", NULL};
static const char *const http_formats[] = {"ndjson", "avro", NULL};
static const char *const http_encodings[] = {"none", "gzip", "zstd", NULL};
static const struct option header_item = {.kind = OPTION_SECRET, .max = 4096};
static const struct option status_item = {.kind = OPTION_INT, .min = 200, .max = 599};

static enum err http_url_check(const void *value, struct why *why)
{
    const char *url = *(const char *const *)value;
    const char *host = strstr(url, "://");
    bool is_http = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    if (!is_http || !host[3] || host[3] == '/') {
        why_set(why, "url \"%.200s\" must begin with http:// or https://, and have a host", url);
        return ERR_CONFIG;
    }
    if (strcspn(host + 3, "@") < strcspn(host + 3, "/?")) {
        why_set(why, "url must not hold a user and password: set user and password");
        return ERR_CONFIG;
    }
    for (const char *at = url; *at; at++) {
        if ((*at == '{' && pattern_word(at) == 0) || *at <= ' ' || *at > '~') {
            why_set(why,
                    "url \"%.200s\" can't be used from \"%.16s\" on: there are {stream} and "
                    "{agent}, and other characters must be percent-encoded",
                    url, at);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

static bool is_header_text(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum err http_token_check(const void *value, struct why *why)
{
    const char *token = *(const char *const *)value;
    for (const char *c = token; c && *c; c++) {
        if (*c <= ' ' || *c > '~') {
            why_set(why, "token has a blank, a line break or another character that no token has: "
                         "check the file that it comes from");
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

static enum err http_headers_check(const void *value, struct why *why)
{
    static const char *const own[] = {
        "Authorization",   "Content-Encoding",  "Content-Length", "Host",
        "Idempotency-Key", "Transfer-Encoding", "Connection",     NULL};
    const struct option_map *headers = value;
    const char *const *values = headers->items;
    for (size_t i = 0; i < headers->count; i++) {
        const char *name = headers->names[i];
        for (const char *const *o = own; *o; o++) {
            if (strcasecmp(name, *o) == 0) {
                why_set(why, "headers: %s is set by the uplink itself", name);
                return ERR_CONFIG;
            }
        }
        if (!name[0] || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789!#$%&'*+-.^_`|~") != strlen(name)) {
            why_set(why, "headers: \"%.64s\" is no name of a header", name);
            return ERR_CONFIG;
        }
        if (!is_header_text(values[i])) {
            why_set(why, "headers: the value of %s has a line break or control character", name);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

bool http_status_is_in(const struct option_list *list, int64_t status)
{
    const int64_t *items = list->items;
    for (size_t i = 0; i < list->count; i++) {
        if (items[i] == status) {
            return true;
        }
    }
    return false;
}

static enum err http_lists_check(const struct http_uplink_options *options, struct why *why)
{
    const struct option_list *lists[] = {&options->status_ok, &options->status_retry,
                                         &options->status_rejected};
    for (int status = 200; status < 600; status++) {
        unsigned count = 0;
        for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
            count += http_status_is_in(lists[i], status);
        }
        if (count > 1) {
            why_set(why, "status %d stands in two lists: keep it in one of them", status);
            return ERR_CONFIG;
        }
    }
    return ERR_OK;
}

enum err http_uplink_check(const void *options, struct why *why)
{
    const struct http_uplink_options *http = options;
    if (http->token && (http->user || http->password)) {
        why_set(why, "token, and user and password, are two ways to log in: keep one of them");
        return ERR_CONFIG;
    }
    if (http->password && !http->user) {
        why_set(why, "password is not used without user: set user too");
        return ERR_CONFIG;
    }
    return http_lists_check(http, why);
}

const struct option http_uplink_table[] = {
    {.name = "url",
     .kind = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct http_uplink_options, url),
     .min = 8,
     .max = 2048,
     .check = http_url_check,
     .help = "Where batches go; {stream} and {agent} stand for the names."},
    {.name = "method",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct http_uplink_options, method),
     .initial = "POST",
     .words = http_methods,
     .help = "The method of the requests."},
    {.name = "format",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct http_uplink_options, format),
     .initial = "ndjson",
     .words = http_formats,
     .help = "What a body is: lines of JSON, one an event, or an Avro container with the schema."},
    {.name = "encoding",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct http_uplink_options, encoding),
     .initial = "none",
     .words = http_encodings,
     .help = "Content-Encoding of the body, if the service takes any: gzip or zstd."},
    {.name = "codec",
     .kind = OPTION_CHOICE,
     .offset = offsetof(struct http_uplink_options, codec),
     .initial = "deflate",
     .words = object_codecs,
     .help = "Compression inside Avro containers; with `encoding` better null."},
    {.name = "level",
     .kind = OPTION_INT,
     .offset = offsetof(struct http_uplink_options, level),
     .max = 19,
     .initial = "0",
     .help = "How hard the codec compresses: deflate 1-9, zstandard 1-19; 0: its usual one."},
    {.name = "size_max",
     .kind = OPTION_SIZE,
     .offset = offsetof(struct http_uplink_options, size_max),
     .min = 1024,
     .max = 64 * 1024 * 1024,
     .initial = "1 MiB",
     .help = "Largest body that the service takes; events are packed to stay below. (A single "
             "event that is larger is tried.)"},
    {.name = "timeout",
     .kind = OPTION_DURATION,
     .offset = offsetof(struct http_uplink_options, timeout_ms),
     .min = 1000,
     .max = 3600000,
     .initial = "30 s",
     .help = "A request that makes no progress for so long has failed, and is repeated."},
    {.name = "headers",
     .kind = OPTION_MAP,
     .offset = offsetof(struct http_uplink_options, headers),
     .max = HTTP_USER_HEADER_MAX,
     .item = &header_item,
     .check = http_headers_check,
     .help = "Further headers of each request, name to value: an API key, a Content-Type instead "
             "of application/x-ndjson or application/avro."},
    {.name = "token",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct http_uplink_options, token),
     .min = 1,
     .max = 8192,
     .check = http_token_check,
     .help = "Bearer token."},
    {.name = "user",
     .kind = OPTION_TEXT,
     .offset = offsetof(struct http_uplink_options, user),
     .max = 1024,
     .help = "User for basic authentication."},
    {.name = "password",
     .kind = OPTION_SECRET,
     .offset = offsetof(struct http_uplink_options, password),
     .max = 2048,
     .help = "Password for basic authentication."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     .offset = offsetof(struct http_uplink_options, tls),
     .record = tls_client_table,
     .record_size = sizeof(struct tls_options),
     .help = "TLS settings of an https URL; with a certificate: mutual TLS."},
    {.name = "status_ok",
     .kind = OPTION_LIST,
     .flags = OPTION_ONE_OK,
     .offset = offsetof(struct http_uplink_options, status_ok),
     .max = HTTP_STATUS_LIST_MAX,
     .item = &status_item,
     .help = "Further statuses that mean \"it is stored\": 409 where the service says so of a key "
             "that it knows. (200 to 299 always do, unless listed below.)"},
    {.name = "status_retry",
     .kind = OPTION_LIST,
     .flags = OPTION_ONE_OK,
     .offset = offsetof(struct http_uplink_options, status_retry),
     .max = HTTP_STATUS_LIST_MAX,
     .item = &status_item,
     .help = "Further statuses that mean \"not now\", besides 408, 409, 425, 429 and 500 to 599: "
             "the batch is repeated with growing pauses, or after Retry-After."},
    {.name = "status_rejected",
     .kind = OPTION_LIST,
     .flags = OPTION_ONE_OK,
     .offset = offsetof(struct http_uplink_options, status_rejected),
     .max = HTTP_STATUS_LIST_MAX,
     .item = &status_item,
     .help = "Further statuses that mean \"an event in it is bad\", besides 400 and 422: the batch "
             "is halved until the bad event stands alone, and that is set aside. All others stop "
             "the uplink for a minute, and are shown as its fault."},
    {.name = NULL},
};
