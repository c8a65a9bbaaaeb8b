/* The bytes of one part, as the uplink pubsub keeps them: groups one behind the other, each a
 * PublishRequest with messages of one ordering key, ready to be sent as it is, and beside it which of
 * its messages are there already. Groups of one key stand together and in order.
 *
 *   group    total u32 | room u32 | key u32 | count u32 | raw size u32 | sequences' size u32 | flags u8
 *            | marks: 2 bits for each of `room` messages | frame: gRPC's, maybe gzip
 *            | sequences: a pair of uvarints for each of `count` messages
 *
 * All of it is ours: what is read here was written here. Integers are little-endian. */
#ifndef WEIR_UPLINK_GOOGLE_PUBSUB_WIRE_H
#define WEIR_UPLINK_GOOGLE_PUBSUB_WIRE_H

#include "ports/err.h"
#include "ports/parcel.h"
#include "ports/slice.h"

enum pubsub_mark {
    PUBSUB_OPEN = 0,
    PUBSUB_DONE = 1,    /* the service has it */
    PUBSUB_REFUSED = 2, /* by itself, for good */
};

struct pubsub_group {
    uint32_t key;      /* number of its ordering key within the part */
    uint32_t count;    /* messages */
    uint32_t raw_size; /* of the PublishRequest, not compressed */
    bool is_gzip;
    uint8_t *marks;
    struct slice sequences;
    struct slice frame; /* with gRPC's head */
};

/* Begins a group of up to `room` messages: what follows is its frame. Returns where it began. */
size_t pubsub_group_begin(struct out *o, uint32_t room);
/* Where its frame begins. */
size_t pubsub_group_frame_at(size_t begin, uint32_t room);
/* The frame is there: ends the group with what *group says of it (marks and frame are not looked
 * at). */
void pubsub_group_end(struct out *o, size_t begin, const struct pubsub_group *group);

/* The next group at *at, an offset that begins at 0. False: there is none. */
bool pubsub_group_next(uint8_t *wire, size_t size, size_t *at, struct pubsub_group *ret);

enum pubsub_mark pubsub_mark_get(const struct pubsub_group *group, uint32_t index);
void pubsub_mark_set(struct pubsub_group *group, uint32_t index, enum pubsub_mark mark);

/* First and last sequence of each message, in order: put as differences, taken back. */
struct pubsub_sequences {
    struct slice rest;
    uint64_t last;
};
void pubsub_sequence_put(struct out *o, uint64_t *last, uint64_t first_of_it, uint64_t last_of_it);
struct pubsub_sequences pubsub_sequences_of(const struct pubsub_group *group);
/* Of the next message. There is one. */
struct range pubsub_sequence_next(struct pubsub_sequences *sequences);

#endif
