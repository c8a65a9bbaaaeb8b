"""Secrets stay secret: an agent whose every password and token is wrong at the other end, at the most talkative log level, with peers that
answer with what they were sent. None of its words may be found in logs, status, commands' output or the files it leaves.

usage: secrets_test.py WEIR"""
import base64
import http.server
import json
import os
import socket
import struct
import threading

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, work, write

WORDS = {"kafka": "hush-kafka-7Qz", "registry": "hush-registry-8Wx", "token": "hush-token-9Ev", "wrong": "hush-guess-3Rt"}
seen = {"logins": 0, "lookups": 0}


def answer_kafka(connection):
    """Versions, the handshake, and a refusal that repeats the token it got."""
    while True:
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return
        request = connection.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)
        api, _, correlation, client = struct.unpack(">hhih", request[:10])
        body = request[10 + client:]
        if api == 18:
            rows = [(0, 7), (3, 5), (17, 1), (18, 0), (22, 1), (36, 1)]
            answer = struct.pack(">hi", 0, len(rows)) + b"".join(struct.pack(">hhh", key, 0, top) for key, top in rows)
        elif api == 17:
            answer = struct.pack(">hih", 0, 1, 5) + b"PLAIN"
        else:
            seen["logins"] += 1
            token = body[4:]
            answer = struct.pack(">hh", 58, len(token)) + token + struct.pack(">i", len(token)) + token + struct.pack(">q", 0)
        connection.sendall(struct.pack(">ii", len(answer) + 4, correlation) + answer)


def serve_kafka(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer_kafka, args=(connection,), daemon=True).start()


class Registry(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        seen["lookups"] += 1
        text = json.dumps({"error_code": 40101, "message": "not you: " + self.headers.get("Authorization", "")}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


def secret_configuration(kafka_port, registry_port):
    token = write("token", WORDS["token"] + "\n", 0o600)
    config = configuration(free_port(), token="${file:" + token + "}")
    config["agent"]["log_level"] = "debug"
    config["uplinks"]["cloud"] = {
        "type": "kafka", "brokers": [f"127.0.0.1:{kafka_port}"], "topic": "{stream}", "request_timeout": "1 s",
        "sasl": {"mechanism": "PLAIN", "user": "someone", "password": "${env:WEIR_TEST_PASSWORD}"},
        "registry": {"url": f"http://127.0.0.1:{registry_port}", "user": "somebody", "password": WORDS["registry"]}}
    return config


def forms():
    """Each word as it is, and as it travels."""
    plain = list(WORDS.values())
    basic = base64.b64encode(f"somebody:{WORDS['registry']}".encode()).decode()
    return plain + [base64.b64encode(w.encode()).decode().rstrip("=") for w in plain] + [basic, WORDS["kafka"].encode().hex()]


def look_for_secrets(where, data):
    data = data if isinstance(data, bytes) else data.encode()
    for form in forms():
        check(f"{where} has {form}", form.encode() not in data)


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve_kafka, args=(listener,), daemon=True).start()
registry = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=registry.serve_forever, daemon=True).start()

os.environ["WEIR_TEST_PASSWORD"] = WORDS["kafka"]
config = secret_configuration(listener.getsockname()[1], registry.server_address[1])
agent = Agent(config).start()
status, answer = agent.post("/typed", '{"k": "a", "n": 1}', {"Authorization": "Bearer " + WORDS["wrong"]})
check("a wrong token is refused", status == 401, str((status, answer)))
look_for_secrets("the answer to a wrong token", json.dumps(answer))
status, answer = agent.post("/typed", '{"k": "a", "n": 1}', {"Authorization": "Bearer " + WORDS["token"]})
check("the right token is taken", status == 200, str((status, answer)))
agent.post("/typed", '{"k": "a", "n": "no number"}', {"Authorization": "Bearer " + WORDS["token"]})

check("the login was tried", wait_until(lambda: seen["logins"] > 0))
check("the registry was asked", wait_until(lambda: seen["lookups"] > 0))


check("the status says what is wrong", wait_until(lambda: "password" in (agent.status()["uplinks"]["cloud"]["fault"] or "")))
for words in [("status", "--socket", agent.socket), ("status", "--json", "--socket", agent.socket), ("config", "show", agent.path),
              ("check", agent.path), ("buffer", "ls", "--buffer", agent.buffer), ("aside", "ls", "--buffer", agent.buffer)]:
    r = run(*words)
    check(f"weir {words[0]} works", r.returncode == 0 and r.stdout + r.stderr != "", r.stderr)
    look_for_secrets("weir " + " ".join(words[:2]), r.stdout + r.stderr)
check("config show has stars instead", run("config", "show", agent.path).stdout.count("***") >= 3)
wrong = dict(config, uplinks={"cloud": dict(config["uplinks"]["cloud"], password="x", sasl={"user": 7, "password": [WORDS["kafka"]]})})
r = run("check", write("wrong.json", json.dumps(wrong)))
check("a wrong file is refused", r.returncode == 1 and "$.uplinks.cloud" in r.stderr, r.stderr)
look_for_secrets("weir check of a wrong file", r.stdout + r.stderr)
check("it ends in order", agent.stop() == 0)
check("the log says who refuses what", "refuses the login of user someone" in agent.log() and "check registry.user and .password" in agent.log(), agent.log())
look_for_secrets("the log", agent.log())
for folder, _, names in os.walk(path_of("d")):
    for name in names:
        with open(os.path.join(folder, name), "rb") as f:
            look_for_secrets(name, f.read())
check("there was something to look at", len(os.listdir(path_of("d"))) > 0 and os.path.isdir(work))
finish()
