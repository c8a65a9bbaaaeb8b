"""The static binary in a memory cgroup of 16 MiB, page cache counted: it takes events over HTTP and from a file, keeps a backlog for a destination
that is away, delivers to files, is killed, and goes on with its backlog; nothing is lost or written twice, and nothing is killed for memory.

usage: memory_test.py [WEIR]     the static program of this machine unless given. Exit 77, with what is missing, where no such group can be made."""
import atexit
import contextlib
import glob
import json
import os
import random
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MIB = 1 << 20
LIMIT = 16 * MIB
EVENTS = 300000 if os.environ.get("WEIR_LONG") == "1" else 20000     # lines of the file; a request has 50 of those over HTTP
REQUESTS = 200
os.environ["TMPDIR"] = os.path.join(ROOT, "build")     # on a disk: /tmp may be memory, which would count
os.environ["WEIR_PATIENCE"] = "600"     # seconds, for program.py: at the limit each page is read again and again


def need(condition, what):
    if not condition:
        print(f"skipped: no memory cgroup: {what}")
        sys.exit(77)


class Group:
    """A memory cgroup of this test's own, of version 1 or 2, whichever this machine lets us make."""

    def __init__(self):
        self.v2 = "memory" in read_text("/sys/fs/cgroup/cgroup.controllers").split()
        above = "/sys/fs/cgroup" if self.v2 else "/sys/fs/cgroup/memory"
        need(self.v2 or os.path.exists(os.path.join(above, "memory.limit_in_bytes")), "neither version 1 nor 2 is mounted with that controller")
        self.path = os.path.join(above, f"weir-test-{os.getpid()}")
        self.control = os.path.join(above, "cgroup.subtree_control")
        self.has_switched = False       # the controller on, for groups below the root: taken back in the end
        atexit.register(self.remove)
        try:
            if self.v2 and "memory" not in read_text(self.control).split():
                self.write("+memory", self.control)
                self.has_switched = True
            os.mkdir(self.path)
            need(not self.v2 or os.path.exists(os.path.join(self.path, "memory.peak")), "version 2 tells no memory.peak (a kernel before 5.19)")
            self.write(LIMIT, "memory.max" if self.v2 else "memory.limit_in_bytes")
        except OSError as e:
            need(False, f"{e.strerror}: {e.filename}")
        for name in ("memory.swap.max", ) if self.v2 else ("memory.memsw.limit_in_bytes", ):
            if os.path.exists(os.path.join(self.path, name)):
                self.write(0 if self.v2 else LIMIT, name)

    def write(self, value, name):
        with open(os.path.join(self.path, name), "w") as f:
            f.write(str(value))

    def read(self, name):
        return read_text(os.path.join(self.path, name))

    def number(self, name, key=None):
        text = self.read(name)
        return int(text) if key is None else next((int(line.split()[1]) for line in text.splitlines() if line.split()[0] == key), 0)

    def killed(self):
        return self.number("memory.events" if self.v2 else "memory.oom_control", "oom_kill")

    def most(self):
        """What was used at most: at the limit something has to go, page cache as long as nobody is killed."""
        return self.number("memory.peak" if self.v2 else "memory.max_usage_in_bytes")

    def page_cache(self):
        return self.number("memory.stat", "file" if self.v2 else "cache")

    def remove(self):
        for pid in self.read("cgroup.procs").split():
            os.kill(int(pid), signal.SIGKILL)
        for _ in range(100):
            try:
                os.path.isdir(self.path) and os.rmdir(self.path)
                break
            except OSError:
                subprocess.run(["sleep", "0.05"])
        if self.has_switched:
            with contextlib.suppress(OSError):      # somebody else needs it by now
                self.write("-memory", self.control)


