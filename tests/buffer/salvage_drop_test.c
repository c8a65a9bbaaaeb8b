/* Events that a person drops while they are still to come over from a damaged file: they don't. */
#include <string.h>

#include "buffer/damage.h"
#include "buffer/look.h"
#include "tests/buffer/bench.h"

/* Rows of stream 1, for both uplinks, in a file that waits to be salvaged. Their last event. */
static uint64_t begin(struct bench *b)
{
    bench_begin(b);
    b->datum_size = 500;
    bench_fill(b, 1, 60, 4000);
    bench_end(b, 1, 1, 1, 300); /* cloud has these */
    bench_find_damage(b);
    uint64_t last = 0;
    const struct state *wanted = b->buffer->salvage->wanted;
    for (uint32_t i = 0; i < wanted->owed_count; i++) {
        const struct owed *owed = &wanted->owed[i];
        last = owed->stream == 1 && owed->range_count > 0 ? owed->ranges[0].last : last;
    }
    assert_true(last > 2000);
    return last;
}

static enum err order(struct bench *b, struct buffer_order *o)
{
    struct buffer_order *orders[] = {o};
    struct buffer_write write = {.orders = orders, .order_count = 1};
    return bench_commit(b, &write);
}

static struct buffer_order drop_of(uint16_t uplink, uint64_t first, uint64_t last)
{
    return (struct buffer_order){
        .kind = ORDER_DROP, .uplink = uplink, .stream = 1, .range = {first, last}};
}

static uint64_t owed_in(struct bench *b, uint16_t uplink, uint64_t first, uint64_t last)
{
    return owed_count_in(bench_owed(b, uplink, 1), (struct range){first, last});
}

static uint64_t told(const struct bench *b, uint16_t uplink, uint8_t reason)
{
    uint64_t count = 0;
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        const struct gap *gap = &b->changes.gaps[i];
        bool concerns = gap->uplink == 0 || gap->uplink == uplink;
        count += concerns && gap->reason == reason ? gap->count : 0;
    }
    return count;
}

/* To the end; 201..900 do not come. */
static void check_dropped(struct bench *b, uint64_t last)
{
    bench_care(b);
    assert_int_equal(told(b, 1, GAP_BY_HAND), 600); /* of which it had a hundred */
    assert_int_equal(told(b, 2, GAP_BY_HAND), 700);
    assert_int_equal(told(b, 1, GAP_DAMAGED) + told(b, 2, GAP_DAMAGED), 0);
    for (uint16_t u = 1; u <= 2; u++) {
        assert_int_equal(owed_in(b, u, 201, 900), 0);
        assert_int_equal(owed_in(b, u, 901, last), last - 900);
    }
    assert_int_equal(owed_in(b, 1, 1, 200), 0);
    assert_int_equal(owed_in(b, 2, 1, 200), 200);
    bench_check(b, 1, 901, last);
}

static void test_for_all(void **state)
{
    struct bench *b = *state;
    for (unsigned reopens = 0; reopens < 2; reopens++) {
        uint64_t last = begin(b);
        struct buffer_order o = drop_of(0, 201, 900);
        struct buffer_order *orders[] = {&o};
        assert_int_equal(buffer_orders_look(b->buffer, orders, 1, &b->why), ERR_OK);
        assert_int_equal(o.count, 700);
        assert_int_equal(b->buffer->state->gap_count, 0); /* a look */
        assert_int_equal(order(b, &o), ERR_OK);
        assert_int_equal(o.count, 700);
        assert_int_equal(o.left, 0);
        assert_int_equal(b->changes.streams[1].dropped[GAP_BY_HAND], 700);
        if (reopens) {
            bench_reopen(b);
        }
        assert_int_equal(order(b, &o), ERR_OK); /* once more: nothing is left of it */
        assert_int_equal(o.count, 0);
        check_dropped(b, last);
    }
}

static void test_for_one(void **state)
{
    struct bench *b = *state;
    uint64_t last = begin(b);
    struct buffer_order o = drop_of(2, 0, UINT64_MAX);
    assert_int_equal(order(b, &o), ERR_OK);
    assert_int_equal(o.count, b->next[1] - 1); /* with what is in the tail */
    bench_care(b);
    assert_int_equal(told(b, 2, GAP_BY_HAND), b->next[1] - 1);
    assert_int_equal(told(b, 1, GAP_BY_HAND), 0);
    assert_int_equal(owed_in(b, 2, 1, last), 0);
    assert_int_equal(owed_in(b, 1, 1, last), last - 300);
    bench_check(b, 1, 301, last);
}

/* What has come over is dropped as ever, the rest of the range out of what is wanted; each event is
 * counted once. */
static void test_when_some_of_it_is_here(void **state)
{
    struct bench *b = *state;
    uint64_t last = begin(b);
    assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
    uint64_t came = b->buffer->salvage->at.low;
    assert_in_range(came, 10, last - 1000);
    struct buffer_order o = drop_of(0, 6, came + 500);
    assert_int_equal(order(b, &o), ERR_OK);
    assert_int_equal(o.count, came + 500 - 5);
    bench_care(b);
    assert_int_equal(told(b, 2, GAP_BY_HAND), came + 500 - 5);
    assert_int_equal(owed_in(b, 2, 1, last), last - (came + 500 - 5));
    bench_check(b, 1, came + 501, last);
}

/* A commit that fails drops nothing. */
static void test_a_commit_that_fails(void **state)
{
    struct bench *b = *state;
    for (uint64_t n = 1;; n++) {
        uint64_t last = begin(b);
        struct buffer_order o = drop_of(0, 201, 900);
        crash_vfs_freeze_after(b->vfs, n);
        bool done = order(b, &o) == ERR_OK && !crash_vfs_is_frozen(b->vfs);
        crash_vfs_freeze_after(b->vfs, 0);
        if (!done) {
            crash_vfs_freeze(b->vfs);
        }
        buffer_close(b->buffer);
        b->buffer = NULL;
        if (!done) {
            (void)crash_vfs_crash(b->vfs, CRASH_NOTHING, n);
        }
        bench_reopen(b);
        if (done) {
            check_dropped(b, last);
            assert_true(n > 2);
            return;
        }
        bench_care(b);
        if (told(b, 2, GAP_BY_HAND) == 0) { /* else it was durable */
            assert_int_equal(owed_in(b, 2, 1, last), last);
            bench_check(b, 1, 1, last);
        }
    }
}

/* An earlier file waits behind the later one, in memory, or, after a restart, in the table only. */
static void test_of_two_files(void **state)
{
    struct bench *b = *state;
    for (unsigned reopens = 0; reopens < 2; reopens++) {
        (void)begin(b);
        bench_fill(b, 1, 60, 6000);
        bench_find_damage(b);
        assert_non_null(b->buffer->salvage->before);
        if (reopens) {
            bench_reopen(b);
        }
        uint64_t last = b->next[1] - 1;
        struct buffer_order o = drop_of(0, 201, last - 100);
        assert_int_equal(order(b, &o), ERR_OK);
        assert_int_equal(o.count, last - 300);
        bench_care(b);
        assert_int_equal(told(b, 2, GAP_BY_HAND), last - 300);
        assert_int_equal(told(b, 2, GAP_DAMAGED), 0);
        assert_int_equal(owed_in(b, 2, 1, last), 300);
        assert_int_equal(owed_in(b, 1, 1, last), 100);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_for_all),
        TEST(test_for_one),
        TEST(test_when_some_of_it_is_here),
        TEST(test_a_commit_that_fails),
        TEST(test_of_two_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
