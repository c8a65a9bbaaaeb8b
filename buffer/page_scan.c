#include "buffer/page_scan.h"

#include <assert.h>
#include <stdlib.h>

#include "buffer/damage.h"
#include "buffer/wal_look.h"

/* Cells do not overlap, and have a page at most. Twice that, because damage may name one of them once
 * more; without an end, 2000 pointers of a page could lead to one cell, and that to 400 pages. */
#define CELL_BYTES_MAX (2 * PAGE_SIZE)

static_assert(LEAF_PAGE_SIZE == PAGE_SIZE, "the pages of our files");

struct page_scan {
    struct buffer *source;
    struct raw_file *file; /* NULL: it is not there */
    struct raw_file *log;
    struct wal_look look;
    struct why *why; /* of the call at hand */
    uint32_t page_count;
    uint32_t page;  /* the next one */
    uint32_t trunk; /* of the list of free pages, the next one; 0: all are read that can be */
    uint64_t free_total;
    uint64_t free_count;
    bool free_known;
    uint8_t *free_bits; /* of each page */
    struct page_found *found;
    size_t found_count;
    size_t window; /* so many of them are kept, and looked for twice as many */
    int64_t bound; /* what lies above is for another pass */
    bool more;
    struct out record;
    uint8_t bytes[PAGE_SIZE]; /* of the page at hand */
};

static uint32_t u32_be(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* --- pages --- */

/* What SQLite would use of the log: up to the last whole transaction before what is damaged. */
static bool log_has(const struct page_scan *s, uint32_t page, uint64_t *ret_offset)
{
    for (size_t i = s->look.whole; i-- > 0;) {
        if (s->look.frames[i].page == page) {
            *ret_offset = WAL_HEADER_SIZE + i * WAL_FRAME_SIZE + WAL_FRAME_HEAD_SIZE;
            return true;
        }
    }
    return false;
}

static enum err page_get(void *context, uint32_t page, uint8_t *ret)
{
    struct page_scan *s = context;
    uint64_t offset = ((uint64_t)page - 1) * PAGE_SIZE;
    if (page == 0 || page > s->page_count) {
        return ERR_CORRUPT;
    }
    struct raw_file *from = log_has(s, page, &offset) ? s->log : s->file;
    if (!from || raw_read(from, offset, ret, PAGE_SIZE) == PAGE_SIZE) {
        return from ? ERR_OK : ERR_CORRUPT;
    }
    enum err e = damaged_trouble(s->source, raw_code(from), s->why);
    return e ? e : ERR_CORRUPT;
}

static void count_pages(struct page_scan *s)
{
    uint64_t pages = s->file ? raw_size(s->file) / PAGE_SIZE : 0;
    s->page_count = pages < INT32_MAX ? (uint32_t)pages : INT32_MAX;
    for (size_t i = 0; i < s->look.whole; i++) {
        uint32_t page = s->look.frames[i].page;
        /* A page that stands in the log only lies close behind the file's end. */
        if (page > s->page_count && page <= pages + 4 * WAL_LOOK_FRAME_MAX) {
            s->page_count = page;
        }
    }
}

static enum err files_open(struct page_scan *s, struct why *why)
{
    char log[FILE_NAME_SIZE];
    log_name(log, s->source->path);
    enum err e = raw_need(s->source, s->source->path, false, &s->file, why);
    e = e ? e : raw_need(s->source, log, true, &s->log, why);
    if (!e && s->log) {
        log_look(s->log, &s->look);
        e = damaged_trouble(s->source, raw_code(s->log), why);
    }
    return e;
}

enum err page_scan_open(struct page_scan **ret, struct buffer *source, size_t window,
                        struct why *why)
{
    struct page_scan *s = calloc(1, sizeof *s);
    if (!s) {
        why_set(why, "no memory");
        return ERR_NOMEM;
    }
    assert(window > 0);
    s->source = source;
    s->window = window;
    enum err e = files_open(s, why);
    if (!e) {
        count_pages(s);
        s->free_bits = calloc(1, s->page_count / 8 + 1);
        s->found = malloc(2 * window * sizeof *s->found);
        s->record = out_over(malloc(PAGE_SCAN_RECORD_MAX), PAGE_SCAN_RECORD_MAX);
        e = s->free_bits && s->found && s->record.data ? ERR_OK : ERR_NOMEM;
    }
    if (e) {
        page_scan_close(s);
        return e;
    }
    page_scan_begin(s);
    *ret = s;
    return ERR_OK;
}

void page_scan_close(struct page_scan *s)
{
    if (s) {
        raw_close(s->file);
        raw_close(s->log);
        free(s->free_bits);
        free(s->found);
        free(s->record.data);
        free(s);
    }
}

void page_scan_begin(struct page_scan *s)
{
    s->page = 1;
    s->trunk = 0;
    s->free_count = 0;
    s->free_known = false;
    s->found_count = 0;
    s->bound = INT64_MAX;
    s->more = false;
    memset(s->free_bits, 0, s->page_count / 8 + 1);
}

/* --- the list of free pages: https://sqlite.org/fileformat2.html, 1.5 --- */

/* The first page says where it begins, and how long it is. One that stands in for it does not. */
static void free_begin(struct page_scan *s)
{
    s->trunk = u32_be(s->bytes + 32);
    s->free_total = u32_be(s->bytes + 36);
    s->free_known = !s->source->first_page && s->trunk == 0 && s->free_total == 0;
    if (s->source->first_page || s->free_total > s->page_count) {
        s->trunk = 0;
    }
}

static bool free_put(struct page_scan *s, uint32_t page)
{
    s->free_count++;
    if (page == 0 || page > s->page_count || s->free_count > s->free_total) {
        return false;
    }
    s->free_bits[page / 8] |= (uint8_t)(1u << page % 8);
    return true;
}

/* One trunk, and the pages that it names. It ends: none is counted beyond what the first page says. */
static enum err free_step(struct page_scan *s)
{
    uint32_t page = s->trunk;
    enum err e = page_get(s, page, s->bytes);
    if (e && e != ERR_CORRUPT) {
        return e;
    }
    s->trunk = 0;
    uint32_t count = e ? UINT32_MAX : u32_be(s->bytes + 4);
    bool good = count <= PAGE_SIZE / 4 - 2 && free_put(s, page);
    for (uint32_t i = 0; good && i < count; i++) {
        good = free_put(s, u32_be(s->bytes + 8 + 4 * i));
    }
    if (good) {
        s->trunk = u32_be(s->bytes);
        s->free_known = s->trunk == 0 && s->free_count == s->free_total;
    }
    return ERR_OK;
}

bool page_scan_is_free(const struct page_scan *s, uint32_t page)
{
    assert(page <= s->page_count);
    return s->free_bits[page / 8] >> page % 8 & 1;
}

bool page_scan_knows_free(const struct page_scan *s)
{
    return s->free_known;
}

/* --- the window --- */

static int compare(const void *a, const void *b)
{
    const struct page_found *x = a;
    const struct page_found *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (x->page > y->page) - (x->page < y->page);
}

static void sort(struct page_scan *s)
{
    qsort(s->found, s->found_count, sizeof *s->found, compare);
}

/* The lowest ones stay; all of an id, or none. */
static void window_cut(struct page_scan *s)
{
    sort(s);
    size_t count = s->window;
    while (count > 0 && s->found[count - 1].id == s->found[s->window].id) {
        count--;
    }
    s->found_count = count > 0 ? count : s->window; /* no file of ours has one so often */
    s->bound = s->found[s->found_count - 1].id;
    s->more = true;
}

static void window_put(struct page_scan *s, struct page_found found)
{
    if (found.id > s->bound) {
        return;
    }
    s->found[s->found_count++] = found;
    if (s->found_count == 2 * s->window) {
        window_cut(s);
    }
}

const struct page_found *page_scan_above(const struct page_scan *s, int64_t id, size_t *ret_count)
{
    size_t low = 0;
    size_t high = s->found_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->found[middle].id > id) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *ret_count = 0;
    while (low + *ret_count < s->found_count && s->found[low + *ret_count].id == s->found[low].id) {
        *ret_count += 1;
    }
    return low < s->found_count ? &s->found[low] : NULL;
}

