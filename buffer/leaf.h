/* Rows out of the pages of a damaged database, without its tree: the cells of a leaf, the chain of
 * overflow pages, the record. Pure; whatever the bytes are, nothing is read beyond them, and it ends.
 *
 * The format is SQLite's (https://sqlite.org/fileformat2.html): 1.6 "B-tree Pages" for the page and
 * its cells, 1.7 "Cell Payload Overflow Pages", 2.1 "Record Format". Pages have 4096 bytes, none of
 * them reserved, as every file of ours. */
#ifndef WEIR_BUFFER_LEAF_H
#define WEIR_BUFFER_LEAF_H

#include "ports/err.h"
#include "ports/slice.h"

#define LEAF_PAGE_SIZE 4096

/* A cell of a leaf of a table: a row's key, and where its record is. */
struct leaf_cell {
    int64_t id;
    uint64_t size;      /* of the record */
    struct slice local; /* its beginning, in the page */
    uint32_t overflow;  /* the page where it goes on; 0: all of it is here */
};

/* A row of the table `batch`; its body is in the record. */
struct leaf_row {
    int64_t columns[6]; /* last, n, schema, t0, t1, raw */
    int64_t crc;
    struct slice body;
};

/* Gives the LEAF_PAGE_SIZE bytes of a page. ERR_CORRUPT: there is none; others are passed on. */
typedef enum err leaf_page(void *context, uint32_t number, uint8_t *ret);

/* How many cells a page says it has; 0: it is not the leaf of a table. */
size_t leaf_cell_count(const uint8_t *page);
/* False: there can't be a cell as the page says. It stands in the page. */
bool leaf_cell_take(const uint8_t *page, size_t index, struct leaf_cell *ret) MUST_USE;
/* The column `last`, which stands in the page, not checked. False: it is not a row of `batch`. */
bool leaf_cell_last(const struct leaf_cell *cell, int64_t *ret) MUST_USE;
/* The whole record, into `ret`. ERR_CORRUPT: it is cut short, or larger than there is room for. */
enum err leaf_record(const struct leaf_cell *cell, leaf_page *page, void *context,
                     struct out *ret) MUST_USE;
/* False: it is no row of `batch`. Its checksum is not looked at. */
bool leaf_row_take(struct slice record, struct leaf_row *ret) MUST_USE;

#endif
