"""A reload on the real program: each part that is another one is opened anew, the others go on with their connections; secrets and
certificates in files are taken up; a bad file changes nothing; what was taken before, during and after arrives once, in order.

usage: reload_test.py WEIR"""
import http.client
import glob
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import threading
import time

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, weir, write

here = os.path.dirname(os.path.abspath(__file__))
FOLDERS = ("out", "out2", "more", "more2")


def delivered(stream="typed"):
    """The numbers of all that arrived, in the order of their files."""
    rows = []
    for folder in FOLDERS:
        for path in glob.glob(path_of(folder, "**", "*.avro"), recursive=True):
            if stream in os.path.relpath(path, path_of(folder)):
                rows += [(folder, json.loads(line)) for line in run("avro", "cat", path).stdout.splitlines()]
    return rows


class Stays:
    """A connection that stays: every request over the same one."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        self.socket = self.connection.sock

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body))
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def is_same(self):
        return self.connection.sock is self.socket


def put(configuration_):
    write("weir.json", json.dumps(configuration_, indent=1))


def reload(code, *words):
    r = run("reload", "--socket", agent.socket)
    check(f"reload: exit code {code}, {words}", r.returncode == code and all(w in r.stdout + r.stderr for w in words), (r.returncode, r.stdout, r.stderr))
    return r


def answers(port, token=None, context=None, path="/typed"):
    """What an HTTP listener says; None: nobody listens."""
    try:
        c = (http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context) if context
             else http.client.HTTPConnection("127.0.0.1", port, timeout=20))
        c.request("POST", path, json.dumps({"k": "z", "n": next_n()}), {"Authorization": f"Bearer {token}"} if token else {})
        status = c.getresponse().status
        if status == 200:
            accepted.append(numbers[0])
        return status
    except ConnectionError:
        return None
    finally:
        c.close()


numbers = [0]
accepted = []


def next_n():
    numbers[0] += 1
    return numbers[0]


def stay():
    n = next_n()
    status = stays.post("/typed", {"k": "s", "n": n})
    if status == 200:
        accepted.append(n)
    check("a connection that stays", status == 200 and stays.is_same(), (status, stays.is_same()))


second, third, status_port = free_port(), free_port(), free_port()
config = configuration(free_port())
config["status"] = {"listen": f"127.0.0.1:{status_port}"}
config["drivers"]["second"] = {"type": "http", "listen": f"127.0.0.1:{second}", "stream": "typed", "ack_interval": "5 ms"}
config["uplinks"]["files"]["time_max"] = "1 s"
agent = Agent(config).start()
stays = Stays(agent.port)
stay()
r = reload(0)
check("nothing is new", r.stdout == "", r.stdout)

# --- a: drivers ---

config["drivers"]["second"]["listen"] = f"127.0.0.1:{third}"
config["drivers"]["another"] = {"type": "http", "listen": f"127.0.0.1:{second}", "stream": "typed"}
put(config)
reload(0, "$.drivers.second.listen: taken up", "$.drivers.another: taken up")
check("opened with its new port", wait_until(lambda: answers(third) == 200, 30))
check("a new one", wait_until(lambda: answers(second) == 200, 30), agent.log()[-800:])
stay()
taken = socket.create_server(("127.0.0.1", 0))
config["drivers"]["another"]["listen"] = f"127.0.0.1:{taken.getsockname()[1]}"
put(config)
reload(1, "$.drivers.another.listen: taken up", "driver another: not open, and tried again: ")
check("it can't be opened, and says so", agent.status()["drivers"]["another"]["fault"], agent.status()["drivers"]["another"])
check("others are not affected", answers(third) == 200)
stay()
port = taken.getsockname()[1]
reload(1, "driver another: not open, and tried again: ")
taken.close()
check("it is tried again", wait_until(lambda: answers(port) == 200, 30), agent.status()["drivers"]["another"])
taken = socket.create_server(("127.0.0.1", 0))
port = taken.getsockname()[1]
config["drivers"]["another"]["listen"] = f"127.0.0.1:{port}"
put(config)
reload(1, "driver another: not open, and tried again: ")
taken.close()
r = reload(0)
check("a reload tries it at once", r.stdout.strip() == "" and answers(port) == 200, r.stdout)
del config["drivers"]["another"]
put(config)
reload(0, "$.drivers.another: taken up")
check("closed", answers(port) is None and "another" not in agent.status()["drivers"])
stay()

# --- e: secrets and certificates in files ---

write("token", "first-word", 0o600)
config["drivers"]["second"]["token"] = "${file:token}"
put(config)
reload(0, "$.drivers.second.token: taken up")
check("with its token", answers(third, "first-word") == 200 and answers(third) == 401)
write("token", "second-word", 0o600)
reload(0, "$.drivers.second (a file that it names): taken up")
check("the secret is another", answers(third, "second-word") == 200 and answers(third, "first-word") == 401)
stay()
subprocess.run([os.path.join(here, "services", "certs.sh"), path_of("certs")], check=True, capture_output=True)


def certificate(name, key=None):
    for ending, source in (("pem", name), ("key", key or name)):
        with open(path_of("certs", f"{source}.{ending}"), "rb") as f:
            write(f"used.{ending}", f.read(), 0o600)


def trust(name):
    return ssl.create_default_context(cafile=path_of("certs", f"{name}.pem"))


certificate("server")
config["drivers"]["second"]["tls"] = {"certificate": "used.pem", "key": "used.key"}
put(config)
reload(0, "$.drivers.second.tls: taken up")
check("with TLS", answers(third, "second-word", trust("ca")) == 200)
certificate("self")
reload(0, "$.drivers.second (a file that it names): taken up")
check("the certificate is another", answers(third, "second-word", trust("other-ca")) == 200)
for name, key in (("server", "client"), ("ca.pem", None)):
    if key:
        certificate(name, key)
    else:
        write("used.pem", "no certificate at all")
    reload(2, "$.drivers.second.tls", "nothing is changed")
    check("a bad certificate leaves the old one in use", answers(third, "second-word", trust("other-ca")) == 200)
stay()
certificate("server")
reload(0)
check("and a good one does not", answers(third, "second-word", trust("ca")) == 200)

# --- b: uplinks ---

config["uplinks"]["files"]["path"] = path_of("out2")
put(config)
reload(0, "$.uplinks.files.path: taken up")
stay()
check("to the other folder", wait_until(lambda: glob.glob(path_of("out2", "**", "*.avro"), recursive=True), 30))
config["uplinks"]["more"] = {"type": "file", "path": path_of("more"), "time_max": "1 s", "streams": ["typed"], "from": "now"}
put(config)
reload(0, "$.uplinks.more: taken up")
stay()
check("a new one, from now", wait_until(lambda: glob.glob(path_of("more", "**", "*.avro"), recursive=True), 30))
write("none", "a file where a folder should be")
config["uplinks"]["more"]["path"] = path_of("none", "more")
put(config)
reload(0, "$.uplinks.more.path: taken up")
stay()
del config["uplinks"]["more"]
put(config)
reload(2, "events of stream typed are still to be delivered by uplink more", "weir buffer drop", "nothing is changed")
stay()
config["uplinks"]["more"] = {"type": "file", "path": path_of("more2"), "time_max": "1 s", "streams": ["typed"]}
put(config)
reload(0, "$.uplinks.more.path: taken up")
check("what it owed arrives elsewhere", wait_until(lambda: agent.status()["uplinks"]["more"]["owed"] == {}, 60), agent.status()["uplinks"])
del config["uplinks"]["more"]
put(config)
reload(0, "$.uplinks.more: taken up")
check("gone", "more" not in agent.status()["uplinks"])
stay()

# --- c: links; d: the rest; streams ---

config["links"] = {"modem": {"rate_max": "1 Mbit/s", "budget_per_day": "5 MB", "metered": True}}
config["uplinks"]["files"]["link"] = "modem"
put(config)
reload(0, "$.links.modem: taken up", "$.uplinks.files.link: taken up")
stay()
check("on its link", agent.status()["links"]["modem"])
config["links"]["modem"]["budget_per_day"] = "6 MB"
put(config)
reload(0, "$.links.modem.budget_per_day: taken up")
check("with its budget", "6000000" in json.dumps(agent.status()["links"]["modem"]), agent.status()["links"])
other = free_port()
config["status"]["listen"] = f"127.0.0.1:{other}"
config["agent"]["log_level"] = "debug"
config["buffer"]["size_max"] = "48 MiB"
config["buffer"]["commit_interval"] = "1 s"
config["streams"]["new"] = {"schema": "typed.avsc", "key": "k", "priority": 9}
config["drivers"]["second"] = {"type": "http", "listen": f"127.0.0.1:{third}", "stream": "new", "ack_interval": "5 ms"}
put(config)
r = reload(0, "$.status.listen: taken up", "$.agent.log_level: taken up", "$.buffer.size_max: taken up", "$.streams.new: taken up")
check("no file of it is another", "a file that it names" not in r.stdout, r.stdout)
check("status listens there", wait_until(lambda: answers(other, path="/status") in (404, 405), 20) and answers(status_port) is None)
check("a new stream", answers(third) == 200 and any(s["name"] == "new" for s in agent.status()["streams"]), agent.status()["streams"])
accepted.pop()
check("the buffer's cap", agent.status()["buffer"]["size_max"] == 48 << 20, agent.status()["buffer"])
stay()
del config["agent"]["log_level"]
config["agent"]["id"] = "another-name"
put(config)
reload(0, "$.agent.id: another now: a restart takes it up")
r = reload(0, "$.agent.id: another now: a restart takes it up")
check("and nothing else", "taken up" not in r.stdout, r.stdout)
check("it is called as before", agent.status()["agent"].startswith("t"), agent.status()["agent"])
config["agent"]["id"] = "t"
put(config)
stay()

# --- under load: reloads at random moments ---

quiet = threading.Event()
posted = []
mistakes = []


def feed():
    c = Stays(agent.port)
    while not quiet.is_set():
        n = next_n()
        status = c.post("/typed", {"k": "load", "n": n})
        while status in (429, 503):
            time.sleep(0.01)
            status = c.post("/typed", {"k": "load", "n": n})
        if status == 200:
            posted.append(n)
        else:
            mistakes.append((n, status))
    if not c.is_same():
        mistakes.append("the connection was lost")


def descriptors():
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


feeder = threading.Thread(target=feed)
feeder.start()
chance = random.Random(int(os.environ.get("WEIR_SEED", "9")))
count = int(os.environ.get("WEIR_RELOADS", "30"))
kinds = []
settled = None
for i in range(count):
    kind = chance.choice(["uplink", "driver", "stream", "signal", "secret"])
    kinds.append(kind)
    if kind == "uplink":
        config["uplinks"]["files"]["path"] = path_of(chance.choice(("out", "out2")))
    elif kind == "driver":
        config["drivers"]["second"]["ack_interval"] = f"{chance.randrange(5, 50)} ms"
    elif kind == "stream":
        config["streams"]["new"]["priority"] = chance.randrange(0, 10)
    elif kind == "secret":
        config["drivers"]["second"]["token"] = "${file:token}"
        write("token", f"word-{i}", 0o600)
    put(config)
    if kind == "signal":
        agent.process.send_signal(signal.SIGHUP)
    else:
        wait_until(lambda: "another reload" not in run("reload", "--socket", agent.socket).stderr, 60)
    time.sleep(chance.random() * 0.2)
    if i == count // 3:
        settled = descriptors()
quiet.set()
feeder.join()
check("a source that stays sees nothing of it", not mistakes, mistakes[:5])
check("there was load", len(posted) > count, len(posted))
check("no descriptors are lost", descriptors() <= settled + 2, (settled, descriptors()))
accepted += posted
check("all is delivered", wait_until(lambda: agent.status()["uplinks"]["files"]["owed"] == {}, 60), agent.status()["uplinks"])
check("an orderly end", agent.stop() == 0, agent.log()[-2000:])
settled_log = len(agent.log())

# --- a stop that is under way: an uplink that gets no answer uses its grace ---

silent = socket.create_server(("127.0.0.1", 0))
config["agent"]["stop_grace"] = "20 s"
config["streams"]["slow"] = {"uplinks": ["silent"]}
config["drivers"]["post"]["routes"].insert(0, {"topic": "slow", "stream": "slow"})
config["uplinks"]["silent"] = {"type": "http", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/x", "linger": "0 s", "streams": ["slow"]}
put(config)
agent.start()
check("taken", agent.post("/slow", json.dumps({"n": 1}))[0] == 200)
asked = silent.accept()
agent.process.send_signal(signal.SIGTERM)
check("it stops", wait_until(lambda: "stopping: what was taken is being stored" in agent.log()[settled_log:], 30), agent.log()[-800:])
config["streams"]["slow"]["priority"] = 7
put(config)
reload(3, "the agent is stopping")
config["drivers"]["second"]["ack_interval"] = "77 ms"
config["streams"]["slow"].pop("priority")
put(config)
reload(3, "the agent is stopping")
asked[0].close()
check("and ends in order", agent.process.wait(60) == 0, agent.log()[-2000:])

# --- a stop in the midst of a reload ---

settled_log = len(agent.log())
agent.start()
asked = silent.accept()
config["streams"]["slow"]["priority"] = 7
put(config)
asker = subprocess.Popen([weir, "reload", "--socket", agent.socket], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
check("it reloads", wait_until(lambda: "INFO weir: reloading" in agent.log()[settled_log:], 30), agent.log()[-800:])
agent.process.send_signal(signal.SIGTERM)
_, said = asker.communicate(timeout=60)
check("whoever asked hears of it", asker.returncode == 3 and "the agent is stopping" in said, (asker.returncode, said))
check("while it still sends", agent.process.poll() is None)
asked[0].close()
silent.close()
check("and ends in order", agent.process.wait(60) == 0, agent.log()[-2000:])

arrived = [row for folder, row in delivered() if folder in ("out", "out2")]
every = [row["n"] for row in arrived]
lost = sorted(set(accepted) - set(every))
check("none is lost", not lost, (len(lost), lost[:10]))
twice = len(every) - len(set(every))
check("none is there twice", twice == 0, twice)
print(f"{len(posted)} events under {count} reloads ({', '.join(sorted(set(kinds)))}): {len(lost)} lost, {twice} twice")
finish()
