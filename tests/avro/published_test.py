"""The test cases that Apache Avro publishes, read from its packages: weir must decide and write as they say.

usage: published_test.py BUILD_FOLDER CASES CLASS_PATH      CASES: what avro_cases.sh prints"""
import collections
import glob
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
import warnings

import avro.datafile
import avro.io

from avro_values import graph, native, norm, sort

warnings.simplefilter("ignore")
build, cases, class_path = sys.argv[1:4]
here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.TemporaryDirectory(prefix="weir-avro.")
counts = collections.Counter()
failures = []


def check(group, good, *shown):
    counts[group] += 1
    if not good:
        failures.append(group)
        print(f"FAILED: {group}\n  " + "\n  ".join(str(s)[:2000] for s in shown))


def weir(*words, data=None):
    return subprocess.run([os.path.join(build, "weir"), *words], input=data, capture_output=True, timeout=120)


def lines(tasks):
    """The answers of avro_lines, as [verdict, words...]."""
    text = "".join("\t".join(t) + "\n" for t in tasks).encode()
    p = subprocess.run([os.path.join(build, "tests", "avro_lines")], input=text, capture_output=True, timeout=300, check=True)
    return [line.split("\t") for line in p.stdout.decode().split("\n")[:-1]]


def one_line(text):
    return text.replace("\n", " ").replace("\t", " ")


def python_module(name):
    """A module of the source archive's tests."""
    sys.path.insert(0, os.path.join(cases, "python"))
    for loaded in [m for m in sys.modules if m == "avro" or m.startswith("avro.")]:
        del sys.modules[loaded]
    module = __import__(f"avro.test.{name}", fromlist=["test"])
    assert module.__file__.startswith(cases), module.__file__
    return module


# --- the source archive of Python's avro ---

def test_python_schemas(module):
    examples = module.EXAMPLES + module.OTHER_PROP_EXAMPLES
    texts = [one_line(e.data if isinstance(e.data, str) else json.dumps(e.data)) for e in examples]
    for e, text, answer in zip(examples, texts, lines([("S", t) for t in texts])):
        check("Python's schemas", (answer[0] == "ok") == (type(e).__name__ == "ValidTestSchema"), text, answer)
    check("there are enough", len(examples) > 90)
    fingerprints = module.FINGERPRINT_EXAMPLES
    for (text, wanted), answer in zip(fingerprints, lines([("S", one_line(e[0])) for e in fingerprints])):
        crc = bytes.fromhex(wanted[0])[::-1].hex()            # the least significant byte is written first there
        check("Python's fingerprints", is_repeated(text) or answer[2:] == [crc, *wanted[1:]], text, answer, wanted)


def is_repeated(text):
    """Python writes a named type's definition again where only its name may stand: these cases are of no use."""
    return "handshakerequest" in text.replace("_", "").lower()


class Canonical:
    """Stands in for a schema of Apache's: its canonical form is ours."""

    def __init__(self, text, *_, **__):
        self.canonical_form = lines([("S", one_line(text))])[0][1]


def test_python_canonical(module):
    """Apache's own test methods, which ask for the canonical form of schemas, about ours."""
    module.avro.schema.parse, parse = Canonical, module.avro.schema.parse
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(module.CanonicalFormTestCase)
    result = unittest.TestResult()
    suite.run(result)
    module.avro.schema.parse = parse
    for test, said in result.failures + result.errors:
        check("Python's canonical forms", is_repeated(test.id()), test.id(), said)
    counts["Python's canonical forms"] += result.testsRun
    check("there are enough", result.testsRun > 15)


def native_json(schema, datum):
    """A datum of the examples in Avro's JSON encoding; None: one of a logical type, or of a union."""
    try:
        text = json.dumps(datum.decode("latin-1") if isinstance(datum, bytes) else datum)
    except TypeError:
        return None
    return None if '"logicalType"' in schema or '["' in schema else text


def test_python_values(module):
    for number, hexed in module.BINARY_ENCODINGS:
        wanted = hexed.decode().replace(" ", "")
        for kind in ("int", "long"):
            answers = lines([("E", f'"{kind}"', str(number)), ("R", f'"{kind}"', f'"{kind}"', wanted)])
            check("Python's binary encodings", answers == [["ok", wanted], ["ok", str(number)]], number, answers)
    for schema, datum in module.SCHEMAS_TO_VALIDATE:
        text = native_json(schema, datum)
        if text is not None:
            answer = lines([("E", schema, text)])[0]
            o = io.BytesIO()
            module.avro.io.DatumWriter(module.avro.schema.parse(schema)).write(datum, module.avro.io.BinaryEncoder(o))
            check("Python's values", answer == ["ok", o.getvalue().hex()], schema, text, answer)
    record = json.dumps({"type": "record", "name": "Test", "fields": [{"name": c, "type": "int"} for c in "ABCDEFG"]})
    for kind, default in module.DEFAULT_VALUE_EXAMPLES:
        reader = json.dumps({"type": "record", "name": "Test", "fields": [{"name": "H", "type": kind, "default": default}]})
        answer = lines([("R", record, reader, "02040608" "0a0c0e")])[0]
        said = json.loads(answer[1])["H"] if answer[0] == "ok" else None
        said = said["int"] if isinstance(kind, list) and said else said
        check("Python's defaults", answer[0] == "ok" and said == default, reader, answer)
    promotions = ("int", "long", "float", "double")
    for i, writer in enumerate(promotions):
        for reader in promotions[i + 1:]:
            datum = lines([("E", f'"{writer}"', "219")])[0][1]
            answer = lines([("R", f'"{writer}"', f'"{reader}"', datum)])[0]
            check("Python's promotions", answer[0] == "ok" and float(answer[1]) == 219, writer, reader, answer)


