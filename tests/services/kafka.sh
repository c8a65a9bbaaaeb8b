#!/usr/bin/env bash
# A real Apache Kafka for tests: one to nine nodes on the loopback address, everything below one directory.
# See README.md for the exact commands. Needs Java 17, Maven (first use of a release only) and openssl (for TLS).
set -euo pipefail

usage() {
  cat >&2 <<'EOF'
usage: kafka.sh jars   VERSION                               fetch the jars of a release into the cache
       kafka.sh start  VERSION DIR PORT [WORD...] [KEY=VALUE...]
       kafka.sh resume DIR [NODE]                            start again: same data, same settings
       kafka.sh stop   DIR [NODE]                            clean shutdown
       kafka.sh kill9  DIR [NODE]                            SIGKILL
       kafka.sh topic  DIR NAME [PARTITIONS [REPLICAS [KEY=VALUE...]]]
       kafka.sh tool   DIR CLASS ARG...                      run a Java tool with --bootstrap-server set
       kafka.sh port   DIR plain|sasl|ssl|sasl_ssl [NODE]    print a listener's port
words: sasl (SASL_PLAINTEXT), ssl (SSL), both (SASL_SSL as well), mtls (ssl, client certificate required),
       oauth (OAUTHBEARER on the SASL listeners, with tokens that nobody signs),
       acl (nothing is allowed on the SASL and SSL listeners without an ACL), nodes=N,
       advertise=+N (the SASL_PLAINTEXT listener is said to be N ports above a node's first: a proxy's)
others KEY=VALUE are broker properties. VERSION below 3.0 runs with ZooKeeper, all others with KRaft.
EOF
  exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
cache=${WEIR_SERVICES_CACHE:-$(cd "$here/../.." && pwd)/build/services}/kafka
tools_version=4.3.1        # the admin tools of this release talk to every broker from 2.1 on
wait_s=${WEIR_SERVICES_WAIT:-180}
users="weir:weir-secret guest:guest-secret"
java_opts=(-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Djava.awt.headless=true
  -Dorg.slf4j.simpleLogger.showDateTime=true '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS')

die() { echo "kafka.sh: $*" >&2; exit 1; }

# fetch ARTIFACT VERSION NAME: copy the jars once; the rename makes parallel callers safe.
fetch() {
  local to=$cache/$3
  [ -d "$to" ] && return
  mkdir -p "$cache"
  local tmp said pause
  tmp=$(mktemp -d "$cache/tmp.XXXXXX")
  for pause in 5 20 0; do                            # a network may fail for a moment
    said=$(mvn -q -B -ntp -Dstyle.color=never -f "$here/pom.xml" -Dkafka.artifact="$1" -Dkafka.version="$2" \
      -DoutputDirectory="$tmp" dependency:copy-dependencies 2>&1) && break
    [ "$pause" != 0 ] || { rm -rf "$tmp"; die "cannot fetch $1 $2: $said"; }
    sleep "$pause"
  done
  mv -T "$tmp" "$to" 2>/dev/null || rm -rf "$tmp"
}

broker_java() { java "${java_opts[@]}" -cp "$cache/$version/*" "$@"; }

running() {                                          # running PID: a zombie that nobody has collected does not count
  case $(ps -o stat= -p "$1") in '') return 1 ;; Z*l*) return 0 ;; Z*) return 1 ;; *) return 0 ;; esac
}

