"""Random schemas and data: weir, Apache Avro's Java and its Python must agree.

Per case: the verdict on a schema, its canonical form and fingerprints; the verdict on a spoilt schema; a value's datum, and each one's
datum read by the others; the JSON that ours makes of it read by Java; the datum read with a schema that evolved from the writer's. For
some cases a container file with several values, each one's read by the other.

usage: differential_test.py BUILD_FOLDER CLASS_PATH     WEIR_SEED, WEIR_CASES (1000; 12000 with WEIR_LONG=1)"""
import collections
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import warnings

import avro.io
import avro.schema

from avro_random import Make, Named, TooLarge, Union, key, walk
from avro_values import loose, native, norm, sort

warnings.simplefilter("ignore")
here = os.path.dirname(os.path.abspath(__file__))
seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
wanted = int(os.environ.get("WEIR_CASES") or (12000 if os.environ.get("WEIR_LONG") == "1" else 1000))
LINES = os.path.join(sys.argv[1], "tests", "avro_lines")
COMPAT = os.path.join(sys.argv[1], "tests", "compat_lines")
CONTAINER_WRITE = os.path.join(sys.argv[1], "tests", "container_write")
WEIR = os.path.join(sys.argv[1], "weir")
JAVA = ["java", "-Xmx1g", "-XX:+UseSerialGC", "-cp", sys.argv[2], os.path.join(here, "Peer.java")]
counts = collections.Counter()
failures = []


def failed(case, what, *shown):
    failures.append(what)
    if len(failures) <= 20:
        print(f"FAILED: case {case.number}: {what}\n  " + "\n  ".join(str(s)[:3000] for s in shown))


def ask(command, tasks):
    """The answers to these lines, as [verdict, words...]."""
    p = subprocess.run(command, input="".join("\t".join(t) + "\n" for t in tasks).encode(), capture_output=True, timeout=1500)
    answers = p.stdout.decode().split("\n")[:-1]
    if p.returncode or len(answers) != len(tasks):
        sys.exit(f"{command[0]} ended with {p.returncode} after {len(answers)} of {len(tasks)} answers: {p.stderr.decode()[-2000:]}")
    return [line.split("\t") for line in answers]


def ask_both(tasks):
    return list(zip(ask([LINES], tasks), ask(JAVA, tasks)))


# --- values ---

def has_special(v):
    """Is there a NaN or an infinity? Java's JSON decoder does not know how they are written."""
    text = json.dumps(v)
    return '"NaN"' in text or 'Infinity"' in text


def is_plain(root):
    """Does Python's writer choose the branch of a union as it was meant? It takes the first that the value fits."""
    for t in walk(root):
        if isinstance(t, Union):
            kinds = [b.kind if isinstance(b, Named) else key(b) for b in t.branches]
            for group in (("boolean", "int", "long", "float", "double"), ("string", "enum", "array"), ("bytes", "fixed", "array"), ("record", "map")):
                if sum(k in group for k in kinds) > 1:
                    return False
    return True


def is_known_to_python(root):
    """It knows no aliases, takes the defaults of bytes for UTF-8, and 1 for a boolean."""
    fields = [f for t in walk(root) if isinstance(t, Named) for f in t.fields]
    return not any(f.aliases or f.has_default and (any(isinstance(t, Union) for t in walk(f.type)) or
                                                   not json.dumps(f.default, ensure_ascii=False).isascii()) for f in fields)


# --- one case ---

