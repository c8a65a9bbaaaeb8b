"""The ledger of rotation: numbered lines in files that are rotated many times a second, by renaming and by copying and truncating, while the
agent reads them, is killed and starts again. What its file uplink has written is read back: each number once, in order.

usage: rotation.py WEIR [SECONDS]     WEIR_SEED, WEIR_LONG=1"""
import collections
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from feed import TailFeed

PATIENCE = 180


class QuickFeed(TailFeed):
    def step(self):
        weight = super().step()
        if self.lines > 60 and self.random.random() < 0.03:
            self.rotate()
        return weight


class Agent:
    def __init__(self, program, directory, names):
        self.program, self.dir = program, directory
        drivers = {name: {"type": "tail", "stream": "lines", "paths": [os.path.join(directory, name, "events.log*")], "poll": "20 ms",
                          "files_max": 1024} for name in names}
        self.path = os.path.join(directory, "weir.json")
        with open(self.path, "w") as f:
            json.dump({"agent": {"id": "rotation"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "50 ms"},
                       "streams": {"lines": {}}, "drivers": drivers,
                       "uplinks": {"files": {"type": "file", "path": os.path.join(directory, "out"), "time_max": "1 s",
                                             "name": "{stream}-{number}.avro"}}}, f)

    def start(self):
        with open(os.path.join(self.dir, "agent.log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "run", self.path], stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def read_back(self):
        """The events in the order of the files and in each file."""
        files = glob.glob(os.path.join(self.dir, "out", "lines-*.avro"))
        files.sort(key=lambda path: int(path.rsplit("-", 1)[1].split(".")[0]))
        printed = subprocess.run([self.program, "avro", "cat", *files], stdout=subprocess.PIPE, check=True).stdout if files else b""
        return [json.loads(json.loads(line)["body"]) for line in printed.splitlines()]


def compare(records, feeds):
    seen, last, result = collections.Counter(), collections.Counter(), collections.Counter()
    for record in records:
        key, n = record["key"], record["n"]
        what = "twice" if seen[key, n] else "reordered" if n < last[key] else None
        if what:
            result[what] += 1
            if result[what] <= 5:
                print(f"{what}: {key} {n} behind {last[key]}")
        seen[key, n] += 1
        last[key] = max(n, last[key])
    for feed in feeds:
        result["lost"] += sum(not seen[key, n] for key, count in feed.expected().items() for n in range(1, count + 1))
    return result


def run(program, directory, seconds, chance):
    feeds = []
    for name in ("renamed", "copied"):
        os.makedirs(os.path.join(directory, name))
        feeds.append(QuickFeed(chance.random(), name, 500, os.path.join(directory, name, "events.log"), name == "copied"))
    agent, kills, until = Agent(program, directory, ("renamed", "copied")), 0, time.monotonic() + seconds
    agent.start()
    try:
        for feed in feeds:
            feed.start()
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.2, 0.8))
            agent.kill()
            kills += 1
            time.sleep(chance.random() * 0.1)
            agent.start()
        for feed in feeds:
            feed.stop(PATIENCE)
        total, until = sum(sum(feed.counters) for feed in feeds), time.monotonic() + PATIENCE
        while len(agent.read_back()) < total and time.monotonic() < until:
            time.sleep(1)       # a file is finished each second
        agent.stop()
    finally:
        agent.kill()
    result = compare(agent.read_back(), feeds)
    print(f"ledger rotations={sum(f.rotated for f in feeds)} kills={kills} acked={total} lost={result['lost']} twice={result['twice']} "
          f"reordered={result['reordered']}")
    return sum(result.values()) == 0


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 120 if os.environ.get("WEIR_LONG") == "1" else 15
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    directory = tempfile.mkdtemp(prefix="weir-rotation.")
    print(f"rotation seed={seed}", flush=True)
    if not run(sys.argv[1], directory, seconds, random.Random(seed)):
        sys.exit(f"seed={seed}; what was written is in {directory}")
    shutil.rmtree(directory)


main()
