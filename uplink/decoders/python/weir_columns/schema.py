"""Avro schemas, as far as decoding needs them, and what columns a row schema has."""
import json
import math

from .errors import ColumnsError

PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
LOGICAL = {
    "date": "int", "time-millis": "int", "time-micros": "long",
    "timestamp-millis": "long", "timestamp-micros": "long", "timestamp-nanos": "long",
    "local-timestamp-millis": "long", "local-timestamp-micros": "long", "local-timestamp-nanos": "long",
}
NESTING_MAX = 64      # types within types
COLUMNS_MAX = 1001    # with column 0, the sequence numbers
PLACES_MAX = 20000    # types at all their places
BATCH = "weir.columns.Batch"


class Type:
    """One Avro type. A named type is one object wherever it stands."""

    __slots__ = ("kind", "name", "logical", "precision", "scale", "size", "symbols", "fields", "items", "branches", "known", "known_keys", "odd")

    def __init__(self, kind, name=None):
        self.kind, self.name, self.logical = kind, name or kind, None
        self.known, self.known_keys = [], []    # array, map: strings known of its items, and keys
        self.odd = None                         # why it can't be in columns
        self.precision = self.scale = self.size = 0
        self.symbols, self.fields, self.branches, self.items = [], [], [], None


class Field:
    __slots__ = ("name", "type", "known")

    def __init__(self, name, type_, known):
        self.name, self.type, self.known = name, type_, known


class Place:
    """A type where it stands in the row: the number of its column, its table, the strings known there."""

    __slots__ = ("type", "kind", "table", "column", "keys_column", "known", "inner", "inner_table")

    def __init__(self, type_, table, known):
        self.type, self.kind, self.table, self.known = type_, type_.kind, table, known
        self.column = self.keys_column = self.inner_table = None
        self.inner = []


class RowSchema:
    """A parsed row schema: make it once, decode many batches with it.

    text: the schema's JSON, as text or as json.loads() gives it; references: those that define types which it only names, each after those that
    it names itself."""

    def __init__(self, text, references=()):
        parser = _Parser()
        try:
            for source in (*references, text):
                self.root = parser.type(json.loads(source) if isinstance(source, (str, bytes)) else source, "")
        except RecursionError:
            raise ColumnsError("nesting", "the row schema nests too deep") from None
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            if isinstance(e, ColumnsError):
                raise
            raise ColumnsError("schema", f"not an Avro schema: {e!r}") from None
        self._plan, self.column_count = None, 0

    @property
    def name(self):
        """The full name, or the type's name if it has none of its own."""
        return self.root.name

    def plan(self):
        """The columns of a batch; ColumnsError where only the row body is possible."""
        if self._plan is None:
            planner = _Planner()
            self._plan = planner.plan(self.root)
            self.column_count = planner.columns
        return self._plan


class _Parser:
    def __init__(self):
        self.named, self.depth = {}, 0

    def type(self, source, space):
        self.depth += 1
        if self.depth > 4 * NESTING_MAX:
            raise ColumnsError("nesting", "the row schema nests too deep")
        try:
            return self._type(source, space)
        finally:
            self.depth -= 1

    def _type(self, source, space):
        if isinstance(source, list):
            t = Type("union")
            t.branches = [self.type(s, space) for s in source]
            return t
        if isinstance(source, str):
            return self._reference(source, space)
        kind = source["type"]
        if not isinstance(kind, str):
            return self.type(kind, space)
        if kind in ("array", "map"):
            t = Type(kind)
            t.items = self.type(source["items" if kind == "array" else "values"], space)
            t.known, t.known_keys = source.get("weir.values", []), source.get("weir.keys", [])
            return t
        if kind in ("record", "error", "enum", "fixed"):
            t = self._define(kind, source, space)
        else:
            t = self._reference(kind, space)
        _set_logical(t, source)
        return t

    def _reference(self, name, space):
        if name in PRIMITIVES:
            return Type(name)
        found = self.named.get(f"{space}.{name}" if space and "." not in name else name) or self.named.get(name)
        if found is None:
            raise ColumnsError("schema", f"no type is named {name}")
        return found

    def _define(self, kind, source, space):
        before, _, name = source["name"].rpartition(".")
        space = before or (source.get("namespace", space) if "." not in source["name"] else "")
        t = Type("record" if kind == "error" else kind, f"{space}.{name}" if space else name)
        self.named[t.name] = t
        if kind == "enum":
            t.symbols = [str(s) for s in source["symbols"]]
        elif kind == "fixed":
            t.size = source["size"]
            if not isinstance(t.size, int) or t.size < 0:
                raise ColumnsError("schema", f"the size of {t.name} is not one")
        else:
            t.fields = [Field(f["name"], self.type(f["type"], space), f.get("weir.values", [])) for f in source["fields"]]
        return t


