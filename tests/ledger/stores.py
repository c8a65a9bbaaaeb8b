"""The ledger of the uplinks to object stores and to plain HTTP: numbered events flow while the agent is killed, its connections are cut, answers
are lost and refused, and the store is killed where it survives that. Then a stock client reads everything back: each event is in one object, once.

usage: stores.py WEIR s3|gcs|azure_blob|azure_sas|http [SECONDS | planted]     WEIR_SEED, WEIR_LONG=1

s3: versitygw (also killed), gcs: fake-gcs-server, azure_blob and azure_sas: Azurite; http: a receiver of our own that drops what comes under a key that it
knows, and sees that 429 with Retry-After is obeyed. planted: a program that puts a batch on record too late, which has to be seen."""
import collections
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services     # noqa: E402
from cutter import Cutter       # noqa: E402
from services import PATIENCE, free_ports, service, wait_for    # noqa: E402

try:
    import fastavro
except ImportError:
    python = service("readers.sh", "cloud", stdout=-1, text=True).stdout.strip()
    os.execv(python, [python, *sys.argv])

from feed import HttpFeed       # noqa: E402

SCHEMA = {"type": "record", "name": "Numbered", "namespace": "ledger", "fields": [
    {"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Store:
    """A service of this project's scripts; `objects()` is what the stock client sees: name to bytes."""
    survives = False

    def __init__(self, directory, chance):
        self.dir, self.port, self.chance = os.path.join(directory, "store"), free_ports(1), chance
        os.makedirs(self.dir)
        service(self.script, "start", self.dir, str(self.port))

    def kill(self):
        with open(os.path.join(self.dir, "pid")) as f:
            os.kill(int(f.read()), signal.SIGKILL)
        service(self.script, "resume", self.dir)

    def stop(self):
        service(self.script, "stop", self.dir)


class S3(Store):
    script, survives = "versitygw.sh", True

    def __init__(self, directory, chance):
        super().__init__(directory, chance)
        import boto3
        self.client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.port}", region_name="us-east-1",
                                   aws_access_key_id="AKIDTEST", aws_secret_access_key="SECRETTEST")
        self.client.create_bucket(Bucket="bucket1")

    def uplink(self, port):
        more = {"checksum": self.chance.choice(["md5", "crc32c", "none"]), "create_only": self.chance.random() < 0.5}
        print(f"s3 {more}")
        return {"type": "s3", "bucket": "bucket1", "endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1", **more,
                "credentials": {"access_key_id": "AKIDTEST", "secret_access_key": "SECRETTEST"}}

    def objects(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bucket1")
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        assert not self.client.list_multipart_uploads(Bucket="bucket1").get("Uploads")
        return {name: self.client.get_object(Bucket="bucket1", Key=name)["Body"].read() for name in names}


class Gcs(Store):
    script = "fake-gcs.sh"

    def __init__(self, directory, chance):
        super().__init__(directory, chance)
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        client = storage.Client(project="p1", credentials=AnonymousCredentials(),
                                client_options={"api_endpoint": f"http://127.0.0.1:{self.port}"})
        self.bucket = client.create_bucket("bucket1")

    def uplink(self, port):
        return {"type": "gcs", "bucket": "bucket1", "endpoint": f"http://127.0.0.1:{port}", "anonymous": True}

    def objects(self):
        return {blob.name: blob.download_as_bytes(checksum="md5") for blob in self.bucket.list_blobs()}


class Azure(Store):
    script = "azurite.sh"

    def __init__(self, directory, chance):
        super().__init__(directory, chance)
        from azure.storage.blob import BlobServiceClient
        client = BlobServiceClient(f"http://127.0.0.1:{self.port}/devstoreaccount1", AZURE_KEY, api_version="2021-08-06")
        self.container = client.create_container("container1")

    def uplink(self, port):
        return {"type": "azure_blob", "account": "devstoreaccount1", "container": "container1", "key": AZURE_KEY,
                "endpoint": f"http://127.0.0.1:{port}/devstoreaccount1"}

    def objects(self):
        return {blob.name: self.container.download_blob(blob.name, validate_content=True).readall() for blob in self.container.list_blobs()}


class AzureSas(Azure):
    """By a signature for the container, and replacing nothing."""

    def uplink(self, port):
        from datetime import datetime, timedelta, timezone

        from azure.storage.blob import ContainerSasPermissions, generate_container_sas
        sas = generate_container_sas("devstoreaccount1", "container1", AZURE_KEY, permission=ContainerSasPermissions(create=True, write=True),
                                     expiry=datetime.now(timezone.utc) + timedelta(days=1))
        return {"type": "azure_blob", "account": "devstoreaccount1", "container": "container1", "sas": sas, "create_only": True,
                "endpoint": f"http://127.0.0.1:{port}/devstoreaccount1"}


class Receiver:
    """A service that keeps each key once. Now and then it keeps a batch and does not say so, is busy, or asks to be left alone for a second."""
    survives = False
    PAUSE_S = 1

    def __init__(self, directory, chance):
        self.kept, self.again, self.problems = {}, 0, []
        self.paused, self.is_sure = 0, True     # until when; does nothing else keep answers away?
        self.random, self.is_calm, self.pauses = chance, False, 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:    # the connection was cut
                    self.close_connection = True
                    return
                if self.path != "/in/numbered" or self.headers["X-Site"] != "north" or self.headers["Authorization"] != "Bearer token1":
                    receiver.problems.append(f"{self.path} {self.headers}")
                status = receiver.take(self.headers["Idempotency-Key"], body)
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", str(receiver.PAUSE_S))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None      # connections that were cut
        self.port = self.server.server_address[1]
        self.lock = threading.Lock()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, key, body):
        with self.lock:
            if self.is_sure and time.monotonic() < self.paused - 0.05:
                self.problems.append("a request came before Retry-After was over")
            chance = 1 if self.is_calm else self.random.random()
            if chance < 0.05 or (self.is_sure and self.pauses < 4):
                self.pauses += 1
                self.paused = time.monotonic() + self.PAUSE_S
                return 429
            if chance < 0.1:
                return 503
            if key in self.kept:
                self.again += 1
                if self.kept[key] != body:
                    self.problems.append(f"two bodies under the key {key}")
            self.kept[key] = body
            return 500 if chance < 0.15 else 200

    def uplink(self, port):
        return {"type": "http", "url": f"http://127.0.0.1:{port}/in/{{stream}}", "format": "avro", "token": "token1",
                "headers": {"X-Site": "north"}}

    def objects(self):
        return self.kept

    def stop(self):
        self.server.shutdown()


STORES = {"s3": S3, "gcs": Gcs, "azure_blob": Azure, "azure_sas": AzureSas, "http": Receiver}


class Agent(services.Agent):
    def __init__(self, program, directory, uplink):
        super().__init__(program, directory)
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "ledger", "socket": os.path.join(directory, "weir.sock")},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "100 ms"},
                "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
                "drivers": {"post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "20 ms"}},
                "uplinks": {"store": {**uplink, "streams": ["numbered"], "linger": "100 ms", "backoff_max": "1 s", "timeout": "5 s"}}}, f)

    def is_drained(self):
        return all(s["events"] == 0 for s in self.status()["streams"] if s["name"] == "numbered")


