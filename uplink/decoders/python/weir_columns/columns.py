"""The columns of a batch: from three tapes to the values of the rows."""
import sys
from array import array
from itertools import accumulate

from .errors import ColumnsError
from .shapes import Shapes

TEXT_FREE = 16                        # characters of a text, or bytes, that cost one value of the budget more, in each row
NUMBER_MAX = 999_999_999_999_999      # in a template
FREQUENT = 8                          # uses from which a template has columns of its own
SLOT = "\x01"
BYTES_AS_TEXTS = 3                    # in place of a bytes column's first mode


class Budget:
    """Every value is paid for before there is memory for it."""

    def __init__(self, values):
        self.left = values

    def can(self, count):
        if count > self.left:
            raise ColumnsError("budget", "the batch has more values than its reader allows")

    def pay(self, count):
        self.can(count)
        self.left -= count


def wrapped(values):
    """Modulo 2^64, two's complement."""
    if values and (max(values) > 2**63 - 1 or min(values) < -2**63):
        return [((v + 2**63) & (2**64 - 1)) - 2**63 for v in values]
    return values


def unzigzag(v):
    return (v >> 1) ^ -(v & 1)


def undone(order, divisor, r):
    """Residuals to values, without the wrap."""
    if divisor is not None:
        r = r[:1] + [v * divisor for v in r[1:]]
    if order == 0:
        return r if divisor is None else r[:1] + [v + r[0] for v in r[1:]]
    if order == 2 and len(r) > 1:
        r = r[:1] + list(accumulate(r[1:]))
    return list(accumulate(r))


