#include "ports/names.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>

#include "ports/linux/lookup.h"

#define NAMES_LOOKUP_MAX 2    /* threads at a time */
#define NAMES_QUERY_MAX 64    /* queries that wait */
#define NAMES_KEPT_MAX 32     /* names whose last good answer is kept */
#define NAMES_TIMEOUT_MS 5000 /* from query to answer */
#define NAMES_FRESH_MS 60000  /* so long an answer is given again without asking */

struct kept {
    char host[NAMES_HOST_SIZE_MAX];
    uint64_t good_ms; /* when it was answered */
    struct address addresses[NAMES_ADDRESS_MAX];
    size_t address_count;
};

struct names {
    struct loop *loop;
    struct lookups *lookups;
    struct watch watch;
    struct timer timer; /* the earliest end of a wait, and answers that are there at once */
    struct name_query *first, **end;
    size_t query_count;
    struct lookup *running[NAMES_LOOKUP_MAX];
    struct kept *kept[NAMES_KEPT_MAX];
};

static struct kept *names_kept(const struct names *names, const char *host)
{
    for (size_t i = 0; i < NAMES_KEPT_MAX; i++) {
        if (names->kept[i] && strcmp(names->kept[i]->host, host) == 0) {
            return names->kept[i];
        }
    }
    return NULL;
}

/* Without memory nothing is kept: the next answer may be. */
static void names_keep(struct names *names, const struct lookup *lookup)
{
    struct kept *kept = names_kept(names, lookup->host);
    if (!kept) {
        size_t place = 0;
        for (size_t i = 0; i < NAMES_KEPT_MAX && names->kept[place]; i++) {
            if (!names->kept[i] || names->kept[i]->good_ms < names->kept[place]->good_ms) {
                place = i;
            }
        }
        if (!names->kept[place]) {
            names->kept[place] = calloc(1, sizeof *kept);
        }
        kept = names->kept[place];
    }
    if (kept) {
        memcpy(kept->host, lookup->host, sizeof kept->host);
        memcpy(kept->addresses, lookup->addresses, sizeof kept->addresses);
        kept->address_count = lookup->address_count;
        kept->good_ms = loop_now_ms(names->loop);
    }
}

static void query_take_addresses(struct name_query *query, const struct address *addresses,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        query->addresses[i] = addresses[i];
        struct sockaddr_storage *storage = &query->addresses[i].storage;
        if (storage->ss_family == AF_INET6) {
            ((struct sockaddr_in6 *)(void *)storage)->sin6_port = htons(query->port);
        } else {
            ((struct sockaddr_in *)(void *)storage)->sin_port = htons(query->port);
        }
    }
    query->address_count = count;
}

/* Takes the query out of the list and calls found(). With an error the last good answer serves:
 * also for "no such name", which is what some resolvers say when there is no network. */
static void names_answer(struct names *names, struct name_query *query, enum err e)
{
    struct name_query **link = &names->first;
    while (*link != query) {
        assert(*link); /* it is in the list */
        link = &(*link)->next;
    }
    *link = query->next;
    if (!*link) {
        names->end = link;
    }
    query->next = NULL;
    names->query_count--;
    if (e) {
        const struct kept *kept = names_kept(names, query->host);
        if (kept) {
            query_take_addresses(query, kept->addresses, kept->address_count);
            query->is_old = true;
            e = ERR_OK;
        }
    }
    query->found(query, e);
}

/* --- what a lookup takes, as it stands in an IPv4 packet --- */

#define QUESTION_SIZE 46 /* IP 20, UDP 8, DNS 12, the name's two more bytes, type and class 4 */
#define RECORD_SIZE 12   /* of an answer, in front of the address; the name is a pointer */

