/* Backoff, link and parts: the pure pieces of forward. */
#include "agent/backoff.h"
#include "agent/link.h"
#include "agent/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/cmocka.h"

static struct parcel parcel_of(uint32_t partitions, uint64_t first, uint64_t last)
{
    struct parcel parcel = {
        .range = {first, last}, .part_count = partitions, .partition_count = partitions};
    for (uint32_t i = 0; i < partitions; i++) {
        parcel.parts[i] = (struct part){
            .partition = i, .first = first, .last = last, .assigned = true, .base_sequence = 7};
    }
    return parcel;
}

static void test_current_is_first_undone_of_each_partition(void **state)
{
    (void)state;
    uint32_t current[PARCEL_PART_MAX];
    void *attached[PARCEL_PART_MAX] = {0};
    struct parcel parcel = parcel_of(3, 1, 100);
    assert_int_equal(parts_current(&parcel, current), 3);
    uint32_t index = 1;
    assert_int_equal(parts_halve(&parcel, attached, &index, 50), ERR_OK);
    assert_int_equal(parcel.part_count, 4);
    assert_int_equal(parts_current(&parcel, current), 3);
    assert_int_equal(current[1], 1);
    parcel.parts[1].done = true;
    assert_int_equal(parts_current(&parcel, current), 3);
    assert_int_equal(current[1], 2);
    parcel.parts[2].done = true;
    assert_int_equal(parts_current(&parcel, current), 2);
    assert_int_equal(current[1], 3);
    assert_false(parts_all_done(&parcel));
}

static void test_halving_forgets_numbers_and_keeps_neighbours(void **state)
{
    (void)state;
    int marks[3];
    void *attached[PARCEL_PART_MAX] = {&marks[0], NULL, &marks[2]};
    struct parcel parcel = parcel_of(3, 10, 19);
    uint32_t index = 1;
    assert_int_equal(parts_halve(&parcel, attached, &index, 14), ERR_OK);
    assert_int_equal(index, 1);
    assert_int_equal(parcel.parts[1].first, 10);
    assert_int_equal(parcel.parts[1].last, 14);
    assert_int_equal(parcel.parts[2].first, 15);
    assert_int_equal(parcel.parts[2].last, 19);
    assert_false(parcel.parts[1].assigned);
    assert_false(parcel.parts[2].assigned);
    assert_true(parcel.parts[0].assigned);
    assert_true(parcel.parts[3].assigned);
    assert_ptr_equal(attached[0], &marks[0]);
    assert_null(attached[1]);
    assert_null(attached[2]);
    assert_ptr_equal(attached[3], &marks[2]);
}

/* The one bad event of many is found by halving within the parts there are, whichever it is, with
 * the most partitions a cut may have. */
static void test_bad_event_is_isolated_in_place(void **state)
{
    (void)state;
    const uint64_t count = 8192;
    for (uint64_t bad = 1; bad <= count; bad += 111) {
        void *attached[PARCEL_PART_MAX] = {0};
        struct parcel parcel = parcel_of(PARCEL_PARTITION_MAX, 1, count);
        unsigned tries = 0;
        uint32_t current[PARCEL_PART_MAX];
        while (!parts_all_done(&parcel)) {
            assert_true(tries++ < 200);
            uint32_t index = 0;
            assert_true(parts_current(&parcel, current) > 0);
            index = current[0];
            struct part *part = &parcel.parts[index];
            bool holds_bad = part->partition == 0 && part->first <= bad && bad <= part->last;
            if (holds_bad && part->first < part->last) {
                assert_int_equal(parts_halve(&parcel, attached, &index,
                                             part->first + (part->last - part->first) / 2),
                                 ERR_OK);
            } else {
                part->done = true;
            }
        }
        uint64_t expected = 1;
        for (uint32_t i = 0; i < parcel.part_count && parcel.parts[i].partition == 0; i++) {
            assert_int_equal(parcel.parts[i].first, expected);
            expected = parcel.parts[i].last + 1;
        }
        assert_int_equal(expected, count + 1);
    }
}

static void test_no_room_is_said(void **state)
{
    (void)state;
    void *attached[PARCEL_PART_MAX] = {0};
    struct parcel parcel = parcel_of(PARCEL_PART_MAX, 1, 2);
    uint32_t index = 0;
    assert_int_equal(parts_halve(&parcel, attached, &index, 1), ERR_FULL);
    assert_int_equal(parcel.part_count, PARCEL_PART_MAX);
}

static void test_backoff_doubles_to_its_ceiling_with_jitter(void **state)
{
    (void)state;
    struct backoff backoff = {.ceiling_ms = 10000};
    int64_t ceiling = 250;
    for (unsigned i = 0; i < 40; i++) {
        struct backoff other = backoff;
        assert_int_equal(backoff_next_ms(&other, 0, 0), ceiling / 2);
        other = backoff;
        assert_int_equal(backoff_next_ms(&other, 0, (uint32_t)(ceiling / 2)), ceiling);
        int64_t wait = backoff_next_ms(&backoff, 0, 123456789);
        assert_true(wait >= ceiling / 2 && wait <= ceiling);
        ceiling = ceiling * 2 > 10000 ? 10000 : ceiling * 2;
    }
    assert_int_equal(backoff_next_ms(&backoff, 60000, 0), 60000);
    assert_int_equal(backoff_next_ms(&backoff, INT64_MAX, 0), 3600000);
    backoff_clear(&backoff);
    assert_true(backoff_next_ms(&backoff, 0, 1) <= 250);
}

static void test_requests_fit_a_slow_link(void **state)
{
    (void)state;
    struct link link;
    link_init(&link);
    uint64_t now = 1000;
    for (unsigned i = 0; i < 30; i++) { /* 8 000 bytes a second */
        uint32_t size = link_request_size(&link, false);
        link_began(&link, now);
        now += size / 8;
        link_ended(&link, now, size);
    }
    assert_in_range(link_request_size(&link, false), 70000, 90000);
    assert_in_range(link_request_size(&link, true), 14000, 18000);
}

static void test_requests_grow_on_a_fast_link_and_stay_on_failures(void **state)
{
    (void)state;
    struct link link;
    link_init(&link);
    uint64_t now = 1;
    for (unsigned i = 0; i < 10; i++) {
        uint32_t before = link_request_size(&link, false);
        link_began(&link, now);
        link_ended(&link, now += 2, before);
        assert_true(link_request_size(&link, false) <= before * 4);
    }
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_MAX);
    link_began(&link, now);
    link_ended(&link, now + 30000, 0);
    assert_int_equal(link_request_size(&link, false), LINK_REQUEST_SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_current_is_first_undone_of_each_partition),
        cmocka_unit_test(test_halving_forgets_numbers_and_keeps_neighbours),
        cmocka_unit_test(test_bad_event_is_isolated_in_place),
        cmocka_unit_test(test_no_room_is_said),
        cmocka_unit_test(test_backoff_doubles_to_its_ceiling_with_jitter),
        cmocka_unit_test(test_requests_fit_a_slow_link),
        cmocka_unit_test(test_requests_grow_on_a_fast_link_and_stay_on_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
