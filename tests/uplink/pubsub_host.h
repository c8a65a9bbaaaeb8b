/* What stands in for forward around the uplink pubsub in tests: makes a part of events, lends it, and
 * keeps what it was told. */
#ifndef WEIR_TESTS_UPLINK_PUBSUB_HOST_H
#define WEIR_TESTS_UPLINK_PUBSUB_HOST_H

#include "uplink/google/pubsub.h"

struct names;

#define PUBSUB_WAIT_MS 60000 /* for what comes at once on a machine that is idle */

struct uplink_host {
    struct loop *loop;
    struct names *names;
    struct pubsub_options options;
    struct uplink *uplink;
    struct stream_info stream;
    struct schema_info schema;
    struct why fault; /* "" when all is well */
    unsigned fault_count;
    uint32_t request_size;
    uint64_t wire_sent, wire_received;
    unsigned halved, fallbacks; /* counters */
    const char *identity;
};

struct event {
    const char *key; /* NULL: none */
    const char *text;
    size_t size; /* 0: that of the text */
};

/* One part that covers the sequences first..first+count-1. */
struct pubsub_lot {
    struct uplink_host *host;
    struct parcel parcel;
    struct batch batch;
    uint8_t *memory;
    struct send_report report;
    bool answered;
    unsigned tries;
};

void pubsub_host_open(struct uplink_host *host, struct loop *loop, struct names *names,
                      const char *endpoint);
/* Opens the uplink by host->options. */
void pubsub_host_start(struct uplink_host *host);
void pubsub_host_close(struct uplink_host *host);

/* The bytes of these events, as forward has them made; layout ROWS. */
enum err pubsub_lot_wrap(struct pubsub_lot *lot, struct uplink_host *host, uint64_t first,
                         const struct event *events, size_t count);
void pubsub_lot_send(struct pubsub_lot *lot);
/* Until it is answered. False: not within `ms`. */
bool pubsub_lot_wait(struct pubsub_lot *lot, uint64_t ms);
/* Sends, and sends again what is to be tried again. */
enum send_result pubsub_lot_deliver(struct pubsub_lot *lot);
void pubsub_lot_release(struct pubsub_lot *lot);

#endif
