#include "uplink/aws/kpl.h"

#include <assert.h>

#include "ports/lib/hash.h"

/* Field numbers, shifted, with the wire type: 0 a varint, 2 bytes behind their size. */
enum {
    TAG_KEY = 1 << 3 | 2,
    TAG_HASH_KEY = 2 << 3 | 2,
    TAG_RECORD = 3 << 3 | 2,
    TAG_KEY_INDEX = 1 << 3,
    TAG_HASH_KEY_INDEX = 2 << 3,
    TAG_DATA = 3 << 3 | 2,
};

static const uint8_t magic[KPL_MAGIC_SIZE] = {0xf3, 0x89, 0x9a, 0xc2};
static_assert(sizeof magic + HASH_MD5_SIZE == KPL_AROUND_SIZE, "what is around the message");

void kpl_begin(struct out *ret)
{
    out_put(ret, magic, sizeof magic);
}

static void put_bytes(struct out *o, uint8_t tag, struct slice bytes)
{
    out_put_byte(o, tag);
    out_put_uvarint(o, bytes.size);
    out_put_slice(o, bytes);
}

void kpl_put_key(struct out *ret, struct slice key)
{
    put_bytes(ret, TAG_KEY, key);
}

void kpl_put_hash_key(struct out *ret, struct slice hash_key)
{
    put_bytes(ret, TAG_HASH_KEY, hash_key);
}

static size_t bytes_size(size_t size)
{
    return 1 + uvarint_size(size) + size;
}

static size_t record_size(uint32_t key_index, bool has_hash_key, size_t size)
{
    return 1 + uvarint_size(key_index) + (has_hash_key ? 2 : 0) + bytes_size(size);
}

size_t kpl_event_size(uint32_t key_index, bool has_hash_key, size_t size)
{
    return bytes_size(record_size(key_index, has_hash_key, size));
}

size_t kpl_key_size(size_t size)
{
    return bytes_size(size);
}

void kpl_put_event(struct out *ret, uint32_t key_index, bool has_hash_key, struct slice data)
{
    out_put_byte(ret, TAG_RECORD);
    out_put_uvarint(ret, record_size(key_index, has_hash_key, data.size));
    out_put_byte(ret, TAG_KEY_INDEX);
    out_put_uvarint(ret, key_index);
    if (has_hash_key) {
        out_put_byte(ret, TAG_HASH_KEY_INDEX);
        out_put_byte(ret, 0);
    }
    put_bytes(ret, TAG_DATA, data);
}

void kpl_end(struct out *ret, size_t start)
{
    if (ret->overflow) {
        return;
    }
    assert(ret->size >= start + KPL_MAGIC_SIZE);
    uint8_t digest[HASH_MD5_SIZE];
    struct slice message = {ret->data + start + KPL_MAGIC_SIZE, ret->size - start - KPL_MAGIC_SIZE};
    hash_of(HASH_MD5, message, digest);
    out_put(ret, digest, sizeof digest);
}
