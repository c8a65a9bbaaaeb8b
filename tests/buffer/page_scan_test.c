/* Rows that the tree of a damaged file does not lead to: found page by page, each once; what was
 * deleted before does not come back from a page that is free. */
#include <stdlib.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/leaf.h"
#include "buffer/page_scan.h"
#include "tests/buffer/salvage_image.h"

#define PAGE 4096
#define KEPT "kept.db"
#define STREAMS BENCH_STREAMS
#define INTERIOR 5

enum err __real_page_scan_open(struct page_scan **ret, struct buffer *source, size_t window,
                               struct why *why);
enum err __wrap_page_scan_open(struct page_scan **ret, struct buffer *source, size_t window,
                               struct why *why);

static size_t window_is;           /* 0: as it is asked for */
static unsigned passes;            /* begun */
static struct crash_vfs *fails_on; /* the first read of each scan fails there; NULL: none does */

enum err __wrap_page_scan_open(struct page_scan **ret, struct buffer *source, size_t window,
                               struct why *why)
{
    if (fails_on) {
        struct crash_fault fault = {.op = CRASH_OP_READ, .nth = 1};
        crash_vfs_fault_set(fails_on, &fault, 1);
        fails_on = NULL;
    }
    return __real_page_scan_open(ret, source, window_is ? window_is : window, why);
}

void __real_page_scan_begin(struct page_scan *scan);
void __wrap_page_scan_begin(struct page_scan *scan);

void __wrap_page_scan_begin(struct page_scan *scan)
{
    passes++;
    __real_page_scan_begin(scan);
}

/* --- the file --- */

static uint8_t *page_of(const struct image *image, uint64_t page)
{
    assert_in_range(page, 1, image->database_size / PAGE);
    return image->database + (page - 1) * PAGE;
}

