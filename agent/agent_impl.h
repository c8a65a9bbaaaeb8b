/* Inside of the agent: its parts, for agent.c and status.c. */
#ifndef WEIR_AGENT_AGENT_IMPL_H
#define WEIR_AGENT_AGENT_IMPL_H

#include "agent/agent.h"
#include "agent/carry.h"
#include "agent/forward.h"
#include "agent/intake.h"
#include "agent/keys.h"
#include "agent/links.h"
#include "agent/status_look.h"
#include "agent/store.h"
#include "agent/wear_keep.h"
#include "ports/file.h"

struct avro_schema;
struct agent_reload;
struct control;
struct events;
struct gate_answer;
struct gate_refusal;
struct letters;
struct stream_extension;
struct thin;
struct time_source;
struct zstd_dictionary;

/* What goes on from an agent to the next. */
struct agent_keep {
    struct names *names;
    struct control *control;
    struct control *next; /* listens where `newer` wants it; NULL: at the same path */
    struct intake_kept drivers;
};

/* A schema version that the buffer knows; its text lives as long as the agent. */
struct agent_schema {
    uint16_t stream;
    struct schema_info info;
};

struct agent_stream {
    const struct config_stream *config;   /* NULL: the agent's own */
    const struct agent_stream *letter_of; /* it has the dead letters of this one; else NULL */
    char own_name[STREAM_NAME_SIZE_MAX];  /* of letters */
    const char *name;
    uint8_t priority;
    uint32_t uplinks;           /* bit i: goes to config.uplinks[i] */
    struct avro_schema *schema; /* that events get: as configured, built in, or the one before it
                                   when that is refused */
    uint32_t schema_number;
    uint16_t number;
    uint32_t kept;       /* the schema_number that is kept as the last one; 0: none */
    uint64_t configured; /* hash of the text that the configuration names, whatever came of it */
    bool is_changing;    /* a schema_take is on its way */
    bool is_raw;         /* events are kept as they come, in weir.Raw */
    struct stream_extension *extension; /* NULL: the schema gets no fields from events */
    struct gate_refusal *refusal;       /* of the schema that is configured; NULL: it is accepted */
};

struct agent {
    struct agent_setup setup;
    char id[128];
    char identity[144];
    struct worker *store_worker;
    struct worker *pack_worker;
    struct names *names;
    struct tickets *tickets; /* NULL: none are kept */
    struct keys keys;
    struct buffer *buffer; /* the store's once that is open */
    struct thin *thin;     /* NULL: no stream is thinned */
    struct store *store;
    struct letters *letters;
    struct intake *intake;
    struct links *links;            /* NULL: none are configured */
    struct link_user *driver_links; /* by intake's index of the driver */
    struct forward *forward;
    struct events *events;
    struct control *control;
    struct agent_reload *reload; /* that is under way; NULL: none */
    struct wear_keep wear;
    struct status_look look;
    struct agent_stream *streams; /* config->streams, behind them weir.events, and dead letters */
    size_t stream_count;
    struct agent_schema *schemas;
    size_t schema_count;
    const struct config *newer; /* agent_pause() waits for it; NULL: it stops */
    bool schemas_failed;        /* no memory for one of them */
    uint16_t last_driver;       /* schema_last.c's */
    bool opens_buffer;          /* what fails now, fails with the buffer not open yet */
    bool reads_only;            /* the buffer can't be written, */
    struct why disk_why;        /* for this reason */
    bool place_is_known;
    struct file_place place; /* where the buffer's file is */
    struct forward_stream *forward_streams;
    struct forward_uplink *forward_uplinks;
    void (*finished)(void *context); /* NULL: agent_stop() was not called */
    void (*paused)(void *context, const struct why *late);
    void *finished_context;
    struct timer stop_timer;
    struct timer stop_limit; /* an orderly stop takes no longer */
    uint64_t stop_after;     /* the commit that carries what the sources gave */
    enum { AGENT_RUNS, AGENT_STORES, AGENT_SENDS, AGENT_STORES_LAST, AGENT_ENDED } stage;
    uint64_t stored_at_start;
    uint64_t longest_turn_us;
    int64_t started_us; /* wall */
    uint64_t opened_us; /* monotonic */
};

/* --- agent_open.c --- */
enum err agent_open_parts(struct agent *agent, struct why *why) MUST_USE;

/* --- agent_open_buffer.c --- */
/* The buffer, read-only where its disk allows no more: streams are open, and the identity is known
 * afterwards. */
enum err agent_open_buffer(struct agent *agent, struct why *why) MUST_USE;

/* --- agent_schema.c --- */
/* The schema of a stream: its file, or the built-in one. */
enum err agent_schema_load(const char *path, struct avro_schema **ret, struct why *why) MUST_USE;
/* The same with what the stream's `fields` say in its doc: what events get, and registries see. */
enum err agent_stream_schema_load(const struct stream_config *options, struct avro_schema **ret,
                                  struct why *why) MUST_USE;
/* Can a stream have it: is it a record, with not too many fields? */
enum err agent_schema_is_stream(const struct avro_schema *schema, struct why *why) MUST_USE;
/* What an uplink's messages are packed by; *ret NULL: nothing. *why says what is wrong with it. */
enum err agent_dictionary_load(const struct config_uplink *uplink, struct zstd_dictionary **ret,
                               struct why *why) MUST_USE;
/* Each stream's schema through the gate, and all versions that the buffer knows. */
enum err agent_schemas_open(struct agent *agent, struct why *why) MUST_USE;
/* What the gate answered, into the log. */
void agent_schema_say(const struct agent_stream *stream, const struct gate_answer *answer);
/* What is refused and not told yet, as events of the agent. */
void agent_schemas_tell(struct agent *agent);

/* --- schema_last.c --- */
/* Before the streams go through the gate. */
enum err schema_last_open(struct agent *agent, struct why *why) MUST_USE;
/* What changed, and is not kept yet; after each commit, too. */
void schema_last_keep(struct agent *agent);

/* --- check_routes.c --- */

/* What routes set must be fields that the stream's schema has, and that can hold it. */
void check_routes(const struct config *config, struct config_report *report);

/* --- agent.c --- */
void agent_committed(void *context, uint64_t commit, const struct buffer_changes *changes);

/* --- status.c --- */
struct events_measures;
/* For the health record; the callback of events_setup, with the agent as context. */
void agent_measure(void *context, struct events_measures *ret);

#endif
