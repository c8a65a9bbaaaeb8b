"""The soak: the static program at work for hours, 200 events a second by files, HTTP and MQTT to a real Kafka, while it is reloaded, both brokers are
restarted, logs are rotated and the wall clock jumps. What /proc says of it is put on record: its memory and its descriptors must not grow.
Then everything is read back: each event once, in order per key.

usage: soak.py [MINUTES]     WEIR_SEED, WEIR_LONG=1: two hours; WEIR_SOAK=FILE: the samples, a line of JSON each"""
import collections
import json
import os
import random
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(HERE, "..", "services"), os.path.join(HERE, "..", "ledger")]
import services                                             # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, KafkaError, TopicPartition    # noqa: E402
from feed import HttpFeed, MqttFeed, TailFeed               # noqa: E402
from ledger import decode                                   # noqa: E402
from services import PATIENCE, wait_for                     # noqa: E402
from world import SCHEMA                                    # noqa: E402

RATE = 200              # events a second, by all sources together
PARTITIONS = 3
JUMPS = (600, -600, 3000, -3000, 0, -86400)     # seconds; Kafka refuses what lies more than an hour ahead
LOGS = 30               # that are kept of each: three minutes' lines
LOGS_OPEN_MAX = 2 * (LOGS + 2)
SLOPE_MAX = 1024        # bytes a minute, in the long form
WINDOW_S = 600          # about one outage of Kafka in each


