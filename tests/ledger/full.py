"""The ledger of a full buffer: the least one there may be, with two uplinks of which one is dead, full most of the time, under each policy, while
the agent is killed. In the end the dead one comes back to life; then what an uplink lacks is what the gap records of weir.events say, to the event.

usage: full.py WEIR [EVENTS]     WEIR_SEED, WEIR_KILLS, WEIR_LONG=1"""
import base64
import glob
import http.client
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services     # noqa: E402
from services import wait_for   # noqa: E402

BATCH = 100
SCHEMA = {"type": "record", "name": "Numbered", "fields": [
    {"name": "n", "type": "long"}, {"name": "key", "type": "string"}, {"name": "value", "type": "double"}, {"name": "pad", "type": "string"}]}
UPLINKS = ("alive", "dead")


class Agent(services.Agent):
    def __init__(self, program, directory, policy, hold_max):
        super().__init__(program, directory)
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        files = {"type": "file", "name": "{stream}-{number}-{first}.avro", "codec": "null", "free_min": "0 B", "time_max": "1 s", "from": "oldest",
                 "backoff_max": "1 s", "linger": "0 s"}
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "full", "socket": os.path.join(directory, "weir.sock")},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "4 MiB", "commit_interval": "100 ms"},
                "streams": {"numbered": {"schema": "numbered.avsc", "key": "key", "when_full": policy, "thin_window": "1 s"}},
                "drivers": {"post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "0 s"}},
                "uplinks": {name: {**files, "path": os.path.join(directory, name, "out"), "hold_max": hold_max} for name in UPLINKS}}, f)

    def is_drained(self):
        return all(s["events"] == 0 for s in self.status()["streams"])

    def read(self, uplink, stream):
        files = glob.glob(os.path.join(self.dir, uplink, "out", "**", f"{stream}-*.avro"), recursive=True)
        lines = []
        for path in files:
            lines += subprocess.run([self.program, "avro", "cat", path], stdout=subprocess.PIPE, check=True).stdout.splitlines()
        return [json.loads(line) for line in lines]


class Feed:
    """Posts numbered events; one that was never answered is posted again under the same Idempotency-Key."""

    def __init__(self, rng, port):
        self.random, self.port, self.acked, self.refused = rng, port, 0, 0
        self.body, self.key = None, None

    def step(self):
        if self.body is None:
            self.key = str(uuid.UUID(int=self.random.getrandbits(128)))
            self.body = "".join(json.dumps({"n": self.acked + i + 1, "key": f"k{self.random.randrange(3)}", "value": self.random.random(),
                                            "pad": base64.b64encode(self.random.randbytes(150)).decode()}) + "\n" for i in range(BATCH))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("POST", "/events", self.body, {"Content-Type": "application/x-ndjson", "Idempotency-Key": self.key})
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if answer.status == 200:
            self.acked += BATCH
            self.body = None
            return True
        if answer.status not in (409, 429, 503):
            raise SystemExit(f"full: HTTP {answer.status}")
        self.refused += 1
        return False


def fill(agent, feed, events, kills, rng):
    """Until so many are acknowledged, or the buffer blocks for good; kills in between."""
    at = sorted(rng.randrange(events // 4, events) for _ in range(kills))
    stuck = 0
    while feed.acked < events and stuck < 60:
        if feed.step():
            stuck = 0
        else:
            stuck += 1
            time.sleep(0.05)
        if at and (feed.acked >= at[0] or stuck == 20):
            at.pop(0)
            agent.kill()
            agent.start()
            stuck = 0


def compare(agent, feed, policy):
    told = [e for e in agent.read("alive", "weir.events") if e["kind"] == "gap"]
    wrong = []
    lost = {}
    for uplink in UPLINKS:
        seen = [e["n"] for e in agent.read(uplink, "numbered")]
        missing = set(range(1, feed.acked + 1)) - set(seen)
        gaps = [g for g in told if g["uplink"] in ("", uplink) and g["stream"] == "numbered"]
        lost[uplink] = sum(g["count"] for g in gaps)
        if len(set(seen)) != len(seen):
            wrong.append(f"{uplink} has {len(seen) - len(set(seen))} twice")
        if len(missing) != lost[uplink]:
            wrong.append(f"{uplink} lacks {len(missing)}, told are {lost[uplink]}")
        outside = [n for n in missing if not any(g["first"] <= n <= g["last"] for g in gaps)]
        if outside:
            wrong.append(f"{uplink} lacks {outside[:5]}, which no gap has")
    reasons = {}
    for g in told:
        reasons[g["reason"]] = reasons.get(g["reason"], 0) + g["count"]
    wanted = {"block": set(), "drop_oldest": {"drop_oldest"}, "drop_newest": {"drop_newest"}, "thin": {"thin", "drop_oldest"}}[policy]
    if not wanted <= set(reasons) or (policy == "block" and set(reasons) - {"hold_max"}):
        wrong.append(f"reasons are {reasons}")
    return lost, reasons, wrong


def one(program, directory, policy, hold_max, events, kills, rng):
    os.makedirs(directory)
    agent, dead = Agent(program, directory, policy, hold_max), os.path.join(directory, "dead")
    open(dead, "w").close()     # a file where its folder would be
    feed = Feed(rng, agent.http_port)
    agent.start()
    try:
        fill(agent, feed, events, kills, rng)
        os.remove(dead)
        wait_for("room", lambda: feed.body is None or feed.step())     # what waits for its answer is taken
        for _ in range(2):      # gaps are told at the stop, and delivered in the next life
            wait_for("end of the backlog", agent.is_drained)
            agent.stop()
            agent.start()
        wait_for("end of the backlog", agent.is_drained)
        size = sum(os.path.getsize(path) for path in glob.glob(os.path.join(directory, "buffer.db*")))
        agent.stop()
    finally:
        agent.kill()
    lost, reasons, wrong = compare(agent, feed, policy)
    if size > 4 << 20:
        wrong.append(f"the buffer has {size} bytes")
    print(f"full policy={policy} hold_max={hold_max.replace(' ', '')} acked={feed.acked} refused={feed.refused} kills={kills} "
          f"lacks_alive={lost['alive']} lacks_dead={lost['dead']} " + " ".join(f"{k}={v}" for k, v in sorted(reasons.items())), flush=True)
    return wrong


def main():
    program = os.path.abspath(sys.argv[1])
    long = os.environ.get("WEIR_LONG") == "1"
    events = int(sys.argv[2]) if len(sys.argv) > 2 else 60000 if long else 9000
    kills = int(os.environ.get("WEIR_KILLS", 12 if long else 2))
    seed = int(os.environ.get("WEIR_SEED", time.time()))
    rng = random.Random(seed)
    work = tempfile.mkdtemp(prefix="weir-full.")
    for hold_max in ("100 %", "30 %") if long else ("100 %",):
        for policy in ("block", "drop_oldest", "drop_newest", "thin"):
            wrong = one(program, os.path.join(work, f"{policy}-{hold_max.split()[0]}"), policy, hold_max, events, kills, rng)
            if wrong:
                sys.exit(f"full: {policy}: {'; '.join(wrong)}; seed={seed}; what was written is in {work}")
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
