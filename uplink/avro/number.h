/* Numbers from their text (JSON's grammar, already checked), exactly. Pure. */
#ifndef WEIR_UPLINK_AVRO_NUMBER_H
#define WEIR_UPLINK_AVRO_NUMBER_H

#include "ports/err.h"
#include "ports/slice.h"

#define NUMBER_TEXT_SIZE_MAX 400 /* longer number texts are refused */
#define DECIMAL_DIGIT_MAX 500    /* numbers with more digits are refused as decimals */
#define DECIMAL_SIZE_MAX 210     /* bytes of such a number */

/* The value, when it is a whole number that fits: "12", "-3", "1.0", "25e-1" is not whole.
 * ERR_REJECTED: it is not, or does not fit. */
enum err number_to_long(struct slice text, int64_t *ret) MUST_USE;
/* The same, but refuses what is not written as an integer: "1.0", "1e3". */
enum err number_to_integer(struct slice text, int64_t *ret) MUST_USE;
struct number_size {
    int64_t before; /* digits before the point, without leading zeros */
    int64_t behind; /* and behind it, without trailing ones */
    bool is_double; /* the shortest text of its double is the same number */
};
/* False: longer than NUMBER_TEXT_SIZE_MAX. */
bool number_size_of(struct slice text, struct number_size *ret) MUST_USE;
/* Correctly rounded. ERR_REJECTED: beyond the largest finite value. */
enum err number_to_double(struct slice text, double *ret) MUST_USE;
enum err number_to_float(struct slice text, float *ret) MUST_USE;

/* The unscaled value of the number at this scale, as a big-endian two's complement integer of least
 * size (at least one byte, at most DECIMAL_SIZE_MAX). ERR_REJECTED: it has digits behind the scale
 * that are not 0, or more digits than the precision or DECIMAL_DIGIT_MAX. */
enum err number_to_decimal(struct slice text, uint32_t precision, uint32_t scale,
                           struct out *ret) MUST_USE;

/* Back: such an integer at this scale as digits, "-12.340"; zero bytes are 0. False: more bytes than
 * DECIMAL_SIZE_MAX, or a scale over DECIMAL_DIGIT_MAX; nothing was written. */
bool number_put_decimal(struct out *o, struct slice unscaled, uint32_t scale) MUST_USE;

/* The value rounded to as few digits as read back the same (at most 24 characters): "0.1",
 * "1.0e+300", "-0.0"; finite values only. */
void number_put_double(struct out *o, double value);
void number_put_float(struct out *o, float value);

#endif
