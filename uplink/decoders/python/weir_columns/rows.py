"""From both bodies of a batch to rows."""
from .columns import Budget, Columns, wrapped
from .errors import ColumnsError
from .logical import converter
from .batch import Reader
from .schema import Type

RANGE = {"int": 2**31, "long": 2**63}


class Shape:
    """How values look: see decode()."""

    def __init__(self, logical, named_unions):
        self.logical, self.named_unions, self.converters = logical, named_unions, {}

    def converter(self, type_):
        if not self.logical or type_.logical is None:
            return None
        if type_ not in self.converters:
            self.converters[type_] = converter(type_)
        return self.converters[type_]

    def converted(self, type_, values):
        convert = self.converter(type_)
        if convert is None:
            return values
        if type_.logical != "decimal":
            return [convert(v) for v in values]
        made = {id(v): v for v in values}       # rows share their bytes, and what is made of them
        made = {k: convert(v) for k, v in made.items()}
        return [made[id(v)] for v in values]


def sequences_and_rows(batch, schema, budget, shape):
    if batch.count < 0:
        raise ColumnsError("count", f"{batch.count} rows")
    columns = Columns(batch, Budget(budget))
    column_0 = columns.integers(batch.count)
    sequences = wrapped([s + i for i, s in enumerate(column_0)])
    if batch.rows:
        columns.end()
        rows = _RowBody(batch.rows, columns.budget, shape).rows(schema.root, batch.count)
    else:
        all_rows = range(batch.count)
        plan = schema.plan()
        columns.keys[0] = (0, all_rows, column_0)
        columns.shapes.first = schema.column_count
        rows = _ColumnBody(columns, shape).values(plan, all_rows)
        columns.end()
    return sequences, rows


class _ColumnBody:
    def __init__(self, columns, shape):
        self.columns, self.shape = columns, shape
        self.kinds = {
            "record": self.record, "null": self.null, "union": self.union, "array": self.array, "map": self.map, "enum": self.enum,
            "boolean": self.boolean, "int": self.whole, "long": self.whole, "float": self.number, "double": self.number,
            "string": self.string, "bytes": self.raw, "fixed": self.raw}

    def values(self, place, rows):
        """One value for each of these rows of the place's table."""
        if not rows and place.column is not None and place.kind not in ("float", "double"):
            self.columns.keys[place.column] = (place.table, rows, [])
        return self.kinds[place.kind](place, rows)

    def integers(self, place, rows, low, high, error):
        """An integer column that may be a key, within bounds."""
        values = self.columns.integers(len(rows), place.column, place.table, rows)
        if values and (min(values) < low or max(values) >= high):
            raise ColumnsError(error, f"outside {low}..{high - 1} in column {place.column}")
        self.columns.keys[place.column] = (place.table, rows, values)
        return values

    def record(self, place, rows):
        self.columns.pay(len(rows))
        names = [f.name for f in place.type.fields]
        fields = [self.values(inner, rows) for inner in place.inner]
        return [dict(zip(names, of_row)) for of_row in zip(*fields)] if fields else [{} for _ in rows]

    def null(self, place, rows):
        self.columns.pay(len(rows))
        return [None] * len(rows)

    def union(self, place, rows):
        branches = self.integers(place, rows, 0, len(place.inner), "branch")
        places = [[] for _ in place.inner]
        for i, branch in enumerate(branches):
            places[branch].append(i)
        result = [None] * len(rows)
        for inner, at in zip(place.inner, places):
            if inner.kind == "null":
                continue
            values = self.values(inner, rows if len(at) == len(rows) else [rows[i] for i in at])
            if self.shape.named_unions:
                values = [{inner.type.name: v} for v in values]
            for i, v in zip(at, values):
                result[i] = v
        return result

    def lengths(self, place, rows):
        lengths = self.integers(place, rows, 0, 2**63, "length")
        total = sum(lengths)
        self.columns.pay(total)
        return lengths, range(total)

    def array(self, place, rows):
        lengths, inner_rows = self.lengths(place, rows)
        items = iter(self.values(place.inner[0], inner_rows))
        return [[next(items) for _ in range(n)] for n in lengths]

    def map(self, place, rows):
        lengths, inner_rows = self.lengths(place, rows)
        columns, number = self.columns, place.keys_column
        columns.keys[number] = (place.inner_table, inner_rows, [])
        keys = iter(columns.texts_of(len(inner_rows), place.known, number, place.inner_table, inner_rows))
        items = iter(self.values(place.inner[0], inner_rows))
        return [dict(_take(zip(keys, items), n)) for n in lengths]

    def enum(self, place, rows):
        symbols = place.type.symbols
        return [symbols[v] for v in self.integers(place, rows, 0, len(symbols), "symbol")]

    def boolean(self, place, rows):
        return [v == 1 for v in self.integers(place, rows, 0, 2, "value")]

    def whole(self, place, rows):
        limit = RANGE[place.kind]
        return self.shape.converted(place.type, self.integers(place, rows, -limit, limit, "value"))

    def number(self, place, rows):
        return self.columns.numbers(len(rows), place.kind, place.column, place.table, rows)

    def string(self, place, rows):
        values = self.columns.texts_of(len(rows), place.known, place.column, place.table, rows)
        return self.shape.converted(place.type, values)

    def raw(self, place, rows):
        read = self.columns.decimals if place.type.logical == "decimal" else self.columns.raws
        size = place.type.size if place.kind == "fixed" else None
        return self.shape.converted(place.type, read(len(rows), size, place.column, place.table, rows))


