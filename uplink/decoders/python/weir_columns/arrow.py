"""Batches as pyarrow tables.

Types: dates, times and timestamps as Arrow has them (to the nanosecond); decimals as decimal128 or decimal256; enums as text; durations and
UUIDs of 16 bytes as binary of fixed size; maps as maps; a union of null and one type as that type; any other union as a struct with one
field for each branch, of which at most one is not null."""
import decimal

import pyarrow as pa

from . import decode
from .errors import ColumnsError
from .logical import converter
from .schema import RowSchema

_SIMPLE = {
    "null": pa.null(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(), "double": pa.float64(),
    "bytes": pa.binary(), "string": pa.string(), "enum": pa.string()}
_LOGICAL = {
    "date": pa.date32(), "time-millis": pa.time32("ms"), "time-micros": pa.time64("us"),
    "timestamp-millis": pa.timestamp("ms", "UTC"), "timestamp-micros": pa.timestamp("us", "UTC"), "timestamp-nanos": pa.timestamp("ns", "UTC"),
    "local-timestamp-millis": pa.timestamp("ms"), "local-timestamp-micros": pa.timestamp("us"), "local-timestamp-nanos": pa.timestamp("ns")}


def table(record, row_schema, budget, sequence):
    schema = row_schema if isinstance(row_schema, RowSchema) else RowSchema(row_schema)
    decoded = decode(record, schema, budget=budget, logical=False, named_unions=True)
    root = schema.root
    if root.kind == "record":
        names, types = [f.name for f in root.fields], [f.type for f in root.fields]
        columns = [[row[name] for row in decoded.rows] for name in names]
    else:
        names, types, columns = [root.name], [root], [decoded.rows]
    try:
        arrow_types = [_type(t) for t in types]
    except RecursionError:
        raise ColumnsError("schema", "a type that contains itself has no table") from None
    try:
        arrays = [pa.array([_value(t, v) for v in column], of) for t, of, column in zip(types, arrow_types, columns)]
    except pa.ArrowException as e:
        raise ColumnsError("value", f"no Arrow type holds it: {e}") from None
    if sequence is not None:
        names, arrays = names + [sequence], arrays + [pa.array(decoded.sequences, pa.int64())]
    return pa.Table.from_arrays(arrays, names=names)


def _parts(union):
    return [b for b in union.branches if b.kind != "null"]


def _type(t):
    if t.logical == "decimal" and t.precision <= 76:
        return pa.decimal128(t.precision, t.scale) if t.precision <= 38 else pa.decimal256(t.precision, t.scale)
    if t.logical in _LOGICAL:
        return _LOGICAL[t.logical]
    if t.kind in _SIMPLE:
        return _SIMPLE[t.kind]
    if t.kind == "fixed":
        return pa.binary(t.size)
    if t.kind == "array":
        return pa.list_(_type(t.items))
    if t.kind == "map":
        return pa.map_(pa.string(), _type(t.items))
    if t.kind == "record":
        return pa.struct([pa.field(f.name, _type(f.type)) for f in t.fields])
    parts = _parts(t)
    return _type(parts[0]) if len(parts) == 1 else pa.struct([pa.field(b.name, _type(b)) for b in parts])


def _value(t, v):
    if t.kind == "record":
        return {f.name: _value(f.type, v[f.name]) for f in t.fields}
    if t.kind == "array":
        return [_value(t.items, i) for i in v]
    if t.kind == "map":
        return [(k, _value(t.items, i)) for k, i in v.items()]
    if t.kind == "union" and v is not None:
        (name, inner), = v.items()
        branch = next(b for b in t.branches if b.name == name)
        inner = _value(branch, inner)
        return inner if len(_parts(t)) == 1 else {name: inner}
    if t.logical == "decimal" and t.precision <= 76:
        with decimal.localcontext(decimal.Context(prec=100)):
            return converter(t)(v)
    return v
