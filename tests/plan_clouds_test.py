"""`weir plan` for Kinesis and Pub/Sub, compared as plan_test.py compares it for Kafka: with agents that deliver to stand-ins of Kinesis (HTTP/2, HTTP/1.1)
and Pub/Sub, whose answers have heads and ids as large as the services are taken to give.

usage: plan_clouds_test.py WEIR      WEIR_LONG=1: four minutes instead of 45 s. Needs name spaces, `ss -K`, and Go for the stand-in of Pub/Sub."""
import base64
import random
import ssl
import subprocess

import plan_cable
from plan_cable import CALM, FAR, LONG

import front
import kinesis_front
import services
plan_cable.enter(lambda: (services.service("readers.sh", "http2"), services.service("pubsub.sh", "install")))
from program import finish, path_of     # noqa: E402

# What TCP does while a link says nothing is the same for all (plan_test.py), and a matter of chance for each: here with LONG only.
ADDRESS = FAR if LONG else CALM
SAMPLE = 2000       # lines that a plan is made of
PUBSUB_PORT, METADATA_PORT = 18085, 18084
TOKEN = "ya29." + base64.urlsafe_b64encode(random.Random(1).randbytes(745)).decode().rstrip("=")   # as long as Google's
AWS = {"type": "kinesis", "region": "eu-central-1", "stream": "telemetry",
       "credentials": {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}}
PUBSUB = {"type": "pubsub", "project": "p1", "topic": "events"}


class Kinesis(kinesis_front.Kinesis):
    address = "0.0.0.0"


# Gives a token to everybody, in the name space of the agents.
METADATA = f"""
import http.server, json
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"access_token": {TOKEN!r}, "expires_in": 3600}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", {METADATA_PORT}), H).serve_forever()
"""


services.service("certs.sh", path_of("tls"), stderr=subprocess.DEVNULL)
front.need_http2()
TLS = {"tls": {"ca": path_of("tls", "ca.pem"), "server_name": "localhost"}}
CHAIN = len(ssl.PEM_cert_to_DER_cert(open(path_of("tls", "server.pem")).read()))
cable = plan_cable.Cable()
metadata = subprocess.Popen([*cable.prefix, "python3", "-c", METADATA])
try:
    kinesis, plain = Kinesis(path_of("tls")), Kinesis(path_of("tls"), front.HTTP1)

    def at(far):
        return f"https://{ADDRESS}:{far.listener.getsockname()[1]}"

    services.service("pubsub.sh", "start", path_of("pubsub"), str(PUBSUB_PORT), f"-tls={path_of('tls')}/server.pem,{path_of('tls')}/server.key", "-tls-host=0.0.0.0", "-as-google")
    subprocess.run(["curl", "-sf", "-o", "/dev/null", "--http2-prior-knowledge", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", "@-",
                    f"http://127.0.0.1:{PUBSUB_PORT}/google.pubsub.v1.Publisher/CreateTopic"], check=True, input=b"\0\0\0\0\x1b\n\x19projects/p1/topics/events")
    google = f"https://{ADDRESS}:{PUBSUB_PORT + 1}"
    CASES = {
        "kinesis-rows-1": ("energy_meter", {**AWS, "endpoint": at(kinesis), "linger": "1 s"}),
        "kinesis-columns-1": ("energy_meter", {**AWS, "endpoint": at(kinesis), "layout": "columns", "linger": "1 s"}),
        "kinesis-columns-10": ("energy_meter", {**AWS, "endpoint": at(kinesis), "layout": "columns", "linger": "10 s"}),
        "kinesis-log-1": ("syslog", {**AWS, "endpoint": at(kinesis), "linger": "1 s"}),
        "kinesis-json-1": ("energy_meter", {**AWS, "endpoint": at(kinesis), "layout": "columns", "linger": "1 s", "encoding": "json"}),
        "kinesis-http1-1": ("energy_meter", {**AWS, "endpoint": at(plain), "layout": "columns", "linger": "1 s"}),
        "pubsub-rows-1": ("energy_meter", {**PUBSUB, "endpoint": google, "linger": "1 s"}),
        "pubsub-columns-1": ("energy_meter", {**PUBSUB, "endpoint": google, "layout": "columns", "linger": "1 s"}),
        "pubsub-columns-10": ("energy_meter", {**PUBSUB, "endpoint": google, "layout": "columns", "linger": "10 s"}),
    }
    environment = {"GCE_METADATA_HOST": f"127.0.0.1:{METADATA_PORT}", "CLOUDSDK_CONFIG": path_of("none"), "GOOGLE_APPLICATION_CREDENTIALS": ""}
    agents = [plan_cable.Agent(cable, name, data, {**TLS, **uplink}, ADDRESS == CALM, SAMPLE, environment) for name, (data, uplink) in CASES.items()]
    plan_cable.drive(cable, agents, lambda agent: ("--certificates", str(CHAIN), *(["--http1"] if "http1" in agent.name else [])))
    services.service("pubsub.sh", "stop", path_of("pubsub"))
finally:
    metadata.kill()
    metadata.wait()
    cable.end()
finish()
