#include "uplink/aws/kinesis_body.h"

#include <assert.h>

#include "ports/lib/hash.h"
#include "ports/lib/json.h"
#include "uplink/aws/aws.h"
#include "uplink/aws/cbor.h"

#define AROUND_REQUEST 128
#define AROUND_RECORD 128 /* names, quotes, hash key; the key's escapes apart */
#define JSON_KEY_FACTOR 6 /* of a byte of a key that is escaped */

/* --- requests --- */

void picked_clear(struct picked *picked)
{
    picked->count = 0;
    picked->size = 0;
    picked->key_size = 0;
}

void picked_add(struct picked *picked, const struct entry *entry)
{
    assert(picked->count < ENTRY_REQUEST_MAX);
    picked->at[picked->count++] = entry->at;
    picked->size += entry->key.size + entry->data.size;
    picked->key_size += entry->key.size;
}

static struct entry entry_at(struct slice entries, uint32_t at)
{
    struct entry entry;
    bool is_there = entries_next(entries, &at, &entry);
    assert(is_there);
    return entry;
}

size_t kinesis_body_size(const struct picked *picked, const char *name)
{
    size_t keys = picked->count * KINESIS_HASH_TEXT_SIZE;
    return AROUND_REQUEST + strlen(name) + picked->count * AROUND_RECORD + keys +
           picked->size / 3 * 4 + 4 * picked->count + picked->key_size * JSON_KEY_FACTOR;
}

static void record_put_cbor(struct out *o, const struct entry *entry)
{
    bool has_hash = (entry->flags & ENTRY_HAS_HASH_KEY) != 0;
    cbor_put_map(o, has_hash ? 3 : 2);
    cbor_put_text(o, SLICE("Data"));
    cbor_put_bytes(o, entry->data);
    cbor_put_text(o, SLICE("PartitionKey"));
    cbor_put_text(o, entry->key);
    if (has_hash) {
        char hash[KINESIS_HASH_TEXT_SIZE];
        kinesis_hash_text(&entry->hash, hash);
        cbor_put_text(o, SLICE("ExplicitHashKey"));
        cbor_put_text(o, slice_of_text(hash));
    }
}

static void record_put_json(struct out *o, const struct entry *entry)
{
    out_put_text(o, "{\"Data\":\"");
    hash_put_base64(o, entry->data);
    out_put_text(o, "\",\"PartitionKey\":");
    out_put_json(o, entry->key);
    if (entry->flags & ENTRY_HAS_HASH_KEY) {
        char hash[KINESIS_HASH_TEXT_SIZE];
        kinesis_hash_text(&entry->hash, hash);
        out_put_format(o, ",\"ExplicitHashKey\":\"%s\"", hash);
    }
    out_put_byte(o, '}');
}

static void put_cbor(struct out *o, const char *name, struct slice entries,
                     const struct picked *picked)
{
    cbor_put_map(o, 2);
    cbor_put_text(o, aws_name_is_arn(name) ? SLICE("StreamARN") : SLICE("StreamName"));
    cbor_put_text(o, slice_of_text(name));
    cbor_put_text(o, SLICE("Records"));
    cbor_put_array(o, picked->count);
    for (size_t i = 0; i < picked->count; i++) {
        struct entry entry = entry_at(entries, picked->at[i]);
        record_put_cbor(o, &entry);
    }
}

void kinesis_body_put(struct out *ret, bool is_cbor, const char *name, struct slice entries,
                      const struct picked *picked)
{
    if (is_cbor) {
        put_cbor(ret, name, entries, picked);
        return;
    }
    out_put_format(ret, "{\"%s\":\"%s\",\"Records\":[",
                   aws_name_is_arn(name) ? "StreamARN" : "StreamName", name);
    for (size_t i = 0; i < picked->count; i++) {
        struct entry entry = entry_at(entries, picked->at[i]);
        if (i > 0) {
            out_put_byte(ret, ',');
        }
        record_put_json(ret, &entry);
    }
    out_put_text(ret, "]}");
}

void firehose_body_put(struct out *ret, const char *name, struct slice entries,
                       const struct picked *picked)
{
    out_put_format(ret, "{\"DeliveryStreamName\":\"%s\",\"Records\":[", name);
    for (size_t i = 0; i < picked->count; i++) {
        struct entry entry = entry_at(entries, picked->at[i]);
        out_put_text(ret, i > 0 ? ",{\"Data\":\"" : "{\"Data\":\"");
        hash_put_base64(ret, entry.data);
        out_put_text(ret, "\"}");
    }
    out_put_text(ret, "]}");
}

/* --- answers --- */

struct reading {
    void (*each)(void *context, size_t index, const struct put_answer *answer);
    void *context;
    size_t count;
};

static bool is_list(struct slice name)
{
    return slice_equal_text(name, "Records") || slice_equal_text(name, "RequestResponses");
}

