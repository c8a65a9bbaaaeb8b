#!/usr/bin/env python3
"""Every vector through a decoder. usage: vectors_test.py COMMAND...     a filter as lines.py is one
                                      vectors_test.py --weir PROGRAM  `weir columns decode`"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).parent / "vectors"


def number(kind, v):
    """What text can tell of a float or double."""
    v = float(v.replace("Infinity", "inf")) if isinstance(v, str) else v
    return "NaN" if v != v else struct.pack(">f" if kind == "float" else ">d", v).hex()


def with_bits(schema, value, bits, named):
    """A row of a vector's file with its floats and doubles as bits; `bits` None: as far as text tells them."""
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, list):
        if value is None:
            return None
        (name, inner), = value.items()
        branch = next(b for b in schema if name == (b if isinstance(b, str) else b.get("name", b["type"])))
        return {name: with_bits(branch, inner, bits, named)}
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    if kind in ("float", "double"):
        return number(kind, value) if bits is None else next(bits)
    if kind == "record":
        return {f["name"]: with_bits(f["type"], value[f["name"]], bits, named) for f in schema["fields"]}
    if kind == "array":
        return [with_bits(schema["items"], v, bits, named) for v in value]
    if kind == "map":
        return {k: with_bits(schema["values"], v, bits, named) for k, v in value.items()}
    return value


def vectors():
    for path in sorted(FOLDER.glob("*.bin")):
        schema = path.with_suffix(".avsc").read_text()
        first, *rows = map(json.loads, path.with_suffix(".ndjson").read_text().split("\n")[:-1])
        yield path.stem, schema, path.read_bytes(), first, rows


def wanted(schema, first, rows):
    if "error" in first:
        return first
    tree = json.loads(schema)
    return {"schema": first["batch"]["schema"], "agent": first["batch"]["agent"], "sequences": [r["sequence"] for r in rows],
            "rows": [with_bits(tree, r["row"], iter(r.get("bits", [])), {}) for r in rows]}


def through_filter(command):
    every = list(vectors())
    cases = "".join(json.dumps({"schema": schema, "record": record.hex()}) + "\n" for _, schema, record, _, _ in every)
    done = subprocess.run(command, input=cases, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=True)
    got = done.stdout.split("\n")[:-1]
    wrong = [] if len(got) == len(every) else [f"{len(got)} answers for {len(every)} vectors"]
    for (name, schema, _, first, rows), line in zip(every, got):
        right = json.dumps(wanted(schema, first, rows))
        if json.dumps(json.loads(line)) != right:
            wrong.append(f"{name}:\n  wanted {right[:400]}\n  got    {line[:400]}")
    return len(every), wrong


def through_weir(program):
    """Rows alone: text does not show a NaN's payload. An error is one line and exit code 2."""
    count, wrong = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, schema, record, first, rows in vectors():
            count += 1
            for file, data in (("schema", schema.encode()), ("batch", record)):
                pathlib.Path(folder, file).write_bytes(data)
            done = subprocess.run([program, "columns", "decode", f"{folder}/schema", f"{folder}/batch"], capture_output=True)
            if "error" in first:
                if done.returncode != 2 or done.stderr.count(b"\n") != 1:
                    wrong.append(f"{name}: exit {done.returncode}, {done.stderr[:200]!r}, {first['error']} wanted")
                continue
            tree = json.loads(schema)
            got = [with_bits(tree, json.loads(line), None, {}) for line in done.stdout.decode().split("\n")[:-1]]
            if done.returncode or got != [with_bits(tree, r["row"], None, {}) for r in rows]:
                wrong.append(f"{name}: exit {done.returncode}, {done.stderr[:200]!r} {done.stdout[:300]!r}")
    return count, wrong


if __name__ == "__main__":
    n, failures = through_weir(sys.argv[2]) if sys.argv[1] == "--weir" else through_filter(sys.argv[1:])
    print("\n".join(failures))
    print(f"vectors={n} wrong={len(failures)}")
    sys.exit(1 if failures else 0)
