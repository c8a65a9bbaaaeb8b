"""Vectors that decode: schema, rows, and the tapes that say them."""
import itertools

import vectors_shapes
from tape import SLOT, Tape, bits, block, of_bits, record, text, varint, wrap

LOW, HIGH = -2**63, 2**63 - 1


class Case:
    def __init__(self, name, schema, rows, tape, sequences, schema_id, agent, body, split):
        self.name, self.schema, self.rows, self.sequences = name, schema, rows, sequences
        self.schema_id, self.agent = schema_id, agent
        self.record = record(tape, len(rows), schema_id, agent, body, split)


def row_type(**fields):
    return {"type": "record", "name": "Row", "fields": [field(n, t) for n, t in fields.items()]}


def field(name, type_):
    """A pair is a type with the field's known strings."""
    if isinstance(type_, tuple):
        return {"name": name, "type": type_[0], **type_[1]}
    return {"name": name, "type": type_}


def decimal(base="bytes", precision=30, scale=2, **more):
    return {"type": base, "logicalType": "decimal", "precision": precision, "scale": scale, **more}


def nullable(name, values):
    return [None if v is None else {name: v} for v in values]


LIST = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
TREE = {"type": "record", "name": "Node", "fields": [{"name": "kids", "type": {"type": "array", "items": "Node"}}]}


def nest(arrays):
    """An int within so many arrays."""
    type_ = "int"
    for _ in range(arrays):
        type_ = {"type": "array", "items": type_}
    return type_


def array_of(arrays):
    """A datum of it: an item each, a 1 at last."""
    return b"\2" * (arrays + 1) + b"\0" * arrays


class Maker:
    def __init__(self):
        self.cases = []

    def case(self, name, schema, rows, write, sequences=None, schema_id=7, agent="", body=b"", split=None):
        """write(tape) puts the columns after column 0."""
        tape = Tape()
        if sequences is None:
            sequences = list(range(500, 500 + len(rows)))
            if rows:
                tape.constant(500)
        write(tape)
        self.cases.append(Case(name, schema, rows, tape, sequences, schema_id, agent, body, split))

    def columns(self, name, fields, write, **more):
        """fields: {name: (type, values)}; the rows are made of them."""
        names = list(fields)
        rows = [dict(zip(names, values)) for values in zip(*(values for _, values in fields.values()))]
        self.case(name, row_type(**{n: t for n, (t, _) in fields.items()}), rows, write, **more)


def cases():
    m = Maker()
    for part in (worked, integers, edges, numbers, special_numbers, strings, templates, raws, decimals, unions, tables, keys, sizes, limits, bodies,
                 envelope_fields, vectors_shapes.good):
        part(m)
    return m.cases


def worked(m):
    """The example of the layout's page."""
    schema = {"type": "record", "name": "Reading", "fields": [
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "device", "type": "string", "weir.values": ["north", "south"]}, {"name": "temp", "type": ["null", "double"]}]}
    ts = 1700000000000
    rows = [{"ts": ts + 1000 * i, "device": d, "temp": t} for i, (d, t) in enumerate(
        [("north", {"double": 23.47}), ("south", {"double": 23.5}), ("south", None), ("east", {"double": -0.0})])]

    def write(t):
        t.integers([r["ts"] for r in rows], order=2, trimmed=True)
        t.long(0)
        t.integers([0, 1, 1, 2])
        t.strings.append("east")
        t.integers([1, 1, 0, 1])
        t.long(34)
        t.integers([2347, 2350, 2350], order=1)
        t.integers([0, 0, wrap(bits(-0.0) - bits(23.5))])
    m.case("worked", schema, rows, write)


def integers(m):
    """Every legal sum of mode bits."""
    values = [70, 40, 40, 100, 70, 10, 40, 70, 100, 130, 130, 130, 10, 10, 10, 10, 10, 10]
    hosts = [0, 1, 0, 1, 2, 0, 1, 2, 0, 0, 1, 1, 0, 0, 0, 1, 2, 2]
    for order, trimmed, width, extra in itertools.product(range(3), (False, True), (0, 2), ("", "dictionary", "divisor", "keyed")):
        how = {"order": order, "trimmed": trimmed, "width": width}
        how.update({"dictionary": {"dictionary": True}, "divisor": {"divisor": 30}, "keyed": {"key": 1, "series": hosts}}.get(extra, {}))
        name = "-".join(filter(None, ["int", f"order{order}", "trimmed" if trimmed else "", "planes" if width else "", extra]))
        # what is trimmed must end in residuals of 0
        vs = [v if i < 12 else 0 for i, v in enumerate(values)] if trimmed and order == 0 and extra != "divisor" else \
            [v if i < 12 else values[0] for i, v in enumerate(values)] if trimmed and order == 0 else values

        def write(t):
            t.integers(hosts)
            t.integers(vs, **how)
        m.columns(name, {"host": ("int", hosts), "v": ("long", vs)}, write)


