/* Set-aside events: what is kept of them comes back, a person drops some, and others come back as events
 * in the same commit. */
#include <string.h>

#include "buffer/internal.h"
#include "buffer/look.h"
#include "tests/buffer/bench.h"

#define SEEN_MAX 16

struct seen {
    size_t count;
    int64_t ids[SEEN_MAX];
    struct aside asides[SEEN_MAX];
    size_t sizes[SEEN_MAX][2]; /* of head and body; their bytes are checked when they come */
};

static uint8_t head_bytes[ASIDE_HEAD_SIZE_MAX];
static uint8_t body_bytes[ASIDE_BODY_SIZE_MAX + 10];

static void see(void *context, int64_t id, const struct aside *aside)
{
    struct seen *seen = context;
    assert_true(seen->count < SEEN_MAX);
    assert_memory_equal(aside->head.data ? aside->head.data : head_bytes, head_bytes,
                        aside->head.size);
    assert_memory_equal(aside->body.data ? aside->body.data : body_bytes, body_bytes,
                        aside->body.size);
    seen->ids[seen->count] = id;
    seen->sizes[seen->count][0] = aside->head.size;
    seen->sizes[seen->count][1] = aside->body.size;
    seen->asides[seen->count++] = *aside;
}

static struct seen look(struct bench *b)
{
    struct seen seen = {.count = 0};
    assert_int_equal(buffer_aside_each(b->buffer, 0, SEEN_MAX, see, &seen, &b->why), ERR_OK);
    assert_int_equal(seen.count, b->changes.aside_count);
    return seen;
}

static struct aside new_aside(size_t head, size_t body)
{
    for (size_t i = 0; i < sizeof head_bytes; i++) {
        head_bytes[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < sizeof body_bytes; i++) {
        body_bytes[i] = (uint8_t)(i * 11);
    }
    return (struct aside){.time_us = 5,
                          .stream = 1,
                          .kind = ASIDE_PAYLOAD,
                          .size = body,
                          .source = SLICE("http"),
                          .reason = SLICE("no such field"),
                          .head = {head_bytes, head},
                          .body = {body_bytes, body}};
}

static void put(struct bench *b, size_t head, size_t body)
{
    struct aside aside = new_aside(head, body);
    struct buffer_write write = {.asides = &aside, .aside_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

static uint64_t drop(struct bench *b, int64_t id)
{
    struct buffer_order order = {.kind = ORDER_ASIDE_DROP, .aside = id};
    struct buffer_order *orders[] = {&order};
    struct buffer_write write = {.orders = orders, .order_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    return order.count;
}

static void test_head_and_body_come_back(void **state)
{
    struct bench *b = *state;
    put(b, 0, 100); /* as those of earlier versions are */
    put(b, 300, 0);
    put(b, ASIDE_HEAD_SIZE_MAX, ASIDE_BODY_SIZE_MAX);
    put(b, 1, ASIDE_BODY_SIZE_MAX + 10); /* cut */
    for (unsigned i = 0; i < 2; i++) {
        struct seen seen = look(b);
        const size_t sizes[][2] = {{0, 100},
                                   {300, 0},
                                   {ASIDE_HEAD_SIZE_MAX, ASIDE_BODY_SIZE_MAX},
                                   {1, ASIDE_BODY_SIZE_MAX}};
        assert_int_equal(seen.count, 4);
        assert_memory_equal(seen.sizes, sizes, sizeof sizes);
        for (size_t k = 0; k < 4; k++) {
            assert_int_equal(seen.asides[k].kind, ASIDE_PAYLOAD);
            assert_int_equal(seen.ids[k], k + 1);
            assert_false(seen.asides[k].is_damaged);
        }
        assert_int_equal(seen.asides[3].size, ASIDE_BODY_SIZE_MAX + 10);
        bench_reopen(b);
    }
}

static void test_a_damaged_one_is_told(void **state)
{
    struct bench *b = *state;
    put(b, 30, 100);
    put(b, 30, 100);
    bench_sql(b, "UPDATE aside SET kind=0 WHERE id=1"); /* its head would be taken for its body */
    struct seen seen = look(b);
    assert_int_equal(seen.count, 2);
    assert_true(seen.asides[0].is_damaged);
    assert_int_equal(seen.sizes[0][0] + seen.sizes[0][1], 0);
    assert_false(seen.asides[1].is_damaged);
    assert_int_equal(drop(b, 1), 1); /* it can go all the same */
    assert_int_equal(look(b).count, 1);
}

static uint64_t aside_size(struct bench *b)
{
    return b->buffer->state->aside_size;
}

static void test_drops_are_kept(void **state)
{
    struct bench *b = *state;
    put(b, 30, 100);
    uint64_t one = aside_size(b);
    put(b, 30, 100);
    put(b, 30, 100);
    assert_int_equal(aside_size(b), 3 * one);
    assert_int_equal(drop(b, 2), 1);
    assert_int_equal(drop(b, 2), 0); /* it is gone */
    assert_int_equal(drop(b, 77), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct seen seen = look(b);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.ids[0], 1);
        assert_int_equal(seen.ids[1], 3);
        assert_int_equal(aside_size(b), 2 * one);
        assert_int_equal(b->buffer->state->aside_dropped, 0); /* by the rule */
        while (i == 1 && b->next[1] < 3000) {
            assert_int_equal(bench_append(b, 1, 100), ERR_OK);
        }
        bench_reopen(b); /* from the tail, then from the snapshot */
    }
}

/* What goes makes room for what comes with it. */
static void test_a_drop_beside_a_new_one(void **state)
{
    struct bench *b = *state;
    struct aside aside = new_aside(30, 100);
    put(b, 30, 100);
    struct buffer_order order = {.kind = ORDER_ASIDE_DROP, .aside = 1};
    struct buffer_order *orders[] = {&order};
    struct buffer_write write = {
        .orders = orders, .order_count = 1, .asides = &aside, .aside_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_reopen(b);
    struct seen seen = look(b);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.ids[0], 2);
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

/* Two events come in place of set-aside ones: both for the uplink that refused them. */
static void test_in_its_place_for_one(void **state)
{
    struct bench *b = *state;
    put(b, 30, 100);
    put(b, 30, 100);
    assert_int_equal(bench_append(b, 1, 20), ERR_OK);
    struct stored_event events[2];
    for (size_t i = 0; i < 2; i++) {
        events[i] = (struct stored_event){.stream = 1,
                                          .schema = b->schema[1],
                                          .sequence = b->next[1]++,
                                          .trust = TIME_WALL,
                                          .time_us = 1,
                                          .datum = SLICE("again")};
    }
    struct buffer_order all[] = {
        {.kind = ORDER_ASIDE_DROP, .aside = 1, .uplink = 2, .stream = 1, .range = {21, 22}},
        {.kind = ORDER_ASIDE_DROP, .aside = 2}};
    struct buffer_order *orders[] = {&all[0], &all[1]};
    struct buffer_write write = {
        .events = events, .event_count = 2, .orders = orders, .order_count = 2};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(look(b).count, 0);
        assert_int_equal(owed_events(b, 1), 20);
        assert_int_equal(owed_events(b, 2), 22);
        bench_reopen(b);
    }
    struct buffer_order would = {.kind = ORDER_ASIDE_DROP, .aside = 1};
    struct buffer_order *looked[] = {&would};
    assert_int_equal(buffer_orders_look(b->buffer, looked, 1, &b->why), ERR_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_head_and_body_come_back), TEST(test_a_damaged_one_is_told),
        TEST(test_drops_are_kept),          TEST(test_a_drop_beside_a_new_one),
        TEST(test_in_its_place_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
