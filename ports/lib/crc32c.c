#include "ports/lib/crc32c.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u

/* [n][byte]: what `byte` comes to when n bytes of zero follow it. Made before main(): it is read by
 * several threads, and in the program's file it would be 8 KiB. */
static uint32_t crc32c_table[8][256];

__attribute__((constructor)) static void make_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        crc32c_table[0][byte] = crc;
    }
    for (size_t n = 1; n < 8; n++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t crc = crc32c_table[n - 1][byte];
            crc32c_table[n][byte] = crc >> 8 ^ crc32c_table[0][crc & 0xff];
        }
    }
}

static uint32_t one_byte(uint32_t crc, uint8_t byte)
{
    return crc >> 8 ^ crc32c_table[0][(crc ^ byte) & 0xff];
}

static uint32_t eight_bytes(uint32_t crc, const uint8_t *p)
{
    uint32_t low =
        crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    return crc32c_table[7][low & 0xff] ^ crc32c_table[6][low >> 8 & 0xff] ^
           crc32c_table[5][low >> 16 & 0xff] ^ crc32c_table[4][low >> 24] ^ crc32c_table[3][p[4]] ^
           crc32c_table[2][p[5]] ^ crc32c_table[1][p[6]] ^ crc32c_table[0][p[7]];
}

uint32_t crc32c_by_table(uint32_t before, struct slice data)
{
    uint32_t crc = ~before;
    size_t at = 0;
    for (; data.size - at >= 8; at += 8) {
        crc = eight_bytes(crc, data.data + at);
    }
    for (; at < data.size; at++) {
        crc = one_byte(crc, data.data[at]);
    }
    return ~crc;
}

#ifdef __x86_64__
/* SSE 4.2 has an instruction for this polynomial: eight bytes in the time of one look-up. */
__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t before, struct slice data)
{
    uint64_t crc = ~before;
    size_t at = 0;
    for (uint64_t word; data.size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, data.data + at, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; at < data.size; at++) {
        crc = __builtin_ia32_crc32qi((uint32_t)crc, data.data[at]);
    }
    return ~(uint32_t)crc;
}
#endif

uint32_t crc32c(uint32_t before, struct slice data)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("sse4.2")) {
        return by_instruction(before, data);
    }
#endif
    return crc32c_by_table(before, data);
}
