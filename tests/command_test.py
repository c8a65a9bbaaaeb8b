"""The command line: usage, help, exit codes, texts that say what, which one, what to do.

usage: command_test.py WEIR"""
import json
import os
import re
import signal
import subprocess
import time

from program import Agent, PATIENCE, check, configuration, finish, free_port, path_of, run, wait_until, weir, write


def expect(code, words, *texts, stdin=None, out=False):
    """The command ends with this code, and each of the texts is on stderr (on stdout with `out`)."""
    r = run(*words, stdin=stdin)
    shown = r.stdout if out else r.stderr
    name = "weir " + " ".join(os.path.basename(w) for w in words)
    check(f"{name}: exit code {code}", r.returncode == code, f"{r.returncode} {r.stderr}")
    for text in texts:
        check(f"{name}: says {text!r}", text in shown, shown)
    check(f"{name}: nothing on the other", not (r.stderr if out else r.stdout if code else ""), r.stdout + r.stderr)
    return r


def test_help():
    words = expect(0, ["--help"], "weir run [CONFIG]", "Exit codes: 0 fine, 1 a negative answer, 2 bad usage or bad input, 3 failed", out=True).stdout
    check("help is help", run("help").stdout == words and run("-h").stdout == words)
    for command in ["run", "check", "status", "buffer", "aside", "config", "avro", "columns", "schema", "version"]:
        text = expect(0, [command, "--help"], f"usage: weir {command}", out=True).stdout
        check(f"help {command}", run("help", command).stdout == text and run(command, "-h").stdout == text)
        check(f"{command} is listed", f"  weir {command}" in words)
    check("--help anywhere", run("buffer", "ls", "--help").stdout == run("buffer", "--help").stdout)
    check("nothing said: the same on stdout, exit code 2", run().returncode == 2 and run().stdout == words)
    version = expect(0, ["version"], "weir ", out=True).stdout
    check("--version", run("--version").stdout == version)


def test_misuse():
    for words in [["fly"], ["help", "fly"], ["--fly"], ["run", "a", "b"], ["run", "--fly"], ["check", "a", "b"], ["check", "--fly"], ["status", "x"],
                  ["status", "--socket"], ["buffer"], ["buffer", "fly"], ["buffer", "ls", "stream"], ["buffer", "ls", "--first", "1"], ["buffer", "cat"],
                  ["buffer", "cat", "a", "b"], ["buffer", "cat", "a", "--first", "0"], ["buffer", "cat", "a", "--first", "-1"],
                  ["buffer", "cat", "a", "--count", "1x"], ["buffer", "cat", "a", "--count", "99999999999999999999999"], ["aside"], ["aside", "ls", "x"],
                  ["config"], ["config", "fly"], ["config", "schema", "x"], ["config", "reference", "x"], ["config", "show", "a", "b"], ["avro"],
                  ["avro", "encode", "x"], ["avro", "decode", "x"], ["avro", "cat"], ["avro", "cat", "x", "--plain"],
                  ["avro", "encode", "x", "x", "--reader", "x"], ["avro", "decode", "x", "x", "--reader"], ["avro", "decode", "x", "x", "--plain"],
                  ["columns"], ["columns", "encode", "x"], ["columns", "encode", "x", "x", "--sequence", "-1"], ["columns", "encode", "x", "x", "--schema-id", "2147483648"],
                  ["columns", "decode", "x", "x", "--plain"], ["columns", "decode", "x", "x", "x"],
                  ["schema"], ["schema", "canonical"], ["schema", "fly", "x"],
                  ["version", "x"]]:
        expect(2, words, "weir")


