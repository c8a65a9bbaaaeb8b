#include "ports/lib/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tests/cmocka.h"

static uint32_t bit_by_bit(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
        }
    }
    return ~crc;
}

/* RFC 3720, appendix B.4. */
static void test_published_vectors(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(crc32c(0, SLICE("123456789")), 0xe3069283);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, (struct slice){bytes, 32}), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, (struct slice){bytes, 32}), 0x62a8ab43);
}

static void test_every_length_and_split_equals_the_definition(void **state)
{
    (void)state;
    uint8_t bytes[67];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    for (size_t size = 0; size <= sizeof bytes; size++) {
        for (size_t cut = 0; cut <= size; cut++) {
            uint32_t first = crc32c(0, (struct slice){bytes, cut});
            struct slice rest = {bytes + cut, size - cut};
            assert_int_equal(crc32c(first, rest), bit_by_bit(bytes, size));
            assert_int_equal(crc32c_by_table(first, rest), bit_by_bit(bytes, size));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_vectors),
        cmocka_unit_test(test_every_length_and_split_equals_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