class Case:
    """Questions in rounds: the answers to one are there when the next is asked."""

    def __init__(self, number):
        self.number, self.is_agreed, self.our_json = number, True, None
        chance = random.Random((seed << 20) + number)
        self.make = Make(chance)
        while True:
            try:
                self.schema = self.make.schema()
                self.value = self.make.value(self.schema)
                break
            except TooLarge:
                pass
        self.text = self.make.text(self.schema)
        self.reader = self.make.evolved(self.schema)
        self.reader_text = self.make.text(self.reader)
        self.spoilt = self.make.spoilt(self.text)
        self.json = json.dumps(self.value, ensure_ascii=chance.random() < 0.5)
        self.chance, self.is_read = chance, True

    def first(self):
        return [("S", self.text), ("S", self.reader_text), ("S", self.spoilt), ("E", self.text, self.json)]

    def check_schema(self, answers, text, label):
        ours, java = answers
        if ours[0] != java[0]:
            known = known_difference(ours, java)
            counts["known: " + known] += 1
            if not known:
                failed(self, f"{label} schema: the verdict", text, ours, java)
            self.is_agreed = self.is_agreed and label == "spoilt"
            return
        counts[label + " " + ours[0]] += 1
        if ours[0] == "ok" and ours != java:
            failed(self, "the canonical form or a fingerprint", text, ours, java)

    def check_first(self, answers):
        for pair, text, label in zip(answers, (self.text, self.reader_text, self.spoilt), ("random", "evolved", "spoilt")):
            self.check_schema(pair, text, label)
        ours, java = answers[3]
        self.datums = [ours[1]]
        if ours[0] != "ok":
            failed(self, "the value is refused", self.text, self.json, ours)
            self.datums = []
        elif not has_special(self.value) and self.is_agreed:
            if java[0] != "ok":
                failed(self, "Java refuses the value", self.text, self.json, java)
            elif java[1] != ours[1]:                          # a map in another order
                self.datums.append(java[1])
        self.python_write()

    def second(self):
        if not self.is_agreed:
            return []
        return [("R", self.text, self.text, d) for d in self.datums] + [("R", self.text, self.reader_text, d) for d in self.datums[:1]]

    def spoilt_task(self):
        c, data = self.chance, bytearray.fromhex((self.datums or [""])[0])
        for _ in range(c.choice([1, 1, 2])):
            what, at = c.random(), c.randrange(len(data) + 1)
            if what < 0.2 or at == len(data):
                data.insert(at, c.choice([0, 1, 2, 3, 0x7f, 0x80, 0xff]))
            elif what < 0.4:
                del data[at]
            else:
                data[at] = c.choice([0, 1, 2, 3, data[at] ^ 1 << c.randrange(8), 0x80, 0xff])
        self.spoilt_hex = data.hex()
        return ("R", self.text, self.text, self.spoilt_hex)

    def check_second(self, answers):
        if not answers:
            return
        if not has_special(self.value) and answers[0][0][0] == "ok":
            self.our_json = answers[0][0][1]
        for pair, data in zip(answers, self.datums):
            for who, answer in zip(("ours", "Java"), pair):
                java = who == "Java" or data != self.datums[0]
                if answer[1] == "":                           # Java writes nothing for records without fields
                    continue
                if answer[0] != "ok" or norm(self.schema, json.loads(answer[1]), java) != norm(self.schema, self.value, java):
                    failed(self, f"{who}: the value back", self.text, self.json, answer)
        for ours, java in answers[len(self.datums):]:
            self.check_resolved(ours, java)
            self.python_read(ours)

    def check_resolved(self, ours, java):
        shown = (self.text, self.reader_text, self.json, self.datums[0], ours, java)
        self.is_read = ours[0] == "ok" or "no UTF-8" in ours[1]
        if ours[0] != java[0]:
            known = known_resolution(ours, java)
            if ours[0] == "ok" and "missing required field" in java[1] and self.has_old_name():
                known = "a name without default that is another field's alias"
            counts["known: " + known] += 1
            if not known:
                failed(self, "resolution: the verdict", *shown)
        elif ours[0] == "ok":
            counts["resolved"] += 1
            if java[1] and norm(self.reader, json.loads(ours[1]), True) != norm(self.reader, json.loads(java[1]), True):
                known = "aliases of fields in a record of another namespace" if self.is_moved() else ""
                counts["known: " + known] += 1
                if not known:
                    failed(self, "resolution: the value", *shown)
        else:
            counts["resolution refused"] += 1

    def third(self):
        return [("E", self.text, self.our_json if self.our_json else "")] + [("R", self.text, self.text, self.spoilt_hex)] * self.is_taken

    def check_third(self, answers):
        """What ours takes of spoilt data, Java takes as the same; it takes more, such as strings that are not UTF-8."""
        for ours, java in answers[1:]:
            if java[1] and (java[0] != "ok" or norm(self.schema, json.loads(ours[1]), True) != norm(self.schema, json.loads(java[1]), True)):
                failed(self, "a spoilt datum", self.text, self.spoilt_hex, ours, java)
        for ours, java in answers[:1 if self.our_json else 0]: # Java's maps have an order of their own, the same each time
            counts["our JSON read by Java"] += 1
            if java != ["ok", self.datums[-1]] or ours != ["ok", self.datums[0]]:
                failed(self, "the JSON of ours read again", self.text, self.json, self.our_json, java, ours, self.datums)

    def has_old_name(self):
        """Ours lets a renamed field serve its old name, too, since Java calls the two schemas compatible."""
        return any({a for f in t.fields for a in f.aliases} & {f.name for f in t.fields} for t in walk(self.reader) if isinstance(t, Named))

    def is_moved(self):
        """Has a record of the reader's another namespace than the writer's, and no alias for it? Java finds its fields by name alone."""
        written = {t.full() for t in walk(self.schema) if isinstance(t, Named)}
        return any(isinstance(t, Named) and t.kind == "record" and written.isdisjoint([t.full(), *t.aliases]) and any(f.aliases for f in t.fields)
                   for t in walk(self.reader))

    def leave(self):
        """Nothing more is asked about it."""
        self.is_agreed, self.datums, self.our_json = False, [], None

    # --- containers ---

    def values(self):
        found = []
        for _ in range(20):
            try:
                value = self.make.value(self.schema)
            except TooLarge:
                continue
            if not has_special(value):
                found.append(value)
        return found[:6]

    def check_container(self, what, lines, wanted):
        counts["containers " + what] += 1
        got = [norm(self.schema, v, True) for v in lines]
        if got != [norm(self.schema, v, True) for v in wanted]:
            failed(self, f"container {what}", self.text, wanted, lines)

    # --- Python ---

    def python_write(self):
        """What Python writes is read by ours and by Java, if it can write it as meant."""
        if not self.datums or not is_plain(self.schema):
            return
        self.python = python_schema(self.schema)
        if not self.python:
            return
        o = io.BytesIO()
        avro.io.DatumWriter(self.python).write(native(self.schema, self.value), avro.io.BinaryEncoder(o))
        counts["Python's datums"] += 1
        if o.getvalue().hex() not in self.datums:
            failed(self, "Python writes another datum", self.text, self.json, self.datums, o.getvalue().hex())

    def python_read(self, ours):
        writer, reader = python_schema(self.schema), python_schema(self.reader)
        data = bytes.fromhex(self.datums[0])
        if writer:
            got = avro.io.DatumReader(writer, writer).read(avro.io.BinaryDecoder(io.BytesIO(data)))
            counts["read by Python"] += 1
            if repr(sort(got)) != repr(sort(native(self.schema, self.value))):
                failed(self, "Python reads another value", self.text, self.json, got)
        if writer and reader and ours[0] == "ok" and is_known_to_python(self.reader):
            try:
                got = avro.io.DatumReader(writer, reader).read(avro.io.BinaryDecoder(io.BytesIO(data)))
            except Exception:                                 # it knows few promotions, and no default symbols
                return
            counts["resolved by Python"] += 1
            if loose(got) != loose(native(self.reader, json.loads(ours[1]))):
                failed(self, "Python resolves to another value", self.text, self.reader_text, self.json, ours[1], got)


