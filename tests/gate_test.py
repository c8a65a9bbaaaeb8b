"""The gate on the real program: a schema that does not go with what the buffer has is refused, the stream goes on, `weir check`, the log,
the status and weir.events say so; mended, it is taken over, and what both versions wrote arrives under its own schema.

usage: gate_test.py WEIR"""
import glob
import json
import os
import shutil
import signal
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, weir, write

KIND = "READER_FIELD_MISSING_DEFAULT_VALUE /fields/2"


def schema(*more):
    return json.dumps({"type": "record", "name": "Line", "fields": [
        {"name": "k", "type": "string"}, {"name": "n", "type": "long"}, *more]})


NEEDS = {"name": "unit", "type": "string"}
HAS = {"name": "unit", "type": "string", "default": "mm"}


def put(text):
    write("line.avsc", text)


def stream_of(agent, name="typed"):
    return next(s for s in agent.status()["streams"] if s["name"] == name)


def delivered(name, folder):
    """(has it the new schema, record) of all that the files of the stream have."""
    found = []
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.avro"), recursive=True)):
        if name not in os.path.relpath(path, folder):
            continue
        r = run("avro", "cat", path)
        with open(path, "rb") as f:
            newest = b"unit" in f.read(4096)
        found += [(newest, json.loads(line)) for line in r.stdout.splitlines()]
    return found


config = configuration(free_port())
config["streams"] = {"typed": {"schema": "line.avsc", "key": "k"}, "raw": {}}
config["uplinks"]["late"] = {"type": "file", "path": path_of("none", "late"), "time_max": "2 s", "streams": ["typed"], "from": "oldest"}
put(schema())
write("none", "a file where a folder should be")       # the far side is away
agent = Agent(config)
r = run("check", agent.path)
check("no buffer yet: nothing to compare", r.returncode == 0 and "warning" not in r.stderr, r.stderr)

agent.start()
first = stream_of(agent)["schema"]
check("nothing is refused", stream_of(agent)["schema_refused"] is None)
for n in range(50):
    check("stored", agent.post("/typed", json.dumps({"k": "a", "n": n}))[1] == {"stored": 1, "aside": []})
r = run("check", agent.path)
check("what runs is right", r.returncode == 0, r.stderr)

# --- check, with the agent running and stopped ---

put(schema(NEEDS))
for life in ("running", "stopped"):
    r = run("check", agent.path)
    check(f"check says what would be refused ({life})",
          r.returncode == 1 and KIND in r.stderr and "$.streams.typed.schema: refused (compatibility backward)" in r.stderr
          and "default" in r.stderr, r.stderr)
    place = ("--stream", "typed", "--buffer", agent.buffer, "--new", path_of("line.avsc"))
    r = run("schema", "check", *place)
    check(f"schema check against the buffer ({life})", (r.returncode, r.stdout[:len(f"schema {first}: {KIND}: ")]) == (1, f"schema {first}: {KIND}: "), r)
    check("forward", run("schema", "check", "--mode", "FORWARD", *place).returncode == 0)
    put(schema())
    check("what is known", run("schema", "check", "--mode", "full", *place).returncode == 0)
    put(schema(NEEDS))
    if life == "running":
        check("an orderly end", agent.stop() == 0)
r = run("schema", "check", "--stream", "nobody", "--buffer", agent.buffer, "--new", path_of("line.avsc"))
check("no such stream", r.returncode == 2 and "nobody" in r.stderr, r)
r = run("schema", "check", "--stream", "typed", "--buffer", path_of("nothing"), "--new", path_of("line.avsc"))
check("no such buffer", r.returncode == 2 and "no buffer" in r.stderr, r)
config["streams"]["typed"]["compatibility"] = "forward"
write("forward.json", json.dumps(config))
r = run("check", path_of("forward.json"))
check("forward allows it", r.returncode == 0, r.stderr)
config["streams"]["typed"]["compatibility"] = "sideways"
write("sideways.json", json.dumps(config))
r = run("check", path_of("sideways.json"))
check("no such mode", r.returncode == 1 and "full_transitive" in r.stderr, r.stderr)
del config["streams"]["typed"]["compatibility"]

