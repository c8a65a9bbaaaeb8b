#include "ports/interface.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORD_SIZE 32

/* One word of a file of the interface; "" when there is none. */
static void read_word(const char *name, const char *file, char ret[WORD_SIZE])
{
    char path[128];
    (void)snprintf(path, sizeof path, "/sys/class/net/%.15s/%s", name, file); /* fits */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, ret, WORD_SIZE - 1) : 0;
    if (fd >= 0) {
        close(fd);
    }
    ret[size > 0 ? size : 0] = 0;
    ret[strcspn(ret, " \n")] = 0;
}

static uint64_t read_number(const char *name, const char *file)
{
    char word[WORD_SIZE];
    read_word(name, file, word);
    return strtoull(word, NULL, 10);
}

static bool is_own(const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        return !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
    }
    return address && address->sa_family == AF_INET;
}

static bool has_address(const char *name)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        found = strcmp(i->ifa_name, name) == 0 && (i->ifa_flags & IFF_UP) && is_own(i->ifa_addr);
    }
    freeifaddrs(list);
    return found;
}

void interface_look(const char *name, struct interface_state *ret)
{
    char state[WORD_SIZE];
    *ret = (struct interface_state){.is_up = false};
    if (!name[0] || strchr(name, '/') || name[0] == '.') {
        return;
    }
    /* Many modems and tunnels say "unknown" for ever. */
    read_word(name, "operstate", state);
    ret->is_up = (strcmp(state, "up") == 0 || strcmp(state, "unknown") == 0) && has_address(name);
    ret->sent = read_number(name, "statistics/tx_bytes");
    ret->received = read_number(name, "statistics/rx_bytes");
}
