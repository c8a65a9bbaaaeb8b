#include "uplink/object/object.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/crc32c.h"
#include "ports/lib/hash.h"
#include "uplink/object/block.h"
#include "uplink/object/name.h"

#define BLOCK_SIZE_MAX (4 * 1024 * 1024) /* of datums, so that a reader can keep it */
#define META_TEXT_MAX 256                /* of one value of the header */
#define DIGESTS_SIZE sizeof(struct object_digests)
#define TAIL_SIZE (8 + 4 + 8) /* time, count of parts, their size */

static_assert(DIGESTS_SIZE == 52, "bytes only");

const char *const object_codecs[] = {"null", "deflate", "zstandard", NULL};

enum err object_check_name(const void *value, struct why *why)
{
    static const char *const parts[] = {"{stream}", "{agent}", "{incarnation}", "{first}", NULL};
    const char *pattern = *(const char *const *)value;
    if (strstr(pattern, "{number}")) {
        why_set(why, "the name pattern \"%s\" has {number}, which only files have", pattern);
        return ERR_CONFIG;
    }
    return object_name_check(pattern, parts, why);
}

/* --- building --- */

static struct slice meta_text(const char *text)
{
    struct slice s = slice_of_text(text);
    s.size = s.size > META_TEXT_MAX ? META_TEXT_MAX : s.size;
    return s;
}

/* "agent/incarnation" apart. */
static void meta_identity(const char *identity, struct slice *ret_agent,
                          struct slice *ret_incarnation)
{
    const char *slash = identity ? strrchr(identity, '/') : NULL;
    *ret_agent = meta_text(identity);
    *ret_incarnation = meta_text(slash ? slash + 1 : "");
    if (slash && (size_t)(slash - identity) < ret_agent->size) {
        ret_agent->size = (size_t)(slash - identity);
    }
}

/* Sixteen bytes that nobody else's part has. */
static void container_marker(const struct batch *batch, uint8_t ret[CONTAINER_SYNC_SIZE])
{
    uint8_t memory[2 * META_TEXT_MAX + 64];
    struct out text = out_over(memory, sizeof memory);
    out_put_slice(&text, meta_text(batch->identity));
    out_put_byte(&text, 0);
    out_put_slice(&text, meta_text(batch->stream->name));
    out_put_u64_be(&text, batch->part->first);
    out_put_u64_be(&text, batch->part->last);
    static_assert(CONTAINER_SYNC_SIZE == HASH_MD5_SIZE, "a digest is a marker");
    hash_of(HASH_MD5, out_slice(&text), ret);
}

/* A parcel is one block, unless its events are very large. */
static enum err put_blocks(enum container_codec codec, int level, const struct batch *batch,
                           const uint8_t sync[CONTAINER_SYNC_SIZE], struct out *ret)
{
    enum err e = ERR_OK;
    for (size_t first = 0, next = 0; !e && first < batch->message_count; first = next) {
        size_t size = 0;
        do {
            size += batch->messages[next++].body.size;
        } while (next < batch->message_count &&
                 size + batch->messages[next].body.size <= BLOCK_SIZE_MAX);
        e = block_put(codec, level, batch->messages + first, next - first, sync, ret);
    }
    return e;
}

enum err object_put_container(enum container_codec codec, int level, const struct batch *batch,
                              struct out *ret)
{
    if (batch->parcel->layout != LAYOUT_ROWS || batch->message_count == 0) {
        return ERR_CONFIG; /* a container's records have the stream's schema: rows */
    }
    uint8_t sync[CONTAINER_SYNC_SIZE];
    char first[24];
    char last[24];
    struct slice agent;
    struct slice incarnation;
    snprintf(first, sizeof first, "%" PRIu64, batch->part->first);
    snprintf(last, sizeof last, "%" PRIu64, batch->part->last);
    meta_identity(batch->identity, &agent, &incarnation);
    container_marker(batch, sync);
    const struct container_meta meta[] = {
        {SLICE("weir.agent"), agent},
        {SLICE("weir.stream"), meta_text(batch->stream->name)},
        {SLICE("weir.incarnation"), incarnation},
        {SLICE("weir.first"), slice_of_text(first)},
        {SLICE("weir.last"), slice_of_text(last)},
    };
    container_put_header(ret, batch->schema->json, codec, meta, ARRAY_COUNT(meta), sync);
    return ret->overflow ? ERR_FULL : put_blocks(codec, level, batch, sync, ret);
}

static void digests_put(unsigned wanted, struct slice bytes, struct out *ret)
{
    struct object_digests d = {{0}, {0}, {0}};
    struct out crc = out_over(d.crc32c, sizeof d.crc32c);
    if (wanted & OBJECT_MD5) {
        hash_of(HASH_MD5, bytes, d.md5);
    }
    if (wanted & OBJECT_SHA256) {
        hash_of(HASH_SHA256, bytes, d.sha256);
    }
    if (wanted & OBJECT_CRC32C) {
        out_put_u32_be(&crc, crc32c(0, bytes));
    }
    out_put(ret, &d, sizeof d);
}

