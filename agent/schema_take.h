/* Taking a schema over while the agent runs: through the gate, into the buffer, to the uplinks, and
 * then to what comes from now on. What is in the buffer keeps the schema that it has. Loop thread. */
#ifndef WEIR_AGENT_SCHEMA_TAKE_H
#define WEIR_AGENT_SCHEMA_TAKE_H

#include "agent/gate.h"
#include "ports/worker.h"

struct agent;

/* The caller's memory, inside a struct of its own; it lives until done(). */
struct schema_take {
    /* Given. The schema is the agent's once it was put; its root is a record. */
    struct avro_schema *schema;
    enum avro_mode mode;
    bool is_raw; /* events are kept as they come: it is weir.Raw */
    /* Once, on the loop's thread; while the agent is closed, too. ERR_OK: see `answer`, whose
     * refusal is the caller's now. Else it was not taken over, for the reason in `why`, and it may
     * be tried again. */
    void (*done)(struct schema_take *take, enum err e);

    struct gate_answer answer;
    struct why why;

    /* Its own. */
    struct job job;
    struct agent *agent;
    size_t index;
    uint16_t stream_number;
    enum err result;
};

/* `index`: of the stream in the configuration. ERR_FULL: not now, as when one
 * is on its way for the stream. Then, and after ERR_CLOSED (the
 * agent is being closed), done() does not come, and the schema is still the caller's. */
enum err agent_schema_take(struct agent *agent, size_t index, struct schema_take *take) MUST_USE;

#endif
