/* Forward: decides what is sent next, opens parcels, has them packed and committed, lends them to
 * the uplinks, and acts on every answer. For each uplink and stream at most one parcel a lane is
 * open. Loop thread; packing runs on the pack worker.
 *
 * An event leaves in this order: owed range → rows read (store worker) → laid out, cut into parts,
 * wrapped (pack worker) → numbers assigned → parcel committed → sent → done → the owed range
 * shortened (rides in a later commit). */
#ifndef WEIR_AGENT_FORWARD_H
#define WEIR_AGENT_FORWARD_H

#include "agent/store.h"
#include "config/config.h"
#include "ports/uplink.h"

struct forward;
struct letters;
struct links;
struct names;

/* A stream, as far as forward and pack are concerned. */
struct forward_stream {
    struct stream_info info;
    const char *key_field;  /* name of the schema field whose value is the key; NULL: no key */
    bool is_own;            /* the agent's own events: not counted as delivered, never urgent */
    bool fresh_first;       /* after an outage the newest go first (agent/debt.h) */
    int64_t fresh_after_ms; /* with it: so far behind delivery may be before */
};

/* What one uplink is told; options shared by all uplinks (config/core.h: struct uplink_common). */
struct zstd_dictionary;

struct forward_uplink {
    const struct uplink_class *class_;
    const void *options;
    const char *name;
    uint16_t number; /* the buffer's */
    bool stream_set[STREAM_COUNT_MAX];
    enum layout layout;
    struct zstd_dictionary *dictionary; /* NULL: none */
    bool by_agent;                      /* partition_by agent: the key is agent id/incarnation */
    int64_t batch_size_max;             /* raw bytes of one parcel */
    int64_t linger_ms; /* how long it waits for more events when few are owed; 0: not at all */
    int64_t backoff_max_ms;
    int64_t
        backfill_share; /* millionths of what goes out that backfill gets beside what is fresh */
    uint8_t links[CONFIG_LINK_CHOICE_MAX]; /* of the configuration; the preferred one first */
    size_t link_count;
};

struct forward_setup {
    struct loop *loop;
    struct worker *pack;
    struct store *store;
    struct letters *letters; /* NULL: no stream has any */
    struct names *names;
    struct tickets *tickets; /* NULL: none */
    struct links *links;     /* NULL: the configuration has none */
    const char *agent_id;
    const struct forward_stream *streams; /* index i is stream_info i; numbers are the buffer's */
    size_t stream_count;
    const struct forward_uplink *uplinks;
    size_t uplink_count;
};

/* Opens every uplink; takes up the parcels that are open in the buffer. */
enum err forward_open(struct forward **ret, const struct forward_setup *setup,
                      struct why *why) MUST_USE;
/* A schema version of a stream became known (at start from the buffer, later by intake). json must
 * stay. */
enum err forward_schema_add(struct forward *forward, uint16_t stream,
                            const struct schema_info *schema) MUST_USE;
/* Orderly stop: opens nothing more; finished() is called once nothing is lent any more, at most
 * grace_ms later. */
void forward_stop(struct forward *forward, int64_t grace_ms, void (*finished)(void *context),
                  void *context);
/* From now on no answer and no result of a worker is acted on; then the workers may be closed, then
 * forward. NULL is allowed. */
void forward_abandon(struct forward *forward);
/* Workers with jobs of forward are closed before. NULL is allowed. */
void forward_close(struct forward *forward);

/* The "uplinks" object of `weir status --json`:
 * {"cloud":{"sent":..,"retried":..,"aside":..,"duplicates":..,"in_flight":..,"fault":..,
 * "standing":{"STREAM":"why"}}}. */
void forward_status(const struct forward *forward, struct out *json);
/* What each uplink still has to deliver of each stream, the agent's own apart. */
void forward_owed_each(const struct forward *forward,
                       void (*each)(void *context, const char *uplink, const char *stream,
                                    uint64_t count),
                       void *context);
/* Events delivered (done and known to be), over all uplinks, since start; the agent's own apart. */
uint64_t forward_delivered(const struct forward *forward);
/* Events set aside because a destination refused them, since start. */
uint64_t forward_aside(const struct forward *forward);

#endif
