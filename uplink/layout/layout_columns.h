/* The layout `columns` among the layouts: which rows become one message. */
#ifndef WEIR_UPLINK_LAYOUT_LAYOUT_COLUMNS_H
#define WEIR_UPLINK_LAYOUT_LAYOUT_COLUMNS_H

#include "uplink/layout/layout.h"

/* Above so many events also messages of COLUMNS_GROUP events are tried. */
#define COLUMNS_GROUPED_MIN 2000
#define COLUMNS_GROUP 1000

/* Is this row one that a batch can hold, in a message of its own if need be? ERR_REJECTED: it is not;
 * else *ret is the row. */
enum err layout_columns_add(struct message *ret, const struct layout_setup *setup,
                            const struct layout_row *row) MUST_USE;

/* Turns the `count` rows in `messages` into messages, in the same place. */
enum err layout_columns_finish(const struct layout_setup *setup, struct message *messages,
                               size_t count, struct out *memory, uint32_t *ret_group) MUST_USE;

#endif
