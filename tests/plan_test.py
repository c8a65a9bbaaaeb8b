"""`weir plan` against what the agent really uses: planned from the first half of a set of real data, then the second half is fed to agents that
deliver to a real Kafka over a cable between two network name spaces, while their connections are killed again and again. What the plan
says for that time, and what the agent's own link counters and the interface's say: within 10 %.

usage: plan_test.py WEIR      WEIR_LONG=1: four minutes instead of 45 s. Needs name spaces and `ss -K`."""
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                     # noqa: E402
from services import wait_for       # noqa: E402
services.need_kafka_client()
if "WEIR_PLAN_INSIDE" not in os.environ:
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-n"]
    if subprocess.run([*unshare, "unshare", "-n", "true"], capture_output=True).returncode:
        print("there can be no cable here: it takes root or user name spaces")
        sys.exit(77)
    services.service("kafka.sh", "jars", "4.4.0")       # the cable leads nowhere else
    os.environ["WEIR_PLAN_INSIDE"] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])
from program import check, finish, path_of, run, write, weir  # noqa: E402

LONG = os.environ.get("WEIR_LONG") == "1"
SECONDS = 240 if LONG else 41       # after SETTLE; not a multiple of the longest linger and no full one before its end
SETTLE = 12         # from the start: connections, ids of producers, first flushes
RATE = 20           # events a second
KILLS = 4           # of each agent's connections
OUTAGE = 4          # seconds for which the link says nothing, in between
OUTAGES = 4 if LONG else 1
WITHIN = 0.10
LOCAL_PORT = 19092
# Listeners. What is said seldom meets one outage of 4 s or not, by chance: in the short form it goes by an address that has none.
FAR, CALM, SAFE = ("10.91.0.2", 19142), ("10.91.0.3", 19152), ("10.91.0.2", 19162)
HERE = os.path.dirname(os.path.abspath(__file__))
SETS = {name: open(os.path.join(HERE, "data", f"{name}.ndjson"), "rb").readlines() for name in ("energy_meter", "syslog")}
METER = {"schema": os.path.join(HERE, "..", "config", "examples", "energy_meter.avsc"), "key": "meter"}
CASES = {f"{layout}-{linger}": (layout, linger, CALM if linger > OUTAGE and not LONG else FAR, "energy_meter")
         for layout in ("rows", "columns") for linger in (1, 10)}
CASES["tls-1"] = ("columns", 1, SAFE, "energy_meter")
CASES["log-1"] = ("rows", 1, FAR, "syslog")     # without a schema


def shell(*words, **more):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


