/* Damaged files: replaced at once, salvaged in the background; what is missing is in the gaps, and
 * nothing arrives twice.
 *
 * WEIR_LONG=1: 10 000 damaged images, else 250; WEIR_SEED. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/salvage.h"
#include "tests/buffer/salvage_image.h"

#define BAD BENCH_PATH ".bad-1"
#define KEPT BENCH_PATH ".bad-kept"
#define SEQUENCE_END (1 << 15)
#define STREAMS 2
#define UPLINKS 2

/* Which events the buffer owed before the damage, and what came of them. */
struct book {
    uint64_t last[STREAMS + 1];
    uint8_t owed[UPLINKS + 1][STREAMS + 1][SEQUENCE_END];
    uint8_t seen[UPLINKS + 1][STREAMS + 1][SEQUENCE_END];
    uint32_t incarnation;
    uint32_t boot;
    uint64_t wanted; /* events, each uplink's counted */
    uint64_t found;
    uint64_t missing;
    uint64_t untold;
    uint64_t again; /* were delivered before */
    char what[64];  /* was done to it */
};

/* Numbers of uplinks may be others in a fresh file. */
static uint16_t uplink_of(const struct bench *b, uint16_t number)
{
    for (uint16_t i = 0; i < UPLINKS; i++) {
        if (buffer_uplink_number(b->buffer, b->setup->uplinks[i].name) == number) {
            return (uint16_t)(i + 1);
        }
    }
    return 0;
}

static void book_begin(struct bench *b, struct book *book)
{
    memset(book, 0, sizeof *book);
    book->incarnation = buffer_incarnation(b->buffer);
    book->boot = buffer_boot(b->buffer);
    for (size_t i = 0; i < b->changes.owed_count; i++) {
        const struct owed *owed = &b->changes.owed[i];
        for (size_t r = 0; r < owed->range_count; r++) {
            for (uint64_t s = owed->ranges[r].first; s <= owed->ranges[r].last; s++) {
                book->owed[owed->uplink][owed->stream][s] = 1;
                book->wanted++;
            }
        }
    }
    for (size_t s = 1; s <= STREAMS; s++) {
        book->last[s] = b->next[s] - 1;
    }
}

/* Reads what is owed to one uplink of one stream. False: damage was found, to be cared for first. */
static bool look_at(struct bench *b, struct book *book, const struct owed *owed)
{
    uint16_t uplink = uplink_of(b, owed->uplink);
    assert_in_range(uplink, 1, UPLINKS);
    for (size_t r = 0; r < owed->range_count; r++) {
        struct range range = owed->ranges[r];
        for (unsigned turns = 0; range.first <= range.last; turns++) {
            enum err e = buffer_read(b->buffer, owed->stream, range, 20000, b->rows, &b->why);
            if (e == ERR_AGAIN) {
                return false;
            }
            if (e || turns > 5000) {
                fail_msg("reading: %s: %s", err_name(e), b->why.text);
            }
            for (size_t i = 0; i < b->rows->event_count; i++) {
                const struct stored_event *event = &b->rows->events[i];
                assert_true(bench_is_right(b, event));
                if (event->sequence <= book->last[owed->stream]) {
                    assert_false(book->seen[uplink][owed->stream][event->sequence]);
                    book->seen[uplink][owed->stream][event->sequence] = 1;
                }
            }
            range.first = b->rows->covered.last + 1;
        }
    }
    return true;
}

static bool look_at_all(struct bench *b, struct book *book)
{
    bool good = true;
    memset(book->seen, 0, sizeof book->seen);
    for (size_t i = 0; i < b->changes.owed_count && good; i++) {
        good = look_at(b, book, &b->changes.owed[i]);
    }
    return good;
}

static bool is_told(const struct bench *b, uint16_t uplink, uint16_t stream, uint64_t sequence)
{
    for (size_t i = 0; i < b->changes.gap_count; i++) {
        const struct gap *gap = &b->changes.gaps[i];
        if (gap->stream == stream && (gap->uplink == 0 || uplink_of(b, gap->uplink) == uplink) &&
            gap->range.first <= sequence && sequence <= gap->range.last) {
            return true;
        }
    }
    return false;
}

