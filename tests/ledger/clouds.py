"""The ledger of one agent with Kafka, Kinesis, Pub/Sub, S3 and files at once, one of them dead from the start, while the agent is killed. The
others deliver everything meanwhile, and are not held up; the buffer keeps for the dead one what its hold_max allows. Then it comes to life, and what it
lacks is what the gap records of weir.events say, to the event.

usage: clouds.py WEIR [DEAD...]     DEAD: kafka kinesis pubsub s3 files; one by WEIR_SEED, with WEIR_LONG=1 each in turn"""
import base64
import collections
import glob
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services     # noqa: E402
from services import PATIENCE, Fake, free_ports, service, wait_for     # noqa: E402
services.need("google.cloud.pubsub_v1", "cloud")
import boto3        # noqa: E402
import botocore.session     # noqa: E402
import fastavro     # noqa: E402
from confluent_kafka import Consumer, TopicPartition     # noqa: E402
from full import Feed       # noqa: E402

SCHEMA = {"type": "record", "name": "Numbered", "fields": [
    {"name": "n", "type": "long"}, {"name": "key", "type": "string"}, {"name": "value", "type": "double"}, {"name": "pad", "type": "string"}]}
KEY = {"aws_access_key_id": "AKIDTEST", "aws_secret_access_key": "SECRETTEST", "region_name": "us-east-1"}
CREDENTIALS = {"access_key_id": "AKIDTEST", "secret_access_key": "SECRETTEST"}
HOLD_MAX = "12 %"
EVENTS_HELD = 6000      # as many fit into hold_max
EVENTS = 40000          # and as many do not


def datum(message):
    assert message[:2] == b"\xc3\x01", message[:10]
    return fastavro.schemaless_reader(io.BytesIO(message[10:]), SCHEMA, None)["n"]


class Kafka:
    def __init__(self, directory):
        self.kafka = services.Kafka(os.path.join(directory, "kafka"))

    def uplink(self):
        return {"type": "kafka", "brokers": [self.kafka.servers], "topic": "numbered"}

    def start(self):
        self.kafka.start()
        self.kafka.create({"numbered": {}})

    def read(self):
        consumer = Consumer({"bootstrap.servers": self.kafka.servers, "group.id": "g", "enable.partition.eof": True})
        consumer.assign([TopicPartition("numbered", p, 0) for p in range(2)])
        numbers, ends = [], 0
        while ends < 2:
            message = consumer.poll(PATIENCE)
            if message.error():
                ends += 1
            else:
                numbers.append(datum(message.value()))
        consumer.close()
        return numbers

    def stop(self):
        self.kafka.end()


