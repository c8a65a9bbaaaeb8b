#!/usr/bin/env bash
# Every C file is laid out as .clang-format says (clang-format 14).
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.c' '*.h' | xargs clang-format-14 --dry-run -Werror
