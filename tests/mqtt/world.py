"""A broker, the program weir with the observer between them, and who publishes."""
import atexit
import collections
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

from observer import Observer

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
from services import MqttBroker, PATIENCE, wait_for    # noqa: E402


class Broker(MqttBroker):
    def publisher(self, *words):
        return subprocess.Popen(["mosquitto_pub", "-p", str(self.port), "-q", "1", *words], stdin=subprocess.PIPE, text=True)

    def publish(self, payloads, topic="t/a"):
        """Returns what publishes; it is done when the broker has acknowledged all."""
        process = self.publisher("-t", topic, "-l")
        process.stdin.write("".join(p + "\n" for p in payloads))
        process.stdin.close()
        return process

    def publish_all(self, payloads, topic="t/a"):
        assert self.publish(payloads, topic).wait(PATIENCE) == 0


class World:
    """A new broker, started by `script`, a new buffer; `options`: further ones of the driver."""

    def __init__(self, weir, buffer=None, stream=None, env=None, script="mosquitto.sh", **options):
        self.weir, self.env = weir, {**os.environ, **(env or {})}
        self.dir = tempfile.mkdtemp(prefix="weir-mqtt.")
        self.broker = Broker(os.path.join(self.dir, "broker"), script=script)
        self.broker.start()
        self.observer = Observer(self.broker.port, self.missing)
        self.buffer = os.path.join(self.dir, "d", "buffer.db")
        self.rows = collections.Counter()   # bodies in the database
        self.bodies = []                    # the same, in order
        self.sequence = 1                   # the next that was not read
        self.looks_up = True
        self.process = None
        self.is_closed = False
        atexit.register(lambda: self.is_closed or self.close(False))
        os.makedirs(os.path.dirname(self.buffer))
        # Nobody listens where it is to deliver to: all stays in the buffer, which is what is compared.
        self.config = {
            "agent": {"id": "t"}, "status": {"enabled": False}, "buffer": {"path": self.buffer, "size_max": "512 MiB", **(buffer or {})}, "streams": {"raw": stream or {}},
            "drivers": {"broker": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{self.observer.port}", "payload": "raw",
                                   "routes": [{"topic": "t/#", "stream": "raw"}], **options}},
            "uplinks": {"none": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "none"}}}

    # --- the agent ---

    def launch(self):
        path = os.path.join(self.dir, "weir.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([self.weir, "run", path], stdout=log, stderr=log, env=self.env)

    def start(self, is_awaited=True):
        """`is_awaited`: until it has subscribed. The database is not looked into before it has it open, or it could not open it."""
        subscribed = self.observer.subscribed
        with self.observer.lock:
            self.launch()
            self.status()
        if is_awaited:
            wait_for("subscription", lambda: self.observer.subscribed > subscribed)

    def start_and_kill(self, seconds):
        with self.observer.lock:
            self.launch()
            time.sleep(seconds)
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, "the agent did not end well"

    def status(self):
        socket = os.path.join(os.path.dirname(self.buffer), "weir.sock")
        answer = []

        def is_there():
            if self.process.poll() is not None:
                raise SystemExit(f"mqtt: the agent has ended; its log is in {self.dir}")
            answer[:] = [self.run("status", "--json", "--socket", socket)]
            return answer[0].returncode == 0

        wait_for("status", is_there)
        return json.loads(answer[0].stdout)

    def commits(self):
        return self.status()["wear"]["commits"]

    def run(self, *words):
        return subprocess.run([self.weir, *words], capture_output=True, text=True)

    # --- what is committed ---

    def read(self):
        """Reads on in the database, through the agent or, when it is dead, without it; it may die meanwhile."""
        while True:
            answer = self.run("buffer", "cat", "raw", "--first", str(self.sequence), "--buffer", self.buffer)
            if answer.returncode == 0:
                break
            time.sleep(0.01)
        for line in answer.stdout.splitlines():
            row = json.loads(line)
            assert row["sequence"] == self.sequence, f"sequence {row['sequence']} follows {self.sequence - 1}"
            self.sequence += 1
            self.bodies.append(row["event"]["body"])
            self.rows[row["event"]["body"]] += 1

    def missing(self, payloads):
        """For the observer: how many of those that are being acknowledged are not committed."""
        if not self.looks_up:
            return 0
        self.read()
        return sum(p not in self.rows for p in payloads)

    def count(self):
        with self.observer.lock:
            self.read()
        return len(self.bodies)

    def close(self, is_good):
        self.is_closed = True
        if self.process and self.process.poll() is None:
            self.kill()
        self.broker.stop()
        if is_good:
            shutil.rmtree(self.dir)
        else:
            print(f"files in {self.dir}", flush=True)
