/* What settings come to, as a number: two that are equal are the same part. */
#ifndef WEIR_CONFIG_DIGEST_H
#define WEIR_CONFIG_DIGEST_H

#include "ports/option.h"
#include "ports/slice.h"

/* Adds every value of a filled record, as it is in force (what "${...}" stood for, defaults), and
 * what the files hold that OPTION_PATH rows name, but for OPTION_DATA. ERR_NOMEM. */
enum err digest_add(uint64_t *digest, const struct option *table, const void *record) MUST_USE;
void digest_add_text(uint64_t *digest, const char *text);
void digest_add_number(uint64_t *digest, uint64_t number);

#endif
