"""Benchmarks of the layout `columns`: bytes of an event on its way to Kafka, what encoding costs, beside one message an event."""
import collections
import datetime
import json
import math
import os
import re
import subprocess

import buffer
from lib import SETS, Missing, callgrind, callgrind_count, data_lines, say, short

SIZES = (10, 100, 1000, 10000)
TAKEN = {10: 200, 100: 100, 1000: 20}  # batches of a size, evenly spaced over the set; of others one
GOALS = {"button_events": (11.6, 4.3, 2.9, 2.8), "energy_meter": (13.9, 5.55, 4.3, 4.3), "gnss_json": (54.3, 14.5, 9.55, 9.95),
         "pump_rig": (24.5, 15.2, 13.6, 13.3), "syslog": (27, 7.15, 3.2, 2.5), "vehicle_gps": (13.5, 6.5, 5.65, 5.5)}
WHOLE = {"button_events": 1368, "energy_meter": 25486, "gnss_json": 5001, "pump_rig": 17823, "syslog": 7121, "vehicle_gps": 18107}  # lines
MEANS = (0.54, 0.43, 0.37, 0.36)       # of the ratios to the best peer
RAW = {"type": "record", "name": "Raw", "fields": [{"name": "body", "type": "bytes"}]}
RAW_MEANS = (31, 9.3, 5.7)             # bytes an event, of bodies without a schema
KNOWN_MAX, KNOWN_SIZE_MAX = 2048, 16384
PEERS = "one message an event by zstd 12: the smaller of JSON and Avro"
NUMBER = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,14})(?![0-9])")
EPOCH = datetime.datetime(1970, 1, 1)
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$")


# --- from lines to rows of a schema ---

def milliseconds(text):
    """Of a time that prints back the same; None: it is another text."""
    if not STAMP.match(text):
        return None
    try:
        passed = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") - EPOCH
    except ValueError:
        return None
    return (passed.days * 86400 + passed.seconds) * 1000 + (int(text[20:23]) if len(text) > 20 else 0)


class Types:
    """A schema for all events of a set, and its rows in Avro's JSON encoding."""

    def __init__(self):
        self.known = []  # (field or array, its texts in the first tenth)

    def of(self, values, name):
        if isinstance(values[0], dict):
            return self.record(values, name)
        if isinstance(values[0], list):
            items = [item for value in values for item in value]
            return {"type": "array", "items": self.of(items, name + "_item") if items else "long"}
        kinds = {type(value) for value in values}
        if kinds == {str}:
            is_time = all(milliseconds(v) is not None for v in values) and len({len(v) for v in values}) == 1
            return {"type": "long", "logicalType": "timestamp-millis"} if is_time else "string"
        return ["long", "double"] if kinds == {int, float} else {bool: "boolean", int: "long", float: "double"}[kinds.pop()]

    def record(self, values, name):
        names = []
        for value in values:
            at = 0
            for key in value:
                if key not in names:
                    names.insert(at, key)
                at = names.index(key) + 1
        fields = []
        for key in names:
            there = [value[key] for value in values if key in value]
            kind = self.of(there, f"{name}_{key}")
            fields.append({"name": key, "type": kind if len(there) == len(values) else ["null", kind]})
        return {"type": "record", "name": name, "fields": fields}

    def stream(self, events):
        """Several classes of events: what they share, and a union of the classes' records."""
        if "class" not in events[0]:
            return self.record(events, "Event")
        shared = [key for key in events[0] if key in ("ts", "device")]
        classes = collections.defaultdict(list)
        for event in events:
            classes[event["class"]].append({k: v for k, v in event.items() if k not in shared + ["class"]})
        kind = self.record([{key: event[key] for key in shared} for event in events], "Event")
        kind["fields"].append({"name": "body", "type": [self.record(some, name) for name, some in classes.items()]})
        return kind


def name_of(kind):
    return kind if isinstance(kind, str) else kind.get("name", kind["type"])


def value_of(kind, value):
    """A value in Avro's JSON encoding."""
    if isinstance(kind, list):
        if value is None:
            return None
        branch = kind[1] if kind[0] == "null" else kind[0] if isinstance(value, int) else kind[1]
        return {name_of(branch): value_of(branch, value)}
    if isinstance(kind, str):
        return value
    if kind["type"] == "array":
        return [value_of(kind["items"], item) for item in value]
    return milliseconds(value) if kind["type"] == "long" else row_of(kind, value)


