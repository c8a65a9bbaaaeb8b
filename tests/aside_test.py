"""weir aside: events that did not fit, listed, shown, exported, dropped and replayed; with the agent running and stopped.

usage: aside_test.py WEIR
WEIR_KILLS: how often an agent is killed while it replays"""
import json
import os
import random
import re
import shutil
import socket
import sqlite3
import struct
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, run, weir, write

BAD = [("/typed/a", '{"k":"a","n":"no number"}'), ("/typed/b", '{"n":1}'), ("/typed/c", '{"k":"c","n":1.5,"x":"\\u00e4"}')]


def site(folder, **stream):
    os.makedirs(path_of(folder), exist_ok=True)
    c = configuration(free_port())
    c["buffer"] = {"path": path_of(folder, "buffer.db"), "size_max": "32 MiB", "commit_interval": "5 ms"}
    c["streams"]["typed"].update(stream)
    c["drivers"]["post"]["routes"] = [{"topic": "typed/#", "stream": "typed"}]
    c["uplinks"] = {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}", "from": "oldest"}}
    return c


class Aside:
    def __init__(self, agent):
        self.agent = agent

    def __call__(self, *words, stdin=None):
        return run("aside", *words, "--buffer", self.agent.buffer, stdin=stdin)

    def ids(self, *words):
        r = self("ls", "--json", *words)
        check(f"ls {words}", r.returncode == 0, r.stderr)
        return [json.loads(line)["id"] for line in r.stdout.splitlines()]


def offer(agent):
    for path, body in BAD:
        status, answer = agent.post(path, body)
        check("set aside", status == 200 and answer["stored"] == 0 and len(answer["aside"]) == 1, str(answer))
    agent.post("/nowhere", "{}")
    agent.post("/typed/raw", b"\x00\xff{")


def looks(aside, how):
    lines = [json.loads(line) for line in aside("ls", "--json").stdout.splitlines()]
    check(f"{how}: all are there", [a["id"] for a in lines] == [1, 2, 3, 4, 5], str(lines))
    first, last = lines[0], lines[4]
    check(f"{how}: what is known of it", first["stream"] == "typed" and first["kind"] == "payload" and first["driver"] == "post" and
          first["subject"] == "typed/a" and first["source"].startswith("http 127.0.0.1") and not first["cut"] and first["body"] == BAD[0][1] and
          first["body_is"] == "text" and first["size"] == len(BAD[0][1]) and "number" in first["reason"], str(first))
    check(f"{how}: no route", lines[3]["stream"] == "" and "no route" in lines[3]["reason"], str(lines[3]))
    check(f"{how}: bytes that are no text", last["body_is"] == "hex" and last["body"] == "00ff7b", str(last))
    table = aside("ls").stdout.splitlines()
    check(f"{how}: a table", table[0].split()[:4] == ["ID", "TIME", "STREAM", "KIND"] and len(table) == 6, str(table))
    check(f"{how}: no JSON for people", table[1].split()[0] == "1" and "no number" not in table[0] and "{" not in table[0])
    out = subprocess.run([weir, "aside", "cat", "--id", "1..3", "--buffer", aside.agent.buffer], capture_output=True, timeout=60).stdout
    check(f"{how}: the bytes as they came", out == "".join(body + "\n" for _, body in BAD).encode(), str(out))
    out = subprocess.run([weir, "aside", "cat", "--id", "5", "--buffer", aside.agent.buffer], capture_output=True, timeout=60).stdout
    check(f"{how}: any bytes", out == b"\x00\xff{\n", str(out))
    check(f"{how}: by id", aside.ids("--id", "2") == [2] and aside.ids("--id", "2..") == [2, 3, 4, 5] and aside.ids("--id", "6..9") == [])
    check(f"{how}: by stream", aside.ids("--stream", "typed") == [1, 2, 3, 5])
    check(f"{how}: by reason", aside.ids("--reason", "no route") == [4])
    check(f"{how}: so many", aside.ids("--count", "2") == [1, 2])
    check(f"{how}: by time", aside.ids("--since", "2026-01-01") == [1, 2, 3, 4, 5] and aside.ids("--until", "2026-01-01") == [])
    time_of = lines[2]["time"]
    check(f"{how}: from then on", aside.ids("--since", time_of) == [3, 4, 5] and aside.ids("--until", time_of) == [1, 2, 3])


