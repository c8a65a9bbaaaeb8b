#include "ports/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/timex.h>

#undef clock_gettime /* this file is where the clocks are asked */

/* Past January 2038 also where a long has 32 bits. */
static_assert(sizeof(time_t) >= sizeof(int64_t), "seconds need 64 bits");

uint64_t clock_monotonic_us(void)
{
    struct timespec t;
    int failed = clock_gettime(CLOCK_BOOTTIME, &t);
    assert(!failed);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

int64_t clock_wall_us(void)
{
    struct timespec t;
    int failed = clock_gettime(CLOCK_REALTIME, &t);
    assert(!failed);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool clock_wall_is_synchronised(void)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    return state >= 0 && state != TIME_ERROR && !(t.status & STA_UNSYNC);
}

void clock_pause(uint32_t ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL); /* a signal ends it early */
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void clock_boot_id(uint8_t ret[BOOT_ID_SIZE])
{
    memset(ret, 0, BOOT_ID_SIZE);
    char text[64] = {0};
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return; /* without /proc all boots look alike; the caller's other evidence decides */
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    size_t digits = 0;
    for (ssize_t i = 0; i < size && digits < 2 * BOOT_ID_SIZE; i++) {
        int value = hex_value(text[i]);
        if (value >= 0) {
            ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | value);
            digits++;
        }
    }
}
