/* What the files of the http uplink share: http_uplink.c speaks, http_body.c makes the bodies,
 * http_options.c checks the settings. */
#ifndef WEIR_UPLINK_HTTP_HTTP_IMPL_H
#define WEIR_UPLINK_HTTP_HTTP_IMPL_H

#include "uplink/http/http_base.h"

#define HTTP_USER_HEADER_MAX 16
#define HTTP_STATUS_LIST_MAX 32

enum http_format { HTTP_NDJSON, HTTP_AVRO };
enum http_encoding { HTTP_IDENTITY, HTTP_GZIP, HTTP_ZSTD };

struct http_uplink_options {
    const char *url;
    int64_t method; /* 0: POST, 1: PUT */
    int64_t format; /* enum http_format */
    int64_t encoding;
    int64_t codec; /* enum container_codec, of Avro */
    int64_t level;
    int64_t size_max;
    int64_t timeout_ms;
    struct option_map headers;
    const char *token;
    const char *user;
    const char *password;
    struct tls_options tls;
    struct option_list status_ok; /* of int64_t */
    struct option_list status_retry;
    struct option_list status_rejected;
};
extern const struct option http_uplink_table[];
enum err http_uplink_check(const void *options, struct why *why);
/* Does it stand in one of the lists of statuses? */
bool http_status_is_in(const struct option_list *list, int64_t status);

/* Where the events of this stream go; without a NUL. */
void http_uplink_url_put(const struct http_uplink_options *options, const char *stream,
                         const char *agent_id, struct out *ret);
/* http_uplink_probe.c: uplink_class.probe(). */
enum err http_uplink_probe_open(struct probe **ret, const struct probe_setup *setup) MUST_USE;

/* wrap() of the class. */
enum err http_body_wrap(const void *options, const struct batch *batch, struct out *ret) MUST_USE;

#endif
