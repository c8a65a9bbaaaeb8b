/* Opening: what the configuration says, in order, each part given what it needs. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_impl.h"
#include "agent/control.h"
#include "agent/events.h"
#include "agent/letter.h"
#include "agent/stream_extend.h"
#include "agent/thin.h"
#include "agent/time_trust.h"
#include "ports/lib/zstd.h"
#include "ports/log.h"
#include "ports/names.h"
#include "ports/tickets.h"
#include "ports/zone.h"

/* --- streams --- */

/* weir.dead.STREAM, for those of its uplinks that take dead letters. */
static void open_letter_stream(struct agent *agent, const struct agent_stream *of)
{
    const struct config *config = agent->setup.config;
    struct agent_stream *own = &agent->streams[agent->stream_count++];
    *own = (struct agent_stream){.letter_of = of, .priority = LETTER_PRIORITY};
    (void)snprintf(own->own_name, sizeof own->own_name, LETTER_STREAM_PREFIX "%s",
                   of->name); /* agent_check() has looked */
    own->name = own->own_name;
    for (size_t i = 0; i < config->uplink_count; i++) {
        bool takes = config->uplinks[i].class_->letter && of->uplinks >> i & 1;
        own->uplinks |= takes ? UINT32_C(1) << i : 0;
    }
}

/* The streams of the configuration, behind them weir.events, and those of dead letters. */
static enum err open_streams(struct agent *agent)
{
    const struct config *config = agent->setup.config;
    agent->streams = calloc(config->stream_count * 2 + 1, sizeof *agent->streams);
    if (!agent->streams) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *s = &config->streams[i];
        agent->streams[i] = (struct agent_stream){.config = s,
                                                  .name = s->name,
                                                  .priority = (uint8_t)s->options.priority,
                                                  .uplinks = s->uplinks};
    }
    struct agent_stream *own = &agent->streams[config->stream_count];
    *own = (struct agent_stream){.name = CONFIG_EVENTS_STREAM, .priority = EVENTS_PRIORITY};
    for (size_t i = 0; i < config->uplink_count; i++) {
        own->uplinks |= config->uplinks[i].carries_events ? UINT32_C(1) << i : 0;
    }
    agent->stream_count = config->stream_count + 1;
    for (size_t i = 0; i < config->stream_count; i++) {
        if (config->streams[i].options.dead_letter) {
            open_letter_stream(agent, &agent->streams[i]);
        }
    }
    return ERR_OK;
}

/* --- thinning and the store --- */

static bool is_thinned(const struct agent_stream *stream)
{
    return stream->config && stream->config->options.when_full == STREAM_THIN;
}

static enum err open_thin(struct agent *agent)
{
    bool any = false;
    for (size_t i = 0; i < agent->stream_count; i++) {
        any = any || is_thinned(&agent->streams[i]);
    }
    return any ? thin_open(&agent->thin) : ERR_OK;
}

/* Streams and schemas have numbers now. */
static enum err fill_thin(struct agent *agent)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < agent->stream_count; i++) {
        const struct agent_stream *s = &agent->streams[i];
        if (is_thinned(s)) {
            thin_stream_set(agent->thin, s->number, s->config->options.thin_window_ms * 1000,
                            s->config->options.key);
        }
    }
    for (size_t i = 0; agent->thin && !e && i < agent->schema_count; i++) {
        const struct agent_schema *s = &agent->schemas[i];
        e = thin_schema_add(agent->thin, s->stream, s->info.number, s->info.json);
    }
    return e;
}

static bool clock_is_trusted(void *context)
{
    const struct agent *agent = context;
    return agent->intake && time_trust_is_given(intake_time(agent->intake));
}

static enum err open_store(struct agent *agent)
{
    struct store_setup setup = {.loop = agent->setup.loop,
                                .worker = agent->store_worker,
                                .buffer = agent->buffer,
                                .commit_interval_ms =
                                    agent->setup.config->buffer.commit_interval_ms,
                                .retry_ms = AGENT_RETRY_MS,
                                .read_only = agent->reads_only ? &agent->disk_why : NULL,
                                .clock_is_trusted = clock_is_trusted,
                                .context = agent};
    struct store_handler handler = {.committed = agent_committed, .context = agent};
    enum err e = store_open(&agent->store, &setup);
    return e ? e : store_handler_add(agent->store, &handler);
}

