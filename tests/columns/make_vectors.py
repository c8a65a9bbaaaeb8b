#!/usr/bin/env python3
"""Writes tests/columns/vectors/NAME.{avsc,ndjson,bin}: batches put together by hand, with what every decoder has to make of them.

usage: make_vectors.py            writes them anew
       make_vectors.py --check    fails if the files are not what this program writes

NAME.avsc    the row schema
NAME.bin     the record weir.columns.Batch
NAME.ndjson  first line {"batch": {"schema": id, "agent": ..., "count": n}}, or {"error": name} and nothing else;
             then a line for each row: {"sequence": n, "row": Avro's JSON encoding, "bits": [...]}, where "bits" are the IEEE bits of
             the row's floats and doubles in their order, in hexadecimal"""
import json
import math
import pathlib
import struct
import sys

import vectors_good
import vectors_bad

FOLDER = pathlib.Path(__file__).parent / "vectors"


def floats(schema, value, named, out):
    """The bits of all floats and doubles of a value, and the value as JSON can have it."""
    if isinstance(schema, str):
        schema = named.get(schema, schema)
    if isinstance(schema, list):
        if value is None:
            return None
        (name, inner), = value.items()
        for branch in schema:
            kind = branch if isinstance(branch, str) else branch.get("name", branch["type"])
            if kind == name:
                return {name: floats(branch, inner, named, out)}
        raise KeyError(name)
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    if kind in ("float", "double"):
        out.append(struct.pack(">f" if kind == "float" else ">d", value).hex())
        return "NaN" if math.isnan(value) else value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    if kind == "record":
        return {f["name"]: floats(f["type"], value[f["name"]], named, out) for f in schema["fields"]}
    if kind == "array":
        return [floats(schema["items"], v, named, out) for v in value]
    if kind == "map":
        return {k: floats(schema["values"], v, named, out) for k, v in value.items()}
    return value.decode("latin-1") if isinstance(value, bytes) else value


def line(o):
    return json.dumps(o, ensure_ascii=False, separators=(",", ":")) + "\n"


def files():
    for c in vectors_good.cases():
        id_ = c.schema_id if isinstance(c.schema_id, int) else c.schema_id.hex()
        out = line({"batch": {"schema": id_, "agent": c.agent, "count": len(c.rows)}})
        for sequence, row in zip(c.sequences, c.rows):
            bits = []
            o = {"sequence": sequence, "row": floats(c.schema, row, {}, bits)}
            out += line({**o, "bits": bits} if bits else o)
        yield c.name, c.schema, out, c.record
    for c in vectors_bad.cases():
        yield c.name, c.schema, line({"error": c.error}), c.record


def main(check):
    FOLDER.mkdir(exist_ok=True)
    wanted = {}
    for name, schema, lines, record in files():
        assert name + ".bin" not in wanted, name
        wanted.update({name + ".avsc": line(schema).encode(), name + ".ndjson": lines.encode(), name + ".bin": record})
    if check:
        have = {p.name: p.read_bytes() for p in FOLDER.iterdir()}
        wrong = [n for n in sorted(have.keys() | wanted.keys()) if have.get(n) != wanted.get(n)]
        sys.exit(f"not as make_vectors.py writes them: {' '.join(wrong)}" if wrong else 0)
    for path in FOLDER.iterdir():
        path.unlink()
    for name, data in wanted.items():
        (FOLDER / name).write_bytes(data)
    print(f"{len(wanted) // 3} vectors")


if __name__ == "__main__":
    main(sys.argv[1:] == ["--check"])
