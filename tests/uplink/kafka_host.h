/* What stands in for forward around a Kafka uplink in tests: cuts numbered events into parcels,
 * keeps what it was told, and sends again as forward does. */
#ifndef WEIR_TESTS_UPLINK_KAFKA_HOST_H
#define WEIR_TESTS_UPLINK_KAFKA_HOST_H

#include "uplink/kafka/kafka.h"

struct names;

#define HOST_KEY_COUNT 16
#define HOST_WIRE_SIZE_MIN (256 * 1024) /* memory of a batch; more where headers are large */

struct uplink_host {
    struct loop *loop;
    struct names *names;
    struct kafka_options options;
    const char *broker_texts[4];
    char broker_memory[4][64];
    struct uplink *uplink;
    struct stream_info stream;
    struct schema_info schema;
    struct why fault; /* "" when all is well */
    unsigned fault_count;
    unsigned mended_count; /* how often all was well again */
    unsigned ready_count;
    uint32_t request_size;
    uint32_t send_buffer_size; /* 0: the usual */
    struct pacer *pacer;       /* NULL: none */
    int64_t event_time_us;     /* of the events of lots; 0: long ago */
    uint64_t wire_sent, wire_received;
    uint64_t in_doubt; /* counter */
    uint8_t remote_id[REMOTE_ID_SIZE_MAX];
    size_t remote_id_size;
    uint32_t remote_schema;
};

/* One parcel with its batches. */
struct lot {
    struct uplink_host *host;
    struct parcel parcel;
    struct target target;
    struct lot_part {
        struct batch batch;
        uint8_t *memory;
        bool lent, answered;
        struct send_report report;
        unsigned tries;
        uint64_t retry_ms;
    } parts[PARCEL_PART_MAX];
    uint64_t first, count;
};

void host_init(struct uplink_host *host, struct loop *loop, struct names *names);
void host_broker_add(struct uplink_host *host, const char *name, uint16_t port);
void host_open(struct uplink_host *host);
void host_close(struct uplink_host *host);
/* Runs the loop for so long. */
void host_run(struct uplink_host *host, uint64_t ms);
/* Asks until there is a target. False: not within `ms`. */
bool host_target(struct uplink_host *host, struct target *ret, uint64_t ms);

/* Events first..first+count-1, laid out over their partitions. Wire bytes are built. */
void lot_cut(struct lot *lot, struct uplink_host *host, uint64_t first, uint64_t count);
/* Numbers for every part that has none. False: not within 30 s. */
bool lot_assign(struct lot *lot);
void lot_send(struct lot *lot, uint32_t part);
void lot_send_all(struct lot *lot);
/* Runs until every lent batch is answered. False: not within `ms`. */
bool lot_wait(struct lot *lot, uint64_t ms);
/* As forward does: sends, waits, sends again, until everything is stored. False: not
 * within `ms`. */
bool lot_deliver(struct lot *lot, uint64_t ms);
/* After a crash: the same parcel, everything not done sent by an earlier life, for this host. */
void lot_revive(struct lot *lot, struct uplink_host *host);
/* And its records are built again, by the host's options and event time of now. */
void lot_build_again(struct lot *lot);
void lot_release(struct lot *lot);
/* The body and key of an event. */
void lot_event(uint64_t number, char body[32], char key[16]);

#endif
