#include "agent/time_trust.h"

#include <string.h>

#include "ports/log.h"

#define CURSOR_SIZE (BOOT_ID_SIZE + 8)
#define SEEN_KEY 0 /* openings are counted from 1 */

static bool can_be(int64_t wall_us)
{
    return wall_us >= TIME_TRUST_FLOOR_US && wall_us < TIME_TRUST_CEILING_US;
}

static bool is_same_boot(const struct time_opening *a, const struct time_opening *b)
{
    return memcmp(a->boot_id, b->boot_id, BOOT_ID_SIZE) == 0;
}

/* --- once the clock is believed --- */

/* The offset is put first: a crash between the two finds the cursor again, and the buffer keeps the
 * first offset. False: the store takes no more now. */
static bool opening_settle(struct time_source *source, const struct boot_offset *offset)
{
    uint64_t commit;
    struct cursor_change forget = {.driver = source->driver, .key = offset->boot};
    return store_boot_put(source->store, offset, &commit) == ERR_OK &&
           store_cursor_put(source->store, &forget, 0, &commit) == ERR_OK;
}

/* The offset of an opening by that of the next one: the same if the machine ran on; else its clock
 * had ended, at the latest, when the next one began. */
static struct boot_offset offset_before(const struct time_opening *opening,
                                        const struct time_opening *next,
                                        const struct boot_offset *next_offset)
{
    char text[CLOCK_TEXT_SIZE];
    int64_t began_us = next_offset->offset_us;
    if (is_same_boot(opening, next)) {
        return (struct boot_offset){opening->boot, began_us, next_offset->is_estimate};
    }
    clock_format(began_us, 0, text);
    log_warn("clock",
             "events came while the clock was wrong, and the machine was started anew before it "
             "was right: their times are taken as if it had not been off, the last at %s",
             text);
    return (struct boot_offset){opening->boot, began_us - opening->last_us, true};
}

/* From the own opening back to the first. */
static void find_offsets(struct time_source *source, int64_t own_us)
{
    const struct time_opening *next = &source->own;
    struct boot_offset offset = {source->own.boot, own_us, false};
    source->own_offset = offset;
    for (size_t i = source->earlier_count; i > 0; i--) {
        offset = offset_before(&source->earlier[i - 1], next, &offset);
        source->offsets[i - 1] = offset;
        next = &source->earlier[i - 1];
    }
}

/* In the order of boots: what the buffer has no offset for when it has that of a later one is
 * forgotten. */
static bool settle_all(struct time_source *source)
{
    while (source->settled_count < source->earlier_count) {
        if (!opening_settle(source, &source->offsets[source->settled_count])) {
            return false;
        }
        source->settled_count++;
    }
    if (source->own_waits && opening_settle(source, &source->own_offset)) {
        source->own_waits = false;
        log_info("clock", "the clock is right now: events that came before have their times");
    }
    return !source->own_waits;
}

/* A board that starts with the time of its image, or of its last hour, must not be believed at the
 * next start either. True: the buffer knows, or will. */
static bool tell_seen(struct time_source *source)
{
    uint8_t memory[8];
    struct out o = out_over(memory, sizeof memory);
    uint64_t commit;
    out_put_u64_le(&o, (uint64_t)source->seen_us);
    struct cursor_change seen = {.driver = source->driver, .key = SEEN_KEY, .value = out_slice(&o)};
    if (source->owes_seen &&
        store_cursor_put(source->store, &seen, TIME_TRUST_CHECK_MS, &commit) == ERR_OK) {
        source->owes_seen = false;
    }
    return !source->owes_seen;
}

static bool is_step(int64_t step_us)
{
    return step_us <= -TIME_STEP_US || step_us >= TIME_STEP_US;
}

/* Every boot of a board without a battery begins so; what comes is not sent until it ends. */
static void say_waits(struct time_source *source, int64_t wall_us)
{
    char now[CLOCK_TEXT_SIZE];
    if (!source->has_said) {
        source->has_said = true;
        clock_format(wall_us, 0, now);
        log_info("clock", "it is %s by the clock: times of arrival wait until %s", now,
                 source->needs_discipline ? "NTP or the like keeps it (agent.clock)"
                                          : "the clock is set, or disciplined by NTP");
    }
}

static bool is_to_be_believed(struct time_source *source, int64_t wall_us, int64_t offset_us)
{
    if (clock_wall_is_synchronised()) {
        return true;
    }
    if (source->needs_discipline || !can_be(wall_us)) {
        say_waits(source, wall_us);
        return false;
    }
    if (wall_us >= source->seen_us || is_step(offset_us - source->offset_us)) {
        return true;
    }
    if (!source->has_warned) {
        char now[CLOCK_TEXT_SIZE];
        char seen[CLOCK_TEXT_SIZE];
        source->has_warned = true;
        clock_format(wall_us, 0, now);
        clock_format(source->seen_us, 0, seen);
        log_warn("clock",
                 "it is %s by the clock, and it was %s before: times of arrival wait until the "
                 "clock is set, or disciplined by NTP",
                 now, seen);
    }
    return false;
}

static void look_at_clock(struct time_source *source)
{
    int64_t wall_us = clock_wall_us();
    int64_t offset_us = wall_us - (int64_t)clock_monotonic_us();
    if (!source->trusted && is_to_be_believed(source, wall_us, offset_us)) {
        source->trusted = source->owes_seen = true;
        source->offset_us = offset_us;
        source->seen_us = wall_us;
        find_offsets(source, offset_us);
    }
    bool settled = source->trusted && settle_all(source) && tell_seen(source);
    timer_arm(&source->timer, settled ? TIME_SEEN_MS : TIME_TRUST_CHECK_MS);
}

