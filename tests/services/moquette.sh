#!/usr/bin/env bash
# Moquette: another maker's MQTT 3.1.1 broker on 127.0.0.1, durable below DIR, anybody may log in.
# usage: moquette.sh install
#        moquette.sh start DIR PORT
#        moquette.sh resume DIR           start again: same data
#        moquette.sh stop DIR             clean shutdown
# Needs Java 17 and, the first time, Maven.
version=0.17
maker=moquette
. "$(dirname "$0")/java_broker.sh"

run() {
  mkdir -p "$dir/config" "$dir/data"
  printf '%s\n' "host 127.0.0.1" "port $port" "allow_anonymous true" "persistence_enabled true" "data_path $dir/data/" \
    "allow_zero_byte_client_id true" "telemetry_enabled false" >"$dir/config/moquette.conf"
  jvm -Dmoquette.path="$dir" io.moquette.broker.Server
}

service "$@"
