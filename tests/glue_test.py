"""Events under version ids of AWS Glue's schema registry (moto, which checks signatures and rights), through a real Kafka and through Kinesis (moto
again), read back as consumers do that know only the registry: rows by the package aws-glue-schema-registry, zlib's too, and batches in columns;
before and after a change of the schema.

usage: glue_test.py WEIR"""
import functools
import json
import os
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "services"))
sys.path.insert(0, os.path.join(HERE, "..", "uplink", "decoders", "python"))
import services                     # noqa: E402
services.need("aws_schema_registry", "glue")
import boto3                        # noqa: E402
from aws_schema_registry import SchemaRegistryClient  # noqa: E402
from aws_schema_registry.serde import KafkaDeserializer  # noqa: E402
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from weir_columns import Consumer as Decoder  # noqa: E402
from weir_columns.envelope import unwrap  # noqa: E402
from program import Agent, check, finish, free_port, path_of, wait_until, write  # noqa: E402

FIELDS = [{"name": "n", "type": "long"}, {"name": "unit", "type": "string"}, {"name": "value", "type": "double", "default": 0.5}]
STREAMS = ["krows", "kpacked", "kcolumns"]      # of Kinesis, and the uplinks to them


class Glue:
    def __init__(self):
        self.moto = services.Fake("moto.sh", path_of("moto"))
        self.moto.start("auth")
        self.key, self.secret = self.moto.credentials()
        self.client, self.kinesis = self.of("glue"), self.of("kinesis")
        self.stock = KafkaDeserializer(SchemaRegistryClient(self.client, registry_name="plant"))

    def of(self, service):
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.moto.url, aws_access_key_id=self.key, aws_secret_access_key=self.secret)

    @functools.lru_cache
    def schema(self, version):
        return self.client.get_schema_version(SchemaVersionId=str(uuid.UUID(bytes=version)))["SchemaDefinition"]


def read(kafka, topic):
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "g", "auto.offset.reset": "earliest", "log_level": 0})
    end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=services.PATIENCE)[1]
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = []
    while len(messages) < end:
        m = consumer.poll(services.PATIENCE)
        if m is None or m.error():
            raise SystemExit(f"{topic}: {m and m.error()}")
        messages.append(m.value())
    consumer.close()
    return messages


def read_kinesis(glue, stream):
    """Data of the records, in the order of the only shard."""
    shard = glue.kinesis.list_shards(StreamName=stream)["Shards"][0]["ShardId"]
    iterator = glue.kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    return [r["Data"] for r in glue.kinesis.get_records(ShardIterator=iterator, Limit=1000)["Records"]]


def messages(glue, kafka, name):
    return read_kinesis(glue, name) if name in STREAMS else read(kafka, name)


def rows(glue, message):
    """The event of a message, as AWS's users read it, and the id that it goes by."""
    if message[:2] not in (b"\x03\x00", b"\x03\x05"):
        raise SystemExit(f"no header of Glue: {message[:20]!r}")
    return glue.stock.deserialize("any", message).data, message[2:18]


def configuration(glue, kafka, fields, **more):
    write("s.avsc", json.dumps({"type": "record", "name": "Machine", "namespace": "plant", "fields": fields}))
    registry = {"url": glue.moto.url, "region": "us-east-1", "registry": "plant",
                "credentials": {"access_key_id": glue.key, "secret_access_key": glue.secret}, **more}
    kafka_uplink = {"type": "kafka", "brokers": [kafka.servers], "glue": registry}
    kinesis = {"type": "kinesis", "region": "us-east-1", "endpoint": glue.moto.url, "encoding": "json", "credentials": registry["credentials"],
               "linger": "200 ms", "glue": {"url": glue.moto.url, "registry": "plant"}}      # region and credentials are the uplink's
    zlib = {"compression": "zlib"}
    return {"agent": {"id": "g"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB"}, "streams": {"machine": {"schema": "s.avsc"}},
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "stream": "machine", "ack_interval": "5 ms"}},
            "uplinks": {"rows": {**kafka_uplink, "topic": "rows", "layout": "rows"},
                        "columns": {**kafka_uplink, "topic": "columns", "layout": "columns", "glue": {**registry, **zlib}},
                        "packed": {**kafka_uplink, "topic": "packed", "layout": "rows", "compression_level": 0, "glue": {**registry, **zlib}},
                        "krows": {**kinesis, "stream": "krows"},
                        "kpacked": {**kinesis, "stream": "kpacked", "glue": {**kinesis["glue"], **zlib}},
                        "kcolumns": {**kinesis, "stream": "kcolumns", "layout": "columns"}}}


