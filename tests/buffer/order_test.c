/* What a person orders: events that are dropped by hand, events that are owed again. */
#include <string.h>

#include "buffer/look.h"
#include "tests/buffer/bench.h"

static void order(struct bench *b, struct buffer_order *o)
{
    struct buffer_order *orders[] = {o};
    struct buffer_write write = {.orders = orders, .order_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

static struct buffer_order drop_of(uint16_t uplink, uint64_t first, uint64_t last)
{
    return (struct buffer_order){
        .kind = ORDER_DROP, .uplink = uplink, .stream = 1, .range = {first, last}};
}

static struct buffer_order again_of(uint16_t uplink, uint64_t first, uint64_t last)
{
    return (struct buffer_order){
        .kind = ORDER_AGAIN, .uplink = uplink, .stream = 1, .range = {first, last}};
}

static uint64_t owed_events(struct bench *b, uint16_t uplink)
{
    const struct owed *owed = bench_owed(b, uplink, 1);
    uint64_t count = 0;
    for (size_t i = 0; i < owed->range_count; i++) {
        count += owed->ranges[i].last - owed->ranges[i].first + 1;
    }
    return count;
}

static void test_a_drop_for_all(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    bench_end(b, 1, 1, 1, 20); /* cloud has these, files is owed all */
    struct buffer_order o = drop_of(0, 11, 60);
    order(b, &o);
    assert_int_equal(o.count, 50);
    assert_int_equal(o.left, 0);
    assert_int_equal(b->changes.streams[1].dropped_count, 50);
    assert_int_equal(owed_events(b, 1), 40);
    assert_int_equal(owed_events(b, 2), 50);
    assert_int_equal(b->changes.gap_count, 2); /* what both lost, and what cloud had */
    const struct gap *gap = &b->changes.gaps[0];
    assert_int_equal(gap->reason, GAP_BY_HAND);
    assert_int_equal(gap->uplink, 0);
    assert_int_equal(gap->range.first, 11);
    assert_int_equal(gap->range.last, 60);
    assert_int_equal(gap->count, 40);
    assert_int_equal(gap[1].reason, GAP_BY_HAND);
    assert_int_equal(gap[1].uplink, 2);
    assert_int_equal(gap[1].count, 10);
    order(b, &o); /* once more: nothing is left of it */
    assert_int_equal(o.count, 0);
    assert_int_equal(b->changes.gap_count, 2);
    bench_reopen(b); /* from the tail */
    assert_int_equal(b->changes.streams[1].dropped_count, 50);
    assert_int_equal(owed_events(b, 1), 40);
    assert_int_equal(b->changes.gaps[0].reason, GAP_BY_HAND);
    while (b->next[1] < 3000) {
        assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    }
    bench_reopen(b); /* from the snapshot */
    assert_int_equal(b->changes.gaps[0].reason, GAP_BY_HAND);
    bench_check(b, 1, 61, b->next[1] - 1);
}

static void test_a_drop_for_one(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    struct buffer_order o = drop_of(2, 0, UINT64_MAX / 2);
    order(b, &o);
    assert_int_equal(o.count, 100);
    assert_int_equal(owed_events(b, 1), 100);
    assert_int_equal(owed_events(b, 2), 0);
    assert_int_equal(b->changes.gaps[0].uplink, 2);
    bench_check(b, 1, 1, 100); /* cloud still wants them */
}

/* What is in an open parcel may have arrived: it is neither dropped nor counted. */
static void test_what_is_being_sent_stays(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    struct parcel parcel = bench_parcel(1, 1, 31, 50, 2);
    bench_parcel_put(b, &parcel);
    struct buffer_order o = drop_of(0, 1, 80);
    order(b, &o);
    assert_int_equal(o.count, 60);
    assert_int_equal(o.left, 20);
    assert_int_equal(owed_events(b, 1), 40);
    assert_int_equal(owed_events(b, 2), 40); /* dropped for all or for nobody */
    struct buffer_order other = drop_of(2, 1, 80);
    order(b, &other); /* files does not send it */
    assert_int_equal(other.count, 20);
    assert_int_equal(other.left, 0);
    bench_done(b, 1, 1, 0);
    bench_done(b, 1, 1, 1);
    assert_int_equal(owed_events(b, 1), 20);
    assert_int_equal(b->changes.streams[1].dropped_count, 80);
}

/* Nine ranges can't be noted: what would need them stays, and is not counted as lost. */
static void test_more_ranges_than_are_kept(void **state)
{
    struct bench *b = *state;
    uint64_t counted = 0;
    assert_int_equal(bench_append(b, 1, 200), ERR_OK);
    for (uint64_t i = 0; i < 10; i++) {
        struct buffer_order o = drop_of(0, 11 + i * 20, 15 + i * 20);
        order(b, &o);
        assert_int_equal(o.count + o.left, 5);
        counted += o.count;
    }
    assert_int_equal(b->changes.streams[1].dropped_count, counted);
    assert_int_equal(owed_events(b, 1), 200 - counted);
    assert_int_equal(counted, 5 * (OWED_RANGE_MAX - 1));
}

static void test_owed_again(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    bench_end(b, 1, 1, 1, 100); /* delivered; files still holds them */
    struct buffer_order o = again_of(1, 21, 40);
    order(b, &o);
    assert_int_equal(o.count, 20);
    assert_int_equal(owed_events(b, 1), 20);
    o.range = (struct range){31, UINT64_MAX / 2}; /* ten of these are owed already */
    order(b, &o);
    assert_int_equal(o.count, 60);
    bench_reopen(b);
    assert_int_equal(owed_events(b, 1), 80);
    bench_end(b, 2, 1, 1, 100); /* now cloud alone keeps them */
    while (b->next[1] < 3000) {
        assert_int_equal(bench_append(b, 1, 100), ERR_OK);
    }
    bench_reopen(b);
    bench_check(b, 1, 21, b->next[1] - 1);
    assert_int_equal(b->changes.gap_count, 0);
    struct buffer_order none = {.kind = ORDER_AGAIN, .uplink = 2, .stream = 2, .range = {1, 10}};
    order(b, &none); /* files does not carry alarms */
    assert_int_equal(none.count, 0);
}

/* An event that comes with an order is not the order's: it is clipped to what is there. */
static void test_orders_beside_events(void **state)
{
    struct bench *b = *state;
    struct buffer_order o = drop_of(0, 1, 1000);
    order(b, &o);
    assert_int_equal(o.count, 0);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    order(b, &o);
    assert_int_equal(o.count, 10);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    bench_check(b, 1, 11, 20);
}

/* What is dropped on arrival is a hole in what is owed, and what is being sent stays: neither is
 * counted when somebody asks what a drop would come to. */
static void test_what_a_drop_would_come_to(void **state)
{
    struct bench *b = *state;
    for (unsigned i = 0; i < 3 * OWED_RANGE_MAX; i++) {
        assert_int_equal(bench_append(b, 1, 10), ERR_OK);
        bench_skip(b, 1, 5);
    }
    uint64_t all = 3 * OWED_RANGE_MAX * 10;
    struct parcel parcel = bench_parcel(1, 1, 1, 10, 1);
    bench_parcel_put(b, &parcel);
    for (unsigned with_sent = 0; with_sent < 2; with_sent++) {
        struct buffer_order would = drop_of(0, 0, UINT64_MAX / 2);
        struct buffer_order *orders[] = {&would};
        size_t gaps = b->changes.gap_count;
        would.with_sent = with_sent;
        assert_int_equal(buffer_orders_look(b->buffer, orders, 1, &b->why), ERR_OK);
        /* What was being sent is lost by the one, then by the other. */
        assert_int_equal(would.count, with_sent ? 2 * 10 : all - 10);
        assert_int_equal(would.left, with_sent ? 0 : 10);
        bench_idle(b);
        assert_int_equal(b->changes.gap_count, gaps);
        struct buffer_order done = drop_of(0, 0, UINT64_MAX / 2);
        done.with_sent = with_sent;
        order(b, &done);
        assert_int_equal(done.count, would.count);
        assert_int_equal(done.left, would.left);
    }
    struct buffer_order again = again_of(2, 1, 20);
    struct buffer_order *orders[] = {&again};
    assert_int_equal(buffer_orders_look(b->buffer, orders, 1, &b->why), ERR_OK);
    uint64_t would_be = again.count;
    order(b, &again);
    assert_int_equal(again.count, would_be);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_drop_for_all, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_drop_for_one, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_what_is_being_sent_stays, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_more_ranges_than_are_kept, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_owed_again, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_orders_beside_events, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_what_a_drop_would_come_to, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
