/* weir aside replay: a tool reads set-aside events on the store worker, the loop offers them again. An
 * event and the word that it is set aside no longer are in one commit; what still does not fit stays where
 * it is, with its reason told. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/aside_head.h"
#include "agent/control_impl.h"
#include "agent/intake.h"
#include "ports/log.h"

#define ORDER_MAX 32 /* events between two looks at what became durable */
#define RUN_MAX 4 /* of these, sequences of different uplinks or streams, or with holes between */
#define REASON_MAX 16
#define RESULT_SIZE_MAX (REASON_MAX * (6 * REASON_SIZE_MAX + 64) + 256)
/* Of an uplink that had the event: each run may leave a hole in what it is owed, and with many the
 * buffer would send it again. */
#define PIECE_MAX (OWED_RANGE_MAX - RUN_MAX)

struct reason {
    char text[REASON_SIZE_MAX];
    uint64_t count;
};

struct replay_session {
    struct slice frames; /* of the tool's answer, those that are still to be taken */
    bool is_last;        /* the tool has ended with them */
    enum { REPLAY_READS, REPLAY_PUTS, REPLAY_COMMITS, REPLAY_TELLS } stage;
    struct buffer_order orders[ORDER_MAX];
    size_t order_count;
    size_t run_count;
    uint64_t run_commit; /* that carries the last run */
    struct tool_aside aside;
    struct aside_head head;
    struct field fields[EVENT_FIELD_MAX];
    uint64_t replayed;
    uint64_t unfit;
    struct reason reasons[REASON_MAX]; /* the last one: all others */
    size_t reason_count;
    enum err end; /* how it ends, and why */
    struct why why;
    struct out progress; /* the tool's last */
    uint8_t progress_bytes[32];
};

enum err replay_session_open(struct peer *c)
{
    c->replay = calloc(1, sizeof *c->replay);
    return c->replay ? ERR_OK : ERR_NOMEM;
}

void replay_session_close(struct replay_session *session)
{
    free(session);
}

/* --- what does not fit --- */

static void stays(struct replay_session *s, const char *text)
{
    size_t i = 0;
    s->unfit++;
    while (i < s->reason_count && strcmp(s->reasons[i].text, text) != 0) {
        i++;
    }
    if (i == REASON_MAX) {
        i = REASON_MAX - 1;
        (void)snprintf(s->reasons[i].text, REASON_SIZE_MAX, "other reasons"); /* fits */
    } else if (i == s->reason_count) {
        s->reason_count++;
        (void)snprintf(s->reasons[i].text, REASON_SIZE_MAX, "%s", text); /* cut is fine */
    }
    s->reasons[i].count++;
}

/* Why it can't be offered again at all; NULL: it can. */
static const char *obstacle(struct replay_session *s)
{
    const struct tool_aside *a = &s->aside;
    if (a->is_damaged) {
        return "it is damaged";
    }
    if (!aside_head_take(a->head, &s->head, s->fields)) {
        return "it was set aside by another version, without what a replay needs: export it";
    }
    if (a->body.size < a->size) {
        return "only a part of it was kept";
    }
    if (s->head.fields_are_lost) {
        return "its fields were too large to be kept";
    }
    if (s->head.is_unusable) {
        return "its driver could make no event of it";
    }
    return NULL;
}

/* --- one event --- */

/* When it came, as far as that is known. */
static struct stored_event arrival_of(const struct tool_aside *a)
{
    uint8_t trust = a->event_trust == TOOL_TIME_UNKNOWN ? 0
                    : a->event_trust == TIME_PAYLOAD    ? TIME_PAYLOAD
                                                        : TIME_WALL;
    return (struct stored_event){.trust = trust, .time_us = a->event_time_us};
}

static enum err offer_payload(struct peer *c, struct buffer_order *order, uint64_t *ret_commit,
                              struct why *why)
{
    const struct replay_session *s = c->replay;
    const struct tool_aside *a = &s->aside;
    const struct stored_event arrival = arrival_of(a);
    const struct intake_again again = {.driver = s->head.driver,
                                       .event = {.body_kind = (enum body_kind)s->head.body_kind,
                                                 .body = a->body,
                                                 .fields = s->head.fields,
                                                 .field_count = s->head.field_count,
                                                 .subject = s->head.subject,
                                                 .source = a->source,
                                                 .time_us = s->head.time_us,
                                                 .has_time = s->head.trust == TIME_PAYLOAD},
                                       .arrival = arrival.trust ? &arrival : NULL,
                                       .order = order};
    return intake_offer_again(agent_intake(c->control->agent), &again, ret_commit, why);
}

