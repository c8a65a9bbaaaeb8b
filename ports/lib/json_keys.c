/* Duplicate keys. About a hundred keys of the open objects stand in a list with their hashes, and
 * each object has 64 bits that say "perhaps" or "certainly new". The keys that find no room in the
 * list are marked in a filter (two bits of 32 768 each); where it says "perhaps", the object's text
 * is read again. So a key costs the same however many there are, a struct on the stack is enough,
 * and an input made to hit the filter ends at JSON_RESCAN_MAX. */
#include <string.h>

#include "ports/lib/json_impl.h"

static uint64_t json_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* The last `size` bytes of a key, fewer than 8, with zeros behind. The key lies in `input`: where
 * that goes on far enough, they are read at once. */
static uint64_t json_word(struct slice input, const uint8_t *p, size_t size)
{
    uint64_t word = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if ((size_t)(input.data + input.size - p) >= 8) {
        memcpy(&word, p, 8);
        return word & ((UINT64_C(1) << 8 * size) - 1);
    }
#endif
    memcpy(&word, p, size);
    return word;
}

/* The hash of a key as it is meant: escaped and plain spellings give the same. */
static uint32_t json_key_hash(struct slice input, const struct json_token *key)
{
    const uint8_t *p = key->text.data;
    const uint8_t *end = p + key->text.size;
    uint64_t hash = 0;
    uint64_t word = 0;
    if (!key->has_escapes) {
        for (; end - p >= 8; p += 8) {
            memcpy(&word, p, 8);
            hash = json_mix(hash, word);
        }
        hash = json_mix(hash, json_word(input, p, (size_t)(end - p)));
        return (uint32_t)(json_mix(hash, key->text.size) >> 32);
    }
    uint8_t gathered[8 + 4];
    size_t count = 0;
    size_t size = 0;
    while (p < end) {
        size_t step = json_unescape(&p, end, gathered + count);
        count += step;
        size += step;
        if (count >= 8) {
            memcpy(&word, gathered, 8);
            hash = json_mix(hash, word);
            count -= 8;
            memmove(gathered, gathered + 8, 4);
        }
    }
    word = 0;
    memcpy(&word, gathered, count);
    hash = json_mix(hash, word);
    return (uint32_t)(json_mix(hash, size) >> 32);
}

/* Is the key whose quote is at `offset` of the checked input the same as `key`? */
static bool json_key_equal(struct slice input, size_t offset, const struct json_token *key)
{
    const uint8_t *a = input.data + offset + 1;
    const uint8_t *a_end = input.data + input.size;
    const uint8_t *b = key->text.data;
    const uint8_t *b_end = b + key->text.size;
    uint8_t a_bytes[4];
    uint8_t b_bytes[4];
    size_t a_count = 0;
    size_t b_count = 0;
    size_t a_index = 0;
    size_t b_index = 0;
    for (;;) {
        if (a_index == a_count) {
            a_count = *a == '"' ? 0 : json_unescape(&a, a_end, a_bytes);
            a_index = 0;
        }
        if (b_index == b_count) {
            b_count = b == b_end ? 0 : json_unescape(&b, b_end, b_bytes);
            b_index = 0;
        }
        if (a_count == 0 || b_count == 0) {
            return a_count == b_count;
        }
        if (a_bytes[a_index++] != b_bytes[b_index++]) {
            return false;
        }
    }
}

/* Behind the string whose quote is at `at`; the text is checked. */
static size_t json_behind_string(struct slice input, size_t at)
{
    for (at++; input.data[at] != '"'; at++) {
        at += input.data[at] == '\\';
    }
    return at + 1;
}

/* Reads the object's checked text again, from its brace to `key`: does it have this key already? */
static bool json_key_rescan(struct json_reader *r, size_t begin, const struct json_token *key)
{
    struct slice input = r->input;
    size_t depth = 0;
    bool is_key = false;
    r->rescanned += key->offset - begin;
    for (size_t at = begin; at < key->offset;) {
        uint8_t byte = input.data[at];
        if (byte == '"') {
            if (is_key && json_key_equal(input, at, key)) {
                return true;
            }
            is_key = false;
            at = json_behind_string(input, at);
            continue;
        }
        if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            depth--;
        }
        if (byte == '{' || byte == ',') {
            is_key = depth == 1;
        }
        at++;
    }
    return false;
}

/* Marks the key in the filter. True: both its bits were set before. */
static bool json_filter_put(struct json_reader *r, uint32_t hash, uint32_t begin)
{
    uint64_t mixed = json_mix(hash, begin);
    bool was_set = true;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t bit = (mixed >> (16 + 16 * i)) % (JSON_FILTER_WORDS * 64);
        uint64_t mask = UINT64_C(1) << bit % 64;
        was_set = was_set && (r->filter[bit / 64] & mask);
        r->filter[bit / 64] |= mask;
    }
    return was_set;
}

static bool json_key_is_listed(const struct json_reader *r, uint32_t first, uint32_t hash,
                               const struct json_token *key)
{
    for (uint32_t i = first; i < r->list_count; i++) {
        if (r->keys[i].hash == hash && json_key_equal(r->input, r->keys[i].offset, key)) {
            return true;
        }
    }
    return false;
}

enum err json_key_add(struct json_reader *r, const struct json_token *key)
{
    static const char duplicate[] = "a key that the object has already";
    uint32_t hash = json_key_hash(r->input, key);
    struct json_frame *frame = json_frame(r, r->depth);
    uint64_t bit = UINT64_C(1) << hash % 64;
    if ((frame->key_bits & bit) && json_key_is_listed(r, frame->list_first, hash, key)) {
        return json_fail(r, key->offset, duplicate);
    }
    frame->key_bits |= bit;
    if (r->key_count == JSON_KEY_MAX) {
        return json_fail_as(r, ERR_REJECTED, key->offset, "more keys in open objects than allowed");
    }
    /* Once an object's keys go to the filter, all its later ones do: what is in the list when the
     * object goes on is what was there when it was left. */
    uint32_t own = r->list_count - frame->list_first;
    if (r->list_count < JSON_KEY_LIST / 4 * 3 ||
        (r->list_count < JSON_KEY_LIST && own < JSON_KEY_OWN)) {
        r->keys[r->list_count++] = (struct json_key){hash, (uint32_t)key->offset};
        r->key_count++;
        return ERR_OK;
    }
    if (r->key_count == r->list_count) {
        memset(r->filter, 0, sizeof r->filter);
    }
    r->key_count++;
    if (!json_filter_put(r, hash, frame->begin_at)) {
        return ERR_OK;
    }
    if (r->rescanned > JSON_RESCAN_MAX) {
        return json_fail_as(r, ERR_REJECTED, key->offset, "too many keys to tell duplicates");
    }
    return json_key_rescan(r, frame->begin_at, key) ? json_fail(r, key->offset, duplicate) : ERR_OK;
}
