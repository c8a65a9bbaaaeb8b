#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ports/memory.h"

uint64_t memory_resident(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (size <= 0) {
        return 0;
    }
    text[size] = 0;
    char *end = text;
    (void)strtoull(text, &end, 10); /* the first is what is mapped */
    long page = sysconf(_SC_PAGESIZE);
    return page > 0 ? (uint64_t)strtoull(end, NULL, 10) * (uint64_t)page : 0;
}
