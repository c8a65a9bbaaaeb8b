#include "tests/uplink/kinesis/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "ports/lib/json.h"
#include "tests/cmocka.h"
#include "uplink/aws/cbor.h"
#include "uplink/aws/kinesis_entries.h"

#define NAME "shardId-%012u"

struct parsed {
    struct service *service;
    struct service_record records[ENTRY_REQUEST_MAX + 1];
    size_t count;
};

void service_init(struct service *service, unsigned shard_count)
{
    *service = (struct service){.shard_count = shard_count, .shard_name = NAME};
    service->memory = malloc(SERVICE_BODY_MAX);
    service->records = calloc(SERVICE_RECORD_MAX, sizeof *service->records);
    assert_non_null(service->memory);
    assert_non_null(service->records);
}

void service_release(struct service *service)
{
    free(service->memory);
    free(service->records);
}

static void copy_text(char *ret, size_t size_max, struct slice text)
{
    size_t size = text.size < size_max - 1 ? text.size : size_max - 1;
    if (size > 0) {
        memcpy(ret, text.data, size);
    }
    ret[size] = '\0';
}

static void record_add(struct parsed *parsed, struct slice key, struct slice hash,
                       struct slice data)
{
    assert_true(parsed->count < ARRAY_COUNT(parsed->records));
    struct service_record *record = &parsed->records[parsed->count++];
    *record = (struct service_record){.size = data.size, .request = parsed->service->put_count};
    copy_text(record->key, sizeof record->key, key);
    copy_text(record->data, sizeof record->data, data);
    record->has_hash = hash.size > 0;
    record->hash = kinesis_hash_of(key);
    assert_true(!record->has_hash || kinesis_hash_parse(hash, &record->hash));
    parsed->service->last_size += key.size + data.size;
}

/* --- requests --- */

static void parse_record_cbor(struct slice *s, struct parsed *parsed)
{
    struct cbor_item map, data = {.kind = CBOR_SIMPLE};
    struct slice name, key = {NULL, 0}, hash = {NULL, 0};
    uint64_t given = 0;
    assert_int_equal(cbor_take(s, &map), ERR_OK);
    assert_int_equal(map.kind, CBOR_MAP);
    while (cbor_more(s, &map, &given)) {
        assert_int_equal(cbor_text(s, &name), ERR_OK);
        if (slice_equal_text(name, "Data")) {
            assert_int_equal(cbor_take(s, &data), ERR_OK);
            assert_int_equal(data.kind, CBOR_BYTES);
        } else if (slice_equal_text(name, "PartitionKey")) {
            assert_int_equal(cbor_text(s, &key), ERR_OK);
        } else {
            assert_true(slice_equal_text(name, "ExplicitHashKey"));
            assert_int_equal(cbor_text(s, &hash), ERR_OK);
        }
    }
    record_add(parsed, key, hash, data.bytes);
}

static void parse_cbor(struct slice s, struct parsed *parsed)
{
    struct cbor_item map, list;
    struct slice name, text;
    uint64_t given = 0, records = 0;
    assert_int_equal(cbor_take(&s, &map), ERR_OK);
    while (cbor_more(&s, &map, &given)) {
        assert_int_equal(cbor_text(&s, &name), ERR_OK);
        if (slice_equal_text(name, "Records")) {
            assert_int_equal(cbor_take(&s, &list), ERR_OK);
            while (cbor_more(&s, &list, &records)) {
                parse_record_cbor(&s, parsed);
            }
        } else {
            assert_int_equal(cbor_text(&s, &text), ERR_OK);
            copy_text(parsed->service->last_stream, sizeof parsed->service->last_stream, text);
        }
    }
    assert_int_equal(s.size, 0);
}

