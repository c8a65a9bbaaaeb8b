"""The ledger: kills the agent, the broker and their connections while numbered events flow, then reads everything back.

usage: ledger.py --weir PROGRAM --dir DIR [--kafka 4.4.0] [--nodes 1] [--kills 200] [--seed N] [--expect-failure]

A kill counts only when it meets a batch in flight (a Produce request has left and is not answered) or acknowledged events that cannot
have been delivered (the way to the broker is shut). Prints one result line; exit 0: nothing lost, nothing twice, order per key kept.
With --expect-failure (a planted mistake, WEIR_FAULT) exit 0 means that the mistake was caught."""
import argparse
import collections
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

from feed import HttpFeed, TailFeed
from proxy import Proxy

HERE = os.path.dirname(os.path.abspath(__file__))
SERVICES = os.path.join(os.path.dirname(HERE), "services")
SCHEMA = {"type": "record", "name": "Numbered", "namespace": "ledger", "fields": [
    {"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}
PARTITIONS = 3


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def wait_for(what, condition, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.01)
    raise SystemExit(f"ledger: no {what} within {seconds} s")


class Broker:
    """Kafka of tests/services, its SASL listener reached through one proxy a node."""

    def __init__(self, version, nodes, directory, seed):
        self.dir, self.nodes = directory, nodes
        self.port = random.Random(seed ^ os.getpid()).randrange(20000, 30000, 50)
        self.proxies = [Proxy(self.port + 1 + 10 * n, seed + n) for n in range(nodes)]
        self.run("start", version, directory, str(self.port), "sasl", *([f"nodes={nodes}"] if nodes > 1 else []))
        self.run("stop", directory)
        for n in range(nodes):
            self.readvertise(n)
        self.run("resume", directory)
        self.run("topic", directory, "numbered", str(PARTITIONS), str(min(nodes, 3)))
        self.down = None

    def readvertise(self, n):
        path = os.path.join(self.dir, str(n + 1), "server.properties")
        with open(path) as f:
            text = f.read()
        real = f"SASL_PLAINTEXT://127.0.0.1:{self.port + 1 + 10 * n}"
        lines = [line.replace(real, f"SASL_PLAINTEXT://127.0.0.1:{self.proxies[n].port}")
                 if line.startswith("advertised.listeners=") else line for line in text.splitlines()]
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")

    def run(self, *words):
        subprocess.run(["bash", os.path.join(SERVICES, "kafka.sh"), *words], check=True, stdout=subprocess.DEVNULL)

    def in_flight(self):
        return sum(p.in_flight() for p in self.proxies)

    def shut(self, shut):
        for p in self.proxies:
            p.refused = shut
            if shut:
                p.cut_all()

    def kill(self, node):
        self.run("kill9", self.dir, str(node))

    def resume(self, node):
        self.run("resume", self.dir, str(node))


class Agent:
    def __init__(self, program, directory, brokers, patient):
        self.program, self.dir = program, directory
        # Patient commits: the moments in which a planted mistake shows are longer.
        self.ack, self.commit = ("300 ms", "1 s") if patient else ("20 ms", "200 ms")
        self.http_port = free_port()
        self.log = open(os.path.join(directory, "agent.log"), "ab")
        self.path = os.path.join(directory, "weir.json")
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        with open(self.path, "w") as f:
            json.dump(self.configuration(brokers), f, indent=1)
        self.process = None

    def configuration(self, brokers):
        return {
            "agent": {"id": "ledger"},
            "buffer": {"path": os.path.join(self.dir, "buffer.db"), "size_max": "64 MiB", "commit_interval": self.commit},
            "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
            "drivers": {
                "lines": {"type": "tail", "stream": "numbered", "paths": [os.path.join(self.dir, "events.log*")], "poll": "50 ms"},
                "post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": self.ack},
            },
            "uplinks": {"cloud": {
                "type": "kafka", "brokers": brokers, "topic": "{stream}",
                "streams": ["numbered"],
                "sasl": {"mechanism": "PLAIN", "user": "weir", "password": "weir-secret"}, "backoff_max": "1 s"}},
        }

    def start(self):
        self.process = subprocess.Popen([self.program, "run", self.path], stdout=self.log, stderr=self.log)
        wait_for("agent", self.listening, 20)

    def listening(self):
        if self.process.poll() is not None:
            raise SystemExit(f"ledger: the agent ended with {self.process.returncode}; see {self.dir}/agent.log")
        try:
            socket.create_connection(("127.0.0.1", self.http_port), timeout=1).close()
            return True
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def status(self):
        answer = subprocess.run([self.program, "status", "--json", "--socket", os.path.join(self.dir, "weir.sock")],
                                capture_output=True, text=True)
        return json.loads(answer.stdout) if answer.returncode == 0 else None


class Ledger:
    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.dir = options.dir
        os.makedirs(self.dir, exist_ok=True)
        self.broker = Broker(options.kafka, options.nodes, os.path.join(self.dir, "kafka"), options.seed)
        self.agent = Agent(options.weir, self.dir, [f"127.0.0.1:{p.port}" for p in self.broker.proxies],
                           options.expect_failure)
        self.feeds = [TailFeed(options.seed, os.path.join(self.dir, "events.log"), 150),
                      HttpFeed(options.seed + 1, self.agent.http_port, 100)]
        self.kills = collections.Counter()
        self.partitions = PARTITIONS

    # --- one kill each; True when it met what it was meant to meet ---

    def wait_in_flight(self):
        wait = self.random.choice([0.02, 0.1, 0.3])
        on_the_way = self.random.random() < 0.5     # the request, or its answer
        if self.options.aim:
            on_the_way = self.options.aim != "answer"
        for p in self.broker.proxies:
            p.hold, p.delay = (wait, 0) if on_the_way else (0, wait)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self.broker.in_flight():
                time.sleep(self.random.random() * wait * 0.8)
                if self.broker.in_flight():
                    return True
            time.sleep(0.001)
        return False

    def wait_undelivered(self):
        self.broker.shut(True)
        before = sum(f.acknowledged for f in self.feeds)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if sum(f.acknowledged for f in self.feeds) > before + self.random.randrange(1, 30):
                time.sleep(self.random.random() * 0.2)
                return True
            time.sleep(0.005)
        return False

    def kill_agent(self):
        self.agent.kill()
        for p in self.broker.proxies:
            if p.hold:
                p.cut_all()     # what was on its way to the broker does not arrive
        self.broker.shut(False)
        if self.partitions == PARTITIONS and self.kills["all"] >= self.options.kills // 3:
            self.partitions += 1    # a batch in doubt goes where it went before, a key's new home notwithstanding
            self.broker.run("tool", self.broker.dir, "org.apache.kafka.tools.TopicCommand", "--alter", "--topic", "numbered",
                            "--partitions", str(self.partitions))
        if self.random.random() < 0.2:
            time.sleep(self.random.random())
        self.agent.start()
        return "agent"

    def kill_broker(self):
        node = self.random.randrange(self.options.nodes) + 1
        self.broker.kill(node)
        self.broker.shut(False)
        if self.random.random() < 0.3:
            self.agent.kill()
            self.agent.start()
        self.broker.resume(node)
        return "broker"

    def kill_connections(self):
        for p in self.broker.proxies:
            p.cut_all()
        self.broker.shut(False)
        return "connection"

    def one_kill(self):
        flight = bool(self.options.aim) or self.kills["in_flight"] <= self.kills["undelivered"]
        met = self.wait_in_flight() if flight else self.wait_undelivered()
        victim = self.random.choices([self.kill_agent, self.kill_broker, self.kill_connections], [70, 15, 15])[0]
        if self.options.aim:
            victim = self.kill_connections if self.options.aim == "cut" else self.kill_agent
        name = victim()
        for p in self.broker.proxies:
            p.delay = p.hold = 0
            p.cut_share = 0.15
        if met:
            self.kills["in_flight" if flight else "undelivered"] += 1
            self.kills[name] += 1
            self.kills["all"] += 1

    # --- the end: everything out, read back, compared ---

    def drained(self):
        status = self.agent.status()
        return status is not None and status["backlog"] == 0

    def read_back(self, seconds=30):
        from confluent_kafka import Consumer, KafkaError, TopicPartition
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.broker.port}", "group.id": "ledger",
                             "auto.offset.reset": "earliest", "enable.auto.commit": False, "enable.partition.eof": True})
        consumer.assign([TopicPartition("numbered", p, 0) for p in range(self.partitions)])
        ended, records, until = set(), [], time.monotonic() + seconds
        while len(ended) < self.partitions and time.monotonic() < until:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
                continue
            records.append((message.partition(), message.offset(), message.key(), message.value()))
        consumer.close()
        if len(ended) < self.partitions:
            raise SystemExit("ledger: the consumer did not come to the end of the topic")
        return records

    def compare(self, records):
        expected = {}
        for feed in self.feeds:
            expected.update(feed.expected())
        seen, last, result = collections.Counter(), {}, collections.Counter()
        for partition, _, kafka_key, value in sorted(records, key=lambda r: (r[0], r[1])):
            try:
                key, n = decode(value)
            except (IndexError, UnicodeDecodeError):
                raise SystemExit(f"ledger: a record that is no event: key {kafka_key!r} value {value!r}") from None
            if kafka_key is None or kafka_key.decode() != key:
                result["wrong_key"] += 1
            before = last.get((partition, key), 0)
            if n < before and seen[key, n] == 0:
                result["reordered"] += 1
                print(f"reordered: {key} {n} behind {before}")
            last[partition, key] = max(n, before)
            seen[key, n] += 1
        result["twice"] = sum(count - 1 for count in seen.values())
        result["lost"] = sum(1 for key, count in expected.items() for n in range(1, count + 1) if not seen[key, n])
        result["unknown"] = sum(1 for key, n in seen if n > expected.get(key, 0))
        result["acked"] = sum(expected.values())
        return result

    def run(self):
        self.agent.start()
        for feed in self.feeds:
            feed.start()
        time.sleep(1)
        attempts = 0
        while self.kills["all"] < self.options.kills and attempts < 3 * self.options.kills + 20:
            attempts += 1
            self.one_kill()
        for feed in self.feeds:
            feed.stop()
        for p in self.broker.proxies:
            p.cut_share = 0
        wait_for("empty backlog", self.drained, 120)
        status = self.agent.status()
        self.agent.process.send_signal(signal.SIGTERM)
        self.agent.process.wait(30)
        result = self.compare(self.read_back())
        result["aside"] = status["aside"]
        return result


