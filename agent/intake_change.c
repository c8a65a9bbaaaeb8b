/* Drivers that become others while the agent runs: each is closed in order (it stops, what it has
 * offered is stored and told), what it left in the buffer is read on the store worker, and it is
 * opened as it is now. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intake_impl.h"
#include "ports/log.h"

#define STOP_MS 6000  /* for a commit, and a second try; then it is told to its sources as lost */
#define RETRY_MS 5000 /* one that could not be opened */
#define CURSORS_SIZE_MIN 4096
#define CURSORS_SIZE_MAX (16 * 1024 * 1024)

/* --- what it left in the buffer --- */

/* Grows in the worker's job, before the loop sees it. */
static void take_cursor(void *context, uint32_t key, struct slice value)
{
    struct driver_host *host = context;
    struct out *o = &host->cursors;
    size_t size = 4 + 10 + value.size;
    if (host->read || o->size_max - o->size < size) {
        size_t grown = (o->size_max + size) * 2;
        uint8_t *memory = host->read || grown > CURSORS_SIZE_MAX ? NULL : realloc(o->data, grown);
        if (!memory) {
            host->read = host->read ? host->read : ERR_NOMEM;
            return;
        }
        o->data = memory;
        o->size_max = grown;
    }
    out_put_u32_le(o, key);
    out_put_uvarint(o, value.size);
    out_put_slice(o, value);
}

static void read_work(struct job *job)
{
    struct driver_host *host = CONTAINER_OF(job, struct driver_host, job);
    struct buffer *buffer = store_buffer(host->intake->setup.store);
    host->cursors = out_over(malloc(CURSORS_SIZE_MIN), CURSORS_SIZE_MIN);
    host->read = host->cursors.data ? ERR_OK : ERR_NOMEM;
    enum err e = host->read;
    e = e ? e : buffer_driver_number(buffer, host->config->name, &host->number, NULL);
    if (!e) {
        e = buffer_cursor_each(buffer, host->number, take_cursor, host);
        if (e == ERR_CORRUPT) {
            log_error(host->config->name, "the stored cursors can't be read: it begins anew");
            e = ERR_OK;
        }
    }
    host->read = host->read ? host->read : e;
}

void driver_host_cursors_each(struct driver_host *host,
                              void (*each)(void *context, uint32_t key, struct slice value),
                              void *context)
{
    struct slice rest = out_slice(&host->cursors);
    uint32_t key;
    uint64_t size;
    struct slice value;
    while (slice_take_u32_le(&rest, &key) && slice_take_uvarint(&rest, &size) &&
           slice_take(&rest, (size_t)size, &value)) {
        each(context, key, value);
    }
}

/* --- the stages --- */

static void change_over(struct driver_host *host)
{
    struct intake *intake = host->intake;
    if (host->is_changing) {
        host->is_changing = false;
        if (--intake->changing == 0 && intake->changed_done) {
            timer_arm(&intake->changed, 0);
        }
    }
}

void intake_end_change(struct intake *intake)
{
    void (*done)(void *context) = intake ? intake->changed_done : NULL;
    if (done) {
        intake->changed_done = NULL;
        done(intake->changed_context);
    }
}

void intake_changed_fired(struct timer *timer)
{
    intake_end_change(CONTAINER_OF(timer, struct intake, changed));
}

void driver_host_wait(struct driver_host *host, const struct why *why)
{
    struct why told = why ? *why : (struct why){""};
    if (!told.text[0]) {
        why_set(&told, "it can't be opened: no memory");
    }
    driver_fault(host, &told);
    host->stage = DRIVER_WAITS;
    timer_arm(&host->timer, RETRY_MS);
    change_over(host);
}

static void forget_cursors(struct driver_host *host)
{
    free(host->cursors.data);
    host->cursors = (struct out){0};
}

static void open_now(struct driver_host *host)
{
    struct why why = {""};
    enum err e = host->read;
    if (e) {
        why_set(&why, "its place in the buffer can't be read: %s", err_name(e));
    } else {
        e = driver_host_open(host, &why);
        if (e && !why.text[0]) {
            why_set(&why, "it can't be opened: %s", err_name(e));
        }
    }
    forget_cursors(host);
    if (e) {
        driver_host_wait(host, &why);
        return;
    }
    driver_fault(host, NULL);
    log_info("weir", "driver %s is open with its new settings", host->config->name);
    host->stage = DRIVER_WORKS;
    change_over(host);
}

