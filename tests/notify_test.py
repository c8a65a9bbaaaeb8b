"""The service manager's protocol (sd_notify), spoken to a socket of the test's own.

usage: notify_test.py WEIR"""
import json
import os
import signal
import socket
import subprocess
import time

from program import PATIENCE, check, configuration, finish, free_port, path_of, weir, write

WATCHDOG_S = 1.0


class Manager:
    """Its socket, and a program under it."""

    def __init__(self, path, config, **environment):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path[0] == "@" else path)
        self.socket.settimeout(PATIENCE)
        self.log = open(path_of("log"), "ab")
        # The shell is what systemd's child is between fork and exec: its process id is the program's.
        self.process = subprocess.Popen(["sh", "-c", f'WATCHDOG_PID=${{PID_OF:-$$}} exec "{weir}" run "{config}"'], stdout=self.log, stderr=self.log,
                                        env={**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)), **environment})

    def hears(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def hears_until(self, name):
        """All that is said up to `name`, that included."""
        said = []
        while not said or name not in said[-1]:
            said.append(self.hears())
        return said

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        said = self.hears_until("STOPPING")
        check("an orderly end", self.process.wait(PATIENCE) == 0)
        self.log.close()
        return said


def main():
    c = configuration(free_port())
    path = write("notify.json", json.dumps(c))
    manager = Manager(path_of("notify"), path)
    said = manager.hears_until("READY")
    check("ready, with a line for a person", said[-1]["STATUS"] == "running", str(said))
    check("a sign of life comes before, as soon as the loop turns, or after", all(set(s) <= {"WATCHDOG", "READY", "STATUS"} for s in said), str(said))
    began, lives = time.monotonic(), 0
    while lives < 6:
        lives += "WATCHDOG" in manager.hears()
    passed = time.monotonic() - began
    check("signs of life, twice in the time", passed >= 5 * WATCHDOG_S / 2 - 0.1, str(passed))
    manager.process.send_signal(signal.SIGHUP)
    manager.hears_until("RELOADING")
    check("ready again", manager.hears_until("READY")[-1]["STATUS"] == "running")
    write("notify.json", "{")
    manager.process.send_signal(signal.SIGHUP)
    check("a bad file is refused, nothing changes", all("STOPPING" not in s for s in (manager.hears() for _ in range(3))))
    manager.end()
    os.unlink(path_of("notify"))

    path = write("abstract.json", json.dumps(c))
    manager = Manager("@weir-notify-" + str(os.getpid()), path)
    manager.hears_until("READY")
    check("an abstract socket", "WATCHDOG" in manager.hears_until("WATCHDOG")[-1])
    manager.end()

    manager = Manager(path_of("other"), path, PID_OF="1")
    said = manager.hears_until("READY")
    time.sleep(WATCHDOG_S)
    check("the watchdog of another process is not fed", all("WATCHDOG" not in s for s in said + manager.end()))

    os.remove(path_of("other"))
    ended = subprocess.Popen([weir, "run", path], env={**os.environ, "NOTIFY_SOCKET": path_of("nobody")}, stderr=subprocess.DEVNULL)
    time.sleep(1)
    check("a manager that is not there stops nobody", ended.poll() is None)
    ended.terminate()
    check("and an orderly end", ended.wait(PATIENCE) == 0)
    finish()


main()