static void book_end(struct bench *b, struct book *book)
{
    struct buffer_write nothing = {.event_count = 0};
    bool good = false;
    for (unsigned tries = 0; !good; tries++) {
        assert_true(tries < 60);
        good = look_at_all(b, book);
        /* Reports what was found when reading; it may find more. */
        if (bench_commit(b, &nothing)) {
            fail_msg("%s", b->why.text);
        }
        good = good && !b->changes.damage.salvages;
        salvage_all(b);
    }
    for (uint16_t u = 1; u <= UPLINKS; u++) {
        for (uint16_t s = 1; s <= STREAMS; s++) {
            for (uint64_t n = 1; n <= book->last[s]; n++) {
                bool owed = book->owed[u][s][n];
                bool seen = book->seen[u][s][n];
                book->found += owed && seen;
                book->missing += owed && !seen;
                book->untold += owed && !seen && !is_told(b, u, s, n);
                book->again += !owed && seen;
            }
        }
    }
}

/* --- a buffer with something of everything --- */

static void put_cursor(struct bench *b, uint32_t key)
{
    struct cursor_change cursor = {.driver = 1, .key = key, .value = SLICE("cursor")};
    struct buffer_write write = {.cursors = &cursor, .cursor_count = 1};
    assert_int_equal(bench_commit(b, &write), ERR_OK);
}

/* Rows and tail, deliveries of which one is in flight, cursors, set-aside events. The last commits
 * carry no events: what a log may lose without anybody seeing it. */
static void fill(struct bench *b, uint64_t total)
{
    uint16_t driver;
    assert_int_equal(buffer_driver_number(b->buffer, "driver", &driver, &b->why), ERR_OK);
    while (b->next[1] < total) {
        assert_int_equal(bench_append(b, 1, 60), ERR_OK);
        assert_int_equal(bench_append(b, 2, 20), ERR_OK);
    }
    bench_end(b, 1, 1, 1, total / 3);
    bench_end(b, 2, 1, 1, total / 10);
    bench_end(b, 1, 2, 1, total / 30);
    bench_put_asides(b, 3);
    struct parcel parcel = bench_parcel(1, 1, total / 3 + 1, total / 3 + 200, 2);
    bench_parcel_put(b, &parcel);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(bench_append(b, 1, 30), ERR_OK);
        put_cursor(b, i);
    }
    for (unsigned i = 0; i < 4; i++) {
        put_cursor(b, i);
    }
}

/* --- single ways --- */

/* Opens what is there, and it collects at once. */
static void collect(struct bench *b, const struct book *book)
{
    enum err e = bench_try_open(b);
    if (e) {
        fail_msg("%s: opening: %s: %s", book->what, err_name(e), b->why.text);
    }
    bool is_same = buffer_incarnation(b->buffer) == book->incarnation;
    if (!is_same && buffer_boot(b->buffer) <= book->boot) {
        fail_msg("%s: boot %u after %u: old events get a new one's time", book->what,
                 buffer_boot(b->buffer), book->boot);
    }
    for (uint16_t s = 1; s <= STREAMS; s++) {
        uint64_t next = b->changes.streams[s].sequence_next;
        if (is_same && next <= book->last[s]) {
            fail_msg("%s: stream %u: sequence %llu is used twice", book->what, s,
                     (unsigned long long)next);
        }
        b->next[s] = next;
        assert_int_equal(bench_append(b, s, 5), ERR_OK);
    }
}

static struct book book;

static void test_a_destroyed_first_page(void **state)
{
    struct bench *b = *state;
    struct image image;
    fill(b, 6000);
    book_begin(b, &book);
    image_take(b, true, &image);
    memset(image.database, 0, 4096);
    memset(image.log, 0, image.log_size);
    image_put(b, &image);
    collect(b, &book);
    assert_int_equal(b->changes.damage.replaced, 1);
    salvage_all(b);
    book_end(b, &book);
    uint64_t size;
    assert_null(crash_vfs_file(b->vfs, BAD, &size)); /* gone when it is salvaged */
    bench_reopen(b);
    image_free(&image);
}

