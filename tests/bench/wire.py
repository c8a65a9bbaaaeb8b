"""Benchmark of the link: IP bytes of an event on its way to Kafka, counted on a network interface.

bench_wire runs this file in a network name space of its own, "the cloud", where Kafka is. Each program is in another one, "a site", joined by a
veth pair: what the site's end has counted, both directions, less the Ethernet headers, are IP bytes. gso_max_segs 1 sees to it that each packet
that is counted is one that a real link would carry; neighbours are known, and there is no IPv6, so that nothing else is on the wire."""
import json
import os
import subprocess
import sys
import threading
import time

from lib import Agent, Missing, data_lines, finish, need, producer_build, say, schema_of, tail
import lib
import services

RATE = 10       # events a second at the site
FLUSH = 10      # seconds
SPEED = 10      # how much faster the clock of the bench runs: the rate, and the intervals' reciprocals
GOALS = {"energy_meter": 10, "syslog": 11.5, "vehicle_gps": 11, "pump_rig": 21}
ETHERNET = 14
IDLE = 5        # seconds until the broker ends a silent connection
CLOUD = "10.91.255.1"
BARE = "librdkafka, tuned: JSON, zstd 12, the same flush"
TUNED = ("compression.level=12", f"linger.ms={1000 * FLUSH // SPEED}", "batch.num.messages=100000", "client.id=weir", "topic.metadata.refresh.interval.ms=-1",
         "metadata.max.age.ms=86400000")