bool page_scan_has_more(const struct page_scan *s)
{
    return s->more;
}

/* --- a pass --- */

/* Is it the key of a row that a buffer can have? */
static bool is_id(int64_t id)
{
    return id >> 48 >= 1 && id >> 48 <= STREAM_COUNT_MAX && (id & ((INT64_C(1) << 48) - 1)) > 0;
}

static enum err cells_step(struct page_scan *s, page_scan_cell *cell, void *context)
{
    struct leaf_cell c;
    int64_t last;
    size_t bytes = 0;
    size_t count = leaf_cell_count(s->bytes);
    for (size_t i = 0; i < count && i < PAGE_SIZE / 2 && bytes <= CELL_BYTES_MAX; i++) {
        bool keep = false;
        if (!leaf_cell_take(s->bytes, i, &c) || !is_id(c.id) || !leaf_cell_last(&c, &last)) {
            continue;
        }
        bytes += c.local.size;
        enum err e = cell(context, s->page, &c, &keep);
        if (e) {
            return e;
        }
        if (keep) {
            window_put(s, (struct page_found){c.id, s->page, (uint32_t)i});
        }
    }
    return ERR_OK;
}

enum err page_scan_step(struct page_scan *s, page_scan_cell *cell, void *context, struct why *why)
{
    s->why = why;
    if (s->trunk > 0) {
        return free_step(s);
    }
    if (s->page > s->page_count) {
        if (s->found_count > s->window) {
            window_cut(s);
        }
        sort(s);
        return ERR_CLOSED;
    }
    enum err e = page_get(s, s->page, s->bytes);
    if (e == ERR_OK && s->page == 1) {
        free_begin(s);
    } else if (e == ERR_OK) {
        e = cells_step(s, cell, context);
    }
    if (e && e != ERR_CORRUPT) {
        return e; /* the page is looked at again */
    }
    s->page++;
    return ERR_OK;
}

/* --- rows --- */

enum err page_scan_row(struct page_scan *s, const struct leaf_cell *cell, struct row_bytes *ret,
                       struct why *why)
{
    struct leaf_row row;
    s->why = why;
    enum err e = leaf_record(cell, page_get, s, &s->record);
    if (e) {
        return e;
    }
    if (!leaf_row_take(out_slice(&s->record), &row)) {
        return ERR_CORRUPT;
    }
    *ret = (struct row_bytes){.id = cell->id, .body = row.body};
    memcpy(ret->columns, row.columns, sizeof ret->columns);
    return row_crc(ret->id, ret->columns, ret->body) == (uint32_t)row.crc ? ERR_OK : ERR_CORRUPT;
}

enum err page_scan_read(struct page_scan *s, const struct page_found *found, struct row_bytes *ret,
                        struct why *why)
{
    struct leaf_cell cell;
    s->why = why;
    enum err e = page_get(s, found->page, s->bytes);
    if (!e && (!leaf_cell_take(s->bytes, found->cell, &cell) || cell.id != found->id)) {
        e = ERR_CORRUPT;
    }
    return e ? e : page_scan_row(s, &cell, ret, why);
}
