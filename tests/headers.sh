#!/usr/bin/env bash
# Every header compiles alone. usage: tests/headers.sh PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
while read -r header; do
  printf '#include "%s"\ntypedef int not_empty;\n' "$header" |
    gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -isystem "$1/include" -fsyntax-only -x c - || { echo "$header does not compile alone"; bad=1; }
done < <(git ls-files '*.h')
exit $bad
