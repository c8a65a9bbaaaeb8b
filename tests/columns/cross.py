#!/usr/bin/env python3
"""The agent's encoder against the decoders of all languages: random schemas and rows, encoded by `weir columns encode`, have to come back equal from
Python, JavaScript and Java. Then the batches are damaged: each decoder has to give rows, the same as the others, or the one error.

usage: cross.py WEIR [--cases N] [--damaged N] [--seed N]      defaults: 300 (10 000 with WEIR_LONG), 3 damaged ones a case, WEIR_SEED or 1"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile

import random_rows

HERE = pathlib.Path(__file__).parent
FILTERS = {"python": [sys.executable, str(HERE / "lines.py")], "javascript": ["node", "--max-old-space-size=1024", str(HERE / "lines.mjs")],
           "java": [str(HERE / "java")]}
BUDGET_DAMAGED = 100_000
MEMORY_MAX = 3 << 30     # of Python; the others have limits of their own
WAIT_S = 3000


def exact(schema, v, named):
    """A row in Avro's JSON encoding as the filters give it: numbers by their bits."""
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, list):
        if v is None:
            return None
        (name, inner), = v.items()
        return {name: exact(next(b for b in schema if random_rows.branch(b) == name), inner, named)}
    kind = schema if isinstance(schema, str) else schema["type"]
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    if kind in ("float", "double"):
        v = float("nan") if v == "NaN" else float(v.replace("Infinity", "inf")) if isinstance(v, str) else v
        return struct.pack(">f" if kind == "float" else ">d", v).hex()
    if kind == "record":
        return {f["name"]: exact(f["type"], v[f["name"]], named) for f in schema["fields"]}
    if kind == "array":
        return [exact(schema["items"], i, named) for i in v]
    if kind == "map":
        return {k: exact(schema["values"], i, named) for k, i in v.items()}
    return v


class Case:
    def __init__(self, seed):
        self.seed = seed
        chance = random.Random(seed)
        self.schema, self.rows = random_rows.make(chance)
        self.sequence = chance.choice([0, 1, 500, 2**40])
        self.text = json.dumps(self.schema, ensure_ascii=chance.random() < 0.5)

    def encode(self, weir, folder):
        lines = "".join(json.dumps(r) + "\n" for r in self.rows)
        place = pathlib.Path(folder, str(self.seed))
        place.write_text(self.text)
        done = subprocess.run([weir, "columns", "encode", str(place), "-", "--sequence", str(self.sequence), "--schema-id", "7"],
                              input=lines.encode(), capture_output=True)
        place.unlink()
        self.record = done.stdout
        self.refused = f"seed {self.seed}: weir columns encode: exit {done.returncode}: {done.stderr.decode()[-500:]}\n{self.text}\n{lines[:1000]}" \
            if done.returncode else None

    def wanted(self):
        return {"schema": 7, "agent": "", "sequences": list(range(self.sequence, self.sequence + len(self.rows))),
                "rows": [exact(self.schema, r, {}) for r in self.rows]}


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


def answers(name, cases):
    """What a decoder makes of all cases. It may not end early, nor think for ever."""
    done = subprocess.run(FILTERS[name], input="".join(json.dumps(c) + "\n" for c in cases), stdout=subprocess.PIPE, text=True, encoding="utf-8",
                          timeout=WAIT_S, preexec_fn=limited if name == "python" else None)
    lines = done.stdout.split("\n")[:-1]
    if done.returncode or len(lines) != len(cases):
        raise SystemExit(f"{name}: exit {done.returncode} at case {len(lines)}: {json.dumps(cases[min(len(lines), len(cases) - 1)])[:3000]}")
    return [json.dumps(json.loads(line)) for line in lines]