def in_flight(agent):
    """Is a batch lent to the uplink?"""
    return agent.status()["uplinks"]["store"]["in_flight"] > 0


def trouble(agent, store, cutter, chance):
    """One of the mishaps."""
    kinds = ["agent"] * 4 + ["lose", "cut", "refuse", "down"] + (["store"] if store.survives else [])
    kind = chance.choice(kinds)
    if kind == "agent":
        late = chance.random() < 0.7
        if late:    # the store has it, and the agent does not know
            cutter.delay(ms=1000)
            wait_for("request", lambda: in_flight(agent))
            time.sleep(0.05)
        agent.kill()
        cutter.delay(ms=0)
        agent.start()
        kind = "agent_in_flight" if late else kind
    elif kind == "lose":
        cutter.lose(count=2)
    elif kind == "cut":
        cutter.cut(share=0.5, within=4000, count=6)
    elif kind == "refuse":
        cutter.answer(status=chance.choice([500, 503]), count=2)
    elif kind == "down":
        cutter.down()
        time.sleep(chance.random())
        cutter.up()
    else:
        store.kill()
    return kind


def read(objects):
    """All events; a container that is not whole ends the test."""
    events = []
    for name, data in objects.items():
        reader = fastavro.reader(io.BytesIO(data))
        records = list(reader)
        first, last = int(reader.metadata["weir.first"]), int(reader.metadata["weir.last"])
        assert reader.metadata["weir.stream"] == "numbered" and reader.metadata["weir.agent"] == "ledger"
        assert 1 <= len(records) <= last - first + 1, name
        events += [(r["key"], r["n"]) for r in records]
    return events


