#include "tests/drivers/host_double.h"

#include <ftw.h>

#include "ports/clock.h"
#include "tests/cmocka.h"

#define HOST_TURN_MS 5

void host_init(struct driver_host *host)
{
    *host = (struct driver_host){.room = SIZE_MAX};
}

static void host_event_release(struct host_event *event)
{
    free(event->body);
    free(event->subject);
    free(event->source);
    free(event->unusable);
}

void host_release(struct driver_host *host)
{
    for (size_t i = 0; i < host->event_count; i++) {
        host_event_release(&host->events[i]);
    }
    free(host->events);
    free(host->cursors);
    free(host->pending);
    *host = (struct driver_host){0};
}

static char *host_copy(struct slice s)
{
    char *copy = malloc(s.size + 1);
    assert_non_null(copy);
    if (s.size) {
        memcpy(copy, s.data, s.size);
    }
    copy[s.size] = 0;
    return copy;
}

static struct host_cursor *host_cursor_append(struct host_cursor **list, size_t *count)
{
    struct host_cursor *larger = realloc(*list, (*count + 1) * sizeof **list);
    assert_non_null(larger);
    *list = larger;
    return &larger[(*count)++];
}

static void host_cursor_put(struct driver_host *host, uint32_t key, struct slice value)
{
    assert_true(value.size <= CURSOR_SIZE_MAX);
    struct host_cursor *last = host->pending_count ? &host->pending[host->pending_count - 1] : NULL;
    if (last && last->key == key && last->size == value.size && value.size) {
        memcpy(last->value, value.data, value.size); /* the last word counts */
        return;
    }
    struct host_cursor *c = host_cursor_append(&host->pending, &host->pending_count);
    c->key = key;
    c->size = value.size;
    if (value.size) {
        memcpy(c->value, value.data, value.size);
    }
}

static bool host_has_room(struct driver_host *host)
{
    if (host->room == 0) {
        host->refused_count++;
        return false;
    }
    if (host->room != SIZE_MAX) {
        host->room--;
    }
    return true;
}

enum err driver_offer(struct driver_host *host, const struct event *event, uint64_t *ret_ticket,
                      const char **ret_aside)
{
    if (!host_has_room(host)) {
        return ERR_FULL;
    }
    if ((host->event_count & (host->event_count - 1)) == 0) { /* twice the room, at 1, 2, 4, ... */
        struct host_event *larger = realloc(
            host->events, (host->event_count ? host->event_count * 2 : 1) * sizeof *host->events);
        assert_non_null(larger);
        host->events = larger;
    }
    struct host_event *e = &host->events[host->event_count++];
    *e = (struct host_event){.body = host_copy(event->body),
                             .body_size = event->body.size,
                             .subject = host_copy(event->subject),
                             .source = host_copy(event->source),
                             .unusable =
                                 event->unusable ? host_copy(slice_of_text(event->unusable)) : NULL,
                             .true_size = event->body_size,
                             .wants_ack = event->wants_ack,
                             .body_kind = event->body_kind};
    host->aside[0] = 0;
    if (event->unusable) {
        snprintf(host->aside, sizeof host->aside, "%s", event->unusable);
    } else if (host->aside_text && strstr(e->body, host->aside_text)) {
        snprintf(host->aside, sizeof host->aside, "not \"%s\" again", host->aside_text);
    }
    if (event->cursor.size) {
        host_cursor_put(host, event->cursor_key, event->cursor);
    }
    *ret_ticket = ++host->ticket;
    if (ret_aside) {
        *ret_aside = host->aside;
    }
    return ERR_OK;
}

enum err driver_cursor_set(struct driver_host *host, uint32_t key, struct slice value)
{
    if (!host_has_room(host)) {
        return ERR_FULL;
    }
    host_cursor_put(host, key, value);
    return ERR_OK;
}

enum err driver_cursor_commit(struct driver_host *host, uint32_t key, struct slice value,
                              uint64_t *ret_ticket)
{
    enum err e = driver_cursor_set(host, key, value);
    if (!e) {
        *ret_ticket = ++host->ticket;
    }
    return e;
}

void driver_commit(struct driver_host *host)
{
    host->commit_now_count++;
}

void driver_cursor_each(struct driver_host *host,
                        void (*each)(void *context, uint32_t key, struct slice value),
                        void *context)
{
    for (uint32_t key = 0; key < 5000; key++) {
        for (size_t i = 0; i < host->cursor_count; i++) {
            if (host->cursors[i].key == key) {
                each(context, key, (struct slice){host->cursors[i].value, host->cursors[i].size});
            }
        }
    }
}

void driver_fault(struct driver_host *host, const struct why *why)
{
    snprintf(host->fault, sizeof host->fault, "%s", why ? why->text : "");
    host->fault_count += why != NULL;
}

