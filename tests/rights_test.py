"""Who may read what the agent writes, and what it says where it may not write itself: a wrong setting is told, and ends it at once.

usage: rights_test.py WEIR"""
import json
import os
import stat
import subprocess

from program import Agent, check, configuration, finish, free_port, path_of, weir, work, write

NOBODY = 65534


def mode_of(*names):
    return stat.S_IMODE(os.stat(path_of(*names)).st_mode)


def drop_rights():
    """Root may do anything: the agent runs as somebody else then."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def own(path):
    if os.getuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def run_at(buffer):
    """An agent with this buffer, that has to end by itself: its exit code, its last words."""
    config = configuration(free_port())
    config["buffer"]["path"] = buffer
    path = write("weir.json", json.dumps(config), 0o644)
    try:
        r = subprocess.run([weir, "run", path], capture_output=True, text=True, timeout=20, preexec_fn=drop_rights)
    except subprocess.TimeoutExpired as e:
        return None, (e.stderr or b"").decode()
    return r.returncode, r.stderr


def expect(what, buffer, code, *texts):
    returned, said = run_at(buffer)
    check(f"{what}: exit {code}", returned == code, f"{returned} {said}")
    for text in texts:
        check(f"{what}: says {text}", text in said, said)


def test_modes():
    os.umask(0)
    agent = Agent(configuration(free_port())).start()
    agent.post("/raw", b"x")
    check("the folder is not for others", mode_of("d") == 0o750, oct(mode_of("d")))
    for name in ["buffer.db", "buffer.db-wal"]:
        check(f"{name} is not for others", mode_of("d", name) == 0o640, oct(mode_of("d", name)))
    check("the socket is for the group", mode_of("d", "weir.sock") == 0o660, oct(mode_of("d", "weir.sock")))
    agent.stop()
    agent.start()
    check("nor after a restart", mode_of("d", "buffer.db-wal") == 0o640, oct(mode_of("d", "buffer.db-wal")))
    agent.stop()
    os.remove(path_of("d", "buffer.db-wal"))
    agent.start()
    check("nor a log that is made anew", mode_of("d", "buffer.db-wal") == 0o640, oct(mode_of("d", "buffer.db-wal")))
    agent.stop()


def test_where_it_may_not_write():
    os.chmod(work, 0o755)
    os.mkdir(path_of("closed"), 0o555)
    expect("a folder without the right to write", path_of("closed", "buffer.db"), 3, "not allowed", path_of("closed", "buffer.db"))
    expect("a folder that can't be made", path_of("closed", "d", "buffer.db"), 3, "Permission denied", path_of("closed", "d"))
    os.mkdir(path_of("open"), 0o755)
    own(path_of("open"))
    write("open/buffer.db", b"", 0o444)
    expect("a file without the right to write", path_of("open", "buffer.db"), 3, "not allowed", path_of("open", "buffer.db"))
    write("file", b"", 0o644)
    expect("a folder that is a file", path_of("file", "buffer.db"), 2, path_of("file"))
    os.mkdir(path_of("open", "folder.db"), 0o755)
    own(path_of("open", "folder.db"))
    expect("a file that is a folder", path_of("open", "folder.db"), 2, "it is a folder", path_of("open", "folder.db"))


test_modes()
test_where_it_may_not_write()
finish()
