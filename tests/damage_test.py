"""A whole agent whose file is damaged, while it is stopped and while it runs: it collects at once, and what does not arrive is in the gaps, to the event.

Pages with rows are destroyed, so that the state is whole. WEIR_SEED; WEIR_LONG=1: 20 rounds, else 3."""
import glob
import json
import os
import random
import time
from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, write

PAGE = 4096
EVENTS = 4000
MORE = 200
SCHEMA = {"type": "record", "name": "Measured", "fields": [{"name": "n", "type": "long"}, {"name": "body", "type": "string"}]}


def site(folder, uplink):
    os.makedirs(path_of(folder), exist_ok=True)
    c = configuration(free_port())
    c["buffer"] = {"path": path_of(folder, "buffer.db"), "size_max": "32 MiB", "commit_interval": "10 ms"}
    c["streams"] = {"measured": {"schema": write("measured.avsc", json.dumps(SCHEMA))}}
    c["drivers"]["post"]["routes"] = [{"topic": "measured", "stream": "measured"}]
    c["uplinks"] = {"out": uplink}
    return c


def fill(agent, first, count):
    for at in range(first, first + count, 100):
        status, answer = agent.post("/measured", json.dumps([{"n": n, "body": os.urandom(150).hex()} for n in range(at, at + 100)]))
        check("it collects", status == 200 and answer["stored"] == 100, f"{status} {answer}")


def varint(page, at):
    value = 0
    for i in range(9):
        byte = page[at + i]
        if i == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 127
        if byte < 128:
            return value, at + i + 1


def has_rows(page):
    """Is it a leaf of the table of stored events? Their ids begin with the number of the stream."""
    if len(page) < PAGE or page[0] != 13 or page[3:5] == b"\0\0":
        return False
    _, at = varint(page, int.from_bytes(page[8:10], "big"))
    number, _ = varint(page, at)
    return 1 <= number >> 48 <= 256


def destroy(path, chance, bits):
    """Some pages with rows: all of each, or one bit."""
    with open(path, "r+b") as f:
        pages = [i for i in range(os.path.getsize(path) // PAGE) if f.seek(i * PAGE) >= 0 and has_rows(f.read(PAGE))]
        check("there are rows", len(pages) >= 5, str(pages))
        for i in chance.sample(pages, min(len(pages), chance.randint(2, 6))):
            if bits:
                at = i * PAGE + chance.randrange(PAGE)
                f.seek(at)
                byte = f.read(1)[0] ^ 1 << chance.randrange(8)
                f.seek(at)
                f.write(bytes([byte]))
            else:
                f.seek(i * PAGE)
                f.write(chance.randbytes(PAGE))


def arrived(folder, stream):
    events = []
    for path in sorted(glob.glob(path_of(folder, stream, "**", "*.avro"), recursive=True)):
        events += [json.loads(line) for line in run("avro", "cat", path).stdout.splitlines()]
    return events


def gaps(out):
    return [e for e in arrived(out, "weir.events") if e["kind"] in ("gap", "damage") and e["stream"] == "measured"]


def test_round(number, life):
    chance = random.Random(number)
    folder, out = f"{life}-{number}", f"{life}-{number}-out"
    agent = Agent(site(folder, {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}"})).start()
    fill(agent, 0, EVENTS)
    if life == "stopped":
        agent.stop()
    destroy(agent.buffer, chance, number % 2)
    if life == "running":
        fill(agent, EVENTS, MORE)
        run("buffer", "cat", "measured", "--buffer", agent.buffer) # reads it all; what it finds is for the agent to mend
        fill(agent, EVENTS + MORE, MORE)
        agent.stop()
    total = EVENTS + (2 * MORE if life == "running" else 0)
    agent = Agent(site(folder, {"type": "file", "path": path_of(out), "time_max": "1 s", "linger": "0 s"}), "out.json").start()
    fill(agent, total, MORE)
    total += MORE
    # What arrived, and what is told: the file of weir.events may be ended later than the others, and behind a gap that is told
    # the next ones wait for ten minutes, or until the agent stops.
    all_is_there = lambda: len(arrived(out, "measured")) + sum(g["count"] for g in gaps(out)) >= total
    if not wait_until(all_is_there, 15):
        agent.stop()
        agent.start()
        wait_until(all_is_there, 60)
    time.sleep(1)
    got = [e["n"] for e in arrived(out, "measured")]
    told = gaps(out)
    damage = agent.status()["buffer"]["damage"]
    agent.stop()
    lost = set(range(total)) - set(got)
    hulls = [range(g["first"] - 1, g["last"]) for g in told]
    what = f"{folder}: {len(lost)} of {total} lost, {damage}"
    print(what, flush=True)
    check("nothing arrives twice", len(got) == len(set(got)), what)
    check("what is missing lies within the gaps", all(any(n in hull for hull in hulls) for n in lost), f"{what} {sorted(lost)[:3]} {told}")
    check("and is counted, to the event", sum(g["count"] for g in told) == len(lost), f"{what} {told}")
    check("all of them by damage", {g["reason"] for g in told} <= {"damaged"}, str(told))
    check("less than all is lost", len(lost) < total, what)
    return len(lost)


seed = int(os.environ.get("WEIR_SEED", "1"))
lost = 0
for n in range(seed, seed + (20 if os.environ.get("WEIR_LONG") else 3)):
    for how in ("stopped", "running"):
        lost += test_round(n, how)
check("something was lost at all", lost > 0)
finish()
