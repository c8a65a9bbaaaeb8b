#!/usr/bin/env bash
# Google Pub/Sub over gRPC without TLS (HTTP/2 with prior knowledge); topics are made by the test.
# usage: pubsub.sh install | start DIR PORT [emulator | pstest] [FLAG...] | resume DIR | stop DIR
# pstest:   the fake of Google's Go client, see pubsubfake/; needs Go (see lib.sh). FLAGs: its own, -fail-every=N -fail-code=CODE, -tls=CERTIFICATE,KEY
#           for TLS on PORT+1, at -tls-host=ADDRESS, its answers larger with -as-google. All is in memory.
# emulator: Google's own, REST as well; taken where the Google Cloud CLI's package of it is on the machine (Java 11 or later).
# Without a word: pstest. DIR/kind says which one runs.
name=pubsubfake-2.8.1
. "$(dirname "$0")/lib.sh"
jar=$(find "${CLOUDSDK_ROOT:-/usr/lib/google-cloud-sdk}" -name 'cloud-pubsub-emulator-*-all.jar' 2>/dev/null | head -n 1 || true)
name=$name-$(cat "$here"/pubsubfake/* | sha256sum | cut -c -8)

install() {
  need_go
  mkdir -p "$cache/bin"
  (cd "$here/pubsubfake" && GOFLAGS=-p=2 again go build -ldflags '-s -w' -o "$cache/bin/$name" .)
}

run() {
  if has emulator; then
    [ -n "$jar" ] || die "no Pub/Sub emulator below /usr/lib/google-cloud-sdk (CLOUDSDK_ROOT)"
    echo emulator >"$dir/kind"
    exec java -Xmx192m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar "$jar" --host=127.0.0.1 --port="$port"
  fi
  echo pstest >"$dir/kind"
  local flags=() word
  for word in $words; do case $word in -*) flags+=("$word") ;; esac; done
  exec "$cache/bin/$name" -port "$port" "${flags[@]}"
}

# A gRPC call to a method that does not exist gets an answer as soon as the server is there.
ready() {
  curl -s -o /dev/null --max-time 2 --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' \
    --data-binary '' "http://127.0.0.1:$port/google.pubsub.v1.Publisher/Ready"
}

service "$@"
