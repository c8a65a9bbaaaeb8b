"""The ledger: kills the agent, the broker and their connections while numbered events flow, then reads everything back.

usage: ledger.py --weir PROGRAM [--kafka 4.4.0...] [--nodes 1 [3]] [--kills 200] [--seed N] [--dir DIR] [--faults PROGRAM [FAULT...]]

Prints the counts of kills and one result line; exit 0: nothing lost, nothing twice, order per key kept. With --faults, a program with
planted mistakes: each one, or those named, has to be caught by kills at the moment in which it shows. What was written is kept in DIR, or
when something is wrong."""
import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from feed import HttpFeed, MqttFeed, TailFeed
from moments import QUIET, Moments
from world import Agent, Broker
from services import MqttBroker, PATIENCE, wait_for     # where it lies, world has said

PARTITIONS = 3
# The mistake; the kind, moment and victim that show it; what it does to events; more for the kill. Each shows at every such kill, but for
# told-early and cursor-apart when this process gets no turn before the next commit: so these have more.
PLANTED = {
    "told-early": ("undelivered", "told", "agent", ("lost",), {}),
    "record-late": ("in_flight", "answer", "agent", ("twice",), {}),
    "range-early": ("in_flight", "committed_request", "agent", ("lost",), {}),
    "retry-taken": ("in_flight", "request", "connection", ("lost",), {}),
    "cursor-apart": ("undelivered", "line", "agent", ("lost",), {}),
    "puback-early": ("undelivered", "puback", "agent", ("lost",), {}),
    "partitions-ignored": ("in_flight", "answer", "agent", ("lost", "twice"), {"partition": True}),
}
PLANTED_KILLS = {"told-early": 6, "cursor-apart": 4}    # else 3


class Ledger:
    """One program against one topic."""

    def __init__(self, options, brokers, name, program, fault=None):
        broker, mosquitto = brokers
        self.options, self.broker, self.topic = options, broker, name
        directory = os.path.join(options.dir, name)
        for part in ("renamed", "copied"):
            os.makedirs(os.path.join(directory, part))
        self.random = random.Random(f"{options.seed} {name}")
        broker.topic(name, PARTITIONS)
        self.agent = Agent(program, directory, [f"127.0.0.1:{p.port}" for p in broker.proxies], mosquitto.port, name, fault)
        self.feeds = [TailFeed(self.random.random(), part, 100, os.path.join(directory, part, "events.log"), part == "copied")
                      for part in ("renamed", "copied")]
        self.feeds.append(HttpFeed(self.random.random(), "http", 100, self.agent.http_port))
        self.feeds.append(MqttFeed(self.random.random(), "mqtt", 100, mosquitto.port, name))
        self.moments = Moments(broker, self.agent, self.feeds, name, self.random)

    def run(self, kills):
        """Runs until `kills(moments)` returns, then reads back and compares."""
        try:
            self.agent.start()
            for feed in self.feeds:
                feed.start()
            wait_for("delivered event", lambda: self.agent.status()["delivered"] > 0)
            kills(self.moments)
            for feed in self.feeds:
                feed.stop(PATIENCE)
            self.broker.cut_share(0)
            self.moments.settle()
            status = self.agent.status()
            self.agent.stop()
        finally:
            self.agent.kill()
        result = self.compare(self.read_back())
        result["aside"] = status["aside"]
        result["dropped"] = sum(s["dropped"] for s in status["streams"])
        return result

    def read_back(self):
        partitions = self.broker.partitions(self.topic)
        consumer = Consumer({"bootstrap.servers": self.broker.servers, "group.id": "ledger", "auto.offset.reset": "earliest",
                             "enable.auto.commit": False, "enable.partition.eof": True, "log_level": 0})
        consumer.assign([TopicPartition(self.topic, p, 0) for p in range(partitions)])
        ended, records, until = set(), [], time.monotonic() + PATIENCE
        while len(ended) < partitions:
            message = consumer.poll(1)
            if time.monotonic() > until:
                raise SystemExit("ledger: the consumer did not come to the end of the topic")
            if message is None:
                continue
            until = time.monotonic() + PATIENCE
            if not message.error():
                records.append((message.partition(), message.offset(), message.key(), message.value()))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        consumer.close()
        return records

    def compare(self, records):
        expected = {}
        for feed in self.feeds:
            expected.update(feed.expected())
        seen, last, result = collections.Counter(), {}, collections.Counter()
        told = open(os.path.join(self.agent.dir, "records.txt"), "w")
        for partition, offset, kafka_key, value in sorted(records, key=lambda r: r[:2]):
            key, n = decode(value)
            told.write(f"{partition} {offset} {key} {n}\n")
            result["wrong_key"] += kafka_key is None or kafka_key.decode() != key
            before = last.get((partition, key), 0)
            if n < before and seen[key, n] == 0:
                result["reordered"] += 1
                self.say(result["reordered"], f"reordered: {key} {n} behind {before}, partition {partition} offset {offset}")
            if seen[key, n]:
                result["twice"] += 1
                self.say(result["twice"], f"twice: {key} {n}, partition {partition} offset {offset}")
            last[partition, key] = max(n, before)
            seen[key, n] += 1
        told.close()
        for key, count in expected.items():
            for n in range(1, count + 1):
                if not seen[key, n]:
                    result["lost"] += 1
                    self.say(result["lost"], f"lost: {key} {n} of {count}")
        result["unknown"] = sum(n > expected.get(key, 0) for key, n in seen)
        result["acked"] = sum(expected.values())
        result["problems"] = sum(len(feed.problems) for feed in self.feeds)
        for problem in [p for feed in self.feeds for p in feed.problems][:5]:
            print(f"problem: {problem}")
        return result

    @staticmethod
    def say(count, text):
        if count <= 5:
            print(text, flush=True)


