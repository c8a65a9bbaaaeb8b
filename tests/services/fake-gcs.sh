#!/usr/bin/env bash
# fake-gcs-server: Google Cloud Storage, JSON API. Any token is accepted.
# usage: fake-gcs.sh install | start DIR PORT | resume DIR | stop DIR
# Needs Go (see lib.sh).
name=fake-gcs-server-1.56.1
. "$(dirname "$0")/lib.sh"

install() { go_get github.com/fsouza/fake-gcs-server@v1.56.1; }

run() {
  exec "$cache/bin/fake-gcs-server" -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" \
    -backend memory
}

ready() { http_ok "http://127.0.0.1:$port/storage/v1/b"; }

service "$@"