def export(aside, how):
    name = path_of(f"{how}.avro")
    r = aside("export", name)
    check(f"{how}: exported", r.returncode == 0 and "5 set-aside events were exported" in r.stderr and not os.path.exists(name + ".part"), r.stderr)
    rows = [json.loads(line) for line in run("avro", "cat", name).stdout.splitlines()]
    check(f"{how}: as a container", [row["id"] for row in rows] == [1, 2, 3, 4, 5], str(rows)[:300])
    check(f"{how}: its record", rows[0]["driver"] == {"string": "post"} and rows[0]["subject"] == {"string": "typed/a"} and rows[0]["kind"] == "payload" and
          rows[0]["body"] == BAD[0][1] and rows[0]["sequence"] is None and rows[0]["schema"] is None and rows[4]["body"] == "\x00\xff{", str(rows[0]))
    r = aside("export", name)
    check(f"{how}: never over a file", r.returncode == 2 and "is there already" in r.stderr, r.stderr)
    out = subprocess.run([weir, "aside", "export", "-", "--id", "3", "--buffer", aside.agent.buffer], capture_output=True, timeout=60).stdout
    check(f"{how}: on standard output", out[:4] == b"Obj\x01" and b"weir" in out)
    r = aside("export", path_of("no", "such", "folder"))
    check(f"{how}: a folder that is not there", r.returncode == 3 and "can't write" in r.stderr, r.stderr)
    check(f"{how}: none of them", aside("export", path_of(f"{how}.none.avro"), "--id", "77").returncode == 0 and run("avro", "cat", path_of(f"{how}.none.avro")).stdout == "")
    check(f"{how}: a file is named", aside("export").returncode == 2)


def test_looking():
    agent = Agent(site("look")).start()
    aside = Aside(agent)
    offer(agent)
    looks(aside, "running")
    export(aside, "running")
    agent.stop()
    looks(aside, "stopped")
    export(aside, "stopped")


def test_dropping():
    agent = Agent(site("drop")).start()
    aside = Aside(agent)
    offer(agent)
    r = aside("drop", "--id", "2", stdin="")
    check("without a terminal it has to be said", r.returncode == 2 and "1 events that were set aside would be dropped" in r.stderr and "--yes" in r.stderr, r.stderr)
    check("nothing is gone", aside.ids() == [1, 2, 3, 4, 5])
    r = aside("drop", "--id", "2", "--yes")
    check("one is dropped", r.returncode == 0 and "1 set-aside events were dropped" in r.stdout, r.stdout + r.stderr)
    check("it alone", aside.ids() == [1, 3, 4, 5] and agent.status()["aside"] == 4, str(agent.status()["aside"]))
    r = aside("drop", "--stream", "typed", "--reason", "null", "--yes", "--json")
    check("by the reason, none has it", json.loads(r.stdout) == {"dropped": 0}, r.stdout)
    agent.process.kill()
    agent.process.wait()
    check("after a crash it is as it was", aside.ids() == [1, 3, 4, 5])
    r = aside("drop", "--stream", "typed", "--yes", "--json")
    check("with the agent stopped", r.returncode == 0 and json.loads(r.stdout) == {"dropped": 3}, r.stdout + r.stderr)
    check("one stays", aside.ids() == [4])
    check("the file is whole", run("buffer", "verify", "--buffer", agent.buffer).returncode == 0)
    agent.start()
    check("and its count", agent.status()["aside"] == 1)
    for n in range(150):
        agent.post("/typed/a", json.dumps({"k": f"{n}", "n": "x" * 3000}))
    check("many are there", agent.status()["aside"] == 151)
    r = aside("drop", "--yes", "--count", "100")
    check("many are dropped", "100 set-aside events were dropped" in r.stdout and agent.status()["aside"] == 51, r.stdout + r.stderr)
    agent.stop()


def test_what_is_cut():
    agent = Agent(site("cut")).start()
    aside = Aside(agent)
    agent.post("/typed/a", json.dumps({"k": "a", "n": 1, "t": "x" * 100000}))
    line = json.loads(aside("ls", "--json").stdout)
    check("a large one is cut", line["cut"] and line["size"] > 100000 and len(line["body"]) == 65536, str(line)[:200])
    r = aside("cat")
    check("and it is said", "only the first 64 KiB were kept" in r.stderr, r.stderr)
    check("in the table too", re.search(r"\d!", aside("ls").stdout))
    agent.stop()


