/* Records applied to the state: the same way when they are new and when they are read from the tail
 * after a crash. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"

static bool apply_events(struct state *state, struct slice payload)
{
    struct section_events section;
    uint64_t raw = 0;
    int64_t time_before = 0;
    struct stored_event event;
    if (!section_events_take(payload, &section) ||
        section.first != state->streams[section.stream].sequence_next) {
        return false;
    }
    struct slice events = section.events;
    for (uint64_t i = 0; i < section.count; i++) {
        if (!events_take(&events, &time_before, &event)) {
            return false;
        }
        raw += event.datum.size;
    }
    state_append(state, section.stream, section.first, section.count, raw);
    return events.size == 0;
}

static bool apply_parcel(struct state *state, struct slice payload)
{
    struct parcel parcel;
    struct slice rest = payload;
    bool is_taken = parcel_decode(&parcel, true, &rest) && rest.size == 0;
    if (!is_taken && state->is_old) {
        is_taken = parcel_decode(&parcel, false, &payload) && payload.size == 0;
    }
    return is_taken && state_parcel_open(state, &parcel);
}

static bool apply_aside(struct state *state, struct slice payload)
{
    int64_t count;
    int64_t size;
    uint64_t dropped;
    if (!section_aside_take(payload, &count, &size, &dropped)) {
        return false;
    }
    state->aside_count += (uint64_t)count; /* may be negative: modulo 2^64 */
    /* Written under another key they are larger than they were when this was counted. */
    bool is_less = size < 0 && (uint64_t)-size > state->aside_size;
    state->aside_size = is_less ? 0 : state->aside_size + (uint64_t)size;
    state->aside_dropped += dropped;
    return true;
}

static bool apply_skip(struct state *state, struct slice payload)
{
    uint16_t stream;
    uint64_t first;
    uint64_t count;
    if (!section_skip_take(payload, &stream, &first, &count) ||
        first != state->streams[stream].sequence_next || count > UINT32_MAX) {
        return false;
    }
    struct gap gap = {.stream = stream,
                      .reason = GAP_DROP_NEWEST,
                      .range = {first, first + count - 1},
                      .count = count};
    state->streams[stream].sequence_next += count;
    state_drop(state, &gap);
    return true;
}

static bool apply_rows(struct state *state, enum section_kind kind, struct slice payload)
{
    uint16_t stream;
    uint64_t events;
    uint64_t bytes;
    if (!section_rows_take(payload, &stream, &events, &bytes)) {
        return false;
    }
    if (kind == SECTION_ROWS) {
        state_rows_gone(state, stream, events, bytes);
    } else {
        state_rows_came(state, stream, events, bytes);
    }
    return true;
}

static bool apply_owed(struct state *state, enum section_kind kind, struct slice payload)
{
    struct owed_end end;
    if (!section_end_take(payload, &end)) {
        return false;
    }
    if (kind == SECTION_END) {
        state_owed_end(state, &end);
        return true;
    }
    uint64_t next = state->streams[end.stream].sequence_next;
    if (end.range.first < next) { /* behind a hole: what came with a record that is lost is not */
        end.range.last = end.range.last < next ? end.range.last : next - 1;
        (void)state_owed_again(state, &end); /* counted when it was new */
    }
    return true;
}

static bool apply_section(struct state *state, const struct section *section)
{
    struct cursor_change cursor;
    struct part_done done;
    struct gap gap;
    struct boot_offset boot;
    uint32_t number;
    switch (section->kind) {
    case SECTION_EVENTS:
        return apply_events(state, section->payload);
    case SECTION_CURSOR:
        return section_cursor_take(section->payload, &cursor);
    case SECTION_DONE:
        if (!section_done_take(section->payload, &done)) {
            return false;
        }
        state_part_done(state, &done);
        return true;
    case SECTION_END:
    case SECTION_AGAIN:
        return apply_owed(state, section->kind, section->payload);
    case SECTION_PARCEL:
        return apply_parcel(state, section->payload);
    case SECTION_DROP:
        if (!section_drop_take(section->payload, &gap)) {
            return false;
        }
        state_drop(state, &gap);
        return true;
    case SECTION_SKIP:
        return apply_skip(state, section->payload);
    case SECTION_ROWS:
    case SECTION_CAME:
        return apply_rows(state, section->kind, section->payload);
    case SECTION_BOOT:
        if (!section_boot_take(section->payload, &boot)) {
            return false;
        }
        state_boot(state, &boot);
        return true;
    case SECTION_TOLD:
        if (!section_told_take(section->payload, &number)) {
            return false;
        }
        state_gap_told(state, number);
        return true;
    case SECTION_ASIDE:
        return apply_aside(state, section->payload);
    }
    return false;
}

