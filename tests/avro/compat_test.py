"""Compatibility of schemas as Apache Avro's Java (SchemaCompatibility) decides it: the same verdict and the same findings, in the same
order with the same places, for pairs of which one is made by mutating the other.

usage: compat_test.py BUILD_FOLDER CLASS_PATH     WEIR_SEED, WEIR_PAIRS"""
import collections
import os
import random
import subprocess
import sys

import compat_pairs

build, class_path = sys.argv[1:]
here = os.path.dirname(os.path.abspath(__file__))
seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
count = int(os.environ.get("WEIR_PAIRS") or (100000 if os.environ.get("WEIR_LONG") == "1" else 12000))
KINDS = ("NAME_MISMATCH", "FIXED_SIZE_MISMATCH", "MISSING_ENUM_SYMBOLS", "READER_FIELD_MISSING_DEFAULT_VALUE", "TYPE_MISMATCH",
         "MISSING_UNION_BRANCH")


def answers(command, lines):
    done = subprocess.run(command, input="".join(lines), text=True, capture_output=True, timeout=1800)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.splitlines()


def java(name, lines):
    return answers(["java", "-Xshare:auto", "-XX:+UseSerialGC", "-cp", class_path, os.path.join(here, name)], lines)


def cases():
    """The rules of compat_cases.txt, with the answer that stands there; Apache Avro's own pairs, some of them compatible by its own word."""
    with open(os.path.join(here, "compat_cases.txt")) as f:
        for line in f:
            if line[0] not in "#\n":
                pair, said = line.rstrip("\n").rsplit("\t", 1)
                yield pair + "\n", said
    said = "compatible"
    for line in java("CompatPublished.java", []):
        if line:
            yield line + "\n", said
        said = said if line else None


maker = compat_pairs.Maker(random.Random(seed))
lines = ["\t".join(maker.pair()) + "\n" for _ in range(count)]
known = list(cases())
lines += [line for line, _ in known]
theirs = java("Compat.java", lines)
ours = answers([os.path.join(build, "tests", "compat_lines")], lines)
failures = 0


def check(what, good, shown=""):
    global failures
    if not good:
        failures += 1
        if failures <= 5:
            print(f"FAILED: {what} {shown}"[:3000])


check("an answer to each", len(theirs) == len(ours) == len(lines), (len(theirs), len(ours)))
for line, a, b in zip(lines, theirs, ours):
    a, b = ("invalid" if x.startswith("invalid") else x for x in (a, b))
    check("the same findings", a == b, f"\n  {line}  Java: {a}\n  ours: {b}")
for (line, said), a in zip(known, theirs[count:]):
    check("a known answer", a == (said or a), f"\n  {line}  Java: {a}\n  said: {said}")
check("there are published pairs", len(known) > 3000, len(known))
pairs = collections.Counter(k for a in theirs[:count] for k in {f.split(" ")[0] for f in a.split(";")})
compatible, invalid = pairs["compatible"] / count, pairs["invalid"] / count
shown = " ".join(f"{k}={pairs[k]}" for k in ("compatible", "invalid", "no", *KINDS))
check("30 to 70 of 100 are compatible", 0.3 <= compatible <= 0.7, shown)
check("nearly all are valid", invalid < 0.01, shown)
for kind in KINDS:
    check("enough of each kind", pairs[kind] >= min(500, count / 24), (kind, shown))
print(f"compatibility: seed={seed} pairs={count} known={len(known)} differing={failures} {shown}")
sys.exit(1 if failures else 0)
