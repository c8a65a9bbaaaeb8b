"""Topics of a real Kafka as an operator meets them: missing ones, created by the broker, by weir, or by hand; small ones; compacted ones with
tombstones; headers; a listener on an IPv6 address, in a rack. A stock consumer (librdkafka) reads back.

usage: topics_test.py WEIR      WEIR_LONG=1: brokers 2.8, 3.9 and 4.4 instead of 4.4 alone"""
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                     # noqa: E402
from services import PATIENCE       # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from confluent_kafka.admin import ConfigResource, ResourceType  # noqa: E402
from program import Agent, check, finish, free_port, path_of, run, wait_until, write  # noqa: E402

VERSIONS = ["2.8.2", "3.9.2", "4.4.0"] if os.environ.get("WEIR_LONG") == "1" else ["4.4.0"]
COMPACT = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}
TOPICS = {"here": {}, "devices": COMPACT, "small": {"max.message.bytes": "20000"}, "told": {"max.message.bytes": "20000"}, "large": {}}
DEVICE = {"type": "record", "name": "Device", "fields": [
    {"name": "id", "type": ["null", "string"]}, {"name": "n", "type": "long"}, {"name": "gone", "type": ["null", "boolean"], "default": None}]}
SIZED = 1500  # events of 400 bytes for the topics of different sizes

def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


class Kafka(services.Kafka):
    """A listener on 127.0.0.1 and, where the machine has it, one on ::1, each told to those who come by it."""

    def __init__(self, version, port, port6):
        super().__init__(path_of("kafka-" + version), version, port)
        self.port6 = port6
        both = f"PLAINTEXT://127.0.0.1:{port}" + (f",SIX://[::1]:{port6}" if port6 else "")
        controller = "" if version.startswith("2.") else f",CONTROLLER://127.0.0.1:{port + 4}"
        self.start(f"listeners={both}{controller}", f"advertised.listeners={both}",
                   "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SIX:PLAINTEXT,CONTROLLER:PLAINTEXT", "broker.rack=rack-9",
                   "log.cleaner.backoff.ms=200", "log.retention.check.interval.ms=1000")
        self.create(TOPICS)

    def restart_creating(self):
        with open(os.path.join(self.dir, "1", "server.properties"), "a") as f:
            f.write("auto.create.topics.enable=true\n")
        self.run("resume")

    def setting(self, topic, name):
        resource = ConfigResource(ResourceType.TOPIC, topic)
        return self.admin.describe_configs([resource])[resource].result(PATIENCE)[name].value

    def topics(self):
        return {name for name in self.admin.list_topics(timeout=PATIENCE).topics if not name.startswith("__")}

    def read(self, topic):
        """Everything in the topic, by a stock consumer: messages, in the order of their partition."""
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": "g", "log_level": 0, "enable.partition.eof": True,
                             "enable.auto.commit": False})
        partitions = list(consumer.list_topics(topic, timeout=PATIENCE).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        messages, ended = [], set()
        while len(ended) < len(partitions):
            message = consumer.poll(PATIENCE)
            if message is None:
                raise SystemExit(f"the end of topic {topic} does not come")
            if message.error():
                ended.add(message.partition())
            else:
                messages.append(message)
        consumer.close()
        return messages


def configuration(kafka, port):
    write("device.avsc", json.dumps(DEVICE))
    device = {"schema": "device.avsc", "key": "id"}
    streams = {"here": {}, "late": {}, "made": {}, "auto": {}, "devices": device, "small": {}, "told": {}, "large": {}, "six": {}}
    brokers = {"type": "kafka", "brokers": [f"127.0.0.1:{kafka.port}"], "linger": "50 ms", "backoff_max": "1 s", "request_timeout": "5 s"}
    six = [f"[::1]:{kafka.port6}"] if kafka.port6 else [f"127.0.0.1:{kafka.port}"]
    return {"agent": {"id": "gate-7"}, "buffer": {"path": path_of("d", "buffer.db"), "size_max": "64 MiB"}, "streams": streams,
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{port}", "ack_interval": "5 ms",
                                 "routes": [{"topic": name, "stream": name} for name in streams]}},
            "uplinks": {
                "cloud": {**brokers, "streams": ["here", "late", "auto", "devices"], "headers": True,
                          "headers_set": {"site": "plant/{agent}", "from": "{stream}"}, "per_stream": {"devices": {"tombstone": "gone"}}},
                "maker": {**brokers, "streams": ["made"], "topic_create": "always"},
                "sizes": {**brokers, "streams": ["small", "large"], "compression_level": 0},
                "sizes_told": {**brokers, "streams": ["told"], "compression_level": 0, "per_stream": {"told": {"message_size_max": "20000 B"}}},
                "six": {**brokers, "brokers": six, "streams": ["six"], "topic": "here"}}}


