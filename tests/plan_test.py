"""`weir plan` against what the agent really uses: planned from the first half of a set of real data, then the second half is fed to agents that
deliver to a real Kafka over a cable between two network name spaces, while their connections are killed again and again. What the plan
says for that time, and what the agent's own link counters and the interface's say: within 10 %.

usage: plan_test.py WEIR      WEIR_LONG=1: four minutes instead of 45 s. Needs name spaces and `ss -K`."""
import plan_cable
from plan_cable import CALM, FAR, LONG, OUTAGE

import services
services.need_kafka_client()
plan_cable.enter(lambda: services.service("kafka.sh", "jars", "4.4.0"))
import ssl                          # noqa: E402

from program import finish, path_of     # noqa: E402

LOCAL_PORT = 19092
LISTENERS = {"FAR": (FAR, 19142), "CALM": (CALM, 19152), "SAFE": (FAR, 19162)}
CASES = {f"{layout}-{linger}": (layout, linger, "CALM" if linger > OUTAGE and not LONG else "FAR", "energy_meter")
         for layout in ("rows", "columns") for linger in (1, 10)}
CASES["tls-1"] = ("columns", 1, "SAFE", "energy_meter")
CASES["log-1"] = ("rows", 1, "FAR", "syslog")     # without a schema


def agent(cable, name, layout, linger, listener, data):
    tls = {"tls": {"ca": path_of("kafka", "tls", "ca.pem"), "server_name": "localhost"}} if listener == "SAFE" else {}
    return plan_cable.Agent(cable, name, data, {"type": "kafka", "brokers": ["%s:%d" % LISTENERS[listener]], "topic": name, "layout": layout,
                                                "linger": f"{linger} s", **tls}, listener == "CALM")


def kafka_start():
    kafka = services.Kafka(path_of("kafka"), port=LOCAL_PORT)
    far = ",".join("%s://%s:%d" % (name, *listener) for name, listener in LISTENERS.items())
    kafka.start("ssl", f"listeners=PLAINTEXT://127.0.0.1:{LOCAL_PORT},{far},CONTROLLER://127.0.0.1:{LOCAL_PORT + 4}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{LOCAL_PORT},{far}",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,FAR:PLAINTEXT,CALM:PLAINTEXT,SAFE:SSL,CONTROLLER:PLAINTEXT")
    kafka.create({name: {} for name in CASES}, partitions=1)
    return kafka


cable = plan_cable.Cable()
try:
    kafka = kafka_start()
    chain = len(ssl.PEM_cert_to_DER_cert(open(path_of("kafka", "tls", "broker.pem")).read()))
    plan_cable.drive(cable, [agent(cable, name, *case) for name, case in CASES.items()], lambda _: ("--certificates", str(chain)))
    kafka.end()
finally:
    cable.end()
finish()
