"""Envelopes, options and types; the format itself is tested by vectors. Run: python3 -m unittest discover -s tests"""
import datetime
import decimal
import json
import pathlib
import struct
import sys
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from weir_columns import Batch, ColumnsError, Consumer, RowSchema, decode, to_arrow, unwrap  # noqa: E402

READING = json.dumps({"type": "record", "name": "Reading", "fields": [
    {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "device", "type": "string", "weir.values": ["north", "south"]}, {"name": "temp", "type": ["null", "double"]}]})
RECORD = bytes.fromhex(
    "00 0e 00 08 32 d1 0f 0c 04 80 a0 ab fe f9 62 d0 0f 00 00 00 02 02 04 00 02 02 00 02 44 02 d6 24"
    "06 00 00 00 00 80 80 80 80 80 80 c0 c8 7f 00 02 08 65 61 73 74 00 00 00")
BATCH = json.dumps({"type": "record", "name": "Batch", "namespace": "weir.columns", "fields": []})
FINGERPRINT = bytes.fromhex("bd948c1e7d1fbef6")


def one_row(type_, datum, **options):
    """The value of a row that is no record, through the row body."""
    batch = Batch(7, "", 1, [-1], [], b"", datum)
    return decode(batch, json.dumps(type_), **options).rows[0]


