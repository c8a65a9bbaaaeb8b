/* The inside of a source of credentials. What is fixed is taken when the source is opened; else the
 * providers are asked in their turn, by the loop. Each says, at once or later, exactly one of:
 * credentials_take(), credentials_fail(), credentials_none(). */
#ifndef WEIR_UPLINK_AWS_CREDENTIALS_IMPL_H
#define WEIR_UPLINK_AWS_CREDENTIALS_IMPL_H

#include "ports/http.h"
#include "ports/process.h"
#include "uplink/aws/credentials.h"
#include "uplink/aws/credentials_parse.h"

#define CREDENTIALS_TEXT_SIZE 32768     /* URL, headers and body of a request */
#define CREDENTIALS_BODY_SIZE_MAX 16384 /* of an answer, of a file */
#define CREDENTIALS_ROLE_SIZE_MAX 128   /* of a machine's role; IAM allows 64 */
#define CREDENTIALS_PROFILE_SIZE_MAX 128
#define CREDENTIALS_SESSION_NAME "weir" /* of roles, where nobody says another */
#define CREDENTIALS_CHAIN_MAX 5         /* roles that are taken one by the other */

/* Who may have some, in their order; AWS IoT stands apart. */
enum provider {
    PROVIDER_PROFILE,
    PROVIDER_WEB_IDENTITY,
    PROVIDER_CONTAINER,
    PROVIDER_MACHINE,
    PROVIDER_IOT,
    PROVIDER_COUNT,
};

/* A role of the shared files that is to be taken. Sizes are those of IAM. */
struct credentials_role {
    struct credentials_role *next;                  /* that is taken by this one's credentials */
    char profile[CREDENTIALS_PROFILE_SIZE_MAX + 1]; /* that names it */
    char arn[2048 + 1];
    char external_id[1224 + 1]; /* "": none */
    char session_name[64 + 1];  /* likewise */
    char duration[8];           /* in seconds; likewise */
};

struct credentials {
    struct credentials_setup setup;
    /* Of the providers the only one that is asked, because it is configured or has given some before;
     * PROVIDER_COUNT: all but IoT in their order. */
    enum provider only;
    enum provider at; /* who is being asked, or was last */
    bool is_open;     /* credentials_open() has returned */
    bool is_fetching;
    struct timer timer; /* of the next fetch */
    unsigned attempt;
    bool has_fault; /* told to the user */
    bool has_dated; /* tried again for a time that was learned, since there were some last */
    struct why why; /* for credentials_fail() */
    char origin[200];
    /* --- what there is --- */
    bool has_some;
    bool is_fixed;       /* the same for ever */
    uint64_t number;     /* of the last that there were */
    uint64_t fetched_ms; /* when */
    uint64_t end_ms;     /* when they end; UINT64_MAX: never */
    char key_id[CREDENTIALS_KEY_SIZE_MAX + 1];
    char secret[CREDENTIALS_KEY_SIZE_MAX + 1];
    char session_token[CREDENTIALS_TOKEN_SIZE_MAX + 1];
    /* --- under way --- */
    struct http *local; /* for metadata services: never over the user's link */
    struct http *asked; /* who has the request; NULL: nobody */
    struct http_request request;
    void (*answered)(struct credentials *credentials, const struct http_answer *answer);
    const char *machine_token; /* a header */
    struct process *process;
    /* What is found takes the first of these, and the last one's credentials are those to use; NULL:
     * it is used itself. Gone with the end of the fetch. */
    struct credentials_role *roles;
    struct out text;
    uint8_t text_memory[CREDENTIALS_TEXT_SIZE];
    uint8_t scratch[CREDENTIALS_BODY_SIZE_MAX];
};

/* They are there. `origin` as printf. */
void credentials_take(struct credentials *credentials, const struct credentials_answer *answer,
                      bool is_fixed);
/* There should be some, but ...: credentials->why says it, once `retry_after_ms` is over it is tried
 * again. ERR_AUTH, ERR_CONFIG: a person has to do something. */
void credentials_fail(struct credentials *credentials, enum err e, int64_t retry_after_ms);
/* The same of what was signed for a wrong time, while the right one is known by now: the first time in
 * a row nobody is told, for soon it is signed again. */
void credentials_fail_of_clock(struct credentials *credentials, int64_t retry_after_ms);
/* This provider has none; the next one is asked. */
void credentials_none(struct credentials *credentials);
/* Where they come from, before credentials_take(). */
void credentials_origin_set(struct credentials *credentials, const char *format, ...)
    PRINTF_LIKE(2, 3);

/* A text of the environment; NULL: it is not there, or empty. */
const char *credentials_environment(const char *name);

/* credentials_files.c. The first when the source is opened: ERR_CLOSED: none; ERR_CONFIG: *why. */
enum err credentials_from_environment(struct credentials *credentials, struct why *why) MUST_USE;
void credentials_from_profile(struct credentials *credentials);

/* credentials_role.c: roles by other credentials. */

/* Puts the profile's role in front of credentials->roles. ERR_NOMEM; ERR_CONFIG: credentials->why. */
enum err credentials_role_add(struct credentials *credentials, const char *name,
                              const struct credentials_profile *profile) MUST_USE;
/* Whether the role of a profile of this name is among them. */
bool credentials_role_is_added(const struct credentials *credentials, const char *name);
/* Looks for the credentials that the profile's credential_source says. */
void credentials_role_source(struct credentials *credentials,
                             const struct credentials_profile *profile);
/* Takes the first role by these credentials. */
void credentials_role_take(struct credentials *credentials, const struct credentials_answer *by);
void credentials_roles_forget(struct credentials *credentials);

/* credentials_web.c: STS and AWS IoT, over the uplink's link. */
void credentials_from_web_identity(struct credentials *credentials);
void credentials_from_iot(struct credentials *credentials);
/* With a role and the path of a token that were found elsewhere; session_name may be empty.
 * `is_checked`: others may not read it. */
void credentials_ask_sts(struct credentials *credentials, struct slice role_arn,
                         struct slice session_name, const char *token_file, bool is_checked);

const char *credentials_sts_url(struct credentials *credentials);
/* Takes what a service answers, whose time is AWS's; `who` it is and what to do for the text about
 * a refusal. */
void credentials_service_answered(struct credentials *credentials, const struct http_answer *answer,
                                  const char *who, const char *advice);

/* credentials_local.c: metadata services. */
void credentials_from_container(struct credentials *credentials);
void credentials_from_machine(struct credentials *credentials);

/* credentials_request.c: one request, made of texts that stay until it ends. */

/* Appends a formatted text with its NUL; "" when there is no room, which credentials_ask() then
 * tells. credentials->text is emptied by who begins. */
const char *credentials_text(struct credentials *credentials, const char *format, ...)
    PRINTF_LIKE(2, 3);
/* What a request is; headers end with NULL. */
struct credentials_request {
    const char *method;
    const char *url;
    const char *headers[5];
    struct slice body;
    const struct tls_options *tls;
    uint32_t timeout_ms;
    bool is_local; /* by the client of its own, past link and proxies */
};
/* done() follows; without it where the request can't be begun: credentials_fail() was called. */
void credentials_ask(struct credentials *credentials, const struct credentials_request *request,
                     void (*done)(struct credentials *credentials,
                                  const struct http_answer *answer));
/* The answer's body has credentials, or the provider `who` has failed; both are told. */
void credentials_take_body(struct credentials *credentials, struct slice body, const char *who);

#endif