class Cable:
    """A name space of its own for the agents, joined to this one by a pair of interfaces."""

    def __init__(self):
        self.near = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
        wait_for("name space", lambda: os.readlink(f"/proc/{self.near.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        self.prefix = ["nsenter", "-t", str(self.near.pid), "-n"]
        shell("ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", str(self.near.pid))
        for address in (FAR[0], CALM[0]):
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
        """Cuts all connections of an agent to Kafka, as a link that fails does."""
        for line in shell(*self.prefix, "ss", "-Htnp", "dst", "10.91.0.0/24").splitlines():
            if f"pid={process.pid}," in line:
                shell(*self.prefix, "ss", "-K", "src", line.split()[3])

    def silence(self, is_on):
        """What leaves the near side gets lost on the way, without a word."""
        if is_on:
            shell(*self.prefix, "ip", "neigh", "replace", FAR[0], "lladdr", "02:00:00:00:00:99", "dev", "near", "nud", "permanent")
        else:
            shell(*self.prefix, "ip", "neigh", "del", FAR[0], "dev", "near")

    def end(self):
        self.near.kill()
        self.near.wait()


class Agent:
    def __init__(self, cable, name, layout, linger, listener, data):
        self.dir, self.name, self.kills, self.seen = path_of(name), name, [], []
        half = len(SETS[data]) // 2
        self.half_seen, self.half_sent = SETS[data][:half], SETS[data][half:]
        self.outages = OUTAGES if listener is not CALM else 0
        os.mkdir(self.dir)
        self.lines = os.path.join(self.dir, "lines")
        open(self.lines, "wb").close()
        self.path = write(f"{name}/weir.json", json.dumps({
            "agent": {"id": "site-7"}, "buffer": {"path": os.path.join(self.dir, "buffer.db"), "size_max": "32 MiB", "commit_interval": "500 ms"},
            "streams": {"events": METER if data == "energy_meter" else {}},
            "drivers": {"in": {"type": "tail", "paths": [self.lines], "poll": "100 ms", "stream": "events"}},
            "uplinks": {"cloud": {"type": "kafka", "brokers": ["%s:%d" % listener], "topic": name, "link": "modem", "layout": layout,
                                  "linger": f"{linger} s", "streams": ["events"],
                                  **({"tls": {"ca": path_of("kafka", "tls", "ca.pem"), "server_name": "localhost"}} if listener is SAFE else {})}},
            "links": {"modem": {}}}))
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = subprocess.Popen([*cable.prefix, weir, "run", self.path], stdout=self.log, stderr=self.log)
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


def kafka_start():
    kafka = services.Kafka(path_of("kafka"), port=LOCAL_PORT)
    far = ",".join("%s://%s:%d" % (name, *listener) for name, listener in (("FAR", FAR), ("CALM", CALM), ("SAFE", SAFE)))
    kafka.start("ssl", f"listeners=PLAINTEXT://127.0.0.1:{LOCAL_PORT},{far},CONTROLLER://127.0.0.1:{LOCAL_PORT + 4}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{LOCAL_PORT},{far}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CALM:PLAINTEXT,SAFE:SSL,CONTROLLER:PLAINTEXT")
    kafka.create({name: {} for name in CASES}, partitions=1)
    return kafka


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


def compare(agent):
    """From one answer to another, so that only whole intervals count."""
    seen = [s for s in agent.seen if s[0] > SETTLE]
    (begin, before, sent_before), (end, after, sent_after) = seen[0], seen[-1]
    kills = sum(begin < k < end for k in agent.kills)
    sample = write(f"{agent.name}/sample", b"".join(agent.half_seen))
    chain = len(ssl.PEM_cert_to_DER_cert(open(path_of("kafka", "tls", "broker.pem")).read()))
    answer = run("plan", agent.path, sample, "--certificates", str(chain), "--rate", str(RATE), "--reconnects", str(kills * 86400 / (end - begin)),
                 "--outages", f"{agent.outages * 86400 / (end - begin):.6f}x{OUTAGE} s",
                 "--round-trip", "5", "--json")
    check(f"{agent.name}: weir plan", answer.returncode == 0, answer.stderr)
    plan = json.loads(answer.stdout)
    planned, used = plan["links"]["modem"]["bytes"] / plan["month_seconds"] * (end - begin), after - before
    off = planned / used - 1
    print(f"{agent.name}: {sent_after - sent_before} events, {kills} connections cut, {agent.outages} outages of {OUTAGE} s, {end - begin:.1f} s: used {used} B, planned {planned:.0f} B, "
          f"{off * 100:+.1f} %", flush=True)
    check(f"{agent.name}: connections were cut", kills >= 2, str(agent.kills))
    check(f"{agent.name}: within {WITHIN * 100:.0f} %", abs(off) <= WITHIN, f"{off:+.3f}")


cable = Cable()
try:
    kafka = kafka_start()
    agents = [Agent(cable, name, *case) for name, case in CASES.items()]
    interface, connections = feed(cable, agents)
    print(f"the interface: {interface} B, the agents' connections: {connections} B", flush=True)
    check("the interface counts the same", abs(connections / interface - 1) <= WITHIN / 2, f"{connections} {interface}")
    for agent in agents:
        compare(agent)
        check(f"{agent.name}: it ends in order", agent.stop() == 0)
    kafka.end()
finally:
    cable.end()
finish()
