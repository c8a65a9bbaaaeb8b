#!/usr/bin/env python3
"""Batches by a trained dictionary, the whole way: trained by the tool of uplink/decoders/python, packed by the real program, which is killed in between, sent
to a real Kafka, and unpacked by the decoders of all three languages. Each event once, equal, and in fewer bytes than without.

usage: dictionary.py WEIR"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "services"), str(HERE.parents[1] / "uplink/decoders/python")]
import services                     # noqa: E402
from services import PATIENCE       # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from program import Agent, check, finish, path_of, run, wait_until, weir, write  # noqa: E402

SCHEMA = HERE.parents[1] / "config/examples/energy_meter.avsc"
LINES = (HERE.parent / "data/energy_meter.ndjson").read_text().splitlines()
TRAINED, SENT, AT_ONCE = 3000, 400, 10


def read(kafka, topic):
    """The values of all messages, by a stock consumer."""
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "g", "log_level": 0, "enable.partition.eof": True, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    while True:
        message = consumer.poll(PATIENCE)
        if message is None:
            raise SystemExit(f"the end of topic {topic} does not come")
        if message.error():
            consumer.close()
            return values
        values.append(message.value())


def train(*words):
    return subprocess.run([sys.executable, "-m", "weir_columns.train", *words], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "uplink/decoders/python")})


def decoded(command, messages, dictionaries):
    cases = "".join(json.dumps({"schema": SCHEMA.read_text(), "message": m.hex(), "dictionaries": [d.hex() for d in dictionaries]}) + "\n" for m in messages)
    done = subprocess.run(command, input=cases, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- training ---

write("train.ndjson", "\n".join(LINES[:TRAINED]) + "\n")
out = path_of("meter.dict")
r = train("--out", out, "--lines", path_of("train.ndjson"), "--schema", str(SCHEMA), "--weir", weir, "--size", "8192", "--id", "77000")
check("a dictionary is trained, and says what it saves", r.returncode == 0 and "dictionary 77000" in r.stdout, r.stdout + r.stderr)
print(r.stdout.strip())
dictionary = pathlib.Path(out).read_bytes()
write("few.ndjson", "\n".join(LINES[:20]) + "\n")
r = train("--out", path_of("few.dict"), "--lines", path_of("few.ndjson"), "--schema", str(SCHEMA), "--weir", weir)
check("too little is told", r.returncode == 1 and "not enough" in r.stderr and not os.path.exists(path_of("few.dict")), r.stderr)

# --- sending ---

kafka = services.Kafka(path_of("kafka"))
kafka.start()
try:
    kafka.create({"with": {}, "without": {}}, partitions=1)
    uplink = {"type": "kafka", "brokers": [kafka.servers], "layout": "columns", "linger": "60 ms", "streams": ["meter"], "backoff_max": "1 s"}
    config = {"agent": {"id": "t"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "32 MiB", "commit_interval": "20 ms"},
              "streams": {"meter": {"schema": str(SCHEMA), "key": "meter", "time": "ts"}},
              "drivers": {"file": {"type": "tail", "paths": [path_of("in.ndjson")], "poll": "10 ms", "ack_interval": "5 ms"}},
              "uplinks": {"with": {**uplink, "topic": "with", "dictionary": out}, "without": {**uplink, "topic": "without"}}}
    write("in.ndjson", "")
    agent = Agent(config).start()
    check("the log names it", "uplink with: batches are packed by dictionary 77000" in agent.log(), agent.log())
    for at in range(TRAINED, TRAINED + SENT, AT_ONCE):
        with open(path_of("in.ndjson"), "a") as f:
            f.write("".join(line + "\n" for line in LINES[at:at + AT_ONCE]))
        time.sleep(0.15)
        if at == TRAINED + SENT // 2:
            agent.process.kill()
            agent.process.wait()
            agent.start()
    check("all are delivered", wait_until(lambda: [(s["sequence_next"], s["events"]) for s in agent.status()["streams"]][0] == (SENT + 1, 0)), agent.status())
    check("an orderly end", agent.stop() == 0)
    messages = read(kafka, "with")
    plain = read(kafka, "without")
finally:
    kafka.end()

# --- reading ---

packed = [m for m in messages if m[:4] == b"\x28\xb5\x2f\xfd"]
check("small batches are packed by it", len(packed) > SENT / AT_ONCE / 2, (len(packed), len(messages)))
check("and carry its number", all(77000 .to_bytes(4, "little") in m[:14] for m in packed))
wanted = [json.loads(line) for line in LINES[TRAINED:TRAINED + SENT]]
answers = {}
for name, command in (("python", [sys.executable, str(HERE / "lines.py")]), ("javascript", ["node", str(HERE / "lines.mjs")]), ("java", [str(HERE / "java")])):
    got = answers[name] = decoded(command, messages, [b"\x37\xa4\x30\xec" + dictionary[4:], dictionary])
    rows = [row for batch in got for row in batch.get("rows", [])]
    check(f"{name}: each event once", [r["e_wh"] for r in rows] == [w["e_wh"] for w in wanted], (len(rows), got[:1]))
    check(f"{name}: equal", all(r["meter"] == w["meter"] and r["u_v"] == struct.pack(">d", w["u_v"]).hex() for r, w in zip(rows, wanted)))
    lost = decoded(command, packed[:2], [])
    check(f"{name}: without it, its one error", lost == [{"error": "envelope"}] * 2, lost)
check("all alike", answers["python"] == answers["javascript"] == answers["java"])
import zstandard  # noqa: E402
before = sum(len(zstandard.ZstdCompressor(level=9, write_checksum=False).compress(m)) for m in plain)
after = sum(map(len, messages))
print(f"dictionary events={SENT} messages={len(messages)} packed={len(packed)} bytes={after} without={before} ({after / before:.2f})")
check("it saves a tenth at least", after < 0.9 * before)

# --- mistakes ---

for what, change, text in [("a file that is none", {"dictionary": path_of("in.ndjson")}, "no trained zstd dictionary"),
                           ("with rows", {"layout": "rows"}, 'set layout to "columns"')]:
    config["uplinks"]["with"].update(change)
    r = run("check", write("wrong.json", json.dumps(config)))
    check(what, r.returncode == 1 and "$.uplinks.with.dictionary" in r.stderr and text in r.stderr, r.stderr)
finish()
