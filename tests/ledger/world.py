"""What the ledger kills: a real Kafka behind one proxy a node, and the program weir. Beside them an MQTT broker, which lives."""
import json
import os
import signal
import sys
import threading

from confluent_kafka.admin import NewPartitions

from proxy import Proxy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
import services                                     # noqa: E402
from services import Kafka, PATIENCE, wait_for      # noqa: E402

SCHEMA = {"type": "record", "name": "Numbered", "namespace": "ledger", "fields": [
    {"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}


class Broker(Kafka):
    """Its SASL listeners are reached through the proxies. Ports: see kafka.sh; +5 and +6 of a node are the proxy's
    and spare."""

    def __init__(self, version, nodes, directory, seed):
        super().__init__(directory, version, nodes=nodes)
        self.changed = threading.Condition()
        self.proxies = [Proxy(self.port + 10 * n + 5, self.port + 10 * n + 1, seed + n, self.changed) for n in range(nodes)]

    def start(self):
        super().start("sasl", "advertise=+5")

    def topic(self, name, partitions):
        config = {"min.insync.replicas": "2"} if self.nodes > 1 else {}
        self.create({name: config}, partitions, min(self.nodes, 3))
        wait_for(f"topic {name}", lambda: self.partitions(name) == partitions)

    def add_partition(self, name):
        count = self.partitions(name) + 1
        self.admin.create_partitions([NewPartitions(name, count)])[name].result(PATIENCE)
        wait_for("new partition", lambda: self.partitions(name) == count)

    def partitions(self, name):
        """As every node knows it, with a leader each."""
        counts = []
        for n in range(self.nodes):
            admin = self.admin_of(f"127.0.0.1:{self.port + 10 * n}")
            topic = admin.list_topics(name, timeout=PATIENCE).topics[name]
            counts.append(sum(p.leader >= 0 for p in topic.partitions.values()))
        return min(counts)

    # --- the way to it ---

    def in_flight(self):
        return sum(p.in_flight() for p in self.proxies)

    def shut(self, shut):
        for p in self.proxies:
            p.shut(shut)

    def cut(self):
        for p in self.proxies:
            p.cut_all()

    def gate(self, gate, part=False):
        for p in self.proxies:
            p.set_gate(gate, part)

    def cut_share(self, share):
        for p in self.proxies:
            p.cut_share = share

    def wait(self, what, condition):
        """The first node (from 1) whose proxy fits the condition."""
        with self.changed:
            found = self.changed.wait_for(lambda: next((n + 1 for n, p in enumerate(self.proxies) if condition(p)), None), PATIENCE)
        if not found:
            raise SystemExit(f"ledger: no {what} within {PATIENCE} s")
        return found

    def cuts(self):
        return sum(p.counts["cut_up"] + p.counts["cut_down"] for p in self.proxies)

    # --- the nodes ---

    def kill(self, node):
        with open(os.path.join(self.dir, str(node), "pid")) as f:
            os.kill(int(f.read()), signal.SIGKILL)      # at this moment; kill9 waits for it and tidies up
        self.run("kill9", str(node))

    def resume(self, node):
        self.run("resume", str(node))

    def close(self):
        for p in self.proxies:
            p.close()
        self.end()


class Agent(services.Agent):
    """One life after the other on the same buffer."""

    def __init__(self, program, directory, brokers, mqtt_port, topic, fault=None):
        super().__init__(program, directory, {**os.environ, "WEIR_FAULT": fault or ""})
        self.brokers, self.mqtt_port, self.topic = brokers, mqtt_port, topic
        self.ack, self.commit = "20 ms", "200 ms"
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        self.lives = 0

    def configuration(self):
        files = {name: {"type": "tail", "stream": "numbered", "paths": [os.path.join(self.dir, name, "events.log*")], "poll": "50 ms",
                        "files_max": 1024}
                 for name in ("renamed", "copied")}
        return {
            "agent": {"id": "ledger"},
            "buffer": {"path": os.path.join(self.dir, "buffer.db"), "size_max": "64 MiB", "commit_interval": self.commit},
            "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
            "drivers": {**files, "publish": {
                "type": "mqtt", "stream": "numbered", "url": f"mqtt://127.0.0.1:{self.mqtt_port}", "topics": [f"{self.topic}/#"],
                "client_id": f"ledger-{self.topic}"}, "post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": self.ack}},
            "uplinks": {"cloud": {
                "type": "kafka", "brokers": self.brokers, "topic": self.topic, "streams": ["numbered"],
                "sasl": {"mechanism": "PLAIN", "user": "weir", "password": "weir-secret"}, "backoff_max": "1 s"}},
        }

    def start(self):
        with open(self.path, "w") as f:
            json.dump(self.configuration(), f, indent=1)
        super().start()
        self.lives += 1

    def driver(self, name, counter):
        return self.status()["drivers"][name].get(counter, 0)

    def stored_ever(self):
        return sum(s["sequence_next"] - 1 for s in self.status()["streams"] if s["name"] == "numbered")
