"""A buffer that was copied to another machine: both agents go on with their copy, and deliver to one receiver. Each event has one name for ever, no two have
the same, and nothing is lost; what was in doubt when the copy was made comes from both under the name that it had.

usage: machine_test.py WEIR"""
import collections
import glob
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                                     # noqa: E402
from checks import check, check_soon, failures      # noqa: E402
from free_ports import find as free_ports           # noqa: E402

MACHINE_ID = "/etc/machine-id"
OTHERS = ["/run/machine-id", "/var/lib/dbus/machine-id", "/proc/device-tree/serial-number", "/proc/cpuinfo", *glob.glob("/sys/class/dmi/id/*_serial")]
OWN_MOUNTS = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "--mount", "--propagation", "private"]
SCHEMA = {"type": "record", "name": "Numbered", "fields": [{"name": "n", "type": "string"}, {"name": "id", "type": "string"}]}
weir = os.path.abspath(sys.argv[1])


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps every body under its stream. While it is `silent` it takes what comes and never answers: that is in doubt."""

    def __init__(self):
        super().__init__(("127.0.0.1", free_ports(1)), Request)
        self.bodies = []                # of (stream, key, rows)
        self.silent = False
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def rows(self, stream):
        return [row for of, _, rows in list(self.bodies) if of == stream for row in rows]


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        rows = [json.loads(line) for line in body.splitlines()]
        silent = self.server.silent
        self.server.bodies.append((self.path.rsplit("/", 1)[1], self.headers["Idempotency-Key"], rows))
        if silent:
            self.server.released.wait(services.PATIENCE)
            self.close_connection = True
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Board(services.Agent):
    """An agent with a machine id of its own, and nothing else that tells its machine."""

    def __init__(self, directory, machine_id, receiver):
        super().__init__(weir, directory)
        os.makedirs(directory, exist_ok=True)
        self.buffer = os.path.join(directory, "buffer.db")
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        with open(self.path, "w") as f:
            json.dump({"agent": {"id": "pump"}, "buffer": {"path": self.buffer, "size_max": "16 MiB", "commit_interval": "50 ms"},
                       "streams": {"numbered": {"schema": "numbered.avsc"}},
                       "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "5 ms", "stream": "numbered",
                                            "set": {"id": "{id}"}}},
                       "uplinks": {"cloud": {"type": "http", "url": f"http://127.0.0.1:{receiver.server_port}/in/{{stream}}", "linger": "20 ms"}}}, f)
        self.is_on(machine_id)

    def is_on(self, machine_id):
        self.id_path = os.path.join(self.dir, "id")
        with open(self.id_path, "w") as f:
            f.write(machine_id + "\n")

    def here(self, command):
        """The command line that runs it on this board."""
        mounts = "".join(f"mount --bind /dev/null {path}; " for path in OTHERS if os.path.isfile(path) and os.path.realpath(path) != MACHINE_ID)
        return [*OWN_MOUNTS, "sh", "-ec", f"mount --bind {self.id_path} {MACHINE_ID}; {mounts} exec {weir} {command}"]

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.here(f"run {self.path}"), stdout=log, stderr=log)
        services.wait_for("agent", self.listening)

    def post(self, prefix, count):
        numbers = [f"{prefix}{n}" for n in range(count)]
        body = "".join(json.dumps({"n": n}) + "\n" for n in numbers).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}/x", body, {"Content-Type": "application/x-ndjson"})
        urllib.request.urlopen(request, timeout=services.PATIENCE).close()
        return numbers

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def stats(self):
        return json.loads(self.command("buffer", "stats", "--buffer", self.buffer, "--json").stdout)

    def incarnation(self):
        return self.stats()["identity"].split("/")[1]


def copied(directory, receiver):
    one = Board(os.path.join(directory, "one"), "1" * 32, receiver)
    one.start()
    numbers = one.post("first", 20)
    check_soon("the first ones arrive", lambda: len(receiver.rows("numbered")) >= 20)
    receiver.silent = True
    numbers += one.post("doubt", 5)
    check_soon("some are in doubt", lambda: any(row["n"] == "doubt0" for row in receiver.rows("numbered")))
    numbers += one.post("old", 300)         # behind these, not sent yet
    first = one.incarnation()
    one.kill()
    two = Board(os.path.join(directory, "two"), "2" * 32, receiver)
    for path in glob.glob(one.buffer + "*"):
        shutil.copy(path, two.dir)
    in_doubt = [key for _, key, rows in receiver.bodies if any(row.get("n") == "doubt0" for row in rows)][0]
    receiver.silent = False
    receiver.released.set()
    return one, two, numbers, first, in_doubt


def names_of(receiver):
    """Of each event; and of each name its events."""
    names, events = collections.defaultdict(set), collections.defaultdict(set)
    for row in receiver.rows("numbered"):
        names[row["n"]].add(row["id"])
        events[row["id"]].add(row["n"])
    return names, events


def both_go_on(directory, receiver):
    one, two, numbers, first, in_doubt = copied(directory, receiver)
    try:
        for board in (one, two):
            board.start()
        numbers += one.post("one", 50) + two.post("two", 50)
        check_soon("nothing is lost", lambda: set(numbers) <= set(names_of(receiver)[0]))
        for board in (one, two):
            check_soon("both have delivered all", lambda: board.status()["backlog"] == 0)
        names, events = names_of(receiver)
        second = two.incarnation()
        check("the first goes on", one.incarnation() == first and "another machine" not in one.log(), one.log())
        check("the second begins another incarnation", second != first, first)
        check("each event has one name", all(len(of) == 1 for of in names.values()), str([n for n in names if len(names[n]) != 1][:5]))
        check("each name is of one event", all(len(of) == 1 for of in events.values()), str([i for i in events if len(events[i]) != 1][:5]))
        for prefix, incarnation in (("first", first), ("doubt", first), ("old", first), ("one", first), ("two", second)):
            of = {name.split("/")[1] for n in names if n.startswith(prefix) for name in names[n]}
            check(f"{prefix}: its incarnation", of == {incarnation}, str(of))
        times = [key for _, key, _ in receiver.bodies].count(in_doubt)
        check("what was in doubt comes from both, as it was", times == 3 and f"/{first}/" in in_doubt, f"{in_doubt}: {times}")
        told = [row for row in receiver.rows("weir.events") if row["kind"] == "machine"]
        check("it is told once", len(told) == 1 and told[0]["incarnation"] == second and first in told[0]["text"], str(told))
        check("and logged", "was used on another machine" in two.log() and first in two.log() and second in two.log(), two.log())
        stats = two.stats()
        check("and shown", stats["earlier"] == [first] and stats["machine"] == "system", str(stats))
        text = two.command("buffer", "stats", "--buffer", two.buffer).stdout
        check("to a person, too", f"known by its machine id; earlier ones were {first}" in text, text)
        two.stop()
        two.start()
        check("the next start goes on", two.incarnation() == second)
        two.kill()
        two.is_on("uninitialized")          # an id that is not there yet says nothing
        two.start()
        check("without a machine id it goes on", two.incarnation() == second)
        two.stop()
        one.stop()
    finally:
        one.kill()
        two.kill()


def import_comes_first(directory, receiver):
    """What is imported into a copy, before any agent was started with it there, has names that the other board gives to none of its events."""
    one, two, numbers, first, _ = copied(directory, receiver)
    try:
        lines = os.path.join(directory, "lines")
        with open(lines, "w") as f:
            f.writelines(json.dumps({"n": f"imported{n}", "id": "none"}) + "\n" for n in range(30))
        done = subprocess.run(two.here(f"buffer import {lines} --plain --stream numbered --buffer {two.buffer}"), capture_output=True, text=True,
                              timeout=services.PATIENCE)
        second = two.incarnation()
        check("an import begins another incarnation", done.returncode == 0 and second != first and second in done.stderr and first in done.stderr,
              f"{done} {first} {second}")
        check("and is said once", "another machine" not in subprocess.run(two.here(f"buffer import {lines} --again --plain --stream numbered --buffer {two.buffer}"),
                                                                          capture_output=True, text=True, timeout=services.PATIENCE).stderr)
        for board in (one, two):
            board.start()
        numbers += one.post("one", 70)
        check_soon("all of it arrives", lambda: set(numbers) | {f"imported{n}" for n in range(30)} <= {row["n"] for row in receiver.rows("numbered")})
        check("the agent goes on with it", two.incarnation() == second and two.stats()["earlier"] == [first], str(two.stats()))
        check_soon("it is told", lambda: any(row["kind"] == "machine" and row["incarnation"] == second for row in receiver.rows("weir.events")))
        two.stop()
        one.stop()
    finally:
        one.kill()
        two.kill()


with tempfile.TemporaryDirectory(prefix="weir-machine.", dir="/var/tmp") as work:       # on the disk: an id in a tmpfs is none
    probe = f"mount --bind /dev/null {MACHINE_ID}"
    if subprocess.run([*OWN_MOUNTS, "sh", "-ec", probe], stderr=subprocess.DEVNULL).returncode:
        print(f"needs mounts of its own over {MACHINE_ID}")
        sys.exit(77)
    both_go_on(os.path.join(work, "both"), Receiver())
    import_comes_first(os.path.join(work, "import"), Receiver())
print("FAILED" if failures else "machine: all checks passed", flush=True)
sys.exit(1 if failures else 0)
