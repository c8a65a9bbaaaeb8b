#include "agent/wear.h"

#include <string.h>

/* Measured at the file system's seam, link down, datums of 40 bytes (tests/buffer/wear_test.c keeps
 * them true): a commit dirties two to three blocks whatever it carries, and each byte of a record is
 * written about twice: into the log, and at a checkpoint into the tail or a row. */
#define COMMIT_BYTES 8700
#define RECORD_BYTES_TIMES 2
#define EVENT_FRAME_BYTES 12
#define SYNCS_OF_1000_COMMITS 1035
#define BATCH_BYTES 65536 /* raw: then a commit comes early */
#define BLOCK_BYTES 4096
#define SCALE_MIN \
    0.5 /* of what was measured to what the model says: a link that is up, a full buffer */
#define SCALE_MAX 4.0
#define DAY_MS (WEAR_DAY_S * UINT64_C(1000))

/* --- counting --- */

void wear_count_add(struct wear_count *count, const struct wear_count *more)
{
    count->bytes += more->bytes;
    count->syncs += more->syncs;
    count->commits += more->commits;
    count->events += more->events;
    count->event_bytes += more->event_bytes;
}

struct wear_count wear_count_since(const struct wear_count *now, const struct wear_count *before)
{
    return (struct wear_count){.bytes = now->bytes - before->bytes,
                               .syncs = now->syncs - before->syncs,
                               .commits = now->commits - before->commits,
                               .events = now->events - before->events,
                               .event_bytes = now->event_bytes - before->event_bytes};
}

void wear_history_add(struct wear_history *history, uint32_t day, const struct wear_count *more)
{
    struct wear_day *place = &history->days[day % WEAR_DAY_MAX];
    wear_count_add(&history->total, more);
    if (day == 0) {
        return;
    }
    if (place->day != day) {
        *place = (struct wear_day){.day = day};
    }
    wear_count_add(&place->count, more);
}

uint32_t wear_history_latest(const struct wear_history *history)
{
    uint32_t latest = 0;
    for (size_t i = 0; i < WEAR_DAY_MAX; i++) {
        latest = history->days[i].day > latest ? history->days[i].day : latest;
    }
    return latest;
}

struct wear_count wear_history_before(const struct wear_history *history, uint32_t today,
                                      uint32_t *ret_days)
{
    struct wear_count sum = {0};
    *ret_days = 0;
    for (size_t i = 0; i < WEAR_DAY_MAX; i++) {
        const struct wear_day *d = &history->days[i];
        if (d->day && d->day < today && today - d->day < WEAR_DAY_MAX) {
            wear_count_add(&sum, &d->count);
            (*ret_days)++;
        }
    }
    return sum;
}

/* --- as cursors --- */

void wear_value_put(const struct wear_history *history, uint32_t key, struct out *ret)
{
    const struct wear_day total = {0, history->total};
    const struct wear_day *day = key ? &history->days[(key - 1) % WEAR_DAY_MAX] : &total;
    const struct wear_count *c = &day->count;
    out_put_uvarint(ret, day->day);
    out_put_uvarint(ret, c->bytes);
    out_put_uvarint(ret, c->syncs);
    out_put_uvarint(ret, c->commits);
    out_put_uvarint(ret, c->events);
    out_put_uvarint(ret, c->event_bytes);
}

bool wear_value_take(struct wear_history *history, uint32_t key, struct slice value)
{
    uint64_t n[6];
    for (size_t i = 0; i < ARRAY_COUNT(n); i++) {
        if (!slice_take_uvarint(&value, &n[i])) {
            return false;
        }
    }
    bool fits =
        value.size == 0 && n[0] <= UINT32_MAX &&
        (key == 0 ? n[0] == 0 : key <= WEAR_DAY_MAX && n[0] > 0 && n[0] % WEAR_DAY_MAX == key - 1);
    if (!fits) {
        return false;
    }
    struct wear_count count = {n[1], n[2], n[3], n[4], n[5]};
    if (key == 0) {
        history->total = count;
    } else {
        history->days[key - 1] = (struct wear_day){(uint32_t)n[0], count};
    }
    return true;
}

/* --- foretelling --- */

static uint64_t model_bytes(const struct wear_count *c)
{
    uint64_t record_bytes = c->event_bytes + c->events * EVENT_FRAME_BYTES;
    return c->commits * COMMIT_BYTES + record_bytes * RECORD_BYTES_TIMES;
}

struct wear_count wear_foretell(const struct wear_count *day, uint64_t interval_ms)
{
    struct wear_count ret = {.events = day->events, .event_bytes = day->event_bytes};
    double scale = day->commits ? (double)day->bytes / (double)model_bytes(day) : 1;
    scale = scale < SCALE_MIN ? SCALE_MIN : scale > SCALE_MAX ? SCALE_MAX : scale;
    uint64_t ticks = interval_ms ? DAY_MS / interval_ms : UINT64_MAX;
    uint64_t full = day->event_bytes / BATCH_BYTES;
    ret.commits = ticks < day->events ? ticks : day->events;
    ret.commits = ret.commits < full ? full : ret.commits;
    ret.bytes = (uint64_t)((double)model_bytes(&ret) * scale);
    ret.syncs = ret.commits * SYNCS_OF_1000_COMMITS / 1000;
    return ret;
}

double wear_life_years(const struct wear_medium *medium, const struct wear_count *day)
{
    double page_more = medium->page > BLOCK_BYTES ? (double)(medium->page - BLOCK_BYTES) : 0;
    double a_day = (double)day->bytes + (double)day->syncs * page_more;
    if (medium->size <= 0 || medium->cycles <= 0 || a_day <= 0) {
        return 0;
    }
    return (double)medium->size * (double)medium->cycles / a_day / 365.25;
}

/* --- holding to a bound --- */

uint32_t wear_stretch(const struct wear_pace *pace)
{
    uint64_t left = pace->bytes_max > pace->bytes_today ? pace->bytes_max - pace->bytes_today : 0;
    uint64_t wanted = WEAR_STRETCH_MAX;
    /* What was written, against what may be in as long a time: as the stretch then was. */
    if (left > 0 && pace->recent_s > 0) {
        double may = (double)left * pace->recent_s / (pace->seconds_left ? pace->seconds_left : 1);
        double times = (double)pace->bytes_recent / may;
        wanted = times * pace->stretch < WEAR_STRETCH_MAX ? (uint64_t)(times * pace->stretch)
                                                          : WEAR_STRETCH_MAX;
    }
    uint64_t most = pace->stretch * UINT64_C(8);
    uint64_t least = pace->stretch / 2;
    wanted = wanted > most ? most : wanted < least ? least : wanted;
    wanted = wanted < 1000 ? 1000 : wanted;
    return (uint32_t)(wanted > WEAR_STRETCH_MAX ? WEAR_STRETCH_MAX : wanted);
}
