/* A batch as records: which key and hash each has, what is put together, and what goes before what.
 * Pack worker. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "ports/lib/zstd.h"
#include "uplink/aws/kinesis.h"
#include "uplink/aws/kinesis_entries.h"
#include "uplink/aws/kpl.h"
#include "uplink/layout/columns.h"

#define RUN 1024 /* events without a key change the bucket after so many */
#define KEY_SIZE 1024
#define KNOWN_KEY_MAX 64 /* of an aggregate, that are found again */

struct wrap {
    const struct kinesis_options *options;
    const struct batch *batch;
    struct out *ret;
    size_t start;
    struct entries_order *order;
    struct kinesis_hash hash; /* of what stands for several keys */
    bool has_hash;            /* the user's, for everything */
};

/* --- keys --- */

/* The characters as the service counts them: those beyond the basic plane twice. */
static size_t key_length(struct slice key)
{
    size_t length = 0;
    for (size_t i = 0; i < key.size; i++) {
        length += (key.data[i] & 0xc0) != 0x80;
        length += key.data[i] >= 0xf0;
    }
    return length;
}

static bool key_is_allowed(struct slice key)
{
    return key.size > 0 && key.size <= KEY_SIZE && slice_is_utf8(key) &&
           key_length(key) <= KINESIS_KEY_LENGTH_MAX;
}

static struct slice key_put_digest(struct slice of, struct out *o)
{
    uint8_t digest[HASH_MD5_SIZE];
    hash_of(HASH_MD5, of, digest);
    o->size = 0;
    hash_put_hex(o, (struct slice){digest, sizeof digest});
    return out_slice(o);
}

/* What stands for the key of events without one: the same for a while, another one for each agent. */
static struct slice run_put(const struct target *target, uint64_t sequence, struct out *o)
{
    out_put_text(o, target->cluster_id);
    out_put_byte(o, '-');
    out_put_number(o, sequence / RUN);
    return out_slice(o);
}

static struct kinesis_hash key_hash(const struct target *target, struct slice key,
                                    uint64_t sequence)
{
    uint8_t memory[CLUSTER_ID_SIZE_MAX + 32];
    struct out o = out_over(memory, sizeof memory);
    return kinesis_hash_of(key.data ? key : run_put(target, sequence, &o));
}

uint32_t kinesis_place(const struct target *target, struct slice key, uint64_t sequence)
{
    if (target->partition_count == 1) {
        return 0;
    }
    struct kinesis_hash hash = key_hash(target, key, sequence);
    return kinesis_hash_bucket(&hash, target->partition_count);
}

static bool has_id(const struct wrap *w)
{
    return w->options->event_id == KINESIS_ID_PARTITION_KEY && w->batch->identity;
}

/* agent/incarnation/stream/sequence; what is longer than a key may be is known by its digest. */
static struct slice id_put(const struct wrap *w, const struct message *message, struct out *o)
{
    out_put_format(o, "%s/%s/%" PRIu64, w->batch->identity, w->batch->stream->name,
                   message->sequence);
    struct slice id = out_slice(o);
    return !o->overflow && key_is_allowed(id) ? id : key_put_digest(id, o);
}

/* The partition key of a record or of an event in one. *ret_is_own: it has the hash of the event's key
 * by itself. */
static struct slice partition_key(const struct wrap *w, const struct message *message,
                                  struct out *o, bool *ret_is_own)
{
    bool is_rows = w->batch->parcel->layout != LAYOUT_COLUMNS;
    *ret_is_own = false;
    if (is_rows ? has_id(w) : !message->key.data && w->batch->identity) {
        return id_put(w, message, o);
    }
    if (!message->key.data) {
        *ret_is_own = is_rows;
        return run_put(&w->batch->target, message->sequence, o);
    }
    *ret_is_own = key_is_allowed(message->key);
    return *ret_is_own ? message->key : key_put_digest(message->key, o);
}

/* --- records --- */

static enum err put_entry(struct wrap *w, struct entry *entry, bool is_ordered)
{
    size_t at = w->ret->size - w->start;
    size_t size_max = (size_t)w->options->record_size_max;
    /* What was cut stands, halves of it too; whether it is too large now, the service says. */
    bool was_cut = w->batch->part->assigned || w->batch->target.request_size_max == UINT32_MAX;
    if (entry->key.size + entry->data.size > size_max && !was_cut) {
        return ERR_FULL;
    }
    if (at > UINT32_MAX / 2) {
        return ERR_FULL;
    }
    entry->at = (uint32_t)at;
    entry->before = ENTRY_NONE;
    size_t before = w->ret->size;
    entries_put(w->ret, w->start, entry);
    if (w->ret->overflow) {
        w->ret->size = before;
        return ERR_FULL;
    }
    if (is_ordered && w->options->ordering == KINESIS_ORDER_KEY) {
        struct slice entries = {w->ret->data + w->start, w->ret->size - w->start};
        entry->before = entries_order_put(w->order, entries, &entry->hash, entry->at);
        entry_before_set(w->ret->data + w->start, entry->at, entry->before);
    }
    return ERR_OK;
}

