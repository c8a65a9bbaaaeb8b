/* Owed ranges: up to eight, what happens beyond, and what is counted. */
#include "buffer/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/cmocka.h"

/* 1..5, 11..15, ... */
static struct owed full_list(void)
{
    struct owed owed = {.uplink = 1, .stream = 1};
    for (uint64_t i = 0; i < OWED_RANGE_MAX; i++) {
        owed_add(&owed, (struct range){i * 10 + 1, i * 10 + 5});
    }
    return owed;
}

static void test_ranges_are_added_at_the_end(void **state)
{
    (void)state;
    struct owed owed = full_list();
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_int_equal(owed_event_count(&owed), 5 * OWED_RANGE_MAX);
    owed_add(&owed, (struct range){76, 80}); /* adjacent */
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_int_equal(owed.ranges[OWED_RANGE_MAX - 1].last, 80);
    owed_add(&owed, (struct range){100, 101}); /* a ninth: the last one grows */
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_int_equal(owed.ranges[OWED_RANGE_MAX - 1].last, 101);
    assert_true(owed_meets(&owed, (struct range){99, 99}));
    assert_false(owed_meets(&owed, (struct range){6, 10}));
}

static void test_cutting(void **state)
{
    (void)state;
    struct owed owed = full_list();
    struct owed before = owed;
    assert_false(owed_cut(&owed, (struct range){13, 13})); /* a ninth range: unchanged */
    assert_memory_equal(&owed, &before, sizeof owed);
    assert_true(owed_cut(&owed, (struct range){1, 12})); /* one whole and a part */
    assert_int_equal(owed.range_count, OWED_RANGE_MAX - 1);
    assert_int_equal(owed.ranges[0].first, 13);
    assert_true(owed_cut(&owed, (struct range){14, 14})); /* now there is room */
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_int_equal(owed.ranges[0].last, 13);
    assert_int_equal(owed.ranges[1].first, 15);
    assert_true(owed_cut(&owed, (struct range){6, 10})); /* nothing of it is owed */
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_true(owed_cut(&owed, (struct range){1, UINT64_MAX / 2}));
    assert_int_equal(owed.range_count, 0);
}

/* Against a list of single sequences: what is inserted is owed, what was owed stays owed, and one
 * place stays free. Only what lies between two neighbours may come along. */
static void test_inserting(void **state)
{
    (void)state;
    uint64_t chance = 7;
    for (unsigned round = 0; round < 2000; round++) {
        struct owed owed = {.uplink = 1, .stream = 1};
        bool model[201] = {false};
        for (unsigned step = 0; step < 12; step++) {
            chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
            uint64_t first = 1 + (chance >> 33) % 200;
            uint64_t last = first + (chance >> 50) % 9;
            last = last > 200 ? 200 : last;
            uint64_t before = owed_event_count(&owed);
            owed_insert(&owed, (struct range){first, last});
            assert_true(owed.range_count <= OWED_RANGE_MAX - 1);
            uint64_t count = 0;
            for (uint64_t i = 1; i <= 200; i++) {
                model[i] = model[i] || (i >= first && i <= last);
                bool is_owed = owed_meets(&owed, (struct range){i, i});
                assert_true(is_owed || !model[i]);
                model[i] = is_owed;
                count += is_owed;
            }
            assert_int_equal(owed_event_count(&owed), count);
            assert_int_equal(owed_count_in(&owed, (struct range){1, 200}), count);
            assert_true(count >= before);
            for (size_t i = 1; i < owed.range_count; i++) {
                assert_true(owed.ranges[i].first > owed.ranges[i - 1].last + 1);
            }
        }
    }
    struct owed owed = full_list(); /* eight already: never more, and none is joined for nothing */
    owed_insert(&owed, (struct range){2, 3});
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_int_equal(owed_event_count(&owed), 5 * OWED_RANGE_MAX);
    owed_insert(&owed, (struct range){1000, 1000});
    assert_int_equal(owed.range_count, OWED_RANGE_MAX);
    assert_true(owed_meets(&owed, (struct range){1000, 1000}));
    assert_int_equal(owed_count_in(&owed, (struct range){1, 15}), 15); /* the nearest two */
}

/* What several uplinks are owed is counted once. */
static void test_the_backlog_is_a_union(void **state)
{
    (void)state;
    struct state *s = NULL;
    assert_int_equal(state_open(&s, 4), ERR_OK);
    s->streams[1].sequence_next = 101;
    s->owed[0] = (struct owed){1, 1, 2, {{1, 10}, {21, 30}}};
    s->owed[1] = (struct owed){2, 1, 2, {{6, 25}, {91, 100}}};
    s->owed[2] = (struct owed){1, 2, 1, {{1, 5}}};
    s->owed_count = 3;
    assert_int_equal(state_backlog(s, 1), 40);
    assert_int_equal(state_backlog(s, 2), 5);
    assert_int_equal(state_backlog_in(s, 1, (struct range){8, 22}), 15);
    assert_int_equal(state_backlog_in(s, 1, (struct range){31, 90}), 0);
    assert_int_equal(state_backlog_in(s, 1, (struct range){30, 91}), 2);
    assert_int_equal(state_lowest_owed(s, 1), 1);
    assert_int_equal(state_owed_end_of(s, 1, (struct range){9, 9}), 25);
    assert_int_equal(state_owed_end_of(s, 1, (struct range){40, 50}), 0);
    state_close(s);
}

