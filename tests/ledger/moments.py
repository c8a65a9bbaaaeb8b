"""The moments at which the ledger kills, and what it kills then.

Each moment waits until it has come, and keeps the world in it until the kill is done: a kill that counts has met a Produce request under
way (IN_FLIGHT), or acknowledged events that cannot have been delivered, because the way to the broker is shut (UNDELIVERED)."""
import collections
import threading
import time

from services import PATIENCE, wait_for

IN_FLIGHT = ("request", "part_of_request", "committed_request", "passing", "answer", "part_of_answer")
UNDELIVERED = ("waiting", "waiting", "asked", "told", "line", "message", "puback")
VICTIMS = {"in_flight": ("agent",) * 5 + ("broker", "broker", "both", "connection"), "undelivered": ("agent",) * 6 + ("broker", "both")}
QUIET = 5           # seconds without a further event: what a planted mistake has lost does not come any more
AGENT_ONLY = ("told", "line", "message", "puback")


class Moments:
    def __init__(self, broker, agent, feeds, topic, chance):
        self.broker, self.agent, self.feeds, self.topic, self.random = broker, agent, feeds, topic, chance
        self.http, self.mqtt = feeds[2:]
        self.kills = collections.Counter()
        self.decks = {}
        self.quiet = PATIENCE       # seconds without a further event: nothing comes any more

    def acknowledged(self):
        return sum(f.acknowledged for f in self.feeds)

    def draw(self, name, cards):
        """Each card comes once before one comes again."""
        deck = self.decks.setdefault(name, [])
        if not deck:
            deck.extend(self.random.sample(cards, len(cards)))
        return deck.pop()

    # --- in flight: each returns the node where it is ---

    def at_gate(self, gate, part=False):
        self.broker.gate(gate, part)
        return self.broker.wait(f"Produce {gate}", lambda p: p.at_gate(gate))

    def request(self):
        """A request has left the agent, and nothing of it has come to the broker."""
        return self.at_gate("request")

    def part_of_request(self):
        return self.at_gate("request", True)

    def committed_request(self):
        """Likewise, and all that the agent put on record before it sent is on disk: a later event is."""
        node = self.at_gate("request")
        asked = self.http.asked
        wait_for("answer over HTTP", lambda: self.http.answered > asked + 1)
        return node

    def passing(self):
        """The broker has the request; whether it has appended it is open."""
        self.broker.gate("answer")
        before = [p.passed for p in self.broker.proxies]
        node = self.broker.wait("Produce request", lambda p: p.passed > before[self.broker.proxies.index(p)])
        time.sleep(self.random.random() * 0.02)
        return node

    def answer(self):
        """The broker has appended, and the agent does not know."""
        return self.at_gate("answer")

    def part_of_answer(self):
        return self.at_gate("answer", True)

    # --- acknowledged and undelivered ---

    def waiting(self):
        self.broker.shut(True)
        enough = self.acknowledged() + self.random.randrange(1, 60)
        wait_for("acknowledged events", lambda: self.acknowledged() > enough, pause=0.005)

    def asked(self):
        """A request over HTTP waits for its commit."""
        self.waiting()
        asked = self.http.asked
        wait_for("request over HTTP", lambda: self.http.asked > asked, pause=0.001)

    def told(self):
        """The answer to an event over HTTP has come just now. Kills the agent itself, to lose no time."""
        self.broker.shut(True)
        done = threading.Event()

        def kill():
            self.http.on_answer = None
            self.agent.kill()
            done.set()
        self.http.on_answer = kill
        if not done.wait(PATIENCE):
            raise SystemExit("ledger: no answer over HTTP")

    def line(self):
        """A line was read and nothing came behind it; its cursor or its event may be on disk."""
        self.rest()
        name = self.random.choice(["renamed", "copied"])
        feed = next(f for f in self.feeds if f.source == name)
        before = self.agent.status()
        lines = feed.lines_total
        feed.step()
        assert feed.lines_total == lines + 1
        wait_for("line", lambda: self.agent.status()["drivers"][name]["received"] > before["drivers"][name]["received"], pause=0.002)
        until = time.monotonic() + 0.3
        while self.agent.status()["wear"]["commits"] == before["wear"]["commits"] and time.monotonic() < until:
            time.sleep(0.002)
        self.agent.kill()
        self.go()

    def message(self):
        """A message was received and nothing came behind it; its event and its PUBACK may be on their way."""
        self.alone("received")
        time.sleep(self.random.random() * 0.3)
        self.agent.kill()
        self.go()

    def puback(self):
        """The PUBACK of a message has left just now, and nothing came behind it."""
        self.alone("acknowledged")
        self.agent.kill()
        self.go()

    def alone(self, counter):
        """Publishes a message while all else rests, and waits until it is counted."""
        self.rest()
        before = self.agent.driver("publish", counter)
        self.mqtt.step(1)
        wait_for(f"message {counter}", lambda: self.agent.driver("publish", counter) > before, pause=0.002)

    def rest(self):
        """Returns when no event is under way, and the way to the broker is shut."""
        for feed in self.feeds:
            feed.rest(PATIENCE)
        self.settle()
        if self.agent.stored_ever() == self.acknowledged():
            for feed in self.feeds[:2]:
                feed.prune(3)
        self.broker.shut(True)

    def go(self):
        for feed in self.feeds:
            feed.go()

    def settle(self):
        """What is acknowledged is stored, but for what a planted mistake has lost: that does not come any more. What is stored is delivered."""
        stored, until = 0, 0
        while stored < self.acknowledged() and (stored != self.agent.stored_ever() or time.monotonic() < until):
            if stored != self.agent.stored_ever():
                stored, until = self.agent.stored_ever(), time.monotonic() + self.quiet
            time.sleep(0.02)
        wait_for("empty backlog", self.drained)

    def drained(self):
        return self.agent.status()["backlog"] == 0

    # --- the kill ---

    def open_way(self, late=False):
        """What is under way goes down with its connection, or comes to the broker all the same, after its sender's death."""
        if not late:
            self.broker.cut()
        self.broker.gate(None)
        self.broker.shut(False)

    def kill_agent(self, node, partition=False, late=False):
        if self.agent.process.poll() is None:
            self.agent.kill()
        if partition:
            self.broker.add_partition(self.topic)
        if late and self.random.random() < 0.5:
            self.agent.start()      # both lives' requests pass the gate together
            self.open_way(late)
            return
        self.open_way(late)
        if self.random.random() < 0.2:
            time.sleep(self.random.random())
        self.agent.start()

    def kill_broker(self, node):
        self.broker.kill(node)
        self.open_way()
        self.broker.resume(node)

    def kill_both(self, node):
        self.agent.kill()
        self.broker.kill(node)
        self.open_way()
        if self.random.random() < 0.5:
            self.agent.start()
            self.broker.resume(node)
        else:
            self.broker.resume(node)
            self.agent.start()

    def one(self, kind, moment, victim, **more):
        node = getattr(self, moment)()
        if kind == "in_flight" and self.broker.in_flight() == 0:
            self.open_way()     # that connection was to be cut at some byte, and was: no kill
            return
        if victim == "agent":
            self.kill_agent(node, **more)
        elif victim == "connection":
            self.open_way()
        else:
            node = node or self.random.randrange(self.broker.nodes) + 1
            (self.kill_broker if victim == "broker" else self.kill_both)(node)
        self.kills.update(["all", kind, victim, moment])

    def any(self, partition):
        """One kill of the kind that is behind, at any of its moments."""
        kind = "in_flight" if self.kills["in_flight"] <= self.kills["undelivered"] else "undelivered"
        moment = self.draw(kind, IN_FLIGHT if kind == "in_flight" else UNDELIVERED)
        victim = "agent" if moment in AGENT_ONLY else self.draw(kind + " victim", VICTIMS[kind])
        self.agent.ack, self.agent.commit = self.random.choice([("5 ms", "100 ms"), ("20 ms", "200 ms"), ("300 ms", "1 s")])
        if partition:
            kind, moment, victim = "in_flight", "answer", "agent"
        late = victim == "agent" and kind == "in_flight" and self.random.random() < 0.3
        self.one(kind, moment, victim, **({"partition": partition, "late": late} if victim == "agent" else {}))
