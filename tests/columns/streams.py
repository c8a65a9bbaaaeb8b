#!/usr/bin/env python3
"""The Kafka Streams job of uplink/decoders/java on a real Kafka with a real registry: batches of `weir columns encode`, rows as ever, a tombstone and
damaged batches flow while the job is killed at random, and each row has to arrive once, equal, in the order of its key.

usage: streams.py WEIR        WEIR_KILLS (3; 40 with WEIR_LONG) and WEIR_SEED"""
import collections
import io
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "services"), str(HERE.parents[1] / "uplink/decoders/python")]
import services  # noqa: E402

services.need_kafka_client()

import confluent_kafka  # noqa: E402
import fastavro  # noqa: E402
import weir_columns  # noqa: E402

READING = {"type": "record", "name": "Reading", "fields": [
    {"name": "n", "type": "long"}, {"name": "device", "type": "string", "weir.values": ["pump-1", "pump-2"]},
    {"name": "value", "type": ["null", "double"]}, {"name": "note", "type": "string"}]}
BATCH = {"type": "record", "name": "Batch", "namespace": "weir.columns", "fields": [
    {"name": "schema", "type": ["int", {"type": "fixed", "name": "Crc64", "size": 8}, {"type": "fixed", "name": "Uuid", "size": 16}]},
    {"name": "agent", "type": "string"}, {"name": "count", "type": "int"}, {"name": "ints", "type": {"type": "array", "items": "long"}},
    {"name": "strings", "type": {"type": "array", "items": "string"}}, {"name": "planes", "type": "bytes"}, {"name": "rows", "type": "bytes"}]}
PARTITIONS = 4
ROWS = 40           # of a batch
PACE_S = 0.15       # between batches
DAMAGED = 3


class Source:
    """Numbered rows as messages of all kinds; remembers what has to come out."""

    def __init__(self, weir, directory, kafka, registry, chance):
        self.weir, self.chance = weir, chance
        self.schema_file = os.path.join(directory, "reading.avsc")
        pathlib.Path(self.schema_file).write_text(json.dumps(READING))
        self.row_id, self.batch_id = registry.register("readings-rows-value", READING), registry.register("weir.columns.Batch", BATCH)
        self.parsed = fastavro.parse_schema(READING)
        self.producer = confluent_kafka.Producer({"bootstrap.servers": kafka.servers, "log_level": 0, "enable.idempotence": True})
        self.n, self.sent, self.single, self.tombstones, self.damaged = 0, {}, 0, 0, 0

    def prefix(self, id_):
        return b"\0" + struct.pack(">i", id_)

    def row(self):
        self.n += 1
        c = self.chance
        return {"n": self.n, "device": f"pump-{c.randint(1, 4)}", "value": None if c.random() < 0.1 else round(c.gauss(20, 5), 2),
                "note": f"read {c.randrange(1000)} of {self.n}"}

    def batch(self, rows, first):
        lines = "".join(json.dumps({**r, "value": None if r["value"] is None else {"double": r["value"]}}) + "\n" for r in rows)
        done = subprocess.run([self.weir, "columns", "encode", self.schema_file, "-", "--sequence", str(first), "--schema-id", str(self.row_id)],
                              input=lines.encode(), capture_output=True, check=True)
        return self.prefix(self.batch_id) + done.stdout

    def send(self, topic, agent, value, first=0):
        timed = {} if self.chance.random() < 0.8 else {"timestamp": -1}  # of an agent without a clock
        self.producer.produce(topic, value, key=b"agent-%d" % agent, partition=agent % PARTITIONS,
                              headers=[("weir_id", b"p/1/s/%d" % first), ("origin", b"plant")], **timed)
        self.producer.poll(0)

    def send_batch(self, topic, count=ROWS, damaged=False):
        agent, rows = self.chance.randrange(7), [self.row() for _ in range(count)]
        message = self.batch(rows, 10 * rows[0]["n"])
        if damaged:
            self.damaged += 1
            self.send(topic, agent, message[:-2])
            return
        for i, r in enumerate(rows):
            self.sent[r["n"]] = (r, b"agent-%d" % agent, str(10 * rows[0]["n"] + i).encode())
        self.send(topic, agent, message, 10 * rows[0]["n"])

    def send_row(self, topic):
        agent, row, out = self.chance.randrange(7), self.row(), io.BytesIO()
        fastavro.schemaless_writer(out, self.parsed, row)
        self.sent[row["n"]] = (row, b"agent-%d" % agent, None)
        self.single += 1
        self.send(topic, agent, self.prefix(self.row_id) + out.getvalue())

    def send_tombstone(self, topic):
        self.tombstones += 1
        self.send(topic, 1, None)

    def run(self, topic, stop):
        """Until told to stop, and at least once of each kind."""
        turn = 0
        while not stop.is_set() or self.damaged < DAMAGED:
            turn += 1
            self.send_batch(topic, damaged=self.damaged < DAMAGED and turn % 20 == 7)
            if turn % 5 == 0:
                self.send_row(topic)
            if turn % 30 == 2:
                self.send_tombstone(topic)
            time.sleep(PACE_S)
        self.producer.flush()


