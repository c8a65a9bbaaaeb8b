"""What a user gives up of a stream's fields, on the real program: numbers arrive as multiples of their steps; an event within its deadbands is
acknowledged, counted, and nowhere, also across kill -9; the schema that events are read by says so; `weir check` and `weir reload` name it.

usage: lossy_test.py WEIR        WEIR_KILLS: how often kill -9 (default 3), WEIR_SEED"""
import decimal
import json
import os
import random

from program import Agent, check, finish, free_port, path_of, run, wait_until, write

KILLS = int(os.environ.get("WEIR_KILLS", "3"))
SEED = int(os.environ.get("WEIR_SEED", "0")) or random.randrange(1, 1 << 31)
BAND, INTERVAL = 0.3, 600
rng = random.Random(SEED)
write("none", "a file where a folder should be")       # nothing is delivered: all can be looked at
write("air.avsc", json.dumps({"type": "record", "name": "Air", "fields": [
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "device", "type": "string"},
    {"name": "t", "type": ["null", "double"], "doc": "of the air", "default": None},
    {"name": "p", "type": "double"},
    {"name": "count", "type": "long"},
    {"name": "state", "type": "string", "default": "ok"},
    {"name": "cells", "type": {"type": "array", "items": {"type": "record", "name": "Cell", "fields": [{"name": "mv", "type": "int"}]}}, "default": []}]}))
fields = {"t": {"quantize": 0.05, "deadband": BAND}, "p": {"quantize": 0.5, "deadband": 1}, "count": {"ignore_changes": True},
          "cells.mv": {"quantize": 10}}
port = free_port()
config = {"agent": {"id": "t"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB", "commit_interval": "20 ms"},
          "streams": {"air": {"schema": "air.avsc", "key": "device", "time": "at", "fields": fields, "max_interval": "10 min"}},
          "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{port}", "ack_interval": "2 ms"}},
          "uplinks": {"files": {"type": "file", "path": path_of("none", "out"), "time_max": "2 s"}}}
agent = Agent(config)
posted = []         # acknowledged events, in order


def put(**event):
    status, answer = agent.post("/", json.dumps(event), {"Content-Type": "application/json"})
    check("acknowledged", status == 200, (status, answer))
    posted.append(event)
    return answer


def stream():
    return next(s for s in agent.status()["streams"] if s["name"] == "air")


def is_multiple(value, step, decimals):
    return round(round(value / step) * step, decimals) == value


def multiple(value, step):
    """The nearest one, exactly."""
    return float((decimal.Decimal(repr(value)) / decimal.Decimal(step)).to_integral_value(decimal.ROUND_HALF_UP) * decimal.Decimal(step))


def stored():
    return [e["event"] for e in agent.stored("air")]


# --- a walk of three devices, killed in between ---

now, walk = 1_700_000_000_000, {d: [20.0, 1000.0] for d in ("north", "south", "east")}
counts = []         # of each life: reported, suppressed
for life in range(KILLS + 1):
    agent.start()
    for i in range(120):
        device = rng.choice(list(walk))
        now += rng.choice([1000, 1000, 1000, 90_000])
        walk[device][0] += rng.uniform(-0.15, 0.15)
        walk[device][1] += rng.uniform(-0.4, 0.4)
        put(at=now, device=device, t=round(walk[device][0], 3), p=round(walk[device][1], 2), count=len(posted), cells=[{"mv": 3304}, {"mv": 3306}])
    s = agent.status()
    counts.append((s["stored"], s["suppressed"]))
    check("each is one or the other", s["stored"] + s["suppressed"] == s["events"] == 120, s)
    check("counted by stream and by driver", stream()["suppressed"] == s["suppressed"] == s["drivers"]["post"]["suppressed"], s)
    if life < KILLS:
        agent.process.kill()
        agent.process.wait()
