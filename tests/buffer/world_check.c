/* Is what a buffer holds what the model says? */
#include <string.h>

#include "tests/buffer/world_impl.h"

/* May these uplinks lose the event? Not while it is being sent for anybody; but what one holds too
 * much of is no matter of the others. */
static bool may_be_gone(struct world *w, uint16_t stream, uint64_t sequence, int bits)
{
    const struct buffer_stream *setup = world_stream(w, stream);
    const struct model_parcel *second = &w->sure->parcels[2][stream];
    bool is_held = bits == 2 && w->setup.uplinks[1].hold_max < 1000000;
    bool second_sends =
        second->open && second->range.first <= sequence && sequence <= second->range.last;
    bool gives_way = setup->when_full == FULL_DROP_OLDEST || setup->when_full == FULL_THIN;
    return is_held ? !second_sends
                   : (gives_way || setup->age_max_us > 0) &&
                         !world_is_in_flight(w->sure, stream, sequence);
}

/* What the buffer says of a stream. Where it dropped by its rules, and said so, the model
 * follows. */
static const char *check_stream(struct world *w, uint16_t stream)
{
    struct model *m = w->sure;
    const struct stream_state *now = &w->changes.streams[stream];
    if (now->sequence_next != m->next[stream]) {
        return world_problem(w, "lost: stream %u stands at %llu, not %llu", stream,
                             (unsigned long long)now->sequence_next,
                             (unsigned long long)m->next[stream]);
    }
    for (size_t i = 0; i < w->changes.owed_count; i++) {
        const struct owed *owed = &w->changes.owed[i];
        uint64_t first = owed->range_count ? owed->ranges[0].first : UINT64_MAX;
        while (stream == 1 && first < m->low[stream] && m->gone[first]) {
            first++;
        }
        if (owed->stream == stream && first < m->low[stream]) {
            return world_problem(w, "twice: %u/%llu is owed again", stream,
                                 (unsigned long long)first);
        }
    }
    for (uint64_t i = m->low[stream]; i < m->next[stream]; i++) {
        uint8_t bits = world_owed_now(&w->changes, stream, i);
        if (bits == m->owed[stream][i]) {
            continue;
        }
        if (stream == 1 && m->owed[stream][i] == 0 && m->gone[i]) {
            continue;
        }
        if (bits & ~m->owed[stream][i]) {
            return world_problem(w, "twice: %u/%llu is owed again", stream, (unsigned long long)i);
        }
        if (!may_be_gone(w, stream, i, m->owed[stream][i] & ~bits)) {
            return world_problem(w, "lost: %u/%llu is not owed any more", stream,
                                 (unsigned long long)i);
        }
        if (stream != 1 || !m->gone[i]) {
            world_lose(m, stream, (uint8_t)(m->owed[stream][i] & ~bits));
        }
        m->owed[stream][i] = bits;
    }
    while (m->low[stream] < m->next[stream] && m->owed[stream][m->low[stream]] == 0) {
        m->low[stream]++;
    }
    return NULL;
}

/* What gaps say that an uplink has lost of a stream. */
static uint64_t told_lost(const struct world *w, uint16_t uplink, uint16_t stream)
{
    uint64_t count = 0;
    for (size_t i = 0; i < w->changes.gap_count; i++) {
        const struct gap *gap = &w->changes.gaps[i];
        bool concerns = gap->uplink == 0 || gap->uplink == uplink;
        count += gap->stream == stream && concerns ? gap->count : 0;
    }
    return count;
}

/* Counts are exact; but what was thinned is seen only when it is looked for. */
static const char *check_gaps(struct world *w, bool looked)
{
    for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
        uint64_t unseen = looked ? 0 : w->changes.streams[s].dropped[GAP_THIN];
        for (uint16_t u = 1; u <= WORLD_UPLINKS; u++) {
            uint64_t told = told_lost(w, u, s);
            uint64_t lost = w->sure->lost[u][s];
            bool carries = world_stream(w, s)->uplinks >> (u - 1) & 1;
            if (carries && (told < lost || told - lost > unseen)) {
                return world_problem(
                    w, "lost: the gaps of stream %u tell uplink %u of %llu events, %llu are gone",
                    s, u, (unsigned long long)told, (unsigned long long)lost);
            }
        }
    }
    return NULL;
}

/* The disk has seen no more than the cap, at no moment; but a damaged file is not counted. */
static const char *check_size(struct world *w)
{
    struct crash_counts counts;
    crash_vfs_counts(w->vfs, &counts);
    if ((counts.size_high > (uint64_t)w->setup.size_max && !w->takes_only) ||
        counts.wal_high > 2 << 20 || w->changes.file_size > (uint64_t)w->setup.size_max) {
        return world_problem(
            w, "larger than the cap: %llu bytes in all, the log %llu, said to be %llu",
            (unsigned long long)counts.size_high, (unsigned long long)counts.wal_high,
            (unsigned long long)w->changes.file_size);
    }
    return NULL;
}

