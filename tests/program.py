"""What the tests of the program share: a folder to work in, checks that go on after a failure, an agent that runs.

A test imports it and is started as: NAME_test.py WEIR"""
import atexit
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import free_ports     # noqa: E402
from checks import check, failures     # noqa: E402,F401

PATIENCE = int(os.environ.get("WEIR_PATIENCE", "120"))     # seconds for anything that takes one on an idle machine
weir = sys.argv[1]
work = tempfile.mkdtemp(prefix="weir-program.")


def finish():
    """The end of a test: what was made is kept when something failed."""
    if failures:
        print(f"{len(failures)} failed; files in {work}")
        sys.exit(1)
    shutil.rmtree(work)
    print("all is well")
    sys.exit(0)


def path_of(*names):
    return os.path.join(work, *names)


def run(*words, stdin=None, env=None):
    return subprocess.run([weir, *words], capture_output=True, text=True, input=stdin, timeout=PATIENCE, env=env)


def write(name, text, mode=None):
    path = path_of(name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    if mode is not None:
        os.chmod(path, mode)
    return path


def free_port():
    return free_ports.find(1)


def wait_until(condition, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def typed_schema():
    """A stream's schema with a key, a number, and a field that may be missing; the name of its file."""
    write("typed.avsc", json.dumps({"type": "record", "name": "Typed", "fields": [
        {"name": "k", "type": "string"}, {"name": "n", "type": "long"}, {"name": "t", "type": ["null", "double"], "default": None}]}))
    return "typed.avsc"


def configuration(port, **post):
    """A stream with a schema and one without, an http driver with these further options, files."""
    return {"agent": {"id": "t"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB"},
            "streams": {"typed": {"schema": typed_schema(), "key": "k"}, "raw": {}},
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{port}", "ack_interval": "5 ms",
                                 "routes": [{"topic": "typed", "stream": "typed"}, {"topic": "#", "stream": "raw"}], **post}},
            "uplinks": {"files": {"type": "file", "path": path_of("out"), "time_max": "2 s"}}}


class Agent:
    def __init__(self, config, name="weir.json"):
        self.path = write(name, json.dumps(config))
        self.buffer = config["buffer"]["path"]
        self.socket = os.path.join(os.path.dirname(self.buffer), "weir.sock")
        self.port = int(config["drivers"]["post"]["listen"].rsplit(":", 1)[1]) if "post" in config["drivers"] else None
        self.log_path = path_of("log")
        self.process = None
        atexit.register(lambda: self.process and self.process.poll() is None and self.process.kill())

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([weir, "run", self.path], stdout=subprocess.DEVNULL, stderr=log)
        if not wait_until(lambda: self.process.poll() is not None or run("status", "--socket", self.socket).returncode == 0):
            raise SystemExit("the agent does not answer; " + self.log()[-1000:])
        if self.process.poll() is not None:
            raise SystemExit("the agent has ended; " + self.log()[-1000:])
        return self

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def post(self, path, body, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def status(self):
        return json.loads(run("status", "--json", "--socket", self.socket).stdout)

    def aside(self):
        return [json.loads(line) for line in run("aside", "ls", "--json", "--buffer", self.buffer).stdout.splitlines()]

    def stored(self, stream):
        return [json.loads(line) for line in run("buffer", "cat", stream, "--buffer", self.buffer).stdout.splitlines()]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)
