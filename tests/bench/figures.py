"""The figures of a board in one run: size for each target, memory, the start, CPU beside rsyslog and a bare producer. The memory, the start and the
CPU are those of the static program of this machine."""
import http.client
import os
import statistics
import subprocess
import time

from board import Held
from lib import (ROOT, Agent, Missing, free_port, lines_file, memory_kib, producer_build, producer_cpu, rsyslog_cpu, say, say_ratio, schema_of,
                 tail)
from mqtt import Mosquitto, Weir
from way import BARE, CPU_GOAL, agent_cpu

SIZE_MAX = {"armv7": (2000000, 1400000)}     # of everything, of MQTT and Kafka
FEW = ("DRIVER_MQTT", "UPLINK_KAFKA")


def build(target, *words):
    done = subprocess.run([os.path.join(ROOT, "ports/static/build"), target, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Missing(f"{target} is not built")
    path, size = done.stdout.split()
    return path, int(size)


def sizes(target):
    few = subprocess.run([os.path.join(ROOT, "ports/static/few"), *FEW], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    out = os.path.join(ROOT, "build", "static", f"few-{target}", "weir")
    os.makedirs(os.path.dirname(out), exist_ok=True)
    program, everything = build(target)
    bounds = SIZE_MAX.get(target, (None, None))
    for case, size, bound in ("everything", everything, bounds[0]), ("MQTT and Kafka", build(target, "--out", out, *few)[1], bounds[1]):
        say("board", f"{target}, stripped: {case}", size, "bytes", goal=bound and f"<= {bound}", met=bound and size <= bound)
    return program


def high_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1])


def say_memory(case, agent, baseline, bound):
    time.sleep(2)
    pid = agent.process.pid
    now, most = memory_kib(pid), high_kib(pid)
    agent.stop()
    held = baseline()
    say("board", f"VmRSS {case}", now, "KiB", "bare librdkafka producer", memory_kib(held.process.pid), goal=f"<= {bound}", met=now <= bound,
        VmHWM=most)
    held.close()


def memory(options, kafka, work):
    schema, topic = schema_of("energy_meter"), kafka.topic()
    few = lines_file(options, os.path.join(work, "few.ndjson"), 10)
    with open(few, "rb") as f:
        lines = f.read()

    def idle_producer():
        return Held(work, kafka.port, topic, lines)

    agent = Agent(options, os.path.join(work, "idle"), tail(few), kafka, topic, schema)
    agent.start()
    agent.wait(lambda s: s["delivered"] >= 10)
    say_memory("idle, file to Kafka", agent, idle_producer, 4096)
    broker = Mosquitto(os.path.join(work, "mosquitto"))
    weir = Weir(options, broker, os.path.join(work, "mqtt"), "board", lines.splitlines()[0], kafka, topic)
    weir.agent.wait(lambda s: s["delivered"] >= 1)
    say_memory("idle, MQTT to Kafka", weir.agent, idle_producer, 5120)
    broker.stop()
    backlog = lines_file(options, os.path.join(work, "backlog.ndjson"), options.backlog)
    agent = Agent(options, os.path.join(work, "backlog"), tail(backlog), schema=schema)
    agent.start()
    agent.wait(lambda s: s["stored"] >= options.backlog, 1200)

    def full_producer():
        with open(backlog, "rb") as f:
            return Held(work, 1, "none", f.read(), f"queue.buffering.max.messages={2 * options.backlog}", "queue.buffering.max.kbytes=2000000")

    say_memory(f"with a backlog of {options.backlog} events", agent, full_producer, 8192)
    os.remove(backlog)


def first_stored_ms(options, directory):
    """From the start of the process to the answer that an event is stored, on a new buffer."""
    port = free_port()
    agent = Agent(options, directory, {"type": "http", "listen": f"127.0.0.1:{port}", "ack_interval": "1 ms"})
    started = time.monotonic()
    agent.start()
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/e", '{"a": 1}', {"Content-Type": "application/json"})
            status = connection.getresponse().status
            took = (time.monotonic() - started) * 1000
            break
        except OSError:
            if agent.process.poll() is not None or time.monotonic() > started + 60:
                raise Missing("the agent takes no event")
            time.sleep(0.001)
        finally:
            connection.close()
    agent.stop()
    agent.remove()
    if status != 200:
        raise Missing(f"the event is answered with {status}")
    return took


def start(options, work):
    took = [first_stored_ms(options, os.path.join(work, "start")) for _ in range(options.rounds)]
    say("board", "start to the first stored event", statistics.median(took), "ms", rounds=len(took), values=[min(took), max(took)])


def cpu(options, kafka, work):
    """In turns: the agent, the bare producer, rsyslog with its disk queue, the same lines."""
    producer, topic, per_million = producer_build(work), kafka.topic(), 1e6 / options.events
    path = lines_file(options, os.path.join(work, "cpu.ndjson"), options.events)
    ours, bare, rsyslog = [], [], []
    for _ in range(options.rounds):
        ours.append(per_million * agent_cpu(options, kafka, topic, os.path.join(work, "cpu"), path, options.events, schema_of("energy_meter"))[0])
        bare.append(per_million * producer_cpu(producer, kafka, topic, path)[0])
        rsyslog.append(per_million * rsyslog_cpu(kafka, os.path.join(work, "rsyslog"), path, options.events))
    say_ratio("board", "CPU, file to Kafka rows, durable", ours, bare, "cpu s per million events", BARE, CPU_GOAL)
    say_ratio("board", "CPU, file to Kafka rows, durable", ours, rsyslog, "cpu s per million events", "rsyslog with its disk queue, no parsing")


def bench_board(options, kafka, work):
    programs = {target: sizes(target) for target in options.targets.split()}
    options.weir = programs.get("x86_64", options.weir)
    memory(options, kafka, work)
    start(options, work)
    cpu(options, kafka, work)