def python_schema(root):
    """None: it does not take it. Without logical types, which it would turn into objects."""
    make = Make(random.Random(1))
    for t in walk(root):
        if isinstance(t, Named):
            t.more = {}
    try:
        return avro.schema.parse(re.sub(r', "(logicalType|precision|scale)": ("[a-z-]*"|\d+)', "", json.dumps(make_json(make, root))))
    except Exception:
        counts["refused by Python"] += 1
        return None


def make_json(make, root):
    make.written = set()
    return make.json(root, "", False)


# --- where others are known to decide otherwise ---

def known_by(table, said):
    return next((name for name, pattern in table if re.search(pattern, said)), "")


# Ours refuses, as the specification does.
STRICTER = [("a namespace that is no string", "/namespace: must be a string"), ("a default of another size than its fixed", "bytes where the fixed has"),
            ("a default that is no symbol of its enum", "/default.*: (not a symbol of enum|must be one of the symbols)"),
            ("the same within a union", "/default.*: .* fits no branch"),
            ("a name or alias with an empty part", 'not a valid name: "(.*[.][.]|[.])|must be an array of names'),
            ("a name that is used before it is defined", "unknown type"), ("a type that is defined again within itself", "defined twice")]
# Ours accepts, as the specification does.
LOOSER = [("a default within a union with a record that is still open", "Schema fields not set yet")]
# Java takes records whatever they are called.
RESOLVED_BY_JAVA = [("the names of records", "the writer's record is|union takes the writer's record"), ("bytes that are not UTF-8", "no UTF-8"),
                    ("scales of decimals", "the writer's decimal has scale")]
