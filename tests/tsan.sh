#!/usr/bin/env bash
# The tests that start real threads (label `threads`), built with the thread sanitizer: a data race is a failure. WEIR_JOBS. usage: tests/tsan.sh
set -euo pipefail
cd "$(dirname "$0")/.."
log=build/tsan.log
cmake --preset tsan >$log 2>&1 && cmake --build build/tsan -j "${WEIR_JOBS:-$(nproc)}" --target threads_tests >>$log 2>&1 ||
  { grep -E 'error|FAILED' -A3 $log | tail -n 40; exit 1; }
ctest --test-dir build/tsan -L '^threads$' --no-tests=error --output-on-failure