static void test_a_destroyed_page_of_the_tree(void **state)
{
    struct bench *b = *state;
    struct image image;
    unsigned replaced = 0;
    fill(b, 9000);
    book_begin(b, &book);
    image_take(b, true, &image);
    memset(image.log, 0, image.log_size); /* else it has some of the pages once more */
    uint8_t *whole = malloc(image.database_size);
    memcpy(whole, image.database, image.database_size);
    for (uint64_t page = 2; page <= image.database_size / 4096; page++) {
        struct book one = book;
        image_junk_page(b, &image, page);
        image_put(b, &image);
        collect(b, &one);
        salvage_all(b);
        replaced += b->changes.damage.replaced > 0;
        book_end(b, &one);
        if (one.untold || one.again) {
            print_message("page %llu: %llu of %llu missing, %llu untold, %llu again\n",
                          (unsigned long long)page, (unsigned long long)one.missing,
                          (unsigned long long)one.wanted, (unsigned long long)one.untold,
                          (unsigned long long)one.again);
        }
        memcpy(image.database, whole, image.database_size);
    }
    print_message("pages destroyed one by one: %llu, %u replaced\n",
                  (unsigned long long)image.database_size / 4096, replaced);
    assert_true(replaced > 3);
    free(whole);
    image_free(&image);
}

/* Each place where the name of a stream or an uplink stands. */
static void test_a_name_is_damaged(void **state)
{
    struct bench *b = *state;
    static const char *const names[] = {"cloud", "files", "low", "alarm"};
    static struct book one;
    struct image image;
    unsigned places = 0;
    unsigned replaced = 0;
    fill(b, 6000);
    book_begin(b, &book);
    image_take(b, true, &image);
    memset(image.log, 0, image.log_size); /* else it has some of the pages once more */
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        size_t size = strlen(names[n]);
        for (uint64_t at = 4096; at + size <= image.database_size; at++) {
            if (memcmp(image.database + at, names[n], size) != 0) {
                continue;
            }
            one = book;
            (void)snprintf(one.what, sizeof one.what, "%s at %u", names[n], (unsigned)at);
            image.database[at + 1] ^= 4;
            image_put(b, &image);
            collect(b, &one);
            salvage_all(b);
            book_end(b, &one);
            assert_int_equal(one.missing + one.again, 0);
            places++;
            replaced += b->changes.damage.replaced > 0;
            image.database[at + 1] ^= 4;
        }
    }
    image_free(&image);
    assert_true(places >= 8); /* each in its table and in the index */
    assert_true(replaced >= 8);
}

/* Each page where an uplink's name stands is destroyed. */
static void lose_names(struct bench *b, struct book *one)
{
    struct image image;
    struct image harmed;
    image_take(b, true, &image);
    memset(image.log, 0, image.log_size); /* else it has some of the pages once more */
    image_copy(&image, &harmed);
    for (uint64_t at = 4096; at + 5 <= image.database_size; at++) {
        if (memcmp(image.database + at, "cloud", 5) == 0) {
            image_junk_page(b, &harmed, at / 4096 + 1);
        }
    }
    image_put(b, &harmed);
    image_free(&harmed);
    image_free(&image);
    collect(b, one);
    salvage_all(b);
    book_end(b, one);
    assert_int_equal(one->missing, 0);
    assert_int_equal(b->changes.damage.replaced, 1);
}

/* Whose it was is not known any more: all get it, rather than one too few. */
static void test_names_are_lost(void **state)
{
    struct bench *b = *state;
    fill(b, 6000);
    book_begin(b, &book);
    lose_names(b, &book);
    assert_true(book.again > 0);
}

/* The one name that has no number has the one number that has no name. */
static void test_the_only_name_is_lost(void **state)
{
    struct bench *b = *state;
    b->setup->uplink_count = 1;
    b->setup->streams[0].uplinks = 1;
    bench_begin(b);
    bench_fill(b, 1, 50, 5000);
    bench_end(b, 1, 1, 1, 1500);
    book_begin(b, &book);
    lose_names(b, &book);
    assert_int_equal(book.again, 0);
}

