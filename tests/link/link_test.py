"""The promises of a thin link, on a real one with a real Kafka behind it: while a backlog that outlasts the test goes out, with telemetry
at 10 events/s and an alarm every 5 s beside it, alarms arrive soon, the bucket is in use, what was left behind gets its share, and in the
end everything that was acknowledged is there, once, in order.

usage: link.sh RATE 400 PYTHON link_test.py WEIR RATE SECONDS BACKLOG      PYTHON: that of tests/services/readers.sh kafka"""
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests", "services"), os.path.join(ROOT, "uplink", "decoders", "python")]
import weir_columns                                     # noqa: E402
from feed import telemetry                              # noqa: E402
from services import Kafka, PATIENCE, wait_for          # noqa: E402

FAR, LINK = "10.91.0.2", "modem"
# The shaped rate, in bit/s: what the configuration says of it, as who pays for the link would; the alarms' bounds in seconds, p50 and p99.
RATES = {"64kbit": ("60 kbit/s", 1, 3), "9600bit": ("9 kbit/s", 3, 8)}
USE_MIN, BACKFILL_SHARE = 0.95, 0.20
SCHEMAS = {
    "telemetry": [("device", "string"), ("n", "long"), ("at_ms", "long"), *((f, "double") for f in "abcdefgh")],
    "alarms": [("device", "string"), ("n", "long"), ("at_ms", "long"), ("text", "string")],
}
failures = []


def check(what, good, shown=""):
    if not good:
        failures.append(what)
        print(f"FAILED: {what} {shown}", flush=True)


def schema_text(stream):
    fields = [{"name": name, "type": kind} for name, kind in SCHEMAS[stream]]
    return json.dumps({"type": "record", "name": stream.capitalize(), "namespace": "link", "fields": fields})


def broker_start(broker):
    """Clients of both sides find it at the far side's address; records carry the time when it had them."""
    broker.start(f"listeners=PLAINTEXT://0.0.0.0:{broker.port},CONTROLLER://127.0.0.1:{broker.port + 4}",
                 f"advertised.listeners=PLAINTEXT://{FAR}:{broker.port}")
    broker.create({stream: {"message.timestamp.type": "LogAppendTime"} for stream in SCHEMAS}, 1)


