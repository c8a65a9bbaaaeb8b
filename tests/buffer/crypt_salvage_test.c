/* A kept file under another key than the buffer's: its salvage is refused, and nothing is touched. */
#include <string.h>

#include "buffer/internal.h"
#include "buffer/rekey.h"
#include "buffer/salvage.h"
#include "tests/buffer/bench.h"

#define LOG BENCH_PATH "-wal"
#define KEPT "kept.db"
#define EVENTS 3000

static const uint8_t key_a[AEAD_KEY_SIZE] = "this is the first key, 32 bytes.";
static const uint8_t key_b[AEAD_KEY_SIZE] = "another one of the same length..";

/* A copy of a buffer under `key`; the buffer goes on, and what was in it is delivered since. */
static void keep_copy(struct bench *b, const uint8_t *key)
{
    b->setup->key = key;
    bench_begin(b);
    bench_fill(b, 1, 50, EVENTS);
    buffer_close(b->buffer);
    b->buffer = NULL;
    bench_copy_file(b, BENCH_PATH, KEPT);
    bench_reopen(b);
    bench_end(b, 1, 1, 1, EVENTS);
    bench_end(b, 2, 1, 1, EVENTS);
}

/* Written anew under another key, which the file says then. */
static void use_keys(struct bench *b, const uint8_t *key, const uint8_t *old_key)
{
    b->setup->key = key;
    b->setup->old_key = old_key;
    bench_reopen(b);
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
}

static void test_a_wrong_key_is_refused(void **state)
{
    struct bench *b = *state;
    uint64_t size = 0;
    keep_copy(b, key_a);
    use_keys(b, key_b, key_a);
    struct buffer_rekey done = {0};
    while (!done.finished) {
        assert_int_equal(buffer_rekey_step(b->buffer, &done, &b->why), ERR_OK);
    }
    use_keys(b, key_b, NULL);
    bench_copy_file(b, KEPT, "before.db");
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, KEPT " is encrypted with a key that is not given"));
    const uint8_t *before = crash_vfs_file(b->vfs, "before.db", &size);
    uint64_t size_now = 0;
    const uint8_t *now = crash_vfs_file(b->vfs, KEPT, &size_now);
    assert_int_equal(size_now, size);
    assert_memory_equal(now, before, size);
    buffer_state(b->buffer, &b->changes);
    assert_false(b->changes.damage.salvages);
    assert_int_equal(buffer_care(b->buffer, &b->changes, &b->why), ERR_CLOSED);
    assert_int_equal(b->changes.gap_count, 0);
    assert_int_equal(bench_append(b, 1, 50), ERR_OK);
    bench_reopen(b);
    assert_false(b->changes.damage.salvages);
    bench_check(b, 1, EVENTS + 1, b->next[1] - 1);
    /* With it, as the old one, all of it comes over. */
    use_keys(b, key_b, key_a);
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_OK);
    bench_care(b);
    assert_int_equal(bench_owed(b, 1, 1)->ranges[0].first, 1);
    assert_true(bench_read(b, 1, 1, EVENTS) > EVENTS / 2);
}

static void test_without_a_key_it_is_refused(void **state)
{
    struct bench *b = *state;
    keep_copy(b, key_a);
    use_keys(b, NULL, key_a);
    struct buffer_rekey done = {0};
    while (!done.finished) {
        assert_int_equal(buffer_rekey_step(b->buffer, &done, &b->why), ERR_OK);
    }
    use_keys(b, NULL, NULL);
    assert_int_equal(buffer_salvage_begin(b->buffer, KEPT, &b->why), ERR_CONFIG);
    assert_non_null(strstr(b->why.text, "with a key that is not given"));
    buffer_state(b->buffer, &b->changes);
    assert_false(b->changes.damage.salvages);
    b->setup->key = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_wrong_key_is_refused),
        TEST(test_without_a_key_it_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
