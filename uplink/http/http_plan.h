/* Requests over our HTTP client and their answers, as sizes: for `weir plan`. Pure. */
#ifndef WEIR_UPLINK_HTTP_HTTP_PLAN_H
#define WEIR_UPLINK_HTTP_HTTP_PLAN_H

#include "ports/tls.h"
#include "ports/uplink_plan.h"

#define HTTP_PLAN_TOKEN_SIZE 1000 /* of access tokens and session tokens that are not known */

/* Bytes around the bodies. HTTP/2 and HPACK: what is the same in each request is sent by the first of a
 * connection, and by the others as a byte; frames of heads are included, those of bodies are not. */
struct http_plan_head {
    bool is_http2;
    uint32_t request, answer;
    uint32_t first_more; /* what the first request and its answer have more; HTTP/2 */
};

/* What a text of a head, a token mostly, comes to on the way. */
uint32_t http_plan_text(const struct http_plan_head *head, size_t size);

/* The way of all of them. *ret_is_http2: as ALPN has it. */
void http_plan_way(const struct uplink_plan_setup *setup, const char *url,
                   const struct tls_options *tls, struct uplink_way *ret, bool *ret_is_http2);

/* A request, and an answer whose body has so many bytes. */
void http_plan_talk(const struct http_plan_head *head, size_t body_size, size_t payload,
                    size_t answer_size, struct uplink_talk *ret);
/* What begins a connection. As uplink_plan.login(). */
size_t http_plan_login(const struct http_plan_head *head, struct uplink_talk ret[UPLINK_LOGIN_MAX]);

#endif
