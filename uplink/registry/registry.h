/* Client of a schema registry that speaks Confluent's API: gets the id of a stream's schema,
 * by registering it or, when it may not, by looking it up. Everything runs in the background;
 * an id that is known is kept by the caller's buffer and needs no registry after a restart.
 * Loop thread. */
#ifndef WEIR_UPLINK_REGISTRY_REGISTRY_H
#define WEIR_UPLINK_REGISTRY_REGISTRY_H

#include "ports/option.h"
#include "ports/tls.h"
#include "ports/uplink.h"

struct registry;
struct http;

#define REGISTRY_SUBJECT_SIZE_MAX 1024
#define REGISTRY_URL_SIZE_MAX 4096
#define REGISTRY_PREFIX_SIZE 5 /* 00 and the id, 4 bytes, most significant first */
#define REGISTRY_REFERENCE_MAX 64
/* The number of weir.columns.Batch, whose id is kept as those of the streams' schemas are: none of
 * them has it. */
#define REGISTRY_BATCH_SCHEMA 0

enum registry_subject {
    REGISTRY_TOPIC_NAME,        /* <topic>-value */
    REGISTRY_RECORD_NAME,       /* <full name> */
    REGISTRY_TOPIC_RECORD_NAME, /* <topic>-<full name> */
};

/* The "registry" object of an uplink. */
struct registry_options {
    bool is_set;
    const char *url;
    const char *user;
    const char *password;
    const char *token;
    struct tls_options tls;
    int64_t subject;              /* enum registry_subject */
    bool may_register;            /* "register" */
    bool ask_first;               /* before it registers */
    int64_t generation;           /* of the registry's ids */
    struct option_map references; /* of const char *: full name of a type to its subject */
};
extern const struct option registry_table[];
/* Of the option `url`: http(s), and without a password. */
enum err registry_url_check(const void *value, struct why *why);
/* Together. */
enum err registry_options_check(const struct registry_options *options, struct why *why) MUST_USE;

/* Can this schema be registered as the options want it? ERR_CONFIG: *why. ERR_NOMEM. */
enum err registry_schema_check(const struct registry_options *options, struct slice schema,
                               struct why *why) MUST_USE;

struct registry_setup {
    struct loop *loop;
    struct http *http; /* lives longer */
    const struct registry_options *options;
    struct uplink_host *host; /* keeps the ids; hears uplink_ready() */
};

enum err registry_open(struct registry **ret, const struct registry_setup *setup,
                       struct why *why) MUST_USE;
/* NULL is allowed. */
void registry_close(struct registry *registry);

/* The wire format's prefix for datums of this schema on this topic; NULL: wherever they are, its
 * subject is its own full name. ERR_AGAIN: asked for,
 * uplink_ready() follows. ERR_REJECTED: refused (409 incompatible, 422 invalid, 404 unknown with
 * look-up only); ERR_CONFIG: no right (401, 403); *why says it; a later call, after a while, asks
 * again. ERR_NOMEM: no memory now, nothing follows. */
enum err registry_prefix(struct registry *registry, const char *topic,
                         const struct schema_info *schema, uint8_t ret_prefix[REGISTRY_PREFIX_SIZE],
                         struct why *why) MUST_USE;
/* Why the registry does not answer at the moment; NULL: nothing is known to be wrong. */
const struct why *registry_fault(const struct registry *registry);

/* The subject of a schema on a topic. ERR_CORRUPT: the schema has no name. ERR_FULL: `ret`
 * is too small. */
enum err registry_subject_put(enum registry_subject kind, const char *topic, struct slice schema,
                              struct out *ret) MUST_USE;
/* The URL of a subject, which is escaped (`folder`: "/subjects/"). */
void registry_url_put(const struct registry_options *options, const char *folder,
                      struct slice subject, struct out *ret);

#endif
