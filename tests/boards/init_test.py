"""The init scripts of the packages for OpenWrt and Buildroot, run by busybox as they are, in a root of their own with the static program: started,
reloaded, killed, stopped. procd is doubled by initd.sh, which does what the script has asked for.

usage: init_test.py openwrt|buildroot [PROGRAM]     PROGRAM: a static one; it is built when none is given"""
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "services")]
import free_ports                                         # noqa: E402
from checks import check, check_soon, failures            # noqa: E402

PATIENCE = 120
UID = 640
KINDS = {"openwrt": ("weir", "ports/openwrt/weir/files/weir.init", "ports/openwrt/weir/files/weir.json", "srv/weir", "var/run/weir/weir.sock"),
         "buildroot": ("S99weir", "ports/buildroot/package/weir/S99weir", "ports/buildroot/package/weir/weir.json", "var/lib/weir", "var/lib/weir/weir.sock")}
kind = sys.argv[1]
name, script, configuration, data, agent_socket = KINDS[kind]


def program():
    if len(sys.argv) > 2:
        return sys.argv[2]
    return subprocess.run([os.path.join(ROOT, "ports/static/build"), "x86_64"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]


class Box:
    """A root folder as the package's image has it: busybox, the program, the script, the configuration. /var/run and /run are empty, as after a boot."""

    def __init__(self, work):
        self.root = os.path.join(work, "box")
        for folder in ("bin", "usr/bin", "etc/init.d", "etc/default", "etc/weir", "dev", "proc", "run", "tmp", "var/lib", "var/run", "srv", "lib"):
            os.makedirs(os.path.join(self.root, folder))
        shutil.copy("/bin/busybox", self.path("bin/busybox"))
        for applet in subprocess.run(["/bin/busybox", "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
            if applet != "busybox":
                os.symlink("busybox", self.path("bin", applet))
        self.put("etc/passwd", f"root:x:0:0::/:/bin/sh\nweir:x:{UID}:{UID}::/:/bin/false\n")
        self.put("etc/group", f"root:x:0:\nweir:x:{UID}:\n")
        shutil.copy(program(), self.path("usr/bin/weir"))
        shutil.copy(os.path.join(ROOT, script), self.path("etc/init.d", name))
        os.chmod(self.path("etc/init.d", name), 0o755)
        self.port, status = (free_ports.find(1) for _ in range(2))
        with open(os.path.join(ROOT, configuration)) as f:
            self.config = json.load(f)
        self.config["status"] = {"listen": f"127.0.0.1:{status}"}
        self.config["drivers"]["post"]["listen"] = f"127.0.0.1:{self.port}"
        self.write(self.config)
        if kind == "openwrt":
            shutil.copy(os.path.join(HERE, "initd.sh"), self.path("etc/rc.common"))
            os.chmod(self.path("etc/rc.common"), 0o755)
        for device, number in (("null", 3), ("zero", 5), ("urandom", 9)):
            os.mknod(self.path("dev", device), 0o20666, os.makedev(1, number))
            os.chmod(self.path("dev", device), 0o666)
        # The system's log: busybox' own logger sends to it.
        self.logged = []
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        log.bind(self.path("dev/log"))
        os.chmod(self.path("dev/log"), 0o666)
        threading.Thread(target=lambda: [self.logged.append(log.recv(65536).decode()) for _ in itertools.count()], daemon=True).start()

    def path(self, *names):
        return os.path.join(self.root, *names)

    def put(self, where, text, mode=0o644):
        with open(self.path(where), "w") as f:
            f.write(text)
        os.chmod(self.path(where), mode)

    def read(self, *names):
        with open(self.path(*names)) as f:
            return f.read()

    def write(self, config):
        self.put("etc/weir/weir.json", config if isinstance(config, str) else json.dumps(config))

    def run(self, *words):
        return subprocess.run(["chroot", self.root, "/bin/busybox", "env", "-i", "PATH=/bin:/usr/bin", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=PATIENCE)

    def init(self, verb):
        return self.run(f"/etc/init.d/{name}", verb)

    def log(self):
        return "\n".join(self.logged)

    def agents(self):
        """Process numbers of the program in this root, and nowhere else."""
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{process}/root") == self.root and os.readlink(f"/proc/{process}/exe").endswith("/usr/bin/weir"):
                    found.append(int(process))
            except OSError:
                pass
        return found

    def everybody(self):
        found = []
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{process}/root") == self.root:
                    found.append(int(process))
            except OSError:
                pass
        return found

    def post(self, text):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", "/x", text)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()


def runs_as_asked(box):
    process = box.agents()[0]
    with open(f"/proc/{process}/status") as f:
        status = dict(line.rstrip().split(":\t", 1) for line in f if ":\t" in line)
    check("it runs as the user weir", status["Uid"].split()[0] == str(UID) and status["Gid"].split()[0] == str(UID), status["Uid"])
    with open(f"/proc/{process}/limits") as f:
        limits = f.read()
    check("it dumps no core", any(line.split()[4:6] == ["0", "0"] for line in limits.splitlines() if line.startswith("Max core")), limits)
    for folder in (data, os.path.dirname(agent_socket)):
        is_of = os.stat(box.path(folder))
        check(f"/{folder} is its own", (is_of.st_uid, is_of.st_gid, is_of.st_mode & 0o777) == (UID, UID, 0o750), str(is_of))
    check("the buffer is where it outlives the power", os.path.exists(box.path(data, "buffer.db")))
    check("its socket answers", box.run("/usr/bin/weir", "status", "--socket", "/" + agent_socket).returncode == 0)
    return process


def is_started_again_when_killed(box, process):
    os.kill(process, signal.SIGKILL)
    if check_soon("it is started again", lambda: any(other != process for other in box.agents())):
        check_soon("it takes events again", lambda: box.post("after the kill") == 200)


def reloads(box):
    process = box.agents()[0]
    box.config["streams"]["more"] = {}
    box.write(box.config)
    done = box.init("reload")
    check("reload", done.returncode == 0, done.stdout)
    check_soon("the new file is read", lambda: "$.streams.more" in box.log() + done.stdout)
    box.write('{"streams": 7}')
    done = box.init("reload")
    check_soon("a bad file is told", lambda: "$.streams" in box.log() + done.stdout)
    check("it goes on", box.agents() == [process] and box.post("after a bad file") == 200)
    box.write(box.config)


def waits_for_a_configuration(box):
    """One with mistakes at the start ends nothing for good."""
    box.write('{"streams": 7}')
    done = box.init("start")
    check("start with a bad file", done.returncode == 0, done.stdout)
    check_soon("the log says what is wrong", lambda: "$.streams" in box.log())
    box.write(box.config)
    box.init("restart")
    check_soon("a mended file is taken", lambda: box.post("mended") == 200)


# In the agent's place: says that it is there, counts how often it is told to stop, ends then.
TOLD = """#!/bin/sh
trap 'echo told >>/tmp/told; sleep 1; exit 0' TERM
sleep 600 >/dev/null 2>&1 &
touch /tmp/up
wait $!
"""


def is_told_to_stop_once(box):
    """A stop while the loop starts the agent: before it knows the agent's number, and just after that."""
    text = box.read("etc/init.d", name)
    number, signal_here = "child=$!\n", "until [ -e /tmp/up ]; do sleep 0.1; done; kill -TERM $$\n"
    check("the script takes the number in one place", text.count(number) == 1)
    box.put("etc/default/weir", "PROG=/bin/told\n")
    box.put("bin/told", TOLD, 0o755)
    os.makedirs(box.path("run/weir"), exist_ok=True)
    for when, changed in (("before", signal_here + number), ("after", number + signal_here)):
        box.put("bin/loop", text.replace(number, changed), 0o755)
        for file in ("up", "told"):
            if os.path.exists(box.path("tmp", file)):
                os.remove(box.path("tmp", file))
        try:
            box.run("/bin/loop", "supervise")
        except subprocess.TimeoutExpired:
            check(f"the loop ends, signal {when}", False)
            continue
        told = box.read("tmp/told") if os.path.exists(box.path("tmp/told")) else ""
        check(f"the agent is told once, signal {when}", told == "told\n", repr(told))
    os.remove(box.path("etc/default/weir"))


def needs():
    """Root, mounts and devices: a container may have the first alone."""
    if os.geteuid() != 0:
        return "root: a root folder of its own, another user"
    tried = "mount -t tmpfs none /mnt && mknod /mnt/null c 1 3 && echo >/mnt/null && mkdir /mnt/proc && mount -t proc proc /mnt/proc"
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", tried], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return "" if done.returncode == 0 else "mounts and devices of its own"


def main():
    missing = needs()
    if missing:
        print(f"needs {missing}")
        sys.exit(77)
    subprocess.run([os.path.join(ROOT, "ports/static/packages"), "busybox-static"], check=True)
    work = tempfile.mkdtemp(prefix="weir-init.")
    os.chmod(work, 0o755)
    box = Box(work)
    subprocess.run(["mount", "-t", "proc", "proc", box.path("proc")], check=True)
    try:
        done = box.init("start")
        check("start", done.returncode == 0, done.stdout)
        if check_soon("it takes events", lambda: box.post("one") == 200):
            process = runs_as_asked(box)
            again = box.init("start")
            check("a second start changes nothing", again.returncode == 0 and box.agents() == [process], again.stdout)
            is_started_again_when_killed(box, process)
            reloads(box)
        done = box.init("stop")
        check("stop", done.returncode == 0 and not box.agents(), done.stdout)
        check_soon("nothing of it is left", lambda: not box.everybody())
        check("a stop is an orderly one", "stopping" in box.log(), box.log()[-2000:])
        check("a stop of nothing", box.init("stop").returncode == 0)
        # A boot: what lies in memory is gone, the buffer is not.
        for folder in ("run", "var/run"):
            shutil.rmtree(box.path(folder))
            os.mkdir(box.path(folder))
        waits_for_a_configuration(box)
        stored = box.run("/usr/bin/weir", "status", "--json", "--socket", "/" + agent_socket).stdout
        check("the buffer is the one of before", next((s["sequence_next"] for s in json.loads(stored)["streams"] if s["name"] == "events"), 0) >= 5, stored)
        check("stop", box.init("stop").returncode == 0 and not box.agents())
        if kind == "buildroot":
            is_told_to_stop_once(box)
        if kind == "openwrt":
            asked = box.read("tmp/procd")
            for words in ("respawn 3600 5 0", "user weir", "term_timeout 60", "no_new_privs 1", "stdout 1", "stderr 1", "trigger reload weir"):
                check(f"procd is asked for {words}", words in asked, asked)
    finally:
        for process in box.everybody():
            os.kill(process, signal.SIGKILL)
        subprocess.run(["umount", "-l", box.path("proc")])
    if failures:
        sys.exit(f"{len(failures)} failed; files in {work}; the log ends: {box.log()[-1500:]}")
    shutil.rmtree(work)
    print(f"{kind}: all is well")


main()