static uint32_t u32_be(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t root_of(struct bench *b, const char *table)
{
    char sql[100];
    (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name='%s'", table);
    int64_t root = sql_number(b->buffer, sql, 0);
    assert_true(root > 1);
    return (uint32_t)root;
}

/* The files at rest; the log is not needed, and has some of the pages once more. */
static void take(struct bench *b, struct image *ret)
{
    image_take(b, true, ret);
    memset(ret->log, 0, ret->log_size);
}

static void zero_page(struct image *image, uint64_t page)
{
    memset(page_of(image, page), 0, PAGE);
}

/* Events of the rows of a stream in a leaf. */
static uint64_t leaf_events(const uint8_t *page, uint16_t stream)
{
    uint64_t count = 0;
    struct leaf_cell cell;
    for (size_t i = 0; i < leaf_cell_count(page); i++) {
        int64_t last;
        assert_true(leaf_cell_take(page, i, &cell));
        if (cell.id >> 48 == stream) {
            assert_true(leaf_cell_last(&cell, &last));
            count += (uint64_t)last - ((uint64_t)cell.id & SEQUENCE_MAX) + 1;
        }
    }
    return count;
}

/* --- a buffer with many rows, and what becomes of them --- */

/* A row of each stream with every seal. */
static void fill(struct bench *b, uint64_t total)
{
    static const char *const names[STREAMS] = {"a", "b", "c", "d", "e", "f",
                                               "g", "h", "i", "j", "k", "l"};
    for (uint16_t i = 0; i < STREAMS; i++) {
        b->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 1, .when_full = FULL_BLOCK, .uplinks = 3};
    }
    b->setup->stream_count = STREAMS;
    b->datum_size = 300;
    bench_begin(b);
    while (b->next[1] <= total) {
        for (uint16_t s = 1; s <= STREAMS; s++) {
            assert_int_equal(bench_append(b, s, 12), ERR_OK);
        }
    }
}

/* All of it comes over: nothing is lost, and the same is owed as before. */
static void check_all_there(struct bench *b, uint64_t next[STREAMS + 1])
{
    salvage_all(b);
    assert_int_equal(b->changes.gap_count, 0);
    for (uint16_t s = 1; s <= STREAMS; s++) {
        assert_int_equal(b->changes.streams[s].sequence_next, next[s]);
        for (uint16_t u = 1; u <= 2; u++) {
            const struct owed *owed = bench_owed(b, u, s);
            assert_int_equal(owed->range_count, 1);
            assert_int_equal(owed->ranges[0].first, 1);
            assert_int_equal(owed->ranges[0].last, next[s] - 1);
        }
        bench_check(b, s, 1, next[s] - 1);
    }
}

/* What both uplinks are owed is delivered to both; that the first gets is noted. */
static void deliver_first(struct bench *b, uint16_t stream, uint8_t *seen)
{
    struct owed owed = *bench_owed(b, 1, stream);
    for (size_t r = 0; r < owed.range_count; r++) {
        struct range range = owed.ranges[r];
        while (range.first <= range.last) {
            assert_int_equal(buffer_read(b->buffer, stream, range, 20000, b->rows, &b->why),
                             ERR_OK);
            for (size_t i = 0; i < b->rows->event_count; i++) {
                assert_int_equal(seen[b->rows->events[i].sequence]++, 0);
            }
            range.first = b->rows->covered.last + 1;
        }
        for (uint16_t u = 1; u <= 2; u++) {
            bench_end(b, u, stream, owed.ranges[r].first, owed.ranges[r].last);
        }
    }
}

/* --- the pages as they are --- */

static enum err keep_all(void *context, uint32_t page, const struct leaf_cell *cell, bool *ret_keep)
{
    (void)context;
    (void)page;
    (void)cell;
    *ret_keep = true;
    return ERR_OK;
}

static enum err add_size(void *context, uint32_t page, const struct leaf_cell *cell, bool *ret_keep)
{
    (void)page;
    *(uint64_t *)context += cell->local.size;
    *ret_keep = false;
    return ERR_OK;
}

/* Every row of the tree is found in its page, where the log has a newer one in that, as it is. */
static void check_pages(struct bench *b, struct buffer *source)
{
    struct page_scan *scan = NULL;
    struct row_bytes row;
    sqlite3_stmt *s = NULL;
    int64_t before = 0;
    size_t rows = 0;
    enum err e = page_scan_open(&scan, source, PAGE_SCAN_WINDOW, &b->why);
    while (!e) {
        e = page_scan_step(scan, keep_all, NULL, &b->why);
    }
    assert_int_equal(e, ERR_CLOSED);
    assert_true(page_scan_knows_free(scan));
    assert_false(page_scan_has_more(scan));
    assert_int_equal(
        sqlite3_prepare_v2(source->db, "SELECT id,body FROM batch ORDER BY id", -1, &s, NULL),
        SQLITE_OK);
    for (; sqlite3_step(s) == SQLITE_ROW; rows++) {
        int64_t id = sqlite3_column_int64(s, 0);
        struct slice body = {sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
        size_t count;
        size_t live = 0;
        const struct page_found *found = page_scan_above(scan, id - 1, &count);
        assert_non_null(found);
        assert_int_equal(found->id, id);
        for (size_t i = 0; i < count; i++) {
            if (!page_scan_is_free(scan, found[i].page)) {
                assert_int_equal(page_scan_read(scan, &found[i], &row, &b->why), ERR_OK);
                assert_true(slice_equal(row.body, body));
                live++;
            }
        }
        assert_int_equal(live, 1);
        before = id;
    }
    (void)sqlite3_finalize(s);
    assert_true(rows > 20);
    assert_true(before > row_id(STREAMS, 1));
    page_scan_close(scan);
}

static void test_rows_are_read_as_sqlite_does(void **state)
{
    struct bench *b = *state;
    struct image image;
    bool has_state;
    fill(b, 800);
    for (size_t size = 17; size < BENCH_DATUM_MAX; size += 93) { /* of many sizes */
        b->datum_size = size;
        assert_int_equal(bench_append(b, 1, 150), ERR_OK);
    }
    bench_end(b, 1, 1, 1, 500);
    bench_end(b, 2, 1, 1, 400);
    for (unsigned i = 0; i < 40; i++) { /* deletes them */
        bench_idle(b);
    }
    image_take(b, false, &image); /* with a log that is needed */
    image_put(b, &image);
    image_free(&image);
    struct buffer like = {.event_size_max = b->setup->event_size_max};
    (void)snprintf(like.vfs_name, sizeof like.vfs_name, "%s", b->setup->vfs);
    struct buffer *source = NULL;
    assert_int_equal(damaged_open(&source, &like, BENCH_PATH, 8, &has_state, &b->why), ERR_OK);
    assert_true(sql_number(source, "PRAGMA freelist_count", 0) > 0);
    check_pages(b, source);
    buffer_close(source);
}

/* 200 pointers of a leaf lead to one cell: it is looked at as often as cells may be in a page. */
static void test_a_page_that_names_a_cell_many_times(void **state)
{
    struct bench *b = *state;
    struct image image;
    struct buffer *source = NULL;
    struct page_scan *scan = NULL;
    struct leaf_cell cell;
    bool has_state;
    unsigned seen = 0;
    fill(b, 400);
    uint32_t root = root_of(b, "batch");
    take(b, &image);
    for (uint64_t n = root + 1; n <= image.database_size / PAGE; n++) {
        uint8_t *page = page_of(&image, n);
        int64_t last;
        if (leaf_cell_count(page) == 0 || !leaf_cell_take(page, 0, &cell) ||
            !leaf_cell_last(&cell, &last) || cell.local.data < page + 8 + 400) {
            continue;
        }
        page[3] = 0;
        page[4] = 200;
        for (unsigned i = 1; i < 200; i++) {
            memcpy(page + 8 + (size_t)2 * i, page + 8, 2);
        }
        seen++;
    }
    assert_true(seen > 5);
    image_put(b, &image);
    image_free(&image);
    struct buffer like = {.event_size_max = b->setup->event_size_max};
    (void)snprintf(like.vfs_name, sizeof like.vfs_name, "%s", b->setup->vfs);
    assert_int_equal(damaged_open(&source, &like, BENCH_PATH, 8, &has_state, &b->why), ERR_OK);
    enum err e = page_scan_open(&scan, source, PAGE_SCAN_WINDOW, &b->why);
    while (!e) {
        uint64_t bytes = 0;
        e = page_scan_step(scan, add_size, &bytes, &b->why);
        assert_true(bytes <= 3 * (uint64_t)PAGE);
    }
    assert_int_equal(e, ERR_CLOSED);
    page_scan_close(scan);
    buffer_close(source);
}

/* --- without its tree --- */

static void test_each_page_above_the_leaves(void **state)
{
    struct bench *b = *state;
    struct image good;
    struct image image;
    uint64_t next[STREAMS + 1];
    unsigned destroyed = 0;
    fill(b, 1500);
    uint32_t root = root_of(b, "batch");
    memcpy(next, b->next, sizeof next);
    take(b, &good);
    assert_int_equal(page_of(&good, root)[0], INTERIOR);
    for (uint64_t page = 2; page <= good.database_size / PAGE; page++) {
        if (page_of(&good, page)[0] != INTERIOR) {
            continue;
        }
        for (unsigned way = 0; way < 2; way++) {
            image_copy(&good, &image);
            if (way == 0) {
                zero_page(&image, page);
            } else {
                image_junk_page(b, &image, page);
            }
            image_put(b, &image);
            image_free(&image);
            bench_reopen(b);
            check_all_there(b, next);
            destroyed++;
        }
    }
    image_free(&good);
    assert_true(destroyed >= 6); /* the root, and two below it */
}

/* More rows than the window has: several passes, each from where the one before ended. */
static void test_more_rows_than_the_window_has(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t next[STREAMS + 1];
    fill(b, 800);
    uint32_t root = root_of(b, "batch");
    memcpy(next, b->next, sizeof next);
    take(b, &image);
    zero_page(&image, root);
    for (window_is = 7; window_is < 200; window_is *= 9) {
        image_put(b, &image);
        bench_reopen(b);
        check_all_there(b, next);
    }
    window_is = 0;
    image_free(&image);
}

/* The root hides rows, and nothing says so: a cell of it is gone. */
static void test_a_tree_that_hides_rows(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t next[STREAMS + 1];
    fill(b, 600);
    uint32_t root = root_of(b, "batch");
    memcpy(next, b->next, sizeof next);
    take(b, &image);
    uint8_t *page = page_of(&image, root);
    unsigned count = (unsigned)page[3] << 8 | page[4];
    assert_true(count > 4);
    memmove(page + 12 + 2, page + 12 + 4, 2 * (count - 2));
    page[3] = (uint8_t)((count - 1) >> 8);
    page[4] = (uint8_t)(count - 1);
    image_put(b, &image);
    image_free(&image);
    bench_reopen(b);
    assert_int_equal(b->changes.damage.replaced, 0);
    bench_find_damage(b);
    check_all_there(b, next);
}

/* The lowest rows of a stream do not pass their checksum, more of them than the window has: each pass
 * goes on behind the one before. */
static void test_a_window_full_of_rows_that_are_damaged(void **state)
{
    struct bench *b = *state;
    struct image image;
    struct leaf_cell cell;
    uint64_t high = 0;
    unsigned spoiled = 0;
    fill(b, 900);
    uint32_t root = root_of(b, "batch");
    take(b, &image);
    for (uint64_t n = root + 1; n <= image.database_size / PAGE; n++) {
        uint8_t *page = page_of(&image, n);
        for (size_t i = 0; i < leaf_cell_count(page); i++) {
            int64_t last;
            assert_true(leaf_cell_take(page, i, &cell));
            if (cell.id >> 48 == 2 && leaf_cell_last(&cell, &last) && last <= 500) {
                page[cell.local.data + cell.local.size - 1 - page] ^= 1;
                high = (uint64_t)last > high ? (uint64_t)last : high;
                spoiled++;
            }
        }
    }
    assert_true(spoiled > 4);
    zero_page(&image, root);
    image_put(b, &image);
    image_free(&image);
    window_is = 4;
    bench_reopen(b);
    salvage_all(b);
    window_is = 0;
    assert_int_equal(b->changes.gap_count, 1);
    assert_int_equal(b->changes.gaps[0].count, high);
    bench_check(b, 2, high + 1, b->next[2] - 1);
    bench_check(b, 3, 1, b->next[3] - 1);
}

/* Too many files are open, or the like, for the file or its log: that says nothing of what they have. */
static void test_a_file_that_can_not_be_opened_for_now(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t next[STREAMS + 1];
    fill(b, 400);
    uint32_t root = root_of(b, "batch");
    memcpy(next, b->next, sizeof next);
    take(b, &image);
    zero_page(&image, root);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        image_put(b, &image);
        bench_reopen(b);
        for (unsigned turns = 0; !b->buffer->salvage->scan_due; turns++) {
            assert_true(turns < 100);
            assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_OK);
        }
        struct crash_fault fault = {.op = CRASH_OP_OPEN, .nth = nth};
        crash_vfs_fault_set(b->vfs, &fault, 1);
        assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_FULL);
        assert_int_equal(crash_vfs_fault_count(b->vfs), 1);
        check_all_there(b, next);
    }
    image_free(&image);
}

