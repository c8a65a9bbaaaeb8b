#include "tests/agent/uplink_double.h"

#include <stdlib.h>
#include <string.h>

#include "buffer/buffer.h"
#include "ports/lib/crc32c.h"
#include "tests/sim/sim.h"

struct lent {
    struct batch *batch;
    size_t sent; /* index */
    uint64_t due_ms;
    bool is_lost;
    bool was_down; /* nothing of it has left */
    bool is_counted;
    struct double_wire *wire;
};

struct double_uplink {
    struct uplink base;
    struct double_script *script;
    struct timer timer;
    struct lent lent[DOUBLE_LENT_MAX];
    size_t lent_count;
    bool sending; /* within send(): done() must not come */
};

void double_script_init(struct double_script *script, const char *name, struct buffer **buffer)
{
    *script = (struct double_script){.name = name,
                                     .partition_count = 1,
                                     .request_size_max = 1024 * 1024,
                                     .record_size_max = 1024 * 1024,
                                     .answer_ms = 20,
                                     .buffer = buffer};
}

void double_script_release(struct double_script *script)
{
    SIM_EXPECT(!script->uplink);
}

/* --- the class --- */

static void arm(struct double_uplink *u)
{
    uint64_t now = loop_now_ms(u->script->loop);
    uint64_t due = UINT64_MAX;
    for (size_t i = 0; i < u->lent_count; i++) {
        due = u->lent[i].due_ms < due ? u->lent[i].due_ms : due;
    }
    if (due != UINT64_MAX) {
        timer_arm(&u->timer, due > now ? due - now : 0);
    }
}

static void answer(struct double_uplink *u, size_t index, const struct send_report *report)
{
    struct double_script *script = u->script;
    struct batch *batch = u->lent[index].batch;
    struct double_sent *sent = &script->sent[u->lent[index].sent];
    SIM_EXPECT(!u->sending);
    sent->answered = true;
    sent->result = report->result;
    bool is_refused = report->result == SEND_REJECTED || report->result == SEND_TOO_LARGE;
    if (is_refused && script->reuses_numbers &&
        script->base_next == sent->base + batch->part->record_count) {
        script->base_next = sent->base;
    }
    u->lent_count--;
    memmove(&u->lent[index], &u->lent[index + 1], (u->lent_count - index) * sizeof u->lent[0]);
    uplink_done(script->host, batch, report);
}

/* Has it taken a batch under these numbers before? Then it must be the same one. */
static bool is_duplicate(const struct double_script *script, const struct double_sent *sent)
{
    for (size_t i = 0; !script->drops_numbers && i < script->sent_count; i++) {
        const struct double_sent *before = &script->sent[i];
        if (before != sent && before->base == sent->base && before->answered &&
            before->result == SEND_OK) {
            SIM_EXPECT(before->content == sent->content);
            return true;
        }
    }
    return false;
}

static void take(struct double_script *script, const struct double_sent *sent, struct slice wire,
                 struct send_report *report)
{
    report->is_clear = true;
    if (is_duplicate(script, sent)) {
        report->was_duplicate = true;
        return;
    }
    uint64_t sequence;
    uint32_t size;
    uint32_t schema;
    struct slice body;
    while (slice_take_u64_le(&wire, &sequence)) {
        SIM_EXPECT(slice_take_u32_le(&wire, &schema) && slice_take_u32_le(&wire, &size) &&
                   slice_take(&wire, size, &body));
        SIM_EXPECT(sequence < DOUBLE_SEQUENCE_MAX && sent->stream <= DOUBLE_STREAM_MAX);
        script->arrived[sent->stream][sequence]++;
        script->arrived_count++;
    }
}

static void wire_count(struct double_script *script, struct lent *lent)
{
    struct double_wire *wire = lent->wire;
    if (wire && !lent->is_counted) {
        uint64_t size = script->sent[lent->sent].size + wire->overhead;
        size = lent->was_down && wire->lost ? wire->lost : size;
        uint64_t answer_size = lent->is_lost ? 0 : wire->answer;
        lent->is_counted = true;
        wire->bytes += size + answer_size;
        if (size + answer_size > wire->request_max) {
            wire->request_max = size + answer_size;
        }
        wire->calm_bytes += script->sent[lent->sent].lane < 7 ? size + answer_size : 0;
        uplink_wire_bytes(script->host, size, answer_size);
    }
}

/* The one that is bound to now. */
static struct double_wire *wire_now(const struct double_script *script)
{
    struct uplink_link link;
    struct double_wire *wire = script->wire;
    uplink_link(script->host, &link);
    while (wire && wire->interface_name &&
           (!link.interface_name || strcmp(link.interface_name, wire->interface_name) != 0)) {
        wire = wire->other;
    }
    return wire;
}

/* When the link has carried it. */
static uint64_t wire_due_ms(struct double_wire *wire, size_t size, uint64_t now_ms)
{
    uint64_t start_ms = wire->busy_to_ms > now_ms ? wire->busy_to_ms : now_ms;
    wire->busy_to_ms = start_ms + (size + wire->overhead) * 1000 / wire->bytes_per_second;
    return wire->busy_to_ms;
}

