"""weir check --online against a real Kafka with TLS, logins and ACLs, a real registry, and mosquitto: each thing that is wrong gives its line, what is
right gives none, and nothing is stored, sent, created or registered by asking.

usage: online_test.py WEIR      WEIR_LONG=1: brokers 2.8, 3.9 and 4.4 instead of 4.4 alone"""
import json
import os
import re
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
import services                     # noqa: E402
from services import PATIENCE       # noqa: E402
services.need_kafka_client()
from confluent_kafka import Consumer, TopicPartition  # noqa: E402
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType  # noqa: E402
from program import Agent, check, finish, free_port, path_of, run, wait_until, write  # noqa: E402

VERSIONS = ["2.8.2", "3.9.2", "4.4.0"] if os.environ.get("WEIR_LONG") == "1" else ["4.4.0"]
SCHEMA = {"type": "record", "name": "Typed", "fields": [{"name": "n", "type": "long"}, {"name": "t", "type": "string"}]}
OLDER = {"type": "record", "name": "Typed", "fields": [{"name": "n", "type": "string"}]}
TOPICS = {"good": {}, "short": {"retention.ms": "3600000"}, "small": {"max.message.bytes": "300000"}, "denied": {}, "unread": {}, "closed": {},
          "changed": {}, "compacted": {"cleanup.policy": "compact"}}


class Kafka(services.Kafka):
    def __init__(self, version, port):
        super().__init__(path_of("kafka-" + version), version, port)
        self.start("both", "acl")
        self.create(TOPICS)
        rights = {name: ["WRITE", "READ", "DESCRIBE_CONFIGS"] for name in TOPICS}
        rights |= {"denied": ["DESCRIBE", "DESCRIBE_CONFIGS"], "unread": ["WRITE"], "closed": []}
        bindings = [AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:weir", "*", AclOperation[operation], AclPermissionType.ALLOW)
                    for topic, operations in rights.items() for operation in operations]
        for made in self.admin.create_acls(bindings).values():
            made.result(PATIENCE)
        user = self.admin_of(f"127.0.0.1:{port + 1}", **{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
                                                         "sasl.username": "weir", "sasl.password": "weir-secret"})
        # The rights of a topic come into force together, those of different topics one after the other.
        if not wait_until(lambda: set(user.list_topics(timeout=PATIENCE).topics) >= set(TOPICS) - {"closed"}, PATIENCE):
            raise SystemExit("the ACLs do not come into force")

    def records(self):
        consumer = Consumer({"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": "g", "log_level": 0})
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=PATIENCE)[1] for topic in TOPICS for p in range(2)]
        consumer.close()
        return sum(ends)

    def uplink(self, stream, **options):
        """Reached by SASL_SSL, everything right."""
        return {"type": "kafka", "brokers": [f"localhost:{self.port + 3}"], "streams": [stream], "tls": {"ca": self.dir + "/tls/ca.pem"},
                "sasl": {"mechanism": "PLAIN", "user": "weir", "password": "weir-secret"}, **options}


def start_registry(port):
    registry = services.Registry(path_of("registry"), port)
    registry.start()
    registry.register("changed-value", OLDER)
    return registry


def configuration(uplinks, streams=None, drivers=None):
    write("typed.avsc", json.dumps(SCHEMA))
    names = streams or sorted({name for uplink in uplinks.values() for name in uplink["streams"]})
    return {"agent": {"id": "t"}, "buffer": {"path": path_of("never", "buffer.db"), "size_max": "64 MiB"},
            "streams": {name: {"schema": "typed.avsc"} for name in names},
            "drivers": drivers or {"post": {"type": "http", "listen": f"127.0.0.1:{free_port()}", "stream": names[0]}}, "uplinks": uplinks}


def online(config):
    """(exit code, {(level, path, what): text}) by the document, after a look at the lines, which must say the same."""
    path = write("online.json", json.dumps(config))
    r = run("check", "--online", "--json", path)
    try:
        found = {(f["level"], f["path"], f["what"]): f["text"] for f in json.loads(r.stdout)["findings"]}
    except ValueError:
        raise SystemExit(f"no document: {r.stdout} {r.stderr}")
    return r.returncode, found


