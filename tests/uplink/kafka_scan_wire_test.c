/* Requests and answers of reading a log back, byte for byte, and the search in its batches. */
#include "tests/cmocka.h"

#include "uplink/kafka/scan.h"

#define HEAD_SIZE 61

static void requests_are_golden(void **state)
{
    (void)state;
    uint8_t memory[128];
    struct out o = out_over(memory, sizeof memory);
    scan_list_offsets(&o, SLICE("t"), 7, 258);
    static const char list[] = "\xff\xff\xff\xff\0\0\0\1\0\1t\0\0\0\1\0\0\0\7\0\0\0\0\0\0\1\2";
    assert_int_equal(o.size, sizeof list - 1);
    assert_memory_equal(memory, list, o.size);
    o.size = 0;
    scan_fetch(&o, SLICE("t"), 7, 258, 4096);
    static const char fetch[] = "\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\x10\0\0"
                                "\0\0\0\1\0\1t\0\0\0\1\0\0\0\7\0\0\0\0\0\0\1\2"
                                "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\x10\0";
    assert_int_equal(o.size, sizeof fetch - 1);
    assert_memory_equal(memory, fetch, o.size);
    assert_false(o.overflow);
}

static void answers(void **state)
{
    (void)state;
    static const char list[] = "\0\0\0\1\0\1t\0\0\0\1\0\0\0\7\0\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0\1\2";
    static const char fetch[] = "\0\0\0\x64\0\0\0\1\0\1t\0\0\0\1\0\0\0\7\0\0"
                                "\0\0\0\0\0\0\0\x63\0\0\0\0\0\0\0\x62\0\0\0\0\0\0\0\4"
                                "\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\3abc";
    struct scan_listed listed;
    struct scan_fetched fetched;
    struct slice body = {(const uint8_t *)list, sizeof list - 1};
    assert_int_equal(scan_listed_parse(body, &listed), ERR_OK);
    assert_int_equal(listed.error, 0);
    assert_int_equal(listed.offset, 258);
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(scan_listed_parse((struct slice){body.data, size}, &listed), ERR_CORRUPT);
    }
    body = (struct slice){(const uint8_t *)fetch, sizeof fetch - 1};
    assert_int_equal(scan_fetched_parse(body, &fetched), ERR_OK);
    assert_int_equal(fetched.throttle_ms, 100);
    assert_int_equal(fetched.high_watermark, 99);
    assert_int_equal(fetched.log_start, 4);
    assert_true(slice_equal_text(fetched.records, "abc"));
    for (size_t size = 0; size < body.size; size++) {
        assert_int_equal(scan_fetched_parse((struct slice){body.data, size}, &fetched),
                         ERR_CORRUPT);
    }
    uint8_t endless[sizeof fetch - 1];
    memcpy(endless, fetch, sizeof endless);
    memset(endless + 21, 0xff, 8); /* no high watermark: only with an error */
    body.data = endless;
    assert_int_equal(scan_fetched_parse(body, &fetched), ERR_CORRUPT);
    endless[20] = 6;
    assert_int_equal(scan_fetched_parse(body, &fetched), ERR_OK);
    assert_int_equal(fetched.error, 6);
    uint8_t two[sizeof list - 1];
    memcpy(two, list, sizeof two);
    two[3] = 2; /* topics: one was asked for */
    assert_int_equal(scan_listed_parse((struct slice){two, sizeof two}, &listed), ERR_CORRUPT);
}

struct log {
    uint8_t bytes[1024];
    struct out o;
};

static void log_put(struct log *log, uint64_t offset, uint32_t count, uint64_t producer_id,
                    uint16_t epoch, uint32_t sequence)
{
    out_put_u64_be(&log->o, offset);
    out_put_u32_be(&log->o, HEAD_SIZE - 12 + 10);
    out_put_u32_be(&log->o, 0);
    out_put_byte(&log->o, 2);
    out_put_u32_be(&log->o, 0);
    out_put_u16_be(&log->o, 4);
    out_put_u32_be(&log->o, count - 1);
    out_put_u64_be(&log->o, 1);
    out_put_u64_be(&log->o, 1);
    out_put_u64_be(&log->o, producer_id);
    out_put_u16_be(&log->o, epoch);
    out_put_u32_be(&log->o, sequence);
    out_put_u32_be(&log->o, 1); /* compaction has taken the others */
    out_put_text(&log->o, "0123456789");
}

