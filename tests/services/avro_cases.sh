#!/usr/bin/env bash
# The test cases that Apache Avro publishes, as its packages have them: prints their folder. Nothing of it is in this tree.
#   DIR/java/     the artifact org.apache.avro:avro, classifier tests: classes, schemas, container files
#   DIR/python/   the source archive of the Python package avro
# usage: avro_cases.sh
# Needs Maven, the first time. About 1 MB.
version=1.12.0
name=avro-cases-$version
. "$(dirname "$0")/lib.sh"

install() {
  local to=$cache/$name
  mkdir -p "$to/java" "$to/python"
  again mvn -q -B -ntp -Dstyle.color=never org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
    -Dartifact="org.apache.avro:avro:$version:jar:tests" -DoutputDirectory="$to"
  again "$(dirname "$("$here/readers.sh" avro)")/pip" download -q --no-input --no-deps --no-binary avro -d "$to" "avro==$version"
  python3 -m zipfile -e "$to/avro-$version-tests.jar" "$to/java"
  tar xzf "$to/avro-$version.tar.gz" -C "$to/python" --strip-components 1
}

once "$name" install
echo "$cache/$name"
