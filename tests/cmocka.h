/* cmocka, after the headers it wants before it. */
#ifndef WEIR_TESTS_CMOCKA_H
#define WEIR_TESTS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define HAVE_UINTPTR_T /* from stdint.h: what cmocka.h would make of it is another type with musl */
#include <cmocka.h>

#endif
