"""Nothing acknowledged before its commit, nothing lost, nothing twice: the program weir against mosquitto. See README.md.

usage: mqtt.py --weir PROGRAM --faults PROGRAM CASE..."""
import argparse
import collections
import json
import os
import random
import socket
import sys
import threading
import time

from world import PATIENCE, World, wait_for

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from checks import check, failures      # noqa: E402

LONG = os.environ.get("WEIR_LONG") == "1"
KILLS = int(os.environ.get("WEIR_KILLS", 200 if LONG else 9))
SEED = int(os.environ.get("WEIR_SEED", random.randrange(1 << 31)))


class Campaign:
    """Publishes in batches, with one fault in each, and compares at the end."""

    def __init__(self, world, faults, size, equal=False):
        self.world, self.faults, self.size, self.equal = world, faults, size, equal
        self.random = random.Random(SEED)
        self.published = []
        self.met = collections.Counter()
        self.killed = threading.Event()
        world.looks_up = not equal

    def batch(self):
        first = len(self.published)
        payloads = ["23.4" if self.equal else f"n{first + i}" for i in range(self.size)]
        self.published += payloads
        return payloads

    def publish(self):
        return self.world.broker.publish(self.batch())

    def kill_random(self):
        publisher = self.publish()
        time.sleep(self.random.random() * 0.5)
        self.world.kill()
        publisher.wait()
        if self.random.random() < 0.3:
            self.world.start_and_kill(self.random.random() * 0.2)
        self.world.start(is_awaited=self.random.random() < 0.5)

    def kill_committed(self):
        """The acknowledgements of a commit have left the agent. It is killed; they come to the broker, or never do: not the first ones,
        so that something is sent again however quick the rest was."""
        is_lost = self.random.random() < 0.7 or self.met["kill_committed"] == 0

        def act():
            self.world.kill()
            self.killed.set()
            return is_lost

        self.killed.clear()
        self.world.observer.on_ack = act
        self.publish().wait()
        wait_for("acknowledgement to kill at", self.killed.is_set)
        self.world.start(is_awaited=self.random.random() < 0.5)

    def socket(self):
        publisher = self.publish()
        time.sleep(self.random.random() * 0.4)
        self.world.observer.cut()
        publisher.wait()

    def broker(self):
        self.publish().wait()   # else it could not tell what the broker has
        self.world.broker.restart()

    def run(self, count):
        world = self.world
        world.start()
        deck = []
        for _ in range(count):
            if not deck:
                deck = self.random.sample(self.faults, len(self.faults))
            fault = deck.pop()
            getattr(self, fault)()
            self.met[fault] += 1
        wait_for("end of the publications", lambda: world.count() >= len(self.published) or world.observer.early)
        world.broker.publish_all(["end"])     # behind all that was to come again
        return self.finish()

    def finish(self):
        world = self.world
        wait_for("last message", lambda: world.count() and world.bodies[-1] == "end")
        world.stop()
        world.count()
        return self.compare()

    def compare(self):
        rows = self.world.rows.copy()
        rows["end"] -= 1
        wanted = collections.Counter(self.published)
        return sum((wanted - rows).values()), sum((rows - wanted).values())


def campaign(name, weir, faults, count, size, equal=False, env=None, **options):
    world = World(weir, env=env, **options)
    c = Campaign(world, faults, size, equal)
    lost, twice = c.run(count)
    o = world.observer
    met = " ".join(f"{k}={c.met[k]}" for k in sorted(c.met))
    print(f"mqtt {name} protocol={options.get('protocol', '5')} faults={count} {met} published={len(c.published)} redelivered={o.redelivered} "
          f"acks={o.acks} lost={lost} twice={twice} early={o.early} out_of_order={o.out_of_order}", flush=True)
    return world, lost, twice


def clean(name, world, lost, twice):
    o = world.observer
    good = not (lost or twice or o.early or o.out_of_order)
    check(f"{name}: nothing lost, twice, early or out of order", good, f"seed {SEED}")
    check(f"{name}: the broker sent something again", o.redelivered > 0)
    world.close(good)


KILLING = ("kill_random", "kill_random", "kill_committed")


def case_kills_5(weir, faults):
    clean("kills", *campaign("kills", weir, KILLING, KILLS, 60, protocol="5", ack_interval="100 ms"))


# Artemis works on acknowledgements behind the connection's back: those that it has not come to when the connection ends it sends again, as new.
BROKER_SETTLES = 3


def case_brokers(weir, faults):
    """Brokers of other makers, which keep messages for the session of an agent that was stopped. Not with kills: see README.md."""
    for script, protocol, size in (("artemis.sh", "5", 1000), ("artemis.sh", "3.1.1", 1000), ("moquette.sh", "3.1.1", 200)):
        world = World(weir, script=script, protocol=protocol, ack_interval="10 ms")
        c = Campaign(world, (), size)
        world.start()
        world.broker.publish_all(c.batch())
        wait_for("acknowledgements", lambda: world.observer.acks == size)
        time.sleep(BROKER_SETTLES)
        world.stop()
        world.broker.publish_all(c.batch() + ["end"])
        world.start()
        o = world.observer
        wait_for("acknowledgements", lambda: o.acks > 2 * size)
        lost, twice = c.finish()
        name = f"{script[:-3]} {protocol}"
        print(f"mqtt brokers {name} published={len(c.published)} acks={o.acks} lost={lost} twice={twice} early={o.early} out_of_order={o.out_of_order}",
              flush=True)
        good = not (lost or twice or o.early or o.out_of_order)
        check(f"{name}: nothing lost, twice, early or out of order", good)
        world.close(good)


