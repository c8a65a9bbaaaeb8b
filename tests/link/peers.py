"""Others on the same link, with the same backlog, telemetry and alarms: what is lost, what is there twice, how late alarms are.

usage: link.sh RATE 400 PYTHON peers.py PEER RATE SECONDS BACKLOG      PYTHON: that of tests/services/readers.sh kafka
       PEER: librdkafka (a producer as it is usually set up), librdkafka-thin (set up for such a link), rsyslog (disk queues, omkafka)"""
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from link_test import FAR, SCHEMAS, backlog_write, broker_start, percentile, records_of, widen
from feed import moments
from services import Kafka

USUAL = {"enable.idempotence": True, "compression.codec": "zstd", "linger.ms": 50, "queue.buffering.max.messages": 2000000}
# Requests of about 2 s of 64 kbit/s, one at a time, and nothing is given up.
THIN = {**USUAL, "linger.ms": 1000, "batch.size": 65536, "max.in.flight": 1, "message.timeout.ms": 0, "request.timeout.ms": 120000,
        "socket.timeout.ms": 180000}
GRACE_S = 180       # for what is left, on a wide link

RSYSLOG = '''global(workDirectory="{dir}" maxMessageSize="64k")
module(load="imfile") module(load="omkafka")
template(name="line" type="string" string="%msg%")
input(type="imfile" File="{dir}/backlog.log" Tag="x" ruleset="telemetry")
input(type="imfile" File="{dir}/telemetry.log" Tag="x" ruleset="telemetry")
input(type="imfile" File="{dir}/alarms.log" Tag="x" ruleset="alarms")
'''
RULES = '''ruleset(name="{topic}") {{ action(type="omkafka" broker=["{far}:{port}"] topic="{topic}" template="line" resubmitOnFailure="on"
  keepFailedMessages="on" failedMsgFile="{dir}/failed-{topic}" action.resumeRetryCount="-1" closeTimeout="30000"
  confParam=["compression.codec=zstd","enable.idempotence=true","linger.ms=50"]
  queue.type="Disk" queue.filename="q-{topic}" queue.maxDiskSpace="2g" queue.saveOnShutdown="on") }}
'''


def produce(kind, port, seconds, backlog, directory):
    """The producer itself, on the near side; prints when it has been fed, and what it was told of each event."""
    from confluent_kafka import Producer
    told = collections.Counter()
    producer = Producer({"bootstrap.servers": f"{FAR}:{port}", "log_level": 0, **(THIN if kind == "librdkafka-thin" else USUAL)})

    def send(stream, text):
        producer.produce(stream, text, on_delivery=lambda error, _: told.update(["failed" if error else "delivered"]))
        producer.poll(0)
    with open(os.path.join(directory, "backlog.log")) as f:
        for line in f:
            send("telemetry", line.strip())
    for stream, event in moments(backlog, seconds):
        send(stream, json.dumps(event))
    print("fed", flush=True)
    producer.flush(GRACE_S)
    print(told["delivered"], told["failed"], len(producer), flush=True)
    os._exit(0)


class Librdkafka:
    def __init__(self, kind, port, seconds, backlog, directory):
        near = os.environ["WEIR_NEAR"].split()
        self.process = subprocess.Popen([*near, sys.executable, __file__, "produce", kind, str(port), str(seconds), str(backlog), directory],
                                        stdout=subprocess.PIPE, text=True)

    def feed(self):
        if self.process.stdout.readline() != "fed\n":
            raise SystemExit("the producer has ended")

    def end(self):
        delivered, failed, left = self.process.stdout.read().split()
        self.process.wait()
        return f"told_delivered={delivered} told_failed={failed} left={left}"

    def kill(self):
        self.process.kill()


class Rsyslog:
    def __init__(self, _, port, seconds, backlog, directory):
        self.dir, self.seconds, self.backlog = directory, seconds, backlog
        for name in ("telemetry", "alarms"):
            open(os.path.join(directory, name + ".log"), "w").close()
        config = os.path.join(directory, "conf")
        with open(config, "w") as f:
            f.write(RSYSLOG.format(dir=directory) + "".join(RULES.format(topic=t, far=FAR, port=port, dir=directory) for t in SCHEMAS))
        near = os.environ["WEIR_NEAR"].split()
        self.process = subprocess.Popen([*near, "rsyslogd", "-n", "-f", config, "-i", os.path.join(directory, "pid")], stderr=subprocess.DEVNULL)

    def feed(self):
        for stream, event in moments(self.backlog, self.seconds):
            with open(os.path.join(self.dir, stream + ".log"), "a") as f:
                f.write(json.dumps(event) + "\n")

    def end(self):
        time.sleep(GRACE_S / 2)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        return ""

    def kill(self):
        self.process.kill()


def main():
    kind, rate, seconds, backlog = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    directory = tempfile.mkdtemp(prefix="weir-peer.")
    broker = Kafka(os.path.join(directory, "kafka"), port=9092)
    peer = None
    try:
        broker_start(broker)
        backlog_write(os.path.join(directory, "backlog.log"), backlog)
        peer = (Rsyslog if kind == "rsyslog" else Librdkafka)(kind, broker.port, seconds, backlog, directory)
        peer.feed()
        ended_ms = int(time.time() * 1000)
        widen()
        words = peer.end()
        wanted = {"telemetry": backlog + seconds * 10, "alarms": seconds // 5}
        twice = lost = 0
        for stream in SCHEMAS:
            found = [(m.timestamp()[1], json.loads(m.value())) for m in records_of(broker, stream)]
            numbers = [event["n"] for _, event in found]
            twice += len(numbers) - len(set(numbers))
            lost += wanted[stream] - len(set(numbers))
            in_time = len({event["n"] for at_ms, event in found if at_ms <= ended_ms})
            words += f" {stream}_in_time={in_time}"
            if stream == "alarms":
                first = {}
                for at_ms, event in found:
                    first.setdefault(event["n"], (at_ms - event["at_ms"]) / 1000)
                late = sorted(first.values())
        if late:
            words += f" p50_s={percentile(late, 0.5):.2f} p99_s={percentile(late, 0.99):.2f} max_s={late[-1]:.2f}"
        print(f"peer={kind} rate={rate} seconds={seconds} backlog={backlog} alarms={len(late)} twice={twice} lost={lost} {words}", flush=True)
    finally:
        if peer:
            peer.kill()
        broker.end()
    shutil.rmtree(directory)


if __name__ == "__main__":
    if sys.argv[1] == "produce":
        produce(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    main()
