/* Rounding to multiples of a step, which a stream's `fields` may ask for: lossy, by the user's wish.
 * Pure. */
#ifndef WEIR_AGENT_QUANTIZE_H
#define WEIR_AGENT_QUANTIZE_H

#include "ports/option.h"
#include "ports/slice.h"

struct avro_node;

/* The multiple of the step (> 0) that is nearest to the value, as the double nearest to its decimals:
 * 23.45 and not 23.450000000000003. What lies between two by its decimals, 0.145 with 0.01, goes away
 * from 0, whatever side its binary fraction is on; what becomes 0 is never -0. A value of 16
 * digits or more at the step's scale, and what is no number, stays. */
double quantize_double(double value, const struct option_decimal *step);
/* The same of whole numbers, by a whole step. Where that multiple is less than `min` or more than
 * `max`, the one before it. */
int64_t quantize_long(int64_t value, int64_t step, int64_t min, int64_t max);

/* The datum of this type at the end of `o`, from `start` on: a plain int, long, float or double, or
 * a union, which is left alone where it has something else. */
void quantize_datum(const struct avro_node *node, const struct option_decimal *step, struct out *o,
                    size_t start);

#endif