static bool address_is_own(const struct address *address)
{
    if (address->storage.ss_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(
            &((const struct sockaddr_in6 *)(const void *)&address->storage)->sin6_addr);
    }
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address->storage;
    return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

static void query_count(struct name_query *query, const struct lookup *lookup, enum err e)
{
    uint32_t questions = 2 * (QUESTION_SIZE + (uint32_t)strlen(query->host));
    uint32_t received = questions;
    bool is_own = lookup->address_count > 0;
    for (size_t i = 0; i < lookup->address_count; i++) {
        is_own = is_own && address_is_own(&lookup->addresses[i]);
        received += lookup->addresses[i].storage.ss_family == AF_INET6 ? RECORD_SIZE + 16U
                                                                       : RECORD_SIZE + 4U;
    }
    if (!is_own) { /* that stands in a file */
        query->wire_sent = questions;
        query->wire_received = e && lookup->result != EAI_NONAME ? 0 : received;
    }
}

/* Is a lookup of this name under way? */
static bool names_is_running(const struct names *names, const char *host, size_t *ret_free)
{
    *ret_free = NAMES_LOOKUP_MAX;
    for (size_t i = 0; i < NAMES_LOOKUP_MAX; i++) {
        if (!names->running[i]) {
            *ret_free = i;
        } else if (strcmp(names->running[i]->host, host) == 0) {
            return true;
        }
    }
    return false;
}

/* Starts lookups while there are places for them, and sets the timer. */
static void names_go_on(struct names *names)
{
    uint64_t now_ms = loop_now_ms(names->loop);
    uint64_t due_ms = UINT64_MAX;
    for (struct name_query *query = names->first; query; query = query->next) {
        size_t place;
        if (!query->address_count && !names_is_running(names, query->host, &place) &&
            place < NAMES_LOOKUP_MAX &&
            lookup_start(names->lookups, query->host, &names->running[place]) != ERR_OK) {
            names->running[place] = NULL; /* no memory: the next turn of something tries again */
        }
        if (query->due_ms < due_ms) {
            due_ms = query->due_ms;
        }
    }
    if (due_ms == UINT64_MAX) {
        timer_disarm(&names->timer);
    } else {
        timer_arm(&names->timer, due_ms > now_ms ? due_ms - now_ms : 0);
    }
}

/* Queries that are due: those with an answer, and those whose time is over. found() may put and
 * cancel queries: the list is searched anew each time. */
static void names_timer_fire(struct timer *timer)
{
    struct names *names = CONTAINER_OF(timer, struct names, timer);
    uint64_t now_ms = loop_now_ms(names->loop);
    size_t budget = names->query_count;
    struct name_query *query = names->first;
    while (query && budget) {
        if (query->due_ms > now_ms) {
            query = query->next;
            continue;
        }
        budget--;
        enum err e = query->address_count ? ERR_OK : ERR_TIMEOUT;
        if (e) {
            query->wire_sent = 2 * (QUESTION_SIZE + (uint32_t)strlen(query->host));
            why_set(&query->why, "the name servers did not answer for %s within %d s", query->host,
                    NAMES_TIMEOUT_MS / 1000);
        }
        names_answer(names, query, e);
        query = names->first;
    }
    names_go_on(names);
}

static struct name_query *names_waiting_for(const struct names *names, const char *host)
{
    struct name_query *query = names->first;
    while (query && (query->address_count || strcmp(query->host, host) != 0)) {
        query = query->next;
    }
    return query;
}

static void names_lookup_finished(struct names *names, struct lookup *lookup)
{
    for (size_t i = 0; i < NAMES_LOOKUP_MAX; i++) {
        if (names->running[i] == lookup) {
            names->running[i] = NULL;
        }
    }
    struct why why = {.text = ""};
    enum err e = lookup_error(lookup, &why);
    if (!e) {
        names_keep(names, lookup);
    }
    size_t budget = names->query_count; /* what found() asks anew is not answered by this one */
    struct name_query *query = names_waiting_for(names, lookup->host);
    if (query) {
        query_count(query, lookup, e); /* all have one lookup, which is charged to the first */
    }
    while (budget-- && (query = names_waiting_for(names, lookup->host))) {
        query->why = why;
        if (!e) {
            query_take_addresses(query, lookup->addresses, lookup->address_count);
        }
        names_answer(names, query, e);
    }
    free(lookup);
}

static void names_ready(struct watch *watch, unsigned events)
{
    (void)events;
    struct names *names = CONTAINER_OF(watch, struct names, watch);
    struct lookup *lookup;
    lookups_clear(names->lookups);
    while ((lookup = lookup_take(names->lookups))) { /* at most NAMES_LOOKUP_MAX */
        names_lookup_finished(names, lookup);
    }
    names_go_on(names);
}

enum err names_open(struct names **ret, struct loop *loop)
{
    struct names *names = calloc(1, sizeof *names);
    if (!names) {
        return ERR_NOMEM;
    }
    names->loop = loop;
    names->end = &names->first;
    timer_init(&names->timer, loop, names_timer_fire);
    enum err e = lookups_open(&names->lookups);
    if (!e) {
        watch_init(&names->watch, loop, lookups_fd(names->lookups), names_ready);
        e = watch_start(&names->watch, WATCH_READ);
    }
    if (e) {
        names_close(names);
        return e;
    }
    *ret = names;
    return ERR_OK;
}

void names_close(struct names *names)
{
    if (!names) {
        return;
    }
    watch_stop(&names->watch);
    timer_release(&names->timer);
    lookups_close(names->lookups);
    for (size_t i = 0; i < NAMES_KEPT_MAX; i++) {
        free(names->kept[i]);
    }
    free(names);
}

/* Fills in a literal address: IPv4, or IPv6 with or without brackets. */
static bool query_take_literal(struct name_query *query)
{
    struct address address = {.size = 0};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char bare[NAMES_HOST_SIZE_MAX];
    size_t size = strlen(query->host);
    bool bracketed = size > 2 && query->host[0] == '[' && query->host[size - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", (int)(bracketed ? size - 2 : size),
             query->host + bracketed);
    if (!bracketed && inet_pton(AF_INET, bare, &v4.sin_addr) == 1) {
        memcpy(&address.storage, &v4, sizeof v4);
        address.size = sizeof v4;
    } else if (inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1) {
        memcpy(&address.storage, &v6, sizeof v6);
        address.size = sizeof v6;
    } else {
        return false;
    }
    query_take_addresses(query, &address, 1);
    return true;
}

enum err names_query(struct names *names, struct name_query *query)
{
    assert(query->found && memchr(query->host, 0, sizeof query->host));
    if (names->query_count == NAMES_QUERY_MAX) {
        return ERR_FULL;
    }
    uint64_t now_ms = loop_now_ms(names->loop);
    query->address_count = 0;
    query->is_old = false;
    query->wire_sent = query->wire_received = 0;
    query->why.text[0] = 0;
    query->next = NULL;
    query->due_ms = now_ms;
    if (!query_take_literal(query)) {
        const struct kept *kept = names_kept(names, query->host);
        if (kept && now_ms - kept->good_ms < NAMES_FRESH_MS) {
            query_take_addresses(query, kept->addresses, kept->address_count);
        } else {
            query->due_ms = now_ms + NAMES_TIMEOUT_MS;
        }
    }
    *names->end = query;
    names->end = &query->next;
    names->query_count++;
    names_go_on(names);
    return ERR_OK;
}

void names_cancel(struct names *names, struct name_query *query)
{
    for (struct name_query **link = &names->first; *link; link = &(*link)->next) {
        if (*link == query) {
            *link = query->next;
            if (!*link) {
                names->end = link;
            }
            query->next = NULL;
            names->query_count--;
            return;
        }
    }
}
