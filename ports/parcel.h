/* What identifies a send: committed before its first byte leaves, so that the same events go out
 * again under the same numbers after a crash. Plain values, shared by buffer, agent and uplinks. */
#ifndef WEIR_PORTS_PARCEL_H
#define WEIR_PORTS_PARCEL_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_COUNT_MAX 256 /* stream numbers are 1..256, never used again for another name */
#define PRIORITY_URGENT 7    /* streams from this priority on wait for nothing that they need not */
#define UPLINK_COUNT_MAX 16  /* at one time; uplink numbers are never used again */
#define OWED_RANGE_MAX 8     /* ranges that one uplink still has to deliver of one stream */
#define PARCEL_OPEN_MAX 2    /* open parcels per uplink and stream: fresh and backfill */
#define PARCEL_PART_MAX 32   /* parts of one parcel */
#define PARCEL_PARTITION_MAX 16  /* partitions of a fresh cut; the rest is room for halves */
#define TARGET_NAME_SIZE_MAX 250 /* topic, stream, prefix; Kafka allows 249 characters */
#define CLUSTER_ID_SIZE_MAX 64
#define UPLINK_TYPE_SIZE_MAX 16
/* A registry's id, 4 bytes of Confluent's, 16 of Glue's, and 8 that say where it is from. */
#define REMOTE_ID_SIZE_MAX 24

/* Sequences first..last, both included; first >= 1. */
struct range {
    uint64_t first;
    uint64_t last;
};

enum layout {
    LAYOUT_ROWS = 1,    /* one message an event */
    LAYOUT_COLUMNS = 2, /* one message a batch */
    LAYOUT_JSON = 3,    /* as rows, the body plain JSON */
    LAYOUT_LETTER = 4,  /* as rows: the field `body` alone, each other field a header */
};

enum lane {
    LANE_FRESH = 0, /* slot 0 of the open parcels: everything with fifo */
    LANE_BACKFILL = 1,
};

/* One partition's share of a parcel: its events with sequences first..last. At the cutting each
 * partition has one part over the whole range; when a part is refused as too large it is halved:
 * the same partition then has several parts, one behind the other, and each is sent only when the
 * one before it is done. `producer_id`, `producer_epoch`, `base_sequence` are the uplink's own:
 * Kafka's numbers; the file uplink's file number and offset. */
/* Which time its records carry, in the bytes that went out first. Its numbers may change, this does
 * not: what is built again after a crash is the same, whatever the configuration says by then. */
enum part_stamp {
    PART_STAMP_OPEN = 0,  /* no numbers yet: the configuration says it */
    PART_STAMP_SENT = 1,  /* sent_ms */
    PART_STAMP_EVENT = 2, /* the events' own */
};

struct part {
    uint32_t partition;
    uint64_t first; /* sequences of its events lie in first..last; within the parcel's range */
    uint64_t last;
    uint32_t record_count;      /* messages */
    uint32_t events_per_record; /* rows: 1; columns: the largest number of events in a message */
    int64_t producer_id;
    int32_t producer_epoch;
    int64_t base_sequence;
    /* Wall clock of the first sending, Kafka's timestamp; -1: the clock was not trusted. */
    int64_t sent_ms;
    uint8_t stamp; /* enum part_stamp */
    bool assigned; /* the numbers stand: it may have been sent under them, assign() keeps them */
    bool done;
};

/* What the key of its events is, and so where they are placed: the same after a crash, whatever the
 * configuration says by then. */
enum parcel_key {
    PARCEL_KEY_NONE = 0,
    PARCEL_KEY_AGENT = 1,          /* the agent's: all of them in one partition */
    PARCEL_KEY_FIELD = 2,          /* + index of a field of the schema */
    PARCEL_KEY_UNSAID = INT32_MAX, /* of a buffer that did not say it: as the configuration does */
};

struct parcel {
    uint16_t uplink;
    uint16_t stream;
    uint8_t lane;    /* enum lane: the slot */
    uint8_t layout;  /* enum layout */
    uint32_t schema; /* the buffer's number of the schema that all its events have */
    uint32_t key;    /* enum parcel_key */
    struct range range;
    uint32_t incarnation; /* of its events. Not kept with it: agent/ fills it in */
    /* Of the uplink that it was cut for: another one knows nothing of its parts. "": by a version that
     * did not keep it. */
    char type[UPLINK_TYPE_SIZE_MAX];
    char target[TARGET_NAME_SIZE_MAX];
    char cluster_id[CLUSTER_ID_SIZE_MAX];
    uint32_t partition_count; /* at the time of cutting: the same again after a crash */
    uint32_t part_count;
    struct part parts[PARCEL_PART_MAX];
};

#endif