alive() { [ -f "$1" ] && running "$(cat "$1")"; }

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# known_brokers PORT: how many brokers the node there names in its Metadata answer (v1, no topics); 0 when it is silent
known_brokers() {
  local hex
  hex=$({ exec 3<>"/dev/tcp/127.0.0.1/$1" &&
    printf '\0\0\0\016\0\003\0\001\0\0\0\001\377\377\0\0\0\0' >&3 &&
    timeout 2 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n'; } 2>/dev/null) || true
  hex=${hex:16:8}                                    # after the size and the correlation id
  echo $((16#${hex:-0}))
}

# load DIR: the settings that start has written
load() {
  dir=$(cd "$1" 2>/dev/null && pwd) || die "no such directory: $1"
  [ -f "$dir/settings" ] || die "not started by kafka.sh: $dir"
  # shellcheck disable=SC1091
  . "$dir/settings"
}

node_port() { echo $((port + 10 * ($1 - 1))); }      # +0 plain, +1 sasl, +2 ssl, +3 sasl_ssl, +4 controller/ZooKeeper

# --- certificates: a CA, one for the brokers (localhost, 127.0.0.1), one for a client ------------------------------

make_cert() {                                        # make_cert NAME CN
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" \
    -keyout "$1.key" -out "$1.csr" 2>/dev/null
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" \
    -out "$1.pem" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
}

make_tls() (
  mkdir -p "$dir/tls"
  cd "$dir/tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=kafka test CA" \
    -keyout ca.key -out ca.pem 2>/dev/null
  make_cert broker localhost
  make_cert client weir
  # Java wants a keystore: releases before 3.0 refuse a PEM one whose key is not encrypted
  openssl pkcs12 -export -in broker.pem -inkey broker.key -out broker.p12 -password pass:test
)

# --- configuration -------------------------------------------------------------------------------------------------

write_properties() {                                 # write_properties NODE
  local n=$1 p listeners map user m voters="" i replicas
  p=$(node_port "$n")
  replicas=$((nodes < 3 ? nodes : 3))
  listeners="PLAINTEXT://127.0.0.1:$p"
  [ "$sasl" = 1 ] && listeners+=",SASL_PLAINTEXT://127.0.0.1:$((p + 1))"
  [ "$ssl" = 1 ] && listeners+=",SSL://127.0.0.1:$((p + 2))"
  [ "$sasl$ssl" = 11 ] && listeners+=",SASL_SSL://127.0.0.1:$((p + 3))"
  map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
  for i in $(seq "$nodes"); do voters+="${voters:+,}$i@127.0.0.1:$(($(node_port "$i") + 4))"; done
  {
    echo "log.dirs=$dir/$n/data"
    echo "inter.broker.listener.name=PLAINTEXT"
    echo "advertised.listeners=${listeners/SASL_PLAINTEXT:\/\/127.0.0.1:$((p + 1))/SASL_PLAINTEXT:\/\/127.0.0.1:$((p + advertise))}"
    if [ "$zookeeper" = 1 ]; then
      echo "broker.id=$n"
      echo "listeners=$listeners"
      echo "listener.security.protocol.map=$map"
      echo "zookeeper.connect=127.0.0.1:$((port + 4))"
      echo "zookeeper.session.timeout.ms=6000"
    else
      echo "node.id=$n"
      echo "process.roles=broker,controller"
      echo "listeners=$listeners,CONTROLLER://127.0.0.1:$((p + 4))"
      echo "listener.security.protocol.map=$map"
      echo "controller.listener.names=CONTROLLER"
      echo "controller.quorum.voters=$voters"
      echo "broker.heartbeat.interval.ms=500"
      echo "broker.session.timeout.ms=2000"
    fi
    # small and quick
    echo "num.network.threads=2"
    echo "num.io.threads=2"
    echo "background.threads=2"
    echo "log.cleaner.dedupe.buffer.size=4194304"
    echo "group.initial.rebalance.delay.ms=0"
    echo "num.partitions=1"
    echo "default.replication.factor=$replicas"
    echo "min.insync.replicas=1"
    for i in offsets.topic transaction.state.log share.coordinator.state.topic; do
      echo "$i.num.partitions=2"
      echo "$i.replication.factor=$replicas"
      [ "$i" = offsets.topic ] || echo "$i.min.isr=1"
    done
    echo "auto.create.topics.enable=false"
    if [ "$sasl" = 1 ]; then
      echo "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512$([ "$oauth" = 1 ] && echo ,OAUTHBEARER)"
      for i in sasl_plaintext sasl_ssl; do
        printf 'listener.name.%s.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required' "$i"
        for user in $users; do printf ' user_%s="%s"' "${user%%:*}" "${user#*:}"; done
        printf ';\n'
        [ "$oauth" = 0 ] || echo "listener.name.$i.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";"
        for m in scram-sha-256 scram-sha-512; do
          echo "listener.name.$i.$m.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;"
        done
      done
    fi
    if [ "$ssl" = 1 ]; then
      echo "ssl.keystore.type=PKCS12"
      echo "ssl.keystore.location=$dir/tls/broker.p12"
      echo "ssl.keystore.password=test"
      echo "ssl.key.password=test"
      echo "ssl.truststore.type=PEM"
      echo "ssl.truststore.location=$dir/tls/ca.pem"
      echo "ssl.client.auth=$([ "$mtls" = 1 ] && echo required || echo none)"
    fi
    if [ "$acl" = 1 ]; then
      if [ "$zookeeper" = 1 ]; then
        echo "authorizer.class.name=kafka.security.authorizer.AclAuthorizer"
      else
        echo "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"
      fi
      echo "super.users=User:ANONYMOUS"              # whoever comes through the PLAINTEXT listener
    fi
    for i in "${extra[@]}"; do echo "$i"; done
  } >"$dir/$n/server.properties"
}

format() {                                           # format NODE (KRaft)
  local args=() user m
  if [ "$sasl" = 1 ]; then
    for user in $users; do
      for m in SCRAM-SHA-256 SCRAM-SHA-512; do
        args+=(--add-scram "$m=[name=${user%%:*},password=${user#*:}]")
      done
    done
  fi
  broker_java kafka.tools.StorageTool format -t "$cluster_id" -c "$dir/$1/server.properties" "${args[@]}" \
    >"$dir/$1/format.log" 2>&1 || { cat "$dir/$1/format.log" >&2; die "cannot format node $1"; }
}

# --- processes -----------------------------------------------------------------------------------------------------

launch() {                                           # launch NAME CLASS CONFIG: in the background, pid in DIR/NAME/pid
  local at=$dir/$1
  [ -f "$at/log" ] && cat "$at/log" >>"$at/log.old"
  : >"$at/log"                                       # there before the first look at it
  "$here/guard" "$at/pid" java "${java_opts[@]}" -cp "$cache/$version/*" "$2" "$3" >"$at/log" 2>&1
}

start_zookeeper() {
  alive "$dir/zk/pid" && return
  mkdir -p "$dir/zk/data"
  printf '%s\n' "dataDir=$dir/zk/data" "clientPort=$((port + 4))" "clientPortAddress=127.0.0.1" "tickTime=500" \
    "admin.enableServer=false" "maxClientCnxns=0" >"$dir/zk/zoo.cfg"
  launch zk org.apache.zookeeper.server.quorum.QuorumPeerMain "$dir/zk/zoo.cfg"
  for _ in $(seq $((wait_s * 10))); do
    listening $((port + 4)) && return
    alive "$dir/zk/pid" || break
    sleep 0.1
  done
  tail -5 "$dir/zk/log" >&2
  die "ZooKeeper did not start, see $dir/zk/log"
}

run_nodes() {                                        # run_nodes NODE...: start, then wait for all of them
  local n tries=0 up=0
  fetch kafka_2.13 "$version" "$version"             # the cache may be another one, or emptied
  [ "$zookeeper" = 1 ] && start_zookeeper
  for n in "$@"; do
    alive "$dir/$n/pid" || launch "$n" kafka.Kafka "$dir/$n/server.properties"
  done
  for n in $(seq "$nodes"); do alive "$dir/$n/pid" && up=$((up + 1)); done
  for n in "$@"; do
    for _ in $(seq $((wait_s * 10))); do
      # ready: it knows all nodes that run, itself among them
      [ "$(known_brokers "$(node_port "$n")")" -ge "$up" ] && continue 2
      if ! alive "$dir/$n/pid"; then                 # ZooKeeper still holds the killed broker's session: try again
        tries=$((tries + 1))
        [ "$zookeeper" = 1 ] && [ "$tries" -le 5 ] || break
        sleep 1
        launch "$n" kafka.Kafka "$dir/$n/server.properties"
      fi
      sleep 0.1
    done
    grep -E 'ERROR|FATAL|Exception' "$dir/$n/log" | head -5 >&2
    die "node $n did not start, see $dir/$n/log"
  done
}

end_process() {                                      # end_process SIGNAL NAME: signal, then wait until it is gone
  local file=$dir/$2/pid pid
  alive "$file" || { rm -f "$file"; return 0; }
  pid=$(cat "$file")
  kill "-$1" "$pid" 2>/dev/null || true                # it may have ended just now
  for _ in $(seq 2400); do
    running "$pid" || { rm -f "$file"; return 0; }
    sleep 0.05
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$file"
  die "node $2 did not end in 120 s and was killed"
}

end_nodes() {                                        # end_nodes SIGNAL [NODE]
  local n
  if [ -n "${2:-}" ]; then end_process "$1" "$2"; return; fi
  # all at once: the last ones could not find a controller for an orderly end otherwise
  if [ "$1" = TERM ]; then
    for n in $(seq "$nodes"); do alive "$dir/$n/pid" && kill -TERM "$(cat "$dir/$n/pid")" 2>/dev/null || true; done
  fi
  for n in $(seq "$nodes"); do end_process "$1" "$n"; done
  end_process "$1" zk
}

# --- commands ------------------------------------------------------------------------------------------------------

cmd_start() {
  [ $# -ge 3 ] || usage
  version=$1 port=$3 nodes=1 sasl=0 ssl=0 mtls=0 acl=0 oauth=0 zookeeper=0 advertise=1 extra=()
  mkdir -p "$2"
  dir=$(cd "$2" && pwd)
  [ ! -f "$dir/settings" ] || die "already used: $dir (resume it, or remove it)"
  shift 3
  local word n
  for word in "$@"; do
    case $word in
      plain) ;;
      sasl) sasl=1 ;;
      ssl) ssl=1 ;;
      both) sasl=1 ssl=1 ;;
      mtls) ssl=1 mtls=1 ;;
      acl) acl=1 ;;
      oauth) oauth=1 ;;
      nodes=[1-9]) nodes=${word#nodes=} ;;
      advertise=+[0-9]) advertise=${word#advertise=+} ;;
      *=*) extra+=("$word") ;;
      *) usage ;;
    esac
  done
  case $version in [012].*) zookeeper=1 ;; esac
  fetch kafka_2.13 "$version" "$version"
  cluster_id=$(head -c 16 /dev/urandom | base64 | tr '+/' 'ab' | cut -c1-22)
  [ "$ssl" = 1 ] && make_tls
  for n in $(seq "$nodes"); do
    mkdir -p "$dir/$n"
    write_properties "$n"
  done
  if [ "$zookeeper" = 0 ]; then
    local jobs=()
    for n in $(seq "$nodes"); do format "$n" & jobs+=($!); done
    for n in "${jobs[@]}"; do wait "$n" || exit 1; done
  fi
  printf '%s=%s\n' version "$version" port "$port" nodes "$nodes" zookeeper "$zookeeper" >"$dir/settings"
  trap 'end_nodes KILL' EXIT                         # a start that fails leaves no process behind
  if [ "$zookeeper$sasl" = 11 ]; then
    start_zookeeper
    for word in $users; do
      broker_java kafka.admin.ConfigCommand --zookeeper "127.0.0.1:$((port + 4))" --alter --entity-type users \
        --entity-name "${word%%:*}" \
        --add-config "SCRAM-SHA-256=[password=${word#*:}],SCRAM-SHA-512=[password=${word#*:}]" >"$dir/scram.log" 2>&1
    done
  fi
  # shellcheck disable=SC2046
  run_nodes $(seq "$nodes")
  trap - EXIT
}

