"""What a board's firmware does to a program: everything but one folder is read-only, /var is in memory and empty after each boot, and the clock stands
in 1970 until somebody sets it.

usage: habits_test.py readonly PROGRAM|-     needs root; -: the static program, which is built
       habits_test.py clock PROGRAM          a program that a preloaded library can tell the time"""
import glob
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "services")]
import free_ports                                         # noqa: E402
from checks import check, check_soon, failures            # noqa: E402

PATIENCE = 120
NOBODY = 65534


def post(port, text):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("POST", "/x", text)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def configuration(port, status, data, socket):
    return {"agent": {"id": "${host_name}", "socket": socket}, "buffer": {"path": f"{data}/buffer.db", "size_max": "16 MiB", "commit_interval": "100 ms"},
            "status": {"listen": f"127.0.0.1:{status}"}, "streams": {"events": {}},
            "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{port}", "stream": "events"}},
            "uplinks": {"files": {"type": "file", "path": f"{data}/out", "time_max": "1 s", "free_min": "0 B"}}}


def bodies(program, folder):
    files = glob.glob(os.path.join(folder, "out", "events", "**", "*.avro"), recursive=True)
    printed = subprocess.run([program, "avro", "cat", *files], stdout=subprocess.PIPE, check=True).stdout if files else b""
    return [json.loads(line) for line in printed.splitlines()]


# --- a root that can't be written ---

