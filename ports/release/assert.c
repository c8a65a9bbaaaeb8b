#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void assert_failed(const char *file, int line)
{
    fprintf(stderr, "weir %s: %s:%d: an assertion does not hold\n", WEIR_VERSION, file, line);
    abort();
}
