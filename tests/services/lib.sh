# Sourced by the service scripts of this folder; not a program.
#
# A service script sets `name`, defines install, run and ready, and ends with: service "$@"
#   install   puts the pinned version below $cache (called under a lock, once)
#   run       replaces the shell by the server (exec); $dir and $port are set
#   ready     succeeds as soon as the server answers requests
#   after     optional: what to set up once it is ready
# shellcheck shell=bash
set -euo pipefail

# shellcheck disable=SC2034                       # used by the scripts
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WEIR_SERVICES_CACHE:-$(cd "$here/../.." && pwd)/build/services}
wait_s=${WEIR_SERVICES_WAIT:-180}

die() { echo "${name:-services}: $*" >&2; exit 1; }

# again COMMAND...: up to three times, for what is fetched from elsewhere
again() {
  local pause
  for pause in 5 20; do
    "$@" && return
    echo "failed, once more in $pause s: $*" >&2
    sleep $pause
  done
  "$@"
}

# once NAME COMMAND...: runs COMMAND unless it has succeeded before; parallel callers wait for the first.
once() {
  local what=$1
  shift
  mkdir -p "$cache"
  (
    flock 9
    [ -f "$cache/$what.done" ] && exit 0
    "$@" >"$cache/$what.log" 2>&1 || { tail -n 20 "$cache/$what.log" >&2; exit 1; }
    touch "$cache/$what.done"
  ) 9>"$cache/$what.lock" || die "cannot install $what, see $cache/$what.log"
}

# java_classes POM SOURCE...: fetches the jars that the pom names, compiles, and prints what goes behind java's -cp
java_classes() {
  local pom=$1 jars classes
  shift
  jars=$name-jars-$(sha256sum "$pom" | cut -c1-12)
  classes=$name-$(cat "$pom" "$@" | sha256sum | cut -c1-12)
  once "$jars" again mvn -q -B -ntp -Dstyle.color=never -f "$pom" -DoutputDirectory="$cache/$jars" dependency:copy-dependencies
  once "$classes" java_compile "$cache/$classes" "$cache/$jars/*" "$@"
  echo "$cache/$classes:$cache/$jars/*"
}

java_compile() { # java_compile FOLDER CLASSPATH SOURCE...
  rm -rf "${1:?}"
  javac --release 11 -Xlint:all,-classfile,-processing -Werror -proc:none -cp "$2" -d "$1" "${@:3}"
}

# venv NAME REQUIREMENT...
venv() {
  local to=$cache/$1
  shift
  python3 -m venv "$to" && again "$to/bin/pip" install -q --no-input "$@"
}

# npm_get NAME PACKAGE@VERSION
npm_get() { again npm install --silent --no-fund --no-audit --prefix "$cache/$1" "$2"; }

# need_go: a Go that is new enough for what is built here. Debian's is not: it then fetches the one that is, as a module.
go_version=1.26.0
need_go() {
  local minor arch
  minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 26 ] && return
  case $(uname -m) in aarch64) arch=arm64 ;; *) arch=amd64 ;; esac
  once "go-$go_version" fetch_go "golang.org/toolchain@v0.0.1-go$go_version.linux-$arch"
  PATH=$cache/go-$go_version/bin:$PATH
}
fetch_go() {
  local from
  from=$(again go mod download -json "$1" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
  mkdir -p "$cache/go-$go_version"
  cp -r --no-preserve=mode "$from/." "$cache/go-$go_version"
  chmod -R +x "$cache/go-$go_version/bin" "$cache/go-$go_version/pkg/tool"
}

# go_get MODULE/CMD@VERSION: installs to $cache/bin
go_get() {
  need_go
  GOBIN=$cache/bin GOFLAGS=-p=2 again go install -ldflags '-s -w' "$1"
}

running() {                                     # running PID: a zombie that nobody has collected does not count
  case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) return 1 ;; esac
}

# guard PID: kills it as soon as the process WEIR_TEST_OWNER is gone, if that is set: a test that is killed leaves no server behind.
guard() {
  [ -n "${WEIR_TEST_OWNER:-}" ] || return 0
  # shellcheck disable=SC2016                     # expanded by the inner shell
  setsid bash -c '
    while kill -0 "$1" && kill -0 "$2"; do sleep 1; done
    kill -0 "$1" || kill -KILL "$2"
  ' guard "$WEIR_TEST_OWNER" "$1" >/dev/null 2>&1 9>&- </dev/null &
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; } # listening PORT
http_up() { curl -s -o /dev/null --max-time 2 "$1"; }         # any HTTP answer
http_ok() { curl -sf -o /dev/null --max-time 2 "$1"; }        # an answer below 400

start() {
  [ $# -ge 2 ] || usage
  mkdir -p "$1"
  dir=$(cd "$1" && pwd)
  port=$2
  words=" ${*:3} "
  [ -f "$dir/pid" ] && running "$(cat "$dir/pid")" && die "already running in $dir"
  once "$name" install
  (run) >"$dir/log" 2>&1 9>&- </dev/null &
  echo $! >"$dir/pid"
  echo "$port" >"$dir/port"
  echo "$words" >"$dir/words"
  guard "$(cat "$dir/pid")"
  local until=$((SECONDS + wait_s))
  until ready; do
    running "$(cat "$dir/pid")" || { tail -n 20 "$dir/log" >&2; die "ended early, see $dir/log"; }
    [ $SECONDS -lt $until ] || die "not ready after $wait_s s, see $dir/log"
    sleep 0.1
  done
  if declare -F after >/dev/null; then after; fi
}

# resume DIR: starts again what start has started there, with the same words
# shellcheck disable=SC2046                       # words are apart
resume() {
  [ $# -eq 1 ] || usage
  start "$1" "$(cat "$1/port")" $(cat "$1/words")
}

stop() {
  [ $# -eq 1 ] || usage
  local pid i
  pid=$(cat "$1/pid" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || true
  for i in $(seq 100); do
    running "$pid" || break
    [ "$i" -lt 90 ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.1
  done
  rm -f "$1/pid"
}

has() { case $words in *" $1 "*) return 0 ;; esac; return 1; }  # has WORD: was it given to start?

usage() {
  sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

service() {
  local verb=${1:-}
  shift || true
  case $verb in
    install) once "$name" install ;;
    start | resume | stop) "$verb" "$@" ;;
    *) usage ;;
  esac
}
