#include "agent/intake.h"

#include <assert.h>
#include <inttypes.h>
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
        struct driver_host *host = &intake->hosts[i];
        if (host->refused && host->driver) {
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
        driver_host_committed(&intake->hosts[i], commit);
    }
    intake_resume(intake);
}

static void intake_settle(struct timer *timer)
{
    struct intake *intake = CONTAINER_OF(timer, struct intake, settle);
    for (size_t i = 0; i < intake->host_count; i++) {
        driver_host_committed(&intake->hosts[i], store_committed(intake->setup.store));
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

static enum err driver_host_open(struct intake *intake, size_t index, struct why *why)
{
    struct driver_host *host = &intake->hosts[index];
    *host = (struct driver_host){.intake = intake,
                                 .config = intake->setup.drivers[index].config,
                                 .number = intake->setup.drivers[index].number};
    enum err e = driver_host_routes(host);
    if (!e) {
        struct driver_setup setup = {.host = host,
                                     .loop = intake->setup.loop,
                                     .names = intake->setup.names,
                                     .agent_id = intake->setup.agent_id,
                                     .options = host->config->options};
        e = host->config->class_->open(&host->driver, &setup, why);
    }
    if (!e && host->unread) {
        e = host->unread;
        why_set(why, "its cursors can't be read: %s",
                buffer_disk_trouble(store_buffer(intake->setup.store)));
    }
    if (e) {
        why_add(why, "driver %s", host->config->name);
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
    intake->hosts = calloc(setup->driver_count, sizeof *intake->hosts);
    intake->datum = out_over(malloc(room), room);
    intake->texts = out_over(malloc(TEMPLATE_SIZE_MAX * 4), TEMPLATE_SIZE_MAX * 4);
    intake->aside_head = out_over(malloc(ASIDE_HEAD_SIZE_MAX), ASIDE_HEAD_SIZE_MAX);
    timer_init(&intake->settle, setup->loop, intake_settle);
    enum err e = intake->streams && intake->lossy && intake->hosts && intake->datum.data &&
                         intake->texts.data && intake->aside_head.data
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
    for (size_t i = 0; !e && i < setup->driver_count; i++) {
        intake->host_count = i + 1;
        e = driver_host_open(intake, i, why);
    }
    if (e) {
        intake_close(intake);
        return e;
    }
    *ret = intake;
    return ERR_OK;
}

void intake_stop(struct intake *intake)
{
    intake->stopped = true;
    for (size_t i = 0; i < intake->host_count; i++) {
        intake->hosts[i].driver->class_->stop(intake->hosts[i].driver);
    }
}

void intake_close(struct intake *intake)
{
    if (!intake) {
        return;
    }
    assert(intake->hosts || intake->host_count == 0);
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = &intake->hosts[i];
        if (host->driver) {
            host->driver->class_->close(host->driver);
        }
        free(host->routes);
    }
    for (size_t i = 0; intake->lossy && i < intake->setup.stream_count; i++) {
        lossy_close(intake->lossy[i]);
    }
    timer_release(&intake->settle);
    time_trust_release(&intake->trust);
    mapper_close(intake->mapper);
    free(intake->datum.data);
    free(intake->texts.data);
    free(intake->aside_head.data);
    free(intake->streams);
    free(intake->lossy);
    free(intake->hosts);
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

void intake_totals(const struct intake *intake, struct intake_totals *ret)
{
    *ret = (struct intake_totals){0};
    for (size_t i = 0; i < intake->host_count; i++) {
        ret->admitted += intake->hosts[i].received;
        ret->stored += intake->hosts[i].stored;
        ret->dropped += intake->hosts[i].dropped;
        ret->aside += intake->hosts[i].aside;
        ret->suppressed += intake->hosts[i].suppressed;
        ret->refused += intake->hosts[i].refused_count;
    }
}

void intake_status(const struct intake *intake, struct out *json)
{
    out_put_byte(json, '{');
    for (size_t i = 0; i < intake->host_count; i++) {
        out_put_text(json, i ? "," : "");
        driver_host_status(&intake->hosts[i], json);
    }
    out_put_byte(json, '}');
}
