/* Client of the AWS Glue Schema Registry: gets the version id of a stream's schema, by looking it up or
 * by registering it. Everything runs in the background, one schema after the other; an id that is
 * known is kept by the caller's buffer and needs no registry after a restart. Loop thread. */
#ifndef WEIR_UPLINK_AWS_GLUE_H
#define WEIR_UPLINK_AWS_GLUE_H

#include "ports/uplink.h"
#include "uplink/aws/credentials.h"
#include "uplink/registry/registration.h"

struct glue;
struct http;

#define GLUE_ID_SIZE 16
#define GLUE_PREFIX_SIZE 18 /* 03, 00 for no compression, the version's UUID */
#define GLUE_DEFINITION_MAX 170000
/* The number of weir.columns.Batch, whose id is kept as those of the streams' schemas are: none of
 * them has it. */
#define GLUE_BATCH_SCHEMA 0

enum glue_compression { GLUE_COMPRESSION_NONE, GLUE_COMPRESSION_ZLIB };
enum glue_name { GLUE_TOPIC_NAME, GLUE_RECORD_NAME, GLUE_TOPIC_RECORD_NAME };

/* The "glue" object of an uplink. */
struct glue_options {
    bool is_set;
    const char *region;    /* NULL: the environment's */
    const char *registry;  /* its name */
    int64_t schema_name;   /* enum glue_name */
    int64_t compatibility; /* of schemas that are made here, by glue_compatibility_words */
    int64_t compression;   /* enum glue_compression */
    bool may_register;     /* "register" */
    bool ask_first;        /* before it registers */
    const char *url;       /* NULL: the region's */
    struct tls_options tls;
    struct credentials_options credentials;
};
extern const struct option glue_table[];
/* As Glue writes them; ends with NULL. */
extern const char *const glue_compatibility_words[];
/* Together. */
enum err glue_options_check(const struct glue_options *options, struct why *why) MUST_USE;
/* With an uplink's option `framing`, an enum framing: is a registry used, and is there one? */
enum err glue_framing_check(const struct glue_options *options, int64_t framing,
                            struct why *why) MUST_USE;

/* How asking for a schema has ended, for a tool. */
struct glue_result {
    enum registration_end end;
    const char *name;         /* of the schema there; lives as long as the client, as `text` */
    uint8_t id[GLUE_ID_SIZE]; /* THERE, MADE: of the version */
    int64_t version;          /* likewise; 0: not said */
    bool is_new;              /* POSSIBLE: there is no schema of this name yet */
    const char *text; /* of an end that is no success: what, which one, what to do, what it says */
};

struct glue_setup {
    struct loop *loop;
    struct names *names;
    struct http *http; /* lives longer */
    const struct glue_options *options;
    struct uplink_host
        *host; /* keeps the ids; hears uplink_ready(). NULL: a tool's, which hears told() */
    void *context;
    /* Of each schema that was asked for, never within a call of the user's; may not close it. */
    void (*told)(void *context, const struct glue_result *result);
    bool only_asks; /* told() says what would be registered, and nothing is */
};

/* ERR_NOMEM; ERR_CONFIG: *why. */
enum err glue_open(struct glue **ret, const struct glue_setup *setup, struct why *why) MUST_USE;
/* NULL is allowed. */
void glue_close(struct glue *glue);

/* The prefix for datums of this schema on this topic; NULL: wherever they are, the schema's name is its
 * own full name. ERR_AGAIN: asked for, uplink_ready() follows. ERR_REJECTED: refused; ERR_CONFIG: no
 * right; *why says it; a later call, after a while, asks again. ERR_NOMEM: nothing follows. */
enum err glue_prefix(struct glue *glue, const char *topic, const struct schema_info *schema,
                     uint8_t ret_prefix[GLUE_PREFIX_SIZE], struct why *why) MUST_USE;
/* Sets prefix, row_schema_id and has_zlib of a target whose layout is set, by the name that its schema
 * has on this topic. As glue_prefix(). */
enum err glue_target(struct glue *glue, const char *topic, const struct schema_info *schema,
                     struct target *ret, struct why *why) MUST_USE;
/* The same without a registry, for `weir plan`: what is as long, and packs as badly. */
void glue_target_guess(const struct glue_options *options, struct target *ret);
const struct glue_options *glue_options_of(const struct glue *glue);
/* "94a11363-3b9a-43ef-88c9-7c3a0da817b1" */
void glue_id_put(const uint8_t id[GLUE_ID_SIZE], struct out *ret);
/* Why the registry does not answer at the moment; NULL: nothing is known to be wrong. */
const struct why *glue_fault(const struct glue *glue);

#endif