def read_with_duckdb(objects, directory):
    """How many distinct events DuckDB finds in the same files."""
    import duckdb
    import duckdb_extension_avro
    folder = os.path.join(directory, "files")
    os.makedirs(folder)
    for number, data in enumerate(objects.values()):
        with open(os.path.join(folder, f"{number}.avro"), "wb") as f:
            f.write(data)
    connection = duckdb.connect(config={"allow_unsigned_extensions": True})
    connection.load_extension(os.path.join(os.path.dirname(duckdb_extension_avro.__file__), "extensions", "v" + duckdb.__version__,
                                           "avro.duckdb_extension"))
    return connection.execute(f"select count(*), count(distinct (key, n)) from read_avro('{folder}/*.avro')").fetchone()


def run(program, kind, directory, seconds, chance):
    store = STORES[kind](directory, chance)
    cutter = Cutter(("127.0.0.1", store.port), seed=chance.randrange(1 << 30), http=True)
    agent = Agent(program, directory, store.uplink(cutter.port))
    feed, mishaps = HttpFeed(chance.random(), "post", 200, agent.http_port), collections.Counter()
    try:
        agent.start()
        feed.start()
        wait_for("object", store.objects)
        store.is_sure = False
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.1, 0.8))
            mishaps[trouble(agent, store, cutter, chance)] += 1
        feed.stop(PATIENCE)
        cutter.calm()
        store.is_calm = True
        wait_for("empty buffer", agent.is_drained)
        status = agent.status()
        agent.stop()
        objects = store.objects()
        events = collections.Counter(read(objects))
        whole, distinct = read_with_duckdb(objects, directory)
    finally:
        agent.kill()
        cutter.close()
        store.stop()
    expected = {(key, n) for key, count in feed.expected().items() for n in range(1, count + 1)}
    result = {"lost": len(expected - set(events)), "twice": sum(n - 1 for n in events.values()), "unknown": len(set(events) - expected),
              "aside": status["aside"], "duckdb": abs(whole - sum(events.values())) + abs(distinct - len(events)),
              "problems": len(feed.problems) + len(getattr(store, "problems", []))}
    for problem in (feed.problems + getattr(store, "problems", []))[:5]:
        print(f"problem: {problem}")
    again = f" again={store.again} pauses={store.pauses}" if kind == "http" else ""
    print(f"ledger store={kind} mishaps={sum(mishaps.values())} {dict(mishaps)} objects={len(objects)}{again} acked={len(expected)} "
          + " ".join(f"{name}={n}" for name, n in result.items()), flush=True)
    return not any(result.values())


def main():
    planted = sys.argv[3:] == ["planted"]
    if planted:
        os.environ["WEIR_FAULT"] = "record-late"
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 and not planted else 600 if os.environ.get("WEIR_LONG") == "1" else 25
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    directory = tempfile.mkdtemp(prefix="weir-stores.")
    print(f"stores seed={seed}", flush=True)
    if run(sys.argv[1], sys.argv[2], directory, seconds, random.Random(seed)) == planted:
        sys.exit(f"seed={seed}; what was written is in {directory}")
    shutil.rmtree(directory)


main()
