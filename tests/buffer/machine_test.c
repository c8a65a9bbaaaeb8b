/* A file that is used on another machine: a new incarnation from then on, and each event keeps the one
 * that it was stored under. Under faults of the disk and of memory, and power cuts: the world's
 * machine changes in buffer_fault, buffer_alloc and buffer_power. */
#include <stdio.h>
#include <string.h>

#include "buffer/look.h"
#include "buffer/salvage.h"
#include "ports/identity.h"
#include "tests/buffer/bench.h"

static struct machine machine;

static void is_on(struct bench *b, uint8_t board, uint8_t system)
{
    machine = (struct machine){{board}, {system}};
    b->setup->machine = &machine;
}

/* The incarnation goes on. */
static void same(struct bench *b, uint8_t board, uint8_t system)
{
    uint32_t before = buffer_incarnation(b->buffer);
    is_on(b, board, system);
    bench_reopen(b);
    assert_int_equal(buffer_incarnation(b->buffer), before);
    assert_int_equal(buffer_incarnation_before(b->buffer), 0);
}

/* Another one begins. Returns it. */
static uint32_t other(struct bench *b, uint8_t board, uint8_t system)
{
    uint32_t before = buffer_incarnation(b->buffer);
    is_on(b, board, system);
    bench_reopen(b);
    uint32_t now = buffer_incarnation(b->buffer);
    assert_int_not_equal(now, 0);
    assert_int_not_equal(now, before);
    assert_int_equal(buffer_incarnation_before(b->buffer), before);
    bench_reopen(b);
    assert_int_equal(buffer_incarnation(b->buffer), now);
    assert_int_equal(buffer_incarnation_before(b->buffer), 0);
    return now;
}

/* first..last of stream 1 have this incarnation, and no more. */
static void name_is(struct bench *b, uint64_t first, uint64_t last, uint32_t incarnation)
{
    uint64_t end = 0;
    assert_int_equal(buffer_incarnation_at(b->buffer, 1, first, &end), incarnation);
    assert_int_equal(end, last);
    assert_int_equal(buffer_incarnation_at(b->buffer, 1, last, &end), incarnation);
    assert_int_equal(end, last);
}

static struct buffer_figures figures(struct bench *b)
{
    struct buffer_figures f;
    buffer_figures(b->buffer, &f);
    return f;
}

static void a_file_of_before_gets_its_machine(void **state)
{
    struct bench *b = *state;
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    struct buffer_figures f = figures(b);
    assert_false(f.knows_board || f.knows_system);
    same(b, 0, 7);
    f = figures(b);
    assert_true(!f.knows_board && f.knows_system && f.earlier_count == 0);
    same(b, 3, 7); /* its number can be read now */
    assert_true(figures(b).knows_board);
    name_is(b, 1, UINT64_MAX, buffer_incarnation(b->buffer));
    bench_check(b, 1, 1, 10);
}

static void a_machine_is_the_same(void **state)
{
    struct bench *b = *state;
    same(b, 3, 7);
    same(b, 3, 7);
    same(b, 3, 8); /* another system on the board */
    same(b, 0, 8); /* a user who may not read the number */
    same(b, 3, 0); /* the system is not known before its first boot is over */
    same(b, 0, 0);
    assert_true(figures(b).knows_board && figures(b).knows_system);
    other(b, 4, 8); /* a board with an image of the other's system */
    other(b, 0, 9); /* of the boards one is not known: the systems are compared */
    same(b, 5, 0);
    other(b, 6, 9);
}

static void another_machine_begins_another_incarnation(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    uint32_t first = buffer_incarnation(b->buffer);
    bench_fill(b, 1, 200, 4000); /* in rows, and in the tail */
    assert_int_equal(bench_append(b, 2, 5), ERR_OK);
    uint64_t last = b->next[1] - 1;
    uint32_t second = other(b, 2, 1);
    name_is(b, 1, last, first);
    name_is(b, last + 1, UINT64_MAX, second);
    assert_int_equal(figures(b).earlier_count, 1);
    assert_int_equal(figures(b).earlier[0], first);
    assert_int_equal(bench_append(b, 1, 100), ERR_OK); /* sequences go on */
    bench_check(b, 1, 1, last + 100);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].last, last + 100);
    uint64_t end = 0;
    assert_int_equal(buffer_incarnation_at(b->buffer, 2, 5, &end), first);
    assert_int_equal(end, 5);
    assert_int_equal(buffer_incarnation_at(b->buffer, 3, 1, &end), second); /* not used then */
    /* Back on the first: that is another one again, which the copy there does not have. */
    uint32_t third = other(b, 1, 1);
    assert_int_not_equal(third, first);
    name_is(b, last + 1, last + 100, second);
    name_is(b, last + 101, UINT64_MAX, third);
}

static void what_is_being_sent_stays(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    struct parcel parcel = bench_parcel(1, 1, 1, 50, 2);
    parcel.parts[0].producer_id = 77;
    parcel.parts[0].assigned = true;
    bench_parcel_put(b, &parcel);
    bench_done(b, 1, 1, 1);
    other(b, 2, 2);
    bench_check(b, 1, 1, 50);
    bench_done(b, 1, 1, 0); /* it is still open, or this fails */
    assert_int_equal(bench_owed(b, 1, 1)->range_count, 0);
    assert_int_equal(bench_owed(b, 2, 1)->range_count, 1);
}