/* With a leaf beside: its rows are the gap, to the event. */
static void test_the_root_and_a_leaf(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t lost[STREAMS + 1] = {0};
    unsigned destroyed = 0;
    fill(b, 800);
    uint32_t root = root_of(b, "batch");
    take(b, &image);
    for (uint64_t page = root + 1, leaves = 0; page <= image.database_size / PAGE; page++) {
        uint64_t events = 0;
        bool harm = leaves % 7 == 3;
        for (uint16_t i = 1; i <= STREAMS; i++) {
            uint64_t count = leaf_events(page_of(&image, page), i);
            lost[i] += harm ? count : 0;
            events += count;
        }
        leaves += events > 0;
        if (harm && events > 0) {
            image_junk_page(b, &image, page);
            destroyed++;
        }
    }
    assert_true(destroyed > 5);
    zero_page(&image, root);
    image_put(b, &image);
    image_free(&image);
    bench_reopen(b);
    salvage_all(b);
    for (uint16_t s = 1; s <= STREAMS; s++) {
        uint64_t told = 0;
        uint64_t owed = 0;
        for (size_t i = 0; i < b->changes.gap_count; i++) {
            told += b->changes.gaps[i].stream == s ? b->changes.gaps[i].count : 0;
        }
        for (size_t r = 0; r < bench_owed(b, 1, s)->range_count; r++) {
            struct range range = bench_owed(b, 1, s)->ranges[r];
            owed += bench_read(b, s, range.first, range.last);
        }
        assert_int_equal(told, lost[s]);
        assert_int_equal(owed + told, b->next[s] - 1);
    }
}