class Columns:
    """Decodes the columns of one batch in the order of the walk."""

    def __init__(self, batch, budget):
        self.ints, self.strings, self.planes = batch.ints, batch.strings, batch.planes
        self.at_ints = self.at_strings = self.at_planes = 0
        self.budget = budget
        self.pay = budget.pay
        self.shapes = Shapes(self)
        self.keys = {}       # column number: (table, rows, values) of those that may be keys

    # --- tapes ---

    def one(self):
        if self.at_ints == len(self.ints):
            raise ColumnsError("truncated", "`ints` ends early")
        self.at_ints += 1
        return self.ints[self.at_ints - 1]

    def many(self, n):
        if n > len(self.ints) - self.at_ints:
            raise ColumnsError("truncated", "`ints` ends early")
        self.at_ints += n
        return self.ints[self.at_ints - n:self.at_ints]

    def texts(self, n):
        if n > len(self.strings) - self.at_strings:
            raise ColumnsError("truncated", "`strings` ends early")
        self.at_strings += n
        return self.strings[self.at_strings - n:self.at_strings]

    def plane(self, size):
        if size > len(self.planes) - self.at_planes:
            raise ColumnsError("truncated", "`planes` ends early")
        self.at_planes += size
        return self.planes[self.at_planes - size:self.at_planes]

    def end(self):
        for tape, at, name in ((self.ints, self.at_ints, "ints"), (self.strings, self.at_strings, "strings"),
                               (self.planes, self.at_planes, "planes")):
            if at != len(tape):
                raise ColumnsError("left-over", f"{len(tape) - at} left on `{name}`")

    # --- integers ---

    def integers(self, n, column=None, table=0, rows=None):
        """n values. With `column`, its own number, an earlier column of its table may be the key."""
        if n == 0:
            return []
        self.pay(n)
        mode = self.one()
        if mode < 0:
            return [unzigzag(-1 - mode)] * n
        order, key = mode & 3, mode >> 6
        trimmed, planes, dictionary, divisor = mode & 4, mode & 8, mode & 16, mode & 32
        if order == 3 or dictionary and divisor or key and (dictionary or divisor):
            raise ColumnsError("mode", f"mode {mode} of an integer column")
        series = self._series(key - 1, column, table, rows) if key else None
        m = self.one() if trimmed else n
        if not 0 <= m <= n:
            raise ColumnsError("count", f"{m} residuals for {n} values")
        divisor = self.one() if divisor else None
        entries = self._dictionary(n) if dictionary else None
        residuals = (self._from_planes(m) if planes else self.many(m)) + [0] * (n - m)
        values = wrapped(undone(order, divisor, residuals)) if series is None else self._keyed(order, residuals, series)
        if entries is not None:
            if min(values) < 0 or max(values) >= len(entries):
                raise ColumnsError("index", "beyond a dictionary's entries")
            values = [entries[v] for v in values]
        return values

    def _dictionary(self, n):
        u = self.one()
        if not 1 <= u <= n:
            raise ColumnsError("dictionary", f"a dictionary of {u} for {n} values")
        return wrapped(list(accumulate(self.many(u))))

    def _from_planes(self, m):
        if m < 1:
            raise ColumnsError("count", "planes without a residual")
        first, width = self.one(), self.one()
        if not 1 <= width <= 8:
            raise ColumnsError("width", f"planes of {width} bytes")
        size = m - 1
        raw = self.plane(size * width)
        if sys.byteorder == "little":
            wide = bytearray(size * 8)
            for i in range(width):
                wide[width - 1 - i::8] = raw[i * size:(i + 1) * size]
            return [first] + [(v >> 1) ^ -(v & 1) for v in array("Q", bytes(wide))]
        return [first] + [unzigzag(int.from_bytes(raw[i::size], "big")) for i in range(size)]

    def _series(self, key, column, table, rows):
        if column is None or key >= column or key not in self.keys or self.keys[key][0] != table:
            raise ColumnsError("key", f"column {key} can't be the key here")
        _, key_rows, values = self.keys[key]
        if len(key_rows) == len(rows) and key_rows == rows:
            return values
        found = dict(zip(key_rows, values))
        return [found.get(row) for row in rows]

    @staticmethod
    def _keyed(order, residuals, series):
        places = {}
        for i, key in enumerate(series):
            places.setdefault(key, []).append(i)
        values = [0] * len(residuals)
        for at in places.values():
            for i, v in zip(at, wrapped(undone(order, None, [residuals[i] for i in at]))):
                values[i] = v
        return values

    # --- numbers ---

    def numbers(self, n, kind, column, table, rows):
        if n == 0:
            return []
        mode = self.one()
        if mode == -1:
            bits = self.integers(n, column, table, rows)
            if kind == "double":
                return array("d", array("q", bits).tobytes()).tolist()
            if min(bits) < -2**31 or max(bits) >= 2**31:
                raise ColumnsError("value", "the bits of a float have over 32 bits")
            return array("f", array("i", bits).tobytes()).tolist()
        scale = mode & 31
        if mode < -1 or mode > 127 or scale > 22 or mode & 64 and kind == "float":
            raise ColumnsError("mode", f"mode {mode} of a number column")
        mantissas = self.integers(n, column, table, rows)
        if max(mantissas) >= 2**53 or min(mantissas) <= -2**53:
            raise ColumnsError("mantissa", "2^53 or more")
        power = float(10**scale)
        values = array("f" if kind == "float" or mode & 64 else "d", [m / power for m in mantissas])
        if mode & 32:
            bits, mask = ("I", 2**32 - 1) if values.typecode == "f" else ("Q", 2**64 - 1)
            added = [(b + c) & mask for b, c in zip(array(bits, values.tobytes()), self.integers(n))]
            values = array(values.typecode, array(bits, added).tobytes())
        return values.tolist()

    # --- strings ---

    def texts_of(self, n, known, column, table, rows):
        if n == 0:
            return []
        mode = self.one()
        if mode < 0:
            self.pay(n)
            index = -1 - mode
            self._new(index, n, known)
            self.keys[column] = (table, rows, [index] * n)
            only = known[index] if index < len(known) else self.strings[self.at_strings - 1]
            self.pay(n * (len(only) // TEXT_FREE))
            return [only] * n
        if mode == 2:
            self.pay(n)
            self.keys[column] = (table, rows, list(range(n)))
            return self.texts(n)
        if mode > 3:
            raise ColumnsError("mode", f"mode {mode} of a string column")
        indices = self.integers(n)
        entries = known + self._new(max(indices), n, known)
        if min(indices) < 0:
            raise ColumnsError("index", "below 0")
        if mode == 1:
            return self._templated(indices, entries)
        if mode == 3:
            return self.shapes.texts(indices, entries, table, rows)
        self.keys[column] = (table, rows, indices)
        return self._shared(entries, indices)

    def _shared(self, entries, indices):
        """Rows share a text or bytes here, but not where they go to: each pays for it."""
        sizes = [len(e) // TEXT_FREE for e in entries]
        if any(sizes):
            self.pay(sum(sizes[i] for i in indices))
        return [entries[i] for i in indices]

    def _new(self, largest, n, known):
        new = max(0, largest + 1 - len(known))
        if new > n:
            raise ColumnsError("index", f"{new} new strings for {n} values")
        return self.texts(new)

    def _templated(self, indices, entries):
        uses = {}
        for row, i in enumerate(indices):
            uses.setdefault(i, []).append(row)
        slots = {i: entries[i].count(SLOT) for i in uses}
        numbers = {i: [self._printable(len(at)) for _ in range(slots[i])] for i, at in uses.items() if len(at) >= FREQUENT}
        rare = [(i, len(at)) for i, at in uses.items() if len(at) < FREQUENT]
        rest, start = self._printable(sum(slots[i] * n for i, n in rare)), 0
        for i, n in rare:
            numbers[i] = [rest[start + k * n:start + (k + 1) * n] for k in range(slots[i])]
            start += slots[i] * n
        texts = [None] * len(indices)
        for i, at in uses.items():
            self.pay(len(at) * (len(entries[i]) // TEXT_FREE))
            pattern = entries[i].replace("%", "%%").replace(SLOT, "%d")
            filled = (pattern % given for given in zip(*numbers[i])) if slots[i] else [entries[i]] * len(at)
            for row, text in zip(at, filled):
                texts[row] = text
        return texts

    def _printable(self, n):
        numbers = self.integers(n)
        if n and (min(numbers) < 0 or max(numbers) > NUMBER_MAX):
            raise ColumnsError("value", "a number in a text is negative or has over 15 digits")
        return numbers

    # --- bytes ---

    def raws(self, n, size, column, table, rows):
        """size: of a fixed; None: each has a length."""
        if n == 0:
            return []
        if size is None and self.ints[self.at_ints:self.at_ints + 1] == [BYTES_AS_TEXTS]:
            self.at_ints += 1
            return [text.encode() for text in self.texts_of(n, [], column, table, rows)]
        indices = self.integers(n, column, table, rows)
        self.keys[column] = (table, rows, indices)
        distinct = max(indices) + 1
        if min(indices) < 0 or distinct > n:
            raise ColumnsError("index", f"{distinct} values for {n} rows")
        lengths = self.integers(distinct) if size is None else [size] * distinct
        if min(lengths) < 0:
            raise ColumnsError("length", "below 0")
        if sum(lengths) > len(self.planes) - self.at_planes:
            raise ColumnsError("truncated", "`planes` ends early")
        values = [self.plane(length) for length in lengths]
        return self._shared(values, indices)

    def decimals(self, n, size, column, table, rows):
        """As bytes, since that is their type."""
        if n == 0:
            return []
        mode = self.one()
        if mode == 1:
            return self.raws(n, size, column, table, rows)
        if mode != 0:
            raise ColumnsError("mode", f"mode {mode} of a decimal")
        values = self.integers(n, column, table, rows)
        self.keys[column] = (table, rows, values)
        if size is None:
            return [v.to_bytes((v if v >= 0 else ~v).bit_length() // 8 + 1, "big", signed=True) for v in values]
        self.pay(n * (size // TEXT_FREE))
        try:
            return [v.to_bytes(size, "big", signed=True) for v in values]
        except OverflowError:
            raise ColumnsError("value", f"a decimal of over {size} bytes") from None
