/* Intake: routes what drivers offer to streams, maps it to Avro datums, and puts them into the
 * store. The other side of ports/driver.h. Loop thread. */
#ifndef WEIR_AGENT_INTAKE_H
#define WEIR_AGENT_INTAKE_H

#include "agent/store.h"
#include "config/config.h"
#include "ports/event.h"

struct intake;
struct map_unknown;
struct letters;
struct names;
struct avro_schema;
struct time_source;

/* A stream as intake fills it. */
struct intake_stream {
    const struct config_stream *config;
    uint16_t number; /* the buffer's */
    const struct avro_schema *schema;
    uint32_t schema_number; /* the buffer's */
    bool is_raw;            /* events are kept as they come: the schema is weir.Raw */
};

struct intake_driver {
    const struct config_driver *config;
    uint16_t number; /* the buffer's, for cursors */
};

struct driver_host;

/* Drivers at a time: while they are changed, all of both configurations. */
#define DRIVER_HOST_MAX (2 * (size_t)CONFIG_DRIVER_MAX)

/* Drivers that go on while the intake around them is another. */
struct intake_kept {
    struct driver_host *hosts[CONFIG_DRIVER_MAX];
    size_t count;
};

struct intake_setup {
    struct loop *loop;
    struct names *names;
    struct store *store;
    struct letters *letters;             /* NULL: no stream has any. Gets its time from here */
    const struct intake_stream *streams; /* index i is config->streams[i] */
    size_t stream_count;
    const struct intake_driver *drivers;
    size_t driver_count;
    struct config *owner; /* of the drivers' configuration: held by each; NULL: nobody has to */
    struct intake_kept
        *kept; /* those that are unchanged are taken from here, others closed first; NULL: none */
    /* A driver that can't be opened is shown with its fault, and tried again; else intake_open() fails. */
    bool goes_on;
    const char *agent_id;
    /* Of a stream with `unknown_fields: extend`: an event has fields that the stream's schema has
     * not. ERR_OK: there is nothing to add, it is stored as it is. ERR_FULL: it has to wait until
     * intake_resume(). ERR_REJECTED: it is set aside for *why. */
    enum err (*extend)(void *context, size_t stream, const struct map_unknown *unknowns,
                       size_t count, struct why *why);
    /* The link of driver i, below DRIVER_HOST_MAX: its interface, or NULL; and bytes that went over it. NULL: none has one. */
    const char *(*link_interface)(void *context, size_t driver);
    void (*link_bytes)(void *context, size_t driver, uint64_t sent, uint64_t received);
    /* Driver i is this one from now on; NULL: it is gone. */
    void (*link_set)(void *context, size_t driver, const struct config_driver *config);
    void *context;
    int64_t event_size_max;
    int64_t commit_interval_ms;
    bool clock_needs_discipline; /* see time_trust.h */
};

struct intake_totals {
    uint64_t admitted;   /* offered and taken, set aside included */
    uint64_t stored;     /* of these, in the buffer as events (or on their way into it) */
    uint64_t dropped;    /* of these, dropped because there was no room */
    uint64_t aside;      /* of these, set aside */
    uint64_t suppressed; /* of these, held back by the deadbands of their stream: nowhere else */
    uint64_t refused;    /* ERR_FULL answers */
};

/* Opens every driver. */
enum err intake_open(struct intake **ret, const struct intake_setup *setup,
                     struct why *why) MUST_USE;
/* A set-aside event, offered again. */
struct intake_again {
    struct slice driver; /* its name */
    struct event event;  /* as it was offered first */
    const struct stored_event
        *arrival; /* its time_us and trust, when it has no time of its own; NULL:
                                           now */
    struct buffer_order
        *order; /* in the same commit; `range` becomes its sequence. Stays until then */
};
/* By its driver's routes, as they are now, and the mapping of the stream. ERR_REJECTED: it still does not
 * fit, *why says where; ERR_FULL: not now, committed() will come; ERR_CLOSED: intake has stopped. */
enum err intake_offer_again(struct intake *intake, const struct intake_again *again,
                            uint64_t *ret_commit, struct why *why) MUST_USE;
/* The same for an event that is one already. trust 0: it gets its time now. */
enum err intake_put_again(struct intake *intake, const struct stored_event *event,
                          struct buffer_order *order, uint64_t *ret_commit) MUST_USE;
/* Drivers take no more input; what they offered is still being committed. */
void intake_stop(struct intake *intake);
/* The same for now, and the drivers know nothing of it but that they have to wait: those that are the
 * same in `newer` are to be kept. The others are stopped. */
void intake_pause(struct intake *intake, const struct config *newer);
/* Before it is closed: takes the drivers out that are the same in `newer`, and have nothing to be
 * stored. */
void intake_keep(struct intake *intake, const struct config *newer, struct intake_kept *kept);
/* What was taken from `kept` goes back: it is closed, since something else could not be opened. */
void intake_give_back(struct intake *intake, struct intake_kept *kept);
/* Closes those that nobody took. */
void intake_kept_close(struct intake_kept *kept);
/* Before the store worker is closed: no result of it is acted on. NULL is allowed. */
void intake_abandon(struct intake *intake);
/* No ready() and no done() comes after this: it comes within. NULL is allowed. */
void intake_end_change(struct intake *intake);
/* Closes the drivers, and ends a change. NULL is allowed. */
void intake_close(struct intake *intake);

/* Drivers become what they are in `newer`, in two steps. Streams are the same in both.
 *
 * First those that are others there have to wait, as when the buffer is full, until all that they have
 * handed over is stored: what is opened later begins where they ended. Then ready() comes, once, perhaps
 * within the call: with `late` NULL intake_change() has to follow, now or later. Else the disk did
 * not take it in some seconds, or intake is closed: drivers go on as they were, and *late is a
 * sentence. ERR_FULL: a change is under way; ERR_NOMEM: nothing is changed. */
enum err intake_change_begin(struct intake *intake, struct config *newer,
                             void (*ready)(void *context, const struct why *late),
                             void *context) MUST_USE;
/* Then what is another one is closed, and opened as it is in `newer`; one that can't be opened is
 * shown with its fault, and tried again, as are at once those that could not be before. done() comes
 * once, behind all that, within the call when there is nothing to do, and also when intake is closed
 * before. */
void intake_change(struct intake *intake, void (*done)(void *context), void *context);
/* The drivers that could not be opened, and are tried again; `why` is the fault that is shown. */
void intake_waiting_each(const struct intake *intake,
                         void (*each)(void *context, const char *driver, const char *why),
                         void *context);

/* Drivers that were refused may offer again. */
void intake_resume(struct intake *intake);

/* Events of the stream that come from now on have this schema; the one before is not used any
 * more. */
void intake_schema_set(struct intake *intake, size_t index, const struct avro_schema *schema,
                       uint32_t number, bool is_raw);

/* The clock that says what time arrivals have; lives as long as intake. */
struct time_source *intake_time(struct intake *intake);
/* Why the last event was set aside; "": none was. */
const char *intake_aside_reason(const struct intake *intake);

/* Events of the stream that its deadbands held back. */
uint64_t intake_suppressed(const struct intake *intake, size_t index);
void intake_totals(const struct intake *intake, struct intake_totals *ret);
/* The "drivers" object of the status:
 * {"lines":{"type":"tail","received":…,"stored":…,"dropped":…,"suppressed":…,"refused":…,"aside":…,"fault":…}}. */
void intake_status(const struct intake *intake, struct out *json);

#endif
