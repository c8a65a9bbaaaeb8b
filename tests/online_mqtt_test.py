"""weir check --online for the mqtt driver, against a broker that answers as it is told: each refusal gives its line, and no answer, however
wrong, more than that. It asks under a client id of its own, with a clean session, and joins no shared subscription.

usage: online_mqtt_test.py WEIR"""
import json
import socket
import threading

from program import PATIENCE, check, finish, path_of, run, write

FILTERS = ["site/+/temp", "$share/group/site/#"]
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
script, seen, threads = {}, [], []


def packet(connection):
    """(first byte, body) of the next packet; None: the end."""
    head = connection.recv(1, socket.MSG_WAITALL)
    if not head:
        return None
    size = shift = 0
    while True:
        byte = connection.recv(1, socket.MSG_WAITALL)
        if not byte:
            return None
        size |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            break
    return head[0], connection.recv(size, socket.MSG_WAITALL) if size else b""


def serve(connection):
    with connection:
        while (got := packet(connection)) is not None:
            seen.append(got)
            kind = got[0] >> 4
            answers = script.get(kind, [])
            for answer in answers(got[1]) if callable(answers) else answers:
                if answer is None:
                    return
                connection.sendall(answer)


def accept():
    while True:
        connection, _ = listener.accept()
        threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
        threads[-1].start()


def ask(connack, suback=(), **options):
    """(exit code, {(level, option, what): text}, the packets that came)"""
    script.clear()
    seen.clear()
    script.update({1: connack, 8: suback})
    config = {"buffer": {"path": path_of("never", "buffer.db")}, "streams": {"s": {}}, "uplinks": {"f": {"type": "file", "path": path_of("out")}},
              "drivers": {"b": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{port}", "stream": "s", "topics": FILTERS, **options}}}
    r = run("check", "--online", "--json", write("mqtt.json", json.dumps(config)))
    for thread in threads: # what it sent last may not have been looked at yet
        thread.join(PATIENCE)
    threads.clear()
    try:
        found = {(f["level"], f["path"].removeprefix("$.drivers.b."), f["what"].replace(f" 127.0.0.1:{port}", "")): f["text"]
                 for f in json.loads(r.stdout)["findings"]}
    except ValueError:
        raise SystemExit(f"no document: {r.stdout} {r.stderr}")
    return r.returncode, found, list(seen)


def text(value):
    return len(value).to_bytes(2, "big") + value.encode()


CONNACK_5, CONNACK_311 = b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x00"
SUBACK_5, SUBACK_311 = (lambda body: [b"\x90\x04" + body[:2] + b"\x00\x00"]), (lambda body: [b"\x90\x03" + body[:2] + b"\x00"])


def test_what_is_sent():
    code, found, packets = ask([CONNACK_5], SUBACK_5, user="u", password="hush-1", client_id="the-agents")
    check("all is well", code == 0 and ("ok", "user", "login at") in found and "2 of 2" in found.get(("ok", "topics", "topic filters"), ""), str(found))
    check("a password in the clear is warned of", ("warning", "url", "password for") in found, str(found))
    check("and not told", "hush-1" not in str(found))
    connect = packets[0][1]
    check("a clean session, user and password", connect[:8] == text("MQTT") + b"\x05\xc2" and connect[10] == 0, str(connect))
    check("under another client id", b"the-agents" not in connect and connect[11:].startswith(b"\x00\x11weirprobe"), str(connect))
    check("no shared subscription, no retained messages", [p[1][3:] for p in packets[1:3]] == [text("site/+/temp") + b"\x20", text("site/#") + b"\x20"], str(packets))
    check("an orderly end", packets[-1] == (0xe0, b"") and len(packets) == 4, str(packets))
    code, found, packets = ask([CONNACK_311], SUBACK_311, protocol="3.1.1")
    check("3.1.1", code == 0 and packets[0][1][:8] == text("MQTT") + b"\x04\x02" and packets[1][1][2:] == text("site/+/temp") + b"\x00", str(packets))


def test_refusals():
    for what, connack, options, option, wanted in [
            ("a wrong password", b"\x20\x03\x00\x86\x00", {"user": "u", "password": "p"}, "user", "bad user name or password"),
            ("no login", b"\x20\x03\x00\x87\x00", {}, "url", "not authorized"),
            ("no MQTT 5", b"\x20\x02\x00\x84", {}, "protocol", '"protocol": "3.1.1"'),
            ("no 3.1.1", b"\x20\x02\x00\x01", {"protocol": "3.1.1"}, "protocol", "the other one"),
            ("a client id that is not allowed", b"\x20\x02\x00\x02", {"protocol": "3.1.1"}, "url", "under another client id"),
            ("a reason of its own", b"\x20\x06\x00\xee\x03\x1f\x00\x00", {}, "url", "does not say why")]:
        code, found, _ = ask([connack], **options)
        check(f"{what}", code == 1 and wanted in found.get(("error", option, "login at"), ""), str(found))
    code, found, _ = ask([CONNACK_5], lambda body: [b"\x90\x04" + body[:2] + (b"\x00\x87" if b"#" in body else b"\x00\x01")])
    check("a topic that is refused", code == 1 and "(0x87)" in found.get(("error", "topics", "topic filter site/#"), "") and
          not [key for key in found if key[2] == "topic filters"], str(found))


def test_answers_that_make_no_sense():
    publish = b"\x32\x0b\x00\x01t\x00\x07\x00hello"
    for what, connack, suback, good in [
            ("in single bytes, with messages in between", [bytes([b]) for b in CONNACK_5],
             lambda body: [publish, b"\x90", b"\x0c", body[:2] + b"\x08\x1f\x00", b"\x05ready\x00", publish], True),
            ("closed at once", [None], [], False), ("closed within an answer", [b"\x20", None], [], False), ("HTTP", [b"HTTP/1.1 400 Bad Request\r\n\r\n", None], [], False),
            ("an empty CONNACK", [b"\x20\x00"], [], False), ("a length without end", [b"\x20\xff\xff\xff\xff\xff"], [], False),
            ("a SUBACK of another packet", [CONNACK_5], [b"\x90\x04\x00\x63\x00\x00"], False), ("a SUBACK without a code", [CONNACK_5], [b"\x90\x02\x00\x01"], False),
            ("properties beyond the packet", [CONNACK_5], lambda body: [b"\x90\x04" + body[:2] + b"\x7f\x00"], False),
            ("a DISCONNECT", [CONNACK_5], [b"\xe0\x01\x8b"], False), ("closed while subscribing", [CONNACK_5], [None], False),
            ("random bytes", [bytes(range(255, 100, -1))], [], False)]:
        code, found, _ = ask(connack, suback)
        errors = [key for key in found if key[0] == "error"]
        check(f"{what}", (code, len(errors)) == ((0, 0) if good else (1, 1)), str(found))


threading.Thread(target=accept, daemon=True).start()
test_what_is_sent()
test_refusals()
test_answers_that_make_no_sense()
finish()
