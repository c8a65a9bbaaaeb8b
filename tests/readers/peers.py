"""The agent, a real Kafka and a real registry, for tests of what others read."""
import http.client
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services                     # noqa: E402
from services import PATIENCE       # noqa: E402


class Kafka(services.Kafka):
    def topics(self, partitions):
        for name, count in partitions.items():
            self.create({name: {}}, count)

    def tool(self, name, *words, stdin=b""):
        return self.run("tool", name, *words, input=stdin, stdout=subprocess.PIPE).stdout


class Agent(services.Agent):
    """Takes each stream's events at /STREAM over HTTP and delivers them to the topic of that name."""

    def __init__(self, build, directory, streams, kafka, registry, framings=None):
        """`registry`: the options. With `framings`: an uplink for each instead, to the topics FRAMING.STREAM, and no registry."""
        os.makedirs(directory)
        super().__init__(os.path.join(build, "weir"), directory)
        for name, stream in streams.items():
            with open(os.path.join(directory, name + ".avsc"), "w") as f:
                json.dump(stream.schema, f)
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "readers"},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "200 ms"},
                "streams": {name: {"schema": name + ".avsc", **({"key": s.key} if s.key else {})} for name, s in streams.items()},
                "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "20 ms", "body_size_max": "4 MiB",
                                     "routes": [{"topic": name, "stream": name} for name in streams]}},
                "uplinks": {framing: {"type": "kafka", "brokers": [kafka.servers], "topic": framing + ".{stream}", "framing": framing,
                                      "streams": list(streams), "backoff_max": "2 s"} for framing in framings} if framings else
                           {"cloud": {"type": "kafka", "brokers": [kafka.servers], "topic": "{stream}", "headers": True,
                                      "registry": registry, "backoff_max": "2 s"}}}, f, indent=1)

    def post_raw(self, stream, lines):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        connection.request("POST", "/" + stream, lines, {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"{stream}: HTTP {answer.status} {text[:500]!r}")
        return json.loads(text)

    def post(self, stream, lines):
        for first in range(0, len(lines), 200):
            some = lines[first:first + 200]
            answer = self.post_raw(stream, "".join(some).encode())
            if answer != {"stored": len(some), "aside": []}:
                raise SystemExit(f"{stream}: {answer}")

    def stream(self, name):
        return next(s for s in self.status()["streams"] if s["name"] == name)