/* The power goes behind each turn, the buffer goes on; what has come over is delivered meanwhile, and
 * does not come again. */
static void test_a_cut_behind_each_turn(void **state)
{
    struct bench *b = *state;
    static uint8_t seen[STREAMS + 1][16384];
    struct image image;
    unsigned cuts = 0;
    memset(seen, 0, sizeof seen);
    fill(b, 900);
    uint32_t root = root_of(b, "batch");
    take(b, &image);
    zero_page(&image, root);
    image_put(b, &image);
    image_free(&image);
    bench_reopen(b);
    for (unsigned turns = 1; b->changes.damage.salvages; turns++) {
        assert_true(turns < 400);
        unsigned more = 1 + bench_below(b, 40); /* the pages are looked at anew after each cut */
        for (unsigned i = 0; i < more && b->changes.damage.salvages; i++) {
            enum err e = buffer_care(b->buffer, &b->changes, &b->why);
            assert_true(e == ERR_OK || e == ERR_CLOSED);
        }
        for (uint16_t s = 1; s <= STREAMS; s++) {
            deliver_first(b, s, seen[s]);
        }
        if (b->changes.damage.salvages) {
            bench_cut(b, CRASH_ALL, turns);
            bench_reopen(b);
            cuts++;
        }
    }
    assert_true(cuts > 3);
    assert_int_equal(b->changes.gap_count, 0);
    for (uint16_t s = 1; s <= STREAMS; s++) {
        deliver_first(b, s, seen[s]);
        for (uint64_t n = 1; n < b->next[s]; n++) {
            assert_int_equal(seen[s][n], 1);
        }
    }
}

