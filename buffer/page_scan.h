/* Inside of the buffer: rows of a damaged file, found page by page, as its tree does not lead to all of
 * them. A page counts as its log has it last, if it does. Bounded: one page a step, and a window of
 * so many rows; what lies behind it is for another pass. */
#ifndef WEIR_BUFFER_PAGE_SCAN_H
#define WEIR_BUFFER_PAGE_SCAN_H

#include "buffer/internal.h"
#include "buffer/leaf.h"

#define PAGE_SCAN_WINDOW 16384 /* rows: 512 KiB, because twice as many are kept while looking */
#define PAGE_SCAN_RECORD_MAX (400 * PAGE_SIZE) /* as SALVAGE_PAGES_MAX */

struct page_scan;

/* Where a row was seen. It need not be whole, nor of now: a page that was freed keeps its bytes. */
struct page_found {
    int64_t id;
    uint32_t page;
    uint32_t cell;
};

/* Of every cell that looks like a row: is it to be kept in the window? The error ends the step, which is
 * then made again. */
typedef enum err page_scan_cell(void *context, uint32_t page, const struct leaf_cell *cell,
                                bool *ret_keep);

/* `source` is a damaged buffer, and stays open longer. A file that is not there has no pages.
 * `window`: so many rows at most. ERR_NOMEM; others as page_scan_step(). */
enum err page_scan_open(struct page_scan **ret, struct buffer *source, size_t window,
                        struct why *why) MUST_USE;
void page_scan_close(struct page_scan *scan); /* NULL is allowed */
/* A pass from the first page on; the window is empty. */
void page_scan_begin(struct page_scan *scan);
/* One page more, of the list of free ones or of all. ERR_CLOSED: the pass is at its end, the window
 * is sorted. Others: the file can't be read for the moment, as damaged_trouble(). */
enum err page_scan_step(struct page_scan *scan, page_scan_cell *cell, void *context,
                        struct why *why) MUST_USE;
/* The row with the lowest id above `id`, and how many times it was seen, one after the other; NULL:
 * there is none in the window. */
const struct page_found *page_scan_above(const struct page_scan *scan, int64_t id,
                                         size_t *ret_count);
/* There are rows behind the window. */
bool page_scan_has_more(const struct page_scan *scan);
/* Is the page on the list of free ones, as far as that can be read? */
bool page_scan_is_free(const struct page_scan *scan, uint32_t page);
/* All of that list could be read. */
bool page_scan_knows_free(const struct page_scan *scan);
/* The whole row; its checksum is right. ERR_CORRUPT: it is not, or the row is not whole; others as
 * page_scan_step(). Its body stays until the next call. */
enum err page_scan_row(struct page_scan *scan, const struct leaf_cell *cell, struct row_bytes *ret,
                       struct why *why) MUST_USE;
/* The same of one in the window. */
enum err page_scan_read(struct page_scan *scan, const struct page_found *found,
                        struct row_bytes *ret, struct why *why) MUST_USE;

#endif
