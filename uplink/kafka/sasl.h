/* SASL as Kafka carries it: tokens to and fro until the broker is satisfied. A mechanism is one row
 * of the table in sasl.c. Names and passwords are sent as they are written, as UTF-8: neither
 * Kafka's brokers nor its own clients normalise them (SASLprep). */
#ifndef WEIR_UPLINK_KAFKA_SASL_H
#define WEIR_UPLINK_KAFKA_SASL_H

#include "ports/err.h"
#include "ports/lib/hash.h"
#include "ports/option.h"
#include "ports/slice.h"
#include "ports/tls.h"
#include "uplink/aws/credentials.h"

#define SASL_ACCESS_TOKEN_SIZE_MAX 8192
#define SASL_EXTENSIONS_SIZE_MAX 1500
#define SASL_TOKEN_SIZE_MAX (SASL_ACCESS_TOKEN_SIZE_MAX + SASL_EXTENSIONS_SIZE_MAX + 64)

enum sasl_mechanism {
    SASL_PLAIN,
    SASL_SCRAM_SHA_256,
    SASL_SCRAM_SHA_512,
    SASL_OAUTHBEARER,
    SASL_AWS_MSK_IAM,
};

/* Its "oauth" object: where access tokens come from. */
struct oauth_options {
    bool is_set;
    const char *url;
    const char *client_id;
    const char *client_secret;
    const char *scope;
    struct option_map extensions; /* const char * */
    struct tls_options tls;
};

/* The "sasl" object of the uplink. */
struct sasl_options {
    bool is_set;
    int64_t mechanism; /* enum sasl_mechanism */
    const char *user;
    const char *password;
    struct oauth_options oauth;
    const char *region; /* of AWS; NULL: as sasl_region() finds it */
    struct credentials_options credentials;
};
extern const struct option sasl_table[];
/* AWS's credentials are the login: AWS_MSK_IAM, or OAUTHBEARER with tokens that they sign. */
bool sasl_is_aws(const struct sasl_options *options);
/* Has the mechanism what it needs, to log in to `broker`, "host:port", for one? */
enum err sasl_check(const struct sasl_options *options, const char *broker,
                    struct why *why) MUST_USE;

#define SCRAM_SALT_SIZE_MAX 128

/* What a password came to, so that it costs its time once: a cluster's brokers have the same salt. */
struct scram_keys {
    uint32_t iterations; /* 0: nothing is kept */
    size_t salt_size;
    uint8_t salt[SCRAM_SALT_SIZE_MAX];
    uint8_t salted_password[HASH_SIZE_MAX];
};

/* What all logins of an uplink share. */
struct sasl_store {
    const struct sasl_options *options;
    struct scram_keys scram;
    const char *token;     /* for OAUTHBEARER; NULL: none is there */
    uint64_t token_number; /* counts the tokens that there were */
    /* Where sasl_is_aws(): credentials, and AWS's time. ERR_AGAIN: none are there. */
    enum err (*aws)(void *context, struct aws_credentials *ret, int64_t *ret_time_s);
    void *aws_context;
};

struct scram;

/* One login. */
struct sasl {
    struct sasl_store *store;
    struct slice host; /* the broker's name, without a port */
    unsigned step;
    struct scram *scram;   /* under way */
    uint64_t token_number; /* of the token, or of the credentials, that were sent */
    char refusal[120];     /* what an OAUTHBEARER broker said against it */
};

/* "PLAIN": as SaslHandshake names it. */
const char *sasl_name(const struct sasl_options *options);
/* `host` is the broker's name, without its port; it stays until sasl_release(). */
void sasl_init(struct sasl *sasl, struct sasl_store *store, struct slice host);
/* Accepts a zeroed one. */
void sasl_release(struct sasl *sasl);
/* The next token for the broker, after its `challenge` (empty at first). ERR_AGAIN: it takes longer
 * than a turn of the loop may, call again with an empty challenge. ERR_CLOSED: there is none, the
 * broker's word is final. ERR_AUTH: the broker's answer is not what it should be. ERR_TIMEOUT: the access token was taken
 * away meanwhile, begin anew. */
enum err sasl_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                   struct why *why) MUST_USE;

/* The region of AWS that a broker of Amazon MSK has in its name, else the environment's, where the
 * option does not say one. `broker`: its name, with or without a port. False: nobody says it. */
bool sasl_region(const struct sasl_options *options, struct slice broker,
                 char ret[SIGV4_REGION_SIZE_MAX + 1]) MUST_USE;
/* The mechanism AWS_MSK_IAM: one message, signed. As sasl_next(). */
enum err sasl_aws_next(struct sasl *sasl, struct slice challenge, struct out *ret,
                       struct why *why) MUST_USE;
/* Appends the access token that MSK takes by OAUTHBEARER: a presigned URL, in base64url. ERR_AUTH:
 * *why, also where it would be longer than SASL_ACCESS_TOKEN_SIZE_MAX. ERR_TIMEOUT: as sasl_next(). */
enum err sasl_aws_token_put(struct sasl *sasl, struct out *ret, struct why *why) MUST_USE;

#endif
