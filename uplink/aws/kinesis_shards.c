#include "uplink/aws/kinesis_shards.h"

#include <assert.h>
#include <stdlib.h>

#include "ports/lib/json_tree.h"

/* --- the list --- */

void shards_release(struct shards *shards)
{
    free(shards->items);
    *shards = (struct shards){.items = NULL};
}

enum err shards_set_unknown(struct shards *shards)
{
    shards_release(shards);
    shards->items = calloc(1, sizeof *shards->items);
    if (!shards->items) {
        return ERR_NOMEM;
    }
    memset(shards->items->last.bytes, 0xff, KINESIS_HASH_SIZE);
    shards->count = 1;
    return ERR_OK;
}

static const char *member_text(const struct json_node *node, const char *name)
{
    const struct json_node *member = json_node_find(node, name);
    return member ? json_node_text(member) : NULL;
}

/* False: it says no range. */
static bool shard_read(const struct json_node *node, struct shard *ret)
{
    const struct json_node *range = json_node_find(node, "HashKeyRange");
    const char *first = member_text(range, "StartingHashKey");
    const char *last = member_text(range, "EndingHashKey");
    const char *name = member_text(node, "ShardId");
    *ret = (struct shard){.name = ""};
    if (!first || !last || !kinesis_hash_parse(slice_of_text(first), &ret->first) ||
        !kinesis_hash_parse(slice_of_text(last), &ret->last)) {
        return false;
    }
    if (name && strlen(name) < sizeof ret->name) {
        memcpy(ret->name, name, strlen(name) + 1);
    }
    return true;
}

/* One that was split or merged has an end, and takes nothing any more. */
static bool shard_is_open(const struct json_node *node)
{
    return !member_text(json_node_find(node, "SequenceNumberRange"), "EndingSequenceNumber");
}

static enum err shards_add(struct shards *shards, const struct json_node *list)
{
    size_t room = shards->count + list->count;
    room = room < SHARD_MAX ? room : SHARD_MAX;
    struct shard *items = realloc(shards->items, (room ? room : 1) * sizeof *items);
    if (!items) {
        return ERR_NOMEM;
    }
    shards->items = items;
    for (const struct json_node *node = list->child; node; node = node->next) {
        struct shard shard;
        if (!shard_is_open(node)) {
            continue;
        }
        if (!shard_read(node, &shard)) {
            return ERR_CORRUPT;
        }
        if (shards->count < room) {
            shards->items[shards->count++] = shard;
        } else {
            shards->more++;
        }
    }
    return ERR_OK;
}

enum err shards_read(struct shards *shards, struct slice json, char *ret_next, size_t next_size)
{
    struct json_tree *tree;
    size_t offset;
    enum err e = json_tree_open(&tree, json, NULL, &offset);
    if (e) {
        return e == ERR_NOMEM ? e : ERR_CORRUPT;
    }
    const struct json_node *root = json_tree_root(tree);
    const struct json_node *list = json_node_find(root, "Shards");
    const char *next = member_text(root, "NextToken");
    next = next ? next : "";
    if (!list || list->kind != JSON_ARRAY_BEGIN) {
        e = ERR_CORRUPT;
    } else if (strlen(next) >= next_size) {
        e = ERR_FULL;
    } else {
        e = shards_add(shards, list);
        memcpy(ret_next, next, strlen(next) + 1);
    }
    json_tree_close(tree);
    return e;
}

static int shard_compare(const void *a, const void *b)
{
    const struct shard *left = a, *right = b;
    return kinesis_hash_compare(&left->first, &right->first);
}

enum err shards_finish(struct shards *shards, const struct shards *before)
{
    if (shards->count == 0) {
        return ERR_CORRUPT;
    }
    qsort(shards->items, shards->count, sizeof *shards->items, shard_compare);
    for (size_t i = 0; i < shards->count && before->count > 0; i++) {
        struct shard *shard = &shards->items[i];
        const struct shard *old = shards_of(before, &shard->first);
        if (shard->name[0] && strcmp(old->name, shard->name) == 0) {
            *shard = *old;
        }
    }
    return ERR_OK;
}