def row_of(kind, event):
    row = {}
    for field in kind["fields"]:
        if field["name"] == "body" and "class" in event:
            branch = next(b for b in field["type"] if b["name"] == event["class"])
            row["body"] = {branch["name"]: row_of(branch, event)}
        else:
            row[field["name"]] = value_of(field["type"], event.get(field["name"]))
    return row


def learn(kind, values, around):
    """Lists what texts were seen twice or more, most frequent first; those that differ in numbers as templates."""
    if isinstance(kind, list):
        for branch in kind:
            learn(branch, [v[name_of(branch)] for v in values if v is not None and name_of(branch) in v], around)
    elif kind == "string" and values and around is not None:
        around["weir.values"] = []
        left = KNOWN_SIZE_MAX
        for text, uses in collections.Counter(as_templates(values)).most_common(KNOWN_MAX):
            left -= len(text.encode())
            if uses < 2 or left < 0:
                break
            around["weir.values"].append(text)
    elif isinstance(kind, dict) and kind["type"] == "array":
        learn(kind["items"], [item for value in values for item in value], kind)
    elif isinstance(kind, dict) and kind["type"] == "record":
        for field in kind["fields"]:
            learn(field["type"], [value[field["name"]] for value in values], field)


def as_templates(texts):
    """With U+0001 for each number, where there are many texts and that makes them shorter."""
    different = list(dict.fromkeys(texts))
    size = sum(map(len, different)) + len(different)
    if len(different) < 64 or size < 8 * len(different):
        return texts
    numbers = sum(len(NUMBER.findall(text)) for text in different)
    templates = {NUMBER.sub("\1", text) for text in different}
    shorter = sum(map(len, templates)) + len(templates) + 2 * numbers + 4 < 0.8 * size
    return [NUMBER.sub("\1", text) for text in texts] if shorter else texts