def case_kills_311(weir, faults):
    clean("kills", *campaign("kills", weir, KILLING, KILLS, 60, protocol="3.1.1", ack_interval="100 ms"))


def case_equal(weir, faults):
    count, size = (max(KILLS // 2, 100), 1500) if LONG else (6, 300)
    clean("equal", *campaign("equal", weir, KILLING, count, size, equal=True, ack_interval="100 ms"))


def case_mix(weir, faults):
    deck = ("kill_random", "kill_committed", "socket", "broker")
    clean("mix", *campaign("mix", weir, deck, 40 if LONG else 8, 100, ack_interval="100 ms"))


def case_controls(weir, faults):
    """Without the gate's holding, and without remembered ids: both must show."""
    # It ends before its first commit.
    world = World(faults, buffer={"commit_interval": "10 min"}, env={"WEIR_FAULT": "puback-early"}, ack_interval="60 s")
    world.start()
    world.broker.publish_all([f"n{i}" for i in range(400)])
    wait_for("acknowledgements", lambda: world.observer.acks >= 400)
    print(f"mqtt control=puback-early acks={world.observer.acks} early={world.observer.early}", flush=True)
    check("acknowledgements before the commit are seen", world.observer.early > 300)
    world.close(True)
    world, lost, twice = campaign("control=no-ids", weir, ("kill_committed",), 6, 50, dedupe="off", ack_interval="100 ms")
    check("without remembered ids events are there twice, and none is lost", twice > 0 and lost == 0)
    world.close(True)


def case_keepalive(weir, faults):
    """Acknowledgements held, and then reading stopped, for six keep-alives: the connection stays."""
    keepalive, held = (5, 30) if LONG else (2, 12)
    interval = f"{held} s"
    world = World(weir, buffer={"commit_interval": interval}, keepalive=f"{keepalive} s", ack_interval=interval)
    world.start()
    began = time.monotonic()
    world.broker.publish_all(f"n{i}" for i in range(10))
    wait_for("acknowledgements", lambda: world.observer.acks == 10)
    check("acknowledgements were held", time.monotonic() - began > held * 0.8, time.monotonic() - began)
    check("acknowledgements held: no disconnect", world.observer.connections == 1 and world.observer.redelivered == 0)
    world.close(True)
    letters = random.Random(SEED)
    world = World(weir, buffer={"size_max": "4 MiB"}, stream={"when_full": "block"}, keepalive=f"{keepalive} s", ack_interval="100 ms")
    world.looks_up = False
    world.start()
    count = 3000
    payloads = [f"{i} {letters.randbytes(2000).hex()}" for i in range(count)]     # hard to compress, so that they fill the buffer
    world.broker.publish_all(payloads)
    seen = []
    wait_for("reading to stop", lambda: seen.append(world.observer.acks) or (len(seen) > 40 and seen[-1] == seen[-40]), pause=0.1)
    acks = world.observer.acks
    time.sleep(held)
    check("the buffer is full", acks < count, acks)
    check("nothing was acknowledged without room", world.observer.acks == acks)
    check("reading stopped: no disconnect", world.observer.connections == 1)
    world.stop()
    world.config["buffer"]["size_max"] = "512 MiB"
    world.start()
    wait_for("the rest", lambda: world.count() >= count)
    check("nothing lost, nothing twice", world.rows == collections.Counter(payloads))
    print(f"mqtt keepalive held={held} disconnects={world.observer.connections - 2}", flush=True)
    world.close(not failures)


def drained(weir, protocol, count, per_commit, options):
    """How many commits it took."""
    world = World(weir, protocol=protocol, **options)
    world.looks_up = False
    world.start()
    world.stop()
    world.broker.publish_all(f"n{i}" for i in range(count))
    world.observer.is_open.clear()
    world.start(is_awaited=False)
    before = world.commits()
    world.observer.is_open.set()
    wait_for("acknowledgements", lambda: world.observer.acks >= count - per_commit)
    commits = world.commits() - before
    print(f"mqtt drain protocol={protocol} messages={count} commits={commits} per_commit={count // commits}", flush=True)
    check(f"{protocol}: a commit acknowledges as a whole", world.observer.groups < 3 * commits)
    world.close(not failures)
    return commits


def drain(weir, protocol, count, per_commit, **options):
    """A machine that is busy with other things pauses in the middle of a window, which can only make more commits of it: the best of
    three counts."""
    for _ in range(3):
        commits = drained(weir, protocol, count, per_commit, options)
        if (commits - 1) * per_commit <= count:
            break
    check(f"{protocol}: a full window in each commit but the last", (commits - 1) * per_commit <= count, commits)


def case_drain(weir, faults):
    # Only a full window makes a commit here, never the interval.
    drain(weir, "5", 20000 if LONG else 10000, 900, ack_interval="20 s")
    drain(weir, "3.1.1", 20000 if LONG else 2000, 18)


def case_live(weir, faults):
    """1000 messages a second, and strangers at the port between Paho and the gate. Behind the last message nothing comes that would fill a
    window or a commit: only the interval for acknowledgements can store it while somebody waits here, since the other one is 10 minutes."""
    seconds = 30 if LONG else 5
    count = seconds * 1000 + 7      # of windows of 1000, the last one is not full
    world = World(weir, buffer={"commit_interval": "10 min"})
    world.looks_up = False
    world.start()
    before, began = world.commits(), time.monotonic()
    publisher = world.broker.publisher("-t", "t/a", "-l")
    refused = 0
    for i in range(seconds * 50):
        publisher.stdin.write("".join(f"n{i * 20 + k}\n" for k in range(20)))
        publisher.stdin.flush()
        if i % seconds == 0:
            refused += stranger_is_refused(world.process.pid)
        time.sleep(max(0, began + (i + 1) * 0.02 - time.monotonic()))
    publisher.stdin.write("".join(f"end{i}\n" for i in range(7)))
    publisher.stdin.close()
    publisher.wait()
    wait_for("acknowledgements of what came last", lambda: world.observer.acks == count)
    took = time.monotonic() - began
    commits = world.commits() - before
    print(f"mqtt live messages={count} seconds={took:.1f} commits={commits} strangers={refused} "
          f"connections={world.observer.connections}", flush=True)
    check("at most 5 commits a second", commits <= 5 * took, f"{commits} in {took} s")
    check("50 strangers are refused", refused == 50, refused)
    check("one connection to the broker", world.observer.connections == 1)
    driver = world.status()["drivers"]["broker"]
    check("nothing waits", driver["received"] == driver["stored"] == count, driver)
    check("all stored once", world.count() == count and len(world.rows) == count)
    world.close(not failures)


def varint(value):
    return (bytes([value & 127 | 128]) + varint(value >> 7)) if value > 127 else bytes([value])


def field(number, value):
    """Of a protobuf message: a whole number, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def case_sparkplug(weir, faults):
    """A birth names an alias; after a restart the alias has no name, until the next birth, and nothing is lost."""
    world = World(weir, payload="sparkplug_b", routes=[{"topic": "spBv1.0/#", "stream": "raw"}])
    world.looks_up = False
    world.start()
    birth = field(1, 1700000000000) + field(2, field(1, b"Motor/Speed") + field(2, 4) + field(4, 3) + field(10, 21)) + field(3, 0)
    data = field(1, 1700000001000) + field(2, field(2, 4) + field(10, 22)) + field(3, 1)

    def publish(kind, payload):
        acks = world.observer.acks
        process = world.broker.publisher("-t", f"spBv1.0/G/{kind}/N", "-s")
        process.stdin.buffer.write(payload)
        process.stdin.close()
        wait_for("acknowledgement", lambda: process.wait() == 0 and world.observer.acks > acks)

    publish("NBIRTH", birth)
    publish("NDATA", data)
    world.kill()
    world.start()
    publish("NDATA", data)
    publish("NBIRTH", birth)
    publish("NDATA", data)
    world.count()
    seen = [(m["type"], [(x.get("name"), x.get("alias"), x["value"]) for x in m["metrics"]]) for m in map(json.loads, world.bodies)]
    named, bare = ("NDATA", [("Motor/Speed", 4, 22)]), ("NDATA", [(None, 4, 22)])
    born = ("NBIRTH", [("Motor/Speed", 4, 21)])
    check("births, data, and an alias without its birth", seen == [born, named, bare, born, named], seen)
    print(f"mqtt sparkplug messages={len(seen)}", flush=True)
    world.close(not failures)


def listening(pid):
    """The ports on which a process listens."""
    mine = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            mine.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    with open("/proc/net/tcp") as f:
        lines = [line.split() for line in f.readlines()[1:]]
    return [int(w[1].split(":")[1], 16) for w in lines if w[3] == "0A" and f"socket:[{w[9]}]" in mine]


def stranger_is_refused(pid):
    """It logs in with the port of the gate, and hears nothing."""
    connect = bytes([16, 13, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 1]) + b"x"
    heard = b""
    ports = listening(pid)
    assert ports, "the gate listens"
    for port in ports:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
                s.sendall(connect)
                heard += s.recv(100)
        except ConnectionError:
            pass
    return heard == b""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", required=True)
    parser.add_argument("--faults")
    parser.add_argument("cases", nargs="+")
    args = parser.parse_args()
    for name in args.cases:
        globals()[f"case_{name}"](args.weir, args.faults)
    sys.exit(1 if failures else 0)


main()
