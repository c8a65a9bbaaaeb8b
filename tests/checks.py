"""Checks that go on after a failure, for tests in Python."""
import time

failures = []


def check(what, condition, shown=""):
    if not condition:
        failures.append(what)
        print(f"FAILED: {what} {shown}", flush=True)
    return condition


def check_soon(what, condition, seconds=120):
    """Waits for it."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return check(what, False, "waited for in vain")
        time.sleep(0.05)
    return True
