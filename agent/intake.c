#include "agent/intake.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intake_impl.h"
#include "agent/letter.h"

#define TEMPLATE_SIZE_MAX 4096

/* --- after a commit --- */

void intake_resume(struct intake *intake)
{
    if (intake->resuming || intake->stopped) {
        return;
    }
    intake->resuming = true; /* a driver may offer within resume(), and that may commit */
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        bool is_on = host && host->driver && host->stage == DRIVER_WORKS;
        if (is_on && host->refused) {
            host->refused = false;
            host->driver->class_->resume(host->driver);
        }
    }
    intake->resuming = false;
}

static void intake_committed(void *context, uint64_t commit, const struct buffer_changes *changes)
{
    struct intake *intake = context;
    (void)changes;
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i]) {
            driver_host_committed(intake->hosts[i], commit);
        }
    }
    intake_resume(intake);
}

static void intake_settle(struct timer *timer)
{
    struct intake *intake = CONTAINER_OF(timer, struct intake, settle);
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i]) {
            driver_host_committed(intake->hosts[i], store_committed(intake->setup.store));
        }
    }
    if (intake->setup.kept) { /* they had to wait */
        intake_resume(intake);
    }
}

static void intake_trouble(void *context, const struct why *why)
{
    if (!why) {
        struct intake *intake = context;
        intake_committed(context, store_committed(intake->setup.store),
                         store_state(intake->setup.store));
    }
}

/* --- opening and closing --- */

void driver_host_close_driver(struct driver_host *host)
{
    if (host->driver) {
        host->driver->class_->close(host->driver);
        host->driver = NULL;
    }
}

void driver_host_end_life(struct driver_host *host)
{
    driver_host_close_driver(host);
    host->ticket = 0;
    host->cursor_commit = 0;
    host->refused = false;
}

struct driver_host *driver_host_find(const struct intake *intake, const char *name)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i] && strcmp(intake->hosts[i]->config->name, name) == 0) {
            return intake->hosts[i];
        }
    }
    return NULL;
}

void driver_host_free(struct driver_host *host)
{
    driver_host_close_driver(host);
    if (host->intake) {
        host->intake->hosts[host->index] = NULL;
    }
    timer_release(&host->timer);
    config_close(host->owner);
    config_close(host->next_owner);
    free(host->cursors.data);
    free(host->routes);
    free(host);
}

/* In a free place. */
static enum err host_put(struct intake *intake, struct driver_host *host)
{
    size_t index = 0;
    while (index < DRIVER_HOST_MAX && intake->hosts[index]) {
        index++;
    }
    if (index == DRIVER_HOST_MAX) {
        return ERR_FULL;
    }
    intake->host_count = index < intake->host_count ? intake->host_count : index + 1;
    intake->hosts[index] = host;
    host->intake = intake;
    host->index = index;
    return ERR_OK;
}

enum err driver_host_make(struct intake *intake, const struct config_driver *config,
                          struct config *owner)
{
    struct driver_host *host = calloc(1, sizeof *host);
    enum err e = host ? host_put(intake, host) : ERR_NOMEM;
    if (e) {
        free(host);
        return e;
    }
    host->config = config;
    host->owner = owner;
    if (owner) {
        config_hold(owner);
    }
    (void)snprintf(host->agent_id, sizeof host->agent_id, "%s", intake->setup.agent_id);
    timer_init(&host->timer, intake->setup.loop, driver_host_timer_fired);
    return ERR_OK;
}

enum err driver_host_open(struct driver_host *host, struct why *why)
{
    const struct intake *intake = host->intake;
    enum err e = driver_host_routes(host);
    if (!e) {
        struct driver_setup setup = {.host = host,
                                     .loop = intake->setup.loop,
                                     .names = intake->setup.names,
                                     .agent_id = host->agent_id,
                                     .options = host->config->options};
        e = host->config->class_->open(&host->driver, &setup, why);
    }
    if (!e && host->unread) {
        e = host->unread;
        why_set(why, "its cursors can't be read: %s",
                buffer_disk_trouble(store_buffer(intake->setup.store)));
    }
    if (e) {
        driver_host_close_driver(host);
    }
    return e;
}

static bool host_is(const struct driver_host *host, const struct config_driver *driver)
{
    return host->config->digest == driver->digest && strcmp(host->config->name, driver->name) == 0;
}

