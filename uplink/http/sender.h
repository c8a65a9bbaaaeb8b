/* Batches as HTTP requests: what all uplinks over an HTTP service have in common.
 *
 * An uplink hands each batch that it is lent to sender_put(). The sender gives it a request when it
 * is its turn (higher lanes first; batches of urgent streams never wait for a bulk request to end),
 * asks the service's build() for the bytes, and its judge() what the answer means, until judge()
 * says how the batch ended; then uplink_done() is called, in one place and once. What fails below
 * HTTP (no connection, TLS, no progress) is judged here: it is SEND_RETRY, or SEND_PARK where a
 * setting is wrong; while that lasts, one request at a time is tried, after growing pauses with
 * jitter. Bytes on the wire are told to uplink_wire_bytes(), a Date to the clock, a fault to
 * uplink_fault(). Loop thread. */
#ifndef WEIR_UPLINK_HTTP_SENDER_H
#define WEIR_UPLINK_HTTP_SENDER_H

#include "ports/http.h"
#include "ports/uplink.h"
#include "uplink/http/server_clock.h"

#define SENDER_REQUEST_MAX \
    4 /* under way at a time; over a link with a rate one, and an urgent one */
#define SENDER_TEXT_SIZE 16384 /* URL and headers of one request */

struct sender;

/* One request, the sender's memory. http, text, body and state are build()'s to fill. */
struct sender_request {
    struct http_request http; /* tls, timeout_ms and the callbacks are there, all else is zero */
    struct out text; /* empty before build(): room for the URL and headers, sender_text() */
    struct batch *batch;
    void *state; /* state_size bytes, zeroed when the batch is put; kept between its requests */
    /* judge() sets it where some of the batch is stored and the rest is not: a stop then waits, as far as
     * its grace goes, also for SENDER_LATER. What is stored is known in this life only. */
    bool is_partly_stored;
    /* May be stored, and nobody knows, though there is an answer. Set by the status before judge(),
     * which may know better: 408 and 5xx are no word of the service's about it. */
    bool is_in_doubt;
    unsigned number; /* requests of this batch before this one */
    /* --- the sender's --- */
    struct sender *sender;
    size_t header_count; /* of sender_header() */
    bool is_open;        /* lent to the HTTP client */
};

enum sender_next {
    SENDER_END,   /* the report says how the batch ended */
    SENDER_MORE,  /* a further request for this batch: build() again at once */
    SENDER_LATER, /* likewise, report->retry_after_ms from now; 0: by the sender's own backoff */
};

/* What a service is. All are called on the loop, with the context of the setup. */
struct sender_service {
    size_t state_size;
    size_t answer_size_max; /* bytes of an answer's body; 0: 64 KiB */
    /* The next request of r->batch: fills r->http. ERR_AGAIN: not now (no credentials yet); asked
     * again after sender_kick(). Other errors: the batch ends with *ret, which build() fills. */
    enum err (*build)(void *context, struct sender_request *r, struct send_report *ret) MUST_USE;
    /* There is an answer with a status. Fills *ret for SENDER_END and SENDER_LATER; it comes with
     * retry_after_ms as the answer has it. */
    enum sender_next (*judge)(void *context, struct sender_request *r,
                              const struct http_answer *answer, struct send_report *ret);
    /* Headers and trailers of the answer, before judge(); NULL: none wanted. */
    void (*header)(void *context, struct sender_request *r, struct slice name, struct slice value);
    /* There is no answer: the sender ends the batch behind this call. NULL: nobody wants to know. */
    void (*failed)(void *context, struct sender_request *r, const struct http_answer *answer);
};

struct sender_setup {
    const struct uplink_setup *uplink;
    const struct sender_service *service;
    void *context;
    const struct tls_options
        *tls;            /* for all requests; lives as long as the sender; NULL: defaults */
    uint32_t timeout_ms; /* without progress; 0: 30 s */
};

enum err sender_open(struct sender **ret, const struct sender_setup *setup,
                     struct why *why) MUST_USE;
/* From uplink_class.send(). */
void sender_put(struct sender *sender, struct batch *batch);
/* What build() waited for may be there. */
void sender_kick(struct sender *sender);
/* As uplink_class.relink(): what is under way ends with SEND_RETRY, and is no sign of an outage. */
void sender_relink(struct sender *sender);
/* As uplink_class.stop(): what waits goes back at once; what is under way, or goes by several requests
 * of which one was answered, within grace_ms, as SEND_RETRY where it did not come to its end. */
void sender_stop(struct sender *sender, int64_t grace_ms);
/* Open requests are cancelled, nobody is told. NULL is allowed. */
void sender_close(struct sender *sender);

/* The client, for other requests of the uplink over the same link (tokens, a registry). */
struct http *sender_http(struct sender *sender);
struct server_clock *sender_clock(struct sender *sender);

/* --- for build() and judge() --- */

/* Appends a formatted text and its NUL to r->text, and returns it; NULL: r->text has no room. */
const char *sender_text(struct sender_request *r, const char *format, ...)
    __attribute__((format(printf, 2, 3))) MUST_USE;
/* A header of the request, as "Name: value". False: no room. */
bool sender_header(struct sender_request *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for a body, kept for later requests and until the sender closes. ERR_NOMEM. */
enum err sender_body(struct sender_request *r, size_t size, struct out *ret) MUST_USE;
/* Fills a report: text as printf, not longer than the report has room. */
void sender_report(struct send_report *ret, enum send_result result, int code, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));
/* What a status means where the service has not said more: 2xx ok; 408, 425, 429, 5xx retry; 413 too
 * large; 400, 409, 422 rejected; all else park. retry_after_ms stays as it is. */
void sender_status(struct send_report *ret, const struct http_answer *answer);

#endif
