/* Streams whose schema grows by the fields that events bring (`unknown_fields: extend`). The event
 * that brings them is refused to its source, as when the buffer is full, until the buffer knows the
 * new schema and what comes from then on has it; then it comes in again, and nothing is lost. The
 * schema's file is not written: at the next start the buffer's versions tell what was added. Loop
 * thread. */
#ifndef WEIR_AGENT_STREAM_EXTEND_H
#define WEIR_AGENT_STREAM_EXTEND_H

#include "agent/extend.h"

struct agent;
struct agent_stream;
struct stream_extension;

/* At start and at reload, for the schema that is configured: *schema, as its file has it, is replaced by the
 * newest version of the buffer that is an extension of it. What was added before counts. */
enum err stream_extend_open(struct agent *agent, struct agent_stream *stream,
                            struct avro_schema **schema) MUST_USE;
/* NULL is allowed. When the workers have ended. */
void stream_extend_close(struct stream_extension *extension);

/* The callback of intake_setup, with the agent as context. */
enum err stream_extend(void *context, size_t index, const struct map_unknown *unknowns,
                       size_t count, struct why *why) MUST_USE;

/* Fields that were added to the schema of the file. */
uint32_t stream_extend_count(const struct agent_stream *stream);

#endif
