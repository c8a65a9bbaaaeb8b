/* Names resolve after a network delay, to an address made of their hash, or fail by the table. */
#include "ports/names.h"

#include <assert.h>
#include <netinet/in.h>

#include "tests/sim/sim_impl.h"

#define FAILING_MAX 16

struct names {
    struct loop *loop;
    struct timer timer;
    struct name_query *first;
};

static char failing[FAILING_MAX][NAMES_HOST_SIZE_MAX];
static bool all_failing;

void net_name_fails(const char *host, bool fails)
{
    if (!host) {
        all_failing = fails;
        memset(failing, 0, sizeof failing);
        return;
    }
    size_t free_place = FAILING_MAX;
    for (size_t i = 0; i < FAILING_MAX; i++) {
        if (strcmp(failing[i], host) == 0) {
            failing[i][0] = 0;
        }
        free_place = failing[i][0] ? free_place : i;
    }
    if (fails) {
        assert(free_place < FAILING_MAX);
        snprintf(failing[free_place], NAMES_HOST_SIZE_MAX, "%s", host);
    }
}

bool net_name_is_failing(const char *host)
{
    for (size_t i = 0; i < FAILING_MAX; i++) {
        if (strcmp(failing[i], host) == 0) {
            return true;
        }
    }
    return all_failing;
}

static void names_arm(struct names *names)
{
    uint64_t due_ms = UINT64_MAX;
    for (const struct name_query *query = names->first; query; query = query->next) {
        due_ms = query->due_ms < due_ms ? query->due_ms : due_ms;
    }
    uint64_t now_ms = loop_now_ms(names->loop);
    if (due_ms == UINT64_MAX) {
        timer_disarm(&names->timer);
    } else {
        timer_arm(&names->timer, due_ms > now_ms ? due_ms - now_ms : 0);
    }
}

static enum err names_answer(struct name_query *query)
{
    if (net_name_is_failing(query->host)) {
        why_set(&query->why, "there is no host %s", query->host);
        return ERR_CLOSED;
    }
    uint32_t hash = 2166136261U;
    for (const char *p = query->host; *p; p++) {
        hash = (hash ^ (unsigned char)*p) * 16777619U;
    }
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&query->addresses[0].storage;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(query->port);
    v4->sin_addr.s_addr = htonl(0x0a000000U | (hash & 0xffffffU));
    query->addresses[0].size = sizeof *v4;
    query->address_count = 1;
    return ERR_OK;
}

static void names_fire(struct timer *timer)
{
    struct names *names = CONTAINER_OF(timer, struct names, timer);
    for (struct name_query **link = &names->first; *link; link = &(*link)->next) {
        struct name_query *query = *link;
        if (query->due_ms <= loop_now_ms(names->loop)) {
            *link = query->next;
            query->next = NULL;
            names_arm(names);
            query->found(query, names_answer(query));
            return; /* one a turn: found() may do anything */
        }
    }
    names_arm(names);
}

enum err names_open(struct names **ret, struct loop *loop)
{
    struct names *names = calloc(1, sizeof *names);
    if (!names) {
        return ERR_NOMEM;
    }
    names->loop = loop;
    timer_init(&names->timer, loop, names_fire);
    *ret = names;
    return ERR_OK;
}

void names_close(struct names *names)
{
    if (names) {
        timer_release(&names->timer);
        free(names);
    }
}

enum err names_query(struct names *names, struct name_query *query)
{
    assert(query->found);
    query->address_count = 0;
    query->is_old = false;
    query->why.text[0] = 0;
    query->due_ms = loop_now_ms(names->loop) + (net_latency_us() * 2 + 999) / 1000;
    query->next = names->first;
    names->first = query;
    names_arm(names);
    return ERR_OK;
}

void names_cancel(struct names *names, struct name_query *query)
{
    for (struct name_query **link = &names->first; *link; link = &(*link)->next) {
        if (*link == query) {
            *link = query->next;
            return;
        }
    }
}
