/* gzip members: read by others, and only whole ones by us; zlib streams: read by others. */
#include "tests/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "ports/lib/deflate.h"

#define TEXT "weir weir weir weir weir"

struct scene {
    struct deflate_encoder *encoder;
    struct deflate_decoder *decoder;
};

static int open_both(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    assert_int_equal(deflate_encoder_open(&scene->encoder, 6), ERR_OK);
    assert_int_equal(deflate_decoder_open(&scene->decoder), ERR_OK);
    *state = scene;
    return 0;
}

static int close_both(void **state)
{
    struct scene *scene = *state;
    deflate_encoder_close(scene->encoder);
    deflate_decoder_close(scene->decoder);
    free(scene);
    return 0;
}

/* gzip.compress() of Python 3.11, but for the byte that names the system. */
static void a_member_is_as_gzip_writes_it(void **state)
{
    struct scene *scene = *state;
    static const uint8_t expected[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                       0xff, 0x2b, 0x4f, 0xcd, 0x2c, 0x52, 0x28, 0xc7, 0x24,
                                       0x00, 0x58, 0xed, 0xfc, 0x87, 0x18, 0x00, 0x00, 0x00};
    uint8_t memory[64];
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(deflate_encode_gzip(scene->encoder, SLICE(TEXT), &o), ERR_OK);
    assert_int_equal(o.size, sizeof expected);
    assert_memory_equal(memory, expected, sizeof expected);
}

/* zlib.compress() of Python 3.11. */
static void a_stream_is_as_zlib_writes_it(void **state)
{
    struct scene *scene = *state;
    static const uint8_t expected[] = {0x78, 0x9c, 0x2b, 0x4f, 0xcd, 0x2c, 0x52, 0x28,
                                       0xc7, 0x24, 0x00, 0x71, 0xa1, 0x09, 0x14};
    static const uint8_t nothing[] = {0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01};
    uint8_t memory[64];
    struct out o = out_over(memory, sizeof memory);
    assert_int_equal(deflate_encode_zlib(scene->encoder, SLICE(TEXT), &o), ERR_OK);
    assert_int_equal(o.size, sizeof expected);
    assert_memory_equal(memory, expected, sizeof expected);
    for (size_t size = 0; size < sizeof expected; size++) {
        o = out_over(memory, size);
        assert_int_equal(deflate_encode_zlib(scene->encoder, SLICE(TEXT), &o), ERR_FULL);
        assert_int_equal(o.size, 0);
    }
    o = out_over(memory, sizeof memory);
    assert_int_equal(deflate_encode_zlib(scene->encoder, (struct slice){NULL, 0}, &o), ERR_OK);
    assert_int_equal(o.size, sizeof nothing);
    assert_memory_equal(memory, nothing, sizeof nothing);
}

static void what_was_packed_comes_back(void **state)
{
    struct scene *scene = *state;
    uint8_t packed[64], raw[64];
    struct out o = out_over(packed, sizeof packed);
    struct out back = out_over(raw, sizeof raw);
    assert_int_equal(deflate_encode_gzip(scene->encoder, SLICE(TEXT), &o), ERR_OK);
    assert_int_equal(deflate_decode_gzip(scene->decoder, out_slice(&o), &back), ERR_OK);
    assert_true(slice_equal_text(out_slice(&back), TEXT));
    back = out_over(raw, sizeof TEXT - 2);
    assert_int_equal(deflate_decode_gzip(scene->decoder, out_slice(&o), &back), ERR_FULL);
    assert_int_equal(back.size, 0);
}

static void a_member_needs_its_whole_room(void **state)
{
    struct scene *scene = *state;
    uint8_t memory[64];
    struct out whole = out_over(memory, sizeof memory);
    assert_int_equal(deflate_encode_gzip(scene->encoder, SLICE(TEXT), &whole), ERR_OK);
    for (size_t size = 0; size < whole.size; size++) {
        struct out o = out_over(memory, size);
        assert_int_equal(deflate_encode_gzip(scene->encoder, SLICE(TEXT), &o), ERR_FULL);
        assert_int_equal(o.size, 0);
    }
}

/* Each byte of the data, its checksum and its size counts. */
static void what_is_damaged_is_refused(void **state)
{
    struct scene *scene = *state;
    uint8_t packed[64], raw[64];
    struct out o = out_over(packed, sizeof packed);
    assert_int_equal(deflate_encode_gzip(scene->encoder, SLICE(TEXT), &o), ERR_OK);
    for (size_t size = 0; size < o.size; size++) {
        struct out back = out_over(raw, sizeof raw);
        struct slice cut = {packed, size};
        assert_int_equal(deflate_decode_gzip(scene->decoder, cut, &back), ERR_CORRUPT);
    }
    for (size_t i = 0; i < o.size; i++) {
        struct out back = out_over(raw, sizeof raw);
        packed[i] ^= 0x40;
        enum err e = deflate_decode_gzip(scene->decoder, out_slice(&o), &back);
        packed[i] ^= 0x40;
        bool is_unread = i >= 4 && i < 10; /* time and system */
        assert_true(is_unread ? !e : e == ERR_CORRUPT || e == ERR_FULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_member_is_as_gzip_writes_it, open_both, close_both),
        cmocka_unit_test_setup_teardown(a_stream_is_as_zlib_writes_it, open_both, close_both),
        cmocka_unit_test_setup_teardown(what_was_packed_comes_back, open_both, close_both),
        cmocka_unit_test_setup_teardown(a_member_needs_its_whole_room, open_both, close_both),
        cmocka_unit_test_setup_teardown(what_is_damaged_is_refused, open_both, close_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
