/* A double of intake's end of a driver: records what is offered, answers ERR_FULL when told to, and
 * keeps what is committed apart from what a crash would lose. */
#ifndef WEIR_TESTS_DRIVERS_HOST_DOUBLE_H
#define WEIR_TESTS_DRIVERS_HOST_DOUBLE_H

#include "ports/driver.h"

struct host_event {
    char *body; /* NUL-terminated copy */
    size_t body_size;
    char *subject;
    char *source;
    char *unusable; /* NULL: fine */
    uint64_t true_size;
    bool wants_ack;
    enum body_kind body_kind;
};

struct host_cursor {
    uint32_t key;
    size_t size; /* 0: deleted */
    uint8_t value[CURSOR_SIZE_MAX];
};

struct host_count {
    char name[32];
    uint64_t value;
};

struct driver_host {
    struct host_event *events; /* durable first, then the admitted ones */
    size_t event_count;
    size_t durable_count;
    struct host_cursor *cursors; /* committed; any order */
    size_t cursor_count;
    struct host_cursor *pending; /* in order */
    size_t pending_count;
    size_t room;             /* events and cursors that are admitted before ERR_FULL */
    size_t refused_count;    /* ERR_FULL answers */
    size_t commit_now_count; /* driver_commit() */
    uint64_t ticket;         /* the last one given, in this life of the driver */
    const char *aside_text;  /* a body that holds it is set aside; NULL: none */
    char aside[160];
    struct host_count counts[32];
    size_t count_count;
    char fault[WHY_SIZE_MAX]; /* the last one; "": none */
    size_t fault_count;
    uint64_t wire_sent, wire_received;
};

void host_init(struct driver_host *host);
void host_release(struct driver_host *host);
/* What was admitted is durable. Returns the ticket for stored(). */
uint64_t host_commit(struct driver_host *host);
/* What was not committed is lost, tickets begin again. */
void host_crash(struct driver_host *host);
uint64_t host_counter(const struct driver_host *host, const char *name);

/* Runs the loop until `is_true(context)`; false after wait_ms. */
bool host_wait(struct loop *loop, bool (*is_true)(void *context), void *context, uint64_t wait_ms);
#define HOST_WAIT_MS 60000 /* for what comes at once on a machine that is idle */

/* Until so many events were admitted. */
bool host_wait_events(struct driver_host *host, struct loop *loop, size_t count, uint64_t wait_ms);
/* Until a counter has reached that; until the fault says `text`, or with "" until there is none. */
bool host_wait_counter(struct driver_host *host, struct loop *loop, const char *name,
                       uint64_t least);
bool host_wait_fault(struct driver_host *host, struct loop *loop, const char *text);
/* Runs the loop for so long, and for as many turns as that is when nothing else needs the processor:
 * a pause of this process counts as one turn. */
void host_run(struct loop *loop, uint64_t run_ms);

/* A new folder below /tmp, and how to be rid of it. */
void host_folder(char ret[64]);
void host_folder_remove(const char *folder);

#endif
