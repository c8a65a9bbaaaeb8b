/* Credentials for AWS: where they are found, and how they are kept fresh.
 *
 * The first of these that has any is used: the configuration; AWS_ACCESS_KEY_ID and its companions in
 * the environment; the profile of the shared files (keys, a credential_process, or a role that another
 * profile's or source's credentials take, by STS); a web identity token (by STS); the container's endpoint; the machine's metadata service (IMDSv2). An AWS IoT
 * credentials provider is asked, instead of all of these, only when it is configured. Credentials
 * that end are fetched anew well before they do. One request at a time, pauses that grow after a
 * failure. Nothing secret is logged, and no request to a metadata service goes through the user's
 * link. Loop thread. */
#ifndef WEIR_UPLINK_AWS_CREDENTIALS_H
#define WEIR_UPLINK_AWS_CREDENTIALS_H

#include "ports/option.h"
#include "ports/slice.h"
#include "ports/tls.h"
#include "uplink/aws/sigv4.h"

#define CREDENTIALS_KEY_SIZE_MAX SIGV4_SECRET_SIZE_MAX /* bytes of a key id and of a secret */
#define CREDENTIALS_TOKEN_SIZE_MAX 8192 /* of a session token: it travels with each request */

struct http;
struct loop;
struct names;
struct server_clock;
struct credentials; /* the source */

/* Its "iot" object: AWS IoT Core's credentials provider, by the device's certificate. */
struct credentials_iot_options {
    bool is_set;
    const char *endpoint; /* "<id>.credentials.iot.<region>.amazonaws.com", also with ":port" */
    const char *role_alias;
    const char *thing_name; /* NULL: none is said */
    struct tls_options tls; /* with certificate and key */
};

/* The "credentials" object of an uplink. Zeroed when it is not given: all that is found elsewhere. */
struct credentials_options {
    bool is_set;
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token;
    const char *profile;          /* NULL: AWS_PROFILE, else "default" */
    const char *credentials_file; /* NULL: AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials */
    const char *config_file;      /* NULL: AWS_CONFIG_FILE, else ~/.aws/config */
    const char *role_arn;         /* of the web identity; NULL: AWS_ROLE_ARN */
    const char *role_session_name;
    const char *web_identity_token_file; /* NULL: AWS_WEB_IDENTITY_TOKEN_FILE */
    const char *sts_url;                 /* NULL: AWS_ENDPOINT_URL_STS, else the region's */
    struct credentials_iot_options iot;
};
/* A row for an uplink's table: .kind = OPTION_RECORD, .flags = OPTION_MISSING_OK, .record =
 * credentials_table, .record_size = sizeof(struct credentials_options). */
extern const struct option credentials_table[];
/* What can be said about them together: for the uplink's check(). */
enum err credentials_check(const struct credentials_options *options, struct why *why) MUST_USE;

/* The calls are never made within a call of the user's, and may not close the source. */
struct credentials_setup {
    struct loop *loop;
    struct names *names;        /* for the client that asks metadata services */
    struct http *http;          /* the uplink's, over its link: for STS and IoT; lives longer */
    struct server_clock *clock; /* the service's time, which is learned too; lives longer */
    const struct credentials_options *options; /* likewise */
    const char *region;                        /* likewise; of STS, where its URL is not said */
    void *context;
    /* credentials_get() has something else to say: new credentials, or the first. */
    void (*changed)(void *context);
    /* Why there are none, or why those that are there could not be renewed; NULL: all is well
     * again. For uplink_fault(). */
    void (*fault)(void *context, const struct why *why);
    /* What was sent over the uplink's link, for uplink_wire_bytes(). NULL: unwanted. */
    void (*wire_bytes)(void *context, uint64_t sent, uint64_t received);
};

/* Begins to look for credentials. ERR_NOMEM; ERR_CONFIG: *why. */
enum err credentials_open(struct credentials **ret, const struct credentials_setup *setup,
                          struct why *why) MUST_USE;
/* Requests under way are cancelled; nobody is told. NULL is allowed. */
void credentials_close(struct credentials *credentials);

/* Credentials to sign with now; their texts live until the loop's next turn. ERR_AGAIN: there are
 * none yet, changed() follows; where it needs a person fault() has said so, and it is tried again by
 * itself. */
enum err credentials_get(struct credentials *credentials, struct aws_credentials *ret) MUST_USE;
/* The service says that those with this number have ended (ExpiredToken and its kin). True: others
 * are there or being fetched, sign again. False: there are no others, for they are fixed, or were
 * fetched only now: the user has to do something. */
bool credentials_refused(struct credentials *credentials, uint64_t number);
/* Where they come from, for a person: "the environment", "the profile pump of …"; "" while none are
 * known. */
const char *credentials_origin(const struct credentials *credentials);

/* The region to use: the option's, else AWS_REGION, else AWS_DEFAULT_REGION; NULL: none is said. */
const char *credentials_region(const char *option);

#endif
