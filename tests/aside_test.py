"""weir aside: events that did not fit, listed, shown, exported and dropped; with the agent running and stopped.

usage: aside_test.py WEIR"""
import json
import os
import re
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, run, weir

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


def test_usage():
    for words in [["ls", "--id", "0"], ["ls", "--id", "x"], ["ls", "--id", "3..1"], ["cat", "--reason", ""], ["drop", "--from-seq", "1"], ["look"],
                  ["ls", "--stream", "none"]]:
        r = run("aside", *words, "--buffer", path_of("look", "buffer.db"))
        check(f"aside {words}", r.returncode == 2 and r.stderr, r.stderr)


test_looking()
test_dropping()
test_what_is_cut()
test_usage()
finish()
