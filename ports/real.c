#include "ports/real.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void real_of_double(double value, char ret[REAL_TEXT_SIZE])
{
    assert(isfinite(value));
    /* Every normal double keeps 15 digits; subnormals have fewer. */
    for (int digits = fabs(value) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(ret, REAL_TEXT_SIZE, "%.*g", digits, value);
        if (strtod(ret, NULL) == value) { /* the text has the sign, also of -0 */
            break;
        }
    }
}

void real_of_float(float value, char ret[REAL_TEXT_SIZE])
{
    assert(isfinite(value));
    for (int digits = fabsf(value) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        (void)snprintf(ret, REAL_TEXT_SIZE, "%.*g", digits, (double)value);
        if (strtof(ret, NULL) == value) {
            break;
        }
    }
}
