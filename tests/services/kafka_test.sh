# Sourced by tests in shell that start Kafkas of their own; not a program. Sets kafka, the script that starts them (KAFKA_SH: another
# one), and work, a folder: each Kafka has one of its own in there, and ends with the test.
# shellcheck shell=bash
set -euo pipefail
export WEIR_TEST_OWNER=$$
services=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kafka=${KAFKA_SH:-$services/kafka.sh}
work=$(mktemp -d)
cleanup() {
  for d in "$work"/*/; do "$kafka" kill9 "$d" >/dev/null 2>&1 || true; done
  rm -rf "$work"
}
trap cleanup EXIT

die() { echo "$(basename "$0"): $*" >&2; exit 1; }
kafka_ports() { python3 "$services/free_ports.py" 30; }        # of three nodes

# console DIR TOPIC IDLE_MS [ARG...]: what a stock consumer reads, until nothing comes for so long
console() { "$kafka" tool "$1" org.apache.kafka.tools.consumer.ConsoleConsumer --topic "$2" --from-beginning --timeout-ms "$3" "${@:4}" 2>/dev/null; }
