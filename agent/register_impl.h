/* weir schema register: register_command.c says which schemas go to which registries, register_ask.c
 * asks one, register_print.c tells what it says. */
#ifndef WEIR_AGENT_REGISTER_IMPL_H
#define WEIR_AGENT_REGISTER_IMPL_H

#include "ports/http.h"
#include "ports/names.h"
#include "uplink/avro/schema.h"
#include "uplink/aws/glue.h"
#include "uplink/registry/registration.h"

/* What a registry says of a schema. */
struct told {
    enum registration_end end;
    const char *subject; /* or the name that Glue has for it */
    char id[40];         /* THERE, MADE */
    bool id_is_text;     /* in JSON; else it is a number */
    int64_t version;     /* likewise; 0: not said */
    bool is_reference;   /* it is about a type that the schema refers to */
    bool is_new;         /* POSSIBLE: the subject has no versions yet */
    const char *why;     /* of an end that is no success, a sentence; "" */
    const char *message; /* the registry's own words */
};

struct work {
    const struct config *config;
    const char *uplink; /* the only one; NULL: all that have a registry */
    char **streams;     /* as asked for; none: all */
    int stream_count;
    bool dry_run, json;
    struct loop *loop;
    struct names *names;
    struct http *http;
    char agent_id[128];
    int code;
    unsigned count; /* results that were told */
    /* The uplink at hand. */
    const char *name;
    /* Its name for what a stream's events go to: topic, Kinesis stream. */
    enum err (*topic_put)(const struct work *w, char ret[TARGET_NAME_SIZE_MAX], struct why *why);
    const char *topic;               /* pattern */
    struct registry_options options; /* whatever the agent itself may do */
    struct glue_options glue_options;
    struct glue *glue; /* NULL: by `options` */
    uint32_t schema;   /* number of the last one */
    bool is_lost;      /* its registry: further questions would get no other answer */
    bool is_over;      /* the schema at hand is answered for */
    bool is_used[REGISTRY_REFERENCE_MAX]; /* which references some schema has */
    const char *stream;
};

/* The registry of the uplink at hand. False: it has none. ERR_...: *why. */
enum err register_open(struct work *w, const void *uplink, const char *type, bool *ret_has,
                       struct why *why) MUST_USE;
void register_close(struct work *w);
/* Until it is answered. */
enum err register_ask(struct work *w, const struct avro_schema *schema, struct why *why) MUST_USE;
/* On stdout and stderr; the exit code that it comes to. */
int register_print(const struct work *w, const struct told *told);

#endif
