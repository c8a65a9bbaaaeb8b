"""What weir writes is read by Apache Avro, fastavro and DuckDB as what fastavro writes; what they write is read by weir; the schemas of
Apache Avro's own tests are accepted, refused and made canonical alike. Every codec, every type.

usage: readers_test.py BUILD_FOLDER     WEIR_SEED, WEIR_RECORDS"""
import copy
import importlib
import io
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import warnings

import avro.datafile
import avro.io
import avro.schema
import duckdb
import duckdb_extension_avro
import fastavro

warnings.simplefilter("ignore")
weir = os.path.join(sys.argv[1], "weir")
container_write = os.path.join(sys.argv[1], "tests", "container_write")
work = tempfile.TemporaryDirectory(prefix="weir-avro.")
seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
records = int(os.environ.get("WEIR_RECORDS") or (5000 if os.environ.get("WEIR_LONG") == "1" else 500))
chance = random.Random(seed)
CODECS = ("null", "deflate", "zstandard")
failures = 0


def check(what, good, shown=""):
    global failures
    if not good:
        failures += 1
        print(f"FAILED: {what} {shown}"[:600])


def path(name):
    return os.path.join(work.name, name)


def write(name, content):
    with open(path(name), "wb") as f:
        f.write(content if isinstance(content, bytes) else content.encode())
    return path(name)


def run(*words):
    return subprocess.run([weir, *words], capture_output=True, timeout=120)


# --- schemas and values ---

def record(name, *fields):
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields]}


def logical(kind, name, **more):
    return {"type": kind, "logicalType": name, **more}