# Java wants the full name in a union, where the specification wants the name.
RESOLVED_BY_OURS = [("a name in another namespace in a union", "Found .*, expecting union"),
                    ("aliases of fields in a record of another namespace", r"Found (\S+), expecting (?!\1,)\S+, missing required field"),
                    ("a field that is there already and renamed to by an alias", "Duplicate field"),
                    ("a default of the writer's that does not fit names of the reader's", "Invalid default for field|Schema fields not set yet")]


def known_difference(ours, java):
    return known_by(STRICTER, ours[1]) if java[0] == "ok" else known_by(LOOSER, java[1])


def known_resolution(ours, java):
    return known_by(RESOLVED_BY_JAVA, ours[1]) if java[0] == "ok" else known_by(RESOLVED_BY_OURS, java[1])


def ask_spoilt(cases):
    """Ours alone: Java has no bounds for arrays of values without bytes."""
    for case, answer in zip(cases, ask([LINES], [c.spoilt_task() for c in cases])):
        case.is_taken = answer[0] == "ok" and case.datums != []
        counts["spoilt datum " + answer[0]] += 1


def check_compatible(cases):
    """What is called compatible can be read."""
    for case, answer in zip(cases, ask([COMPAT], [(c.reader_text, c.text) for c in cases])):
        counts["compatible" if answer == ["compatible"] else "not compatible"] += 1
        if answer == ["compatible"] and not case.is_read:
            failed(case, "compatible, and not read", case.text, case.reader_text, case.json)


def check_containers(cases):
    """Each codec that Java has without further libraries."""
    with tempfile.TemporaryDirectory(prefix="weir-avro.") as work:
        tasks, wanted = [], []
        for case, codec in zip(cases, ("null", "deflate") * len(cases)):
            values = case.values()
            schema, lines, java, ours = (os.path.join(work, f"{case.number}.{end}") for end in ("avsc", "ndjson", "java", "ours"))
            for path, text in ((schema, case.text), (lines, "".join(json.dumps(v) + "\n" for v in values))):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
            subprocess.run([CONTAINER_WRITE, schema, lines, codec, ours], check=True)
            tasks += [("W", case.text, codec, java, lines), ("F", ours)]
            wanted.append((case, values, java))
        answers = ask(JAVA, tasks)
        for (case, values, java), written, read in zip(wanted, answers[::2], answers[1::2]):
            p = subprocess.run([WEIR, "avro", "cat", java], capture_output=True)
            if written[0] != "ok" or read[0] != "ok" or p.returncode:
                failed(case, "container", case.text, written, read, p.stderr)
                continue
            case.check_container("of Java's read by ours", [json.loads(line) for line in p.stdout.decode().split("\n")[:-1]], values)
            if ",," not in read[1] and "[," not in read[1] and "[]" != read[1]: # it writes nothing for records without fields
                case.check_container("of ours read by Java", json.loads(read[1]), values)


def main():
    for begin in range(0, wanted, 2000):
        cases = [Case(n) for n in range(begin, min(begin + 2000, wanted))]
        for question, check in ((Case.first, Case.check_first), (Case.second, Case.check_second), (Case.third, Case.check_third)):
            if question is Case.third:
                ask_spoilt(cases)
            questions = [question(c) for c in cases]
            answers = ask_both([task for q in questions for task in q])
            for case, q in zip(cases, questions):
                if any("NullPointerException" in java[1] and task[0] != "S" for task, (_, java) in zip(q, answers)):
                    counts["known: a mistake of Java's in its grammar of recursive unions"] += 1
                    case.leave()
                else:
                    check(case, answers[:len(q)])
                answers = answers[len(q):]
        check_compatible(cases)
        check_containers([c for c in cases[::20] if c.is_agreed])
    for name in sorted(counts):
        print(f"{counts[name]:7} {name}")
    print(f"avro differential: seed={seed} cases={wanted} failures={len(failures)}")
    sys.exit(1 if failures else 0)


main()
