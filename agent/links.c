#include "agent/links.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/links_impl.h"
#include "ports/log.h"
#include "ports/random.h"

#define KICK_MS 1
#define KICK_LATER_MS 1000
#define DUE_MIN_MS 1000 /* of the timer: whatever the clock says, it does not run all the time */
#define UNKEPT_MAX 4096 /* bytes that are not kept for a look's time longer */

/* --- rounds: everybody is asked --- */

static void user_go(struct link_user *user)
{
    if (user->calls) {
        user->calls->go(user->context);
    }
}

/* Twice: at first everyone says what he wants, then the highest goes first. */
static void links_round(struct links *links)
{
    for (size_t i = 0; i < links->count; i++) {
        struct link_line *line = &links->lines[i];
        memset(line->lanes.waiting, 0, sizeof line->lanes.waiting);
        memset(line->first_turn, 0xff, sizeof line->first_turn);
        line->round++;
        line->only_asks = true;
    }
    links->kicks = true;
    for (struct link_user *user = links->users; user; user = user->next) {
        user_go(user);
    }
    for (size_t i = 0; i < links->count; i++) {
        links->lines[i].only_asks = false;
    }
    for (struct link_user *user = links->users; user; user = user->next) {
        user_go(user);
    }
    links->kicks = false;
}

void links_kick(struct links *links)
{
    timer_arm(&links->kick, KICK_MS);
}

static void kick_fired(struct timer *timer)
{
    links_round(CONTAINER_OF(timer, struct links, kick));
}

/* --- which link a user has --- */

static struct link_line *user_best(const struct link_user *user)
{
    for (size_t i = 0; i < user->choice_count; i++) {
        struct link_line *line = &user->links->lines[user->choices[i]];
        if (line->is_up) {
            return line;
        }
    }
    return NULL;
}

/* Without any link what is open stays bound to the last one, and is still charged to it; what is opened
 * is bound to that, too: else it would go over an interface that the user has not named. With the
 * first one that is up again, be it the same, all is opened anew. */
static void user_choose(struct link_user *user)
{
    struct link_line *best = user_best(user);
    if (!best || (best == user->line && !user->was_down)) {
        user->was_down = !best;
        return;
    }
    user->was_down = false;
    if (best != user->line) {
        log_info(best->config->name, "used instead of %s", user->line->config->name);
    }
    if (user->calls) {
        user->calls->moved(user->context); /* still charged to the one before */
    }
    user->line = best;
}

static void interfaces_fired(struct timer *timer)
{
    struct links *links = CONTAINER_OF(timer, struct links, interfaces);
    bool has_changed = false;
    for (size_t i = 0; i < links->count; i++) {
        struct link_line *line = &links->lines[i];
        if (line_interface_look(line)) {
            has_changed = true;
            log_info(line->config->name, "interface %s is %s", line->config->options.interface,
                     line->is_up ? "up" : "down");
        }
    }
    for (struct link_user *user = links->users; has_changed && user; user = user->next) {
        user_choose(user);
    }
    if (has_changed) {
        links_kick(links);
    }
    timer_arm(timer, LINKS_INTERFACE_LOOK_MS);
}

/* --- looking --- */

static void line_tell(struct link_line *line)
{
    struct why why = {""};
    struct link_verdict verdict;
    uint8_t passes = line_passes(line, &verdict);
    if (passes == line->told || verdict.bar == LINK_BAR_DOWN) {
        return;
    }
    line->told = passes;
    line_sentence(line, &why);
    log_info(line->config->name, "%s", why.text[0] ? why.text : "all priorities may go");
}

/* When the rules may say something else; DUE_MIN_MS to LINKS_LOOK_MS from now. */
static uint64_t line_due_ms(struct link_line *line)
{
    uint64_t due_ms = LINKS_LOOK_MS;
    int64_t now_us = clock_wall_us();
    uint64_t now_ms = loop_now_ms(line->links->setup.loop);
    if (line->paused_to_ms > now_ms && line->paused_to_ms - now_ms < due_ms) {
        due_ms = line->paused_to_ms - now_ms;
    }
    for (uint8_t p = 0; p < LINK_PRIORITY_COUNT; p++) {
        struct link_verdict verdict;
        line_judge(line, p, 0, &verdict);
        if (verdict.bar == LINK_FREE) {
            break;
        }
        int64_t left_ms =
            verdict.until_us == INT64_MAX ? LINKS_LOOK_MS : (verdict.until_us - now_us) / 1000 + 1;
        left_ms = left_ms < 0 ? 0 : left_ms;
        due_ms = (uint64_t)left_ms < due_ms ? (uint64_t)left_ms : due_ms;
    }
    return due_ms < DUE_MIN_MS ? DUE_MIN_MS : due_ms;
}

