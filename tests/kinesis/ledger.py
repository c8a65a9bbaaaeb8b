"""A ledger of every event, from files through the agent into Kinesis and Firehose, while the service refuses, throttles, loses answers, tells a wrong time
and goes away, and the agents are killed; read back by boto3, taken apart by AWS's own de-aggregations (Python's, and the Kinesis Client Library's in Java), Apache's Avro and weir's
decoder.
None may be lost, those of a key stand in order, and what is there twice has the same event id.

usage: ledger.py WEIR      WEIR_LONG=1: ten minutes instead of 35 s; WEIR_SEED. Services: kinesalite and moto, each behind aws-gate
(tests/services)."""
import base64
import importlib.util
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[0:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "services"),
                 os.path.join(HERE, "..", "..", "uplink", "decoders", "python")]
import front                        # noqa: E402
import services                     # noqa: E402
if not importlib.util.find_spec("aws_kinesis_agg"):
    python = services.service("readers.sh", "cloud", stdout=subprocess.PIPE, text=True).stdout.strip()
    os.execv(python, [python, *sys.argv])
from program import check, finish, path_of, weir, write       # noqa: E402
from services import Fake, gate_fault, wait_for                     # noqa: E402
import boto3                        # noqa: E402
import botocore.session             # noqa: E402
import fastavro                     # noqa: E402
from aws_kinesis_agg.deaggregator import deaggregate_records        # noqa: E402
import weir_columns                 # noqa: E402