const char *world_check_changes(struct world *w)
{
    const char *found = NULL;
    for (uint16_t s = 1; !found && s <= WORLD_STREAMS; s++) {
        found = check_stream(w, s);
    }
    found = found ? found : check_gaps(w, false);
    return found ? found : check_size(w);
}

/* Is this one gone by thinning, when the next one that is there is `next`? */
static bool is_thinned(struct world *w, uint16_t stream, uint64_t sequence, uint64_t next)
{
    return sequence < next && world_stream(w, stream)->when_full == FULL_THIN &&
           world_note_thinned(w->sure, stream, sequence);
}

static const char *check_run(struct world *w, uint16_t stream, struct range range)
{
    while (range.first <= range.last) {
        enum err e =
            buffer_read(w->buffer, stream, range, 1 + world_below(w, 30000), w->rows, &w->why);
        if (e) {
            return world_problem(w, "lost: reading %u/%llu: %s", stream,
                                 (unsigned long long)range.first, w->why.text);
        }
        for (size_t i = 0; i < w->rows->event_count; i++) {
            const struct stored_event *event = &w->rows->events[i];
            while (is_thinned(w, stream, range.first, event->sequence)) {
                range.first++;
            }
            if (event->sequence != range.first || !world_event_is_right(w, event) ||
                (stream == 1 && w->sure->gone[range.first])) {
                return world_problem(w, "lost: %u/%llu is not there, or not as it was", stream,
                                     (unsigned long long)range.first);
            }
            range.first++;
        }
        while (is_thinned(w, stream, range.first, w->rows->covered.last + 1)) {
            range.first++;
        }
        if (w->rows->event_count == 0 && range.first <= w->rows->covered.last) {
            return world_problem(w, "lost: %u/%llu can't be read", stream,
                                 (unsigned long long)range.first);
        }
    }
    return NULL;
}

const char *world_check_events(struct world *w)
{
    const struct model *m = w->sure;
    const char *found = NULL;
    for (uint16_t s = 1; !found && s <= WORLD_STREAMS; s++) {
        for (uint64_t i = m->low[s]; !found && i < m->next[s]; i++) {
            struct range run = {i, i - 1};
            while (i < m->next[s] && m->owed[s][i]) {
                run.last = i++;
            }
            found = run.first <= run.last ? check_run(w, s, run) : NULL;
        }
    }
    return found ? found : check_gaps(w, true);
}

struct found {
    struct world *w;
    uint64_t cursors[WORLD_KEYS];
    bool parcels[WORLD_UPLINKS + 1][WORLD_STREAMS + 1];
    uint64_t asides;
    uint64_t aside_last;
    const char *problem;
};

static void take_cursor(void *context, uint32_t key, struct slice value)
{
    struct found *f = context;
    uint64_t commit = 0;
    if (key >= WORLD_KEYS || value.size < sizeof commit) {
        f->problem = world_problem(f->w, "torn: a cursor that nobody set");
        return;
    }
    memcpy(&commit, value.data, sizeof commit);
    f->cursors[key] = commit;
    bool right = value.size == 16 + (size_t)(commit + key) % 180;
    for (size_t i = sizeof commit; i < value.size; i++) {
        right = right && value.data[i] == key;
    }
    f->problem =
        right ? f->problem : world_problem(f->w, "torn: cursor %u is not as it was set", key);
}

static void take_parcel(void *context, const struct parcel *parcel)
{
    struct found *f = context;
    struct parcel right;
    uint16_t u = parcel->uplink;
    uint16_t s = parcel->stream;
    if (u < 1 || u > WORLD_UPLINKS || s < 1 || s > WORLD_STREAMS ||
        !f->w->sure->parcels[u][s].open) {
        f->problem = world_problem(f->w, "twice: a parcel that was closed, or never opened");
        return;
    }
    f->parcels[u][s] = true;
    world_parcel_of(f->w, &f->w->sure->parcels[u][s], &right);
    if (memcmp(&right, parcel, sizeof right) != 0) {
        f->problem = world_problem(f->w, "torn: a parcel is not as it was opened");
    }
}

