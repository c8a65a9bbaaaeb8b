"""Reloads at random moments under load, with a real mosquitto and a real Kafka: MQTT messages and the lines of a file come in while drivers,
uplinks, streams and what belongs to the buffer become others. A stock consumer reads back: none lost, none twice, each source's in order.

usage: reload_ledger_test.py WEIR      WEIR_RELOADS=n: so many (40); WEIR_SEED=n"""
import json
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                     # noqa: E402
from services import PATIENCE       # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from program import Agent, check, finish, path_of, run, wait_until, write  # noqa: E402

COUNT = int(os.environ.get("WEIR_RELOADS", "40"))
SEED = int(os.environ.get("WEIR_SEED", "7"))
chance = random.Random(SEED)
kafka = services.Kafka(path_of("kafka"))
broker = services.MqttBroker(path_of("mosquitto"))
kafka.start()
broker.start()
kafka.create({"m": {}, "t": {}}, partitions=1)


def read(topic):
    consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "g", "log_level": 0, "enable.partition.eof": True,
                         "enable.auto.commit": False, "isolation.level": "read_uncommitted"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while (message := consumer.poll(PATIENCE)) is not None and not message.error():
        body = message.value()
        found.append(json.loads(body[body.index(b"{"):])["n"])
    consumer.close()
    return found


open(path_of("lines"), "w").close()
config = {"agent": {"id": "t", "stop_grace": "5 s"}, "status": {"enabled": False},
          "buffer": {"path": path_of("d", "buffer.db"), "size_max": "64 MiB"}, "streams": {"m": {}, "t": {}},
          "drivers": {"mqtt": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "topics": ["t/#"], "payload": "raw", "stream": "m",
                               "ack_interval": "20 ms"},
                      "tail": {"type": "tail", "paths": [path_of("lines")], "stream": "t"}},
          "uplinks": {"cloud": {"type": "kafka", "brokers": [kafka.servers], "topic": "{stream}", "linger": "20 ms", "backoff_max": "1 s",
                                "layout": "rows"},
                      "files": {"type": "file", "path": path_of("out"), "time_max": "1 s"}}}
agent = Agent(config)
r = run("check", agent.path)
check("the configuration is right", r.returncode == 0, r.stderr)
agent.start()
wait_until(lambda: not agent.status()["drivers"]["mqtt"]["fault"], PATIENCE)
quiet = threading.Event()
sent = {"m": 0, "t": 0}


def feed_mqtt():
    publisher = subprocess.Popen(["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", "t/a", "-l"], stdin=subprocess.PIPE, text=True)
    while not quiet.is_set():
        publisher.stdin.write(json.dumps({"n": sent["m"]}) + "\n")
        publisher.stdin.flush()
        sent["m"] += 1
        time.sleep(0.005)
    publisher.stdin.close()
    publisher.wait(PATIENCE)


def feed_lines():
    with open(path_of("lines"), "a") as f:
        while not quiet.is_set():
            f.write(json.dumps({"n": sent["t"]}) + "\n")
            f.flush()
            sent["t"] += 1
            time.sleep(0.005)


def measure():
    with open(f"/proc/{agent.process.pid}/status") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{agent.process.pid}/fd")), resident


feeders = [threading.Thread(target=f) for f in (feed_mqtt, feed_lines)]
for feeder in feeders:
    feeder.start()
done, took, measured = {}, [], []
for i in range(COUNT):
    kind = chance.choice(("mqtt", "tail", "uplink", "stream", "buffer", "away"))
    if kind == "mqtt":
        config["drivers"]["mqtt"]["ack_interval"] = f"{chance.randrange(5, 60)} ms"
    elif kind == "tail":
        config["drivers"]["tail"]["ack_interval"] = f"{chance.randrange(5, 60)} ms"
    elif kind == "uplink":
        config["uplinks"]["cloud"]["linger"] = f"{chance.randrange(0, 90)} ms"
    elif kind == "stream":
        config["streams"]["m"]["priority"] = chance.randrange(0, 10)
    elif kind == "buffer":
        config["buffer"]["size_max"] = f"{chance.randrange(48, 96)} MiB"
    else:                                               # a driver that comes and goes
        if config["drivers"].pop("more", None) is None:
            config["drivers"]["more"] = {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "topics": ["nothing/#"], "stream": "m"}
    write("weir.json", json.dumps(config))
    began = time.monotonic()
    r = run("reload", "--socket", agent.socket)
    took.append(time.monotonic() - began)
    done[kind] = done.get(kind, 0) + 1
    check(f"reload of {kind}", r.returncode == 0, r.stdout + r.stderr)
    descriptors, resident = measure()
    measured.append((descriptors, resident))
    time.sleep(chance.random() * 0.3)
quiet.set()
for feeder in feeders:
    feeder.join()
check("all is delivered", wait_until(lambda: all(len(read(topic)) >= count for topic, count in sent.items()), PATIENCE), agent.status())
check("an orderly end", agent.stop() == 0, agent.log()[-2000:])
for topic in ("m", "t"):
    got = read(topic)
    lost, twice = set(range(sent[topic])) - set(got), len(got) - len(set(got))
    check(f"{topic}: none is lost", not lost, (len(lost), sorted(lost)[:10]))
    check(f"{topic}: none is there twice", twice == 0, twice)
    check(f"{topic}: in order", got == sorted(got))
    print(f"{topic}: {sent[topic]} sent, {len(lost)} lost, {twice} twice")
half = len(measured) // 2
check("no descriptors are lost", measured[-1][0] <= max(m[0] for m in measured[:half]) + 2, measured)
took.sort()
print(f"seed {SEED}: {COUNT} reloads {done}, {took[half] * 1000:.0f} ms (median), {took[-1] * 1000:.0f} ms (longest); "
      f"descriptors and KiB: {measured[half]} half way, {measured[-1]} at the end")
broker.stop()
kafka.end()
finish()