static enum err open_links(struct agent *agent, struct why *why)
{
    struct links_setup setup = {.loop = agent->setup.loop,
                                .store = agent->store,
                                .config = agent->setup.config,
                                .clock_is_trusted = clock_is_trusted,
                                .context = agent};
    enum err e = links_open(&agent->links, &setup, why);
    if (e) {
        return e;
    }
    agent->driver_links = calloc(DRIVER_HOST_MAX, sizeof *agent->driver_links);
    return agent->driver_links ? ERR_OK : ERR_NOMEM;
}

static void driver_link_set(void *context, size_t driver, const struct config_driver *config)
{
    struct agent *agent = context;
    uint8_t link = config ? (uint8_t)config->link_index : 0;
    size_t count = agent->links && config && config->link_index >= 0;
    link_user_release(&agent->driver_links[driver]);
    link_user_init(&agent->driver_links[driver], agent->links, &link, count);
}

static const char *driver_link_interface(void *context, size_t driver)
{
    const struct agent *agent = context;
    return link_user_interface(&agent->driver_links[driver]);
}

static void driver_link_bytes(void *context, size_t driver, uint64_t sent, uint64_t received)
{
    struct agent *agent = context;
    link_user_count(&agent->driver_links[driver], sent, received);
}

static enum err open_letters(struct agent *agent)
{
    bool is_wanted = agent->stream_count > agent->setup.config->stream_count + 1;
    enum err e = is_wanted ? letters_open(&agent->letters, agent->store) : ERR_OK;
    for (size_t i = agent->setup.config->stream_count; !e && i < agent->stream_count; i++) {
        const struct agent_stream *own = &agent->streams[i];
        if (own->letter_of) {
            letters_stream_set(agent->letters, own->letter_of->number, own->number,
                               own->schema_number, own->letter_of->name);
        }
    }
    return e;
}

/* --- forward and intake --- */

static void fill_forward_uplink(const struct agent *agent, size_t index, struct forward_uplink *ret)
{
    const struct config *config = agent->setup.config;
    const struct config_uplink *u = &config->uplinks[index];
    *ret = (struct forward_uplink){.class_ = u->class_,
                                   .options = u->options,
                                   .name = u->name,
                                   .number = buffer_uplink_number(agent->buffer, u->name),
                                   .layout = u->layout,
                                   .by_agent = u->by_agent,
                                   .batch_size_max = u->common.batch_size_max,
                                   .linger_ms = u->common.linger_ms,
                                   .backoff_max_ms = u->common.backoff_max_ms,
                                   .backfill_share = u->common.backfill_share};
    for (size_t s = 0; s < agent->stream_count; s++) {
        ret->stream_set[s] = agent->streams[s].uplinks >> index & 1;
    }
    memcpy(ret->links, u->links, sizeof ret->links);
    ret->link_count = u->link_count;
}

/* Beside the buffer, and encrypted by its key. */
static enum err open_tickets(struct agent *agent)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s.tls", agent->setup.config->buffer.path);
    if (agent->setup.vfs || size < 0 || (size_t)size >= sizeof path) {
        return ERR_OK;
    }
    return tickets_open(&agent->tickets, agent->setup.loop, path,
                        agent->keys.has_key ? agent->keys.key : NULL);
}

/* The dictionary of an uplink, if it has one. */
static enum err open_dictionary(const struct config_uplink *u, struct zstd_dictionary **ret,
                                struct why *why)
{
    enum err e = agent_dictionary_load(u, ret, why);
    if (e) {
        why_add(why, "uplink %s: its dictionary", u->name);
    } else if (*ret) {
        log_info("weir", "uplink %s: batches are packed by dictionary %" PRIu32, u->name,
                 zstd_dictionary_id(*ret));
    }
    return e == ERR_NOMEM || !e ? e : ERR_CONFIG;
}

