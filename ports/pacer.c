#include "ports/pacer.h"

#include <assert.h>
#include <stdlib.h>

#define SEGMENT_SIZE 1448
#define HEADER_SIZE 52 /* IPv4, TCP with time stamps */
/* At a time so much is let through, so that headers stay few and an urgent byte waits half a second
 * at most, however slow the link. */
#define CHUNK_MIN 536
#define CHUNK_PER_SECOND 4
#define BURST_PER_SECOND 10

struct pacer {
    struct loop *loop;
    uint64_t rate;
    uint64_t chunk; /* payload that is worth a segment */
    uint64_t burst; /* what the bucket holds */
    uint32_t share;
    int64_t level; /* bytes that may be sent now, below 0: too many were */
    uint64_t level_ms;
    uint64_t rest; /* thousandths of a byte that the last look left */
    uint64_t bytes;
    uint64_t debt; /* bytes that the others are behind their share */
    struct pacer_seat *seats;
    struct timer timer;
};

static uint64_t wire_size(uint64_t size)
{
    return size + (size + SEGMENT_SIZE - 1) / SEGMENT_SIZE * HEADER_SIZE;
}

static void pacer_fill(struct pacer *pacer)
{
    uint64_t now_ms = loop_now_ms(pacer->loop);
    uint64_t passed_ms = now_ms - pacer->level_ms;
    passed_ms = passed_ms < 60000 ? passed_ms : 60000;
    uint64_t more = passed_ms * pacer->rate + pacer->rest;
    pacer->level_ms = now_ms;
    pacer->rest = more % 1000;
    pacer->level += (int64_t)(more / 1000);
    if (pacer->level > (int64_t)pacer->burst) {
        pacer->level = (int64_t)pacer->burst;
    }
}

/* Who is next of those that wait: the first urgent one, or the first other when its share is due. */
static struct pacer_seat *pacer_next(const struct pacer *pacer)
{
    struct pacer_seat *urgent = NULL, *other = NULL;
    for (struct pacer_seat *seat = pacer->seats; seat; seat = seat->next) {
        if (seat->waits && seat->is_urgent) {
            urgent = urgent ? urgent : seat;
        } else if (seat->waits) {
            other = other ? other : seat;
        }
    }
    bool is_due = pacer->debt >= pacer->chunk;
    return urgent && (!other || !is_due) ? urgent : other ? other : urgent;
}

static void pacer_arm(struct pacer *pacer)
{
    int64_t wanted = (int64_t)wire_size(pacer->chunk);
    uint64_t lack = pacer->level < wanted ? (uint64_t)(wanted - pacer->level) : 0;
    if (pacer_next(pacer)) {
        timer_arm(&pacer->timer, lack * 1000 / pacer->rate + (lack > 0));
    }
}

/* Each seat is asked once at most, or those that take nothing would be asked for ever. */
static void pacer_fired(struct timer *timer)
{
    struct pacer *pacer = CONTAINER_OF(timer, struct pacer, timer);
    struct pacer_seat *seat = pacer_next(pacer);
    pacer_fill(pacer);
    if (seat && pacer->level >= (int64_t)wire_size(pacer->chunk)) {
        seat->waits = false;
        seat->go(seat);
    }
    pacer_arm(pacer);
}

enum err pacer_open(struct pacer **ret, struct loop *loop, uint64_t bytes_per_second,
                    uint32_t share)
{
    assert(bytes_per_second > 0 && share < 1000000);
    struct pacer *pacer = calloc(1, sizeof *pacer);
    if (!pacer) {
        return ERR_NOMEM;
    }
    uint64_t chunk = bytes_per_second / CHUNK_PER_SECOND;
    pacer->loop = loop;
    pacer->rate = bytes_per_second;
    pacer->chunk = chunk < CHUNK_MIN ? CHUNK_MIN : chunk > SEGMENT_SIZE ? SEGMENT_SIZE : chunk;
    pacer->burst = bytes_per_second / BURST_PER_SECOND;
    if (pacer->burst < 2 * wire_size(pacer->chunk)) {
        pacer->burst = 2 * wire_size(pacer->chunk);
    }
    pacer->share = share;
    pacer->level = (int64_t)pacer->burst;
    pacer->level_ms = loop_now_ms(loop);
    timer_init(&pacer->timer, loop, pacer_fired);
    *ret = pacer;
    return ERR_OK;
}

