#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/aside_head.h"
#include "agent/intake_impl.h"
#include "agent/letter.h"
#include "ports/clock.h"
#include "ports/fault.h"
#include "ports/log.h"

/* --- tickets --- */

static void ticket_give(struct driver_host *host, uint64_t commit, uint64_t *ret_ticket)
{
    *ret_ticket = ++host->ticket;
    if (host->pending_count > 0) {
        struct pending_ticket *last =
            &host->pending[(host->pending_first + host->pending_count - 1) % TICKET_RING];
        if (last->commit == commit) {
            last->ticket = host->ticket;
            return;
        }
    }
    assert(host->pending_count < TICKET_RING); /* at most three commits are open */
    host->pending[(host->pending_first + host->pending_count++) % TICKET_RING] =
        (struct pending_ticket){host->ticket, commit};
}

void driver_host_committed(struct driver_host *host, uint64_t commit)
{
    uint64_t told = 0;
    while (host->pending_count > 0 && host->pending[host->pending_first].commit <= commit) {
        told = host->pending[host->pending_first].ticket;
        host->pending_first = (host->pending_first + 1) % TICKET_RING;
        host->pending_count--;
    }
    if (told && host->driver) {
        host->driver->class_->stored(host->driver, told);
    }
    driver_host_told(host);
}

static int64_t wait_of(const struct driver_host *host, const struct event *event,
                       const struct route *route)
{
    const struct intake *intake = host->intake;
    if (route && intake->streams[route->stream].config->options.priority >= PRIORITY_URGENT) {
        return 0;
    }
    const struct store *store = intake->setup.store;
    return event->wants_ack
               ? store_stretched_ms(store, host->config->common.ack_interval_ms,
                                    STORE_STRETCH_ACK_MS)
               : store_stretched_ms(store, intake->setup.commit_interval_ms, STORE_STRETCH_MS);
}

static enum err put_cursor(struct driver_host *host, const struct event *event, int64_t wait_ms,
                           uint64_t *ret_commit)
{
    struct cursor_change change = {
        .driver = host->number, .key = event->cursor_key, .value = event->cursor};
    assert(event->cursor.size <= CURSOR_SIZE_MAX);
    return event->cursor.size
               ? store_cursor_put(host->intake->setup.store, &change, wait_ms, ret_commit)
               : ERR_OK;
}

/* --- admission --- */

static enum err refuse(struct driver_host *host)
{
    host->refused = true;
    host->refused_count++;
    return ERR_FULL;
}

/* It is to be closed: what it handed over now would come behind what is waited for. */
static bool is_closing(const struct driver_host *host)
{
    return host->stage == DRIVER_YIELDS || host->stage == DRIVER_STOPS;
}

/* A cursor that is put while intake is stopped may come behind the last commit; a driver that is kept
 * would take it for stored. */
static bool takes_cursors(const struct driver_host *host)
{
    return host->intake && !host->intake->stopped && !is_closing(host);
}

/* What it takes to offer the event again. */
static struct slice put_head(struct driver_host *host, const struct event *event)
{
    struct out *ret = &host->intake->aside_head;
    struct stored_event arrival = {.trust = TIME_PAYLOAD, .time_us = event->time_us};
    if (!event->has_time) {
        time_trust_stamp(&host->intake->trust, &arrival);
    }
    struct aside_head head = {.trust = arrival.trust,
                              .time_us = arrival.time_us,
                              .boot = arrival.boot,
                              .is_unusable = event->unusable != NULL,
                              .body_kind = (uint8_t)event->body_kind,
                              .driver = slice_of_text(host->config->name),
                              .subject = event->subject,
                              .fields = event->fields,
                              .field_count = event->field_count};
    ret->size = 0;
    ret->overflow = false;
    aside_head_put(&head, ret);
    return out_slice(ret);
}