static enum err open_forward(struct agent *agent, struct why *why)
{
    const struct config *config = agent->setup.config;
    agent->forward_streams = calloc(agent->stream_count, sizeof *agent->forward_streams);
    agent->forward_uplinks = calloc(config->uplink_count, sizeof *agent->forward_uplinks);
    if (!agent->forward_streams || !agent->forward_uplinks) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < agent->stream_count; i++) {
        const struct agent_stream *s = &agent->streams[i];
        agent->forward_streams[i] = (struct forward_stream){
            .info = {.number = s->number, .name = s->name, .priority = s->priority},
            .key_field = s->config      ? s->config->options.key
                         : s->letter_of ? NULL
                                        : "agent",
            .is_own = !s->config};
        if (s->config) {
            agent->forward_streams[i].fresh_first = s->config->options.order == STREAM_FRESH_FIRST;
            agent->forward_streams[i].fresh_after_ms = s->config->options.fresh_after_ms;
        }
        if (s->letter_of) {
            agent->forward_streams[i].info.letter_topic = s->letter_of->config->options.dead_letter;
            agent->forward_streams[i].info.letter_of = s->letter_of->name;
        }
    }
    for (size_t i = 0; i < config->uplink_count; i++) {
        fill_forward_uplink(agent, i, &agent->forward_uplinks[i]);
        enum err e =
            open_dictionary(&config->uplinks[i], &agent->forward_uplinks[i].dictionary, why);
        if (e) {
            return e;
        }
    }
    struct forward_setup setup = {.loop = agent->setup.loop,
                                  .pack = agent->pack_worker,
                                  .store = agent->store,
                                  .letters = agent->letters,
                                  .names = agent->names,
                                  .tickets = agent->tickets,
                                  .links = agent->links,
                                  .agent_id = agent->id,
                                  .streams = agent->forward_streams,
                                  .stream_count = agent->stream_count,
                                  .uplinks = agent->forward_uplinks,
                                  .uplink_count = config->uplink_count};
    enum err e = forward_open(&agent->forward, &setup, why);
    for (size_t i = 0; !e && i < agent->schema_count; i++) {
        e = forward_schema_add(agent->forward, agent->schemas[i].stream, &agent->schemas[i].info);
    }
    return e;
}

static enum err open_intake(struct agent *agent, struct why *why)
{
    const struct config *config = agent->setup.config;
    struct intake_stream *streams = calloc(config->stream_count, sizeof *streams);
    struct intake_driver *drivers = calloc(config->driver_count, sizeof *drivers);
    enum err e = streams && drivers ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; !e && i < config->stream_count; i++) {
        streams[i] = (struct intake_stream){.config = &config->streams[i],
                                            .number = agent->streams[i].number,
                                            .schema = agent->streams[i].schema,
                                            .schema_number = agent->streams[i].schema_number,
                                            .is_raw = agent->streams[i].is_raw};
    }
    for (size_t i = 0; !e && i < config->driver_count; i++) {
        drivers[i].config = &config->drivers[i];
        e = buffer_driver_number(agent->buffer, config->drivers[i].name, &drivers[i].number, why);
    }
    if (!e) {
        struct intake_setup setup = {.clock_needs_discipline = agent->setup.config->agent.clock ==
                                                               AGENT_CLOCK_DISCIPLINED,
                                     .loop = agent->setup.loop,
                                     .names = agent->names,
                                     .store = agent->store,
                                     .letters = agent->letters,
                                     .streams = streams,
                                     .stream_count = config->stream_count,
                                     .drivers = drivers,
                                     .driver_count = config->driver_count,
                                     .owner = agent->setup.config,
                                     .kept = agent->setup.keep ? &agent->setup.keep->drivers : NULL,
                                     .goes_on = agent->setup.keep != NULL,
                                     .agent_id = agent->id,
                                     .extend = stream_extend,
                                     .link_interface = driver_link_interface,
                                     .link_bytes = driver_link_bytes,
                                     .link_set = driver_link_set,
                                     .context = agent,
                                     .event_size_max = config->buffer.event_size_max,
                                     .commit_interval_ms = config->buffer.commit_interval_ms};
        e = intake_open(&agent->intake, &setup, why);
    }
    free(streams);
    free(drivers);
    return e;
}