const char *driver_interface(const struct driver_host *host)
{
    (void)host;
    return NULL;
}

void driver_wire_bytes(struct driver_host *host, uint64_t sent, uint64_t received)
{
    host->wire_sent += sent;
    host->wire_received += received;
}

void driver_count(struct driver_host *host, const char *name, uint64_t add)
{
    for (size_t i = 0; i < host->count_count; i++) {
        if (strcmp(host->counts[i].name, name) == 0) {
            host->counts[i].value += add;
            return;
        }
    }
    assert_true(host->count_count < ARRAY_COUNT(host->counts));
    struct host_count *c = &host->counts[host->count_count++];
    snprintf(c->name, sizeof c->name, "%s", name);
    c->value = add;
}

const char *driver_name(const struct driver_host *host)
{
    (void)host;
    return "double";
}

uint64_t host_counter(const struct driver_host *host, const char *name)
{
    for (size_t i = 0; i < host->count_count; i++) {
        if (strcmp(host->counts[i].name, name) == 0) {
            return host->counts[i].value;
        }
    }
    return 0;
}

uint64_t host_commit(struct driver_host *host)
{
    for (size_t i = 0; i < host->pending_count; i++) {
        size_t k = 0;
        while (k < host->cursor_count && host->cursors[k].key != host->pending[i].key) {
            k++;
        }
        if (host->pending[i].size == 0) {
            if (k < host->cursor_count) {
                host->cursors[k] = host->cursors[--host->cursor_count];
            }
        } else if (k < host->cursor_count) {
            host->cursors[k] = host->pending[i];
        } else {
            *host_cursor_append(&host->cursors, &host->cursor_count) = host->pending[i];
        }
    }
    host->pending_count = 0;
    host->durable_count = host->event_count;
    return host->ticket;
}

void host_crash(struct driver_host *host)
{
    while (host->event_count > host->durable_count) {
        host_event_release(&host->events[--host->event_count]);
    }
    host->pending_count = 0;
    host->ticket = 0;
}

bool host_wait(struct loop *loop, bool (*is_true)(void *context), void *context, uint64_t wait_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + wait_ms;
    while (!is_true(context)) {
        if (clock_monotonic_ms() > end_ms) {
            return false;
        }
        assert_int_equal(loop_turn(loop, HOST_TURN_MS), ERR_OK);
    }
    return true;
}

struct host_goal {
    struct driver_host *host;
    size_t count;
    const char *text; /* a counter's name, or what the fault says */
};

static bool host_has_events(void *context)
{
    struct host_goal *goal = context;
    return goal->host->event_count >= goal->count;
}

bool host_wait_events(struct driver_host *host, struct loop *loop, size_t count, uint64_t wait_ms)
{
    struct host_goal goal = {host, count, NULL};
    return host_wait(loop, host_has_events, &goal, wait_ms);
}

static bool host_has_counted(void *context)
{
    struct host_goal *goal = context;
    return host_counter(goal->host, goal->text) >= goal->count;
}

bool host_wait_counter(struct driver_host *host, struct loop *loop, const char *name,
                       uint64_t least)
{
    struct host_goal goal = {host, least, name};
    return host_wait(loop, host_has_counted, &goal, HOST_WAIT_MS);
}

static bool host_has_fault(void *context)
{
    struct host_goal *goal = context;
    return goal->text[0] ? strstr(goal->host->fault, goal->text) != NULL : !goal->host->fault[0];
}

bool host_wait_fault(struct driver_host *host, struct loop *loop, const char *text)
{
    struct host_goal goal = {host, 0, text};
    return host_wait(loop, host_has_fault, &goal, HOST_WAIT_MS);
}

void host_run(struct loop *loop, uint64_t run_ms)
{
    uint64_t before_ms = clock_monotonic_ms();
    for (uint64_t ran_ms = 0; ran_ms < run_ms;) {
        assert_int_equal(loop_turn(loop, HOST_TURN_MS), ERR_OK);
        uint64_t now_ms = clock_monotonic_ms();
        uint64_t turn_ms = now_ms - before_ms;
        ran_ms += turn_ms < HOST_TURN_MS ? turn_ms : HOST_TURN_MS;
        before_ms = now_ms;
    }
}

void host_folder(char ret[64])
{
    snprintf(ret, 64, "/tmp/weir-drivers-XXXXXX");
    assert_non_null(mkdtemp(ret));
}

static int host_remove(const char *path, const struct stat *s, int kind, struct FTW *where)
{
    (void)s;
    (void)kind;
    (void)where;
    return remove(path);
}

void host_folder_remove(const char *folder)
{
    assert_int_equal(nftw(folder, host_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}
