/* The status: for programs as JSON, for a person as lines. */
#include <inttypes.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/gate.h"
#include "agent/stream_extend.h"
#include "agent/time_trust.h"
#include "ports/clock.h"
#include "ports/memory.h"

static uint64_t stream_backlog(const struct agent *agent, uint16_t number)
{
    return store_state(agent->store)->streams[number].event_count;
}

static void put_or_null(const char *text, struct out *json)
{
    if (text[0]) {
        out_put_json(json, slice_of_text(text));
    } else {
        out_put_text(json, "null");
    }
}

/* Of very many the later ones are only counted, so that the answer has room for all streams. */
static void put_refusal(const struct gate_refusal *refusal, struct out *json)
{
    if (!refusal) {
        out_put_text(json, "null");
    } else if (json->size < json->size_max / 2) {
        gate_refusal_put(refusal, json);
    } else {
        out_put_format(json, "{\"count\":%" PRIu32 "}", refusal->count);
    }
}

/* Since when the oldest event of the stream waits, by its own time. */
static void put_age(const struct agent *agent, uint16_t number, struct out *json)
{
    int64_t oldest_us = agent->look.oldest_us[number];
    if (oldest_us == 0 || stream_backlog(agent, number) == 0) {
        out_put_format(json, ",\"oldest\":null,\"age_s\":%s",
                       stream_backlog(agent, number) ? "null" : "0");
        return;
    }
    char oldest[CLOCK_TEXT_SIZE];
    clock_format(oldest_us, 3, oldest);
    out_put_format(json, ",\"oldest\":\"%s\",\"age_s\":", oldest);
    int64_t age_ms = (clock_wall_us() - oldest_us) / 1000;
    if (age_ms >= 0 && time_trust_is_given(intake_time(agent->intake))) {
        out_put_format(json, "%" PRId64 ".%03d", age_ms / 1000, (int)(age_ms % 1000));
    } else {
        out_put_text(json, "null");
    }
}

static void put_stream(const struct agent *agent, size_t index, struct out *json)
{
    const struct stream_state *s =
        &store_state(agent->store)->streams[agent->streams[index].number];
    out_put_text(json, "{\"name\":");
    out_put_json(json, slice_of_text(agent->streams[index].name));
    out_put_format(json,
                   ",\"priority\":%d,\"events\":%" PRIu64 ",\"bytes\":%" PRIu64
                   ",\"sequence_next\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"suppressed\":%" PRIu64,
                   agent->streams[index].priority, s->event_count, s->size, s->sequence_next,
                   s->dropped_count,
                   agent->streams[index].config ? intake_suppressed(agent->intake, index) : 0);
    put_age(agent, agent->streams[index].number, json);
    out_put_text(json, ",\"dropped_by\":{");
    for (unsigned reason = 1, count = 0; reason < GAP_REASON_COUNT; reason++) {
        if (s->dropped[reason] > 0) {
            out_put_format(json, "%s\"%s\":%" PRIu64, count++ ? "," : "",
                           gap_reason_name((uint8_t)reason), s->dropped[reason]);
        }
    }
    out_put_format(json,
                   "},\"room\":%" PRIu32 ",\"fields_added\":%" PRIu32 ",\"schema\":%" PRIu32
                   ",\"schema_refused\":",
                   store_state(agent->store)->room[agent->streams[index].number],
                   stream_extend_count(&agent->streams[index]),
                   agent->streams[index].schema_number);
    put_refusal(agent->streams[index].refusal, json);
    out_put_byte(json, '}');
}

void agent_streams(struct agent *agent, struct out *json)
{
    out_put_byte(json, '[');
    for (size_t i = 0; i < agent->stream_count; i++) {
        out_put_text(json, i ? "," : "");
        put_stream(agent, i, json);
    }
    out_put_byte(json, ']');
}

uint64_t agent_backlog(const struct agent *agent)
{
    uint64_t count = 0;
    for (size_t i = 0; i < agent->setup.config->stream_count; i++) {
        count += stream_backlog(agent, agent->streams[i].number);
    }
    return count;
}