static void timer_fired(struct timer *timer)
{
    struct links *links = CONTAINER_OF(timer, struct links, timer);
    uint64_t due_ms = LINKS_LOOK_MS;
    for (size_t i = 0; i < links->count; i++) {
        struct link_line *line = &links->lines[i];
        line_tell(line);
        if (line->unkept >= UNKEPT_MAX) {
            line_keep_put(line, LINKS_LOOK_MS);
        }
        uint64_t line_ms = line_due_ms(line);
        due_ms = line_ms < due_ms ? line_ms : due_ms;
    }
    links_round(links);
    timer_arm(timer, due_ms);
}

/* --- life --- */

enum err links_open(struct links **ret, const struct links_setup *setup, struct why *why)
{
    size_t count = setup->config->link_count;
    *ret = NULL;
    if (count == 0) {
        return ERR_OK;
    }
    struct links *links = calloc(1, sizeof *links);
    if (!links) {
        return ERR_NOMEM;
    }
    links->setup = *setup;
    timer_init(&links->timer, setup->loop, timer_fired);
    timer_init(&links->kick, setup->loop, kick_fired);
    timer_init(&links->interfaces, setup->loop, interfaces_fired);
    links->lines = calloc(count, sizeof *links->lines);
    enum err e = links->lines ? ERR_OK : ERR_NOMEM;
    bool names_one = false;
    for (size_t i = 0; !e && i < count; i++) {
        e = line_init(&links->lines[i], links, &setup->config->links[i], why);
        links->count += !e;
        names_one = names_one || setup->config->links[i].options.interface;
    }
    if (e) {
        links_close(links);
        return e;
    }
    timer_arm(&links->timer, 0);
    if (names_one) {
        timer_arm(&links->interfaces, LINKS_INTERFACE_LOOK_MS);
    }
    *ret = links;
    return ERR_OK;
}

void links_stop(struct links *links)
{
    for (size_t i = 0; links && i < links->count; i++) {
        struct link_line *line = &links->lines[i];
        (void)line_interface_look(line);
        if (line->since_start + line->held > 0) {
            line_keep_put(line, 0);
        }
    }
}

void links_keep(struct links *links)
{
    for (size_t i = 0; links && i < links->count; i++) {
        struct link_line *line = &links->lines[i];
        bool has_budget = false;
        for (enum link_period p = LINK_HOUR; p < LINK_PERIOD_COUNT; p++) {
            has_budget = has_budget || line->budget.max[p];
        }
        if (has_budget && line->unkept + line->held > 0) {
            line_keep_put(line, LINKS_LOOK_MS);
        }
    }
}

void links_close(struct links *links)
{
    if (!links) {
        return;
    }
    assert(!links->users);
    timer_release(&links->timer);
    timer_release(&links->kick);
    timer_release(&links->interfaces);
    for (size_t i = 0; i < links->count; i++) {
        pacer_close(links->lines[i].pacer);
    }
    free(links->lines);
    free(links);
}

uint64_t links_bytes(const struct links *links)
{
    uint64_t bytes = 0;
    for (size_t i = 0; links && i < links->count; i++) {
        bytes += links->lines[i].since_start;
    }
    return bytes;
}

/* --- users --- */

void link_user_init(struct link_user *user, struct links *links, const uint8_t *choices,
                    size_t choice_count)
{
    assert(choice_count <= CONFIG_LINK_CHOICE_MAX && (links || choice_count == 0));
    *user = (struct link_user){.links = links, .choice_count = choice_count};
    if (choice_count == 0) {
        return;
    }
    memcpy(user->choices, choices, choice_count);
    user->line = user_best(user);
    user->was_down = !user->line;
    if (!user->line) {
        user->line = &links->lines[choices[0]];
    }
    struct link_user **last = &links->users; /* in the order of the configuration */
    while (*last) {
        last = &(*last)->next;
    }
    *last = user;
}

