/* Rows out of damaged pages: whatever the bytes are, it ends, within them, and what is given agrees with
 * what the page says. */
#include <stdlib.h>
#include <string.h>

#include "buffer/leaf.h"

#define PAGES 6
#define RECORD_MAX (3 * LEAF_PAGE_SIZE)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pages {
    uint8_t bytes[PAGES][LEAF_PAGE_SIZE];
    unsigned asked;
};

static enum err page_get(void *context, uint32_t number, uint8_t *ret)
{
    struct pages *p = context;
    p->asked++;
    if (number == 0 || number > PAGES) {
        return ERR_CORRUPT;
    }
    memcpy(ret, p->bytes[number - 1], LEAF_PAGE_SIZE);
    return ERR_OK;
}

/* The input is pieces: page, place (two bytes), length, bytes. So a short one makes large pages. */
static void pages_make(struct pages *p, struct slice input)
{
    struct slice head;
    struct slice piece;
    memset(p, 0, sizeof *p);
    while (slice_take(&input, 4, &head)) {
        size_t at = ((size_t)head.data[1] << 8 | head.data[2]) % LEAF_PAGE_SIZE;
        size_t length = head.data[3];
        length = length < input.size ? length : input.size;
        length = length < LEAF_PAGE_SIZE - at ? length : LEAF_PAGE_SIZE - at;
        if (slice_take(&input, length, &piece) && piece.size > 0) {
            memcpy(p->bytes[head.data[0] % PAGES] + at, piece.data, piece.size);
        }
    }
}

static void check_cell(struct pages *p, const uint8_t *page, const struct leaf_cell *cell)
{
    static uint8_t memory[RECORD_MAX];
    struct out record = out_over(memory, sizeof memory);
    struct leaf_row row;
    int64_t last = 0;
    if (cell->local.data < page || cell->local.size > cell->size ||
        cell->local.data + cell->local.size > page + LEAF_PAGE_SIZE) {
        abort();
    }
    bool has_last = leaf_cell_last(cell, &last);
    p->asked = 0;
    enum err e = leaf_record(cell, page_get, p, &record);
    if ((e && e != ERR_CORRUPT) || p->asked > RECORD_MAX / (LEAF_PAGE_SIZE - 4) + 1 ||
        (!e && record.size != cell->size)) {
        abort();
    }
    if (!e && leaf_row_take(out_slice(&record), &row) &&
        ((has_last && row.columns[0] != last) ||
         row.body.data + row.body.size != record.data + record.size)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pages pages;
    pages_make(&pages, (struct slice){data, size});
    for (size_t n = 0; n < PAGES; n++) {
        const uint8_t *page = pages.bytes[n];
        size_t count = leaf_cell_count(page);
        for (size_t i = 0; i < count && i < 16; i++) {
            struct leaf_cell cell;
            if (leaf_cell_take(page, i, &cell)) {
                check_cell(&pages, page, &cell);
            }
        }
    }
    return 0;
}