static void read_done(struct job *job)
{
    struct driver_host *host = CONTAINER_OF(job, struct driver_host, job);
    host->is_reading = false;
    if (host->intake->closing || host->intake->stopped) {
        forget_cursors(host);
        host->stage = DRIVER_WAITS;
        change_over(host);
    } else if (host->stage == DRIVER_STOPS) { /* it is to become another meanwhile */
        forget_cursors(host);
        timer_arm(&host->timer, 0);
    } else {
        open_now(host);
    }
}

static void read_begin(struct driver_host *host)
{
    host->stage = DRIVER_READS;
    host->job = (struct job){.work = read_work, .done = read_done};
    host->is_reading = worker_put(store_worker(host->intake->setup.store), &host->job) == ERR_OK;
    if (!host->is_reading) {
        host->stage = DRIVER_WAITS;
        timer_arm(&host->timer, 100);
    }
}

/* All that it has offered is stored, or there is no waiting for it any more. */
static void closed(struct driver_host *host)
{
    struct intake *intake = host->intake;
    driver_host_close_driver(host);
    host->ticket = 0;
    host->pending_count = 0;
    host->refused = false;
    if (intake->setup.link_set) {
        intake->setup.link_set(intake->setup.context, host->index, host->next);
    }
    if (!host->next) {
        log_info("weir", "driver %s is closed: it is not in the configuration any more",
                 host->config->name);
        driver_host_add_totals(host, &intake->gone);
        change_over(host);
        driver_host_free(host);
        return;
    }
    config_close(host->owner);
    host->config = host->next;
    host->owner = host->next_owner;
    host->next = NULL;
    host->next_owner = NULL;
    read_begin(host);
}

void driver_host_timer_fired(struct timer *timer)
{
    struct driver_host *host = CONTAINER_OF(timer, struct driver_host, timer);
    bool is_late = loop_now_ms(host->intake->setup.loop) >= host->stop_by_ms;
    if (host->intake->stopped || host->is_reading) {
        return;
    }
    if (host->stage == DRIVER_WAITS) {
        read_begin(host);
    } else if (host->stage == DRIVER_STOPS && (host->pending_count == 0 || is_late)) {
        closed(host);
    }
}

void driver_host_told(struct driver_host *host)
{
    if (host->stage == DRIVER_STOPS && host->pending_count == 0) {
        timer_arm(&host->timer, 0);
    }
}

/* --- what changes --- */

static void change(struct driver_host *host)
{
    struct intake *intake = host->intake;
    host->is_changing = true;
    intake->changing++;
    host->stage = DRIVER_STOPS;
    if (host->driver) {
        host->driver->class_->stop(host->driver);
    }
    if (host->pending_count > 0) {
        store_commit_now(intake->setup.store);
    }
    host->stop_by_ms = loop_now_ms(intake->setup.loop) + STOP_MS;
    timer_arm(&host->timer, host->pending_count > 0 ? STOP_MS : 0);
}

static struct driver_host *host_find(const struct intake *intake, const char *name)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        if (intake->hosts[i] && strcmp(intake->hosts[i]->config->name, name) == 0) {
            return intake->hosts[i];
        }
    }
    return NULL;
}

/* Hosts for what is new; without memory for one there are none. */
static enum err make_hosts(struct intake *intake, struct config *newer)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < newer->driver_count; i++) {
        const struct config_driver *driver = &newer->drivers[i];
        if (!host_find(intake, driver->name)) {
            e = driver_host_make(intake, driver, newer);
        }
    }
    for (size_t i = 0; e && i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && host->owner == newer) {
            driver_host_free(host);
        }
    }
    return e;
}

enum err intake_change(struct intake *intake, struct config *newer, void (*done)(void *context),
                       void *context)
{
    if (intake->changed_done) {
        return ERR_FULL;
    }
    enum err e = make_hosts(intake, newer);
    if (e) {
        return e;
    }
    intake->changed_done = done;
    intake->changed_context = context;
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (!host) {
            continue;
        }
        const struct config_driver *driver = config_driver_find(newer, host->config->name);
        bool is_new = driver == host->config;
        if (driver && !is_new && driver->digest == host->config->digest) {
            if (host->stage == DRIVER_WAITS) {
                timer_arm(&host->timer, 0); /* perhaps that was mended */
            }
            continue;
        }
        host->next = driver;
        host->next_owner = driver ? newer : NULL;
        if (driver) {
            config_hold(newer);
        }
        change(host);
    }
    if (intake->changing == 0) {
        intake_end_change(intake);
    }
    return ERR_OK;
}
