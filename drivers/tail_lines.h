/* Where lines end: a block of bytes in, one line after the other out. Pure. */
#ifndef WEIR_DRIVERS_TAIL_LINES_H
#define WEIR_DRIVERS_TAIL_LINES_H

#include "ports/slice.h"

/* Takes the first line off the front of *block, with its newline; *ret_line is without "\n" or
 * "\r\n". Any other byte, NUL too, is part of the line. False, and nothing taken, when *block holds
 * no newline. */
bool tail_line_take(struct slice *block, struct slice *ret_line) MUST_USE;

#endif
