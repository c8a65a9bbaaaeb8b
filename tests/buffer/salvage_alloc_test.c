/* A damaged file is replaced and salvaged while the n-th allocation fails, once, or all from it on: what
 * can't be read for want of memory is not lost, and with memory all of it comes over.
 *
 * WEIR_LONG=1: every n, else some. */
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "buffer/salvage.h"
#include "tests/buffer/salvage_image.h"
#include "tests/fault_alloc.h"

#define EVENTS 900

/* What an undisturbed salvage comes to. */
struct facts {
    uint32_t incarnation;
    uint32_t schemas[3];
    uint16_t uplinks[2];
    uint16_t driver;
    int64_t tables[4]; /* rows, and what tells that numbers may be lost */
    uint64_t next[3];
    size_t gap_count;
    struct owed owed[3];
};

static void facts_take(struct bench *b, struct facts *ret)
{
    static const char *const counts[4] = {
        "SELECT count(*) FROM cursor",
        "SELECT count(*) FROM remote",
        "SELECT count(*) FROM aside",
        "SELECT count(*) FROM meta WHERE k='schema_floor'",
    };
    *ret = (struct facts){.incarnation = buffer_incarnation(b->buffer),
                          .uplinks = {buffer_uplink_number(b->buffer, "cloud"),
                                      buffer_uplink_number(b->buffer, "files")},
                          .gap_count = b->changes.gap_count};
    assert_int_equal(buffer_driver_number(b->buffer, "driver", &ret->driver, &b->why), ERR_OK);
    for (size_t i = 0; i < 4; i++) {
        ret->tables[i] = sql_number(b->buffer, counts[i], -1);
    }
    for (size_t s = 1; s <= 2; s++) {
        ret->schemas[s] = b->schema[s];
        ret->next[s] = b->changes.streams[s].sequence_next;
    }
    for (size_t i = 0; i < b->changes.owed_count && i < 3; i++) {
        ret->owed[i] = b->changes.owed[i];
    }
}

static void facts_check(const struct facts *now, const struct facts *right, bool anew, unsigned n)
{
    bool same = now->driver == right->driver && now->gap_count == right->gap_count &&
                (anew || now->incarnation == right->incarnation) &&
                memcmp(now->schemas, right->schemas, sizeof now->schemas) == 0 &&
                memcmp(now->uplinks, right->uplinks, sizeof now->uplinks) == 0 &&
                memcmp(now->tables, right->tables, sizeof now->tables) == 0 &&
                memcmp(now->next, right->next, sizeof now->next) == 0;
    for (size_t i = 0; same && i < 3; i++) {
        const struct owed *a = &now->owed[i];
        const struct owed *b = &right->owed[i];
        same = a->uplink == b->uplink && a->stream == b->stream &&
               a->range_count == b->range_count &&
               memcmp(a->ranges, b->ranges, a->range_count * sizeof a->ranges[0]) == 0;
    }
    if (!same) {
        for (size_t i = 0; i < 3; i++) {
            print_message("%u/%u: %llu to %llu, was %llu to %llu; next %llu, was %llu\n",
                          now->owed[i].uplink, now->owed[i].stream,
                          (unsigned long long)now->owed[i].ranges[0].first,
                          (unsigned long long)now->owed[i].ranges[0].last,
                          (unsigned long long)right->owed[i].ranges[0].first,
                          (unsigned long long)right->owed[i].ranges[0].last,
                          (unsigned long long)now->next[i], (unsigned long long)right->next[i]);
        }
        fail_msg("allocation %u: something of the file is lost; %zu gaps, were %zu", n,
                 now->gap_count, right->gap_count);
    }
}

/* Something of everything, in a file that is damaged beside it. */
static void make(struct bench *b, const char *table, struct image *ret)
{
    uint16_t driver;
    struct cursor_change cursor = {.driver = 1, .key = 1, .value = SLICE("cursor")};
    struct remote_id remote = {.uplink = 1, .schema = b->schema[1], .id = SLICE("12")};
    struct buffer_write write = {
        .cursors = &cursor, .cursor_count = 1, .remotes = &remote, .remote_count = 1};
    char sql[100];
    bench_begin(b);
    b->datum_size = 300;
    assert_int_equal(buffer_driver_number(b->buffer, "driver", &driver, &b->why), ERR_OK);
    while (b->next[1] <= EVENTS) {
        assert_int_equal(bench_append(b, 1, 30), ERR_OK);
        assert_int_equal(bench_append(b, 2, 20), ERR_OK);
    }
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    bench_put_asides(b, 1);
    bench_end(b, 1, 1, 1, 200);
    struct parcel parcel = bench_parcel(2, 1, 1, 100, 1);
    bench_parcel_put(b, &parcel);
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name='%s'", table);
    int64_t page = sql_number(b->buffer, sql, 0);
    assert_true(page > 1);
    image_take(b, true, ret);
    memset(ret->log, 0, ret->log_size);
    memset(ret->database + (page - 1) * PAGE_SIZE, 0, PAGE_SIZE);
}

/* False: there are fewer allocations. */
static bool open_without_memory(struct bench *b, const struct image *image, unsigned n, bool ever)
{
    image_put(b, image);
    if (ever) {
        fault_alloc_set_for_ever(n);
    } else {
        fault_alloc_set(n);
    }
    enum err e = bench_try_open(b);
    bool came = fault_alloc_happened();
    fault_alloc_set(0);
    if (e && (e != ERR_NOMEM || !came)) {
        fail_msg("allocation %u: %s: %s", n, err_name(e), b->why.text);
    }
    if (e) {
        bench_reopen(b);
    }
    return came;
}

/* Turns, of which the n-th allocation fails. */
static void salvage_without_memory(struct bench *b, unsigned n, bool ever)
{
    if (ever) {
        fault_alloc_set_for_ever(n);
    } else {
        fault_alloc_set(n);
    }
    for (unsigned turns = 0; turns < 5; turns++) {
        enum err e = buffer_care(b->buffer, &b->changes, &b->why);
        if (e && e != ERR_CLOSED && e != ERR_FULL && e != ERR_NOMEM) {
            fail_msg("allocation %u: %s: %s", n, err_name(e), b->why.text);
        }
    }
    fault_alloc_set(0);
    salvage_all(b);
}

static void check_table(struct bench *b, const char *table, bool anew)
{
    struct image image;
    struct facts right;
    struct facts now;
    unsigned stride = getenv("WEIR_LONG") ? 1 : 61;
    make(b, table, &image);
    image_put(b, &image);
    bench_reopen(b);
    salvage_all(b);
    facts_take(b, &right);
    assert_int_equal(b->changes.damage.replaced, 1);
    for (unsigned ever = 0; ever < 2; ever++) {
        bool came = true;
        for (unsigned n = 1; came; n += stride) {
            came = open_without_memory(b, &image, n, ever);
            salvage_without_memory(b, n, ever);
            facts_take(b, &now);
            facts_check(&now, &right, anew, n);
        }
    }
    image_free(&image);
}

static void test_a_page_of_names(void **state)
{
    check_table(*state, "sqlite_autoindex_stream_1", false);
}

static void test_the_state(void **state)
{
    check_table(*state, "state", true);
}

static void test_the_root_of_the_rows(void **state)
{
    check_table(*state, "batch", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_page_of_names, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_state, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_root_of_the_rows, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
