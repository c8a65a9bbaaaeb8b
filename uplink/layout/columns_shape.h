/* Texts as shapes: finding what differs in them, and its columns. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_SHAPE_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_SHAPE_H

#include "uplink/layout/columns_impl.h"

#define SHAPE_MAX 64       /* shapes of a column; what is in none of them is one text as a whole */
#define SHAPE_MARK_MAX 250 /* marks of a shape, likewise */

/* --- columns_scan.c --- */

/* Puts the shape of a text: an object, an array or a number. `is_item`: of a list, whatever it is.
 * False: it is nothing of the kind, or `ret` is too small. */
bool scan_shape(struct slice text, bool is_item, struct out *ret) MUST_USE;
/* What stands for the mark at `at` of the shape, at the front of what is left of a text of it. */
size_t scan_leaf(struct slice shape, size_t at, struct slice rest) MUST_USE;
/* The next item of a list, off its front. */
struct slice scan_item(struct slice *list);
/* How many items it has. */
uint32_t scan_item_count(struct slice list);

/* A number as it is printed: mantissa / 10^fraction. */
struct printed {
    int64_t mantissa;
    unsigned fraction; /* digits behind the point */
};

/* False: it would not print back the same. */
bool scan_number(struct slice text, struct printed *ret) MUST_USE;
/* A date and time, and digits of a fraction: units of its last digit since 1970. False: it is none. */
bool scan_time(struct slice text, int64_t *ret) MUST_USE;

/* --- columns_shape.c --- */

/* Puts a string column as shapes. `texts`, of each row, are used up. `depth`: 1, 2 within a list of
 * one, ... False: it is not worth it, and nothing was put. */
bool shapes_put(struct columns_work *work, const struct table_rows *set, struct slice *texts,
                unsigned depth, bool in_bytes);

/* --- columns_printed.c --- */

/* Puts a column of printed numbers. */
void printed_put(struct columns_work *work, const struct table_rows *set, const struct slice *texts,
                 uint32_t column);

#endif
