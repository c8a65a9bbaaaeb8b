"""What the tests of `weir plan` share that compare it with what agents really use: a cable between two network name spaces, agents behind it that deliver the
second half of a set of real data while their connections are cut and the link falls silent, and the plan from the first half.

A test calls enter() before it imports anything that makes files, as it is started again inside name spaces of its own. WEIR_LONG=1: four minutes instead of 45 s."""
import json
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
from services import wait_for       # noqa: E402

LONG = os.environ.get("WEIR_LONG") == "1"
SECONDS = 240 if LONG else 41       # after SETTLE; not a multiple of the longest linger and no full one before its end
SETTLE = 12         # from the start: connections, ids of producers, first flushes
RATE = 20           # events a second
KILLS = 4           # of each agent's connections
OUTAGE = 4          # seconds for which the link says nothing, in between
OUTAGES = 4 if LONG else 1
WITHIN = 0.10
# Addresses. What is said seldom meets one outage of 4 s or not, by chance: in the short form it goes by an address that has none.
FAR, CALM = "10.91.0.2", "10.91.0.3"
HERE = os.path.dirname(os.path.abspath(__file__))
SETS = {name: open(os.path.join(HERE, "data", f"{name}.ndjson"), "rb").readlines() for name in ("energy_meter", "syslog")}
METER = {"schema": os.path.join(HERE, "..", "config", "examples", "energy_meter.avsc"), "key": "meter"}


