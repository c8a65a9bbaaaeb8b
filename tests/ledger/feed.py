"""The generator: numbered events per key, written to a tailed file and posted over HTTP at once.

Every (source, key) counts 1, 2, 3, ... An event of the file is acknowledged when its line is complete (the file is durable as far as a
killed process is concerned); an event over HTTP when 200 said that it is stored. A request without an answer is sent again under the same
Idempotency-Key until it is answered."""
import http.client
import json
import os
import random
import threading
import time
import uuid

KEYS = 5


class Feed(threading.Thread):
    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.counters = [0] * KEYS
        self.acknowledged = 0
        self.running = True
        self.lock = threading.Lock()
        self.problems = []

    def next_event(self):
        k = self.random.randrange(KEYS)
        self.counters[k] += 1
        event = {"key": f"{self.source}-{k}", "n": self.counters[k], "pad": "x" * self.random.randrange(120)}
        return event

    def stop(self):
        self.running = False
        self.join()

    def expected(self):
        return {f"{self.source}-{k}": n for k, n in enumerate(self.counters)}


class TailFeed(Feed):
    """Appends lines, now and then in two pieces, and rotates the file by rename or by copy and truncate."""
    source = "tail"

    def __init__(self, seed, path, rate):
        super().__init__(seed)
        self.path, self.rate, self.rotated = path, rate, 0

    def run(self):
        f = open(self.path, "ab", buffering=0)
        while self.running:
            line = (json.dumps(self.next_event()) + "\n").encode()
            if self.random.random() < 0.05:
                cut = self.random.randrange(1, len(line))
                f.write(line[:cut])
                time.sleep(0.01)
                f.write(line[cut:])
            else:
                f.write(line)
            self.acknowledged += 1
            if self.random.random() < 0.002:
                f.close()
                self.rotated += 1
                os.rename(self.path, f"{self.path}.{self.rotated}")
                f = open(self.path, "ab", buffering=0)
            time.sleep(self.random.expovariate(self.rate))
        f.close()


class HttpFeed(Feed):
    source = "http"

    def __init__(self, seed, port, rate):
        super().__init__(seed)
        self.port, self.rate, self.resent = port, rate, 0

    def post(self, body, key):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request("POST", "/events", body, {"Content-Type": "application/x-ndjson", "Idempotency-Key": key})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def run(self):
        while self.running:
            events = [self.next_event() for _ in range(self.random.choice([1, 1, 3, 20]))]
            body = "".join(json.dumps(e) + "\n" for e in events)
            key = str(uuid.UUID(int=self.random.getrandbits(128)))
            while True:
                try:
                    status, text = self.post(body, key)
                except (OSError, http.client.HTTPException):
                    status, text = 0, b""
                if status == 200:
                    stored = json.loads(text)
                    if stored["stored"] != len(events) or stored["aside"]:
                        self.problems.append(f"answer {text!r} to {len(events)} events")
                    self.acknowledged += len(events)
                    break
                if status not in (0, 429, 503):
                    self.problems.append(f"HTTP {status}: {text!r}")
                    return
                self.resent += 1
                time.sleep(0.1)
            time.sleep(self.random.expovariate(self.rate) * len(events))
