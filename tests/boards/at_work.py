"""A static binary at work: it says the same of itself as the pages do, checks a configuration, resolves a name by the resolver of its own C library,
takes events over HTTP and from a file, is killed, and writes each of them once.

usage: at_work.py WEIR"""
import glob
import http.server
import json
import os
import signal
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import (Agent, PATIENCE, check, configuration, finish, free_port, path_of, run, wait_until,  # noqa: E402
                     weir, write)  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EVENTS = 400


def describes_itself():
    with open(os.path.join(ROOT, "config", "REFERENCE.md")) as f:
        check("its reference is the page's", run("config", "reference").stdout == f.read())
    check("its schema is JSON", json.loads(run("config", "schema").stdout)["type"] == "object")
    # Numbers as text, and back: the C library's own part in it.
    schema = write("double.avsc", '"double"')
    for number in ("0.1", "1e-300", "-2.5", "123456789.125", "5e-324"):
        made = subprocess.run([weir, "avro", "encode", schema, "-"], input=number.encode(), stdout=subprocess.PIPE, timeout=PATIENCE).stdout
        check("a number becomes its bits", made == struct.pack("<d", float(number)), (number, made))
        back = subprocess.run([weir, "avro", "decode", schema, "-"], input=made, stdout=subprocess.PIPE, timeout=PATIENCE).stdout
        check("bits become their number", float(back) == float(number), (number, back))


def registry_by_name():
    """A name that is resolved, a request over the HTTP library: a registry that is asked by schema register."""
    asked = []

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            body = b'{"subject":"t-value","version":3,"id":41,"schema":"\\"string\\""}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = configuration(free_port())
    config["uplinks"] = {"cloud": {"type": "kafka", "brokers": ["localhost:1"], "topic": "{stream}",
                                   "registry": {"url": f"http://localhost:{server.server_port}"}}}
    path = write("registry.json", json.dumps(config))
    done = run("schema", "register", "typed", "--config", path)
    check("a registry is asked by its name", asked and "41" in done.stdout, done.stdout + done.stderr)
    server.shutdown()


def takes_and_delivers():
    config = configuration(free_port())
    lines = path_of("lines.log")
    config["drivers"]["lines"] = {"type": "tail", "stream": "raw", "paths": [lines]}
    agent = Agent(config).start()
    for i in range(EVENTS):
        if i == EVENTS // 2:                        # all that was answered is stored
            agent.process.send_signal(signal.SIGKILL)
            agent.process.wait()
            agent.start()
        status, answer = agent.post("/typed", json.dumps({"k": "a", "n": i}), {"Content-Type": "application/json"})
        check("taken", status == 200, answer)
        with open(lines, "a") as f:
            f.write(f"line {i}\n")

    def rows(stream):
        files = sorted(glob.glob(path_of("out", stream, "**", "*.avro"), recursive=True))
        return [json.loads(line) for line in run("avro", "cat", *files).stdout.splitlines()] if files else []

    wait_until(lambda: len(rows("typed")) >= EVENTS and len(rows("raw")) >= EVENTS)
    check("each event over HTTP once", sorted(row["n"] for row in rows("typed")) == list(range(EVENTS)), str(len(rows("typed"))))
    check("each line once", sorted(row["body"] for row in rows("raw")) == sorted(f"line {i}" for i in range(EVENTS)), str(len(rows("raw"))))
    check("ends well", agent.stop() == 0, agent.log()[-2000:])


describes_itself()
registry_by_name()
takes_and_delivers()
finish()