static void take_aside(void *context, int64_t id, const struct aside *aside)
{
    struct found *f = context;
    uint8_t memory[WORLD_ASIDE_SIZE];
    uint64_t number = aside->sequence;
    f->asides++;
    if (number == 0 || number > f->w->sure->asides) {
        f->problem = world_problem(f->w, "torn: a set-aside event that nobody put");
        return;
    }
    struct aside right = world_aside(number, memory);
    if (aside->is_damaged || !slice_equal_text(aside->reason, "no such field") ||
        !slice_equal(aside->head, right.head) || !slice_equal(aside->body, right.body)) {
        f->problem = world_problem(f->w, "torn: a set-aside event is not as it was");
    }
    if (!f->w->orders) {
        return; /* the file may be another, whose ids are others */
    }
    if (id != (int64_t)number || number <= f->aside_last || f->w->sure->aside_dropped[number]) {
        f->problem = world_problem(f->w, "twice: a set-aside event that was dropped");
    }
    /* The oldest give way; behind the first that stays, only what was dropped by hand is missing. */
    for (uint64_t i = f->aside_last + 1; f->aside_last > 0 && i < number; i++) {
        if (!f->w->sure->aside_dropped[i]) {
            f->problem = world_problem(f->w, "lost: set-aside event %llu", (unsigned long long)i);
        }
    }
    f->aside_last = number;
}

/* Which commit stands? The model becomes that one. */
static const char *check_commit(struct world *w, struct found *f)
{
    if (buffer_cursor_each(w->buffer, w->driver, take_cursor, f)) {
        return world_problem(w, "lost: cursors can't be read");
    }
    if (f->problem) {
        return f->problem;
    }
    uint64_t stands = f->cursors[0];
    if (w->under_way && stands == w->maybe->commit) {
        world_adopt(w);
    }
    w->under_way = false;
    if (stands != w->sure->commit) {
        return world_problem(w, "lost: commit %llu stands, %llu was acknowledged",
                             (unsigned long long)stands, (unsigned long long)w->sure->commit);
    }
    if (memcmp(f->cursors, w->sure->cursors, sizeof f->cursors) != 0) {
        return world_problem(w, "torn: cursors of different commits");
    }
    return NULL;
}

static const char *check_rest(struct world *w, struct found *f)
{
    buffer_parcel_each(w->buffer, take_parcel, f);
    for (size_t u = 1; u <= WORLD_UPLINKS; u++) {
        for (size_t s = 1; s <= WORLD_STREAMS; s++) {
            if (w->sure->parcels[u][s].open && !f->parcels[u][s]) {
                return world_problem(w, "lost: an open parcel");
            }
        }
    }
    if (buffer_aside_each(w->buffer, 0, 1 << 20, take_aside, f, &w->why) ||
        f->asides != w->changes.aside_count || f->asides > w->sure->asides) {
        return world_problem(w, "lost: %llu set-aside events, counted are %llu",
                             (unsigned long long)f->asides,
                             (unsigned long long)w->changes.aside_count);
    }
    for (uint32_t boot = 1; boot < 10; boot++) {
        struct stored_event event = {.trust = TIME_BOOT, .boot = boot};
        bool known = buffer_time(w->buffer, &event);
        if (known != (boot <= w->sure->boot_known) ||
            (known && event.time_us != boot * INT64_C(-77))) {
            return world_problem(w, "torn: the offset of boot %u", boot);
        }
    }
    return f->problem;
}

const char *world_check_commit(struct world *w)
{
    struct found found = {.w = w};
    return check_commit(w, &found);
}

/* Is the incarnation another one just where the machine is? */
static const char *check_incarnation(struct world *w)
{
    uint32_t now = buffer_incarnation(w->buffer);
    bool is_first = w->incarnation == 0;
    if (now == 0 || (!is_first && (now == w->incarnation) == w->moved)) {
        return world_problem(w, w->moved ? "twice: the incarnation" : "lost: the incarnation");
    }
    w->incarnation = now;
    w->moved = false;
    return NULL;
}

/* Does each event have the incarnation for ever that it was stored under? */
static const char *check_names(struct world *w)
{
    for (uint16_t s = 1; s <= WORLD_STREAMS; s++) {
        for (uint64_t i = 1; i < w->sure->next[s]; i++) {
            uint64_t last = 0;
            uint32_t *name = &w->names[s][i % WORLD_SEQUENCES];
            uint32_t now = buffer_incarnation_at(w->buffer, s, i, &last);
            if (now == 0 || last < i || (*name && *name != now)) {
                return world_problem(w, "lost: the incarnation of %u of stream %u", (unsigned)i, s);
            }
            *name = now;
        }
    }
    return NULL;
}

const char *world_check(struct world *w)
{
    struct found found = {.w = w};
    const char *wrong = check_incarnation(w);
    wrong = wrong ? wrong : check_commit(w, &found);
    wrong = wrong ? wrong : check_names(w);
    wrong = wrong ? wrong : world_check_changes(w);
    wrong = wrong ? wrong : check_rest(w, &found);
    return wrong ? wrong : world_check_events(w);
}