void link_user_init_calls(struct link_user *user, const struct link_user_calls *calls,
                          void *context, const struct link *rate)
{
    user->calls = calls;
    user->context = context;
    user->rate = rate;
}

void link_user_release(struct link_user *user)
{
    struct link_user **at = user->choice_count ? &user->links->users : NULL;
    while (at && *at != user) {
        at = &(*at)->next;
    }
    if (at) {
        *at = user->next;
    }
    *user = (struct link_user){.choice_count = 0};
}

const char *link_user_interface(const struct link_user *user)
{
    return user->line ? user->line->config->options.interface : NULL;
}

bool link_user_is_up(const struct link_user *user)
{
    return user->choice_count == 0 || user->line->is_up;
}

uint64_t link_user_rate_max(const struct link_user *user)
{
    return user->line ? (uint64_t)user->line->config->options.rate_max / 8 : 0;
}

struct pacer *link_user_pacer(const struct link_user *user)
{
    return user->line ? user->line->pacer : NULL;
}

bool link_user_is_metered(const struct link_user *user)
{
    return user->line && user->line->config->options.metered;
}

void link_user_count(struct link_user *user, uint64_t sent, uint64_t received)
{
    if (user->line && user->line->config->options.count == LINK_COUNT_CONNECTIONS) {
        line_count(user->line, sent, received);
    }
}

void link_user_told(struct link_user *user, bool is_through)
{
    struct link_line *line = user->line;
    if (!line) {
        return;
    }
    uint64_t now_ms = loop_now_ms(line->links->setup.loop);
    if (!is_through) {
        user->failing_ms = user->is_failing ? user->failing_ms : now_ms;
        user->is_failing = true;
        return;
    }
    int64_t jitter_ms = line->config->options.jitter_ms;
    /* When others got through meanwhile, it was the peer that was out, not the link. */
    bool was_out = user->is_failing && now_ms - user->failing_ms >= LINK_OUTAGE_MS &&
                   line->well_ms <= user->failing_ms;
    if (was_out && jitter_ms > 0) {
        uint64_t pause_ms = random_below((uint32_t)jitter_ms + 1);
        line->paused_to_ms = now_ms + pause_ms;
        timer_arm(&line->links->timer, 0); /* which looks when it is to be looked again */
    }
    user->is_failing = false;
    line->well_ms = now_ms;
}

/* --- what flows hold --- */

bool link_user_passes(struct link_user *user, const struct link_hold *hold, uint8_t priority)
{
    struct link_verdict verdict;
    struct link_line *line = user->line;
    if (user->choice_count == 0) {
        return true;
    }
    line_judge(line, priority, hold->line == line ? hold->size : 0, &verdict);
    return verdict.bar == LINK_FREE;
}

static bool has_asked(const struct link_hold *hold, const struct link_line *line)
{
    return hold->asked_of == line && hold->asked == line->round;
}

bool link_user_may(struct link_user *user, struct link_hold *hold, uint8_t priority)
{
    struct link_verdict verdict;
    struct link_lane_rule rule;
    struct link_line *line = user->line;
    if (user->choice_count == 0) {
        return true;
    }
    bool holds = hold->line == line;
    line_judge(line, priority, holds ? hold->size : 0, &verdict);
    if (verdict.bar != LINK_FREE || holds) {
        return verdict.bar == LINK_FREE;
    }
    line_lane_rule(line, &rule);
    if (user->is_failing && priority < PRIORITY_URGENT) {
        /* It does not keep others waiting behind what may never get there. */
        return !line->only_asks && (user->aside == 0 || user->aside < rule.window);
    }
    if (!has_asked(hold, line)) {
        hold->asked = line->round;
        hold->asked_of = line;
        line->lanes.waiting[priority]++;
        line_backlog(line);
        if (line->only_asks && hold->turn < line->first_turn[hold->queue][priority]) {
            line->first_turn[hold->queue][priority] = hold->turn;
        }
    }
    if (priority < PRIORITY_URGENT && !line->only_asks &&
        hold->turn > line->first_turn[hold->queue][priority]) {
        if (!line->links->kicks) {
            links_kick(line->links); /* who is first may want nothing any more */
        }
        return false;
    }
    bool may = !line->only_asks && link_lanes_may(&line->lanes, priority, &rule);
    if (!may && !line->only_asks && line->lanes.under_way == 0) {
        /* Whose turn it is may want nothing any more. */
        if (!timer_is_armed(&line->links->kick)) {
            timer_arm(&line->links->kick, KICK_LATER_MS);
        }
    }
    return may;
}

