"""The generators: numbered events per key, written to tailed files, posted over HTTP and published over MQTT at once.

Every (source, key) counts 1, 2, 3, ... An event of a file is acknowledged when its line is complete (the file is durable as far as a
killed process is concerned); an event over HTTP when 200 said that it is stored. A request without an answer is sent again under the same
Idempotency-Key until it is answered. An event over MQTT is acknowledged when the MQTT broker has answered it, which is not killed: from
then on it is the agent's to fetch."""
import http.client
import json
import os
import random
import shutil
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
from publisher import Publisher     # noqa: E402

KEYS = 5


class Feed(threading.Thread):
    def __init__(self, seed, source, rate):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.source, self.rate = source, rate
        self.counters = [0] * KEYS
        self.acknowledged = 0
        self.running = True
        self.going = threading.Event()
        self.going.set()
        self.resting = threading.Event()
        self.problems = []
        self.error = None

    def next_event(self):
        k = self.random.randrange(KEYS)
        self.counters[k] += 1
        return {"key": f"{self.source}-{k}", "n": self.counters[k], "pad": "x" * self.random.randrange(120)}

    def run(self):
        try:
            while self.running:
                if not self.going.is_set():
                    self.resting.set()
                    self.going.wait()
                    self.resting.clear()
                self.pause(self.step())
        except BaseException as e:
            self.error = e
            raise

    def pause(self, weight):
        time.sleep(self.random.expovariate(self.rate) * weight)

    def rest(self, seconds):
        """Returns when nothing of it is under way; go() lets it go on."""
        self.going.clear()
        if not self.resting.wait(seconds):
            raise SystemExit(f"ledger: the feed {self.source} did not come to rest within {seconds} s: {self.error}")

    def go(self):
        self.going.set()

    def stop(self, seconds):
        self.running = False
        self.going.set()
        self.join(seconds)
        if self.is_alive() or self.error:
            raise SystemExit(f"ledger: the feed {self.source} did not end: {self.error or 'no answer'}")

    def expected(self):
        return {f"{self.source}-{k}": n for k, n in enumerate(self.counters)}


class TailFeed(Feed):
    """Appends lines, now and then in two pieces. The file is rotated as logrotate does it: the numbers of the older ones shift, and it is
    renamed, or copied and truncated. Each file begins with an event, and no two events are alike."""

    def __init__(self, seed, source, rate, path, copies):
        super().__init__(seed, source, rate)
        self.path, self.copies = path, copies
        self.rotated = self.generations = self.lines = self.lines_total = 0
        self.file = open(path, "ab", buffering=0)

    def step(self):
        line = (json.dumps(self.next_event()) + "\n").encode()
        if self.random.random() < 0.05:
            cut = self.random.randrange(1, len(line))
            self.file.write(line[:cut])
            time.sleep(0.01)
            self.file.write(line[cut:])
        else:
            self.file.write(line)
        self.acknowledged += 1
        self.lines += 1
        self.lines_total += 1
        if self.lines > 300 and self.random.random() < 0.01:
            self.rotate()
        return 1

    def rotate(self):
        self.rotated += 1
        self.lines = 0
        for n in range(self.generations, 0, -1):
            os.rename(f"{self.path}.{n}", f"{self.path}.{n + 1}")
        self.generations += 1
        if self.copies:
            shutil.copyfile(self.path, f"{self.path}.1")
            self.file.truncate(0)
        else:
            self.file.close()
            os.rename(self.path, f"{self.path}.1")
            self.file = open(self.path, "ab", buffering=0)


    def prune(self, count):
        """Deletes the oldest files but `count`: when all of their lines are stored, however slow the agent was."""
        while self.generations > count:
            os.remove(f"{self.path}.{self.generations}")
            self.generations -= 1


class HttpFeed(Feed):
    """Posts one to twenty events at a time. `asked` counts requests that were sent; on_answer is called at once when 200 has come."""

    def __init__(self, seed, source, rate, port):
        super().__init__(seed, source, rate)
        self.port, self.resent, self.asked, self.answered = port, 0, 0, 0
        self.on_answer = None

    def post(self, body, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/events", body, {"Content-Type": "application/x-ndjson", "Idempotency-Key": key})
            self.asked += 1
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200 and self.on_answer:
                self.on_answer()
            return answer.status, text
        finally:
            connection.close()

    def step(self):
        events = [self.next_event() for _ in range(self.random.choice([1, 1, 3, 20]))]
        body = "".join(json.dumps(e) + "\n" for e in events)
        key = str(uuid.UUID(int=self.random.getrandbits(128)))
        while True:
            try:
                status, text = self.post(body, key)
            except (OSError, http.client.HTTPException):
                status, text = 0, b""
            if status == 200:
                break
            if status not in (0, 409, 429, 503):    # 409: the first one is still being worked on
                raise RuntimeError(f"HTTP {status}: {text!r}")
            self.resent += 1
            time.sleep(0.05)
        stored = json.loads(text)
        if stored["stored"] != len(events) or stored["aside"]:
            self.problems.append(f"answer {text!r} to {len(events)} events")
        self.acknowledged += len(events)
        self.answered += 1
        return len(events)


class MqttFeed(Feed):
    """Publishes one to twenty events at a time with QoS 1, a topic for each key. Until the agent has subscribed, the broker drops what it
    answers, and says so: that is published again. Afterwards the session is there for good."""

    def __init__(self, seed, source, rate, port, topic):
        super().__init__(seed, source, rate)
        self.port, self.topic = port, topic
        self.publisher = None
        self.subscribed = False

    def connect(self):
        """A broker that has just begun may end the first connection."""
        for wait in (0.1, 0.5, 2):
            try:
                return Publisher(self.port, f"feed-{self.topic}")
            except ConnectionError:
                time.sleep(wait)
        return Publisher(self.port, f"feed-{self.topic}")

    def publish(self, events):
        """How many of them nobody has subscribed to."""
        self.publisher = self.publisher or self.connect()
        nobody = self.publisher.publish([(f"{self.topic}/{e['key']}", json.dumps(e)) for e in events])
        self.acknowledged += len(events) - nobody
        return nobody

    def publish_first(self):
        event = self.next_event()
        while self.publish([event]):
            time.sleep(0.05)
        self.subscribed = True

    def step(self, count=None):
        if not self.subscribed:
            self.publish_first()
        events = [self.next_event() for _ in range(count or self.random.choice([1, 1, 3, 20]))]
        nobody = self.publish(events)
        if nobody:
            self.problems.append(f"the MQTT broker had no session for {nobody} events")
        return len(events)
