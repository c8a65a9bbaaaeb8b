/* The open shards of one stream: which of them owns a hash, and how much more each takes now. A shard
 * takes 1 000 records and 1 MB in a second, whoever sends them; what would be more than that within any
 * second of ours waits here and is not refused there, and a shard that refuses nevertheless (for others
 * write to it too) is left alone for a while: it, and no other. Loop thread. */
#ifndef WEIR_UPLINK_AWS_KINESIS_SHARDS_H
#define WEIR_UPLINK_AWS_KINESIS_SHARDS_H

#include "ports/err.h"
#include "uplink/aws/kinesis_hash.h"

#define SHARD_MAX 4096 /* of one stream; of more there are only those that came first */
#define SHARD_NAME_SIZE 32
#define SHARD_RECORD_MAX 1000 /* in a second */
#define SHARD_SIZE_MAX 1000000
#define SHARD_SLOT_MS 50
#define SHARD_SLOT_COUNT 21 /* a second, and the slot that has begun */
#define SHARD_PAUSE_MS_FIRST 250
#define SHARD_PAUSE_MS_MAX 30000

struct shard {
    struct kinesis_hash first, last;
    char name[SHARD_NAME_SIZE]; /* "": not known, or longer */
    uint64_t slot;              /* number of the newest one */
    uint16_t records[SHARD_SLOT_COUNT];
    uint32_t sizes[SHARD_SLOT_COUNT];
    uint64_t pause_until_ms;
    unsigned attempt; /* refusals since it took something */
};

struct shards {
    struct shard *items; /* sorted by `first` */
    size_t count;        /* 0: not known */
    size_t more;         /* that had no room */
};

/* Zeroed is fine. */
void shards_release(struct shards *shards);
/* One shard without limits over the whole space, for a stream whose shards may not be listed.
 * ERR_NOMEM. */
enum err shards_set_unknown(struct shards *shards) MUST_USE;
/* Adds the open shards of an answer of ListShards; *ret_next is its NextToken, "" when there is none.
 * ERR_CORRUPT: it is no such answer; ERR_FULL: the token has no room; ERR_NOMEM. */
enum err shards_read(struct shards *shards, struct slice json, char *ret_next,
                     size_t next_size) MUST_USE;
/* All have been read: sorts them, and takes over from `before` what shards that are still there have
 * sent. ERR_CORRUPT: there are none. */
enum err shards_finish(struct shards *shards, const struct shards *before) MUST_USE;
/* The shard that owns the hash: never NULL once there are any. */
struct shard *shards_of(const struct shards *shards, const struct kinesis_hash *hash);

/* How long until it takes a record of this size; 0: now. */
uint64_t shard_wait_ms(const struct shard *shard, uint64_t now_ms, size_t size);
/* It was sent one. */
void shard_took(struct shard *shard, uint64_t now_ms, size_t size);
/* It has stored something. */
void shard_stored(struct shard *shard);
/* It has refused something: the pause grows, with jitter by `chance`. */
void shard_refused(struct shard *shard, uint64_t now_ms, uint32_t chance);

#endif
