"""What the benchmarks share: result lines, data sets, processes and what they cost, a Kafka, the agent, its rivals."""
import glob
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "services"))
import free_ports     # noqa: E402
import services       # noqa: E402
OMKAFKA = "rsyslog/omkafka.so"
SETS = ("energy_meter", "syslog", "button_events", "gnss_json", "pump_rig", "vehicle_gps")


class Missing(Exception):
    """Something that could not be measured, and why."""


def say(bench, case, value, unit, baseline=None, baseline_value=None, ratio=None, goal=None, met=None, **more):
    if ratio is None and value is not None and baseline_value:
        ratio = value / baseline_value
    line = {"bench": bench, "case": case, "value": short(value), "unit": unit, "baseline": baseline, "baseline_value": short(baseline_value),
            "ratio": short(ratio), "goal": goal, "met": met}
    print(json.dumps({**line, **more}), flush=True)


def short(number):
    """Four digits are more than a measurement has."""
    return number if number is None or isinstance(number, int) else float(f"{number:.4g}")


def say_ratio(bench, case, ours, theirs, unit, baseline, goal=None):
    """Rounds in which ours and theirs took turns: the median of their ratios."""
    ratios = [a / b for a, b in zip(ours, theirs)]
    ratio = statistics.median(ratios)
    say(bench, case, statistics.median(ours), unit, baseline, statistics.median(theirs), ratio, goal and f"ratio <= {goal}",
        goal and ratio <= goal, rounds=len(ratios), ratios=[short(min(ratios)), short(max(ratios))])


# --- data ---

def data_lines(data, name):
    """The lines of a set, which may be in several files; None: it is absent."""
    files = sorted(glob.glob(os.path.join(data, f"{name}.ndjson")) + glob.glob(os.path.join(data, f"{name}-[0-9]*.ndjson")))
    return [line for path in files for line in open(path, "rb")] or None


def lines_file(options, path, count, name="energy_meter"):
    """A file of `count` lines of the set, from the front again when there are not so many."""
    lines = data_lines(options.data, name)
    if not lines:
        raise Missing(f"data set {name} is absent from {options.data}")
    with open(path, "wb") as f:
        for i in range(count):
            f.write(lines[i % len(lines)])
    return path


def schema_of(name):
    path = os.path.join(ROOT, "config", "examples", f"{name}.avsc")
    return path if os.path.exists(path) else None


# --- processes ---

def free_port(count=1):
    """The first of so many in a row."""
    return free_ports.find(count)


def finish(process, number=None):
    """Sends the signal, if any, and waits. User and system seconds of the whole life."""
    if number:
        process.send_signal(number)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


def written_bytes(pid):
    """What the process has handed to the kernel by write() and the like."""
    with open(f"/proc/{pid}/io") as f:
        return int(next(line for line in f if line.startswith("wchar")).split()[1])


def need(program, package):
    found = shutil.which(program)
    if not found:
        raise Missing(f"{program} is not installed: apt-get install {package}")
    return found


def callgrind(out):
    return [need("valgrind", "valgrind"), "--tool=callgrind", f"--callgrind-out-file={out}", "--log-file=/dev/null"]


def callgrind_count(out):
    with open(out) as f:
        return int(next(line for line in f if line.startswith(("summary:", "totals:"))).split()[1])


class Kafka(services.Kafka):
    def __init__(self, version, directory):
        super().__init__(directory, version)
        self.count = 0
        try:
            self.start("message.max.bytes=4000000")
        except subprocess.CalledProcessError:
            raise Missing("no Kafka: tests/services/kafka.sh failed; it needs Java and, the first time, Maven")

    def topic(self):
        self.count += 1
        name = f"bench{self.count}"
        self.run("topic", name, "1")
        return name

    def end_offset(self, topic):
        """ListOffsets v1 of partition 0: how many events have arrived."""
        name = struct.pack(">h", len(topic)) + topic.encode()
        body = struct.pack(">hhih", 2, 1, 1, -1) + struct.pack(">ii", -1, 1) + name + struct.pack(">iiq", 1, 0, -1)
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rb") as f:
            s.sendall(struct.pack(">i", len(body)) + body)
            answer = f.read(struct.unpack(">i", f.read(4))[0])
        return struct.unpack(">q", answer[-8:])[0]


# --- the agent ---

