"""The agent, a real Kafka and a real registry, for tests of what others read."""
import http.client
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services                                             # noqa: E402
from services import PATIENCE, free_ports, wait_for         # noqa: E402


class Kafka(services.Kafka):
    def topics(self, partitions):
        for name, count in partitions.items():
            self.create({name: {}}, count)

    def tool(self, name, *words, stdin=b""):
        return self.run("tool", name, *words, input=stdin, stdout=subprocess.PIPE).stdout


class Agent:
    """Takes each stream's events at /STREAM over HTTP and delivers them to the topic of that name."""

    def __init__(self, build, directory, streams, kafka, registry, registers=True):
        os.makedirs(directory)
        self.program, self.dir, self.port, self.process = os.path.join(build, "weir"), directory, free_ports(1), None
        for name, stream in streams.items():
            with open(os.path.join(directory, name + ".avsc"), "w") as f:
                json.dump(stream.schema, f)
        self.path = os.path.join(directory, "weir.json")
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "readers"},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "200 ms"},
                "streams": {name: {"schema": name + ".avsc", **({"key": s.key} if s.key else {})} for name, s in streams.items()},
                "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{self.port}", "ack_interval": "20 ms", "body_size_max": "4 MiB",
                                     "routes": [{"topic": name, "stream": name} for name in streams]}},
                "uplinks": {"cloud": {"type": "kafka", "brokers": [kafka.servers], "topic": "{stream}", "headers": True,
                                      "registry": {"url": registry.url, "register": registers}, "backoff_max": "2 s"}}}, f, indent=1)

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "run", self.path], stdout=log, stderr=log)
        wait_for("agent", self.listening)

    def listening(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the agent ended with {self.process.returncode}: {os.path.join(self.dir, 'log')}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def post(self, stream, lines):
        for first in range(0, len(lines), 200):
            some = lines[first:first + 200]
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            connection.request("POST", "/" + stream, "".join(some).encode(), {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            if answer.status != 200 or json.loads(text) != {"stored": len(some), "aside": []}:
                raise SystemExit(f"{stream}: HTTP {answer.status} {text[:500]!r}")

    def status(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(os.path.join(self.dir, "weir.sock"))
            s.sendall(b"status\n")
            answer = b""
            while more := s.recv(65536):
                answer += more
        return json.loads(answer)

    def stream(self, name):
        return next(s for s in self.status()["streams"] if s["name"] == name)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(PATIENCE) != 0:
            raise SystemExit(f"the agent ended with {self.process.returncode}: {os.path.join(self.dir, 'log')}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