cmd_resume() {
  load "$1"
  # shellcheck disable=SC2046,SC2086
  run_nodes ${2:-$(seq "$nodes")}
}

cmd_tool() {
  load "$1"
  local class=$2
  shift 2
  fetch kafka-tools "$tools_version" "tools-$tools_version"
  java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$cache/tools-$tools_version/*" "$class" --bootstrap-server "127.0.0.1:$port" "$@"
}

cmd_topic() {
  [ $# -ge 2 ] || usage
  local at=$1 name=$2 partitions=${3:-1} replicas=${4:-1} pair args=()
  shift $(($# < 4 ? $# : 4))
  for pair in "$@"; do args+=(--config "$pair"); done
  cmd_tool "$at" org.apache.kafka.tools.TopicCommand --create --topic "$name" \
    --partitions "$partitions" --replication-factor "$replicas" "${args[@]}"
}

cmd_port() {
  load "$1"
  local p
  p=$(node_port "${3:-1}")
  case ${2:-} in
    plain) echo "$p" ;;
    sasl) echo $((p + 1)) ;;
    ssl) echo $((p + 2)) ;;
    sasl_ssl) echo $((p + 3)) ;;
    *) usage ;;
  esac
}

[ $# -ge 2 ] || usage
verb=$1
shift
case $verb in
  jars) fetch kafka_2.13 "$1" "$1"; fetch kafka-tools "$tools_version" "tools-$tools_version" ;;
  start) cmd_start "$@" ;;
  resume) cmd_resume "$@" ;;
  stop) load "$1"; end_nodes TERM "${2:-}" ;;
  kill9) load "$1"; end_nodes KILL "${2:-}" ;;
  topic) cmd_topic "$@" ;;
  tool) [ $# -ge 2 ] || usage; cmd_tool "$@" ;;
  port) cmd_port "$@" ;;
  *) usage ;;
esac
