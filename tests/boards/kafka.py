"""A board's binary between a real mosquitto and a real Kafka: MQTT in at QoS 1, Kafka out over TLS, which the broker allows in one version only,
1.3, then 1.2. A kill lies between; a stock consumer reads back each event once.

usage: kafka.py WEIR"""
import collections
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "services"))
import services                                           # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, TopicPartition      # noqa: E402

EVENTS = 300


def run(program, directory, protocol):
    kafka = services.Kafka(os.path.join(directory, "kafka"))
    broker = services.MqttBroker(os.path.join(directory, "mqtt"))
    agent = services.Agent(program, directory)
    try:
        kafka.start("ssl", f"ssl.enabled.protocols={protocol}")
        kafka.create({"events": {}}, partitions=1)
        broker.start()
        with open(agent.path, "w") as f:
            json.dump({"agent": {"id": "board"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "100 ms"},
                       "streams": {"events": {}},
                       "drivers": {"broker": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "topics": ["site/#"], "stream": "events",
                                              "ack_interval": "50 ms"},
                                   "post": {"type": "http", "listen": f"127.0.0.1:{agent.http_port}", "stream": "events"}},
                       "uplinks": {"cloud": {"type": "kafka", "brokers": [f"localhost:{kafka.port + 2}"], "topic": "events",
                                             "tls": {"ca": os.path.join(kafka.dir, "tls", "ca.pem")}}}}, f)
        agent.start()
        for half in range(2):
            if half:
                agent.kill()
                agent.start()
            lines = "".join(f"event {half * EVENTS // 2 + i}\n" for i in range(EVENTS // 2))
            publish_until_stored(broker, agent, lines, half)
        consumer = Consumer({"bootstrap.servers": kafka.servers, "group.id": "g", "enable.auto.commit": False})
        consumer.assign([TopicPartition("events", 0, 0)])
        seen = collections.Counter()

        def all_read():
            for message in consumer.consume(500, timeout=1):
                value = message.value()
                at = value.find(b"event ")
                seen[value[at:].decode(errors="replace").split("\x00")[0]] += at >= 0
            return len(seen) >= EVENTS
        services.wait_for("delivery", all_read)
        consumer.close()
        wanted = {f"event {i}" for i in range(EVENTS)}
        lost, twice = len(wanted - set(seen)), sum(count - 1 for count in seen.values())
        agent.stop()
        return lost, twice
    finally:
        agent.kill()
        broker.stop()
        kafka.end()


def publish_until_stored(broker, agent, lines, half):
    """At QoS 1 to a subscriber that keeps its session: what is published while it is away waits for it."""
    services.wait_for("mqtt driver", lambda: subscribed(broker), pause=0.2)
    subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-t", "site/a", "-q", "1", "-l"], input=lines.encode(), check=True,
                   timeout=services.PATIENCE)
    services.wait_for("events", lambda: stored(agent) >= EVENTS // 2 * (half + 1), pause=0.2)


def subscribed(broker):
    out = subprocess.run(["mosquitto_sub", "-p", str(broker.port), "-t", "$SYS/broker/subscriptions/count", "-C", "1", "-W", "15"],
                         stdout=subprocess.PIPE, text=True, timeout=services.PATIENCE).stdout.strip()
    return out.isdigit() and int(out) >= 1


def stored(agent):
    return next(stream["sequence_next"] for stream in agent.status()["streams"] if stream["name"] == "events")


def main():
    results = []
    for protocol in ("TLSv1.3", "TLSv1.2"):
        with tempfile.TemporaryDirectory(prefix="weir-board.") as directory:
            lost, twice = run(sys.argv[1], directory, protocol)
        results.append(f"{protocol} events={EVENTS} lost={lost} twice={twice}")
        if lost or twice:
            sys.exit("; ".join(results))
    print("; ".join(results))


main()