/* Goes to the shard of its partition key, without a hash beside it: that key has the hash by itself, or
 * all of the stream is one shard and nobody waits for an order. */
static bool goes_by_partition_key(const struct wrap *w, const struct message *message, bool is_own)
{
    return !w->has_hash &&
           (is_own || (!message->key.data && w->batch->target.partition_count == 1));
}

static enum err put_row(struct wrap *w, const struct message *message)
{
    uint8_t memory[KEY_SIZE];
    struct out o = out_over(memory, sizeof memory);
    bool is_own;
    struct entry entry = {.data = message->body, .key = partition_key(w, message, &o, &is_own)};
    if (goes_by_partition_key(w, message, is_own)) {
        entry.hash = kinesis_hash_of(entry.key);
    } else {
        entry.flags = ENTRY_HAS_HASH_KEY;
        entry.hash =
            w->has_hash ? w->hash : key_hash(&w->batch->target, message->key, message->sequence);
    }
    return put_entry(w, &entry, message->key.data != NULL);
}

/* Columns: one record, in a zstd frame where that is smaller. */
static enum err put_columns(struct wrap *w, const struct message *message)
{
    uint8_t memory[KEY_SIZE];
    struct out o = out_over(memory, sizeof memory);
    struct out frame = out_over(NULL, 0);
    struct zstd_encoder *encoder = NULL;
    bool is_own;
    struct entry entry = {.data = message->body, .key = partition_key(w, message, &o, &is_own)};
    bool has_hash = w->has_hash || !message->key.data;
    entry.hash = has_hash ? w->hash : kinesis_hash_of(message->key);
    entry.flags = has_hash || !is_own ? ENTRY_HAS_HASH_KEY : 0;
    if (!message->is_packed) {
        frame = out_over(malloc(zstd_bound(message->body.size)), zstd_bound(message->body.size));
        enum err e = frame.data ? zstd_encoder_open(&encoder, COLUMNS_ZSTD_LEVEL) : ERR_NOMEM;
        e = e ? e : zstd_encode(encoder, message->body, &frame);
        zstd_encoder_close(encoder);
        if (e) {
            free(frame.data);
            return e;
        }
        entry.data = frame.size < message->body.size ? out_slice(&frame) : message->body;
    }
    enum err e = put_entry(w, &entry, true);
    free(frame.data);
    return e;
}

/* --- aggregates --- */

/* The table of keys of one aggregate. */
struct keys {
    size_t known[KNOWN_KEY_MAX]; /* messages whose keys are the first entries */
    size_t known_count;
    uint32_t count;
};

/* The index of a message's key; *ret_is_new: it has to be put. Ids are not looked for, each is new. */
static uint32_t keys_index(struct keys *keys, const struct wrap *w, size_t index, bool *ret_is_new)
{
    const struct message *messages = w->batch->messages;
    *ret_is_new = false;
    for (size_t i = 0; i < keys->known_count && !has_id(w); i++) {
        const struct message *known = &messages[keys->known[i]];
        bool is_same =
            known->key.data
                ? messages[index].key.data && slice_equal(known->key, messages[index].key)
                : !messages[index].key.data &&
                      known->sequence / RUN == messages[index].sequence / RUN;
        if (is_same) {
            return (uint32_t)i;
        }
    }
    if (keys->known_count == keys->count && keys->known_count < KNOWN_KEY_MAX) {
        keys->known[keys->known_count++] = index;
    }
    *ret_is_new = true;
    return keys->count++;
}

static size_t aggregate_step(struct keys *keys, const struct wrap *w, size_t index)
{
    uint8_t memory[KEY_SIZE];
    struct out o = out_over(memory, sizeof memory);
    bool is_new, is_own;
    const struct message *message = &w->batch->messages[index];
    uint32_t key = keys_index(keys, w, index, &is_new);
    size_t size = is_new ? kpl_key_size(partition_key(w, message, &o, &is_own).size) : 0;
    return size + kpl_event_size(key, true, message->body.size);
}

