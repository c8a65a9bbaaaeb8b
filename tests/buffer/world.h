/* A buffer on a disk that fails, and a model of what it must hold.
 *
 * Every commit carries its number in a cursor, so that after a crash the buffer itself says which
 * commit it stands at: the last one that was acknowledged, or the one that was under way. The
 * whole of what it holds has to be that of the model at that commit: nothing acknowledged missing,
 * nothing half. Datums are functions of stream and sequence.
 *
 * The seed says what becomes of the lowest stream when the buffer is full, and whether the others
 * have a maximum age, or the second uplink a bound of what it may pin.
 *
 * Checks return NULL or what is wrong, because the controls count what the tests must not see. */
#ifndef WEIR_TESTS_BUFFER_WORLD_H
#define WEIR_TESTS_BUFFER_WORLD_H

#include "buffer/buffer.h"
#include "ports/identity.h"
#include "tests/sim/crash_vfs.h"

#define WORLD_STREAMS 3 /* numbers 1..3 */
#define WORLD_UPLINKS 2 /* numbers 1..2 */
#define WORLD_SEQUENCES (1 << 15)
#define WORLD_KEYS 24
#define WORLD_PATH "world.db"

struct model_parcel {
    bool open;
    uint16_t uplink;
    uint16_t stream;
    struct range range;
    uint32_t part_count;
    uint32_t done; /* bits */
};

#define WORLD_MOVES 4 /* so many earlier incarnations are kept */
#define WORLD_ASIDES 4000
#define WORLD_ASIDE_SIZE 1300

struct model {
    uint64_t commit;
    uint64_t next[WORLD_STREAMS + 1];
    uint64_t low[WORLD_STREAMS + 1]; /* below it nothing is owed */
    /* Bit u-1: owed to uplink u. */
    uint8_t owed[WORLD_STREAMS + 1][WORLD_SEQUENCES];
    struct model_parcel parcels[WORLD_UPLINKS + 1][WORLD_STREAMS + 1];
    uint64_t cursors[WORLD_KEYS];                        /* the commit that set it; 0: none */
    uint64_t dropped[WORLD_STREAMS + 1];                 /* events that somebody lost */
    uint64_t lost[WORLD_UPLINKS + 1][WORLD_STREAMS + 1]; /* by each uplink */
    /* Of stream 1: dropped on arrival, or thinned, as far as it was looked at. Counted as dropped;
     * the buffer may have them in the ranges that are owed. */
    bool gone[WORLD_SEQUENCES];
    uint64_t asides;                      /* since the database was made */
    bool aside_dropped[WORLD_ASIDES + 1]; /* by hand, by its number from 1 on */
    uint32_t boot_known;
};

#define STEP_EVENTS 160
#define STEP_BYTES (64 * 1024)
#define STEP_CURSORS 6
#define STEP_VALUE_SIZE 200
#define STEP_PARCELS (WORLD_UPLINKS * WORLD_STREAMS)

/* A commit as it was offered, kept so that it can be offered again. */
struct step {
    struct buffer_write write;
    struct stored_event events[STEP_EVENTS];
    uint8_t bytes[STEP_BYTES];
    size_t size;
    struct cursor_change cursors[STEP_CURSORS];
    uint8_t values[STEP_CURSORS][STEP_VALUE_SIZE];
    struct part_done dones[STEP_PARCELS];
    struct parcel parcels[STEP_PARCELS];
    const struct parcel *parcel_pointers[STEP_PARCELS];
    struct owed_end end;
    struct aside aside;
    uint8_t aside_bytes[WORLD_ASIDE_SIZE];
    struct boot_offset boot;
    struct remote_id remote;
    struct buffer_order order;
    struct buffer_order aside_order;
    struct buffer_order *order_pointers[2];
    uint64_t ordered; /* how many events it has to come to */
};

struct world {
    struct crash_vfs *vfs;
    struct buffer_setup setup;
    struct buffer *buffer;
    uint64_t chance;
    uint32_t incarnation;
    struct machine machine; /* by the seed it becomes another one, WORLD_MOVES times at most */
    bool moves;
    bool moved; /* since the last check */
    unsigned move_count;
    uint32_t names[WORLD_STREAMS + 1][WORLD_SEQUENCES]; /* each event's incarnation; 0: not yet */
    uint32_t schemas[WORLD_STREAMS + 1];
    uint16_t driver;
    bool prepared;
    struct buffer_changes changes; /* after the last commit or opening */
    struct model *sure;            /* acknowledged */
    struct model *maybe;           /* with the commit under way */
    bool under_way;
    bool drains;        /* deliveries keep up, else the buffer fills */
    bool orders;        /* a person drops events, or wants some again; not with world_keep() */
    bool quiet;         /* no events */
    bool takes_only;    /* no deliveries: while what is owed comes over from a damaged file */
    size_t datum_extra; /* bytes that every datum is longer by; constant between resets */
    bool encrypts; /* by the seed: there is a key, and what is new is mostly encrypted with it */
    struct step *step;
    struct rows *rows;
    uint64_t looks[WORLD_SEQUENCES]; /* of the thinner */
    size_t looked_at;
    struct why why;
    char problem[300];
};

struct world *world_open(const char *vfs_name, uint64_t seed, int64_t size_max);
void world_close(struct world *w);
/* Another seed, an empty disk, an empty model. The buffer is closed. Seeds 2 and 3 of each four
 * encrypt. */
void world_reset(struct world *w, uint64_t seed);

/* The bytes that the set-aside event of this number has, of which the first are its head. */
struct aside world_aside(uint64_t number, uint8_t memory[WORLD_ASIDE_SIZE]);

uint32_t world_below(struct world *w, uint32_t limit);

/* Opens the buffer, with schemas and a driver. Its error; the reason in w->why. */
enum err world_buffer_open(struct world *w) MUST_USE;
void world_buffer_close(struct world *w);
/* After opening: which commit stands, and is it all there? */
const char *world_check(struct world *w) MUST_USE;
/* Which commit stands? The model becomes that one; what is owed is not looked at. */
const char *world_check_commit(struct world *w) MUST_USE;
/* Are there sequences left for many more commits? */
bool world_has_room(const struct world *w);
/* A random commit, offered once; its error. The model follows when it is ERR_OK. */
enum err world_step(struct world *w) MUST_USE;
/* Offers the failed commit again, unchanged. */
enum err world_retry(struct world *w) MUST_USE;
/* The deliveries of the failed commit are kept in memory, and then those of `count` more like it.
 * What is left of the commit can be offered again. */
enum err world_keep(struct world *w, unsigned count) MUST_USE;
/* After a commit that was ERR_OK: does what it says agree with the model? */
const char *world_check_changes(struct world *w) MUST_USE;
/* Can every event that is owed be read, and is it as it was? */
const char *world_check_events(struct world *w) MUST_USE;

#endif
