/* Sources of numbered events for the simulated site, and the driver class through which the agent
 * reads them. What sources make outlives the agent; a driver is one life's reader of a source.
 *
 * A source has places: files of a tail, whose cursor stands in the agent's buffer, so that a new
 * life goes on where the buffer says; or clients of a listener, who wait for the acknowledgement
 * and give again, as another event, what they have not heard of. */
#ifndef WEIR_TESTS_SIM_AGENT_SOURCE_H
#define WEIR_TESTS_SIM_AGENT_SOURCE_H

#include "ports/driver.h"
#include "tests/sim/agent_ledger.h"

#define SOURCE_COUNT 3
#define SOURCE_PLACES 2
#define SOURCE_KEYS 2 /* of each place */

/* What an event is beside its number. */
enum source_flaw {
    FLAW_NONE,
    FLAW_UNUSABLE, /* the driver itself says so */
    FLAW_NO_ROUTE, /* a subject that no route takes */
    FLAW_NO_JSON,  /* streams with a schema only */
    FLAW_NO_FIELD, /* likewise */
    FLAW_COUNT
};

struct source_item {
    uint32_t number; /* 0: none yet */
    uint8_t stream, key;
    uint8_t flaw;   /* enum source_flaw */
    bool is_poison; /* brokers refuse it while they refuse anything */
    bool is_random; /* its filling can't be compressed */
    uint16_t fill_size;
    uint64_t fill_seed;
};

struct source_place {
    struct source_item *items;
    size_t count;  /* made so far */
    size_t next;   /* to be offered */
    size_t stored; /* what comes before needs no offering */
};

struct source_given {
    uint8_t place;
    uint32_t item;
};

struct source {
    struct ledger *ledger;
    bool reads_again; /* a tail */
    uint8_t index;
    struct source_place places[SOURCE_PLACES];
    uint64_t refused, resumed, bad;
    /* of the driver that is open */
    struct driver driver;
    struct driver_host *host;    /* NULL: none is open */
    const struct buffer *buffer; /* of the agent that runs; NULL: it is being opened */
    struct timer timer;
    struct source_given *given; /* [ticket - 1] */
    uint64_t ticket, told;
    bool waits; /* for resume() */
    bool stopped;
};

extern const struct driver_class source_driver_class;

/* Where drivers find their sources: an array of SOURCE_COUNT. */
void source_site_set(struct source *sources);

void source_open(struct source *source, struct ledger *ledger, uint8_t index, bool reads_again);
void source_close(struct source *source);
/* One more event at a place. */
void source_make(struct source *source, unsigned place, const struct source_item *item);
/* After ledger_recovered(): the agent's cursors are those of the events that it has, no others.
 * Events go to `buffer` from now on. */
void source_recovered(struct source *source, const struct buffer *buffer);
/* No agent is there. */
void source_forget(struct source *source);
/* Is all that was made acknowledged? */
bool source_is_done(const struct source *source);

#endif
