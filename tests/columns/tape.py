"""Puts batches together by hand: every mode is the caller's choice, nothing is chosen here.

    t = Tape()
    t.integers([1, 2, 3], order=1)       a column as it goes on the tapes
    record(t, count=3)                   the record weir.columns.Batch around it"""
import struct

SLOT = "\x01"


def zz(v):
    return (v << 1) ^ (v >> 63)


def wrap(v):
    return (v + 2**63) % 2**64 - 2**63


def varint(v):
    out, z = bytearray(), zz(v)
    while z > 127:
        out.append(z & 127 | 128)
        z >>= 7
    out.append(z)
    return bytes(out)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return varint(len(raw)) + raw


def block(items, split=None):
    """An Avro array. split: [(count, with size)], as its blocks shall be."""
    out, at = b"", 0
    for count, sized in split or ([(len(items), False)] if items else []):
        body = b"".join(items[at:at + count])
        out += (varint(-count) + varint(len(body)) if sized else varint(count)) + body
        at += count
    assert at == len(items)
    return out + b"\0"


def residuals(values, order):
    if order == 0:
        return list(values)
    first = [values[0]] + [wrap(b - a) for a, b in zip(values, values[1:])]
    return first if order == 1 else first[:2] + [wrap(b - a) for a, b in zip(first[1:], first[2:])]


class Tape:
    def __init__(self):
        self.ints, self.strings, self.planes = [], [], b""

    def long(self, *values):
        self.ints += values

    def constant(self, v):
        self.long(-1 - zz(v))

    def integers(self, values, order=0, trimmed=False, width=0, dictionary=False, divisor=None, key=None, series=None):
        """key: number of a column; series: its value in each of these rows."""
        mode = order + 4 * trimmed + 8 * (width > 0) + 16 * dictionary + 32 * (divisor is not None) + 64 * (0 if key is None else key + 1)
        entries = sorted(set(values)) if dictionary else None
        if dictionary:
            values = [entries.index(v) for v in values]
        r = self._split(values, order, series) if key is not None else residuals(values, order)
        if divisor is not None:
            rest = [v - values[0] for v in values[1:]] if order == 0 else r[1:]
            assert not any(v % divisor for v in rest)
            r = r[:1] + [v // divisor for v in rest]
        self.long(mode)
        if trimmed:
            while r and r[-1] == 0:
                r.pop()
            self.long(len(r))
        if divisor is not None:
            self.long(divisor)
        if dictionary:
            self.long(len(entries), *residuals(entries, 1))
        if width:
            self.long(r[0], width)
            for place in reversed(range(width)):
                self.planes += bytes(zz(v) >> 8 * place & 255 for v in r[1:])
        else:
            self.long(*r)

    @staticmethod
    def _split(values, order, series):
        r = [0] * len(values)
        for key in set(series):
            at = [i for i, s in enumerate(series) if s == key]
            for i, v in zip(at, residuals([values[i] for i in at], order)):
                r[i] = v
        return r

    def raws(self, values, fixed=False, **how):
        """A bytes column."""
        distinct = list(dict.fromkeys(values))
        self.integers([distinct.index(v) for v in values], **how)
        if not fixed:
            self.integers([len(v) for v in distinct])
        self.planes += b"".join(distinct)


def record(tape, count, schema=7, agent="", rows=b"", split=None):
    head = varint(0) + varint(schema) if isinstance(schema, int) else varint(len(schema) // 8) + schema
    return (head + text(agent) + varint(count) + block([varint(v) for v in tape.ints], split) + block([text(s) for s in tape.strings]) +
            text(tape.planes) + text(rows))


def bits(v, code="d"):
    """IEEE bits as a signed integer."""
    return struct.unpack("<" + {"d": "q", "f": "i"}[code], struct.pack("<" + code, v))[0]


def of_bits(hexadecimal):
    """A float or double from its bits, so that a NaN keeps its payload."""
    raw = bytes.fromhex(hexadecimal)
    return struct.unpack(">d" if len(raw) == 8 else ">f", raw)[0]