static void answer_member(struct put_answer *answer, struct slice name, struct slice text)
{
    if (slice_equal_text(name, "SequenceNumber") || slice_equal_text(name, "RecordId")) {
        answer->is_stored = text.size > 0;
    } else if (slice_equal_text(name, "ShardId")) {
        answer->shard = text;
    } else if (slice_equal_text(name, "ErrorCode")) {
        answer->error_code = text;
    } else if (slice_equal_text(name, "ErrorMessage")) {
        answer->error_text = text;
    }
}

static void answer_give(struct reading *reading, struct put_answer *answer)
{
    answer->is_stored = answer->is_stored && answer->error_code.size == 0;
    reading->each(reading->context, reading->count++, answer);
}

static enum err read_record_cbor(struct slice *s, struct reading *reading)
{
    struct put_answer answer = {.is_stored = false};
    struct cbor_item map;
    uint64_t given = 0;
    enum err e = cbor_take(s, &map);
    if (e || map.kind != CBOR_MAP) {
        return ERR_CORRUPT;
    }
    while (cbor_more(s, &map, &given)) {
        struct slice name, text;
        if (cbor_text(s, &name) || cbor_text(s, &text)) {
            return ERR_CORRUPT;
        }
        answer_member(&answer, name, text);
    }
    answer_give(reading, &answer);
    return ERR_OK;
}

static enum err read_cbor(struct slice s, struct reading *reading)
{
    struct cbor_item map, list = {.kind = CBOR_SIMPLE};
    uint64_t members = 0, records = 0;
    if (cbor_take(&s, &map) || map.kind != CBOR_MAP) {
        return ERR_CORRUPT;
    }
    while (cbor_more(&s, &map, &members)) {
        struct slice name;
        if (cbor_text(&s, &name)) {
            return ERR_CORRUPT;
        }
        if (!is_list(name) || list.kind == CBOR_ARRAY) {
            if (cbor_skip(&s)) {
                return ERR_CORRUPT;
            }
            continue;
        }
        if (cbor_take(&s, &list) || list.kind != CBOR_ARRAY) {
            return ERR_CORRUPT;
        }
        while (cbor_more(&s, &list, &records)) {
            if (read_record_cbor(&s, reading)) {
                return ERR_CORRUPT;
            }
        }
    }
    return list.kind == CBOR_ARRAY ? ERR_OK : ERR_CORRUPT;
}

/* One object, whose beginning was read. Text is taken as it stands: none that is asked for has escapes
 * but a message, which is for people. */
static enum err read_record_json(struct json_reader *reader, struct reading *reading)
{
    struct put_answer answer = {.is_stored = false};
    struct json_token key, value;
    enum err e;
    while (!(e = json_next(reader, &key)) && key.kind == JSON_KEY) {
        e = json_next(reader, &value);
        if (e || value.kind == JSON_OBJECT_BEGIN || value.kind == JSON_ARRAY_BEGIN) {
            return ERR_CORRUPT;
        }
        if (value.kind == JSON_STRING) {
            answer_member(&answer, key.text, value.text);
        }
    }
    if (e) {
        return ERR_CORRUPT;
    }
    answer_give(reading, &answer);
    return ERR_OK;
}

static enum err read_list_json(struct json_reader *reader, struct reading *reading)
{
    struct json_token token;
    if (json_next(reader, &token) || token.kind != JSON_ARRAY_BEGIN) {
        return ERR_CORRUPT;
    }
    enum err e;
    while (!(e = json_next(reader, &token)) && token.kind == JSON_OBJECT_BEGIN) {
        e = read_record_json(reader, reading);
        if (e) {
            return e;
        }
    }
    return e || token.kind != JSON_ARRAY_END ? ERR_CORRUPT : ERR_OK;
}

static enum err read_json(struct slice body, struct reading *reading)
{
    struct json_reader reader;
    struct json_token token;
    struct slice text;
    bool has_list = false;
    enum err e;
    json_init(&reader, body);
    if (json_next(&reader, &token) || token.kind != JSON_OBJECT_BEGIN) {
        return ERR_CORRUPT;
    }
    while (!(e = json_next(&reader, &token)) && token.kind == JSON_KEY) {
        bool is_it = is_list(token.text) && !has_list;
        has_list = has_list || is_it;
        e = is_it ? read_list_json(&reader, reading) : json_skip(&reader, &text);
        if (e) {
            return ERR_CORRUPT;
        }
    }
    return e || !has_list ? ERR_CORRUPT : ERR_OK;
}

enum err put_answer_read(struct slice body,
                         void (*each)(void *context, size_t index, const struct put_answer *answer),
                         void *context, size_t *ret_count)
{
    struct reading reading = {.each = each, .context = context};
    enum err e = ERR_CORRUPT;
    if (body.size > 0) {
        e = body.data[0] >> 5 == CBOR_MAP ? read_cbor(body, &reading) : read_json(body, &reading);
    }
    *ret_count = reading.count;
    return e;
}
