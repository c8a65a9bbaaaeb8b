"""A real registry behind TLS, client certificates and a login: weir schema register by each way in; and a stream that evolves through six
versions with a backlog, the registry down half of the time, every event read by Python's AvroDeserializer with the newest schema.

usage: registry_readers.py BUILD_FOLDER     with the python of tests/services/readers.sh kafka"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

import data
from kafka_readers import check, failures, fault_of, read_back, wait_delivered
from peers import Agent, Kafka
from registry_gate import Gate                          # where it lies, peers has said
from services import HERE, Registry, wait_for

PLACE = {"type": "record", "name": "Place", "fields": [{"name": "hall", "type": "string"}]}
FIELDS = [{"name": "n", "type": "long"},
          {"name": "unit", "type": "string", "default": "mm"},
          {"name": "value", "type": ["null", "double"], "default": None},
          {"name": "place", "type": ["null", PLACE], "default": None},
          {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["OFF", "ON"], "default": "OFF"}, "default": "OFF"},
          {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []},
          {"name": "note", "type": ["null", "string"], "default": None}]
VALUES = {"unit": "bar", "value": 1.5, "place": {"hall": "north"}, "state": "ON", "tags": ["a"], "note": "oiled"}


def version(number):
    return {"type": "record", "name": "Machine", "namespace": "plant", "fields": FIELDS[:number]}


def event(number, n):
    return {"n": n, **{f["name"]: VALUES[f["name"]] for f in FIELDS[1:number]}}


def read_as_newest(value):
    return {**{f["name"]: f.get("default") for f in FIELDS}, **value}


# --- weir schema register ---

def register(build, directory, registry, *words, schema, code, text):
    with open(os.path.join(directory, "s.avsc"), "w") as f:
        json.dump(schema, f)
    path = os.path.join(directory, "weir.json")
    with open(path, "w") as f:
        json.dump({"buffer": {"path": os.path.join(directory, "b.db")}, "streams": {"s": {"schema": "s.avsc"}},
                   "drivers": {"post": {"type": "http", "listen": "127.0.0.1:1", "stream": "s"}},
                   "uplinks": {"cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "line", "streams": ["s"], "registry": registry}}}, f)
    r = subprocess.run([os.path.join(build, "weir"), "schema", "register", "--config", path, *words], capture_output=True, text=True, timeout=120)
    check(f"register {' '.join(words)}: {text!r}, exit code {code}", r.returncode == code and text in r.stdout + r.stderr, (r.returncode, r.stdout, r.stderr))


def test_ways_in(build, directory, registry, certificates):
    client = {"certificate": f"{certificates}/client.pem", "key": f"{certificates}/client.key"}
    ca = {"ca": f"{certificates}/ca.pem"}
    basic = Gate(registry.url, certificates, login=Gate.basic("weir", "weir-secret"))
    bearer, mutual = Gate(registry.url, certificates, login="Bearer abc.def"), Gate(registry.url, certificates, wants_client=True)
    user = {"user": "weir", "password": "weir-secret"}
    for gate, good, bad, text in ((basic, {**user, "tls": ca}, {**user, "password": "x", "tls": ca}, "check registry.user"),
                                  (bearer, {"token": "abc.def", "tls": ca}, {"token": "abc.dex", "tls": ca}, "check registry.token"),
                                  (mutual, {"tls": {**ca, **client}}, {"tls": ca}, "no answer"),
                                  (basic, {**user, "tls": ca}, {**user, "tls": {"ca": f"{certificates}/other-ca.pem"}}, "no answer")):
        register(build, directory, {"url": gate.url, **bad}, "--dry-run", schema=version(1), code=3, text=text)
        register(build, directory, {"url": gate.url, **good}, "--dry-run", schema=version(1), code=0, text="as its first version")
    check("--dry-run leaves no trace", registry.subjects() == [], registry.subjects())


def test_subjects(build, directory, registry):
    for subject, name in (("topic_name", "line-value"), ("record_name", "plant.Machine"), ("topic_record_name", "line-plant.Machine")):
        options = {"url": registry.url, "subject": subject}
        register(build, directory, options, schema=version(1), code=0, text=f"subject {name}, version 1, id ")
        register(build, directory, options, schema=version(1), code=0, text="it was there")
        register(build, directory, options, "--dry-run", schema=version(2), code=0, text="it is compatible")
        register(build, directory, options, schema=version(2), code=0, text=f"subject {name}, version 2, id ")
        register(build, directory, options, schema=version(1), code=0, text=f"subject {name}, version 1, id ")
        wrong = {**version(2), "fields": [*FIELDS[:2], {"name": "must", "type": "long"}]}
        for words in ((), ("--dry-run",)):
            register(build, directory, options, *words, schema=wrong, code=1, text="/fields/2")
    check("each strategy has its subject", sorted(registry.subjects()) == ["line-plant.Machine", "line-value", "plant.Machine"], registry.subjects())
    check("what is refused is not there", registry.ask("/subjects/line-value/versions") == [1, 2])


# --- a stream that evolves ---

class Life:
    """The agent, from one version of the schema to the next; what it was given."""

    def __init__(self, build, work, kafka, gate, certificates):
        self.streams = {"machine": data.Stream(version(1), None, [], None), "steady": data.stream("buttons", 0)}
        self.spare = list(data.stream("buttons", 400).lines)
        options = {"url": gate.url, "user": "weir", "password": "weir-secret", "references": {"plant.Place": "place"},
                   "tls": {"ca": f"{certificates}/ca.pem", "certificate": f"{certificates}/client.pem", "key": f"{certificates}/client.key"}}
        self.agent = Agent(build, os.path.join(work, "agent"), self.streams, kafka, options)
        self.kafka, self.events, self.later, self.steady = kafka, [], [], 0
        self.agent.change(lambda config: config["streams"]["machine"].update(unknown_fields="set_aside"))

    def write(self, schema):
        with open(os.path.join(self.agent.dir, "machine.avsc"), "w") as f:
            json.dump(schema, f)

    def begin(self, number):
        self.write(version(number))
        self.agent.start()

    def post(self, number, count=40):
        some = [event(number, len(self.events) + i) for i in range(count)]
        self.agent.post("machine", [json.dumps(e) + "\n" for e in some])
        self.events += some

    def post_steady(self, count=40):
        self.agent.post("steady", self.spare[self.steady:self.steady + count])
        self.steady += count
        wait_delivered(self.kafka, "steady", self.steady)


def test_evolution(life, kafka, registry, gate):
    life.begin(1)
    life.post(1)
    life.post_steady()
    wait_delivered(kafka, "machine", 40)
    for number, trouble in ((2, 503), (3, None), (4, "silence"), (5, None)):
        life.agent.stop()
        gate.trouble = trouble
        life.begin(number)
        life.post(number)
        life.post_steady()      # under its known id, whatever the registry does
        if trouble:
            wait_for("word of the registry", lambda: "registry" in (life.agent.status()["uplinks"]["cloud"]["fault"] or "") or trouble == "silence")
            check(f"version {number}: waits for the registry", len(read_back(kafka, "machine")) == len(life.events) - 40)
            gate.trouble = None if number == 2 else trouble     # mended while it runs, or between two lives
        if not gate.trouble:
            wait_delivered(kafka, "machine", len(life.events))
    check("the types that are apart have their subject", registry.ask("/subjects/place/versions") == [1])
    answer = registry.ask("/subjects/machine-value/versions/latest")
    check("and a reference", answer["references"] == [{"name": "plant.Place", "subject": "place", "version": 1}], answer)


def test_refused_and_mended(life, kafka, registry):
    """Somebody else has registered what this stream can't follow: its events wait, all others go on."""
    registry.ask("/config", {"compatibility": "NONE"}, "PUT")
    other = {**version(1), "fields": [{"name": "n", "type": "string"}, {"name": "place", "type": "plant.Place"}]}
    registry.ask("/subjects/machine-value/versions", {"schema": json.dumps(other), "references": [
        {"name": "plant.Place", "subject": "place", "version": 1}]})        # this registry compares no others with those that have references
    registry.ask("/config", {"compatibility": "BACKWARD"}, "PUT")
    life.agent.stop()
    life.begin(6)
    life.post(6)
    wait_for("word of the refusal", lambda: fault_of(life.agent, "machine"))
    fault = fault_of(life.agent, "machine")
    check("the status names subject, reason and way out", "machine-value" in fault and "/fields/0" in fault and "mend the schema" in fault, fault)
    life.post_steady()
    check("nothing of it goes out", len(read_back(kafka, "machine")) == len(life.events) - 40)
    registry.ask("/subjects/machine-value/versions/6", method="DELETE")
    life.agent.kill()
    life.agent.start()
    wait_delivered(kafka, "machine", len(life.events))


