#include "drivers/http_keys.h"

#include <assert.h>

#define HTTP_KEY_VERSION 1

void http_asides_add(struct http_asides *asides, uint64_t line, const char *reason)
{
    asides->count++;
    struct slice text = slice_of_text(reason);
    if (text.size > HTTP_ASIDE_TEXT_MAX) {
        text.size = HTTP_ASIDE_TEXT_MAX;
    }
    struct out out =
        out_over(asides->bytes + asides->size, (size_t)HTTP_ASIDES_SIZE_MAX - asides->size);
    out_put_uvarint(&out, line);
    out_put_uvarint(&out, text.size);
    out_put_slice(&out, text);
    if (!out.overflow) {
        asides->size = (uint16_t)(asides->size + out.size);
    }
}

void http_asides_write(const struct http_asides *asides, struct out *json, uint64_t *ret_more)
{
    struct slice rest = {asides->bytes, asides->size};
    uint64_t listed = 0;
    uint64_t line;
    uint64_t size;
    struct slice text;
    out_put_byte(json, '[');
    while (slice_take_uvarint(&rest, &line) && slice_take_uvarint(&rest, &size) &&
           slice_take(&rest, (size_t)size, &text)) {
        out_put_format(json, "%s{\"line\":%llu,\"error\":", listed ? "," : "",
                       (unsigned long long)line);
        out_put_json(json, text);
        out_put_byte(json, '}');
        listed++;
    }
    out_put_byte(json, ']');
    *ret_more = asides->count > listed ? asides->count - listed : 0;
}

enum err http_keys_init(struct http_keys *keys, size_t count)
{
    keys->keys = calloc(count ? count : 1, sizeof *keys->keys);
    if (!keys->keys) {
        return ERR_NOMEM;
    }
    keys->count = count;
    return ERR_OK;
}

void http_keys_release(struct http_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->keys[i].asides);
    }
    free(keys->keys);
    *keys = (struct http_keys){0};
}

void http_keys_restore(struct http_keys *keys, uint32_t index, struct slice cursor)
{
    uint8_t version;
    struct http_key key = {.is_used = true};
    if (index >= keys->count || !slice_take_u8(&cursor, &version) || version != HTTP_KEY_VERSION ||
        !slice_take_u64_le(&cursor, &key.order) || !slice_take_u64_le(&cursor, &key.key_hash) ||
        !slice_take_u64_le(&cursor, &key.body_hash) ||
        !slice_take_uvarint(&cursor, &key.admitted) ||
        !slice_take_uvarint(&cursor, &key.aside_count) || cursor.size > HTTP_ASIDES_SIZE_MAX) {
        return;
    }
    struct http_asides asides = {.count = key.aside_count, .size = (uint16_t)cursor.size};
    if (cursor.size) {
        memcpy(asides.bytes, cursor.data, cursor.size);
    }
    http_key_keep_asides(&key, &asides);
    keys->keys[index] = key;
    if (key.order >= keys->order) {
        keys->order = key.order + 1;
        keys->next = index + 1;
    }
}

struct http_key *http_keys_take(struct http_keys *keys, uint64_t key_hash, uint64_t body_hash,
                                uint64_t stored)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].is_used && keys->keys[i].key_hash == key_hash) {
            return &keys->keys[i];
        }
    }
    for (size_t i = 0; i < keys->count; i++) {
        size_t index = (keys->next + i) % keys->count;
        struct http_key *key = &keys->keys[index];
        if (!key->is_pinned && !key->is_owed && key->last_ticket <= stored) {
            free(key->asides);
            *key = (struct http_key){.is_used = true,
                                     .order = keys->order++,
                                     .key_hash = key_hash,
                                     .body_hash = body_hash};
            keys->next = index + 1;
            return key;
        }
    }
    return NULL;
}

uint32_t http_keys_index(const struct http_keys *keys, const struct http_key *key)
{
    assert(key >= keys->keys && key < keys->keys + keys->count);
    return (uint32_t)(key - keys->keys);
}

void http_key_encode(const struct http_key *key, uint64_t admitted, struct out *ret)
{
    out_put_byte(ret, HTTP_KEY_VERSION);
    out_put_u64_le(ret, key->order);
    out_put_u64_le(ret, key->key_hash);
    out_put_u64_le(ret, key->body_hash);
    out_put_uvarint(ret, admitted);
    out_put_uvarint(ret, key->aside_count);
    out_put(ret, key->asides, key->aside_size);
    assert(!ret->overflow);
}

void http_key_keep_asides(struct http_key *key, const struct http_asides *asides)
{
    key->aside_count = asides->count;
    if (asides->size == 0) {
        return;
    }
    uint8_t *bytes = realloc(key->asides, asides->size);
    if (bytes) {
        memcpy(bytes, asides->bytes, asides->size);
        key->asides = bytes;
        key->aside_size = asides->size;
    }
}

void http_key_asides(const struct http_key *key, struct http_asides *ret)
{
    ret->count = key->aside_count;
    ret->size = key->aside_size;
    if (key->aside_size) {
        memcpy(ret->bytes, key->asides, key->aside_size);
    }
}
