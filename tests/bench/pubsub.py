"""Benchmark of the uplink pubsub: IP bytes around a flush of one event, on a connection that is kept, with TLS.

bench_pubsub runs this file in a network name space of its own, as wire.py does: there is Google's own fake of Pub/Sub behind TLS, and a metadata
server that gives tokens of a length of our choosing. What the agent's end of the cable has counted, both directions, less the event's own bytes
(the Avro datum with its header of 10), is what goes around it: protobuf, gRPC, HTTP/2, TLS, TCP and IP."""
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from lib import Missing, need, say
import services
from wire import CLOUD, Site

FLUSHES = 20
TEXT = 200          # characters of an event that nothing compresses
EVENT = 10 + 2 + TEXT
SHORT, LONG = "t", "x" * 1024
GOAL = 420
BARE = {"attributes": "none", "ordering": "none"}


def bench_pubsub(options, kafka, work):
    """IP bytes around a flush of one event to Pub/Sub, TLS, on a kept connection."""
    need("unshare", "util-linux")
    need("ip", "iproute2")
    given = {"weir": options.weir, "work": work}
    done = subprocess.run(["unshare", *([] if os.getuid() == 0 else ["-Ur"]), "-n", sys.executable, os.path.abspath(__file__), json.dumps(given)],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Missing(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")


class Metadata:
    """Gives a token to everybody."""

    def __init__(self):
        metadata = self
        self.token = SHORT

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps({"access_token": metadata.token, "expires_in": 3600}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = HTTPServer((CLOUD, 0), Handler)
        self.address = f"{CLOUD}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Agent(services.Agent):
    """At a site, reading lines from a file."""

    def __init__(self, program, directory, site, metadata, uplink):
        os.mkdir(directory)
        super().__init__(program, directory, {**os.environ, "GCE_METADATA_HOST": metadata.address, "CLOUDSDK_CONFIG": directory})
        self.site = site
        self.lines = open(os.path.join(directory, "lines"), "wb", buffering=0)
        with open(os.path.join(directory, "event.avsc"), "w") as f:
            json.dump({"type": "record", "name": "E", "fields": [{"name": "v", "type": "string"}]}, f)
        with open(self.path, "w") as f:
            json.dump({"agent": {"id": "pump-station-7", "socket": os.path.join(directory, "weir.sock")},
                       "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "20 ms"},
                       "streams": {"events": {"schema": "event.avsc"}},
                       "drivers": {"in": {"type": "tail", "paths": [self.lines.name], "poll": "20 ms", "stream": "events"}},
                       "uplinks": {"cloud": {"type": "pubsub", "project": "p1", "topic": "events", "streams": ["events"], "partition_by": "agent",
                                             "linger": "0 s", **uplink}}}, f)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([*site.inside, program, "run", self.path], stdout=log, stderr=log, env=self.environment)
        services.wait_for("agent", lambda: os.path.exists(os.path.join(directory, "weir.sock")))

    def one(self):
        """One event, until it is delivered and all is quiet."""
        before = self.status()["delivered"]
        self.lines.write(json.dumps({"v": os.urandom(TEXT // 2).hex()}).encode() + b"\n")
        services.wait_for("delivery", lambda: self.status()["delivered"] > before, 60)
        time.sleep(0.4)

    def around(self):
        """IP bytes and packets of a flush, less its event's."""
        self.one()
        first = self.site.counted()
        for _ in range(FLUSHES):
            self.one()
        last = self.site.counted()
        return (last[0] - first[0]) / FLUSHES - EVENT, (last[1] - first[1]) / FLUSHES


def measure(options, port, ca, metadata, token, uplink, number):
    site = Site(number)
    metadata.token = token
    agent = Agent(options.weir, os.path.join(options.work, f"agent{number}"), site, metadata,
                  {"endpoint": f"https://{CLOUD}:{port + 1}", "tls": {"ca": ca, "server_name": "localhost"}, **uplink})
    try:
        return agent.around()
    finally:
        agent.kill()
        site.close()


def main():
    options = type("Options", (), json.loads(sys.argv[1]))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", CLOUD + "/32", "dev", "lo"], check=True)
    for name in "all", "default":
        subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"], stderr=subprocess.DEVNULL)
    tls = os.path.join(options.work, "tls")
    services.service("certs.sh", tls)
    fake, port = os.path.join(options.work, "pubsub"), 18085
    services.service("pubsub.sh", "start", fake, str(port), f"-tls={tls}/server.pem,{tls}/server.key", f"-tls-host={CLOUD}")
    try:
        subprocess.run(["curl", "-sf", "-o", "/dev/null", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-",
                        f"http://127.0.0.1:{port}/google.pubsub.v1.Publisher/CreateTopic"], check=True,
                       input=b"\0\0\0\0\x1b\n\x19projects/p1/topics/events")
        metadata, ca = Metadata(), os.path.join(tls, "ca.pem")
        (bare, packets), (usual, _), (long, _) = (
            measure(options, port, ca, metadata, token, uplink, number + 1)
            for number, (token, uplink) in enumerate([(SHORT, BARE), (SHORT, {}), (LONG, BARE)]))
        say("pubsub", f"around a flush of one event, TLS, kept connection, no attributes, a token of {len(SHORT)} B", bare, "IP bytes", goal=f"<= {GOAL}",
            met=bare <= GOAL, packets=round(packets, 1))
        say("pubsub", "the same with what is there by default: weir_id and the agent's ordering key", usual, "IP bytes")
        say("pubsub", f"a token of {len(LONG)} B, in each request", long - bare, "IP bytes")
    finally:
        services.service("pubsub.sh", "stop", fake)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"{missing}")
