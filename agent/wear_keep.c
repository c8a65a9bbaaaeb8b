#include "agent/wear_keep.h"

#include <inttypes.h>

#include "agent/time_trust.h"
#include "ports/log.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (WEAR_DAY_S * SECOND_US)

/* --- which day it is --- */

static int64_t uptime_us(const struct wear_keep *keep)
{
    return (int64_t)(clock_monotonic_us() - keep->opened_us);
}

static uint32_t day_now(const struct wear_keep *keep, uint32_t *ret_seconds_left)
{
    bool is_known = time_trust_is_given(keep->time);
    int64_t now_us = is_known ? clock_wall_us() : uptime_us(keep);
    now_us = now_us > 0 ? now_us : 0;
    *ret_seconds_left = (uint32_t)(WEAR_DAY_S - now_us % DAY_US / SECOND_US);
    return (is_known ? 0 : keep->first_day) + (uint32_t)(now_us / DAY_US);
}

static const struct wear_count *count_of(const struct wear_history *history, uint32_t day)
{
    static const struct wear_count none = {0};
    const struct wear_day *place = &history->days[day % WEAR_DAY_MAX];
    return place->day == day ? &place->count : &none;
}

/* --- keeping --- */

static bool put(struct wear_keep *keep, uint32_t key, int64_t wait_ms)
{
    uint8_t memory[WEAR_VALUE_MAX];
    struct out o = out_over(memory, sizeof memory);
    uint64_t commit;
    wear_value_put(&keep->history, key, &o);
    struct cursor_change change = {.driver = keep->driver, .key = key, .value = out_slice(&o)};
    return store_cursor_put(keep->store, &change, wait_ms, &commit) == ERR_OK;
}

static void put_all(struct wear_keep *keep, int64_t wait_ms)
{
    if (put(keep, 0, wait_ms) && put(keep, 1 + keep->day % WEAR_DAY_MAX, wait_ms)) {
        keep->commits_put = keep->history.total.commits; /* else the next time */
    }
}

void wear_keep_look(struct wear_keep *keep)
{
    uint32_t seconds_left;
    const struct buffer_wear *wear = &store_state(keep->store)->wear;
    struct wear_count now = {wear->bytes, wear->syncs, wear->commits, wear->events,
                             wear->event_bytes};
    if (now.commits < keep->seen.commits) {
        keep->seen = (struct wear_count){0}; /* another file took the place of a damaged one */
    }
    struct wear_count more = wear_count_since(&now, &keep->seen);
    uint32_t day = day_now(keep, &seconds_left);
    if (day != keep->day && keep->history.total.commits > keep->commits_put) {
        put_all(keep, WEAR_LOOK_MS); /* the day that has ended */
    }
    keep->seen = now;
    keep->day = day;
    if (more.commits) {
        wear_history_add(&keep->history, day, &more);
    }
}

/* --- the bound --- */

static void hold(struct wear_keep *keep)
{
    uint32_t seconds_left;
    uint32_t today = day_now(keep, &seconds_left);
    struct wear_pace pace = {.bytes_max = keep->bytes_max,
                             .bytes_today = count_of(&keep->history, today)->bytes,
                             .seconds_left = seconds_left,
                             .bytes_recent = keep->history.total.bytes - keep->bytes_paced,
                             .recent_s = WEAR_PACE_LOOKS * WEAR_LOOK_MS / 1000,
                             .stretch = keep->stretch};
    keep->bytes_paced = keep->history.total.bytes;
    keep->stretch = wear_stretch(&pace);
    store_stretch(keep->store, keep->stretch);
    if (pace.bytes_today > pace.bytes_max && keep->told_day != today) {
        keep->told_day = today;
        log_warn("buffer",
                 "%" PRIu64 " bytes were written today, more than wear_max_per_day: longer "
                 "intervals can't hold it; look at ack_interval, linger, and streams of priority 7 "
                 "and above",
                 pace.bytes_today);
    }
}

static void look_fired(struct timer *timer)
{
    struct wear_keep *keep = CONTAINER_OF(timer, struct wear_keep, timer);
    wear_keep_look(keep);
    keep->looks++;
    if (keep->bytes_max && keep->looks % WEAR_PACE_LOOKS == 0) {
        hold(keep);
    }
    if (keep->looks % WEAR_PUT_LOOKS == 0 &&
        keep->history.total.commits - keep->commits_put >= WEAR_PUT_COMMITS) {
        put_all(keep, WEAR_LOOK_MS);
    }
    timer_arm(timer, WEAR_LOOK_MS);
}

