#!/usr/bin/env bash
# versitygw: S3 over a folder; verifies SigV4 and x-amz-content-sha256, and answers a wrong signature with its own
# canonical request. Objects are plain files below DIR/data, their metadata extended attributes (DIR not on an old tmpfs).
# usage: versitygw.sh install | start DIR PORT | resume DIR | stop DIR
# Credentials: AKIDTEST / SECRETTEST, region us-east-1. Needs Go (see lib.sh).
name=versitygw-1.8.0
. "$(dirname "$0")/lib.sh"

install() { go_get github.com/versity/versitygw/cmd/versitygw@v1.8.0; }

run() {
  mkdir -p "$dir/data"
  export ROOT_ACCESS_KEY=AKIDTEST ROOT_SECRET_KEY=SECRETTEST
  exec "$cache/bin/versitygw" --port "127.0.0.1:$port" --region us-east-1 posix "$dir/data"
}

ready() { http_up "http://127.0.0.1:$port/"; }

service "$@"
