/* A double of agent/store.h, of the few functions of buffer/buffer.h that its users call, of the
 * clocks and of the loop: it keeps what was put with the number of its commit, and a commit happens
 * when the test says so. */
#ifndef WEIR_TESTS_AGENT_STORE_DOUBLE_H
#define WEIR_TESTS_AGENT_STORE_DOUBLE_H

#include "agent/store.h"
#include "ports/event.h"
#include "ports/timers.h"

#define DOUBLE_MAX 64
#define DOUBLE_BYTES_MAX 2048

struct double_event {
    struct stored_event event; /* datum: in `bytes` */
    uint8_t bytes[DOUBLE_BYTES_MAX];
    uint64_t commit;
    int64_t wait_ms;
    unsigned order; /* among everything that was put */
};

struct double_cursor {
    uint16_t driver;
    uint32_t key;
    uint8_t bytes[CURSOR_SIZE_MAX];
    size_t size;
    uint64_t commit;
    unsigned order;
};

struct double_aside {
    struct aside aside; /* slices: gone */
    char reason[REASON_SIZE_MAX + 1];
    char body[128];
    uint8_t head[256];
    size_t head_size;
    uint64_t commit;
};

struct loop {
    struct timers timers; /* first, as the timers want it */
};

struct store {
    struct store_handler handlers[STORE_HANDLER_MAX];
    size_t handler_count;
    uint64_t open; /* number of the open commit */
    uint64_t committed;
    size_t room;      /* events that store_room() still takes */
    bool is_full;     /* what store_room() refuses finds no room in the buffer */
    size_t skipped;   /* store_skip_put() */
    bool has_no_open; /* store_open_room() refuses */
    int64_t stretch;  /* whole; 0: none */
    bool takes_no_boots;
    struct double_event events[DOUBLE_MAX];
    size_t event_count;
    struct double_cursor cursors[DOUBLE_MAX];
    size_t cursor_count;
    struct double_aside asides[DOUBLE_MAX];
    size_t aside_count;
    struct boot_offset boots[DOUBLE_MAX];
    size_t boot_count;
    struct buffer_order *orders[DOUBLE_MAX];
    uint64_t order_commits[DOUBLE_MAX];
    size_t order_count;
    bool takes_no_orders;
    unsigned order;
    uint32_t boot;
    struct cursor_change known[DOUBLE_MAX]; /* what earlier openings left */
    size_t known_count;
    bool has_no_gap_room;
    uint64_t moved_at; /* sequences below are of an earlier incarnation, 0badcafe */
    struct stream_state streams[STREAM_COUNT_MAX + 1];
    uint32_t told[DOUBLE_MAX]; /* numbers of gaps; a commit takes them out of the state */
    uint64_t told_commits[DOUBLE_MAX];
    size_t told_count;
    struct gap gaps[DOUBLE_MAX];
    struct buffer_changes state;
};

void double_init(struct store *store);
/* One more gap that is not told yet. */
void double_gap(struct store *store, const struct gap *gap);
/* The open commit becomes durable, and the handlers hear of it. */
void double_commit(struct store *store);

/* The clocks, as the doubles of ports/clock.h tell them. */
struct double_clock {
    int64_t wall_us;
    uint64_t monotonic_us;
    bool is_synchronised;
    uint8_t boot_id;
    unsigned warnings; /* lines that were logged as warnings */
};
struct double_clock *double_clock(void);
void double_timers(struct loop *loop, uint64_t add_ms);

#endif
