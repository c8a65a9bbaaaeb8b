"""The static binaries of ports/static/build: whole, static, and at work.

Short: x86_64 alone. With WEIR_LONG=1: every target is built; unit and golden tests under qemu-user for armv7, armv6, aarch64 and mips;
a short ledger of killed agents for the ARM ones; armv7 takes MQTT in and delivers to a real Kafka over TLS 1.3 and 1.2.

usage: boards_test.py [TARGET...]     WEIR_LONG=1; targets: only these"""
import concurrent.futures
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = 1800     # seconds for one test under an emulator, on a busy machine
# Target: what runs it (nothing: this machine), what `file` says of it, unit tests, a ledger, a real Kafka.
TARGETS = {
    "x86_64": ([], "x86-64", True, False, False),
    "armv7": (["qemu-arm-static"], "ARM, EABI5", True, True, True),
    "armv6": (["qemu-arm-static", "-cpu", "arm1176"], "ARM, EABI5", True, True, False),
    "aarch64": (["qemu-aarch64-static"], "ARM aarch64", True, True, False),
    "mips": (["qemu-mips-static"], "MSB executable, MIPS", True, False, False),
    "riscv64": (["qemu-riscv64-static"], "UCB RISC-V", False, False, False),
}
# What an emulator of programs cannot do, not what the program cannot: name of the test, why.
NOT_UNDER_QEMU = {}
# Tests of the program from outside that compare bytes: with these, golden vectors are read and written by the board's own binary.
GOLDEN = ("reference", "columns_weir", "columns_command", "command")
LONG = os.environ.get("WEIR_LONG") == "1"
failures = []


def check(what, condition, shown=""):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what}\n{shown}", flush=True)
    return condition


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
    for word in (ROOT, os.path.expanduser("~") + "/"):
        with open(program, "rb") as f:
            check(f"{target} does not say where it was built", word.encode() not in f.read(), word)


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
    began = time.monotonic()
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
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


def script(target, *command):
    """One of the tests of other folders, with the board's binary: its last line."""
    name, code, text, seconds = run_one(command[0], ["python3", os.path.join(ROOT, "tests", command[0]), *command[1:]])
    check(f"{target}: {name}", code == 0, f"{code} after {seconds:.0f} s\n{text[-3000:]}")
    return (text.strip().splitlines() or [""])[-1]


def main():
    os.chdir(ROOT)
    wanted = sys.argv[1:] or (list(TARGETS) if LONG else ["x86_64"])
    packages = ["file"] + (["qemu-user-static"] if wanted != ["x86_64"] else [])
    subprocess.run([os.path.join(ROOT, "ports/static/packages"), *packages], check=True)
    rows = []
    for target in wanted:
        _, _, has_unit, has_ledger, has_kafka = TARGETS[target]
        program, size = build(target, *(["--tests"] if has_unit and LONG else []))
        if not program:
            continue
        look(target, program)
        emulated = wrapper(target, program)
        row = {"target": target, "bytes": size, "unit and golden": "", "ledger": "", "kafka": ""}
        print(f"{target}: {size} bytes", flush=True)
        script(target, "boards/at_work.py", emulated)
        if LONG and has_unit:
            row["unit and golden"] = unit(target, program)
        if LONG and has_ledger:
            row["ledger"] = script(target, "ledger/rotation.py", emulated, "30").removeprefix("ledger ")
        if LONG and has_kafka:
            row["kafka"] = script(target, "boards/kafka.py", emulated)
        print(json.dumps(row), flush=True)
        rows.append(row)
    if LONG and not sys.argv[1:] and os.geteuid() == 0:
        done = subprocess.run([os.path.join(HERE, "package.sh"), "amd64"])
        check("the Debian package", done.returncode == 0)
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]) if rows else "nothing was built")
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")
    if failures:
        sys.exit(f"{len(failures)} failed: " + "; ".join(failures))


main()