enum err apply_sections(struct state *state, struct slice sections)
{
    struct section section;
    enum err e;
    while ((e = section_next(&sections, &section)) == ERR_OK) {
        if (!apply_section(state, &section)) {
            return ERR_CORRUPT;
        }
    }
    return e == ERR_CLOSED ? ERR_OK : e;
}

/* Records before it may be missing: their events are a gap. */
static void skip_to(struct state *state, struct slice payload)
{
    struct section_events events;
    if (section_events_take(payload, &events)) {
        uint64_t next = state->streams[events.stream].sequence_next;
        if (next > 0 && events.first > next) {
            state_raise(state, events.stream, events.first - next, events.first - next);
        }
    }
}

void apply_what_fits(struct state *state, struct slice sections, bool behind_hole)
{
    struct section section;
    while (section_next(&sections, &section) == ERR_OK) {
        if (section.kind == SECTION_TOLD && behind_hole) {
            continue; /* the number may be that of another gap now: it is told twice, not never */
        }
        if (section.kind == SECTION_EVENTS) {
            skip_to(state, section.payload);
        }
        bool fits = apply_section(state, &section);
        (void)fits; /* what it speaks of is in a record that is lost */
    }
}

/* --- what the buffer itself remembers of a record --- */

size_t sections_count(struct slice sections, enum section_kind kind)
{
    struct section section;
    size_t count = 0;
    while (section_next(&sections, &section) == ERR_OK) {
        count += section.kind == kind;
    }
    return count;
}

enum err keep_reserve(struct buffer *b, size_t cursor_count)
{
    size_t end = b->changed_count + cursor_count;
    for (size_t i = b->changed_count; i < end && i < CHANGED_CURSOR_MAX; i++) {
        if (!b->changed[i].value) {
            b->changed[i].value = malloc(CURSOR_SIZE_MAX);
            if (!b->changed[i].value) {
                return ERR_NOMEM;
            }
        }
    }
    return ERR_OK;
}

bool keep_fits(const struct buffer *b, struct slice sections)
{
    return b->section_count + sections_count(sections, SECTION_EVENTS) <= TAIL_SECTION_MAX &&
           b->changed_count + sections_count(sections, SECTION_CURSOR) <= CHANGED_CURSOR_MAX;
}

static void keep_cursor(struct buffer *b, const struct cursor_change *cursor)
{
    struct changed_cursor *slot = NULL;
    for (size_t i = b->changed_count; i-- > 0 && !slot;) {
        if (b->changed[i].driver == cursor->driver && b->changed[i].key == cursor->key) {
            slot = &b->changed[i];
        }
    }
    if (!slot) {
        assert(b->changed_count < CHANGED_CURSOR_MAX); /* the commit sealed before */
        slot = &b->changed[b->changed_count++];
        assert(slot->value); /* keep_reserve() */
        slot->driver = cursor->driver;
        slot->key = cursor->key;
    }
    slot->size = (uint32_t)cursor->value.size;
    if (cursor->value.size) {
        memcpy(slot->value, cursor->value.data, cursor->value.size);
    }
}

void keep_sections(struct buffer *b, struct slice sections, size_t offset)
{
    const uint8_t *start = sections.data;
    struct section section;
    while (section_next(&sections, &section) == ERR_OK) {
        struct section_events events;
        struct cursor_change cursor;
        if (section.kind == SECTION_EVENTS && section_events_take(section.payload, &events)) {
            assert(b->section_count < TAIL_SECTION_MAX);
            b->sections[b->section_count++] = (struct tail_section){
                .stream = events.stream,
                .schema = events.schema,
                .first = events.first,
                .count = (uint32_t)events.count,
                .offset = (uint32_t)(offset + (size_t)(events.events.data - start)),
                .size = (uint32_t)events.events.size};
        } else if (section.kind == SECTION_CURSOR &&
                   section_cursor_take(section.payload, &cursor)) {
            keep_cursor(b, &cursor);
        }
    }
}
