#!/usr/bin/env bash
# The decoders in Java and their filter of tests/columns: fetches the jars that they need, compiles, and prints what goes behind java's -cp.
# usage: columns_java.sh
# Needs Java 11 and, the first time, Maven. About 30 MB.
name=columns-java
. "$(dirname "$0")/lib.sh"
project=$(cd "$here/../../uplink/decoders/java" && pwd)
mapfile -t sources < <(find "$project/src" "$here/../columns" -name '*.java' | sort)
java_classes "$project/pom.xml" "${sources[@]}"