# --- the tests of Java's avro ---

def test_java_classes():
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", class_path, os.path.join(here, "Published.java")]
    p = subprocess.run(command, capture_output=True, timeout=300)
    rows = [line.split("\t") for line in p.stdout.decode().split("\n")[:-1]]
    check("Published.java", p.returncode == 0 and len(rows) > 300, p.stderr.decode())
    schemas = [r for r in rows if r[0] == "S"]
    for row, answer in zip(schemas, lines([r[:2] for r in schemas])):
        check("Java's schemas", answer[:2] == ["ok", row[2]], row, answer)
    pairs = [r for r in rows if r[0] == "R"]
    for row, answer in zip(pairs, lines([r[:4] for r in pairs])):
        if answer[0] == "no" and "no UTF-8" in answer[1]:     # random bytes as a string, which Java takes
            counts["bytes that are no UTF-8"] += 1
            continue
        t = graph(json.loads(row[2]))
        good = answer[0] == "ok" and norm(t, json.loads(answer[1]), True) == norm(t, json.loads(row[4] or "{}"), True)
        check("Java's resolutions", good, row, answer)


def test_java_table():
    """share/test/data/schema-tests.txt: schemas, canonical forms, fingerprints."""
    with open(os.path.join(cases, "java/share/test/data/schema-tests.txt"), encoding="utf-8") as f:
        text = re.sub(r"^(//|#).*\n", "", f.read(), flags=re.M)
    rows = re.findall(r"^<<INPUT(?: (.*)|\n((?:.*\n)*?)INPUT)\n<<canonical (.*)\n(?:<<fingerprint (.*)\n?)?", text, flags=re.M)
    check("there are enough", len(rows) > 30, len(rows))
    for (short, long, canonical, fingerprint), answer in zip(rows, lines([("S", one_line(r[0] or r[1])) for r in rows])):
        check("the table of schemas", answer[:2] == ["ok", canonical], short or long, answer, canonical)
        if fingerprint:
            check("the table of fingerprints", answer[2] == f"{int(fingerprint) & (1 << 64) - 1:016x}", short or long, answer, fingerprint)


def test_java_files():
    """Schemas and container files, against what Apache's Python reads there."""
    files = sorted(glob.glob(os.path.join(cases, "java/**/*.avsc"), recursive=True))
    for file in files:
        with open(file, encoding="utf-8") as f:
            text = f.read()
        p = weir("schema", "canonical", file)
        # It refers to types of other files, which Java is given before it.
        apart = p.returncode == 2 and b"unknown type" in p.stderr and "multipleFile" in file
        check("Java's schema files", p.returncode == 0 or apart, file, p.stderr, text[:500])
    containers = sorted(glob.glob(os.path.join(cases, "java/share/test/data/**/*.avro"), recursive=True))
    check("there are enough", len(files) > 10 and len(containers) > 4, files, containers)
    for file in containers:
        p = weir("avro", "cat", file)
        if file.endswith("snappy.avro"):
            check("a codec that is not known", p.returncode == 2 and b'codec "snappy"' in p.stderr, p)
            continue
        with open(file, "rb") as f:
            reader = avro.datafile.DataFileReader(f, avro.io.DatumReader())
            t = graph(json.loads(reader.meta["avro.schema"]))
            wanted = [sort(r) for r in reader]
        got = [sort(native(t, json.loads(line))) for line in p.stdout.decode().split("\n")[:-1]]
        check("Java's containers", p.returncode == 0 and got == wanted, file, p.stderr, got[:3], wanted[:3])


test_java_table()
test_java_files()
test_java_classes()
schema_tests = python_module("test_schema")
test_python_schemas(schema_tests)
test_python_canonical(schema_tests)
test_python_values(python_module("test_io"))
for name in sorted(counts):
    print(f"{counts[name]:7} {name}")
print(f"avro published: cases={sum(counts.values())} failures={len(failures)}")
sys.exit(1 if failures else 0)