def decode(value):
    """The key and the number of a datum of SCHEMA, in Avro's single-object encoding: C3 01, the schema's fingerprint, the datum."""
    if value[:2] != b"\xc3\x01":
        raise IndexError
    value = value[10:]
    size, at = varint(value, 0)
    key = value[at:at + size].decode()
    n, _ = varint(value, at + size)
    return key, n


def varint(data, at):
    shift = bits = 0
    while True:
        byte = data[at]
        at += 1
        bits |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return (bits >> 1) ^ -(bits & 1), at


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weir", required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--kafka", default="4.4.0")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--expect-failure", action="store_true")
    parser.add_argument("--aim", choices=["request", "answer", "cut"],
                        help="kill only the agent while a request or its answer is on its way, or cut off a request")
    options = parser.parse_args()
    print(f"ledger seed={options.seed} fault={os.environ.get('WEIR_FAULT', '-')}", flush=True)
    ledger = Ledger(options)
    try:
        result = ledger.run()
    finally:
        if ledger.agent.process and ledger.agent.process.poll() is None:
            ledger.agent.process.kill()
        ledger.broker.run("kill9", ledger.broker.dir)
    kills = ledger.kills
    cuts = sum(p.counts["cut_up"] + p.counts["cut_down"] for p in ledger.broker.proxies)
    print(f"kills in_flight={kills['in_flight']} undelivered={kills['undelivered']} agent={kills['agent']} broker={kills['broker']} "
          f"connection={kills['connection']} cuts_at_a_byte={cuts} rotations={ledger.feeds[0].rotated} "
          f"http_resent={ledger.feeds[1].resent} nodes={options.nodes}")
    print(f"ledger broker={options.kafka} kills={kills['all']} acked={result['acked']} lost={result['lost']} twice={result['twice']} "
          f"reordered={result['reordered']} aside={result['aside']}", flush=True)
    problems = ledger.feeds[0].problems + ledger.feeds[1].problems
    for problem in problems[:5]:
        print(f"problem: {problem}")
    wrong = result["lost"] + result["twice"] + result["reordered"] + result["aside"] + result["wrong_key"] + result["unknown"] + len(problems)
    few = kills["all"] < options.kills or min(kills["in_flight"], kills["undelivered"]) < 0.4 * kills["all"]
    if options.expect_failure:
        print("caught" if wrong else "NOT CAUGHT: the ledger is blind to this mistake")
        sys.exit(0 if wrong else 1)
    if few:
        print("too few kills of one kind")
    sys.exit(1 if wrong or few else 0)


if __name__ == "__main__":
    main()
