/* Doubles and floats in the fewest digits that give the same number back. Pure. */
#ifndef WEIR_PORTS_REAL_H
#define WEIR_PORTS_REAL_H

#define REAL_TEXT_SIZE 32 /* 17 digits, point, sign, exponent, NUL */

/* As "%g" writes it: "0.1", "1", "-1e+300". Finite numbers only. */
void real_of_double(double value, char ret[REAL_TEXT_SIZE]);
void real_of_float(float value, char ret[REAL_TEXT_SIZE]);

#endif
