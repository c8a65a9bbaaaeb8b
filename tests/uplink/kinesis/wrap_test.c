/* Batches as records of Kinesis: keys, hashes, order, aggregates, limits. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/zstd.h"
#include "tests/fault_alloc.h"
#include "uplink/aws/kinesis.h"
#include "uplink/aws/kinesis_entries.h"
#include "uplink/aws/kpl.h"

#define EVENT_MAX 64
#define WIRE_SIZE (4 * 1024 * 1024)

struct scene {
    struct kinesis_options options;
    struct stream_info stream;
    struct parcel parcel;
    struct part part;
    struct message messages[EVENT_MAX];
    char texts[EVENT_MAX][32];
    struct batch batch;
    uint8_t *memory;
    struct out wire;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->memory = malloc(WIRE_SIZE);
    assert_non_null(s->memory);
    s->options = (struct kinesis_options){.record_size_max = 1048576, .event_id = KINESIS_ID_NONE};
    s->stream.name = "telemetry";
    s->parcel.layout = LAYOUT_ROWS;
    s->batch = (struct batch){
        .parcel = &s->parcel,
        .part = &s->part,
        .stream = &s->stream,
        .messages = s->messages,
        .target = {.partition_count = 1, .request_size_max = WIRE_SIZE, .cluster_id = "1234abcd"},
        .identity = "pump/3"};
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    free(s->memory);
    free(s);
    return 0;
}

/* Adds an event; its body says which. */
static void event(struct scene *s, const char *key)
{
    size_t i = s->batch.message_count++;
    (void)snprintf(s->texts[i], sizeof s->texts[i], "event %zu", i);
    s->messages[i] = (struct message){
        .key = key ? slice_of_text(key) : (struct slice){NULL, 0},
        .body = slice_of_text(s->texts[i]),
        .sequence = 1000 + i,
        .event_count = 1,
    };
    s->batch.event_count++;
}

static enum err wrap(struct scene *s)
{
    s->wire = out_over(s->memory, WIRE_SIZE);
    return kinesis_wrap(&s->options, &s->batch, &s->wire);
}

static struct entry entry_of(const struct scene *s, size_t index)
{
    struct entry entry;
    uint32_t at = 0;
    for (size_t i = 0; i <= index; i++) {
        assert_true(entries_next(out_slice(&s->wire), &at, &entry));
    }
    return entry;
}

static size_t count_of(const struct scene *s)
{
    size_t done;
    return entries_count(out_slice(&s->wire), &done);
}

static void keys_are_partition_keys(void **state)
{
    struct scene *s = *state;
    event(s, "a");
    event(s, "b");
    event(s, "a");
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(count_of(s), 3);
    struct entry first = entry_of(s, 0), second = entry_of(s, 1), third = entry_of(s, 2);
    struct kinesis_hash hash = kinesis_hash_of(SLICE("a"));
    assert_true(slice_equal_text(first.key, "a") && slice_equal_text(first.data, "event 0"));
    assert_int_equal(first.flags, 0);
    assert_int_equal(kinesis_hash_compare(&first.hash, &hash), 0);
    assert_int_equal(first.before, ENTRY_NONE);
    assert_int_equal(second.before, ENTRY_NONE);
    assert_int_equal(third.before, first.at);
    s->options.ordering = KINESIS_ORDER_NONE;
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(entry_of(s, 2).before, ENTRY_NONE);
}

static void ids_travel_beside_the_hash_of_the_key(void **state)
{
    struct scene *s = *state;
    event(s, "a");
    event(s, NULL);
    event(s, "a");
    s->options.event_id = KINESIS_ID_PARTITION_KEY;
    s->batch.target.partition_count = 2;
    assert_int_equal(wrap(s), ERR_OK);
    struct kinesis_hash hash = kinesis_hash_of(SLICE("a"));
    struct kinesis_hash run = kinesis_hash_of(SLICE("1234abcd-0"));
    assert_true(slice_equal_text(entry_of(s, 0).key, "pump/3/telemetry/1000"));
    assert_true(slice_equal_text(entry_of(s, 1).key, "pump/3/telemetry/1001"));
    for (size_t i = 0; i < 3; i++) {
        struct entry entry = entry_of(s, i);
        assert_int_equal(entry.flags, ENTRY_HAS_HASH_KEY);
        assert_int_equal(kinesis_hash_compare(&entry.hash, i == 1 ? &run : &hash), 0);
    }
    assert_int_equal(entry_of(s, 1).before, ENTRY_NONE); /* without a key there is no order */
    assert_int_equal(entry_of(s, 2).before, 0);
}

