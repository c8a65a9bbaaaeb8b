"""Encryption, logins and rights against a real Kafka, one agent for each. What works goes on while sessions end and tokens are renewed,
on the same connections. What is wrong is told in a sentence, in log and status, without a secret; it is tried again with long pauses; nothing
is lost or doubled; and once the cause is mended events arrive, without a restart of anybody.

usage: security_test.py WEIR     with the python of tests/services/readers.sh kafka"""
import atexit
import os
import re
import ssl
import sys
import time

from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType,
                                   ResourceType, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)

from peers import Door, Endpoint, tls
from program import Agent, check, finish, free_port, path_of, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "services"))
from services import Kafka, PATIENCE, service       # noqa: E402

PRODUCE, SASL_HANDSHAKE = 0, 17
WATCHED_S = 18          # how long the troubles are looked at
SESSION_MS = 8000       # renewed when 80 % of it are over: a machine that is busy has a second and a half for that
SECRETS = ("weir-secret", "guest-secret", "new-secret", "client-secret")

# --- the broker: plain for the test, SASL behind doors, TLS 1.2 with client certificates, TLS 1.3 with SASL ---

broker = Kafka(path_of("kafka"))
port, kafka, admin = broker.port, broker.dir, broker.admin
atexit.register(broker.end)
broker.start("both", "mtls", "acl", "oauth", "advertise=+5", f"connections.max.reauth.ms={SESSION_MS}",
             "listener.name.ssl.ssl.enabled.protocols=TLSv1.2", "listener.name.sasl_ssl.ssl.enabled.protocols=TLSv1.3",
             "listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256")
SASL, SSL, SASL_SSL, DOOR = port + 1, port + 2, port + 3, port + 5
certs = path_of("certs")
service("certs.sh", certs)
with open(path_of("ca.pem"), "w") as trusted:
    for ca in (os.path.join(certs, "ca.pem"), os.path.join(kafka, "tls", "ca.pem")):
        with open(ca) as f:
            trusted.write(f.read())
for key in (os.path.join(certs, "client.key"), os.path.join(kafka, "tls", "client.key")):
    os.chmod(key, 0o600)


def server(name, **more):
    return tls(os.path.join(certs, name + ".pem"), os.path.join(certs, name + ".key"), **more)


def password(user, secret):
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
    for future in admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, info, secret.encode())]).values():
        future.result(PATIENCE)


def right(user, topic):
    return [AclBinding(ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:" + user, "*", operation, AclPermissionType.ALLOW)
            for operation in (AclOperation.WRITE, AclOperation.DESCRIBE)]


def give(rights):
    for future in admin.create_acls(rights).values():
        future.result(PATIENCE)


def take(user):
    for future in admin.delete_acls([AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, "User:" + user, None, AclOperation.ANY,
                                                      AclPermissionType.ANY)]).values():
        future.result(PATIENCE)


# --- the agents ---

class Case:
    def __init__(self, name, at, user, sasl=None, says=(), mend=None, trust="ca.pem", **own_tls):
        self.name, self.user, self.says, self.mend = name, user, says, mend
        self.door = at if isinstance(at, Door) else None
        self.count, self.before = 0, 0
        sasl = {"sasl": sasl} if sasl else {}
        address = f"127.0.0.1:{at.port if self.door else at}"
        self.agent = Agent({
            "agent": {"id": name}, "buffer": {"path": path_of(name, "buffer.db"), "size_max": "8 MiB"},
            "streams": {"events": {}},
            "drivers": {"post": {"type": "http", "stream": "events", "listen": f"127.0.0.1:{free_port()}", "ack_interval": "5 ms"}},
            "uplinks": {"cloud": {"type": "kafka", "brokers": [address], "topic": name, "streams": ["events"], "backoff_max": "2 s",
                                  "client_id": name,
                                  "tls": {"ca": path_of(trust), **own_tls}, **sasl}}}, name + ".json")
        self.agent.log_path = path_of(name + ".log")

    def post(self, count=5):
        lines = "".join(f'{{"text":"{self.name}-{n:06}"}}\n' for n in range(self.count, self.count + count))
        status, _ = self.agent.post("/events", lines, {"Content-Type": "application/x-ndjson"})
        check(f"{self.name}: the agent takes events", status == 200, str(status))
        self.count += count

    def fault(self):
        return self.agent.status()["uplinks"]["cloud"]["fault"] or ""

    def tells(self):
        return all(re.search(word, self.fault()) for word in self.says)

    def tries(self):
        """Connections to a door of its own; logins where others go in and out, too; and who is in sends a request."""
        if self.door is not good:
            return self.door.attempts
        return good.requests[self.name, PRODUCE if self is revoked else SASL_HANDSHAKE]

    def stored(self):
        return read_count(self.name)

    def is_stored(self):
        return self.stored() >= self.count


reader = Consumer({"bootstrap.servers": f"127.0.0.1:{port}", "group.id": "security", "log_level": 0, "enable.auto.commit": False})


def read_count(topic):
    return reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE)[1]


def read_all(topic):
    end, texts, until = read_count(topic), [], time.monotonic() + PATIENCE
    reader.assign([TopicPartition(topic, 0, 0)])
    while len(texts) < end and time.monotonic() < until:
        message = reader.poll(1)
        if message and not message.error():
            texts += re.findall(rb"[a-z0-9_]+-[0-9]{6}", message.value())
    return [t.decode() for t in texts]


