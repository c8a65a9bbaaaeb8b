#!/usr/bin/env python3
"""The Python decoder as a filter: cases in, what they decode to out, one line each. The filters of the other languages are the same.

in:   {"schema": text of the row schema, "record": hexadecimal, "budget": values}; in place of the record a whole "message", and "dictionaries" that it
      may be packed by, each in hexadecimal
out:  {"schema": id, "agent": ..., "sequences": [...], "rows": [...]}, the rows in Avro's JSON encoding, but floats and doubles as their
      IEEE bits in hexadecimal; or {"error": name}"""
import json
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "uplink/decoders/python"))
from weir_columns import BUDGET, ColumnsError, Consumer, RowSchema, decode  # noqa: E402


def exact(t, v):
    """A value as the line has it."""
    if t.kind in ("float", "double"):
        return struct.pack(">f" if t.kind == "float" else ">d", v).hex()
    if t.kind in ("bytes", "fixed"):
        return v.decode("latin-1")
    if t.kind == "record":
        return {f.name: exact(f.type, v[f.name]) for f in t.fields}
    if t.kind == "array":
        return [exact(t.items, i) for i in v]
    if t.kind == "map":
        return {k: exact(t.items, i) for k, i in v.items()}
    if t.kind == "union" and v is not None:
        (name, inner), = v.items()
        return {name: exact(next(b for b in t.branches if b.name == name), inner)}
    return v


def answer(case):
    try:
        schema = RowSchema(case["schema"])
        options = {"budget": case.get("budget", BUDGET), "logical": False, "named_unions": True}
        if "message" in case:
            d = Consumer(lambda id_: schema, dictionaries=map(bytes.fromhex, case["dictionaries"]), **options).decode(bytes.fromhex(case["message"]))
        else:
            d = decode(bytes.fromhex(case["record"]), schema, **options)
    except ColumnsError as e:
        return {"error": e.name}
    return {"schema": d.schema if isinstance(d.schema, int) else d.schema.hex(), "agent": d.agent, "sequences": d.sequences,
            "rows": [exact(schema.root, row) for row in d.rows]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