class Agent:
    """The agent with one stream, fed as `driver` says, into Kafka; without `kafka` into a broker that is not there."""

    def __init__(self, options, directory, driver, kafka=None, topic="none", schema=None):
        os.makedirs(directory)
        self.weir, self.dir, self.process = options.weir, directory, None
        self.path = os.path.join(directory, "weir.json")
        self.config = {
            "agent": {"id": "bench"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "512 MiB"},
            "streams": {"bench": {"schema": schema} if schema else {}}, "drivers": {"in": dict({"stream": "bench"}, **driver)},
            "uplinks": {"out": {"type": "kafka", "brokers": [f"127.0.0.1:{kafka.port if kafka else 1}"], "topic": topic}}}

    def start(self, wrapper=()):
        with open(self.path, "w") as f:
            json.dump(self.config, f)
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([*wrapper, self.weir, "run", self.path], stdout=log, stderr=log)

    def status(self):
        answer = subprocess.run([self.weir, "status", "--json", "--socket", os.path.join(self.dir, "weir.sock")], capture_output=True, text=True)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def wait(self, condition=lambda status: True, seconds=300, pause=0.1):
        until = time.monotonic() + seconds
        status = None
        while time.monotonic() < until:
            status = self.status()
            if status and condition(status):
                return status
            if self.process.poll() is not None:
                raise Missing("the agent ended: " + open(os.path.join(self.dir, "log")).read()[-400:])
            time.sleep(pause)
        raise Missing(f"the agent is not there after {seconds} s: {status}")

    def stop(self):
        return finish(self.process, signal.SIGTERM)

    def remove(self):
        shutil.rmtree(self.dir)


def tail(*paths, poll="100 ms"):
    return {"type": "tail", "paths": list(paths), "poll": poll}


# --- rivals ---

def producer_build(work):
    program = os.path.join(work, "producer")
    if not os.path.exists(program) and subprocess.run(["gcc", "-O2", "-o", program, os.path.join(HERE, "producer.c"), "-lrdkafka"]).returncode:
        raise Missing("the baseline is not built: apt-get install gcc libc6-dev librdkafka-dev")
    return program


def producer_cpu(program, kafka, topic, path, wrapper=()):
    """User and system seconds of a bare librdkafka producer that sends the lines of the file, and the seconds that it took."""
    started = time.monotonic()
    process = subprocess.Popen([*wrapper, program, f"127.0.0.1:{kafka.port}", topic, path], stdout=subprocess.DEVNULL)
    cpu = finish(process)
    if process.returncode:
        raise Missing(f"the bare producer failed, exit {process.returncode}")
    return cpu, time.monotonic() - started


RSYSLOG = '''global(workDirectory="{dir}")
module(load="imfile") module(load="omkafka")
template(name="line" type="string" string="%msg%")
input(type="imfile" File="{path}" Tag="x" ruleset="out")
ruleset(name="out") {{ action(type="omkafka" broker=["127.0.0.1:{port}"] topic="{topic}" template="line"
  confParam=["compression.codec=zstd","linger.ms=50"] queue.type="Disk" queue.filename="q" queue.maxDiskSpace="2g" {more}) }}
'''


def rsyslog_cpu(kafka, directory, path, count, more=""):
    """User and system seconds of rsyslog with its disk queue, until all lines of the file are in Kafka."""
    need("rsyslogd", "rsyslog rsyslog-kafka")
    if not any(os.path.exists(os.path.join(d, OMKAFKA)) for d in glob.glob("/usr/lib/*") + ["/usr/lib"]):
        raise Missing("rsyslog's omkafka is not installed: apt-get install rsyslog-kafka")
    os.makedirs(directory)
    topic, config = kafka.topic(), os.path.join(directory, "conf")
    with open(config, "w") as f:
        f.write(RSYSLOG.format(dir=directory, path=path, port=kafka.port, topic=topic, more=more))
    process = subprocess.Popen(["rsyslogd", "-n", "-f", config, "-i", os.path.join(directory, "pid")], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while kafka.end_offset(topic) < count and time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
    arrived = kafka.end_offset(topic)
    cpu = finish(process, signal.SIGTERM)
    shutil.rmtree(directory)
    if arrived < count:
        raise Missing(f"rsyslog delivered {arrived} of {count} events in 300 s")
    return cpu