/* --- weir.events --- */

static void tell_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct agent *agent = context;
    (void)commit;
    (void)changes;
    if (agent->events) {
        events_committed(agent->events);
        agent_schemas_tell(agent);
        schema_last_keep(agent);
    }
}

/* Behind forward, and before intake, whose drivers may fill the next commit at once. */
static enum err open_tell(struct agent *agent)
{
    struct store_handler handler = {.committed = tell_committed, .context = agent};
    return store_handler_add(agent->store, &handler);
}

static const char *uplink_name_of(void *context, uint16_t number)
{
    const struct agent *agent = context;
    for (size_t i = 0; i < agent->setup.config->uplink_count; i++) {
        if (agent->forward_uplinks[i].number == number) {
            return agent->forward_uplinks[i].name;
        }
    }
    return NULL;
}

static bool has_metered(const struct config *config)
{
    bool is_metered = false;
    for (size_t i = 0; i < config->uplink_count; i++) {
        is_metered = is_metered || config->uplinks[i].is_metered;
    }
    return is_metered;
}

static enum err open_events(struct agent *agent)
{
    const struct agent_stream *own = &agent->streams[agent->setup.config->stream_count];
    struct events_setup setup = {.loop = agent->setup.loop,
                                 .store = agent->store,
                                 .time = intake_time(agent->intake),
                                 .stream = own->number,
                                 .schema = own->schema_number,
                                 .agent_id = agent->id,
                                 .commit_interval_ms =
                                     agent->setup.config->buffer.commit_interval_ms,
                                 .is_reload = agent->setup.keep != NULL,
                                 .is_as_before = agent->setup.keep && agent->setup.is_as_before,
                                 .is_metered = has_metered(agent->setup.config),
                                 .measure = agent_measure,
                                 .uplink_name = uplink_name_of,
                                 .context = agent};
    enum err e = events_open(&agent->events, &setup);
    if (!e) {
        agent_schemas_tell(agent);
    }
    return e;
}

static enum err open_control(struct agent *agent, struct why *why)
{
    const struct agent_keep *keep = agent->setup.keep;
    struct control *before = keep ? keep->control : NULL;
    enum err e = control_open(&agent->control, agent, before, keep ? keep->next : NULL, why);
    if (e && agent->reads_only && !before) { /* it stands beside the buffer, as a rule */
        log_warn("weir", "without a control socket: %s", why->text);
        return ERR_OK;
    }
    return e;
}

enum err agent_open_parts(struct agent *agent, struct why *why)
{
    struct loop *loop = agent->setup.loop;
    enum err e = zone_set(agent->setup.config->agent.time_zone, why);
    e = e ? e : worker_open(&agent->store_worker, loop, "store");
    e = e ? e : worker_open(&agent->pack_worker, loop, "pack");
    agent->names = agent->setup.keep ? agent->setup.keep->names : NULL;
    e = e || agent->names ? e : names_open(&agent->names, loop);
    e = e ? e : open_streams(agent);
    e = e ? e : open_thin(agent);
    e = e ? e : agent_open_buffer(agent, why);
    e = e ? e : agent_schemas_open(agent, why);
    e = e ? e : fill_thin(agent);
    e = e ? e : open_store(agent);
    e = e ? e : open_letters(agent);
    if (!e) {
        status_look_init(&agent->look, loop, agent->store_worker, agent->buffer,
                         store_state(agent->store),
                         (size_t)agent->setup.config->buffer.event_size_max);
        schema_last_keep(agent);
    }
    e = e ? e : open_links(agent, why);
    e = e ? e : open_tickets(agent);
    e = e ? e : open_forward(agent, why);
    e = e ? e : open_tell(agent);
    e = e ? e : open_intake(agent, why);
    e = e ? e : open_events(agent);
    e = e ? e
          : wear_keep_init(&agent->wear, loop, agent->store, intake_time(agent->intake),
                           agent->setup.config->buffer.wear_max_per_day, why);
    return e || agent->setup.vfs ? e : open_control(agent, why);
}
