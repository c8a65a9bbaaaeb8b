/* Messages of one part as groups of one ordering key each. Pure; pack worker. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ports/lib/deflate.h"
#include "ports/lib/hash.h"
#include "ports/lib/zstd.h"
#include "uplink/google/grpc.h"
#include "uplink/google/publish.h"
#include "uplink/google/pubsub.h"
#include "uplink/google/pubsub_wire.h"
#include "uplink/layout/columns.h"
#include "uplink/layout/framing.h"

#define GZIP_LEVEL 6
#define GZIP_SIZE_MIN 200 /* below it there is nothing to gain but the head's 18 bytes to lose */
#define SMALL_SIZE 4096   /* columns up to this are packed harder: 1 to 2 % fewer bytes */
#define SMALL_LEVEL 19
#define SCRATCH_SIZE 1024    /* texts of one message */
#define AROUND_SIZE_MAX 4096 /* of a request: topic, attributes, ordering key */
#define SEQUENCE_SIZE_MAX 20 /* of one message in a group */

/* One message, and the key it goes by; sorted, those of a key stand together and in their order. */
struct keyed {
    struct slice key;
    uint32_t index;
};

struct wrapper {
    const struct pubsub_options *options;
    const struct batch *batch;
    struct keyed *messages;
    struct out texts; /* keys that had to be made */
    struct deflate_encoder *deflate;
    struct zstd_encoder *zstd;
    uint8_t *packed; /* one message in columns, compressed */
    size_t packed_size;
};

uint32_t pubsub_size_max(const struct pubsub_options *options)
{
    uint32_t size = options->transport == PUBSUB_GRPC ? PUBLISH_SIZE_MAX : PUBLISH_REST_SIZE_MAX;
    return size - AROUND_SIZE_MAX;
}

/* --- ordering keys --- */

static struct slice identity_of(const struct batch *batch)
{
    return slice_of_text(batch->identity ? batch->identity : "");
}

/* The service takes UTF-8 of up to 1 KB; other keys are known by their hash. */
static struct slice key_as_text(struct wrapper *w, struct slice key)
{
    if (key.size <= PUBLISH_ORDERING_KEY_MAX && slice_is_utf8(key)) {
        return key;
    }
    uint8_t digest[HASH_SHA256_SIZE];
    uint8_t *start = w->texts.data + w->texts.size;
    size_t before = w->texts.size;
    hash_of(HASH_SHA256, key, digest);
    out_put_text(&w->texts, "sha256:");
    hash_put_hex(&w->texts, (struct slice){digest, sizeof digest});
    return (struct slice){start, w->texts.size - before};
}

/* Events of several keys that are in one message are ordered by their bucket. */
static struct slice key_of_bucket(struct wrapper *w)
{
    uint8_t *start = w->texts.data + w->texts.size;
    size_t before = w->texts.size;
    out_put_slice(&w->texts, identity_of(w->batch));
    out_put_format(&w->texts, "/%" PRIu32, w->batch->part->partition);
    return (struct slice){start, w->texts.size - before};
}

static struct slice ordering_key(struct wrapper *w, const struct message *message)
{
    bool has_bucket =
        w->batch->parcel->layout == LAYOUT_COLUMNS && w->batch->parcel->key >= PARCEL_KEY_FIELD;
    switch ((enum pubsub_ordering)w->options->ordering) {
    case PUBSUB_ORDER_NONE:
        return (struct slice){NULL, 0};
    case PUBSUB_ORDER_AGENT:
        return key_as_text(w, identity_of(w->batch));
    case PUBSUB_ORDER_KEY:
        break;
    }
    if (has_bucket) {
        return key_of_bucket(w);
    }
    return message->key.data ? key_as_text(w, message->key) : (struct slice){NULL, 0};
}

