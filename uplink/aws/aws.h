/* What the uplinks to AWS's JSON services (Kinesis, Firehose) have in common: their options, the
 * signed request, and what an answer that is no success means. Loop thread. */
#ifndef WEIR_UPLINK_AWS_AWS_H
#define WEIR_UPLINK_AWS_AWS_H

#include "uplink/aws/aws_error.h"
#include "uplink/aws/credentials.h"
#include "uplink/http/sender.h"

#define AWS_TYPE_JSON "application/x-amz-json-1.1"
#define AWS_TYPE_CBOR "application/x-amz-cbor-1.1"
#define AWS_URL_SIZE 320

struct aws_options {
    const char *region;   /* NULL: as credentials_region() has it */
    const char *endpoint; /* NULL: the region's */
    struct credentials_options credentials;
    struct tls_options tls;
    int64_t timeout_ms;
};
enum err aws_region_check(const void *value, struct why *why) MUST_USE;
enum err aws_endpoint_check(const void *value, struct why *why) MUST_USE;
/* What can be said about them together. */
enum err aws_check(const struct aws_options *options, struct why *why) MUST_USE;

/* Rows for the table of `type`, whose member `aws` they are. */
#define AWS_OPTIONS(type) \
    {.name = "region", \
     .kind = OPTION_TEXT, \
     .offset = offsetof(type, aws.region), \
     .min = 1, \
     .max = 63, \
     .check = aws_region_check, \
     .help = "The AWS region, as eu-central-1. Not given: AWS_REGION, AWS_DEFAULT_REGION."}, \
        {.name = "endpoint", \
         .kind = OPTION_TEXT, \
         .offset = offsetof(type, aws.endpoint), \
         .min = 1, \
         .max = 255, \
         .check = aws_endpoint_check, \
         .help = \
             "Where the service is, as https://host or http://host:port: a VPC endpoint, or a " \
             "stand-in. Not given: the region's public one."}, \
        {.name = "credentials", \
         .kind = OPTION_RECORD, \
         .flags = OPTION_MISSING_OK, \
         .offset = offsetof(type, aws.credentials), \
         .record = credentials_table, \
         .record_size = sizeof(struct credentials_options), \
         .help = "Who signs. Without it: what AWS's own tools would find: the environment, the " \
                 "shared files, the container's or the machine's role."}, \
        {.name = "tls", \
         .kind = OPTION_RECORD, \
         .flags = OPTION_MISSING_OK, \
         .offset = offsetof(type, aws.tls), \
         .record = tls_client_table, \
         .record_size = sizeof(struct tls_options), \
         .help = \
             "Settings of TLS; without it the defaults. Whether it is spoken says the endpoint."}, \
    { \
        .name = "timeout", .kind = OPTION_DURATION, .offset = offsetof(type, aws.timeout_ms), \
        .min = 1000, .max = 600000, .initial = "30 s", \
        .help = "How long the service may take while the request makes no progress." \
    }

/* Can it be the name of a stream, or its ARN, with {stream} and {agent} in it? For an option's check. */
enum err aws_name_check(const void *value, struct why *why) MUST_USE;
/* The name with {stream} and {agent} filled in. ERR_CONFIG: it is not allowed: 1 to `size_max` letters,
 * digits, dots, _ and -, or an ARN that ends with such a name; *why says which. */
struct aws_name {
    const char *pattern, *stream, *agent_id;
    size_t size_max;
};
enum err aws_name_put(const struct aws_name *name, char *ret, size_t ret_size,
                      struct why *why) MUST_USE;
/* An ARN is said instead of a name. */
bool aws_name_is_arn(const char *name);
/* The name, where it is said by an ARN the name in that. */
const char *aws_name_own(const char *name);

struct aws;

struct aws_setup {
    const struct uplink_setup *uplink;
    const struct aws_options *options; /* lives longer */
    const char *service;               /* "kinesis": of the signature, and of the host's name */
    const struct sender_service *sender;
    void *context;                /* for `sender` */
    void (*ready)(void *context); /* there are credentials, or others; NULL: unwanted */
};

enum err aws_open(struct aws **ret, const struct aws_setup *setup, struct why *why) MUST_USE;
/* NULL is allowed. */
void aws_close(struct aws *aws);
struct sender *aws_sender(struct aws *aws);
/* Why there are no credentials; NULL: there are, or nobody knows yet. */
const struct why *aws_fault(const struct aws *aws);

/* What a request was signed by. */
struct aws_signed {
    uint64_t credentials; /* their number */
    int64_t offset_s;     /* of the clock */
};

struct aws_call {
    const char *target; /* "Kinesis_20131202.PutRecords" */
    const char *content_type;
    struct slice body;
};
/* Fills method, url, headers and body of a POST, with the texts in `text`, which needs room for a
 * session token and 1.5 KiB more. ERR_AGAIN: there are no credentials yet; ready() follows. ERR_FULL:
 * no room. */
enum err aws_request(struct aws *aws, const struct aws_call *call, struct out *text,
                     struct http_request *ret, struct aws_signed *ret_signed) MUST_USE;

/* What is kept of a batch between its requests. */
struct aws_tries {
    struct aws_signed by;
    uint8_t clock, credentials;     /* how often it was signed again for them */
    char type[AWS_ERROR_TYPE_SIZE]; /* x-amzn-ErrorType of the answer at hand */
};
/* From the sender's header(). */
void aws_header(struct aws_tries *tries, struct slice name, struct slice value);
/* Reads the refusal. True: it was the clock's or the credentials' fault, and the same is to be signed
 * again. False: *ret_action says what is to be done. */
bool aws_refused(struct aws *aws, struct aws_tries *tries, const struct http_answer *answer,
                 struct aws_error *ret, enum aws_action *ret_action);
/* Fills a report for an action that ends the batch: `what` for the text, as "stream x". */
void aws_report(const struct aws_error *error, enum aws_action action, long status,
                const char *what, struct send_report *ret);

#endif
