/* What stands in for forward around the uplinks of AWS in tests: batches of rows, one a bucket, lent and
 * lent again until they are stored; and what the uplink said. Linked with real sockets or the
 * simulation. */
#ifndef WEIR_TESTS_UPLINK_KINESIS_HOST_H
#define WEIR_TESTS_UPLINK_KINESIS_HOST_H

#include "ports/uplink.h"

#define HOST_WIRE_SIZE (16 * 1024 * 1024)
#define HOST_EVENT_MAX 8192
#define HOST_PART_MAX PARCEL_PARTITION_MAX

struct uplink_host {
    struct loop *loop;
    struct names *names;
    const struct uplink_class *class_;
    const void *options;
    struct uplink *uplink;
    struct stream_info stream;
    struct schema_info schema;
    uint32_t request_size;
    struct why fault; /* "": all is well */
    unsigned fault_count, ready_count;
    uint64_t throttled, failed; /* counters */
    uint64_t wire_bytes;
    /* The parcel at hand. */
    struct parcel parcel;
    struct target target;
    struct message *messages; /* of all its events */
    size_t message_count;
    struct host_part {
        struct batch batch;
        uint8_t *memory;
        bool is_lent, is_answered;
        struct send_report report;
        unsigned tries;
    } parts[HOST_PART_MAX];
};

void host_init(struct uplink_host *host, const struct uplink_class *class_, const void *options);
void host_open(struct uplink_host *host);
void host_close(struct uplink_host *host);
/* Asks until there is a target. False: not within ms; *why. */
bool host_target(struct uplink_host *host, uint64_t ms, struct why *why);
/* Cuts a parcel of `count` events with `size` bytes each, whose keys are by turns "key 0" ..
 * "key keys-1"; keys 0: none. Bodies begin with their sequence. */
void host_cut(struct uplink_host *host, uint64_t first, size_t count, size_t size, unsigned keys);
/* Makes the bytes of a part anew, as forward does after a long wait. */
void host_make_again(struct uplink_host *host, uint32_t part);
void host_send(struct uplink_host *host, uint32_t part);
/* Sends what is not done, and waits for an answer to each. False: not within ms. */
bool host_send_all(struct uplink_host *host, uint64_t ms);
/* The same until all is stored, after pauses. False: not within ms. */
bool host_deliver(struct uplink_host *host, uint64_t ms);
void host_run(struct uplink_host *host, uint64_t ms);
bool host_run_until(struct uplink_host *host, bool (*is_so)(struct uplink_host *host), uint64_t ms);
/* Of the only part that there is. */
const struct send_report *host_report(const struct uplink_host *host);

#endif
