# Sourced by the scripts of MQTT brokers that come as Maven artifacts; not a program.
#
# Such a script sets `maker` (NAME.xml names its jars) and `version`, defines run, which ends with: jvm ARG...
# and ends with: service "$@"
# shellcheck shell=bash
# shellcheck disable=SC2154                       # maker, version: see above; dir, port: lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
name=$maker-$version

install() {
  again mvn -q -B -ntp -Dstyle.color=never -f "$here/$maker.xml" -D"$maker.version=$version" -DoutputDirectory="$cache/$name" \
    dependency:copy-dependencies
}

# jvm ARG...: becomes the server
jvm() { exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -cp "$cache/$name/*" "$@"; }

ready() { listening "$port"; }
