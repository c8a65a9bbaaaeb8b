#include "agent/agent.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "agent/events.h"
#include "agent/letter.h"
#include "agent/stream_extend.h"
#include "agent/thin.h"
#include "ports/clock.h"
#include "ports/lib/zstd.h"
#include "ports/log.h"
#include "ports/names.h"
#include "ports/tickets.h"
#include "uplink/avro/schema.h"

#define STOP_STORE_MS 6000 /* for each of two commits, a second try included */

struct slice agent_schema(const struct agent *agent, uint32_t schema)
{
    for (size_t i = 0; i < agent->schema_count; i++) {
        if (agent->schemas[i].info.number == schema) {
            return agent->schemas[i].info.json;
        }
    }
    return (struct slice){NULL, 0};
}

uint16_t agent_schema_stream(const struct agent *agent, uint32_t schema)
{
    for (size_t i = 0; i < agent->schema_count; i++) {
        if (agent->schemas[i].info.number == schema) {
            return agent->schemas[i].stream;
        }
    }
    return 0;
}

int64_t agent_event_size_max(const struct agent *agent)
{
    return agent->setup.config->buffer.event_size_max;
}

const struct agent_setup *agent_setup_of(const struct agent *agent)
{
    return &agent->setup;
}

const char *agent_identity(const struct agent *agent)
{
    return agent->identity;
}

struct intake *agent_intake(struct agent *agent)
{
    return agent->intake;
}

struct store *agent_store(struct agent *agent)
{
    return agent->store;
}

/* --- opening --- */

static void stop_timer_fired(struct timer *timer);
static void stop_limit_fired(struct timer *timer);

void agent_id_put(const struct config *config, char *ret, size_t size)
{
    const char *id = config->agent.id;
    if (id) {
        (void)snprintf(ret, size, "%s", id); /* config bounds it */
    } else if (gethostname(ret, size - 1) || !ret[0]) {
        (void)snprintf(ret, size, "weir");
    }
}

/* Was it the disk of the buffer? With the buffer open it knows; before, nothing else is opened that
 * could have failed so. */
static bool may_wait(const struct agent *agent, enum err e, struct why *why)
{
    const char *trouble = agent->buffer ? buffer_disk_trouble(agent->buffer) : "";
    if (e != ERR_NOSPACE && e != ERR_READONLY && e != ERR_IO) {
        return false;
    }
    if (!why->text[0]) {
        why_set(why, "%s", trouble);
    }
    return agent->opens_buffer || agent->reads_only || trouble[0];
}

enum err agent_open(struct agent **ret, const struct agent_setup *setup, struct why *why)
{
    struct agent *agent = calloc(1, sizeof *agent);
    if (!agent) {
        return ERR_NOMEM;
    }
    agent->setup = *setup;
    config_hold(setup->config);
    agent->started_us = clock_wall_us();
    agent->opened_us = clock_monotonic_us();
    timer_init(&agent->stop_timer, setup->loop, stop_timer_fired);
    timer_init(&agent->stop_limit, setup->loop, stop_limit_fired);
    agent_id_put(agent->setup.config, agent->id, sizeof agent->id);
    enum err e = agent_open_parts(agent, why);
    /* What is damaged is replaced once the disk can be written again. */
    e = e == ERR_CORRUPT && agent->reads_only ? ERR_READONLY : e;
    if (e) {
        bool waits = may_wait(agent, e, why);
        if (!why->text[0]) {
            why_set(why, "can't start: %s", err_name(e));
        }
        if (setup->ret_may_wait) {
            *setup->ret_may_wait = waits;
        }
        agent_close(agent);
        return e;
    }
    log_info("weir", "agent %s, %zu streams, %zu drivers, %zu uplinks, buffer %s", agent->identity,
             setup->config->stream_count, setup->config->driver_count, setup->config->uplink_count,
             setup->config->buffer.path);
    if (agent->setup.keep) {
        agent->setup.keep->names = NULL;
        agent->setup.keep->control = agent->setup.keep->next = NULL; /* taken over, or closed */
        agent->setup.keep = NULL;
    }
    *ret = agent;
    return ERR_OK;
}

/* --- stopping: sources, their commit, what is being sent, the last commit --- */

