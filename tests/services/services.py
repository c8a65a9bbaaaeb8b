"""The services of this folder, and weir beside them, for tests in Python. What is started here is gone as soon as the test is."""
import functools
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from free_ports import find as free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 180      # seconds for anything that takes one on an idle machine
os.environ["WEIR_TEST_OWNER"] = str(os.getpid())


def service(script, *words, **more):
    """Runs a script of this folder."""
    more.setdefault("stdout", subprocess.DEVNULL)
    if "input" not in more:
        more["stdin"] = subprocess.DEVNULL
    return subprocess.run(["bash", os.path.join(HERE, script), *words], check=True, **more)


def need(module, readers):
    """Starts the test again with the python of a set of readers.sh, unless this one has the module."""
    try:
        importlib.import_module(module)
    except ImportError:
        python = service("readers.sh", readers, stdout=subprocess.PIPE, text=True).stdout.strip()
        os.execv(python, [python, *sys.argv])


def need_kafka_client():
    """Kafka's stock client."""
    need("confluent_kafka", "kafka")


def wait_for(what, condition, seconds=PATIENCE, pause=0.02):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"no {what} within {seconds} s")
        time.sleep(pause)


class Kafka:
    """See kafka.sh for the words and the ports."""

    def __init__(self, directory, version="4.4.0", port=None, nodes=1):
        self.dir, self.version, self.nodes = directory, version, nodes
        self.port = port or free_ports(10 * nodes)
        self.servers = ",".join(f"127.0.0.1:{self.port + 10 * n}" for n in range(nodes))

    def start(self, *words):
        os.makedirs(self.dir, exist_ok=True)
        service("kafka.sh", "start", self.version, self.dir, str(self.port), *([f"nodes={self.nodes}"] if self.nodes > 1 else []), *words)

    def run(self, verb, *words, **more):
        return service("kafka.sh", verb, self.dir, *words, **more)

    @staticmethod
    def admin_of(servers, **settings):
        from confluent_kafka.admin import AdminClient
        return AdminClient({"bootstrap.servers": servers, "log_level": 0, **settings})

    @functools.cached_property
    def admin(self):
        return self.admin_of(self.servers)

    def create(self, topics, partitions=2, replicas=1):
        """`topics`: name to settings."""
        from confluent_kafka.admin import NewTopic
        wanted = [NewTopic(name, partitions, replicas, config=config) for name, config in topics.items()]
        for made in self.admin.create_topics(wanted).values():
            made.result(PATIENCE)

    def end(self):
        if os.path.exists(os.path.join(self.dir, "settings")):
            self.run("kill9")


class Registry:
    def __init__(self, directory, port=None):
        self.dir, self.port = directory, port or free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def start(self):
        service("registry.sh", "start", self.dir, str(self.port))

    def stop(self):
        service("registry.sh", "stop", self.dir)

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(self.url + path, data=None if body is None else json.dumps(body).encode(), method=method,
                                         headers={"Content-Type": "application/vnd.schemaregistry.v1+json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def register(self, subject, schema):
        return self.ask(f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]

    def subjects(self):
        return self.ask("/subjects")


class Fake:
    """A cloud service that needs no more than a folder and a port: moto.sh, kinesalite.sh, aws-gate.sh."""

    def __init__(self, script, directory, port=None):
        self.script, self.dir, self.port = script, directory, port or free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"

    def start(self, *words, **environment):
        service(self.script, "start", self.dir, str(self.port), *words, env={**os.environ, **environment})

    def stop(self):
        service(self.script, "stop", self.dir)

    def credentials(self, which="credentials"):
        """moto.sh with `auth`: key id and secret; `denied`: of a user without rights."""
        with open(os.path.join(self.dir, which)) as f:
            return f.read().split()


def gate_fault(gate, fault, every=1, first=0):
    """Has aws-gate.sh answer every n-th request so (aws_gate.py), m times; returns the counters that there were."""
    with urllib.request.urlopen(f"{gate.url}/gate", timeout=PATIENCE) as answer:
        before = json.load(answer)
    body = json.dumps({"fault": fault, "every": every, "first": first}).encode()
    urllib.request.urlopen(f"{gate.url}/gate", body, timeout=PATIENCE).close()
    return before


class MqttBroker:
    """mosquitto, or by its script another one; TLS, where the words ask for it, on the next port."""

    def __init__(self, directory, port=None, script="mosquitto.sh"):
        self.dir, self.port, self.script = directory, port or free_ports(2), script

    def start(self, *words):
        service(self.script, "start", self.dir, str(self.port), *words)

    def stop(self):
        service(self.script, "stop", self.dir)

    def resume(self):
        service(self.script, "resume", self.dir)

    def restart(self):
        self.stop()
        self.resume()


class Agent:
    """The program weir, one life after the other, with an http driver. In `directory`: its configuration, log and socket."""

    def __init__(self, program, directory, environment=None):
        self.program, self.dir, self.environment = program, directory, environment
        self.http_port = free_ports(1)
        self.log_path, self.path = os.path.join(directory, "log"), os.path.join(directory, "weir.json")
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([self.program, "run", self.path], stdout=log, stderr=log, env=self.environment)
        wait_for("agent", self.listening)

    def listening(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the agent ended with {self.process.returncode}; see {self.log_path}")
        try:
            socket.create_connection(("127.0.0.1", self.http_port), timeout=1).close()
            return bool(self.status())      # its socket comes last
        except OSError:
            return False

    def status(self):
        """By the control socket itself: quicker than a process."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(os.path.join(self.dir, "weir.sock"))
            s.sendall(b"status\n")
            answer = b""
            while more := s.recv(65536):
                answer += more
        return json.loads(answer)

    def command(self, *words):
        return subprocess.run([self.program, *words], capture_output=True, text=True, timeout=PATIENCE)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def change(self, how):
        """The configuration, for the next life."""
        with open(self.path) as f:
            config = json.load(f)
        how(config)
        with open(self.path, "w") as f:
            json.dump(config, f)

    def stop(self):
        self.process.terminate()
        if self.process.wait(PATIENCE) != 0:
            raise SystemExit(f"the agent ended with {self.process.returncode}; see {self.log_path}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
