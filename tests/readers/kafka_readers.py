"""What weir delivers to a real Kafka is read by the readers of others: Java's console consumer, and Python's AvroDeserializer with a real
registry; keys are where Java's producer puts them; without its registry the agent goes on.

usage: kafka_readers.py BUILD_FOLDER     with the python of tests/services/readers.sh kafka"""
import copy
import decimal
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid

import fastavro
import fastavro.schema
from confluent_kafka import Consumer, KafkaError, TIMESTAMP_CREATE_TIME, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import data
from peers import Agent, Kafka
from services import PATIENCE, Registry, wait_for       # where it lies, peers has said

PARTITIONS = 7
STREAMS = ("energy", "buttons", "gnss", "typed")
failures = []


def check(what, good, shown=""):
    print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ' ' + str(shown)[:600]}", flush=True)
    if not good:
        failures.append(what)


# --- reading back ---

def read_back(kafka, topic):
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "readers", "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0})
    count = len(consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in range(count)])
    ended, messages, until = set(), [], time.monotonic() + PATIENCE
    while len(ended) < count and time.monotonic() < until:
        message = consumer.poll(1)
        if message is not None and not message.error():
            messages.append(message)
        elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
    consumer.close()
    return messages


def wait_delivered(kafka, topic, count):
    """Until the topic has that many records: what is read is compared afterwards."""
    admin = Consumer({"bootstrap.servers": kafka.servers, "group.id": "marks", "log_level": 0})

    def there():
        partitions = admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions
        return sum(admin.get_watermark_offsets(TopicPartition(topic, p), timeout=PATIENCE)[1] for p in partitions) >= count
    wait_for(f"{count} records in {topic}", there)
    admin.close()


# --- the tests ---

def test_values(kafka, registry, agent, streams):
    """Every value as the source line has it, by AvroDeserializer and the registry's schema."""
    client = SchemaRegistryClient({"url": registry.url})
    deserializer = AvroDeserializer(client)
    for name, stream in streams.items():
        messages = read_back(kafka, name)
        got = {}
        for m in messages:
            value = deserializer(m.value(), SerializationContext(name, MessageField.VALUE))
            got.setdefault(data.identity(value), []).append(value)
        expected = {}
        for line in stream.lines:
            value = stream.expected(line)
            expected.setdefault(data.identity(value), []).append(value)
        check(f"{name}: {len(stream.lines)} events", len(messages) == len(stream.lines), len(messages))
        wrong = next(((k, got.get(k), v) for k, v in expected.items() if got.get(k) != v), None)
        check(f"{name}: the values are those of the lines, to the last digit", got == expected, wrong)
        schema_id = client.get_latest_version(f"{name}-value").schema_id
        check(f"{name}: magic byte and the registry's id", all(m.value()[:5] == b"\0" + schema_id.to_bytes(4, "big") for m in messages))


def test_keys_and_headers(kafka, streams, began):
    sequences = set()
    for name, stream in streams.items():
        messages = read_back(kafka, name)
        keys = {m.key().decode() for m in messages}
        check(f"{name}: keys", keys == set(map(stream.key_of, stream.lines)), keys)
        stamps = [m.timestamp() for m in messages]
        good = all(kind == TIMESTAMP_CREATE_TIME and began - 1000 <= at <= time.time() * 1000 + 1000 for kind, at in stamps)
        check(f"{name}: the time stamp is the time of sending", good, stamps[:3])
        headers = [dict(m.headers() or []) for m in messages]
        ids = [h.get("weir_id", b"").decode().split("/") for h in headers]
        check(f"{name}: the header names agent, incarnation, stream, sequence",
              all(len(i) == 4 and i[0] == "readers" and i[2] == name for i in ids), ids[:3])
        check(f"{name}: sequences are 1 to n", sorted(int(i[3]) for i in ids) == list(range(1, len(messages) + 1)))
        sequences.update("/".join(i) for i in ids)
    check("no identity twice", len(sequences) == sum(len(s.lines) for s in streams.values()))