static const struct scan wanted = {
    .producer_id = 42, .epoch = 0, .base_sequence = 100, .record_count = 5, .next_offset = 10};

static void the_one_among_others(void **state)
{
    (void)state;
    struct log log = {.o = out_over(log.bytes, sizeof log.bytes)};
    log_put(&log, 8, 4, 42, 0, 95);   /* holds the offset that was asked for */
    log_put(&log, 12, 5, 41, 0, 100); /* another producer, */
    log_put(&log, 17, 5, 42, 1, 100); /* another epoch, */
    log_put(&log, 22, 5, 42, 0, 105); /* other numbers, */
    log_put(&log, 27, 4, 42, 0, 100); /* another count */
    struct scan scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
    assert_false(scan.found);
    assert_false(scan.has_gap);
    assert_false(scan.has_broker_time);
    assert_int_equal(scan.next_offset, 31);
    log_put(&log, 31, 5, 42, 0, 100);
    log_put(&log, 36, 5, 42, 0, 105);
    scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
    assert_true(scan.found);
    assert_int_equal(scan.next_offset, 36);
}

/* Of the last batch a broker gives what there is room for. */
static void a_head_is_enough(void **state)
{
    (void)state;
    struct log log = {.o = out_over(log.bytes, sizeof log.bytes)};
    log_put(&log, 10, 5, 41, 0, 100);
    size_t whole = log.o.size;
    log_put(&log, 15, 5, 42, 0, 100);
    for (size_t size = whole; size <= log.o.size; size++) {
        struct scan scan = wanted;
        assert_int_equal(scan_batches(&scan, (struct slice){log.bytes, size}), ERR_OK);
        assert_int_equal(scan.found, size >= whole + HEAD_SIZE);
        assert_int_equal(scan.next_offset, size >= whole + HEAD_SIZE ? 20 : 15);
    }
    struct scan scan = wanted;
    assert_int_equal(scan_batches(&scan, (struct slice){log.bytes, 0}), ERR_OK);
    assert_int_equal(scan.next_offset, 10);
    assert_int_equal(scan_batches(&scan, (struct slice){log.bytes, 60}), ERR_CORRUPT);
}

static void holes_and_old_messages_are_told(void **state)
{
    (void)state;
    struct log log = {.o = out_over(log.bytes, sizeof log.bytes)};
    log_put(&log, 10, 5, 41, 0, 100);
    log_put(&log, 16, 5, 41, 0, 105);
    struct scan scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
    assert_true(scan.has_gap);
    log.o.size = 0;
    log_put(&log, 10, 5, 42, 0, 100);
    log.bytes[16] = 1; /* magic: a message of before 0.11, at offset 10 */
    scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
    assert_true(scan.has_gap);
    assert_false(scan.found);
    assert_int_equal(scan.next_offset, 11);
    log.bytes[16] = 2;
    log.bytes[22] = 8; /* LogAppendTime */
    scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
    assert_true(scan.has_broker_time);
    log.bytes[16] = 3; /* of a time to come */
    scan = wanted;
    assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_CORRUPT);
}

static void older_ones_behind_the_first_are_told(void **state)
{
    (void)state;
    struct log log = {.o = out_over(log.bytes, sizeof log.bytes)};
    log_put(&log, 10, 5, 41, 0, 100); /* of the time 1 */
    log_put(&log, 15, 5, 41, 0, 105);
    for (int64_t first = 14; first < 17; first++) {
        for (int64_t time = 1; time < 3; time++) {
            struct scan scan = wanted;
            scan.first_offset = first;
            scan.time_ms = time;
            assert_int_equal(scan_batches(&scan, out_slice(&log.o)), ERR_OK);
            assert_int_equal(scan.has_old_time, first <= 15 && time > 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_golden),
        cmocka_unit_test(answers),
        cmocka_unit_test(the_one_among_others),
        cmocka_unit_test(a_head_is_enough),
        cmocka_unit_test(holes_and_old_messages_are_told),
        cmocka_unit_test(older_ones_behind_the_first_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