ROWS = ["rows", "packed", "krows", "kpacked"]
COLUMNS = ["columns", "kcolumns"]


def columns(glue, kafka, name):
    decoder = Decoder(glue.schema)
    return [dict(event) for message in messages(glue, kafka, name) for event in decoder.rows(message)]


def post(agent, glue, kafka, events, total):
    status, _ = agent.post("/", "\n".join(map(json.dumps, events)), {"Content-Type": "application/x-ndjson"})
    check(f"{len(events)} events are stored", status == 200)

    def is_there():
        return all(len(messages(glue, kafka, name)) == total for name in ROWS) and all(len(columns(glue, kafka, name)) == total for name in COLUMNS)
    if not wait_until(is_there):
        raise SystemExit(f"not delivered: {agent.status()['uplinks']}")


def test_rows(glue, kafka, name, events):
    there = messages(glue, kafka, name)
    got = [rows(glue, m) for m in there]
    check(f"{name}: each event once, by the schema of its own id", sorted((e for e, _ in got), key=lambda e: e["n"]) == events, got[:2])
    packed = {m[1] for m in there}
    check(f"{name}: by zlib where that is smaller", packed == ({0, 5} if "packed" in name else {0}), packed)
    return {version for _, version in got}


def test_columns(glue, kafka, name, events):
    """The batch's own schema by its id in Glue, the rows' by the id within."""
    got = columns(glue, kafka, name)
    check(f"{name}: each event once", sorted(got, key=lambda e: e["n"]) == events, got[:2])
    ids = {unwrap(m).schema for m in messages(glue, kafka, name)}
    names = {json.loads(glue.schema(version))["name"] for version in ids}
    check(f"{name}: the schema of batches is in Glue", "Batch" in names or "weir.columns.Batch" in names, str(names))


def event(n, **more):
    """Every second one has something to pack."""
    return {"n": n, "unit": "bar " * (40 * (n % 2)), **more}


def main():
    glue = Glue()
    kafka = services.Kafka(path_of("kafka"))
    kafka.start()
    try:
        kafka.create({"rows": {}, "columns": {}, "packed": {}}, partitions=1)
        for stream in STREAMS:
            glue.kinesis.create_stream(StreamName=stream, ShardCount=1)
            glue.kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})
        config = configuration(glue, kafka, FIELDS[:2])
        denied, secret = glue.moto.credentials("denied")
        for uplink in config["uplinks"].values():
            uplink["glue"]["credentials"] = {"access_key_id": denied, "secret_access_key": secret}
        agent = Agent(config).start()
        agent.post("/", json.dumps(event(0)))
        for name in ("rows", "krows"):
            wait_until(lambda: "machine" in agent.status()["uplinks"][name]["standing"])
            text = agent.status()["uplinks"][name]["standing"].get("machine", "")
            check(f"{name} without rights: what, which one, what to do", "the credentials are refused: check them" in text and denied not in text, text)
        agent.stop()
        config = configuration(glue, kafka, FIELDS[:2])
        agent = Agent(config).start()
        for name in ("rows", "krows"):
            wait_until(lambda: "machine" in agent.status()["uplinks"][name]["standing"])
            text = agent.status()["uplinks"][name]["standing"].get("machine", "")
            check(f"{name} without a registry", "there is no such registry" in text, text)
        agent.stop()
        glue.client.create_registry(RegistryName="plant")
        agent = Agent(config).start()
        events = [event(n) for n in range(50)]
        post(agent, glue, kafka, events[1:], 50)
        for name in ROWS:
            ids = test_rows(glue, kafka, name, events)
            check(f"{name}: one id", len(ids) == 1, str(ids))
        agent.stop()
        agent = Agent(configuration(glue, kafka, FIELDS)).start()
        more = [event(n, value=n / 4) for n in range(50, 100)]
        post(agent, glue, kafka, more, 100)
        for name in ROWS:
            ids = test_rows(glue, kafka, name, events + more)
            check(f"{name}: two ids", len(ids) == 2, str(ids))
            schema = glue.client.get_schema(SchemaId={"RegistryName": "plant", "SchemaName": name})
            check(f"{name}: two versions of its schema", schema["LatestSchemaVersion"] == 2 and schema["Compatibility"] == "BACKWARD", str(schema))
        agent.stop()
        for name in COLUMNS:
            test_columns(glue, kafka, name, events + more)
    finally:
        kafka.end()
        glue.moto.stop()
    finish()


main()
