# zstd's build asks for a C++ compiler, which only its contributed programs need; we build the library alone.
set(file ${SRC}/build/cmake/CMakeLists.txt)
file(READ ${file} text)
string(REGEX REPLACE "\n +CXX [^\n]*" "" changed "${text}")
if(changed STREQUAL text AND text MATCHES "CXX #")
  message(FATAL_ERROR "zstd: the line that asks for C++ is not where this script looks: ${file}")
endif()
file(WRITE ${file} "${changed}")

# Each way to find matches is written once and made into dozens of functions, one for each length and each kind of dictionary. Made once, with the
# lengths as variables, they are 90 KB less, and measured nearly as fast (levels 1 and 3: 0.93 to 1.03 of the speed, level 9: 0.85 to 1.10).
# What no hot path uses is built small.
set(file ${SRC}/build/cmake/lib/CMakeLists.txt)
file(READ ${file} text)
if(NOT text MATCHES "zstd_lazy.c")
  file(APPEND ${file} [[
set_source_files_properties(${LIBRARY_DIR}/compress/zstd_fast.c ${LIBRARY_DIR}/compress/zstd_double_fast.c
  ${LIBRARY_DIR}/compress/zstd_lazy.c ${LIBRARY_DIR}/compress/zstd_opt.c PROPERTIES COMPILE_OPTIONS -DZSTD_NO_INLINE)
set_source_files_properties(${LIBRARY_DIR}/compress/zstd_compress.c ${LIBRARY_DIR}/compress/zstd_ldm.c
  ${LIBRARY_DIR}/compress/zstd_compress_superblock.c ${LIBRARY_DIR}/compress/zstdmt_compress.c PROPERTIES COMPILE_OPTIONS -Os)
]])
endif()

# Dedicated dictionary search is a way to compress that nobody asks for; its table of functions keeps 20 KB in the program.
set(file ${SRC}/lib/compress/zstd_lazy.h)
file(READ ${file} text)
string(REGEX REPLACE "(_DEDICATEDDICTSEARCH(_ROW)?) ZSTD_compressBlock[a-zA-Z0-9_]*" "\\1 NULL" changed "${text}")
if(changed STREQUAL text AND NOT text MATCHES "DEDICATEDDICTSEARCH NULL")
  message(FATAL_ERROR "zstd: dedicated dictionary search is not where this script looks: ${file}")
endif()
file(WRITE ${file} "${changed}")
