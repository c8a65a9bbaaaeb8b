#!/usr/bin/env python3
"""`weir columns` on the sets of tests/data under inferred schemas: plain lines come back from the Python decoder and from `weir columns decode`.

usage: command_test.py WEIR"""
import datetime
import decimal
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "uplink/decoders/python"))
from weir_columns import RowSchema, decode  # noqa: E402

LINES = 1000


def weir(*words, **more):
    return subprocess.run([WEIR, *words], capture_output=True, **more)


def same(value, plain):
    """Is a decoded value what the line said?"""
    if isinstance(value, dict):
        return all(same(v, plain.get(k)) for k, v in value.items()) and plain.keys() <= value.keys()
    if isinstance(value, list):
        return len(value) == len(plain) and all(map(same, value, plain))
    if isinstance(value, datetime.datetime):
        return value == datetime.datetime.fromisoformat(plain.replace("Z", "+00:00"))
    if isinstance(value, decimal.Decimal):
        return value == decimal.Decimal(str(plain))
    return value == plain


class Columns(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.schema, self.batch = f"{self.folder.name}/schema.avsc", f"{self.folder.name}/batch"

    def tearDown(self):
        self.folder.cleanup()

    def check_set(self, name):
        with open(HERE.parent / f"data/{name}.ndjson", "rb") as f:
            lines = [next(f) for _ in range(LINES)]
        sample = f"{self.folder.name}/sample.ndjson"
        pathlib.Path(sample).write_bytes(b"".join(lines))
        pathlib.Path(self.schema).write_bytes(weir("schema", "infer", sample, check=True).stdout)
        done = weir("columns", "encode", self.schema, sample, "--plain", "--sequence", "7", "--schema-id", "3")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        schema = RowSchema(pathlib.Path(self.schema).read_text())
        decoded = decode(done.stdout, schema)
        self.assertEqual((decoded.schema, decoded.sequences), (3, list(range(7, 7 + LINES))))
        for row, line in zip(decoded.rows, lines):
            self.assertTrue(same(row, json.loads(line)), (row, line))
        pathlib.Path(self.batch).write_bytes(done.stdout)
        text = weir("columns", "decode", self.schema, self.batch, check=True).stdout
        rows = decode(done.stdout, schema, logical=False, named_unions=True).rows
        self.assertEqual([json.loads(line) for line in text.split(b"\n")[:-1]], rows)
        again = weir("columns", "encode", self.schema, "-", "--sequence", "7", "--schema-id", "3", input=text)
        self.assertEqual(again.stdout, done.stdout)

    def test_energy_meter(self):
        self.check_set("energy_meter")

    def test_button_events(self):
        self.check_set("button_events")

    def test_syslog(self):
        self.check_set("syslog")

    def test_gnss_json(self):
        self.check_set("gnss_json")

    def test_what_is_wrong(self):
        pathlib.Path(self.schema).write_text('{"type":"record","name":"R","fields":[{"name":"v","type":"int"}]}')
        for lines, words, text in ((b'{"v":1}\n{"v":"x"}\n', [], b"line 2"), (b'{"v":1}\n{"v":"x"}\n', ["--plain"], b"line 2"), (b"{", [], b"line 1")):
            done = weir("columns", "encode", self.schema, "-", *words, input=lines)
            self.assertEqual((done.returncode, done.stdout, text in done.stderr), (2, b"", True), done)


if __name__ == "__main__":
    WEIR = sys.argv.pop(1)
    unittest.main()
