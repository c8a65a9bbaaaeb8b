/* What a log says is looked at frame by frame; how far each frame can be believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "buffer/wal_look.h"
#include "tests/cmocka.h"

#define FRAME_MAX 8
#define PAGE_BYTES (WAL_FRAME_SIZE - WAL_FRAME_HEAD_SIZE)
#define SALT 0x1234567u

struct log {
    uint8_t bytes[WAL_HEADER_SIZE + FRAME_MAX * WAL_FRAME_SIZE];
    size_t count;
    uint32_t sum[2];
    uint8_t database; /* the byte that its page 48 is full of */
};

static void put_be(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static uint32_t get_be(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* https://sqlite.org/fileformat2.html, 4.2 */
static void sum_add(uint32_t sum[2], const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i += 8) {
        sum[0] += get_be(data + i) + sum[1];
        sum[1] += get_be(data + i + 4) + sum[0];
    }
}

static uint8_t *frame_at(struct log *log, size_t index)
{
    return log->bytes + WAL_HEADER_SIZE + index * WAL_FRAME_SIZE;
}

static void log_begin(struct log *log)
{
    memset(log, 0, sizeof *log);
    put_be(log->bytes, 0x377f0683);
    put_be(log->bytes + 4, 3007000);
    put_be(log->bytes + 8, PAGE_BYTES);
    put_be(log->bytes + 16, SALT);
    put_be(log->bytes + 20, SALT);
    sum_add(log->sum, log->bytes, 24);
    put_be(log->bytes + 24, log->sum[0]);
    put_be(log->bytes + 28, log->sum[1]);
}

/* A transaction of page 48 alone, full of `value`, and the copy that fills up its sector. */
static void log_commit(struct log *log, uint8_t value)
{
    for (int i = 0; i < 2; i++) {
        uint8_t *frame = frame_at(log, log->count++);
        memset(frame + WAL_FRAME_HEAD_SIZE, value, PAGE_BYTES);
        put_be(frame, 48);
        put_be(frame + 4, 386);
        put_be(frame + 8, SALT);
        put_be(frame + 12, SALT);
        sum_add(log->sum, frame, 8);
        sum_add(log->sum, frame + WAL_FRAME_HEAD_SIZE, PAGE_BYTES);
        put_be(frame + 16, log->sum[0]);
        put_be(frame + 20, log->sum[1]);
    }
}

static const uint8_t *page_of(void *context, uint32_t number)
{
    struct log *log = context;
    static uint8_t bytes[PAGE_BYTES];
    memset(bytes, log->database, sizeof bytes);
    return number == 48 ? bytes : NULL;
}

static enum wal_verdict look_at(struct log *log, struct wal_look *ret, bool *ret_redundant)
{
    wal_look_begin(ret, (struct slice){log->bytes, WAL_HEADER_SIZE});
    for (size_t i = 0; i < FRAME_MAX; i++) {
        assert_true(wal_look_frame(ret, (struct slice){frame_at(log, i), WAL_FRAME_SIZE}));
    }
    enum wal_verdict verdict = wal_look_end(ret);
    *ret_redundant = wal_look_is_redundant(ret, page_of, log);
    return verdict;
}

static void test_a_whole_log(void **state)
{
    static struct log log;
    static struct wal_look look;
    bool is_redundant;
    (void)state;
    log_begin(&log);
    log_commit(&log, 1);
    log_commit(&log, 2);
    log.database = 2;
    assert_int_equal(look_at(&log, &look, &is_redundant), WAL_WHOLE);
    assert_int_equal(look.whole, 4);
    assert_true(is_redundant);
    log.database = 1;
    (void)look_at(&log, &look, &is_redundant);
    assert_false(is_redundant);
}

/* Of a transaction under way the heads of its frames reached the disk, and the rest of them is of an
 * older log, which the database has. The two transactions before it were acknowledged, and are in
 * the log only. */
static void test_old_bytes_under_a_new_head(void **state)
{
    static struct log log;
    static struct wal_look look;
    bool is_redundant;
    (void)state;
    log_begin(&log);
    log_commit(&log, 1);
    log_commit(&log, 2);
    log_commit(&log, 3);
    log.database = 0; /* as before the three */
    memset(frame_at(&log, 3) + 1000, 0, 512);
    for (size_t i = 4; i < 6; i++) {
        memset(frame_at(&log, i) + WAL_FRAME_HEAD_SIZE, 0, PAGE_BYTES);
    }
    assert_int_equal(look_at(&log, &look, &is_redundant), WAL_CUT);
    assert_int_equal(look.whole, 3);
    assert_false(is_redundant);
}

/* All frames behind the good ones are spoilt, and what is good is in the database already. */
static void test_spoilt_to_its_end(void **state)
{
    static struct log log;
    static struct wal_look look;
    bool is_redundant;
    (void)state;
    log_begin(&log);
    for (uint8_t i = 1; i <= 4; i++) {
        log_commit(&log, i);
    }
    for (size_t i = 2; i < 8; i++) {
        frame_at(&log, i)[2000] ^= 1;
    }
    log.database = 1;
    assert_int_equal(look_at(&log, &look, &is_redundant), WAL_DAMAGED);
    assert_int_equal(look.whole, 2);
    assert_false(is_redundant);
    log.database = 4; /* their checksums say that it has them */
    (void)look_at(&log, &look, &is_redundant);
    assert_true(is_redundant);
}

/* A frame behind a bad one is believed by the checksum that stands in the one before it, or by
 * the one that it ought to have. Only of one whose page is not known can't be said what it had. */
static void test_what_stands_behind_a_bad_frame(void **state)
{
    static struct log log;
    static struct wal_look look;
    bool is_redundant;
    (void)state;
    for (size_t at = 0; at < WAL_FRAME_SIZE; at += at < WAL_FRAME_HEAD_SIZE ? 1 : 509) {
        log_begin(&log);
        for (uint8_t i = 1; i <= 4; i++) {
            log_commit(&log, i);
        }
        frame_at(&log, 2)[at] ^= 0x40;
        log.database = 4; /* all of it */
        enum wal_verdict verdict = look_at(&log, &look, &is_redundant);
        bool is_page = at < 4;
        assert_int_equal(look.first_bad, 2);
        assert_int_equal(verdict, WAL_DAMAGED);
        assert_int_equal(is_redundant, !is_page);
        log.database = 3; /* all but the last one */
        (void)look_at(&log, &look, &is_redundant);
        assert_false(is_redundant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_log),
        cmocka_unit_test(test_old_bytes_under_a_new_head),
        cmocka_unit_test(test_spoilt_to_its_end),
        cmocka_unit_test(test_what_stands_behind_a_bad_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