class Kinesis:
    def __init__(self, directory):
        self.service = Fake("kinesalite.sh", os.path.join(directory, "kinesis"))
        # What was written as CBOR kinesalite gives to who reads JSON as Node prints a buffer.
        session = botocore.session.get_session()
        session.get_component("response_parser_factory").set_parser_defaults(
            blob_parser=lambda value: bytes(value["data"]) if isinstance(value, dict) else base64.b64decode(value))
        self.client = boto3.Session(botocore_session=session).client("kinesis", endpoint_url=self.service.url, **KEY)

    def uplink(self):
        return {"type": "kinesis", "region": "us-east-1", "endpoint": self.service.url, "stream": "numbered", "credentials": CREDENTIALS, "aggregate_size": "50 KiB"}

    def start(self):
        os.makedirs(self.service.dir, exist_ok=True)
        self.service.start()
        self.client.create_stream(StreamName="numbered", ShardCount=2)
        self.client.get_waiter("stream_exists").wait(StreamName="numbered")

    def read(self):
        from aws_kinesis_agg.deaggregator import deaggregate_records
        numbers = []
        for shard in self.client.list_shards(StreamName="numbered")["Shards"]:
            at = self.client.get_shard_iterator(StreamName="numbered", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            while True:
                got = self.client.get_records(ShardIterator=at, Limit=1000)
                shaped = [{"kinesis": {"data": base64.b64encode(r["Data"]).decode(), "partitionKey": r["PartitionKey"], "sequenceNumber": r["SequenceNumber"],
                                       "kinesisSchemaVersion": "1.0", "approximateArrivalTimestamp": 0}, "eventID": "shardId-0:" + r["SequenceNumber"]}
                          for r in got["Records"]]
                numbers += [datum(base64.b64decode(user["kinesis"]["data"])) for user in deaggregate_records(shaped)]
                at = got["NextShardIterator"]
                if not got["Records"]:
                    break
        return numbers

    def stop(self):
        self.service.stop()


class PubSub:
    NAMES = {"name": "projects/p1/subscriptions/numbered", "topic": "projects/p1/topics/numbered"}

    def __init__(self, directory):
        self.dir, self.port = os.path.join(directory, "pubsub"), free_ports(2)
        os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{self.port}"

    def uplink(self):
        return {"type": "pubsub", "project": "p1", "topic": "numbered"}

    def start(self):
        from google.cloud import pubsub_v1
        os.makedirs(self.dir, exist_ok=True)
        service("pubsub.sh", "start", self.dir, str(self.port))
        pubsub_v1.PublisherClient().create_topic(name=self.NAMES["topic"])
        self.subscriber = pubsub_v1.SubscriberClient()
        self.subscriber.create_subscription(request={**self.NAMES, "ack_deadline_seconds": 600})

    def read(self):
        numbers, quiet = [], 0
        while quiet < 3:
            got = self.subscriber.pull(request={"subscription": self.NAMES["name"], "max_messages": 1000, "return_immediately": True}).received_messages
            quiet = 0 if got else quiet + 1
            if got:
                numbers += [datum(m.message.data) for m in got]
                self.subscriber.acknowledge(request={"subscription": self.NAMES["name"], "ack_ids": [m.ack_id for m in got]})
        return numbers

    def stop(self):
        service("pubsub.sh", "stop", self.dir)


class S3:
    def __init__(self, directory):
        self.service = Fake("versitygw.sh", os.path.join(directory, "s3"))
        self.client = boto3.client("s3", endpoint_url=self.service.url, **KEY)

    def uplink(self):
        return {"type": "s3", "bucket": "numbered", "endpoint": self.service.url, "region": "us-east-1", "credentials": CREDENTIALS}

    def start(self):
        os.makedirs(self.service.dir, exist_ok=True)
        self.service.start()
        self.client.create_bucket(Bucket="numbered")

    def read(self):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="numbered")
        names = [item["Key"] for page in pages for item in page.get("Contents", [])]
        return [r["n"] for name in names for r in fastavro.reader(self.client.get_object(Bucket="numbered", Key=name)["Body"])]

    def stop(self):
        self.service.stop()