static void timer_fired(struct timer *timer)
{
    struct double_uplink *u = CONTAINER_OF(timer, struct double_uplink, timer);
    struct double_script *script = u->script;
    uint64_t now = loop_now_ms(script->loop);
    for (size_t i = 0; i < u->lent_count;) {
        if (u->lent[i].due_ms > now) {
            i++;
            continue;
        }
        struct send_report report = {.result = SEND_OK};
        const struct double_sent *sent = &script->sent[u->lent[i].sent];
        struct lent late = u->lent[i];
        if (!script->counts_late) {
            wire_count(script, &u->lent[i]);
        }
        if (u->lent[i].is_lost) {
            report.result = SEND_RETRY;
            answer(u, i, &report);
            if (script->counts_late) {
                wire_count(script, &late);
            }
            i = 0;
            continue;
        }
        if (script->judge && !is_duplicate(script, sent)) {
            script->judge(script, sent, &report);
        }
        if (report.result == SEND_OK) {
            take(script, sent, u->lent[i].batch->wire, &report);
        }
        answer(u, i, &report);
        if (script->counts_late) {
            wire_count(script, &late);
        }
        i = 0;
    }
    arm(u);
}

static enum err double_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    (void)why;
    struct double_uplink *u = calloc(1, sizeof *u);
    if (!u) {
        return ERR_NOMEM;
    }
    u->script = (struct double_script *)(uintptr_t)setup->options;
    u->base.class_ = &double_class;
    u->script->host = setup->host;
    u->script->loop = setup->loop;
    u->script->uplink = &u->base;
    timer_init(&u->timer, setup->loop, timer_fired);
    *ret = &u->base;
    return ERR_OK;
}

static enum err double_target(struct uplink *uplink, const struct stream_info *stream,
                              const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct double_script *script = ((struct double_uplink *)uplink)->script;
    script->targets++;
    if (script->target_error) {
        why_set(why, "the test wants it so");
        return script->target_error;
    }
    SIM_EXPECT(schema->json.data);
    *ret = (struct target){.partition_count = script->partition_count,
                           .request_size_max = script->request_size_max,
                           .record_size_max = script->record_size_max};
    memcpy(ret->name, stream->name, strlen(stream->name));
    memcpy(ret->cluster_id, "double", 6);
    return ERR_OK;
}

static uint32_t double_place(const struct target *target, struct slice key, uint64_t sequence)
{
    return key.data ? crc32c(0, key) % target->partition_count
                    : (uint32_t)(sequence % target->partition_count);
}

static enum err double_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    uint32_t framing = ((const struct double_script *)options)->framing;
    for (size_t i = 0; i < batch->message_count; i++) {
        const struct message *m = &batch->messages[i];
        out_put_u64_le(ret, m->sequence);
        out_put_u32_le(ret, batch->schema->number);
        out_put_u32_le(ret, framing + (uint32_t)m->body.size);
        for (uint32_t j = 0; j < framing; j++) {
            out_put_byte(ret, 0);
        }
        out_put_slice(ret, m->body);
    }
    return ret->overflow || ret->size > batch->target.request_size_max ? ERR_FULL : ERR_OK;
}

/* The first sequence in the bytes: on record before they leave, and then for good. */
static void double_built(struct uplink *uplink, struct batch *batch)
{
    struct slice wire = batch->wire;
    uint64_t sequence = 0;
    bool is_read = slice_take_u64_le(&wire, &sequence);
    (void)uplink;
    SIM_EXPECT(is_read && !batch->part->assigned);
    batch->part->producer_id = (int64_t)sequence;
}

static enum err double_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                              size_t part_count)
{
    struct double_script *script = ((struct double_uplink *)uplink)->script;
    script->assigns++;
    if (script->assign_waits) {
        return ERR_AGAIN;
    }
    for (size_t i = 0; i < part_count; i++) {
        struct part *part = &parcel->parts[parts[i]];
        SIM_EXPECT(!part->assigned && !part->done && part->record_count > 0);
        part->base_sequence = script->base_next;
        script->base_next += part->record_count;
        part->assigned = true;
    }
    return ERR_OK;
}

struct record_search {
    const struct batch *batch;
    bool found;
};

/* Is this part, with these numbers, on record? */
static void look_at_parcel(void *context, const struct parcel *parcel)
{
    struct record_search *search = context;
    const struct parcel *sent = search->batch->parcel;
    if (parcel->uplink != sent->uplink || parcel->stream != sent->stream ||
        parcel->lane != sent->lane) {
        return;
    }
    for (uint32_t i = 0; i < parcel->part_count; i++) {
        const struct part *part = &parcel->parts[i];
        const struct part *mine = search->batch->part;
        search->found = search->found ||
                        (part->assigned && part->base_sequence == mine->base_sequence &&
                         part->producer_id == mine->producer_id && part->first == mine->first &&
                         part->last == mine->last && part->partition == mine->partition &&
                         part->record_count == mine->record_count && !part->done);
    }
}

