"""The program from outside, as a user sees it: commands, exit codes, texts; a run that is killed and loses nothing, told twice nothing.

usage: program_test.py WEIR"""
import glob
import http.client
import http.server
import json
import os
import resource
import signal
import socket
import subprocess
import threading

from program import Agent, PATIENCE, check, configuration, finish, free_port, path_of, run, wait_until, weir, work, write


def test_usage():
    check("no command is bad usage", run().returncode == 2)
    check("help is fine", run("--help").returncode == 0 and "weir run" in run("--help").stdout)
    check("unknown command", run("fly").returncode == 2)
    check("help of a command", run("buffer", "--help").returncode == 0)
    check("version", run("version").stdout.startswith("weir "))
    check("no agent is a negative answer", run("status", "--socket", os.path.join(work, "none.sock")).returncode == 1)


def test_schema_and_avro():
    schema = write("t.avsc", '{"type": "record", "name": "T", "namespace": "w", "fields": [{"name": "a", "type": "long"}]}')
    r = run("schema", "canonical", schema)
    check("canonical", r.stdout == '{"name":"w.T","type":"record","fields":[{"name":"a","type":"long"}]}\n', r.stdout)
    r = run("schema", "fingerprint", schema)
    check("fingerprints", r.stdout.splitlines()[0] == "CRC-64-AVRO d19578617c563a10" and len(r.stdout.splitlines()) == 3, r.stdout)
    bad = write("bad.avsc", '{"type": "record", "name": "T", "fields": [{"name": "a", "type": "lonk"}]}')
    r = run("schema", "canonical", bad)
    check("an invalid schema names the place", r.returncode == 2 and "/fields/0/type" in r.stderr, r.stderr)
    value = write("v.json", '{"a": -3}')
    datum = subprocess.run([weir, "avro", "encode", schema, value], capture_output=True).stdout
    check("encode", datum == b"\x05", datum)
    path = os.path.join(work, "v.bin")
    with open(path, "wb") as f:
        f.write(datum)
    check("decode", run("avro", "decode", schema, path).stdout == '{"a":-3}\n')
    with open(path, "ab") as f:
        f.write(b"x")
    check("bytes left over", run("avro", "decode", schema, path).returncode == 2)


def test_check():
    good = configuration(8080)
    check("a good file", run("check", write("good.json", json.dumps(good))).returncode == 0)
    for what, change, place in [
            ("unknown key", lambda c: c["streams"]["raw"].update(priorty=3), "$.streams.raw.priorty"),
            ("unit missing", lambda c: c["buffer"].update(size_max="32"), "$.buffer.size_max"),
            ("schema missing", lambda c: c["streams"]["typed"].update(schema="none.avsc"), "$.streams.typed.schema"),
            ("key is no field", lambda c: c["streams"]["typed"].update(key="nope"), "$.streams.typed.key"),
            ("unknown stream", lambda c: c["drivers"]["post"]["routes"][0].update(stream="nope"), "nope"),
            ("unknown type", lambda c: c["uplinks"]["files"].update(type="carrier-pigeon"), "$.uplinks.files")]:
        wrong = configuration(8080)
        change(wrong)
        path = write("wrong.json", json.dumps(wrong, indent=1))
        r = run("check", path)
        check(f"check: {what}", r.returncode == 1 and place in r.stderr and r.stderr.startswith(path + ":"), r.stderr)
        check(f"run: {what}", run("run", path).returncode == 2)
    secret = write("secret", "hush-hush\n")
    os.chmod(secret, 0o600)
    c = configuration(8080)
    c["uplinks"]["cloud"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}",
                             "sasl": {"mechanism": "PLAIN", "user": "u", "password": "${file:" + secret + "}"}}
    r = run("config", "show", write("secret.json", json.dumps(c)))
    check("secrets are not shown", r.returncode == 0 and "hush" not in r.stdout and "***" in r.stdout, r.stderr)


