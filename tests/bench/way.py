"""Benchmarks of an event's way from a file of JSON lines to Kafka: CPU, instructions, how fast a backlog drains, the loop's turns."""
import os
import statistics
import time

from lib import (SETS, Agent, Missing, callgrind, callgrind_count, data_lines, lines_file, producer_build, producer_cpu, rsyslog_cpu, say,
                 say_ratio, schema_of, tail)

BARE = "bare librdkafka producer, the same lines, zstd"
CPU_GOAL = 1.6


def agent_cpu(options, kafka, topic, directory, path, count, schema, wrapper=()):
    """User and system seconds from the start until all lines of the file are answered by the broker and the agent has ended; its longest
    turn."""
    agent = Agent(options, directory, tail(path), kafka, topic, schema)
    agent.start(wrapper)
    status = agent.wait(lambda s: s["delivered"] >= count)
    cpu = agent.stop()
    agent.remove()
    if status["aside"]:
        raise Missing(f"{status['aside']} events were set aside")
    return cpu, status["loop"]["longest_turn_us"] / 1000


def bench_cpu(options, kafka, work):
    """CPU per million events, durable on the way: read, parsed, checked against the schema, committed, packed, sent, answered."""
    producer, topic = producer_build(work), kafka.topic()
    per_million = 1e6 / options.events
    for name in SETS:
        case = f"{name}: file to Kafka rows, durable" + ("" if schema_of(name) else ", without a schema")
        if not data_lines(options.data, name):
            say("cpu", case, None, "cpu s per million events", BARE, absent=f"{name} is not in {options.data}")
            continue
        path = lines_file(options, os.path.join(work, f"{name}.ndjson"), options.events, name)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(per_million * agent_cpu(options, kafka, topic, os.path.join(work, "cpu"), path, options.events, schema_of(name))[0])
            theirs.append(per_million * producer_cpu(producer, kafka, topic, path)[0])
        say_ratio("cpu", case, ours, theirs, "cpu s per million events", BARE, CPU_GOAL if schema_of(name) else None)
        os.remove(path)


def bench_rsyslog(options, kafka, work):
    """What rsyslog pays for the same with its disk queue, as it comes and with each file synced; it parses nothing."""
    producer, topic = producer_build(work), kafka.topic()
    synced = 'queue.syncQueueFiles="on" queue.checkpointInterval="1000"'
    for case, count, more in (("rsyslog, disk queue", options.events, ""), ("rsyslog, disk queue, synced", options.events // 10, synced)):
        path = lines_file(options, os.path.join(work, "rsyslog.ndjson"), count)
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(1e6 / count * rsyslog_cpu(kafka, os.path.join(work, "rsyslog"), path, count, more))
            theirs.append(1e6 / count * producer_cpu(producer, kafka, topic, path)[0])
        say_ratio("rsyslog", case, ours, theirs, "cpu s per million events", BARE)


def bench_instructions(options, kafka, work):
    """Instructions in user space per event: the difference between a long and a short file, so that starting does not count."""
    producer, topic = producer_build(work), kafka.topic()
    counts = options.events // 20, options.events // 5
    ours, theirs, out = [], [], os.path.join(work, "callgrind.out")
    for count in counts:
        path = lines_file(options, os.path.join(work, "instructions.ndjson"), count)
        agent_cpu(options, kafka, topic, os.path.join(work, "instructions"), path, count, schema_of("energy_meter"), callgrind(out))
        ours.append(callgrind_count(out))
        producer_cpu(producer, kafka, topic, path, callgrind(out))
        theirs.append(callgrind_count(out))
    events = counts[1] - counts[0]
    say("instructions", "energy_meter: file to Kafka rows, durable", (ours[1] - ours[0]) / events, "instructions per event", BARE,
        (theirs[1] - theirs[0]) / events)


def drained(agent, kafka, topic, count):
    """Seconds, and CPU seconds, from the start with a backlog until the broker has answered for all of it."""
    agent.config["uplinks"]["out"].update(brokers=[f"127.0.0.1:{kafka.port}"], topic=topic)
    started = time.monotonic()
    agent.start()
    agent.wait(lambda s: s["delivered"] >= count, pause=0.02)
    took = time.monotonic() - started
    return took, agent.stop()


def bench_drain(options, kafka, work):
    """A backlog, filled while the broker was away, to Kafka rows."""
    producer, topic = producer_build(work), kafka.topic()
    path = lines_file(options, os.path.join(work, "drain.ndjson"), options.events)
    rates, bare_rates, cpu, bare_cpu = [], [], [], []
    for _ in range(options.rounds):
        agent = Agent(options, os.path.join(work, "drain"), tail(path), schema=schema_of("energy_meter"))
        agent.start()
        agent.wait(lambda s: s["stored"] >= options.events)
        agent.stop()
        took, used = drained(agent, kafka, topic, options.events)
        agent.remove()
        rates.append(options.events / took)
        cpu.append(1e6 / options.events * used)
        used, took = producer_cpu(producer, kafka, topic, path)
        bare_rates.append(options.events / took)
        bare_cpu.append(1e6 / options.events * used)
    say_ratio("drain", "backlog to Kafka rows", rates, bare_rates, "events/s", BARE)
    say_ratio("drain", "backlog to Kafka rows, CPU", cpu, bare_cpu, "cpu s per million events", BARE)


def bench_turn(options, kafka, work):
    """The longest turn of the loop while it has most to do; on a machine that does other things, too, turns are longer than they need be."""
    path, topic = lines_file(options, os.path.join(work, "turn.ndjson"), options.events), kafka.topic()
    turns = [agent_cpu(options, kafka, topic, os.path.join(work, "turn"), path, options.events, schema_of("energy_meter"))[1]
             for _ in range(options.rounds)]
    longest = statistics.median(turns)
    say("turn", "longest turn of the loop, file to Kafka rows", longest, "ms", goal="<= 50", met=longest <= 50, rounds=len(turns),
        values=[min(turns), max(turns)])