/* --- opening --- */

static void take_value(void *context, uint32_t key, struct slice value)
{
    if (!wear_value_take(context, key, value)) {
        log_warn("buffer", "a count of the wear can't be read: it begins anew");
    }
}

enum err wear_keep_read(struct buffer *buffer, uint16_t driver, struct wear_history *ret)
{
    *ret = (struct wear_history){0};
    return buffer_cursor_each(buffer, driver, take_value, ret);
}

enum err wear_keep_init(struct wear_keep *keep, struct loop *loop, struct store *store,
                        const struct time_source *time, int64_t bytes_max, struct why *why)
{
    struct buffer *buffer = store_buffer(store);
    *keep = (struct wear_keep){.store = store,
                               .time = time,
                               .bytes_max = (uint64_t)bytes_max,
                               .opened_us = clock_monotonic_us(),
                               .stretch = 1000};
    timer_init(&keep->timer, loop, look_fired);
    enum err e = buffer_driver_number(buffer, WEAR_DRIVER, &keep->driver, why);
    e = e ? e : wear_keep_read(buffer, keep->driver, &keep->history);
    if (!e) {
        uint32_t latest = wear_history_latest(&keep->history);
        keep->first_day = keep->day = latest ? latest : 1;
        keep->commits_put = keep->history.total.commits;
        keep->bytes_paced = keep->history.total.bytes;
        timer_arm(&keep->timer, WEAR_LOOK_MS);
    }
    return e;
}

void wear_keep_release(struct wear_keep *keep)
{
    timer_release(&keep->timer);
}

void wear_keep_stop(struct wear_keep *keep)
{
    timer_disarm(&keep->timer);
    wear_keep_look(keep);
    if (keep->history.total.commits > keep->commits_put) {
        put_all(keep, 0);
    }
}

/* --- showing --- */

static void put_count(struct out *json, const struct wear_count *c)
{
    out_put_format(json,
                   "\"bytes\":%" PRIu64 ",\"syncs\":%" PRIu64 ",\"commits\":%" PRIu64
                   ",\"events\":%" PRIu64 ",\"event_bytes\":%" PRIu64,
                   c->bytes, c->syncs, c->commits, c->events, c->event_bytes);
}

void wear_put_history(const struct wear_history *history, uint32_t today,
                      const struct wear_medium *medium, struct out *json)
{
    uint32_t days;
    struct wear_count mean = wear_history_before(history, today, &days);
    out_put_text(json, ",\"total\":{");
    put_count(json, &history->total);
    out_put_text(json, "},\"today\":{");
    put_count(json, count_of(history, today));
    out_put_text(json, "},\"days\":[");
    bool is_first = true;
    for (uint32_t back = WEAR_DAY_MAX - 1; back < WEAR_DAY_MAX; back--) { /* until it wraps */
        uint32_t day = today > back ? today - back : 0;
        char text[CLOCK_TEXT_SIZE];
        if (day && history->days[day % WEAR_DAY_MAX].day == day) {
            clock_format(day * DAY_US, 0, text);
            out_put_format(json, "%s{\"day\":\"%.10s\",", is_first ? "" : ",", text);
            put_count(json, count_of(history, day));
            out_put_byte(json, '}');
            is_first = false;
        }
    }
    out_put_text(json, "],\"life_years\":");
    mean = days ? (struct wear_count){.bytes = mean.bytes / days, .syncs = mean.syncs / days}
                : *count_of(history, today);
    double years = wear_life_years(medium, &mean);
    if (years > 0) {
        out_put_format(json, "%.1f", years);
    } else {
        out_put_text(json, "null");
    }
}

void wear_keep_status(struct wear_keep *keep, const struct wear_medium *medium, struct out *json)
{
    uint32_t seconds_left;
    wear_keep_look(keep);
    wear_put_history(&keep->history, day_now(keep, &seconds_left), medium, json);
    out_put_format(json, ",\"max_per_day\":%" PRIu64 ",\"stretch\":%.3f", keep->bytes_max,
                   keep->stretch / 1000.0);
}
