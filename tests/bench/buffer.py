"""Benchmarks of the buffer: each figure that it has to hold, and what reaches the disk beside the disk buffers of rsyslog and syslog-ng."""
import contextlib
import glob
import os
import re
import shutil
import subprocess
import tempfile
import time

from lib import ROOT, Agent, Missing, finish, lines_file, need, say, schema_of, short, tail

MIB = 1 << 20
PROTOTYPE = "the prototype"
RATES = 10, 100          # events a second
DISK_MIB = 128
SETTLE_S = 6             # the longest interval between commits, and then some
SYSLOG_NG = os.path.join(ROOT, "build", "services", "syslog-ng")
SYSLOG_NG_NEEDS = "libglib2.0-0 libivykis0 libjson-c5 libnet1 libpcre3 libwrap0".split()


def held(case, value, unit, baseline_value, least_or_most, bound, baseline=PROTOTYPE, **more):
    """A figure and its target, "<=" or ">="."""
    met = value <= bound if least_or_most == "<=" else value >= bound
    say("buffer", case, value, unit, baseline, baseline_value, goal=f"{least_or_most} {bound}", met=met, **more)


# --- buffer_bench ---

def build(options, *targets):
    directory = os.path.dirname(options.weir)
    if os.path.exists(os.path.join(directory, "CMakeCache.txt")) and not options.no_install:
        subprocess.run(["cmake", "--build", directory, "--target", *targets], stdout=subprocess.DEVNULL) # or it is said below


def program(options, name):
    path = os.path.join(os.path.dirname(options.weir), "tests", name)
    if not os.path.exists(path):
        raise Missing(f"{path} is not built: cmake --build {os.path.dirname(options.weir)} --target {name}")
    return path


def measured(options, mode, directory, amount):
    """What buffer_bench says of a new folder, or of one that is there."""
    os.makedirs(directory, exist_ok=True)
    done = subprocess.run([program(options, "buffer_bench"), mode, directory, str(amount)], capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"buffer_bench {mode}: {done.stderr.strip() or done.returncode}")
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def memory_folder(work, size):
    """A folder on a disk in memory, if there is one with that much room."""
    there = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > size
    return tempfile.TemporaryDirectory(prefix="weir-bench.", dir="/dev/shm" if there else work)


def once(options, mode, work, amount):
    with tempfile.TemporaryDirectory(dir=work) as directory:
        return measured(options, mode, directory, amount)


