"""An upgrade in place: a buffer that an earlier program had filled when it was killed is drained by this one, each event once. A downgrade is refused.

Short: buffers in tests/boards/buffers, into files. With WEIR_LONG=1: earlier programs are built (older), and fill a buffer for a real Kafka, once with a
batch that Kafka has and whose answer they never saw, once with one that never got there.

usage: upgrade_test.py WEIR
       upgrade_test.py WEIR make COMMIT     makes tests/boards/buffers/COMMIT.tar.xz"""
import collections
import contextlib
import glob
import hashlib
import http.client
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("", "ledger", "services"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))
import services                                           # noqa: E402
from checks import check, failures                        # noqa: E402
from services import wait_for                             # noqa: E402

BUFFERS = os.path.join(HERE, "buffers")
# The first program that kept events in a buffer; the last one with the first version of its state; the last one that this change is built upon.
EARLIER = ("9406c848", "b407f7d0", "821176a0")
FIRST, THEN, LAST = 2000, 300, 4000       # events: delivered, of the batch in doubt, of the backlog
SCHEMA = {"type": "record", "name": "Numbered", "fields": [{"name": "key", "type": "string"}, {"name": "n", "type": "long"}, {"name": "pad", "type": "string"}]}
weir = os.path.abspath(sys.argv[1])


class Agent(services.Agent):
    """Programs take turns on one buffer; the configuration is one that all of them know."""

    def __init__(self, program, directory, uplink):
        super().__init__(program, directory)
        with open(os.path.join(directory, "numbered.avsc"), "w") as f:
            json.dump(SCHEMA, f)
        with open(self.path, "w") as f:
            json.dump({"agent": {"id": "upgraded"}, "buffer": {"path": os.path.join(directory, "buffer.db"), "size_max": "32 MiB", "commit_interval": "100 ms"},
                       "streams": {"numbered": {"schema": "numbered.avsc", "key": "key"}, "raw": {}},
                       "drivers": {"post": {"type": "http", "listen": f"127.0.0.1:{self.http_port}", "ack_interval": "5 ms",
                                            "routes": [{"topic": "raw", "stream": "raw"}, {"topic": "#", "stream": "numbered"}]}},
                       "uplinks": {"cloud": uplink}}, f)

    def post(self, path, first, count):
        """Numbered events, as many in a request as the oldest program takes at once."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=services.PATIENCE)
        for at in range(first, first + count, 100):
            numbers = range(at, min(at + 100, first + count))
            body = "".join(json.dumps({"key": f"k{n % 7}", "n": n, "pad": "x" * 20}) + "\n" for n in numbers)
            connection.request("POST", path, body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise SystemExit(f"{self.program}: {answer.status} {text}")
        connection.close()


def digest(*paths):
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in paths]


# --- a buffer that was kept ---

def make(commit):
    program = subprocess.run([os.path.join(HERE, "older"), commit], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="weir-upgrade.") as directory:
        agent = Agent(program, directory, {"type": "file", "path": os.path.join(directory, "out")})
        open(os.path.join(directory, "out"), "w").close()     # no folder: nothing is delivered
        agent.start()
        agent.post("/typed", 0, LAST)
        agent.post("/raw", 0, LAST // 4)
        agent.kill()
        os.makedirs(BUFFERS, exist_ok=True)
        with tarfile.open(os.path.join(BUFFERS, f"{commit}.tar.xz"), "w:xz") as tar:
            for name in ("buffer.db", "buffer.db-wal"):
                tar.add(os.path.join(directory, name), name)


def rows(directory, stream):
    files = sorted(glob.glob(os.path.join(directory, "out", stream, "**", "*.avro"), recursive=True))
    lines = subprocess.run([weir, "avro", "cat", *files], stdout=subprocess.PIPE, check=True).stdout.splitlines() if files else []
    return [json.loads(line) for line in lines]


def version_of_state(directory):
    """Of a stopped agent's buffer, from the file itself."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "buffer.db"))) as db:
        return db.execute("SELECT v FROM state").fetchone()[0][0]