def edges(m):
    def one(name, values, **how):
        m.columns(name, {"v": ("long", values)}, lambda t: t.integers(values, **how))

    for name, v in (("low", -2**61), ("high", 2**61), ("zero", 0), ("below", -2**61 - 1), ("over", 2**61 + 1)):
        m.columns(f"int-constant-{name}", {"v": ("long", [v] * 3)}, lambda t: t.constant(v))
    swing = [LOW, HIGH, LOW, 0, HIGH, HIGH, LOW, -1, 1, LOW]
    for order in (0, 1, 2):
        one(f"int-wrap-order{order}", swing, order=order)
    one("int-wrap-planes", swing, order=2, width=8)
    one("int-wrap-dictionary", swing, dictionary=True)
    one("int-trimmed-to-none", [0, 0, 0], trimmed=True)
    one("int-trimmed-none", [1, 2, 3], trimmed=True)
    one("int-divisor-negative", [5, -25, 35, 65], divisor=-30)
    one("int-planes-one-value", [-7], width=1)
    one("int-planes-first-wide", [HIGH, 1, -1, 2, -2], width=1)
    for width in range(1, 9):
        top = 2**(8 * width - 1)
        one(f"int-planes-{width}", [3, top - 1, -top, 0, -1, top // 3], width=width)
    one("int-dictionary-of-one", [9, 9], dictionary=True)
    small = [-2**31, 2**31 - 1, 0]
    m.columns("int-limits", {"v": ("int", small)}, lambda t: t.integers(small, order=1))
    flags = [True, False, True]
    m.columns("boolean", {"v": ("boolean", flags)}, lambda t: t.integers([1, 0, 1]))
    enum = {"type": "enum", "name": "Level", "symbols": ["low", "mid", "high"]}
    m.columns("enum", {"v": (enum, ["high", "low", "low", "mid"])}, lambda t: t.integers([2, 0, 0, 1], order=1))
    kinds = ["date", "time-millis"], ["time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis",
                                      "local-timestamp-micros", "local-timestamp-nanos"]
    fields = {k.replace("-", "_"): ({"type": b, "logicalType": k}, [1, 2, 4]) for b, of in zip(("int", "long"), kinds) for k in of}
    m.columns("logical", fields, lambda t: [t.integers([1, 2, 4], order=i % 3) for i in range(9)])
    m.case("no-fields", row_type(), [{}, {}, {}], lambda t: None)
    m.columns("null", {"v": ("null", [None, None])}, lambda t: None)
    m.case("row-is-no-record", "long", [3, 4, 6], lambda t: t.integers([3, 4, 6], order=1))


def numbers(m):
    for kind in ("double", "float"):
        for scale in (0, 1, 2, 7, 22):
            mantissas = [2347, 2350, -1, 0, 9007199254740991, -9007199254740991]
            values = [x / 10**scale for x in mantissas]

            def write(t):
                t.long(scale)
                t.integers(mantissas, order=1)
            m.columns(f"{kind}-scale{scale}", {"v": (kind, values if kind == "double" else [single(v) for v in values])}, write)
    for scale in range(23):
        def write(t):
            t.long(scale)
            t.integers([123456789, 3, 7])
        m.columns(f"double-power{scale}", {"v": ("double", [x / 10**scale for x in (123456789, 3, 7)])}, write)
    xs = [0.1, -2.5, 1e300, 5e-324, 0.30000000000000004]
    m.columns("double-bits", {"v": ("double", xs)}, lambda t: (t.long(-1), t.integers([bits(x) for x in xs], order=1)))
    m.columns("double-bits-constant", {"v": ("double", [1.5] * 3)}, lambda t: (t.long(-1), t.integers([bits(1.5)] * 3, order=1)))
    m.columns("double-bits-planes", {"v": ("double", xs)}, lambda t: (t.long(-1), t.integers([bits(x) for x in xs], width=8)))
    ones = [1.0, 0.25, single(0.1)]
    m.columns("float-bits", {"v": ("float", ones)}, lambda t: (t.long(-1), t.integers([bits(x, "f") for x in ones])))
    widened = [single(x) for x in (0.1, 23.47, -7.2, 0.0)]
    m.columns("double-single", {"v": ("double", widened)}, lambda t: (t.long(64 + 2), t.integers([10, 2347, -720, 0])))
    odd = [single(0.1), single(1 / 3)]
    third = bits(odd[1], "f") - bits(single(0.33), "f")
    m.columns("double-single-corrected", {"v": ("double", odd)}, lambda t: (t.long(96 + 2), t.integers([10, 33]), t.integers([0, third])))
    m.columns("float-corrected", {"v": ("float", odd)}, lambda t: (t.long(32 + 2), t.integers([10, 33]), t.integers([0, third])))
    hosts = [0, 1, 0, 1, 0]
    m.columns("double-keyed", {"host": ("int", hosts), "v": ("double", [1.5, 9.0, 1.6, 9.1, 1.6])}, lambda t: (
        t.integers(hosts), t.long(1), t.integers([15, 90, 16, 91, 16], order=1, key=1, series=hosts)))
    m.columns("double-bits-keyed", {"host": ("int", hosts), "v": ("double", xs)}, lambda t: (
        t.integers(hosts), t.long(-1), t.integers([bits(x) for x in xs], order=1, key=1, series=hosts)))


def single(v):
    import struct
    return struct.unpack("<f", struct.pack("<f", v))[0]


def special_numbers(m):
    hexes = ["8000000000000000", "0000000000000000", "7ff0000000000000", "fff0000000000000", "7ff8000000000000", "7ff8000000abcdef",
             "fff8deadbeef0001", "0000000000000001", "800fffffffffffff", "0010000000000000", "7fefffffffffffff", "4340000000000000",
             "433fffffffffffff", "4340000000000001", "3fb999999999999a", "3fd3333333333334"]
    values = [of_bits(h) for h in hexes]
    patterns = [wrap(int(h, 16)) for h in hexes]
    m.columns("double-special-bits", {"v": ("double", values)}, lambda t: (t.long(-1), t.integers(patterns)))
    base = bits(23.5)
    m.columns("double-special-corrected", {"v": ("double", values)}, lambda t: (
        t.long(33), t.constant(235), t.integers([wrap(p - base) for p in patterns])))
    hexes_f = ["80000000", "00000000", "7f800000", "ff800000", "7fc00000", "7fc12345", "ffc0beef", "00000001", "807fffff", "7f7fffff", "3dcccccd"]
    values_f = [of_bits(h) for h in hexes_f]
    patterns_f = [int(h, 16) - (int(h, 16) >> 31 << 32) for h in hexes_f]
    m.columns("float-special-bits", {"v": ("float", values_f)}, lambda t: (t.long(-1), t.integers(patterns_f)))
    base_f = bits(single(0.5), "f")
    m.columns("float-special-corrected", {"v": ("float", values_f)}, lambda t: (
        t.long(33), t.constant(5), t.integers([p - base_f for p in patterns_f])))
    m.columns("double-special-single", {"v": ("double", values_f)}, lambda t: (
        t.long(64 + 33), t.constant(5), t.integers([p - base_f for p in patterns_f])))
    m.columns("float-corrected-wraps", {"v": ("float", values_f)}, lambda t: (
        t.long(33), t.constant(5), t.integers([p - base_f + 2**40 for p in patterns_f])))


def strings(m):
    def one(name, values, write, known=(), type_="string"):
        m.columns(name, {"v": ((type_, {"weir.values": list(known)}) if known else type_, values)}, write)

    def plain(t, indices, new=(), **how):
        t.long(0)
        t.integers(indices, **how)
        t.strings += new

    one("string-constant-new", ["x"] * 3, lambda t: (t.long(-1), t.strings.append("x")))
    one("string-constant-known", ["south"] * 3, lambda t: t.long(-2), ["north", "south"])
    one("string-constant-after-known", ["west"] * 3, lambda t: (t.long(-3), t.strings.append("west")), ["north", "south"])
    one("string-each", ["a", "", "c"], lambda t: (t.long(2), t.strings.extend(["a", "", "c"])))
    one("string-each-repeats", ["a", "a"], lambda t: (t.long(2), t.strings.extend(["a", "a"])))
    one("string-each-beside-known", ["n", "s"], lambda t: (t.long(2), t.strings.extend(["n", "s"])), ["north"])
    one("string-indices", ["a", "b", "a", ""], lambda t: plain(t, [0, 1, 0, 2], ["a", "b", ""]))
    one("string-indices-order1", ["a", "b", "c"], lambda t: plain(t, [0, 1, 2], ["a", "b", "c"], order=1))
    one("string-indices-constant", ["b", "b"], lambda t: (t.long(0), t.constant(1)), ["a", "b"])
    one("string-known-all", ["b", "a", "c"], lambda t: plain(t, [1, 0, 2]), ["a", "b", "c", "d"])
    one("string-known-some", ["b", "z", "a", "y"], lambda t: plain(t, [1, 2, 0, 3], ["z", "y"]), ["a", "b"])
    one("string-unicode", ["\u00e9", "\u6e29\u5ea6", "\U0001f600", "\ufeffx", "\0", "\ud7ff\ue000"], lambda t: (
        t.long(2), t.strings.extend(["\u00e9", "\u6e29\u5ea6", "\U0001f600", "\ufeffx", "\0", "\ud7ff\ue000"])))
    one("string-with-slot-sign", [SLOT, "a" + SLOT], lambda t: plain(t, [0, 1], [SLOT, "a" + SLOT]))
    one("uuid", ["2f8ad1c0-0000-4000-8000-000000000001"] * 2, lambda t: (
        t.long(-1), t.strings.append("2f8ad1c0-0000-4000-8000-000000000001")), type_={"type": "string", "logicalType": "uuid"})
    one("string-known-in-union", nullable("string", ["b", None, "a"]), lambda t: (
        t.integers([1, 0, 1]), plain(t, [1, 0])), ["a", "b"], ["null", "string"])


def templates(m):
    def one(name, values, write, known=()):
        m.columns(name, {"v": (("string", {"weir.values": list(known)}) if known else "string", values)}, write)

    rare = ["port 80 open", "port 8080 open", "no number", "port 0 open"]

    def write_rare(t):
        t.long(1)
        t.integers([0, 0, 1, 0])
        t.strings += [f"port {SLOT} open", "no number"]
        t.integers([80, 8080, 0])
    one("template-rare", rare, write_rare)
    often = [f"from 10.0.{i}.7 port {1000 + 3 * i}" for i in range(8)]

    def write_often(t):
        t.long(1)
        t.constant(0)
        t.strings.append(f"from {SLOT}.{SLOT}.{SLOT}.{SLOT} port {SLOT}")
        t.constant(10)
        t.constant(0)
        t.integers(list(range(8)), order=1)
        t.constant(7)
        t.integers([1000 + 3 * i for i in range(8)], order=2)
    one("template-frequent", often, write_often)
    mixed = []
    for i in range(9):
        mixed += [f"a{i}b{2 * i}", f"c{i}d{i + 5}"] if i < 7 else [f"a{i}b{2 * i}"]
    mixed += ["e", "f999999999999999", "a0b0"]

    def write_mixed(t):
        t.long(1)
        t.integers([0, 1] * 7 + [0, 0, 2, 3, 0])
        t.strings += [f"c{SLOT}d{SLOT}", "e", f"f{SLOT}"]
        t.integers(list(range(9)) + [0], order=1)
        t.integers([2 * i for i in range(9)] + [0])
        t.integers(list(range(7)) + [i + 5 for i in range(7)] + [999999999999999])
    one("template-frequent-and-rare", mixed, write_mixed, [f"a{SLOT}b{SLOT}"])
    one("template-seven-uses", [f"x{i}" for i in range(7)], lambda t: (
        t.long(1), t.constant(0), t.strings.append("x" + SLOT), t.integers(list(range(7)))))
    one("template-without-numbers", ["a", "b", "a"], lambda t: (t.long(1), t.integers([0, 1, 0]), t.strings.extend(["a", "b"])))
    one("template-only-slot", ["5", "", "123"], lambda t: (
        t.long(1), t.integers([0, 1, 0]), t.strings.extend([SLOT, ""]), t.integers([5, 123])))
    two = [f"{i}%d{i + 1}" for i in range(8)]
    one("template-many-slots", two, lambda t: (
        t.long(1), t.constant(0), t.strings.append(f"{SLOT}%d{SLOT}"), t.integers(list(range(8))), t.integers(list(range(1, 9)))))


def raws(m):
    values = [b"\0\xff", b"", b"\0\xff", b"abc"]
    m.columns("bytes", {"v": ("bytes", values)}, lambda t: t.raws(values))
    m.columns("bytes-same", {"v": ("bytes", [b"zz"] * 4)}, lambda t: (t.constant(0), t.integers([2]), setattr(t, "planes", b"zz")))
    fixed = [b"\1\2\3", b"\4\5\6", b"\1\2\3"]
    m.columns("fixed", {"v": ({"type": "fixed", "name": "F", "size": 3}, fixed)}, lambda t: t.raws(fixed, fixed=True))
    m.columns("fixed-empty", {"v": ({"type": "fixed", "name": "F", "size": 0}, [b""] * 3)}, lambda t: t.constant(0))
    duration = [bytes(range(12)), bytes(12)]
    m.columns("duration", {"v": ({"type": "fixed", "name": "D", "size": 12, "logicalType": "duration"}, duration)}, lambda t: t.raws(duration, fixed=True))
    uuids = [bytes(range(16)), bytes(range(1, 17))]
    m.columns("uuid-fixed", {"v": ({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"}, uuids)}, lambda t: t.raws(uuids, fixed=True))
    m.columns("bytes-twice", {"v": ("bytes", values), "w": ("bytes", [b"1", b"2", b"3", b"4"])}, lambda t: (
        t.raws(values), t.raws([b"1", b"2", b"3", b"4"])))


def shortest(v):
    return v.to_bytes(max(1, ((v if v >= 0 else ~v).bit_length() + 8) // 8), "big", signed=True)


def decimals(m):
    whole = [2347, 0, -1, 127, 128, -128, -129, 255, HIGH, LOW, 2**56, -2**55]
    m.columns("decimal-integers", {"v": (decimal(), [shortest(v) for v in whole])}, lambda t: (t.long(0), t.integers(whole, order=1)))
    large = [shortest(10**25), shortest(-10**24), b"\0\0\1", b""]
    m.columns("decimal-bytes", {"v": (decimal(), large)}, lambda t: (t.long(1), t.raws(large)))
    fixed = decimal("fixed", 18, 3, name="D8", size=8)
    m.columns("decimal-fixed", {"v": (fixed, [v.to_bytes(8, "big", signed=True) for v in whole])}, lambda t: (t.long(0), t.integers(whole)))
    small = decimal("fixed", 4, 0, name="D2", size=2)
    m.columns("decimal-fixed-small", {"v": (small, [b"\xff\xff", b"\x7f\xff", b"\x80\x00"])}, lambda t: (t.long(0), t.integers([-1, 32767, -32768])))
    wide = decimal("fixed", 30, 0, name="D20", size=20)
    m.columns("decimal-fixed-wide", {"v": (wide, [v.to_bytes(20, "big", signed=True) for v in (-5, 7)])}, lambda t: (t.long(0), t.integers([-5, 7])))
    odd = [bytes(range(20)), bytes(20)]
    m.columns("decimal-fixed-bytes", {"v": (wide, odd)}, lambda t: (t.long(1), t.raws(odd, fixed=True)))
    hosts = [0, 1, 0, 1]
    m.columns("decimal-keyed", {"host": ("int", hosts), "v": (decimal(), [shortest(v) for v in (5, 900, 6, 901)])}, lambda t: (
        t.integers(hosts), t.long(0), t.integers([5, 900, 6, 901], order=1, key=1, series=hosts)))


def unions(m):
    a = {"type": "record", "name": "A", "fields": [{"name": "x", "type": "long"}]}
    b = {"type": "record", "name": "B", "fields": [{"name": "x", "type": "long"}, {"name": "s", "type": "string"}]}
    rows = [{"A": {"x": 1}}, {"B": {"x": 10, "s": "p"}}, None, {"A": {"x": 2}}, {"B": {"x": 11, "s": "q"}}]

    def write(t):
        t.integers([1, 2, 0, 1, 2])
        t.integers([1, 2], order=1)
        t.integers([10, 11], order=1)
        t.long(2)
        t.strings += ["p", "q"]
    m.columns("union-records", {"u": (["null", a, b], rows)}, write)
    rows = [{"int": 1}, {"string": "x"}, {"long": 2}, {"boolean": True}, {"double": 0.5}, None]
    m.columns("union-simple", {"u": (["int", "string", "long", "boolean", "null", "double"], rows)}, lambda t: (
        t.integers([0, 1, 2, 3, 5, 4]), t.integers([1]), t.long(-1), t.strings.append("x"), t.integers([2]), t.integers([1]), t.long(1),
        t.integers([5])))
    m.columns("union-all-null", {"u": (["null", "string"], [None] * 3), "v": ("int", [1, 2, 3])}, lambda t: (t.constant(0), t.integers([1, 2, 3])))
    m.columns("union-never-null", {"u": (["null", "int"], nullable("int", [5, 6]))}, lambda t: (t.constant(1), t.integers([5, 6])))
    m.columns("union-of-one", {"u": (["int"], nullable("int", [5, 6]))}, lambda t: (t.constant(0), t.integers([5, 6])))
    inner = {"type": "record", "name": "I", "fields": [{"name": "v", "type": ["null", {"type": "array", "items": ["null", "int"]}]}]}
    rows = [{"I": {"v": {"array": [{"int": 1}, None]}}}, None, {"I": {"v": None}}, {"I": {"v": {"array": []}}}]
    m.columns("union-nested", {"u": (["null", inner], rows)}, lambda t: (
        t.integers([1, 0, 1, 1]), t.integers([1, 0, 1]), t.integers([2, 0]), t.integers([1, 0]), t.integers([1])))
    twice = row_type(a=["null", a], b=["null", "A"])
    rows = [{"a": {"A": {"x": 1}}, "b": None}, {"a": None, "b": {"A": {"x": 9}}}]
    m.case("named-twice", twice, rows, lambda t: (t.integers([1, 0]), t.integers([1]), t.integers([0, 1]), t.integers([9])))


def tables(m):
    array, arrays = {"type": "array", "items": "int"}, {"type": "array", "items": {"type": "array", "items": "string"}}
    m.columns("array", {"v": (array, [[1, 2], [], [3]])}, lambda t: (t.integers([2, 0, 1]), t.integers([1, 2, 3], order=1)))
    m.columns("array-empty-at-end", {"v": (array, [[1], [], []]), "w": (array, [[], [], []])}, lambda t: (
        t.integers([1, 0, 0], trimmed=True), t.integers([1]), t.constant(0)))
    m.columns("array-of-arrays", {"v": (arrays, [[["a"], []], [], [["b", "a"]]])}, lambda t: (
        t.integers([2, 0, 1]), t.integers([1, 0, 2]), t.long(0), t.integers([0, 1, 0]), t.strings.extend(["a", "b"])))
    m.columns("array-of-nulls", {"v": ({"type": "array", "items": "null"}, [[None, None], []])}, lambda t: t.integers([2, 0]))
    maps = {"type": "map", "values": {"type": "map", "values": "long"}}
    m.columns("map", {"v": ({"type": "map", "values": "int"}, [{"b": 1, "a": 2}, {}, {"a": 3}])}, lambda t: (
        t.integers([2, 0, 1]), t.long(0), t.integers([0, 1, 1]), t.strings.extend(["b", "a"]), t.integers([1, 2, 3])))
    m.columns("map-of-maps", {"v": (maps, [{"x": {"1": 1, "0": 2}}, {"y": {}}])}, lambda t: (
        t.integers([1, 1]), t.long(2), t.strings.extend(["x", "y"]), t.integers([2, 0]), t.long(2), t.strings.extend(["1", "0"]),
        t.integers([1, 2])))
    m.columns("map-known-keys", {"v": ({"type": "map", "values": "string", "weir.keys": ["k"], "weir.values": ["w"]},
                                       [{"k": "w", "j": "v"}, {"k": "w"}])}, lambda t: (
        t.integers([2, 1]), t.long(0), t.integers([0, 1, 0]), t.strings.append("j"), t.long(0), t.integers([0, 1, 0]), t.strings.append("v")))
    m.columns("array-known", {"v": ({"type": "array", "items": ["null", "string"], "weir.values": ["w"]}, [[{"string": "w"}], [{"string": "w"}, None]])}, lambda t: (
        t.integers([1, 2]), t.integers([1, 1, 0]), t.long(-1)))
    kinds = {"i": ("int", 5, lambda t: t.integers([5, 5])), "b": ("boolean", True, lambda t: t.constant(1)),
             "d": ("double", 0.25, lambda t: (t.long(2), t.constant(25))), "f": ("float", 0.5, lambda t: (t.long(1), t.constant(5))),
             "s": ("string", "x", lambda t: (t.long(-1), t.strings.append("x"))), "y": ("bytes", b"\1", lambda t: t.raws([b"\1", b"\1"])),
             "x": ({"type": "fixed", "name": "X", "size": 1}, b"\2", lambda t: t.raws([b"\2"] * 2, fixed=True)),
             "e": ({"type": "enum", "name": "E", "symbols": ["p", "q"]}, "q", lambda t: t.constant(1)),
             "c": (decimal(), b"\7", lambda t: (t.long(0), t.constant(7))), "n": ("null", None, lambda t: None),
             "u": (["null", "long"], {"long": 3}, lambda t: (t.constant(1), t.constant(3))),
             "a": ({"type": "array", "items": "int"}, [4], lambda t: (t.constant(1), t.constant(4))),
             "m": ({"type": "map", "values": "int"}, {"k": 6}, lambda t: (t.constant(1), t.long(-1), t.strings.append("k"), t.constant(6)))}
    inner = {"type": "record", "name": "Inner", "fields": [field(n, t) for n, (t, _, _) in kinds.items()]}
    outer = {"type": "record", "name": "Outer", "fields": [{"name": "of", "type": {"type": "array", "items": ["null", inner]}}]}
    value = {n: v for n, (_, v, _) in kinds.items()}
    rows = [{"o": {"of": [{"Inner": value}, None]}}, {"o": {"of": [{"Inner": value}]}}]

    def write(t):
        t.integers([2, 1])
        t.integers([1, 0, 1])
        for _, _, w in kinds.values():
            w(t)
    m.case("every-kind-nested", row_type(o=outer), rows, write)


def keys(m):
    hosts, values = ["a", "b", "a", "b", "a", "c"], [10, 100, 11, 99, 12, 7]
    indices = [0, 1, 0, 1, 0, 2]

    def v(t, key, series, order=1, values=values):
        t.integers(values, order=order, key=key, series=series)

    m.columns("key-string", {"h": ("string", hosts), "v": ("long", values)}, lambda t: (
        t.long(0), t.integers(indices), t.strings.extend("abc"), v(t, 1, indices)))
    m.columns("key-string-each", {"h": ("string", hosts), "v": ("long", values)}, lambda t: (
        t.long(2), t.strings.extend(hosts), v(t, 1, list(range(6)))))
    m.columns("key-string-constant", {"h": ("string", ["a"] * 6), "v": ("long", values)}, lambda t: (
        t.long(-1), t.strings.append("a"), v(t, 1, [0] * 6)))
    raw = [h.encode() for h in hosts]
    m.columns("key-bytes", {"h": ("bytes", raw), "v": ("long", values)}, lambda t: (t.raws(raw), v(t, 1, indices)))
    m.columns("key-boolean", {"h": ("boolean", [True, False] * 3), "v": ("long", values)}, lambda t: (
        t.integers([1, 0] * 3), v(t, 1, [1, 0] * 3, order=2)))
    m.columns("key-sequence", {"v": ("long", values)}, lambda t: (t.integers([500, 0, 500, 0, 500, 7]), v(t, 0, [0, 1, 0, 1, 0, 2])),
              sequences=[500, 1, 502, 3, 504, 12])
    for name, type_ in (("string", "string"), ("bytes", "bytes"), ("decimal", decimal()), ("int", "int")):
        m.columns(f"key-empty-{name}", {"h": (["null", type_], [None] * 6), "v": ("long", values)}, lambda t: (
            t.constant(0), v(t, 2, [None] * 6)))
    some = nullable("string", ["a", None, "a", "b", None, "b"])
    m.columns("key-absent", {"h": (["null", "string"], some), "v": ("long", values)}, lambda t: (
        t.integers([1, 0, 1, 1, 0, 1]), t.long(0), t.integers([0, 0, 1, 1]), t.strings.extend("ab"), v(t, 2, [0, None, 0, 1, None, 1])))
    m.columns("key-of-some-rows", {"h": ("string", hosts), "v": (["null", "long"], nullable("long", [1, None, 2, 5, None, 6]))}, lambda t: (
        t.long(0), t.integers(indices), t.strings.extend("abc"), t.integers([1, 0, 1, 1, 0, 1]),
        v(t, 1, [0, 0, 1, 2], values=[1, 2, 5, 6])))
    m.columns("key-union", {"h": (["null", "int"], nullable("int", [4, None, 4, 5, None, 4])), "v": ("long", values)}, lambda t: (
        t.integers([1, 0, 1, 1, 0, 1]), t.integers([4, 4, 5, 4]), v(t, 1, [1, 0, 1, 1, 0, 1])))
    item = {"type": "record", "name": "Item", "fields": [{"name": "h", "type": "int"}, {"name": "v", "type": "long"}]}
    rows = [[{"h": h, "v": x} for h, x in part] for part in ([(1, 10), (2, 20)], [], [(1, 11), (2, 19), (1, 12)])]
    m.columns("key-in-items", {"a": ({"type": "array", "items": item}, rows)}, lambda t: (
        t.integers([2, 0, 3]), t.integers([1, 2, 1, 2, 1]), v(t, 2, [1, 2, 1, 2, 1], values=[10, 20, 11, 19, 12])))
    m.columns("key-of-map", {"a": ({"type": "map", "values": "int"}, [{"p": 1, "q": 5}, {"p": 2, "q": 6}])}, lambda t: (
        t.constant(2), t.long(0), t.integers([0, 1, 0, 1]), t.strings.extend("pq"), v(t, 2, [0, 1, 0, 1], values=[1, 5, 2, 6])))
    m.columns("key-lengths", {"a": ({"type": "array", "items": "null"}, [[None], [], [None]]), "v": ("long", [3, 9, 4])}, lambda t: (
        t.integers([1, 0, 1]), v(t, 1, [1, 0, 1], values=[3, 9, 4])))
    m.columns("key-order0", {"h": ("int", [1, 2, 1]), "v": ("long", [3, 9, 4])}, lambda t: (
        t.integers([1, 2, 1]), v(t, 1, [1, 2, 1], order=0, values=[3, 9, 4])))
    last = [1] * 62 + [2]
    many = {f"c{i}": ("int", [i, last[i]]) for i in range(63)}
    m.columns("key-far", many, lambda t: [t.integers([i, last[i]], key=i, series=[i - 1, last[i - 1]]) if i else t.integers([0, 1]) for i in range(63)])


def sizes(m):
    for n in (0, 1, 2, 15, 16, 17):
        clock, slow = [1000 * i for i in range(n)], [i // 3 for i in range(n)]
        words, reals = [f"w{i % 4}" for i in range(n)], [i / 4 for i in range(n)]
        raw = [bytes([i % 3]) for i in range(n)]
        lists = [list(range(i % 3)) for i in range(n)]

        def write(t):
            if not n:
                return
            t.integers(clock, order=2, trimmed=True)
            t.integers(slow, order=1, width=1)
            t.long(0)
            t.integers([i % 4 for i in range(n)])
            t.strings += words[:4]
            t.long(2)
            t.integers([25 * i for i in range(n)], order=1)
            t.raws(raw)
            t.integers([len(v) for v in lists])
            if n > 1:
                t.integers([v for of in lists for v in of])
        m.columns(f"n{n}", {"clock": ("long", clock), "slow": ("int", slow), "word": ("string", words), "real": ("double", reals),
                            "raw": ("bytes", raw), "list": ({"type": "array", "items": "int"}, lists)}, write)
    m.columns("sequence-gaps", {"v": ("int", [1, 1, 1, 1])}, lambda t: (t.integers([5, 5, 9, 97]), t.constant(1)), sequences=[5, 6, 11, 100])
    m.columns("sequence-back", {"v": ("int", [1, 1, 1])}, lambda t: (t.integers([HIGH, LOW, -2], order=1), t.constant(1)),
              sequences=[HIGH, LOW + 1, 0])


def limits(m):
    """1 000 columns, 64 types within each other; the vectors bad-schema-wide-1001 and bad-nesting-columns-65 are one more."""
    m.case("columns-1000", row_type(**{f"c{i}": "int" for i in range(1000)}), [{f"c{i}": i for i in range(1000)}] * 2,
           lambda t: [t.constant(i) for i in range(1000)])
    ones = 1
    for _ in range(63):
        ones = [ones]
    m.case("columns-64-deep", nest(63), [ones] * 2, lambda t: [t.constant(1) for _ in range(64)])


def bodies(m):
    none = lambda t: None
    flat = row_type(a="long", b="string", c=["null", "double"], d="boolean", e="float", f="bytes")
    rows = [{"a": LOW, "b": "x", "c": {"double": of_bits("7ff8000000abcdef")}, "d": True, "e": 0.5, "f": b"\0"},
            {"a": 1, "b": "", "c": None, "d": False, "e": -0.0, "f": b""}]
    body = varint(LOW) + text("x") + varint(1) + bytes.fromhex("efcdab000000f87f") + b"\1" + bytes.fromhex("0000003f") + text(b"\0") + \
        varint(1) + text("") + varint(0) + b"\0" + bytes.fromhex("00000080") + text(b"")
    m.case("rows", flat, rows, none, body=body)
    tables_ = row_type(a={"type": "array", "items": "int"}, m={"type": "map", "values": "string"},
                       e={"type": "enum", "name": "E", "symbols": ["p", "q"]}, f={"type": "fixed", "name": "F", "size": 2}, d=decimal())
    rows = [{"a": [1, 2, 3], "m": {"k": "v", "j": "w"}, "e": "q", "f": b"ab", "d": b"\7"}]
    body = varint(-2) + varint(2) + varint(1) + varint(2) + varint(1) + varint(3) + b"\0" + \
        varint(1) + text("k") + text("v") + varint(-1) + varint(4) + text("j") + text("w") + b"\0" + varint(1) + b"ab" + text(b"\7")
    m.case("rows-tables", tables_, rows, none, body=body)
    node = {"type": "record", "name": "Node", "fields": [{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]}
    rows = [{"v": 1, "next": {"Node": {"v": 2, "next": None}}}, {"v": 3, "next": None}]
    m.case("rows-recursive", node, rows, none, body=varint(1) + varint(1) + varint(2) + varint(0) + varint(3) + varint(0))
    m.columns("rows-sequence-gaps", {"v": ("int", [7, 8])}, lambda t: t.integers([5, 6]), sequences=[5, 7], body=varint(7) + varint(8))
    wide = row_type(**{f"c{i}": "int" for i in range(1100)})
    nested, kids, ones = None, [], 1
    for i in range(128):
        nested = {"Node": {"next": nested}} if i < 63 else nested
        kids = [{"kids": kids}] if i < 63 else kids
        ones = [ones] if i < 70 else ones
    m.case("rows-128-deep", LIST, [{"next": nested}], none, body=b"\2" * 63 + b"\0")
    m.case("rows-127-deep", TREE, [{"kids": kids}], none, body=b"\2" * 63 + b"\0" * 64)
    m.case("rows-types-70-deep", nest(70), [ones], none, body=array_of(70))
    m.case("rows-wide", wide, [{f"c{i}": 0 for i in range(1100)}], none, body=bytes(1100))


def envelope_fields(m):
    one = {"v": ("int", [1, 2])}
    write = lambda t: t.integers([1, 2])
    m.columns("schema-registry", one, write, schema_id=2**31 - 1)
    m.columns("schema-crc64", one, write, schema_id=bytes.fromhex("bd948c1e7d1fbef6"))
    m.columns("schema-glue", one, write, schema_id=bytes(range(16)))
    m.columns("agent", one, write, agent="b\u00fcro-7/0000002a")
    values = list(range(0, 12, 3))
    m.columns("blocks-split", {"v": ("int", values)}, lambda t: t.integers(values), split=[(1, True), (2, False), (1, True), (2, True)])
