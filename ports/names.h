/* Name resolution on at most two threads, because getaddrinfo blocks: at most 5 s, even when it
 * hangs. The last good addresses of a name are kept: for a minute they are given without asking
 * again, later when the network does not answer. Loop thread only. */
#ifndef WEIR_PORTS_NAMES_H
#define WEIR_PORTS_NAMES_H

#include <sys/socket.h>

#include "ports/loop.h"
#include "ports/slice.h"

#define NAMES_ADDRESS_MAX 8
#define NAMES_HOST_SIZE_MAX 256

struct names;

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* The caller's memory; must live until found() or names_cancel(). */
struct name_query {
    char host[NAMES_HOST_SIZE_MAX];
    uint16_t port;
    void (*found)(struct name_query *query, enum err e); /* never within names_query() */
    struct address addresses[NAMES_ADDRESS_MAX];         /* in the order to try */
    size_t address_count;
    bool is_old; /* the last good answer, because there is no new one */
    /* What asking the name servers for it took, IP and UDP headers included, by the size of the name
     * and of the answer: one question for IPv4 and one for IPv6. 0: nobody was asked, or another
     * query has it, or the name is the machine's own. */
    uint32_t wire_sent, wire_received;
    struct why why;
    struct name_query *next; /* ours, like what follows */
    uint64_t due_ms;
};

enum err names_open(struct names **ret, struct loop *loop) MUST_USE;
void names_close(struct names *names);
/* host, port, found are set. A literal address (IPv6 with or without brackets) needs no worker.
 * ERR_FULL: too many at once. */
enum err names_query(struct names *names, struct name_query *query) MUST_USE;
void names_cancel(struct names *names, struct name_query *query);

#endif
