/* What qemu-user, which tests of boards run under, does not pass on: TCP_INFO beyond its first bytes, and
 * on machines with errors' numbers of their own the reason of a connection that failed. */
#ifndef WEIR_TESTS_PORTS_TOLD_H
#define WEIR_TESTS_PORTS_TOLD_H

#include <stdbool.h>

bool wire_is_told(void);
bool refusal_is_told(void);

#endif
