#include "ports/fault.h"

#ifdef WEIR_FAULTS
#include <stdlib.h>
#include <string.h>

bool fault_planted(const char *name)
{
    const char *planted = getenv("WEIR_FAULT");
    return planted && strcmp(planted, name) == 0;
}
#else
/* ISO C wants something in each file. */
typedef int fault_is_not_compiled_in;
#endif