def read_text(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def program_of():
    if len(sys.argv) > 1:
        return sys.argv[1]
    done = subprocess.run([os.path.join(ROOT, "ports/static/build"), "x86_64"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[0]


group = Group()
# Who runs the agent is in the group from its first byte on; who asks it how it is, is not.
descriptor, inside = tempfile.mkstemp(prefix="weir-inside.")
with open(descriptor, "w") as wrapper:
    wrapper.write(f'#!/bin/sh\n[ "$1" = run ] && echo $$ >{group.path}/cgroup.procs\nexec {program_of()} "$@"\n')
os.chmod(inside, 0o755)
atexit.register(lambda: os.path.exists(inside) and os.remove(inside))
sys.argv[1:] = [inside]
sys.path.insert(0, os.path.join(HERE, ".."))
from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, write  # noqa: E402


def memory_kib(pid, name):
    return int(next(line for line in read_text(f"/proc/{pid}/status").splitlines() if line.startswith(name)).split()[1])


def rows(stream):
    files = sorted(glob.glob(path_of("out", stream, "**", "*.avro"), recursive=True))
    return [json.loads(line) for line in run("avro", "cat", *files).stdout.splitlines()] if files else []


def feed(agent, first, lines):
    """Who writes the file is in the group as well, as on a board where all is: its pages are part of what is counted."""
    text = "".join(f"line {i} {random.getrandbits(1600):0400x}\n" for i in range(first * EVENTS // REQUESTS, (first + REQUESTS // 2) * EVENTS // REQUESTS))
    subprocess.run(["sh", "-c", f"echo $$ >{group.path}/cgroup.procs; exec cat >>{lines}"], input=text.encode(), check=True)
    for request in range(first, first + REQUESTS // 2):
        body = "".join(json.dumps({"k": "a", "n": request * 50 + i}) + "\n" for i in range(50))
        status, answer = agent.post("/typed", body, {"Content-Type": "application/x-ndjson"})
        check("taken", status == 200 and answer["stored"] == 50, answer)


def owed(uplink):
    return [stream for stream in agent.status()["uplinks"][uplink]["owed"] if stream in ("raw", "typed")]


def stored(name):
    return next(stream["sequence_next"] - 1 for stream in agent.status()["streams"] if stream["name"] == name)


def alive(agent, when):
    check(f"the agent lives, {when}", agent.process.poll() is None, agent.log()[-1000:])
    check(f"nobody was killed for memory, {when}", group.killed() == 0, group.read("memory.events" if group.v2 else "memory.oom_control"))


config = configuration(free_port())
config["buffer"]["size_max"] = "256 MiB"
config["drivers"]["lines"] = {"type": "tail", "stream": "raw", "paths": [path_of("lines.log")]}
config["uplinks"]["away"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}"}
write("lines.log", "")
agent = Agent(config).start()
feed(agent, 0, path_of("lines.log"))
wait_until(lambda: agent.status()["stored"] >= (EVENTS + 50 * REQUESTS) // 2)
alive(agent, "with half of the events")
agent.process.send_signal(signal.SIGKILL)
agent.process.wait()
agent.start()                                       # the backlog of who is away is read again, in the same group
feed(agent, REQUESTS // 2, path_of("lines.log"))
check("all is taken", wait_until(lambda: stored("raw") >= EVENTS), json.dumps(agent.status()))
check("all is delivered", wait_until(lambda: not owed("files")), json.dumps(agent.status()))
alive(agent, "with all of them")
status = agent.status()
check("the backlog of who is away is kept", status["backlog"] >= EVENTS + 50 * REQUESTS, json.dumps(status))
check("it was in the group", str(agent.process.pid) in group.read("cgroup.procs").split())
check("page cache is counted, and has reached the limit", group.most() > LIMIT - MIB // 4 and group.page_cache() > MIB, (group.most(), group.read("memory.stat")))
print(json.dumps({"cgroup": 2 if group.v2 else 1, "limit": LIMIT, "events": EVENTS + 50 * REQUESTS, "most": group.most(),
                  "page_cache": group.page_cache(), "VmRSS_kib": memory_kib(agent.process.pid, "VmRSS"),
                  "VmHWM_kib": memory_kib(agent.process.pid, "VmHWM")}), flush=True)
check("ends well", agent.stop() == 0, agent.log()[-2000:])
typed, raw = rows("typed"), rows("raw")
check("each event over HTTP once", sorted(row["n"] for row in typed) == list(range(50 * REQUESTS)), len(typed))
check("each line once", sorted(int(row["body"].split()[1]) for row in raw) == list(range(EVENTS)), len(raw))
finish()