void pacer_close(struct pacer *pacer)
{
    if (pacer) {
        assert(!pacer->seats);
        timer_release(&pacer->timer);
        free(pacer);
    }
}

void pacer_sit(struct pacer_seat *seat, struct pacer *pacer, bool is_urgent,
               void (*go)(struct pacer_seat *seat))
{
    *seat = (struct pacer_seat){.pacer = pacer, .is_urgent = is_urgent, .go = go};
    struct pacer_seat **last = pacer ? &pacer->seats : NULL;
    while (last && *last) {
        last = &(*last)->next;
    }
    if (last) {
        *last = seat;
    }
}

void pacer_leave(struct pacer_seat *seat)
{
    struct pacer_seat **at = seat->pacer ? &seat->pacer->seats : NULL;
    while (at && *at != seat) {
        at = &(*at)->next;
    }
    if (at) {
        *at = seat->next;
    }
    *seat = (struct pacer_seat){.pacer = NULL};
}

size_t pacer_may(struct pacer_seat *seat, size_t size)
{
    struct pacer *pacer = seat->pacer;
    if (!pacer || size == 0) {
        return size;
    }
    pacer_fill(pacer);
    bool was_waiting = seat->waits;
    seat->waits = true;
    bool is_next = pacer_next(pacer) == seat;
    seat->waits = was_waiting;
    uint64_t least = size < pacer->chunk ? size : pacer->chunk;
    if (!is_next || pacer->level < (int64_t)wire_size(least)) {
        seat->waits = true;
        pacer_arm(pacer);
        return 0;
    }
    /* Whole segments of what the bucket has. */
    uint64_t segments = (uint64_t)pacer->level / wire_size(pacer->chunk);
    uint64_t most = segments * pacer->chunk;
    most = most < least ? least : most;
    seat->waits = false;
    return size < most ? size : (size_t)most;
}

/* Of equals the first that waits is next: who has had his turn goes behind them. */
static void pacer_last(struct pacer *pacer, struct pacer_seat *seat)
{
    struct pacer_seat **at = &pacer->seats;
    while (*at != seat) {
        at = &(*at)->next;
    }
    *at = seat->next;
    seat->next = NULL;
    while (*at) {
        at = &(*at)->next;
    }
    *at = seat;
}

void pacer_took(struct pacer_seat *seat, size_t size)
{
    struct pacer *pacer = seat->pacer;
    if (!pacer || size == 0) {
        return;
    }
    pacer_last(pacer, seat);
    uint64_t wire = wire_size(size);
    pacer->level -= (int64_t)wire;
    pacer->bytes += wire;
    seat->bytes += wire;
    if (!seat->is_urgent) {
        pacer->debt = pacer->debt > wire ? pacer->debt - wire : 0;
        return;
    }
    uint64_t most = 4 * wire_size(pacer->chunk);
    pacer->debt += wire * pacer->share / (1000000 - pacer->share);
    pacer->debt = pacer->debt < most ? pacer->debt : most;
}

void pacer_counted(struct pacer_seat *seat, uint64_t wire)
{
    struct pacer *pacer = seat->pacer;
    if (!pacer || wire <= seat->bytes) {
        return;
    }
    pacer_fill(pacer);
    pacer->level -= (int64_t)(wire - seat->bytes);
    pacer->bytes += wire - seat->bytes;
    seat->bytes = wire;
}

uint64_t pacer_bytes(const struct pacer *pacer)
{
    return pacer->bytes;
}