/* Can the uplink that refused it get it again, and nobody else? */
static enum err may_resend(const struct peer *c, uint16_t stream, struct why *why)
{
    const struct tool_aside *a = &c->replay->aside;
    const struct agent *agent = c->control->agent;
    const struct buffer_changes *state = store_state(agent_store(c->control->agent));
    bool is_carried = false;
    bool is_in_pieces = false;
    for (size_t i = 0; i < state->owed_count; i++) {
        const struct owed *owed = &state->owed[i];
        bool is_own = owed->uplink == a->uplink;
        is_carried = is_carried || (owed->stream == stream && is_own);
        is_in_pieces =
            is_in_pieces || (owed->stream == stream && !is_own && owed->range_count > PIECE_MAX);
    }
    if (stream == 0 || !is_carried) {
        why_set(why, "uplink %.*s does not carry stream %.*s any more", (int)a->source.size,
                (const char *)a->source.data, (int)a->stream.size, (const char *)a->stream.data);
        return ERR_REJECTED;
    }
    if (agent_schema_stream(agent, a->schema) != stream || !c->replay->head.is_complete) {
        why_set(why, "its schema is not known any more");
        return ERR_REJECTED;
    }
    if (is_in_pieces) {
        why_set(why, "another uplink of stream %.*s is too far behind: replay it later",
                (int)a->stream.size, (const char *)a->stream.data);
        return ERR_REJECTED;
    }
    return ERR_OK;
}

/* The order says to whom the run goes that begins with it; those that follow add to it. */
static void join_run(struct replay_session *s, struct buffer_order *order, uint64_t commit)
{
    struct buffer_order *run = NULL;
    for (struct buffer_order *o = s->orders; o < order; o++) {
        run = o->uplink ? o : run;
    }
    bool goes_on = run && s->run_commit == commit && run->uplink == order->uplink &&
                   run->stream == order->stream && run->range.last + 1 == order->range.first;
    if (goes_on) {
        run->range.last = order->range.last;
        order->uplink = 0;
    } else {
        s->run_count++;
        s->run_commit = commit;
    }
}

static enum err offer_datum(struct peer *c, struct buffer_order *order, uint64_t *ret_commit,
                            struct why *why)
{
    struct replay_session *s = c->replay;
    const struct tool_aside *a = &s->aside;
    char name[STREAM_NAME_SIZE_MAX];
    struct buffer *buffer = store_buffer(agent_store(c->control->agent));
    uint16_t stream =
        slice_to_text(a->stream, name, sizeof name) ? buffer_stream_number(buffer, name) : 0;
    enum err e = may_resend(c, stream, why);
    if (e) {
        return e;
    }
    struct stored_event event = arrival_of(a);
    event.stream = stream;
    event.schema = a->schema;
    event.datum = a->body;
    order->stream = stream;
    order->uplink = a->uplink;
    e = intake_put_again(agent_intake(c->control->agent), &event, order, ret_commit);
    if (e == ERR_CLOSED) {
        why_set(why, "the agent is being stopped");
    } else if (!e) {
        join_run(s, order, *ret_commit);
    }
    return e;
}

/* ERR_OK: it is put, or it stays. */
static enum err replay_one(struct peer *c, struct slice payload, struct why *why)
{
    struct replay_session *s = c->replay;
    struct buffer_order *order = &s->orders[s->order_count];
    uint64_t commit = 0;
    bool taken = tool_aside_take(payload, &s->aside);
    assert(taken); /* the tool put it */
    const char *text = obstacle(s);
    if (text) {
        stays(s, text);
        return ERR_OK;
    }
    *order = (struct buffer_order){.kind = ORDER_ASIDE_DROP, .aside = s->aside.id};
    enum err e = s->aside.kind == ASIDE_DATUM ? offer_datum(c, order, &commit, why)
                                              : offer_payload(c, order, &commit, why);
    if (e == ERR_FULL || e == ERR_CLOSED) {
        return e;
    }
    if (e) {
        stays(s, why->text);
        return ERR_OK;
    }
    s->order_count++;
    c->commit = commit;
    return ERR_OK;
}

