"""Bad input in files, against the whole program: lines that are no events, lines of 10 MB, files that are missing, may not be read, are no
files. Nothing of it may stop the lines of others, and each is told once it is there.

usage: tail_input_test.py WEIR"""
import os

from program import Agent, check, configuration, finish, free_port, path_of, wait_until, work

GOOD = b'{"k": "a", "n": 1}\n'
os.mkdir(path_of("in"))
config = configuration(free_port())
config["drivers"]["files"] = {"type": "tail", "paths": [path_of("in", "*.log"), path_of("in", "sub", "*.log")], "poll": "20 ms", "stream": "typed",
                              "files_max": 5}
config["buffer"].update(commit_interval="10 ms")
agent = Agent(config).start()


def append(name, data):
    with open(path_of("in", name), "ab") as f:
        f.write(data)


def count():
    return agent.status()["drivers"]["files"]


def fault():
    return count()["fault"]


append("a.log", GOOD)
wait_until(lambda: count()["stored"] >= 1)
check("a first line", count()["stored"] == 1 and fault() is None, str(count()))
BAD = [b'{"k": "a", "n": 1,}', b'{"k": "a", "n": nan}', b'{"k": "\0", "n": 1}', b"\0\0\0", b'{"k": "\xff", "n": 1}', b'{"k": "a", "n": 9223372036854775808}',
       b'{"k": "a", "n": 1e400}', b'{"k": "a", "n": 1, "n": 2}', b"[" * 100 + b"]" * 100, b'{"n": 1}', b"hello", b"null", b'"', b"\xef\xbb\xbf" + GOOD.strip()]
append("a.log", b"".join(line + b"\n" + GOOD for line in BAD))
check("each bad line is set aside, each good one beside it is stored", wait_until(lambda: count()["received"] >= 1 + 2 * len(BAD)) and
      count()["aside"] == len(BAD), str(count()))
reasons = agent.aside()
check("with a reason and the place of the line", len(reasons) == len(BAD) and all(a["reason"] and f"{work}/in/a.log:" in a["source"] for a in reasons), str(reasons[:2]))
append("a.log", b'{"k": "a", "n": 2, "unknown": {"x": []}}\r\n\n\r\n')
check("an unknown field is left out; CR LF and empty lines are no trouble", wait_until(lambda: count()["received"] == 2 + 2 * len(BAD)) and
      count()["aside"] == len(BAD) and count()["unknown_fields"] == 1, str(count()))

before = count()
append("a.log", b'{"k": "a", "n": 1, "x": "' + b"y" * (10 << 20) + b'"}\n' + GOOD)
check("a line of 10 MB is set aside, the next is stored", wait_until(lambda: count()["received"] == before["received"] + 2) and
      count()["aside"] == before["aside"] + 1 and count()["long_lines"] == 1, str(count()))
last = agent.aside()[-1]
check("cut, with its true size", last["size"] == (10 << 20) + 27 and len(last["body"]) <= 65536 and "longer" in last["reason"], str((last["size"], len(last["body"]))))
append("a.log", b"z" * (10 << 20))
append("b.log", GOOD)
check("10 MB without an end hold nobody up", wait_until(lambda: count()["received"] == before["received"] + 3), str(count()))

os.mkfifo(path_of("in", "pipe.log"))
os.mkdir(path_of("in", "folder.log"))
os.symlink(path_of("in", "b.log"), path_of("in", "link.log"))
os.symlink(path_of("in", "nowhere"), path_of("in", "dangling.log"))
os.symlink("/dev/zero", path_of("in", "zero.log"))
append("b.log", GOOD)
check("pipes, folders, devices, links that lead nowhere or to a file that is there are no files of their own",
      wait_until(lambda: count()["received"] == before["received"] + 4) and not wait_until(lambda: count()["received"] != before["received"] + 4, 1), str(count()))

os.mkdir(path_of("in", "sub"))
append("sub/c.log", GOOD)
check("a folder that appears later", wait_until(lambda: count()["received"] == before["received"] + 5), str(count()))
os.rename(path_of("in", "sub"), path_of("sub-elsewhere"))
append("b.log", GOOD)
check("and one that vanishes", wait_until(lambda: count()["received"] == before["received"] + 6), str(count()))

for i in range(8):
    append(f"many{i}.log", GOOD)
check("too many files are told, with what to do", wait_until(lambda: "files_max" in (fault() or "")), str(count()))
for i in range(8):
    os.remove(path_of("in", f"many{i}.log"))
check("and no more when they are gone", wait_until(lambda: fault() is None), str(count()))
if os.geteuid() != 0:
    append("locked.log", GOOD)
    os.chmod(path_of("in", "locked.log"), 0)
    check("a file that may not be read is told", wait_until(lambda: "locked.log" in (fault() or "") and "ermission" in fault()), str(count()))

check("it ends in order", agent.stop() == 0, agent.log()[-500:])
stored = agent.stored("typed")
check("sequences are without a gap", [e["sequence"] for e in stored] == list(range(1, len(stored) + 1)), str(len(stored)))
finish()
