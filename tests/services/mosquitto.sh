#!/usr/bin/env bash
# mosquitto: a real MQTT 3.1.1 and 5 broker on 127.0.0.1, persistent below DIR.
# usage: mosquitto.sh install
#        mosquitto.sh start DIR PORT [WORD...] [KEY=VALUE...]
#        mosquitto.sh resume DIR          start again: same data, same settings
#        mosquitto.sh stop DIR            clean shutdown: it saves its sessions
#        mosquitto.sh kill9 DIR           SIGKILL
# Plain on PORT. tls: TLS on PORT+1; mtls: with a client certificate required there; certificates in DIR/tls (certs.sh; what is
# there already is used). auth: user weir, password weir-secret. Others KEY=VALUE are settings of mosquitto.conf.
name=mosquitto
. "$(dirname "$0")/lib.sh"

PATH=$PATH:/usr/sbin

install() { "$here/../../ports/static/packages" mosquitto mosquitto-clients; }

setting() { # setting KEY VALUE: unless the caller has given another
  case $words in *" $1="*) ;; *) echo "$1 $2" ;; esac
}

configure() {
  local word
  for word in $words; do
    case $word in *=*) echo "${word%%=*} ${word#*=}" ;; esac
  done
  setting per_listener_settings false
  setting persistence true
  setting persistence_location "$dir/"
  setting max_queued_messages 0
  setting max_queued_bytes 0
  if has auth; then echo "password_file $dir/passwd"; else setting allow_anonymous true; fi
  if [ "$(id -u)" = 0 ]; then echo "user root"; fi # else it gives up root, and can't write here
  echo "listener $port 127.0.0.1"
  if has tls || has mtls; then
    echo "listener $((port + 1)) 127.0.0.1"
    echo "cafile $dir/tls/ca.pem"
    echo "certfile $dir/tls/server.pem"
    echo "keyfile $dir/tls/server.key"
    if has mtls; then echo "require_certificate true"; fi
  fi
}

run() {
  configure >"$dir/mosquitto.conf"
  if { has tls || has mtls; } && [ ! -f "$dir/tls/ca.pem" ]; then "$here/certs.sh" "$dir/tls"; fi
  if has auth; then mosquitto_passwd -b -c "$dir/passwd" weir weir-secret; fi
  exec mosquitto -c "$dir/mosquitto.conf"
}

ready() { listening "$port"; }

case ${1:-} in
  kill9)
    [ $# -eq 2 ] || usage
    pid=$(cat "$2/pid")
    kill -9 "$pid" 2>/dev/null || true
    while running "$pid"; do sleep 0.01; done
    ;;
  *) service "$@" ;;
esac
