/* AWS Signature Version 4: proves that a request was made by who has the secret, and when. Pure, no
 * allocation, any thread.
 *
 * A request is signed as it will be sent: path and query are those of the URL, percent-encoded by
 * the caller (sigv4_put_path(), sigv4_put_query()). The room behind what is written to `ret` is used
 * to put together what is hashed: it has to be large enough for method, path, query, headers and
 * session token (three times the path, unless is_s3) and SIGV4_ROOM more. An `out` that is too small
 * overflows, as they do. */
#ifndef WEIR_UPLINK_AWS_SIGV4_H
#define WEIR_UPLINK_AWS_SIGV4_H

#include "ports/slice.h"

#define SIGV4_HEADER_MAX 24    /* of the caller's */
#define SIGV4_PARAMETER_MAX 32 /* of a query, those of a presigned URL included */
#define SIGV4_ROOM 2048        /* besides what the caller gives */
#define SIGV4_DATE_SIZE 17     /* "20261124T120000Z" */
#define SIGV4_HASH_SIZE 65     /* 64 hexadecimal digits */
#define SIGV4_SECRET_SIZE_MAX 256
#define SIGV4_REGION_SIZE_MAX 63 /* of region and of service */

/* Takes the place of a body's hash: S3 over TLS, and presigned URLs of S3. */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

/* Whose request it is. The texts are the source's (credentials.h); they are never logged. */
struct aws_credentials {
    const char *key_id;
    const char *secret;
    const char *session_token; /* NULL: none */
    uint64_t number;           /* counts up with each renewal; from 1 */
};

struct sigv4_header {
    const char *name; /* in any case */
    struct slice value;
};

struct sigv4_request {
    const char *method; /* "POST" */
    struct slice host; /* as the Host header has it: with the port, unless it is the scheme's own */
    struct slice path; /* as sent, from its '/' on; empty: "/" */
    struct slice query; /* as sent, without the '?' */
    /* To be signed besides host, x-amz-date, x-amz-security-token where there is one, and with is_s3
     * x-amz-content-sha256: these are signed always, and not listed here. In any order; those of the
     * same name in the order in which they are sent. */
    const struct sigv4_header *headers;
    size_t header_count;
    const char *body_hash; /* sigv4_hash() of the body, or SIGV4_UNSIGNED */
    const char *region;    /* "us-east-1" */
    const char *service;   /* "kinesis", "s3" */
    int64_t time_s;        /* since 1970, as the service has it: server_clock_now_s() */
    bool is_s3;            /* the path is signed as it is, x-amz-content-sha256 is signed */
};

/* The host of this URL as the Host header has it; *ret_path: from the '/' behind it on, "" where there
 * is none. Both point into the URL; one without a scheme is plain HTTP, as for the client. */
struct slice sigv4_host(const char *url, const char **ret_path);

/* The x-amz-date of a request that is signed for this time. */
void sigv4_date(int64_t time_s, char ret[SIGV4_DATE_SIZE]);
/* The hash of a body, lower-case hexadecimal. */
void sigv4_hash(struct slice body, char ret[SIGV4_HASH_SIZE]);

/* Appends the value of the header Authorization. The caller sends it with Host, X-Amz-Date (of
 * the same time_s), X-Amz-Security-Token where there is one, and with is_s3 x-amz-content-sha256
 * (body_hash), and the listed headers as they were given. */
void sigv4_sign(const struct sigv4_request *request, const struct aws_credentials *credentials,
                struct out *ret);
/* Appends the query of a URL that carries its own signature, valid for expires_s from time_s on:
 * the request's parameters and X-Amz-…, sorted, then &X-Amz-Signature=… with 64 digits at its end.
 * Only host and the listed headers are signed; the session token is one of the parameters. */
void sigv4_presign(const struct sigv4_request *request, const struct aws_credentials *credentials,
                   uint32_t expires_s, struct out *ret);

/* Percent-encodes a path segment by segment: all but A-Z a-z 0-9 - . _ ~ and '/'. */
void sigv4_put_path(struct out *o, struct slice path);
/* The same for a name or value of a query: '/' is encoded too. */
void sigv4_put_query(struct out *o, struct slice text);

#endif
