"""Benchmark of the way to Kinesis: IP bytes of one request with 1 KB of payload, both directions, over TLS on a connection that is kept; botocore's
PutRecords beside it. The far end is a server of our own that answers as AWS does, headers included, and asks the kernel (TCP_INFO) what each
connection has carried: payload of TCP, and 52 bytes for each segment, acknowledgements too. Segments are those of Ethernet (TCP_MAXSEG)."""
import json
import os
import socket
import ssl
import statistics
import struct
import subprocess
import threading
import time
import urllib.request

from lib import ROOT, Missing, say
import services

PAYLOAD = 1000
REQUESTS = 25       # of each, the first ones left out
WARM = 5
PAUSE = 0.1         # s: longer than an acknowledgement waits for something to go along with
HEADER = 52         # IPv4 20, TCP 20 and its time stamps 12
GOAL = 2200
TCP_INFO, TCP_MAXSEG, MSS = 11, 2, 1448
ANSWER_HEADERS = ("x-amzn-RequestId: e9d2b5c8-4f0a-4c3e-9d51-0c9f4bb8a7d1\r\nx-amz-id-2: " + "x" * 76 + "\r\n"
                  "Date: Mon, 30 Nov 2026 12:00:00 GMT\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n")


def text(value):
    data = value.encode()
    return (bytes([0x60 | len(data)]) if len(data) < 24 else bytes([0x78, len(data)])) + data


class Far(threading.Thread):
    """Kinesis, as far as one shard and single records need it."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(directory, "server.pem"), os.path.join(directory, "server.key"))
        self.listener = socket.socket()
        self.listener.setsockopt(socket.IPPROTO_TCP, TCP_MAXSEG, MSS)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        self.counts = []        # what its connection had carried, at each put
        self.start()

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def carried(self, raw):
        info = raw.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 192)
        acked, received, segs_out, segs_in = struct.unpack_from("<QQII", info, 120)
        return acked + received + HEADER * (segs_out + segs_in)

    def answer(self, head, body):
        is_cbor = "amz-cbor" in head
        if "ListShards" in head:
            return "json", json.dumps({"Shards": [{"ShardId": "shardId-000000000000", "HashKeyRange": {
                "StartingHashKey": "0", "EndingHashKey": str(2 ** 128 - 1)}, "SequenceNumberRange": {"StartingSequenceNumber": "1"}}]}).encode()
        number = "49654237829470232387294582938749238472938472938472938474"
        if is_cbor:     # as Java writes it
            return "cbor", (b"\xbf" + text("FailedRecordCount") + b"\x00" + text("Records") + b"\x9f\xbf" + text("SequenceNumber") + text(number) +
                            text("ShardId") + text("shardId-000000000000") + b"\xff\xff\xff")
        return "json", json.dumps({"FailedRecordCount": 0, "Records": [{"SequenceNumber": number, "ShardId": "shardId-000000000000"}]},
                                  separators=(",", ":")).encode()

    def serve(self, raw):
        try:
            connection = self.context.wrap_socket(raw, server_side=True)
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    data += self.more(connection)
                head, data = data.split(b"\r\n\r\n", 1)
                head = head.decode()
                size = int(next(line for line in head.splitlines() if line.lower().startswith("content-length")).split(":")[1])
                while len(data) < size:
                    data += self.more(connection)
                kind, answer = self.answer(head, data[:size])
                data = data[size:]
                if "PutRecords" in head:
                    self.counts.append(self.carried(connection))
                connection.sendall(("HTTP/1.1 200 OK\r\n" + ANSWER_HEADERS % (f"application/x-amz-{kind}-1.1", len(answer))).encode() + answer)
        except OSError:
            pass

    @staticmethod
    def more(connection):
        piece = connection.recv(65536)
        if not piece:
            raise OSError("closed")
        return piece

    def cost(self, put):
        """IP bytes of one put and its answer: the median."""
        self.counts = []
        for i in range(REQUESTS):
            put(i)
            services.wait_for("request", lambda: len(self.counts) > i)
            time.sleep(PAUSE)
        steps = [b - a for a, b in zip(self.counts[WARM:], self.counts[WARM + 1:])]
        return statistics.median(steps)


def payload(i):
    start = f'{{"n":{i},"text":"'
    return start + "x" * (PAYLOAD - len(start) - 2) + '"}'


def agent_cost(options, far, directory, settings):
    agent = services.Agent(options.weir, directory)
    with open(agent.path, "w") as f:
        json.dump({"agent": {"id": "pump-station-7"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "32 MiB"},
                   "streams": {"telemetry": {}},
                   "drivers": {"in": {"type": "http", "listen": f"127.0.0.1:{agent.http_port}", "stream": "telemetry", "ack_interval": "0 ms"}},
                   "uplinks": {"cloud": {"type": "kinesis", "region": "eu-central-1", "endpoint": far.url, "streams": ["telemetry"], "linger": "0 ms",
                                         "framing": "none", "tls": {"ca": os.path.join(directory, "..", "tls", "ca.pem")},
                                         "credentials": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"}, **settings}}}, f)
    agent.start()
    try:
        def put(i):
            request = urllib.request.Request(f"http://127.0.0.1:{agent.http_port}/", payload(i).encode(), {"Content-Type": "text/plain"})
            urllib.request.urlopen(request, timeout=60).close()
        return far.cost(put)
    finally:
        agent.stop()


PEER = """
import sys, boto3, botocore.config
url, ca, size = sys.argv[1:]
client = boto3.client("kinesis", region_name="eu-central-1", endpoint_url=url, verify=ca, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret")
for line in sys.stdin:
    client.put_records(StreamName="telemetry", Records=[{"Data": line[:int(size)].encode(), "PartitionKey": "pump-station-7"}])
    print("put", flush=True)
"""


def peer_cost(far, directory):
    python = services.service("readers.sh", "cloud", stdout=subprocess.PIPE, text=True).stdout.strip()
    peer = subprocess.Popen([python, "-c", PEER, far.url, os.path.join(directory, "tls", "ca.pem"), str(PAYLOAD)],
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
    services.service("certs.sh", os.path.join(work, "tls"), stderr=subprocess.DEVNULL)
    far = Far(os.path.join(work, "tls"))
    theirs = peer_cost(far, work)
    for case, settings in (("cbor, event id", {}), ("cbor", {"event_id": "none"}), ("json, event id", {"encoding": "json"})):
        directory = os.path.join(work, case.replace(", ", "-").replace(" ", "-"))
        os.mkdir(directory)
        ours = agent_cost(options, far, directory, settings)
        say("kinesis", case, ours, "B", "botocore's PutRecords", theirs, round(ours / theirs, 3), GOAL if case.startswith("cbor") else None,
            ours <= GOAL if case.startswith("cbor") else None)
