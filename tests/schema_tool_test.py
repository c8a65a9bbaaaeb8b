"""weir schema check, show, diff: modes, exit codes, lines and JSON; what "diff" says of each change agrees with what "check" says of all.

usage: schema_tool_test.py WEIR     WEIR_SEED, WEIR_PAIRS"""
import json
import os
import random
import sys

from program import check, finish, path_of, run, write

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "avro"))
import compat_pairs     # noqa: E402

seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
pairs = int(os.environ.get("WEIR_PAIRS") or (2000 if os.environ.get("WEIR_LONG") == "1" else 60))

V1 = {"type": "record", "name": "Reading", "namespace": "site", "doc": "one\nreading", "fields": [
    {"name": "device", "type": "string", "doc": "the pump"},
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "value", "type": ["null", "double"], "default": None},
    {"name": "count", "type": "int"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF", "FAULT"]}},
    {"name": "key", "type": {"type": "fixed", "name": "Key", "size": 8}},
    {"name": "next", "type": ["null", "Reading"], "default": None},
    {"name": "list", "type": {"type": "array", "items": ["null", {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "float"}]}]}},
    {"name": "money", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}
V2 = {"type": "record", "name": "Reading", "namespace": "site", "aliases": ["Old"], "fields": [
    {"name": "device", "type": "string", "doc": "the pump's name"},
    {"name": "at", "aliases": ["time"], "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "value", "type": "double"},
    {"name": "count", "type": "long"},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["ON", "OFF", "STANDBY"], "default": "OFF"}},
    {"name": "key", "type": {"type": "fixed", "name": "Key", "size": 16}},
    {"name": "next", "type": ["null", "Reading"], "default": None},
    {"name": "list", "type": {"type": "array", "items": ["null", {"type": "record", "name": "Spot", "fields": [{"name": "x", "type": "double"}]}]}},
    {"name": "unit", "type": "string"}, {"name": "more", "type": "string", "default": "x"}]}

SHOWN = """record site.Reading   # one reading
    device  string   # the pump
    time    long (timestamp-millis)
    value   null or double = null
    count   int
    state   enum site.State
        one of ON, OFF, FAULT
    key     fixed site.Key of 8 bytes
    next    null or record site.Reading = null
    list    array of (null or record site.Point)
        record site.Point:
            x  float
    money   bytes (decimal, 9 digits, 2 behind the point)
"""
SHOWN_2 = """record site.Reading
    also known as site.Old
    device  string   # the pump's name
    at      long (timestamp-micros); before: time
    value   double
    count   long
    state   enum site.State
        one of ON, OFF, STANDBY; if unknown: OFF
"""
CHANGED = """(the schema): another doc: fits every mode
device: another doc: fits every mode
at: was called time: breaks forward and full
at: long (timestamp-micros), was long (timestamp-millis) (the values mean something else): fits every mode
value: no default, was default null: fits every mode
value: double, was null or double: breaks backward and full
count: long, was int: breaks forward and full
state: new symbol STANDBY: breaks forward and full
state: symbol gone: FAULT: fits every mode
state: symbol for unknown ones: OFF, was none: fits every mode
key: fixed site.Key of 16 bytes, was fixed site.Key of 8 bytes: breaks backward, forward and full
list[]: new in the union: record site.Spot: breaks forward and full
list[]: gone from the union: record site.Point: breaks backward and full
unit: new, string, no default: breaks backward and full
more: new, string, default "x": fits every mode
money: gone, was bytes (decimal, 9 digits, 2 behind the point), no default: breaks forward and full
backward  breaks
forward   breaks
full      breaks
"""


def schema(name, content):
    return write(name, content if isinstance(content, str) else json.dumps(content))


def expect(code, words, out=None, err=""):
    r = run("schema", *words)
    name = "weir schema " + " ".join(os.path.basename(w) for w in words)
    check(f"{name}: exit code {code}", r.returncode == code, f"{r.returncode} {r.stdout} {r.stderr}")
    check(f"{name}: on stdout", out is None or r.stdout == out, r.stdout)
    check(f"{name}: on stderr", err in r.stderr and (err or not r.stderr), r.stderr)
    return r


def record(*fields):
    return {"type": "record", "name": "R", "fields": list(fields)}


def found(r):
    """(file, kind, location) of each line."""
    result = []
    for line in r.stdout.splitlines():
        file, rest, sentence = line.split(": ", 2)
        result.append((os.path.basename(file), *rest.split(" ")))
        check("a sentence, and a way out", ": " in sentence and len(sentence) > 30, line)
    return result