class Job:
    """The program ColumnsToRows."""

    def __init__(self, classes, directory, kafka, registry, name, **settings):
        self.classes, self.directory, self.name = classes, directory, name
        self.log = os.path.join(directory, f"{name}.log")
        path = os.path.join(directory, f"{name}.properties")
        settings = {"application.id": name, "bootstrap.servers": kafka.servers, "schema.registry.url": registry.url, "session.timeout.ms": 6000,
                    "heartbeat.interval.ms": 1500, "transaction.timeout.ms": 5000, "num.stream.threads": 2, **settings}
        with open(path, "w") as f:
            f.writelines(f"{k.replace('__', '.')}={v}\n" for k, v in settings.items())
        self.file, self.starts = path, 0

    def start(self):
        self.starts += 1
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                 "-cp", self.classes, "weir.columns.streams.ColumnsToRows", self.file, f"state.dir={self.directory}/{self.name}-state-{self.starts}"],
                stdout=log, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Reader:
    """All that is committed of a topic so far."""

    def __init__(self, kafka, topic):
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": kafka.servers, "group.id": f"read-{topic}", "auto.offset.reset": "earliest", "isolation.level": "read_committed",
            "enable.auto.commit": False, "log_level": 0})
        self.consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        self.messages = []

    def poll(self, seconds=0.2):
        got = self.consumer.consume(1000, seconds)
        self.messages += [m for m in got if m.error() is None]
        return len(self.messages)


def check_rows(source, messages):
    """lost, twice, wrong, out of order"""
    seen, last, wrong, disorder, tombstones = collections.Counter(), {}, 0, 0, 0
    for m in messages:
        if m.value() is None:
            tombstones += 1
            continue
        row = fastavro.schemaless_reader(io.BytesIO(m.value()[5:]), source.parsed)
        wanted, key, sequence = source.sent.get(row["n"], (None, None, None))
        headers = [("weir_id", b"p/1/s/" + (sequence or b"0")), ("origin", b"plant")] + ([] if sequence is None else [("weir-sequence", sequence)])
        if row != wanted or m.key() != key or m.headers() != headers or m.value()[:5] != source.prefix(source.row_id):
            wrong += 1
        seen[row["n"]] += 1
        if seen[row["n"]] == 1:
            disorder += row["n"] < last.get(m.key(), 0)
            last[m.key()] = row["n"]
    return {"lost": len(source.sent.keys() - seen.keys()), "twice": sum(seen.values()) - len(seen), "wrong": wrong, "reordered": disorder,
            "tombstones_lost": source.tombstones - tombstones}


def check_dead(source, messages):
    headers = [dict(m.headers()) for m in messages]
    good = len(messages) == source.damaged and all(
        h["weir-error"].startswith(b"truncated") and h["weir-source"].startswith(b"batches-") and h["origin"] == b"plant" for h in headers)
    return 0 if good else 1