def counts(options, work):
    """What is written, and how much room it takes: exact, on whatever disk."""
    n = once(options, "wear", work, max(options.events // 50, 100))
    for link, blocks, small, large in ("down", 2.44, 284, 3603), ("up", 2.33, 242, 3534):
        held(f"a commit of 10 events, link {link}", n[f"blocks_1s_{link}"], "blocks", blocks, "<=", 2.6)
        held(f"10 events/s, a commit each 5 s, link {link}", n[f"bytes_5s_{link}"], "bytes/event", small, "<=", 300)
        held(f"10 events/s, a commit each 250 ms, link {link}", n[f"bytes_250ms_{link}"], "bytes/event", large, "<=", 3900)
    held("checkpoints included, at most 50 events a commit", max(value for name, value in n.items() if name.startswith("syncs")), "syncs/commit",
         1.034, "<=", 1.04)
    n = once(options, "full", work, max(options.events // 100, 200))
    size_max = int(n["size_max"])
    held("database and log, the most at any moment", int(n["size_high"]), "bytes", size_max, "<=", size_max, dropped=int(n["dropped"]))
    held("log, the most ever written of it", n["wal_high"] / MIB, "MiB", 1.05, "<=", 2)
    count = 5 * options.events
    n = once(options, "million", work, count)
    if count >= 1000000: # of few events, the tail is the most
        held(f"{count} events of 40 bytes on disk", n["disk"] / MIB, "MiB", 12, "<=", 16)
    held(f"anonymous memory with {count} events", n["memory"] / MIB, "MiB", 1.3, "<=", 2)


def speed(options, work):
    """On a disk in memory, where nothing waits, by the time on a processor: other programs do not count."""
    n = once(options, "speed", work, max(options.events // 100, 200))
    held("CPU of a commit of 10 events", n["cpu_us_10"], "us", 13, "<=", 40, wall=short(n["wall_us_10"]))
    held("CPU of a commit of 50 events", n["cpu_us_50"], "us", 26, "<=", 80, wall=short(n["wall_us_50"]))
    held("append, 10 events of 200 bytes a commit, disk in memory, by CPU", 1e7 / n["cpu_us_append"], "events/s", 486000, ">=", 300000,
         wall=short(1e7 / n["wall_us_append"]))
    held("read and acknowledged, sealed, events of 200 bytes, by CPU", n["drain_cpu"], "events/s", 1300000, ">=", 1000000,
         wall=short(n["drain_wall"]))
    if n["drain_left"]:
        raise Missing(f"{n['drain_left']:.0f} events were not read")


def salvage(options, work):
    if not os.path.exists(os.path.join(ROOT, "buffer", "salvage.c")):
        say("buffer", "salvaged, 16 of 764 pages bad", None, "percent of the events", PROTOTYPE, 95.97, goal=">= 95",
            absent="this buffer leaves a damaged file as it is")
        return
    n = once(options, "salvage", work, 16)
    held(f"salvaged, 16 of {n['pages']:.0f} pages bad", n["salvaged_median"], "percent of the events", 95.97, ">=", 95, least=short(n["salvaged_least"]))


def kills(options, work):
    n = once(options, "kill", work, options.kills)
    held(f"lost or wrong after {options.kills} times kill -9", int(n["kill_lost"] + n["kill_wrong"]), "events", 0, "<=", 0,
         events=int(n["kill_events"]))


def cuts(options, work):
    """The test of power cuts, which prints what it has found."""
    done = subprocess.run([program(options, "buffer_power")], capture_output=True, text=True, cwd=ROOT, env={**os.environ, "WEIR_CUTS": str(options.cuts)})
    found = re.findall(r"^power cuts=(\d+).* lost=(\d+) twice=(\d+)(.*)$", done.stdout, re.M)
    if not found:
        raise Missing("buffer_power says nothing of power cuts")
    for count, lost, twice, how in found:
        held(f"lost or twice after {count} power cuts{how}", int(lost) + int(twice), "events", 0, "<=", 0)


# --- real disks ---

class Disk:
    """An ext4 of its own on a loop device."""

    def __init__(self, work, name, mib=DISK_MIB):
        if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
            raise Missing("no disk of its own: needs root and loop devices")
        self.path, self.image = os.path.join(work, name), os.path.join(work, name + ".image")
        os.mkdir(self.path)
        with open(self.image, "wb") as f:
            f.truncate(mib * MIB)
        # All tables are written now, not by the kernel while something else is measured.
        subprocess.run([need("mkfs.ext4", "e2fsprogs"), "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image], check=True)
        self.mount()

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop,noatime,commit=60", self.image, self.path], capture_output=True, text=True)
        if done.returncode:
            raise Missing(f"no disk of its own: {done.stderr.strip()}")
        device = subprocess.run(["findmnt", "-n", "-o", "SOURCE", self.path], capture_output=True, text=True, check=True).stdout.strip()
        self.stat = f"/sys/block/{os.path.basename(device)}/stat"

    def written(self):
        """Bytes that the device was given to write, and flushes, when nothing is left to write."""
        subprocess.run(["sync", "-f", self.path], check=True)
        with open(self.stat) as f:
            numbers = [int(word) for word in f.read().split()]
        return numbers[6] * 512, numbers[15]

    def cool(self):
        """Nothing of it is in the kernel's memory any more."""
        self.unmount()
        with open(self.image, "rb") as f:
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.mount()

    def unmount(self):
        for _ in range(50): # who was killed may hold it a moment longer
            if subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", self.path])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unmount()
        os.remove(self.image)
        os.rmdir(self.path)


def on_disk(options, work):
    bare = "two blocks overwritten and synced, in turns with the commits"
    with Disk(work, "commit") as disk:
        n = once(options, "commit", disk.path, max(options.events // 100, 200))
        for case, name, unit, scale, prototype, least_or_most, bound in (
                ("append, 10 events of 200 bytes a commit, ext4", "per_second", "events/s", 1, 37500, ">=", 20000),
                ("commit on ext4, p50", "p50_us", "ms", 1000, 0.25, "<=", 1), ("commit on ext4, p99", "p99_us", "ms", 1000, 0.8, "<=", 10)):
            held(case, n[f"commit_{name}"] / scale, unit, n[f"bare_{name}"] / scale, least_or_most, bound, baseline=bare, prototype_value=prototype)


def ready(options, work):
    """Filled, ended as by a power cut with a log nearly full, and opened with nothing of it in memory."""
    with Disk(work, "ready", 2 * options.mib + DISK_MIB) as disk:
        directory = os.path.join(disk.path, "d")
        with memory_folder(work, 2 * options.mib * MIB) as memory: # there no commit waits for the disk
            filled = measured(options, "fill", memory, options.mib)
            shutil.copytree(memory, directory)
        disk.cool()
        n = measured(options, "open", directory, 1)
        held(f"ready with {options.mib} MiB and a log of {filled['log_bytes'] / MIB:.2f} MiB, nothing in the cache", n["ready_us"] / 1000, "ms", 16,
             "<=", 50, syncs=int(n["syncs"]))


# --- beside others ---

RSYSLOG = '''global(workDirectory="{dir}")
module(load="imfile")
template(name="line" type="string" string="%msg%\\n")
input(type="imfile" File="{lines}" Tag="x" ruleset="out")
ruleset(name="out") {{ action(type="omfwd" target="127.0.0.1" port="1" protocol="tcp" template="line" action.resumeRetryCount="-1"
  queue.type="LinkedList" queue.filename="q" queue.size="1000" queue.highWatermark="4" queue.lowWatermark="2" {more}) }}
'''
SYSLOG_NG_CONF = '''@version: {version}
options {{ stats-freq(0); }};
source lines {{ file("{lines}" follow-freq(0.1) flags(no-parse)); }};
destination out {{ network("127.0.0.1" port(1) transport("tcp") template("$MSG\\n")
  disk-buffer(reliable(yes) mem-buf-size(1048576) disk-buf-size(67108864) dir("{dir}"))); }};
log {{ source(lines); destination(out); }};
'''


def syslog_ng(options):
    """The program, and how to start it. Debian's package can't be installed beside rsyslog's: it is unpacked."""
    path = os.path.join(SYSLOG_NG, "usr", "sbin", "syslog-ng")
    if not os.path.exists(path) and not options.no_install:
        shutil.rmtree(SYSLOG_NG, ignore_errors=True)
        with tempfile.TemporaryDirectory() as packages:
            get = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "syslog-ng-core"]
            subprocess.run(get, cwd=packages, stdout=subprocess.DEVNULL)
            for package in glob.glob(os.path.join(packages, "*.deb")):
                subprocess.run(["dpkg", "-x", package, SYSLOG_NG])
    libraries = os.path.join(SYSLOG_NG, "usr", "lib", "syslog-ng")
    modules = next(iter(glob.glob(os.path.join(libraries, "*", "libdisk-buffer.so"))), None)
    if not os.path.exists(path) or not modules:
        raise Missing("syslog-ng is not there: its package could not be had (apt-get download syslog-ng-core)")
    modules = os.path.dirname(modules)
    return path, modules, {**os.environ, "LD_LIBRARY_PATH": libraries}


def start_weir(options, work, disk, lines, interval):
    agent = Agent(options, work, tail(lines), schema=schema_of("energy_meter"))
    agent.config["agent"]["socket"] = os.path.join(work, "weir.sock")
    agent.config["buffer"].update(path=os.path.join(disk.path, "buffer.db"), size_max="64 MiB", commit_interval=interval)
    agent.start()
    agent.wait()
    return agent.process


def config_of(work, text):
    os.mkdir(work)
    path = os.path.join(work, "conf")
    with open(path, "w") as f:
        f.write(text)
    return path


def start_rsyslog(options, work, disk, lines, more):
    config = config_of(work, RSYSLOG.format(dir=disk.path, lines=lines, more=more))
    return subprocess.Popen([need("rsyslogd", "rsyslog"), "-n", "-f", config, "-i", os.path.join(work, "pid")], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)


def start_syslog_ng(options, work, disk, lines, more):
    path, modules, environment = syslog_ng(options)
    config = config_of(work, SYSLOG_NG_CONF.format(dir=disk.path, lines=lines, version=os.path.basename(modules)))
    return subprocess.Popen([path, "-F", f"--module-path={modules}", "-f", config, "-R", os.path.join(disk.path, "persist"), "-c", os.path.join(work, "ctl"),
                             "-p", os.path.join(work, "pid")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


SYNCED = 'queue.syncQueueFiles="on" queue.checkpointInterval="1"'
SIDES = (("weir, a commit each 5 s", start_weir, "5 s"), ("weir, a commit each 250 ms", start_weir, "250 ms"),
         ("rsyslog, disk-assisted queue, never synced", start_rsyslog, ""), ("rsyslog, disk-assisted queue, each event synced", start_rsyslog, SYNCED),
         ("syslog-ng, reliable disk buffer, never synced", start_syslog_ng, ""))


def kept(directory):
    """Time stamps of the data set that are in the files: each event has its own."""
    found = set()
    for path in glob.glob(os.path.join(directory, "*")):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                found |= set(re.findall(rb'"ts":"[^"]*"', f.read()))
    return len(found)


class Side:
    """A program with a disk of its own."""

    def __init__(self, options, work, index, lines):
        self.name, start, more = SIDES[index]
        self.is_ours = start is start_weir
        self.disk = Disk(work, f"disk{index}")
        self.process = None
        try:
            self.process = start(options, os.path.join(work, f"side{index}"), self.disk, lines, more)
        except Missing:
            self.close()
            raise

    def close(self):
        if self.process:
            self.process.kill()
            finish(self.process)
        self.disk.__exit__()

    def note(self, count):
        """What it has written since the start; and it must really have kept the events there."""
        written, flushes = self.disk.written()
        self.bytes, self.flushes = written - self.before[0], flushes - self.before[1]
        if self.process.poll() is not None:
            raise Missing(f"{self.name}: it has ended")
        there = count if self.is_ours else kept(self.disk.path)
        if there < count - 10:
            raise Missing(f"{self.name}: only {there} of {count} events are in its files")


def feed(path, lines, rate):
    started = time.monotonic()
    with open(path, "ab", buffering=0) as f:
        for sent, line in enumerate(lines):
            f.write(line)
            time.sleep(max(0, started + (sent + 1) / rate - time.monotonic()))


def beside(options, work, rate):
    """The destination is dead; everybody reads the same file, at the true rate: the kernel's own intervals can't be made shorter."""
    work = os.path.join(work, str(rate))
    os.mkdir(work)
    growing, problems = os.path.join(work, "growing.ndjson"), []
    count = rate * options.seconds
    source = open(lines_file(options, os.path.join(work, "lines"), count), "rb").readlines()
    distinct = len(set(re.findall(rb'"ts":"[^"]*"', b"".join(source))))
    open(growing, "w").close()
    with contextlib.ExitStack() as stack:
        sides = []
        for index in range(len(SIDES)):
            try:
                sides.append(Side(options, work, index, growing))
                stack.callback(sides[-1].close)
            except Missing as e:
                problems.append(str(e))
        time.sleep(SETTLE_S)
        for side in sides:
            side.before = side.disk.written()
        feed(growing, source, rate)
        time.sleep(SETTLE_S)
        for side in list(sides):
            try:
                side.note(distinct)
            except Missing as e:
                sides.remove(side)
                problems.append(str(e))
    for ours in (side for side in sides if side.is_ours):
        for theirs in (side for side in sides if not side.is_ours):
            say("buffer", f"{ours.name}, {rate} events/s, link down: written to the block device", ours.bytes / count, "bytes/event", theirs.name,
                theirs.bytes / count, flushes=ours.flushes, baseline_flushes=theirs.flushes, seconds=options.seconds)
    if problems:
        raise Missing("; ".join(sorted(set(problems))))


def bench_buffer(options, kafka, work):
    """All figures; what can't be measured does not keep the rest from it."""
    problems = []
    build(options, "buffer_bench", "buffer_power")
    in_memory = [counts, speed, salvage, kills]
    on_disks = [on_disk, ready] + [lambda o, w, rate=rate: beside(o, w, rate) for rate in RATES] + [cuts] * (options.cuts > 0)
    with memory_folder(work, 64 * MIB) as memory:
        for part in in_memory + on_disks:
            try:
                part(options, memory if part in in_memory else work)
            except (Missing, OSError, subprocess.SubprocessError, KeyError, ValueError) as e:
                problems.append(str(e) if isinstance(e, Missing) else repr(e))
    if problems:
        raise Missing("; ".join(dict.fromkeys(problems)))