class Files:
    """Dead: a file is where its folder shall be."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "files")
        with open(self.path, "w"):
            pass

    def uplink(self):
        return {"type": "file", "path": self.path, "time_max": "1 s"}

    def start(self):
        os.remove(self.path)

    def read(self):
        return [r["n"] for path in glob.glob(os.path.join(self.path, "numbered", "**", "*.avro"), recursive=True) for r in fastavro.reader(open(path, "rb"))]

    def stop(self):
        pass


KINDS = {"kafka": Kafka, "kinesis": Kinesis, "pubsub": PubSub, "s3": S3, "files": Files}
MAY_BE_TWICE = {"kinesis", "pubsub"}      # a request that was killed with the agent is there twice, for consumers to drop by event id


class Agent(services.Agent):
    def __init__(self, program, directory, places):
        super().__init__(program, directory)
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        common = {"streams": ["numbered"], "backoff_max": "1 s", "linger": "200 ms", "from": "oldest", "hold_max": HOLD_MAX}
        told = {"type": "file", "path": os.path.join(directory, "told"), "streams": ["weir.events"], "time_max": "1 s", "from": "oldest"}
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "clouds", "socket": os.path.join(directory, "weir.sock")},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "32 MiB", "commit_interval": "100 ms"},
                "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
                "drivers": {"post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "20 ms"}},
                "uplinks": {**{kind: {**place.uplink(), **common} for kind, place in places.items()}, "told": told}}, f)

    def owed(self, uplink):
        return self.status()["uplinks"][uplink]["owed"].get("numbered", 0)

    def gaps(self):
        paths = glob.glob(os.path.join(self.dir, "told", "**", "*.avro"), recursive=True)
        return [r for path in paths for r in fastavro.reader(open(path, "rb")) if r["kind"] == "gap" and r["stream"] == "numbered"]


def feed_to(agent, feed, count, kills, chance):
    """Until so many are acknowledged; the agent is killed in between."""
    at = sorted(chance.randrange(feed.acked, count) for _ in range(kills))
    while feed.acked < count:
        if not feed.step():
            time.sleep(0.05)
        if at and feed.acked >= at[0]:
            at.pop(0)
            agent.kill()
            agent.start()


def run(program, dead, directory, chance):
    places = {kind: make(directory) for kind, make in KINDS.items()}
    alive = [kind for kind in places if kind != dead]
    for kind in alive:
        places[kind].start()
    agent, failures = Agent(program, directory, places), []

    def check(what, good, shown=""):
        if not good:
            failures.append(what)
            print(f"FAILED: dead={dead}: {what} {shown}", flush=True)
    try:
        agent.start()
        feed = Feed(chance, agent.http_port)
        feed_to(agent, feed, EVENTS_HELD, 2, chance)
        wait_for("all to be sent but to the dead one", lambda: all(agent.owed(kind) == 0 for kind in alive))
        check("all is kept for the dead one", agent.owed(dead) == feed.acked, f"{agent.owed(dead)} of {feed.acked}")
        feed_to(agent, feed, EVENTS, 2, chance)
        wait_for("all to be sent but to the dead one", lambda: all(agent.owed(kind) == 0 for kind in alive))
        status = agent.status()
        check("the others were not retried in their last life", all(status["uplinks"][kind]["retried"] == 0 for kind in alive), json.dumps(status["uplinks"]))
        check("and have no fault, as the dead one has", [kind for kind in places if status["uplinks"][kind].get("fault")] == [dead], json.dumps(status["uplinks"]))
        held = agent.owed(dead)
        check("the dead one's part of the buffer has its bound", EVENTS_HELD < held < feed.acked, str(held))
        places[dead].start()
        wait_for("all to be sent", lambda: all(agent.owed(kind) == 0 for kind in places))
        agent.stop()        # a gap that may still grow is told when the agent stops
        agent.start()
        wait_for("all to be told", lambda: not agent.status()["uplinks"]["told"]["owed"])
        agent.stop()
        seen = {kind: place.read() for kind, place in places.items()}
        gaps = agent.gaps()
    finally:
        agent.kill()
        for place in places.values():
            place.stop()
    everything = set(range(1, feed.acked + 1))
    for kind, numbers in seen.items():
        twice = sum(collections.Counter(numbers).values()) - len(set(numbers))
        lacks = everything - set(numbers)
        dropped = sum(g["count"] for g in gaps if g["uplink"] in ("", kind))
        check(f"{kind}: what is lacking is told", len(lacks) == dropped, f"lacks {len(lacks)}, told {dropped}")
        check(f"{kind}: nothing is lacking, nothing unknown", (kind == dead or not lacks) and set(numbers) <= everything)
        check(f"{kind}: nothing twice", kind in MAY_BE_TWICE or twice == 0, str(twice))
        if kind == dead:
            check(f"{kind}: it has the newest, as many as were held", len(set(numbers)) >= held and max(everything) in numbers, str(len(set(numbers))))
    print(f"ledger clouds dead={dead} acked={feed.acked} held={held} "
          + " ".join(f"{kind}={len(numbers)}" for kind, numbers in seen.items()) + f" failed={len(failures)}", flush=True)
    return not failures


def main():
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    chance = random.Random(seed)
    dead = sys.argv[2:] or (list(KINDS) if os.environ.get("WEIR_LONG") == "1" else [chance.choice(list(KINDS))])
    print(f"clouds seed={seed}", flush=True)
    good = True
    for kind in dead:
        directory = tempfile.mkdtemp(prefix="weir-clouds.")
        if run(sys.argv[1], kind, directory, chance):
            shutil.rmtree(directory)
        else:
            good = False
            print(f"seed={seed}; what was written is in {directory}")
    sys.exit(0 if good else 1)


main()