class Image:
    """The read-only root of a board, with /var and /run in memory and a data partition, as root of a process in its own mount name space."""

    def __init__(self, work, program):
        self.root, self.data = os.path.join(work, "image"), os.path.join(work, "data")
        for folder in ("usr/bin", "etc/weir", "dev", "proc", "var", "run", "tmp", "data"):
            os.makedirs(os.path.join(self.root, folder))
        os.makedirs(self.data)
        os.chown(self.data, NOBODY, NOBODY)
        shutil.copy(program, os.path.join(self.root, "usr/bin/weir"))
        self.port, self.status = (free_ports.find(1) for _ in range(2))
        with open(os.path.join(self.root, "etc/weir/weir.json"), "w") as f:
            json.dump(configuration(self.port, self.status, "/data", "/run/weir.sock"), f)
        self.log = os.path.join(work, "log")
        self.process = None

    def boot(self):
        """The mounts are the child's own, and gone with it."""
        mounts = f"""set -e
mount --bind {self.root} {self.root}
mount -o remount,bind,ro {self.root}
for memory in var run tmp; do mount -t tmpfs -o size=1m,mode=0777 none {self.root}/$memory; done
mount --bind {self.data} {self.root}/data
mount -t proc proc {self.root}/proc
exec chroot --userspec={NOBODY}:{NOBODY} {self.root} /usr/bin/weir run /etc/weir/weir.json"""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts], stderr=log, stdout=log)
        return check_soon("it takes events", lambda: self.process.poll() is not None or post(self.port, "up") == 200) and self.process.poll() is None

    def inside(self, *names):
        return os.path.join(f"/proc/{self.process.pid}/root", *names)

    def power_off(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def written(image):
    """What there is in the folders in memory."""
    return sorted(os.path.join(os.path.relpath(at, image.inside()), name) for part in ("var", "run", "tmp") for at, folders, names in os.walk(image.inside(part))
                  for name in folders + names)


def boots(image, program):
    """Three, each ended by the power, and one with an orderly end."""
    sent = 0
    for _ in range(3):
        if not image.boot():
            break
        with open(f"/proc/{image.process.pid}/mounts") as f:
            check("the root is read-only", any(line.split()[1] == "/" and line.split()[3].startswith("ro") for line in f))
        for n in range(20):
            check("taken", post(image.port, f"event {sent}") == 200)
            sent += 1
        check("in memory there is its socket, and nothing else", written(image) == ["run/weir.sock"], str(written(image)))
        image.power_off()
    if image.boot():
        def numbers():
            return sorted(int(row["body"].split()[1]) for row in bodies(program, image.data) if row["body"].startswith("event"))
        check_soon("all is delivered", lambda: len(numbers()) >= sent)
        image.process.send_signal(signal.SIGTERM)
        check("an orderly end", image.process.wait(PATIENCE) == 0)
        check("each event once", numbers() == list(range(sent)), str(numbers()))


def readonly(program):
    if os.geteuid() != 0:
        print("needs root: mounts")
        sys.exit(77)
    if subprocess.run(["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"], stderr=subprocess.DEVNULL).returncode != 0:
        print("needs mounts of its own")
        sys.exit(77)
    work = tempfile.mkdtemp(prefix="weir-habits.")
    os.chmod(work, 0o755)
    image = Image(work, program)
    try:
        boots(image, program)
    finally:
        image.power_off()
    with open(image.log) as f:
        log = f.read()
    check("it has complained of nothing", "WARN" not in log and "ERROR" not in log and "ead-only" not in log, log)
    check("beside the buffer and its files there is nothing", set(os.listdir(image.data)) <= {"buffer.db", "buffer.db-wal", "out"}, str(os.listdir(image.data)))
    return work


# --- no clock ---

def clock(program):
    subprocess.run([os.path.join(ROOT, "ports/static/packages"), "libfaketime"], check=True)
    library = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0]
    work = tempfile.mkdtemp(prefix="weir-habits.")
    now = os.path.join(work, "now")
    port, status = (free_ports.find(1) for _ in range(2))
    path = os.path.join(work, "weir.json")
    config = configuration(port, status, work, os.path.join(work, "weir.sock"))
    with open(path, "w") as f:
        json.dump(config, f)

    def set_clock(text):
        with open(now + ".new", "w") as f:
            f.write(text + "\n")
        os.replace(now + ".new", now)

    def start():
        with open(os.path.join(work, "log"), "ab") as log:
            return subprocess.Popen([program, "run", path], stderr=log, env={**os.environ, "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": now,
                                                                             "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"})
    set_clock("@1970-01-01 00:05:00")
    process = start()
    try:
        if not check_soon("it takes events in 1970", lambda: process.poll() is not None or post(port, "before 0") == 200):
            return work
        for n in range(1, 10):
            check("taken in 1970", post(port, f"before {n}") == 200)
        process.kill()                              # and the power goes, before anybody has set the clock
        process.wait()
        process = start()
        check_soon("it starts again", lambda: process.poll() is not None or post(port, "again 0") == 200)
        check("again in 1970", post(port, "again 1") == 200)
        time.sleep(3)                               # longer than a file takes
        check("nothing is delivered under a guessed time", bodies(program, work) == [], str(bodies(program, work))[:300])
        began = time.time()
        set_clock("+0")
        check_soon("delivery once the clock is set", lambda: len(bodies(program, work)) >= 12)
        rows = {row["body"]: row for row in bodies(program, work)}
        check("each event once", len(rows) == len(bodies(program, work)) == 12, str(sorted(rows)))
        for body in ("again 0", "again 1"):
            is_at = time_of(rows[body])
            check(f"{body} has its own time", began - 60 < is_at <= time.time(), str(is_at - began))
        process.terminate()
        check("an orderly end", process.wait(PATIENCE) == 0)
    finally:
        process.kill()
    return work


def time_of(row):
    value = row["time"]
    return value / 1e6 if value > 1e14 else value / 1e3


def main():
    kind, program = sys.argv[1], sys.argv[2]
    if program == "-":
        program = subprocess.run([os.path.join(ROOT, "ports/static/build"), "x86_64"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]
    work = {"readonly": readonly, "clock": clock}[kind](os.path.abspath(program))
    if failures:
        with open(os.path.join(work, "log")) as f:
            sys.exit(f"{len(failures)} failed; files in {work}; the log ends: {f.read()[-1500:]}")
    shutil.rmtree(work)
    print(f"{kind}: all is well")


main()
