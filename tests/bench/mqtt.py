"""Benchmarks of MQTT to Kafka: CPU, how fast a broker's queue drains and in how many commits, commits of a live stream, latency."""
import atexit
import os
import statistics
import subprocess
import sys
import threading
import time

from lib import HERE, ROOT, Agent, Missing, finish, free_port, lines_file, need, say, say_ratio, schema_of

sys.path.insert(0, os.path.join(ROOT, "tests", "services"))
from publisher import Publisher     # noqa: E402

FORWARD = "libmosquitto and librdkafka in one program, nothing durable"
BRIDGE = "mosquitto's bridge to a second mosquitto"
LIVE_RATE, LATENCY_RATE = 1000, 10
LINGER = ("1 s", "50 ms")     # the default, and that of the other program


class Mosquitto:
    """A persistent broker that keeps all for a session that is away. `bridges`: what it forwards."""

    def __init__(self, directory, bridges=""):
        os.makedirs(directory)
        self.dir, self.port = directory, free_port()
        user = "user root\n" if os.getuid() == 0 else ""    # else it gives up root, and can't write here
        with open(os.path.join(directory, "conf"), "w") as f:
            f.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {directory}/\n"
                    f"max_queued_messages 0\nmax_queued_bytes 0\n{user}{bridges}")
        self.start()

    def start(self):
        program = need("mosquitto", "mosquitto")
        with open(os.path.join(self.dir, "log"), "ab") as log:
            self.process = subprocess.Popen([program, "-c", os.path.join(self.dir, "conf")], stdout=log, stderr=log)
        atexit.register(self.process.kill)      # also when something could not be measured
        until = time.monotonic() + 60
        while True:
            try:
                Publisher(self.port, "ready").close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise Missing("mosquitto does not answer: " + open(os.path.join(self.dir, "log")).read()[-400:])
                time.sleep(0.05)

    def stop(self):
        return finish(self.process, 15)

    def publish(self, topic, payloads):
        """All of them for a session that is there."""
        publisher = Publisher(self.port, "bench")
        nobody = publisher.publish([(topic, payload) for payload in payloads])
        publisher.close()
        if nobody:
            raise Missing(f"{nobody} messages found no subscriber")

    def subscribed(self, topic, payload):
        """Publishes a message until somebody has subscribed to it."""
        publisher, until = Publisher(self.port, "bench"), time.monotonic() + 60
        while publisher.publish([(topic, payload)]):
            if time.monotonic() > until:
                raise Missing("nobody has subscribed within 60 s")
            time.sleep(0.05)
        publisher.close()


# --- who takes them ---

class Weir:
    """The agent with a session at the broker, which holds the first payload when it is made."""

    def __init__(self, options, broker, directory, name, payload, kafka=None, topic="none", driver={}, uplink={}):
        source = {"type": "mqtt", "url": f"mqtt://127.0.0.1:{broker.port}", "topics": [f"{name}/#"], "client_id": name, **driver}
        self.agent = Agent(options, directory, source, kafka, topic, schema_of("energy_meter"))
        self.agent.config["uplinks"]["out"].update(uplink)
        self.agent.start()
        broker.subscribed(f"{name}/meter", payload)
        self.agent.wait(lambda s: s["stored"] >= 1)

    def take(self, count):
        """CPU seconds from the start until all is answered by Kafka."""
        self.agent.start()
        status = self.agent.wait(lambda s: s["delivered"] >= count)
        cpu = self.agent.stop()
        self.agent.remove()
        if status["aside"]:
            raise Missing(f"{status['aside']} events were set aside")
        return cpu


def forward_build(work):
    program = os.path.join(work, "forward")
    if not os.path.exists(program) and subprocess.run(["gcc", "-O2", "-o", program, os.path.join(HERE, "forward.c"), "-lmosquitto",
                                                       "-lrdkafka"]).returncode:
        raise Missing("the baseline is not built: apt-get install gcc libc6-dev librdkafka-dev libmosquitto-dev")
    return program


def forward(work, broker, name, kafka, topic, count):
    return subprocess.Popen([forward_build(work), str(broker.port), name, f"{name}/#", f"127.0.0.1:{kafka.port}", topic, str(count)],
                            stdout=subprocess.DEVNULL)


def forward_ended(process):
    cpu = finish(process)
    if process.returncode:
        raise Missing(f"the forwarding program failed, exit {process.returncode}")
    return cpu


# --- the benches ---