void agent_measure(void *context, struct events_measures *ret)
{
    const struct agent *agent = context;
    const struct buffer_changes *state = store_state(agent->store);
    struct intake_totals totals;
    intake_totals(agent->intake, &totals);
    *ret = (struct events_measures){.uptime_s = (clock_monotonic_us() - agent->opened_us) / 1000000,
                                    .backlog = agent_backlog(agent),
                                    .delivered = forward_delivered(agent->forward),
                                    .refused = totals.refused,
                                    .aside = totals.aside + forward_aside(agent->forward),
                                    .aside_reason = intake_aside_reason(agent->intake),
                                    .buffer_bytes = state->file_size,
                                    .buffer_share = state->used_share,
                                    .wear_bytes = state->wear.bytes,
                                    .wear_syncs = state->wear.syncs,
                                    .clock_is_trusted =
                                        time_trust_is_given(intake_time(agent->intake))};
    for (size_t i = 0; i < agent->setup.config->stream_count; i++) {
        const struct stream_state *s = &state->streams[agent->streams[i].number];
        ret->backlog_bytes += s->size;
        ret->dropped += s->dropped_count;
    }
}

static void put_totals(const struct agent *agent, struct out *json)
{
    struct intake_totals totals;
    intake_totals(agent->intake, &totals);
    out_put_format(json,
                   "\"events\":%" PRIu64 ",\"stored\":%" PRIu64 ",\"delivered\":%" PRIu64
                   ",\"suppressed\":%" PRIu64 ",\"aside\":%" PRIu64 ",\"refused\":%" PRIu64
                   ",\"backlog\":%" PRIu64,
                   totals.admitted, totals.stored, forward_delivered(agent->forward),
                   totals.suppressed, store_state(agent->store)->aside_count, totals.refused,
                   agent_backlog(agent));
}

static void put_buffer(struct agent *agent, struct out *json)
{
    const struct buffer_medium *m = &agent->setup.config->buffer.medium;
    struct wear_medium medium = {m->size, m->cycles, m->page};
    const struct buffer_changes *state = store_state(agent->store);
    const struct buffer_wear *wear = &state->wear;
    out_put_text(json, "\"buffer\":{\"path\":");
    out_put_json(json, slice_of_text(agent->setup.config->buffer.path));
    out_put_format(json, ",\"size\":%" PRIu64 ",\"size_max\":%lld,\"used_share\":%.4f,\"trouble\":",
                   state->file_size, (long long)agent->setup.config->buffer.size_max,
                   (double)state->used_share / 1e6);
    put_or_null(store_trouble(agent->store), json);
    out_put_format(json,
                   ",\"unsaved\":%" PRIu64 ",\"damage\":{\"replaced\":%" PRIu64 ",\"logs\":%" PRIu64
                   ",\"salvages\":%s,\"found\":%" PRIu64 ",\"lost\":%" PRIu64
                   "}},\"wear\":{\"bytes\":%" PRIu64 ",\"bytes_asked\":%" PRIu64
                   ",\"syncs\":%" PRIu64 ",\"commits\":%" PRIu64,
                   store_unsaved(agent->store), state->damage.replaced, state->damage.logs,
                   state->damage.salvages ? "true" : "false", state->damage.found,
                   state->damage.lost, wear->bytes, wear->bytes_asked, wear->syncs, wear->commits);
    wear_keep_status(&agent->wear, &medium, json);
    out_put_format(json, ",\"medium\":{\"size\":%lld,\"cycles\":%lld,\"page\":%lld}}",
                   (long long)m->size, (long long)m->cycles, (long long)m->page);
}

static void put_loop(struct agent *agent, struct out *json)
{
    uint64_t turn = loop_longest_turn_us(agent->setup.loop);
    agent->longest_turn_us = turn > agent->longest_turn_us ? turn : agent->longest_turn_us;
    out_put_format(json, "\"loop\":{\"longest_turn_us\":%" PRIu64 "}", agent->longest_turn_us);
}

