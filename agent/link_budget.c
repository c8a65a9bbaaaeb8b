#include "agent/link_budget.h"

#include <assert.h>

#include "ports/zone.h"

#define HOUR_US (INT64_C(3600) * 1000000)

/* --- periods --- */

void link_ids_at(int64_t wall_us, int month_day, struct link_ids *ret)
{
    struct civil c;
    zone_civil(wall_us, &c);
    int64_t days = clock_days(c.year, c.month, c.day);
    int64_t months = (int64_t)c.year * 12 + c.month - 1 - (c.day < month_day);
    bool is_known = days > 0 && days < UINT32_MAX / 24 - 1;
    *ret = (struct link_ids){{0}};
    if (is_known) {
        ret->of[LINK_HOUR] = (uint32_t)(days * 24 + c.hour);
        ret->of[LINK_DAY] = (uint32_t)days;
        ret->of[LINK_MONTH] = (uint32_t)months;
    }
}

int64_t link_period_begin(enum link_period period, uint32_t id, int month_day)
{
    if (period == LINK_MONTH) {
        return zone_time((int32_t)(id / 12), (int)(id % 12) + 1, month_day, 0, 0);
    }
    struct civil c;
    clock_civil((period == LINK_HOUR ? id : id * INT64_C(24)) * HOUR_US, &c);
    return zone_time(c.year, c.month, c.day, c.hour, 0);
}

int64_t link_period_end(enum link_period period, uint32_t id, int month_day)
{
    return link_period_begin(period, id + 1, month_day);
}

void link_month_text(uint32_t id, char ret[LINK_MONTH_TEXT_SIZE])
{
    struct out text = out_over(ret, LINK_MONTH_TEXT_SIZE - 1);
    out_put_format(&text, "%04u-%02u", (unsigned)(id / 12), (unsigned)(id % 12) + 1);
    ret[text.size] = 0;
}

/* --- history --- */

static uint32_t place_count(enum link_period period)
{
    static const uint32_t counts[] = {LINK_HOUR_MAX, LINK_DAY_MAX, LINK_MONTH_MAX};
    return counts[period];
}

/* Where the period's slots begin. */
static uint32_t first_place(enum link_period period)
{
    static const uint32_t places[] = {0, LINK_HOUR_MAX, LINK_HOUR_MAX + LINK_DAY_MAX};
    return places[period];
}

static uint32_t place_of(enum link_period period, uint32_t id)
{
    return first_place(period) + id % place_count(period);
}

void link_history_add(struct link_history *history, const struct link_ids *ids,
                      const struct link_bytes *more)
{
    history->total.sent += more->sent;
    history->total.received += more->received;
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        struct link_slot *slot = &history->slots[place_of(p, ids->of[p])];
        if (!ids->of[p]) {
            continue;
        }
        if (slot->id != ids->of[p]) {
            *slot = (struct link_slot){.id = ids->of[p]};
        }
        slot->bytes.sent += more->sent;
        slot->bytes.received += more->received;
    }
}

static uint64_t less_of(uint64_t from, uint64_t less)
{
    return from > less ? from - less : 0;
}

void link_history_take(struct link_history *history, const struct link_ids *ids,
                       const struct link_bytes *less)
{
    history->total.sent = less_of(history->total.sent, less->sent);
    history->total.received = less_of(history->total.received, less->received);
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        struct link_slot *slot = &history->slots[place_of(p, ids->of[p])];
        if (ids->of[p] && slot->id == ids->of[p]) {
            slot->bytes.sent = less_of(slot->bytes.sent, less->sent);
            slot->bytes.received = less_of(slot->bytes.received, less->received);
        }
    }
}

struct link_bytes link_history_of(const struct link_history *history, enum link_period period,
                                  uint32_t id)
{
    const struct link_slot *slot = &history->slots[place_of(period, id)];
    return id && slot->id == id ? slot->bytes : (struct link_bytes){0, 0};
}

void link_history_latest(const struct link_history *history, struct link_ids *ret)
{
    *ret = (struct link_ids){{0}};
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        for (uint32_t i = 0; i < place_count(p); i++) {
            uint32_t id = history->slots[first_place(p) + i].id;
            ret->of[p] = id > ret->of[p] ? id : ret->of[p];
        }
    }
}

/* --- as cursors --- */

uint32_t link_key(enum link_period period, uint32_t id)
{
    return 1 + place_of(period, id);
}

static enum link_period period_of_place(uint32_t place)
{
    return place < first_place(LINK_DAY)     ? LINK_HOUR
           : place < first_place(LINK_MONTH) ? LINK_DAY
                                             : LINK_MONTH;
}

void link_value_put(const struct link_history *history, uint32_t key, struct out *ret)
{
    assert(key < LINK_KEY_COUNT);
    struct link_slot slot = key ? history->slots[key - 1] : (struct link_slot){0, history->total};
    out_put_uvarint(ret, slot.id);
    out_put_uvarint(ret, slot.bytes.sent);
    out_put_uvarint(ret, slot.bytes.received);
}

bool link_value_take(struct link_history *history, uint32_t key, struct slice value)
{
    uint64_t id, sent, received;
    if (!slice_take_uvarint(&value, &id) || !slice_take_uvarint(&value, &sent) ||
        !slice_take_uvarint(&value, &received) || value.size || id > UINT32_MAX) {
        return false;
    }
    if (key == 0) {
        history->total = (struct link_bytes){sent, received};
        return id == 0;
    }
    if (key >= LINK_KEY_COUNT || id == 0 ||
        link_key(period_of_place(key - 1), (uint32_t)id) != key) {
        return false;
    }
    history->slots[key - 1] = (struct link_slot){(uint32_t)id, {sent, received}};
    return true;
}

/* --- budgets --- */

uint64_t link_budget_left(const struct link_budget *budget, const uint64_t spent[LINK_PERIOD_COUNT],
                          uint8_t priority, enum link_period *ret_period)
{
    uint64_t least = UINT64_MAX;
    bool is_urgent = priority >= budget->reserve_priority;
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        uint64_t max = budget->max[p];
        if (max == 0 || (is_urgent && budget->goes_on)) {
            continue;
        }
        uint64_t kept = max / 1000000 * budget->reserve + max % 1000000 * budget->reserve / 1000000;
        uint64_t may = is_urgent ? max : max - kept;
        uint64_t left = may > spent[p] ? may - spent[p] : 0;
        /* Of two that leave nothing, the longer one matters. */
        if (left < least || left == 0) {
            least = left;
            if (ret_period) {
                *ret_period = p;
            }
        }
    }
    return least;
}
