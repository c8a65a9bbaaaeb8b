"""A stream whose schema grows by what its events bring, on the real program: killed at any moment, each line of the file is stored exactly once
with all its fields; a restart goes on with them; what conflicts is set aside; status, log, weir.events and `weir check` tell it.

usage: extend_test.py WEIR        WEIR_KILLS: how often kill -9 (default 6, at most 24)"""
import json
import os
import random
import time

from program import Agent, check, finish, path_of, run, wait_until, write

KILLS = int(os.environ.get("WEIR_KILLS", "6"))
PER_LIFE = 30       # lines
VALUES = [True, 7, 1.5, "text", [1, 2], {"y": {"z": 1}}, [{"k": "a"}, {"m": 2}]]

write("line.avsc", json.dumps({"type": "record", "name": "Line", "doc": "kept", "fields": [{"name": "n", "type": "long"}]}))
write("none", "a file where a folder should be")       # nothing is delivered: all can be looked at
config = {"agent": {"id": "t"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB"},
          "streams": {"lines": {"schema": "line.avsc", "unknown_fields": "extend", "compatibility": "full_transitive"}},
          "drivers": {"file": {"type": "tail", "paths": [path_of("in.ndjson")], "poll": "10 ms", "ack_interval": "5 ms"}},
          "uplinks": {"files": {"type": "file", "path": path_of("none", "out"), "time_max": "2 s"}}}
write("in.ndjson", "")
lines = []


def put(**fields):
    lines.append({"n": len(lines), **fields})
    with open(path_of("in.ndjson"), "a") as f:
        f.write(json.dumps(lines[-1]) + "\n")


def fields(record):
    """Without what is null, and without the names of types in unions: each field that was added is optional."""
    return {k: unwrapped(v) if isinstance(v, dict) else v for k, v in record.items() if v is not None}


def unwrapped(value):
    inner = next(iter(value.values()))
    if isinstance(inner, list):
        return [fields(v) if isinstance(v, dict) else v for v in inner]
    return fields(inner) if isinstance(inner, dict) else inner


def stored_count():
    return next(s for s in agent.status()["streams"] if s["name"] == "lines")["events"]


def stream():
    return next(s for s in agent.status()["streams"] if s["name"] == "lines")


# --- killed, again and again ---

agent = Agent(config)
random.seed(7)
for life in range(KILLS):
    agent.start()
    for i in range(PER_LIFE):
        is_new = life < 4 and i % 10 == life
        put(**({f"f{life}_{i}": random.choice(VALUES)} if is_new else {}))
        if is_new:
            time.sleep(random.random() * 0.02)
    put(**{f"last{life}": life})
    time.sleep(random.random() * 0.05)
    agent.process.kill()
    agent.process.wait()
agent.start()
check("all are stored", wait_until(lambda: stored_count() >= len(lines)), stored_count())
check("nothing is set aside", agent.status()["aside"] == 0, agent.aside()[:3])
added = stream()["fields_added"]
number = stream()["schema"]
check("fields were added", added >= KILLS + 12, added)
r = run("status", "--socket", agent.socket)
check("status for a person", f"stream lines: its schema got {added} fields from events: schema {number}" in r.stdout, r.stdout)
r = run("check", agent.path)
check("check has nothing against it", r.returncode == 0 and "warning" not in r.stderr, r.stderr)

# --- again with the same file, and one more field ---

check("an orderly end", agent.stop() == 0)
agent.start()
check("a restart goes on with them", (stream()["schema"], stream()["fields_added"]) == (number, added), stream())
r = run("reload", "--socket", agent.socket)
check("and so does a reload", r.returncode == 0 and (stream()["schema"], stream()["fields_added"]) == (number, added), (r.stdout, stream()))
put(one_more="x")
check("one more", wait_until(lambda: stream()["fields_added"] == added + 1), stream())
check("the log", "stream lines: its schema got the fields of an event: one_more (schema " in agent.log())
put(one_more="y", level=3)
put(level="high")
put(**{"two words": 1})
check("what conflicts is set aside", wait_until(lambda: agent.status()["aside"] == 2), agent.status()["aside"])
check("all others are stored", wait_until(lambda: stored_count() == len(lines) - 2), stored_count())
check("an orderly end", agent.stop() == 0)

asides = [(json.loads(a["body"])["n"], a["reason"]) for a in agent.aside()]
last = len(lines) - 1
check("with its reason", asides == [
    (last - 1, 'field "level": high is no long (a whole number of 64 bits)'),
    (last, "field \"two words\": can't be added to the schema: a field's name is at most 64 letters, digits and _")], asides)
got = [fields(e["event"]) for e in agent.stored("lines")]
check("each once, in order", [e["n"] for e in got] == list(range(last - 1)), [e["n"] for e in got])
check("each with its fields", got == lines[:last - 1], [(a, b) for a, b in zip(got, lines) if a != b][:3])
told = [e["event"] for e in agent.stored("weir.events") if e["event"]["kind"] == "schema_extended"]
check("told to the centre", told and all(t["stream"] == "lines" and t["count"] > 0 for t in told) and "one_more (schema " in told[-2]["text"], told[-2:])

# --- another file, and back ---

agent.start()
before = stream()["schema"], stream()["fields_added"]
with open(path_of("line.avsc")) as f:
    old = f.read()
new = json.loads(old)
new["fields"].append({"name": "b", "type": "string", "default": ""})
write("line.avsc", json.dumps(new))
r = run("reload", "--socket", agent.socket)
check("a new file is taken over as it is", r.returncode == 0 and stream()["fields_added"] == 0 and stream()["schema"] not in before, (r.stdout, stream()))
put(again=1, b="x")
check("and gets fields anew", wait_until(lambda: stream()["fields_added"] == 1), stream())
write("line.avsc", old)
r = run("reload", "--socket", agent.socket)
check("and the old one has its own again", r.returncode == 0 and (stream()["schema"], stream()["fields_added"]) == before, (r.stdout, stream()))

# --- what was set aside is replayed, and brings its fields ---

config["streams"]["lines"]["unknown_fields"] = "set_aside"
write("weir.json", json.dumps(config))
run("reload", "--socket", agent.socket)
put(later=1)
check("set aside", wait_until(lambda: len(agent.aside()) == 3), agent.status()["aside"])
config["streams"]["lines"]["unknown_fields"] = "extend"
write("weir.json", json.dumps(config))
run("reload", "--socket", agent.socket)
r = run("aside", "replay", "--socket", agent.socket, "--json")
check("replayed; what never fits stays", json.loads(r.stdout)["replayed"] == 1 and json.loads(r.stdout)["unfit"] == 2, r.stdout + r.stderr)
check("with its field", stream()["fields_added"] == before[1] + 1, stream())
check("an orderly end", agent.stop() == 0)
check("it is there", {"n": len(lines) - 1, "later": 1} in [fields(e["event"]) for e in agent.stored("lines")])

# --- what does not go together ---

config["streams"]["lines"]["missing_fields"] = "set_aside"
write("both.json", json.dumps(config))
r = run("check", path_of("both.json"))
check("not with missing_fields set_aside", r.returncode == 1 and "$.streams.lines.unknown_fields" in r.stderr, r.stderr)
finish()