/* Nobody reads it: the check in the background finds the row, and no other. */
static void test_rows_are_checked(void **state)
{
    struct bench *b = *state;
    struct buffer_write nothing = {.event_count = 0};
    fill(b, 6000);
    for (unsigned part = 0; part < 2; part++) {
        for (unsigned i = 0; i < 300; i++) {
            assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_CLOSED);
        }
        assert_int_equal(bench_commit(b, &nothing), ERR_OK);
        assert_int_equal(b->changes.gap_count, part);
        bench_sql(b, "UPDATE batch SET crc=crc+1 WHERE id=(SELECT id FROM batch ORDER BY id LIMIT "
                     "1 OFFSET 3)");
    }
    assert_int_equal(b->changes.gaps[0].reason, GAP_DAMAGED);
    assert_int_equal(b->changes.damage.replaced, 0);
}

/* --- damaged images --- */

enum damage {
    DAMAGE_BIT,
    DAMAGE_BITS,
    DAMAGE_HEADER_BIT,
    DAMAGE_LOG_BIT,
    DAMAGE_LOG_BLOCK,
    DAMAGE_LOG_CUT,
    DAMAGE_LOG_GONE,
    DAMAGE_ZEROS,
    DAMAGE_JUNK,
    DAMAGE_CUT,
    DAMAGE_SWAPPED,
    DAMAGE_RUNNING_BITS,
    DAMAGE_RUNNING_JUNK,
    DAMAGE_COUNT
};

static const char *const damage_names[DAMAGE_COUNT] = {"a bit",
                                                       "64 bits",
                                                       "a bit of the first pages",
                                                       "a bit of the log",
                                                       "a block of log",
                                                       "the log cut",
                                                       "no log",
                                                       "zeroed pages",
                                                       "junk pages",
                                                       "the file cut",
                                                       "files swapped",
                                                       "64 bits while it runs",
                                                       "junk while it runs"};

struct tally {
    unsigned images;
    unsigned replaced;
    unsigned anew; /* another incarnation */
    uint64_t wanted;
    uint64_t found;
    uint64_t again;
};

static uint64_t place(struct bench *b, uint64_t size)
{
    return ((uint64_t)bench_below(b, UINT32_MAX) << 16 | bench_below(b, 65536)) % size;
}

static void flip_bits(struct bench *b, uint8_t *bytes, uint64_t size, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bytes[place(b, size)] ^= (uint8_t)(1u << bench_below(b, 8));
    }
}

static void spoil_pages(struct bench *b, uint8_t *bytes, uint64_t size, unsigned count, bool zeros)
{
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = place(b, size) / 4096 * 4096;
        uint64_t end = at + 4096 < size ? at + 4096 : size;
        for (; at < end; at++) {
            bytes[at] = zeros ? 0 : (uint8_t)bench_below(b, 256);
        }
    }
}

/* Of files at rest. */
static void harm(struct bench *b, struct image *image, enum damage kind)
{
    uint8_t *swap = image->database;
    uint64_t size = image->database_size;
    switch (kind) {
    case DAMAGE_BIT:
        flip_bits(b, image->database, size, 1);
        return;
    case DAMAGE_BITS:
        flip_bits(b, image->database, size, 64);
        return;
    case DAMAGE_HEADER_BIT:
        flip_bits(b, image->database, 8192, 1);
        return;
    case DAMAGE_LOG_BIT:
        flip_bits(b, image->log, image->log_size, 1);
        return;
    case DAMAGE_LOG_BLOCK:
        /* Not the header: that can't be told from a cut. */
        spoil_pages(b, image->log + 4096, image->log_size - 4096, 1 + bench_below(b, 4),
                    bench_below(b, 2));
        return;
    case DAMAGE_LOG_CUT:
        image->log_size = place(b, image->log_size);
        return;
    case DAMAGE_LOG_GONE:
        image->log_size = 0;
        return;
    case DAMAGE_ZEROS:
        spoil_pages(b, image->database, size, 1 + bench_below(b, 16), true);
        return;
    case DAMAGE_JUNK:
        spoil_pages(b, image->database, size, 1 + bench_below(b, 16), false);
        return;
    case DAMAGE_CUT:
        image->database_size = place(b, size);
        return;
    case DAMAGE_SWAPPED:
        image->database = image->log;
        image->database_size = image->log_size;
        image->log = swap;
        image->log_size = size;
        return;
    case DAMAGE_RUNNING_BITS:
    case DAMAGE_RUNNING_JUNK:
    case DAMAGE_COUNT:
        return;
    }
}