def damaged(chance, record, other):
    """Bytes changed, cut, put in, doubled, or taken from another batch."""
    raw = bytearray(record)
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randrange(len(raw)) if raw else 0
        how = chance.randrange(7)
        if how == 0 and raw:
            raw[at] ^= 1 << chance.randrange(8)
        elif how == 1 and raw:
            raw[at] = chance.choice([0, 1, 2, 3, 63, 64, 127, 128, 255, chance.randrange(256)])
        elif how == 2:
            del raw[at:at + chance.choice([1, 1, 2, 9])]
        elif how == 3:
            raw[at:at] = chance.choice([b"\x80", b"\xff" * 9 + b"\x01", b"\xfe\xff\xff\xff\x0f", chance.randbytes(chance.randint(1, 9))])
        elif how == 4:
            raw[at:at] = raw[at:at + chance.randint(1, 20)]
        elif how == 5:
            start = chance.randrange(len(other))
            raw[at:at + chance.randint(0, 20)] = other[start:start + chance.randint(1, 20)]
        elif chance.random() < 0.2:
            del raw[at:]
    return bytes(raw)


def compare_whole(cases, got):
    wrong = []
    for i, case in enumerate(cases):
        right = json.dumps(case.wanted())
        for name in FILTERS:
            if got[name][i] != right:
                wrong.append(f"seed {case.seed}, {name}:\n  schema {case.text[:1500]}\n  record {case.record.hex()[:600]}\n  wanted {right[:1500]}\n"
                             f"  got    {got[name][i][:1500]}")
    return wrong


def quiet(line):
    """Signalling NaNs as quiet ones: not every language keeps that bit of a float."""
    def set_bit(found):
        v, digits = int(found[1], 16), len(found[1])
        exponent, bit = (0x7FF << 52, 1 << 51) if digits == 16 else (0xFF << 23, 1 << 22)
        is_nan = v & exponent == exponent and v & (bit * 2 - 1)
        return f'"{v | bit:0{digits}x}"' if is_nan else found[0]
    return re.sub('"([0-9a-f]{8}|[0-9a-f]{16})"', set_bit, line)


def compare_damaged(sent, got):
    wrong, rows, names = [], 0, 0
    for i, (seed, case) in enumerate(sent):
        results = {name: quiet(got[name][i]) for name in FILTERS}
        errors = {name: json.loads(r).get("error") for name, r in results.items()}
        if any(errors.values()):
            names += len(set(errors.values())) > 1
        else:
            rows += 1
        if any(errors.values()) != all(errors.values()) or not any(errors.values()) and len(set(results.values())) > 1:
            wrong.append(f"seed {seed}, damaged: {json.dumps(case)[:3000]}\n" + "\n".join(f"  {n}: {r[:600]}" for n, r in results.items()))
    return wrong, rows, names


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weir")
    parser.add_argument("--cases", type=int, default=10_000 if os.environ.get("WEIR_LONG") else 300)
    parser.add_argument("--damaged", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("WEIR_SEED", "1")))
    a = parser.parse_args()
    cases = [Case(a.seed * 1_000_000 + i) for i in range(a.cases)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool, tempfile.TemporaryDirectory() as folder:
        list(pool.map(lambda c: c.encode(a.weir, folder), cases))
        refused = [c.refused for c in cases if c.refused]
        cases = [c for c in cases if not c.refused]
        chance = random.Random(a.seed)
        sent = [(c.seed, {"schema": c.text, "record": damaged(chance, c.record, chance.choice(cases).record).hex(), "budget": BUDGET_DAMAGED})
                for c in cases for _ in range(a.damaged)]
        whole = [{"schema": c.text, "record": c.record.hex()} for c in cases]
        got = dict(zip(FILTERS, pool.map(lambda name: answers(name, whole + [case for _, case in sent]), FILTERS)))
    wrong = compare_whole(cases, {n: g[:len(cases)] for n, g in got.items()})
    wrong_damaged, rows, names = compare_damaged(sent, {n: g[len(cases):] for n, g in got.items()})
    print("\n".join((refused[:3] + wrong[:3] + wrong_damaged[:3])))
    print(f"cross seed={a.seed} cases={len(cases)} refused={len(refused)} rows={sum(len(c.rows) for c in cases)} wrong={len(wrong)} damaged={len(sent)} "
          f"damaged_wrong={len(wrong_damaged)} damaged_rows={rows} damaged_names_differ={names}")
    sys.exit(1 if refused or wrong or wrong_damaged else 0)


if __name__ == "__main__":
    main()
