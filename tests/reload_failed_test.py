"""A reload that fails: before the buffer has joined nothing is changed; behind that the newer configuration stays, and is tried again;
and while nothing is open, another reading of the file is taken instead. Nothing is lost, nothing comes twice.

usage: reload_failed_test.py WEIR"""
import glob
import json
import os
import resource
import signal
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, run, wait_until, weir, write


def put(configuration_):
    write("weir.json", json.dumps(configuration_, indent=1))


def reload(code, *words, at=None):
    r = run("reload", "--socket", at or agent.socket)
    check(f"reload: exit code {code}, {words}", r.returncode == code and all(w in r.stdout + r.stderr for w in words), (r.returncode, r.stdout, r.stderr))


def arrived(folder):
    return [json.loads(line)["n"] for path in glob.glob(path_of(folder, "typed", "**", "*.avro"), recursive=True)
            for line in run("avro", "cat", path).stdout.splitlines()]


def post(n):
    status, _ = agent.post("/typed", json.dumps({"k": "a", "n": n}))
    check(f"event {n} is taken", status == 200, status)


config = configuration(free_port())
config["agent"]["stop_grace"] = "1 s"
config["uplinks"]["files"].update(time_max="1 s", **{"from": "oldest"})
config["uplinks"]["dead"] = {"type": "http", "url": f"http://127.0.0.1:{free_port()}/x"}
agent = Agent(config).start()
for n in range(1, 6):
    post(n)


def delivered():
    check("delivered", wait_until(lambda: agent.status()["uplinks"]["files"]["owed"] == {}), agent.status()["uplinks"])


delivered()

# --- what can't be listened at: said before anything is closed ---

there = agent.socket
config["agent"]["socket"] = path_of("nowhere", "weir.sock")
number = 6
for mode in ("an uplink more", "an uplink less", "a stream renamed"):
    other = json.loads(json.dumps(config))
    if mode == "an uplink more":
        other["uplinks"]["more"] = {"type": "file", "path": path_of("more"), "streams": ["typed"], "from": "oldest"}
    elif mode == "an uplink less":
        del other["uplinks"]["files"]
    else:
        other["streams"]["called"] = {**other["streams"].pop("typed"), "renamed_from": "typed"}
        other["drivers"]["post"]["routes"][0]["stream"] = "called"
    delivered()
    put(other)
    reload(3, "not reloaded, nothing is changed", "nowhere")
    check(f"{mode}: it runs as it was", agent.status()["state"] == "running" and list(agent.status()["uplinks"]) == ["files", "dead"], agent.status())
    post(number)
    agent.process.send_signal(signal.SIGHUP)
    post(number + 1)
    number += 2
config["agent"]["socket"] = path_of("other.sock")
put(config)
reload(0, "$.agent.socket: taken up")
agent.socket = path_of("other.sock")
check("it is at the other socket", agent.status()["state"] == "running" and not os.path.exists(there))
del config["agent"]["socket"]
put(config)
reload(0, "$.agent.socket: taken up")
agent.socket = there
check("and at the first again", agent.status()["state"] == "running")

delivered()
check("an orderly end", agent.stop() == 0, agent.log()[-2000:])

# --- what waits for its disk, and can't be opened behind it ---


def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))


def waits_for(*words):
    r = run("status", "--socket", agent.socket)
    return r.returncode == 1 and all(w in r.stdout for w in words)


config["buffer"]["path"] = path_of("w", "buffer.db")
agent = Agent(config)
with open(agent.log_path, "ab") as log:
    agent.process = subprocess.Popen([weir, "run", agent.path], stdout=subprocess.DEVNULL, stderr=log, preexec_fn=limited)
check("it waits", wait_until(lambda: waits_for("is waiting for its buffer")), agent.log()[-1000:])
config["streams"]["typed"]["priority"] = "high"
put(config)
reload(2, "$.streams.typed.priority", "nothing is changed")
config["streams"]["typed"]["priority"] = 7
config["uplinks"]["more"] = {"type": "file", "path": path_of("more"), "streams": ["typed"], "time_max": "1 s"}
config["agent"]["socket"] = path_of("nowhere", "weir.sock")
put(config)
reload(3, "the newer configuration is in force")
resource.prlimit(agent.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
check("it says why it waits", wait_until(lambda: waits_for("nowhere")), run("status", "--socket", agent.socket))
check("it is tried again, and does not end", agent.process.poll() is None)
del config["agent"]["socket"]
put(config)
reload(0, "$.agent.socket: taken up")
check("it is open, and nothing is seen to wait", agent.status()["state"] == "running" and list(agent.status()["uplinks"]) == ["files", "dead", "more"] and
      not os.path.exists(agent.socket + ".waiting"), agent.status())
for n in range(21, 26):
    post(n)
check("delivered", wait_until(lambda: agent.status()["uplinks"]["more"]["owed"] == {} and agent.status()["uplinks"]["files"]["owed"] == {}))
check("an orderly end", agent.stop() == 0, agent.log()[-2000:])
numbers = sorted(arrived("out"))
check("each once", numbers == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, *range(21, 26)], numbers)
check("at the newer uplink too", sorted(arrived("more")) == list(range(21, 26)), arrived("more"))

# --- what the answer says is so ---

config["buffer"]["path"] = path_of("x", "buffer.db")
for name in ("dead", "more"):
    del config["uplinks"][name]
agent = Agent(config).start()
config["uplinks"]["more"] = {"type": "file", "path": path_of("more"), "streams": ["typed"]}
put(config)
r = run("reload", "--socket", agent.socket)
check("one more, and the other is as it was", r.stdout == "$.uplinks.more: taken up\n", r)
config["buffer"]["path"] = path_of("y", "buffer.db")
config["agent"]["time_zone"] = "UTC+3"
put(config)
opened = agent.log().count("running, version") + 1
reload(0, "$.agent.time_zone: taken up", "$.buffer.path: another now")
check("it was opened anew for that", agent.log().count("running, version") == opened, agent.log()[-2000:])
r = run("reload", "--socket", agent.socket)
check("and is not again", r.stdout == "$.buffer.path: another now: a restart takes it up\n" and agent.log().count("running, version") == opened, r)
check("an orderly end", agent.stop() == 0, agent.log()[-2000:])
finish()