def expect(what, uplink, *wanted, code=1, name="cloud"):
    """These warnings and errors of this uplink, and no other: (level, option, what, text)."""
    got, found = online(configuration({name: uplink}))
    bad = {key: text for key, text in found.items() if key[0] != "ok"}
    clock = [text for (_, _, subject), text in found.items() if subject == "clock"]
    check(f"{what}: the clock is told of once", len(clock) == 1, str(clock))
    if "can't be told" in clock[0]:     # whether that is a warning is for this machine's kernel to say
        bad.pop(("warning", f"$.uplinks.{name}", "clock"), None)
    for level, option, subject, text in wanted:
        key = (level, f"$.uplinks.{name}" + ("." + option if option else ""), subject)
        check(f"{what}: {key}", text in bad.pop(key, ""), json.dumps([list(k) + [t] for k, t in found.items()], indent=1))
    check(f"{what}: nothing else", not bad, str(bad))
    check(f"{what}: exit code {code}", got == code, str(got))
    check(f"{what}: no password", "weir-secret" not in str(found) and "guess-7" not in str(found))


def test_all_is_well(kafka, registry):
    port = free_port()
    config = configuration({"cloud": kafka.uplink("good", registry={"url": registry.url})},
                           drivers={"post": {"type": "http", "listen": f"127.0.0.1:{port}", "stream": "good"}})
    code, found = online(config)
    ok = {key: text for key, text in found.items() if key[0] == "ok"}
    check("all is well", code == 0 and ok == found, json.dumps([list(k) + [t] for k, t in found.items()], indent=1))
    cloud = "$.uplinks.cloud"
    for path, what, text in [
            (cloud + ".brokers[0]", f"name of localhost:{kafka.port + 3}", "127.0.0.1"), (cloud + ".sasl", f"login at localhost:{kafka.port + 3}", "PLAIN"),
            (cloud + ".tls", f"certificate of localhost:{kafka.port + 3}", "verified, good for 36"), (cloud + ".topic", "topic good", "2 partitions"),
            (cloud + ".topic", "rights on topic good", "Write, Describe, Read"), (cloud + ".topic", "settings of topic good", "kept 7 d"),
            (cloud, "producer id", "given"), (cloud + ".registry.url", "clock", "agrees"), (cloud + ".registry", "subject good-value", "not there yet"),
            ("$.drivers.post.listen", f"listening on 127.0.0.1:{port}", "is free")]:
        check(f"said to be well: {path} {what}", text in ok.get(("ok", path, what), ""), str(ok))
    lines = run("check", "--online", path_of("online.json"))
    check("a line each", lines.returncode == 0 and sorted(lines.stdout.splitlines()) ==
          sorted(f"{level:7}  {path}: {what} — {text}" for (level, path, what), text in found.items()), lines.stdout + lines.stderr)