def decode(value):
    """The key and the number of a datum of world.SCHEMA, in Avro's single-object encoding: C3 01, the schema's fingerprint, the datum."""
    if value[:2] != b"\xc3\x01":
        raise SystemExit(f"ledger: a record that is no event: {value!r}")
    size, at = varint(value, 10)
    n, _ = varint(value, at + size)
    return value[at:at + size].decode(), n


def varint(data, at):
    shift = bits = 0
    while True:
        byte = data[at]
        at += 1
        bits |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return (bits >> 1) ^ -(bits & 1), at


def healthy(options, brokers):
    """Any moment, any victim. A batch in doubt goes where it went before, a key's new home notwithstanding: a partition is added once."""
    broker, ledger = brokers[0], Ledger(options, brokers, "numbered", options.weir)
    broker.cut_share(0.5)

    def kills(moments):
        partition_at = options.kills // 3
        while moments.kills["all"] < options.kills:
            count = moments.kills["all"]
            moments.any(partition=count == partition_at and broker.partitions(ledger.topic) == PARTITIONS)
    result = ledger.run(kills)
    counts = ledger.moments.kills
    moments = {m: n for m, n in sorted(counts.items()) if m not in ("all", "in_flight", "undelivered", "agent", "broker", "both", "connection")}
    print("moments " + " ".join(f"{m}={n}" for m, n in moments.items()))
    print(f"kills in_flight={counts['in_flight']} undelivered={counts['undelivered']} agent={counts['agent']} broker={counts['broker']} "
          f"both={counts['both']} connection={counts['connection']} cuts_at_a_byte={broker.cuts()} "
          f"rotations={ledger.feeds[0].rotated + ledger.feeds[1].rotated} http_resent={ledger.feeds[2].resent}")
    print(f"ledger broker={broker.version} kills={counts['all']} acked={result['acked']} lost={result['lost']} twice={result['twice']} "
          f"reordered={result['reordered']} aside={result['aside']} nodes={broker.nodes}", flush=True)
    wrong = sum(n for name, n in result.items() if name != "acked")
    few = min(counts["in_flight"], counts["undelivered"]) < 0.4 * counts["all"]
    if wrong or few:
        sys.exit(f"ledger: {'too few kills of one kind' if few else dict(result)} seed={options.seed}")


def planted(options, brokers, fault):
    kind, moment, victim, symptoms, more = PLANTED[fault]
    ledger = Ledger(options, brokers, fault, options.faults, fault)
    ledger.agent.ack = ledger.agent.commit = "2 s"      # patient commits: the moments are long
    ledger.moments.quiet = QUIET

    def kills(moments):
        while moments.kills["all"] < PLANTED_KILLS.get(fault, 3):
            moments.one(kind, moment, victim, **more)
    result = ledger.run(kills)
    caught = any(result[symptom] for symptom in symptoms)
    print(f"planted fault={fault} kills={ledger.moments.kills['all']} acked={result['acked']} lost={result['lost']} twice={result['twice']} "
          f"reordered={result['reordered']} caught={int(caught)}", flush=True)
    if not caught:
        sys.exit(f"ledger: blind to the planted mistake {fault} seed={options.seed}")


def one_cluster(options, kafka, nodes, faults):
    brokers = Broker(kafka, nodes, os.path.join(options.dir, "kafka"), options.seed), MqttBroker(os.path.join(options.dir, "mosquitto"))
    broker, mosquitto = brokers
    try:
        broker.start()
        mosquitto.start()
        if options.kills:
            healthy(options, brokers)
            broker.cut_share(0)
        for fault in faults:
            planted(options, brokers, fault)
    except BaseException:
        print(f"ledger: seed={options.seed}; what was written is in {options.dir}", flush=True)
        raise
    finally:
        broker.close()
        mosquitto.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--dir")
    parser.add_argument("--kafka", nargs="+", default=["4.4.0"], help="releases, one run after the other")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1], help="so many, and the last release likewise on the others")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--faults", nargs="+", metavar="PROGRAM", help="a program with planted mistakes, and which; default: all")
    options = parser.parse_args()
    faults = []
    if options.faults:
        options.faults, *faults = options.faults
        faults = faults or list(PLANTED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ledger: ended from outside"))
    print(f"ledger seed={options.seed}", flush=True)
    options.dir = work = options.dir or tempfile.mkdtemp(prefix="weir-ledger.")
    clusters = [(kafka, options.nodes[0]) for kafka in options.kafka] + [(options.kafka[-1], nodes) for nodes in options.nodes[1:]]
    for kafka, nodes in clusters:
        options.dir = os.path.join(work, f"{kafka}-{nodes}")
        one_cluster(options, kafka, nodes, faults)
        faults = []
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
