#!/usr/bin/env bash
# Apache Avro for Java from its Maven artifacts: installs it and prints what goes behind java's -cp.
# usage: avro_java.sh
# Needs Java 17 and, the first time, Maven. About 6 MB.
version=1.12.0
name=avro-java-$version
. "$(dirname "$0")/lib.sh"

install() {
  again mvn -q -B -ntp -Dstyle.color=never -f "$here/avro_java.xml" -Davro.version="$version" -DoutputDirectory="$cache/$name" \
    dependency:copy-dependencies
}

once "$name" install
echo "$cache/$name/*"