def test_mistakes(kafka, registry):
    at = f"localhost:{kafka.port + 3}"
    expect("a wrong port", kafka.uplink("good", brokers=["localhost:1"]), ("error", "brokers[0]", "connection to localhost:1", "Connection refused"))
    expect("one of two", kafka.uplink("good", brokers=["localhost:1", at]), ("warning", "brokers[0]", "connection to localhost:1", "refused"), code=0)
    expect("an unknown name", kafka.uplink("good", brokers=["nowhere.invalid:9093"]), ("error", "brokers[0]", "name of nowhere.invalid:9093", "check the name"))
    expect("a wrong CA", kafka.uplink("good", tls={"ca": path_of("certs", "other-ca.pem")}), ("error", "tls", "TLS with " + at, "set tls.ca"))
    expect("a wrong name", kafka.uplink("good", tls={"ca": kafka.dir + "/tls/ca.pem", "server_name": "elsewhere"}),
           ("error", "tls", "TLS with " + at, "not for the name elsewhere"))
    expect("no verification", kafka.uplink("good", tls={"insecure": True}), ("warning", "tls.insecure", "certificate of " + at, "not verified"),
           ("warning", "tls.insecure", f"certificate of 127.0.0.1:{kafka.port + 3}", "not verified"), code=0)
    plain = f"localhost:{kafka.port}"
    expect("TLS where none is spoken", kafka.uplink("good", brokers=[plain]), ("error", "brokers[0]", "connection to " + plain, "is TLS spoken on that port?"))
    expect("a wrong password", kafka.uplink("good", sasl={"user": "weir", "password": "guess-7"}), ("error", "sasl", "login at " + at, "check sasl.user"))
    no_login = kafka.uplink("good")
    del no_login["sasl"]
    expect("no login", no_login, ("error", "sasl", "questions to " + at, 'set "sasl"'))
    # Where nothing is said about a topic that is missing: who may not see it is told no more.
    expect("a missing topic", kafka.uplink("good", topic="{stream}-x"), ("error", "topic", "topic good-x", "it is not there, or may not be seen"))
    by_all = {"type": "kafka", "brokers": [f"127.0.0.1:{kafka.port}"], "streams": ["good"], "topic": "{stream}-x"}
    expect("a missing topic that would be seen", by_all, ("error", "topic", "topic good-x", "the brokers create none"))
    expect("a missing topic that is not to be made", {**by_all, "topic_create": "never"}, ("error", "topic", "topic good-x", "topic_create is never"))
    expect("a missing topic that is to be made", {**by_all, "topic_create": "always"}, ("warning", "topic", "topic good-x", "will be created"), code=0)
    expect("no right to write", kafka.uplink("denied"), ("error", "topic", "rights on topic denied", "weir may not write"))
    expect("no right to read, or to see settings", kafka.uplink("unread"), ("warning", "in_doubt", "rights on topic unread", "give it Read"),
           ("warning", "topic", "settings of topic unread", "DescribeConfigs"), code=0)
    expect("no right at all", kafka.uplink("closed"), ("error", "topic", "topic closed", "give the user Describe and Write"))
    expect("a short retention", kafka.uplink("short", timestamp="event"), ("warning", "timestamp", "retention of topic short", "for 60 min by their own time"), code=0)
    expect("a short retention, from the arrival", kafka.uplink("short"), code=0)
    expect("a smaller message size", kafka.uplink("small"), ("warning", "message_size_max", "message size of topic small", '"300000 B"'), code=0)
    expect("the same, said", kafka.uplink("small", message_size_max="300000 B"), code=0)
    expect("a compacted topic and no key", kafka.uplink("compacted"), ("error", "topic", "cleanup.policy of topic compacted", "stream compacted has none"))
    expect("a schema that the registry refuses", kafka.uplink("changed", registry={"url": registry.url}),
           ("error", "registry", "subject changed-value", "incompatible with"))
    expect("a registry that is elsewhere", kafka.uplink("good", registry={"url": registry.url + "/nowhere"}),
           ("error", "registry.url", "schema registry", "check the path"))
    expect("no registry", kafka.uplink("good", registry={"url": "http://127.0.0.1:1"}), ("error", "registry.url", "schema registry", "no answer from"))