static void tools_change_nothing(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    uint32_t first = buffer_incarnation(b->buffer);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    is_on(b, 2, 2);
    for (unsigned i = 0; i < 3; i++) {
        b->setup->read_only = i == 0;
        b->setup->as_it_is = i == 1;
        bench_reopen(b);
        assert_int_equal(buffer_incarnation(b->buffer), first);
        b->setup->machine = NULL; /* nobody asks */
    }
    other(b, 2, 2);
}

/* One that stores new events (weir buffer import) says on which machine it does, and the agent goes on
 * from there. */
static void a_tool_that_stores_begins_another(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    uint32_t first = buffer_incarnation(b->buffer);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    b->setup->as_it_is = true;
    same(b, 1, 1);
    uint32_t second = other(b, 2, 2);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    b->setup->as_it_is = false;
    same(b, 2, 2);
    name_is(b, 1, 10, first);
    name_is(b, 11, UINT64_MAX, second);
    bench_check(b, 1, 1, 20);
}

/* A board each day: the oldest names are given up, each event still has one of its own. */
static void many_machines(void **state)
{
    struct bench *b = *state;
    uint32_t seen[8];
    same(b, 1, 1);
    seen[0] = buffer_incarnation(b->buffer);
    for (uint8_t i = 1; i < 8; i++) {
        assert_int_equal(bench_append(b, 1, 10), ERR_OK);
        seen[i] = other(b, (uint8_t)(1 + i), 1);
        for (uint8_t k = 0; k < i; k++) {
            assert_int_not_equal(seen[i], seen[k]);
        }
    }
    assert_int_equal(figures(b).earlier_count, BUFFER_EARLIER_MAX);
    for (uint8_t k = 0; k < 8; k++) {
        assert_int_equal(buffer_incarnation_is_ours(b->buffer, seen[k]), k >= 3);
    }
    name_is(b, 1, 40, seen[3]); /* 1..30 were of those before, and are nobody else's */
    name_is(b, 41, 50, seen[4]);
    name_is(b, 61, 70, seen[6]);
    name_is(b, 71, UINT64_MAX, seen[7]);
    bench_check(b, 1, 1, 70);
}

/* In place of a damaged file, at rest and while it runs. */
static void a_fresh_file_knows_it_too(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    uint32_t first = buffer_incarnation(b->buffer);
    assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    uint32_t second = other(b, 2, 1);
    assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    bench_find_damage(b);
    bench_care(b);
    name_is(b, 1, 40, first);
    same(b, 2, 1);
    bench_damage_at_rest(b);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    bench_care(b);
    assert_int_equal(buffer_incarnation(b->buffer), second);
    name_is(b, 1, 40, first);
    name_is(b, 41, UINT64_MAX, second);
    /* Damaged, and on another board. */
    bench_damage_at_rest(b);
    is_on(b, 3, 1);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 1);
    assert_int_equal(buffer_incarnation_before(b->buffer), second);
    bench_care(b);
    name_is(b, 1, 40, first);
    name_is(b, 41, 80, second);
    bench_check(b, 1, 1, 80);
}

static void what_is_written_of_it_is_checked(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    uint32_t second = other(b, 2, 1);
    bench_sql(b, "UPDATE meta SET v=x'0011223344' WHERE k='eras'");
    name_is(b, 1, UINT64_MAX, second); /* a name that nobody else gives */
    bench_sql(b, "UPDATE meta SET v=x'00' WHERE k='machine'");
    assert_int_equal(buffer_incarnation(b->buffer), second); /* is not known, and filled in */
    other(b, 3, 1);
    bench_sql(b, "UPDATE meta SET v=7 WHERE k IN('machine','eras')");
    bench_check(b, 1, 1, 40);
}

/* A file of before that was moved aside is this buffer's, as long as it ends before the new
 * incarnation began. */
static void a_file_of_an_earlier_incarnation_is_salvaged(void **state)
{
    struct bench *b = *state;
    same(b, 1, 1);
    assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    bench_reopen(b); /* all of it is in the file */
    buffer_close(b->buffer);
    b->buffer = NULL;
    bench_copy_file(b, BENCH_PATH, "kept.db");
    bench_reopen(b);
    assert_int_equal(bench_append(b, 1, 10), ERR_OK);
    buffer_close(b->buffer);
    b->buffer = NULL;
    bench_copy_file(b, BENCH_PATH, "newer.db");
    bench_copy_file(b, "kept.db", BENCH_PATH); /* an image of before, on another board */
    is_on(b, 2, 1);
    bench_reopen(b);
    b->next[1] = 41;
    assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    assert_int_equal(buffer_salvage_begin(b->buffer, "newer.db", &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "another buffer"));
    assert_int_equal(buffer_salvage_begin(b->buffer, "kept.db", &b->why), ERR_OK);
    bench_care(b);
    bench_check(b, 1, 1, 80);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_of_before_gets_its_machine),
        TEST(a_machine_is_the_same),
        TEST(another_machine_begins_another_incarnation),
        TEST(what_is_being_sent_stays),
        TEST(tools_change_nothing),
        TEST(a_tool_that_stores_begins_another),
        TEST(many_machines),
        TEST(a_fresh_file_knows_it_too),
        TEST(what_is_written_of_it_is_checked),
        TEST(a_file_of_an_earlier_incarnation_is_salvaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
