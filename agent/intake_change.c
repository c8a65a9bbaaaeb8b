/* Drivers that become others while the agent runs: they wait until what they have handed over is
 * stored and told, all of them, or all go on as they were; then each is stopped and closed, what it
 * left in the buffer is read on the store worker, and it is opened as it is now. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/intake_impl.h"
#include "ports/log.h"

#define YIELD_MS 6000 /* for a commit, and a second try; then drivers go on as they were */
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
    } else if (host->stage == DRIVER_YIELDS || host->stage == DRIVER_STOPS) {
        forget_cursors(host); /* it is to become another meanwhile */
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

/* All that it has handed over is stored. */
static void closed(struct driver_host *host)
{
    struct intake *intake = host->intake;
    assert(host->pending_count == 0);
    driver_host_end_life(host);
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
    driver_host_routes_drop(host); /* they are of what is closed here */
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
    if (host->intake->stopped || host->is_reading) {
        return;
    }
    if (host->stage == DRIVER_WAITS) {
        read_begin(host);
    } else if (host->stage == DRIVER_STOPS) {
        closed(host);
    }
}

/* --- before anything changes: what they have handed over is waited for --- */

bool driver_host_is_quiet(const struct driver_host *host)
{
    return host->pending_count == 0 &&
           store_committed(host->intake->setup.store) >= host->cursor_commit;
}

/* The next that yields, from *i on; NULL: there is none any more. */
static struct driver_host *yielding_next(const struct intake *intake, size_t *i)
{
    while (*i < intake->host_count) {
        struct driver_host *host = intake->hosts[(*i)++];
        if (host && host->stage == DRIVER_YIELDS) {
            return host;
        }
    }
    return NULL;
}

static void go_on(struct driver_host *host)
{
    bool is_new = host->next_owner && host->owner == host->next_owner;
    config_close(host->next_owner);
    host->next = NULL;
    host->next_owner = NULL;
    if (is_new) {
        driver_host_free(host);
    } else if (host->driver) {
        host->stage = DRIVER_WORKS;
    } else {
        host->stage = DRIVER_WAITS;
        timer_arm(&host->timer, 0);
    }
}

static void change_ready(struct intake *intake, const struct why *late)
{
    void (*ready)(void *context, const struct why *late) = intake->change_ready;
    struct driver_host *host;
    size_t i = 0;
    intake->change_ready = NULL;
    if (late) {
        while ((host = yielding_next(intake, &i))) {
            go_on(host);
        }
        intake->is_changing = false;
    }
    ready(intake->changed_context, late);
}

static void look_quiet(struct intake *intake)
{
    uint64_t now_ms = loop_now_ms(intake->setup.loop);
    struct driver_host *host;
    struct why why;
    size_t i = 0;
    do {
        host = yielding_next(intake, &i);
    } while (host && driver_host_is_quiet(host));
    if (!host) {
        change_ready(intake, NULL);
    } else if (now_ms < intake->yield_by_ms) {
        timer_arm(&intake->changed, intake->yield_by_ms - now_ms);
    } else {
        const char *trouble = store_trouble(intake->setup.store);
        why_set(&why, "what driver %s has handed over can't be stored now: %s", host->config->name,
                trouble[0] ? trouble : "the disk is too slow");
        change_ready(intake, &why);
        intake_resume(intake);
    }
}

void intake_end_change(struct intake *intake)
{
    void (*done)(void *context) = intake ? intake->changed_done : NULL;
    if (done) {
        intake->changed_done = NULL;
        intake->is_changing = false;
        done(intake->changed_context);
    } else if (intake && intake->change_ready) {
        struct why why;
        why_set(&why, "the agent is being closed");
        change_ready(intake, &why);
    }
}

void intake_changed_fired(struct timer *timer)
{
    struct intake *intake = CONTAINER_OF(timer, struct intake, changed);
    if (!intake->change_ready) {
        intake_end_change(intake);
    } else if (!intake->stopped) {
        look_quiet(intake);
    }
}

void driver_host_told(struct driver_host *host)
{
    if (host->stage == DRIVER_YIELDS && host->intake->change_ready) {
        timer_arm(&host->intake->changed, 0);
    }
}

/* --- what changes --- */

static void yield(struct driver_host *host, const struct config_driver *next, struct config *newer)
{
    host->next = next;
    host->next_owner = next ? newer : NULL;
    if (next) {
        config_hold(newer);
    }
    host->stage = DRIVER_YIELDS;
    timer_disarm(&host->timer);
}

/* Hosts for what is new; without memory for one there are none. */
static enum err make_hosts(struct intake *intake, struct config *newer)
{
    enum err e = ERR_OK;
    for (size_t i = 0; !e && i < newer->driver_count; i++) {
        const struct config_driver *driver = &newer->drivers[i];
        if (!driver_host_find(intake, driver->name)) {
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

enum err intake_change_begin(struct intake *intake, struct config *newer,
                             void (*ready)(void *context, const struct why *late), void *context)
{
    if (intake->is_changing) {
        return ERR_FULL;
    }
    enum err e = make_hosts(intake, newer);
    if (e) {
        return e;
    }
    intake->is_changing = true;
    intake->change_ready = ready;
    intake->changed_context = context;
    intake->yield_by_ms = loop_now_ms(intake->setup.loop) + YIELD_MS;
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (!host) {
            continue;
        }
        const struct config_driver *driver = config_driver_find(newer, host->config->name);
        bool is_new = driver == host->config;
        if (driver && !is_new && driver->digest == host->config->digest) {
            continue;
        }
        yield(host, driver, newer);
        if (!driver_host_is_quiet(host)) {
            store_commit_now(intake->setup.store);
        }
    }
    look_quiet(intake);
    return ERR_OK;
}

static void wait_for(struct driver_host *host)
{
    host->is_changing = true;
    host->intake->changing++;
    timer_arm(&host->timer, 0);
}

/* Those that could not be opened: perhaps that was mended. */
static void try_again(struct intake *intake)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        struct driver_host *host = intake->hosts[i];
        if (host && (host->stage == DRIVER_WAITS || host->stage == DRIVER_READS)) {
            wait_for(host);
        }
    }
}

void intake_change(struct intake *intake, void (*done)(void *context), void *context)
{
    struct driver_host *host;
    size_t i = 0;
    assert(intake->is_changing && !intake->change_ready);
    intake->changed_done = done;
    intake->changed_context = context;
    try_again(intake);
    while ((host = yielding_next(intake, &i))) {
        host->stage = DRIVER_STOPS;
        if (host->driver) {
            host->driver->class_->stop(host->driver);
        }
        wait_for(host);
    }
    if (intake->changing == 0) {
        intake_end_change(intake);
    }
}

void intake_waiting_each(const struct intake *intake,
                         void (*each)(void *context, const char *driver, const char *why),
                         void *context)
{
    for (size_t i = 0; i < intake->host_count; i++) {
        const struct driver_host *host = intake->hosts[i];
        if (host && host->stage == DRIVER_WAITS && host->fault.text[0]) {
            each(context, host->config->name, host->fault.text);
        }
    }
}
