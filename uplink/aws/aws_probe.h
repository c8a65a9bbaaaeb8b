/* What the probes of AWS's services have in common, S3 included: credentials, signatures, and what
 * refusals say of both. Embedded at the front of a service's probe. Loop thread. */
#ifndef WEIR_UPLINK_AWS_AWS_PROBE_H
#define WEIR_UPLINK_AWS_AWS_PROBE_H

#include "uplink/aws/aws.h"
#include "uplink/http/service_probe.h"

#define AWS_PROBE_URL_SIZE 512
#define AWS_PROBE_SIGN_SIZE (CREDENTIALS_TOKEN_SIZE_MAX + SIGV4_ROOM + 2048)

struct aws_probe {
    struct service_probe base; /* first; its first block is filled by the service */
    const char *region;        /* likewise, and so all of these */
    const char *service;       /* "kinesis": of the signature */
    const struct credentials_options *options;
    /* --- from aws_probe_open() on --- */
    struct credentials *credentials;
    char url[AWS_PROBE_URL_SIZE]; /* for the service to use: `base.endpoint` may be it */
    char error_type[AWS_ERROR_TYPE_SIZE];
    bool is_told; /* where the credentials are from */
    bool has_fault, has_dated, has_renewed;
    struct why fault;
    uint64_t number; /* of those that signed */
    uint8_t scratch[AWS_PROBE_SIGN_SIZE];
};

/* Writes "https://kinesis.eu-central-1.amazonaws.com", or `url` without '/' at its end where that is not
 * NULL, to p->url. */
void aws_probe_url(struct aws_probe *p, const char *url);
/* As service_probe_open(). */
enum err aws_probe_open(struct aws_probe *p) MUST_USE;
/* The same for an uplink with `options`; class_, service (both) and name_option are filled. What it gives
 * back is the whole probe. */
enum err aws_probe_open_uplink(struct aws_probe *p, const struct aws_options *options,
                               const struct probe_setup *setup, struct probe **ret) MUST_USE;
/* For free(). */
void aws_probe_release(struct aws_probe *p);

struct aws_probe_call {
    const char *method;
    const char *host;   /* in front of the endpoint's, as "bucket."; "" */
    const char *path;   /* behind the endpoint's, encoded, from '/' on */
    const char *query;  /* encoded and sorted, without '?'; "" */
    const char *target; /* X-Amz-Target: a JSON service; NULL: S3 */
    struct slice body;  /* in the probe's text, or constant */
};
/* For ask(): fills and signs the request. ERR_AGAIN; ERR_AUTH: there are no credentials, which is
 * told, and it is over. */
enum err aws_probe_request(struct aws_probe *p, const struct aws_probe_call *call,
                           struct http_request *ret) MUST_USE;
/* As service_probe_class.header(). */
void aws_probe_header(struct service_probe *base, struct slice name, struct slice value);
/* For judge(): reads a refusal. True: it was about who asks, or when, and *ret_next says how it goes
 * on. False: it is about what was asked. */
bool aws_probe_refused(struct aws_probe *p, const struct http_answer *answer, struct aws_error *ret,
                       enum service_probe_next *ret_next);
/* Tells what the service says that nobody expects here: a warning where it may be better soon. */
void aws_probe_found(struct aws_probe *p, const char *what, const struct http_answer *answer,
                     const struct aws_error *error);
/* "AccessDeniedException" or "AccessDenied". */
bool aws_probe_is_denied(const struct aws_error *error);

#endif