def _take(pairs, n):
    return [next(pairs) for _ in range(n)]


NESTING_MAX = 128     # values within a row of a row body


class _RowBody:
    """Avro datums one after the other."""

    def __init__(self, data, budget, shape):
        self.reader, self.budget, self.shape = Reader(data), budget, shape
        r = self.reader
        self.simple = {"int": r.int, "long": r.long, "float": r.float, "double": r.double, "bytes": r.bytes, "string": r.string}

    def rows(self, root, count):
        rows = [self.value(root, 0) for _ in range(count)]
        self.reader.end("the last row")
        return rows

    def value(self, t: Type, depth):
        if depth > NESTING_MAX:
            raise ColumnsError("nesting", f"values nest deeper than {NESTING_MAX} in a row")
        self.budget.pay(1)
        read = self.simple.get(t.kind)
        if read is None:
            return getattr(self, t.kind)(t, depth + 1)
        convert = self.shape.converter(t)
        return read() if convert is None else convert(read())

    def null(self, t, depth):
        return None

    def boolean(self, t, depth):
        byte = self.reader.raw(1)
        if byte > b"\x01":
            raise ColumnsError("value", "a boolean is 0 or 1")
        return byte == b"\x01"

    def record(self, t, depth):
        return {f.name: self.value(f.type, depth) for f in t.fields}

    def enum(self, t, depth):
        symbol = self.reader.long()
        if not 0 <= symbol < len(t.symbols):
            raise ColumnsError("symbol", f"no symbol {symbol} in {t.name}")
        return t.symbols[symbol]

    def fixed(self, t, depth):
        convert, raw = self.shape.converter(t), self.reader.raw(t.size)
        return raw if convert is None else convert(raw)

    def union(self, t, depth):
        branch = self.reader.long()
        if not 0 <= branch < len(t.branches):
            raise ColumnsError("branch", f"no branch {branch} in a union of {len(t.branches)}")
        chosen = t.branches[branch]
        value = self.value(chosen, depth)
        return {chosen.name: value} if self.shape.named_unions and chosen.kind != "null" else value

    def array(self, t, depth):
        items = []
        for n in self.reader.blocks():
            self.budget.can(n)
            items.extend(self.value(t.items, depth) for _ in range(n))
        return items

    def map(self, t, depth):
        entries = {}
        for n in self.reader.blocks():
            self.budget.can(n)
            for _ in range(n):
                key = self.reader.string()
                entries[key] = self.value(t.items, depth)
        return entries
