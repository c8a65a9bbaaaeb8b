#!/usr/bin/env bash
# The arrows between folders, and the one place of each library of others. Prints the offending lines; exit 1 when there are any.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
may() { # may FOLDER INCLUDED...: files of FOLDER include nothing of ours from elsewhere
  local folder=$1 pattern
  pattern="\"($(IFS='|'; echo "${*:2}"))/"
  local found
  found=$(grep -rnE '#include "[a-z]+/' "$folder" --include='*.c' --include='*.h' | grep -vE "#include $pattern" || true)
  [ -z "$found" ] || { echo "$folder/ may include ${*:2} only:"; echo "$found"; bad=1; }
}
may ports ports
may drivers drivers ports
may buffer buffer ports
may uplink uplink ports
may config config ports
may agent agent drivers buffer uplink config ports
may uplink/avro uplink/avro ports
only() { # only HEADER FILE...: nobody else includes it
  local found
  found=$(grep -rnE "#include <$1>" agent drivers buffer uplink config ports --include='*.c' --include='*.h' |
    grep -vE "^($(IFS='|'; echo "${*:2}"))" || true)
  [ -z "$found" ] || { echo "<$1> belongs into ${*:2} only:"; echo "$found"; bad=1; }
}
only 'sqlite3\.h' buffer/
only 'zstd\.h' ports/lib/zstd\\.c
only 'zlib\.h' ports/lib/deflate\\.c
only 'curl/.*' ports/lib/http
only 'microhttpd\.h' ports/lib/http_server
only 'mbedtls/.*' ports/lib/tls ports/lib/hash\\.c ports/lib/aead\\.c ports/lib/sign\\.c
only 'MQTT.*' drivers/mqtt_paho\\.c
only 'cJSON.*|cjson/.*' ports/lib/
exit $bad