def this_machine(directory):
    """As a new buffer is told: nothing, where the machine has neither an id that lasts nor a serial number."""
    agent = Agent(weir, directory, {"type": "file", "path": os.path.join(directory, "out")})
    agent.start()
    agent.stop()
    return json.loads(agent.command("buffer", "stats", "--buffer", os.path.join(directory, "buffer.db"), "--json").stdout)["machine"]


def from_file(path, directory, machine):
    name = os.path.basename(path)
    with tarfile.open(path) as tar:
        tar.extractall(directory)
    agent = Agent(weir, directory, {"type": "file", "path": os.path.join(directory, "out"), "time_max": "1 s"})
    both = [os.path.join(directory, "buffer.db" + end) for end in ("", "-wal")]
    before = digest(*both)
    done = agent.command("buffer", "stats", "--buffer", both[0], "--json")
    check(f"{name} is read as it is", done.returncode == 0 and digest(*both) == before, done.stderr)
    found = json.loads(done.stdout)
    check(f"{name}: its machine is not known", found["machine"] == "" and found["earlier"] == [], done.stdout)
    agent.start()
    wait_for("delivery", lambda: len(rows(directory, "numbered")) >= LAST and len(rows(directory, "raw")) >= LAST // 4, pause=0.5)
    agent.stop()
    typed, raw = rows(directory, "numbered"), rows(directory, "raw")
    check(f"{name}: each event once", sorted(row["n"] for row in typed) == list(range(LAST)), str(len(typed)))
    check(f"{name}: without a schema too", sorted(json.loads(row["body"])["n"] for row in raw) == list(range(LAST // 4)), str(len(raw)))
    check(f"{name}: the state is today's", version_of_state(directory) == 3)
    agent.start()                                   # what is there now is read again
    agent.post("/typed", LAST, 10)
    wait_for("delivery", lambda: len(rows(directory, "numbered")) >= LAST + 10, pause=0.5)
    agent.stop()
    check(f"{name}: sequences go on", len(rows(directory, "numbered")) == LAST + 10)
    stats = json.loads(agent.command("buffer", "stats", "--buffer", both[0], "--json").stdout)
    check(f"{name}: under its incarnation", stats["identity"].split("/")[1] == found["identity"].split("/")[1] and stats["earlier"] == [], str(stats))
    check(f"{name}: its machine is this one", stats["machine"] == machine, str(stats))


# --- a downgrade ---

def is_refused(agent, what, change, *texts):
    path = os.path.join(agent.dir, "buffer.db")
    with contextlib.closing(sqlite3.connect(path)) as db:
        change(db)
        db.commit()
    before = digest(path)
    done = agent.command("run", agent.path)
    check(f"{what} is refused", done.returncode not in (0, None) and all(text in done.stderr for text in texts), f"{done.returncode} {done.stderr}")
    check(f"{what}: left alone", digest(path) == before and not glob.glob(path + ".bad*"), str(os.listdir(agent.dir)))


def downgrade(directory):
    agent = Agent(weir, directory, {"type": "file", "path": os.path.join(directory, "out")})
    agent.start()
    agent.post("/typed", 0, 100)
    agent.stop()

    def newer_format(db):
        db.execute("PRAGMA user_version=2")
        db.execute("UPDATE meta SET v=2 WHERE k='format'")
    is_refused(agent, "a newer format", newer_format, "buffer.db has format 2, this program knows 1", "newer version", "install that version again")

    def newer_state(db):
        db.execute("PRAGMA user_version=1")
        db.execute("UPDATE meta SET v=1 WHERE k='format'")
        state = b"\x04" + db.execute("SELECT v FROM state").fetchone()[0][1:]
        db.execute("UPDATE state SET v=?, crc=?", (state, crc32c(state)))
    is_refused(agent, "a newer state", newer_state, "buffer.db", "of a newer version", "install that version again")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# --- a real Kafka ---

def consume(servers, topic, count):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "enable.auto.commit": False, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(2)])
    seen = []

    def all_read():
        for message in consumer.consume(1000, timeout=2):
            seen.append(message.value())
        return len(seen) >= count
    wait_for("delivery", all_read)
    for message in consumer.consume(1000, timeout=5):        # and no more
        seen.append(message.value())
    consumer.close()
    return seen


def number_of(value):
    """The record's bytes: a key, then n as a zig-zag varint."""
    at = value.find(b"\x04k") + 3
    result = shift = 0
    while True:
        result |= (value[at] & 127) << shift
        shift += 7
        if not value[at] & 128:
            return result >> 1
        at += 1


def from_older(broker, commit, gate):
    topic = f"up-{commit}-{gate}"
    program = subprocess.run([os.path.join(HERE, "older"), commit], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    broker.topic(topic, 2)
    with tempfile.TemporaryDirectory(prefix="weir-upgrade.") as directory:
        agent = Agent(program, directory, {"type": "kafka", "brokers": [f"127.0.0.1:{broker.port + 5}"], "topic": topic, "streams": ["numbered"], "backoff_max": "1 s",
                                           "sasl": {"mechanism": "PLAIN", "user": "weir", "password": "weir-secret"}})

        def one_stream(config):
            del config["streams"]["raw"]
            config["drivers"]["post"]["routes"] = [{"topic": "#", "stream": "numbered"}]
        agent.change(one_stream)
        agent.start()
        agent.post("/typed", 0, FIRST)
        wait_for("the first events", lambda: len(consume(broker.servers, topic, FIRST)) >= FIRST)
        broker.gate(gate)
        agent.post("/typed", FIRST, THEN)
        broker.wait("batch in doubt", lambda proxy: proxy.at_gate(gate) > 0)
        agent.post("/typed", FIRST + THEN, LAST)
        agent.kill()
        broker.gate(None)
        broker.cut()
        agent.program = weir
        agent.start()
        total = FIRST + THEN + LAST
        values = [number_of(value) for value in consume(broker.servers, topic, total)]
        agent.stop()
    seen, last, reordered = collections.Counter(values), {}, 0
    for n in values:
        reordered += n < last.get(n % 7, -1)
        last[n % 7] = n
    lost, twice = total - len(set(range(total)) & set(seen)), sum(count - 1 for count in seen.values())
    print(f"upgrade from={commit} in_doubt={gate} acked={total} lost={lost} twice={twice} reordered={reordered}", flush=True)
    check(f"{commit}, {gate}", lost == twice == reordered == 0)


def from_older_all():
    services.need_kafka_client()
    from world import Broker
    with tempfile.TemporaryDirectory(prefix="weir-upgrade-kafka.") as directory:
        broker = Broker("4.4.0", 1, directory, 1)
        broker.start()
        try:
            for commit in EARLIER:
                for gate in ("answer", "request"):
                    from_older(broker, commit, gate)
        finally:
            broker.close()


def main():
    if sys.argv[2:3] == ["make"]:
        make(sys.argv[3])
        return
    if os.environ.get("WEIR_LONG") == "1":
        from_older_all()
    work = tempfile.mkdtemp(prefix="weir-upgrade.")
    kept = sorted(glob.glob(os.path.join(BUFFERS, "*.tar.xz")))
    check("there are buffers of earlier programs", len(kept) >= 2)
    os.mkdir(os.path.join(work, "today"))
    machine = this_machine(os.path.join(work, "today"))
    for i, path in enumerate(kept):
        directory = os.path.join(work, str(i))
        os.mkdir(directory)
        from_file(path, directory, machine)
    os.mkdir(os.path.join(work, "newer"))
    downgrade(os.path.join(work, "newer"))
    if failures:
        sys.exit(f"{len(failures)} failed; files in {work}")
    shutil.rmtree(work)
    print(f"upgrade: {len(kept)} buffers, all is well")


main()
