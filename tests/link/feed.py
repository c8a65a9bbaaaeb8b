"""What a site's devices send, from beside the agent: telemetry at 10 events/s, an alarm every 5 s, each with the time of sending in it.
What the agent has taken is printed, one line "STREAM N" each, when it has answered.

usage: feed.py PORT FIRST SECONDS      FIRST: the first number that telemetry has here"""
import concurrent.futures
import http.client
import json
import random
import sys
import threading
import time

TELEMETRY_S, ALARM_S = 0.1, 5
local, lock = threading.local(), threading.Lock()


def telemetry(n):
    """About 25 bytes that no compression finds."""
    return {"device": f"pump-{n % 20:02}", "n": n, "at_ms": int(time.time() * 1000), **{f: random.randrange(10 ** 6) / 1000 for f in "abcdefgh"}}


def alarm(n):
    return {"device": f"pump-{n % 20:02}", "n": n, "at_ms": int(time.time() * 1000), "text": "pressure above its limit"}


def post(port, stream, event):
    body = json.dumps(event)
    if not hasattr(local, "connection"):
        local.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    local.connection.request("POST", "/" + stream, body, {"Content-Type": "application/json"})
    answer = local.connection.getresponse()
    answer.read()
    with lock:
        print(stream if answer.status == 200 else f"refused-{answer.status}", event["n"], flush=True)


def moments(first, seconds):
    """Each event when it happens, with its stream."""
    began = time.monotonic()
    due = [(n * TELEMETRY_S, "telemetry", first + n) for n in range(int(seconds / TELEMETRY_S))]
    due += [(ALARM_S / 2 + n * ALARM_S, "alarms", n) for n in range(int(seconds / ALARM_S))]
    for moment, stream, n in sorted(due):
        time.sleep(max(0, began + moment - time.monotonic()))
        yield stream, telemetry(n) if stream == "telemetry" else alarm(n)


def main():
    port, first, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for stream, event in moments(first, seconds):
            pool.submit(post, port, stream, event)


if __name__ == "__main__":
    main()
