"""Benchmark of the way to Kinesis: IP bytes of one request with 1 KB of payload, both directions, over TLS on a connection that is kept; botocore's
PutRecords, which speaks HTTP/1.1 only, beside it. The far end is a server of our own that answers as AWS does, headers included, and asks the kernel
(TCP_INFO) what each connection has carried: payload of TCP, and 52 bytes for each segment, acknowledgements too. Segments are those of Ethernet
(TCP_MAXSEG). It has HTTP/2, as Kinesis, or HTTP/1.1 only."""
import json
import os
import re
import socket
import statistics
import struct
import subprocess
import time
import urllib.request

from lib import Missing, say
import front
import kinesis_front
import services

PAYLOAD = 1000
REQUESTS = 15       # of each, the first ones left out
WARM = 5
PAUSE = 0.1         # s: longer than an acknowledgement waits for something to go along with
SECOND = 1          # HTTP/2 sends a date once: here each has another
HEADER = 52         # IPv4 20, TCP 20 and its time stamps 12
GOAL = 2200
TCP_INFO, TCP_MAXSEG, MSS = 11, 2, 1448
KEY_ID = "AKIAIOSFODNN7EXAMPLE"            # as long as they are
TOKEN = 1000


class Far(kinesis_front.Kinesis):
    """Kinesis by HTTP/1.1 and, where it is said, HTTP/2."""

    def __init__(self, directory, alpn=front.HTTP1):
        self.counts = []        # what its connection had carried, at each put
        self.pause = SECOND if alpn == front.HTTP2 else PAUSE
        super().__init__(directory, alpn)

    def prepare(self, listener):
        listener.setsockopt(socket.IPPROTO_TCP, TCP_MAXSEG, MSS)

    def moved(self, raw):
        """IP bytes, segments, bytes in and out."""
        info = raw.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 192)
        acked, received, segs_out, segs_in = struct.unpack_from("<QQII", info, 120)
        return acked + received + HEADER * (segs_out + segs_in), segs_out + segs_in, received, acked

    def carried(self, connection):
        """What was carried so far is kept."""
        self.counts.append(self.moved(connection))

    def cost(self, put):
        """IP bytes of one put and its answer: the median."""
        self.counts = []
        for i in range(REQUESTS):
            put(i)
            services.wait_for("request", lambda: len(self.counts) > i)
            time.sleep(self.pause)
        steps = [[after - before for before, after in zip(a, b)] for a, b in zip(self.counts[WARM:], self.counts[WARM + 1:])]
        return [statistics.median(step) for step in zip(*steps)]


def payload(i):
    start = f'{{"n":{i},"text":"'
    return start + "x" * (PAYLOAD - len(start) - 2) + '"}'


CASES = {"cbor, event id": {}, "cbor": {"event_id": "none"}, "json, event id": {"encoding": "json"},
         f"cbor, event id, a session token of {TOKEN} B": {"credentials": {"access_key_id": KEY_ID, "secret_access_key": "secret",
                                                                          "session_token": "T" * TOKEN}}}


def agent_cost(options, far, directory, settings):
    agent = services.Agent(options.weir, directory)
    with open(agent.path, "w") as f:
        json.dump({"agent": {"id": "pump-station-7"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "32 MiB"},
                   "streams": {"telemetry": {}},
                   "drivers": {"in": {"type": "http", "listen": f"127.0.0.1:{agent.http_port}", "stream": "telemetry", "ack_interval": "0 ms"}},
                   "uplinks": {"cloud": {"type": "kinesis", "region": "eu-central-1", "endpoint": far.url, "streams": ["telemetry"], "linger": "0 ms",
                                         "framing": "none", "tls": {"ca": os.path.join(directory, "..", "tls", "ca.pem")},
                                         "credentials": {"access_key_id": KEY_ID, "secret_access_key": "secret"}, **settings}}}, f)
    agent.start()
    try:
        def put(i):
            request = urllib.request.Request(f"http://127.0.0.1:{agent.http_port}/", payload(i).encode(), {"Content-Type": "text/plain"})
            urllib.request.urlopen(request, timeout=60).close()
        return far.cost(put)
    finally:
        agent.stop()


PEER = """
import sys, boto3
url, ca, size, key = sys.argv[1:]
client = boto3.client("kinesis", region_name="eu-central-1", endpoint_url=url, verify=ca, aws_access_key_id=key, aws_secret_access_key="secret")
for line in sys.stdin:
    client.put_records(StreamName="telemetry", Records=[{"Data": line[:int(size)].encode(), "PartitionKey": "pump-station-7"}])
    print("put", flush=True)
"""


def peer_cost(far, directory):
    python = services.service("readers.sh", "cloud", stdout=subprocess.PIPE, text=True).stdout.strip()
    peer = subprocess.Popen([python, "-c", PEER, far.url, os.path.join(directory, "tls", "ca.pem"), str(PAYLOAD), KEY_ID],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        def put(i):
            peer.stdin.write(payload(i) + "\n")
            peer.stdin.flush()
            if peer.stdout.readline() != "put\n":
                raise Missing("botocore could not put")
        return far.cost(put)
    finally:
        peer.stdin.close()
        peer.wait(60)


def bench_kinesis(options, kafka, work):
    """IP bytes of a request with 1 KB of payload, and its answer."""
    tls = os.path.join(work, "tls")
    services.service("certs.sh", tls, stderr=subprocess.DEVNULL)
    front.need_http2()
    theirs = peer_cost(Far(tls), work)
    for protocol, alpn in (("HTTP/2", front.HTTP2), ("HTTP/1.1", front.HTTP1)):
        far = Far(tls, alpn)
        for case, settings in CASES.items():
            case = f"{case}, {protocol}"
            directory = os.path.join(work, re.sub("[^a-z0-9]+", "-", case.lower()))
            os.mkdir(directory)
            ours, segments, sent, received = agent_cost(options, far, directory, settings)
            goal = None if "json" in case or "token" in case else GOAL
            say("kinesis", case, ours, "B", "botocore's PutRecords", theirs[0], round(ours / theirs[0], 3), goal, goal and ours <= goal,
                segments=segments, sent=sent, received=received, baseline_segments=theirs[1])
