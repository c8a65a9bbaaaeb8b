"""weir buffer: looked at, exported, imported, replayed, dropped, compacted; with the agent running and stopped.

usage: buffer_tool_test.py WEIR"""
import concurrent.futures
import copy
import glob
import json
import os
import pty
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, weir, write

SCHEMA = {"type": "record", "name": "Measured", "fields": [
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-micros"}}, {"name": "k", "type": "string"}, {"name": "n", "type": "long"},
    {"name": "v", "type": "double"}, {"name": "body", "type": ["null", "bytes"], "default": None}, {"name": "id", "type": "string", "default": ""}]}
DAY = "2026-03-0{}T{:02}:{:02}:{:02}"


def dead_kafka():
    return {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}", "from": "oldest"}


def measured(n):
    """The n-th event, and every tenth a text that does not compress."""
    e = {"time": DAY.format(1 + n // 86400, n // 3600 % 24, n // 60 % 60, n % 60) + "Z", "k": f"device-{n % 7}", "n": n, "v": n / 7}
    if n % 10 == 0:
        e["body"] = os.urandom(24).hex()
    return e


def site(folder, uplinks=None, streams=("measured", "copy", "raw")):
    """A configuration with streams of one schema, a raw one, and an uplink that is never reached."""
    os.makedirs(path_of(folder), exist_ok=True)
    schema = write("measured.avsc", json.dumps(SCHEMA))
    c = configuration(free_port())
    c["buffer"] = {"path": path_of(folder, "buffer.db"), "size_max": "32 MiB", "commit_interval": "10 ms"}
    c["streams"] = {s: {} if s == "raw" else {"schema": schema, "time": "time"} for s in streams}
    c["drivers"]["post"]["routes"] = [{"topic": s, "stream": s} for s in streams if s != "raw"] + [{"topic": "#", "stream": "raw"}]
    c["uplinks"] = uplinks or {"cloud": dead_kafka()}
    return c


def fill(agent, count, stream="measured", first=0, piece=250):
    for at in range(first, first + count, piece):
        events = [measured(n) for n in range(at, min(at + piece, first + count))]
        status, answer = agent.post("/" + stream, json.dumps(events))
        check("posted", status == 200 and answer["stored"] == len(events), str((status, answer))[:300])


class Tool:
    def __init__(self, buffer):
        self.buffer = buffer

    def run(self, *words, stdin=None):
        return run("buffer", *words, "--buffer", self.buffer, stdin=stdin)

    def fine(self, *words):
        r = self.run(*words)
        check(f"weir buffer {' '.join(os.path.basename(w) for w in words)}", r.returncode == 0, f"{r.returncode} {r.stderr[:500]}")
        return r.stdout

    def json(self, *words):
        return json.loads(self.fine(*words, "--json") or "null")

    def refuses(self, code, text, *words):
        r = self.run(*words)
        check(f"weir buffer {' '.join(os.path.basename(w) for w in words)}: exit code {code}, {text!r}", r.returncode == code and text in r.stderr,
              f"{r.returncode} {r.stderr[:500]}")

    def cat(self, stream, *words):
        return [json.loads(line) for line in self.fine("cat", stream, *words).splitlines()]

    def stream(self, name):
        return next(s for s in self.json("ls")["streams"] if s["name"] == name)


def records(path):
    """The datums of a container of codec null, one behind the other; read without weir."""
    with open(path, "rb") as f:
        data = f.read()

    def long(at):
        value = shift = 0
        while True:
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                return (value >> 1) ^ -(value & 1), at
    assert data[:4] == b"Obj\1"
    at = 4
    while True:
        count, at = long(at)
        if count == 0:
            break
        for _ in range(2 * count):
            size, at = long(at)
            at += size
    sync = data[at:at + 16]
    at += 16
    raw, total = b"", 0
    while at < len(data):
        count, at = long(at)
        size, at = long(at)
        raw += data[at:at + size]
        total += count
        at += size
        assert data[at:at + 16] == sync
        at += 16
    return total, raw


def test_misuse():
    for words in [["fly"], ["ls", "x"], ["cat"], ["cat", "a", "b"], ["cat", "a", "--from-seq", "0"], ["cat", "a", "--to-seq", "x"], ["cat", "a", "--since", "noon"],
                  ["cat", "a", "--until", "2026-13-01"], ["cat", "a", "--from-seq", "5", "--to-seq", "4"], ["cat", "a", "--since", "2026-03-02", "--until", "2026-03-01"],
                  ["cat", "a", "--uplink", "u"], ["cat", "a", "--yes"], ["stats", "x"], ["verify", "--from-seq", "1"], ["export"], ["export", "--format", "csv"],
                  ["export", "--format", "avro"], ["export", "--format", "ndjson", "--codec", "null"], ["export", "--format", "avro", "--stream", "a", "--codec", "zip"],
                  ["import"], ["import", "a", "b"], ["import", "a", "--yes"], ["replay", "--yes"], ["replay", "--uplink", ""], ["drop", "--fly"], ["drop", "x"],
                  ["compact", "--stream", "a"], ["cat", "x" * 64], ["ls", "--buffer"]]:
        r = run("buffer", *words)
        check(f"weir buffer {words}: bad usage", r.returncode == 2 and r.stderr.startswith("weir buffer") and not r.stdout, f"{r.returncode} {r.stderr}")


def look(t, count):
    """What is the same through the agent and from the file."""
    s = t.stream("measured")
    check("ls", s["events"] == count and s["first"] == 1 and s["last"] == count and s["owed"] == {"cloud": count} and s["dropped"] == 0, str(s))
    check("ls: the oldest", s["oldest"] == "2026-03-01T00:00:00.000000Z", str(s))
    check("ls: nothing stored", t.stream("copy")["first"] is None and t.stream("copy")["oldest"] is None)
    listing = t.fine("ls")
    check("ls for a person", f"cloud:{count}" in listing and "{" not in listing, listing)
    lines = t.fine("cat", "measured").splitlines()
    check("cat: all, in order", [json.loads(line)["event"]["n"] for line in lines] == list(range(count)))
    one = json.loads(lines[20])
    check("cat: one", one["sequence"] == 21 and one["trust"] == "payload" and one["time"] == "2026-03-01T00:00:20.000000Z" and len(one["schema"]) == 16
          and one["event"]["v"] == 20 / 7, str(one))
    for words, expected in [(["--from-seq", "100", "--to-seq", "102"], [99, 100, 101]), (["--first", str(count)], [count - 1]), (["--count", "2"], [0, 1]),
                            (["--from-seq", str(count + 1)], []), (["--since", "2026-03-01T00:10:00Z", "--until", "2026-03-01T00:10:02Z"], [600, 601, 602]),
                            (["--until", "2026-03-01"], [0]), (["--since", "2026-03-02"], []), (["--since=2026-03-01T00:00:59.5Z", "--count=1"], [60]),
                            (["--since", "2026-03-01T00:30:00+00:30", "--to-seq", "2"], [0, 1])]:
        got = [e["event"]["n"] for e in t.cat("measured", *words)]
        check(f"cat {words}", got == expected, str(got)[:200])
    t.refuses(2, 'there is no stream "none"', "cat", "none")
    stats = t.json("stats")
    check("stats", stats["rows"]["count"] > 2 and stats["rows"]["events"] + stats["tail"]["events"] >= count and stats["rows"]["ratio"] > 1
          and stats["size_max"] == 32 << 20 and stats["identity"].startswith("t/") and 0 < stats["used_share"] < 1 and stats["wal"] == 2 << 20, str(stats))
    check("stats for a person", "MiB" in t.fine("stats"))
    v = t.json("verify")
    check("verify", v["bad"] == 0 and v["findings"] == [] and v["rows"] == stats["rows"]["count"], str(v))
    check("verify for a person", "all is well" in t.fine("verify"))
    return lines, v["pages_checked"]


def test_the_same_running_and_stopped():
    agent = Agent(site("look")).start()
    t = Tool(agent.buffer)
    fill(agent, 6000)
    running, pages = look(t, 6000)
    check("pages are not checked beside an agent", not pages)
    t.refuses(2, "an agent has this buffer", "compact")
    t.refuses(3, "is the agent running already?", "ls", "--socket", path_of("none.sock"))
    agent.stop()
    stopped, pages = look(t, 6000)
    check("cat gives the same", running == stopped)
    check("and are with it stopped", pages)


def test_export_and_import():
    """What was exported comes back byte for byte, from the file into a running agent and the other way, and once."""
    agent = Agent(site("port")).start()
    t = Tool(agent.buffer)
    fill(agent, 3000)
    agent.post("/anything/else", "not JSON at all \xff")
    os.makedirs(path_of("running"))
    os.makedirs(path_of("stopped"))
    out = {}
    for life in ("running", "stopped"):
        out[life] = {codec: path_of(life, codec + ".avro") for codec in ("null", "deflate", "zstandard")}
        for codec, path in out[life].items():
            t.fine("export", "--format", "avro", "--codec", codec, "--stream", "measured", "--out", path)
            cat = run("avro", "cat", path).stdout.splitlines()
            check(f"{codec} has every event", [json.loads(line)["n"] for line in cat] == list(range(3000)))
        t.fine("export", "--format", "ndjson", "--stream", "measured", "--out", path_of(life, "lines"))
        t.fine("export", "--format", "ndjson", "--out", path_of(life, "all"))
        os.makedirs(path_of(life, "folder"))
        t.fine("export", "--format", "avro", "--out", path_of(life, "folder"))
        check("a file for each stream", {"measured.avro", "raw.avro"} <= set(os.listdir(path_of(life, "folder"))), str(os.listdir(path_of(life, "folder"))))
        check("nothing else", not glob.glob(path_of(life, "**", "*.part"), recursive=True))
        t.refuses(2, "there are no such events", "export", "--format", "avro", "--stream", "copy", "--out", path_of("nothing.avro"))
        check("and no file", not os.path.exists(path_of("nothing.avro")) and not os.path.exists(path_of("nothing.avro.part")))
        t.refuses(3, "can't write", "export", "--format", "ndjson", "--out", path_of("no", "such", "folder"))
        if life == "running":
            agent.stop()
    same = [open(path_of(life, "lines"), "rb").read() for life in ("running", "stopped")]
    check("lines are the same from both", same[0] == same[1] and same[0].count(b"\n") == 3000)
    check("all has raw too", b'"stream":"raw"' in open(path_of("stopped", "all"), "rb").read())
    check("standard output", t.fine("export", "--format", "ndjson", "--stream", "measured").encode() == same[0])
    datums = records(out["running"]["null"])
    check("datums are the same from both", datums == records(out["stopped"]["null"]) and datums[0] == 3000)

    def back(path, at, *words):
        """Imported into the stream "copy", whose events are then the same; 3000 more than before."""
        t.fine("import", path, "--stream", "copy", *words)
        t.fine("export", "--format", "avro", "--codec", "null", "--stream", "copy", "--from-seq", str(at + 1), "--out", path_of("again.avro"))
        return records(path_of("again.avro")) == datums

    check("a container into the file", back(out["running"]["deflate"], 0))
    check("lines of another stream into the file", back(path_of("running", "lines"), 3000))
    agent.start()
    check("what was imported is owed like anything", t.stream("copy")["owed"]["cloud"] == t.stream("copy")["events"] >= 3000, str(t.stream("copy")))
    start = t.stream("copy")["last"]
    check("a container into the agent", back(out["stopped"]["zstandard"], start))
    t.refuses(1, "was imported into stream copy before (3000 events)", "import", out["stopped"]["zstandard"], "--stream", "copy")
    check("--again", back(out["stopped"]["zstandard"], start + 3000, "--again"))
    before = t.stream("measured")["last"]
    check("of lines of several streams those of one", t.json("import", path_of("running", "all"), "--stream", "raw")["imported"] == 1, t.fine("ls"))
    check("lines say their stream", t.json("import", path_of("stopped", "lines")) == {"imported": 3000, "earlier": 0})
    lines = t.cat("measured", "--from-seq", str(before + 1))
    old = [json.loads(line) for line in same[0].splitlines()]
    check("time, trust and event come back", [(e["time"], e["trust"], e["event"]) for e in lines] == [(e["time"], e["trust"], e["event"]) for e in old])
    check("under new sequences", [e["sequence"] for e in lines] == list(range(before + 1, before + 3001)))
    agent.stop()
    t.refuses(1, "was imported", "import", out["stopped"]["zstandard"], "--stream", "copy")
    check("verify behind all of it", t.json("verify")["bad"] == 0)


def test_files_that_do_not_fit():
    """Nothing of them is taken, and the text says which record."""
    c = site("misfit")
    c["buffer"]["size_max"] = "8 MiB"
    agent = Agent(c).start()
    t = Tool(agent.buffer)
    good = [json.dumps({"time": n, "k": "a", "n": n, "v": 0.5, "body": None, "id": "x"}) for n in range(100)]
    for life in ("running", "stopped"):
        for what, lines, text in [("a bad line", good + ['{"time": 1, "k": 2, "n": 1, "v": 0, "body": null, "id": ""}'], "line 101: /k"), ("no JSON", good[:3] + ["{nope"], "line 4:"),
                                  ("a member too few", ['{"n": 1}'], "line 1:"), ("an array", ["[1]"], "line 1: it is not an object"), ("something behind", [good[0] + " 1"], "line 1:"),
                                  ("no time", ['{"stream": "measured", "sequence": 1, "time": "noon", "event": ' + good[0] + "}"], '"time" is no time')]:
            t.refuses(2, text, "import", write("misfit.ndjson", "\n".join(lines)), "--stream", "measured")
            check(f"{what}: nothing was taken ({life})", t.stream("measured")["events"] == (0 if life == "running" else 102))
        t.refuses(2, "does not say of which stream it is", "import", write("bare.ndjson", "\n".join(good)))
        t.refuses(2, "No such file", "import", path_of("none.ndjson"), "--stream", "measured")
        t.refuses(2, 'there is no stream "none"', "import", write("bare.ndjson", "\n".join(good)), "--stream", "none")
        container = write("damaged.avro", b"Obj\x01 this is no container")
        t.refuses(2, "damaged.avro", "import", container, "--stream", "measured")
        if life == "running":
            check("bare lines", t.json("import", path_of("bare.ndjson"), "--stream", "measured")["imported"] == 100)
            plain = write("plain.ndjson", '{"time": "2026-03-01T00:00:00Z", "n": 5, "k": "p", "v": "1.5", "unknown": 1}\r\n\n{"time": 0, "k": "q", "n": 6, "v": 2}')
            t.refuses(2, "line 1:", "import", plain, "--stream", "measured")
            check("plain lines", t.json("import", plain, "--stream", "measured", "--plain")["imported"] == 2)
            check("as intake maps them", [e["event"]["v"] for e in t.cat("measured", "--from-seq", "101")] == [1.5, 2.0])
            agent.stop()
    # A container of another schema goes through JSON: fields by name, the stream's own order.
    foreign = write("foreign.avsc", json.dumps({"type": "record", "name": "Other", "fields": [{"name": f, "type": y} for f, y in [
        ("id", "string"), ("v", "double"), ("n", "long"), ("k", "string"), ("body", ["null", "bytes"]), ("time", "long")]]}))
    c = site("foreign", streams=("measured", "raw"))
    c["streams"]["measured"] = {"schema": foreign}
    other = Agent(c, "foreign.json").start()
    other.post("/measured", json.dumps([{"id": "i", "v": 0.25, "n": n, "k": "f", "time": n} for n in range(50)]))
    other.stop()
    Tool(other.buffer).fine("export", "--format", "avro", "--stream", "measured", "--out", path_of("foreign.avro"))
    check("another schema", t.json("import", path_of("foreign.avro"))["imported"] == 50)
    check("by the fields' names", [e["event"]["n"] for e in t.cat("measured", "--from-seq", "103")] == list(range(50)))
    # A file that has not room: what went in stays, and the same command goes on.
    big = write("big.ndjson", "\n".join(json.dumps({"time": n, "k": os.urandom(3000).hex(), "n": n, "v": 0.5, "body": None, "id": "x"}) for n in range(4000)))
    t.refuses(3, "no room", "import", big, "--stream", "copy")
    took = t.stream("copy")["last"]
    check("a part of it went in", took and 0 < took < 4000, str(took))
    size = sum(os.path.getsize(t.buffer + s) for s in ("", "-wal"))
    check("within the cap", size <= 8 << 20, str(size))
    t.fine("drop", "--stream", "copy", "--yes")
    t.json("import", path_of("foreign.avro"), "--stream", "copy") # rows that nobody is owed go with commits
    t.refuses(3, "no room", "import", big, "--stream", "copy")
    copies = [e["event"]["n"] for e in t.cat("copy", "--from-seq", str(took + 1)) if e["event"]["k"] != "f"]
    check("it went on where it stood", copies and copies[0] == took and copies == list(range(took, took + len(copies))), str((took, copies[:3])))


def test_killed_midway():
    """Whatever is killed, the command or the agent: no event of the file twice, and the next run brings the rest."""
    lines = write("killed.ndjson", "\n".join(json.dumps({"time": n, "k": "a" * 300, "n": n, "v": 0.5, "body": None, "id": ""}) for n in range(8000)))
    agent = Agent(site("killed")).start()
    t = Tool(agent.buffer)
    for life in ("running", "stopped"):
        stream = {"running": "measured", "stopped": "copy"}[life]
        kills = 0
        for turn in range(40):
            p = subprocess.Popen([weir, "buffer", "import", lines, "--stream", stream, "--buffer", agent.buffer], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                p.wait(0.03 * 1.25 ** turn) # the first kill comes too early on any machine, and the last wait is long enough on any
            except subprocess.TimeoutExpired:
                if life == "running" and turn % 3 == 2:
                    agent.process.kill()
                    agent.process.wait()
                    p.wait(90)
                    agent.start()
                else:
                    p.kill()
                p.wait()
                kills += 1
            if p.returncode in (0, 1): # 1: the kill came behind its last commit
                break
            p.stderr.close()
        check(f"an import that is killed comes to its end ({life}, {kills} kills)", p.returncode in (0, 1) and kills > 0, f"{p.returncode}")
        check(f"each event once ({life})", [e["event"]["n"] for e in t.cat(stream)] == list(range(8000)), str(t.stream(stream)))
        if life == "running":
            agent.stop()
    p = subprocess.Popen([weir, "buffer", "export", "--format", "avro", "--stream", "copy", "--out", path_of("half.avro"), "--buffer", agent.buffer], stderr=subprocess.DEVNULL)
    time.sleep(0.05)
    p.kill()
    p.wait()
    check("a half export has no name", not os.path.exists(path_of("half.avro")) or len(run("avro", "cat", path_of("half.avro")).stdout.splitlines()) == 8000)
    t.fine("export", "--format", "avro", "--stream", "copy", "--out", path_of("half.avro"))
    check("the next one has", len(run("avro", "cat", path_of("half.avro")).stdout.splitlines()) == 8000 and not os.path.exists(path_of("half.avro.part")))


def gaps(t):
    return [e["event"] for e in t.cat("weir.events") if e["event"]["kind"] == "gap"]


def test_drop():
    agent = Agent(site("drop", {"cloud": dead_kafka(), "other": dead_kafka()})).start()
    t = Tool(agent.buffer)
    fill(agent, 4000)
    for life in ("running", "stopped"):
        first = {"running": 1, "stopped": 1001}[life]
        t.refuses(2, "100 events would be dropped for good. They are counted, and reported as a gap. Say --yes", "drop", "--stream", "measured", "--to-seq", str(first + 99), "--from-seq", str(first))
        check(f"nothing was dropped ({life})", t.stream("measured")["dropped"] == (0 if life == "running" else 181))
        r = t.json("drop", "--stream", "measured", "--from-seq", str(first), "--to-seq", str(first + 99), "--yes")
        check(f"100 were ({life})", r == {"dropped": 100, "left": 0}, str(r))
        r = t.json("drop", "--stream", "measured", "--uplink", "other", "--from-seq", str(first), "--to-seq", str(first + 119), "--yes")
        check(f"20 more for one uplink ({life})", r == {"dropped": 20, "left": 0}, str(r))
        since, until = (DAY.format(1, 0, (first + m) // 60, (first + m) % 60) + "Z" for m in (200, 260))
        r = t.json("drop", "--stream", "measured", "--since", since, "--until", until, "--yes")
        check(f"61 by their time ({life})", r == {"dropped": 61, "left": 0}, str(r))
        check(f"again: nothing ({life})", t.json("drop", "--stream", "measured", "--since", since, "--until", until, "--yes")["dropped"] == 0)
        t.refuses(2, 'there is no uplink "none"', "drop", "--uplink", "none", "--yes")
        t.refuses(2, 'there is no stream "none"', "drop", "--stream", "none", "--yes")
        if life == "running":
            check("a gap is told by the running agent", wait_until(lambda: gaps(t)), str(gaps(t)))
            agent.stop()
            check("the last ones when it ends", sum(g["count"] for g in gaps(t)) == 181, str(gaps(t)))
    s = t.stream("measured")
    check("what is owed", s["owed"] == {"cloud": 4000 - 322, "other": 4000 - 362} and s["dropped"] == 362, str(s))
    check("the agent's own events are left alone", t.json("drop", "--yes", "--uplink", "other")["dropped"] == 4000 - 362 and t.stream("weir.events")["dropped"] == 0)
    agent.start()
    expected = 362 + 4000 - 362
    check("gaps are told by the next agent", wait_until(lambda: sum(g["count"] for g in gaps(t)) == expected), str(gaps(t)))
    check("as what they are", {g["reason"] for g in gaps(t)} == {"by_hand"} and {g["uplink"] for g in gaps(t)} == {"", "other"}, str(gaps(t)))
    check("the rest is there", [e["sequence"] for e in t.cat("measured", "--from-seq", "3001")] == list(range(3001, 4001)))
    # An uplink that left with events that are owed to it: the start refuses, until they are dropped.
    agent.stop()
    c = site("drop", {"other": dead_kafka()})
    r = run("run", write("left.json", json.dumps(c)))
    check("the start says how", r.returncode in (2, 3) and "weir buffer drop --uplink cloud" in r.stderr, r.stderr)
    t.fine("drop", "--uplink", "cloud", "--yes")
    t.fine("drop", "--uplink", "cloud", "--stream", "weir.events", "--yes")
    agent = Agent(c, "left.json").start()
    check("then it starts", agent.stop() == 0)


def test_dropped_while_it_is_sent():
    """Each event is delivered or counted as lost, never both, never neither."""
    c = site("both", {"files": {"type": "file", "path": path_of("both-out"), "time_max": "1 s", "linger": "50 ms", "batch_size_max": "8 KiB"}})
    agent = Agent(c, "both.json").start()
    t = Tool(agent.buffer)
    dropped = 0
    posts = range(0, 60000, 500)
    posting = threading.Event() # until nothing is to be dropped any more
    posting.set()
    def post():
        return sum(500 for first in posts if posting.is_set() and fill(agent, 500, first=first) is None)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        posted = pool.submit(post)
        drops = 0
        while not posted.done() and (drops < 12 or dropped == 0): # each meets events that came while it began
            dropped += t.json("drop", "--stream", "measured", "--from-seq", str(max(1, t.stream("measured")["sequence_next"] - drops * 37)), "--yes")["dropped"]
            drops += 1
        posting.clear()
        total = posted.result()
    check("some were dropped", dropped > 0, f"{total} posted, {drops} times")
    check("all is delivered", wait_until(lambda: t.stream("measured")["owed"]["files"] == 0), str(t.stream("measured")))
    agent.stop()
    check("dropped is dropped", t.stream("measured")["dropped"] == dropped, str((t.stream("measured"), dropped)))
    agent.start()
    wait_until(lambda: len(delivered("both-out")) + dropped >= total and sum(e["count"] for e in arrived("both-out", "weir.events") if e["kind"] == "gap") >= dropped, 200)
    agent.stop()
    got = delivered("both-out")
    check("the rest arrived once", len(got) == len(set(got)) and len(got) + dropped == total, str((len(got), len(set(got)), dropped)))
    lost = set(range(total)) - set(got)
    told = [e for e in arrived("both-out", "weir.events") if e["kind"] == "gap"]
    hulls = [range(g["first"] - 1, g["last"]) for g in told]
    check("what is missing lies within the gaps", all(any(n in hull for hull in hulls) for n in lost), str((sorted(lost)[:5], hulls[:3])))
    check("and is counted", sum(g["count"] for g in told) == dropped, str(told))


def arrived(folder, stream):
    events = []
    for path in sorted(glob.glob(path_of(folder, stream, "**", "*.avro"), recursive=True)):
        events += [json.loads(line) for line in run("avro", "cat", path).stdout.splitlines()]
    return events


def on_a_terminal(words, answer=None):
    """What a person sees on stderr, and how it ends; the answer is typed when something is asked."""
    ours, theirs = pty.openpty()
    p = subprocess.Popen([weir, *words], stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            more = os.read(ours, 4096)
        except OSError:
            break # the other side has ended
        if not more:
            break
        seen += more
        if answer and b"[y/N]" in seen:
            os.write(ours, answer)
            answer = None
    os.close(ours)
    return p.wait(60), seen.decode()


def test_on_a_terminal():
    agent = Agent(site("person")).start()
    t = Tool(agent.buffer)
    fill(agent, 9000)
    words = ["buffer", "drop", "--stream", "measured", "--to-seq", "5", "--buffer", agent.buffer]
    for life in ("running", "stopped"):
        for answer in (b"n\n", b"\n", b"\x04"):
            code, seen = on_a_terminal(words, answer)
            check(f"no is no ({life}, {answer})", code == 1 and "5 events would be dropped for good" in seen and "nothing was changed" in seen, f"{code} {seen}")
        agent.stop() if life == "running" else None
    check("nothing was dropped", t.stream("measured")["dropped"] == 0)
    code, seen = on_a_terminal(words, b"y\n")
    check("yes is yes", code == 0 and t.stream("measured")["dropped"] == 5, f"{code} {seen}")
    code, seen = on_a_terminal([*words, "--yes"])
    check("--yes: nothing is asked", code == 0 and "[y/N]" not in seen, f"{code} {seen}")
    code, seen = on_a_terminal(["buffer", "export", "--format", "ndjson", "--stream", "measured", "--out", path_of("seen.ndjson"), "--buffer", agent.buffer])
    check("long work shows how far it is", code == 0 and " events, " in seen and "%" in seen and seen.endswith("9000 events were exported\r\n"), repr(seen[-300:]))
    check("and not where nobody looks", "%" not in t.run("export", "--format", "ndjson", "--out", path_of("seen.ndjson")).stderr)


def delivered(folder):
    return [e["n"] for e in arrived(folder, "measured")]


def test_replay():
    """To an uplink that came later, and once more to the same one."""
    agent = Agent(site("replay")).start()
    t = Tool(agent.buffer)
    fill(agent, 3000)
    agent.stop()
    c = site("replay", {"cloud": dead_kafka(), "files": {"type": "file", "path": path_of("later"), "time_max": "1 s", "linger": "0 s"}})
    c["streams"]["copy"]["uplinks"] = ["cloud"]
    agent = Agent(c, "replay.json").start()
    check("it came later: nothing is owed", t.stream("measured")["owed"]["files"] == 0, str(t.stream("measured")))
    t.refuses(2, "say --uplink", "replay", "--yes")
    t.refuses(2, 'there is no uplink "none"', "replay", "--uplink", "none", "--yes")
    t.refuses(2, "11 events would be sent again. What the uplink has delivered before arrives twice. Say --yes", "replay", "--uplink", "files", "--stream", "measured", "--from-seq", "10", "--to-seq", "20")
    check("nothing was ordered", t.stream("measured")["owed"]["files"] == 0)
    r = t.json("replay", "--uplink", "files", "--stream", "measured", "--from-seq", "10", "--to-seq", "20", "--yes")
    check("eleven", r == {"replayed": 11}, str(r))
    check("they arrive", wait_until(lambda: delivered("later") == list(range(9, 20))), str(delivered("later")))
    r = t.json("replay", "--uplink", "files", "--stream", "measured", "--since", "2026-03-01T00:16:40Z", "--until", "2026-03-01T00:16:49Z", "--yes")
    check("ten by their time", r == {"replayed": 10} and wait_until(lambda: len(delivered("later")) == 21), str((r, delivered("later"))))
    agent.stop()
    r = t.json("replay", "--uplink", "files", "--yes")
    check("all, with the agent stopped", r["replayed"] >= 3000, str(r))
    agent.start()
    check("all arrive", wait_until(lambda: sorted(delivered("later")) == sorted(list(range(9, 20)) + list(range(1000, 1010)) + list(range(3000)))), str(len(delivered("later"))))
    check("each is still owed to the other", t.stream("measured")["owed"]["cloud"] == 3000)
    t.refuses(2, "does not carry stream", "replay", "--uplink", "files", "--stream", "copy", "--yes")
    agent.stop()


def test_damage():
    agent = Agent(site("damage")).start()
    t = Tool(agent.buffer)
    fill(agent, 6000)
    agent.stop()
    db = sqlite3.connect(agent.buffer)
    ids = [r[0] for r in db.execute("SELECT id FROM batch ORDER BY id")]
    db.execute("UPDATE batch SET body=zeroblob(length(body)) WHERE id=?", (ids[1],))
    db.commit()
    db.close()
    first = ids[1] & (1 << 48) - 1
    for life in ("stopped", "running"):
        r = t.run("verify", "--json")
        v = json.loads(r.stdout)
        check(f"verify finds it ({life})", r.returncode == 1 and v["bad"] == 1 and f"stream measured, sequences {first}.." in v["findings"][0]["place"], r.stdout + r.stderr)
        r = t.run("verify")
        check(f"and says it ({life})", r.returncode == 1 and "its checksum is wrong" in r.stdout and "damaged" in r.stdout, r.stdout)
        if life == "stopped":
            agent.start()
    agent.stop()
    Tool(path_of("no.db")).refuses(2, "there is no buffer", "verify")
    foreign = path_of("foreign.db")
    db = sqlite3.connect(foreign)
    db.execute("CREATE TABLE t(a)")
    db.commit()
    db.close()
    before = open(foreign, "rb").read()
    for words in (["ls"], ["drop", "--yes"], ["compact"]):
        Tool(foreign).refuses(3, "another program", *words)
    check("what is not ours is left alone", open(foreign, "rb").read() == before)
    empty = write("empty.db", "")
    Tool(empty).refuses(3, "no buffer yet", "drop", "--yes")
    check("an empty file stays empty", os.path.getsize(empty) == 0)


def test_damaged_rows():
    """However many rows are damaged, what lies between and behind them comes out, and that some is left out is said."""
    agent = Agent(site("damaged_rows")).start()
    t = Tool(agent.buffer)
    fill(agent, 60000, piece=1000)
    agent.stop()
    db = sqlite3.connect(agent.buffer)
    rows = db.execute("SELECT id & 0xffffffffffff, last FROM batch WHERE n > 0 ORDER BY id").fetchall()
    bad = rows[1:-1]
    db.executemany("UPDATE batch SET body=zeroblob(length(body)) WHERE id & 0xffffffffffff = ?", [(first,) for first, _ in bad])
    db.commit()
    db.close()
    check("more rows than are noted at a time", len(bad) > 16, str(len(rows)))
    good = [n for n in range(1, 60001) if not any(first <= n <= last for first, last in bad)]
    container = path_of("damaged_rows.avro")
    r = t.run("cat", "measured", "--from-seq", str(bad[-1][1] + 1))
    check("what lies behind them is whole", r.returncode == 0 and not r.stderr and len(r.stdout.splitlines()) == 60000 - bad[-1][1], f"{r.returncode} {r.stderr}")
    for life in ("stopped", "running"):
        r = t.run("cat", "measured")
        seen = [json.loads(line)["sequence"] for line in r.stdout.splitlines()]
        check(f"the others are printed ({life})", seen == good, f"{len(seen)} {len(good)}")
        check(f"and it is said ({life})", r.returncode == 1 and r.stderr.count("left out") == 1 and "measured" in r.stderr, r.stderr)
        r = t.run("export", "--stream", "measured", "--format", "avro", "--out", container)
        check(f"the others are exported ({life})", r.returncode == 1 and f"{len(good)} events" in r.stderr and "left out" in r.stderr, r.stderr)
        check(f"into a whole file ({life})", os.path.exists(container))
        if life == "stopped":
            agent.start()
            wait_until(lambda: t.json("stats")["gaps"]["count"] == 0) # and no commit follows that would tell what is seen
    agent.stop()
    r = t.run("replay", "--uplink", "cloud", "--stream", "measured", "--since", "2026-03-01", "--yes")
    check("so is what is read of them for a replay", r.returncode == 1 and "left out" in r.stderr, r.stderr)


def test_thinned():
    """Rows that were thinned are whole, and say how many events they have."""
    c = site("thinned")
    c["buffer"]["size_max"] = "5 MiB"
    c["streams"]["measured"].update(when_full="thin", key="k", thin_window="1 min")
    agent = Agent(c, "thinned.json").start()
    t = Tool(agent.buffer)
    n = 0
    while t.stream("measured")["dropped"] == 0 and n < 60000:
        events = [dict(measured(n + i), body=os.urandom(150).hex()) for i in range(200)]
        n += len(events) if agent.post("/measured", json.dumps(events))[0] == 200 else 0
    check("it was thinned", t.stream("measured")["dropped"] > 0, str(t.stream("measured")))
    for life in ("running", "stopped"):
        v, stats, s = t.json("verify"), t.json("stats"), t.stream("measured")
        check(f"nothing of it is damaged ({life})", v["bad"] == 0, str(v))
        check(f"events are counted as they are ({life})", v["events"] == stats["rows"]["events"] > 0, f"{v} {stats}")
        seen = len(t.cat("measured"))
        check(f"those that are left are there ({life})", 0 < seen <= s["last"] - s["dropped"], f"{seen} {s}")
        if life == "running":
            agent.stop()
    asked = t.run("drop", "--stream", "measured").stderr
    dropped = t.json("drop", "--stream", "measured", "--yes")["dropped"]
    check("the question knows of the holes", f" {dropped} events would be dropped" in asked and dropped == seen, f"{asked} {dropped} {seen}")


def test_encrypted():
    """With the key everything works on the file; without it nothing is touched."""
    key = write("key", "0123456789abcdef" * 4, 0o600)
    wrong = write("wrong-key", "f123456789abcdef" * 4, 0o600)
    c = site("secret")
    c["buffer"]["encryption"] = {"key": "${file:" + key + "}"}
    agent = Agent(c, "secret.json").start()
    t = Tool(agent.buffer)
    fill(agent, 5000)
    agent.post("/typed-wrong", "{}")
    running = t.fine("cat", "measured")
    check("verify beside the agent", t.json("verify")["bad"] == 0)
    agent.stop()
    check("with the key the same", t.fine("cat", "measured", "--key", key) == running)
    v = t.json("verify", "--key", key)
    check("verify of the file", v["bad"] == 0 and v["rows"] > 0 and v["pages_checked"], str(v))
    t.refuses(2, "is encrypted", "cat", "measured")
    t.refuses(2, "another key", "drop", "--yes", "--key", wrong)
    t.fine("export", "--format", "avro", "--stream", "measured", "--out", path_of("secret.avro"), "--key", key)
    check("import", t.json("import", path_of("secret.avro"), "--stream", "copy", "--key", key)["imported"] == 5000)
    t.fine("compact", "--key", key)
    data = open(agent.buffer, "rb").read()
    check("nothing of it is readable", b"device-3" not in data)
    check("and all is there", t.json("verify", "--key", key)["bad"] == 0 and len(t.cat("copy", "--key", key)) == 5000)


def test_salvage():
    """A file that was kept: what it says is owed comes over, with the agent stopped or running."""
    agent = Agent(site("salvage")).start()
    t = Tool(agent.buffer)
    fill(agent, 6000)
    agent.stop()
    kept = path_of("salvage", "buffer.db.bad-kept")
    shutil.copy(agent.buffer, kept)
    shutil.copy(agent.buffer + "-wal", kept + "-wal")
    sealed = t.json("stats")["rows"]["events"]
    t.refuses(2, "name the file", "salvage")
    t.refuses(2, "there is no such file", "salvage", path_of("salvage", "none"))
    t.refuses(3, "", "salvage", write("nonsense", "this is no database" * 1000))
    other = Agent(site("salvage-other"), "other.json").start()
    other.stop()
    t.refuses(2, "of another buffer", "salvage", other.buffer)
    for life in ("stopped", "running"):
        t.fine("drop", "--stream", "measured", "--yes")
        agent.start()
        for n in range(10): # commits, which delete the rows
            agent.post("/raw", str(n))
        check(f"nothing is left ({life})", t.stream("measured")["owed"]["cloud"] == 0 and len(t.cat("measured")) < 6000)
        if life == "stopped":
            agent.stop()
        r = t.json("salvage", kept)
        if life == "stopped":
            check("it comes over", r["done"] and r["salvaged"] >= sealed - 2000 and r["lost"] == 0, f"{r} {sealed}")
        else:
            agent.post("/raw", "1")
            check("the agent goes on with it", wait_until(lambda: t.stream("measured")["owed"]["cloud"] > 0 and not agent.status()["buffer"]["damage"]["salvages"], 90), str(agent.status()["buffer"]))
        owed = t.stream("measured")["owed"]["cloud"]
        got = [e["event"]["n"] for e in t.cat("measured", "--to-seq", str(owed))]
        check(f"as it was ({life})", owed >= sealed - 2000 and got == list(range(owed)), f"{len(got)} {owed} {sealed}")
    agent.stop()
    before = t.json("stats")
    r = t.json("salvage", kept)
    after = t.json("stats")
    check("once more: nothing is twice, nothing is told lost", r["done"] and after["rows"] == before["rows"] and after["dropped"] == before["dropped"], f"{before} {after}")
    stream = t.stream("measured")
    check("and what is counted is there", stream["events"] == stream["owed"]["cloud"] > 0, str(stream))
    t.refuses(2, "the buffer itself", "salvage", agent.buffer)
    check("the kept file is still there", os.path.exists(kept))


def test_compact():
    agent = Agent(site("compact")).start()
    t = Tool(agent.buffer)
    fill(agent, 20000)
    agent.stop()
    t.fine("drop", "--stream", "measured", "--to-seq", "18000", "--yes")
    agent.start() # its commits delete the rows, some at a time
    for n in range(12):
        agent.post("/raw", str(n))
    agent.stop()
    before = os.path.getsize(agent.buffer)
    kept = t.fine("cat", "measured", "--from-seq", "18001")
    os.chmod(agent.buffer, 0o600)
    limited = subprocess.run([weir, "buffer", "compact", "--buffer", agent.buffer], capture_output=True, text=True,
                             preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))))
    check("without room it says so", limited.returncode == 3 and limited.stderr.startswith("weir buffer compact: "), f"{limited.returncode} {limited.stderr}")
    for turn in range(6): # killed at any moment: the one or the other file stands
        p = subprocess.Popen([weir, "buffer", "compact", "--buffer", agent.buffer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.02 * turn)
        p.kill()
        p.wait()
        check("all is there behind a kill", t.fine("cat", "measured", "--from-seq", "18001") == kept)
    r = t.json("compact")
    after = os.path.getsize(agent.buffer)
    check("it is smaller", after == r["after"] and after < before / 2, str((before, r)))
    check("its mode is what it was", os.stat(agent.buffer).st_mode & 0o777 == 0o600, oct(os.stat(agent.buffer).st_mode))
    check("nothing beside it", sorted(os.listdir(path_of("compact"))) == ["buffer.db", "buffer.db-wal"], str(os.listdir(path_of("compact"))))
    check("all is there", t.fine("cat", "measured", "--from-seq", "18001") == kept and t.json("verify")["bad"] == 0)
    agent.start()
    check("the agent goes on with it", agent.post("/raw", "1")[0] == 200 and t.stream("measured")["owed"]["cloud"] == 2000)
    agent.stop()


def test_a_slow_reader_and_many_that_leave():
    """Intake goes on while a peer of the socket does not read; what it gets in the end is whole."""
    agent = Agent(site("slow")).start()
    t = Tool(agent.buffer)
    fill(agent, 12000)
    slow = [subprocess.Popen([weir, "buffer", "export", "--format", "ndjson", "--stream", "measured", "--to-seq", "12000", "--buffer", agent.buffer], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for _ in range(3)]
    time.sleep(0.5)
    fill(agent, 2000, "copy")
    check("none has come to its end", all(p.poll() is None for p in slow))
    check("the others are answered", t.stream("copy")["events"] == 2000)
    for p in slow[1:]:
        lines = p.stdout.read().splitlines()
        check("and all arrives", p.wait() == 0 and [json.loads(line)["event"]["n"] for line in lines] == list(range(12000)), str(len(lines)))
    slow[0].kill()
    slow[0].wait()
    for turn in range(24):
        p = subprocess.Popen([weir, "buffer", "cat", "measured", "--buffer", agent.buffer], stdout=subprocess.PIPE)
        p.stdout.read(1000 * (1 + turn % 3))
        p.kill()
        p.wait()
        p.stdout.close()
    check("places are free again", len(t.fine("ls").splitlines()) == 5)
    check("the agent ends in order", agent.stop() == 0)


def test_rights():
    """Whoever may connect may look; what takes events out is for root and the agent's own user."""
    if os.geteuid() != 0:
        print("rights: needs root, because it needs two users")
        return
    agent = Agent(site("rights")).start()
    fill(agent, 10)
    os.chmod(path_of(), 0o755)
    os.chmod(path_of("rights"), 0o755)
    other = {"user": 65534, "group": os.getegid(), "extra_groups": []}
    lines = write("rights.ndjson", '{"time": 1, "k": "a", "n": 1, "v": 0, "body": null, "id": ""}')
    binary = path_of("weir")
    shutil.copy(weir, binary) # where the other user may read it
    for words, code in [(["ls"], 0), (["stats"], 0), (["cat", "measured"], 0), (["verify"], 0), (["export", "--format", "ndjson"], 3), (["drop", "--yes"], 3),
                        (["replay", "--uplink", "cloud", "--yes"], 3), (["import", lines, "--stream", "measured"], 3)]:
        r = subprocess.run([binary, "buffer", *words, "--buffer", agent.buffer], capture_output=True, text=True, **other)
        check(f"another user: {words[0]}", r.returncode == code and (code == 0 or "is for root and for the user that the agent runs as" in r.stderr), f"{r.returncode} {r.stderr}")
    check("nothing happened", Tool(agent.buffer).stream("measured")["events"] == 10)
    check("the socket's mode", os.stat(agent.socket).st_mode & 0o777 == 0o660)
    agent.stop()


test_misuse()
test_the_same_running_and_stopped()
test_export_and_import()
test_files_that_do_not_fit()
test_killed_midway()
test_drop()
test_dropped_while_it_is_sent()
test_on_a_terminal()
test_replay()
test_damage()
test_damaged_rows()
test_thinned()
test_encrypted()
test_salvage()
test_compact()
test_a_slow_reader_and_many_that_leave()
test_rights()
finish()
