#!/usr/bin/env bash
# The uplink kafka against a real broker: plain, TLS with a private CA, SASL PLAIN, both; wrong password and wrong CA; crashes of
# the uplink with batches in flight; three nodes whose leaders are killed. What a stock consumer reads back must be every event
# once, in order per key.
# usage: kafka_real.sh KAFKA_SEND_PROGRAM [VERSION [PORT]]      KAFKA_SH: the script that starts brokers
. "$(dirname "$0")/../services/kafka_test.sh"
send=$1 version=${2:-4.4.0} port=${3:-$(kafka_ports)}

consume() {                                          # consume DIR TOPIC IDLE_MS: the records, as text
  console "$@" --formatter-property print.key=true | LC_ALL=C grep -a -o 'key-[0-9]*.*event-[0-9]*' || true
}
read_back() {                                        # read_back DIR TOPIC COUNT: prints the ledger, fails when it is not clean
  consume "$1" "$2" 6000 >"$work/read"
  # A cluster that has just lost a node takes its time to let a consumer in.
  [ "$(wc -l <"$work/read")" -ge "$3" ] || consume "$1" "$2" 30000 >"$work/read"
  LC_ALL=C sed -E 's/^(key-[0-9]*).*event-0*([0-9]+)$/\1 \2/' "$work/read" |
    awk -v n="$3" -v name="$2" '{c[$2]++; if ($2 <= last[$1]) moved++; last[$1] = $2}
      END {for (i = 1; i <= n; i++) {if (!c[i]) lost++; if (c[i] > 1) twice++}
           printf "kafka_real topic=%s sent=%d lost=%d twice=%d reordered=%d\n", name, n, lost, twice, moved
           exit lost + twice + moved > 0}'
}
refused() {                                          # refused WORD ARG...: must not be sent, and say WORD
  local word=$1 text seconds
  shift
  for seconds in 4 20 60; do                         # a busy broker takes its time to say no
    if text=$("$send" --topic tls --count 1 --timeout $seconds "$@" 2>&1); then die "this should have been refused: $*"; fi
    ! grep -q "$word" <<<"$text" || return 0
  done
  die "no word of \"$word\" in: $text"
}

"$kafka" start "$version" "$work/one" "$port" both >/dev/null
for t in plain tls sasl both crash; do "$kafka" topic "$work/one" $t 4 >/dev/null; done
ca=$work/one/tls/ca.pem
"$send" --brokers "127.0.0.1:$port" --topic plain --count 2000
"$send" --brokers "127.0.0.1:$((port + 1))" --topic sasl --count 2000 --user weir --password weir-secret
"$send" --brokers "localhost:$((port + 2))" --topic tls --count 2000 --ca "$ca"
"$send" --brokers "127.0.0.1:$((port + 3))" --topic both --count 2000 --ca "$ca" --user weir --password weir-secret
"$send" --brokers "127.0.0.1:$port" --topic crash --count 5000 --parcel 50 --crash 60
for t in plain sasl tls both; do read_back "$work/one" $t 2000; done
read_back "$work/one" crash 5000
refused sasl.password --brokers "127.0.0.1:$((port + 1))" --user weir --password nope
refused tls.ca --brokers "127.0.0.1:$((port + 2))" --ca /etc/ssl/certs/ca-certificates.crt
refused '"tls"' --brokers "127.0.0.1:$((port + 2))"
refused '"sasl"' --brokers "127.0.0.1:$((port + 1))"
"$kafka" stop "$work/one" >/dev/null

"$kafka" start "$version" "$work/three" "$port" nodes=3 >/dev/null
"$kafka" topic "$work/three" moved 4 3 min.insync.replicas=2 >/dev/null
touch "$work/on"                                     # it goes on until two brokers were killed, however long their start takes
"$send" --brokers "127.0.0.1:$port,127.0.0.1:$((port + 10)),127.0.0.1:$((port + 20))" --topic moved --count 20000 \
  --parcel 100 --pause 60 --crash 15 --timeout 180 --while "$work/on" >"$work/sent" &
sender=$! kills=0
for node in 1 2; do
  sleep 3
  kill -0 $sender || die "the sender has ended"
  "$kafka" kill9 "$work/three" $node && kills=$((kills + 1))
  sleep 3
  "$kafka" resume "$work/three" $node >/dev/null
done
rm "$work/on"
wait $sender
cat "$work/sent"
read_back "$work/three" moved "$(sed 's/^sent=\([0-9]*\) .*/\1/' "$work/sent")"
echo "kafka_real broker=$version kills=$kills"