static void harm_running(struct bench *b, enum damage kind)
{
    uint64_t size;
    uint8_t *bytes = crash_vfs_file(b->vfs, BENCH_PATH, &size);
    if (kind == DAMAGE_RUNNING_BITS) {
        flip_bits(b, bytes, size, 64);
    } else {
        spoil_pages(b, bytes, size, 1 + bench_below(b, 16), bench_below(b, 2));
    }
}

/* --- encrypted files, and files that were kept --- */

static const uint8_t key_a[32] = "this is the first key, 32 bytes.";
static const uint8_t key_b[32] = "another one of the same length..";

/* Under its key everything comes over, at rest and while it runs, and the fresh file knows whose it
 * is. */
static void test_an_encrypted_file(void **state)
{
    struct bench *b = *state;
    struct image image;
    b->setup->key = key_a;
    bench_begin(b);
    fill(b, 6000);
    book_begin(b, &book);
    image_take(b, true, &image);
    memset(image.database, 0, 4096);
    memset(image.log, 0, image.log_size);
    image_put(b, &image);
    image_free(&image);
    collect(b, &book);
    assert_int_equal(b->changes.damage.replaced, 1);
    salvage_all(b);
    book_end(b, &book);
    assert_int_equal(book.missing + book.again, 0);
    unsigned replaced = 0;
    for (unsigned i = 0; i < 4; i++) { /* the disk in memory has room for so many files */
        fill(b, b->next[1] + 1000);
        book_begin(b, &book);
        harm_running(b, DAMAGE_RUNNING_JUNK);
        assert_int_equal(bench_append(b, 1, 40), ERR_OK);
        salvage_all(b);
        book_end(b, &book);
        assert_int_equal(book.untold + book.again, 0);
        replaced += b->changes.damage.replaced > 0;
        b->setup->key = i % 2 ? key_a : NULL;
        b->setup->old_key = i % 2 ? NULL : key_a;
        bench_reopen(b);
        b->setup->key = key_b;
        b->setup->old_key = NULL;
        assert_int_equal(bench_try_open(b), ERR_CONFIG);
        b->setup->key = key_a;
        bench_reopen(b);
    }
    assert_true(replaced > 0);
}

/* A file that was kept is brought over by hand: what it says is owed is owed again. */
static void check_kept(struct bench *b, const uint8_t *key)
{
    struct image image;
    uint64_t size = 0;
    b->setup->keep_damaged = true;
    b->setup->key = key;
    bench_begin(b);
    fill(b, 6000);
    book_begin(b, &book);
    image_take(b, true, &image);
    memset(image.database, 0, 4096);
    memset(image.log, 0, image.log_size);
    image_put(b, &image);
    image_free(&image);
    collect(b, &book);
    salvage_all(b);
    assert_non_null(crash_vfs_file(b->vfs, KEPT, &size));
    uint64_t first = 5001; /* behind it there is what was not sealed then */
    bench_end(b, 1, 1, 1, first - 1);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, first);
    assert_int_equal(buffer_salvage_begin(b->buffer, "nothing.db", &b->why), ERR_CLOSED);
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_OK);
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_FULL);
    bench_reopen(b); /* goes on */
    assert_true(b->changes.damage.salvages);
    salvage_all(b);
    book_end(b, &book);
    assert_int_equal(book.missing + book.again, 0);
    assert_non_null(crash_vfs_file(b->vfs, KEPT, &size));
}