/* Pages that are free get back what they had before. Those that name them are in use. */
static void pages_of_before(struct image *now, const struct image *before, uint64_t *ret_events)
{
    uint32_t trunk = u32_be(now->database + 32);
    while (trunk) {
        const uint8_t *names = page_of(now, trunk);
        for (uint32_t i = 0; i < u32_be(names + 4); i++) {
            uint32_t page = u32_be(names + 8 + (size_t)4 * i);
            memcpy(page_of(now, page), page_of(before, page), PAGE);
            *ret_events += leaf_events(page_of(now, page), 1);
        }
        trunk = u32_be(names);
    }
}

/* Delivered, deleted, and wanted once more, so that only the page says that they are gone: they are. */
static void test_what_was_deleted_stays_deleted(void **state)
{
    struct bench *b = *state;
    struct image before;
    struct image image;
    uint64_t stale = 0;
    fill(b, 900);
    take(b, &before);
    image_put(b, &before);
    bench_reopen(b);
    for (uint16_t u = 1; u <= 2; u++) {
        bench_end(b, u, 1, 1, 700);
    }
    for (unsigned i = 0; i < 60; i++) { /* deletes the rows */
        bench_idle(b);
    }
    uint64_t low = (uint64_t)sql_number(
        b->buffer, "SELECT min(id)&0xffffffffffff FROM batch WHERE id>>48=1", 0);
    assert_in_range(low, 600, 701);
    struct buffer_order again = {
        .kind = ORDER_AGAIN, .uplink = 1, .stream = 1, .range = {1, low - 1}};
    struct buffer_order *order = &again;
    struct buffer_write write = {.orders = &order, .order_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
    uint32_t root = root_of(b, "batch");
    uint64_t rows = (uint64_t)sql_number(b->buffer, "SELECT count(*) FROM batch", 0);
    take(b, &image);
    pages_of_before(&image, &before, &stale);
    image_free(&before);
    assert_true(stale > low / 2);
    zero_page(&image, root);
    image_put(b, &image);
    image_free(&image);
    passes = 0;
    window_is = 4;
    bench_reopen(b);
    salvage_all(b);
    window_is = 0;
    assert_in_range(passes, 2, rows / 4 + 1); /* what is in free pages takes none */
    assert_int_equal(bench_read(b, 1, 1, low - 1), 0);
    bench_check(b, 1, low, b->next[1] - 1);
    bench_check(b, 2, 1, b->next[2] - 1);
    assert_int_equal(b->changes.gap_count, 1);
    assert_int_equal(b->changes.gaps[0].count, low - 1);
    assert_int_equal(b->changes.gaps[0].uplink, 1);
}

/* Nothing says what is owed: all rows are, to everybody, under a new incarnation. The first read of
 * the scan fails, once. */
static void test_without_a_state(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t last[STREAMS + 1];
    fill(b, 800);
    uint32_t incarnation = buffer_incarnation(b->buffer);
    uint32_t root = root_of(b, "batch");
    uint32_t of_state = root_of(b, "state");
    for (uint16_t s = 1; s <= STREAMS; s++) {
        char sql[80];
        (void)snprintf(sql, sizeof sql, "SELECT max(last) FROM batch WHERE id>>48=%u", s);
        last[s] = (uint64_t)sql_number(b->buffer, sql, 0);
    }
    take(b, &image);
    zero_page(&image, root);
    zero_page(&image, of_state);
    image_put(b, &image);
    image_free(&image);
    fails_on = b->vfs;
    bench_reopen(b);
    assert_null(fails_on);
    assert_int_equal(crash_vfs_fault_count(b->vfs), 1);
    assert_int_not_equal(buffer_incarnation(b->buffer), incarnation);
    for (uint16_t s = 1; s <= STREAMS; s++) {
        b->next[s] = b->changes.streams[s].sequence_next;
        assert_true(b->next[s] > last[s]);
        assert_int_equal(bench_append(b, s, 5), ERR_OK);
    }
    bench_reopen(b); /* what is wanted stands in the table */
    assert_true(b->changes.damage.salvages);
    salvage_all(b);
    for (uint16_t s = 1; s <= STREAMS; s++) {
        bench_check(b, s, 1, last[s]);
        assert_int_equal(bench_owed(b, 2, s)->ranges[0].first, 1);
        assert_int_equal(bench_owed(b, 2, s)->ranges[0].last, last[s]);
    }
}

/* A file that was kept, and that a person names. */
static void test_a_file_that_a_person_names(void **state)
{
    struct bench *b = *state;
    struct image image;
    fill(b, 800);
    uint32_t root = root_of(b, "batch");
    take(b, &image);
    image_put(b, &image);
    zero_page(&image, root);
    assert_true(crash_vfs_file_put(b->vfs, KEPT, image.database, image.database_size));
    image_free(&image);
    bench_reopen(b);
    uint64_t rows =
        (uint64_t)sql_number(b->buffer, "SELECT max(last) FROM batch WHERE id>>48=1", 0);
    for (uint16_t u = 1; u <= 2; u++) {
        bench_end(b, u, 1, 1, b->next[1] - 1);
    }
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_OK);
    salvage_all(b);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].last, rows);
    bench_check(b, 1, 1, rows);
    assert_int_equal(b->changes.gap_count, 0);
}