class Site:
    """The agent on the near side, in lives that follow one another; its files are seen from here."""

    def __init__(self, weir, directory, broker, rate_max):
        self.near, self.weir, self.dir, self.process = os.environ["WEIR_NEAR"].split(), weir, directory, None
        self.http_port = 8080                           # in a name space of its own
        for stream in SCHEMAS:
            with open(os.path.join(directory, stream + ".avsc"), "w") as f:
                f.write(schema_text(stream))
        self.config = {
            "agent": {"id": "site"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "512 MiB"},
            "streams": {
                "telemetry": {"schema": "telemetry.avsc", "key": "device", "priority": 3, "order": "fresh_first", "when_full": "block"},
                "alarms": {"schema": "alarms.avsc", "key": "device", "priority": 9, "when_full": "block"}},
            "drivers": {
                "post": {"type": "http", "listen": f"127.0.0.1:{self.http_port}",
                         "routes": [{"topic": s, "stream": s} for s in SCHEMAS]},
                "backlog": {"type": "tail", "stream": "telemetry", "paths": [os.path.join(directory, "backlog.log")], "poll": "100 ms"}},
            "uplinks": {"cloud": {"type": "kafka", "brokers": [f"{FAR}:{broker.port}"], "topic": "{stream}", "link": LINK, "from": "oldest"}},
            "links": {LINK: {"metered": True, "rate_max": rate_max}}}

    def start(self):
        path = os.path.join(self.dir, "weir.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([*self.near, self.weir, "run", path], stdout=log, stderr=log)
        wait_for("agent", lambda: self.ended() or self.status())

    def ended(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the agent ended with {self.process.returncode}; see {self.dir}/log")

    def status(self):
        answer = subprocess.run([self.weir, "status", "--json", "--socket", os.path.join(self.dir, "weir.sock")], capture_output=True, text=True)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def owed(self, stream):
        return next(s["events"] for s in self.status()["streams"] if s["name"] == stream)

    def stop(self):
        self.process.terminate()
        if self.process.wait(PATIENCE):
            raise SystemExit(f"the agent ended with {self.process.returncode}; see {self.dir}/log")

    def cable(self, state):
        subprocess.run([*self.near, "ip", "link", "set", "near", state], check=True)

    def queued(self):
        """Bytes in the link's own queue, before the cable."""
        shown = subprocess.run([*self.near, "tc", "-s", "-j", "qdisc", "show", "dev", "near"], stdout=subprocess.PIPE, check=True).stdout
        return json.loads(shown)[0]["backlog"]

    def widen(self):
        """The link is as fast as the machine from now on."""
        widen()
        self.config["links"][LINK]["rate_max"] = "0 bit/s"


def widen():
    for prefix, device in (([], "far"), (os.environ["WEIR_NEAR"].split(), "near")):
        subprocess.run([*prefix, "tc", "qdisc", "del", "dev", device, "root"], check=True)


def backlog_write(path, count):
    """Whole, under its name, at once: so nothing of it is read twice."""
    random.seed(1)
    with open(path + ".new", "w") as f:
        for n in range(count):
            f.write(json.dumps(telemetry(n)) + "\n")
    os.rename(path + ".new", path)


def records_of(broker, topic):
    consumer = Consumer({"bootstrap.servers": f"{FAR}:{broker.port}", "group.id": "link", "enable.auto.commit": False,
                         "enable.partition.eof": True, "log_level": 0})
    consumer.assign([TopicPartition(topic, 0, 0)])
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                break
            raise SystemExit(str(message.error()))
        yield message
    consumer.close()


def read_back(broker, topic):
    """Per event: its sequence, number and time of sending, the lane, when the broker had it, all in the topic's order; and per record:
    when the broker had it, the lane, the bytes."""
    decoder = weir_columns.Consumer(lambda _: schema_text(topic))
    events, records = [], []
    for message in records_of(broker, topic):
        lane = dict(message.headers() or []).get("weir_lane", b"fresh").decode()
        at_ms = message.timestamp()[1]
        batch = decoder.decode(message.value())
        records.append((at_ms, lane, len(message.value())))
        events += [(sequence, row["n"], row["at_ms"], lane, at_ms) for sequence, row in zip(batch.sequences, batch.rows)]
    return events, records


def percentile(values, share):
    return sorted(values)[math.ceil(len(values) * share) - 1]


class Test:
    def __init__(self, weir, rate, seconds, backlog, directory):
        self.rate, self.seconds, self.backlog, self.dir = rate, seconds, backlog, directory
        self.rate_max, self.p50, self.p99 = RATES[rate]
        self.broker = Kafka(os.path.join(directory, "kafka"), port=9092)
        self.site = Site(weir, directory, self.broker, self.rate_max)
        self.acknowledged = {stream: set() for stream in SCHEMAS}
        self.queue = 0      # bytes, at most, that the kernel was seen to hold before the link

    def run(self):
        try:
            self.prepare()
            status = self.measure()
            self.judge(status, self.drain())
        finally:
            if self.site.process and self.site.process.poll() is None:
                self.site.process.kill()
            self.broker.end()

    def prepare(self):
        """An outage: the backlog is stored while the cable is pulled."""
        broker_start(self.broker)
        self.site.cable("down")
        self.site.start()
        backlog_write(os.path.join(self.dir, "backlog.log"), self.backlog)
        wait_for("backlog", lambda: self.site.owed("telemetry") == self.backlog, 600, 0.5)
        self.acknowledged["telemetry"].update(range(self.backlog))
        self.site.stop()
        self.site.cable("up")

    def measure(self):
        self.site.start()
        self.began_ms = int(time.time() * 1000)
        taken = os.path.join(self.dir, "taken")
        with open(taken, "w") as f:
            feed = subprocess.Popen([*self.site.near, sys.executable, os.path.join(HERE, "feed.py"), str(self.site.http_port),
                                     str(self.backlog), str(self.seconds)], stdout=f)
        while feed.poll() is None:
            self.queue = max(self.queue, self.site.queued())
            time.sleep(1)
        if feed.returncode:
            raise SystemExit(f"the feed ended with {feed.returncode}")
        for line in open(taken):
            stream, n = line.split()
            check("the agent takes what is sent", stream in SCHEMAS, line)
            self.acknowledged.get(stream, set()).add(int(n))
        self.ended_ms = int(time.time() * 1000)
        status = self.site.status()
        check("the backlog outlasts the test", self.site.owed("telemetry") > self.backlog / 20, str(status["streams"]))
        wait_for("alarms", lambda: self.site.owed("alarms") == 0)
        self.site.stop()
        return status

    def drain(self):
        """Everything else, by a wide link, in another life."""
        self.site.widen()
        self.site.start()
        wait_for("all to be sent", lambda: all(self.site.owed(s) == 0 for s in SCHEMAS), 600, 0.2)
        self.site.stop()
        return {stream: read_back(self.broker, stream) for stream in SCHEMAS}

    def judge(self, status, topics):
        twice = lost = 0
        for stream, (events, _) in topics.items():
            numbers = [e[1] for e in events]
            twice += len(numbers) - len(set(numbers))
            lost += len(self.acknowledged[stream] - set(numbers))
            for lane in ("fresh", "backfill"):
                sequences = [e[0] for e in events if e[3] == lane]
                check(f"{stream}: {lane} is in order", sequences == sorted(sequences))
        check("nothing is lost", lost == 0, str(lost))
        check("nothing is there twice", twice == 0, str(twice))
        late = [(e[4] - e[2]) / 1000 for e in topics["alarms"][0]]
        # The first one of a life has its topic and a producer id looked up, behind what is under way; of few it would be the p99.
        p50, p99 = percentile(late, 0.5), percentile(late if len(late) >= 100 else late[1:], 0.99)
        check("an alarm every 5 s", len(late) == int(self.seconds / 5), str(len(late)))
        check(f"alarms: the first one within {2 * self.p99} s", late[0] <= 2 * self.p99, str(late[0]))
        check(f"alarms: half of them within {self.p50} s", p50 <= self.p50, str(sorted(late)))
        check(f"alarms: 99 % of them within {self.p99} s", p99 <= self.p99, str(sorted(late)))
        link = status["links"][LINK]
        use = link["in_use_ms"] / link["backlog_ms"]
        check("the bucket is in use", use >= USE_MIN, json.dumps(link))
        check("there was a backlog all the time", link["backlog_ms"] >= 0.9 * (self.ended_ms - self.began_ms), json.dumps(link))
        bytes_per_second = int(re.match("[0-9]+", self.rate)[0]) * (1000 if "k" in self.rate else 1) / 8
        check("no more than a second of it is queued in the kernel", self.queue <= bytes_per_second, str(self.queue))
        sizes = {lane: sum(size for at_ms, l, size in topics["telemetry"][1] if l == lane and at_ms <= self.ended_ms)
                 for lane in ("fresh", "backfill")}
        share = sizes["backfill"] / sum(sizes.values())
        check("what was left behind gets its share", share >= BACKFILL_SHARE, str(sizes))
        fresh = [(e[4] - e[2]) / 1000 for e in topics["telemetry"][0] if e[3] == "fresh"]
        cloud = status["uplinks"]["cloud"]
        words = [f"link rate={self.rate}", f"rate_max={re.sub('[^0-9a-z]', '', self.rate_max)}", f"seconds={self.seconds}",
                 f"backlog={self.backlog}", f"alarms={len(late)}", f"p50_s={p50:.2f}", f"p99_s={p99:.2f}", f"max_s={max(late):.2f}", f"first_s={late[0]:.2f}",
                 f"twice={twice}", f"lost={lost}", f"in_use={use:.3f}", f"backfill={share:.2f}",
                 f"fresh_p50_s={percentile(fresh, 0.5):.1f}", f"fresh_max_s={max(fresh):.1f}",
                 f"sent={sum(s[2] for t in topics.values() for s in t[1] if s[0] <= self.ended_ms)}", f"wire={cloud['wire_sent']}",
                 f"retried={cloud['retried']}", f"queue={self.queue}", f"backlog_ms={link['backlog_ms']}"]
        print(" ".join(words), flush=True)


def main():
    weir, rate, seconds, backlog = sys.argv[1:]
    directory = tempfile.mkdtemp(prefix="weir-link.")
    os.chmod(directory, 0o755)
    Test(weir, rate, int(seconds), int(backlog), directory).run()
    if failures:
        print(f"{len(failures)} failed; files in {directory}")
        sys.exit(1)
    subprocess.run(["rm", "-rf", directory], check=True)


if __name__ == "__main__":
    main()
