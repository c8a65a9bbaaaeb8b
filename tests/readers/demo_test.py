"""ports/demo as a user meets it: the screen, an event by curl, the last line, Ctrl-C, a port that is taken; into files and into a Kafka.

usage: demo_test.py BUILD_FOLDER"""
import glob
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEIR = os.path.join(sys.argv[1], "weir")
sys.path.insert(0, os.path.join(ROOT, "tests", "services"))
from services import free_ports       # noqa: E402
PATIENCE = 600      # seconds: the demo builds first
failures = []


def check(what, good, shown=""):
    print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ' ' + str(shown)[-1500:]}", flush=True)
    if not good:
        failures.append(what)


class Demo:
    """One run. Its screen is read while it runs."""

    def __init__(self, *words):
        first = free_ports(10)
        self.port, self.kafka_port, self.screen = first + 5, first, ""
        environment = {**os.environ, "WEIR_DEMO_PORT": str(self.port), "WEIR_DEMO_KAFKA_PORT": str(self.kafka_port)}
        self.process = subprocess.Popen([os.path.join(ROOT, "ports", "demo"), *words], cwd=ROOT, env=environment, start_new_session=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.screen += line

    def wait_screen(self, text):
        until = time.monotonic() + PATIENCE
        while text not in self.screen:
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"the screen never said {text!r}:\n{self.screen}")
            time.sleep(0.05)

    def wait_events(self, count):
        """Until the agent has taken so many."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = subprocess.run([WEIR, "status", "--json", "--socket", os.path.join(ROOT, "build", "demo", "weir.sock")], capture_output=True, text=True)
            if answer.returncode == 0 and json.loads(answer.stdout)["events"] >= count:
                return
            if time.monotonic() > until:
                raise SystemExit(f"the demo never took {count} events: {answer.stdout}{answer.stderr}")
            time.sleep(0.1)

    def post(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("POST", "/my/subject", '{"hello": "river"}', {"Content-Type": "application/x-www-form-urlencoded"})  # as curl -d
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        check("the curl event is answered", answer.status == 200 and json.loads(text) == {"stored": 1, "aside": []}, text)

    def end(self):
        code = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        return code

    def check_end(self, what):
        code = self.end()
        last = self.screen.rstrip("\n").split("\n")[-1]
        counts = re.fullmatch(r"events=(\d+) stored=(\d+) delivered=(\d+)", last)
        check(f"{what}: exit 0, the last line counts", code == 0 and counts, self.screen)
        numbers = [int(n) for n in counts.groups()] if counts else [0, 0, 0]
        check(f"{what}: all that came was stored and delivered", numbers[0] > 100 and len(set(numbers)) == 1, last)
        return numbers[2]

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def records():
    found = {}
    for stream in ("energy", "buttons", "notes"):
        files = glob.glob(os.path.join(ROOT, "build", "demo", "out", stream, "*", "*.avro"))
        printed = subprocess.run([WEIR, "avro", "cat", *files], capture_output=True, text=True, check=True).stdout if files else ""
        found[stream] = printed.splitlines()
    return found


def test_seconds(demo):
    demo.wait_screen("by itself after 5 seconds")
    delivered, found = demo.check_end("5 seconds"), records()
    check("what was delivered is in the files", sum(map(len, found.values())) == delivered, {k: len(v) for k, v in found.items()})


def test_files(demo):
    demo.wait_screen("Stop:")
    for word in ("curl -d", f"http://127.0.0.1:{demo.port}/", "build/demo/out", "avro cat", "weir status", "build/demo/log", "Ctrl-C"):
        check(f"the screen says {word}", word in demo.screen, demo.screen)
    demo.post()
    second = subprocess.run([os.path.join(ROOT, "ports", "demo")], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    check("a second one says that there is one", second.returncode == 3 and "running already" in second.stderr, second.stderr)
    demo.wait_events(200)
    demo.interrupt()
    delivered = demo.check_end("files, Ctrl-C")
    found = records()
    check("what was delivered is in the files", sum(map(len, found.values())) == delivered, {k: len(v) for k, v in found.items()})
    check("the curl event is there", len(found["notes"]) == 1 and "river" in found["notes"][0], found["notes"])


def test_kafka(demo):
    demo.wait_screen("Stop:")
    check("the screen says how to read the topics", f"127.0.0.1:{demo.kafka_port}" in demo.screen and "ConsoleConsumer" in demo.screen, demo.screen)
    demo.post()
    printed = subprocess.run(["bash", os.path.join(ROOT, "tests", "services", "kafka.sh"), "tool", os.path.join(ROOT, "build", "demo", "kafka"),
                              "org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "energy", "--from-beginning", "--max-messages", "5"],
                             capture_output=True, timeout=PATIENCE).stdout
    check("and that works", printed.count(b"EM-33021-A") == 5, printed)
    demo.wait_events(200)
    demo.interrupt()
    demo.check_end("Kafka")
    try:
        socket.create_connection(("127.0.0.1", demo.kafka_port), timeout=1).close()
        check("the Kafka has ended", False)
    except OSError:
        check("the Kafka has ended", True)


def test_port_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = subprocess.run([os.path.join(ROOT, "ports", "demo"), "--seconds", "5"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
                              env={**os.environ, "WEIR_DEMO_PORT": str(port)})
    check("a port that is taken is named, and the way out", demo.returncode == 3 and f"port {port}" in demo.stderr and "WEIR_DEMO_PORT=" in demo.stderr,
          demo.stderr)


def main():
    # A shell that started the tests in the background lets them ignore it, and so the demo.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for words, test in ((["--seconds", "5"], test_seconds), ([], test_files), (["--kafka"], test_kafka)):
        demo = Demo(*words)
        try:
            test(demo)
        finally:
            demo.kill()
    test_port_taken()
    bad = subprocess.run([os.path.join(ROOT, "ports", "demo"), "--seconds", "soon"], cwd=ROOT, capture_output=True, text=True)
    check("bad usage", bad.returncode == 2 and "usage:" in bad.stderr, bad.stderr)
    if failures:
        sys.exit(f"{len(failures)} failed")
    print("demo: all fine")


main()