def _strings(known):
    if not isinstance(known, list) or not all(isinstance(s, str) for s in known):
        raise ColumnsError("schema", "known strings are not a list of strings")
    return known


def _whole(source, key, default):
    v = source.get(key, default)
    return int(v) if isinstance(v, (int, float)) and not isinstance(v, bool) and v == int(v) else -1


def _set_logical(t, source):
    """A logical type that is unknown or not valid where it stands does not count, as Avro's specification says."""
    name = source.get("logicalType")
    if not isinstance(name, str):
        return
    if LOGICAL.get(name) == t.kind or name == "uuid" and (t.kind == "string" or t.kind == "fixed" and t.size == 16) \
            or name == "duration" and t.kind == "fixed" and t.size == 12:
        t.logical = name
    elif name == "decimal" and t.kind in ("bytes", "fixed"):
        precision, scale = _whole(source, "precision", 0), _whole(source, "scale", 0)
        digits = precision if t.kind == "bytes" else int((t.size * 8 - 1) * math.log10(2)) if t.size else 0
        if 1 <= precision <= min(digits, 2**31 - 1) and 0 <= scale <= precision:
            t.logical, t.precision, t.scale = name, precision, scale
        else:
            t.odd = "a decimal whose precision, scale or size is not valid"


class _Planner:
    """Walks the row schema depth first and numbers its columns and tables."""

    def plan(self, root):
        self.columns, self.tables, self.places, self.open = 1, 1, 0, []
        return self._place(root, 0, [])

    def _column(self):
        if self.columns == COLUMNS_MAX:
            raise ColumnsError("schema", "over 1000 columns: such a schema has only the row body")
        self.columns += 1
        return self.columns - 1

    def _place(self, t, table, known):
        """known: of the field, array or map that the type stands in."""
        self.places += 1
        if t in self.open:
            raise ColumnsError("schema", f"{t.name} contains itself: such a schema has only the row body")
        if len(self.open) >= NESTING_MAX:
            raise ColumnsError("nesting", "types nest deeper than 64")
        if self.places > PLACES_MAX or t.odd:
            raise ColumnsError("schema", t.odd or f"over {PLACES_MAX} types")
        place = Place(t, table, known)
        self.open.append(t)
        if t.kind == "record":
            place.inner = [self._place(f.type, table, f.known) for f in t.fields]
        elif t.kind != "null":
            place.column = self._column()
            self._inner(place, t, table, known)
        self.open.pop()
        return place

    def _inner(self, place, t, table, known):
        if t.kind == "union":
            place.inner = [self._place(b, table, known) for b in t.branches]
        elif t.kind in ("array", "map"):
            place.inner_table, self.tables = self.tables, self.tables + 1
            if t.kind == "map":
                place.keys_column, place.known = self._column(), _strings(t.known_keys)
            place.inner = [self._place(t.items, place.inner_table, t.known)]
        elif t.kind == "string":
            place.known = _strings(known)
