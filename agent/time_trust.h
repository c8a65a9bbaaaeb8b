/* Is the wall clock to be believed? A board without a battery starts in 1970 or at the time of its
 * image. It is believed once the kernel says that it is disciplined, or (unless only that is
 * wanted) when it shows a time that can be: later than this program, not decades later, and later
 * than what the buffer has seen, or set since the agent began. Until then arrivals are kept by the monotonic clock, under the
 * number of this opening of the buffer, and turned into wall time when packing, once the offset
 * between the two clocks is known: committed once, never revised.
 *
 * The agent may end before that. So the openings whose offset is still to come are kept in the
 * buffer, each with the machine's boot and the time of its last such event, as cursors of a driver
 * of its own (CLOCK_DRIVER). If the machine still runs since then, the offset is the same. If it
 * has been started anew, nobody knows how long it was off: those events get the latest times that
 * can be, as if it had not been off at all, and a warning says so.
 *
 * A damaged buffer may have lost an offset, or the cursor of an opening that waits for it. So where
 * one is salvaged, or was replaced, the own opening waits for its offset: where that is known, what
 * belongs to earlier ones without an offset is forgotten (buffer_time()), and waits no more.
 *
 * A clock that is believed may be set: times follow it, unless it then shows what can't be. Then
 * they go on by the monotonic clock. Loop thread. */
#ifndef WEIR_AGENT_TIME_TRUST_H
#define WEIR_AGENT_TIME_TRUST_H

#include "agent/store.h"
#include "ports/clock.h"
#include "ports/loop.h"

/* No event of this program can be older: 2026-01-01. */
#define TIME_TRUST_FLOOR_US INT64_C(1767225600000000)
/* Without discipline, nobody believes a time after this program's life: 2046-01-01. */
#define TIME_TRUST_CEILING_US INT64_C(2398377600000000)
#define TIME_TRUST_CHECK_MS 10000 /* how often a clock that is not believed is looked at */
#define TIME_SEEN_MS 3600000      /* how often the buffer is told what time it is */
#define TIME_STEP_US 1000000      /* more is no slewing */
#define TIME_OPENING_MAX 16       /* as many offsets as the buffer keeps */
#define CLOCK_DRIVER "(clock)"    /* no name that a configuration may have */

/* An opening of the buffer with events by the monotonic clock. */
struct time_opening {
    uint32_t boot;
    uint8_t boot_id[BOOT_ID_SIZE];
    int64_t last_us; /* monotonic, of its last event */
};

struct time_source {
    struct store *store;
    struct timer timer;
    uint16_t driver;
    bool needs_discipline;
    bool trusted;
    bool has_said, has_warned; /* why it is not believed */
    int64_t offset_us; /* wall - monotonic: at opening, then as long as the clock is believed */
    bool is_astray;    /* the clock shows what can't be: the offset is kept */
    int64_t seen_us;   /* the latest wall time that the buffer knows of */
    bool owes_seen;    /* there is a later one */
    struct time_opening own;
    struct boot_offset own_offset; /* once the clock is believed */
    bool own_waits;                /* events of this opening need it, or of forgotten ones */
    uint64_t replaced;             /* damaged files, when it was looked at last */
    bool owes_note;                /* so the next opening has to be told, in case it is not known */
    struct time_opening earlier[TIME_OPENING_MAX]; /* in order of `boot` */
    struct boot_offset offsets[TIME_OPENING_MAX];  /* theirs, once the clock is believed */
    size_t earlier_count;
    size_t settled_count; /* so many of these offsets are in the buffer */
};

/* In place; reads what earlier openings left. `needs_discipline`: a plausible time is not enough.
 * Before the loop runs. */
enum err time_trust_init(struct time_source *source, struct loop *loop, struct store *store,
                         bool needs_discipline, struct why *why) MUST_USE;
void time_trust_release(struct time_source *source);
/* Is the wall clock believed by now? */
bool time_trust_is_given(const struct time_source *source);
/* Fills time_us, trust and boot of an event that arrives now. */
void time_trust_stamp(struct time_source *source, struct stored_event *event);
/* Before an event with TIME_BOOT is put: notes that it needs this opening's offset. Put before what
 * has to be in one commit with the event; it may be in an earlier one. ERR_FULL: not now. */
enum err time_trust_note(struct time_source *source, const struct stored_event *event,
                         int64_t wait_ms) MUST_USE;

#endif