/* How many messages from `first` on go together. */
static size_t aggregate_count(const struct wrap *w, size_t first)
{
    struct keys keys = {.count = 0};
    size_t count = 0;
    size_t size = KPL_AROUND_SIZE + 1 + kpl_key_size(KINESIS_HASH_TEXT_SIZE);
    while (first + count < w->batch->message_count) {
        size += aggregate_step(&keys, w, first + count);
        if (count > 0 && size > (size_t)w->options->aggregate_size_max) {
            break;
        }
        count++;
    }
    return count;
}

static void aggregate_put(const struct wrap *w, size_t first, size_t count, struct out *ret)
{
    struct keys keys = {.count = 0}, again = {.count = 0};
    char hash_key[KINESIS_HASH_TEXT_SIZE];
    bool is_new, is_own;
    kinesis_hash_text(&w->hash, hash_key);
    kpl_begin(ret);
    for (size_t i = first; i < first + count; i++) {
        uint8_t memory[KEY_SIZE];
        struct out o = out_over(memory, sizeof memory);
        (void)keys_index(&keys, w, i, &is_new);
        if (is_new) {
            kpl_put_key(ret, partition_key(w, &w->batch->messages[i], &o, &is_own));
        }
    }
    /* Consumers leave an event out whose hash is not the shard's: all have that of the record. */
    kpl_put_hash_key(ret, slice_of_text(hash_key));
    for (size_t i = first; i < first + count; i++) {
        uint32_t key = keys_index(&again, w, i, &is_new);
        kpl_put_event(ret, key, true, w->batch->messages[i].body);
    }
    kpl_end(ret, 0);
}

/* A single event goes as it is, by the same hash: to the shard of what is before and behind it. */
static enum err put_aggregate(struct wrap *w, size_t first, size_t count, uint8_t *memory,
                              size_t memory_size)
{
    uint8_t key_memory[KEY_SIZE];
    struct out o = out_over(key_memory, sizeof key_memory);
    bool is_own;
    struct entry entry = {.flags = ENTRY_HAS_HASH_KEY, .hash = w->hash};
    if (count == 1) {
        const struct message *message = &w->batch->messages[first];
        entry.data = message->body;
        entry.key = partition_key(w, message, &o, &is_own);
    } else {
        struct out made = out_over(memory, memory_size);
        aggregate_put(w, first, count, &made);
        assert(!made.overflow); /* aggregate_count() */
        entry.data = out_slice(&made);
        entry.key = SLICE("a");
    }
    return put_entry(w, &entry, true);
}

static enum err put_aggregates(struct wrap *w)
{
    size_t memory_size = (size_t)w->options->aggregate_size_max;
    uint8_t *memory = malloc(memory_size);
    enum err e = memory ? ERR_OK : ERR_NOMEM;
    for (size_t i = 0; i < w->batch->message_count && !e;) {
        size_t count = aggregate_count(w, i);
        e = put_aggregate(w, i, count, memory, memory_size);
        i += count;
    }
    free(memory);
    return e;
}

/* --- the batch --- */

static enum err put_all(struct wrap *w)
{
    const struct batch *batch = w->batch;
    if (batch->parcel->layout != LAYOUT_COLUMNS && w->options->aggregate_size_max > 0) {
        return put_aggregates(w);
    }
    enum err e = ERR_OK;
    for (size_t i = 0; i < batch->message_count && !e; i++) {
        e = batch->parcel->layout == LAYOUT_COLUMNS ? put_columns(w, &batch->messages[i])
                                                    : put_row(w, &batch->messages[i]);
    }
    return e;
}

enum err kinesis_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    assert(batch->message_count > 0);
    struct wrap w = {.options = options, .batch = batch, .ret = ret, .start = ret->size};
    uint32_t count = batch->target.partition_count;
    uint32_t bucket = batch->part->partition;
    w.hash = kinesis_hash_middle(bucket, bucket < count ? count : bucket + 1);
    w.has_hash = w.options->explicit_hash_key != NULL;
    if (w.has_hash && !kinesis_hash_parse(slice_of_text(w.options->explicit_hash_key), &w.hash)) {
        return ERR_CONFIG; /* the table has checked it */
    }
    enum err e = entries_order_open(&w.order, batch->message_count);
    e = e ? e : put_all(&w);
    entries_order_close(w.order);
    bool may_shrink = batch->event_count > 1 && !batch->part->assigned;
    if (!e && may_shrink && ret->size - w.start > batch->target.request_size_max) {
        e = ERR_FULL;
    }
    return e;
}