def test_gate(life, kafka):
    """A version that those of before can't be read with is refused at the edge; what only it would take is set aside; mended and read again, it is
    accepted, and what was set aside is sent."""
    stream = lambda: life.agent.stream("machine")
    wrong = version(7)
    wrong["fields"][0] = {"name": "n", "type": "int"}
    wrong["fields"].append({"name": "must", "type": "long"})
    for restart in (False, True):
        if restart:
            life.agent.kill()
        life.write(wrong)
        if restart:
            life.agent.start()
        else:
            life.agent.reload()
        wait_for("word of the refusal", lambda: stream()["schema_refused"])
        text = json.dumps(stream()["schema_refused"])
        check("the status names kinds, places and the way out",
              all(t in text for t in ("TYPE_MISMATCH", "/fields/0/type", "READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/7", "default")), text)
        life.post(6)
        wait_delivered(kafka, "machine", len(life.events))
        later = [event(7, 10000 + 20 * restart + i) for i in range(20)]
        answer = life.agent.post_raw("machine", "".join(json.dumps(e) + "\n" for e in later).encode())
        check("what only it would take is set aside", answer["stored"] == 0 and len(answer["aside"]) == 20 and "note" in str(answer["aside"][0]), answer)
        life.later += later
    r = life.agent.command("check", life.agent.path)
    check("weir check says it", r.returncode == 1 and "TYPE_MISMATCH" in r.stdout + r.stderr, r)
    life.write(version(7))
    life.agent.reload()
    wait_for("the version to be taken", lambda: not stream()["schema_refused"])
    life.post(7)
    r = life.agent.command("aside", "replay", "--stream", "machine", "--buffer", os.path.join(life.agent.dir, "buffer.db"))
    check("what was set aside is sent", r.returncode == 0 and life.agent.status()["aside"] == 0, r)
    life.events += life.later
    wait_delivered(kafka, "machine", len(life.events))


