/* Avro object container files (specification: "Object Container Files"): a header, then blocks of
 * data, each followed by the file's sync marker. Writing gives bytes, so that the caller decides
 * about files; reading takes bytes from wherever they are. */
#ifndef WEIR_UPLINK_AVRO_CONTAINER_H
#define WEIR_UPLINK_AVRO_CONTAINER_H

#include "uplink/avro/schema.h"

#define CONTAINER_SYNC_SIZE 16
#define CONTAINER_BLOCK_SIZE_MAX (16 * 1024 * 1024) /* raw bytes of a block that is read */
#define CONTAINER_META_SIZE_MAX (1024 * 1024)
#define CONTAINER_EMPTY_MAX 1000000 /* records of a block that may have no bytes */

enum container_codec { CONTAINER_NULL, CONTAINER_DEFLATE, CONTAINER_ZSTANDARD };
const char *container_codec_name(enum container_codec codec);

struct container_meta {
    struct slice key;
    struct slice value;
};

/* The header. `meta` is what stands beside avro.schema and avro.codec. */
void container_put_header(struct out *ret, struct slice schema, enum container_codec codec,
                          const struct container_meta *meta, size_t meta_count,
                          const uint8_t sync[CONTAINER_SYNC_SIZE]);

/* Compresses blocks; one thread at a time. level 0: the codec's default (deflate 6,
 * zstandard 3). */
struct container_packer;
enum err container_packer_open(struct container_packer **ret, enum container_codec codec,
                               int level) MUST_USE;
void container_packer_close(struct container_packer *packer);
/* One block of `count` datums, one behind the other in `raw`, with its sync marker. ERR_FULL: no
 * room, and `ret` is unchanged. */
enum err container_put_block(struct container_packer *packer, uint64_t count, struct slice raw,
                             const uint8_t sync[CONTAINER_SYNC_SIZE], struct out *ret) MUST_USE;

/* Reads as much as there is, at most `size`; *ret_size 0: the end. */
typedef enum err container_read(void *context, uint8_t *data, size_t size, size_t *ret_size);

struct container_reader;
/* Reads and checks the header. ERR_CORRUPT: not a container, or damaged; ERR_VERSION: a codec that
 * is not known here. */
enum err container_reader_open(struct container_reader **ret, container_read *read, void *context,
                               struct why *why) MUST_USE;
void container_reader_close(struct container_reader *reader);
const struct avro_schema *container_schema(const struct container_reader *reader);
enum container_codec container_codec_of(const struct container_reader *reader);
const uint8_t *container_sync(const struct container_reader *reader);
/* The value of a key of the metadata; data NULL: none. */
struct slice container_meta_find(const struct container_reader *reader, const char *key);
/* The next block, raw; valid until the next call. ERR_CLOSED: the orderly end. ERR_CORRUPT: damaged
 * or cut short; *why has the offset. */
enum err container_block(struct container_reader *reader, uint64_t *ret_count,
                         struct slice *ret_raw, struct why *why) MUST_USE;
/* Offset in the file behind the last block that was good. */
uint64_t container_offset(const struct container_reader *reader);

#endif
