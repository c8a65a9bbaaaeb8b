/* Inside of the agent: its parts, for agent.c and status.c. */
#ifndef WEIR_AGENT_AGENT_IMPL_H
#define WEIR_AGENT_AGENT_IMPL_H

#include "agent/agent.h"
#include "agent/forward.h"
#include "agent/intake.h"
#include "agent/store.h"

struct avro_schema;
struct control;
struct events;
struct time_source;

/* A schema version that the buffer knows; its text lives as long as the agent. */
struct agent_schema {
    uint16_t stream;
    struct schema_info info;
};

struct agent_stream {
    struct avro_schema *schema; /* as configured, or built in */
    uint32_t schema_number;
    uint16_t number;
};

struct agent {
    struct agent_setup setup;
    char id[128];
    char identity[144];
    struct worker *store_worker;
    struct worker *pack_worker;
    struct names *names;
    struct buffer *buffer; /* the store's once that is open */
    struct store *store;
    struct intake *intake;
    struct forward *forward;
    struct control *control;
    struct agent_stream *streams; /* config->streams, and weir.events behind them */
    size_t stream_count;
    struct agent_schema *schemas;
    size_t schema_count;
    struct forward_stream *forward_streams;
    struct forward_uplink *forward_uplinks;
    void (*finished)(void *context);
    void *finished_context;
    struct timer stop_timer;
    enum { AGENT_RUNS, AGENT_STORES, AGENT_SENDS, AGENT_STORES_LAST, AGENT_ENDED } stage;
    uint64_t stored_at_start;
    uint64_t longest_turn_us;
    int64_t started_us;
    struct why trouble; /* of the buffer; "": none */
};

#endif
