/* <assert.h> of releases: assertions stay on, and say where by file and line only. The texts of all conditions and the names of
 * all functions were 30 KB of the static program. */
#undef assert
#undef static_assert
#define assert(holds) ((holds) ? (void)0 : assert_failed(__FILE__, __LINE__))
#define static_assert _Static_assert

#ifndef WEIR_PORTS_RELEASE_ASSERT_H
#define WEIR_PORTS_RELEASE_ASSERT_H

/* Says on stderr which assertion does not hold, and aborts. */
_Noreturn void assert_failed(const char *file, int line);

#endif