def enter(prepare):
    """Starts the test again in a network name space of its own. prepare(): what needs the network, for the cable leads nowhere else."""
    if "WEIR_PLAN_INSIDE" in os.environ:
        return
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-n"]
    if subprocess.run([*unshare, "unshare", "-n", "true"], capture_output=True).returncode:
        print("there can be no cable here: it takes root or user name spaces")
        sys.exit(77)
    prepare()
    os.environ["WEIR_PLAN_INSIDE"] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def shell(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


class Cable:
    """A name space of its own for the agents, joined to this one by a pair of interfaces."""

    def __init__(self):
        self.near = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        wait_for("name space", lambda: os.readlink(f"/proc/{self.near.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        self.prefix = ["nsenter", "-t", str(self.near.pid), "-n"]
        shell("ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", str(self.near.pid))
        for address in (FAR, CALM):
            shell("ip", "addr", "add", f"{address}/24", "dev", "far")
        for dev in ("lo", "far"):
            shell("ip", "link", "set", dev, "up")
        shell(*self.prefix, "ip", "addr", "add", "10.91.0.1/24", "dev", "near")
        for dev in ("lo", "near"):
            shell(*self.prefix, "ip", "link", "set", dev, "up")

    def bytes(self):
        """What went over it, as the interface counts: Ethernet's 14 bytes a packet are not on the modem's bill."""
        stats = json.loads(shell("ip", "-s", "-j", "link", "show", "dev", "far"))[0]["stats64"]
        return sum(stats[way]["bytes"] - 14 * stats[way]["packets"] for way in ("rx", "tx"))

    def kill(self, process):
        """Cuts all connections of an agent to the far side, as a link that fails does."""
        for line in shell(*self.prefix, "ss", "-Htnp", "dst", "10.91.0.0/24").splitlines():
            if f"pid={process.pid}," in line:
                shell(*self.prefix, "ss", "-K", "src", line.split()[3])

    def silence(self, is_on):
        """What leaves the near side gets lost on the way, without a word."""
        if is_on:
            shell(*self.prefix, "ip", "neigh", "replace", FAR, "lladdr", "02:00:00:00:00:99", "dev", "near", "nud", "permanent")
        else:
            shell(*self.prefix, "ip", "neigh", "del", FAR, "dev", "near")

    def end(self):
        self.near.kill()
        self.near.wait()


class Agent:
    """`uplink`: its options. `is_calm`: it goes by the address that has no outages. `sample`: lines of the first half that the plan sees, all unless said."""

    def __init__(self, cable, name, data, uplink, is_calm=False, sample=None, environment=None):
        from program import path_of, weir, write
        self.dir, self.name, self.kills, self.seen = path_of(name), name, [], []
        half = len(SETS[data]) // 2
        self.half_seen, self.half_sent = SETS[data][:half][:sample], SETS[data][half:]
        self.outages = 0 if is_calm else OUTAGES
        os.mkdir(self.dir)
        self.lines = os.path.join(self.dir, "lines")
        open(self.lines, "wb").close()
        self.path = write(f"{name}/weir.json", json.dumps({
            "agent": {"id": "site-7"}, "buffer": {"path": os.path.join(self.dir, "buffer.db"), "size_max": "32 MiB", "commit_interval": "500 ms"},
            "streams": {"events": METER if data == "energy_meter" else {}},
            "drivers": {"in": {"type": "tail", "paths": [self.lines], "poll": "100 ms", "stream": "events"}},
            "uplinks": {"cloud": {"link": "modem", "streams": ["events"], **uplink}},
            "links": {"modem": {}}}))
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen([*cable.prefix, weir, "run", self.path], stdout=self.log, stderr=self.log, env={**os.environ, **(environment or {})})
        wait_for("agent", lambda: os.path.exists(os.path.join(self.dir, "weir.sock")))

    def total(self):
        """Bytes of its link, and events that were answered."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.dir, "weir.sock"))
            s.sendall(b"status\n")
            status = json.loads(b"".join(iter(lambda: s.recv(65536), b"")))
        total = status["links"]["modem"]["total"]
        return total["sent"] + total["received"], status["delivered"]

    def look(self, now):
        """Notes when an answer has come."""
        total, delivered = self.total()
        if delivered != (self.seen[-1][2] if self.seen else 0):
            self.seen.append((now, total, delivered))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def feed(cable, agents):
    """The lines that plan has not seen, for SETTLE + SECONDS; connections are killed KILLS times, and for OUTAGE seconds nothing comes through. Returns what
    the interface counted and the agents did, from SETTLE on."""
    files = [open(a.lines, "ab", buffering=0) for a in agents]
    kills = [SETTLE + SECONDS * (2 * i + 1.4) / (2 * KILLS) for i in range(KILLS)]
    quiet = [SETTLE + SECONDS * (2 * i + 1.1) / (2 * OUTAGES) for i in range(OUTAGES)]
    steps = [(at + wait, wait == 0) for at in quiet for wait in (0, OUTAGE)]
    begin, count, first = time.monotonic(), 0, None
    while (now := time.monotonic() - begin) < SETTLE + SECONDS:
        while count < now * RATE:
            for f, a in zip(files, agents):
                f.write(a.half_sent[count % len(a.half_sent)])
            count += 1
        if kills and now > kills[0]:
            kills.pop(0)
            for a in agents:
                a.kills.append(now)
                cable.kill(a.process)
        if steps and now > steps[0][0]:
            cable.silence(steps.pop(0)[1])
        if not first and now > SETTLE:
            first = cable.bytes(), sum(a.total()[0] for a in agents)
        for a in agents:
            a.look(now)
        time.sleep(0.05)
    return cable.bytes() - first[0], sum(a.total()[0] for a in agents) - first[1]


def compare(agent, *words):
    """From one answer to another, so that only whole intervals count. `words`: for weir plan."""
    from program import check, run, write
    seen = [s for s in agent.seen if s[0] > SETTLE]
    (begin, before, sent_before), (end, after, sent_after) = seen[0], seen[-1]
    kills = sum(begin < k < end for k in agent.kills)
    sample = write(f"{agent.name}/sample", b"".join(agent.half_seen))
    answer = run("plan", agent.path, sample, "--rate", str(RATE), "--reconnects", str(kills * 86400 / (end - begin)),
                 "--outages", f"{agent.outages * 86400 / (end - begin):.6f}x{OUTAGE} s", "--round-trip", "5", "--json", *words)
    check(f"{agent.name}: weir plan", answer.returncode == 0, answer.stderr)
    plan = json.loads(answer.stdout)
    planned, used = plan["links"]["modem"]["bytes"] / plan["month_seconds"] * (end - begin), after - before
    requests = sum(s["requests"] for u in plan["uplinks"].values() for s in u["streams"].values()) / plan["month_seconds"] * (end - begin)
    off = planned / used - 1
    print(f"{agent.name}: {sent_after - sent_before} events, {kills} connections cut, {agent.outages} outages of {OUTAGE} s, {end - begin:.1f} s: used {used} B in {len(seen) - 1} answers, planned {planned:.0f} B in {requests:.1f} requests, "
          f"{off * 100:+.1f} %", flush=True)
    check(f"{agent.name}: connections were cut", kills >= 2, str(agent.kills))
    check(f"{agent.name}: within {WITHIN * 100:.0f} %", abs(off) <= WITHIN, f"{off:+.3f}")


def drive(cable, agents, words=lambda agent: ()):
    """All of it, with agents that run."""
    from program import check
    interface, connections = feed(cable, agents)
    print(f"the interface: {interface} B, the agents' connections: {connections} B", flush=True)
    check("the interface counts the same", abs(connections / interface - 1) <= WITHIN / 2, f"{connections} {interface}")
    for agent in agents:
        compare(agent, *words(agent))
        check(f"{agent.name}: it ends in order", agent.stop() == 0)
