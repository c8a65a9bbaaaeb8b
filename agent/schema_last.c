/* Which version of its schema each stream had last, so that a stream whose new one is refused goes on
 * as it was, also where it had gone back to an older one. It is a cursor, put before the first event of
 * a version, and so durable no later than that. */
#include <stdlib.h>

#include "agent/agent_impl.h"

#define LAST_DRIVER "(schema)" /* no name that a configuration may have */

static void take_last(void *context, uint32_t key, struct slice value)
{
    struct agent *agent = context;
    uint32_t number;
    if (!slice_take_u32_le(&value, &number)) {
        return;
    }
    for (size_t i = 0; i < agent->setup.config->stream_count; i++) {
        struct agent_stream *stream = &agent->streams[i];
        if (stream->number == key) {
            stream->kept = number;
        }
    }
}

enum err schema_last_open(struct agent *agent, struct why *why)
{
    struct buffer *buffer = agent->buffer;
    for (size_t i = 0; i < agent->setup.config->stream_count; i++) {
        agent->streams[i].number = buffer_stream_number(buffer, agent->streams[i].name);
    }
    enum err e = agent->reads_only
                     ? buffer_driver_find(buffer, LAST_DRIVER, &agent->last_driver, why)
                     : buffer_driver_number(buffer, LAST_DRIVER, &agent->last_driver, why);
    if (!e && agent->last_driver) {
        e = buffer_cursor_each(buffer, agent->last_driver, take_last, agent);
    }
    return e == ERR_CORRUPT ? ERR_OK : e; /* what is damaged says nothing: the newest counts */
}

void schema_last_keep(struct agent *agent)
{
    for (size_t i = 0; i < agent->setup.config->stream_count && !agent->reads_only; i++) {
        struct agent_stream *stream = &agent->streams[i];
        uint8_t value[4];
        struct out o = out_over(value, sizeof value);
        uint64_t commit;
        if (stream->kept == stream->schema_number) {
            continue;
        }
        out_put_u32_le(&o, stream->schema_number);
        struct cursor_change change = {
            .driver = agent->last_driver, .key = stream->number, .value = out_slice(&o)};
        if (store_cursor_put(agent->store, &change, agent->setup.config->buffer.commit_interval_ms,
                             &commit)) {
            return; /* the next commit comes here again */
        }
        stream->kept = stream->schema_number;
    }
}
