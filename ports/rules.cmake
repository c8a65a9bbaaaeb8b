# How our own code is compiled: weir_library() and weir_program() for the folders, weir_test() for the tests.
find_package(Threads REQUIRED)
include(CheckLinkerFlag)

set(WEIR_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wold-style-definition -Wcast-qual -Wcast-align -Wformat=2 -Wundef -Wvla -Walloca
  -Wpointer-arith -Wwrite-strings -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wswitch-enum)
if(NOT WEIR_SANITIZE)
  list(APPEND WEIR_WARNINGS -Wframe-larger-than=8192)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND WEIR_WARNINGS -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  list(APPEND WEIR_WARNINGS -Wcomma -Wmissing-variable-declarations -Wunreachable-code-aggressive -Wassign-enum)
endif()
if(WEIR_WERROR)
  list(APPEND WEIR_WARNINGS -Werror)
endif()

# Socket addresses are by their nature one type seen as another: no optimisation that forbids it (-fno-strict-aliasing).
add_library(weir_rules INTERFACE)
target_compile_options(weir_rules INTERFACE ${WEIR_WARNINGS} -include ${CMAKE_SOURCE_DIR}/ports/banned.h
  -fno-common -fno-strict-aliasing -fstack-protector-strong -ffunction-sections -fdata-sections -UNDEBUG) # assertions stay on in releases
target_compile_definitions(weir_rules INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64 _TIME_BITS=64
  WEIR_VERSION="${PROJECT_VERSION}")
target_include_directories(weir_rules INTERFACE ${CMAKE_SOURCE_DIR})
target_include_directories(weir_rules SYSTEM INTERFACE ${WEIR_PREFIX}/include)
target_link_directories(weir_rules INTERFACE ${WEIR_PREFIX}/lib)
target_link_libraries(weir_rules INTERFACE Threads::Threads)
target_link_options(weir_rules INTERFACE -Wl,--gc-sections,--as-needed)
if(WEIR_FAULTS)
  target_compile_definitions(weir_rules INTERFACE WEIR_FAULTS)
endif()
if(WEIR_SANITIZE)
  target_compile_options(weir_rules INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(weir_rules INTERFACE -fsanitize=${WEIR_SANITIZE})
  if(CMAKE_C_COMPILER_ID MATCHES "Clang" AND WEIR_TESTS) # the fuzzer is led by what the code under it reaches
    target_compile_options(weir_rules INTERFACE -fsanitize=fuzzer-no-link)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "MinSizeRel" OR CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_definitions(weir_rules INTERFACE _FORTIFY_SOURCE=2)
  target_link_options(weir_rules INTERFACE -Wl,-z,relro,-z,now)
  # Assertions say where they are, from the root of the sources on; no other trace of where it was built.
  target_compile_options(weir_rules INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/= -ffile-prefix-map=${CMAKE_BINARY_DIR}/=
    -I${CMAKE_SOURCE_DIR}/ports/release)
  # Nothing unwinds the stack of a release; relative relocations take a bit each where the linker knows how.
  target_compile_options(weir_rules INTERFACE -fno-unwind-tables -fno-asynchronous-unwind-tables)
  check_linker_flag(C -Wl,-z,pack-relative-relocs WEIR_PACKS_RELOCATIONS)
  if(WEIR_PACKS_RELOCATIONS)
    target_link_options(weir_rules INTERFACE -Wl,-z,pack-relative-relocs)
  endif()
endif()

# weir_library(NAME SOURCES file... [LINKS library...]): a static library of one folder; sources are listed by hand.
# In Debug -O1: the tests take a third less time than with -O0, and a debugger still finds its way. (Not under the thread sanitizer: with
# both, gcc warns of what can't be.)
function(weir_library name)
  cmake_parse_arguments(a "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${a_SOURCES})
  if(NOT WEIR_SANITIZE MATCHES thread)
    target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O1>)
  endif()
  target_link_libraries(${name} PUBLIC weir_rules ${a_LINKS})
endfunction()

# weir_fast(file...): what every event goes through. There speed is worth more than a few hundred bytes; and under
# sanitizers these loops are slow enough without.
function(weir_fast)
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:MinSizeRel,Debug>:-O2>")
endfunction()