def killed_at_random(kafka, registry, classes, directory, weir, chance, kills):
    source = Source(weir, directory, kafka, registry, chance)
    kafka.create({"batches": {}, "rows": {}, "dead": {}}, PARTITIONS)
    jobs = [Job(classes, directory, kafka, registry, "to-rows", columns__topic="batches", rows__topic="rows", dead__letter__topic="dead",
                rows__sequence__header="weir-sequence", client__id=f"job-{i}") for i in range(2)]
    for i, job in enumerate(jobs):
        job.name = f"to-rows-{i}"
    stop, reader = threading.Event(), Reader(kafka, "rows")
    flow = threading.Thread(target=source.run, args=("batches", stop), daemon=True)
    flow.start()
    for job in jobs:
        job.start()
    services.wait_for("first row", lambda: reader.poll() > 0)
    for _ in range(kills):
        before = reader.poll(chance.uniform(0, 2))
        victims = chance.choice([jobs[:1], jobs[1:], jobs])
        for job in victims:
            job.kill()
        time.sleep(chance.uniform(0, 1))
        for job in victims:
            job.start()
        services.wait_for("row after a kill", lambda: reader.poll() > before + 100)
    stop.set()
    flow.join()
    wanted = len(source.sent) + source.tombstones
    services.wait_for("all rows", lambda: reader.poll() >= wanted)
    for job in jobs:
        job.process.terminate()
    codes = [job.process.wait(60) for job in jobs]
    reader.poll(2)
    dead = Reader(kafka, "dead")
    services.wait_for("dead letters", lambda: dead.poll() >= source.damaged)
    dead.poll(1)
    result = {**check_rows(source, reader.messages), "dead_wrong": check_dead(source, dead.messages), "exit_wrong": sum(c != 143 for c in codes)}
    return len(source.sent), result


def consume(classes, kafka, registry, topic, count):
    """The rows of a topic as Java's consumer has them with the deserializer."""
    done = subprocess.run(["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", classes,
                           "Consume", kafka.servers, registry.url, topic, str(count)], stdout=subprocess.PIPE, timeout=services.PATIENCE, check=True)
    return [json.loads(line) for line in done.stdout.split(b"\n")[:-1]]


def stops_at_damage(kafka, registry, classes, directory, weir, chance):
    """Without a topic for dead letters; and the key of a row from a field of it."""
    source = Source(weir, directory, kafka, registry, chance)
    kafka.create({"few": {}, "few-rows": {}}, PARTITIONS)
    job = Job(classes, directory, kafka, registry, "few-to-rows", columns__topic="few", rows__topic="few-rows", rows__key="field:device")
    source.send_batch("few")
    source.send_row("few")
    source.send_tombstone("few")
    source.producer.flush()
    job.start()
    reader = Reader(kafka, "few-rows")
    services.wait_for("rows with keys of their own", lambda: reader.poll() >= ROWS + 2)
    read = consume(classes, kafka, registry, "few", len(source.sent))
    read_wrong = int(sorted(read, key=lambda r: r["n"]) != [row for row, _, _ in source.sent.values()])
    keys_wrong = 0
    for m in reader.messages:
        if m.value() is not None:
            row, key, sequence = source.sent[fastavro.schemaless_reader(io.BytesIO(m.value()[5:]), source.parsed)["n"]]
            keys_wrong += m.key() != (key if sequence is None else row["device"].encode())
    source.send_batch("few", damaged=True)
    source.producer.flush()
    code = job.process.wait(services.PATIENCE)
    return {"read_wrong": read_wrong, "keys_wrong": keys_wrong, "stop_wrong": int(code != 1 or reader.poll(1) != ROWS + 2)}


