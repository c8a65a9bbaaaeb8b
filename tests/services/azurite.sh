#!/usr/bin/env bash
# Azurite: Azure Blob Storage; verifies SharedKey and SAS signatures, Content-MD5 and conditions.
# usage: azurite.sh install | start DIR PORT | resume DIR | stop DIR
# Needs Node 10 or later and npm. Account devstoreaccount1 with its published test key; URL http://127.0.0.1:PORT/devstoreaccount1/CONTAINER/BLOB.
# 3.35.0 is the last version that runs on Node 18 and 20 (3.36 wants 21, 3.37 wants 22).
name=azurite-3.35.0
. "$(dirname "$0")/lib.sh"

install() { npm_get "$name" azurite@3.35.0; }

run() {
  exec node "$cache/$name/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort "$port" \
    --inMemoryPersistence --disableTelemetry --silent
}

ready() { http_up "http://127.0.0.1:$port/"; }

service "$@"
