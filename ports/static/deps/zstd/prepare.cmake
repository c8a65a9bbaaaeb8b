# zstd's build asks for a C++ compiler, which only its contributed programs need; we build the library alone.
set(file ${SRC}/build/cmake/CMakeLists.txt)
file(READ ${file} text)
string(REGEX REPLACE "\n +CXX [^\n]*" "" changed "${text}")
if(changed STREQUAL text AND text MATCHES "CXX #")
  message(FATAL_ERROR "zstd: the line that asks for C++ is not where this script looks: ${file}")
endif()
file(WRITE ${file} "${changed}")
