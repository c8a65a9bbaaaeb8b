"""A board's binary on files that are larger than 32 bits can say: a log of more than 4 GiB that is followed, and a buffer whose database has grown
past 4 GiB. Both are nearly all holes.

usage: big_files.py WEIR"""
import glob
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until  # noqa: E402

GIB = 1 << 30
EVENTS = 200


def rows(stream):
    files = sorted(glob.glob(path_of("out", stream, "**", "*.avro"), recursive=True))
    return [json.loads(line) for line in run("avro", "cat", *files).stdout.splitlines()] if files else []


def kill(agent):
    agent.process.send_signal(signal.SIGKILL)
    agent.process.wait()


def add(path, first):
    with open(path, "a") as f:
        for i in range(first, first + EVENTS):
            f.write(f"line {i}\n")


def follows_a_large_file():
    """From its end on, where it was after a kill, and once more after a start."""
    log = path_of("large.log")
    with open(log, "w") as f:
        f.seek(5 * GIB - 1)
        f.write("\n")
    config = configuration(free_port())
    config["drivers"]["lines"] = {"type": "tail", "stream": "raw", "paths": [log], "from": "end", "poll": "100 ms"}
    agent = Agent(config, "large.json").start()

    def begun():                                    # what is added before the first look is before the end
        with open(log, "a") as f:
            f.write("probe\n")
        return agent.status()["drivers"]["lines"]["stored"] > 0

    check("it looks", wait_until(begun), json.dumps(agent.status()["drivers"]))
    add(log, 0)
    check("lines past 4 GiB are taken", wait_until(lambda: f"line {EVENTS - 1}" in run("buffer", "cat", "raw", "--buffer", agent.buffer).stdout), json.dumps(agent.status()))
    kill(agent)
    add(log, EVENTS)
    agent.start()
    add(log, 2 * EVENTS)
    check("after a kill too", wait_until(lambda: any(row["body"] == f"line {3 * EVENTS - 1}" for row in rows("raw"))), json.dumps(agent.status()))
    check("ends well", agent.stop() == 0, agent.log()[-1000:])
    lines = [row["body"] for row in rows("raw") if row["body"] != "probe"]
    check("each line once, in order", lines == [f"line {i}" for i in range(3 * EVENTS)], f"{len(lines)}: {lines[:3]}")
    os.remove(log)
    shutil.rmtree(path_of("out"))
    shutil.rmtree(os.path.dirname(config["buffer"]["path"]))


def grow(path, size):
    """Makes the database larger by free pages, which are holes: as it is when a large backlog has gone. Those behind 4 GiB are used first."""
    database = sqlite3.connect(path, isolation_level=None)
    page = database.execute("PRAGMA page_size").fetchone()[0]
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    with open(path, "r+b") as f:
        header = bytearray(f.read(100))
        changes, pages, trunk, free = struct.unpack_from(">IIII", header, 24)
        check("the database has no map of its pages", struct.unpack_from(">I", header, 52) == (0,))
        never = (1 << 30) // page + 1               # where SQLite's locks are
        new = [number for number in range(pages + 1, size // page + 1) if number != never]
        for first in range(0, len(new), 1000):      # a list of lists: the next one, how many, and their numbers
            names = new[first:first + 1000]
            f.seek((names[0] - 1) * page)
            f.write(struct.pack(f">{len(names) + 1}I", trunk, len(names) - 1, *names[1:]).ljust(page, b"\0"))
            trunk = names[0]
        struct.pack_into(">IIII", header, 24, changes + 1, size // page, trunk, free + len(new))
        struct.pack_into(">I", header, 92, changes + 1)
        f.seek(0)
        f.write(header)
        f.truncate(size)
    database = sqlite3.connect(path)
    check("it is whole", database.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    database.close()


def behind(path):
    with open(path, "rb") as f:
        f.seek(4 * GIB)
        return hashlib.sha256(f.read()).digest()


def keeps_a_large_buffer():
    config = configuration(free_port())
    config["buffer"]["size_max"] = "16 GiB"
    config["uplinks"] = {"away": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t"}}
    agent = Agent(config, "buffer.json").start()
    check("taken", agent.post("/raw", "first")[0] == 200)
    check("ends well", agent.stop() == 0, agent.log()[-1000:])
    grow(agent.buffer, 4 * GIB + 64 * (1 << 20))
    before = behind(agent.buffer)
    agent.start()
    lines = ["first"]
    for half in range(2):                           # larger than what waits in the log: rows are written behind 4 GiB
        for i in range(20):
            block = [f"{half} {i} {n} " + os.urandom(400).hex() for n in range(20)]
            status, answer = agent.post("/raw", "\n".join(block) + "\n", {"Content-Type": "application/x-ndjson"})
            check("taken", status == 200, answer)
            lines += block
        if half == 0:
            kill(agent)
            agent.start()
    check("ends well, large", agent.stop() == 0, agent.log()[-1000:])
    check("it has written behind 4 GiB", behind(agent.buffer) != before)
    kept = [row["event"]["body"] for row in agent.stored("raw")]
    check("each event is kept, in order", kept == lines, f"{len(kept)} of {len(lines)} {str(kept[:2])[:200]}")
    done = run("buffer", "verify", "--buffer", agent.buffer)
    check("nothing in it is damaged", done.returncode == 0, done.stdout[-500:] + done.stderr[-500:])


follows_a_large_file()
keeps_a_large_buffer()
finish()