r = run("status", "--socket", agent.socket)
check("told to a person", f"{counts[-1][1]} held back by deadbands" in r.stdout, r.stdout)
check("some are, some are not", all(a >= 3 and b > 20 for a, b in counts), counts)
check("none is set aside", agent.status()["aside"] == 0)
check("an orderly end", agent.stop() == 0)
got = stored()
check("what was reported is there, once", len(got) == sum(a for a, b in counts) and len({e["count"] for e in got}) == len(got), (len(got), counts))
check("as multiples", all(is_multiple(e["t"]["double"], 0.05, 2) and is_multiple(e["p"], 0.5, 1) for e in got))
check("printed with no more digits than they have", all(len(str(e["t"]["double"]).split(".")[1]) <= 2 for e in got))
check("and what lies deeper", all(e["cells"] == [{"mv": 3300}, {"mv": 3310}] for e in got), got[:1])
check("rounding goes no further than half a step",
      all(abs(e["t"]["double"] - posted[e["count"]]["t"]) <= 0.025 + 1e-9 and abs(e["p"] - posted[e["count"]]["p"]) <= 0.25 + 1e-9 for e in got))
reported = {e["count"]: e for e in got}
last = {}
for n, event in enumerate(posted):
    event = dict(event, t=multiple(event["t"], "0.05"), p=multiple(event["p"], "0.5"))
    if n in reported:
        there = (reported[n]["t"]["double"], reported[n]["p"])
        check("as the nearest multiple", there == (event["t"], event["p"]), (n, event, there))
    before = last.get(event["device"])
    if n in reported:
        last[event["device"]] = event
    elif not before or abs(before["t"] - event["t"]) > BAND + 1e-9 or abs(before["p"] - event["p"]) > 1 or event["at"] - before["at"] >= INTERVAL * 1000:
        check("what is left out is within the band of what was reported last", False, (n, event, before))
        break
    if n in reported and before and n % 120 > 20 and abs(before["t"] - event["t"]) < BAND - 1e-9 and abs(before["p"] - event["p"]) < 1 \
            and event["at"] - before["at"] < INTERVAL * 1000:
        check("and what was reported had a reason", False, (n, event, before))
        break

# --- what counts beside the numbers; the doc ---

agent.start()
put(at=now, device="north", t=1, p=1, count=0)
put(at=now, device="north", t=1, p=1, count=1)
put(at=now, device="north", t=1, p=1, count=2, state="bad")
put(at=now, device="north", t=None, p=1, count=3, state="bad")
put(at=now + 599_999, device="north", t=None, p=1, count=4, state="bad")
put(at=now + 600_000, device="north", t=None, p=1, count=5, state="bad")
status, answer = agent.post("/", '{"at":1,"device":"north","t":"warm","p":1,"count":6}', {"Content-Type": "application/json"})
check("a mistake is set aside, within whatever band", agent.status()["aside"] == 1, answer)
check("two were left out", stream()["suppressed"] == 2, stream())
number = stream()["schema"]

# --- a reload takes it up as another version ---

config["streams"]["air"]["fields"] = {"t": {"quantize": 0.1}}
write("weir.json", json.dumps(config))
r = run("reload", "--socket", agent.socket)
check("reload takes it up", "$.streams.air.fields: taken up" in r.stdout + r.stderr and stream()["schema"] != number, r.stdout + r.stderr)
config["streams"]["air"]["compatibility"] = "full_transitive"
config["uplinks"]["files"]["path"] = path_of("out")
write("weir.json", json.dumps(config))
r = run("check", agent.path)
check("check has nothing against it", r.returncode == 0, r.stderr)
check("an orderly end", agent.stop() == 0)
check("by what else there is in it", [e["count"] for e in stored()[-4:]] == [0, 2, 3, 5], stored()[-4:])
agent.start()
check("it is another version of the schema", stream()["schema"] != number and stream()["schema_refused"] is None, stream())
put(at=now, device="north", t=1.26, p=1.26, count=0)
put(at=now, device="north", t=1.26, p=1.26, count=1)
check("everything is delivered", wait_until(lambda: agent.status()["delivered"] >= len(got) + 6), agent.status())
check("an orderly end", agent.stop() == 0)
files = b"".join(open(os.path.join(d, f), "rb").read() for d, _, names in os.walk(path_of("out")) for f in names)
for words in (b"of the air (rounded to multiples of 0.05; events in which it moved by no more than 0.3 may be left out)",
              b"rounded to multiples of 0.5; events in which it moved by no more than 1 may be left out", b'"doc":"rounded to multiples of 10"',
              b"of the air (rounded to multiples of 0.1)"):
    check("the schema of what is delivered says it", words in files, words)
if __name__ == "__main__" and os.environ.get("WEIR_SEED") is None:
    print(f"seed {SEED}")
finish()