/* A drop cuts every uplink, or one, and adds up with its neighbour. */
static void test_drops_are_counted(void **state)
{
    (void)state;
    struct state *s = NULL;
    assert_int_equal(state_open(&s, 4), ERR_OK);
    s->streams[1].sequence_next = 101;
    s->owed[0] = (struct owed){1, 1, 1, {{1, 100}}};
    s->owed[1] = (struct owed){2, 1, 1, {{1, 100}}};
    s->owed_count = 2;
    struct gap gap = {.stream = 1, .reason = GAP_DROP_OLDEST, .range = {1, 10}, .count = 10};
    state_drop(s, &gap);
    gap.range = (struct range){11, 20};
    state_drop(s, &gap);
    assert_int_equal(s->gap_count, 1);
    assert_int_equal(s->gaps[0].count, 20);
    assert_int_equal(s->gaps[0].range.last, 20);
    gap = (struct gap){
        .stream = 1, .uplink = 2, .reason = GAP_HOLD_MAX, .range = {21, 30}, .count = 10};
    state_drop(s, &gap);
    assert_int_equal(s->gap_count, 2);
    assert_int_equal(s->owed[0].ranges[0].first, 21);
    assert_int_equal(s->owed[1].ranges[0].first, 31);
    assert_int_equal(state_dropped(s, 1), 30);
    assert_int_not_equal(s->gaps[0].number, s->gaps[1].number);
    state_close(s);
}

/* The snapshot of version 1: one stream with five events, three of them sent in an open parcel; an
 * offset of a boot. */
static void put_version_1(struct out *o, bool has_key, bool has_estimate)
{
    static const uint64_t head[] = {1, 42, 7, 2, 300, 1, 9, /* streams: */ 1, 3, 6, 5000, 11};
    static const uint64_t owed[] = {1, 2, 3, 1, 1, 5, /* parcels: */ 1, 2, 3};
    static const uint64_t part[] = {1, 3, 3, 1}; /* sequences, records, events in each */
    for (size_t i = 0; i < ARRAY_COUNT(head); i++) {
        out_put_uvarint(o, head[i]);
    }
    out_put_varint(o, -77); /* oldest time */
    for (size_t i = 0; i < ARRAY_COUNT(owed); i++) {
        out_put_uvarint(o, owed[i]);
    }
    out_put(o, "\0\1\5", 3);                    /* lane, layout, schema */
    out_put(o, "\2", has_key);                  /* PARCEL_KEY_FIELD */
    out_put(o, "\1\3\5topic\7cluster\2\1", 18); /* range, names, partitions, parts */
    out_put(o, "\2\1", 2);                      /* assigned; partition */
    for (size_t i = 0; i < ARRAY_COUNT(part); i++) {
        out_put_uvarint(o, part[i]);
    }
    out_put_varint(o, 4001);
    out_put_varint(o, 3);
    out_put_varint(o, 200);
    out_put_varint(o, -1);
    out_put(o, "\0\1\4", 3); /* no gap; one boot */
    out_put_varint(o, 1234567);
    out_put(o, "\1", has_estimate);
}

static void test_the_version_before_is_read(void **state)
{
    (void)state;
    for (unsigned form = 0; form < 4; form++) {
        uint8_t memory[256];
        struct out o = out_over(memory, sizeof memory);
        struct state *s = NULL;
        bool has_key = form >> 1;
        bool has_estimate = form & 1;
        put_version_1(&o, has_key, has_estimate);
        assert_int_equal(state_open(&s, 4), ERR_OK);
        assert_int_equal(state_decode(s, 4, out_slice(&o)), ERR_OK);
        assert_true(s->is_old);
        assert_int_equal(s->commit, 42);
        assert_int_equal(s->streams[3].sequence_next, 6);
        assert_int_equal(s->streams[3].dropped[GAP_MERGED], 11);
        assert_int_equal(s->streams[3].oldest_time_us, -77);
        assert_int_equal(s->owed[0].ranges[0].last, 5);
        assert_int_equal(s->parcels[0].key, has_key ? PARCEL_KEY_FIELD : PARCEL_KEY_UNSAID);
        assert_string_equal(s->parcels[0].cluster_id, "cluster");
        assert_int_equal(s->parcels[0].parts[0].producer_id, 4001);
        assert_int_equal(s->parcels[0].parts[0].base_sequence, 200);
        assert_true(s->parcels[0].parts[0].assigned);
        assert_int_equal(s->boots[0].offset_us, 1234567);
        assert_int_equal(s->boots[0].is_estimate, has_estimate);
        for (size_t size = 1; size + has_estimate < o.size;
             size++) { /* cut short it is in no form */
            assert_int_equal(state_decode(s, 4, (struct slice){memory, size}), ERR_CORRUPT);
        }
        assert_true(s->is_earlier);
        memory[0] = 4;
        assert_int_equal(state_decode(s, 4, out_slice(&o)), ERR_VERSION);
        state_close(s);
    }
}

/* Version 2 is today's, but for the types of uplinks that parcels may say. */
static void test_version_2_is_read(void **state)
{
    (void)state;
    static uint8_t memory[65536];
    struct state *s = NULL;
    assert_int_equal(state_open(&s, 4), ERR_OK);
    struct out o = out_over(memory, sizeof memory);
    state_encode(s, &o);
    assert_int_equal(state_decode(s, 4, out_slice(&o)), ERR_OK);
    assert_false(s->is_earlier);
    memory[0] = 2;
    assert_int_equal(state_decode(s, 4, out_slice(&o)), ERR_OK);
    assert_true(s->is_earlier);
    assert_false(s->is_old);
    state_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_added_at_the_end),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_inserting),
        cmocka_unit_test(test_the_backlog_is_a_union),
        cmocka_unit_test(test_drops_are_counted),
        cmocka_unit_test(test_the_version_before_is_read),
        cmocka_unit_test(test_version_2_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
