"""Prints the first of COUNT ports in a row on 127.0.0.1 that nobody listens on, below the range from which the kernel takes the ports of
outgoing connections: what is free there stays free until a server asks for it. usage: free_ports.py COUNT"""
import random
import socket
import sys

LOW, HIGH = 20000, 32000


def free(first, count):
    for port in range(first, first + count):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            return False
    return True


def find(count):
    for _ in range(1000):
        first = random.randrange(LOW, HIGH - count)
        if free(first, count):
            return first
    sys.exit(f"free_ports.py: no {count} free ports in a row between {LOW} and {HIGH}")


if __name__ == "__main__":
    print(find(int(sys.argv[1])))