def test_missing_files():
    none = path_of("none")
    expect(1, ["check", none], f"{none}:1:1: $: can't open {none}: No such file or directory")
    expect(2, ["run", none], f"{none}:1:1: $: can't open")
    expect(2, ["config", "show", none], f"{none}:1:1: $: can't open")
    expect(1, ["check", path_of()], "Is a directory")
    expect(1, ["status", "--socket", none], f"no agent answers at {none}", "--socket")
    expect(2, ["buffer", "ls", "--buffer", none], f"there is no buffer at {none}", "--buffer PATH")
    expect(2, ["aside", "ls", "--buffer", none], f"there is no buffer at {none}")
    for words in [["avro", "cat", none], ["avro", "encode", none, none], ["avro", "decode", none, none], ["schema", "canonical", none]]:
        expect(2, words, "No such file or directory")
    expect(3, ["avro", "cat", path_of()], "Is a directory")
    expect(3, ["buffer", "ls", "--buffer", write("no-database", "this is no database" * 1000)], "no-database")


def test_full_output():
    with open("/dev/full", "w") as full:
        for words in [["config", "reference"], ["config", "schema"], ["schema", "canonical", write("long.avsc", '"long"')]]:
            r = subprocess.run([weir, *words], stdout=full, stderr=subprocess.PIPE, text=True)
            check(f"{words[0]}: a full disk is told", r.returncode == 3 and "written" in r.stderr or "write" in r.stderr, r.stderr)


def container(schema, data, count):
    """An Avro container file with one block of fewer than 64 bytes."""
    def text(t):
        size, out = 2 * len(t), b""
        while size > 0x7f:
            out, size = out + bytes([size & 0x7f | 0x80]), size >> 7
        return out + bytes([size]) + t.encode()
    return b"Obj\x01\x02" + text("avro.schema") + text(schema) + b"\x00" + b"S" * 16 + bytes([2 * count, 2 * len(data)]) + data + b"S" * 16


def test_avro():
    schema = write("t.avsc", '{"type": "record", "name": "T", "fields": [{"name": "a", "type": "long"}]}')
    datum = subprocess.run([weir, "avro", "encode", schema, "-"], input=b'{"a": -3}', capture_output=True).stdout
    check("encode from standard input", datum == b"\x05", datum)
    for words in [["--plain", schema, "-"], [schema, "--plain", "-"], [schema, "-", "--plain"]]:
        r = subprocess.run([weir, "avro", "encode", *words], input=b'{"a": 3, "b": 1}', capture_output=True)
        check(f"encode {words}", r.stdout == b"\x06", r.stderr)
    reader = write("r.avsc", '{"type": "record", "name": "U", "aliases": ["T"], "fields": [{"name": "b", "type": ["null", "double"], "aliases": ["a"]},'
                             ' {"name": "c", "type": "string", "default": "x"}]}')
    other = write("o.avsc", '{"type": "record", "name": "T", "fields": [{"name": "b", "type": "long"}]}')
    one, many = write("one.bin", datum), write("many.avro", container('{"type":"record","name":"T","fields":[{"name":"a","type":"long"}]}', b"\x05\x06", 2))
    for words in [["decode", schema, one, "--reader", reader], ["decode", "--reader", reader, schema, one]]:
        r = expect(0, ["avro", *words], out=True)
        check(f"{words}", r.stdout == '{"b":{"double":-3.0},"c":"x"}\n', r.stdout)
    for words in [["cat", many, "--reader", reader], ["cat", "--reader", reader, many]]:
        r = expect(0, ["avro", *words], out=True)
        check(f"{words}", r.stdout == '{"b":{"double":-3.0},"c":"x"}\n{"b":{"double":3.0},"c":"x"}\n', r.stdout)
    expect(2, ["avro", "decode", schema, one, "--reader", other], f"{one}: byte 0: the writer's record T has no field b")
    expect(2, ["avro", "cat", many, "--reader", other], f"{many}: record 0 of a block: byte 0: the writer's record T has no field b")
    expect(2, ["avro", "decode", schema, one, "--reader", write("no.avsc", '{"type": "lonk"}')], "no.avsc: : unknown type")
    expect(2, ["avro", "cat", many, "--reader", path_of("no.avsc")], "no.avsc: : unknown type")
    expect(2, ["avro", "decode", schema, write("more.bin", b"\x05\x06"), "--reader", reader], "byte 1: 1 bytes are left over")
    for value in ['{"a": "x"}', '{"a": 1', "", '{"b": 1}', '{"a": 1} {"a": 2}', '{"a": 1, "a": 2}']:
        expect(2, ["avro", "encode", schema, "-"], "-: ", stdin=value)
    for text in ["", "{", '{"type": "record"}', '{"type": "lonk"}', "[]x", '{"type": "fixed", "name": "f", "size": -1}']:
        expect(2, ["schema", "canonical", "-"], "-: ", stdin=text)
    r = expect(0, ["schema", "fingerprint", schema], "CRC-64-AVRO ", "\nMD5 ", "\nSHA-256 ", out=True)
    check("three lines", len(r.stdout.splitlines()) == 3)
    damaged = write("damaged.avro", b"Obj\x01 this is no container")
    expect(2, ["avro", "cat", damaged], damaged)


