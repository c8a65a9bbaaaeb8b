/* What encryption at rest costs: processor time of one call, on a record of the tail and on a row.
 * Prints "NAME BYTES MICROSECONDS" lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ports/lib/aead.h"
#include "ports/lib/zstd.h"

#define ROW_SIZE (32 * 1024)
#define LEAST_US 200000 /* a figure is the mean of as many calls as take this long */

static const uint8_t key[AEAD_KEY_SIZE] = "thirty-two bytes, as each key is";
static const uint8_t nonce[AEAD_NONCE_SIZE];
static uint8_t plain[ROW_SIZE];
static uint8_t cipher[ROW_SIZE + AEAD_TAG_SIZE];
static uint8_t memory[2 * ROW_SIZE];
static struct zstd_encoder *encoder;

static double cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int encrypt(size_t size)
{
    aead_encrypt(key, nonce, SLICE("beside"), (struct slice){plain, size}, cipher);
    return 1;
}

static int decrypt(size_t size)
{
    return aead_decrypt(key, nonce, SLICE("beside"), (struct slice){cipher, size + AEAD_TAG_SIZE},
                        memory);
}

static int derive(size_t size)
{
    (void)size;
    return aead_key_derive(key, SLICE("0123456789abcdef"), "bench", memory) == ERR_OK;
}

static int compress(size_t size)
{
    struct out o = out_over(memory, sizeof memory);
    return zstd_encode(encoder, (struct slice){plain, size}, &o) == ERR_OK;
}

static void measure(const char *name, int (*call)(size_t size), size_t size)
{
    double begin = cpu_us();
    double us = 0;
    unsigned long calls = 0;
    while (us < LEAST_US) {
        for (unsigned i = 0; i < 50; i++) {
            if (!call(size)) {
                abort();
            }
        }
        calls += 50;
        us = cpu_us() - begin;
    }
    printf("%s %zu %.4f\n", name, size, us / (double)calls);
}

int main(void)
{
    for (size_t i = 0; i < sizeof plain; i++) { /* readings: some of it repeats */
        plain[i] = (uint8_t)(i % 40 < 24 ? i % 40 : i * 2654435761u >> 24);
    }
    if (zstd_encoder_open(&encoder, 3)) {
        return 1;
    }
    static const size_t sizes[] = {128, ROW_SIZE};
    for (unsigned i = 0; i < 2; i++) {
        measure("encrypt", encrypt, sizes[i]);
        measure("decrypt", decrypt, sizes[i]);
        measure("compress", compress, sizes[i]);
    }
    measure("derive", derive, AEAD_KEY_SIZE);
    zstd_encoder_close(encoder);
    return 0;
}
