"""Events under version ids of AWS Glue's schema registry (moto, which checks signatures and rights), through a real Kafka, read back as a consumer
does that knows only the registry: rows and batches in columns, before and after a change of the schema.

usage: glue_test.py WEIR"""
import functools
import io
import json
import os
import subprocess
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "services"))
sys.path.insert(0, os.path.join(HERE, "..", "uplink", "decoders", "python"))
import services                     # noqa: E402
services.need_kafka_client()
import fastavro                     # noqa: E402
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from weir_columns import Consumer as Decoder  # noqa: E402
from program import Agent, check, finish, free_port, path_of, wait_until, write  # noqa: E402

FIELDS = [{"name": "n", "type": "long"}, {"name": "unit", "type": "string"}, {"name": "value", "type": "double", "default": 0.5}]


class Glue:
    def __init__(self):
        self.moto = services.Fake("moto.sh", path_of("moto"))
        self.moto.start("auth")
        self.key, self.secret = self.moto.credentials()

    def ask(self, op, body):
        """As AWS's own clients do; curl signs."""
        ran = subprocess.run(["curl", "-s", "--aws-sigv4", "aws:amz:us-east-1:glue", "-u", f"{self.key}:{self.secret}", "-d", json.dumps(body),
                              "-H", f"X-Amz-Target: AWSGlue.{op}", "-H", "Content-Type: application/x-amz-json-1.1", self.moto.url + "/"],
                             capture_output=True, text=True, check=True)
        return json.loads(ran.stdout)

    @functools.lru_cache
    def schema(self, version):
        return self.ask("GetSchemaVersion", {"SchemaVersionId": str(uuid.UUID(bytes=version))})["SchemaDefinition"]


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


def rows(glue, message):
    """The event of a message, as a consumer without anything of ours reads it, and the id that it goes by."""
    if message[:2] != b"\x03\x00":
        raise SystemExit(f"no header of Glue: {message[:20]!r}")
    schema = fastavro.parse_schema(json.loads(glue.schema(message[2:18])))
    return fastavro.schemaless_reader(io.BytesIO(message[18:]), schema), message[2:18]


def configuration(glue, kafka, fields, **more):
    write("s.avsc", json.dumps({"type": "record", "name": "Machine", "namespace": "plant", "fields": fields}))
    registry = {"url": glue.moto.url, "region": "us-east-1", "registry": "plant",
                "credentials": {"access_key_id": glue.key, "secret_access_key": glue.secret}, **more}
    uplink = {"type": "kafka", "brokers": [kafka.servers], "glue": registry}
    return {"agent": {"id": "g"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB"}, "streams": {"machine": {"schema": "s.avsc"}},
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "stream": "machine", "ack_interval": "5 ms"}},
            "uplinks": {"rows": {**uplink, "topic": "rows", "layout": "rows"}, "columns": {**uplink, "topic": "columns", "layout": "columns"}}}


def columns(glue, kafka):
    decoder = Decoder(glue.schema)
    return [dict(event) for message in read(kafka, "columns") for event in decoder.rows(message)]


def post(agent, glue, kafka, events, total):
    status, _ = agent.post("/", "\n".join(map(json.dumps, events)), {"Content-Type": "application/x-ndjson"})
    check(f"{len(events)} events are stored", status == 200)

    if not wait_until(lambda: len(read(kafka, "rows")) == total and len(columns(glue, kafka)) == total):
        raise SystemExit(f"not delivered: {agent.status()['uplinks']}")


def test_rows(glue, kafka, events):
    got = [rows(glue, m) for m in read(kafka, "rows")]
    check("rows: each event once, by the schema of its own id", [{**e} for e, _ in got] == events, got[:2])
    return {version for _, version in got}


def test_columns(glue, kafka, events):
    """The batch's own schema by its id in Glue, the rows' by the id within."""
    got = columns(glue, kafka)
    check("columns: each event once", got == events, got[:2])
    names = {json.loads(glue.schema(m[2:18]))["name"] for m in read(kafka, "columns")}
    check("the schema of batches is in Glue", "Batch" in names or "weir.columns.Batch" in names, str(names))


def main():
    glue = Glue()
    kafka = services.Kafka(path_of("kafka"))
    kafka.start()
    try:
        kafka.create({"rows": {}, "columns": {}}, partitions=1)
        config = configuration(glue, kafka, FIELDS[:2])
        denied, secret = glue.moto.credentials("denied")
        for uplink in config["uplinks"].values():
            uplink["glue"]["credentials"] = {"access_key_id": denied, "secret_access_key": secret}
        agent = Agent(config).start()
        agent.post("/", json.dumps({"n": 0, "unit": "bar"}))
        wait_until(lambda: "machine" in agent.status()["uplinks"]["rows"]["standing"])
        text = agent.status()["uplinks"]["rows"]["standing"].get("machine", "")
        check("without rights: what, which one, what to do", "the credentials are refused: check them" in text and denied not in text, text)
        agent.stop()
        config = configuration(glue, kafka, FIELDS[:2])
        agent = Agent(config).start()
        wait_until(lambda: "machine" in agent.status()["uplinks"]["rows"]["standing"])
        text = agent.status()["uplinks"]["rows"]["standing"].get("machine", "")
        check("without a registry", "there is no such registry" in text, text)
        agent.stop()
        glue.ask("CreateRegistry", {"RegistryName": "plant"})
        agent = Agent(config).start()
        events = [{"n": n, "unit": "bar"} for n in range(50)]
        post(agent, glue, kafka, events[1:], 50)
        ids = test_rows(glue, kafka, events)
        check("rows: one id", len(ids) == 1, str(ids))
        agent.stop()
        agent = Agent(configuration(glue, kafka, FIELDS)).start()
        more = [{"n": n, "unit": "bar", "value": n / 4} for n in range(50, 100)]
        post(agent, glue, kafka, more, 100)
        ids = test_rows(glue, kafka, events + more)
        check("rows: two ids", len(ids) == 2, str(ids))
        schema = glue.ask("GetSchema", {"SchemaId": {"RegistryName": "plant", "SchemaName": "rows"}})
        check("two versions of the topic's schema", schema["LatestSchemaVersion"] == 2 and schema["Compatibility"] == "BACKWARD", str(schema))
        agent.stop()
        test_columns(glue, kafka, events + more)
    finally:
        kafka.end()
        glue.moto.stop()
    finish()


main()