def prepare(options, name, work, most=None):
    """Files of schema, rows and lines of a set, and how many lines; None: it is absent. The first tenth is what the schema learned from."""
    lines = (data_lines(options.data, name) or [])[:most]
    if not lines:
        return None
    events = [json.loads(line) for line in lines]
    schema = Types().stream(events)
    rows = [row_of(schema, event) for event in events]
    learn(schema, rows[:len(rows) // 10], None)
    paths = [os.path.join(work, f"{name}.{end}") for end in ("avsc", "rows", "lines")]
    with open(paths[0], "w") as f:
        json.dump(schema, f)
    with open(paths[1], "w") as f:
        f.writelines(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    with open(paths[2], "wb") as f:
        f.writelines(lines)
    return paths, len(lines)


def prepare_raw(paths, work, name):
    """The same of a stream without a schema: each line is a body."""
    raw = [os.path.join(work, f"{name}.raw.{end}") for end in ("avsc", "rows")]
    with open(raw[0], "w") as f:
        json.dump(RAW, f)
    with open(paths[2], "rb") as lines, open(raw[1], "w") as f:
        f.writelines(json.dumps({"body": line.rstrip(b"\n").decode("latin-1")}) + "\n" for line in lines)
    return [*raw, paths[2]]


# --- bytes ---

def batches(lines, size):
    """(first, count) of those that are measured, from behind the first tenth."""
    learned = lines // 10
    count = min(size, lines - learned)
    starts = range(learned, lines - count + 1, count)
    taken = min(TAKEN.get(size, 1), len(starts))
    return [(starts[i * len(starts) // taken], count) for i in range(taken)]


def measure(program, paths, cuts):
    """Sums over the batches: JSON, JSON by zstd 12, Avro by zstd 12, row body, columns, sent, messages; for an event."""
    text = "".join(f"{first} {count}\n" for first, count in cuts)
    done = subprocess.run([program, "sizes", *paths], input=text, capture_output=True, text=True)
    rows = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    if done.returncode or len(rows) != len(cuts):
        raise Missing(f"columns_bench: {done.stderr}")
    events = sum(row[1] for row in rows)
    return [sum(row[i] for row in rows) / events for i in range(2, 9)]


def bench_bytes(options, kafka, work):
    """Bytes of an event in the records of a RecordBatch, registry header included; each batch is decoded and compared."""
    buffer.build(options, "columns_bench")
    program = buffer.program(options, "columns_bench")
    ratios = collections.defaultdict(list)
    for name in SETS:
        prepared = prepare(options, name, work)
        for size, goal in zip(SIZES, GOALS[name]):
            if not prepared:
                say("bytes", f"{name}: {size} events", None, "bytes per event", PEERS, absent=f"{name} is not in {options.data}")
                continue
            paths, lines = prepared
            cuts = batches(lines, size)
            plain, json12, avro12, rows, columns, sent, messages = measure(program, paths, cuts)
            peer = min(json12, avro12)
            whole = lines == WHOLE.get(name, lines)
            goal = goal if whole else None
            ratios[size].append(sent / peer)
            say("bytes", f"{name}: {cuts[0][1]} events", sent, "bytes per event", PEERS, peer, goal=goal and f"<= {goal}",
                met=goal and sent <= goal, json=short(plain), json_zstd12=short(json12), avro_zstd12=short(avro12), row_body=short(rows), columns=short(columns),
                **({} if whole else {"note": f"the first {lines} of {WHOLE[name]} events"}))
    for size, goal in zip(SIZES, MEANS):
        mean = math.exp(sum(map(math.log, ratios[size])) / len(ratios[size])) if ratios[size] else None
        whole = len(ratios[size]) == len(SETS)
        say("bytes", f"geometric mean at {size} events", mean, "of the best peer", None, goal=f"<= {goal}" if whole else None,
            met=mean <= goal if whole else None, sets=len(ratios[size]))
    bytes_without_schema(options, program, work)


def bytes_without_schema(options, program, work):
    """Bodies of weir.Raw: JSON whose shape the layout has to find."""
    there = {name: prepared for name in SETS if (prepared := prepare(options, name, work))}
    for size, goal in zip(SIZES, RAW_MEANS):
        sent = []
        for name, (paths, lines) in there.items():
            _, json12, _, _, _, bytes_, _ = measure(program, prepare_raw(paths, work, name), batches(lines, size))
            sent.append(bytes_)
            say("bytes", f"{name}: {size} events without a schema", bytes_, "bytes per event", "one message an event by zstd 12: JSON", json12)
        mean = math.exp(sum(map(math.log, sent)) / len(sent)) if sent else None
        whole = len(sent) == len(SETS)
        say("bytes", f"geometric mean at {size} events without a schema", mean, "bytes per event", None, goal=f"<= {goal}" if whole else None,
            met=mean <= goal if whole else None, sets=len(sent))


# --- what encoding costs ---

COUNTED = ((100, 5000, False), (1000, 2000, False), (100, 10000, True))  # events of a batch, instructions allowed, up to the bytes that leave
MEMORY_EVENTS, MEMORY_KIB = 2000, 256


def counted(program, paths, size, times, more):
    done = subprocess.run([program, "count", *paths[:2], str(size), str(times), *more], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def instructions(program, paths, size, more, work):
    """Of an event: the difference of one and three times over the set is without starting."""
    counts, events, out = [], [], os.path.join(work, "callgrind.out")
    for times in (1, 3):
        done = subprocess.run([*callgrind(out), program, "count", *paths[:2], str(size), str(times), *more], capture_output=True, text=True, check=True)
        events.append(int(done.stdout.split()[0]))
        counts.append(callgrind_count(out))
    return (counts[1] - counts[0]) / (events[1] - events[0])


def bench_columns(options, kafka, work):
    """Instructions and memory of encoding; what the goals are for are events of ten fields, as energy_meter has them."""
    buffer.build(options, "columns_bench")
    program = buffer.program(options, "columns_bench")
    for name in SETS:
        prepared = prepare(options, name, work, 6000)
        if not prepared:
            say("columns", name, None, "instructions per event", absent=f"{name} is not in {options.data}")
            continue
        paths, lines = prepared
        has_goal = name == "energy_meter"
        for size, goal, with_zstd in COUNTED:
            if size > lines:
                continue
            case = f"{name}: {size} events" + (" with zstd 9" if with_zstd else "")
            try:
                value = instructions(program, paths, size, ["zstd"] if with_zstd else [], work)
            except subprocess.CalledProcessError:
                say("columns", case, None, "instructions per event", absent="valgrind does not run columns_bench: a build with sanitizers can't be counted")
                continue
            say("columns", case, value, "instructions per event", goal=f"<= {goal}" if has_goal else None, met=value <= goal if has_goal else None)
        if lines >= MEMORY_EVENTS:
            kib = counted(program, paths, MEMORY_EVENTS, 1, [])[1] / 1024
            say("columns", f"{name}: memory of a batch of {MEMORY_EVENTS} events, without zstd", kib, "KiB", goal=f"<= {MEMORY_KIB}" if has_goal else None,
                met=kib <= MEMORY_KIB if has_goal else None)