static void agent_next_stage(struct agent *agent);

static void sending_finished(void *context)
{
    struct agent *agent = context;
    if (agent->stage == AGENT_ENDED) {
        return; /* stop_limit */
    }
    agent->stage = AGENT_STORES_LAST;
    if (agent->newer) {
        intake_pause(agent->intake, agent->newer);
    } else {
        events_stop(agent->events);
    }
    wear_keep_stop(&agent->wear);
    links_stop(agent->links);
    store_commit_now(agent->store);
    agent_next_stage(agent);
}

static void agent_next_stage(struct agent *agent)
{
    if (agent->stage == AGENT_STORES && store_committed(agent->store) >= agent->stop_after) {
        int64_t grace_ms = agent->setup.config->agent.stop_grace_ms;
        agent->stage = AGENT_SENDS;
        if (agent->newer) {
            timer_arm(&agent->stop_limit, (uint64_t)grace_ms + STOP_STORE_MS);
        }
        forward_stop(agent->forward, grace_ms, sending_finished, agent);
    } else if (agent->stage == AGENT_STORES_LAST && store_is_idle(agent->store)) {
        agent->stage = AGENT_ENDED;
        timer_arm(&agent->stop_timer, 0);
    }
}

void agent_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct agent *agent = context;
    (void)commit;
    (void)changes;
    if (agent->stage == AGENT_STORES || agent->stage == AGENT_STORES_LAST) {
        timer_arm(&agent->stop_timer, 0); /* when all parts have heard of this commit */
    }
}

static void stop_timer_fired(struct timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, stop_timer);
    if (agent->stage == AGENT_ENDED && agent->newer) {
        agent->paused(agent->finished_context, NULL);
        return;
    }
    if (agent->stage == AGENT_ENDED) {
        agent->finished(agent->finished_context);
        return;
    }
    store_commit_now(agent->store);
    agent_next_stage(agent);
}

static const char *trouble_of(const struct agent *agent)
{
    const char *trouble = store_trouble(agent->store);
    return trouble[0] ? trouble : "the disk is too slow";
}

/* Nothing was stopped yet. */
static void pause_late(struct agent *agent)
{
    struct why why;
    why_set(&why, "what was taken can't be stored now: %s", trouble_of(agent));
    agent->stage = AGENT_RUNS;
    agent->newer = NULL;
    timer_disarm(&agent->stop_timer);
    agent->paused(agent->finished_context, &why);
}

static void stop_limit_fired(struct timer *timer)
{
    struct agent *agent = CONTAINER_OF(timer, struct agent, stop_limit);
    if (agent->newer && agent->stage == AGENT_STORES) {
        pause_late(agent);
        return;
    }
    if (agent->stage != AGENT_ENDED) {
        log_warn("weir", "what is not stored by now is told to its sources as lost: %s",
                 trouble_of(agent));
        agent->stage = AGENT_ENDED;
        timer_arm(&agent->stop_timer, 0);
    }
}

/* What is being sent has had its time, or has some left; one commit more carries the rest. */
static void stop_paused(struct agent *agent)
{
    intake_stop(agent->intake);
    if (agent->stage == AGENT_SENDS) {
        store_commit_now(agent->store);
        return; /* sending_finished() goes on */
    }
    events_stop(agent->events);
    agent->stage = AGENT_STORES_LAST;
    timer_arm(&agent->stop_limit, STOP_STORE_MS);
    timer_arm(&agent->stop_timer, 0);
}

void agent_stop(struct agent *agent, void (*finished)(void *context), void *context)
{
    assert(agent->stage == AGENT_RUNS || agent->newer);
    agent->finished = finished;
    agent->finished_context = context;
    bool pauses = agent->newer && agent->stage != AGENT_STORES;
    agent->newer = NULL;
    if (pauses) {
        stop_paused(agent);
        return;
    }
    agent->stage = AGENT_STORES;
    intake_stop(agent->intake);
    agent->stop_after = store_last_put(agent->store);
    timer_arm(&agent->stop_timer, 0);
    timer_arm(&agent->stop_limit,
              (uint64_t)agent->setup.config->agent.stop_grace_ms + 2 * STOP_STORE_MS);
}