def standing(agent, uplink):
    return agent.status()["uplinks"][uplink]["standing"]


def numbers(messages):
    return sorted(json.loads(m.value()[m.value().index(b"{"):])["n"] for m in messages)


def arrive(kafka, topic, wanted, what):
    """These numbers, each once."""
    wait_until(lambda: len(kafka.read(topic)) >= len(wanted), PATIENCE)
    got = numbers(kafka.read(topic))
    check(what, got == sorted(wanted), f"{len(got)} of {len(wanted)}: {got[:5]}")


def test_missing(kafka, agent):
    for topic in ["here", "late", "made", "auto"]:
        check(f"{topic} is stored", agent.post("/" + topic, '{"n": 1}')[0] == 200)
    arrive(kafka, "here", [1], "a topic that is there goes on beside one that is missing")
    wait_until(lambda: "made" in kafka.topics(), PATIENCE)
    arrive(kafka, "made", [1], "a topic that weir creates")
    check("with the broker's number of partitions", len(kafka.admin.list_topics("made", timeout=PATIENCE).topics["made"].partitions) == 1)
    wait_until(lambda: len(standing(agent, "cloud")) == 2)
    for topic in ["late", "auto"]:
        text = standing(agent, "cloud").get(topic, "")
        check("status: what, which one, what to do", text.startswith(f'topic "{topic}" does not exist on cluster ') and
              text.endswith(': create it, or set topic_create to "always"'), text)
        check("the log says it once", agent.log().count(f'topic "{topic}" does not exist') == 1, agent.log()[-2000:])
    lines = run("status", "--socket", agent.socket).stdout
    check("the status for a person says it", 'FAULT of stream late: topic "late" does not exist' in lines, lines)
    check("the uplink as a whole works", agent.status()["uplinks"]["cloud"]["fault"] is None)
    check("nobody has created it", kafka.topics() == {*TOPICS, "made"}, str(kafka.topics()))
    kafka.create({"late": {}})
    wait_until(lambda: "late" not in standing(agent, "cloud"))
    arrive(kafka, "late", [1], "what waited arrives once the topic is there")
    check("the log says that it goes on", "stream late goes on" in agent.log())


def test_sizes(kafka, agent):
    pad = "x" * 380
    for topic in ["small", "told", "large"]:
        body = "\n".join(json.dumps({"n": n, "pad": pad}) for n in range(SIZED))
        check(f"{topic} is stored", agent.post("/" + topic, body, {"Content-Type": "application/x-ndjson"})[0] == 200)
    for topic in ["small", "told", "large"]:
        arrive(kafka, topic, range(SIZED), f"topic {topic} has all, once")
    uplinks = agent.status()["uplinks"]
    check("the limit of a topic is found out", uplinks["sizes"]["halved"] > 0, str(uplinks["sizes"]))
    check("or told", uplinks["sizes_told"]["halved"] == 0 and uplinks["sizes_told"]["refused"] == 0, str(uplinks["sizes_told"]))
    check("nothing is set aside", agent.status()["aside"] == 0)
    before = uplinks["sizes"]["halved"]
    body = "\n".join(json.dumps({"n": n, "pad": pad}) for n in range(SIZED, 2 * SIZED))
    for topic in ["small", "large"]:
        agent.post("/" + topic, body, {"Content-Type": "application/x-ndjson"})
        arrive(kafka, topic, range(2 * SIZED), f"topic {topic} has the second half")
    check("what was found out is known", agent.status()["uplinks"]["sizes"]["halved"] == before, str(agent.status()["uplinks"]["sizes"]))


