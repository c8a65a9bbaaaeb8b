/* Rows of a damaged file that its tree does not lead to. Once something that is wanted was not found,
 * all pages are looked at, and the rows that they have come over in the order of their keys, from
 * the place where the tree was left: so the place in the table says enough, and after a restart the
 * tree is tried again from there. */
#include <assert.h>
#include <string.h>

#include "buffer/damage.h"
#include "buffer/page_scan.h"
#include "ports/clock.h"
#include "ports/log.h"

#define OPEN_TRIES \
    3 /* a log that can't be read is damaged by then; a file that can't be opened waits */

void salvage_scan_ask(struct salvage *w)
{
    w->scan_due = true;
    w->next.seek = w->next.low;
}

/* --- looking at all pages --- */

static enum err keep_wanted(void *context, uint32_t page, const struct leaf_cell *cell,
                            bool *ret_keep)
{
    const struct salvage *w = context;
    int64_t last = 0;
    uint64_t first = (uint64_t)cell->id & SEQUENCE_MAX;
    uint64_t done = w->at.seek > w->at.low ? w->at.seek : w->at.low;
    bool is_old = page_scan_knows_free(w->scan) && page_scan_is_free(w->scan, page);
    *ret_keep = !is_old && leaf_cell_last(cell, &last) && last >= (int64_t)first &&
                cell->id > row_id(w->at.stream, done) &&
                salvage_wants(w, (uint16_t)(cell->id >> 48), (struct range){first, (uint64_t)last});
    return ERR_OK;
}

static enum err scan_steps(struct salvage *w, struct why *why)
{
    uint64_t until = clock_monotonic_us() + SALVAGE_US_MAX;
    enum err e = w->scan ? ERR_OK : page_scan_open(&w->scan, w->source, PAGE_SCAN_WINDOW, why);
    if (!e && !w->scan_begun) {
        page_scan_begin(w->scan);
        w->scan_begun = true;
    }
    for (unsigned i = 0;
         !e && i < SALVAGE_BYTES_MAX / PAGE_SIZE && (i == 0 || clock_monotonic_us() < until); i++) {
        e = page_scan_step(w->scan, keep_wanted, w, why);
    }
    return e;
}

enum err salvage_scan_turn(struct salvage *w)
{
    struct why why = {""};
    enum err e = scan_steps(w, &why);
    if (e == ERR_CLOSED) {
        w->scan_due = false;
        w->scan_begun = false;
    } else if (e) {
        log_warn("buffer", "its salvage waits: %s", why.text);
        return ERR_AGAIN;
    }
    return ERR_OK;
}

/* --- what was found --- */

/* Of a row that was seen here and there: what the tree gives under its key, if it does. Else what
 * stands in a page, unless that was freed: what it has is of earlier. Where not all is known that was
 * freed, the tree is believed when it says that there is no such row. */
static enum err found_read(struct salvage *w, const struct page_found *found, size_t count,
                           struct found_row *ret, struct why *why)
{
    uint16_t stream = (uint16_t)(found->id >> 48);
    uint64_t first = (uint64_t)found->id & SEQUENCE_MAX;
    int code = salvage_seek_one(w, stream, first);
    if (code == SQLITE_ROW && found_take(w->above, ret)) {
        return ERR_OK;
    }
    enum err e = damaged_trouble(w->source, code, why);
    if (e || (code == SQLITE_DONE && !page_scan_knows_free(w->scan))) {
        return e ? e : ERR_CORRUPT;
    }
    e = ERR_CORRUPT;
    for (size_t i = 0; e == ERR_CORRUPT && i < count; i++) {
        if (!page_scan_is_free(w->scan, found[i].page)) {
            e = page_scan_read(w->scan, &found[i], &ret->bytes, why);
            bool good = !e && found_check(ret);
            e = e || good ? e : ERR_CORRUPT;
        }
    }
    return e;
}

enum err salvage_scan_next(struct salvage *w, struct found_row *ret)
{
    struct salvage_at *at = &w->next;
    struct why why = {""};
    size_t count;
    const struct page_found *found = page_scan_above(w->scan, row_id(at->stream, at->seek), &count);
    if (!found && page_scan_has_more(w->scan)) {
        w->scan_due = true; /* behind what this pass has shown, also where nothing of it was good */
        return ERR_REJECTED;
    }
    if (!found || found->id >> 48 != at->stream) {
        return ERR_CLOSED;
    }
    uint64_t first = (uint64_t)found->id & SEQUENCE_MAX;
    enum err e = first > at->low ? found_read(w, found, count, ret, &why) : ERR_CORRUPT;
    if (e == ERR_CORRUPT) {
        at->seek = first;
        return ERR_REJECTED;
    }
    if (e) {
        log_warn("buffer", "its salvage waits: %s", why.text);
        return ERR_AGAIN;
    }
    return ERR_OK;
}

/* --- without a state --- */

struct hulls {
    struct page_scan *scan;
    struct range *of; /* each stream */
    struct why *why;
};

static enum err hull_grow(void *context, uint32_t page, const struct leaf_cell *cell,
                          bool *ret_keep)
{
    const struct hulls *hulls = context;
    struct found_row row;
    uint64_t first = (uint64_t)cell->id & SEQUENCE_MAX;
    struct range *hull = &hulls->of[cell->id >> 48];
    *ret_keep = false;
    if ((hull->first <= first && first <= hull->last) || page_scan_is_free(hulls->scan, page)) {
        return ERR_OK;
    }
    enum err e = page_scan_row(hulls->scan, cell, &row.bytes, hulls->why);
    if (e || !found_check(&row)) {
        return e == ERR_CORRUPT ? ERR_OK : e;
    }
    hull->first = hull->first == 0 || first < hull->first ? first : hull->first;
    hull->last = row.range.last > hull->last ? row.range.last : hull->last;
    return ERR_OK;
}

enum err salvage_scan_hulls(struct salvage *w, struct range *hulls, struct why *why)
{
    struct hulls context = {NULL, hulls, why};
    enum err e = page_scan_open(&context.scan, w->source, 1, why);
    for (unsigned i = 0; e == ERR_IO && i < OPEN_TRIES; i++) {
        clock_pause(IO_PAUSE_MS);
        e = page_scan_open(&context.scan, w->source, 1, why);
    }
    while (context.scan && (!e || e == ERR_IO)) { /* damage before long: damaged_trouble() */
        if (e) {
            clock_pause(IO_PAUSE_MS);
        }
        e = page_scan_step(context.scan, hull_grow, &context, why);
    }
    page_scan_close(context.scan);
    return e == ERR_CLOSED ? ERR_OK : e;
}