def test_rights():
    """Whoever may connect may look; what takes events out, or changes them, is for root and the agent's own user."""
    if os.geteuid() != 0:
        print("rights: needs root, because it needs two users")
        return
    agent = Agent(widened(site("rights"))).start()
    agent.post("/typed/a", "{}")
    os.chmod(path_of(), 0o755)
    os.chmod(path_of("rights"), 0o755)
    binary = path_of("weir")
    shutil.copy(weir, binary)   # where the other user may read it
    for words, code in [(["ls"], 0), (["cat"], 0), (["export", "-"], 3), (["drop", "--yes"], 3), (["replay"], 3)]:
        r = subprocess.run([binary, "aside", *words, "--buffer", agent.buffer], capture_output=True, text=True, user=65534, group=os.getegid(), extra_groups=[])
        check(f"another user: {words[0]}", r.returncode == code and (code == 0 or "is for root and for the user that the agent runs as" in r.stderr), f"{r.returncode} {r.stderr}")
    check("nothing happened", agent.status()["aside"] == 1)
    agent.stop()


def test_usage():
    for words in [["ls", "--id", "0"], ["ls", "--id", "x"], ["ls", "--id", "3..1"], ["cat", "--reason", ""], ["drop", "--from-seq", "1"], ["look"],
                  ["ls", "--stream", "none"]]:
        r = run("aside", *words, "--buffer", path_of("look", "buffer.db"))
        check(f"aside {words}", r.returncode == 2 and r.stderr, r.stderr)


def widened(config):
    """The same site with a schema that takes more, and a route for what none took."""
    c = json.loads(json.dumps(config))
    c["streams"]["typed"]["schema"] = write("wider.avsc", json.dumps({"type": "record", "name": "Typed", "fields": [
        {"name": "k", "type": "string", "default": ""}, {"name": "n", "type": "double"}, {"name": "t", "type": ["null", "double"], "default": None}]}))
    c["drivers"]["post"]["routes"].append({"topic": "#", "stream": "raw"})
    return c


def test_replay():
    config = site("replay")
    agent = Agent(config).start()
    aside = Aside(agent)
    offer(agent)
    lines = {a["id"]: a for a in map(json.loads, aside("ls", "--json").stdout.splitlines())}
    r = aside("replay", "--json")
    answer = json.loads(r.stdout)
    check("nothing fits yet", r.returncode == 1 and answer["replayed"] == 0 and answer["unfit"] == 5 and sum(x["count"] for x in answer["reasons"]) == 5, r.stdout)
    check("and everything stays", aside.ids() == [1, 2, 3, 4, 5])
    agent.stop()
    r = aside("replay")
    check("an agent has to run", r.returncode == 2 and "the agent has to run" in r.stderr, r.stderr)
    agent = Agent(widened(config)).start()
    r = aside("replay", "--id", "3", "--json")
    check("one of them", r.returncode == 0 and json.loads(r.stdout) == {"replayed": 1, "unfit": 0, "reasons": []}, r.stdout + r.stderr)
    check("it is one no more", aside.ids() == [1, 2, 4, 5])
    r = aside("replay")
    check("all of them", r.returncode == 1 and "2 set-aside events were replayed\n2 still do not fit, and stay:" in r.stdout and
          re.search(r'1  field "n": .*no number', r.stdout), r.stdout + r.stderr)
    check("what does not fit stays", aside.ids() == [1, 5])
    typed = agent.stored("typed")
    check("the rest are events", [e["event"]["n"] for e in typed] == [1.5, 1] and [e["event"]["k"] for e in typed] == ["c", ""], str(typed))
    check("of the time when they came", [e["time"] for e in typed] == [lines[3]["event_time"], lines[2]["event_time"]], str((typed, lines)))
    check("by the new route", len(agent.stored("raw")) == 1 and "nowhere" in json.dumps(agent.stored("raw")), str(agent.stored("raw")))
    status = agent.status()
    check("counted", status["drivers"]["post"]["replayed"] == 3 and status["aside"] == 2, str(status["drivers"]["post"]))
    agent.stop()
    config["drivers"] = {"other": dict(config["drivers"]["post"])}
    agent = Agent(config)
    agent.start()
    r = aside("replay", "--json")
    check("its driver is gone", json.loads(r.stdout)["reasons"] == [{"count": 2, "reason": 'there is no driver "post" any more'}], r.stdout + r.stderr)
    agent.stop()


