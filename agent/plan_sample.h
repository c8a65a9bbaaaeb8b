/* A sample of a site's events, as they would stand in the buffer: read from lines of JSON, mapped as
 * intake maps them. For `weir plan`. One thread. */
#ifndef WEIR_AGENT_PLAN_SAMPLE_H
#define WEIR_AGENT_PLAN_SAMPLE_H

#include "agent/forward.h"
#include "agent/key.h"

#define PLAN_EVENT_MAX 4000000 /* of all streams */
#define PLAN_FILE_SIZE_MAX (1024 * 1024 * 1024)
#define PLAN_RATE_MAX 256
#define PLAN_TEXT_SIZE_MAX 8192 /* of what a route sets, for one event */

struct avro_schema;
struct columns_plan;

/* A stream of the configuration; the last one is weir.events. */
struct plan_stream {
    const struct config_stream *config; /* NULL: weir.events */
    struct forward_stream forward;
    struct avro_schema *schema;
    struct schema_info info;
    struct columns_plan *plan;
    struct key key;
    bool is_raw;
    int64_t wait_ms; /* how long an event waits for its commit */
    int64_t poll_ms; /* its source is looked at so often; 0: events come when they happen */
    struct stored_event *events; /* sequences from 1 on */
    int64_t *at_ms;              /* when each arrives, from the sample's begin on */
    size_t count;
    size_t room;
    uint64_t source_size; /* bytes of the payloads */
    size_t left_out;      /* lines that would be set aside */
    struct why left_out_why;
    size_t
        extended; /* events with fields that `unknown_fields: extend` would add: they are left out */
    double seconds; /* that its events stand for */
};

struct plan_sample {
    const struct config *config;
    char agent_id[128];
    char identity[160]; /* with an incarnation like any other */
    struct plan_stream *streams;
    size_t stream_count;
    size_t event_count;
    double seconds; /* for which all streams have events */
    struct mapper *mapper;
    struct plan_block *blocks; /* of datums */
    struct out datum;
    uint8_t texts[PLAN_TEXT_SIZE_MAX];
};

/* Events a second. */
struct plan_rate {
    const char *stream; /* NULL: of all that have none of their own */
    double per_second;
};

struct plan_source {
    const struct config *config;
    const char *path; /* a folder with STREAM.ndjson, or a file */
    const char *
        stream; /* of the file's lines; NULL: what `weir buffer export` wrote says it itself; else there is one stream only */
    const struct plan_rate *rates;
    size_t rate_count;
    double seconds; /* that the sample stands for; 0: as its times say */
};

/* ERR_CONFIG, ERR_REJECTED, ERR_CORRUPT, ERR_IO: *why says which file, line or stream, and what to
 * do. */
enum err plan_sample_open(struct plan_sample **ret, const struct plan_source *source,
                          struct why *why) MUST_USE;
/* NULL is allowed. */
void plan_sample_close(struct plan_sample *sample);

/* --- plan_map.c --- */

/* Makes an event of a payload, and adds it. ERR_REJECTED: it would be set aside, which is counted in
 * the stream. */
enum err plan_map_payload(struct plan_sample *sample, struct plan_stream *stream,
                          struct slice payload, struct why *why) MUST_USE;
/* The same of a value in Avro's JSON encoding, with its time. */
enum err plan_map_value(struct plan_sample *sample, struct plan_stream *stream, struct slice value,
                        int64_t time_us, struct why *why) MUST_USE;
/* How the sources of the stream are read: its commits and polls. */
void plan_map_source(const struct config *config, struct plan_stream *stream);
void plan_map_release(struct plan_sample *sample);

#endif