class Agent(services.Agent):
    def __init__(self, program, directory, kafka, mqtt):
        self.clock = os.path.join(directory, "clock")
        self.jump(0)
        os.environ["SOAK_CLOCK"] = self.clock       # of each program that is started: clock.c
        super().__init__(program, directory)
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        files = {name: {"type": "tail", "stream": "numbered", "paths": [os.path.join(directory, name, "events.log*")], "files_max": 1024}
                 for name in ("renamed", "copied")}
        self.config = {
            "agent": {"id": "soak", "socket": os.path.join(directory, "weir.sock")},
            "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "64 MiB"},
            "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}},
            "drivers": {**files,
                        "publish": {"type": "mqtt", "stream": "numbered", "url": f"mqtt://127.0.0.1:{mqtt.port}", "topics": ["soak/#"]},
                        "post": {"type": "http", "stream": "numbered", "listen": f"127.0.0.1:{self.http_port}"}},
            "uplinks": {"cloud": {"type": "kafka", "brokers": [kafka.servers], "topic": "numbered", "backoff_max": "2 s"}}}
        self.write(self.config)

    def write(self, config):
        with open(self.path + ".new", "w") as f:
            f.write(config if isinstance(config, str) else json.dumps(config))
        os.rename(self.path + ".new", self.path)

    def jump(self, seconds):
        """Written in place: the agent has the file mapped."""
        with open(self.clock, "r+b" if os.path.exists(self.clock) else "wb") as f:
            f.write(struct.pack("=q", seconds))

    def sample(self):
        """What /proc says."""
        with open(f"/proc/{self.process.pid}/status") as f:
            fields = dict(line.split(":", 1) for line in f)
        kib = {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon", "VmHWM")}
        with open(f"/proc/{self.process.pid}/stat") as f:
            ticks = f.read().rsplit(")", 1)[1].split()
        opened = self.opened()
        return {"rss": kib["VmRSS"], "anonymous": kib["RssAnon"], "most": kib["VmHWM"], "threads": int(fields["Threads"]),
                "descriptors": len(opened), "logs": sum("/events.log" in path for path in opened),
                "cpu_s": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")}

    def opened(self):
        """What its descriptors are of."""
        folder, paths = f"/proc/{self.process.pid}/fd", []
        for number in os.listdir(folder):
            try:
                paths.append(os.readlink(os.path.join(folder, number)))
            except FileNotFoundError:
                pass        # closed since
        return paths


class Soak:
    def __init__(self, program, directory, seconds, seed):
        self.dir, self.seconds, self.random = directory, seconds, random.Random(seed)
        self.kafka = services.Kafka(os.path.join(directory, "kafka"))
        self.mqtt = services.MqttBroker(os.path.join(directory, "mqtt"))
        self.agent = Agent(program, directory, self.kafka, self.mqtt)
        for name in ("renamed", "copied"):
            os.makedirs(os.path.join(directory, name))
        each = RATE / 4
        self.files = [TailFeed(self.random.random(), name, each, os.path.join(directory, name, "events.log"), name == "copied")
                      for name in ("renamed", "copied")]
        self.publish = MqttFeed(self.random.random(), "mqtt", each, self.mqtt.port, "soak")
        self.feeds = [*self.files, HttpFeed(self.random.random(), "http", each, self.agent.http_port), self.publish]
        self.samples, self.counts = [], collections.Counter()
        self.record = open(os.environ.get("WEIR_SOAK", os.path.join(directory, "samples.jsonl")), "w")

    # --- what happens to it ---

    def reload(self):
        """What is reloaded is now the one thing, now the other, now nothing; each fifth file is broken."""
        self.counts["reloads"] += 1
        if self.counts["reloads"] % 5 == 0:
            self.agent.write('{"agent": ')
            answer = self.agent.command("reload", "--socket", self.agent.config["agent"]["socket"])
            self.counts["reload_wrong"] += answer.returncode == 0
            self.agent.write(self.agent.config)
            return
        number = self.counts["reloads"]
        self.agent.config["streams"]["numbered"]["unknown_fields"] = ("ignore", "set_aside")[number % 2]
        self.agent.config["uplinks"]["cloud"]["backoff_max"] = f"{2 + number % 3} s"
        self.agent.write(self.agent.config)
        answer = self.agent.command("reload", "--socket", self.agent.config["agent"]["socket"])
        if answer.returncode != 0:
            self.counts["reload_wrong"] += 1
            print(f"reload: {answer}", flush=True)

    def restart_kafka(self):
        self.counts["kafka_restarts"] += 1
        self.kafka.run("kill9" if self.counts["kafka_restarts"] % 2 else "stop")
        time.sleep(self.random.uniform(1, 20))
        self.kafka.run("resume")

    def restart_mqtt(self):
        """While nothing is being published: what the publisher has no answer to it would have to send twice."""
        self.counts["mqtt_restarts"] += 1
        self.publish.rest(PATIENCE)
        self.publish.publisher = None
        self.mqtt.restart()
        self.publish.go()

    def jump(self):
        self.counts["clock_jumps"] += 1
        self.agent.jump(JUMPS[self.counts["clock_jumps"] % len(JUMPS)])

    def go(self):
        """Samples each second or five; what happens has each its own period, and comes for the first time early."""
        long = self.seconds > 600
        begin = time.monotonic()
        due = {self.reload: (61, 7), self.restart_kafka: (601, 23), self.restart_mqtt: (907, 17), self.jump: (421, 5)}
        due = {what: period[not long] for what, period in due.items()}
        at = {what: begin + period / 3 for what, period in due.items()}
        while (now := time.monotonic()) < begin + self.seconds:
            self.take_sample(now - begin)
            for what in at:
                if now >= at[what]:
                    what()
                    at[what] = time.monotonic() + due[what]
            for feed in self.files:
                feed.prune(LOGS)
            time.sleep(5 if long else 1)

    def let_logs_go(self):
        """What was deleted last may be open for some seconds more: what is open behind that is in the last sample."""
        until = time.monotonic() + PATIENCE
        while self.agent.sample()["logs"] > LOGS_OPEN_MAX and time.monotonic() < until:
            for feed in self.files:
                feed.prune(LOGS)
            time.sleep(1)

    def take_sample(self, age):
        sample = {"s": round(age, 1), **self.agent.sample(), "acknowledged": sum(f.acknowledged for f in self.feeds)}
        self.samples.append(sample)
        self.record.write(json.dumps(sample) + "\n")
        self.record.flush()

    # --- from begin to end ---

    def run(self):
        try:
            self.kafka.start()
            self.kafka.create({"numbered": {"retention.ms": "-1"}}, PARTITIONS)
            self.mqtt.start()
            self.agent.start()
            for feed in self.feeds:
                feed.start()
            wait_for("delivered event", lambda: self.agent.status()["delivered"] > 0)
            self.go()
            for feed in self.feeds:
                feed.stop(PATIENCE)
            total = sum(sum(feed.counters) for feed in self.feeds)
            wait_for("event stored", lambda: self.stored() >= total, pause=0.5)
            wait_for("event delivered", lambda: all(s["events"] == 0 for s in self.agent.status()["streams"]), pause=0.5)
            self.let_logs_go()
            self.take_sample(self.seconds)
            status = self.agent.status()
            self.agent.stop()
            self.counts["aside"] = status["aside"]
            self.counts["dropped"] = sum(s["dropped"] for s in status["streams"])
            self.compare()
        finally:
            self.agent.kill()
            self.mqtt.stop()
            self.kafka.end()

    def stored(self):
        return next(s["sequence_next"] - 1 for s in self.agent.status()["streams"] if s["name"] == "numbered")

    def compare(self):
        expected = {key: n for feed in self.feeds for key, n in feed.expected().items()}
        seen = {key: bytearray(n + 1) for key, n in expected.items()}
        last = collections.Counter()
        for partition in range(PARTITIONS):
            for value in self.read(partition):
                key, n = decode(value)
                if n >= len(seen[key]):
                    self.counts["unknown"] += 1
                    continue
                self.counts["twice"] += seen[key][n] > 0
                self.counts["reordered"] += seen[key][n] == 0 and n < last[key]
                seen[key][n] = 1
                last[key] = max(last[key], n)
        self.counts["acknowledged"] = sum(expected.values())
        self.counts["lost"] = sum(n - sum(seen[key]) for key, n in expected.items())

    def read(self, partition):
        consumer = Consumer({"bootstrap.servers": self.kafka.servers, "group.id": "soak", "enable.auto.commit": False,
                             "enable.partition.eof": True, "log_level": 0})
        consumer.assign([TopicPartition("numbered", partition, 0)])
        until = time.monotonic() + PATIENCE
        while True:
            for message in consumer.consume(10000, timeout=1):
                until = time.monotonic() + PATIENCE
                if not message.error():
                    yield message.value()
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    consumer.close()
                    return
            if time.monotonic() > until:
                raise SystemExit("soak: the consumer did not come to the end of the topic")

    def report(self):
        """Figures of the time after minute 10, or, in the short form, after the first third."""
        settled = [s for s in self.samples if s["s"] >= min(600, self.seconds / 3)]
        share = max(1, len(settled) // 10)
        held = [s["descriptors"] - s["logs"] for s in settled]
        growth = statistics.median(held[-share:]) - statistics.median(held[:share])
        figures = {"minutes": round(self.seconds / 60, 1), **self.counts, "rotations": sum(f.rotated for f in self.files),
                   "rss_slope": round(slope(settled, "rss")), "anonymous_slope": round(slope(settled, "anonymous")),
                   "rss_base_slope": round(window_slope(settled, statistics.median)), "rss_peak_slope": round(window_slope(settled, max)),
                   "rss_begin": settled[0]["rss"], "rss_end": settled[-1]["rss"], "rss_most": settled[-1]["most"],
                   "descriptors": settled[-1]["descriptors"], "logs": settled[-1]["logs"], "descriptors_most": max(s["descriptors"] for s in settled),
                   "descriptors_growth": growth, "threads": settled[-1]["threads"], "cpu_s": settled[-1]["cpu_s"]}
        print("soak " + json.dumps(figures), flush=True)
        wrong = {name: figures[name] for name in ("lost", "twice", "reordered", "unknown", "aside", "dropped", "reload_wrong") if figures.get(name)}
        if growth > 2:
            wrong["descriptors_growth"] = growth
        if settled[-1]["logs"] > LOGS_OPEN_MAX:
            wrong["logs"] = settled[-1]["logs"]
        for name in ("rss_base_slope", "rss_peak_slope"):
            if self.seconds >= 3600 and figures[name] > SLOPE_MAX:
                wrong[name] = figures[name]
        return wrong


def slope(samples, name):
    """Least squares, bytes a minute."""
    return statistics.linear_regression([s["s"] / 60 for s in samples], [s[name] for s in samples]).slope


def window_slope(samples, which):
    """The same of what memory comes to in each window. An outage takes most of a megabyte and gives it back: through all samples the line says
    when the last one was, through the medians and through the maxima whether what stays, or what an outage takes, grows."""
    windows = collections.defaultdict(list)
    for s in samples:
        windows[int(s["s"] // WINDOW_S)].append(s)
    full = [w for w in windows.values() if w[-1]["s"] - w[0]["s"] >= WINDOW_S * 0.8]
    return slope([{"s": w[0]["s"], "rss": which(s["rss"] for s in w)} for w in full], "rss") if len(full) > 1 else 0


def build():
    """What ships, but for its clock."""
    done = subprocess.run([os.path.join(ROOT, "ports/static/build"), "x86_64", "--out", os.path.join(ROOT, "build/static/soak/weir"),
                           "-DWEIR_TESTS=ON", "-DWEIR_SOAK=ON"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[0]


def main():
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 120 if os.environ.get("WEIR_LONG") == "1" else 1
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    directory = tempfile.mkdtemp(prefix="weir-soak.")
    print(f"soak seed={seed} directory={directory}", flush=True)
    soak = Soak(build(), directory, minutes * 60, seed)
    soak.run()
    wrong = soak.report()
    if wrong:
        sys.exit(f"soak: {wrong} seed={seed}; what was written is in {directory}")
    shutil.rmtree(directory)


main()