def bench_wire(options, kafka, work):
    """IP bytes of an event, both directions, at 10 events a second and a flush each 10 s."""
    need("unshare", "util-linux")
    need("ip", "iproute2")
    given = {"data": options.data, "weir": options.weir, "kafka": options.kafka, "seconds": options.seconds, "work": work}
    done = subprocess.run(["unshare", *([] if os.getuid() == 0 else ["-Ur"]), "-n", sys.executable, os.path.abspath(__file__), json.dumps(given)],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Missing(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}")


# --- in the cloud ---

class Site:
    """A network name space behind one cable."""

    def __init__(self, number):
        self.process = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        services.wait_for("network name space", lambda: os.readlink(f"/proc/{self.process.pid}/ns/net") != own)
        self.inside = ["nsenter", "-t", str(self.process.pid), "-n"]
        far, near = f"far{number}", [*self.inside, "ip"]
        here, there = f"10.91.{number}.2", f"10.91.{number}.1"
        macs = "02:00:00:00:%02x:02" % number, "02:00:00:00:%02x:01" % number
        for words in (["ip", "link", "add", far, "type", "veth", "peer", "name", "near", "netns", str(self.process.pid)],
                      ["ip", "link", "set", far, "address", macs[0], "gso_max_segs", "1", "up"], ["ip", "addr", "add", here + "/30", "dev", far],
                      [*near, "link", "set", "near", "address", macs[1], "gso_max_segs", "1", "up"], [*near, "link", "set", "lo", "up"],
                      [*near, "addr", "add", there + "/30", "dev", "near"], [*near, "route", "add", "default", "via", here],
                      [*near, "neigh", "replace", here, "lladdr", macs[0], "dev", "near", "nud", "permanent"],
                      ["ip", "neigh", "replace", there, "lladdr", macs[1], "dev", far, "nud", "permanent"]):
            subprocess.run(words, check=True)

    def counted(self):
        """IP bytes and packets of both directions."""
        table = subprocess.run([*self.inside, "cat", "/proc/net/dev"], check=True, capture_output=True, text=True).stdout
        n = [int(word) for word in next(line for line in table.splitlines() if "near:" in line).split(":")[1].split()]
        packets = n[1] + n[9]
        return n[0] + n[8] - ETHERNET * packets, packets

    def settled(self, pause=0.25):
        """What was counted, at a moment when nothing is under way: after a flush."""
        last, until = self.counted(), time.monotonic() + 60
        while self.counted() == last:
            if time.monotonic() > until:
                raise Missing("nothing is on the wire for a minute")
            time.sleep(0.01)
        while (now := self.counted()) != last:
            last = now
            time.sleep(pause)
        return last

    def close(self):
        self.process.kill()
        self.process.wait()


class Cloud(services.Kafka):
    """A Kafka that sites reach."""

    def __init__(self, directory, version, *words):
        super().__init__(directory, version)
        try:
            self.start("ssl", f"listeners=PLAINTEXT://0.0.0.0:{self.port},SSL://0.0.0.0:{self.port + 2},CONTROLLER://127.0.0.1:{self.port + 4}",
                       f"advertised.listeners=PLAINTEXT://{CLOUD}:{self.port},SSL://{CLOUD}:{self.port + 2}", *words)
        except subprocess.CalledProcessError:
            raise Missing("no Kafka: tests/services/kafka.sh failed; it needs Java and, the first time, Maven")

    end_offset = lib.Kafka.end_offset


class Ours:
    """The agent, metered: it reads what is written into a file."""

    def __init__(self, options, work, kafka, name, site, schema, has_tls=False):
        self.lines = open(os.path.join(work, f"{name}.growing"), "wb", buffering=0)
        self.site, self.kafka, self.topic = site, kafka, name
        self.agent = Agent(options, os.path.join(work, f"{name}.agent"), tail(self.lines.name, poll="20 ms"), kafka, name, schema)
        self.agent.config["buffer"]["commit_interval"] = f"{1000 // SPEED} ms"
        self.agent.config["links"] = {"modem": {"metered": True}}
        self.agent.config["uplinks"]["out"].update(brokers=[f"{CLOUD}:{kafka.port}"], link="modem", linger=f"{1000 * FLUSH // SPEED} ms")
        if has_tls:
            self.agent.config["uplinks"]["out"].update(brokers=[f"{CLOUD}:{kafka.port + 2}"],
                                                       tls={"ca": os.path.join(kafka.dir, "tls", "ca.pem"), "server_name": "localhost"})
        self.agent.start(site.inside)

    def delivered(self):
        return self.agent.wait()["delivered"]

    def batches(self):
        """One record each."""
        return self.kafka.end_offset(self.topic)

    def close(self):
        self.lines.close()
        self.agent.stop()


class Theirs:
    """The bare producer, fed through a pipe."""

    def __init__(self, work, kafka, name, site):
        self.kafka, self.topic, self.site = kafka, name, site
        pipe = os.path.join(work, f"{name}.pipe")
        os.mkfifo(pipe)
        self.process = subprocess.Popen([*site.inside, producer_build(work), f"{CLOUD}:{kafka.port}", name, pipe, *TUNED], stdout=subprocess.DEVNULL)
        self.lines = open(pipe, "wb", buffering=0)

    def delivered(self):
        return self.kafka.end_offset(self.topic)

    batches = delivered

    def close(self):
        self.lines.close()
        if finish(self.process) is None or self.process.returncode:
            raise Missing(f"the bare producer failed, exit {self.process.returncode}")


class Measured:
    """A program and its site while events come: bytes and events between two moments at which nothing was under way."""

    def __init__(self, program):
        self.program = program
        self.first = self.last = None

    def look(self):
        counted = self.program.site.settled()
        self.last = (*counted, self.program.delivered(), self.program.batches())
        self.first = self.first or self.last

    def result(self):
        size, packets, events, records = (b - a for a, b in zip(self.first, self.last))
        if events <= 0:
            raise Missing("nothing was delivered while it was measured")
        return size / events, packets / events, events / records


def feed(lines, programs, stop):
    started, sent = time.monotonic(), 0
    while not stop.is_set():
        for program in programs:
            program.lines.write(lines[sent % len(lines)])
        sent += 1
        time.sleep(max(0, started + sent / (RATE * SPEED) - time.monotonic()))


def schema_for(options, name, work, lines):
    """The example's, or what weir makes of the first tenth."""
    if schema_of(name):
        return schema_of(name)
    sample, path = os.path.join(work, f"{name}.sample"), os.path.join(work, f"{name}.avsc")
    with open(sample, "wb") as f:
        f.writelines(lines)
    with open(path, "wb") as f:
        subprocess.run([options.weir, "schema", "infer", sample], check=True, stdout=f)
    return path


def each(programs, verb):
    """For all at the same time; the first thing that goes wrong is raised."""
    wrong = []

    def one(program):
        try:
            verb(program)
        except BaseException as e:  # noqa: B902
            wrong.append(e)
    threads = [threading.Thread(target=one, args=(p,)) for p in programs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        raise wrong[0]


def measure(options, kafka, name, lines, number):
    """Of ours and theirs: bytes and packets of an event, events of a record."""
    learned = len(lines) // 10
    schema = schema_for(options, name, options.work, lines[:learned])
    topics = name, name + "-bare"
    for topic in topics:
        kafka.run("topic", topic, "1")
    sites = [Site(number), Site(number + 1)]
    programs = [Ours(options, options.work, kafka, topics[0], sites[0], schema), Theirs(options.work, kafka, topics[1], sites[1])]
    measured, stop = [Measured(p) for p in programs], threading.Event()
    feeder = threading.Thread(target=feed, args=(lines[learned:], programs, stop))
    feeder.start()
    try:
        time.sleep(2.5 * FLUSH / SPEED)     # the connections are made, ids given, topics known
        each(measured, Measured.look)
        time.sleep(options.seconds)
        each(measured, Measured.look)
    finally:
        stop.set()
        feeder.join()
        each(programs, lambda p: p.close())
        each(sites, lambda s: s.close())
    return [m.result() for m in measured]


def one_more(ours, line):
    """IP bytes from a quiet moment on, until an event is delivered and all is quiet again."""
    before, delivered = ours.site.counted(), ours.delivered()
    ours.lines.write(line)
    ours.agent.wait(lambda s: s["delivered"] > delivered)
    time.sleep(0.5)
    return ours.site.counted()[0] - before[0]


def idle(options, kafka, number):
    """An hour in which nothing comes. Kafka ends connections that were silent for ten minutes (here: IDLE seconds), the agent sends nothing, and
    tells of its health each six hours, for which it connects anew: one event stands for that, beside the end of the connection."""
    line = data_lines(options.data, "energy_meter")[0]
    kafka.run("topic", "idle", "1")
    site = Site(number)
    ours = Ours(options, options.work, kafka, "idle", site, schema_of("energy_meter"))
    try:
        started = one_more(ours, line)
        connected = one_more(ours, line)
        before = site.counted()[0]
        time.sleep(3 * IDLE)
        ended = site.counted()[0] - before
        alone = one_more(ours, line)
    finally:
        ours.close()
        site.close()
    hour = (ended + alone) / 6
    say("wire", "an idle hour, metered, no TLS: a health record each six hours, on a connection of its own", hour, "IP bytes", goal="<= 1000", met=hour <= 1000,
        first_event=started, event_while_connected=connected, end_of_connection=ended, event_without_connection=alone)


def starts(options, kafka, number):
    """A start with TLS up to the first delivery, and the next one, which resumes the session that the first has left in a file."""
    line = data_lines(options.data, "energy_meter")[0]
    kafka.run("topic", "starts", "1")
    site = Site(number)
    ours = Ours(options, options.work, kafka, "starts", site, schema_of("energy_meter"), has_tls=True)
    sizes, before = [], 0
    for _ in range(3):
        ours.agent.wait()
        ours.lines.write(line)
        ours.agent.wait(lambda s: s["delivered"] > 0)
        time.sleep(2)
        ours.agent.stop()
        sizes.append(site.counted()[0] - before)
        before += sizes[-1]
        ours.agent.start(site.inside)
    ours.close()
    site.close()
    say("wire", "a start with TLS, up to the first event: after an earlier one", sizes[1], "IP bytes", "the first start", sizes[0], third=sizes[2])


def main():
    options = type("Options", (), json.loads(sys.argv[1]))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "addr", "add", CLOUD + "/32", "dev", "lo"], check=True)
    for name in "all", "default":
        subprocess.run(["sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"], stderr=subprocess.DEVNULL)
    kafka = Cloud(os.path.join(options.work, "kafka"), options.kafka, f"connections.max.idle.ms={1000 * IDLE}",
                  "num.network.threads=1")   # each has keys of its own for tickets: a session is resumed by the thread that gave it
    try:
        kafka.run("topic", "weir.events", "1")
        case = f"{RATE} events/s, flush {FLUSH} s, no TLS, one partition"
        for number, (name, goal) in enumerate(GOALS.items()):
            lines = data_lines(options.data, name)
            if not lines:
                say("wire", f"{name}: {case}", None, "IP bytes per event", BARE, absent=f"{name} is not in {options.data}")
                continue
            (ours, packets, batch), (theirs, bare_packets, _) = measure(options, kafka, name, lines, 1 + 2 * number)
            say("wire", f"{name}: {case}", ours, "IP bytes per event", BARE, theirs, goal=f"<= {goal}", met=ours <= goal, speed=SPEED,
                events_a_flush=lib.short(batch), packets_per_100_events=lib.short(100 * packets), bare_packets_per_100_events=lib.short(100 * bare_packets))
        idle(options, kafka, 2 * len(GOALS) + 1)
        starts(options, kafka, 2 * len(GOALS) + 2)
    finally:
        kafka.end()


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"{missing}")