def test_columns():
    schema = write("c.avsc", '{"type": "record", "name": "C", "fields": [{"name": "a", "type": "long"}, {"name": "b", "type": ["null", "string"], "weir.values": ["on"]}]}')
    lines = "".join('{"a":%d,"b":%s}\n' % (i, '{"string":"%s"}' % "on" * (i % 3 > 0) or "null") for i in range(3000))
    plain = lines.replace('{"string":"on"}', '"on"').rstrip("\n")
    batches = [subprocess.run([weir, "columns", "encode", schema, "-", *words], input=text.encode(), capture_output=True)
               for words, text in [(["--sequence", "7", "--schema-id", "1"], lines), (["--plain", "--sequence=7", "--schema-id=1"], plain)]]
    check("a batch of lines, of payloads the same", batches[0].stdout == batches[1].stdout and 0 < len(batches[0].stdout) < 10000, batches)
    decoded = expect(0, ["columns", "decode", schema, write("c.bin", batches[0].stdout)], out=True)
    check("the lines come back", decoded.stdout == lines, decoded.stdout[:200])
    expect(2, ["columns", "decode", schema, write("cut.bin", batches[0].stdout[:-1])], "cut.bin: it is cut short")
    expect(2, ["columns", "encode", schema, "-"], "-: line 2: /a: ", stdin='{"a":1,"b":null}\n{"a":"x","b":null}\n')
    expect(2, ["columns", "encode", schema, "-", "--plain"], "-: line 1: ", stdin='{"a":"x"}\n')
    expect(2, ["columns", "encode", path_of("none"), "-"], "none: ")
    nested = write("nested.avsc", json.dumps({"type": "record", "name": "Nested", "fields": [{"name": "n", "type": ["null", "Nested"]}]}))
    expect(2, ["columns", "encode", nested, "-"], "there are no rows, and its schema has no columns", stdin="")


