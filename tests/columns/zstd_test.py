#!/usr/bin/env python3
"""The JavaScript package unpacks what libzstd packs, at many levels, by trained dictionaries and without; of damaged frames it makes what libzstd makes, or its one error.

usage: zstd_test.py     with the python of tests/services/readers.sh arrow; WEIR_SEED"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import zstandard

HERE = pathlib.Path(__file__).parent
FRAMES = 400
TEXTS = [p.read_bytes() for p in sorted((HERE.parent / "data").glob("*.ndjson"))]


def content(c):
    text = c.choice(TEXTS)
    start = c.randrange(len(text))
    return c.choice([
        lambda: c.randbytes(c.randrange(3000)), lambda: bytes(c.choice(b"ab\0") for _ in range(c.randrange(5000))),
        lambda: c.randbytes(1) * c.randrange(300_000), lambda: text[start:start + c.randrange(300_000)], lambda: text[start:start + c.randrange(600)],
        lambda: b"".join(c.choice([c.randbytes(5), b"hello world ", bytes([c.randrange(4)]) * c.randrange(50)]) for _ in range(c.randrange(2000))),
        lambda: bytes(min(255, int(abs(c.gauss(0, 20)))) for _ in range(c.randrange(20_000)))])()


def damaged(c, frame):
    raw = bytearray(frame)
    for _ in range(c.choice([1, 2, 3])):
        at = c.randrange(4, len(raw) + 1)
        how = c.randrange(4)
        if how < 2 and at < len(raw):
            raw[at] ^= 1 << c.randrange(8)
        elif how == 2:
            del raw[at:at + c.randint(1, 4)]
        else:
            raw[at:at] = c.randbytes(2)
    return bytes(raw)


def trained(c):
    """Dictionaries of all kinds of content, and one that nobody has."""
    kinds = [[t[i:i + 400] for i in range(0, 200_000, 400)] for t in TEXTS] + [[bytes(min(255, int(abs(c.gauss(0, 9)))) for _ in range(200)) for _ in range(500)]]
    return [zstandard.train_dictionary(size, kind, dict_id=number) for kind, size, number in zip(kinds, (4096, 16384, 1000, 65536, 8192), (1, 300, 70_000, 2**32 - 1, 99))]


def reference(frame, dictionary):
    try:
        return zstandard.ZstdDecompressor(dict_data=dictionary).decompress(frame, max_output_size=1 << 22, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        return None


def main():
    seed = int(os.environ.get("WEIR_SEED", "1"))
    c = random.Random(seed)
    contents = [content(c) for _ in range(FRAMES)]
    known = trained(c)
    folder = tempfile.TemporaryDirectory()
    for dictionary in known:
        pathlib.Path(folder.name, str(dictionary.dict_id())).write_bytes(dictionary.as_bytes())
    chosen = [c.choice([None, *known]) for _ in contents]
    frames = [zstandard.ZstdCompressor(level=c.choice([-5, 1, 3, 9, 19, 22]), write_checksum=c.random() < 0.2, dict_data=d).compress(x)
              for x, d in zip(contents, chosen)]
    bad = [damaged(c, f) for f in frames]
    done = subprocess.run(["node", str(HERE / "zstd.mjs"), *map(str, sorted(pathlib.Path(folder.name).iterdir()))], input="".join(f.hex() + "\n" for f in frames + bad), stdout=subprocess.PIPE, text=True, check=True)
    got = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(got) == 2 * FRAMES
    wrong = sum(g != x.hex() for g, x in zip(got, contents))
    # libzstd lets some damage pass that a reader can find; what both take has to be the same
    theirs = [reference(f, d) for f, d in zip(bad, chosen)]
    wrong_damaged = sum(g is not None and t is not None and g != t.hex() for g, t in zip(got[FRAMES:], theirs))
    print(f"zstd seed={seed} frames={FRAMES} wrong={wrong} damaged={FRAMES} taken={sum(g is not None for g in got[FRAMES:])} damaged_wrong={wrong_damaged}")
    lost = subprocess.run(["node", str(HERE / "zstd.mjs")], input=next(f for f, d in zip(frames, chosen) if d).hex() + "\n", stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(lost.stdout) is None, "a dictionary that is not there"
    sys.exit(1 if wrong or wrong_damaged else 0)


if __name__ == "__main__":
    main()