def posted(agent, lines):
    """Sent to the agent until it has acknowledged them."""
    request = urllib.request.Request(f"http://127.0.0.1:{agent.http_port}/readings", "".join(json.dumps(r) + "\n" for r in lines).encode(),
                                     {"Content-Type": "application/x-ndjson"})
    with urllib.request.urlopen(request, timeout=services.PATIENCE) as answer:
        assert json.load(answer)["stored"] == len(lines)


def from_the_agent(kafka, registry, classes, directory, weir, chance):
    """Agent, Kafka, job: what the agent has acknowledged is in the topic with batches for Python's and Java's consumers, and once in that of rows."""
    kafka.create({"readings": {}, "agent-rows": {}}, PARTITIONS)
    source = Source(weir, directory, kafka, registry, chance)
    place = os.path.join(directory, "agent")
    os.makedirs(place)
    agent = services.Agent(weir, place)
    uplink = {"type": "kafka", "brokers": kafka.servers.split(","), "topic": "{stream}", "layout": "columns", "backoff_max": "2 s", "registry": {"url": registry.url},
              "streams": ["readings"]}
    pathlib.Path(agent.path).write_text(json.dumps({
        "agent": {"id": "plant"}, "buffer": {"path": os.path.join(place, "buffer.db"), "commit_interval": "200 ms"},
        "streams": {"readings": {"schema": source.schema_file, "key": "device"}},
        "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{agent.http_port}", "stream": "readings"}},
        "uplinks": {"cloud": uplink}}))
    job = Job(classes, directory, kafka, registry, "agent-to-rows", columns__topic="readings", rows__topic="agent-rows", rows__key="field:device")
    rows, reader, raw = [], Reader(kafka, "agent-rows"), Reader(kafka, "readings")
    agent.start()
    job.start()
    for turn in range(4):
        lines = [source.row() for _ in range(300)]
        posted(agent, lines)
        rows += lines
        if turn == 1:
            services.wait_for("rows of the agent", lambda: reader.poll() >= len(rows))
        if turn == 2:
            agent.kill()
            job.kill()
            agent.start()
            job.start()
    services.wait_for("all rows of the agent", lambda: reader.poll() >= len(rows))
    reader.poll(1)
    agent.stop()
    job.kill()
    got = [fastavro.schemaless_reader(io.BytesIO(m.value()[5:]), source.parsed) for m in reader.messages]
    raw.poll(1)
    consumer = weir_columns.Consumer(lambda id_: registry.ask(f"/schemas/ids/{id_}")["schema"])
    python = [row for m in raw.messages for row in consumer.rows(m.value())]
    java = consume(classes, kafka, registry, "readings", len(rows))
    by_n = lambda of: sorted(of, key=lambda r: r["n"])
    return len(raw.messages), {"agent_wrong": sum(by_n(of) != rows for of in (got, python, java))}


def main():
    seed = int(os.environ.get("WEIR_SEED", "1"))
    kills = int(os.environ.get("WEIR_KILLS", "40" if os.environ.get("WEIR_LONG") else "3"))
    chance = random.Random(seed)
    classes = services.service("columns_java.sh", stdout=subprocess.PIPE, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as directory:
        kafka, registry = services.Kafka(os.path.join(directory, "kafka")), services.Registry(os.path.join(directory, "registry"))
        try:
            kafka.start("group.initial.rebalance.delay.ms=0", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000")
            registry.start()
            rows, result = killed_at_random(kafka, registry, classes, directory, sys.argv[1], chance, kills)
            batches, more = from_the_agent(kafka, registry, classes, directory, sys.argv[1], chance)
            result.update(more)
            result.update(stops_at_damage(kafka, registry, classes, directory, sys.argv[1], chance))
        finally:
            for log in pathlib.Path(directory).glob("*.log"):
                if sys.exc_info()[0]:
                    print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
            registry.stop()
            kafka.end()
    print(f"streams broker={kafka.version} seed={seed} kills={kills} rows={rows} agent_batches={batches} " + " ".join(f"{k}={v}" for k, v in result.items()))
    sys.exit(1 if any(result.values()) else 0)


if __name__ == "__main__":
    main()
