"""The record weir.columns.Batch: Avro binary, read without an Avro library."""
import struct

from .errors import ColumnsError


class Reader:
    """A cursor over Avro binary. Everything read lies within `data`."""

    __slots__ = ("data", "at")

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def long(self):
        data, at, shift, value = self.data, self.at, 0, 0
        while True:
            if at == len(data):
                raise ColumnsError("truncated", "the input ends within a number")
            byte = data[at]
            at += 1
            if shift == 63 and byte > 1:
                raise ColumnsError("varint", "a number has over 64 bits")
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.at = at
                return (value >> 1) ^ -(value & 1)
            shift += 7

    def int(self):
        value = self.long()
        if not -2**31 <= value < 2**31:
            raise ColumnsError("value", f"{value} is no int")
        return value

    def raw(self, size):
        if size < 0:
            raise ColumnsError("length", f"a length of {size}")
        if size > len(self.data) - self.at:
            raise ColumnsError("truncated", f"{size} bytes wanted, {len(self.data) - self.at} left")
        self.at += size
        return self.data[self.at - size:self.at]

    def bytes(self):
        return self.raw(self.long())

    def string(self):
        return text(self.bytes())

    def float(self):
        return struct.unpack("<f", self.raw(4))[0]

    def double(self):
        return struct.unpack("<d", self.raw(8))[0]

    def blocks(self):
        """The counts of an array's or map's blocks; what they hold is read in between."""
        while True:
            count = self.long()
            if count < 0:
                count, size = -count, self.long()
                if size < 0:
                    raise ColumnsError("length", f"a block of {size} bytes")
            if count == 0:
                return
            yield count

    def fits(self, count):
        """Each item has a byte at least."""
        if count > len(self.data) - self.at:
            raise ColumnsError("truncated", f"{count} items wanted in {len(self.data) - self.at} bytes")

    def end(self, what):
        if self.at != len(self.data):
            raise ColumnsError("left-over", f"{len(self.data) - self.at} bytes after {what}")


def text(raw):
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ColumnsError("utf8", "a string is not UTF-8") from None


class Batch:
    """The record as it is.

    schema: id of the row schema: an int (registry), 8 bytes (CRC-64-AVRO, little endian) or 16 bytes (Glue)."""

    __slots__ = ("schema", "agent", "count", "ints", "strings", "planes", "rows")

    def __init__(self, schema, agent, count, ints, strings, planes, rows):
        self.schema, self.agent, self.count = schema, agent, count
        self.ints, self.strings, self.planes, self.rows = ints, strings, planes, rows

    @classmethod
    def parse(cls, record):
        """From Avro binary. ColumnsError where it is no Batch, to its last byte."""
        r = Reader(record)
        branch = r.long()
        if not 0 <= branch <= 2:
            raise ColumnsError("branch", f"no branch {branch} in the union `schema`")
        schema = r.int() if branch == 0 else r.raw(8 * branch)
        agent, count = r.string(), r.int()
        ints, strings = [], []
        for n in r.blocks():
            r.fits(n)
            ints.extend(r.long() for _ in range(n))
        for n in r.blocks():
            r.fits(n)
            strings.extend(r.string() for _ in range(n))
        batch = cls(schema, agent, count, ints, strings, r.bytes(), r.bytes())
        r.end("the record")
        return batch

    @classmethod
    def of(cls, record):
        """From what an Avro library has made of the record: a mapping."""
        return cls(*(record[name] for name in cls.__slots__))
