/* The rules of one link. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/links_impl.h"
#include "ports/log.h"
#include "ports/zone.h"

#define MS_US 1000
#define MINUTE_US INT64_C(60000000)
#define WINDOW_SECONDS 4                       /* of link time, that may be under way */
#define WINDOW_MIN (64 * 1024)                 /* while the rate is not known */
#define INTERFACE_STEP_MAX (UINT64_C(1) << 40) /* more between two looks is no count */

enum err line_init(struct link_line *line, struct links *links, const struct config_link *config,
                   struct why *why)
{
    const struct link_config *o = &config->options;
    const struct link_window_options *windows = o->windows.items;
    *line = (struct link_line){.links = links, .config = config, .opening_us = INT64_MIN};
    memset(line->first_turn, 0xff, sizeof line->first_turn);
    line->budget =
        (struct link_budget){.max = {(uint64_t)o->budget_per_hour, (uint64_t)o->budget_per_day,
                                     (uint64_t)o->budget_per_month},
                             .reserve = (uint64_t)o->reserve,
                             .reserve_priority = (uint8_t)o->reserve_priority,
                             .goes_on = o->when_spent == LINK_SPENT_URGENT};
    assert(o->windows.count <= LINK_WINDOW_MAX);
    for (size_t i = 0; i < o->windows.count; i++) {
        enum err e = cron_parse(windows[i].start, &line->windows[i].start, why);
        if (e) {
            return e; /* config has looked */
        }
        line->windows[i].duration_us = windows[i].duration_ms * MS_US;
        line->window_count++;
    }
    line->is_up = true;
    (void)line_interface_look(line);
    enum err e = line_keep_open(line, why);
    if (!e && o->rate_max >= 8) {
        e = pacer_open(&line->pacer, links->setup.loop, (uint64_t)o->rate_max / 8,
                       (uint32_t)o->share_min);
    }
    if (!e) {
        link_history_latest(&line->history, &line->ids);
        line_look(line);
    }
    return e;
}

/* --- bytes --- */

void line_look(struct link_line *line)
{
    const struct links_setup *setup = &line->links->setup;
    bool is_known = setup->clock_is_trusted(setup->context);
    if (!is_known) {
        line->clock_is_known = false;
        return; /* still the periods that were known last */
    }
    int64_t now_us = clock_wall_us();
    if (line->clock_is_known && line->ids_minute == now_us / MINUTE_US) {
        return; /* periods begin with a minute, wherever that is */
    }
    struct link_ids now;
    link_ids_at(now_us, (int)line->config->options.month_day, &now);
    if (!line->clock_is_known) {
        link_history_take(&line->history, &line->ids, &line->misplaced);
        link_history_add(&line->history, &now, &line->misplaced);
        line->unkept += line->misplaced.sent + line->misplaced.received;
        line->misplaced = (struct link_bytes){0, 0};
        line->opening_us = INT64_MIN;
    }
    line->clock_is_known = true;
    line->ids = now;
    line->ids_minute = now_us / MINUTE_US;
}

void line_count(struct link_line *line, uint64_t sent, uint64_t received)
{
    struct link_bytes more = {sent, received};
    line_look(line);
    link_history_add(&line->history, &line->ids, &more);
    line->since_start += sent + received;
    line->unkept += sent + received;
    if (!line->clock_is_known) {
        line->misplaced.sent += sent;
        line->misplaced.received += received;
    }
}

