/* One schema on its way into a registry: its pieces one after the other, those it refers to first,
 * are looked up, asked about and registered, as far as the options allow. A try; who wants another
 * begins it again, and what is known already is not asked again. Loop thread. */
#ifndef WEIR_UPLINK_REGISTRY_REGISTRATION_H
#define WEIR_UPLINK_REGISTRY_REGISTRATION_H

#include "uplink/registry/answer.h"
#include "uplink/registry/registry.h"

struct registration;
struct http_answer;

enum registration_end {
    REGISTRATION_THERE,       /* it was there */
    REGISTRATION_MADE,        /* it is there now */
    REGISTRATION_POSSIBLE,    /* it is not there, and would be taken; nothing was registered */
    REGISTRATION_UNKNOWN,     /* it is not there, and may not be registered */
    REGISTRATION_REFUSED,     /* incompatible with versions that are there */
    REGISTRATION_INVALID,     /* the registry does not take it */
    REGISTRATION_NO_LOGIN,    /* 401 */
    REGISTRATION_FORBIDDEN,   /* 403 */
    REGISTRATION_NO_REGISTRY, /* nothing at this URL speaks the API */
    REGISTRATION_LATER,       /* no answer, or none that says anything: try again */
};

struct registration_result {
    enum registration_end end;
    uint32_t id;      /* THERE, MADE */
    uint32_t version; /* likewise; 0: not said */
    /* The subject that it is about: where it ended. Lives as long as the registration. */
    const char *subject;
    bool is_reference; /* that is not the schema's own */
    bool is_new;       /* POSSIBLE: the subject has no versions yet */
    enum err e;        /* LATER: why there was no answer */
    long status;       /* of HTTP; 0: no answer */
    int64_t error_code;
    int64_t retry_after_ms;
    char message[REGISTRY_MESSAGE_SIZE]; /* the registry's own; or why there was no answer */
};

struct registration_setup {
    struct loop *loop;
    struct http *http;                      /* lives longer */
    const struct registry_options *options; /* likewise */
    enum {
        REGISTRATION_FULL,     /* as the options say */
        REGISTRATION_ASK_ONLY, /* looks up and asks about compatibility */
    } mode;
    bool wants_version; /* of the schema itself, even for another request */
    void *context;
    /* Once for each begin, never within a call of the user's; may close it. */
    void (*done)(void *context, const struct registration_result *result);
    /* Of each answer; NULL: unwanted. */
    void (*answered)(void *context, const struct http_answer *answer);
};

/* `topic` NULL: the subject is the schema's full name, whatever the options say. `schema` must stay.
 * ERR_CONFIG: *why says what is wrong with schema and options. ERR_NOMEM. */
enum err registration_open(struct registration **ret, const struct registration_setup *setup,
                           const char *topic, const struct schema_info *schema,
                           struct why *why) MUST_USE;
/* NULL is allowed. No done() follows. */
void registration_close(struct registration *registration);

void registration_begin(struct registration *registration);
/* Where the schema itself goes: the URL of its subject and, if it has any, its references. For
 * telling ids apart. */
uint64_t registration_origin(const struct registration *registration);
const char *registration_subject(const struct registration *registration);
/* Marks those of the options' references that the schema has, by index. */
void registration_mark_references(const struct registration *registration,
                                  bool used[REGISTRY_REFERENCE_MAX]);

/* A sentence about an end that is no success: what, which one, what to do, what it says. */
void registration_why(const struct registration_result *result,
                      const struct registry_options *options, struct why *ret);

#endif
