#!/usr/bin/env bash
# clang-tidy over our own sources, with .clang-tidy; a finding is a failure. Minutes of CPU; WEIR_JOBS: on so many processors. usage: tests/tidy.sh [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/clang/compile_commands.json ] || cmake --preset clang >/dev/null
{
  if [ $# -gt 0 ]; then printf '%s\n' "$@"
  else find agent buffer config drivers ports uplink -name '*.c' ! -name '*.fuzz.c' ! -path 'ports/static/*'; fi
} | sort | xargs -n 4 -P "${WEIR_JOBS:-$(nproc)}" clang-tidy-14 -p build/clang --quiet 2>/dev/null