void agent_pause(struct agent *agent, const struct config *newer,
                 void (*finished)(void *context, const struct why *late), void *context)
{
    assert(agent->stage == AGENT_RUNS && !agent->reload);
    agent->paused = finished;
    agent->finished_context = context;
    agent->newer = newer;
    agent->stage = AGENT_STORES;
    agent->stop_after = store_last_put(agent->store);
    timer_arm(&agent->stop_timer, 0);
    timer_arm(&agent->stop_limit, STOP_STORE_MS);
}

static void close_workers(struct agent *agent)
{
    agent->stage = AGENT_ENDED; /* what the workers still finish arms no timer */
    timer_release(&agent->stop_timer);
    timer_release(&agent->stop_limit);
    if (agent->wear.store) {
        wear_keep_release(&agent->wear);
    }
    forward_abandon(agent->forward);
    intake_abandon(agent->intake);
    worker_close(agent->pack_worker);
    worker_close(agent->store_worker);
}

/* What goes on: in one that was open with `newer`, else what it could not be opened with. */
static void give_keep(struct agent *agent, struct agent_keep *keep, const struct config *newer)
{
    keep->names = agent->names ? agent->names : keep->names;
    agent->names = NULL;
    if (agent->control) {
        control_keep(agent->control);
        keep->control = agent->control;
        agent->control = NULL;
    }
    if (newer) {
        intake_keep(agent->intake, newer, &keep->drivers);
    } else if (agent->intake) {
        intake_give_back(agent->intake, &keep->drivers);
    }
}

static void close_parts(struct agent *agent, struct agent_keep *keep, const struct config *newer)
{
    intake_end_change(agent->intake);
    assert(!agent->reload); /* it ends with the store worker's jobs, and with that */
    if (keep) {
        give_keep(agent, keep, newer);
    }
    control_close(agent->control);
    status_look_release(&agent->look); /* whoever waited for it at the control socket is gone */
    events_close(agent->events);
    intake_close(agent->intake);
    agent->intake = NULL; /* what connections count when they are closed asks for the time */
    forward_close(agent->forward);
    tickets_close(agent->tickets);
    for (size_t i = 0; agent->driver_links && i < DRIVER_HOST_MAX; i++) {
        link_user_release(&agent->driver_links[i]);
    }
    free(agent->driver_links);
    links_close(agent->links);
    letters_close(agent->letters);
    names_close(agent->names);
    if (agent->store) {
        store_close(agent->store);
    } else {
        buffer_close(agent->buffer);
    }
    for (size_t i = 0; i < agent->stream_count && agent->streams; i++) {
        avro_schema_close(agent->streams[i].schema);
        free(agent->streams[i].refusal);
        stream_extend_close(agent->streams[i].extension);
    }
    for (size_t i = 0; i < agent->schema_count; i++) {
        free((void *)(uintptr_t)agent->schemas[i].info.json.data);
    }
    thin_close(agent->thin);
    free(agent->streams);
    free(agent->schemas);
    free(agent->forward_streams);
    for (size_t i = 0; agent->forward_uplinks && i < agent->setup.config->uplink_count; i++) {
        zstd_dictionary_close(agent->forward_uplinks[i].dictionary);
    }
    free(agent->forward_uplinks);
    keys_wipe(&agent->keys);
    config_close(agent->setup.config);
    free(agent);
}

void agent_close(struct agent *agent)
{
    if (agent) {
        close_workers(agent);
        close_parts(agent, agent->setup.keep, NULL);
    }
}

void agent_close_for_another(struct agent *agent, struct carry **ret)
{
    close_workers(agent);
    if (carry_take(ret, agent->buffer)) {
        log_warn("buffer", "no memory: what was sent while it could not be written is sent again");
    }
    close_parts(agent, NULL, NULL);
}

void agent_close_for_newer(struct agent *agent, const struct config *newer, struct carry **ret,
                           struct agent_keep *keep)
{
    close_workers(agent);
    if (carry_take(ret, agent->buffer)) {
        log_warn("buffer", "no memory: what was sent while it could not be written is sent again");
    }
    close_parts(agent, keep, newer);
}
