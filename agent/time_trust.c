#include "agent/time_trust.h"

#include <string.h>

#include "ports/log.h"

#define CURSOR_SIZE (BOOT_ID_SIZE + 8)

static int64_t offset_now_us(void)
{
    return clock_wall_us() - (int64_t)clock_monotonic_us();
}

static bool is_same_boot(const struct time_opening *a, const struct time_opening *b)
{
    return memcmp(a->boot_id, b->boot_id, BOOT_ID_SIZE) == 0;
}

/* --- once the clock is believed --- */

/* The offset is put first: a crash between the two finds the cursor again, and the buffer keeps the
 * first offset. False: the store takes no more now. */
static bool opening_settle(struct time_source *source, uint32_t boot, int64_t offset_us)
{
    uint64_t commit;
    struct boot_offset offset = {.boot = boot, .offset_us = offset_us};
    struct cursor_change forget = {.driver = source->driver, .key = boot};
    return store_boot_put(source->store, &offset, &commit) == ERR_OK &&
           store_cursor_put(source->store, &forget, 0, &commit) == ERR_OK;
}

/* The offset of the opening before the one that is settled: the same if the machine ran on; else
 * its clock had ended, at the latest, when the next one began. */
static int64_t offset_before_us(const struct time_source *source,
                                const struct time_opening *opening)
{
    char text[CLOCK_TEXT_SIZE];
    if (is_same_boot(opening, &source->settled)) {
        return source->settled_offset_us;
    }
    clock_format(source->settled_offset_us, 0, text);
    log_warn("clock",
             "events came while the clock was wrong, and the machine was started anew before it "
             "was right: their times are taken as if it had not been off, the last at %s",
             text);
    return source->settled_offset_us - opening->last_us;
}

static bool settle_earlier(struct time_source *source)
{
    while (source->earlier_count > 0) {
        const struct time_opening *opening = &source->earlier[source->earlier_count - 1];
        int64_t offset_us = offset_before_us(source, opening);
        if (!opening_settle(source, opening->boot, offset_us)) {
            return false;
        }
        source->settled = *opening;
        source->settled_offset_us = offset_us;
        source->earlier_count--;
    }
    return true;
}

static void look_at_clock(struct time_source *source)
{
    if (!source->trusted &&
        (clock_wall_is_synchronised() || clock_wall_us() >= TIME_TRUST_FLOOR_US)) {
        source->trusted = true;
        source->settled = source->own;
        source->settled_offset_us = offset_now_us();
    }
    if (source->trusted && source->own_waits &&
        opening_settle(source, source->own.boot, source->settled_offset_us)) {
        source->own_waits = false;
        log_info("clock", "the clock is right now: events that came before have their times");
    }
    bool settled = source->trusted && !source->own_waits && settle_earlier(source);
    if (!settled) {
        timer_arm(&source->timer, TIME_TRUST_CHECK_MS);
    }
}

static void timer_fired(struct timer *timer)
{
    look_at_clock(CONTAINER_OF(timer, struct time_source, timer));
}

/* --- opening --- */

static void remember_opening(void *context, uint32_t key, struct slice value)
{
    struct time_source *source = context;
    struct time_opening opening = {.boot = key};
    struct slice id;
    uint64_t last_us;
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
                         struct why *why)
{
    struct buffer *buffer = store_buffer(store);
    *source = (struct time_source){.store = store, .own.boot = buffer_boot(buffer)};
    timer_init(&source->timer, loop, timer_fired);
    clock_boot_id(source->own.boot_id);
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
        event->time_us = clock_wall_us();
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
        source->own.last_us = event->time_us;
    }
    return e;
}
