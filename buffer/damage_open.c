/* A damaged file that opening finds: refused as any opening would, moved aside, and what a fresh one
 * needs read from it. */
#include <stdio.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/machine.h"
#include "ports/log.h"
#include "ports/random.h"

#define BOOT_UNKNOWN (UINT32_C(1) << 28) /* more openings than any board has */

/* --- without a state --- */

/* As salvage_seek(). *ret_hurt: the tree is damaged there. */
static enum err look_for(struct salvage *w, uint16_t stream, uint64_t above, uint64_t *ret,
                         bool *ret_hurt, struct why *why)
{
    int code = SQLITE_OK;
    int64_t id = 0;
    enum err e = ERR_OK;
    for (bool again = true; !e && again;) {
        code = salvage_seek(w, stream, above, &id);
        e = damaged_wait(w->source, code, &again, why);
    }
    *ret = code == SQLITE_ROW ? (uint64_t)id & SEQUENCE_MAX : 0;
    *ret_hurt = *ret_hurt || (code != SQLITE_ROW && code != SQLITE_DONE);
    return e;
}

/* The lowest and the highest row of a stream that the tree gives, the highest by halving steps: no
 * page of the way there is needed twice. */
static enum err rows_hull(struct salvage *w, uint16_t stream, struct range *ret, bool *ret_hurt,
                          struct why *why)
{
    struct range hull = {0, 0};
    uint64_t found = 0;
    enum err e = look_for(w, stream, 0, &hull.first, ret_hurt, why);
    for (uint64_t step = UINT64_C(1) << 47; !e && step > 0;) {
        uint64_t at = hull.last + step - 1;
        found = 0;
        e = at <= SEQUENCE_MAX ? look_for(w, stream, at, &found, ret_hurt, why) : ERR_OK;
        hull.last = found ? found : hull.last;
        step = found ? step : step / 2;
    }
    hull.first = hull.first ? hull.first : hull.last;
    *ret = e ? *ret : hull;
    return e;
}

/* Without a state: what the rows say, for everyone. Where the tree does not give all of them, by a
 * look at each page: what is stored from now on has to come behind the last of them. */
static enum err want_all_rows(struct buffer *b, struct salvage *w, struct why *why)
{
    struct range hulls[STREAM_COUNT_MAX + 1] = {{0, 0}};
    bool hurt = false;
    enum err e = ERR_OK;
    w->everyone = true;
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        e = rows_hull(w, s, &hulls[s], &hurt, why);
        e = e || hulls[s].last == 0 ? e : salvage_row_end(w, s, hulls[s].last, &hulls[s].last, why);
    }
    e = e || !hurt ? e : salvage_scan_hulls(w, hulls, why);
    for (uint16_t s = 1; !e && s <= STREAM_COUNT_MAX; s++) {
        if (hulls[s].last == 0 || w->wanted->owed_count == w->wanted->owed_max) {
            continue;
        }
        struct owed *owed = &w->wanted->owed[w->wanted->owed_count++];
        *owed = (struct owed){.stream = s};
        owed_add(owed, hulls[s]);
        w->wanted->streams[s].sequence_next = hulls[s].last + 1; /* else it can't be read again */
        b->state->streams[s].sequence_next = hulls[s].last + 1;
        state_raise(b->state, s, SEQUENCE_JUMP, 0);
    }
    return e;
}

/* --- at opening --- */

static void swap_memory(struct buffer *b, struct buffer *source)
{
    struct buffer was = *b;
    b->state = source->state;
    b->next = source->next;
    b->tail_memory = source->tail_memory;
    b->tail_size = source->tail_size;
    b->sections = source->sections;
    b->section_count = source->section_count;
    b->changed = source->changed;
    b->changed_count = source->changed_count;
    source->state = was.state;
    source->next = was.next;
    source->tail_memory = was.tail_memory;
    source->sections = was.sections;
    source->changed = was.changed;
}

/* Events of earlier openings may wait for the offset of theirs: none of those may come again, so that
 * where the number can't be read it jumps to where no counting has come. */
static enum err take_numbers(struct buffer *b, struct buffer *source, struct why *why)
{
    int64_t incarnation = 0;
    int64_t boot = 0;
    enum err e =
        damaged_number(source, "SELECT v FROM meta WHERE k='incarnation'", 0, &incarnation, why);
    e = e ? e : damaged_number(source, "SELECT v FROM meta WHERE k='boot'", 0, &boot, why);
    e = e ? e : machine_read_damaged(b, source, why);
    b->incarnation = (uint32_t)incarnation;
    b->boot = boot ? (uint32_t)boot + 1 : BOOT_UNKNOWN + random_below(BOOT_UNKNOWN);
    for (uint32_t i = 0; i < b->state->boot_count; i++) { /* whichever can be read */
        uint32_t known = b->state->boots[i].boot;
        b->boot = known >= b->boot ? known + 1 : b->boot;
    }
    return e;
}

