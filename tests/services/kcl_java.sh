#!/usr/bin/env bash
# The Kinesis Client Library for Java, as far as it takes aggregated records apart, and the filter of tests/kinesis around it: fetches the jars,
# compiles, and prints what goes behind java's -cp.
# usage: kcl_java.sh
# Needs Java 11 and, the first time, Maven. About 4 MB.
name=kcl-java
. "$(dirname "$0")/lib.sh"
java_classes "$here/kcl_java.xml" "$here/../kinesis/Deaggregate.java"
