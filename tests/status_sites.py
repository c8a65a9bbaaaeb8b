"""Agents in every state that the status page can show, for the tests of it: running, waiting for its disk, uplink down, budget spent, buffer
full. Each is a real agent with real trouble. Imports program.py, and so is for tests that are started as NAME_test.py WEIR."""
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import threading

from program import Agent, PATIENCE, free_port, path_of, wait_until, weir


class Site(Agent):
    """An agent with a status page at self.http."""

    def __init__(self, name, **changes):
        self.http = free_port()
        config = {"agent": {"id": name}, "buffer": {"path": path_of(name, "buffer.db"), "size_max": "32 MiB", "medium": {"size": "8 GB"}},
                  "status": {"listen": f"127.0.0.1:{self.http}"},
                  "streams": {"telemetry": {}, "alarms": {"priority": 9}},
                  "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "ack_interval": "5 ms",
                                       "routes": [{"topic": "alarms", "stream": "alarms"}, {"topic": "#", "stream": "telemetry"}]}},
                  "uplinks": {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}"}}}
        for key, value in changes.items():
            config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
        self.config = config
        super().__init__(config, f"{name}.json")
        self.log_path = path_of(f"{name}.log")

    def get(self, path, method="GET", body=None, **headers):
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), text

    def json(self):
        return json.loads(self.get("/status")[2])

    def fill(self, count, size=50):
        lines = "\n".join(json.dumps({"n": n, "text": os.urandom(size // 2).hex()}) for n in range(count))
        return self.post("/telemetry", lines, {"Content-Type": "application/x-ndjson"})


def working():
    return Site("works", uplinks={"cloud": {"type": "file", "path": path_of("works-out"), "time_max": "2 s"}})


def uplink_down():
    return Site("down", links={"modem": {"metered": True, "budget_per_day": "10 MB", "budget_per_month": "100 MB", "rate_max": "64 kbit/s"}},
                uplinks={"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}", "link": "modem"}})


def buffer_full():
    return Site("full", buffer={"path": path_of("full", "buffer.db"), "size_max": "4 MiB"},
                streams={"telemetry": {"when_full": "block"}, "alarms": {"priority": 9}})


class BudgetSpent(Site):
    """Its broker takes connections and ends them: what that costs is all that the budget has."""

    def __init__(self):
        self.broker = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        super().__init__("spent", links={"modem": {"budget_per_day": "1 kB"}},
                         uplinks={"cloud": {"type": "kafka", "brokers": [f"127.0.0.1:{self.broker.getsockname()[1]}"], "topic": "{stream}",
                                            "link": "modem"}})

    def is_spent(self):
        link = self.json()["links"]["modem"]
        return link["budgets"]["day"]["left"] == 0 and "the budget of the day is spent" in (link["why"] or "")

    def serve(self):
        while True:
            connection, _ = self.broker.accept()
            connection.settimeout(5)
            try:
                connection.recv(4096)
            except OSError:
                pass
            connection.close()


class Waiting(Site):
    """A process that may not write a file as large as its buffer."""

    def __init__(self):
        super().__init__("waits")

    def start(self):
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

        with open("/dev/null", "ab") as log:
            self.process = subprocess.Popen([weir, "run", self.path], stderr=log, preexec_fn=limited)
        wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", self.http)) == 0)
        wait_until(lambda: b"a file may not be so large" in self.get("/readyz")[2])
        return self

    def let(self):
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