/* A stream whose sources have to wait because there is no room for its events. */
static const struct agent_stream *blocked_stream(const struct agent *agent)
{
    for (size_t i = 0; i < agent->setup.config->stream_count; i++) {
        const struct agent_stream *stream = &agent->streams[i];
        const struct stream_state *s = &store_state(agent->store)->streams[stream->number];
        size_t event_size = (size_t)(s->event_count ? s->size / s->event_count : 0) + 1;
        if (stream->config->options.when_full == STREAM_BLOCK &&
            store_is_full(agent->store, stream->number, event_size)) {
            return stream;
        }
    }
    return NULL;
}

/* One that is to go on with another configuration takes what comes. */
static bool is_stopping(const struct agent *agent)
{
    return agent->stage != AGENT_RUNS && !agent->newer;
}

bool agent_ready(const struct agent *agent, struct why *why)
{
    const struct agent_stream *blocked = NULL;
    *why = (struct why){""};
    if (is_stopping(agent)) {
        why_set(why, "stopping: what was taken is being stored and sent");
    } else if (store_trouble(agent->store)[0]) {
        why_set(why, "the buffer: %s", store_trouble(agent->store));
    } else if ((blocked = blocked_stream(agent))) {
        why_set(why,
                "the buffer is full and stream %s is set to block: its sources wait until an "
                "uplink has delivered something; see the faults of uplinks and links, or set "
                "when_full or a larger size_max",
                blocked->name);
    }
    return !why->text[0];
}

struct status_look *agent_look(struct agent *agent)
{
    return &agent->look;
}

static void put_state(struct agent *agent, struct out *json)
{
    char started[CLOCK_TEXT_SIZE];
    struct why why;
    bool is_ready = agent_ready(agent, &why);
    clock_format(agent->started_us, 0, started);
    uint64_t uptime_ms = (clock_monotonic_us() - agent->opened_us) / 1000;
    out_put_format(json,
                   ",\"started\":\"%s\",\"uptime_s\":%" PRIu64 ".%03u,\"state\":\"%s\","
                   "\"ready\":%s,\"why\":",
                   started, uptime_ms / 1000, (unsigned)(uptime_ms % 1000),
                   is_stopping(agent)               ? "stopping"
                   : store_trouble(agent->store)[0] ? "degraded"
                                                    : "running",
                   is_ready ? "true" : "false");
    put_or_null(why.text, json);
    out_put_format(json, ",\"clock\":{\"believed\":%s},",
                   time_trust_is_given(intake_time(agent->intake)) ? "true" : "false");
}

void agent_status(struct agent *agent, struct out *json)
{
    out_put_text(json, "{\"version\":\"" WEIR_VERSION "\",\"agent\":");
    out_put_json(json, slice_of_text(agent->identity));
    put_state(agent, json);
    put_totals(agent, json);
    out_put_text(json, ",\"streams\":");
    agent_streams(agent, json);
    out_put_text(json, ",\"drivers\":");
    intake_status(agent->intake, json);
    out_put_text(json, ",\"uplinks\":");
    forward_status(agent->forward, json);
    out_put_text(json, ",\"links\":");
    links_status(agent->links, json);
    out_put_byte(json, ',');
    put_buffer(agent, json);
    out_put_byte(json, ',');
    put_loop(agent, json);
    out_put_format(json, ",\"memory\":{\"resident\":%" PRIu64 "}}", memory_resident());
}

void agent_status_waiting(const struct config *config, const struct why *why, struct out *json)
{
    char id[128] = "";
    agent_id_put(config, id, sizeof id);
    out_put_text(json, "{\"version\":\"" WEIR_VERSION "\",\"agent\":");
    out_put_json(json, slice_of_text(id));
    out_put_text(json, ",\"state\":\"waiting\",\"ready\":false,\"why\":");
    out_put_json(json, slice_of_text(why->text));
    out_put_byte(json, '}');
}
