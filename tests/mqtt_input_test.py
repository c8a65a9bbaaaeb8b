"""The MQTT driver against a real mosquitto: wildcards, shared and retained messages, user properties, a large message, QoS 2, a
proxy in the environment, client certificates that fit and ones that do not, a wrong password, a broker that stops and comes back.

usage: mqtt_input_test.py WEIR"""
import glob
import json
import os
import subprocess
import sys

from program import Agent, PATIENCE, check, configuration, finish, path_of, run, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "services"))
from services import MqttBroker, free_ports       # noqa: E402

first = free_ports(4)
broker, guarded = MqttBroker(path_of("open"), first), MqttBroker(path_of("closed"), first + 2)
os.environ["http_proxy"] = os.environ["HTTP_PROXY"] = "http://127.0.0.1:1"
os.environ["PAHO_C_CLIENT_USE_HTTP_PROXY"] = "TRUE"


broker.start("mtls")
guarded.start("auth")


def publish(topic, text, *words):
    subprocess.run(["mosquitto_pub", "-p", str(first), "-t", topic, "-q", "1", *words, "-s"], input=text.encode(), check=True, timeout=PATIENCE)


tls = os.path.join(broker.dir, "tls")
ca, other = os.path.join(tls, "ca.pem"), os.path.join(tls, "other-ca.pem")
own = {"certificate": os.path.join(tls, "client.pem"), "key": os.path.join(tls, "client.key")}
plain, secure = f"mqtt://127.0.0.1:{first}", f"mqtts://localhost:{first + 1}"


def driver(url, *topics, **more):
    return {"type": "mqtt", "url": url, "topics": list(topics), "stream": "raw", "ack_interval": "20 ms", **more}


config = configuration(1)
config["buffer"]["event_size_max"] = "1 MiB"
config["drivers"] = {
    "routed": {"type": "mqtt", "url": plain, "user_properties": True, "ack_interval": "20 ms",
               "routes": [{"topic": "site/*/temp", "stream": "typed", "set": {"k": "{topic.1}"}}]},
    "other": driver(plain, "$share/g/job/#", "big/#", "state/#", "state/+", payload="raw"),
    "old": driver(plain, "old/#", protocol="3.1.1"),
    "good": driver(secure, "secure", tls={"ca": ca, **own}),
    "unknown": driver(secure, "secure", tls={"ca": other, **own}),
    "name": driver(secure, "secure", tls={"ca": ca, "server_name": "elsewhere.invalid", **own}),
    "bare": driver(secure, "secure", tls={"ca": ca}),
    "right": driver(f"mqtt://127.0.0.1:{first + 2}", "x", user="weir", password="weir-secret"),
    "wrong": driver(f"mqtt://127.0.0.1:{first + 2}", "x", user="weir", password="wrong"),
}
# A retained message comes once, with the subscription: from then on all that is published is counted.
publish("state/door", "open", "-r")
publish("site/probe/temp", '{"n":0}', "-r")
publish("old/probe", "0", "-r")
publish("secure", "0", "-r")
agent = Agent(config).start()


def drivers():
    return agent.status()["drivers"]


def received(name, count):
    check(f"{name} has {count}", wait_until(lambda: drivers()[name]["received"] >= count), json.dumps(drivers()[name]))


def fault(name, text):
    check(f"{name} says \"{text}\"", wait_until(lambda: text in (drivers()[name]["fault"] or "")), json.dumps(drivers()[name]))


connected = ["routed", "other", "old", "good", "right"]
check("these are connected", wait_until(lambda: all(drivers()[name].get("connections") == 1 for name in connected)), json.dumps(drivers()))
for name in ("routed", "other", "old", "good"):
    received(name, 1)
fault("unknown", "certificate")
fault("name", "elsewhere.invalid")
fault("bare", "certificate")
fault("wrong", "not authorized")
texts = [drivers()[name]["fault"] for name in ("unknown", "name", "bare", "wrong")]
check("each with its own words", len(set(texts)) == 4, json.dumps(texts))


before = drivers()
publish("site/a/temp", '{"n":1}', "-V", "5", "-D", "publish", "user-property", "t", "1.5")
publish("site/b/temp", '{"n":2}', "-q", "2")
publish("site/b/other", '{"n":3}')
publish("job/1", "work")
publish("big/1", "x" * 100_000)
publish("old/1", "21.5")
publish("secure", "22")
received("routed", before["routed"]["received"] + 2)
received("other", before["other"]["received"] + 2)
received("old", before["old"]["received"] + 1)
received("good", before["good"]["received"] + 1)

# The broker stops and starts: what was published meanwhile, by its own word, comes.
broker.stop()
check("its end is told", wait_until(lambda: drivers()["routed"]["fault"]), json.dumps(drivers()["routed"]))
broker.resume()
publish("site/c/temp", '{"n":4}')
received("routed", before["routed"]["received"] + 3)
check("it is well again", wait_until(lambda: drivers()["routed"]["fault"] is None), json.dumps(drivers()["routed"]))
final = drivers()
check("retained messages do not come again", final["other"]["received"] == before["other"]["received"] + 2, json.dumps(final["other"]))
check("nothing is set aside", not agent.aside(), str(agent.aside()))
check("it stops in order", agent.stop() == 0, agent.log()[-500:])


def delivered(stream):
    """What is in the files, and what is not delivered yet, as text."""
    files = glob.glob(path_of("out", "**", f"*{stream}*", "**", "*.avro"), recursive=True) + glob.glob(path_of("out", "**", f"*{stream}*.avro"), recursive=True)
    return "".join(run("avro", "cat", f).stdout for f in sorted(set(files))) + json.dumps(agent.stored(stream), separators=(",", ":"))


typed = delivered("typed")
check("fields of topic, payload and properties", all(w in typed for w in ('"k":"a"', '"k":"b"', '"k":"c"', "1.5")), typed)
raw = delivered("raw")
check("retained is said", "mqtt state/door (retained)" in raw, raw[:500])
check("no password in the log", "weir-secret" not in agent.log())
broker.stop()
guarded.stop()
finish()