bool line_interface_look(struct link_line *line)
{
    const struct link_config *o = &line->config->options;
    struct interface_state now;
    if (!o->interface) {
        return false;
    }
    interface_look(o->interface, &now);
    bool counts = o->count == LINK_COUNT_INTERFACE && line->interface_is_known;
    uint64_t sent = now.sent - line->interface.sent;
    uint64_t received = now.received - line->interface.received;
    bool is_anew = now.sent < line->interface.sent || now.received < line->interface.received;
    if (counts && is_anew) { /* the interface was made anew: it counts from 0 */
        sent = now.sent;
        received = now.received;
    }
    if (counts && sent + received > 0 && sent + received < INTERFACE_STEP_MAX) {
        line_count(line, sent, received);
    }
    bool has_changed = now.is_up != line->is_up;
    /* One that is gone has counted nothing: what it had counted is remembered. */
    if (now.is_up || now.sent || now.received || !line->interface_is_known) {
        line->interface = now;
        line->interface_is_known = true;
    }
    line->is_up = now.is_up;
    return has_changed;
}

uint64_t line_spent(const struct link_line *line, enum link_period period)
{
    struct link_bytes bytes = link_history_of(&line->history, period, line->ids.of[period]);
    if (!line->ids.of[period]) {
        bytes = line->misplaced; /* no period is known yet */
    }
    return bytes.sent + bytes.received;
}

uint64_t line_left(const struct link_line *line, uint8_t priority, uint64_t own,
                   enum link_period *ret_period)
{
    uint64_t spent[LINK_PERIOD_COUNT];
    assert(line->held >= own);
    for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
        spent[p] = line_spent(line, p) + line->held - own;
    }
    return link_budget_left(&line->budget, spent, priority, ret_period);
}

/* --- what may go --- */

static const struct link_opening *line_opening(struct link_line *line)
{
    int64_t now_us = clock_wall_us();
    /* Looked at anew when it may have changed, or the clock was set back. */
    if (now_us < line->opening_us || now_us >= line->opening.until_us ||
        line->opening_us == INT64_MIN) {
        link_windows_at(line->windows, line->window_count, now_us, &line->opening);
        line->opening_us = now_us;
    }
    return &line->opening;
}

static bool line_is_paused(const struct link_line *line)
{
    return line->paused_to_ms > loop_now_ms(line->links->setup.loop);
}

static void line_judge_window(struct link_line *line, struct link_verdict *ret)
{
    if (line->window_count == 0) {
        return;
    }
    if (!line->clock_is_known) {
        ret->bar = LINK_BAR_CLOCK;
        return;
    }
    const struct link_opening *opening = line_opening(line);
    if (!opening->is_open) {
        *ret = (struct link_verdict){.bar = LINK_BAR_WINDOW, .until_us = opening->until_us};
    }
}

void line_judge(struct link_line *line, uint8_t priority, uint64_t own, struct link_verdict *ret)
{
    const struct link_config *o = &line->config->options;
    enum link_period period = LINK_HOUR;
    *ret = (struct link_verdict){.bar = LINK_FREE, .until_us = INT64_MAX};
    line_look(line);
    if (!line->is_up) {
        ret->bar = LINK_BAR_DOWN;
        return;
    }
    if (priority < o->priority_min) {
        ret->bar = LINK_BAR_PRIORITY;
        return;
    }
    if (priority < o->window_priority) {
        line_judge_window(line, ret);
    }
    if (ret->bar == LINK_FREE && line_left(line, priority, own, &period) == 0) {
        uint32_t id = line->clock_is_known ? line->ids.of[period] : 0;
        *ret = (struct link_verdict){.bar = LINK_BAR_BUDGET,
                                     .period = period,
                                     .until_us = id ? link_period_end(period, id, (int)o->month_day)
                                                    : INT64_MAX};
    }
    if (ret->bar == LINK_FREE && priority < PRIORITY_URGENT && line_is_paused(line)) {
        ret->bar = LINK_BAR_OUTAGE;
    }
}

uint8_t line_passes(struct link_line *line, struct link_verdict *ret)
{
    struct link_verdict verdict;
    *ret = (struct link_verdict){.bar = LINK_FREE, .until_us = INT64_MAX};
    for (uint8_t p = 0; p < LINK_PRIORITY_COUNT; p++) {
        line_judge(line, p, 0, &verdict);
        if (verdict.bar == LINK_FREE) {
            return p;
        }
        *ret = verdict; /* of the highest that waits: what lower ones wait for may be more */
    }
    return LINK_PRIORITY_COUNT;
}

