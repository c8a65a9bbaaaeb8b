"""The agent on real file systems that fill up, turn read-only, and lose power: what was acknowledged over HTTP is there afterwards,
once each, and the agent goes on by itself.

usage: disk_test.py WEIR ext4|xfs|f2fs [TEST...]
WEIR_CUTS: how many power cuts (5; 40 with WEIR_LONG). Exit 77, with what is missing, where such a file system can't be made."""
import atexit
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from program import Agent, check, finish, free_port, path_of, run, wait_until

kind = sys.argv[2]
here = os.path.dirname(os.path.abspath(__file__))
script = os.path.join(here, "services", "disk.sh")
CUTS = int(os.environ.get("WEIR_CUTS", "40" if "WEIR_LONG" in os.environ else "5"))
SEED = int(os.environ.get("WEIR_SEED", "0")) or int(time.time())
SIZE_MIB = {"ext4": 24, "xfs": 320, "f2fs": 64}[kind]
chance = random.Random(SEED)


def disk(verb, *more):
    return subprocess.run([script, verb, path_of("fs"), *more], capture_output=True, text=True, timeout=120)


able = subprocess.run([script, "can", kind], capture_output=True, text=True)
if able.returncode:
    print(f"skipped: {able.stdout.strip()}")
    sys.exit(able.returncode)


def drop():
    if agent and agent.process and agent.process.poll() is None:
        agent.process.kill()
        agent.process.wait()
    disk("drop")


agent = None
atexit.register(drop)


def configuration(uplink):
    """One stream, posted over HTTP; delivered to files outside of the small disk, or to nobody."""
    return {"agent": {"id": "t", "socket": path_of("weir.sock")}, "buffer": {"path": path_of("fs", "disk", "d", "buffer.db"), "size_max": "64 MiB"},
            "streams": {"raw": {"when_full": "block"}},
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "ack_interval": "5 ms", "ack_timeout": "2 s",
                                 "routes": [{"topic": "#", "stream": "raw"}]}},
            "uplinks": {"out": {"type": "file", "path": path_of("out"), "time_max": "1 s"} if uplink else
                        {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "t"}}}


def begin(uplink=False):
    global agent
    drop()
    made = disk("make", str(SIZE_MIB), kind)
    if made.returncode:
        raise SystemExit(f"no {kind}: {made.stderr}")
    shutil.rmtree(path_of("out"), ignore_errors=True)
    agent = Agent(configuration(uplink))
    agent.socket = path_of("weir.sock") # not on the disk that fails
    if os.path.exists(agent.log_path):
        os.remove(agent.log_path)