def scram(user, secret, size=256):
    return {"mechanism": f"SCRAM-SHA-{size}", "user": user, "password": secret}


def bearer(client):
    return {"mechanism": "OAUTHBEARER", "oauth": {"url": endpoint.url, "client_id": client, "client_secret": "client-secret"}}


endpoint = Endpoint("client-secret")
endpoint.age_s["late"] = 3600
good = Door(SASL, server("server"), DOOR)
weir = scram("weir", "weir-secret")
client = {"certificate": os.path.join(kafka, "tls", "client.pem"), "key": os.path.join(kafka, "tls", "client.key")}
working = [
    Case("tls12_certificate", SSL, "CN=weir", **client),
    Case("tls13_scram256", SASL_SSL, "weir", weir, version_min="1.3"),
    Case("plain", good, "weir", {"mechanism": "PLAIN", "user": "weir", "password": "weir-secret"}),
    Case("scram512", good, "weir", scram("weir", "weir-secret", 512)),
    Case("bearer", good, "bearer", bearer("bearer")),
]


def door(context=None, to=SASL):
    return Door(to, context)


def behind(name, says, mended=None, **broken):
    """A door whose certificate is wrong until it is mended."""
    at = door(server(name, **broken))
    return at, says, lambda: setattr(at, "context", good.context)


def wrong_door(to):
    """A door that leads to a listener which does not want the agent, until it is mended."""
    at = door(to=to)

    def mend():
        at.context, at.to = good.context, SASL
    return at, mend


at_ssl, mend_ssl = wrong_door(SSL)
at_mechanism, mend_mechanism = wrong_door(SASL_SSL)
troubles = []
for name, (at, says, mend) in {
        "unknown_ca": behind("self", ["no authority that is trusted here", "tls.ca"]),
        "wrong_name": behind("wrong-name", ["not for the name 127.0.0.1"]),
        "expired": behind("expired", ["expired on 2020-02-01"]),
        "no_certificate13": behind("server", ["certificate"], client_ca=os.path.join(certs, "ca.pem"),
                                   minimum_version=ssl.TLSVersion.TLSv1_3)}.items():
    troubles.append(Case(name, at, "weir", weir, says, mend))
troubles += [
    Case("no_certificate12", at_ssl, "weir", weir, ["certificate"], mend_ssl),
    Case("wrong_password", good, "other", scram("other", "new-secret"), ["refuses the login of user other", "sasl.password"],
         lambda: password("other", "new-secret")),
    Case("unknown_mechanism", at_mechanism, "weir", scram("weir", "weir-secret", 512),
         ["SCRAM-SHA-512", "UNSUPPORTED_SASL_MECHANISM", "it offers: .*SCRAM-SHA-256"], mend_mechanism),
    Case("expired_token", good, "late", bearer("late"), ["refuses the access token of client late", "invalid_token", "expired"],
         lambda: endpoint.age_s.pop("late")),
]
revoked = Case("revoked_right", good, "guest", scram("guest", "guest-secret"), ["TOPIC_AUTHORIZATION_FAILED", "WRITE"],
               lambda: give(right("guest", "revoked_right")))
everyone = working + troubles + [revoked]

# --- what happens ---

broker.create({c.name: {} for c in everyone}, 1)
password("other", "old-secret")
give([r for c in everyone for r in right(c.user, c.name)])
for c in everyone:
    c.agent.start()
    c.post()
for c in working + [revoked]:
    check(f"{c.name}: works", wait_until(c.is_stored, PATIENCE), c.fault())
take("guest")
revoked.post()
troubles.append(revoked)
for c in troubles:
    check(f"{c.name}: says what is wrong", wait_until(c.tells, PATIENCE), c.fault())
    print(f"{c.name}: {c.fault()}", flush=True)
    c.before = c.tries()
    check(f"{c.name}: its tries are counted", c.before >= 1, str(good.requests))
links, tokens = good.attempts, endpoint.given["bearer"]
for _ in range(WATCHED_S * 2):
    time.sleep(0.5)
    for c in working:
        c.post(1)
check("sessions are renewed on the connections that are there", good.attempts - links <= 2, f"{good.attempts - links} more")
check("tokens were renewed meanwhile", endpoint.given["bearer"] - tokens >= 2, str(endpoint.given))
for c in troubles:
    log = c.agent.log()
    check(f"{c.name}: its log says it", all(re.search(word, log) for word in c.says), log[-600:])
    again = c.tries() - c.before
    check(f"{c.name}: seldom tries again", again <= 2, f"{again} more")
    check(f"{c.name}: nothing arrives", c.stored() == (5 if c is revoked else 0), str(c.stored()))
    c.mend()
for c in working + troubles:
    check(f"{c.name}: everything arrives, without a restart", wait_until(c.is_stored, PATIENCE), f"{c.stored()} of {c.count}: {c.fault()}")
    check(f"{c.name}: the agent has gone on all the time", c.agent.process.poll() is None)
    check(f"{c.name}: all is well again", wait_until(lambda: not c.fault()), c.fault())
for c in working + troubles:
    texts = read_all(c.name)
    check(f"{c.name}: each event once", texts == [f"{c.name}-{n:06}" for n in range(c.count)], f"{len(texts)} of {c.count}")
    status = str(c.agent.status())
    check(f"{c.name}: no secret is told", not any(s in c.agent.log() + status for s in SECRETS))
    check(f"{c.name}: an orderly end", c.agent.stop() == 0)
reader.close()
finish()