static void check_lent(struct double_uplink *u, const struct batch *batch)
{
    struct double_script *script = u->script;
    struct record_search search = {.batch = batch};
    unsigned lent = 1;
    buffer_parcel_each(*script->buffer, look_at_parcel, &search);
    SIM_EXPECT(search.found); /* the record before the first byte */
    for (size_t i = 0; i < u->lent_count; i++) {
        lent += u->lent[i].batch->stream == batch->stream &&
                u->lent[i].batch->parcel->lane == batch->parcel->lane &&
                u->lent[i].batch->part->partition == batch->part->partition;
    }
    script->lent_most = lent > script->lent_most ? lent : script->lent_most;
}

/* One after the other over the same link. */
static uint64_t double_due_ms(const struct double_uplink *u, const struct double_sent *sent)
{
    const struct double_script *script = u->script;
    uint64_t start = sent->at_ms;
    for (size_t i = 0; i < u->lent_count && script->rate; i++) {
        start = u->lent[i].due_ms > start ? u->lent[i].due_ms : start;
    }
    return start + (uint64_t)script->answer_ms +
           (script->rate ? sent->size * 1000 / (uint64_t)script->rate : 0);
}

static void double_send(struct uplink *uplink, struct batch *batch)
{
    struct double_uplink *u = (struct double_uplink *)uplink;
    struct double_script *script = u->script;
    SIM_EXPECT(u->lent_count < DOUBLE_LENT_MAX && script->sent_count < DOUBLE_SENT_MAX);
    u->sending = true;
    check_lent(u, batch);
    SIM_EXPECT(batch->part->producer_id >= (int64_t)batch->part->first &&
               batch->part->producer_id <= (int64_t)batch->part->last);
    struct double_sent *sent = &script->sent[script->sent_count++];
    *sent = (struct double_sent){.at_ms = loop_now_ms(script->loop),
                                 .stream = batch->stream->number,
                                 .lane = batch->lane,
                                 .is_backfill = batch->parcel->lane == LANE_BACKFILL,
                                 .partition = batch->part->partition,
                                 .partition_count = batch->target.partition_count,
                                 .first = batch->first,
                                 .last = batch->last,
                                 .event_count = batch->event_count,
                                 .size = batch->wire.size,
                                 .base = batch->part->base_sequence,
                                 .schema = batch->schema->number,
                                 .content = crc32c(0, batch->wire),
                                 .again = batch->again};
    struct lent lent = {.batch = batch,
                        .sent = script->sent_count - 1,
                        .due_ms = script->holds ? UINT64_MAX : double_due_ms(u, sent),
                        .wire = script->wire ? wire_now(script) : NULL};
    if (lent.wire) {
        lent.is_lost = lent.was_down = lent.wire->is_down;
        lent.due_ms = lent.is_lost ? sent->at_ms + DOUBLE_SILENCE_MS
                                   : wire_due_ms(lent.wire, sent->size, sent->at_ms) +
                                         (uint64_t)script->answer_ms;
    }
    u->lent[u->lent_count++] = lent;
    arm(u);
    u->sending = false;
}

static void double_relink(struct uplink *uplink)
{
    struct double_uplink *u = (struct double_uplink *)uplink;
    u->script->relinks++;
    for (size_t i = 0; i < u->lent_count; i++) { /* their connection is closed */
        u->lent[i].is_lost = true;
        u->lent[i].due_ms = loop_now_ms(u->script->loop) + 1;
        wire_count(u->script, &u->lent[i]);
    }
    arm(u);
}

static void double_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct double_uplink *u = (struct double_uplink *)uplink;
    (void)grace_ms;
    u->script->stops++;
    while (u->script->stop_gives_back && u->lent_count > 0) {
        answer(u, 0, &(struct send_report){.result = SEND_RETRY});
    }
}

static void double_close(struct uplink *uplink)
{
    struct double_uplink *u = (struct double_uplink *)uplink;
    timer_release(&u->timer);
    u->script->uplink = NULL;
    free(u);
}

const struct uplink_class double_class = {.type = "double",
                                          .open = double_open,
                                          .target = double_target,
                                          .place = double_place,
                                          .wrap = double_wrap,
                                          .built = double_built,
                                          .assign = double_assign,
                                          .send = double_send,
                                          .relink = double_relink,
                                          .stop = double_stop,
                                          .close = double_close};

/* --- the test's hands --- */

size_t double_lent(const struct double_script *script)
{
    return script->uplink ? ((const struct double_uplink *)script->uplink)->lent_count : 0;
}

void double_answer(struct double_script *script, enum send_result result, int code)
{
    struct double_uplink *u = (struct double_uplink *)script->uplink;
    struct send_report report = {.result = result, .code = code};
    SIM_EXPECT(u->lent_count > 0);
    if (result == SEND_OK) {
        take(script, &script->sent[u->lent[0].sent], u->lent[0].batch->wire, &report);
    }
    answer(u, 0, &report);
}

const struct double_sent *double_last(const struct double_script *script)
{
    SIM_EXPECT(script->sent_count > 0);
    return &script->sent[script->sent_count - 1];
}