def java_consumer(kafka, topic, count):
    """What Java's console consumer prints: partition, key and raw value of each record, cut by what no record has."""
    cut, end = "<|" + uuid.uuid4().hex + "|>", "<." + uuid.uuid4().hex + ".>"
    words = ["--topic", topic, "--from-beginning", "--max-messages", str(count), "--timeout-ms", str(PATIENCE * 1000)]
    for p in ("print.partition=true", "print.key=true", f"key.separator={cut}", f"line.separator={end}"):
        words += ["--formatter-property", p]
    printed = kafka.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *words)
    return [record.split(cut.encode(), 2) for record in printed.split(end.encode()) if record]


def test_java_consumer(kafka, name, stream):
    expected = sorted([f"Partition:{m.partition()}".encode(), m.key(), m.value()] for m in read_back(kafka, name))
    got = sorted(java_consumer(kafka, name, len(stream.lines)))
    check(f"{name}: Java's console consumer reads the same partitions, keys and bytes", got == expected,
          next(((g, e) for g, e in zip(got, expected) if g != e), (len(got), len(expected))))


def test_partitions(kafka, streams):
    """Java's producer, with its own partitioner, puts each key where weir has put it."""
    ours = {}
    for name in streams:
        for m in read_back(kafka, name):
            ours.setdefault(m.key(), set()).add(m.partition())
    check("a key is on one partition", all(len(p) == 1 for p in ours.values()))
    lines = b"".join(key + b"\tx\n" for key in ours)
    kafka.tool("org.apache.kafka.tools.ConsoleProducer", "--topic", "java", "--reader-property", "parse.key=true", stdin=lines)
    theirs = {m.key(): {m.partition()} for m in read_back(kafka, "java")}
    used = {p for partitions in ours.values() for p in partitions}
    check(f"{len(ours)} keys on {len(used)} partitions, each where Java's producer puts it", theirs == ours and len(used) == PARTITIONS,
          [(k, ours.get(k), theirs.get(k)) for k in ours if ours.get(k) != theirs.get(k)][:5])


def fault_of(agent, stream):
    return agent.status()["uplinks"]["cloud"]["standing"].get(stream, "")


def test_refused_schema(kafka, registry, agent, streams):
    """A schema that the registry refuses parks its stream, says so, and no other stream waits."""
    registry.register("refused-value", data.OTHER_REFUSED)
    agent.post("refused", ['{"n": 1, "s": "a"}\n'])
    wait_for("word of the refused schema", lambda: fault_of(agent, "refused"))
    fault = fault_of(agent, "refused")
    check("the status names the subject and the reason", "refused-value" in fault and "ncompatible" in fault, fault)
    more = streams["energy"].more(50)
    agent.post("energy", more)
    wait_delivered(kafka, "energy", len(streams["energy"].lines))
    check("the other streams go on", len(read_back(kafka, "energy")) == len(streams["energy"].lines))
    check("and the status says still that it stands", fault_of(agent, "refused") == fault, fault_of(agent, "refused"))
    check("the refused event is kept", agent.stream("refused")["events"] == 1 and not read_back(kafka, "refused"))


def test_look_up_only(kafka, registry, work, build):
    """An agent that may not register takes a schema that is there, and waits for one that is not."""
    streams = {"buttons": data.stream("buttons", 40), "unknown": data.stream("energy", 3)}
    second = Agent(build, os.path.join(work, "second"), streams, kafka, {"url": registry.url, "register": False})
    before = len(read_back(kafka, "buttons"))
    second.start()
    second.post("unknown", streams["unknown"].lines)
    second.post("buttons", streams["buttons"].lines)
    wait_delivered(kafka, "buttons", before + 40)
    wait_for("word of the unknown schema", lambda: fault_of(second, "unknown"))
    fault = fault_of(second, "unknown")
    check("look-up only: the known schema is used, the unknown one is named", "not registered" in fault and "unknown-value" in fault, fault)
    check("look-up only: nothing was registered", "unknown-value" not in registry.subjects(), registry.subjects())
    second.kill()
    registry.register("unknown-value", streams["unknown"].schema)
    second.start()
    wait_delivered(kafka, "unknown", 3)
    check("look-up only: registered by another hand, it goes out", len(read_back(kafka, "unknown")) == 3)
    second.stop()