def test_warnings():
    """What is right but has its price: told with its place, and refuses nothing."""
    c = configuration(free_port())
    c["streams"]["raw"]["when_full"] = "block"
    c["drivers"]["broker"] = {"type": "mqtt", "url": "mqtt://127.0.0.1:1", "protocol": "3.1.1",
                              "routes": [{"topic": "t", "stream": "typed"}, {"topic": "r", "stream": "raw"}]}
    c["uplinks"]["cloud"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t", "timestamp": "event"}
    path = write("priced.json", json.dumps(c, indent=1))
    r = run("check", path)
    lines = r.stderr.splitlines()
    check("warnings do not change the exit code", r.returncode == 0 and r.stdout == f"{path}: no mistakes; warnings: 3\n", r.stdout)
    check("a line each, with its place", len(lines) == 3 and all(line.startswith(path + ":") for line in lines), r.stderr)
    check("one for the line that all its streams share", ": $.drivers.broker: warning: " in lines[0] and '"raw"' in lines[0], r.stderr)
    check("one for 3.1.1", ": $.drivers.broker.protocol: warning: 3.1.1 costs more commits" in lines[1], r.stderr)
    check("one for stamps that brokers delete by", ": $.uplinks.cloud.timestamp: warning: " in lines[2], r.stderr)
    agent = Agent(c, "priced.json").start()
    agent.stop()
    check("logged at start", all(line[line.index("$."):] in agent.log() for line in lines), agent.log())


def test_bad_events_never_stop_good_ones(agent):
    for body, reason in [('{"k": "a", "n": "abc"}', 'field "n"'), ('{"k": "a", "n": 1e30}', 'field "n"'), ('{"n": 1}', 'field "k"'),
                         ('{"k": "a", "n": 1, "n": 2}', "the object has already"), ('{"k": "a", "n": 1, "t": {}}', 'field "t"'), ('{"k": "a", "n": 1.5}', 'field "n"')]:
        status, answer = agent.post("/typed", body)
        aside = answer.get("aside") or [{}]
        check(f"set aside: {body}", status == 200 and reason in aside[0].get("error", ""), str((status, answer)))
        status, answer = agent.post("/typed", '{"k": "a", "n": 1, "t": 21.5}')
        check("the next one is stored", status == 200 and answer["stored"] == 1, str(answer))
    status, answer = agent.post("/typed", '[{"k": "a", "n": 1},')
    check("what can't be split is refused whole", status == 400, str(answer))
    listing = run("aside", "ls", "--json", "--buffer", os.path.join(work, "d", "buffer.db")).stdout.splitlines()
    check("set-aside events are visible", len(listing) >= 4 and all("reason" in json.loads(line) for line in listing), str(len(listing)))


def read_out():
    events = []
    for path in sorted(glob.glob(os.path.join(work, "out", "raw", "**", "*.avro"), recursive=True)):
        r = run("avro", "cat", path)
        check("the file is whole", r.returncode == 0, r.stderr)
        events += [json.loads(json.loads(line)["body"])["n"] for line in r.stdout.splitlines()]
    return events


def test_killed_and_once(agent):
    acknowledged, n = [], 0
    for life in range(6):
        for _ in range(40):
            n += 1
            try:
                status, answer = agent.post("/number", json.dumps({"n": n}))
            except (OSError, http.client.HTTPException):
                status = 0 # no answer: it may be stored or not, but not twice
            if status == 200:
                acknowledged.append(n)
        agent.process.kill()
        agent.process.wait()
        listing = run("buffer", "ls", "--buffer", os.path.join(work, "d", "buffer.db"), "--json")
        check("the buffer of a stopped agent", listing.returncode == 0 and json.loads(listing.stdout)["streams"], listing.stderr)
        agent.start()
    check("all is delivered", wait_until(lambda: not agent.status()["backlog"]), str(agent.status()["backlog"]))
    # The last file is finished by its age.
    check("and the files are finished", wait_until(lambda: not glob.glob(os.path.join(work, "out", "raw", "**", "*.part"), recursive=True)))
    check("SIGTERM ends in order", agent.stop() == 0)
    events = read_out()
    check("every acknowledged event", set(acknowledged) <= set(events), str(sorted(set(acknowledged) - set(events))[:5]))
    check("once, in order", events == sorted(set(events)), str(len(events)))


def test_a_buffer_in_use():
    """An agent waits for a command that reads its buffer, but not for another agent."""
    c = configuration(free_port())
    c["buffer"]["path"] = path_of("held", "buffer.db")
    c["uplinks"] = {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t"}}
    agent = Agent(c, "held.json").start()
    status, answer = agent.post("/raw", "\n".join(json.dumps({"n": n, "text": "x" * 100}) for n in range(4000)))
    check("kept, since there is no broker", status == 200 and answer["stored"] == 4000, str(answer))
    agent.stop()
    reader = subprocess.Popen([weir, "buffer", "cat", "raw", "--buffer", agent.buffer], stdout=subprocess.PIPE)
    reader.stdout.readline()  # it is at work, and stays so until the pipe is emptied
    late = Agent(c, "held.json")
    starter = threading.Thread(target=late.start)
    starter.start()
    waiting = "Waiting for it, 10 s at most"
    check("it waits, and says so", wait_until(lambda: waiting in late.log()), late.log())
    check("the reader gets all", len(reader.stdout.readlines()) == 3999 and reader.wait(PATIENCE) == 0)
    starter.join()
    check("said once", late.log().count(waiting) == 1 and "another process has it open" in late.log(), late.log())
    check("what is read while it runs comes from it", len(late.stored("raw")) == 4000)
    second = run("run", late.path)
    check("a second agent is refused", second.returncode == 3 and second.stderr.count("another process has it open") == 2, second.stderr)
    check("the first goes on", late.stop() == 0)


def test_waiting_for_its_buffer():
    """An agent whose buffer can't be written yet says so when it is asked, and leaves the file to the tools."""
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

    c = configuration(free_port())
    c["buffer"]["path"] = path_of("w", "buffer.db")
    waiting = Agent(c, "waiting.json")
    waiting.process = subprocess.Popen([weir, "run", waiting.path], stderr=subprocess.PIPE, text=True, preexec_fn=limited)
    ask = ("status", "--socket", waiting.socket)
    check("it is seen", wait_until(lambda: "is waiting for its buffer" in run(*ask).stdout), str(run(*ask)))
    r, as_json = run(*ask), run(*ask, "--json")
    check("with the reason", r.returncode == 1 and f"{c['buffer']['path']}: a file may not be so large" in r.stdout and "agent t," in r.stdout, str(r))
    check("as JSON", as_json.returncode == 1 and json.loads(as_json.stdout)["state"] == "waiting", str(as_json))
    r = run("buffer", "compact", "--buffer", c["buffer"]["path"])
    check("a tool finds no agent", "an agent has this buffer" not in r.stderr, str(r))
    resource.prlimit(waiting.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    check("it goes on", wait_until(lambda: run(*ask).returncode == 0), str(run(*ask)))
    check("and is not seen to wait any more", waiting.status()["state"] == "running" and not os.path.exists(waiting.socket + ".waiting"))
    check("it stops in order", waiting.stop() == 0, waiting.process.stderr.read()[-1000:])


class Receiver(http.server.BaseHTTPRequestHandler):
    bodies = []

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def test_an_uplink_of_another_type():
    """What was being sent when an uplink got another type goes out by the new one, once, and the log says so."""
    c = configuration(free_port())
    c["buffer"]["path"] = path_of("retyped", "buffer.db")
    c["streams"]["typed"]["priority"] = 7
    c["uplinks"] = {"cloud": {"type": "pubsub", "project": "p", "topic": "{stream}", "endpoint": "http://127.0.0.1:1", "layout": "rows",
                              "partition_by": "key"}}
    agent = Agent(c, "retyped.json").start()
    status, answer = agent.post("/typed", '{"k": "m1", "n": 1}')     # in another partition than the first
    check("stored", status == 200 and answer["stored"] == 1, str(answer))
    check("on record, and tried", wait_until(lambda: agent.status()["uplinks"]["cloud"]["retried"] > 0))
    agent.process.kill()
    agent.process.wait()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    c["uplinks"]["cloud"] = {"type": "http", "url": f"http://127.0.0.1:{receiver.server_port}/{{stream}}"}
    agent = Agent(c, "retyped.json").start()
    cloud = lambda: agent.status()["uplinks"]["cloud"]
    check("it is delivered", wait_until(lambda: cloud()["owed"].get("typed", 0) == 0), str(cloud()))
    check("once", [json.loads(b)["k"] for b in Receiver.bodies if b'"m1"' in b] == ["m1"], str(Receiver.bodies))
    check("counted", cloud()["in_doubt"] >= 1, str(cloud()))
    check("and said", "stream typed: 1..1 were being sent when this uplink had another type (pubsub" in agent.log(), agent.log()[-1000:])
    agent.stop()
    receiver.shutdown()


def test_ended_while_a_broker_is_silent():
    """What a connection has sent is counted when it is closed, at the very end too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        c = configuration(free_port())
        c["buffer"]["path"] = path_of("silent", "buffer.db")
        c["links"] = {"modem": {"metered": True}}
        c["uplinks"] = {"cloud": {"type": "kafka", "brokers": [f"127.0.0.1:{silent.getsockname()[1]}"], "topic": "t", "link": "modem"}}
        agent = Agent(c, "silent.json").start()
        agent.post("/raw", '{"text": "x"}')
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        connection.settimeout(PATIENCE)
        check("it asks the broker", len(connection.recv(1024)) > 0)
        check("it stops in order", agent.stop() == 0, agent.log()[-1000:])
        connection.close()


test_usage()
test_schema_and_avro()
test_check()
test_warnings()
agent = Agent(configuration(free_port())).start()
test_bad_events_never_stop_good_ones(agent)
test_killed_and_once(agent)
test_a_buffer_in_use()
test_waiting_for_its_buffer()
test_an_uplink_of_another_type()
test_ended_while_a_broker_is_silent()
finish()
