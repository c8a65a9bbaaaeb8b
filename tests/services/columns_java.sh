#!/usr/bin/env bash
# The decoders in Java and their filter of tests/columns: fetches the jars that they need, compiles, and prints what goes behind java's -cp.
# usage: columns_java.sh
# Needs Java 11 and, the first time, Maven. About 30 MB.
name=columns-java
. "$(dirname "$0")/lib.sh"
project=$(cd "$here/../../uplink/decoders/java" && pwd)
mapfile -t sources < <(find "$project/src" "$here/../columns" -name '*.java' | sort)
jars=$name-jars-$(sha256sum "$project/pom.xml" | cut -c1-12)
classes=$name-$(cat "$project/pom.xml" "${sources[@]}" | sha256sum | cut -c1-12)

fetch() {
  again mvn -q -B -ntp -Dstyle.color=never -f "$project/pom.xml" -DoutputDirectory="$cache/$jars" dependency:copy-dependencies
}

compile() {
  rm -rf "${cache:?}/$classes"
  javac --release 11 -Xlint:all,-classfile,-processing -Werror -proc:none -cp "$cache/$jars/*" -d "$cache/$classes" "${sources[@]}"
}

once "$jars" fetch
once "$classes" compile
echo "$cache/$classes:$cache/$jars/*"
