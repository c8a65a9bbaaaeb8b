"""Vectors that no decoder may accept: for each rule at least one input that breaks it, and the error's name."""
import vectors_shapes
from tape import SLOT, Tape, record, text, varint

from vectors_good import TREE, array_of, decimal, field, nest, row_type


class Case:
    def __init__(self, name, error, schema, record_):
        self.name, self.error, self.schema, self.record = f"bad-{error}-{name}", error, schema, record_


class Maker:
    def __init__(self):
        self.cases = []

    def bytes(self, error, name, schema, raw):
        self.cases.append(Case(name, error, schema, raw))

    def tape(self, error, name, schema, write, count=3, planes=b"", strings=(), **more):
        """write: the longs after column 0, or a function of the tape."""
        t = Tape()
        if count > 0:
            t.constant(500)
        if callable(write):
            write(t)
        else:
            t.long(*write)
        t.planes += planes
        t.strings += strings
        self.bytes(error, name, schema, record(t, count, **more))


LONG, TEXT, BYTES, DOUBLE = row_type(v="long"), row_type(v="string"), row_type(v="bytes"), row_type(v="double")
PAIR = row_type(h="int", v="long")


def cases():
    m = Maker()
    for part in (ends, modes, ranges, keys, values, texts, nesting, budgets, shapes):
        part(m)
    return m.cases


def ends(m):
    t = Tape()
    t.constant(500)
    t.integers([1, 2, 3])
    whole = record(t, 3)
    m.bytes("truncated", "record", LONG, whole[:-1])
    m.bytes("truncated", "record-early", LONG, whole[:4])
    m.bytes("truncated", "nothing", LONG, b"")
    m.bytes("left-over", "record", LONG, whole + b"\0")
    m.tape("truncated", "ints", LONG, [0, 1, 2])
    m.tape("truncated", "ints-mode", LONG, [])
    m.tape("truncated", "ints-before-residuals", LONG, [4])
    m.tape("truncated", "strings", TEXT, [2], strings=["a", "b"])
    m.tape("truncated", "strings-new", TEXT, [-1])
    m.tape("truncated", "planes", LONG, [8, 5, 2], planes=b"\1\2\3")
    m.tape("truncated", "planes-values", BYTES, [-1, -9], planes=b"\1\2\3")
    m.tape("truncated", "planes-size-wide", BYTES, [-1, -1 - 2 * (2**32 + 3)], planes=b"\1\2\3")  # 3 of it fit where sizes have 32 bits
    m.tape("truncated", "rows-size-wide", BYTES, [], rows=varint(2**32 + 3) + b"\1\2\3")
    m.tape("truncated", "planes-fixed", row_type(v={"type": "fixed", "name": "F", "size": 4}), [-1], planes=b"\1\2\3")
    m.tape("left-over", "ints", LONG, [-1, 7])
    m.tape("left-over", "strings", LONG, [-1], strings=["x"])
    m.tape("left-over", "planes", LONG, [-1], planes=b"x")
    m.tape("left-over", "ints-of-none", LONG, [0], count=0)
    head = varint(0) + varint(7) + text("") + varint(3)
    m.bytes("truncated", "array", LONG, head + varint(2**62) + varint(-1))
    m.bytes("truncated", "array-sized", LONG, head + varint(-2**63) + varint(5) + varint(-1))
    m.bytes("truncated", "string", LONG, varint(0) + varint(7) + varint(2**62) + b"abc")
    m.bytes("truncated", "planes-length", LONG, head + b"\0\0" + varint(2**63 - 1))
    m.tape("truncated", "rows", LONG, [], rows=b"\2\2")
    m.tape("left-over", "rows", LONG, [], rows=b"\2\2\2\2")
    m.tape("left-over", "rows-of-none", LONG, [], count=0, rows=b"\2")
    m.tape("left-over", "rows-and-ints", LONG, [1], rows=b"\2\2\2")
    m.tape("left-over", "rows-and-strings", LONG, [], rows=b"\2\2\2", strings=["x"])
    m.tape("left-over", "rows-and-planes", LONG, [], rows=b"\2\2\2", planes=b"x")
    m.tape("truncated", "rows-string", TEXT, [], rows=varint(2**40) + b"x")
    m.tape("truncated", "rows-double", DOUBLE, [], rows=bytes(20))
    m.bytes("varint", "eleven-bytes", LONG, head + varint(1) + b"\x80" * 10 + b"\0" + b"\0\0\0")
    m.bytes("varint", "tenth-byte", LONG, head + varint(1) + b"\xff" * 9 + b"\x02" + b"\0\0\0")
    m.bytes("varint", "count", LONG, b"\0" + b"\xff" * 12)
    m.tape("varint", "rows", LONG, [], rows=b"\xff" * 9 + b"\x7f" + b"\2\2")


