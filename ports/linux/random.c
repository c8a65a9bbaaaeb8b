#include "ports/random.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>

void random_bytes(void *ret, size_t size)
{
    uint8_t *bytes = ret;
    while (size) {
        ssize_t got = getrandom(bytes, size, 0);
        if (got < 0) {
            assert(errno == EINTR); /* nothing else can go wrong with these arguments */
            continue;
        }
        bytes += got;
        size -= (size_t)got;
    }
}

uint32_t random_u32(void)
{
    uint32_t value;
    random_bytes(&value, sizeof value);
    return value;
}

uint32_t random_below(uint32_t below)
{
    assert(below > 0);
    /* The first 2^32 mod below values would come once too often. */
    uint32_t skip = (uint32_t)(-below) % below;
    for (;;) {
        uint32_t value = random_u32();
        if (value >= skip) {
            return value % below;
        }
    }
}