static int keyed_compare(const void *a, const void *b)
{
    const struct keyed *left = a;
    const struct keyed *right = b;
    int order = slice_compare(left->key, right->key);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

/* --- one message --- */

static struct slice text_end(struct out *texts, size_t start)
{
    return (struct slice){texts->data + start, texts->size - start};
}

static void attribute_put(struct publish_message *ret, const char *key, struct slice value)
{
    ret->attributes[ret->attribute_count++] = (struct publish_attribute){slice_of_text(key), value};
}

/* What a bare datum is to be read by. */
static struct slice schema_text(const struct batch *batch, struct out *texts)
{
    size_t start = texts->size;
    for (size_t i = sizeof batch->schema->fingerprint; i-- > 0;) {
        hash_put_hex(texts, (struct slice){&batch->schema->fingerprint[i], 1});
    }
    return text_end(texts, start);
}

static const char *type_of(const struct batch *batch)
{
    return batch->parcel->layout == LAYOUT_COLUMNS ? "columns"
           : batch->target.is_json                 ? "json"
           : batch->target.prefix_size             ? "single_object"
                                                   : "avro";
}

static struct slice id_text(const struct batch *batch, uint64_t sequence, struct out *texts)
{
    size_t start = texts->size;
    out_put_slice(texts, identity_of(batch));
    out_put_format(texts, "/%s/%" PRIu64, batch->stream->name, sequence);
    return text_end(texts, start);
}

static uint64_t last_sequence(const struct batch *batch, uint32_t index)
{
    const struct message *message = &batch->messages[index];
    return message->event_count == 1          ? message->sequence
           : index + 1 < batch->message_count ? message[1].sequence - 1
                                              : batch->last;
}

static void attributes_put(const struct wrapper *w, uint32_t index, struct publish_message *ret,
                           struct out *texts)
{
    const struct batch *batch = w->batch;
    const struct message *message = &batch->messages[index];
    if (w->options->attributes == PUBSUB_ATTRIBUTES_NONE) {
        return;
    }
    attribute_put(ret, "weir_id", id_text(batch, message->sequence, texts));
    if (batch->parcel->layout == LAYOUT_COLUMNS) {
        size_t start = texts->size;
        out_put_format(texts, "%" PRIu64, last_sequence(batch, index));
        attribute_put(ret, "weir_last", text_end(texts, start));
    }
    if (batch->parcel->lane == LANE_BACKFILL) {
        attribute_put(ret, "weir_lane", SLICE("backfill"));
    }
    if (w->options->attributes == PUBSUB_ATTRIBUTES_ALL) {
        attribute_put(ret, "stream", slice_of_text(batch->stream->name));
        attribute_put(ret, "schema", schema_text(batch, texts));
        attribute_put(ret, "type", slice_of_text(type_of(batch)));
    }
}

/* A message in columns within a zstd frame, where that is smaller. */
static enum err pack_columns(struct wrapper *w, struct slice body, struct slice *ret)
{
    if (w->packed_size < body.size) {
        free(w->packed);
        w->packed = malloc(body.size);
        w->packed_size = w->packed ? body.size : 0;
        if (!w->packed) {
            return ERR_NOMEM;
        }
    }
    enum err e = w->zstd ? ERR_OK : zstd_encoder_open(&w->zstd, COLUMNS_ZSTD_LEVEL);
    if (e) {
        return e;
    }
    struct out o = out_over(w->packed, body.size);
    zstd_encoder_level_set(w->zstd, body.size <= SMALL_SIZE ? SMALL_LEVEL : COLUMNS_ZSTD_LEVEL);
    e = zstd_encode(w->zstd, body, &o);
    *ret = e == ERR_FULL || (!e && o.size >= body.size) ? body : out_slice(&o);
    return e == ERR_FULL ? ERR_OK : e;
}

/* Texts are in `texts`, a body in columns in w->packed: until the next message. */
static enum err message_fill(struct wrapper *w, const struct keyed *keyed,
                             struct publish_message *ret, struct out *texts)
{
    const struct message *message = &w->batch->messages[keyed->index];
    *ret = (struct publish_message){.data = message->body, .ordering_key = keyed->key};
    texts->size = 0;
    attributes_put(w, keyed->index, ret, texts);
    if (texts->overflow) {
        return ERR_CONFIG; /* names of agent and stream are bounded */
    }
    return w->batch->parcel->layout == LAYOUT_COLUMNS && !message->is_packed
               ? pack_columns(w, message->body, &ret->data)
               : ERR_OK;
}

/* --- groups --- */

/* The frame that begins there is whole: its head, and within it gzip where that is smaller. */
static void frame_end(const struct wrapper *w, struct out *o, size_t at, struct pubsub_group *group)
{
    size_t raw_at = at + GRPC_FRAME_HEAD_SIZE;
    struct slice raw = {o->data + raw_at, o->size - raw_at};
    group->raw_size = (uint32_t)raw.size;
    if (w->deflate && raw.size >= GZIP_SIZE_MIN) {
        uint8_t *memory = malloc(raw.size);
        struct out gzip = out_over(memory, memory ? raw.size - 1 : 0);
        group->is_gzip = memory && deflate_encode_gzip(w->deflate, raw, &gzip) == ERR_OK;
        if (group->is_gzip) {
            memcpy(o->data + raw_at, gzip.data, gzip.size);
            o->size = raw_at + gzip.size;
        }
        free(memory);
    }
    grpc_frame_head(o->data + at, group->is_gzip, (uint32_t)(o->size - raw_at));
}

/* The messages from `at` on that have the same key, as many as a request may have. */
static uint32_t group_room(const struct wrapper *w, size_t at)
{
    uint32_t room = 1;
    while (at + room < w->batch->message_count && room < PUBLISH_MESSAGE_MAX &&
           slice_equal(w->messages[at + room].key, w->messages[at].key)) {
        room++;
    }
    return room;
}

/* Puts as many of them as its size allows; group->count says how many. */
static enum err group_messages(struct wrapper *w, size_t at, uint32_t room,
                               struct pubsub_group *group, struct out *sequences, struct out *ret)
{
    uint8_t scratch[SCRATCH_SIZE];
    struct out texts = out_over(scratch, sizeof scratch);
    size_t bytes = 0;
    uint64_t last = 0;
    for (group->count = 0; group->count < room; group->count++) {
        const struct keyed *keyed = &w->messages[at + group->count];
        struct publish_message message;
        enum err e = message_fill(w, keyed, &message, &texts);
        if (e) {
            return e;
        }
        size_t size = publish_message_size(&message);
        if (bytes + size > pubsub_size_max(w->options)) {
            return group->count ? ERR_OK : ERR_FULL;
        }
        publish_put_message(ret, &message);
        pubsub_sequence_put(sequences, &last, w->batch->messages[keyed->index].sequence,
                            last_sequence(w->batch, keyed->index));
        bytes += size;
    }
    return ERR_OK;
}

static enum err group_put(struct wrapper *w, size_t at, struct pubsub_group *group, struct out *ret)
{
    static const uint8_t head[GRPC_FRAME_HEAD_SIZE] = {0};
    uint32_t room = group_room(w, at);
    size_t sequences_size = (size_t)room * SEQUENCE_SIZE_MAX;
    uint8_t *memory = malloc(sequences_size);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out sequences = out_over(memory, sequences_size);
    size_t begin = pubsub_group_begin(ret, room);
    out_put(ret, head, sizeof head);
    publish_put_topic(ret, slice_of_text(w->batch->target.name));
    enum err e = group_messages(w, at, room, group, &sequences, ret);
    e = !e && ret->overflow ? ERR_FULL : e;
    if (!e) {
        frame_end(w, ret, pubsub_group_frame_at(begin, room), group);
        group->sequences = out_slice(&sequences);
        pubsub_group_end(ret, begin, group);
    }
    free(memory);
    return !e && ret->overflow ? ERR_FULL : e;
}

/* --- the part --- */

static enum err wrap_groups(struct wrapper *w, struct out *ret)
{
    const struct batch *batch = w->batch;
    size_t begin = ret->size;
    struct pubsub_group group = {.key = 0};
    for (size_t at = 0; at < batch->message_count; at += group.count) {
        bool is_new = at && !slice_equal(w->messages[at].key, w->messages[at - 1].key);
        group = (struct pubsub_group){.key = group.key + is_new};
        enum err e = group_put(w, at, &group, ret);
        if (e) {
            return e;
        }
    }
    /* What is one event can't be made smaller. */
    bool may_shrink = batch->event_count > 1 && !batch->part->assigned;
    return may_shrink && ret->size - begin > batch->target.request_size_max ? ERR_FULL : ERR_OK;
}

static enum err wrapper_open(struct wrapper *w)
{
    size_t count = w->batch->message_count;
    size_t identity = w->batch->identity ? strlen(w->batch->identity) : 0;
    size_t text_size =
        2 * HASH_SHA256_SIZE + 16 > identity + 16 ? 2 * HASH_SHA256_SIZE + 16 : identity + 16;
    w->messages = malloc(count * sizeof *w->messages);
    uint8_t *texts = malloc(count * text_size);
    w->texts = out_over(texts, texts ? count * text_size : 0);
    if (!w->messages || !texts) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        w->messages[i] = (struct keyed){ordering_key(w, &w->batch->messages[i]), (uint32_t)i};
    }
    assert(!w->texts.overflow);
    qsort(w->messages, count, sizeof *w->messages, keyed_compare);
    bool is_gzip = w->options->compress && w->options->transport != PUBSUB_REST;
    return is_gzip ? deflate_encoder_open(&w->deflate, GZIP_LEVEL) : ERR_OK;
}

enum err pubsub_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    assert(batch->message_count > 0);
    struct wrapper w = {.options = options, .batch = batch};
    enum err e = wrapper_open(&w);
    e = e ? e : wrap_groups(&w, ret);
    zstd_encoder_close(w.zstd);
    deflate_encoder_close(w.deflate);
    free(w.packed);
    free(w.texts.data);
    free(w.messages);
    return e;
}
