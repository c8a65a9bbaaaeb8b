/* Numbers as decimals: m / 10^s, whose quotient is the same number bit for bit. What machines round
 * differently is not used: a product, a quotient, casts. */
#ifndef WEIR_UPLINK_LAYOUT_COLUMNS_NUMBER_H
#define WEIR_UPLINK_LAYOUT_COLUMNS_NUMBER_H

#include "uplink/layout/columns_impl.h"

extern const double columns_power[NUMBER_SCALE_MAX + 1]; /* of 10 */

/* The bits of m / 10^scale as a signed number; in single precision rounded once more. */
int64_t number_quotient(int64_t mantissa, unsigned scale, bool is_single);
/* The value that such bits are of. */
double number_of_bits(int64_t bits, bool is_single);
/* Bits of the float that is the same value; false: there is none. */
bool number_is_float(int64_t bits, int64_t *ret);

/* Puts a number column: `bits` of doubles, or of floats; it is written over. */
void numbers_put(struct columns_work *work, int64_t *bits, uint32_t count, bool is_float,
                 const struct table_rows *set);

#endif