def test_replay_of_what_is_cut():
    agent = Agent(widened(site("short"))).start()
    aside = Aside(agent)
    agent.post("/typed/a", json.dumps({"k": "a", "t": "x", "s": "x" * 100000}))
    r = aside("replay", "--json")
    check("a part is no event", json.loads(r.stdout) == {"replayed": 0, "unfit": 1, "reasons": [{"count": 1, "reason": "only a part of it was kept"}]}, r.stdout)
    agent.stop()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def zigzag(n):
    n, out = n * 2 if n >= 0 else -n * 2 - 1, b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def refused(buffer, id, uplink, schema, n, time_us):
    """The row becomes a datum that a destination refused, as the agent would have stored it: its head says the time, and that it is complete."""
    head = bytes([1, 1, 2]) + zigzag(time_us) + bytes(5)
    datum = zigzag(2) + b"d" + b"%d" % n + zigzag(n) + b"\x00"
    body = bytes([len(head)]) + head + datum
    columns = (1, 100 + n, uplink, 1 | 32, schema, len(datum))      # stream, sequence, uplink, kind, schema, size
    with sqlite3.connect(buffer) as db:
        t, = db.execute("SELECT t FROM aside WHERE id=?", (id,)).fetchone()
        crc = crc32c(struct.pack("<7q", t, *columns) + body)
        db.execute("UPDATE aside SET stream=?,seq=?,uplink=?,kind=?,schema=?,size=?,source='cloud',reason='too large',crc=?,body=? WHERE id=?",
                   (*columns, crc, body, id))
    db.close()


def test_replay_of_what_a_destination_refused():
    config = site("refused")
    config["uplinks"]["other"] = dict(config["uplinks"]["cloud"])
    agent = Agent(config).start()
    aside = Aside(agent)
    agent.post("/typed/a", json.dumps({"k": "first", "n": 0}))
    for _ in range(5):
        agent.post("/typed/a", "{}")
    agent.stop()
    with sqlite3.connect(agent.buffer) as db:
        stream, = db.execute("SELECT id FROM stream WHERE name='typed'").fetchone()
        schema, = db.execute("SELECT id FROM schema WHERE stream=?", (stream,)).fetchone()
        cloud, = db.execute("SELECT id FROM uplink WHERE name='cloud'").fetchone()
    db.close()
    check("the first stream", stream == 1, str(stream))
    time_us = 1767225600000000 + 123456
    for id, uplink, of in [(1, cloud, schema), (2, cloud, schema), (3, cloud, schema), (4, 77, schema), (5, cloud, 999)]:
        refused(agent.buffer, id, uplink, of, id, time_us)
    check("the rows are whole", run("buffer", "verify", "--buffer", agent.buffer).returncode == 0)
    line = json.loads(aside("ls", "--json", "--id", "2").stdout)
    check("it is shown by its schema", line["kind"] == "datum" and line["event"] == {"k": "d2", "n": 2, "t": None} and line["sequence"] == 102 and
          line["event_time"].startswith("2026-01-01T00:00:00.123456"), str(line))
    name = path_of("refused.avro")
    aside("export", name, "--id", "2")
    row = json.loads(run("avro", "cat", name).stdout)
    check("exported with its schema", json.loads(row["schema"]["string"])["name"] == "Typed" and row["sequence"] == {"long": 102}, str(row))

    def owed():
        streams = json.loads(run("buffer", "ls", "--json", "--buffer", agent.buffer).stdout)["streams"]
        return next(s["owed"] for s in streams if s["name"] == "typed")
    agent.start()
    check("both are owed the one event", owed() == {"cloud": 1, "other": 1}, str(owed()))
    r = aside("replay", "--json")
    answer = json.loads(r.stdout)
    check("three are replayed", r.returncode == 1 and answer["replayed"] == 3 and answer["unfit"] == 2 and
          sorted(x["reason"] for x in answer["reasons"]) == ["its schema is not known any more", "uplink cloud does not carry stream typed any more"], r.stdout)
    check("the two stay", aside.ids() == [4, 5])
    check("owed to the one that refused them", owed() == {"cloud": 4, "other": 1}, str(owed()))
    events = agent.stored("typed")
    check("as they were", [(e["sequence"], e["event"]["k"]) for e in events] == [(1, "first"), (2, "d1"), (3, "d2"), (4, "d3")] and
          all(e["time"].startswith("2026-01-01T00:00:00.123456") for e in events[1:]), str(events))
    agent.post("/typed/a", json.dumps({"k": "last", "n": 9}))
    agent.process.kill()
    agent.process.wait()
    check("after a crash, too", owed() == {"cloud": 5, "other": 2} and aside.ids() == [4, 5], str(owed()))


