/* ports/lib/zstd: an encoder whose memory was given back goes on as one that kept it. */
#include "tests/cmocka.h"

#include <stdio.h>

#include "ports/lib/zstd.h"
#include "tests/fault_alloc.h"

#define RAW_SIZE 100000
#define PACKED_SIZE (2 * RAW_SIZE)

static char raw_bytes[RAW_SIZE + 32];
static uint8_t kept_bytes[PACKED_SIZE];
static uint8_t trimmed_bytes[PACKED_SIZE];

/* Lines that are alike, so that level and window show in the frame. */
static struct slice raw_text(void)
{
    size_t size = 0;
    for (unsigned i = 0; size < RAW_SIZE; i++) {
        size += (size_t)snprintf(raw_bytes + size, sizeof raw_bytes - size, "%u %u\n", i % 977,
                                 i * i % 8191);
    }
    return (struct slice){(const uint8_t *)raw_bytes, RAW_SIZE};
}

static void encodes_alike(struct zstd_encoder *kept, struct zstd_encoder *trimmed)
{
    struct slice raw = raw_text();
    struct out a = out_over(kept_bytes, sizeof kept_bytes);
    struct out b = out_over(trimmed_bytes, sizeof trimmed_bytes);
    assert_int_equal(zstd_encode(kept, raw, &a), ERR_OK);
    assert_int_equal(zstd_encode(trimmed, raw, &b), ERR_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
}

static void trimmed_goes_on(void **state)
{
    (void)state;
    struct zstd_encoder *kept = NULL;
    struct zstd_encoder *trimmed = NULL;
    assert_int_equal(zstd_encoder_open(&kept, 3), ERR_OK);
    assert_int_equal(zstd_encoder_open(&trimmed, 3), ERR_OK);
    encodes_alike(kept, trimmed);
    zstd_encoder_trim(trimmed);
    zstd_encoder_trim(trimmed);
    encodes_alike(kept, trimmed);
    zstd_encoder_level_set(kept, -1);
    zstd_encoder_level_set(trimmed, -1);
    zstd_encoder_trim(trimmed);
    encodes_alike(kept, trimmed);
    zstd_encoder_trim(trimmed);
    zstd_encoder_level_set(kept, 9);
    zstd_encoder_level_set(trimmed, 9);
    zstd_encoder_window_set(kept, 12);
    zstd_encoder_window_set(trimmed, 12);
    encodes_alike(kept, trimmed);
    zstd_encoder_trim(trimmed);
    zstd_encoder_close(trimmed);
    zstd_encoder_close(kept);
}

static void trimmed_without_memory(void **state)
{
    (void)state;
    struct zstd_encoder *encoder = NULL;
    struct out packed = out_over(kept_bytes, sizeof kept_bytes);
    assert_int_equal(zstd_encoder_open(&encoder, 3), ERR_OK);
    unsigned failed = 0;
    enum err e = ERR_NOMEM;
    for (unsigned n = 1; e == ERR_NOMEM; n++) {
        zstd_encoder_trim(encoder);
        fault_alloc_set(n);
        e = zstd_encode(encoder, raw_text(), &packed);
        failed += fault_alloc_happened();
        fault_alloc_set(0);
        assert_true(e == ERR_OK || packed.size == 0);
    }
    assert_int_equal(e, ERR_OK);
    assert_true(failed >= 2); /* the context, and what it works in */
    zstd_encoder_close(encoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trimmed_goes_on),
        cmocka_unit_test(trimmed_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