/* Set aside, with its cursor, in one commit: both are put without a turn of the loop between. */
static enum err set_aside(struct driver_host *host, const struct event *event,
                          const struct route *route, uint64_t *ret_ticket)
{
    struct intake *intake = host->intake;
    uint64_t commit;
    int64_t wait_ms = wait_of(host, event, route);
    struct aside aside = {.time_us = clock_wall_us(),
                          .stream = route ? intake->streams[route->stream].number : 0,
                          .kind = ASIDE_PAYLOAD,
                          .size = event->body_size ? event->body_size : event->body.size,
                          .source = event->source,
                          .reason = slice_of_text(intake->reason.text),
                          .head = put_head(host, event),
                          .body = event->body};
    struct letter_place place = {.driver = host->config->name, .subject = event->subject};
    if (letters_make(intake->setup.letters, &aside, &place, wait_ms) ||
        store_open_room(intake->setup.store, aside.body.size) ||
        store_aside_put(intake->setup.store, &aside, wait_ms, &commit) ||
        put_cursor(host, event, wait_ms, &commit)) {
        return refuse(host);
    }
    letters_put(intake->setup.letters, wait_ms);
    host->aside++;
    intake->last_reason = intake->reason;
    ticket_give(host, commit, ret_ticket);
    return ERR_OK;
}

static bool drops_newest(const struct driver_host *host, const struct route *route)
{
    return host->intake->streams[route->stream].config->options.when_full == STREAM_DROP_NEWEST;
}

/* Is it held back by the deadbands of its stream? */
static bool is_held_back(struct driver_host *host, const struct route *route,
                         const struct stored_event *stored)
{
    const struct intake *intake = host->intake;
    const struct lossy *lossy = intake->lossy[route->stream];
    return lossy && lossy->deadband && !intake->streams[route->stream].is_raw &&
           deadband_holds(lossy->deadband, stored->datum, stored->time_us);
}

static void reported(struct driver_host *host, const struct route *route)
{
    const struct lossy *lossy = host->intake->lossy[route->stream];
    if (lossy && lossy->deadband) {
        deadband_reported(lossy->deadband);
    }
}

/* It was taken, and is nowhere: the user wants it so. It is told with what was put before it, of which
 * one is the event that stands for it, and with its cursor; without one it costs no commit. */
static enum err hold_back(struct driver_host *host, const struct event *event,
                          const struct route *route, uint64_t *ret_ticket)
{
    struct intake *intake = host->intake;
    struct store *store = intake->setup.store;
    if (event->cursor.size && store_open_room(store, 0)) {
        return refuse(host);
    }
    uint64_t commit = store_last_put(store);
    if (put_cursor(host, event, wait_of(host, event, route), &commit)) {
        return refuse(host);
    }
    host->suppressed++;
    intake->lossy[route->stream]->suppressed++;
    ticket_give(host, commit, ret_ticket);
    if (commit <= store_committed(store)) {
        timer_arm(&intake->settle, 0);
    }
    return ERR_OK;
}

static enum err admit(struct driver_host *host, const struct event *event,
                      const struct route *route, const struct stored_event *stored,
                      uint64_t *ret_ticket)
{
    struct store *store = host->intake->setup.store;
    uint64_t commit;
    uint64_t sequence;
    int64_t wait_ms = wait_of(host, event, route);
    bool is_full = store_room(store, stored->stream, stored->datum.size) != ERR_OK;
    bool drops = is_full && drops_newest(host, route) &&
                 store_is_full(store, stored->stream, stored->datum.size);
    size_t size = drops ? 0 : stored->datum.size;
    if ((is_full && !drops) ||
        (!drops && stored->trust == TIME_BOOT &&
         time_trust_note(&host->intake->trust, stored, wait_ms)) ||
        store_open_room(store, size)) {
        return refuse(host);
    }
    if (fault_planted("cursor-apart") && put_cursor(host, event, 0, &commit) == ERR_OK) {
        store_commit_now(store);
    }
    if (!fault_planted("cursor-apart") && put_cursor(host, event, wait_ms, &commit)) {
        return refuse(host);
    }
    if (drops) {
        store_skip_put(store, stored, wait_ms, &commit);
    } else {
        store_event_put(store, stored, wait_ms, &commit, &sequence);
        reported(host, route);
    }
    host->stored += !drops;
    host->dropped += drops;
    ticket_give(host, commit, ret_ticket);
    if (fault_planted("told-early")) {
        driver_host_committed(host, commit);
    }
    return ERR_OK;
}