/* What an open parcel has comes over, too, and is not ended with it. */
static void test_an_open_parcel(void **state)
{
    struct bench *b = *state;
    struct image image;
    uint64_t next[STREAMS + 1];
    fill(b, 800);
    struct parcel parcel = bench_parcel(1, 2, 1, 200, 1);
    bench_parcel_put(b, &parcel);
    uint32_t root = root_of(b, "batch");
    memcpy(next, b->next, sizeof next);
    take(b, &image);
    zero_page(&image, root);
    image_put(b, &image);
    image_free(&image);
    bench_reopen(b);
    check_all_there(b, next);
    bench_done(b, 1, 2, 0); /* too late: it was not sent as it was */
    check_all_there(b, next);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_are_read_as_sqlite_does),
        TEST(test_a_page_that_names_a_cell_many_times),
        TEST(test_each_page_above_the_leaves),
        TEST(test_more_rows_than_the_window_has),
        TEST(test_a_tree_that_hides_rows),
        TEST(test_a_window_full_of_rows_that_are_damaged),
        TEST(test_a_file_that_can_not_be_opened_for_now),
        TEST(test_the_root_and_a_leaf),
        TEST(test_a_cut_behind_each_turn),
        TEST(test_what_was_deleted_stays_deleted),
        TEST(test_without_a_state),
        TEST(test_a_file_that_a_person_names),
        TEST(test_an_open_parcel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
