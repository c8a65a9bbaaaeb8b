/* What the probes of uplinks over HTTP have in common (ports/probe.h): one question after the other, and
 * what any answer says of the service: that it is reached, its certificate, its time. A service's
 * own probe has it in front, fills the first block, and opens it. Nothing that is asked may change
 * anything at the service. Loop thread. */
#ifndef WEIR_UPLINK_HTTP_SERVICE_PROBE_H
#define WEIR_UPLINK_HTTP_SERVICE_PROBE_H

#include "ports/http.h"
#include "ports/probe.h"
#include "uplink/http/server_clock.h"

#define SERVICE_PROBE_NAME_SIZE 4096
#define SERVICE_PROBE_TEXT_SIZE 24576 /* URL, headers and body of a request */

struct service_probe;

enum service_probe_next {
    SERVICE_PROBE_NEXT, /* the next name */
    SERVICE_PROBE_MORE, /* a further question about this one */
    SERVICE_PROBE_OVER, /* the others would get no other answer */
};

struct service_probe_class {
    /* Appends what the events of this stream go to; nothing: it is not asked about. What was asked about
     * is left out. NULL: there is one thing to ask about, whatever streams there are. ERR_CONFIG and
     * ERR_CORRUPT: *why. */
    enum err (*name)(const struct service_probe *p, const struct probe_stream *stream,
                     struct out *ret, struct why *why) MUST_USE;
    /* The next question about p->name: fills method, url, headers and body, which lie in p->text or
     * live as long. ERR_AGAIN: not yet, service_probe_go() follows. Other errors: it is over. */
    enum err (*ask)(struct service_probe *p, struct http_request *ret) MUST_USE;
    /* There is an answer with a status; the service was told to be reached. */
    enum service_probe_next (*judge)(struct service_probe *p, const struct http_answer *answer);
    /* Its headers, before that. NULL: none wanted. */
    void (*header)(struct service_probe *p, struct slice name, struct slice value);
    /* Releases what is the service's own, and frees it; behind this nothing is called. */
    void (*free)(struct service_probe *p);
};

struct service_probe {
    struct probe probe; /* first */
    const struct service_probe_class *class_;
    const struct probe_setup *owner; /* copied */
    const char *service;             /* "Kinesis", for texts */
    const char *endpoint;            /* its URL, likewise; as long as the probe */
    const char *prefix;              /* of its options: "", "glue." */
    const char *endpoint_option;     /* "endpoint" */
    const char *name_option;         /* "stream" */
    const struct tls_options *tls;   /* NULL: defaults */
    void *context;                   /* for done() */
    void (*done)(void *context);     /* NULL: the owner's */
    /* --- from service_probe_open() on --- */
    struct probe_setup setup;
    struct http *http;
    struct server_clock clock;
    const struct probe_stream *stream; /* the first whose events go to `name` */
    char name[SERVICE_PROBE_NAME_SIZE];
    struct out text; /* empty before ask() */
    /* --- its own --- */
    size_t next_stream;
    bool has_name, was_reached, has_said_time, is_open, is_over;
    struct timer timer;
    struct http_request request;
    uint8_t memory[SERVICE_PROBE_TEXT_SIZE];
};

/* ERR_NOMEM. Whatever comes of it, probe.close() is good from here on. */
enum err service_probe_open(struct service_probe *p) MUST_USE;
/* What ask() waited for is there. Also from within a callback of it. */
void service_probe_go(struct service_probe *p);
/* Nothing more is asked; done() follows. For what is found wrong before asking. */
void service_probe_end(struct service_probe *p);
/* As probe_found(), of an option below the prefix. */
void service_probe_found(const struct service_probe *p, enum probe_level level, const char *option,
                         const char *what, const char *format, ...) PRINTF_LIKE(5, 6);
/* "the answer 418 can't be understood: is this Kinesis?" */
void service_probe_found_nonsense(const struct service_probe *p, const char *what, long status);

/* Appends a formatted text and its NUL to p->text; NULL: there is no room. */
const char *service_probe_text(struct service_probe *p, const char *format, ...)
    PRINTF_LIKE(2, 3) MUST_USE;
/* A header, as "Name: value". False: no room. */
bool service_probe_header(struct service_probe *p, struct http_request *request, const char *format,
                          ...) PRINTF_LIKE(3, 4) MUST_USE;

#endif
