"""Values of Avro schemas, as graphs of avro_random.py have them, made comparable."""
import math
import struct

from avro_random import Array, Field, Map, Named, Union, bare, key


def real(v):
    return float(v.replace("Infinity", "inf")) if isinstance(v, str) else float(v)


def single(v):
    try:
        return struct.unpack("<f", struct.pack("<f", v))[0]
    except OverflowError:
        return math.copysign(math.inf, v)


def norm(t, v, java=False):
    """A value that is equal when it means the same: numbers by their bits, with the branches of unions. Java 1.12.0 makes floats of
    the doubles of an array, and 0.0 of a float that is -0.0 where it writes JSON."""
    t = bare(t)
    if java and isinstance(t, Array) and bare(t.items) == "double":
        return [norm("double", single(real(i))) for i in v]
    if t in ("float", "double"):
        v = real(v) + (0.0 if java and t == "float" else -0.0)
        return "NaN" if math.isnan(v) else struct.pack("<f" if t == "float" else "<d", v)
    if isinstance(t, Array):
        return [norm(t.items, i, java) for i in v]
    if isinstance(t, Map):
        return {k: norm(t.items, i, java) for k, i in v.items()}
    if isinstance(t, Union):
        if v is None:
            return None
        (name, inner), = v.items()
        return {name: norm(next(b for b in t.branches if key(b) == name), inner, java)}
    if isinstance(t, Named) and t.kind == "record":
        return {f.name: norm(f.type, v[f.name], java) if f.name in v else "missing" for f in t.fields}
    return (type(v).__name__, v)


def native(t, v):
    """As Apache's Python has it: without the branches of unions, bytes as bytes."""
    t = bare(t)
    if t in ("float", "double"):
        return struct.unpack("<f", struct.pack("<f", real(v)))[0] if t == "float" else real(v)
    if t == "bytes" or isinstance(t, Named) and t.kind == "fixed":
        return v.encode("latin-1")
    if isinstance(t, Array):
        return [native(t.items, i) for i in v]
    if isinstance(t, Map):
        return {k: native(t.items, i) for k, i in v.items()}
    if isinstance(t, Union):
        return None if v is None else native(next(b for b in t.branches if key(b) == next(iter(v))), next(iter(v.values())))
    if isinstance(t, Named) and t.kind == "record":
        return {f.name: native(f.type, v[f.name]) for f in t.fields}
    return v


def sort(v):
    return {k: sort(v[k]) for k in sorted(v)} if isinstance(v, dict) else [sort(i) for i in v] if isinstance(v, list) else v


def loose(v):
    """Python promotes neither a number's type nor its precision."""
    if isinstance(v, dict):
        return {k: loose(i) for k, i in v.items()}
    if isinstance(v, list):
        return [loose(i) for i in v]
    if isinstance(v, (int, float)) and not isinstance(v, bool):
        return "NaN" if math.isnan(v) else struct.pack("<f", min(max(v, -3e38), 3e38))
    return v


def graph(schema, space="", named=None):
    """The graph of a schema's JSON, as far as values need it: without logical types, aliases and defaults."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return Union([graph(s, space, named) for s in schema])
    if isinstance(schema, str):
        return named.get(f"{space}.{schema}", named.get(schema, schema))
    kind = schema["type"]
    if kind in ("array", "map"):
        return (Array if kind == "array" else Map)(graph(schema["items" if kind == "array" else "values"], space, named))
    if kind not in ("record", "error", "enum", "fixed"):
        return graph(kind, space, named)
    inner, _, name = schema["name"].rpartition(".")
    t = Named("record" if kind == "error" else kind, name, inner or schema.get("namespace", space))
    named[t.full()] = t
    for f in schema.get("fields", []):
        t.fields.append(Field(f["name"], graph(f["type"], t.space, named)))
    return t