def test_offline(kafka, registry, agent, streams):
    """With the registry gone a restarted agent goes on with the ids that it keeps."""
    ids = {m.value()[:5] for m in read_back(kafka, "typed")}
    agent.stop()
    registry.stop()
    agent.start()
    agent.post("typed", streams["typed"].more(100))
    wait_delivered(kafka, "typed", len(streams["typed"].lines))
    messages = read_back(kafka, "typed")
    check("without the registry: events go out under the kept id", {m.value()[:5] for m in messages} == ids and
          len(messages) == len(streams["typed"].lines), len(messages))


def without_times(schema):
    """The numbers as they are stored: only decimals are converted by the reader."""
    if isinstance(schema, dict):
        return {k: without_times(v) for k, v in schema.items() if k != "logicalType" or v == "decimal"}
    return [without_times(s) for s in schema] if isinstance(schema, list) else schema


def test_framings(kafka, work, build):
    """Without a registry: single-object encoding and bare datums as fastavro reads them, and plain JSON, whose values are the same."""
    stream = data.stream("typed", 200)
    framings = ("single_object", "none", "json")
    kafka.topics({f"{framing}.typed": 3 for framing in framings})
    agent = Agent(build, os.path.join(work, "framings"), {"typed": stream}, kafka, None, framings=framings)
    agent.start()
    agent.post("typed", stream.lines)
    schema = fastavro.parse_schema(copy.deepcopy(stream.schema))
    header = b"\xc3\x01" + bytes.fromhex(fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(stream.schema), "CRC-64-AVRO"))
    numbers = fastavro.parse_schema(without_times(stream.schema))
    bodies = {}
    for framing in framings:
        wait_delivered(kafka, f"{framing}.typed", len(stream.lines))
        bodies[framing] = {m.key() + m.partition().to_bytes(4, "big") + m.offset().to_bytes(8, "big"): m.value()
                           for m in read_back(kafka, f"{framing}.typed")}
    agent.stop()
    datums = sorted(bodies["none"].values())
    expected = sorted(data.identity(stream.expected(line)) for line in stream.lines)
    got = sorted(data.identity(fastavro.schemaless_reader(io.BytesIO(d), schema)) for d in datums)
    check("framing none: the bare datums", got == expected, next(((g, e) for g, e in zip(got, expected) if g != e), len(got)))
    check("framing single_object: C3 01, the fingerprint, the datum", sorted(bodies["single_object"].values()) == [header + d for d in datums])
    plain = sorted(json.loads(b, parse_float=decimal.Decimal).items().__repr__() for b in bodies["json"].values())
    wanted = sorted(fastavro.schemaless_reader(io.BytesIO(d), numbers).items().__repr__() for d in datums)
    check("framing json: the fields with the same values", plain == wanted, next(((g, e) for g, e in zip(plain, wanted) if g != e), len(plain)))