static void test_a_file_that_was_kept(void **state)
{
    struct bench *b = *state;
    uint64_t size = 0;
    check_kept(b, NULL);
    check_kept(b, key_a);
    /* Under another key than the buffer's; of another buffer; nothing that can be read. */
    b->setup->key = key_b;
    b->setup->old_key = key_a;
    bench_reopen(b);
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_OK);
    salvage_all(b);
    uint8_t *kept = crash_vfs_file(b->vfs, KEPT, &size);
    uint8_t *copy = malloc(size);
    memcpy(copy, kept, size);
    bench_begin(b);
    assert_true(crash_vfs_file_put(b->vfs, KEPT, copy, size));
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_CONFIG);
    memset(copy, 0x55, size);
    assert_true(crash_vfs_file_put(b->vfs, KEPT, copy, size));
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_CORRUPT);
    free(copy);
    assert_int_equal(bench_append(b, 1, 5), ERR_OK);
}

/* `number` makes the damage: with WEIR_SEED=number it is the first one. */
static void check_image(struct bench *b, const struct image *good, uint64_t number,
                        struct tally *tally)
{
    enum damage kind = (enum damage)(number % DAMAGE_COUNT);
    static struct book one;
    struct image image;
    one = book;
    b->chance = number * 2654435761u + number;
    (void)snprintf(one.what, sizeof one.what, "WEIR_SEED=%llu, %s", (unsigned long long)number,
                   damage_names[kind]);
    image_copy(good, &image);
    harm(b, &image, kind);
    image_put(b, &image);
    image_free(&image);
    collect(b, &one);
    if (kind >= DAMAGE_RUNNING_BITS) {
        harm_running(b, kind);
        assert_int_equal(bench_append(b, 1, 40), ERR_OK);
    }
    salvage_all(b);
    book_end(b, &one);
    bool anew = buffer_incarnation(b->buffer) != one.incarnation;
    bool jumped = b->changes.streams[1].sequence_next > one.last[1] + (1 << 19);
    if (one.untold && !anew) {
        fail_msg("%s: %llu of %llu missing, of %llu nothing is told", one.what,
                 (unsigned long long)one.missing, (unsigned long long)one.wanted,
                 (unsigned long long)one.untold);
    }
    if (one.again && !anew && !jumped) {
        fail_msg("%s: %llu events again", one.what, (unsigned long long)one.again);
    }
    tally->images++;
    tally->replaced += b->changes.damage.replaced > 0;
    tally->anew += anew;
    tally->wanted += one.wanted;
    tally->found += one.found;
    tally->again += one.again;
}

static void test_damaged_images(void **state)
{
    struct bench *b = *state;
    static struct tally tallies[DAMAGE_COUNT];
    const char *seed = getenv("WEIR_SEED");
    unsigned count = getenv("WEIR_LONG") ? 10000 : 250;
    struct image image;
    for (unsigned base = 0; base < 2; base++) {
        bench_begin(b);
        fill(b, 4000);
        book_begin(b, &book);
        image_take(b, base, &image);
        for (unsigned i = 0; i < count / 2; i++) {
            uint64_t number = (seed ? strtoull(seed, NULL, 10) : 1) + i;
            check_image(b, &image, number, &tallies[number % DAMAGE_COUNT]);
        }
        image_free(&image);
    }
    for (size_t k = 0; k < DAMAGE_COUNT; k++) {
        const struct tally *t = &tallies[k];
        print_message("%-26s images=%u replaced=%u anew=%u salvaged=%.2f%% again=%llu\n",
                      damage_names[k], t->images, t->replaced, t->anew,
                      100.0 * (double)t->found / (double)t->wanted, (unsigned long long)t->again);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_destroyed_first_page), TEST(test_a_destroyed_page_of_the_tree),
        TEST(test_a_name_is_damaged),      TEST(test_names_are_lost),
        TEST(test_the_only_name_is_lost),  TEST(test_rows_are_checked),
        TEST(test_an_encrypted_file),      TEST(test_a_file_that_was_kept),
        TEST(test_damaged_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
