/* Which shard owns a hash, and what each takes: on numbers of our own, without a clock. */
#include "tests/cmocka.h"

#include <stdlib.h>

#include "tests/fault_alloc.h"
#include "uplink/aws/kinesis_shards.h"

#define HALF "170141183460469231731687303715884105728"
#define BELOW_HALF "170141183460469231731687303715884105727"
#define LAST "340282366920938463463374607431768211455"
#define SHARD(name, first, last, more) \
    "{\"ShardId\":\"" name "\",\"HashKeyRange\":{\"StartingHashKey\":\"" first \
    "\",\"EndingHashKey\":\"" last \
    "\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"" more "}}"

static const char listed[] = "{\"Shards\":[" SHARD("shardId-2", HALF, LAST, "") "," SHARD(
    "shardId-0", "0", LAST, ",\"EndingSequenceNumber\":\"9\"") "," SHARD("shardId-1", "0",
                                                                         BELOW_HALF, "") "]}";

static enum err read_list(struct shards *shards, const char *json, const struct shards *before)
{
    char next[64];
    enum err e = shards_read(shards, slice_of_text(json), next, sizeof next);
    return e ? e : shards_finish(shards, before);
}

static struct kinesis_hash hash_of_text(const char *text)
{
    struct kinesis_hash hash;
    assert_true(kinesis_hash_parse(slice_of_text(text), &hash));
    return hash;
}

static void open_shards_own_their_ranges(void **state)
{
    const struct shards none = {.items = NULL};
    struct shards shards = {.items = NULL};
    static const char *const texts[] = {"0", "1", BELOW_HALF, HALF, LAST};
    static const char *const names[] = {"shardId-1", "shardId-1", "shardId-1", "shardId-2",
                                        "shardId-2"};
    (void)state;
    assert_int_equal(read_list(&shards, listed, &none), ERR_OK);
    assert_int_equal(shards.count, 2);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct kinesis_hash hash = hash_of_text(texts[i]);
        assert_string_equal(shards_of(&shards, &hash)->name, names[i]);
    }
    /* What is still there after a split keeps what it has sent. */
    shard_took(&shards.items[0], 1000, 600000);
    struct shards then = {.items = NULL};
    assert_int_equal(read_list(&then, listed, &shards), ERR_OK);
    assert_true(shard_wait_ms(&then.items[0], 1000, 600000) > 0);
    assert_true(shard_wait_ms(&then.items[1], 1000, 600000) == 0);
    shards_release(&then);
    shards_release(&shards);
}

static void lists_come_in_pages(void **state)
{
    const struct shards none = {.items = NULL};
    struct shards shards = {.items = NULL};
    char next[16];
    (void)state;
    assert_int_equal(
        shards_read(&shards,
                    SLICE("{\"Shards\":[" SHARD("b", HALF, LAST, "") "],\"NextToken\":\"AAA=\"}"),
                    next, sizeof next),
        ERR_OK);
    assert_string_equal(next, "AAA=");
    assert_int_equal(shards_read(&shards,
                                 SLICE("{\"Shards\":[" SHARD("a", "0", BELOW_HALF, "") "]}"), next,
                                 sizeof next),
                     ERR_OK);
    assert_string_equal(next, "");
    assert_int_equal(shards_finish(&shards, &none), ERR_OK);
    assert_int_equal(shards.count, 2);
    assert_string_equal(shards.items[0].name, "a");
    assert_int_equal(shards_read(&shards,
                                 SLICE("{\"Shards\":[],\"NextToken\":\"0123456789abcdef\"}"), next,
                                 sizeof next),
                     ERR_FULL);
    shards_release(&shards);
}

static void what_is_no_list_is_told(void **state)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "<html>",
                                      "{\"Shards\":{}}",
                                      "{\"Shards\":[{}]}",
                                      "{\"Shards\":[" SHARD("a", "-1", LAST, "") "]}",
                                      "{\"Shards\":[]}"};
    const struct shards none = {.items = NULL};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct shards shards = {.items = NULL};
        assert_int_equal(read_list(&shards, bad[i], &none), ERR_CORRUPT);
        shards_release(&shards);
    }
}