static void record_member(struct parsed *parsed, struct slice members[3], struct slice name,
                          struct slice text)
{
    static const char *const names[] = {"PartitionKey", "ExplicitHashKey", "Data"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (slice_equal_text(name, names[i])) {
            members[i] = text;
            return;
        }
    }
    assert_false(slice_equal_text(name, "MaxResults"));
    copy_text(parsed->service->last_stream, sizeof parsed->service->last_stream, text);
}

static void record_end(struct parsed *parsed, struct slice members[3])
{
    uint8_t *data = malloc(members[2].size + 1);
    assert_non_null(data);
    struct out o = out_over(data, members[2].size);
    assert_true(hash_take_base64(members[2], &o));
    record_add(parsed, members[0], members[1], out_slice(&o));
    free(data);
    memset(members, 0, 3 * sizeof members[0]);
}

/* Escapes stand for nothing that a test looks at. */
static void parse_json(struct slice s, struct parsed *parsed)
{
    struct json_reader reader;
    struct json_token token;
    struct slice name = {NULL, 0}, members[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
    enum err e;
    json_init(&reader, s);
    while (!(e = json_next(&reader, &token))) {
        if (token.kind == JSON_KEY) {
            name = token.text;
        } else if (token.kind == JSON_STRING) {
            record_member(parsed, members, name, token.text);
        } else if (token.kind == JSON_OBJECT_END && members[2].data) {
            record_end(parsed, members);
        }
    }
    assert_int_equal(e, ERR_CLOSED);
}

/* --- answers --- */

unsigned service_shard_of(const struct service *service, const struct service_record *record)
{
    return kinesis_hash_bucket(&record->hash, service->shard_count);
}

static void put_answer_cbor(struct out *o, const char *shard, const char *code)
{
    cbor_put_map(o, 2);
    cbor_put_text(o, slice_of_text(code ? "ErrorCode" : "ShardId"));
    cbor_put_text(o, slice_of_text(code ? code : shard));
    cbor_put_text(o, slice_of_text(code ? "ErrorMessage" : "SequenceNumber"));
    cbor_put_text(o, slice_of_text(code ? "Rate exceeded" : "4968"));
}

static void put_answer_json(struct out *o, const char *shard, const char *code, bool is_firehose)
{
    out_put_format(o, "%s{\"%s\":\"%s\",\"%s\":\"%s\"}", o->data[o->size - 1] == '[' ? "" : ",",
                   code          ? "ErrorCode"
                   : is_firehose ? "RecordId"
                                 : "ShardId",
                   code ? code : shard, code ? "ErrorMessage" : "SequenceNumber",
                   code ? "Rate exceeded" : "4968");
}

static void answer_put(struct service *service, struct parsed *parsed, bool is_firehose,
                       struct out *o)
{
    bool is_cbor = service->last_was_cbor;
    if (is_cbor) {
        cbor_put_map(o, 1);
        cbor_put_text(o, SLICE("Records"));
        cbor_put_array(o, parsed->count);
    } else {
        out_put_format(o, "{\"FailedCount\":0,\"%s\":[",
                       is_firehose ? "RequestResponses" : "Records");
    }
    for (size_t i = 0; i < parsed->count; i++) {
        struct service_record *record = &parsed->records[i];
        const char *code =
            service->refuse_record ? service->refuse_record(service, record, i) : NULL;
        char shard[64];
        (void)snprintf(shard, sizeof shard, NAME, service_shard_of(service, record));
        if (!code) {
            assert_true(service->record_count < SERVICE_RECORD_MAX);
            service->records[service->record_count++] = *record;
        }
        if (is_cbor) {
            put_answer_cbor(o, shard, code);
        } else {
            put_answer_json(o, shard, code, is_firehose);
        }
    }
    if (!is_cbor) {
        out_put_text(o, "]}");
    }
}

static void answer_list(struct service *service, struct slice body, struct out *o)
{
    unsigned first = 0;
    const uint8_t *token = memmem(body.data, body.size, "\"NextToken\":\"", 13);
    if (token) {
        first = (unsigned)strtoul((const char *)token + 13, NULL, 10);
    }
    unsigned page = service->page ? service->page : service->shard_count;
    unsigned end = first + page < service->shard_count ? first + page : service->shard_count;
    out_put_text(o, "{\"Shards\":[");
    for (unsigned i = first; i < end; i++) {
        struct kinesis_hash hash = {{0}};
        char first_key[KINESIS_HASH_TEXT_SIZE], last_key[KINESIS_HASH_TEXT_SIZE];
        assert_true(256 % service->shard_count == 0);
        hash.bytes[0] = (uint8_t)(256 / service->shard_count * i);
        kinesis_hash_text(&hash, first_key);
        memset(hash.bytes, 0xff, sizeof hash.bytes);
        hash.bytes[0] = (uint8_t)(256 / service->shard_count * (i + 1) - 1);
        kinesis_hash_text(&hash, last_key);
        out_put_format(o,
                       "%s{\"ShardId\":\"" NAME "\",\"HashKeyRange\":{\"StartingHashKey\":\"%s\","
                       "\"EndingHashKey\":\"%s\"},\"SequenceNumberRange\":{"
                       "\"StartingSequenceNumber\":\"1\"}}",
                       i == first ? "" : ",", i, first_key, last_key);
    }
    out_put_text(o, "]");
    if (end < service->shard_count) {
        out_put_format(o, ",\"NextToken\":\"%u\"", end);
    }
    out_put_text(o, "}");
}

void service_answer(struct service *service, const char *target, struct slice body,
                    struct service_reply *ret)
{
    struct out o = out_over(service->memory, SERVICE_BODY_MAX);
    bool is_list = strstr(target, "ListShards") != NULL;
    unsigned number = is_list ? service->list_count++ : service->put_count++;
    *ret = (struct service_reply){.status = 200};
    if (service->refuse && service->refuse(service, number, is_list, ret) && !ret->is_lost) {
        return;
    }
    if (is_list) {
        answer_list(service, body, &o);
    } else {
        struct parsed *parsed = calloc(1, sizeof *parsed);
        assert_non_null(parsed);
        parsed->service = service;
        service->last_size = 0;
        service->last_body_size = body.size;
        service->last_was_cbor = body.data[0] != '{';
        if (service->last_was_cbor) {
            parse_cbor(body, parsed);
        } else {
            parse_json(body, parsed);
        }
        service->last_count = parsed->count;
        service->count_most =
            parsed->count > service->count_most ? parsed->count : service->count_most;
        service->size_most =
            service->last_size > service->size_most ? service->last_size : service->size_most;
        answer_put(service, parsed, strstr(target, "Firehose") != NULL, &o);
        free(parsed);
    }
    assert_false(o.overflow);
    ret->body = out_slice(&o);
}

/* --- what is stored --- */

unsigned service_stored(const struct service *service, uint64_t sequence)
{
    char text[16];
    unsigned count = 0;
    (void)snprintf(text, sizeof text, "%06" PRIu64, sequence);
    for (size_t i = 0; i < service->record_count; i++) {
        count += strncmp(service->records[i].data, text, 6) == 0;
    }
    return count;
}

bool service_is_in_order(const struct service *service, unsigned keys)
{
    uint64_t *last = calloc(keys, sizeof *last);
    bool *seen = calloc(keys, sizeof *seen);
    bool is_in_order = true;
    assert_non_null(last);
    assert_non_null(seen);
    for (size_t i = 0; i < service->record_count; i++) {
        uint64_t sequence = strtoull(service->records[i].data, NULL, 10);
        size_t key = sequence % keys;
        /* A step beyond the next one means that one came too early. */
        is_in_order = is_in_order && (!seen[key] || sequence <= last[key] + keys);
        last[key] = !seen[key] || sequence > last[key] ? sequence : last[key];
        seen[key] = true;
    }
    free(last);
    free(seen);
    return is_in_order;
}
