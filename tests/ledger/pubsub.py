"""The ledger of the uplink pubsub: numbered events flow to two topics, one as rows in the order of their keys, one in columns in the agent's order,
while the agent is killed, its connections are cut, answers are lost, and Pub/Sub refuses every 20th request. Then Google's own client reads both
subscriptions with message ordering: each event is there, once when what has a known weir_id is dropped, and in order by key.

usage: pubsub.py WEIR [SECONDS]     WEIR_SEED, WEIR_LONG=1

Pub/Sub is Google's own fake (pubsub.sh), which is in memory and so is not killed."""
import collections
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
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "uplink", "decoders", "python"))
import services     # noqa: E402
from services import PATIENCE, free_ports, service, wait_for    # noqa: E402
services.need("google.cloud.pubsub_v1", "cloud")
import fastavro     # noqa: E402
from google.cloud import pubsub_v1      # noqa: E402
from cutter import Cutter       # noqa: E402
from feed import HttpFeed       # noqa: E402
from weir_columns import Consumer       # noqa: E402

SCHEMA = {"type": "record", "name": "Numbered", "namespace": "ledger", "fields": [
    {"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}
TOPICS = ("rows", "columns")


class PubSub:
    def __init__(self, directory):
        self.dir, self.port = os.path.join(directory, "pubsub"), free_ports(2)
        os.makedirs(self.dir)
        service("pubsub.sh", "start", self.dir, str(self.port), "-fail-every=20", "-fail-code=14")
        os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{self.port}"
        publisher, self.subscriber = pubsub_v1.PublisherClient(), pubsub_v1.SubscriberClient()
        for topic in TOPICS:
            publisher.create_topic(name=f"projects/p1/topics/{topic}")
            self.subscriber.create_subscription(request={"name": f"projects/p1/subscriptions/{topic}", "topic": f"projects/p1/topics/{topic}",
                                                         "enable_message_ordering": True, "ack_deadline_seconds": 600})

    def read(self, topic, is_whole):
        """The messages of its subscription in the order in which they come, until nothing more does and they are all there."""
        name, messages = f"projects/p1/subscriptions/{topic}", []
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            got = self.subscriber.pull(request={"subscription": name, "max_messages": 1000}).received_messages
            messages += [m.message for m in got]
            if got:
                self.subscriber.acknowledge(request={"subscription": name, "ack_ids": [m.ack_id for m in got]})
            elif is_whole(messages):
                break
        return messages

    def stop(self):
        service("pubsub.sh", "stop", self.dir)


class Agent(services.Agent):
    def __init__(self, program, directory, port):
        super().__init__(program, directory, {**os.environ, "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{port}"})
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        common = {"type": "pubsub", "project": "p1", "streams": ["numbered"], "linger": "100 ms", "backoff_max": "1 s", "request_timeout": "5 s"}
        with open(self.path, "w") as f:
            json.dump({
                "agent": {"id": "ledger", "socket": os.path.join(directory, "weir.sock")},
                "buffer": {"path": os.path.join(directory, "buffer.db"), "commit_interval": "100 ms"},
                "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
                "drivers": {"post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "20 ms"}},
                "uplinks": {"rows": {**common, "topic": "rows"}, "columns": {**common, "topic": "columns", "layout": "columns"}}}, f)

    def is_drained(self):
        return all(s["events"] == 0 for s in self.status()["streams"] if s["name"] == "numbered")


def trouble(agent, cutter, chance):
    """One of the mishaps."""
    kind = chance.choice(["agent"] * 3 + ["lose", "cut", "down"])
    if kind == "agent":
        agent.kill()
        agent.start()
    elif kind == "lose":
        cutter.lose(count=2, after=200)
    elif kind == "cut":
        cutter.cut(share=0.7, within=6000, count=6)
    else:
        cutter.down()
        time.sleep(chance.random())
        cutter.up()
    return kind


def events_of(message, consumer):
    if message.attributes.get("weir_last"):
        assert message.ordering_key.startswith("ledger/"), message.ordering_key
        return [(row["key"], row["n"]) for row in consumer.rows(message.data)]
    assert message.data[:2] == b"\xc3\x01", message.data[:10]
    row = fastavro.schemaless_reader(io.BytesIO(message.data[10:]), SCHEMA, None)
    assert message.ordering_key == row["key"]
    return [(row["key"], row["n"])]


def fold(messages, expected):
    """What is wrong with what was read, by kind."""
    consumer = Consumer(lambda _: json.dumps(SCHEMA))
    seen, came, twice = set(), collections.defaultdict(list), 0
    for message in messages:
        if message.attributes["weir_id"] in seen:
            twice += 1
            continue
        seen.add(message.attributes["weir_id"])
        for key, n in events_of(message, consumer):
            came[key].append(n)
    wrong = collections.Counter()
    for key, count in expected.items():
        wrong["lost"] += len(set(range(1, count + 1)) - set(came[key]))
        wrong["unknown"] += len(set(came[key]) - set(range(1, count + 1)))
        wrong["twice"] += len(came[key]) - len(set(came[key]))
        wrong["order"] += sum(a >= b for a, b in zip(came[key], came[key][1:]))
    wrong["unknown"] += sum(len(n) for key, n in came.items() if key not in expected)
    return wrong, twice


def run(program, directory, seconds, chance):
    pubsub = PubSub(directory)
    cutter = Cutter(("127.0.0.1", pubsub.port), seed=chance.randrange(1 << 30))
    agent = Agent(program, directory, cutter.port)
    feed, mishaps = HttpFeed(chance.random(), "post", 150, agent.http_port), collections.Counter()
    try:
        agent.start()
        feed.start()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(chance.uniform(0.2, 1))
            mishaps[trouble(agent, cutter, chance)] += 1
        feed.stop(PATIENCE)
        cutter.calm()
        wait_for("empty buffer", agent.is_drained)
        aside = agent.status()["aside"]
        agent.stop()
        expected = feed.expected()
        read_back = {topic: pubsub.read(topic, lambda messages: not fold(messages, expected)[0]["lost"]) for topic in TOPICS}
    finally:
        agent.kill()
        cutter.close()
        pubsub.stop()
    cuts = collections.Counter(event["what"] for event in cutter.status()["events"])
    good = not aside and not feed.problems
    for topic, messages in read_back.items():
        wrong, twice = fold(messages, expected)
        good = good and not any(wrong.values())
        print(f"ledger pubsub topic={topic} mishaps={sum(mishaps.values())} {dict(mishaps)} cuts={dict(cuts)} messages={len(messages)} "
              f"acked={sum(expected.values())} sent_twice={twice} " + " ".join(f"{name}={wrong[name]}" for name in ("lost", "twice", "order", "unknown"))
              + f" aside={aside} problems={len(feed.problems)}", flush=True)
    return good


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 600 if os.environ.get("WEIR_LONG") == "1" else 30
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    directory = tempfile.mkdtemp(prefix="weir-pubsub.")
    print(f"pubsub seed={seed}", flush=True)
    if not run(sys.argv[1], directory, seconds, random.Random(seed)):
        sys.exit(f"seed={seed}; what was written is in {directory}")
    shutil.rmtree(directory)


main()