def replayed(agent):
    """Asked without a program between, which takes longer than the replay."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(agent.socket)
        s.sendall(b"status\n")
        text = b""
        while not text.endswith(b"\n"):
            text += s.recv(65536)
    return json.loads(text)["drivers"]["post"]["replayed"]


def test_killed_while_it_replays():
    """Each event is set aside, or an event, and never both, wherever the agent is killed."""
    count, kills = 1000, int(os.environ.get("WEIR_KILLS", "5"))
    names = [f"{n}" + "x" * (20000 if 400 <= n < 440 else 0) for n in range(count)]     # the large ones fill a commit, and have to wait for the next
    config = site("kill")
    agent = Agent(config).start()
    aside = Aside(agent)
    for first in range(0, count, 250):
        agent.post("/typed/a", "\n".join(json.dumps({"k": names[n], "n": n + 0.5}) for n in range(first, first + 250)))
    check("all are set aside", agent.status()["aside"] == count, str(agent.status()["aside"]))
    agent.stop()
    agent = Agent(widened(config))
    chance = random.Random(7)
    between = 0

    def both():
        held = [json.loads(a["body"])["k"] for a in map(json.loads, aside("ls", "--json").stdout.splitlines())]
        events = [e["event"]["k"] for e in agent.stored("typed")] if run("buffer", "ls", "--buffer", agent.buffer).stdout.count("typed") else []
        return held, events
    for kill in range(kills):
        agent.start()
        before = len(aside.ids())
        replay = subprocess.Popen([weir, "aside", "replay", "--buffer", agent.buffer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = chance.randrange(1, max(2, before * (kill + 1) // kills))
        while replay.poll() is None and replayed(agent) < until:
            pass
        agent.process.kill()
        agent.process.wait()
        replay.wait()
        held, events = both()
        check(f"kill {kill}: none is lost", len(set(held) | set(events)) == count, str(len(set(held) | set(events))))
        check(f"kill {kill}: none is there twice", len(held) + len(events) == count, str((len(held), len(events))))
        between += 0 < len(held) < count
    check("some kills came in between", between > 0, str(between))
    agent.start()
    r = aside("replay", "--json")
    held, events = both()
    check("then all are events", r.returncode == 0 and not held and sorted(events) == sorted(names), r.stdout + r.stderr)
    agent.stop()
    check("the file is whole", run("buffer", "verify", "--buffer", agent.buffer).returncode == 0)


def test_replay_beside_a_drop():
    """Each event is replayed or dropped, whoever comes first: the other one has to wait."""
    count = 1000
    config = site("beside")
    agent = Agent(config).start()
    aside = Aside(agent)
    for first in range(0, count, 250):
        agent.post("/typed/a", "\n".join(json.dumps({"k": f"{n}", "n": n + 0.5}) for n in range(first, first + 250)))
    agent.stop()
    agent = Agent(widened(config)).start()
    replay = subprocess.Popen([weir, "aside", "replay", "--json", "--buffer", agent.buffer], stdout=subprocess.PIPE, text=True)
    dropped = refused = 0
    while replay.poll() is None:
        r = aside("drop", "--yes", "--json", "--count", "100", "--id", f"{count // 2}..{count}")
        dropped += json.loads(r.stdout)["dropped"] if r.returncode == 0 else 0
        refused += "is under way" in r.stderr
    answer = replay.communicate()[0]
    done = json.loads(answer)["replayed"] if answer else 0
    left = agent.status()["aside"]
    check("each is replayed, dropped, or still there", done + dropped + left == count and len(agent.stored("typed")) == done, (done, dropped, left, refused))
    agent.stop()


def test_replay_under_a_schema_that_grows():
    """Each event brings a field: it waits for the schema, with no other event that would wake it."""
    config = site("grow", unknown_fields="set_aside")
    config["buffer"]["commit_interval"] = "1 min"
    agent = Agent(config).start()
    aside = Aside(agent)
    for n in range(5):
        agent.post("/typed/a", json.dumps({"k": f"{n}", "n": n, f"more{n}": n}))
    check("all are set aside", agent.status()["aside"] == 5)
    config["streams"]["typed"]["unknown_fields"] = "extend"
    write(os.path.basename(agent.path), json.dumps(config))
    r = run("reload", "--buffer", agent.buffer)
    check("extend from now on", r.returncode == 0, r.stdout + r.stderr)
    r = aside("replay", "--json")
    check("all are replayed", json.loads(r.stdout) == {"replayed": 5, "unfit": 0, "reasons": []}, r.stdout + r.stderr)
    agent.stop()
    check("with their fields", [e["event"][f"more{n}"] for n, e in enumerate(agent.stored("typed"))] == [{"long": n} for n in range(5)], agent.stored("typed"))


test_looking()
test_dropping()
test_replay()
test_replay_of_what_is_cut()
test_replay_of_what_a_destination_refused()
test_killed_while_it_replays()
test_replay_beside_a_drop()
test_replay_under_a_schema_that_grows()
test_what_is_cut()
test_rights()
test_usage()
finish()
