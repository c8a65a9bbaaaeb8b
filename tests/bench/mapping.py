"""Benchmarks of JSON to Avro: each event of a data set mapped to its schema, without anything else of its way."""
import os
import subprocess

import buffer
from lib import HERE, SETS, Missing, callgrind, callgrind_count, data_lines, need, say, say_ratio, schema_of

AVRO_C = "avro-c fed by jansson, the same lines, the same datums"
TIMES = 10           # over the file, for a figure of time
TIMES_COUNTED = 1, 3 # under callgrind: the difference is what does not belong to starting


def avro_c_build(work):
    program = os.path.join(work, "avro_c")
    if subprocess.run([need("gcc", "gcc"), "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "avro_c.c"), "-lavro", "-ljansson"],
                      capture_output=True).returncode:
        raise Missing("the baseline is not built: apt-get install gcc libc6-dev libavro-dev libjansson-dev")
    return program


def schema_for(options, name, path, work):
    """The example of this name; else what weir infers from the set itself."""
    if schema_of(name):
        return schema_of(name)
    schema = os.path.join(work, f"{name}.avsc")
    with open(schema, "wb") as f:
        subprocess.run([options.weir, "schema", "infer", "--name", name, path], check=True, stdout=f)
    return schema


def output(command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def microseconds(program, schema, path):
    return float(output([program, schema, path, str(TIMES)]).split()[1])


def instructions(command, events, work):
    counts, out = [], os.path.join(work, "callgrind.out")
    for times in TIMES_COUNTED:
        subprocess.run([*callgrind(out), *command, str(times)], check=True, capture_output=True)
        counts.append(callgrind_count(out))
    return (counts[1] - counts[0]) / (TIMES_COUNTED[1] - TIMES_COUNTED[0]) / events


def say_counted(name, commands, events, work):
    case, unit = f"{name}: JSON to Avro", "instructions per event"
    try:
        ours, theirs = (instructions(command, events, work) for command in commands)
    except subprocess.CalledProcessError:
        say("map", case, None, unit, AVRO_C, absent="valgrind does not run map_bench: a build with sanitizers can't be counted")
        return
    say("map", case, ours, unit, AVRO_C, theirs, goal="ratio <= 1", met=ours <= theirs)


def lines_of(options, name, path, count):
    """A file of at most so many lines of the set, as many as it has: none twice. How many there are, 0: it is absent."""
    lines = (data_lines(options.data, name) or [])[:count]
    with open(path, "wb") as f:
        f.writelines(lines)
    return len(lines)


def bench_map(options, kafka, work):
    """Time and instructions of an event from JSON to Avro; both programs must write the same bytes."""
    buffer.build(options, "map_bench")
    ours, theirs = buffer.program(options, "map_bench"), avro_c_build(work)
    for name in SETS:
        path = os.path.join(work, f"{name}.ndjson")
        events = lines_of(options, name, path, options.events)
        if not events:
            say("map", f"{name}: JSON to Avro", None, "cpu us per event", AVRO_C, absent=f"{name} is not in {options.data}")
            continue
        schema = schema_for(options, name, path, work)
        datums = [output([program, schema, path, "0"]) for program in (ours, theirs)]
        if datums[0] != datums[1]:
            raise Missing(f"the two programs do not write the same datums for {name}")
        rounds = [[microseconds(program, schema, path) for program in (ours, theirs)] for _ in range(options.rounds)]
        say_ratio("map", f"{name}: JSON to Avro", *zip(*rounds), "cpu us per event", AVRO_C, 1)
        events = lines_of(options, name, path, min(options.events, 1000))
        say_counted(name, [[program, schema, path] for program in (ours, theirs)], events, work)