def modes(m):
    for mode in (3, 7, 11, 16 + 32, 64 + 16, 64 + 32, 64 + 3, 64 + 48):
        m.tape("mode", f"int-{mode}", LONG, [mode, 1, 1, 1, 1, 1, 1])
    for mode in (23, 31, 32 + 23, 64 + 24, 128, 2**40, -2, -2**63):
        m.tape("mode", f"double-{mode}".replace("--", "-minus-"), DOUBLE, [mode, 0, 1, 2, 3])
    m.tape("mode", "float-single", row_type(v="float"), [64, 0, 1, 2, 3])
    for mode in (4, 5, 2**62):
        m.tape("mode", f"string-{mode}", TEXT, [mode, 0, 0, 0, 0], strings=["a"])
    for mode in (2, -1):
        m.tape("mode", f"decimal-{mode}".replace("--", "-minus-"), row_type(v=decimal()), [mode, 0, 0, 0, 0])


def ranges(m):
    m.tape("count", "rows", LONG, [], count=-1)
    m.tape("count", "trimmed", LONG, [4, 4, 1, 1, 1, 1])
    m.tape("count", "trimmed-negative", LONG, [4, -1])
    m.tape("count", "planes-of-none", LONG, [12, 0])
    m.tape("dictionary", "none", LONG, [16, 0])
    m.tape("dictionary", "negative", LONG, [16, -1])
    m.tape("dictionary", "large", LONG, [16, 4, 1, 1, 1, 1, 0, 1, 2])
    m.tape("width", "none", LONG, [8, 1, 0])
    m.tape("width", "nine", LONG, [8, 1, 9], planes=bytes(18))
    m.tape("width", "negative", LONG, [8, 1, -1])
    m.tape("index", "dictionary", LONG, [16, 2, 5, 1, 0, 1, 2])
    m.tape("index", "dictionary-negative", LONG, [16, 2, 5, 1, 0, 1, -1])
    m.tape("index", "string", TEXT, [0, 0, 0, 1, 3], strings=list("abcd"))
    m.tape("index", "string-large", TEXT, [0, 0, 0, 1, 2**63 - 1], strings=["a"])
    m.tape("index", "string-negative", TEXT, [0, 0, 0, 1, -1], strings=["a", "b"])
    known = row_type(v=("string", {"weir.values": ["a", "b", "c"]}))
    m.tape("index", "string-all-lowest", TEXT, [0, 0] + [-2**63] * 3)
    m.tape("index", "string-all-lowest-known", known, [0, 0] + [-2**63] * 3)
    m.tape("index", "string-all-low-known", known, [0, 0] + [-2**53 - 2] * 3)
    m.tape("index", "template-all-lowest", known, [1, 0] + [-2**63] * 3)
    m.tape("index", "bytes-all-lowest", BYTES, [0, -2**63, -2**63, -2**63, -1], planes=b"abc")
    m.tape("index", "string-constant", TEXT, [-5], strings=list("abcde"))
    m.tape("index", "string-constant-large", TEXT, [-2**63], strings=["a"])
    m.tape("index", "template", TEXT, [1, 0, 0, 1, 3], strings=list("abcd"))
    m.tape("index", "bytes", BYTES, [0, 0, 1, 3, -1], planes=b"abc")
    m.tape("index", "bytes-large", BYTES, [0, 0, 1, 2**63 - 1, -1], planes=b"abc")
    m.tape("index", "bytes-negative", BYTES, [0, 0, 1, -1, -1], planes=b"abc")
    m.tape("length", "array", row_type(v={"type": "array", "items": "null"}), [0, 1, 2, -1])
    m.tape("length", "map", row_type(v={"type": "map", "values": "null"}), [0, 0, 0, -1])
    m.tape("length", "bytes", BYTES, [-1, 0, -1])
    m.tape("length", "bytes-second", BYTES, [0, 0, 1, 1, 0, 2, -1], planes=b"ab")
    m.bytes("length", "record-string", LONG, varint(0) + varint(7) + varint(-1))
    m.bytes("length", "record-block", LONG, varint(0) + varint(7) + text("") + varint(3) + varint(-1) + varint(-1) + varint(-1) + b"\0\0\0\0")
    m.tape("length", "rows-bytes", BYTES, [], rows=varint(-1) + b"\0\0")
    union = row_type(v=["null", "int"])
    m.tape("branch", "beyond", union, [0, 0, 1, 2, 0, 5])
    m.tape("branch", "negative", union, [0, 0, 1, -1, 0, 5])
    m.tape("branch", "none", row_type(v=[]), [-1])
    m.tape("branch", "rows", union, [], rows=b"\4\0\0")
    m.bytes("branch", "schema", LONG, varint(3) + varint(7) + text("") + varint(0) + b"\0\0\0\0")
    m.bytes("branch", "schema-negative", LONG, varint(-1) + varint(7) + text("") + varint(0) + b"\0\0\0\0")
    enum = row_type(v={"type": "enum", "name": "E", "symbols": ["a", "b"]})
    m.tape("symbol", "beyond", enum, [0, 0, 1, 2])
    m.tape("symbol", "negative", enum, [0, 0, 1, -1])
    m.tape("symbol", "rows", enum, [], rows=b"\0\2\4")


