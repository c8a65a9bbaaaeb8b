#include "tests/ports/told.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/cmocka.h"

bool wire_is_told(void)
{
    struct tcp_info info;
    socklen_t size = sizeof info;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool is_told = getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
                   size > offsetof(struct tcp_info, tcpi_segs_out);
    close(fd);
    return is_told;
}

bool refusal_is_told(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int deaf = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, and nobody listens */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(deaf, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(deaf, (struct sockaddr *)&address, &size), 0);
    int number = ECONNREFUSED;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == -1 && errno == EINPROGRESS) {
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        size = sizeof number;
        assert_int_equal(poll(&wait, 1, 60000), 1);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size), 0);
    }
    close(deaf);
    close(fd);
    return number == ECONNREFUSED;
}
