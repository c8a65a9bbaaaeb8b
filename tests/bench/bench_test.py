"""The bench itself: with small amounts it runs to its end, and each line is of the form that scripts rely on. usage: bench_test.py WEIR [TEST...]"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

RUN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run")
WEIR = sys.argv.pop(1)
KEYS = ["bench", "case", "value", "unit", "baseline", "baseline_value", "ratio", "goal", "met"]


def run(*words):
    return subprocess.run([RUN, "--no-install", "--weir", WEIR, *words], capture_output=True, text=True)


class Lines(unittest.TestCase):
    def check(self, line, least=1e-9):
        self.assertEqual(list(line)[:len(KEYS)], KEYS)
        self.assertGreaterEqual(line["value"], least)
        self.assertEqual(line["met"] is None, line["goal"] is None)
        self.assertIn(line["met"], (None, False, True))
        if line["baseline_value"]:
            self.assertTrue(line["baseline"])
            self.assertAlmostEqual(line["ratio"], line["value"] / line["baseline_value"], delta=0.002 * line["ratio"])


class Bench(Lines):
    def test_lines(self):
        done = run("size", "flash", "crypt", "--seconds", "2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["bench"] for line in lines], ["size"] + ["flash"] * 5 + ["crypt"] * 5)
        for line in lines:
            self.check(line)
        written = lines[5]
        self.assertIn("kernel", written["baseline"])
        self.assertLess(abs(written["ratio"] - 1), 0.05, "the status counts what reaches the disk: " + json.dumps(written))

    def test_what_can_not_be_measured(self):
        with tempfile.TemporaryDirectory() as nothing:
            done = run("flash", "size", "--data", nothing)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(json.loads(done.stdout)["bench"], "size")
        self.assertIn("not measured: flash: data set energy_meter is absent from", done.stderr)

    def test_unknown_name(self):
        done = run("colour")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("no bench colour; there are: cpu ", done.stderr)


class Buffer(Lines):
    """Root, loop devices, rsyslog and syslog-ng are used when they are there."""

    def test_lines(self):
        done = run("buffer", "--events", "5000", "--seconds", "2", "--mib", "4", "--kills", "3", "--cuts", "0")
        lines = [line for line in map(json.loads, done.stdout.splitlines()) if "absent" not in line]
        for line in lines:
            self.assertEqual(line["bench"], "buffer")
            self.check(line, 0)
        exact = [line for line in lines if line["unit"] in ("blocks", "bytes/event", "syncs/commit", "bytes", "events") and line["goal"]]
        self.assertEqual(len(exact), 9)
        for line in exact:
            self.assertTrue(line["met"], json.dumps(line))
        full = next(line for line in lines if line["unit"] == "bytes")
        self.assertGreater(full["dropped"], 0, "it was full: " + json.dumps(full))
        self.check_beside([line for line in lines if line["goal"] is None], done)

    def check_beside(self, lines, done):
        """What is written to a device is more than nothing, and less when commits are seldom; what is absent is said."""
        by_name = {}
        for line in lines:
            self.assertGreater(line["baseline_value"], 0)
            by_name.setdefault(line["case"].split(",")[1], []).append(line["value"])
        if lines:
            self.assertLess(max(by_name[" a commit each 5 s"]), max(by_name[" a commit each 250 ms"]))
        if done.returncode:
            self.assertEqual(done.returncode, 3)
            self.assertRegex(done.stderr, "^not measured: buffer: .*(syslog-ng|rsyslogd|disk of its own)")
            self.assertLess(len(lines), 12)
        else:
            self.assertEqual((len(lines), done.stderr), (12, ""))


class Board(Lines):
    """Needs a Kafka, mosquitto, rsyslog and librdkafka; without them it says what is missing."""

    def test_lines(self):
        done = run("board", "--targets", "", "--events", "2000", "--backlog", "2000", "--rounds", "1")
        if done.returncode == 3:
            self.assertRegex(done.stderr, "^not measured: board: ")
            return
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["unit"] for line in lines], ["KiB"] * 3 + ["ms"] + ["cpu s per million events"] * 2)
        for line in lines:
            self.check(line)


class Map(Lines):
    """Needs avro-c, jansson and valgrind; without them it says what is missing."""

    def test_lines(self):
        done = run("map", "--rounds", "1", "--events", "50")
        if done.returncode == 3:
            self.assertRegex(done.stderr, "^not measured: map: .*apt-get install")
            return
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [line for line in map(json.loads, done.stdout.splitlines()) if "absent" not in line]
        for unit, least in ("cpu us per event", 1e-9), ("instructions per event", 500):
            of_unit = [line for line in lines if line["unit"] == unit]
            self.assertIn(len(of_unit), (0, 4) if least > 1 else (4,), "sanitizers can't be counted, time always")
            for line in of_unit:
                self.check(line, least)


class Layout(Lines):
    """Each batch is decoded and compared by the program that measures it."""

    def test_bytes(self):
        done = run("bytes")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [line for line in map(json.loads, done.stdout.splitlines()) if "absent" not in line]
        bodies = [line for line in lines if "without a schema" in line["case"]]
        self.assertEqual(len(lines) - len(bodies), 4 * 4 + 4, "four sets and their means, at four sizes")
        self.assertEqual(len(bodies), 4 * 3 + 3, "and at three without a schema")
        for line in lines:
            self.check(line, 1 if line["unit"] == "bytes per event" else 0.1)
            self.assertIn(line["met"], (None, True), line)
            of_peer = line["value"] if line["unit"] == "of the best peer" else line["ratio"]
            self.assertLess(of_peer or 0, 1 if line in bodies else 0.75, line)

    def test_columns(self):
        """Needs valgrind; without it the bench says so."""
        done = run("columns")
        if done.returncode == 3:
            self.assertRegex(done.stderr, "^not measured: columns: .*apt-get install")
            return
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [line for line in map(json.loads, done.stdout.splitlines()) if "absent" not in line]
        self.assertIn("KiB", [line["unit"] for line in lines])
        for line in lines:
            self.check(line, 10)
            self.assertIn(line["met"], (None, True), line)


class Wire(Lines):
    """Needs network name spaces, Java and librdkafka; without name spaces it says so."""

    def test_lines(self):
        done = run("wire", "--seconds", "3")
        if done.returncode == 3 and "not permitted" in done.stderr:
            self.assertRegex(done.stderr, "^not measured: wire: ")
            return
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["case"].split(":")[0] for line in lines[:4]], ["energy_meter", "syslog", "vehicle_gps", "pump_rig"])
        for line in lines[:2]:
            self.check(line)
            self.assertLess(line["ratio"], 0.7, json.dumps(line))
            self.assertLess(line["packets_per_100_events"], 4, "a request, its answer and the acknowledgement of that: " + json.dumps(line))
        idle, start = lines[4:]
        self.check(idle)
        self.assertTrue(idle["met"], json.dumps(idle))
        self.assertLess(idle["event_while_connected"], idle["event_without_connection"])
        self.check(start)
        self.assertLess(start["value"], start["baseline_value"], "the second start resumes the session: " + json.dumps(start))


class Kinesis(Lines):
    """Needs the stock readers of tests/services."""

    def test_lines(self):
        done = run("kinesis")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for line in lines:
            self.check(line)
        # A signature's letters have different lengths in HTTP/2, and TLS pads to 16 bytes: up to 20 B more or less.
        most = {"cbor, event id, HTTP/2": (1385, 335, 3), "cbor, HTTP/2": (1353, 335, 3), "json, event id, HTTP/2": (1753, 345, 5),
                "cbor, event id, a session token of 1000 B, HTTP/2": (1401, 335, 3), "cbor, event id, HTTP/1.1": (1590, 425, 5),
                "cbor, HTTP/1.1": (1558, 425, 5), "json, event id, HTTP/1.1": (1958, 440, 5),
                "cbor, event id, a session token of 1000 B, HTTP/1.1": (2630, 425, 5)}
        self.assertEqual([line["case"] for line in lines], list(most))
        for line in lines:
            sent, received, segments = most[line["case"]]
            self.assertLessEqual(line["sent"], sent, json.dumps(line))
            self.assertLessEqual(line["received"], received, json.dumps(line))
            self.assertLessEqual(line["segments"], segments + 1, "one more where a slow machine acknowledges by itself: " + json.dumps(line))
        self.assertTrue(lines[0]["met"], json.dumps(lines[0]))


class Mqtt(Lines):
    """Needs mosquitto, Java, and the libraries of forward.c."""

    def test_lines(self):
        done = run("mqtt", "mqtt_drain", "mqtt_live", "mqtt_latency", "--rounds", "1", "--events", "12000", "--seconds", "3")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["bench"] for line in lines], ["mqtt"] * 2 + ["mqtt_drain"] * 4 + ["mqtt_live"] * 2 + ["mqtt_latency"] * 4)
        for line in lines:
            self.check(line, 0 if "not stored" in line["case"] else 1e-9)
        for group in lines[3], lines[5]:
            self.assertGreaterEqual(group["value"], 20, "an acknowledgement for each message is a commit for each: " + json.dumps(group))
        p50, p99 = lines[8:10]
        self.assertLessEqual(p50["value"], p99["value"])


if __name__ == "__main__":
    unittest.main()
