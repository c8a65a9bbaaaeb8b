/* Values with units, as people write them: "250 ms", "64 KiB", "64 kbit/s", "50 %". The number may
 * have decimals as long as the result is whole: "1.5 s" is 1500 ms. */
#ifndef WEIR_CONFIG_UNITS_H
#define WEIR_CONFIG_UNITS_H

#include "ports/option.h"
#include "ports/slice.h"

/* Reads a DURATION (ms), SIZE (bytes), RATE (bits/s, or events/s) or SHARE (millionths).
 * ERR_CONFIG: *why says what is expected. */
enum err units_parse(const struct option *option, struct slice text, int64_t *ret,
                     struct why *why) MUST_USE;
/* The same value as text: with the largest unit that gives a whole number. */
void units_put(const struct option *option, int64_t value, struct out *ret);
/* A number as JSON writes it, with as few decimals as it has: "0.050" and "5e-2" are 5 / 10^2.
 * ERR_CONFIG: *why says what is expected. */
enum err units_parse_decimal(struct slice text, struct option_decimal *ret,
                             struct why *why) MUST_USE;
void units_put_decimal(const struct option_decimal *value, struct out *ret);
/* Does this kind have units? */
bool units_has(enum option_kind kind);
/* For texts: the units, and one example. */
const char *units_names(const struct option *option);
/* A regular expression (ECMA 262) that the texts match, for the JSON Schema. */
void units_pattern(const struct option *option, struct out *ret);

#endif