def test_check():
    v1, v2 = schema("v1.avsc", V1), schema("v2.avsc", V2)
    backward = [("v1.avsc", "TYPE_MISMATCH", "/fields/2/type/0"), ("v1.avsc", "FIXED_SIZE_MISMATCH", "/fields/5/type/size"),
                ("v1.avsc", "MISSING_UNION_BRANCH", "/fields/7/type/items/1"), ("v1.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/8")]
    forward = [("v1.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1"), ("v1.avsc", "TYPE_MISMATCH", "/fields/3/type"),
               ("v1.avsc", "MISSING_ENUM_SYMBOLS", "/fields/4/type/symbols"), ("v1.avsc", "FIXED_SIZE_MISMATCH", "/fields/5/type/size"),
               ("v1.avsc", "MISSING_UNION_BRANCH", "/fields/7/type/items/1"), ("v1.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/8")]
    for mode, wanted in [("backward", backward), ("FORWARD", forward), ("Full", backward + forward), ("full_transitive", backward + forward)]:
        words = ["check", "--mode", mode, "--old", v1, "--new", v2]
        check(f"found: {mode}", found(expect(1, words)) == wanted, str(wanted))
        answer = json.loads(expect(1, words + ["--json"]).stdout)
        shown = [(os.path.basename(f["old"]), f["kind"], f["location"]) for f in answer["findings"]]
        check(f"as JSON: {mode}", shown == wanted and answer["mode"] == mode.lower() and not answer["compatible"] and not answer["more"])
        check("directions", [f["direction"] for f in answer["findings"]].count("backward") == sum(w in backward for w in shown) or mode != "backward")
        check("fields, texts, ways out", all(f["field"] and f["text"] and f["way_out"] for f in answer["findings"]))
    check("backward is the default", expect(1, ["check", "--old", v1, "--new", v2]).stdout == expect(1, ["check", "--mode=backward", f"--old={v1}", f"--new={v2}"]).stdout)
    expect(0, ["check", "--mode", "none", "--old", v1, "--new", v2], "")
    expect(0, ["check", "--mode", "full", "--old", v1, "--new", v1], "")
    compatible = json.loads(expect(0, ["check", "--mode", "full", "--old", v1, "--new", v1, "--json"]).stdout)
    check("compatible as JSON", compatible["compatible"] is True and compatible["findings"] == [], str(compatible))


def test_versions():
    a, b, c = {"name": "a", "type": "int"}, {"name": "b", "type": "int"}, {"name": "c", "type": "int", "default": 1}
    olds = ["--old", schema("a.avsc", record(a)), "--old", schema("ab.avsc", record(a, b))]
    new = ["--new", schema("abc.avsc", record(a, b, c))]
    expect(0, ["check", "--mode", "backward", *olds, *new], "")
    r = expect(1, ["check", "--mode", "backward_transitive", *olds, *new])
    check("all the old ones", found(r) == [("a.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1")], r.stdout)
    r = expect(1, ["check", *new, "--mode", "backward", *olds[2:], *olds[:2]])
    check("the last counts", found(r) == [("a.avsc", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/1")], r.stdout)


def test_bad_input():
    good = schema("good.avsc", record({"name": "a", "type": "int"}))
    bad = schema("bad.avsc", '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "lonk"}]}')
    for words in [["--old", bad, "--new", good], ["--old", good, "--new", bad], ["--mode", "none", "--old", good, "--old", bad, "--new", good]]:
        expect(2, ["check", *words], "", f"{bad}: /fields/0/type: ")
    expect(2, ["check", "--old", good, "--new", path_of("none")], "", "No such file")
    for words in [[], ["--new", good], ["--old", good], ["--old", good, "--new", good, "--new", good], ["--old", good, "--new", good, "x"],
                  ["--old", good, "--new"], ["--mode", "sideways", "--old", good, "--new", good]]:
        expect(2, ["check", *words], "", "weir schema check: ")
    for words in [["show"], ["show", good, good], ["diff", good], ["diff", good, good, good]]:
        expect(2, words, "", f"weir schema {words[0]}: usage")
    for words in [["show", bad], ["diff", bad, good], ["diff", good, bad]]:
        expect(2, words, "", f"{bad}: /fields/0/type: ")
    renamed = schema("renamed.avsc", record({"name": "b", "type": "int", "aliases": ["a"]}))
    both = schema("both.avsc", record({"name": "a", "type": "int"}, {"name": "b", "type": "int"}))
    expect(2, ["check", "--old", both, "--new", renamed], "", f"{renamed}: /fields/0: this field could take its value from")


def test_show():
    expect(0, ["show", schema("v1.avsc", V1)], SHOWN)
    shown = expect(0, ["show", schema("v2.avsc", V2)]).stdout
    check("aliases and defaults of an enum are shown", shown.startswith(SHOWN_2), shown)
    expect(0, ["show", schema("long.avsc", '{"type": "long"}')], "long\n")
    expect(0, ["show", schema("union.avsc", '["null", {"type": "enum", "name": "E", "symbols": ["A"]}]')],
           "null or enum E\n    enum E:\n        one of A\n")


def test_diff():
    v1, v2 = schema("v1.avsc", V1), schema("v2.avsc", V2)
    expect(0, ["diff", v1, v2], CHANGED)
    for same in (V1, V2):
        expect(0, ["diff", schema("one.avsc", same), schema("two.avsc", json.dumps(same, indent=1))],
               "nothing has changed that readers or writers would notice\nbackward  fits\nforward   fits\nfull      fits\n")


def test_diff_agrees():
    """Random pairs: a direction breaks when a line says so, and only then."""
    maker = compat_pairs.Maker(random.Random(seed))
    compared = 0
    for i in range(pairs):
        new, old = (schema(name, content) for name, content in zip(("new.avsc", "old.avsc"), maker.pair()))
        shown = run("schema", "diff", old, new)
        if shown.returncode == 2 and "could take its value from" in shown.stderr:
            continue
        lines = shown.stdout.splitlines()
        compared += 1
        for mode, line in zip(("backward", "forward", "full"), lines[-3:]):
            code = run("schema", "check", "--mode", mode, "--old", old, "--new", new).returncode
            check("the modes of diff are those of check", line == f"{mode:9} {'breaks' if code else 'fits'}", f"seed {seed} pair {i}: {shown.stdout}")
            said = any("breaks" in change and mode in change.split(": ")[-1] for change in lines[:-3])
            check("each change is told with what it breaks", said == bool(code), f"seed {seed} pair {i} {mode}: {shown.stdout}"
                  f"{open(old).read()}\n{open(new).read()}")
    check("most were compared", compared > pairs * 0.8, compared)


test_check()
test_versions()
test_bad_input()
test_show()
test_diff()
test_diff_agrees()
print(f"schema tools: seed={seed} pairs={pairs}")
finish()