/* Where there is one shard, a hash says nothing of events without a key. */
static void one_shard_needs_no_hash_without_a_key(void **state)
{
    struct scene *s = *state;
    event(s, "a");
    event(s, NULL);
    s->options.event_id = KINESIS_ID_PARTITION_KEY;
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(entry_of(s, 0).flags, ENTRY_HAS_HASH_KEY); /* order, also behind a split */
    struct entry entry = entry_of(s, 1);
    struct kinesis_hash hash = kinesis_hash_of(SLICE("pump/3/telemetry/1001"));
    assert_int_equal(entry.flags, 0);
    assert_int_equal(kinesis_hash_compare(&entry.hash, &hash), 0); /* where it goes after all */
    s->options.explicit_hash_key = "42";
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(entry_of(s, 1).flags, ENTRY_HAS_HASH_KEY);
}

static void events_without_a_key_stay_together(void **state)
{
    struct scene *s = *state;
    struct target *target = &s->batch.target;
    struct slice none = {NULL, 0};
    event(s, NULL);
    event(s, NULL);
    assert_int_equal(wrap(s), ERR_OK);
    assert_true(slice_equal_text(entry_of(s, 0).key, "1234abcd-0"));
    assert_int_equal(entry_of(s, 0).flags, 0);
    assert_int_equal(entry_of(s, 1).before, ENTRY_NONE);
    target->partition_count = 16;
    uint32_t seen = 0;
    for (uint64_t run = 0; run < 200; run++) {
        uint32_t bucket = kinesis_place(target, none, run * 1024);
        assert_int_equal(kinesis_place(target, none, run * 1024 + 1023), bucket);
        seen |= 1U << bucket;
    }
    assert_int_equal(seen, 0xffff);
}

/* The bucket of place() is that of the hash by which the record goes. */
static void buckets_are_those_of_the_hashes(void **state)
{
    struct scene *s = *state;
    (void)state;
    for (uint32_t count = 1; count <= 16; count++) {
        s->batch.target.partition_count = count;
        for (unsigned i = 0; i < 50; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "key %u", i);
            s->batch.message_count = s->batch.event_count = 0;
            event(s, key);
            assert_int_equal(wrap(s), ERR_OK);
            struct kinesis_hash hash = entry_of(s, 0).hash;
            assert_int_equal(kinesis_place(&s->batch.target, s->messages[0].key, 1000),
                             kinesis_hash_bucket(&hash, count));
        }
    }
}