const char *const link_period_names[LINK_PERIOD_COUNT] = {"hour", "day", "month"};

void link_time_put(int64_t wall_us, struct out *ret)
{
    struct civil c;
    zone_civil(wall_us, &c);
    out_put_format(ret, "%04d-%02u-%02u %02u:%02u", (int)c.year, (unsigned)c.month, (unsigned)c.day,
                   (unsigned)c.hour, (unsigned)c.minute);
}

void line_sentence(struct link_line *line, struct why *ret)
{
    struct link_verdict verdict;
    uint8_t passes = line_passes(line, &verdict);
    struct out o = out_over(ret->text, sizeof ret->text - 1);
    if (verdict.bar == LINK_BAR_DOWN) {
        out_put_format(&o, "interface %s is down", line->config->options.interface);
    } else if (passes == LINK_PRIORITY_COUNT) {
        out_put_text(&o, "nothing is sent: ");
    } else if (verdict.bar != LINK_FREE) {
        out_put_format(&o, "priorities from %u on only: ", (unsigned)passes);
    }
    switch (verdict.bar) {
    case LINK_FREE:
    case LINK_BAR_DOWN:
        break;
    case LINK_BAR_PRIORITY:
        out_put_text(&o, "as set by priority_min");
        break;
    case LINK_BAR_WINDOW:
        out_put_text(&o, "outside of its windows");
        break;
    case LINK_BAR_CLOCK:
        out_put_text(&o, "the clock is not known yet, so all windows are taken to be closed");
        break;
    case LINK_BAR_OUTAGE:
        out_put_text(&o, "a pause after an outage, so that not all agents come back at once");
        break;
    case LINK_BAR_BUDGET:
        out_put_format(&o, "the budget of the %s is spent%s", link_period_names[verdict.period],
                       passes < LINK_PRIORITY_COUNT ? " but for its reserve" : "");
        break;
    }
    if (verdict.until_us != INT64_MAX) {
        out_put_text(&o, ", until ");
        link_time_put(verdict.until_us, &o);
    }
    ret->text[o.size] = 0;
}

/* --- lanes --- */

void line_backlog(struct link_line *line)
{
    bool has = line->giving_way > 0;
    for (size_t p = 0; p < LINK_PRIORITY_COUNT; p++) {
        has = has || line->lanes.waiting[p] || line->lanes.busy[p];
    }
    uint64_t now_ms = loop_now_ms(line->links->setup.loop);
    uint64_t bytes = line->pacer ? pacer_bytes(line->pacer) : 0;
    if (line->has_backlog) {
        line->backlog_ms += now_ms - line->backlog_since_ms;
        line->backlog_bytes += bytes - line->backlog_from;
    }
    line->has_backlog = has;
    line->backlog_since_ms = now_ms;
    line->backlog_from = bytes;
}

uint64_t line_rate(const struct link_line *line)
{
    uint64_t most = (uint64_t)line->config->options.rate_max / 8;
    uint64_t measured = 0;
    for (const struct link_user *user = line->links->users; user; user = user->next) {
        if (user->line == line && user->rate && user->rate->rate > measured) {
            measured = user->rate->rate;
        }
    }
    return most && (measured == 0 || most < measured) ? most : measured;
}

void line_lane_rule(const struct link_line *line, struct link_lane_rule *ret)
{
    uint64_t rate = line_rate(line);
    *ret = (struct link_lane_rule){.window = rate ? rate * WINDOW_SECONDS : WINDOW_MIN,
                                   .due = rate ? rate * LINK_SECONDS_SHARED : WINDOW_MIN / 2,
                                   .share = (uint32_t)line->config->options.share_min};
}
