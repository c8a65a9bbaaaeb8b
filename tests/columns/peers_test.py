#!/usr/bin/env python3
"""The rows of the Python package are those that fastavro makes of the same data, logical types and all: every good vector.

usage: peers_test.py     with the python of tests/services/readers.sh arrow"""
import io
import json
import pathlib
import sys

import fastavro

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "uplink/decoders/python"))
import vectors_test  # noqa: E402
from weir_columns import RowSchema, decode  # noqa: E402

OVER = "it rounds a decimal that has more digits than its type"
# What fastavro does otherwise. (It also raises for dates beyond Python's.)
OTHERWISE = {"logical": "it cuts timestamp-nanos to microseconds", "uuid-fixed": "it leaves a UUID of 16 bytes as bytes",
             "decimal-fixed-bytes": OVER, "decimal-fixed-small": OVER, "decimal-fixed": OVER}


def tuples(t, v):
    """A value with the names of unions, as fastavro takes them."""
    if t.kind == "record":
        return {f.name: tuples(f.type, v[f.name]) for f in t.fields}
    if t.kind == "array":
        return [tuples(t.items, i) for i in v]
    if t.kind == "map":
        return {k: tuples(t.items, i) for k, i in v.items()}
    if t.kind == "union" and v is not None:
        (name, inner), = v.items()
        value = tuples(next(b for b in t.branches if b.name == name), inner)
        return (name, value) if any(b.kind == "record" for b in t.branches) else value
    return v


def main():
    count, wrong = 0, []
    for name, text, record, first, _ in vectors_test.vectors():
        if "error" in first or name in OTHERWISE:
            continue
        schema, parsed = RowSchema(text), fastavro.parse_schema(json.loads(text))
        plain = decode(record, schema, logical=False, named_unions=True).rows
        theirs = []
        for row in plain:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, parsed, tuples(schema.root, row))
            out.seek(0)
            theirs.append(fastavro.schemaless_reader(out, parsed))
        count += 1
        ours = decode(record, schema).rows
        if repr(ours) != repr(theirs):
            wrong.append(f"{name}:\n  ours   {ours!r:.400}\n  theirs {theirs!r:.400}")
    print("\n".join(wrong))
    print(f"vectors={count} wrong={len(wrong)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