def test_values(life, kafka, registry):
    client = SchemaRegistryClient({"url": registry.url})
    newest = AvroDeserializer(client, Schema(json.dumps(version(7)), "AVRO"))
    messages = read_back(kafka, "machine")
    got = [newest(m.value(), SerializationContext("machine", MessageField.VALUE)) for m in messages]
    check(f"{len(life.events)} events of seven versions, each once, by the newest schema",
          sorted(got, key=lambda e: e["n"]) == [read_as_newest(e) for e in life.events], got[:2])
    ids = {m.value()[:5] for m in messages}
    check("each version under its own id", len(ids) == 7, ids)
    sequences = [int(dict(m.headers())["weir_id"].decode().split("/")[3]) for m in messages]
    check("sequences are 1 to n", sorted(sequences) == list(range(1, len(life.events) + 1)))


def run(build, work):
    certificates, ways = os.path.join(work, "tls"), os.path.join(work, "ways")
    os.makedirs(ways)
    subprocess.run(["bash", os.path.join(HERE, "certs.sh"), certificates], check=True, stdout=subprocess.DEVNULL)
    for name in os.listdir(certificates):
        os.chmod(os.path.join(certificates, name), 0o600)
    kafka, registry = Kafka(os.path.join(work, "kafka")), Registry(os.path.join(work, "registry"))
    life = None
    try:
        registry.start()
        test_ways_in(build, ways, registry, certificates)
        test_subjects(build, ways, registry)
        kafka.start()
        kafka.topics({"machine": 2, "steady": 1})
        gate = Gate(registry.url, certificates, wants_client=True, login=Gate.basic("weir", "weir-secret"))
        life = Life(build, work, kafka, gate, certificates)
        test_evolution(life, kafka, registry, gate)
        test_refused_and_mended(life, kafka, registry)
        test_gate(life, kafka)
        test_values(life, kafka, registry)
        check("nothing was set aside", life.agent.status()["aside"] == 0, life.agent.status()["aside"])
    finally:
        if life:
            life.agent.kill()
        registry.stop()
        kafka.end()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    work = tempfile.mkdtemp(prefix="weir-registry.")
    try:
        run(sys.argv[1], work)
    except BaseException:
        print(f"what was written is in {work}", flush=True)
        raise
    if failures:
        sys.exit(f"{len(failures)} failed; what was written is in {work}")
    shutil.rmtree(work)
    print("registry readers: all fine")


if __name__ == "__main__":
    main()
