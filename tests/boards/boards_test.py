"""The static binaries of ports/static/build: whole, static, and at work.

Short: x86_64 alone. With WEIR_LONG=1: every target is built; unit and golden tests under qemu-user for all but x86_64, which needs none;
for the ARM ones a ledger against a real Kafka, which the agent under qemu reaches in spite of kills; armv7 takes MQTT in and delivers to a Kafka
over TLS 1.3 and 1.2, and over HTTP to the stand-ins of the clouds' services; the Debian packages.

usage: boards_test.py [TARGET...] [PART...]     WEIR_LONG=1; targets: only these; parts: only these of `unit ledger kafka clouds`"""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from checks import check, failures      # noqa: E402

PATIENCE = 1800     # seconds for one test under an emulator, on a busy machine
KILLS = 8           # in the ledger of one target
# Target: what runs it (nothing: this machine), what `file` says of it, what else is tested.
TARGETS = {
    "x86_64": ([], "x86-64", ["unit"]),
    "armv7": (["qemu-arm-static"], "ARM, EABI5", ["unit", "ledger", "kafka", "clouds"]),
    "armv6": (["qemu-arm-static", "-cpu", "arm1176"], "ARM, EABI5", ["unit", "ledger"]),
    "aarch64": (["qemu-aarch64-static"], "ARM aarch64", ["unit", "ledger"]),
    "mips": (["qemu-mips-static"], "MSB executable, MIPS", ["unit"]),
    "riscv64": (["qemu-riscv64-static"], "UCB RISC-V", ["unit"]),
}
PARTS = ("unit", "ledger", "kafka", "clouds")
# What an emulator of programs cannot do, not what the program cannot: name of the test, why.
NOT_UNDER_QEMU = {}
# Tests of the program from outside that compare bytes: with these, golden vectors are read and written by the board's own binary.
GOLDEN = ("reference", "columns_weir", "columns_command", "command")
LONG = os.environ.get("WEIR_LONG") == "1"


def build(target, *words):
    done = subprocess.run([os.path.join(ROOT, "ports/static/build"), target, *words], stdout=subprocess.PIPE, text=True)
    if not check(f"{target} is built", done.returncode == 0):
        return None, 0
    path, size = done.stdout.split()
    return path, int(size)


def wrapper(target, program):
    """A program for tests that start one: the binary, or what runs it in an emulator."""
    emulator = TARGETS[target][0]
    if not emulator:
        return program
    path = program + "-emulated"
    with open(path, "w") as f:
        f.write(f'#!/bin/sh\nexec {" ".join(emulator)} {program} "$@"\n')
    os.chmod(path, 0o755)
    return path


def look(target, program):
    kind = subprocess.run(["file", "-b", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    check(f"{target} is a static {TARGETS[target][1]}", TARGETS[target][1] in kind and "statically linked" in kind and "not stripped" not in kind, kind)
    with open(program, "rb") as f:
        bytes_of = f.read()
    home = os.path.expanduser("~").rstrip("/")              # nothing, where it is the root: that is in every program
    for word in (ROOT, *([home + "/"] if home else [])):
        check(f"{target} does not say where it was built", word.encode() not in bytes_of, word)


def tests_of(target, tree, program):
    """Names and commands: unit tests for the emulator, golden tests with the wrapped program."""
    listed = subprocess.run(["ctest", "--test-dir", tree, "--show-only=json-v1"], stdout=subprocess.PIPE, check=True).stdout
    for test in json.loads(listed)["tests"]:
        labels = next((p["value"] for p in test["properties"] if p["name"] == "LABELS"), [])
        command, name = test.get("command", [""]), test["name"]
        if "unit" in labels and command[0].startswith(os.path.join(tree, "tests") + os.sep) and name not in NOT_UNDER_QEMU:
            yield name, [*TARGETS[target][0], *command]
        elif name in GOLDEN:
            yield name, [word.replace(os.path.join(tree, "weir"), program) for word in command]


def run_one(name, command):
    """Whatever it is, in its short form: an emulator makes it long enough."""
    began = time.monotonic()
    environment = {key: value for key, value in os.environ.items() if key != "WEIR_LONG"}
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        code, text = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        code, text = "too late", (late.stdout or b"").decode(errors="replace")
    return name, code, text, time.monotonic() - began


def unit(target, program):
    tree = os.path.join(os.path.dirname(program), "tree")
    tests = list(tests_of(target, tree, wrapper(target, program)))
    check(f"{target} has tests", len(tests) > 100, str(len(tests)))
    passed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, code, text, seconds in pool.map(lambda test: run_one(*test), tests):
            passed += check(f"{target}: {name}", code == 0, f"{code} after {seconds:.0f} s\n{text[-3000:]}")
    return f"{passed}/{len(tests)}"


def script(target, command, *words, python="python3"):
    """One of the tests of other folders, with the board's binary: its last line."""
    name, code, text, seconds = run_one(command, [python, os.path.join(ROOT, "tests", command), *words])
    check(f"{target}: {name}", code == 0, f"{code} after {seconds:.0f} s\n{text[-3000:]}")
    return (text.strip().splitlines() or [""])[-1]


def clouds(target, program):
    """Each service over HTTP that an uplink speaks to, by its stand-in; what is said of it is said by the last line of each."""
    script(target, "ledger/clouds.py", program)
    script(target, "kinesis/ledger.py", program)
    for store in ("gcs", "azure_blob", "http"):
        script(target, "ledger/stores.py", program, store)
    return "all"


def one(target, parts):
    """Builds a target and tests it: its row of the table, or None."""
    parts = [part for part in TARGETS[target][2] if LONG and part in parts]
    program, size = build(target, *(["--tests"] if "unit" in parts else []))
    if not program:
        return None
    look(target, program)
    emulated = wrapper(target, program)
    row = {"target": target, "bytes": size, **{part: "" for part in PARTS}}
    script(target, "boards/at_work.py", emulated)
    if "unit" in parts:
        row["unit"] = unit(target, program)
    if "ledger" in parts:
        python = subprocess.run([os.path.join(ROOT, "tests/services/readers.sh"), "kafka"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        row["ledger"] = script(target, "ledger/ledger.py", "--weir", emulated, "--kills", str(KILLS), python=python).removeprefix("ledger ")
    if "kafka" in parts:
        row["kafka"] = script(target, "boards/kafka.py", emulated)
    if "clouds" in parts:
        row["clouds"] = clouds(target, emulated)
    print(json.dumps(row), flush=True)
    return row


def packages():
    """Needs root: a Debian of its own."""
    for architecture in ("amd64", "arm64", "armhf"):
        done = subprocess.run([os.path.join(HERE, "package.sh"), architecture])
        check(f"the Debian package for {architecture}", done.returncode == 0)


def main():
    os.chdir(ROOT)
    words = sys.argv[1:]
    wanted = [word for word in words if word in TARGETS] or (list(TARGETS) if LONG else ["x86_64"])
    parts = [word for word in words if word in PARTS] or PARTS
    unknown = [word for word in words if word not in TARGETS and word not in PARTS]
    if unknown:
        sys.exit(f"neither a target nor a part: {' '.join(unknown)}")
    needed = ["file"] + (["qemu-user-static"] if wanted != ["x86_64"] else [])
    subprocess.run([os.path.join(ROOT, "ports/static/packages"), *needed], check=True)
    rows = [row for row in (one(target, parts) for target in wanted) if row]
    if LONG and not words and os.geteuid() == 0:
        packages()
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]) if rows else "nothing was built")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    if failures:
        sys.exit(f"{len(failures)} failed: " + "; ".join(failures))


main()
