/* What a driver is: one protocol or source of events. Drivers never see a schema, the buffer or an
 * uplink.
 *
 * All functions run on the loop thread. A driver that blocks has a worker of its own
 * (ports/worker.h) and brings its events back through an inbox or a job. */
#ifndef WEIR_PORTS_DRIVER_H
#define WEIR_PORTS_DRIVER_H

#include "ports/event.h"
#include "ports/loop.h"
#include "ports/option.h"
#include "ports/probe.h"

struct driver;
struct driver_host; /* intake's end of the connection; one per driver instance */
struct names;       /* ports/names.h */

/* --- what a driver may call; implemented by agent/intake.c, in driver tests by a double --- */

/* Hands an event over: it is routed, mapped, encoded, and added to the open write batch; what does
 * not fit is set aside with its reason. Either way it is admitted: *ret_ticket gets a number that
 * rises by one with every admitted event of this driver, starting with 1 at each start of the
 * process. ERR_FULL: not admitted; offer it again after resume(). No other error: bad input is set
 * aside, not refused. ret_aside may be NULL; else it gets "" or the reason why this event was set
 * aside, valid until the next offer. */
enum err driver_offer(struct driver_host *host, const struct event *event, uint64_t *ret_ticket,
                      const char **ret_aside) MUST_USE;

/* Sets a cursor without an event (a file that is gone, an idempotency key that is forgotten). It
 * rides in the next commit. An empty value deletes the cursor. ERR_FULL as with driver_offer. */
enum err driver_cursor_set(struct driver_host *host, uint32_t key, struct slice value) MUST_USE;

/* The same, committed at once, and with a ticket as an event has it: stored() tells when the cursor
 * is durable. */
enum err driver_cursor_commit(struct driver_host *host, uint32_t key, struct slice value,
                              uint64_t *ret_ticket) MUST_USE;

/* A peer sends nothing more until what was offered is stored: it is committed now. */
void driver_commit(struct driver_host *host);

/* Calls `each` for every stored cursor of this driver, in the order of keys. Only during open(). When
 * they can't be read now, the driver is closed again, and opened when they can be. */
void driver_cursor_each(struct driver_host *host,
                        void (*each)(void *context, uint32_t key, struct slice value),
                        void *context);

/* The reason that status and log shall show while the driver cannot work ("no device at
 * /dev/ttyUSB0: check the cable"); NULL: all is well again. Logged when it changes. */
void driver_fault(struct driver_host *host, const struct why *why);

/* Adds to a counter that status and metrics show for this driver, beside those of intake (received,
 * refused, aside). */
void driver_count(struct driver_host *host, const char *name, uint64_t add);

/* The link that its options name (OPTION_LINK): the interface to bind connections to, NULL: any; and
 * what went over them, as the network counts it. */
const char *driver_interface(const struct driver_host *host);
void driver_wire_bytes(struct driver_host *host, uint64_t sent, uint64_t received);

/* The configured name ("drivers.NAME"); lives as long as the driver. */
const char *driver_name(const struct driver_host *host);

/* --- what a driver is --- */

struct driver_setup {
    struct driver_host *host;
    struct loop *loop;
    struct names *names;
    const char *agent_id;
    const void *options; /* the filled struct of the class; lives longer than the driver */
};

struct driver_class {
    const char *type;             /* "tail": the word in the configuration */
    const char *help;             /* a paragraph for the reference */
    const struct option *options; /* without the common ones (type, stream, routes, ...) */
    size_t options_size;
    /* Its events come in one line: while one is refused, those behind it wait, whatever their
     * stream. */
    bool is_in_line;
    /* What can be said about the options together, each being valid; touches nothing but the files
     * that they name. NULL: nothing. */
    enum err (*check)(const void *options, struct why *why);
    /* What `weir check --online` finds out for it (ports/probe.h). NULL: nothing needs the
     * network. */
    enum err (*probe)(struct probe **ret, const struct probe_setup *setup) MUST_USE;
    /* Opens and starts: may offer from the next turn of the loop on, not within. */
    enum err (*open)(struct driver **ret, const struct driver_setup *setup,
                     struct why *why) MUST_USE;
    /* After an ERR_FULL: there is room again. */
    void (*resume)(struct driver *driver);
    /* Everything up to and including this ticket is committed (or set aside, committed too). */
    void (*stored)(struct driver *driver, uint64_t ticket);
    /* Stop taking input; what was offered is still being committed, stored() may still come. */
    void (*stop)(struct driver *driver);
    /* Commits are over. What is above the last stored() ticket is lost to the agent: tell the peers
     * (HTTP 503). NULL allowed and half-built objects too. */
    void (*close)(struct driver *driver);
};

/* The first member of each driver's own struct. */
struct driver {
    const struct driver_class *class_;
};

#endif
