/* What the object stores have in common: one part of a parcel is one object, an Avro container with
 * usually one block, put under a name that is a pure function of the part.
 *
 * The name's pattern, with stream, agent and incarnation filled in, is on record with the parcel
 * before the first byte leaves; first and last sequence and the time are the part's. So whatever is sent again,
 * after a lost answer or a crash, overwrites itself. */
#ifndef WEIR_UPLINK_OBJECT_OBJECT_H
#define WEIR_UPLINK_OBJECT_OBJECT_H

#include "uplink/avro/container.h"
#include "uplink/http/http_base.h"

#define OBJECT_SIZE_MAX (64 * 1024 * 1024) /* what one parcel can become */
#define OBJECT_REQUEST_SIZE_MAX \
    (4 * 1024 * 1024) /* of a new one; a parcel's events bound it first */
#define OBJECT_RECORD_SIZE_MAX (1024 * 1024)
#define OBJECT_WHOLE_SIZE_MAX (16 * 1024 * 1024) /* larger ones may be put in parts */
#define OBJECT_PART_SIZE (8 * 1024 * 1024)
#define OBJECT_PART_MAX (OBJECT_SIZE_MAX / OBJECT_PART_SIZE)
#define OBJECT_MARKS_SIZE 2048    /* the uplink's notes about a multipart upload */
#define OBJECT_NAME_SIZE_MAX 1024 /* S3's limit for keys; the others allow as much */

/* Rows of their tables, and where they lie. */
struct object_options {
    const char *name;
    int64_t codec; /* enum container_codec */
    int64_t level;
    int64_t timeout_ms;
};
extern const char *const object_codecs[];
enum err object_check_name(const void *value, struct why *why);
#define OBJECT_ROWS(type, member) \
    {.name = "name", \
     .kind = OPTION_TEXT, \
     .offset = offsetof(type, member.name), \
     .min = 1, \
     .max = 200, \
     .initial = "{stream}/dt=%Y-%m-%d/{agent}-{incarnation}-{first}-{last}.avro", \
     .check = object_check_name, \
     .help = "Name of an object: {stream}, {agent}, {incarnation}, {first} and {last} sequence " \
             "in it; %Y %m %d %H %M of the time of its first event, in UTC."}, \
        {.name = "codec", \
         .kind = OPTION_CHOICE, \
         .offset = offsetof(type, member.codec), \
         .initial = "deflate", \
         .words = object_codecs, \
         .help = "Compression inside the Avro containers. Every reader knows deflate; zstandard " \
                 "is smaller."}, \
        {.name = "level", \
         .kind = OPTION_INT, \
         .offset = offsetof(type, member.level), \
         .max = 19, \
         .initial = "0", \
         .help = "How hard to compress: deflate 1-9, zstandard 1-19; 0: the codec's usual one."}, \
    { \
        .name = "timeout", .kind = OPTION_DURATION, .offset = offsetof(type, member.timeout_ms), \
        .min = 1000, .max = 3600000, .initial = "30 s", \
        .help = "A request that makes no progress for so long has failed, and is repeated." \
    }

/* An Avro container of the batch's messages. Its marker and header are a function of the part, so
 * that it is the same byte for byte when it is built again. ERR_FULL. */
enum err object_put_container(enum container_codec codec, int level, const struct batch *batch,
                              struct out *ret) MUST_USE;

enum object_digest { OBJECT_MD5 = 1, OBJECT_SHA256 = 2, OBJECT_CRC32C = 4 };
struct object_digests {
    uint8_t md5[16];
    uint8_t sha256[32];
    uint8_t crc32c[4]; /* big-endian */
};

/* wrap(): the container, and behind it what the loop would otherwise have to compute: the digests of
 * what `digests` (enum object_digest) names, one for the whole, or for each part of part_size when
 * it is larger than whole_size_max. */
struct object_wrapping {
    const struct object_options *options;
    unsigned digests;
    size_t whole_size_max; /* SIZE_MAX: never in parts */
    size_t part_size;
};
enum err object_wrap(const struct object_wrapping *wrapping, const struct batch *batch,
                     struct out *ret) MUST_USE;

/* What object_wrap() made. */
struct object {
    struct slice body;
    int64_t time_us; /* of its first event */
    uint32_t part_count;
    size_t part_size;
    const uint8_t *digests; /* part_count of them, not aligned */
    uint8_t *marks;         /* OBJECT_MARKS_SIZE, zeroed by object_wrap(); NULL: it has one part */
};
void object_of(const struct batch *batch, struct object *ret);
struct slice object_part(const struct object *object, uint32_t index);
void object_digests(const struct object *object, uint32_t index, struct object_digests *ret);
/* built(): keeps the time of its first event, of which the name is made, in the part's
 * `base_sequence`. A time that is found out later, or a first event that is dropped, changes no name
 * that is on record. */
void object_built(struct uplink *uplink, struct batch *batch);
/* Appends the name and a NUL; as it is, not escaped. ERR_CONFIG. */
enum err object_name_of(const struct batch *batch, struct out *ret, struct why *why) MUST_USE;

/* target() of the stores. */
enum err object_target(const struct http_base *base, const struct object_options *options,
                       const struct stream_info *stream, struct target *ret,
                       struct why *why) MUST_USE;

#endif
