/* About how many bits zstd will need for the residuals of an integer column. Whole numbers only: the
 * same on every machine. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_COST_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_COST_H

#include "uplink/layout/columns_impl.h"

#define COST_BIT 1024 /* one bit */

/* The residuals of a column, or 64 of them that stand for all. */
struct sample {
    uint32_t count;
    uint32_t total; /* of the column */
    int64_t values[SAMPLE_MAX];
};

void cost_init(struct columns_work *work);
uint64_t cost_of(struct columns_work *work, const struct sample *sample);
/* How many of a column's rows are looked at, and which is the index-th. */
uint32_t sample_count(uint32_t total);
uint32_t sample_row(uint32_t total, uint32_t index);

#endif
