"""Benchmarks of what the agent costs a board: memory, wear of the flash, an idle agent's wake-ups and bytes, the program's size."""
import glob
import os
import re
import socket
import subprocess
import sys
import time

from lib import (ROOT, Agent, Missing, finish, free_port, lines_file, memory_kib, need, producer_build, say, schema_of, tail, written_bytes)

BACKLOG = 500000


class Held:
    """The bare producer with a pipe for a file: it has taken `lines` and waits for more."""

    def __init__(self, work, port, topic, lines, *settings):
        pipe = os.path.join(work, "pipe")
        os.mkfifo(pipe)
        self.process = subprocess.Popen([producer_build(work), f"127.0.0.1:{port}", topic, pipe, *settings],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pipe = open(pipe, "wb")
        os.remove(pipe)
        self.pipe.write(lines)
        self.pipe.flush()
        time.sleep(2)

    def close(self):
        self.process.kill()
        finish(self.process)
        self.pipe.close()


def bench_memory(options, kafka, work):
    """VmRSS: idle, connected; and with half a million events that the broker, which is away, has not taken."""
    schema, topic = schema_of("energy_meter"), kafka.topic()
    backlog = lines_file(options, os.path.join(work, "backlog.ndjson"), BACKLOG)
    few = lines_file(options, os.path.join(work, "few.ndjson"), 10)
    agent = Agent(options, os.path.join(work, "memory"), tail(few), kafka, topic, schema)
    agent.start()
    agent.wait(lambda s: s["delivered"] >= 10)
    time.sleep(2)
    idle = memory_kib(agent.process.pid)
    agent.stop()
    held = Held(work, kafka.port, topic, open(few, "rb").read())
    bare_idle = memory_kib(held.process.pid)
    held.close()
    say("memory", "idle, VmRSS", idle, "KiB", "bare librdkafka producer, idle", bare_idle, goal="<= 5120", met=idle <= 5120)
    agent = Agent(options, os.path.join(work, "memory2"), tail(backlog), schema=schema)
    agent.start()
    agent.wait(lambda s: s["stored"] >= BACKLOG)
    time.sleep(2)
    more = memory_kib(agent.process.pid) - idle
    agent.stop()
    held = Held(work, 1, "none", open(backlog, "rb").read(), f"queue.buffering.max.messages={2 * BACKLOG}", "queue.buffering.max.kbytes=2000000")
    bare_more = memory_kib(held.process.pid) - bare_idle
    held.close()
    say("memory", "500 000 events of backlog, VmRSS more than idle", more, "KiB", "bare librdkafka, the same lines in its queue", bare_more,
        goal="<= 4096", met=more <= 4096)


# --- flash ---

RATE = 10    # events a second on the site
SPEED = 20   # how much faster the clock of the bench runs: the rate, and the intervals' reciprocals
SQLITE = '''
import sqlite3, sys, time
path, lines, per_commit, pause = sys.argv[1], open(sys.argv[2], "rb").read().splitlines(), float(sys.argv[3]), float(sys.argv[4])
db = sqlite3.connect(path, isolation_level=None)
for word in ("journal_mode=WAL", "synchronous=FULL"): db.execute("PRAGMA " + word)
db.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB)")
done = due = commits = 0
while done < len(lines):
    due = min(due + per_commit, len(lines))
    db.execute("BEGIN")
    while done < int(due):
        db.execute("INSERT INTO event (body) VALUES (?)", (lines[done],))
        done += 1
    db.execute("COMMIT")
    commits += 1
    time.sleep(pause)
print(f"commits: {commits}", open("/proc/self/io").read(), flush=True)
'''


class Plain:
    """SQLite as it comes, a row an event, committed as often as the agent does."""

    def __init__(self, work, case, lines, interval_s):
        self.process = subprocess.Popen([sys.executable, "-c", SQLITE, os.path.join(work, f"{case}.db"), lines, str(RATE * interval_s),
                                         str(interval_s / SPEED)], stdout=subprocess.PIPE, text=True)

    def result(self):
        """Bytes written, and commits: each is a sync at least."""
        counted = self.process.communicate()[0]
        return int(re.search(r"wchar: (\d+)", counted).group(1)), int(re.search(r"commits: (\d+)", counted).group(1))


def post(port, line, sockets):
    """Without waiting for the answer, as many devices do; but for that of long ago, so that a busy machine takes them all."""
    s = socket.create_connection(("127.0.0.1", port), timeout=300)
    s.sendall(b"POST /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))
    sockets.append(s)
    if len(sockets) > 100:
        with sockets.pop(0) as first:
            first.recv(4096)


def flash_agents(options, kafka, work, growing):
    """The cases: name, agent, HTTP port, goal, interval between commits on the site."""
    schema, port = schema_of("energy_meter"), free_port()
    cases = [("tail, broker away", tail(growing, poll="50 ms"), None, None, 300, 5),
             ("HTTP, broker away", {"type": "http", "listen": f"127.0.0.1:{port}", "ack_interval": f"{250 // SPEED} ms"}, None, port, 3900, 0.25)]
    if kafka:
        cases.append(("tail, broker answers", tail(growing, poll="50 ms"), kafka, None, 300, 5))
    for index, (name, driver, broker, listens, goal, interval_s) in enumerate(cases):
        agent = Agent(options, os.path.join(work, f"flash{index}"), driver, broker, broker.topic() if broker else "none", schema)
        agent.config["buffer"]["commit_interval"] = f"{5000 // SPEED} ms"
        agent.start()
        yield name, agent, listens, goal, interval_s


def flash_feed(lines, growing, ports):
    sockets = []
    started = time.monotonic()
    with open(growing, "ab", buffering=0) as f:
        for sent, line in enumerate(lines):
            f.write(line)
            for port in ports:
                post(port, line, sockets)
            time.sleep(max(0, started + (sent + 1) / (RATE * SPEED) - time.monotonic()))


def wear(agent, count=0, quiet_s=0.02):
    """What the buffer has counted, and the kernel at the same moment: one without a commit, when `count` events are stored. The status knows
    what was written up to the last commit: at the start, what opening wrote is in it with the first one, that of weir.events."""
    for _ in range(1000):
        before = agent.wait(lambda s: s["stored"] >= count)["wear"]
        kernel = written_bytes(agent.process.pid)
        time.sleep(quiet_s)
        if agent.wait()["wear"] == before and written_bytes(agent.process.pid) - kernel < 4096:
            return dict(before, kernel=kernel)
    raise Missing("the agent commits all the time")


def bench_flash(options, kafka, work):
    """Bytes (in blocks of 4 KiB, as they reach the device) and syncs at 10 events a second. Time runs 20 times as fast, intervals with it: what
    counts is how many events share a commit, and in the given time several seals and checkpoints come."""
    count = options.seconds * RATE * SPEED
    lines, growing = lines_file(options, os.path.join(work, "flash.ndjson"), count), os.path.join(work, "growing.ndjson")
    open(growing, "w").close()
    plain = {interval_s: Plain(work, f"plain{interval_s}", lines, interval_s) for interval_s in (5, 0.25)}
    agents = list(flash_agents(options, kafka, work, growing))
    before = [wear(agent, quiet_s=0.6) for _, agent, _, _, _ in agents]
    flash_feed(open(lines, "rb"), growing, [port for _, _, port, _, _ in agents if port])
    after = [wear(agent, count) for _, agent, _, _, _ in agents]
    measured = {interval_s: p.result() for interval_s, p in plain.items()}
    for (name, agent, _, goal, interval_s), b, a in zip(agents, before, after):
        agent.stop()
        what = "SQLite as it comes, a row an event, the same commits"
        written, commits = measured[interval_s]
        size = (a["bytes"] - b["bytes"]) / count
        say("flash", f"{name}, {RATE} events/s", size, "bytes/event", what, written / count, goal=f"<= {goal}", met=size <= goal)
        day = 86400 * RATE / count
        say("flash", f"{name}, {RATE} events/s, syncs", (a["syncs"] - b["syncs"]) * day, "syncs/day", "a sync for each of these commits",
            commits * day)
    say("flash", f"{agents[0][0]}: as the buffer counts", after[0]["bytes_asked"] - before[0]["bytes_asked"], "bytes", "as the kernel counts write()",
        after[0]["kernel"] - before[0]["kernel"])


# --- idle ---

def counters(pid):
    """Wake-ups (a thread had waited, and goes on) and microseconds on a processor, of all threads."""
    wakes, cpu_us = 0, 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(os.path.join(task, "status")) as f:
            wakes += int(next(line for line in f if line.startswith("voluntary")).split()[1])
        with open(os.path.join(task, "schedstat")) as f:
            cpu_us += int(f.read().split()[0]) // 1000
    return wakes, cpu_us


def wire(agent):
    uplink = agent.wait()["uplinks"]["out"]
    return uplink["wire_sent"] + uplink["wire_received"]


def bench_idle(options, kafka, work):
    """A connected agent that has nothing to do, with the default poll of its tail (1 s), beside an idle bare producer."""
    topic, few = kafka.topic(), lines_file(options, os.path.join(work, "idle.ndjson"), 10)
    agent = Agent(options, os.path.join(work, "idle"), tail(few, poll="1 s"), kafka, topic, schema_of("energy_meter"))
    agent.start()
    agent.wait(lambda s: s["delivered"] >= 10 and s["backlog"] == 0)
    held = Held(work, kafka.port, topic, open(few, "rb").read())
    time.sleep(8) # the word of the last delivery is committed at the latest 5 s later
    sent = wire(agent)
    before = [counters(agent.process.pid), counters(held.process.pid)]
    time.sleep(options.seconds)
    after = [counters(agent.process.pid), counters(held.process.pid)]
    sent = wire(agent) - sent
    agent.stop()
    held.close()
    (wakes, cpu), (bare_wakes, bare_cpu) = [[(y - x) * 60 / options.seconds for x, y in zip(b, a)] for b, a in zip(before, after)]
    what = "bare librdkafka producer, idle"
    say("idle", "wake-ups", wakes, "per minute", what, bare_wakes)
    say("idle", "CPU", cpu, "microseconds per minute", what, bare_cpu)
    say("idle", "link", sent * 60 / options.seconds, "bytes per minute", None)


# --- crypt ---

def bench_crypt(options, kafka, work):
    """One call of what encrypts the buffer: a record of the tail with two or three events, and a row; beside the compression that a row pays anyway."""
    program, prefix = os.path.join(work, "crypt"), os.path.join(ROOT, "build", "prefix")
    sources = [os.path.join(ROOT, name) for name in (
        "tests/bench/crypt.c", "ports/lib/aead.c", "ports/lib/hash.c", "ports/lib/zstd.c", "ports/slice.c", "ports/err.c")]
    libraries = [os.path.join(prefix, "lib", name) for name in ("libmbedcrypto.a", "libzstd.a")]
    if subprocess.run([need("gcc", "gcc"), "-Os", "-std=c11", "-D_GNU_SOURCE", f"-I{ROOT}", f"-I{prefix}/include", "-o", program, *sources,
                       *libraries, "-lpthread"]).returncode:
        raise Missing("crypt.c is not built: apt-get install gcc libc6-dev; ports/static builds the libraries")
    lines = (line.split() for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines())
    us = {(name, int(size)): float(value) for name, size, value in lines}
    for size, case, goal in (128, "128 B", 1.2), (32768, "32 KiB", 190):
        for name in "encrypt", "decrypt":
            say("crypt", f"{name} {case}", us[name, size], "microseconds of CPU", "zstd, level 3, of the same", us["compress", size],
                goal=f"<= {goal}", met=us[name, size] <= goal)
    say("crypt", "derive a key", us["derive", 32], "microseconds of CPU")


# --- size ---

def bench_size(options, kafka, work):
    if not os.path.exists(options.weir):
        raise Missing(f"{options.weir} is not built: cmake --preset release && cmake --build build/release --target weir")
    stripped = os.path.join(work, "stripped")
    subprocess.run([need("strip", "binutils"), "-o", stripped, options.weir], check=True)
    size = os.path.getsize(stripped)
    library = next(iter(sorted(glob.glob("/usr/lib/*/librdkafka.so.1"))), None)
    say("size", "stripped program", size, "bytes", "librdkafka.so.1 alone" if library else None,
        os.path.getsize(os.path.realpath(library)) if library else None, goal="<= 2000000", met=size <= 2000000)