def keys(m):
    keyed = [65 + 64, 1, 2, 3]                  # order 1, keyed by column 1
    m.tape("key", "itself", LONG, keyed)
    m.tape("key", "later", row_type(v="long", w="long"), [65 + 128, 1, 2, 3, 0, 1, 2, 3])
    m.tape("key", "beyond", PAIR, [0, 1, 2, 3, 2**62 + 1, 1, 2, 3])
    m.tape("key", "number", row_type(h="double", v="long"), [0, 0, 1, 2, 3] + keyed)
    m.tape("key", "templates", row_type(h="string", v="long"), [1, 0, 0, 0, 0] + keyed, strings=["a"])
    items = {"type": "array", "items": "long"}
    m.tape("key", "of-outer-table", row_type(h="int", v=items), [0, 1, 2, 3, 0, 1, 1, 1] + keyed)
    m.tape("key", "of-inner-table", row_type(h=items, v="long"), [0, 1, 1, 1, 0, 1, 2, 3, 65 + 128, 1, 2, 3])
    m.tape("key", "of-other-items", row_type(h=items, w=items), [0, 1, 1, 1, 0, 1, 2, 3, 0, 1, 1, 1, 65 + 128, 1, 2, 3])
    m.tape("key", "for-corrections", row_type(h="int", v="double"), [0, 1, 2, 3, 32, 0, 1, 2, 3] + keyed)
    m.tape("key", "for-indices", row_type(h="int", v="string"), [0, 1, 2, 3, 0, 65 + 64, 0, 0, 0], strings=["a"])
    m.tape("key", "for-templates", row_type(h="int", v="string"), [0, 1, 2, 3, 1, 65 + 64, 0, 0, 0], strings=["a"])
    m.tape("key", "for-numbers-in-text", row_type(h="int", v="string"), [0, 1, 2, 3, 1, 0, 0, 0, 0] + keyed, strings=[SLOT])
    m.tape("key", "for-byte-lengths", row_type(h="int", v="bytes"), [0, 1, 2, 3, 0, 0, 1, 2] + keyed, planes=b"abbccc")
    t = Tape()
    t.long(65, 1, 2, 3, 0, 1, 2, 3)
    m.bytes("key", "for-sequences", LONG, record(t, 3))


