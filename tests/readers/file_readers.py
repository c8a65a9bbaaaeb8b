"""What the file uplink of a running weir writes is read by fastavro, Apache Avro and DuckDB, with every codec: the values of the source lines.

usage: file_readers.py BUILD_FOLDER     with the python of tests/services/readers.sh avro"""
import copy
import datetime
import glob
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings

import avro.datafile
import avro.io
import duckdb
import duckdb_extension_avro
import fastavro

import data

warnings.simplefilter("ignore")
WEIR = os.path.join(sys.argv[1], "weir")
CODECS = ("null", "deflate", "zstandard")
STREAMS = ("energy", "buttons", "gnss", "typed")
PATIENCE = 180
failures = []


def check(what, good, shown=""):
    print(f"{'ok' if good else 'FAILED'}: {what}{'' if good else ' ' + str(shown)[:600]}", flush=True)
    if not good:
        failures.append(what)


def read_fastavro(files):
    for file in files:
        with open(file, "rb") as f:
            yield from fastavro.reader(f)


def read_apache(files):
    for file in files:
        with open(file, "rb") as f:
            yield from avro.datafile.DataFileReader(f, avro.io.DatumReader())


def read_duckdb(files):
    con = duckdb.connect(config={"allow_unsigned_extensions": True})
    folder = os.path.dirname(duckdb_extension_avro.__file__)
    con.load_extension(os.path.join(folder, "extensions", "v" + duckdb.__version__, "avro.duckdb_extension"))
    for file in files:
        yield from con.execute("select * from read_avro(?)", [file]).fetchall()


def status(work):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(PATIENCE)
        s.connect(os.path.join(work, "weir.sock"))
        s.sendall(b"status\n")
        answer = b""
        while more := s.recv(65536):
            answer += more
    return json.loads(answer)


def write_all(work, streams):
    """One agent, a replay for each stream, an uplink for each codec; ends when all is delivered."""
    for name, stream in streams.items():
        with open(os.path.join(work, name + ".avsc"), "w") as f:
            json.dump(stream.schema, f)
        with open(os.path.join(work, name + ".ndjson"), "w", encoding="utf-8") as f:
            f.writelines(stream.lines)
    with open(os.path.join(work, "weir.json"), "w") as f:
        json.dump({"agent": {"id": "readers"}, "buffer": {"path": os.path.join(work, "buffer.db"), "commit_interval": "200 ms"},
                   "streams": {name: {"schema": name + ".avsc", "key": s.key} for name, s in streams.items()},
                   "drivers": {name: {"type": "replay", "stream": name, "path": name + ".ndjson"} for name in streams},
                   "uplinks": {codec: {"type": "file", "path": os.path.join(work, codec), "codec": codec, "time_max": "1 s", "size_max": "64 KiB"}
                               for codec in CODECS}}, f)
    with open(os.path.join(work, "log"), "wb") as log:
        agent = subprocess.Popen([WEIR, "run", os.path.join(work, "weir.json")], stderr=log)
    total, until = sum(len(s.lines) for s in streams.values()), time.monotonic() + PATIENCE
    try:
        while time.monotonic() < until and agent.poll() is None:
            try:
                now = status(work)
                if now["stored"] == total and now["backlog"] == 0:
                    break
            except OSError:
                pass
            time.sleep(0.2)
        agent.send_signal(signal.SIGTERM)
        check("the agent ends well", agent.wait(PATIENCE) == 0)
    finally:
        agent.kill()


