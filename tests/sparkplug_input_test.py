"""Sparkplug B from a real broker, by the example's configuration: births, data, and what is no payload.

usage: sparkplug_input_test.py WEIR"""
import json
import os
import subprocess
import sys

from program import Agent, PATIENCE, check, finish, path_of, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXAMPLES = os.path.join(ROOT, "config", "examples")
sys.path.insert(0, os.path.join(ROOT, "tests", "services"))
from services import MqttBroker       # noqa: E402

broker = MqttBroker(path_of("broker"))
port = broker.port


def payload(name):
    with open(os.path.join(ROOT, "tests", "corpus", "sparkplug", name), "rb") as f:
        return f.read()[1:]


def publish(topic, body):
    subprocess.run(["mosquitto_pub", "-p", str(port), "-q", "1", "-t", topic, "-s"], input=body, check=True, timeout=PATIENCE)


def without_name_of_union(value):
    """`buffer cat` writes unions as Avro's JSON encoding does: {"long": 1}."""
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.values()))
    return value


broker.start()
with open(os.path.join(EXAMPLES, "sparkplug.json")) as f:
    config = json.load(f)
config["buffer"]["path"] = path_of("d", "buffer.db")
config["streams"]["plant"]["schema"] = os.path.join(EXAMPLES, "sparkplug.avsc")
config["drivers"]["plant"]["url"] = f"mqtt://127.0.0.1:{port}"
config["uplinks"]["files"]["path"] = path_of("out")
agent = Agent(config).start()


def driver():
    return agent.status()["drivers"]["plant"]


check("it subscribes", wait_until(lambda: "NDATA" in json.dumps(driver()) or not driver().get("fault")), str(driver()))
# A first message may come before the subscription: it is sent until it is there.
check("a birth is stored", wait_until(lambda: publish("spBv1.0/G/NBIRTH/N", payload("nbirth")) or driver()["stored"] > 0))
publish("spBv1.0/G/NDATA/N", payload("ndata"))
publish("spBv1.0/G/NDATA/N", b"no protobuf")
publish("spBv1.0/G/DDATA/N/D", payload("ddata"))
publish("spBv1.0/G/DDEATH/N/D", payload("ddeath"))
publish("spBv1.0/G/NDEATH/N", payload("ndeath"))
publish("spBv1.0/G/NDATA/N", payload("ndata"))      # late: what its birth said still stands
check("all of it is taken", wait_until(lambda: driver()["aside"] == 1 and json.dumps(agent.stored("plant")).count('"NDATA"') == 2), str(driver()))
check("names that are not known are counted", driver().get("unnamed_metrics") == 3, str(driver()))
check("it stops", agent.stop() == 0)

events = [e["event"] if "event" in e else e for e in agent.stored("plant")]
kinds = [e["type"] for e in events]
check("births, data and deaths are events, in their order", [k for k in kinds if k != "NBIRTH"] == [
    "NDATA", "DDATA", "DDEATH", "NDEATH", "NDATA"] and kinds[0] == "NBIRTH", str(kinds))
for data in [e for e in events if e["type"] == "NDATA"]:
    shown = [(without_name_of_union(m["name"]), m["value"], without_name_of_union(m["quality"])) for m in data["metrics"]]
    check("metrics have names and values, before and after a death", shown == [
        ("Temperature", {"double": 0.1}, None), ("Offset", {"long": -6}, None), ("Level", {"long": -127}, None),
        (None, {"long": 4294967290}, None), ("Temperature", None, 500)], str(shown))
dead = {e["type"]: (e["device"], e["seq"], [(m["name"], m["value"]) for m in e["metrics"]]) for e in events if "DEATH" in e["type"]}
dead = {t: (without_name_of_union(d), without_name_of_union(s), [(without_name_of_union(n), v) for n, v in m]) for t, (d, s, m) in dead.items()}
check("a death says who, and which session", dead == {"DDEATH": ("D", 6, []), "NDEATH": (None, None, [("bdSeq", {"long": 3})])}, str(dead))
reasons = [a["reason"] for a in agent.aside()]
check("what is no payload is set aside with its reason", len(reasons) == 1 and "not a Sparkplug B payload" in reasons[0], str(reasons))
broker.stop()
finish()