/* --- a clock that is set --- */

/* The clock is where it was not expected. Returns the time that counts. */
static int64_t clock_stepped(struct time_source *source, int64_t wall_us, int64_t monotonic_us)
{
    char before[CLOCK_TEXT_SIZE];
    char after[CLOCK_TEXT_SIZE];
    int64_t expected_us = monotonic_us + source->offset_us;
    clock_format(expected_us, 0, before);
    clock_format(wall_us, 0, after);
    if (clock_wall_is_synchronised() || can_be(wall_us)) {
        log_warn("clock", "the clock was set, from %s to %s: times of arrival follow it", before,
                 after);
        source->offset_us = wall_us - monotonic_us;
        source->is_astray = false;
        source->seen_us = wall_us;
        source->owes_seen = true;
        timer_arm(&source->timer, 0);
        return wall_us;
    }
    if (!source->is_astray) {
        source->is_astray = true;
        log_warn("clock", "the clock was set to %s, which can't be: times of arrival go on from %s",
                 after, before);
    }
    return expected_us;
}

static int64_t wall_now_us(struct time_source *source)
{
    int64_t monotonic_us = (int64_t)clock_monotonic_us();
    int64_t wall_us = clock_wall_us();
    int64_t step_us = wall_us - monotonic_us - source->offset_us;
    if (is_step(step_us)) {
        return clock_stepped(source, wall_us, monotonic_us);
    }
    source->offset_us += step_us;
    source->is_astray = false;
    return wall_us;
}

/* An offset that is waited for, or the word of it, may be lost: see time_trust.h. */
static void look_for_damage(struct time_source *source)
{
    const struct buffer_damage *damage = &store_state(source->store)->damage;
    if (damage->replaced != source->replaced) {
        source->replaced = damage->replaced;
        source->own_waits = source->owes_note = true;
    }
}

static void timer_fired(struct timer *timer)
{
    struct time_source *source = CONTAINER_OF(timer, struct time_source, timer);
    struct stored_event none = {.time_us = (int64_t)clock_monotonic_us()};
    look_for_damage(source);
    source->owes_note = source->owes_note && time_trust_note(source, &none, 0) != ERR_OK;
    if (source->trusted && !source->owes_seen) {
        source->seen_us = wall_now_us(source);
        source->owes_seen = true;
    }
    look_at_clock(source);
}

/* --- opening --- */

static void remember_opening(void *context, uint32_t key, struct slice value)
{
    struct time_source *source = context;
    struct time_opening opening = {.boot = key};
    struct slice id;
    uint64_t last_us;
    if (key == SEEN_KEY && slice_take_u64_le(&value, &last_us)) {
        source->seen_us = (int64_t)last_us;
        return;
    }
    if (!slice_take(&value, BOOT_ID_SIZE, &id) || !slice_take_u64_le(&value, &last_us)) {
        return; /* not ours: nothing writes another form */
    }
    if (source->earlier_count == TIME_OPENING_MAX) {
        memmove(&source->earlier[0], &source->earlier[1],
                (TIME_OPENING_MAX - 1) * sizeof source->earlier[0]);
        source->earlier_count--;
    }
    memcpy(opening.boot_id, id.data, BOOT_ID_SIZE);
    opening.last_us = (int64_t)last_us;
    source->earlier[source->earlier_count++] = opening;
}

enum err time_trust_init(struct time_source *source, struct loop *loop, struct store *store,
                         bool needs_discipline, struct why *why)
{
    struct buffer *buffer = store_buffer(store);
    *source = (struct time_source){
        .store = store, .own.boot = buffer_boot(buffer), .needs_discipline = needs_discipline};
    timer_init(&source->timer, loop, timer_fired);
    clock_boot_id(source->own.boot_id);
    source->offset_us = clock_wall_us() - (int64_t)clock_monotonic_us();
    source->own_waits = source->owes_note = store_state(store)->damage.salvages;
    enum err e = buffer_driver_number(buffer, CLOCK_DRIVER, &source->driver, why);
    e = e ? e : buffer_cursor_each(buffer, source->driver, remember_opening, source);
    if (!e) {
        timer_arm(&source->timer, 0);
    }
    return e;
}

void time_trust_release(struct time_source *source)
{
    timer_release(&source->timer);
}

bool time_trust_is_given(const struct time_source *source)
{
    return source->trusted;
}

/* --- events --- */

void time_trust_stamp(struct time_source *source, struct stored_event *event)
{
    if (!source->trusted) {
        look_at_clock(source);
    }
    if (source->trusted) {
        event->time_us = wall_now_us(source);
        event->trust = TIME_WALL;
        return;
    }
    event->time_us = (int64_t)clock_monotonic_us();
    event->trust = TIME_BOOT;
    event->boot = source->own.boot;
}

enum err time_trust_note(struct time_source *source, const struct stored_event *event,
                         int64_t wait_ms)
{
    uint8_t memory[CURSOR_SIZE];
    struct out o = out_over(memory, sizeof memory);
    uint64_t commit;
    out_put(&o, source->own.boot_id, BOOT_ID_SIZE);
    out_put_u64_le(&o, (uint64_t)event->time_us);
    struct cursor_change note = {
        .driver = source->driver, .key = source->own.boot, .value = out_slice(&o)};
    enum err e = store_cursor_put(source->store, &note, wait_ms, &commit);
    if (!e) {
        source->own_waits = true;
        source->owes_note = false;
    }
    return e;
}
