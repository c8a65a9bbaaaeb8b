"""The agent against Google's own emulator of Pub/Sub, where it is installed: by gRPC, by REST, and to a topic with an Avro schema, which the emulator
checks; read back by Google's client. An event that does not fit the topic's schema is set aside, and all others arrive.

usage: pubsub_emulator.py WEIR"""
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services     # noqa: E402
from services import PATIENCE, free_ports, service, wait_for    # noqa: E402
services.need("google.cloud.pubsub_v1", "cloud")
from google.cloud import pubsub_v1      # noqa: E402
from google.pubsub_v1.types import Encoding, Schema     # noqa: E402

EVENTS = 200
ODD = (17, 111)     # what only the agent's schema takes
OURS = {"type": "record", "name": "Event", "fields": [{"name": "key", "type": "string"},
                                                     {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["GOOD", "ODD"]}}]}
THEIRS = json.loads(json.dumps(OURS).replace(', "ODD"', ""))
UPLINKS = {"by-grpc": {}, "by-rest": {"transport": "rest", "attributes": "all"}, "typed": {"framing": "none"}}


def setup():
    publisher, subscriber, schemas = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient(), pubsub_v1.SchemaServiceClient()
    schema = Schema(type_=Schema.Type.AVRO, definition=json.dumps(THEIRS))
    schemas.create_schema(request={"parent": "projects/p1", "schema": schema, "schema_id": "theirs"})
    for topic in UPLINKS:
        typed = {"schema_settings": {"schema": "projects/p1/schemas/theirs", "encoding": Encoding.BINARY}} if topic == "typed" else {}
        publisher.create_topic(request={"name": f"projects/p1/topics/{topic}", **typed})
        subscriber.create_subscription(request={"name": f"projects/p1/subscriptions/{topic}", "topic": f"projects/p1/topics/{topic}",
                                                "enable_message_ordering": True})
    return subscriber


def read(subscriber, topic, count):
    name, messages, until = f"projects/p1/subscriptions/{topic}", [], time.monotonic() + PATIENCE
    while len(messages) < count and time.monotonic() < until:
        got = subscriber.pull(request={"subscription": name, "max_messages": 1000}).received_messages
        messages += [m.message for m in got]
        if got:
            subscriber.acknowledge(request={"subscription": name, "ack_ids": [m.ack_id for m in got]})
    return messages


def check(what, good, why=""):
    print(f"{'ok' if good else 'FAILED'}: {what} {'' if good else why}", flush=True)
    check.failed = check.failed or not good


check.failed = False


def run(program, directory):
    subscriber = setup()
    agent = services.Agent(program, directory, dict(os.environ))
    with open(os.path.join(directory, "ours.avsc"), "w") as f:
        json.dump(OURS, f)
    common = {"type": "pubsub", "project": "p1", "streams": ["events"], "linger": "500 ms"}
    with open(agent.path, "w") as f:
        json.dump({"agent": {"id": "site-7", "socket": os.path.join(directory, "weir.sock")},
                   "buffer": {"path": os.path.join(directory, "buffer.db")},
                   "streams": {"events": {"schema": "ours.avsc", "key": "key"}},
                   "drivers": {"post": {"type": "http", "stream": "events", "listen": f"127.0.0.1:{agent.http_port}"}},
                   "uplinks": {name: {**common, "topic": name, **options} for name, options in UPLINKS.items()}}, f)
    try:
        agent.start()
        lines = "".join(json.dumps({"key": f"k{n % 3}", "kind": "ODD" if n in ODD else "GOOD"}) + "\n" for n in range(EVENTS))
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{agent.http_port}/events", lines.encode(), {"Content-Type": "application/x-ndjson"})).close()
        wait_for("empty buffer", lambda: all(s["events"] == 0 for s in agent.status()["streams"] if s["name"] == "events"))
        status = agent.status()
        agent.stop()
    finally:
        agent.kill()
    for topic in UPLINKS:
        expected = EVENTS - (len(ODD) if topic == "typed" else 0)
        messages = read(subscriber, topic, expected)
        ids = [int(m.attributes["weir_id"].rsplit("/", 1)[1]) for m in messages]
        by_key = collections.defaultdict(list)
        for m, n in zip(messages, ids):
            by_key[m.ordering_key].append(n)
        check(f"{topic}: each event once", len(ids) == expected == len(set(ids)), f"{len(ids)} messages, {len(set(ids))} of them different, not {expected}")
        check(f"{topic}: in order by key", sorted(by_key) == ["k0", "k1", "k2"] and all(n == sorted(n) for n in by_key.values()), str(dict(by_key)))
        check(f"{topic}: aside", status["uplinks"][topic]["aside"] == EVENTS - expected, str(status["uplinks"][topic]))
        if topic == "typed":
            check("typed: the service knows the schema", messages[0].attributes["googclient_schemaencoding"] == "BINARY", str(messages[0]))
        if topic == "by-rest":
            check("by-rest: all attributes", {"stream", "schema", "type"} <= set(messages[0].attributes), str(messages[0]))


def main():
    directory, port = tempfile.mkdtemp(prefix="weir-emulator."), free_ports(1)
    emulator = os.path.join(directory, "emulator")
    try:
        service("pubsub.sh", "start", emulator, str(port), "emulator", stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError:
        print("there is no emulator of Pub/Sub (Google Cloud CLI, package pubsub-emulator)")
        shutil.rmtree(directory)
        sys.exit(77)
    os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{port}"
    try:
        run(sys.argv[1], directory)
    finally:
        service("pubsub.sh", "stop", emulator)
    if check.failed:
        sys.exit(f"what was written is in {directory}")
    shutil.rmtree(directory)


main()