enum err driver_offer(struct driver_host *host, const struct event *event, uint64_t *ret_ticket,
                      const char **ret_aside)
{
    struct intake *intake = host->intake;
    struct stored_event stored;
    enum err e = ERR_REJECTED;
    if (!intake || intake->stopped || is_closing(host)) {
        return refuse(host);
    }
    const struct route *route = driver_host_route(host, event->subject);
    intake->reason.text[0] = 0;
    if (event->unusable) {
        why_set(&intake->reason, "%s", event->unusable);
    } else if (!route) {
        why_set(&intake->reason, "no route takes the subject \"%.*s\"",
                (int)(event->subject.size < 120 ? event->subject.size : 120),
                (const char *)event->subject.data);
    } else {
        e = intake_make_event(host, event, route, &stored);
        if (e && intake->must_wait) {
            return refuse(host);
        }
    }
    e = e                                    ? set_aside(host, event, route, ret_ticket)
        : is_held_back(host, route, &stored) ? hold_back(host, event, route, ret_ticket)
                                             : admit(host, event, route, &stored, ret_ticket);
    if (!e) {
        host->received++;
        if (ret_aside) {
            *ret_aside = intake->reason.text;
        }
    }
    return e;
}

enum err driver_cursor_set(struct driver_host *host, uint32_t key, struct slice value)
{
    uint64_t commit;
    struct cursor_change change = {.driver = host->number, .key = key, .value = value};
    if (!takes_cursors(host) || store_cursor_put(host->intake->setup.store, &change,
                                                 host->intake->setup.commit_interval_ms, &commit)) {
        return refuse(host);
    }
    host->cursor_commit = commit;
    return ERR_OK;
}

enum err driver_cursor_commit(struct driver_host *host, uint32_t key, struct slice value,
                              uint64_t *ret_ticket)
{
    uint64_t commit;
    struct cursor_change change = {.driver = host->number, .key = key, .value = value};
    if (!takes_cursors(host) || store_cursor_put(host->intake->setup.store, &change, 0, &commit)) {
        return refuse(host);
    }
    ticket_give(host, commit, ret_ticket);
    return ERR_OK;
}

void driver_commit(struct driver_host *host)
{
    if (host->intake) {
        store_commit_now(host->intake->setup.store);
    }
}

void driver_cursor_each(struct driver_host *host,
                        void (*each)(void *context, uint32_t key, struct slice value),
                        void *context)
{
    if (host->cursors.data) {
        driver_host_cursors_each(host, each, context);
        return;
    }
    enum err e =
        buffer_cursor_each(store_buffer(host->intake->setup.store), host->number, each, context);
    if (e == ERR_CORRUPT) {
        log_error(host->config->name, "the stored cursors can't be read: it begins anew");
    } else {
        host->unread = e;
    }
}

void driver_fault(struct driver_host *host, const struct why *why)
{
    const char *text = why ? why->text : "";
    if (strcmp(host->fault.text, text) == 0) {
        return;
    }
    if (!why) {
        past_fault_note(&host->past, &host->fault);
    }
    host->fault = why ? *why : (struct why){""};
    char part[96];
    (void)snprintf(part, sizeof part, "driver %s", host->config->name); /* cut is fine */
    if (why) {
        log_warn(part, "%s", text);
    } else {
        log_info(part, "working again");
    }
}

void driver_count(struct driver_host *host, const char *name, uint64_t add)
{
    counters_add(&host->counters, name, add);
}

const char *driver_interface(const struct driver_host *host)
{
    const struct intake_setup *setup = host->intake ? &host->intake->setup : NULL;
    return setup && setup->link_interface ? setup->link_interface(setup->context, host->index)
                                          : NULL;
}

void driver_wire_bytes(struct driver_host *host, uint64_t sent, uint64_t received)
{
    const struct intake_setup *setup = host->intake ? &host->intake->setup : NULL;
    if (setup && setup->link_bytes) {
        setup->link_bytes(setup->context, host->index, sent, received);
    }
}

const char *driver_name(const struct driver_host *host)
{
    return host->config->name;
}

/* --- status --- */

void driver_host_status(const struct driver_host *host, struct out *json)
{
    out_put_json(json, slice_of_text(host->config->name));
    out_put_format(json,
                   ":{\"type\":\"%s\",\"received\":%" PRIu64 ",\"stored\":%" PRIu64
                   ",\"dropped\":%" PRIu64 ",\"suppressed\":%" PRIu64 ",\"aside\":%" PRIu64
                   ",\"replayed\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"unknown_fields\":%" PRIu64,
                   host->config->class_->type, host->received, host->stored, host->dropped,
                   host->suppressed, host->aside, host->again, host->refused_count, host->unknown);
    counters_put(&host->counters, &host->fault, json);
    past_fault_put(&host->past, json);
    out_put_byte(json, '}');
}