class Round:
    """One round of CPU: each has its own topic and session, so that nothing of an earlier one is left."""

    def __init__(self, options, kafka, work, payloads, number):
        self.options, self.kafka, self.work, self.payloads = options, kafka, work, payloads
        self.name, self.topic = f"r{number}", kafka.topic()
        self.dir = os.path.join(work, self.name)
        os.mkdir(self.dir)

    def weir(self, broker):
        weir = Weir(self.options, broker, os.path.join(self.dir, "weir"), self.name, self.payloads[0], self.kafka, self.topic)
        weir.agent.stop()
        broker.publish(f"{self.name}/meter", self.payloads)
        return weir.take(len(self.payloads) + 1)

    def forward(self, broker):
        name = self.name + "f"
        forward_ended(forward(self.work, broker, name, self.kafka, self.topic, 0))
        broker.publish(f"{name}/meter", self.payloads)
        return forward_ended(forward(self.work, broker, name, self.kafka, self.topic, len(self.payloads)))

    def bridge(self, broker):
        """From the broker to one more, through the one that is measured; the last message says that all have come."""
        name, last = self.name + "b", Mosquitto(os.path.join(self.dir, "last"))
        bridges = "".join(f"connection {way}\naddress 127.0.0.1:{port}\nremote_clientid {name}-{way}\ntopic {name}/# {way} 1\ncleansession false\n"
                          for way, port in (("in", broker.port), ("out", last.port)))
        middle = Mosquitto(os.path.join(self.dir, "middle"), bridges)
        broker.subscribed(f"{name}/meter", self.payloads[0])
        middle.stop()
        broker.publish(f"{name}/meter", self.payloads)
        broker.publish(f"{name}/end", ["end"])
        end = subprocess.Popen([need("mosquitto_sub", "mosquitto-clients"), "-p", str(last.port), "-t", f"{name}/end", "-C", "1", "-W", "300"],
                               stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        middle.start()
        end.wait()
        cpu = middle.stop()
        last.stop()
        if end.returncode:
            raise Missing("mosquitto's bridge did not forward all messages in 300 s")
        return cpu


def payloads_of(options, work, count):
    with open(lines_file(options, os.path.join(work, "payloads.ndjson"), count), "rb") as f:
        return [line.rstrip(b"\n") for line in f]


def bench_mqtt(options, kafka, work):
    """CPU per million messages that wait in mosquitto, QoS 1: to Kafka rows, parsed and durable; beside who forwards them as they are."""
    broker = Mosquitto(os.path.join(work, "broker"))
    payloads = payloads_of(options, work, options.events // 4)
    per_million, ours, theirs, bridge = 1e6 / len(payloads), [], [], []
    for number in range(options.rounds):
        one = Round(options, kafka, work, payloads, number)
        ours.append(per_million * one.weir(broker))
        theirs.append(per_million * one.forward(broker))
        bridge.append(per_million * one.bridge(broker))
    broker.stop()
    for baseline, values in ((FORWARD, theirs), (BRIDGE, bridge)):
        say_ratio("mqtt", "MQTT to Kafka rows, durable", ours, values, "cpu s per million messages", baseline)


def drain(options, broker, directory, name, payloads, driver):
    """Messages a second, and a commit, from the broker's queue into the buffer; the agent's start is in it."""
    weir = Weir(options, broker, directory, name, payloads[0], driver=driver)
    weir.agent.stop()
    broker.publish(f"{name}/meter", payloads)
    started = time.monotonic()
    weir.agent.start()
    last = weir.agent.wait(lambda s: s["stored"] >= len(payloads), pause=0.02)
    took = time.monotonic() - started
    weir.agent.stop()
    weir.agent.remove()
    return last["stored"] / took, last["stored"] / max(1, last["wear"]["commits"])


def bench_mqtt_drain(options, kafka, work):
    """A queue at the broker into the buffer: the window decides how many messages share a commit."""
    broker = Mosquitto(os.path.join(work, "broker"))
    payloads = payloads_of(options, work, options.events // 4)
    for protocol, case, rate_goal, group_goal in (("5", "MQTT 5, Receive Maximum 1000", 10000, 900),
                                                  ("3.1.1", "MQTT 3.1.1, the broker's window", 2000, 20)):
        measured = [drain(options, broker, os.path.join(work, "drain"), f"d{protocol}-{number}", payloads, {"protocol": protocol})
                    for number in range(options.rounds)]
        rate, group = (statistics.median(values) for values in zip(*measured))
        say("mqtt_drain", case, rate, "messages/s", goal=f">= {rate_goal}", met=rate >= rate_goal, rounds=len(measured))
        say("mqtt_drain", f"{case}, messages a commit", group, "messages", goal=f">= {group_goal}", met=group >= group_goal, rounds=len(measured))
    broker.stop()


def feed(broker, topic, payloads, rate):
    """Publishes at this rate; returns when each one was sent."""
    publisher, started, sent = Publisher(broker.port, "feed"), time.monotonic(), []
    group = max(1, rate // 100)
    for at in range(0, len(payloads), group):
        time.sleep(max(0, started + at / rate - time.monotonic()))
        sent += [time.monotonic()] * len(payloads[at:at + group])
        publisher.publish([(topic, payload) for payload in payloads[at:at + group]])
    publisher.close()
    return sent


def bench_mqtt_live(options, kafka, work):
    """Commits of the agent, those for deliveries too, while messages come and go."""
    broker = Mosquitto(os.path.join(work, "broker"))
    payloads = payloads_of(options, work, LIVE_RATE * options.seconds)
    weir = Weir(options, broker, os.path.join(work, "live"), "live", payloads[0], kafka, kafka.topic())
    before, started = weir.agent.wait(), time.monotonic()
    feed(broker, "live/meter", payloads, LIVE_RATE)
    took = time.monotonic() - started
    time.sleep(0.3)
    after = weir.agent.wait()
    weir.agent.stop()
    broker.stop()
    commits, waiting = (after["wear"]["commits"] - before["wear"]["commits"]) / took, len(payloads) + 1 - after["stored"]
    say("mqtt_live", f"{LIVE_RATE} messages/s, commits", commits, "commits/s", goal="<= 5", met=commits <= 5, rate=round(len(payloads) / took))
    say("mqtt_live", f"{LIVE_RATE} messages/s, not stored 0.3 s after the end", waiting, "messages", goal="<= 0", met=waiting <= 0)


def arrivals(kafka, topic, first, count, seconds):
    """When each of `count` records behind the first ones was there, to 2 ms."""
    times, until = [], time.monotonic() + seconds
    while len(times) < count and time.monotonic() < until:
        there = kafka.end_offset(topic) - first
        times += [time.monotonic()] * (there - len(times))
        time.sleep(0.002)
    if len(times) < count:
        raise Missing(f"{len(times)} of {count} records arrived in {seconds} s")
    return times


def latency(broker, kafka, topic, mqtt_topic, payloads):
    """Milliseconds: the median, and what 99 of 100 do not exceed. The topic has one record already."""
    times = []
    watcher = threading.Thread(target=lambda: times.extend(arrivals(kafka, topic, 1, len(payloads), 60 + len(payloads) / LATENCY_RATE)))
    watcher.start()
    sent = feed(broker, mqtt_topic, payloads, LATENCY_RATE)
    watcher.join()
    if not times:
        raise Missing("not all messages arrived at Kafka")
    took = sorted(1000 * (there - then) for there, then in zip(times, sent))
    return statistics.median(took), took[min(len(took) - 1, len(took) * 99 // 100)]


def agent_latency(options, broker, kafka, work, payloads, linger):
    name, topic = f"w{linger.replace(' ', '')}", kafka.topic()
    weir = Weir(options, broker, os.path.join(work, name), name, payloads[0], kafka, topic, uplink={"linger": linger})
    weir.agent.wait(lambda s: s["delivered"] >= 1)
    took = latency(broker, kafka, topic, f"{name}/meter", payloads)
    weir.agent.stop()
    return took


def bench_mqtt_latency(options, kafka, work):
    """From before publish to the record at Kafka: a commit (250 ms) and the uplink's linger are on the way."""
    broker = Mosquitto(os.path.join(work, "broker"))
    payloads = payloads_of(options, work, LATENCY_RATE * options.seconds)
    topic = kafka.topic()
    ours = [agent_latency(options, broker, kafka, work, payloads, linger) for linger in LINGER]
    process = forward(work, broker, "f", kafka, topic, len(payloads) + 1)
    broker.subscribed("f/meter", payloads[0])
    arrivals(kafka, topic, 0, 1, 60)
    theirs = latency(broker, kafka, topic, "f/meter", payloads)
    forward_ended(process)
    broker.stop()
    for linger, measured in zip(LINGER, ours):
        for case, mine, other in zip(("p50", "p99"), measured, theirs):
            say("mqtt_latency", f"{LATENCY_RATE} messages/s, publish to record, linger {linger}, {case}", mine, "ms", f"{FORWARD}, linger 50 ms", other)