def test_drivers():
    """No broker: the ports to listen on, and the certificate."""
    key, certificate = path_of("own.key"), path_of("own.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    files = {"files": {"type": "file", "path": path_of("out"), "streams": ["good"]}}
    port = free_port()
    post = {"type": "http", "listen": f"127.0.0.1:{port}", "stream": "good"}
    config = configuration(files, drivers={"post": post})
    config["buffer"]["path"] = path_of("agent", "buffer.db")
    agent = Agent(config).start()
    here = ("$.drivers.post.listen", f"listening on 127.0.0.1:{port}")
    code, found = online(config)
    check("the agent has its port", code == 0 and "the agent runs" in found.get(("ok", *here), ""), str(found))
    other = {**config, "buffer": {"path": path_of("never", "buffer.db")}}
    code, found = online(other)
    check("a port that is taken", code == 1 and "already in use" in found.get(("error", *here), ""), str(found))
    agent.stop()
    code, found = online({**config, "drivers": {"post": {**post, "tls": {"certificate": certificate, "key": key}}}})
    soon = found.get(("warning", "$.drivers.post.tls.certificate", "own certificate"), "")
    check("a certificate that expires soon", code == 0 and re.search("in [45] days: renew it", soon), str(found))
    tail = {**config, "drivers": {"lines": {"type": "tail", "paths": [path_of("*.log")], "stream": "good"}}}
    r = run("check", "--online", write("nothing.json", json.dumps(tail)))
    check("nothing to ask", r.returncode == 0 and "needs it" in r.stdout, r.stdout)
    r = run("check", "--online", write("wrong.json", json.dumps({**tail, "streams": {"good": {"priorty": 1}}})))
    check("mistakes of the file come first", r.returncode == 1 and r.stdout == "" and "$.streams.good.priorty" in r.stderr, r.stdout + r.stderr)


def test_mqtt():
    """A real mosquitto; an agent is connected meanwhile, and is not disturbed."""
    broker = services.MqttBroker(path_of("mosquitto"))
    port, ca = broker.port, broker.dir + "/tls/ca.pem"
    broker.start("tls", "auth")
    right = {"type": "mqtt", "url": f"mqtts://localhost:{port + 1}", "stream": "good", "topics": ["site/#"], "user": "weir", "password": "weir-secret",
             "tls": {"ca": ca}}
    files = {"files": {"type": "file", "path": path_of("out"), "streams": ["good"]}}
    config = configuration(files, drivers={"b": right})
    config["buffer"]["path"] = path_of("agent-mqtt", "buffer.db")
    agent = Agent(config).start()

    def logins():
        with open(broker.dir + "/log") as f:
            return len(re.findall("New client connected from [^ ]+ as weir-t-b ", f.read()))
    check("the agent is connected", wait_until(lambda: logins() == 1), str(logins()))
    for what, options, bad in [
            ("all is well", {}, None), ("3.1.1", {"protocol": "3.1.1"}, None),
            ("a wrong password", {"password": "guess-7"}, ("user", f"login at localhost:{port + 1}", "not authorized")),
            ("a wrong CA", {"tls": {"ca": broker.dir + "/tls/other-ca.pem"}}, ("tls", f"TLS with localhost:{port + 1}", "set tls.ca")),
            ("a wrong port", {"url": "mqtts://localhost:1"}, ("url", "connection to localhost:1", "refused")),
            ("TLS forgotten", {"url": f"mqtt://localhost:{port + 1}", "tls": None}, ("url", f"login at localhost:{port + 1}", "mqtt:// or mqtts://"))]:
        driver = {key: value for key, value in {**right, **options}.items() if value is not None}
        code, found = online({**config, "drivers": {"b": driver}})
        errors = {key: text for key, text in found.items() if key[0] == "error"}
        if bad:
            text = errors.pop(("error", "$.drivers.b." + bad[0], bad[1]), "")
            check(f"mqtt, {what}", code == 1 and bad[2] in text and not errors, str(found))
        else:
            topics = ("ok", "$.drivers.b.topics", "topic filters")
            check(f"mqtt, {what}", code == 0 and not errors and "1 of 1" in found.get(topics, ""), str(found))
        check(f"mqtt, {what}: no password", "guess-7" not in str(found) and "weir-secret" not in str(found))
    check("and stays connected", logins() == 1 and agent.status()["drivers"]["b"]["fault"] is None, str(agent.status()["drivers"]["b"]))
    agent.stop()
    broker.stop()


def main():
    services.service("certs.sh", path_of("certs"))
    registries, first = [], services.free_ports(10 * len(VERSIONS) + 1)
    starting = threading.Thread(target=lambda: registries.append(start_registry(first)))
    starting.start()
    for i, version in enumerate(VERSIONS):
        kafka = Kafka(version, first + 1 + 10 * i)
        starting.join()
        if not registries:
            raise SystemExit("the registry did not start")
        test_all_is_well(kafka, registries[0])
        test_mistakes(kafka, registries[0])
        check(f"Kafka {version}: nothing was sent", kafka.records() == 0)
        check(f"Kafka {version}: no topic was made", {t for t in kafka.admin.list_topics(timeout=PATIENCE).topics if not t.startswith("__")} == set(TOPICS))
        kafka.end()
    check("nothing was registered", registries[0].subjects() == ["changed-value"], str(registries[0].subjects()))
    registries[0].stop()
    test_drivers()
    test_mqtt()
    check("the buffer was not touched", not os.path.exists(path_of("never")))
    finish()


main()