static void lists_survive_without_memory(void **state)
{
    const struct shards none = {.items = NULL};
    unsigned n = 1;
    (void)state;
    for (bool failed = true; failed; n++) {
        struct shards shards = {.items = NULL};
        fault_alloc_set(n);
        enum err e = read_list(&shards, listed, &none);
        failed = fault_alloc_happened();
        fault_alloc_set(0);
        assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
        shards_release(&shards);
    }
    assert_true(n > 2);
}

/* Sends as fast as it may for ten seconds: in no second more than the limits. */
static void assert_paced(size_t size, unsigned expected_min)
{
    struct shard shard = {.name = "s"};
    static uint64_t times[20000];
    size_t count = 0;
    uint64_t now_ms = 123456;
    while (now_ms < 133456) {
        uint64_t wait_ms = shard_wait_ms(&shard, now_ms, size);
        if (wait_ms == 0) {
            shard_took(&shard, now_ms, size);
            assert_true(count < ARRAY_COUNT(times));
            times[count++] = now_ms;
        }
        now_ms += wait_ms;
    }
    for (size_t i = 0, from = 0; i < count; i++) {
        while (times[i] - times[from] >= 1000) {
            from++;
        }
        assert_true(i - from + 1 <= SHARD_RECORD_MAX);
        assert_true((i - from + 1) * size <= SHARD_SIZE_MAX || i == from);
    }
    assert_true(count >= expected_min);
}

static void no_second_has_more_than_a_shard_takes(void **state)
{
    (void)state;
    assert_paced(10, 9000);
    assert_paced(1000, 9000);
    assert_paced(5000, 1800);
    assert_paced(400000, 18);
    assert_paced(1048576, 9); /* larger than a second's share: alone */
}

static void the_limit_and_one_more(void **state)
{
    struct shard shard = {.name = "s"};
    (void)state;
    for (unsigned i = 0; i < SHARD_RECORD_MAX; i++) {
        assert_true(shard_wait_ms(&shard, 5000, 1000) == 0);
        shard_took(&shard, 5000, 1000);
    }
    uint64_t wait_ms = shard_wait_ms(&shard, 5000, 0);
    assert_true(wait_ms > 950 && wait_ms <= 1050);
    assert_true(shard_wait_ms(&shard, 5000 + wait_ms, 1000) == 0);
    struct shard unknown = {.name = ""}; /* one that nobody has listed has no limits */
    for (unsigned i = 0; i < 5000; i++) {
        assert_true(shard_wait_ms(&unknown, 5000, 1000) == 0);
        shard_took(&unknown, 5000, 1000);
    }
}

static void a_shard_that_refuses_is_left_alone(void **state)
{
    struct shard shard = {.name = "s"};
    uint64_t now_ms = 1000, before_ms = 0;
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        shard_refused(&shard, now_ms, 0);
        shard_refused(&shard, now_ms, 0); /* a second record of the same request */
        uint64_t wait_ms = shard_wait_ms(&shard, now_ms, 1);
        assert_true(wait_ms >= before_ms && wait_ms <= SHARD_PAUSE_MS_MAX);
        assert_true(i == 0 || wait_ms == before_ms * 2 - 1 || wait_ms > SHARD_PAUSE_MS_MAX / 2);
        before_ms = wait_ms;
        now_ms += wait_ms;
        assert_true(shard_wait_ms(&shard, now_ms, 1) == 0);
    }
    shard_stored(&shard);
    shard_refused(&shard, now_ms, UINT32_MAX);
    assert_true(shard_wait_ms(&shard, now_ms, 1) <= SHARD_PAUSE_MS_FIRST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_shards_own_their_ranges),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(what_is_no_list_is_told),
        cmocka_unit_test(lists_survive_without_memory),
        cmocka_unit_test(no_second_has_more_than_a_shard_takes),
        cmocka_unit_test(the_limit_and_one_more),
        cmocka_unit_test(a_shard_that_refuses_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