struct shard *shards_of(const struct shards *shards, const struct kinesis_hash *hash)
{
    assert(shards->count > 0);
    size_t low = 0, high = shards->count - 1; /* the last one that does not begin behind it */
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (kinesis_hash_compare(&shards->items[middle].first, hash) <= 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return &shards->items[low];
}

/* --- what they take --- */

/* What a second may have had that ends with slot `now`, slots that are over left out. */
static void shard_sum(const struct shard *shard, uint64_t now, uint64_t *ret_records,
                      uint64_t *ret_size)
{
    *ret_records = 0;
    *ret_size = 0;
    for (uint64_t age = 0; age < SHARD_SLOT_COUNT && age <= shard->slot; age++) {
        uint64_t slot = shard->slot - age;
        if (slot + SHARD_SLOT_COUNT > now) {
            *ret_records += shard->records[slot % SHARD_SLOT_COUNT];
            *ret_size += shard->sizes[slot % SHARD_SLOT_COUNT];
        }
    }
}

static bool shard_takes(const struct shard *shard, uint64_t slot, size_t size)
{
    uint64_t records, sizes;
    shard_sum(shard, slot, &records, &sizes);
    /* What is larger than a second's share goes when nothing else does. */
    return records == 0 || (records < SHARD_RECORD_MAX && sizes + size <= SHARD_SIZE_MAX);
}

uint64_t shard_wait_ms(const struct shard *shard, uint64_t now_ms, size_t size)
{
    uint64_t wait_ms = shard->pause_until_ms > now_ms ? shard->pause_until_ms - now_ms : 0;
    if (!shard->name[0]) {
        return wait_ms; /* nobody knows what is behind it */
    }
    uint64_t slot = now_ms / SHARD_SLOT_MS, ahead = 0;
    while (ahead < SHARD_SLOT_COUNT && !shard_takes(shard, slot + ahead, size)) {
        ahead++;
    }
    uint64_t paced_ms = ahead ? (slot + ahead) * SHARD_SLOT_MS - now_ms : 0;
    return paced_ms > wait_ms ? paced_ms : wait_ms;
}

void shard_took(struct shard *shard, uint64_t now_ms, size_t size)
{
    uint64_t slot = now_ms / SHARD_SLOT_MS;
    for (uint64_t i = shard->slot + 1; i <= slot && i <= shard->slot + SHARD_SLOT_COUNT; i++) {
        shard->records[i % SHARD_SLOT_COUNT] = 0;
        shard->sizes[i % SHARD_SLOT_COUNT] = 0;
    }
    shard->slot = slot > shard->slot ? slot : shard->slot;
    uint16_t *records = &shard->records[shard->slot % SHARD_SLOT_COUNT];
    uint32_t *sizes = &shard->sizes[shard->slot % SHARD_SLOT_COUNT];
    *records = *records < UINT16_MAX ? (uint16_t)(*records + 1) : UINT16_MAX;
    *sizes += size < UINT32_MAX - *sizes ? (uint32_t)size : UINT32_MAX - *sizes;
}

void shard_stored(struct shard *shard)
{
    shard->attempt = 0;
}

void shard_refused(struct shard *shard, uint64_t now_ms, uint32_t chance)
{
    if (shard->pause_until_ms > now_ms) {
        return; /* others of the same request said so already */
    }
    uint64_t most = (uint64_t)SHARD_PAUSE_MS_FIRST << (shard->attempt < 7 ? shard->attempt : 7);
    most = most < SHARD_PAUSE_MS_MAX ? most : SHARD_PAUSE_MS_MAX;
    shard->attempt++;
    shard->pause_until_ms = now_ms + most / 2 + chance % (most / 2) + 1;
}
