#!/usr/bin/env bash
# The Kinesis Client Library for Java, as far as it takes aggregated records apart, and the filter of tests/kinesis around it: fetches the jars,
# compiles, and prints what goes behind java's -cp.
# usage: kcl_java.sh
# Needs Java 11 and, the first time, Maven. About 4 MB.
name=kcl-java
. "$(dirname "$0")/lib.sh"
source=$here/../kinesis/Deaggregate.java
jars=$name-jars-$(sha256sum "$here/kcl_java.xml" | cut -c1-12)
classes=$name-$(cat "$here/kcl_java.xml" "$source" | sha256sum | cut -c1-12)

fetch() {
  again mvn -q -B -ntp -Dstyle.color=never -f "$here/kcl_java.xml" -DoutputDirectory="$cache/$jars" dependency:copy-dependencies
}

compile() {
  rm -rf "${cache:?}/$classes"
  javac --release 11 -Xlint:all,-classfile,-processing -Werror -proc:none -cp "$cache/$jars/*" -d "$cache/$classes" "$source"
}

once "$jars" fetch
once "$classes" compile
echo "$cache/$classes:$cache/$jars/*"