class Feeder:
    """Numbered events, one a request, on some connections at a time; remembers which were acknowledged."""

    def __init__(self, size):
        self.size = size
        self.number = 0
        self.acked = set()
        self.tried = set()
        self.answers = {}
        self.lock = threading.Lock()
        self.ends = threading.Event()
        self.threads = []

    def one(self):
        with self.lock:
            self.number += 1
            number = self.number
            self.tried.add(number)
        body = f"n{number}." + "".join(chance.choices("abcdefghijklmnop", k=self.size))
        try:
            connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)
            connection.request("POST", "/raw", body)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            status = answer.status
        except OSError:
            status = 0
        except http.client.HTTPException:
            status = 0
        with self.lock:
            self.answers[status] = self.answers.get(status, 0) + 1
            if status == 200:
                self.acked.add(number)
        return status

    def work(self):
        while not self.ends.is_set():
            if self.one() != 200:
                time.sleep(0.05)

    def start(self, count=4):
        self.ends.clear()
        self.threads = [threading.Thread(target=self.work) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join()


def kill():
    agent.process.kill()
    agent.process.wait()


def numbers_stored():
    out = run("buffer", "cat", "raw", "--buffer", agent.buffer)
    if out.returncode:
        check("the buffer can be read", False, out.stderr)
    return [int(re.search(r'"n(\d+)\.', line).group(1)) for line in out.stdout.splitlines()]


def settle(feeder, numbers, what):
    """Everything acknowledged is there; nothing twice, nothing that was never sent."""
    lost = feeder.acked - set(numbers)
    twice = len(numbers) - len(set(numbers))
    check(f"{what}: nothing lost", not lost, str(sorted(lost)[:5]))
    check(f"{what}: nothing twice", twice == 0, str(twice))
    check(f"{what}: nothing invented", set(numbers) <= feeder.tried)
    return len(lost), twice


def status():
    """Nothing while no agent answers: it may be opened anew just now."""
    out = run("status", "--json", "--socket", agent.socket)
    return json.loads(out.stdout) if out.returncode == 0 else {}


def trouble():
    return status().get("buffer", {}).get("trouble") or ""


def test_cuts():
    """The power of the disk goes while events come in; then the machine starts again."""
    begin()
    feeder = Feeder(300)
    lost = twice = 0
    for i in range(CUTS):
        agent.start()
        feeder.start()
        time.sleep(chance.uniform(0.2, 1.5))
        check("the disk is cut off", disk("cut").returncode == 0)
        feeder.stop()
        kill()
        check("and comes back", disk("back").returncode == 0)
        l, t = settle(feeder, numbers_stored(), f"cut {i + 1}")
        lost += l
        twice += t
    check("there were events", len(feeder.acked) > 20 * CUTS, str(feeder.answers))
    print(f"disk fs={kind} cuts={CUTS} acked={len(feeder.acked)} lost={lost} twice={twice}", flush=True)


def start_without_waiting():
    """For an agent that can't open its buffer yet, and so has no socket."""
    with open(agent.log_path, "ab") as log:
        agent.process = subprocess.Popen([agent_program, "run", agent.path], stdout=subprocess.DEVNULL, stderr=log)


def posts(feeder, status, seconds=30):
    return wait_until(lambda: feeder.one() == status, seconds)


def lives():
    check("the agent goes on running", agent.process.poll() is None, agent.log()[-500:])


def test_full_before_the_first_start():
    """Nothing can be made: it waits, says why once, and begins by itself when there is room."""
    begin()
    disk("fill")
    start_without_waiting()
    check("it says what is wrong", wait_until(lambda: "the disk is full" in agent.log() or "No space left" in agent.log()), agent.log())
    time.sleep(6)
    lives()
    check("once", agent.log().count("ERROR") == 1, agent.log())
    disk("free")
    feeder = Feeder(100)
    check("and begins", posts(feeder, 200), agent.log())
    agent.stop()
    settle(feeder, numbers_stored(), "full before the first start")


def test_full_while_it_runs():
    """Others fill the disk. Events are taken as long as the file has room; then they are refused, what is stored is delivered, which
    makes room; with room on the disk it goes on as before."""
    begin()
    agent.start()
    feeder = Feeder(20000)
    for _ in range(20):
        feeder.one()
    disk("fill")
    full = wait_until(lambda: feeder.one() not in (200, 0), 60)
    check("events are refused", full, str(feeder.answers))
    check("the status says why", wait_until(lambda: "the disk is full" in trouble()), json.dumps(status()))
    check("and that it is degraded", status().get("state") == "degraded")
    lives()
    agent.stop()
    stored = numbers_stored()
    settle(feeder, stored, "full while it runs")
    start_without_waiting()
    check("it starts on the full disk", wait_until(lambda: run("status", "--socket", agent.socket).returncode == 0), agent.log()[-500:])
    disk("free")
    check("events are taken again", posts(feeder, 200), agent.log()[-500:])
    check("the status is well again", wait_until(lambda: not trouble() and status().get("state") == "running"))
    agent.stop()
    settle(feeder, numbers_stored(), "with room again")


def test_full_with_a_cold_log():
    """The log has no room any more and can't grow to its size, as after a copy of the database alone: nothing can be written, not even
    that something was delivered. What is stored is sent all the same, once."""
    begin(uplink=True)
    uplink_stands(True)
    agent.start()
    feeder = Feeder(3000)
    for _ in range(20):
        feeder.one()
    agent.stop()
    os.remove(agent.buffer + "-wal")
    disk("fill")
    start_without_waiting()
    if kind == "xfs": # where not even an empty log can be made, and without one nothing can be read
        check("it waits, and says why", wait_until(lambda: "its log can't be made" in agent.log() and "tried again every 5 s" in agent.log()), agent.log())
        lives()
        uplink_stands(False)
    else:
        check("it runs, degraded", wait_until(lambda: status().get("state") == "degraded"), agent.log())
        check("the status says why", wait_until(lambda: "the disk is full" in trouble()), json.dumps(status()))
        check("events are refused", wait_until(lambda: feeder.one() not in (200, 0)), str(feeder.answers))
        uplink_stands(False)
        check("what is stored is sent", wait_until(lambda: status().get("backlog") == 0, 60), json.dumps(status()))
    disk("free")
    check("with room it goes on", posts(feeder, 200), agent.log()[-500:])
    check("the status is well again", wait_until(lambda: not trouble() and status().get("state") == "running"))
    check("everything is sent", wait_until(lambda: status().get("backlog") == 0, 60), json.dumps(status()))
    agent.stop()
    settle(feeder, numbers_sent(), "full with a cold log")


def test_draining_makes_room():
    """On a full disk what is delivered is acknowledged, and its room used again."""
    begin(uplink=True)
    agent.start()
    feeder = Feeder(3000)
    for _ in range(20):
        feeder.one()
    disk("fill")
    feeder.start()
    wait_until(lambda: len(feeder.acked) > 300, 60)
    feeder.stop()
    check("deliveries go on", wait_until(lambda: status().get("backlog") == 0, 30), json.dumps(status()))
    delivered = agent.status()["delivered"]
    check("more than the file could ever hold", delivered > 250, str(delivered))
    check("and make room", posts(feeder, 200), json.dumps(status()))
    lives()
    disk("free")
    agent.stop()


def numbers_sent():
    """What stands in the files of the uplink."""
    numbers = []
    for folder, _, names in os.walk(path_of("out")):
        for name in names:
            if name.endswith(".avro") and "weir.events" not in os.path.join(folder, name):
                out = run("avro", "cat", os.path.join(folder, name))
                numbers += [int(n) for n in re.findall(r'"n(\d+)\.', out.stdout)]
    return numbers


def back_under_the_agent():
    """A new mount, as of a disk that was pulled out and put in again: what is open stays in the old one. The agent sleeps meanwhile, or
    it may find the empty folder between the two and begin anew."""
    agent.process.send_signal(signal.SIGSTOP)
    check("the disk comes back", disk("back").returncode == 0)
    agent.process.send_signal(signal.SIGCONT)


def test_unmounted_while_it_waits():
    """The disk is taken out to be repaired: nothing is begun in the empty folder where it was."""
    begin()
    agent.start()
    feeder = Feeder(300)
    for _ in range(50):
        feeder.one()
    kill()
    disk("cut")
    start_without_waiting()
    check("it says why it waits", wait_until(lambda: "tried again every 5 s" in agent.log()), agent.log())
    lives()
    mount_point = path_of("fs", "disk")
    subprocess.run(["umount", mount_point], check=True)
    check("it sees that the disk is away", wait_until(lambda: "not mounted" in agent.log()), agent.log())
    said = run("status", "--socket", agent.socket)
    check("the status says so", said.returncode == 1 and "is waiting for its buffer: " in said.stdout and "not mounted" in said.stdout, str(said))
    time.sleep(6)
    check("nothing is begun below it", os.listdir(mount_point) == [], str(os.listdir(mount_point)))
    check("the disk comes back", disk("mount").returncode == 0)
    check("the agent goes on", posts(feeder, 200), agent.log()[-500:])
    agent.stop()
    settle(feeder, numbers_stored(), "unmounted while it waits")


def uplink_stands(stands):
    """A file where the uplink wants a folder."""
    if stands:
        with open(path_of("out"), "w") as f:
            f.write("in the way")
    else:
        os.remove(path_of("out"))


def test_cut_and_back_while_it_runs():
    """A disk that loses its power, and is there again some seconds later: the agent goes on by itself."""
    begin()
    agent.start()
    feeder = Feeder(300)
    for i in range(2):
        feeder.start()
        time.sleep(chance.uniform(0.2, 1.5))
        disk("cut")
        check("events are refused", wait_until(lambda: "the disk fails" in trouble()), json.dumps(status()))
        feeder.stop()
        back_under_the_agent()
        check("the agent goes on", posts(feeder, 200), agent.log()[-500:])
        lives()
    agent.stop()
    settle(feeder, numbers_stored(), "cut and back while it runs")


def test_read_only():
    """The kernel finds an error: nothing can be written until the disk was repaired, which needs a new mount. What is stored is sent all
    the same, and nothing of it twice."""
    begin(uplink=True)
    uplink_stands(True)
    agent.start()
    feeder = Feeder(300)
    for _ in range(50):
        feeder.one()
    disk("error")
    check("events are refused", wait_until(lambda: feeder.one() not in (200, 0)), str(feeder.answers))
    check("the status says why", wait_until(lambda: "the file system is read-only" in trouble()), json.dumps(status()))
    time.sleep(6)
    lives()
    check("said once", agent.log().count("ERROR buffer: ") == 1, agent.log())
    kill()
    start_without_waiting()
    check("an agent that starts then says why it waits", wait_until(lambda: agent.log().count("the file system is read-only") == 2), agent.log())
    check("and is degraded", wait_until(lambda: run("status", "--socket", agent.socket).returncode == 0) and status().get("state") == "degraded")
    check("events are refused by it", wait_until(lambda: feeder.one() not in (200, 0)), str(feeder.answers))
    uplink_stands(False)
    check("what is stored is sent", wait_until(lambda: status().get("backlog") == 0, 60), json.dumps(status()))
    check("what a restart would do is told", "UNSAVED" in run("status", "--socket", agent.socket).stdout and
          agent.log().count("on record in memory only") == 1, agent.log())
    back_under_the_agent()
    check("and when the disk is back it goes on", posts(feeder, 200), agent.log()[-500:])
    check("the status is well again", wait_until(lambda: not trouble() and status().get("state") == "running"))
    check("everything is sent", wait_until(lambda: status().get("backlog") == 0, 60), json.dumps(status()))
    agent.stop()
    settle(feeder, numbers_sent(), "read-only and back")


agent_program = sys.argv[1]
tests = [test_cuts, test_full_before_the_first_start, test_full_while_it_runs, test_full_with_a_cold_log, test_draining_makes_room]
tests += [test_cut_and_back_while_it_runs, test_unmounted_while_it_waits]
tests += [test_read_only] if kind == "ext4" else []
chosen = sys.argv[3:]
print(f"seed {SEED}", flush=True)
for test in tests:
    if not chosen or test.__name__[5:] in chosen:
        began = time.monotonic()
        test()
        print(f"{test.__name__[5:]}: {time.monotonic() - began:.0f} s", flush=True)
drop()
finish()
