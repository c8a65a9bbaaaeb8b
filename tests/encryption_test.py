"""Encryption at rest, as a user meets it: nothing plain on the disk, wrong keys, keys that others may read, other keys.

usage: encryption_test.py WEIR"""
import base64
import json
import os
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, run, weir, write

FIRST, SECOND = "0f" * 32, "a5" * 32
WORD = "SECRET-PAYLOAD"


def key(name, text, mode=0o600):
    return write(name, text + "\n", mode)


def with_keys(port, **keys):
    config = configuration(port)
    if keys:
        config["buffer"]["encryption"] = {name: "${file:" + path + "}" for name, path in keys.items()}
    return config


def on_disk():
    """The buffer's files, byte for byte, by name."""
    files = {}
    for name in ("buffer.db", "buffer.db-wal"):
        with open(path_of("d", name), "rb") as f:
            files[name] = f.read()
    return files


def tool(*words):
    return run("buffer", *words, "--buffer", path_of("d", "buffer.db"))


def has_word():
    return [name for name, data in on_disk().items() if WORD.encode() in data]


def refused(config, *words):
    """`check` and `run` say why, and change nothing."""
    before = on_disk()
    path = write("refused.json", json.dumps(config))
    for command, code in (("check", 1), ("run", 2)):
        r = run(command, path)
        check(f"{command} is refused", r.returncode == code, str((r.returncode, r.stderr)))
        check(f"{command} says why", all(word in r.stderr for word in words), r.stderr)
        check(f"{command} tells no key", FIRST not in r.stderr and SECOND not in r.stderr, r.stderr)
    check("nothing is touched", on_disk() == before)


def live(config, count):
    agent = Agent(config).start()
    for i in range(count):
        status, _ = agent.post("/note", json.dumps({"text": f"{WORD}-{i}"}))
        check("an event is taken", status == 200)
    status, _ = agent.post("/typed", json.dumps({"k": "a", "n": WORD}))
    check("what does not fit is set aside", status == 200, str(status))
    rows = len(agent.stored("raw"))
    asides = agent.aside()
    check("the events can be seen while it runs", rows > 0, str(rows))
    check("set-aside events can be seen", asides and WORD in json.dumps(asides[-1]), str(asides))
    check("it ends in order", agent.stop() == 0)
    return rows


first, second = key("first", FIRST), key("second", base64.b64encode(bytes.fromhex(SECOND)).decode())
port = free_port()
config = with_keys(port)
config["uplinks"]["files"]["time_max"] = "10 min"
plain, encrypted = json.loads(json.dumps(config)), with_keys(port, key=first)

# --- plain, then encrypted: what was there stays readable

live(plain, 5)
check("without a key the words are on the disk", has_word())
r = tool("rekey", "--key", first)
check("rekey works", r.returncode == 0 and "under the key now" in r.stdout, str((r.returncode, r.stdout, r.stderr)))
r = tool("compact", "--key", first)
check("compact works", r.returncode == 0, str((r.returncode, r.stdout, r.stderr)))
check("then they are not", not has_word(), str(has_word()))

live(encrypted, 20)
check("no word is on the disk", not has_word(), str(has_word()))
live(encrypted, 5)
check("nor later", not has_word(), str(has_word()))

# --- wrong keys

refused(plain, "is encrypted: give its key")
refused(with_keys(port, key=second), "another key")
refused(with_keys(port, old_key=second), "another key")
refused(with_keys(port, key=key("open", FIRST, 0o644)), "$.buffer.encryption.key", "chmod")
refused(with_keys(port, key=key("short", FIRST[:-1])), "$.buffer.encryption.key", "64 hexadecimal digits")
r = run("config", "show", write("show.json", json.dumps(encrypted)))
check("config show has stars", r.returncode == 0 and '"key": "***"' in r.stdout and FIRST not in r.stdout, r.stdout)
for words in (("ls",), ("cat", "raw"), ("stats",), ("wear",)):
    r = tool(*words)
    check(f"{words[0]} needs the key", r.returncode == 2 and "is encrypted" in r.stderr, str((r.returncode, r.stderr)))
    r = tool(*words, "--key", first)
    check(f"{words[0]} takes the key", r.returncode == 0 and r.stdout, str((r.returncode, r.stderr)))
r = tool("verify", "--key", first)
check("verify finds nothing wrong", r.returncode == 0, str((r.returncode, r.stdout, r.stderr)))

# --- off, on again, another key: what was kept stays readable

count = live(with_keys(port, old_key=first), 3)
check("what was encrypted can be read", count >= 33, str(count))
check("what is new is plain", has_word())
refused(plain, "is encrypted")
count = live(with_keys(port, key=second, old_key=first), 3)
check("under three kinds of keys", count >= 36, str(count))
refused(with_keys(port, key=second), "another key")
refused(encrypted, "another key")

# --- another key for everything, killed in the middle, and plain again

before = on_disk()
for wrong in (("--key", second), ("--plain",), ("--key", second, "--old-key", second), ("--old-key", first), ("--key", first, "--plain")):
    r = tool("rekey", *wrong)
    check(f"rekey {wrong[0]} is refused", r.returncode == 2 and "key" in r.stderr, str((r.returncode, r.stderr)))
check("a refused rekey touches nothing", on_disk() == before)
agent = Agent(with_keys(port, key=second, old_key=first)).start()
r = tool("rekey", "--key", second, "--old-key", first)
check("an agent has to be stopped for it", r.returncode == 2 and "stop it first" in r.stderr, str((r.returncode, r.stderr)))
check("it ends in order", agent.stop() == 0)
process = subprocess.Popen([weir, "buffer", "rekey", "--buffer", path_of("d", "buffer.db"), "--key", second, "--old-key", first],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
process.kill()
process.wait()
r = tool("rekey", "--key", second, "--old-key", first, "--json")
check("rekey goes on", r.returncode == 0 and json.loads(r.stdout)["damaged"] == 0, str((r.returncode, r.stdout, r.stderr)))
refused(encrypted, "another key")
count = live(with_keys(port, key=second), 1)
check("all are there", count >= 37, str(count))
r = tool("rekey", "--plain", "--old-key", second)
check("rekey to plain", r.returncode == 0 and "is plain now" in r.stdout, str((r.returncode, r.stdout, r.stderr)))
check("which is plain", has_word())
count = live(plain, 1)
check("and all are there", count >= 38, str(count))
check("no buffer, no rekey", run("buffer", "rekey", "--buffer", path_of("d", "none.db"), "--plain").returncode == 2)
check("the keys' files are as they were", os.path.getsize(first) == 65)
finish()