static void keys_that_are_not_allowed_go_by_their_hash(void **state)
{
    struct scene *s = *state;
    static char long_key[260];
    static char wide_key[300];
    memset(long_key, 'x', 257);
    for (size_t i = 0; i < 100; i++) {
        memcpy(wide_key + i * 2, "ü", 2); /* 200 bytes, 100 characters */
    }
    static const struct {
        const char *key;
        bool is_allowed;
    } cases[] = {{"", false},          {"\xff\xfe", false}, {long_key, false},
                 {long_key + 1, true}, {wide_key, true},    {"k", true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        s->batch.message_count = s->batch.event_count = 0;
        event(s, cases[i].key);
        assert_int_equal(wrap(s), ERR_OK);
        struct entry entry = entry_of(s, 0);
        struct kinesis_hash hash = kinesis_hash_of(slice_of_text(cases[i].key));
        assert_int_equal(kinesis_hash_compare(&entry.hash, &hash), 0);
        assert_int_equal(entry.flags, cases[i].is_allowed ? 0 : ENTRY_HAS_HASH_KEY);
        assert_int_equal(entry.key.size, cases[i].is_allowed ? strlen(cases[i].key) : 32);
    }
}

static void one_hash_for_everything(void **state)
{
    struct scene *s = *state;
    s->options.explicit_hash_key = "42";
    event(s, "a");
    event(s, "b");
    assert_int_equal(wrap(s), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        struct entry entry = entry_of(s, i);
        char text[KINESIS_HASH_TEXT_SIZE];
        kinesis_hash_text(&entry.hash, text);
        assert_string_equal(text, "42");
        assert_int_equal(entry.flags, ENTRY_HAS_HASH_KEY);
    }
    assert_true(slice_equal_text(entry_of(s, 1).key, "b"));
}

static void columns_are_one_record(void **state)
{
    struct scene *s = *state;
    static uint8_t body[5000];
    struct zstd_decoder *decoder;
    uint8_t again[sizeof body];
    s->parcel.layout = LAYOUT_COLUMNS;
    s->batch.target.partition_count = 4;
    s->part.partition = 2;
    event(s, NULL);
    s->messages[0].body = (struct slice){body, sizeof body};
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(count_of(s), 1);
    struct entry entry = entry_of(s, 0);
    assert_true(slice_equal_text(entry.key, "pump/3/telemetry/1000")); /* whose batch it is */
    assert_int_equal(entry.flags, ENTRY_HAS_HASH_KEY);
    assert_int_equal(kinesis_hash_bucket(&entry.hash, 4), 2);
    assert_true(entry.data.size < 100); /* a zstd frame */
    struct out o = out_over(again, sizeof again);
    assert_int_equal(zstd_decoder_open(&decoder), ERR_OK);
    assert_int_equal(zstd_decode(decoder, entry.data, &o), ERR_OK);
    assert_true(slice_equal(out_slice(&o), s->messages[0].body));
    zstd_decoder_close(decoder);
    s->messages[0].key = SLICE("pump/3"); /* by the agent's key, which then says whose it is */
    assert_int_equal(wrap(s), ERR_OK);
    entry = entry_of(s, 0);
    struct kinesis_hash hash = kinesis_hash_of(SLICE("pump/3"));
    assert_true(slice_equal_text(entry.key, "pump/3"));
    assert_int_equal(entry.flags, 0);
    assert_int_equal(kinesis_hash_compare(&entry.hash, &hash), 0);
    s->messages[0].body = SLICE("short"); /* no frame is smaller */
    assert_int_equal(wrap(s), ERR_OK);
    assert_true(slice_equal_text(entry_of(s, 0).data, "short"));
}

static size_t count_in(struct slice data, const char *text)
{
    size_t count = 0;
    for (const uint8_t *at = data.data;
         (at = memmem(at, data.size - (size_t)(at - data.data), text, strlen(text))); at++) {
        count++;
    }
    return count;
}

static void aggregates_hold_many_events(void **state)
{
    struct scene *s = *state;
    s->options.aggregate_size_max = 1024;
    s->batch.target.partition_count = 8;
    s->part.partition = 5;
    for (size_t i = 0; i < EVENT_MAX; i++) {
        event(s, i % 3 == 0 ? "device-a" : i % 3 == 1 ? "device-b" : NULL);
    }
    assert_int_equal(wrap(s), ERR_OK);
    size_t count = count_of(s), events = 0;
    assert_true(count > 1 && count < 6);
    for (size_t i = 0; i < count; i++) {
        struct entry entry = entry_of(s, i);
        assert_true(entry.data.size <= 1024);
        assert_true(slice_equal_text(entry.key, "a"));
        assert_int_equal(memcmp(entry.data.data, "\xf3\x89\x9a\xc2", KPL_MAGIC_SIZE), 0);
        assert_int_equal(kinesis_hash_bucket(&entry.hash, 8), 5);
        assert_int_equal(entry.before == ENTRY_NONE, i == 0);
        events += count_in(entry.data, "event ");
        assert_true(count_in(entry.data, "device-a") <= 1); /* each key once */
        assert_true(count_in(entry.data, "1234abcd-0") <= 1);
    }
    assert_int_equal(events, EVENT_MAX);
    s->options.event_id = KINESIS_ID_PARTITION_KEY; /* then each has its own */
    assert_int_equal(wrap(s), ERR_OK);
    size_t ids = 0;
    for (size_t i = 0; i < count_of(s); i++) {
        ids += count_in(entry_of(s, i).data, "pump/3/telemetry/10");
    }
    assert_int_equal(ids, EVENT_MAX);
}

static void a_single_event_is_no_aggregate(void **state)
{
    struct scene *s = *state;
    static uint8_t large[2000];
    s->options.aggregate_size_max = 1024;
    event(s, "k");
    event(s, "k");
    s->messages[0].body = (struct slice){large, sizeof large};
    assert_int_equal(wrap(s), ERR_OK);
    assert_int_equal(count_of(s), 2);
    assert_true(slice_equal_text(entry_of(s, 1).data, "event 1"));
    assert_true(slice_equal_text(entry_of(s, 1).key, "k"));
    struct entry first = entry_of(s, 0), second = entry_of(s, 1);
    assert_int_equal(kinesis_hash_compare(&first.hash, &second.hash), 0);
    assert_int_equal(second.before, first.at);
}

static void limits_are_kept_here(void **state)
{
    struct scene *s = *state;
    static uint8_t body[1048576];
    event(s, "key");
    s->messages[0].body = (struct slice){body, sizeof body - 3}; /* the limit, key included */
    assert_int_equal(wrap(s), ERR_OK);
    s->messages[0].body.size++;
    assert_int_equal(wrap(s), ERR_FULL);
    s->part.assigned = true; /* what is on record stands: the service says it */
    assert_int_equal(wrap(s), ERR_OK);
    s->part.assigned = false;
    s->messages[0].body = SLICE("x");
    event(s, "key");
    assert_int_equal(wrap(s), ERR_OK);
    s->batch.target.request_size_max = (uint32_t)s->wire.size;
    assert_int_equal(wrap(s), ERR_OK);
    s->batch.target.request_size_max--;
    assert_int_equal(wrap(s), ERR_FULL);
    struct out small = out_over(s->memory, s->wire.size - 1);
    assert_int_equal(kinesis_wrap(&s->options, &s->batch, &small), ERR_FULL);
}

static void the_same_events_are_the_same_bytes(void **state)
{
    struct scene *s = *state;
    for (size_t i = 0; i < 20; i++) {
        event(s, i % 2 ? "a" : NULL);
    }
    for (int aggregates = 0; aggregates < 2; aggregates++) {
        s->options.aggregate_size_max = aggregates ? 1024 : 0;
        assert_int_equal(wrap(s), ERR_OK);
        size_t size = s->wire.size;
        uint8_t *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, s->memory, size);
        assert_int_equal(wrap(s), ERR_OK);
        assert_true(s->wire.size == size && memcmp(copy, s->memory, size) == 0);
        free(copy);
    }
}

