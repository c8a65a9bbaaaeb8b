"""What does not fit into 32 bits, with the static binaries: dates past 19 January 2038, and files of more than 4 GiB. Short: that of this machine.
With WEIR_LONG=1: armv7 under an emulator as well.

usage: limits_test.py"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PATIENCE = "600"        # seconds: an emulator, and a database of 4 GiB that is read through, on a busy machine
LONG = os.environ.get("WEIR_LONG") == "1"
failed = []


def build(target):
    done = subprocess.run([os.path.join(ROOT, "ports/static/build"), target], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[0]


def script(target, name, *words):
    print(f"{target}: {name}", flush=True)
    if subprocess.run(["python3", os.path.join(HERE, name), *words], env={**os.environ, "WEIR_PATIENCE": PATIENCE}).returncode:
        failed.append(f"{target}: {name}")


def emulated(program, emulator):
    path = program + "-emulated"
    with open(path + ".new", "w") as f:
        f.write(f'#!/bin/sh\nexec {emulator} {program} "$@"\n')
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)
    return path


subprocess.run([os.path.join(ROOT, "ports/static/packages"), "qemu-user", "libfaketime", "openssl", *(["qemu-user-static"] if LONG else [])], check=True)
program = build("x86_64")
script("x86_64", "dates.py", program, "qemu-x86_64")
script("x86_64", "big_files.py", program)
if LONG:
    program = build("armv7")
    script("armv7", "dates.py", program, "qemu-arm")
    script("armv7", "big_files.py", emulated(program, "qemu-arm-static"))
if failed:
    sys.exit("failed: " + "; ".join(failed))
