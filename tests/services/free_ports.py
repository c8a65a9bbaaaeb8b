"""Prints the first of COUNT ports in a row on 127.0.0.1 that nobody listens on, below the range from which the kernel takes the ports of
outgoing connections: what is free there stays free until a server asks for it. Who imports this has found ports for itself until it ends, also
while the server that it starts on them is down: each is a byte of a file that is locked. usage: free_ports.py COUNT"""
import fcntl
import os
import random
import socket
import sys
import tempfile

LOW, HIGH = 20000, 32000
found = set()
locks = os.open(os.path.join(tempfile.gettempdir(), f"weir-ports-{os.geteuid()}.lock"), os.O_RDWR | os.O_CREAT, 0o600)


def free(first, count):
    ports = range(first, first + count)
    if not found.isdisjoint(ports):
        return False
    try:
        for port in ports:
            fcntl.lockf(locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
            socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False                    # a lock too many does no harm
    found.update(ports)
    return True


def find(count):
    for _ in range(1000):
        first = random.randrange(LOW, HIGH - count)
        if free(first, count):
            return first
    sys.exit(f"free_ports.py: no {count} free ports in a row between {LOW} and {HIGH}")


if __name__ == "__main__":
    print(find(int(sys.argv[1])))