static void fails_cleanly_without_memory(void **state)
{
    struct scene *s = *state;
    event(s, "a");
    event(s, "b");
    for (int kind = 0; kind < 3; kind++) {
        unsigned n = 1;
        s->options.aggregate_size_max = kind == 1 ? 2048 : 0;
        s->parcel.layout = kind == 2 ? LAYOUT_COLUMNS : LAYOUT_ROWS;
        for (bool failed = true; failed; n++) {
            s->wire = out_over(s->memory, WIRE_SIZE);
            fault_alloc_set(n);
            enum err e = kinesis_wrap(&s->options, &s->batch, &s->wire);
            failed = fault_alloc_happened();
            fault_alloc_set(0);
            assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
        }
        assert_true(n > 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_are_partition_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_travel_beside_the_hash_of_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(one_shard_needs_no_hash_without_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(events_without_a_key_stay_together, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_are_those_of_the_hashes, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_are_not_allowed_go_by_their_hash, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_hash_for_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(columns_are_one_record, setup, teardown),
        cmocka_unit_test_setup_teardown(aggregates_hold_many_events, setup, teardown),
        cmocka_unit_test_setup_teardown(a_single_event_is_no_aggregate, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_are_kept_here, setup, teardown),
        cmocka_unit_test_setup_teardown(the_same_events_are_the_same_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(fails_cleanly_without_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