def plain(name, value):
    """Times by one library's UTC, UUIDs as text: readers differ in these."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return str(value) if name == "id" else value


def comparable(values):
    return sorted(data.identity({k: plain(k, v) for k, v in value.items()}) for value in values)


def test_stream(work, codec, name, stream):
    files = sorted(glob.glob(os.path.join(work, codec, name, "*", "*.avro")))
    expected = [stream.expected(line) for line in stream.lines]
    check(f"{codec} {name}: finished files, none half written", files and not glob.glob(os.path.join(work, codec, name, "*", "*.part")), files)
    for reader in (read_fastavro, read_apache):
        got = comparable(reader(files))
        check(f"{codec} {name}: {len(expected)} lines read by {reader.__name__[5:]}", got == comparable(expected),
              next((f"{g} {e}" for g, e in zip(got, comparable(expected)) if g != e), len(got)))
    if codec == "zstandard" or name == "typed":
        return                                                # DuckDB knows null and deflate, and no decimals
    theirs = os.path.join(work, "theirs.avro")
    with open(theirs, "wb") as f:
        fastavro.writer(f, fastavro.parse_schema(copy.deepcopy(stream.schema)), expected)
    got, wanted = (sorted(map(repr, read_duckdb(f))) for f in (files, [theirs]))
    check(f"{codec} {name}: DuckDB reads the same as of a file by fastavro", got == wanted and len(got) == len(expected), len(got))


def test_export(work, streams):
    """What `weir buffer export` writes, of events that nobody has delivered yet; and what an import gives back."""
    buffer = os.path.join(work, "kept", "buffer.db")
    os.makedirs(os.path.join(work, "kept"))
    config = {"agent": {"id": "kept"}, "buffer": {"path": buffer, "commit_interval": "200 ms"},
              "streams": {name: {"schema": name + ".avsc", "key": s.key} for name, s in streams.items()},
              "drivers": {name: {"type": "replay", "stream": name, "path": name + ".ndjson"} for name in streams},
              "uplinks": {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}"}}}
    with open(os.path.join(work, "kept.json"), "w") as f:
        json.dump(config, f)
    with open(os.path.join(work, "log"), "ab") as log:
        agent = subprocess.Popen([WEIR, "run", os.path.join(work, "kept.json")], stderr=log)
    total, until = sum(len(s.lines) for s in streams.values()), time.monotonic() + PATIENCE
    while time.monotonic() < until and agent.poll() is None:
        try:
            if status(os.path.join(work, "kept"))["stored"] == total:
                break
        except OSError:
            pass
        time.sleep(0.2)
    agent.send_signal(signal.SIGTERM)
    check("the agent ends well", agent.wait(PATIENCE) == 0)
    for codec in CODECS:
        folder = os.path.join(work, "export-" + codec)
        os.makedirs(folder)
        r = subprocess.run([WEIR, "buffer", "export", "--format", "avro", "--codec", codec, "--out", folder, "--buffer", buffer], capture_output=True, text=True)
        check(f"export {codec}", r.returncode == 0, r.stderr)
        for name, stream in streams.items():
            file = os.path.join(folder, name + ".avro")
            expected = comparable(stream.expected(line) for line in stream.lines)
            for reader in (read_fastavro, read_apache):
                check(f"export {codec} {name}: read by {reader.__name__[5:]}", comparable(reader([file])) == expected)
    for name in streams: # what another library wrote is imported, and comes out again
        theirs = os.path.join(work, "theirs-import.avro")
        with open(theirs, "wb") as f:
            fastavro.writer(f, fastavro.parse_schema(copy.deepcopy(streams[name].schema)), [streams[name].expected(line) for line in streams[name].lines], codec="deflate")
        r = subprocess.run([WEIR, "buffer", "import", theirs, "--stream", name, "--buffer", buffer], capture_output=True, text=True)
        check(f"import {name} by fastavro", r.returncode == 0, r.stderr)
        count = len(streams[name].lines)
        back = os.path.join(work, "back.avro")
        subprocess.run([WEIR, "buffer", "export", "--format", "avro", "--stream", name, "--from-seq", str(count + 1), "--out", back, "--buffer", buffer], capture_output=True)
        check(f"import {name}: the same", comparable(read_fastavro([back])) == comparable(streams[name].expected(line) for line in streams[name].lines))


def main():
    work = tempfile.mkdtemp(prefix="weir-files.")
    streams = {name: data.stream(name) for name in STREAMS}
    write_all(work, streams)
    for codec in CODECS:
        for name, stream in streams.items():
            test_stream(work, codec, name, stream)
    test_export(work, streams)
    for file in glob.glob(os.path.join(work, "zstandard", "energy", "*", "*.avro"))[:1]:
        with open(file, "rb") as f:
            head = fastavro.reader(io.BytesIO(f.read()))
        check("the header names the codec", head.metadata["avro.codec"] == "zstandard", head.metadata)
    if failures:
        sys.exit(f"{len(failures)} failed; what was written is in {work}")
    shutil.rmtree(work)
    print("file readers: all fine")


main()