/* --- the way of a step --- */

static void put_result(struct replay_session *s, struct out *o)
{
    size_t at = frame_begin(o, FRAME_JSON);
    out_put_format(o, "{\"replayed\":%" PRIu64 ",\"unfit\":%" PRIu64 ",\"reasons\":[", s->replayed,
                   s->unfit);
    for (size_t i = 0; i < s->reason_count; i++) {
        out_put_format(o, "%s{\"count\":%" PRIu64 ",\"reason\":", i ? "," : "",
                       s->reasons[i].count);
        out_put_json(o, slice_of_text(s->reasons[i].text));
        out_put_byte(o, '}');
    }
    out_put_text(o, "]}");
    frame_end(o, at);
}

/* How far it is; what came of it when that was all. */
static void tell(struct peer *c)
{
    struct replay_session *s = c->replay;
    s->stage = REPLAY_TELLS;
    if (!peer_answer_begin(c, RESULT_SIZE_MAX + WHY_SIZE_MAX + 64)) {
        return;
    }
    if (s->progress.size > 0) {
        size_t at = frame_begin(&c->answer, FRAME_PROGRESS);
        out_put_slice(&c->answer, out_slice(&s->progress));
        frame_end(&c->answer, at);
    }
    c->is_last = s->is_last || s->end;
    if (c->is_last) {
        put_result(s, &c->answer);
        log_info("aside",
                 "%" PRIu64 " set-aside events were replayed, %" PRIu64
                 " still do not fit and stay",
                 s->replayed, s->unfit);
    }
    if (s->end) {
        frame_put_error(&c->answer, s->end, &s->why);
    } else if (c->is_last) {
        frame_end(&c->answer, frame_begin(&c->answer, FRAME_END));
    }
    peer_send(c);
}

/* ERR_FULL: it has to be taken again. */
static enum err take_frame(struct peer *c, enum frame_kind kind, struct slice payload)
{
    struct replay_session *s = c->replay;
    uint8_t code = 0;
    if (kind == FRAME_ASIDE) {
        return replay_one(c, payload, &s->why);
    }
    if (kind == FRAME_PROGRESS) {
        s->progress = out_over(s->progress_bytes, sizeof s->progress_bytes);
        out_put_slice(&s->progress, payload);
    } else if (kind == FRAME_ERROR) {
        s->end = slice_take_u8(&payload, &code) && code ? (enum err)code : ERR_IO;
        why_set(&s->why, "%.*s", (int)payload.size, (const char *)payload.data);
    }
    return ERR_OK;
}

/* Takes what the tool gave, until something has to be waited for. */
static void put_more(struct peer *c)
{
    struct replay_session *s = c->replay;
    s->stage = REPLAY_PUTS;
    while (!s->end && s->frames.size > 0 && s->order_count < ORDER_MAX && s->run_count < RUN_MAX) {
        struct slice rest = s->frames;
        struct slice payload;
        enum frame_kind kind;
        size_t missing;
        enum err e = frame_take(&rest, &kind, &payload, &missing);
        assert(!e); /* the tool put it */
        e = take_frame(c, kind, payload);
        if (e == ERR_FULL) {
            return; /* committed() comes here again */
        }
        s->end = e ? e : s->end;
        s->frames = rest;
    }
    if (c->commit) {
        s->stage = REPLAY_COMMITS;
    } else {
        tell(c);
    }
}

void peer_replay_stepped(struct peer *c)
{
    struct replay_session *s = c->replay;
    s->frames = tool_out(c->tool);
    s->is_last = c->is_last;
    c->is_last = false;
    put_more(c);
}

void peer_replay_committed(struct peer *c)
{
    struct replay_session *s = c->replay;
    if (c->working || c->commit || (s->stage != REPLAY_PUTS && s->stage != REPLAY_COMMITS)) {
        return;
    }
    s->replayed += s->order_count; /* all of them are durable */
    s->order_count = 0;
    s->run_count = 0;
    put_more(c);
}