def test_headers(kafka):
    headers = kafka.read("late")[0].headers()
    check("headers, ours and the user's", [h for h in headers if h[0] != "weir_id"] == [("site", b"plant/gate-7"), ("from", b"late")] and
          headers[0][0] == "weir_id" and headers[0][1].startswith(b"gate-7/") and headers[0][1].endswith(b"/late/1"), str(headers))


def test_six(kafka, agent):
    agent.post("/six", '{"n": 2}')
    arrive(kafka, "here", [1, 2], "through the listener on ::1" if kafka.port6 else "through the same listener (no ::1 here)")
    if kafka.port6:
        with open("/proc/net/tcp6") as f:
            rows = [line.split() for line in f.readlines()[1:]]
        check("a connection to ::1 is open", any(r[2] == f"{1 << 24:032X}:{kafka.port6:04X}" and r[3] == "01" for r in rows), str(rows))


def device(agent, **fields):
    status, answer = agent.post("/devices", json.dumps(fields))
    check(f"{fields} is stored", status == 200 and answer["stored"] == 1, str(answer))


def states(kafka):
    """What the topic says of each key: a list of True (a value) and False (a tombstone)."""
    found = {}
    for m in kafka.read("devices"):
        found.setdefault(m.key().decode(), []).append(m.value() is not None)
    return found


def test_tombstones(kafka, agent):
    """The last ones are sent by a life that is killed before their answer, and again by the next."""
    device(agent, id="a", n=1)
    device(agent, id="b", n=1, gone=False)
    wait_until(lambda: len(states(kafka)) == 2, PATIENCE)
    device(agent, id="a", n=2, gone=True)
    wait_until(lambda: states(kafka).get("a", [True])[-1] is False, PATIENCE)
    check("b stays", states(kafka).get("b") == [True], str(states(kafka)))
    check("a tombstone has its key, its headers, and no value", [m.headers()[1] for m in kafka.read("devices") if m.value() is None]
          == [("site", b"plant/gate-7")])
    kafka.run("kill9")
    device(agent, id="c", n=1)
    device(agent, id="c", n=2, gone=True)
    device(agent, id="d", n=1)
    time.sleep(2)  # they are in a parcel on record by now
    agent.process.kill()
    agent.process.wait()
    kafka.restart_creating()
    agent.start()
    wait_until(lambda: "d" in states(kafka), PATIENCE)
    # The topic forgets a: compaction needs closed segments, which later records bring about.
    for n in range(2 * PATIENCE):
        device(agent, id="b", n=n + 2)
        if "a" not in states(kafka) and "c" not in states(kafka):
            break
        time.sleep(0.5)
    found = states(kafka)
    check("the compacted topic has forgotten a and c, and has b and d", set(found) == {"b", "d"} and found["d"] == [True], str(found))


def test_automatic(kafka, agent):
    """The brokers create topics by now: what waited for one goes on, also across the agent's restart."""
    wait_until(lambda: "auto" in kafka.topics(), PATIENCE)
    arrive(kafka, "auto", [1], "a topic that the broker creates")
    check("nothing stands still", wait_until(lambda: standing(agent, "cloud") == {}), str(standing(agent, "cloud")))
    check("nothing is set aside", agent.status()["aside"] == 0)


def run_with(version, port, port6):
    kafka = Kafka(version, port, port6)
    config = configuration(kafka, free_port())
    r = run("check", write("weir.json", json.dumps(config)))
    check("the file is fine", r.returncode == 0, r.stderr)
    agent = Agent(config).start()
    test_missing(kafka, agent)
    test_headers(kafka)
    test_sizes(kafka, agent)
    test_six(kafka, agent)
    test_tombstones(kafka, agent)
    test_automatic(kafka, agent)
    check("an orderly end", agent.stop() == 0)
    kafka.end()
    subprocess.run(["rm", "-rf", path_of("d"), path_of("log")], check=True)


def main():
    port6 = free_port() if has_ipv6() else None
    for version in VERSIONS:
        run_with(version, services.free_ports(10), port6)
    finish()


main()
