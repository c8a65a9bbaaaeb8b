"""Trains a zstd dictionary for batches of few events: python -m weir_columns.train --out FILE ...

From messages as consumers get them, each in a file of its own (not packed by a dictionary already); or from lines of events, which `weir columns encode` makes
batches of. A quarter of them is held back, and says what the dictionary saves. The agent needs the file (the option `dictionary`), and so does every consumer."""
import argparse
import pathlib
import subprocess
import sys

from .envelope import BATCH_FINGERPRINT, ZSTD_MAGIC

LEVEL = 9           # the agent's for batches
SIZE_MAX = 112 * 1024


def batches(arguments):
    """What a message of each so many lines is: without a registry."""
    lines = pathlib.Path(arguments.lines).read_text("utf-8").splitlines()
    for start in range(0, len(lines) - arguments.events + 1, arguments.events):
        record = subprocess.run([arguments.weir, "columns", "encode", arguments.schema, "-", "--plain", "--sequence", str(start + 1)], check=True,
                                input="".join(line + "\n" for line in lines[start:start + arguments.events]).encode(), stdout=subprocess.PIPE).stdout
        yield b"\xc3\x01" + BATCH_FINGERPRINT + record


def packed(messages, dictionary=None):
    import zstandard
    compressor = zstandard.ZstdCompressor(level=LEVEL, dict_data=dictionary, write_checksum=False)
    return sum(len(compressor.compress(m)) for m in messages)


def main(words=None):
    parser = argparse.ArgumentParser(prog="python -m weir_columns.train", description=__doc__)
    parser.add_argument("--out", required=True, metavar="FILE", help="where the dictionary goes")
    parser.add_argument("--size", type=int, default=16384, help=f"bytes, at most {SIZE_MAX} (16384; large ones pay for texts)")
    parser.add_argument("--id", type=int, help="its number, which every frame carries (by chance, from 32768 on)")
    parser.add_argument("--lines", metavar="NDJSON", help="events, a JSON object in each line, instead of messages")
    parser.add_argument("--schema", metavar="AVSC", help="with --lines: the stream's schema")
    parser.add_argument("--events", type=int, default=10, help="with --lines: of one batch (10)")
    parser.add_argument("--weir", default="weir", help="with --lines: the program")
    parser.add_argument("messages", nargs="*", metavar="MESSAGE", help="a file with the value of one message")
    arguments = parser.parse_args(words)
    if bool(arguments.lines) == bool(arguments.messages) or bool(arguments.lines) != bool(arguments.schema):
        parser.error("either messages, or --lines with --schema")
    if not 256 <= arguments.size <= SIZE_MAX or (arguments.id is not None and not 0 < arguments.id < 1 << 32):
        parser.error(f"--size is 256 to {SIZE_MAX}, --id 1 to 4294967295")
    import zstandard
    samples = list(batches(arguments)) if arguments.lines else [pathlib.Path(p).read_bytes() for p in arguments.messages]
    if any(s.startswith(ZSTD_MAGIC) for s in samples):
        parser.error("a message is a zstd frame already: take messages from before a dictionary was set")
    held = samples[3::4]
    kept = [s for i, s in enumerate(samples) if i % 4 != 3]
    try:
        dictionary = zstandard.train_dictionary(arguments.size, kept, dict_id=arguments.id or 0, level=LEVEL)
    except zstandard.ZstdError as e:
        sys.exit(f"{len(kept)} messages are not enough: {e}")
    pathlib.Path(arguments.out).write_bytes(dictionary.as_bytes())
    before, after = packed(held), packed(held, dictionary)
    print(f"dictionary {dictionary.dict_id()}, {len(dictionary.as_bytes())} bytes, of {len(kept)} messages; the other {len(held)}: "
          f"{before} bytes without, {after} with it ({after / before:.2f})")


if __name__ == "__main__":
    main()