FLAT = record(
    "site.Every", ("boolean", "boolean"), ("int", "int"), ("long", "long"), ("float", "float"), ("double", "double"), ("bytes", "bytes"),
    ("string", "string"), ("fixed", {"type": "fixed", "name": "Three", "size": 3}),
    ("enum", {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"], "default": "A"}), ("array", {"type": "array", "items": "double"}),
    ("map", {"type": "map", "values": "long"}), ("optional", ["null", "string"]), ("inner", record("Inner", ("x", "int"), ("y", ["double", "null"]))),
    ("date", logical("int", "date")), ("time_millis", logical("int", "time-millis")), ("time_micros", logical("long", "time-micros")),
    ("millis", logical("long", "timestamp-millis")), ("micros", logical("long", "timestamp-micros")),
    ("uuid", logical("string", "uuid")))
# What DuckDB does not read: recursion, arrays of unions, decimals, local timestamps.
DEEP = record(
    "site.Deep", ("null", "null"), ("local", logical("long", "local-timestamp-micros")), ("decimal", logical("bytes", "decimal", precision=30, scale=6)),
    ("small", {"type": "fixed", "name": "Small", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 2}),
    ("union", ["null", "boolean", "int", "string", "Small", {"type": "array", "items": ["null", "long", "bytes"]}, {"type": "map", "values": "Deep"}]),
    ("next", ["null", "Deep"]))

TEXTS = ["", "a", "pumpe-süd", "温度", "\u0000\u001f\"\\/", "😀", "x" * 300]
DOUBLES = [0.0, -0.0, 0.1, 23.47, 1e22, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, math.inf, -math.inf, math.nan]


def plain(schema):
    """Without logical types."""
    if isinstance(schema, list):
        return [plain(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: plain(v) if k in ("type", "items", "values") else [plain(f) for f in v] if k == "fields" else v
            for k, v in schema.items() if k not in ("logicalType", "precision", "scale")}


def bits_of_float(v):
    try:
        return struct.pack("<f", v)
    except OverflowError:                                     # rounded up beyond the largest
        return None


class Values:
    """Random values of a schema, as fastavro takes them, each with its text in Avro's JSON encoding."""

    def __init__(self, schema):
        self.named = {}
        self.root = schema

    def one(self, schema=None, depth=0):
        schema = self.root if schema is None else schema
        if isinstance(schema, list):
            return self.union(schema, depth)
        if isinstance(schema, dict):
            kind = schema["type"]
            if "name" in schema:
                self.named[schema["name"].split(".")[-1]] = schema
            return getattr(self, "of_" + kind)(schema, depth)
        return getattr(self, "of_" + schema)({}, depth) if hasattr(self, "of_" + schema) else self.one(self.named[schema], depth)

    def union(self, branches, depth):
        branch = branches[0] if depth > 4 else chance.choice(branches)
        if branch == "null":
            return None, None
        value, text = self.one(branch, depth + 1)
        name = branch["type"] if isinstance(branch, dict) else branch
        if isinstance(branch, dict) and "name" in branch:
            name = branch["name"]
        full = "site." + name if name in self.named and "." not in name else name
        if full.startswith("site.") or name in self.named:
            value = (full, value)
        return value, {full: text}

    def of_null(self, *_):
        return None, None

    def of_boolean(self, *_):
        v = chance.random() < 0.5
        return v, v

    def of_int(self, schema, _):
        high = {"date": 40000, "time-millis": 86399999}.get(schema.get("logicalType"))
        v = chance.randint(0, high) if high else chance.choice([0, -1, 63, -65, 2**31 - 1, -2**31, chance.randint(-2**31, 2**31 - 1)])
        return v, v

    def of_long(self, schema, _):
        name = schema.get("logicalType", "")
        high = 86399999999 if name == "time-micros" else 4 * 10**12 if name.endswith("millis") else 4 * 10**15 if name else None
        v = chance.randint(0, high) if high else chance.choice([0, -1, 2**63 - 1, -2**63, chance.getrandbits(64) - 2**63])
        return v, v

    def of_double(self, schema, _):
        v = chance.choice(DOUBLES + [round(chance.uniform(-100, 100), 2), struct.unpack("<d", struct.pack("<Q", chance.getrandbits(64)))[0]])
        v = math.nan if math.isnan(v) else v
        return v, v if math.isfinite(v) else "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"

    def of_float(self, schema, _):
        v = struct.unpack("<f", struct.pack("<I", chance.getrandbits(32)))[0]
        v = math.nan if math.isnan(v) else v
        if not math.isfinite(v):
            return v, "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"
        # the decimal number of least digits that is this float
        return v, next(t for t in (float(f"{v:.{d}g}") for d in range(1, 10)) if bits_of_float(t) == bits_of_float(v))

    def of_bytes(self, schema, _):
        v = chance.randbytes(chance.randint(1, 12) if "logicalType" in schema else chance.choice([0, 1, 20]))
        return v, v.decode("latin-1")

    def of_string(self, schema, _):
        v = "%08x-0000-4000-8000-%012x" % (chance.getrandbits(32), chance.getrandbits(48)) if "logicalType" in schema else chance.choice(TEXTS)
        return v, v

    def of_fixed(self, schema, _):
        v = chance.randbytes(schema["size"])
        return v, v.decode("latin-1")

    def of_enum(self, schema, _):
        v = chance.choice(schema["symbols"])
        return v, v

    def of_array(self, schema, depth):
        pairs = [self.one(schema["items"], depth + 1) for _ in range(chance.choice([0, 1, 5]))]
        return [v for v, _ in pairs], [t for _, t in pairs]

    def of_map(self, schema, depth):
        pairs = {k: self.one(schema["values"], depth + 1) for k in chance.sample(TEXTS, chance.choice([0, 1, 3]))}
        return {k: v for k, (v, _) in pairs.items()}, {k: t for k, (_, t) in pairs.items()}

    def of_record(self, schema, depth):
        pairs = {f["name"]: self.one(f["type"], depth + 1) for f in schema["fields"]}
        return {k: v for k, (v, _) in pairs.items()}, {k: t for k, (_, t) in pairs.items()}


# --- readers, each to a list whose repr tells everything ---

def read_fastavro(file):
    with open(file, "rb") as f:
        return list(fastavro.reader(f))


def read_apache(file):
    with open(file, "rb") as f:
        return list(avro.datafile.DataFileReader(f, avro.io.DatumReader()))


def read_duckdb(file):
    con = duckdb.connect(config={"allow_unsigned_extensions": True})
    folder = os.path.dirname(duckdb_extension_avro.__file__)
    con.load_extension(os.path.join(folder, "extensions", "v" + duckdb.__version__, "avro.duckdb_extension"))
    return con.execute("select * from read_avro(?)", [file]).fetchall()


def same_text(a, b):
    """JSON texts with the same values: numbers by value, so that 1.0e+22 is 1e22."""
    return repr(json.loads(a)) == repr(json.loads(b))


def test_files(name, schema, readers):
    values = Values(schema)
    rows = [values.one() for _ in range(records)]
    lines = [json.dumps(text, ensure_ascii=chance.random() < 0.5) for _, text in rows]
    natives = [value for value, _ in rows]
    schema_file = write(name + ".avsc", json.dumps(schema, indent=2))
    lines_file = write(name + ".ndjson", "".join(line + "\n" for line in lines))
    expected = path(name + ".expected.avro")
    with open(expected, "wb") as f:
        fastavro.writer(f, fastavro.parse_schema(copy.deepcopy(plain(schema))), natives)
    with open(expected, "rb") as f:
        fastavro_datums = [fastavro_datum(schema, v) for v in natives[:50]]
    for line, datum in zip(lines, fastavro_datums):
        encoded = run("avro", "encode", schema_file, write("one.json", line))
        check(f"{name}: the datum", encoded.stdout == datum, f"{line} {encoded.stdout.hex()} {datum.hex()} {encoded.stderr}")
        back = run("avro", "decode", schema_file, write("one.bin", datum))
        check(f"{name}: the datum back", back.returncode == 0 and same_text(back.stdout, line), f"{line} {back.stdout}")
    for codec in CODECS:
        ours = path(f"{name}.{codec}.avro")
        subprocess.run([container_write, schema_file, lines_file, codec, ours], check=True)
        with open(expected, "wb") as f:
            fastavro.writer(f, fastavro.parse_schema(copy.deepcopy(schema)), natives, codec="null")
        for reader in readers:
            if reader is read_duckdb and codec == "zstandard":
                continue                                      # it knows null and deflate
            got, wanted = reader(ours), reader(expected)
            check(f"{name} {codec} {reader.__name__}", len(got) == records and repr(got) == repr(wanted),
                  next((f"{g} {w}" for g, w in zip(got, wanted) if repr(g) != repr(w)), len(got)))
        check_cat(f"{name} {codec} ours", ours, lines)
        theirs = path("theirs.avro")
        with open(theirs, "wb") as f:
            fastavro.writer(f, fastavro.parse_schema(copy.deepcopy(schema)), natives, codec=codec, sync_interval=2000)
        check_cat(f"{name} {codec} fastavro", theirs, lines)
        if name == "flat":                                    # Apache's writer wants no tuples for unions
            with open(theirs, "wb") as f:
                writer = avro.datafile.DataFileWriter(f, avro.io.DatumWriter(), avro.schema.parse(json.dumps(plain(schema))), codec=codec)
                for value in natives:
                    writer.append(value)
                writer.flush()
                check_cat(f"{name} {codec} Apache", theirs, lines)


def fastavro_datum(schema, value):
    o = io.BytesIO()
    fastavro.schemaless_writer(o, fastavro.parse_schema(copy.deepcopy(plain(schema))), value)
    return o.getvalue()


def check_cat(what, file, lines):
    r = run("avro", "cat", file)
    got = r.stdout.decode().split("\n")[:-1]
    check(f"cat {what}", r.returncode == 0 and len(got) == len(lines) and all(map(same_text, got, lines)), r.stderr)


def test_damage():
    """The good records, then exit 2."""
    file = path("flat.deflate.avro")
    with open(file, "rb") as f:
        content = f.read()
    r = run("avro", "cat", write("cut.avro", content[:-20]))
    whole = (records - 1) // 100 * 100
    both = run("avro", "cat", path("cut.avro"), file)
    check("the files behind it", both.returncode == 2 and len(both.stdout.splitlines()) == whole + records, both.stderr)
    check("a file that is cut", r.returncode == 2 and len(r.stdout.splitlines()) == whole and b"cut.avro: byte" in r.stderr, r.stderr)


def test_published_schemas():
    """Apache Avro's own test cases, read from the installed package."""
    cases = importlib.import_module("avro.test.test_schema").EXAMPLES
    compared = 0
    check("there are published schemas", len(cases) > 80, len(cases))
    for case in cases:
        text = case.data if isinstance(case.data, str) else json.dumps(case.data)
        r = run("schema", "canonical", write("case.avsc", text))
        valid = type(case).__name__ == "ValidTestSchema"
        check("accepted or refused alike", (r.returncode == 0) == valid and r.returncode in (0, 2), f"{text} {r.stderr}")
        if valid and r.returncode == 0:
            # Apache's Python keeps {"type": "int"} of logical types: fastavro is the one that follows the specification.
            try:
                canonical = fastavro.schema.to_parsing_canonical_form(json.loads(text))
            except Exception:                                 # it refuses some that Apache's takes
                continue
            compared += 1
            check("canonical form", r.stdout.decode() == canonical + "\n", f"{r.stdout} {canonical}")
            lines = run("schema", "fingerprint", path("case.avsc")).stdout.decode().splitlines()
            for line, name in zip(lines, ("CRC-64-AVRO", "MD5", "SHA-256")):
                digest = fastavro.schema.fingerprint(canonical, name)
                if name == "CRC-64-AVRO":                     # written least significant byte first there
                    digest = bytes.fromhex(digest)[::-1].hex()
                check("fingerprint", line == f"{name} {digest}", f"{text} {line} {digest}")
    check("most were compared", compared > 50, compared)


test_files("flat", FLAT, (read_fastavro, read_apache, read_duckdb))
test_files("deep", DEEP, (read_fastavro, read_apache))
test_damage()
test_published_schemas()
print(f"avro readers: seed={seed} records={records} failures={failures}")
sys.exit(1 if failures else 0)