# --- started with it ---

agent.start()
told = stream_of(agent)
check("refused, and under the version before", told["schema"] == first and told["schema_refused"]["count"] == 1, told)
finding = (told["schema_refused"]["findings"] or [{}])[0]
check("the finding", f'{finding.get("kind")} {finding.get("location")}' == KIND and finding.get("schema") == first
      and "default" in finding.get("way_out", "") and finding.get("direction") == "backward", finding)
r = run("status", "--socket", agent.socket)
check("status for a person", f"SCHEMA of stream typed is refused (compatibility backward, findings: 1); events go on under schema {first}" in r.stdout
      and KIND in r.stdout, r.stdout)
check("the log", KIND in agent.log() and "its schema is refused" in agent.log())
for n in range(50, 80):
    check("stored under it", agent.post("/typed", json.dumps({"k": "a", "n": n, "unit": "bar"}))[1] == {"stored": 1, "aside": []})
check("what does not fit is set aside", agent.post("/typed", json.dumps({"k": "a", "n": "many"}))[1]["aside"] != [])
wait_until(lambda: any(e["kind"] == "schema_refused" for _, e in delivered("weir.events", path_of("out"))), 30)
events = [e for _, e in delivered("weir.events", path_of("out")) if e["kind"] == "schema_refused"]
check("told to the centre, once", len(events) == 1 and events[0]["stream"] == "typed" and KIND in events[0]["text"] and events[0]["count"] == 1, events)

# --- mended, while it runs ---


def reload(code, *words):
    r = run("reload", "--socket", agent.socket)
    check(f"reload: exit code {code}, {words}", r.returncode == code and all(w in r.stdout + r.stderr for w in words), (r.returncode, r.stdout, r.stderr))


reload(1, "stream typed: refused: " + KIND, f"events have schema {first}")
put("{")
reload(2, "weir.json:1:", "nothing is changed")
write("weir.json", json.dumps({**config, "streams": {"typed": {"schema": "line.avsc", "key": "k", "priority": "high"}}}))
put(schema(HAS))
reload(2, "$.streams.typed.priority", "$.drivers.post.routes[1].stream", "nothing is changed")
check("nothing is", stream_of(agent)["schema"] == first and stream_of(agent)["schema_refused"]["count"] == 1)
check("a bad file is in the log", "not reloaded, nothing is changed" in agent.log() and "$.streams.typed.priority" in agent.log())
config["streams"]["typed"]["unknown_fields"] = "set_aside"
config["uplinks"]["files"]["time_max"] = "3 s"
write("weir.json", json.dumps(config, indent=3))
reload(0, "stream typed: accepted", "$.streams.typed.unknown_fields: taken up", "$.uplinks.files.time_max: taken up")
told = stream_of(agent)
second = told["schema"]
check("mended: accepted", told["schema_refused"] is None and second != first, told)
for n in range(80, 100):
    check("stored under the new one", agent.post("/typed", json.dumps({"k": "a", "n": n, "unit": "bar"}))[1] == {"stored": 1, "aside": []})
check("unknown_fields is taken up", "nobody" in str(agent.post("/typed", json.dumps({"k": "a", "n": 1, "nobody": 1}))[1]["aside"]))
config["streams"]["typed"]["unknown_fields"] = "ignore"
write("weir.json", json.dumps(config))
reload(0, "$.streams.typed.unknown_fields: taken up")
check("and back", agent.post("/typed", json.dumps({"k": "a", "n": 100, "unit": "bar", "nobody": 1}))[1]["aside"] == [])
r = run("check", agent.path)
check("check agrees", r.returncode == 0, r.stderr)