/* The driver of before, if it is the same. */
static bool host_take_over(struct intake *intake, const struct intake_driver *driver)
{
    struct intake_kept *kept = intake->setup.kept;
    for (size_t i = 0; kept && i < kept->count; i++) {
        struct driver_host *host = kept->hosts[i];
        if (!host_is(host, driver->config) || host_put(intake, host)) {
            continue;
        }
        kept->hosts[i] = kept->hosts[--kept->count];
        host->number = driver->number;
        host->is_kept = true;
        return true;
    }
    return false;
}

/* A driver of before that is another now, or none any more, ends before one opens that may want its port,
 * its file or its client's name. */
static void kept_close_others(struct intake_kept *kept, const struct intake_setup *setup)
{
    for (size_t i = kept->count; i-- > 0;) {
        struct driver_host *host = kept->hosts[i];
        bool is_wanted = false;
        for (size_t k = 0; k < setup->driver_count && !is_wanted; k++) {
            is_wanted = host_is(host, setup->drivers[k].config);
        }
        if (!is_wanted) {
            kept->hosts[i] = kept->hosts[--kept->count];
            driver_host_free(host);
        }
    }
}

static enum err host_begin(struct intake *intake, const struct intake_driver *driver,
                           struct why *why)
{
    bool is_kept = host_take_over(intake, driver);
    enum err e = is_kept ? ERR_OK : driver_host_make(intake, driver->config, intake->setup.owner);
    if (e) {
        return e;
    }
    struct driver_host *host = driver_host_find(intake, driver->config->name);
    assert(host);
    host->number = driver->number;
    if (intake->setup.link_set) {
        intake->setup.link_set(intake->setup.context, host->index, driver->config);
    }
    e = is_kept ? driver_host_routes(host) : driver_host_open(host, why);
    if (e && !host->unread && intake->setup.goes_on) {
        driver_host_end_life(host); /* one that was kept: it works no more without routes */
        driver_host_wait(host, why);
        e = ERR_OK;
    }
    if (e) {
        why_add(why, "driver %s", driver->config->name);
    }
    return e;
}

enum err intake_open(struct intake **ret, const struct intake_setup *setup, struct why *why)
{
    struct intake *intake = calloc(1, sizeof *intake);
    if (!intake) {
        return ERR_NOMEM;
    }
    size_t room = (size_t)setup->event_size_max * 2 + 65536;
    intake->setup = *setup;
    intake->streams = calloc(setup->stream_count, sizeof *intake->streams);
    intake->lossy = calloc(setup->stream_count, sizeof(struct lossy *));
    intake->datum = out_over(malloc(room), room);
    intake->texts = out_over(malloc(TEMPLATE_SIZE_MAX * 4), TEMPLATE_SIZE_MAX * 4);
    intake->aside_head = out_over(malloc(ASIDE_HEAD_SIZE_MAX), ASIDE_HEAD_SIZE_MAX);
    timer_init(&intake->settle, setup->loop, intake_settle);
    timer_init(&intake->changed, setup->loop, intake_changed_fired);
    enum err e = intake->streams && intake->lossy && intake->datum.data && intake->texts.data &&
                         intake->aside_head.data
                     ? mapper_open(&intake->mapper)
                     : ERR_NOMEM;
    if (!e) {
        struct store_handler handler = {
            .committed = intake_committed, .trouble = intake_trouble, .context = intake};
        memcpy(intake->streams, setup->streams, setup->stream_count * sizeof *intake->streams);
        e = time_trust_init(&intake->trust, setup->loop, setup->store,
                            setup->clock_needs_discipline, why);
        if (setup->letters) {
            letters_time_set(setup->letters, &intake->trust);
        }
        e = e ? e : store_handler_add(setup->store, &handler);
    }
    for (size_t i = 0; !e && i < setup->stream_count; i++) {
        e = lossy_open(&intake->lossy[i], setup->streams[i].config);
        if (!e && intake->lossy[i]) {
            lossy_schema_set(intake->lossy[i], setup->streams[i].schema);
        }
    }
    if (!e && setup->kept) {
        kept_close_others(setup->kept, setup);
    }
    for (size_t i = 0; !e && i < setup->driver_count; i++) {
        e = host_begin(intake, &setup->drivers[i], why);
    }
    if (e) {
        if (setup->kept) {
            intake_give_back(intake, setup->kept);
        }
        intake_close(intake);
        return e;
    }
    if (setup->kept) {
        timer_arm(&intake->settle, 0);
    }
    *ret = intake;
    return ERR_OK;
}

