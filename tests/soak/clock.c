/* In the program's place of the C library's clock (CMakeLists.txt, WEIR_SOAK): the wall clock jumps by as many seconds as
   stand, in binary, in the file $SOAK_CLOCK. It is linked in, for nothing can be loaded before a static program. */
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The linker's names, by --wrap: what the program calls, and what it would have called. */
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __real_clock_gettime(clockid_t id, struct timespec *ret);
time_t __wrap_time(time_t *ret);
int __wrap_gettimeofday(struct timeval *ret, void *zone);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);

static volatile const int64_t *seconds;

__attribute__((constructor)) static void soak_clock_open(void)
{
    const char *path = getenv("SOAK_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        abort();
    }
    seconds = map;
    close(fd);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    int failed = __real_clock_gettime(id, ret);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && seconds) {
        ret->tv_sec += *seconds;
    }
    return failed;
}

time_t __wrap_time(time_t *ret)
{
    struct timespec t;
    __wrap_clock_gettime(CLOCK_REALTIME, &t);
    if (ret) {
        *ret = t.tv_sec;
    }
    return t.tv_sec;
}

int __wrap_gettimeofday(struct timeval *ret, void *zone)
{
    (void)zone;
    struct timespec t;
    __wrap_clock_gettime(CLOCK_REALTIME, &t);
    *ret = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

/* What waits until a time of the wall clock gets the kernel's. One that waits by another clock says a time since the start;
   one that waits without end, as the C library's own pthread_cond_wait(), none. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    if (!until || until->tv_sec <= 1000000000) {
        return __real_pthread_cond_timedwait(cond, mutex, until);
    }
    struct timespec t = {until->tv_sec - *seconds, until->tv_nsec};
    return __real_pthread_cond_timedwait(cond, mutex, &t);
}