class Decode(unittest.TestCase):
    def test_rows(self):
        d = decode(RECORD, READING)
        self.assertEqual((d.sequences, d.agent, d.schema), ([500, 501, 502, 503], "", 7))
        start = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
        self.assertEqual(d.rows[0], {"ts": start, "device": "north", "temp": 23.47})
        self.assertEqual([r["temp"] for r in d.rows], [23.47, 23.5, None, -0.0])
        self.assertEqual(struct.pack("<d", d.rows[3]["temp"]), struct.pack("<d", -0.0))

    def test_plain_and_named(self):
        d = decode(RECORD, RowSchema(READING), logical=False, named_unions=True)
        self.assertEqual(d.rows[1], {"ts": 1700000001000, "device": "south", "temp": {"double": 23.5}})
        self.assertIsNone(d.rows[2]["temp"])

    def test_record_of_an_avro_library(self):
        b = Batch.parse(RECORD)
        mapping = {name: getattr(b, name) for name in Batch.__slots__}
        self.assertEqual(decode(mapping, READING).rows, decode(RECORD, READING).rows)

    def test_budget(self):
        decode(RECORD, READING, budget=50)
        with self.assertRaises(ColumnsError) as caught:
            decode(RECORD, READING, budget=10)
        self.assertEqual(caught.exception.name, "budget")

    def test_shared_values(self):
        """Rows that share a value share what is made of it, and each pays for its size."""
        money = {"type": "record", "name": "R", "fields": [{"name": "v", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}
        shared = Batch(7, "", 1000, [-1, 1, -1, -1 - 2 * 1700], [], b"\x7f" * 1700, b"")
        rows = decode(shared, json.dumps(money)).rows
        self.assertIs(rows[0]["v"], rows[999]["v"])
        with self.assertRaises(ColumnsError) as caught:
            decode(shared, json.dumps(money), budget=50_000)
        self.assertEqual(caught.exception.name, "budget")

    def test_other_schemas_are_asked_for_once(self):
        asked = []
        consumer = Consumer(lambda id_: asked.append(id_) or 'syntax = "proto3";')
        for _ in range(3):
            self.assertIsNone(consumer.decode(b"\0\0\0\0\x05\x02"))
        self.assertEqual(asked, [5])

    def test_no_schema(self):
        for text in ("", "{", "7", "null", '{"type": "record"}', '"other"', '{"type": "fixed", "name": "F", "size": -1}',
                     '{"type": "record", "name": "R", "fields": 3}', "[" * 100_000):
            with self.assertRaises(ColumnsError):
                RowSchema(text)

    def test_references(self):
        inner = {"type": "record", "name": "Inner", "namespace": "s", "fields": [{"name": "v", "type": "int"}]}
        outer = '{"type": "record", "name": "Outer", "fields": [{"name": "in", "type": ["null", "s.Inner"]}]}'
        batch = Batch(7, "", 1, [-1], [], b"", b"\2\x0a")
        self.assertEqual(decode(batch, RowSchema(outer, [inner])).rows, [{"in": {"v": 5}}])
        self.assertEqual(Consumer(lambda id_: RowSchema(outer, [json.dumps(inner)])).schema(3).name, "Outer")

    def test_logical_types(self):
        self.assertEqual(one_row({"type": "int", "logicalType": "date"}, b"\2"), datetime.date(1970, 1, 2))
        self.assertEqual(one_row({"type": "int", "logicalType": "time-millis"}, b"\4"), datetime.time(0, 0, 0, 2000))
        self.assertEqual(one_row({"type": "long", "logicalType": "time-micros"}, b"\4"), datetime.time(0, 0, 0, 2))
        self.assertEqual(one_row({"type": "long", "logicalType": "local-timestamp-micros"}, b"\4"),
                         datetime.datetime(1970, 1, 1, 0, 0, 0, 2))
        self.assertEqual(one_row({"type": "long", "logicalType": "timestamp-nanos"}, b"\4"), 2)
        money = {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2}
        self.assertEqual(str(one_row(money, b"\4\x09\x2e")), "23.50")
        self.assertEqual(one_row(money, b"\2\xff"), decimal.Decimal("-0.01"))
        digits = 10**39 - 1
        raw = digits.to_bytes(17, "big")
        self.assertEqual(one_row(money, b"\x22" + raw), decimal.Decimal(digits).scaleb(-2, decimal.Context(prec=60)))
        self.assertEqual(one_row(money, b"\2\xff", logical=False), b"\xff")
        text = "2f8ad1c0-0000-4000-8000-000000000001"
        self.assertEqual(one_row({"type": "string", "logicalType": "uuid"}, b"\x48" + text.encode()), uuid.UUID(text))
        self.assertEqual(one_row({"type": "string", "logicalType": "uuid"}, b"\2x"), "x")

    def test_beyond_python(self):
        self.assertEqual(one_row({"type": "long", "logicalType": "timestamp-millis"}, b"\xff" * 9 + b"\1"), -2**63)
        self.assertEqual(one_row({"type": "int", "logicalType": "time-millis"}, b"\1"), -1)


class Envelopes(unittest.TestCase):
    def setUp(self):
        self.asked = []

        def schema_of(id_):
            self.asked.append(id_)
            return {1: BATCH, 7: READING, 9: '"string"', 8: 'syntax = "proto3";', bytes(16): BATCH}[id_]
        self.consumer = Consumer(schema_of)
        self.rows = decode(RECORD, READING).rows

    def test_confluent(self):
        message = b"\0\0\0\0\1" + RECORD
        self.assertEqual(self.consumer.rows(message), self.rows)
        self.assertEqual(self.consumer.rows(message), self.rows)
        self.assertEqual(self.asked, [1, 7])

    def test_a_row_as_ever(self):
        message = b"\0\0\0\0\x09\2x"
        self.assertIsNone(self.consumer.decode(message))
        self.assertEqual(self.consumer.rows(message), [message])
        self.assertEqual(self.consumer.rows(message, lambda m: m[5:]), [b"\2x"])
        self.assertIsNone(self.consumer.decode(b"\0\0\0\0\x08\2x"))
        for other in (None, b"", b"\0", b"{}"):
            self.assertIsNone(self.consumer.decode(other))
        self.assertEqual(self.consumer.rows(None), [None])

    def test_single_object(self):
        self.assertEqual(self.consumer.rows(b"\xc3\x01" + FINGERPRINT + RECORD), self.rows)
        self.assertEqual(self.asked, [7])
        self.assertIsNone(self.consumer.decode(b"\xc3\x01" + FINGERPRINT[::-1] + RECORD))

    def test_glue(self):
        self.assertEqual(self.consumer.rows(b"\3\0" + bytes(16) + RECORD), self.rows)

    def test_what_schema_of_raises(self):
        with self.assertRaises(KeyError):
            self.consumer.decode(b"\0\0\0\0\x63" + RECORD)

    def test_zstd(self):
        try:
            import zstandard
        except ImportError:
            self.skipTest("no zstandard")
        message = zstandard.ZstdCompressor().compress(b"\xc3\x01" + FINGERPRINT + RECORD)
        self.assertEqual(self.consumer.rows(message), self.rows)
        self.assertIsNone(self.consumer.decode(zstandard.ZstdCompressor().compress(b"{}")))
        self.assertIsNone(self.consumer.decode(message[:5]))
        for broken in (message[:-3], message[:9], message[:-1] + b"\xff", message + b"x"):
            with self.assertRaises(ColumnsError):
                self.consumer.decode(broken)
        with self.assertRaises(ColumnsError):
            unwrap(zstandard.ZstdCompressor().compress(bytes(10**6)), unpacked_max=1000)

    def test_dictionaries(self):
        try:
            import zstandard
        except ImportError:
            self.skipTest("no zstandard")
        inner = b"\xc3\x01" + FINGERPRINT + RECORD
        samples = [inner[:10] + bytes([i]) + inner[11:] + bytes([i, 255 - i]) * 3 for i in range(200)]
        dictionary = zstandard.train_dictionary(1000, samples, dict_id=4_000_000_000)
        message = zstandard.ZstdCompressor(level=9, dict_data=dictionary).compress(inner)
        consumer = Consumer(lambda id_: READING, dictionaries=[dictionary.as_bytes()])
        self.assertEqual(consumer.rows(message), self.rows)
        self.assertEqual(consumer.rows(zstandard.ZstdCompressor().compress(inner)), self.rows)
        with self.assertRaisesRegex(ColumnsError, "dictionary 4000000000, which is not there"):
            self.consumer.decode(message)
        with self.assertRaises(ColumnsError):
            consumer.decode(message[:-2])
        with self.assertRaises(ValueError):
            Consumer(lambda id_: READING, dictionaries=[b"no dictionary"])


class Arrow(unittest.TestCase):
    def setUp(self):
        try:
            import pyarrow
        except ImportError:
            self.skipTest("no pyarrow")
        self.pa = pyarrow

    def test_table(self):
        table = to_arrow(RECORD, READING, sequence="seq")
        self.assertEqual(table.column_names, ["ts", "device", "temp", "seq"])
        self.assertEqual(table.schema.field("ts").type, self.pa.timestamp("ms", "UTC"))
        self.assertEqual(table.to_pylist()[3]["device"], "east")
        self.assertEqual(table["seq"].to_pylist(), [500, 501, 502, 503])
        self.assertIsNone(table["temp"][2].as_py())

    def test_types(self):
        folder = pathlib.Path(__file__).resolve().parents[4] / "tests/columns/vectors"
        for name in ("every-kind-nested", "union-records", "union-simple", "decimal-integers", "decimal-fixed-wide", "logical", "map-of-maps",
                     "duration", "n0", "n17", "row-is-no-record", "double-special-bits", "union-nested", "null"):
            schema, record = (folder / (name + ".avsc")).read_text(), (folder / (name + ".bin")).read_bytes()
            table = to_arrow(record, schema)
            table.validate(full=True)
            self.assertEqual(table.num_rows, len(decode(record, schema).rows), name)
        union = to_arrow((folder / "union-simple.bin").read_bytes(), (folder / "union-simple.avsc").read_text())
        self.assertEqual(union["u"][1].as_py(), {"int": None, "string": "x", "long": None, "boolean": None, "double": None})

    def test_recursive(self):
        folder = pathlib.Path(__file__).resolve().parents[4] / "tests/columns/vectors"
        with self.assertRaises(ColumnsError):
            to_arrow((folder / "rows-recursive.bin").read_bytes(), (folder / "rows-recursive.avsc").read_text())


if __name__ == "__main__":
    unittest.main()