/* It has become so large. */
static void hold_resize(struct link_hold *hold, uint64_t size)
{
    uint64_t more = size - hold->size; /* may be less: it wraps, and wraps back */
    hold->line->held += more;
    if (hold->aside) {
        hold->aside->aside += more;
    } else if (hold->priority < PRIORITY_URGENT) {
        hold->line->lanes.under_way += more;
    }
    hold->size = size;
}

void link_hold_take(struct link_hold *hold, struct link_user *user, uint8_t priority, uint64_t size)
{
    struct link_lane_rule rule;
    struct link_line *line = user->line;
    assert(!hold->gives_way);
    if (!line) {
        return;
    }
    bool goes_aside = user->is_failing && priority < PRIORITY_URGENT && !hold->aside;
    if (hold->line == line && hold->priority == priority && !goes_aside) { /* said better */
        hold_resize(hold, size);
        return;
    }
    link_hold_give(hold);
    if (has_asked(hold, line) && line->lanes.waiting[priority] > 0) {
        line->lanes.waiting[priority]--;
    }
    line_lane_rule(line, &rule);
    struct link_user *aside = user->is_failing && priority < PRIORITY_URGENT ? user : NULL;
    if (aside) {
        aside->aside += size;
    } else {
        link_lanes_take(&line->lanes, priority, size, &rule);
    }
    line->held += size;
    line_backlog(line);
    line->first_turn[hold->queue][priority] = UINT64_MAX;
    *hold = (struct link_hold){.line = line,
                               .size = size,
                               .aside = aside,
                               .priority = priority,
                               .turn = ++line->turn,
                               .queue = hold->queue};
    links_kick(line->links); /* there may be room for another one */
}

void link_hold_more(struct link_hold *hold, bool has_more)
{
    if (hold->line && !hold->aside && hold->has_more != has_more) {
        hold->line->lanes.busy[hold->priority] += has_more ? 1 : UINT32_MAX;
        hold->has_more = has_more;
        line_backlog(hold->line);
    }
}

void link_hold_give_way(struct link_hold *hold, struct link_user *user, uint8_t priority,
                        bool gives_way)
{
    struct link_verdict verdict;
    struct link_line *line = gives_way ? user->line : NULL;
    if (line) {
        line_judge(line, priority, 0, &verdict);
        line = verdict.bar == LINK_FREE ? line : NULL;
    }
    struct link_line *before = hold->gives_way;
    assert(!line || !hold->line);
    if (line == before) {
        return;
    }
    hold->gives_way = line;
    if (before) {
        before->giving_way--;
        line_backlog(before);
    }
    if (line) {
        line->giving_way++;
        line_backlog(line);
    }
}

void link_hold_give(struct link_hold *hold)
{
    struct link_line *line = hold->line;
    if (line) {
        assert(!hold->gives_way);
        link_hold_more(hold, false);
        assert(line->held >= hold->size);
        line->held -= hold->size;
        if (hold->aside) {
            hold->aside->aside -= hold->size;
        } else {
            link_lanes_give(&line->lanes, hold->priority, hold->size);
        }
        *hold = (struct link_hold){.turn = hold->turn, .queue = hold->queue};
        links_kick(line->links);
    }
}

uint32_t link_user_size_max(struct link_user *user, const struct link_hold *hold, uint8_t priority,
                            unsigned seconds)
{
    uint64_t most = UINT32_MAX;
    struct link_line *line = user->line;
    if (line) {
        uint64_t rate = (uint64_t)line->config->options.rate_max / 8;
        uint64_t own = !hold ? line->held : hold->line == line ? hold->size : 0;
        uint64_t left = line_left(line, priority, own, NULL);
        most = rate && rate * seconds < most ? rate * seconds : most;
        most = left < most ? left : most;
    }
    return (uint32_t)(most < LINK_SIZE_MIN ? LINK_SIZE_MIN : most);
}
