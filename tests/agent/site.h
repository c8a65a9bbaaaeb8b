/* What tests of the agent's parts stand on: the simulated loop and workers, the real buffer on a
 * disk in memory, and the real store, with every commit seen on its way and made to fail on demand.
 * Link with -Wl,--wrap=buffer_commit. */
#ifndef WEIR_TESTS_AGENT_SITE_H
#define WEIR_TESTS_AGENT_SITE_H

#include "agent/store.h"
#include "tests/sim/crash_vfs.h"

#define SITE_COMMIT_MS 5000 /* commit_interval */
#define SITE_RETRY_MS 5000
#define SITE_SCHEMA SLICE("\"bytes\"")

/* What one commit carried. */
struct site_commit {
    enum err e; /* how it ended */
    uint64_t at_ms;
    size_t events, cursors, dones, ends, parcels, asides, remotes, boots, told;
    uint64_t hash; /* of the events and cursors: the same content has the same */
};

#define SITE_COMMIT_MAX 512
#define SITE_STREAM_MAX 100

struct site {
    struct crash_vfs *disk;
    struct loop *loop;
    struct worker *store_worker;
    struct worker *pack_worker;
    struct buffer_setup *setup; /* changed by tests before site_begin() */
    struct buffer *buffer;      /* the store's */
    struct store *store;
    uint32_t schemas[SITE_STREAM_MAX];  /* of setup.streams[i], as SITE_SCHEMA */
    uint64_t next[SITE_STREAM_MAX + 1]; /* sequence, by stream number */
    uint64_t first_seed;
    uint64_t seed; /* of the next power cut */
    /* --- commits --- */
    struct site_commit commits[SITE_COMMIT_MAX];
    size_t commit_count;
    unsigned fail_count;      /* so many more commits fail, */
    enum err fail_with;       /* with this */
    unsigned keep_fail_count; /* so many times deliveries can't be kept in memory */
    bool is_tight;            /* the buffer says that the file is nearly full */
};

/* A number of the environment: WEIR_SEED, WEIR_SEEDS. */
uint64_t site_number(const char *name, uint64_t otherwise);

/* Streams "low" (priority 3, drop_oldest) and "alarm" (9, block), uplinks "cloud" and "files", both
 * carry both; nothing is open yet. */
struct site *site_open(uint64_t seed);
void site_begin(struct site *site);
/* Ends this life: `close_more` closes what the test opened on the store (NULL: nothing), behind the
 * workers and before the store. Then the next life may begin. */
void site_end(struct site *site, void (*close_more)(void *context), void *context);
/* The same by a power cut: what the disk had not synced is gone. */
void site_crash(struct site *site, void (*close_more)(void *context), void *context);
/* NULL is allowed. */
void site_close(struct site *site);

/* For cmocka: a site in its first life; its end. */
int site_setup(void **state);
int site_teardown(void **state);

/* To the first uplink: the stream's first event, in one part. */
struct parcel site_parcel(uint16_t stream);
/* Puts an event of `size` bytes that begins with its sequence; the store must have room. */
uint64_t site_put(struct site *site, uint16_t stream, size_t size, int64_t wait_ms);
/* Runs until everything that was put is durable. */
void site_settle(struct site *site);
const struct site_commit *site_last(const struct site *site);
/* What the buffer has of a stream: how many events in first..; each is checked against its
 * sequence when made by site_put(). */
size_t site_stored(struct site *site, uint16_t stream, uint64_t first);

#endif
