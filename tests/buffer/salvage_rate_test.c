/* How much of a damaged file comes over, beside what its undamaged pages have.
 *
 * WEIR_LONG=1: 200 files, else 12. */
#include <stdlib.h>
#include <string.h>

#include "tests/buffer/salvage_image.h"

/* All that is owed of a stream, read; false: damage was found, to be cared for first. */
static bool read_owed(struct bench *b, struct owed owed, uint64_t *count)
{
    for (size_t i = 0; i < owed.range_count; i++) {
        struct range range = owed.ranges[i];
        while (range.first <= range.last) {
            enum err e = buffer_read(b->buffer, owed.stream, range, 20000, b->rows, &b->why);
            if (e == ERR_AGAIN) {
                return false;
            }
            assert_int_equal(e, ERR_OK);
            *count += b->rows->event_count;
            range.first = b->rows->covered.last + 1;
        }
    }
    return true;
}

static uint64_t read_all(struct bench *b)
{
    struct buffer_write nothing = {.event_count = 0};
    for (unsigned tries = 0; tries < 20; tries++) {
        uint64_t count = 0;
        bool good = true;
        for (size_t i = 0; i < b->changes.owed_count && good; i++) {
            good = read_owed(b, b->changes.owed[i], &count);
        }
        if (good) {
            return count;
        }
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
        salvage_all(b);
    }
    fail_msg("goes on for ever");
    return 0;
}

#define RATE_PAGES 764
#define RATE_BAD 16

static void rate_streams(struct bench *b, uint16_t streams)
{
    static const char *const names[BENCH_STREAMS] = {"a", "b", "c", "d", "e", "f",
                                                     "g", "h", "i", "j", "k", "l"};
    for (uint16_t i = 0; i < streams; i++) {
        b->setup->streams[i] = (struct buffer_stream){
            .name = names[i], .priority = 1, .when_full = FULL_BLOCK, .uplinks = 1};
    }
    b->setup->stream_count = streams;
    b->setup->uplink_count = 1;
    b->datum_size = 40;
    bench_begin(b);
}

/* --- the rows of a file, without SQLite --- */

#define FILE_PAGES_MAX 4096

struct reader {
    const uint8_t *at;
    const uint8_t *end;
};

static uint64_t take_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 9 && r->at < r->end; i++) {
        uint8_t byte = *r->at++;
        if (i == 8) {
            return value << 8 | byte;
        }
        value = value << 7 | (byte & 127u);
        if (byte < 128) {
            return value;
        }
    }
    return value;
}

static uint64_t big_endian(const uint8_t *at, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

/* Events of the row in a cell; 0: of another table. `hit`: one of its pages is. */
static uint64_t cell_events(const struct image *image, const uint8_t *cell, const bool *bad,
                            bool *hit)
{
    static const uint8_t sizes[10] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
    struct reader r = {cell, image->database + image->database_size};
    uint64_t size = take_varint(&r);
    uint64_t id = take_varint(&r);
    const uint8_t *record = r.at;
    uint64_t head = take_varint(&r);
    (void)take_varint(&r); /* the id's column */
    uint64_t type = take_varint(&r);
    if (id >> 48 == 0 || id >> 48 > BENCH_STREAMS || type > 9) {
        return 0;
    }
    uint64_t last = type == 9 ? 1 : big_endian(record + head, sizes[type]);
    uint64_t local = size;
    if (size > 4096 - 35) { /* SQLite: the file format, "Cell payload" */
        uint64_t least = (4096 - 12) * 32 / 255 - 23;
        local = least + (size - least) % (4096 - 4);
        local = local > 4096 - 35 ? least : local;
        uint64_t page = big_endian(record + local, 4);
        for (unsigned i = 0; page > 0 && page < FILE_PAGES_MAX && i < 100; i++) {
            *hit = *hit || bad[page];
            page = big_endian(image->database + (page - 1) * 4096, 4);
        }
    }
    return last - (id & ((UINT64_C(1) << 48) - 1)) + 1;
}

/* Events of the rows that have none of the bad pages. */
static uint64_t whole_events(const struct image *image, const bool *bad)
{
    uint64_t count = 0;
    for (uint64_t page = 2; page <= image->database_size / 4096; page++) {
        const uint8_t *bytes = image->database + (page - 1) * 4096;
        uint64_t cells = bytes[0] == 13 ? big_endian(bytes + 3, 2) : 0;
        for (uint64_t i = 0; i < cells && i < 500; i++) {
            bool hit = bad[page];
            uint64_t events =
                cell_events(image, bytes + big_endian(bytes + 8 + 2 * i, 2), bad, &hit);
            count += hit ? 0 : events;
        }
    }
    return count;
}

struct rate {
    uint64_t all;
    uint64_t whole; /* in rows of which no page is destroyed */
    uint64_t found;
    unsigned without_tree; /* files of which less than a half came over */
};

/* 764 pages, 16 of them destroyed. */
static void rate_once(struct bench *b, const struct image *good, struct rate *ret)
{
    struct image image;
    bool bad[FILE_PAGES_MAX] = {false};
    image_copy(good, &image);
    for (unsigned i = 0; i < RATE_BAD; i++) {
        uint64_t page = 1 + bench_below(b, RATE_PAGES);
        image_junk_page(b, &image, page);
        bad[page] = true;
    }
    uint64_t whole = whole_events(good, bad);
    image_put(b, &image);
    image_free(&image);
    bench_reopen(b);
    salvage_all(b);
    uint64_t found = read_all(b);
    ret->whole += whole;
    ret->found += found;
    ret->without_tree += found < whole / 2;
}

static struct rate rate_of(struct bench *b, uint16_t streams, unsigned images)
{
    static const bool none[FILE_PAGES_MAX];
    struct image image;
    struct rate rate = {0};
    uint64_t tail = 0;
    rate_streams(b, streams);
    while (b->changes.file_size < (RATE_PAGES + 512) * 4096) { /* the log is 512 of them */
        for (uint16_t s = 1; s <= streams; s++) {
            assert_int_equal(bench_append(b, s, 10), ERR_OK);
        }
    }
    image_take(b, true, &image);
    memset(image.log, 0, image.log_size); /* it has some of the pages once more */
    for (uint16_t s = 1; s <= streams; s++) {
        tail += b->next[s] - 1;
    }
    rate.all = tail * images;
    tail -= whole_events(&image, none);
    for (unsigned i = 0; i < images; i++) {
        rate_once(b, &image, &rate);
    }
    rate.whole += tail * images; /* which has pages of its own: now and then one of them is hit */
    image_free(&image);
    return rate;
}

static void rate_print(struct rate rate, const char *rows)
{
    print_message("salvaged with 16 of 764 pages destroyed, in rows of %s: %.2f%% of all events, "
                  "%.2f%% of those of which no byte is destroyed; without a tree: %u files\n",
                  rows, 100.0 * (double)rate.found / (double)rate.all,
                  100.0 * (double)rate.found / (double)rate.whole, rate.without_tree);
}

static void test_the_rate(void **state)
{
    struct bench *b = *state;
    unsigned images = getenv("WEIR_LONG") ? 200 : 12;
    struct rate twelve = rate_of(b, 12, images);
    struct rate three = rate_of(b, 3, images);
    rate_print(twelve, "3 pages (12 streams)");
    rate_print(three, "11 pages (3 streams)");
    assert_true(twelve.found >= twelve.whole / 1000 * 998); /* now and then the tail is hit */
    assert_true(three.found >= three.whole / 1000 * 998);
    assert_int_equal(twelve.without_tree + three.without_tree, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_rate, bench_open, bench_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
