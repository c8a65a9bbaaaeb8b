/* Owed ranges have sequences in them that no row ever had, where their list was full when events were
 * dropped. Before such a place is told as lost, and all pages are looked at for it, the tree's rows are
 * counted: where they have exactly the events that the state says the stream's rows held, nothing is
 * missing. Every row is read and checked; after a restart they are counted anew. Behind the last row that
 * does not count: where the state is newer than the rows, the newest are missing, and the oldest, deleted
 * since, are there and may be as many. */
#include "buffer/damage.h"
#include "ports/clock.h"
#include "ports/log.h"

bool salvage_tallied(struct salvage *w, bool *ret_is_all)
{
    struct salvage_tally *t = &w->tally;
    if (t->stream != w->next.stream) {
        *t = (struct salvage_tally){.stream = w->next.stream};
    }
    *ret_is_all = t->is_all;
    w->tally_due = !t->is_known;
    return t->is_known;
}

enum err salvage_tally_turn(struct salvage *w)
{
    struct salvage_tally *t = &w->tally;
    uint64_t until = clock_monotonic_us() + SALVAGE_US_MAX;
    uint64_t wanted = w->wanted->streams[t->stream].row_events;
    struct why why = {""};
    struct found_row row;
    int64_t id;
    size_t bytes = 0;
    int code = SQLITE_ROW;
    bool good = true;
    while (good && bytes < SALVAGE_BYTES_MAX && (bytes == 0 || clock_monotonic_us() < until)) {
        code = salvage_seek(w, t->stream, t->at, &id);
        good = code == SQLITE_ROW && found_take(w->above, &row);
        if (good) {
            t->at = row.range.first;
            t->events += found_events(&row);
            bytes += row.bytes.body.size + 1;
        }
    }
    (void)sqlite3_reset(w->above); /* nothing of the file is held between two turns */
    if (code != SQLITE_ROW && damaged_trouble(w->source, code, &why)) {
        log_warn("buffer", "its salvage waits: %s", why.text);
        return ERR_AGAIN;
    }
    t->is_known = !good;
    t->is_all = code == SQLITE_DONE && t->events == wanted;
    w->tally_due = good;
    return ERR_OK;
}
