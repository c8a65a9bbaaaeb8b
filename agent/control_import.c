/* What a peer brings: batches of events, each u32 size little-endian and agent/import.h's bytes;
 * one at a time, answered when its commit is durable. */
#include <assert.h>
#include <stdlib.h>

#include "agent/control_impl.h"
#include "ports/clock.h"

struct import_session {
    enum { IMPORT_TELLS, IMPORT_READS, IMPORT_NEEDS_ROOM, IMPORT_COMMITS } stage;
    uint16_t stream;
    uint16_t driver;
    uint32_t key;
    struct import_place place;
    uint32_t schema; /* that is parsed */
    struct avro_schema *parsed;
    uint8_t *bytes; /* 4 + IMPORT_BATCH_MAX */
    size_t size;
    struct import_batch batch;
};

enum err import_session_open(struct peer *c, const struct tool_request *request)
{
    struct control *control = c->control;
    struct import_session *s = calloc(1, sizeof *s);
    if (!s) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < CONTROL_PEER_MAX; i++) {
        if (control->peers[i] && control->peers[i]->import) {
            free(s);
            return ERR_FULL; /* two of one file would both begin at the same place */
        }
    }
    s->bytes = malloc(4 + IMPORT_BATCH_MAX);
    s->stream = request->stream[0] ? buffer_stream_number(store_buffer(agent_store(control->agent)),
                                                          request->stream)
                                   : 0;
    if (!s->bytes) {
        free(s);
        return ERR_NOMEM;
    }
    c->import = s;
    return ERR_OK;
}

void import_session_close(struct import_session *session)
{
    if (session) {
        avro_schema_close(session->parsed);
        free(session->bytes);
        free(session);
    }
}

void import_session_begin(struct peer *c)
{
    struct import_session *s = c->import;
    bool goes_on = tool_import_place(c->tool, &s->place, &s->key, &s->driver) && s->stream > 0 &&
                   !s->place.is_done;
    c->is_last = !goes_on;
}

/* --- a batch --- */

static enum err find_schema(struct peer *c, uint32_t number, struct why *why)
{
    struct import_session *s = c->import;
    const struct agent *agent = c->control->agent;
    if (s->parsed && s->schema == number) {
        return ERR_OK;
    }
    if (agent_schema_stream(agent, number) != s->stream) {
        why_set(why, "schema %u is none of the stream", number);
        return ERR_REJECTED;
    }
    avro_schema_close(s->parsed);
    s->parsed = NULL;
    s->schema = number;
    return avro_schema_parse(&s->parsed, agent_schema(agent, number), why);
}

/* All of it in one commit, with the word how far the file is taken; or none. */
static void put_batch(struct peer *c)
{
    struct import_session *s = c->import;
    struct store *store = agent_store(c->control->agent);
    uint8_t memory[IMPORT_VALUE_SIZE];
    uint64_t sequence;
    if (store_run_room(store, s->stream, s->batch.size, s->batch.event_count)) {
        s->stage = IMPORT_NEEDS_ROOM; /* each commit comes here again */
        return;
    }
    struct import_place place = s->place;
    place.position += s->batch.event_count;
    place.is_done = s->batch.is_last;
    place.time_us = clock_wall_us();
    struct cursor_change cursor = import_cursor(&place, s->driver, s->key, memory);
    enum err e = store_cursor_put(store, &cursor, 0, &c->commit);
    assert(!e); /* store_run_room() */
    s->place = place;
    for (size_t i = 0; i < s->batch.event_count; i++) {
        s->batch.events[i].stream = s->stream;
        store_event_put(store, &s->batch.events[i], 0, &c->commit, &sequence);
    }
    s->stage = IMPORT_COMMITS;
}

static void batch_is_there(struct peer *c)
{
    struct import_session *s = c->import;
    struct slice bytes = {s->bytes + 4, s->size - 4};
    struct why why = {""};
    enum err e = import_batch_take(bytes, &s->batch, &why);
    e = e ? e : find_schema(c, s->batch.schema, &why);
    e = e ? e
          : import_batch_check(&s->batch, avro_schema_root(s->parsed),
                               (size_t)agent_event_size_max(c->control->agent), &why);
    s->size = 0;
    if (e) {
        peer_refuse(c, e, &why);
        return;
    }
    put_batch(c);
}

static size_t size_of(const struct import_session *s)
{
    struct slice head = {s->bytes, 4};
    uint32_t size = 0;
    return slice_take_u32_le(&head, &size) ? size : 0;
}

void peer_import_read(struct peer *c)
{
    struct import_session *s = c->import;
    struct why why;
    uint8_t sink[64];
    size_t got = 0;
    if (s->stage != IMPORT_READS || c->is_last) { /* nothing is due: only its end may come */
        while (stream_read(c->stream, sink, sizeof sink, &got) == ERR_OK) {
        }
        return;
    }
    for (;;) {
        size_t wanted = s->size < 4 ? 4 : 4 + size_of(s);
        if (wanted > 4 + IMPORT_BATCH_MAX) {
            why_set(&why, "a batch of %zu bytes: at most %d", wanted, IMPORT_BATCH_MAX);
            peer_refuse(c, ERR_REJECTED, &why);
            return;
        }
        if (s->size >= 4 && s->size == wanted) {
            batch_is_there(c);
            return;
        }
        if (stream_read(c->stream, s->bytes + s->size, wanted - s->size, &got)) {
            return; /* more follows, or on_closed */
        }
        s->size += got;
    }
}

void peer_import_committed(struct peer *c, uint64_t commit)
{
    struct import_session *s = c->import;
    (void)commit;
    if (c->gone || c->commit || c->is_last) {
        return;
    }
    if (s->stage == IMPORT_NEEDS_ROOM) {
        put_batch(c);
        return;
    }
    if (s->stage != IMPORT_COMMITS) {
        return;
    }
    s->stage = IMPORT_TELLS;
    peer_answer_progress(c, s->place.position, s->place.is_done);
}

/* What was told has left. */
void peer_import_sent(struct peer *c)
{
    struct import_session *s = c->import;
    if (c->tool && s->stage == IMPORT_TELLS && s->driver == 0) {
        peer_tool_sent(c); /* it still tells where the file stands */
        return;
    }
    s->stage = IMPORT_READS;
    peer_import_read(c);
}
