/* What the files of intake share: intake_event.c makes the event that is stored of one that is
 * offered, intake_host.c is the other side of ports/driver.h, intake.c opens and closes. */
#ifndef WEIR_AGENT_INTAKE_IMPL_H
#define WEIR_AGENT_INTAKE_IMPL_H

#include "agent/counters.h"
#include "agent/intake.h"
#include "agent/lossy.h"
#include "agent/map.h"
#include "agent/time_trust.h"
#include "ports/driver.h"
#include "ports/loop.h"
#include "ports/worker.h"

#define TICKET_RING 4 /* commits still to come: one is being committed, one is being filled */

/* One way from a driver to a stream. */
struct route {
    const char *pattern; /* NULL: everything */
    size_t stream;       /* index */
    const struct option_map *set;
};

/* All tickets up to `ticket` are durable with commit `commit`. */
struct pending_ticket {
    uint64_t ticket;
    uint64_t commit;
};

enum driver_stage {
    DRIVER_WORKS,
    DRIVER_YIELDS, /* it has to wait until what it has handed over is stored */
    DRIVER_STOPS,  /* it is closed on the next turn */
    DRIVER_READS,  /* its cursors, to be opened */
    DRIVER_WAITS,  /* it could not be opened: tried again */
};

struct driver_host {
    struct intake *intake; /* NULL: between two of them */
    const struct config_driver *config;
    struct config *owner; /* of `config`, held; NULL: nobody has to */
    char agent_id[128];
    size_t index; /* in intake->hosts */
    uint16_t number;
    bool is_kept; /* taken over from the intake before */
    enum driver_stage stage;
    bool is_changing;                 /* intake_change() waits for it */
    const struct config_driver *next; /* what it becomes when it is closed; NULL: nothing */
    struct config *next_owner;        /* held */
    struct timer timer;               /* of the stages */
    struct job job;
    bool is_reading;
    struct out cursors; /* data NULL: the buffer is asked */
    enum err read;
    struct driver *driver;
    struct route *routes;
    size_t route_count;
    uint64_t ticket;                            /* last given */
    struct pending_ticket pending[TICKET_RING]; /* one entry a commit */
    size_t pending_first, pending_count;
    uint64_t cursor_commit; /* that carries the cursor it set last without a ticket */
    bool refused;           /* resume() is owed */
    enum err unread;        /* why its cursors could not be read at opening, which may pass */
    uint64_t received, refused_count, stored, dropped, suppressed, aside, again, unknown;
    struct why fault;
    struct past_fault past;
    struct counters counters;
};

struct intake {
    struct intake_setup setup;
    struct intake_stream *streams;
    struct lossy **lossy; /* of each stream; NULL: it is not */
    struct timer settle;  /* tickets of what needs no commit are told on the next turn */
    struct driver_host *hosts[DRIVER_HOST_MAX]; /* NULL: it is gone */
    size_t host_count;
    struct mapper *mapper;
    struct out datum;
    struct time_source trust;
    struct map_override overrides[MAP_OVERRIDE_MAX];
    struct out texts; /* of the overrides */
    struct out aside_head;
    struct why reason;                  /* of the event at hand, when it is to be set aside */
    struct why last_reason;             /* of the last event that was set aside */
    const struct stored_event *arrival; /* of the event at hand; NULL: it arrives now */
    bool must_wait;                     /* the event at hand, for its schema */
    bool stopped;
    bool resuming;
    bool closing;              /* no job of it is acted on */
    struct intake_totals gone; /* of drivers that are gone */
    bool is_changing;          /* from intake_change_begin() to the end */
    void (*change_ready)(void *context, const struct why *late); /* NULL: it was called */
    uint64_t yield_by_ms;
    unsigned changing; /* drivers that intake_change() waits for */
    struct timer changed;
    void (*changed_done)(void *context); /* NULL: intake_change() is not under way */
    void *changed_context;
};

/* --- intake.c --- */
/* Its routes and its driver; the host has its configuration and its number. On failure there is no
 * driver. */
enum err driver_host_open(struct driver_host *host, struct why *why) MUST_USE;
void driver_host_close_driver(struct driver_host *host);
/* The same, and the next driver of this host counts its tickets anew: this one was quiet. */
void driver_host_end_life(struct driver_host *host);
/* NULL: there is none of this name. */
struct driver_host *driver_host_find(const struct intake *intake, const char *name);
void driver_host_add_totals(const struct driver_host *host, struct intake_totals *ret);
/* With its driver; its place is free. */
void driver_host_free(struct driver_host *host);
enum err driver_host_make(struct intake *intake, const struct config_driver *config,
                          struct config *owner) MUST_USE;

/* --- intake_change.c --- */
/* It could not be opened: tried again. */
void driver_host_wait(struct driver_host *host, const struct why *why);
void driver_host_timer_fired(struct timer *timer);
/* Is all that it has handed over stored? */
bool driver_host_is_quiet(const struct driver_host *host);
/* Perhaps it is now. */
void driver_host_told(struct driver_host *host);
void intake_changed_fired(struct timer *timer);
void driver_host_cursors_each(struct driver_host *host,
                              void (*each)(void *context, uint32_t key, struct slice value),
                              void *context);

/* --- intake_event.c --- */
enum err driver_host_routes(struct driver_host *host) MUST_USE;
void driver_host_routes_drop(struct driver_host *host);
/* The first route that takes the subject; NULL: none does. */
const struct route *driver_host_route(const struct driver_host *host, struct slice subject);
/* The event as it will be stored; its datum is valid until the next call. Not ERR_OK: to be set
 * aside for intake->reason, or, with intake->must_wait, to be refused. */
enum err intake_make_event(struct driver_host *host, const struct event *event,
                           const struct route *route, struct stored_event *ret) MUST_USE;

/* --- intake_host.c --- */
void driver_host_committed(struct driver_host *host, uint64_t commit);
void driver_host_status(const struct driver_host *host, struct out *json);

#endif