void intake_stop(struct intake *intake)
{
    intake->stopped = true;
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && host->driver && host->stage != DRIVER_STOPS) {
            host->driver->class_->stop(host->driver);
        }
    }
}

static bool is_same(const struct driver_host *host, const struct config *newer)
{
    const struct config_driver *driver = config_driver_find(newer, host->config->name);
    return driver && driver->digest == host->config->digest && host->driver &&
           host->stage == DRIVER_WORKS;
}

void intake_pause(struct intake *intake, const struct config *newer)
{
    intake->stopped = true;
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && host->driver && host->stage == DRIVER_WORKS && !is_same(host, newer)) {
            host->stage = DRIVER_STOPS; /* for good: the next intake opens it */
            host->driver->class_->stop(host->driver);
        }
    }
}

static void host_take_out(struct driver_host *host, struct intake_kept *kept)
{
    assert(kept->count < ARRAY_COUNT(kept->hosts) && host->stage == DRIVER_WORKS);
    timer_disarm(&host->timer);
    kept->hosts[kept->count++] = host;
    host->intake->hosts[host->index] = NULL;
    host->intake = NULL;
    host->cursor_commit = 0;       /* it is stored, and the next store counts anew */
    driver_host_routes_drop(host); /* of its streams there may be others */
}

void intake_keep(struct intake *intake, const struct config *newer, struct intake_kept *kept)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && is_same(host, newer) && driver_host_is_quiet(host)) {
            host_take_out(host, kept);
        }
    }
}

void intake_give_back(struct intake *intake, struct intake_kept *kept)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && host->is_kept && host->driver && host->stage == DRIVER_WORKS) {
            host_take_out(host, kept);
        }
    }
}

void intake_kept_close(struct intake_kept *kept)
{
    while (kept->count > 0) {
        driver_host_free(kept->hosts[--kept->count]);
    }
}

void intake_abandon(struct intake *intake)
{
    if (intake) {
        intake->closing = true;
    }
}

void intake_close(struct intake *intake)
{
    if (!intake) {
        return;
    }
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i]) {
            driver_host_free(intake->hosts[i]);
        }
    }
    intake_end_change(intake);
    for (size_t i = 0; intake->lossy && i < intake->setup.stream_count; i++) {
        lossy_close(intake->lossy[i]);
    }
    timer_release(&intake->settle);
    timer_release(&intake->changed);
    time_trust_release(&intake->trust);
    mapper_close(intake->mapper);
    free(intake->datum.data);
    free(intake->texts.data);
    free(intake->aside_head.data);
    free(intake->streams);
    free(intake->lossy);
    free(intake);
}

void intake_schema_set(struct intake *intake, size_t index, const struct avro_schema *schema,
                       uint32_t number, bool is_raw)
{
    assert(index < intake->setup.stream_count && schema && number > 0);
    struct intake_stream *stream = &intake->streams[index];
    stream->schema = schema;
    stream->schema_number = number;
    stream->is_raw = is_raw;
    if (intake->lossy[index]) {
        lossy_schema_set(intake->lossy[index], schema);
    }
}

/* --- status --- */

struct time_source *intake_time(struct intake *intake)
{
    return &intake->trust;
}

const char *intake_aside_reason(const struct intake *intake)
{
    return intake->last_reason.text;
}

uint64_t intake_suppressed(const struct intake *intake, size_t index)
{
    assert(index < intake->setup.stream_count);
    return intake->lossy[index] ? intake->lossy[index]->suppressed : 0;
}

void driver_host_add_totals(const struct driver_host *host, struct intake_totals *ret)
{
    ret->admitted += host->received;
    ret->stored += host->stored;
    ret->dropped += host->dropped;
    ret->aside += host->aside;
    ret->suppressed += host->suppressed;
    ret->refused += host->refused_count;
}

void intake_totals(const struct intake *intake, struct intake_totals *ret)
{
    *ret = intake->gone;
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i]) {
            driver_host_add_totals(intake->hosts[i], ret);
        }
    }
}

void intake_status(const struct intake *intake, struct out *json)
{
    const char *comma = "";
    out_put_byte(json, '{');
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i]) {
            out_put_text(json, comma);
            driver_host_status(intake->hosts[i], json);
            comma = ",";
        }
    }
    out_put_byte(json, '}');
}