/* What is still to come over from an earlier file has its sequences. */
static enum err raise_over(void *context, const struct salvage *earlier)
{
    struct state *state = ((struct buffer *)context)->state;
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        uint64_t next = earlier->wanted->streams[s].sequence_next;
        if (next > state->streams[s].sequence_next) {
            state->streams[s].sequence_next = next;
            state_raise(state, s, SEQUENCE_JUMP, 0);
        }
    }
    return ERR_OK;
}

/* Nothing of the state can be read: the sequences that were used are not known, so that they begin
 * anew, under another incarnation, behind all that may come over. */
static enum err begin_anew(struct buffer *b, struct why *why)
{
    b->incarnation = 0;
    machine_forget(b);
    enum err e = want_all_rows(b, b->salvage, why);
    return e ? e : salvage_wanted_each(b->salvage->source, raise_over, b);
}

/* The log of the file that was moved aside. What was seen of it before SQLite began it anew counts,
 * too. */
static enum err look_at_log(struct buffer *b, const char *file, bool is_known, struct why *why)
{
    bool was_damaged = is_known && b->log_damaged;
    enum err e = log_check(b, file, why);
    b->log_damaged = b->log_damaged || was_damaged;
    return e;
}

/* Is the log lost that the source had when it was last written? Where the file does not say whether
 * it should have one, it is. */
static enum err source_lost_log(const struct buffer *b, struct buffer *source, bool *ret,
                                struct why *why)
{
    int64_t mark = OPEN_WITH_LOG;
    enum err e = damaged_number(source, "SELECT v FROM meta WHERE k='open'", mark, &mark, why);
    *ret = b->log_damaged || mark == OPEN_LOG_LOST || (b->log_missing && mark == OPEN_WITH_LOG);
    return e;
}

/* Before anything is moved; of a file that was moved before the power went, before anything comes of
 * it. */
static enum err check_orphans(struct buffer *b, const struct buffer_setup *setup, int number,
                              struct why *why)
{
    char file[FILE_NAME_SIZE];
    char log[FILE_NAME_SIZE];
    struct buffer *source = NULL;
    bool has_state = false;
    (void)snprintf(file, sizeof file, "%s", b->path); /* longer than that */
    if (number) {
        bad_name(b, number, file);
    }
    log_name(log, file);
    damage_disconnect(b);
    bool has_log = file_there(b, log);
    enum err e = damaged_open(&source, b, file, setup_pairs(setup), &has_state, why);
    if (e) {
        return e;
    }
    e = has_state ? orphans_check_damaged(source, setup, why) : ERR_OK;
    buffer_close(source);
    if (!has_log) {
        file_remove(b, log); /* made by looking */
    }
    return e;
}

/* Moved aside, unless it was before the power went; its log is looked at. */
static enum err aside_at_open(struct buffer *b, int *number, char ret_bad[FILE_NAME_SIZE],
                              struct why *why)
{
    bool is_known = *number == 0; /* the log of this file was looked at */
    b->move_number = *number;
    enum err e = damage_choose_number(b, why);
    if (e) {
        return e;
    }
    damage_disconnect(b);
    memset(b->streams, 0, sizeof b->streams);
    e = is_known ? damage_move_aside(b, why) : ERR_OK;
    if (e) {
        return e;
    }
    b->swapped = false;
    *number = b->move_number;
    b->move_number = 0;
    bad_name(b, *number, ret_bad);
    return look_at_log(b, ret_bad, is_known, why);
}

enum err damage_replace_at_open(struct buffer *b, const struct buffer_setup *setup, int number,
                                struct why *why)
{
    char bad[FILE_NAME_SIZE];
    bool has_state = false;
    enum err e = check_orphans(b, setup, number, why);
    if (e) {
        return e;
    }
    log_error("buffer", "%s; it is replaced by a fresh one, and salvaged",
              number ? "the damaged buffer was moved aside before the power went" : why->text);
    e = aside_at_open(b, &number, bad, why);
    if (e) {
        return e;
    }
    struct buffer *source = NULL;
    e = damaged_open(&source, b, bad, setup_pairs(setup), &has_state, why);
    if (e) {
        return e;
    }
    swap_memory(b, source);
    bool tail_hurt = source->tail_hurt;
    bool log_lost = false;
    e = take_numbers(b, source, why);
    e = e ? e : source_lost_log(b, source, &log_lost, why);
    if (e) {
        buffer_close(source);
        return e;
    }
    e = salvage_open_with(b, number, bad, source, why);
    if (e) {
        return e;
    }
    if (has_state) {
        state_copy(b->salvage->wanted, b->state);
        damage_split_owed(b, b->salvage->wanted);
        if (tail_hurt || log_lost) {
            damage_raise_all(b);
        }
    } else {
        e = begin_anew(b, why);
    }
    if (e) {
        return e;
    }
    if (log_lost) {
        damage_log_lost(b);
    }
    b->log_damaged = false;
    b->damage.replaced++;
    b->setup = setup;
    e = damage_fresh(b, &(const struct buffer_write){0}, why);
    b->setup = NULL;
    e = e ? e : load_stream_names(b, why);
    return e ? e : buffer_read_identity(b, why);
}