LONG = os.environ.get("WEIR_LONG") == "1"
SEED = os.environ.get("WEIR_SEED", str(random.randrange(1000000)))
SECONDS = 600 if LONG else 35
RATE = 30          # events a second and agent
KEYS = 12
SHARDS = 4
HTTP2 = ("rows", "packed")          # over TLS, as AWS has it; the others have neither
STREAMS = 40        # of such a connection, before it is ended
SPLIT = "rows"      # one of its shards is, halfway
PATIENCE = 300      # until everything has arrived
SCHEMA = {"type": "record", "name": "Line", "namespace": "test", "fields": [
    {"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}
CASES = {
    "rows": {},                                                     # CBOR, an id in each partition key
    "json": {"encoding": "json", "framing": "json"},
    "packed": {"aggregate_size": "4 KiB"},
    "columns": {"layout": "columns"},
    "loose": {"ordering": "none", "framing": "none"},
    "lake": {"type": "firehose", "record_size": "4 KiB"},           # lines of JSON, in a bucket in the end
}


class Writer(threading.Thread):
    """Writes numbered lines to the file that an agent follows."""

    def __init__(self, path, seed):
        super().__init__(daemon=True)
        self.path, self.random, self.going = path, random.Random(seed), True
        self.counts = [0] * KEYS

    def run(self):
        with open(self.path, "ab", buffering=0) as f:
            while self.going:
                lines = []
                for _ in range(self.random.randrange(1, 2 * RATE // 10)):
                    k = self.random.randrange(KEYS)
                    self.counts[k] += 1
                    lines.append(json.dumps({"key": f"key-{k}", "n": self.counts[k], "pad": "x" * self.random.randrange(60)}))
                f.write(("\n".join(lines) + "\n").encode())
                time.sleep(0.1)

    def stop(self):
        self.going = False
        self.join()


class Case:
    def __init__(self, name, way):
        self.name, self.dir = name, path_of(name)
        os.mkdir(self.dir)
        lines = os.path.join(self.dir, "lines")
        open(lines, "wb").close()
        write(f"{name}/line.avsc", json.dumps(SCHEMA))
        self.path = write(f"{name}/weir.json", json.dumps({
            "agent": {"id": f"site-{name}"},
            "buffer": {"path": os.path.join(self.dir, "buffer.db"), "size_max": "64 MiB", "commit_interval": "200 ms"},
            "streams": {name: {"schema": os.path.join(self.dir, "line.avsc"), "key": "key"}},
            "drivers": {"in": {"type": "tail", "paths": [lines], "poll": "100 ms", "stream": name}},
            "uplinks": {"cloud": {"type": "kinesis", "region": "us-east-1", "streams": [name], "linger": "500 ms",
                                  "backoff_max": "2 s", "timeout": "5 s",
                                  "credentials": {"access_key_id": "AKIDTEST", "secret_access_key": "SECRETTEST"}, **way, **CASES[name]}}}))
        self.writer = Writer(lines, f"{SEED} {name}")
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.kills, self.process = 0, None
        self.taken, self.since = 0, time.monotonic()

    def start(self):
        self.process = subprocess.Popen([weir, "run", self.path], stdout=self.log, stderr=self.log)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.kills += 1
        self.start()

    def has_sent_all(self):
        """Nothing new was taken for a while, and nothing is owed."""
        try:
            status = services.Agent(weir, self.dir).status()
        except OSError:
            return False
        taken = [s["sequence_next"] for s in status["streams"] if s["name"] == self.name][0]
        if status["backlog"] or taken != self.taken:
            self.taken, self.since = taken, time.monotonic()
        return time.monotonic() - self.since > 2        # longer than the tail driver takes to see a line

    def stop(self):
        self.process.terminate()
        check(f"{self.name}: an orderly end", self.process.wait(60) == 0)


def split(client, stream):
    """In two, in the middle of what flows."""
    shard = client.list_shards(StreamName=stream)["Shards"][0]
    first, last = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
    client.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((first + last) // 2))


def trouble(gates, cases, dice):
    """One kind of it after the other, until the time is over."""
    faults = ["partial", "throttle", "internal", "lost", "skew", "slow_down"]
    until = time.monotonic() + SECONDS
    seen = []
    while time.monotonic() < until:
        fault = faults[len(seen) % len(faults)]
        seen.append(fault)
        for gate in gates:
            gate_fault(gate, fault, every=dice.randrange(2, 5), first=3 if fault == "skew" else 0)
        time.sleep(dice.uniform(1, 3))
        for gate in gates:
            gate_fault(gate, None)
        dice.choice(cases).kill()
        if len(seen) % 4 == 0:      # the service goes away, and comes back
            for gate in gates:
                gate.stop()
            time.sleep(dice.uniform(0.2, 2))
            dice.choice(cases).kill()
            for gate in gates:
                gate.start(UPSTREAM=gate.upstream)
    return seen


# --- reading back ---

def reader_session():
    """boto3 speaks JSON; what was written as CBOR kinesalite then gives as Node prints a buffer, not in base64."""
    session = botocore.session.get_session()
    session.get_component("response_parser_factory").set_parser_defaults(
        blob_parser=lambda value: bytes(value["data"]) if isinstance(value, dict) else base64.b64decode(value))
    return boto3.Session(botocore_session=session)


def records_of(client, stream):
    """Records of each shard, in its order."""
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        while iterator:
            answer = client.get_records(ShardIterator=iterator, Limit=1000)
            yield from ((shard["ShardId"], r) for r in answer["Records"])
            if not answer["Records"] and answer.get("MillisBehindLatest", 0) == 0:
                break
            iterator = answer.get("NextShardIterator")


def lines_of(s3):
    """What the delivery stream has put into the bucket, line by line, as (id, row)."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="lake"):
        for item in page.get("Contents", []):
            for line in s3.get_object(Bucket="lake", Key=item["Key"])["Body"].read().splitlines():
                row = json.loads(line)
                yield row.pop("weir_id"), row


def user_records(shard, record):
    """What a consumer of the Kinesis Client Library sees: (partition key, data)."""
    event = {"eventVersion": "1.0", "eventID": f"{shard}:{record['SequenceNumber']}", "eventSource": "aws:kinesis", "awsRegion": "us-east-1",
             "eventName": "aws:kinesis:record", "eventSourceARN": "arn", "invokeIdentityArn": "arn",
             "kinesis": {"kinesisSchemaVersion": "1.0", "partitionKey": record["PartitionKey"], "sequenceNumber": record["SequenceNumber"],
                         "data": base64.b64encode(record["Data"]).decode(), "approximateArrivalTimestamp": 0}}
    for user in deaggregate_records([event]):
        yield user["kinesis"]["partitionKey"], base64.b64decode(user["kinesis"]["data"])


def compare_library(client, stream):
    """The Kinesis Client Library, told of the shards' ranges, sees the same events in each record: none is another shard's by its hash."""
    classes = services.service("kcl_java.sh", stdout=subprocess.PIPE, text=True).stdout.strip()
    ranges = {s["ShardId"]: (s["HashKeyRange"]["StartingHashKey"], s["HashKeyRange"]["EndingHashKey"])
              for s in client.list_shards(StreamName=stream)["Shards"]}
    records = list(records_of(client, stream))
    lines = "".join(f"{' '.join(ranges[shard])} {r['PartitionKey']} {base64.b64encode(r['Data']).decode()}\n" for shard, r in records)
    out = subprocess.run(["java", "-cp", classes, "Deaggregate"], input=lines, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    blocks = out.split("\n\n")[:-1]
    check(f"{stream}: the library reads every record", len(blocks) == len(records), f"{len(blocks)} of {len(records)}")
    packed = 0
    for (shard, record), block in zip(records, blocks):
        theirs = [line.split(" ") for line in block.splitlines()]
        packed += sum(kind == "packed" for kind, _, _ in theirs)
        check(f"{stream}: the library sees the same", [(key, base64.b64decode(data)) for _, key, data in theirs] == list(user_records(shard, record)), block)
    check(f"{stream}: the library saw aggregates", packed > 0)
    print(f"{stream}: {packed} events by the Kinesis Client Library, in {len(records)} records", flush=True)


def rows_of(name, key, data, consumer):
    """(event id, row) of each event of a record."""
    if name == "columns":
        batch = consumer.decode(data)
        check("columns: a batch", batch is not None)
        yield from ((f"{batch.agent or key}/{name}/{n}", row) for n, row in zip(batch.sequences, batch.rows))
    elif name == "json":
        yield key, json.loads(data)
    else:
        check(f"{name}: a single object", name == "loose" or data[:2] == b"\xc3\x01")
        yield key, fastavro.schemaless_reader(io.BytesIO(data[0 if name == "loose" else 10:]), SCHEMA)


def events_of(name, clients):
    """(shard, event id, row) of each event that is there."""
    consumer = weir_columns.Consumer(lambda _: json.dumps(SCHEMA))
    if name == "lake":
        yield from (("", id_, row) for id_, row in lines_of(clients["s3"]))
        return
    for shard, record in records_of(clients["kinesis"], name):
        for key, data in user_records(shard, record):
            yield from ((shard, id_, row) for id_, row in rows_of(name, key, data, consumer))


def compare(case, clients):
    """What is there against what was written."""
    name = case.name
    seen, twice, last, places = {}, 0, {}, {}
    for shard, id_, row in events_of(name, clients):
        check(f"{name}: an id that says whose it is", id_.startswith(f"site-{name}/") and f"/{name}/" in id_, id_)
        place = (row["key"], row["n"])
        if id_ in seen:
            twice += 1
            check(f"{name}: the same event by the same id", seen[id_] == place, f"{id_}: {place} and {seen[id_]}")
            continue
        seen[id_] = place
        if name in ("loose", "lake"):         # which promise no order
            continue
        check(f"{name}: a key in one shard", name == SPLIT or places.setdefault(row["key"], shard) == shard, row["key"])
        check(f"{name}: in order", last.get(row["key"], 0) + 1 == row["n"], f"{row['key']}: {row['n']} behind {last.get(row['key'], 0)}")
        last[row["key"]] = row["n"]
    expected = {(f"key-{k}", n) for k, count in enumerate(case.writer.counts) for n in range(1, count + 1)}
    there = list(seen.values())
    check(f"{name}: none lost", expected <= set(there), f"{len(expected - set(there))} of {len(expected)}")
    check(f"{name}: none twice by another id", len(there) == len(set(there)), str(len(there) - len(set(there))))
    check(f"{name}: none that was never written", set(there) <= expected)
    print(f"{name}: {len(expected)} events, {twice} twice by their id, {case.kills} kills", flush=True)


def prepare(clients):
    for name, settings in CASES.items():
        if settings.get("type") != "firehose":
            clients["kinesis"].create_stream(StreamName=name, ShardCount=SHARDS)
            clients["kinesis"].get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    clients["s3"].create_bucket(Bucket="lake")
    clients["firehose"].create_delivery_stream(DeliveryStreamName="lake", ExtendedS3DestinationConfiguration={
        "RoleARN": "arn:aws:iam::123456789012:role/any", "BucketARN": "arn:aws:s3:::lake"})


def main():
    print(f"seed {SEED}", flush=True)
    dice = random.Random(SEED)
    services_ = kinesis, moto = Fake("kinesalite.sh", path_of("kinesis")), Fake("moto.sh", path_of("moto"))
    gates = Fake("aws-gate.sh", path_of("gate")), Fake("aws-gate.sh", path_of("lake-gate"))
    cases = []
    try:
        for service, gate in zip(services_, gates):
            service.start()
            gate.upstream = service.address
            gate.start(UPSTREAM=gate.upstream)
        session = reader_session()
        clients = {name: session.client(name, region_name="us-east-1", endpoint_url=url, aws_access_key_id="AKIDTEST",
                                        aws_secret_access_key="SECRETTEST")
                   for name, url in (("kinesis", kinesis.url), ("firehose", moto.url), ("s3", moto.url))}
        prepare(clients)
        services.service("certs.sh", path_of("tls"), stderr=subprocess.DEVNULL)
        front.need_http2()
        secure = front.Forward(path_of("tls"), gates[0].address, streams_max=STREAMS)
        for name in CASES:
            plain = {"endpoint": gates[name == "lake"].url}
            cases.append(Case(name, {"endpoint": secure.url, "tls": {"ca": path_of("tls/ca.pem")}} if name in HTTP2 else plain))
            cases[-1].start()
            cases[-1].writer.start()
        halfway = threading.Timer(SECONDS / 2, split, (clients["kinesis"], SPLIT))
        halfway.start()
        print("troubles:", ", ".join(trouble(gates, cases, dice)), flush=True)
        halfway.join()
        check("a shard was split", len(clients["kinesis"].list_shards(StreamName=SPLIT)["Shards"]) == SHARDS + 2)
        for case in cases:
            case.writer.stop()
        for case in cases:
            wait_for(f"delivery of {case.name}", case.has_sent_all, PATIENCE, 0.2)
            case.stop()
        for case in cases:
            compare(case, clients)
        compare_library(clients["kinesis"], "packed")
        check("HTTP/2, and nothing else where it is", secure.requests["h2"] > 2 * STREAMS and secure.requests["http/1.1"] == 0, str(secure.requests))
        print(f"{secure.requests['h2']} requests by HTTP/2, {secure.connections} connections", flush=True)
    finally:
        for case in cases:
            if case.process and case.process.poll() is None:
                case.process.send_signal(signal.SIGKILL)
                case.process.wait()
        for fake in (*gates, *services_):
            fake.stop()
    finish()


main()