def test_a_running_agent():
    agent = Agent(configuration(free_port())).start()
    agent.post("/boiler", '{"t": 21.5}')
    agent.post("/typed", '{"k": "a"}')
    text = expect(0, ["status", "--socket", agent.socket], "running since", "2 taken", "STREAM", "typed", "driver post (http)", "uplink files (file)",
                  "1 set aside", out=True).stdout
    check("no JSON for people", "{" not in text, text)
    check("the buffer names the socket", run("status", "--buffer", agent.buffer).returncode == 0)
    status = agent.status()
    check("--json is one object", status["events"] == 2 and status["streams"][0]["name"] == "typed", str(status))
    for words in [["buffer", "ls"], ["buffer", "ls", "--json"], ["buffer", "cat", "raw"], ["aside", "ls"], ["aside", "ls", "--json"]]:
        expect(0, words + ["--buffer", agent.buffer], out=True)
    expect(2, ["buffer", "cat", "none", "--buffer", agent.buffer], 'weir buffer cat: there is no stream "none"')
    r = run("run", agent.path)
    check("a second agent is told who has the buffer", r.returncode == 3 and "is the agent running already?" in r.stderr and agent.buffer in r.stderr, r.stderr)
    check("and harms nothing", agent.status()["events"] == 2)
    other = configuration(agent.port)
    other["buffer"]["path"] = path_of("e", "buffer.db")
    r = run("run", write("other.json", json.dumps(other)))
    check("a port in use is told", r.returncode == 3 and str(agent.port) in r.stderr and "in use" in r.stderr, r.stderr)
    lines = {words: run(*words.split(), "--buffer", agent.buffer).stdout for words in ["buffer cat raw", "aside ls", "buffer ls"]}
    agent.process.send_signal(signal.SIGHUP)
    check("SIGHUP is answered in the log", wait_until(lambda: "SIGHUP: reloading" in agent.log()))
    check("and the agent goes on", agent.post("/boiler", "1")[0] == 200)
    check("SIGTERM: exit code 0", agent.stop() == 0)
    check("and is logged, with what is owed", re.search(r"stopping: .*\n(.*\n)*.*stopped; \d+ events wait for their uplinks", agent.log()), agent.log())
    expect(1, ["status", "--socket", agent.socket], "no agent answers")
    for words, before in lines.items():
        after = run(*words.split(), "--buffer", agent.buffer).stdout
        check(f"{words}: the same from the file", before.splitlines()[0].split("time")[0] == after.splitlines()[0].split("time")[0], before + after)
    check("one more event than before", len(agent.stored("raw")) == 2)
    check("--first", [e["sequence"] for e in map(json.loads, run("buffer", "cat", "raw", "--first", "2", "--buffer", agent.buffer).stdout.splitlines())] == [2])
    check("--count", len(run("buffer", "cat", "raw", "--count=1", "--buffer", agent.buffer).stdout.splitlines()) == 1)
    listing = json.loads(run("buffer", "ls", "--json", "--buffer", agent.buffer).stdout)["streams"]
    check("ls --json of a stopped agent", {s["name"] for s in listing} >= {"typed", "raw"}, str(listing))


def test_a_socket_that_is_none():
    precious = write("precious", "not to be lost")
    config = configuration(free_port())
    config["agent"]["socket"] = precious
    config["buffer"]["path"] = path_of("g", "buffer.db")
    r = run("run", write("precious.json", json.dumps(config)))
    check("a file in the socket's place is told", r.returncode in (2, 3) and "is no socket" in r.stderr and precious in r.stderr, r.stderr)
    check("and left alone", os.path.exists(precious))


def test_stopping():
    """A second signal ends at once what the first one waits for: the answer of a peer that takes everything and says nothing."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = configuration(free_port())
        config["agent"]["stop_grace"] = "10 min"
        config["uplinks"] = {"cloud": {"type": "kafka", "brokers": [f"127.0.0.1:{silent.getsockname()[1]}"], "topic": "t", "linger": "0 s"}}
        config["streams"]["typed"].pop("schema")
        config["streams"]["typed"].pop("key")
        config["buffer"]["path"] = path_of("f", "buffer.db")
        agent = Agent(config, "stopping.json").start()
        agent.post("/boiler", "1")
        agent.process.send_signal(signal.SIGTERM)
        check("what is there is being stored", wait_until(lambda: "stopping" in agent.log()))
        time.sleep(0.3)
        agent.process.send_signal(signal.SIGINT)
        try:
            code = agent.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = "it goes on"
        check("the second signal ends it", code == 0, f"{code} {agent.log()[-500:]}")


test_help()
test_misuse()
test_missing_files()
test_full_output()
test_avro()
test_columns()
test_a_running_agent()
test_a_socket_that_is_none()
test_stopping()
finish()