def test_letters(kafka, work, build):
    """What is set aside, by intake and because it is too large for the topic, is on the topic for dead letters, with the reason in headers."""
    kafka.topics({"small": 1, "small.dead": 1})
    agent = Agent(build, os.path.join(work, "letters"), {"small": data.REFUSED}, kafka, {"url": "http://127.0.0.1:1"})
    agent.change(lambda config: config["streams"]["small"].update(dead_letter="{stream}.dead"))
    agent.change(lambda config: config["uplinks"]["cloud"].update(message_size_max="4 KiB", framing="none"))
    agent.change(lambda config: config["uplinks"]["cloud"].pop("registry"))
    bad, large = b'{"n": "abc", "s": "a"}', '{"n": 7, "s": "%s"}' % ("x" * 9000)
    agent.start()
    answer = agent.post_raw("small", b'{"n": 1, "s": "a"}\n' + bad + b"\nno json\xff\n" + large.encode() + b"\n")
    check("two lines are set aside at once", answer["stored"] == 2 and [a["line"] for a in answer["aside"]] == [2, 3], answer)
    wait_delivered(kafka, "small.dead", 3)
    agent.kill()
    agent.start()
    wait_for("the end of the backlog", lambda: agent.status()["backlog"] == 0 and agent.stream("weir.dead.small")["events"] == 0)
    letters = [(m.value(), {k: v.decode() for k, v in m.headers()}) for m in read_back(kafka, "small.dead")]
    check("three letters, each once, and the event that fits", len(letters) == 3 and len(read_back(kafka, "small")) == 1, letters)
    letters.sort(key=lambda letter: len(letter[0]))
    bodies = [body for body, _ in letters]
    datum = b"\x0e" + b"\xd0\x8c\x01" + b"x" * 9000
    check("the original bytes, and the datum cut to what the topic takes", bodies[0] == b"no json\xff" and bodies[1] == bad and
          1000 < len(bodies[2]) < 4096 and datum.startswith(bodies[2]), [b[:40] for b in bodies])
    headers = [h for _, h in letters]
    check("headers of what intake refused", all(h["weir_stream"] == "small" and h["weir_driver"] == "post" and h["weir_subject"] == "small" and
                                                h["weir_source"] and "weir_uplink" not in h for h in headers[:2]), headers)
    check("the reason names field and value", "n" in headers[1]["weir_reason"] and "abc" in headers[1]["weir_reason"], headers[1])
    fingerprint = fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(data.REFUSED.schema), "CRC-64-AVRO")
    check("headers of what the topic refused", headers[2]["weir_uplink"] == "cloud" and headers[2]["weir_sequence"] == "2" and
          headers[2]["weir_size"] == str(len(datum)) and bytes.fromhex(headers[2]["weir_schema"])[::-1].hex() == fingerprint and
          "weir_driver" not in headers[2], headers[2])
    check("all have the time", all(abs(int(h["weir_time"]) / 1e6 - time.time()) < 600 for h in headers), headers)
    agent.stop()
    agent.change(lambda config: config["uplinks"]["cloud"].update(message_size_max="1 MiB"))
    agent.start()
    r = agent.command("aside", "replay", "--json", "--buffer", os.path.join(agent.dir, "buffer.db"))
    answer = json.loads(r.stdout)
    check("with room for it the refused event is sent again, alone", answer["replayed"] == 1 and answer["unfit"] == 2, answer)
    wait_delivered(kafka, "small", 2)
    check("whole", [m.value() for m in read_back(kafka, "small")][1] == datum and agent.status()["aside"] == 2)
    agent.stop()


def run(build, work):
    kafka, registry = Kafka(os.path.join(work, "kafka")), Registry(os.path.join(work, "registry"))
    streams = {name: data.stream(name) for name in STREAMS}
    agent = Agent(build, os.path.join(work, "agent"), {**streams, "refused": data.REFUSED}, kafka, {"url": registry.url})
    try:
        kafka.start()
        registry.start()
        kafka.topics({**{name: PARTITIONS for name in (*STREAMS, "java")}, "refused": 1, "unknown": 1})
        began = time.time() * 1000
        agent.start()
        for name, stream in streams.items():
            agent.post(name, stream.lines)
        for name, stream in streams.items():
            wait_delivered(kafka, name, len(stream.lines))
        test_values(kafka, registry, agent, streams)
        test_keys_and_headers(kafka, streams, began)
        for name in ("typed", "gnss"):
            test_java_consumer(kafka, name, streams[name])
        test_partitions(kafka, streams)
        test_refused_schema(kafka, registry, agent, streams)
        test_look_up_only(kafka, registry, work, build)
        test_framings(kafka, work, build)
        test_letters(kafka, work, build)
        test_offline(kafka, registry, agent, streams)
        check("nothing was set aside", agent.status()["aside"] == 0, agent.status()["aside"])
        agent.kill()
    finally:
        agent.kill()
        registry.stop()
        kafka.end()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    work = tempfile.mkdtemp(prefix="weir-readers.")
    try:
        run(sys.argv[1], work)
    except BaseException:
        print(f"what was written is in {work}", flush=True)
        raise
    if failures:
        sys.exit(f"{len(failures)} failed; what was written is in {work}")
    shutil.rmtree(work)
    print("kafka readers: all fine")


if __name__ == "__main__":
    main()
