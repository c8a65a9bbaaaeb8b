#!/usr/bin/env bash
# What a real broker makes of a batch that is sent again after its answer was lost, and what we make of that (AFTER_A_CRASH.md): one rule
# a test, told by what was answered, and by what a stock consumer reads back. WEIR_LONG=1: 2.8.2, 3.9.2 and 4.4.0, else the newest.
# usage: kafka_doubt_real.sh KAFKA_RESUME_PROGRAM [VERSION...]      KAFKA_SH: the script that starts brokers
. "$(dirname "$0")/../services/kafka_test.sh"
resume=$1 versions=${*:2}
[ -n "$versions" ] || versions=4.4.0
[ "${WEIR_LONG:-0}" = 0 ] || versions="2.8.2 3.9.2 4.4.0"
tool=org.apache.kafka.tools

read_back() {                                        # read_back TOPIC COUNT TWICE: so many events are there, so many of them twice
  local idle
  for idle in 3000 20000; do                         # a busy machine takes its time to let a consumer in
    console "$at" "$1" "$idle" |
      { LC_ALL=C grep -a -o 'event-[0-9]*' || true; } | sort | uniq -c |
      awk -v n="$2" -v twice="$3" '{again += $1 - 1} END {printf "  read back: %d of %d, twice %d of %d\n", NR, n, again, twice
        exit NR != n || again != twice}' && return
  done
  die "topic $1 of $version is not as it should be"
}
check() {                                            # check TOPIC WANTED COUNT TWICE ARG...: WANTED is a pattern of what is printed
  local topic=$1 wanted=$2 count=$3 twice=$4 said
  shift 4
  said=$("$resume" --brokers "127.0.0.1:$port" --topic "$topic" "$@" 2>"$work/said") || { cat "$work/said" >&2; die "$topic on $version failed"; }
  echo "kafka_doubt broker=$version rule=$topic $said"
  # shellcheck disable=SC2254                        # it is a pattern
  case $said in $wanted) ;; *) cat "$work/said" >&2; die "$topic on $version: not $wanted" ;; esac
  eval "${mend:-:}"                                  # what keeps the consumer from reading
  read_back "$topic" "$count" "$twice"
}
delete() {                                           # delete TOPIC: prints the command that deletes all that is there
  printf '{"version":1,"partitions":[{"topic":"%s","partition":0,"offset":-1},{"topic":"%s","partition":1,"offset":-1}]}' \
    "$1" "$1" >"$work/$1.json"
  echo "'$kafka' tool '$at' $tool.DeleteRecordsCommand --offset-json-file '$work/$1.json' >/dev/null"
}
options="auto.create.topics.enable=true num.partitions=2"
start() {                                            # topics are made when they are sent to
  at=$work/$1
  # shellcheck disable=SC2086
  "$kafka" start "$version" "$at" "$port" $options "${@:2}" >/dev/null
}

for version in $versions; do
  port=$(kafka_ports)
  start "$version"
  again="'$kafka' resume '$at' >/dev/null"
  restart="'$kafka' stop '$at' >/dev/null && $again"
  crash="'$kafka' kill9 '$at' >/dev/null && $again"
  anew="'$kafka' tool '$at' $tool.TopicCommand --delete --topic anew && until '$kafka' topic '$at' anew 2 >/dev/null 2>&1; do sleep 0.5; done"
  refuse="echo message.max.bytes=100 >>'$at/1/server.properties' && $restart"
  check restart 'ok=2 again=2 *in_doubt=0 *' 400 0 --between "$restart"
  check twice 'ok=2 again=2 *in_doubt=0 *' 400 0 --between "$crash && $crash"
  check later 'ok=2 again=0 *in_doubt=0 *' 440 0 --between "$restart" --later 1     # 45, and the leader is asked
  mend="sed -i '\$d' '$at/1/server.properties' && $restart" \
    check refusal 'ok=2 again=0 *in_doubt=0 *' 400 0 --between "$refuse"              # 10, and the leader is asked
  # The log's beginning is deleted, with the batch; others write on. The memory stays, unless nothing is left in the partition.
  check deleted 'ok=2 again=2 *in_doubt=0 *' 400 0 \
    --between "$(delete deleted) && '$resume' --brokers 127.0.0.1:$port --topic deleted >/dev/null 2>&1 && $restart"
  check emptied 'ok=2 again=0 *in_doubt=0 *' 200 0 --between "$(delete emptied) && $restart"
  check anew 'ok=2 again=0 *in_doubt=0 *' 200 0 --between "$anew"                   # rightly taken as new
  # Another cluster in its place, whose first producer ids are somebody else's: nothing goes there under old numbers.
  other="'$kafka' stop '$at' >/dev/null && '$kafka' start $version '$at-other' $port $options >/dev/null"
  check other 'ok=0 again=0 refused=2 in_doubt=2 *' 200 0 --between "$other"
  "$kafka" stop "$at-other" >/dev/null

  # The memory of producers ends after two seconds. Where it ended the log is read, if that is allowed.
  expiry=producer.id.expiration.ms
  case $version in [012].*) expiry=transactional.id.expiration.ms ;; esac
  start "$version-short" $expiry=2000
  restart="sleep 3; '$kafka' stop '$at' >/dev/null && '$kafka' resume '$at' >/dev/null"
  check expired 'ok=2 again=0 refused=0 in_doubt=0 *' 400 0 --between "$restart" --age 25 --read 1048576
  check unread 'ok=0 again=0 refused=2 in_doubt=2 *' 400 200 --between "$restart" --age 25
  "$kafka" stop "$at" >/dev/null

  # The leader dies between send and resend: another node leads, and knows the last five batches of a producer.
  start "$version-three" nodes=3
  for dies in 2 3; do                                # the node that is asked first stays
    topic=moved later=0 other=$((5 - dies))
    [ "$dies" = 2 ] || topic=moved-later later=1
    "$kafka" tool "$at" $tool.TopicCommand --create --topic $topic --config min.insync.replicas=2 \
      --replica-assignment "$dies:$other:1,$dies:1:$other" >/dev/null
    mend="'$kafka' resume '$at' $dies >/dev/null" \
      check $topic 'ok=2 again=2 *in_doubt=0 *' $((400 + 40 * later)) 0 --between "'$kafka' kill9 '$at' $dies" --later $later
  done
  "$kafka" kill9 "$at"
done