static void tail_put(const struct object_wrapping *w, const struct batch *batch, struct slice body,
                     struct out *ret)
{
    static const uint8_t no_marks[OBJECT_MARKS_SIZE];
    bool is_whole = body.size <= w->whole_size_max;
    struct object object = {.body = body, .part_size = is_whole ? body.size : w->part_size};
    object.part_count = is_whole ? 1 : (uint32_t)((body.size + w->part_size - 1) / w->part_size);
    for (uint32_t i = 0; i < object.part_count; i++) {
        digests_put(w->digests, object_part(&object, i), ret);
    }
    if (object.part_count > 1) {
        out_put(ret, no_marks, sizeof no_marks);
    }
    out_put_u64_le(ret, (uint64_t)batch->messages[0].time_us);
    out_put_u32_le(ret, object.part_count);
    out_put_u64_le(ret, object.part_size);
}

enum err object_wrap(const struct object_wrapping *wrapping, const struct batch *batch,
                     struct out *ret)
{
    const struct object_options *options = wrapping->options;
    size_t start = ret->size;
    enum err e =
        object_put_container((enum container_codec)options->codec, (int)options->level, batch, ret);
    if (!e && http_base_is_too_large(batch, ret->size - start)) {
        e = ERR_FULL;
    }
    if (!e) {
        tail_put(wrapping, batch, (struct slice){ret->data + start, ret->size - start}, ret);
        e = ret->overflow ? ERR_FULL : ERR_OK;
    }
    return e;
}

/* --- reading --- */

void object_of(const struct batch *batch, struct object *ret)
{
    assert(batch->wire.size > TAIL_SIZE + DIGESTS_SIZE);
    size_t end = batch->wire.size - TAIL_SIZE;
    struct slice tail = {batch->wire.data + end, TAIL_SIZE};
    uint64_t time_us = 0;
    uint64_t part_size = 0;
    *ret = (struct object){.marks = NULL};
    bool is_read = slice_take_u64_le(&tail, &time_us) &&
                   slice_take_u32_le(&tail, &ret->part_count) &&
                   slice_take_u64_le(&tail, &part_size);
    assert(is_read && ret->part_count >= 1 && part_size > 0); /* object_wrap() wrote it */
    ret->time_us = (int64_t)time_us;
    ret->part_size = (size_t)part_size;
    if (ret->part_count > 1) {
        end -= OBJECT_MARKS_SIZE;
        ret->marks = batch->wire_memory + end;
    }
    end -= ret->part_count * DIGESTS_SIZE;
    ret->digests = batch->wire.data + end;
    ret->body = (struct slice){batch->wire.data, end};
}

struct slice object_part(const struct object *object, uint32_t index)
{
    size_t begin = index * object->part_size;
    assert(index < object->part_count && begin < object->body.size);
    size_t left = object->body.size - begin;
    return (struct slice){object->body.data + begin,
                          left < object->part_size ? left : object->part_size};
}

void object_digests(const struct object *object, uint32_t index, struct object_digests *ret)
{
    assert(index < object->part_count);
    memcpy(ret, object->digests + index * DIGESTS_SIZE, sizeof *ret);
}

void object_built(struct uplink *uplink, struct batch *batch)
{
    struct object object;
    (void)uplink;
    object_of(batch, &object);
    if (batch->part->base_sequence == -1) {
        batch->part->base_sequence = object.time_us;
    }
}

enum err object_name_of(const struct batch *batch, struct out *ret, struct why *why)
{
    struct object_name name = {.stream = "",
                               .agent = "", /* they are filled in already */
                               .first = batch->part->first,
                               .last = batch->part->last,
                               .time_us = batch->part->base_sequence};
    if (!strstr(batch->target.name, "{first}")) { /* then all agents would have it */
        why_set(why,
                "events in doubt were cut for \"%.80s\", which is no name of an object: was "
                "the uplink of another type then?",
                batch->target.name);
        return ERR_CONFIG;
    }
    return object_name_write(batch->target.name, &name, ret, why);
}

enum err object_target(const struct http_base *base, const struct object_options *options,
                       const struct stream_info *stream, struct target *ret, struct why *why)
{
    struct target target = {.layout = ret->layout,
                            .partition_count = 1,
                            .request_size_max = http_base_size(base, OBJECT_REQUEST_SIZE_MAX),
                            .record_size_max = OBJECT_RECORD_SIZE_MAX};
    struct object_name name = {
        .stream = stream->name, .agent = base->agent_id, .incarnation = base->incarnation};
    struct out out = out_over(target.name, sizeof target.name);
    enum err e = object_name_bind(options->name, &name, &out, why);
    if (!e) {
        *ret = target;
    }
    return e;
}
