/* Opening the buffer: what the configuration says of it, and what is done when its disk, or who has
 * it open, stands against it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/events.h"
#include "agent/thin.h"
#include "ports/clock.h"
#include "ports/file.h"
#include "ports/log.h"

#define LOCKED_MS 10000 /* so long a buffer in use is waited for */
#define LOCKED_TOLD_MS 1000
#define LOCKED_PAUSE_MS 100
#define ROOM_TO_OPEN (4 * 1024 * 1024) /* the log, and some pages */

static struct buffer_stream own_buffer_stream(const struct agent *agent,
                                              const struct agent_stream *stream)
{
    int64_t share = agent->setup.config->buffer.size_max / 1000000 * EVENTS_SHARE_MIN;
    return (struct buffer_stream){.name = stream->name,
                                  .priority = stream->priority,
                                  .when_full = FULL_DROP_OLDEST,
                                  .share_min = stream->letter_of ? 0 : EVENTS_SHARE_MIN,
                                  .size_max = share < EVENTS_SIZE_MAX ? share : EVENTS_SIZE_MAX,
                                  .uplinks = stream->uplinks};
}

static void fill_buffer_setup(const struct agent *agent, struct buffer_setup *b)
{
    const struct config *config = agent->setup.config;
    b->path = config->buffer.path;
    b->vfs = agent->setup.vfs;
    b->agent_id = agent->id;
    b->machine = agent->setup.machine;
    b->size_max = config->buffer.size_max;
    b->event_size_max = config->buffer.event_size_max;
    b->keep_damaged = config->buffer.keep_damaged;
    b->room = agent->setup.room;
    b->ret_joined = agent->setup.ret_joined;
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        b->streams[i] = (struct buffer_stream){.name = s->name,
                                               .renamed_from = s->options.renamed_from,
                                               .priority = (uint8_t)s->options.priority,
                                               .when_full = (uint8_t)s->options.when_full,
                                               .share_min = s->options.share_min,
                                               .age_max_us = s->options.age_max_ms * 1000,
                                               .uplinks = s->uplinks};
    }
    for (size_t i = config->stream_count; i < agent->stream_count; i++) {
        b->streams[i] = own_buffer_stream(agent, &agent->streams[i]);
    }
    b->stream_count = agent->stream_count;
    for (size_t i = 0; i < config->uplink_count; i++) {
        const struct config_uplink *u = &config->uplinks[i];
        b->uplinks[i] = (struct buffer_uplink){.name = u->name,
                                               .renamed_from = u->common.renamed_from,
                                               .from_oldest = u->common.from == UPLINK_FROM_OLDEST,
                                               .hold_max = u->common.hold_max};
    }
    b->uplink_count = config->uplink_count;
    if (agent->thin) {
        b->thinner = thin_thinner(agent->thin);
    }
}

/* A command that reads the file has it locked until it is through: that passes. Another agent does
 * not go. */
static enum err open_when_free(struct agent *agent, const struct buffer_setup *setup,
                               struct why *why)
{
    uint64_t since_ms = clock_monotonic_ms();
    bool is_told = false;
    enum err e = buffer_open(&agent->buffer, setup, why);
    for (uint64_t waited_ms = 0; e == ERR_FULL && waited_ms < LOCKED_MS;
         waited_ms = clock_monotonic_ms() - since_ms) {
        if (!is_told && waited_ms >= LOCKED_TOLD_MS) {
            is_told = true;
            log_warn("buffer", "%s Waiting for it, %d s at most", why->text, LOCKED_MS / 1000);
        }
        clock_pause(LOCKED_PAUSE_MS);
        e = buffer_open(&agent->buffer, setup, why);
    }
    return e;
}

static enum err make_folder(const char *path, struct why *why)
{
    char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", path); /* longer: opening says so */
    char *slash = strrchr(folder, '/');
    if (!slash || slash == folder) {
        return ERR_OK;
    }
    *slash = 0;
    return file_make_folders(folder, why);
}

static bool is_of_disk(enum err e)
{
    return e == ERR_NOSPACE || e == ERR_READONLY || e == ERR_IO;
}

/* What is there can perhaps be read. Only with what it knows already: every stream and uplink. */
static bool open_to_read(struct agent *agent, struct buffer_setup *setup)
{
    struct why why = {""};
    bool knows = true;
    setup->read_only = true;
    if (buffer_open(&agent->buffer, setup, &why)) {
        agent->buffer = NULL;
        return false;
    }
    for (size_t i = 0; i < setup->stream_count; i++) {
        knows = knows && buffer_stream_number(agent->buffer, setup->streams[i].name) > 0;
    }
    for (size_t i = 0; i < setup->uplink_count; i++) {
        knows = knows && buffer_uplink_number(agent->buffer, setup->uplinks[i].name) > 0;
    }
    if (!knows) {
        buffer_close(agent->buffer);
        agent->buffer = NULL;
    }
    return knows;
}

/* What the agent before this one knew alone. Without it some events are sent again. */
static enum err take_carry(struct agent *agent, struct why *why)
{
    enum err e = agent->setup.carry
                     ? carry_give(agent->setup.carry, agent->buffer, agent->reads_only, why)
                     : ERR_OK;
    if (e && !is_of_disk(e)) {
        log_warn("buffer", "what was delivered without it is not known to it: %s", why->text);
        e = ERR_OK;
    }
    return e;
}

enum err agent_open_buffer(struct agent *agent, struct why *why)
{
    struct buffer_setup *setup = calloc(1, sizeof *setup);
    if (!setup) {
        return ERR_NOMEM;
    }
    fill_buffer_setup(agent, setup);
    agent->opens_buffer = true;
    keys_of_config(&agent->keys, agent->setup.config);
    keys_lend(&agent->keys, setup);
    enum err e = agent->setup.vfs ? ERR_OK : make_folder(setup->path, why);
    e = e ? e : open_when_free(agent, setup, why);
    if (is_of_disk(e) && open_to_read(agent, setup)) {
        agent->reads_only = true;
        agent->disk_why = *why;
        log_error("buffer", "%s; what is stored is sent, sources have to wait", why->text);
        e = ERR_OK;
    }
    e = e ? e : take_carry(agent, why);
    if (!e) {
        agent->place_is_known =
            !agent->setup.vfs && file_place_of(setup->path, &agent->place) == ERR_OK;
        (void)snprintf(agent->identity, sizeof agent->identity, "%s/%08" PRIx32, agent->id,
                       buffer_incarnation(agent->buffer));
        agent->opens_buffer = false;
    }
    free(setup);
    if (!e && buffer_incarnation_before(agent->buffer)) {
        log_warn(
            "buffer",
            "%s was used on another machine: events from now on have the incarnation %08" PRIx32
            " instead of %08" PRIx32 ", what is stored keeps it. If the other one still runs "
            "with its copy, what both hold comes from both, each event under one name",
            agent->setup.config->buffer.path, buffer_incarnation(agent->buffer),
            buffer_incarnation_before(agent->buffer));
    }
    return e;
}

bool agent_wants_another(const struct agent *agent)
{
    const char *path = agent->setup.config->buffer.path;
    struct file_place place;
    if (!agent->place_is_known || agent->stage != AGENT_RUNS || !store_trouble(agent->store)[0] ||
        file_place_of(path, &place)) {
        return false;
    }
    if (place.device != agent->place.device || place.number != agent->place.number) {
        return true;
    }
    return agent->reads_only && file_may_write(path, ROOM_TO_OPEN);
}
