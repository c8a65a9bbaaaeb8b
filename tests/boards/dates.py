"""A board's binary in the year 2041: the clock, events' times, TLS certificates, files' names and the buffer's times are past what 32 bits of
seconds hold (19 January 2038). The clock is libfaketime's, below an emulator that is linked dynamically: the program itself is static.

usage: dates.py WEIR EMULATOR     EMULATOR: as qemu-arm, of the package qemu-user; libfaketime is needed too"""
import atexit
import datetime
import glob
import http.server
import json
import math
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_S = int(datetime.datetime(2041, 3, 1, 12, tzinfo=datetime.timezone.utc).timestamp())
# One clock for all lives of the agent, as a board has it. A date that begins anew with each process would go back with a kill, by as much as the
# agent had needed to start: when it needed less the next time, it did not believe that clock, rightly.
AHEAD_S = math.ceil(START_S - time.time())
LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
assert LIBRARY, "apt-get install qemu-user libfaketime"
folder = tempfile.mkdtemp(prefix="weir-dates.")
atexit.register(shutil.rmtree, folder)
# Intervals stay the kernel's own: what is moved is the date. What files say of themselves stays, too.
FAKE = {"LD_PRELOAD": LIBRARY, "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "TZ": "UTC"}


def moved(name, faketime, command):
    """A program of this name in our folder that runs `command` at that date. The date is for this one process: libfaketime shares memory with
    its children, and that of a shell with pipes is at times gone before a child opens it."""
    path = os.path.join(folder, name)
    with open(path, "w") as wrapper:
        words = " ".join(f"{variable}={value}" for variable, value in FAKE.items())
        wrapper.write(f'#!/bin/sh\nexec env {words} FAKETIME="{faketime}" {command} "$@"\n')
    os.chmod(path, 0o755)
    return path


sys.argv[1:] = [moved("weir", f"+{AHEAD_S}", f"{sys.argv[2]} {sys.argv[1]}")]
sys.path.insert(0, os.path.join(HERE, ".."))
from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, write  # noqa: E402

START_US = START_S * 1000000
EVENT = "2040-01-01T00:00:00Z"
EVENT_US = 2208988800 * 1000000
HOUR_US = 3600 * 1000000


def is_now(us):
    return START_US <= us < START_US + HOUR_US


def certificates(name, made_at):
    """A CA and what it has signed, good for ten years from `made_at` on: of 2041, until a year that X.509 writes in another way (from 2050 on)."""
    moved("openssl", f"@{made_at}", shutil.which("openssl"))
    done = subprocess.run(["bash", os.path.join(HERE, "..", "services", "certs.sh"), path_of(name)], capture_output=True, text=True,
                          env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    return path_of(name)


class Server:
    """Takes batches over TLS with the certificate of this folder, each once, and remembers the stream's rows."""

    def __init__(self, tls):
        self.rows, self.keys = [], set()
        server = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                rows = [json.loads(line) for line in body.splitlines()] if self.headers["Idempotency-Key"] not in server.keys else []
                server.keys.add(self.headers["Idempotency-Key"])
                server.rows += [row for row in rows if "n" in row]      # the others are weir.events
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(tls, "server.pem"), os.path.join(tls, "server.key"))
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.http.handle_error = lambda *_: None     # who is refused hangs up
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True, do_handshake_on_connect=False)
        self.uplink = {"type": "http", "url": f"https://localhost:{self.http.server_port}/in", "tls": {"ca": os.path.join(tls, "ca.pem")}}
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


good = Server(certificates("of2041", "2041-02-28 12:00:00"))
ended = Server(certificates("of2026", "2026-01-01 00:00:00"))
ends = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", path_of("of2041", "server.pem")], capture_output=True, text=True).stdout
check("the certificate is good until 2051", "2051" in ends, ends)
config = configuration(free_port(), routes=[{"topic": "typed", "stream": "stamped", "set": {"at": "{time}", "trust": "{time_trust}"}}])
write("stamped.avsc", json.dumps({"type": "record", "name": "Stamped", "fields": [
    {"name": "n", "type": "long"}, {"name": "trust", "type": "string"}, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}))
config["streams"] = {"stamped": {"schema": "stamped.avsc", "time": "when"}}
config["uplinks"] = {"good": good.uplink, "ended": ended.uplink, "files": config["uplinks"]["files"]}
agent = Agent(config).start()


def post(n, **more):
    status, answer = agent.post("/typed", json.dumps({"n": n, **more}), {"Content-Type": "application/json"})
    check("taken", status == 200, answer)


post(1, when=EVENT)
post(2)
check("delivered over TLS", wait_until(lambda: len(good.rows) >= 2), json.dumps(agent.status()))
agent.process.send_signal(signal.SIGKILL)
agent.process.wait()
agent.start()
post(3)
check("delivered after a kill", wait_until(lambda: len(good.rows) >= 3), json.dumps(agent.status()))
check("a certificate that ended in 2036 is refused", wait_until(lambda: "expired" in json.dumps(agent.status()["uplinks"]["ended"])),
      json.dumps(agent.status()["uplinks"]["ended"]))
check("and nothing went there", not ended.rows, ended.rows)
files = lambda: [json.loads(line) for name in glob.glob(path_of("out", "stamped", "**", "*.avro"), recursive=True)  # noqa: E731
                 for line in run("avro", "cat", name).stdout.splitlines()]
check("written to files", wait_until(lambda: len(files()) >= 3), json.dumps(agent.status()))
for rows, where in (sorted(files(), key=lambda row: row["n"]), "file"), (sorted(good.rows, key=lambda row: row["n"]), "service"):
    check(f"{where}: each once", [row["n"] for row in rows] == [1, 2, 3], json.dumps(rows))
    at = [row["at"] for row in rows]
    if isinstance(at[0], str):
        at = [int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1e6) for text in at]
    check(f"{where}: the event's own time", at[0] == EVENT_US, json.dumps(rows))
    check(f"{where}: the clock's", is_now(at[1]) and is_now(at[2]), json.dumps(rows))
    check(f"{where}: they are trusted", [row["trust"] for row in rows] == ["payload", "clock", "clock"], json.dumps(rows))
names = " ".join(glob.glob(path_of("out", "stamped", "**"), recursive=True))
check("files are sorted by dates past 2038", re.search("204[01]", names), names)
listed = run("buffer", "cat", "stamped", "--buffer", agent.buffer, "--since", "2041-01-01").stdout
check("the buffer finds them by time", listed.count("\n") == 2, listed)
check("ends well", agent.stop() == 0, agent.log()[-2000:])
check("the log has the date", "2041-03-01" in agent.log() or not re.search(r"\b20\d\d-\d\d-\d\d", agent.log()), agent.log()[:300])
finish()