if os.geteuid() == 0:                                   # else there is nobody else to be
    os.chmod(path_of(), 0o755)
    os.chmod(path_of("d"), 0o755)
    shutil.copy(weir, path_of("weir"))                  # where the other user may read it
    r = subprocess.run([path_of("weir"), "reload", "--socket", agent.socket], capture_output=True, text=True,
                       user=65534, group=os.getegid(), extra_groups=[])
    check("reload by another user", r.returncode == 3 and "is for root and for the user that the agent runs as" in r.stderr, r)

# --- by a signal: another path, refused and mended ---

write("other.avsc", schema({"name": "unit", "type": "int"}))
config["streams"]["typed"]["schema"] = "other.avsc"
write("weir.json", json.dumps(config))
for _ in range(3):
    agent.process.send_signal(signal.SIGHUP)
r = run("reload", "--socket", agent.socket)
check("a refused schema is not taken up", r.returncode == 1 and "schema: taken up" not in r.stdout + r.stderr, r)
check("refused at SIGHUP", wait_until(lambda: (stream_of(agent)["schema_refused"] or {}).get("findings", [{}])[0].get("kind") == "TYPE_MISMATCH", 20),
      stream_of(agent))
check("as it was", stream_of(agent)["schema"] == second)
write("other.avsc", schema(HAS, {"name": "more", "type": ["null", "long"], "default": None}))
agent.process.send_signal(signal.SIGHUP)
check("accepted at SIGHUP", wait_until(lambda: stream_of(agent)["schema_refused"] is None and stream_of(agent)["schema"] > second, 20), stream_of(agent))
check("stored", agent.post("/typed", json.dumps({"k": "a", "n": 101, "unit": "bar", "more": 7}))[1] == {"stored": 1, "aside": []})
check("the other stream has none still", agent.post("/else", "no JSON at all")[1] == {"stored": 1, "aside": []})
config["streams"]["raw"]["schema"] = "other.avsc"                    # one that began without
write("weir.json", json.dumps(config))
reload(0, "stream raw: accepted")
check("it has one now", agent.post("/else", json.dumps({"k": "b", "n": 1}))[1] == {"stored": 1, "aside": []})
check("and takes nothing else", agent.post("/else", "no JSON at all")[1]["aside"] != [])
del config["streams"]["raw"]["schema"]
write("weir.json", json.dumps(config))
reload(0, "stream raw: accepted")
check("it has none again", agent.post("/else", "no JSON at all")[1] == {"stored": 1, "aside": []})
wait_until(lambda: sum(e["kind"] == "schema_accepted" for _, e in delivered("weir.events", path_of("out"))) >= 4, 30)
kinds = [(e["kind"], e["stream"]) for _, e in delivered("weir.events", path_of("out")) if e["kind"].startswith("schema_")]
check("told to the centre", kinds[:3] == [("schema_refused", "typed")] * 2 + [("schema_accepted", "typed")]
      and kinds[-3:] == [("schema_accepted", "typed"), ("schema_accepted", "raw"), ("schema_accepted", "raw")], kinds)

# --- after a restart it is the same, and what both wrote arrives ---

third = stream_of(agent)["schema"]
agent.stop()
agent.start()
check("the same after a restart", stream_of(agent)["schema"] == third and stream_of(agent)["schema_refused"] is None)
check("a backlog of all", agent.status()["streams"][0]["events"] == 102)
os.remove(path_of("none"))                              # the far side is back
check("all arrive", wait_until(lambda: len(delivered("typed", path_of("none", "late"))) >= 102, 60), len(delivered("typed", path_of("none", "late"))))
got = delivered("typed", path_of("none", "late"))
check("each once, in order", [r["n"] for _, r in got] == list(range(102)), [r["n"] for _, r in got])
check("each under its own schema", [newest for newest, _ in got] == [n >= 80 for n in range(102)])
check("an orderly end", agent.stop() == 0)
r = run("reload", "--socket", agent.socket)
check("nobody to ask", r.returncode == 3 and "no agent answers" in r.stderr, r)
finish()