def values(m):
    for v in (2**53, -2**53, 2**63 - 1, -2**63):
        m.tape("mantissa", str(v).replace("-", "minus-"), DOUBLE, [0, 0, 1, 2, v])
    m.tape("mantissa", "float", row_type(v="float"), [0, 0, 1, 2, 2**53])
    m.tape("value", "int", row_type(v="int"), [0, 1, 2, 2**31])
    m.tape("value", "int-low", row_type(v="int"), [0, 1, 2, -2**31 - 1])
    m.tape("value", "boolean", row_type(v="boolean"), [0, 1, 0, 2])
    m.tape("value", "float-bits", row_type(v="float"), [-1, 0, 1, 2, 2**31])
    m.tape("value", "decimal", row_type(v=decimal("fixed", 2, 0, name="D", size=1)), [0, 0, 1, 2, 128])
    m.tape("value", "decimal-low", row_type(v=decimal("fixed", 2, 0, name="D", size=1)), [0, 0, 1, 2, -129])
    m.tape("value", "number-in-text", TEXT, [1, 0, 0, 0, 0, 0, 1, 2, 10**15], strings=["a" + SLOT])
    m.tape("value", "number-in-text-negative", TEXT, [1, 0, 0, 0, 0, 0, 1, 2, -1], strings=["a" + SLOT])
    m.tape("value", "rows-int", row_type(v="int"), [], rows=varint(2**31) + b"\0\0")
    m.tape("value", "rows-boolean", row_type(v="boolean"), [], rows=b"\0\1\2")
    m.bytes("value", "count", LONG, varint(0) + varint(7) + text("") + varint(2**31) + b"\0\0\0\0")
    m.bytes("value", "schema", LONG, varint(0) + varint(2**31) + text("") + varint(0) + b"\0\0\0\0")


def texts(m):
    for name, raw in (("overlong", b"\xc0\x80"), ("surrogate", b"\xed\xa0\x80"), ("cut", b"\xe6\xb8"), ("beyond", b"\xf4\x90\x80\x80"),
                      ("stray", b"a\x80")):
        m.tape("utf8", name, TEXT, [-1], strings=[raw])
    m.tape("utf8", "agent", LONG, [-1], agent=b"\xff")
    m.tape("utf8", "rows", TEXT, [], rows=text(b"\xff") * 3)


def nesting(m):
    deep = "int"
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    m.tape("nesting", "columns", row_type(v=deep), [-1])
    m.tape("nesting", "columns-65", nest(64), [-3] * 64 + [-1], count=1)
    m.tape("nesting", "rows-129", TREE, [], count=1, rows=b"\2" * 64 + b"\0" * 65)
    m.tape("nesting", "rows-types-129", nest(129), [], count=1, rows=array_of(129))
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
    m.tape("nesting", "rows", node, [], count=1, rows=b"\2" * 200 + b"\0")
    m.tape("schema", "recursive", node, [-1])
    m.tape("schema", "decimal", row_type(v=decimal(precision=2, scale=3)), [0, -1])
    m.tape("schema", "decimal-fixed", row_type(v=decimal("fixed", 3, 0, name="D", size=1)), [0, -1])
    m.tape("schema", "known", row_type(v=("string", {"weir.values": ["a", 1]})), [-1])
    m.tape("schema", "wide", row_type(**{f"c{i}": "int" for i in range(1100)}), [-1] * 1100)
    m.tape("schema", "wide-1001", row_type(**{f"c{i}": "int" for i in range(1001)}), [-1] * 1001)


def budgets(m):
    m.tape("budget", "constants", LONG, [-1], count=20_000_000)
    m.tape("budget", "no-columns", row_type(), [], count=20_000_000)
    nulls = {"type": "array", "items": "null"}
    m.tape("budget", "array-of-nulls", row_type(v=nulls), [0, 0, 20_000_000, 0])
    m.tape("budget", "array-lengths-overflow", row_type(v=nulls), [0, 2**63 - 1, 2**63 - 1, 2])
    m.tape("budget", "map", row_type(v={"type": "map", "values": "null"}), [0, 0, 20_000_000, 0])
    m.tape("budget", "rows-array", row_type(v=nulls), [], count=1, rows=varint(2**62) + b"\0")
    m.tape("budget", "many-nulls", {"type": "record", "name": "R", "fields": [field(f"n{i}", "null") for i in range(200)]}, [], count=100_000)
    m.tape("budget", "numbers-in-text", TEXT, [1] + [-1] * 201, count=100_000, strings=[SLOT * 200])
    m.tape("budget", "long-texts", TEXT, [1, -1], count=100_000, strings=["x" * 10_000])
    m.tape("budget", "one-text", TEXT, [-1], count=100_000, strings=["x" * 10_000])
    m.tape("budget", "one-text-by-index", TEXT, [0, -1], count=100_000, strings=["x" * 10_000])


def shapes(m):
    fixed = row_type(v={"type": "fixed", "name": "F", "size": 3})
    vectors_shapes.bad(m, TEXT, BYTES, fixed, row_type(h="int", v="string"))
