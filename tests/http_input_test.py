"""Bad input over HTTP, against the whole program: bodies that are no events, clients that are slow, silent, too many, or speak HTTP
in doubtful ways. Nothing of it may stop the events of others.

usage: http_input_test.py WEIR"""
import json
import socket
import ssl
import subprocess
import time

from program import Agent, PATIENCE, check, configuration, finish, free_port, path_of, wait_until

REQUEST_S = 3.0  # request_timeout of the hasty one
IDLE_S = 4.0  # idle_timeout
CONNECTIONS = 8

agent = Agent(configuration(free_port(), request_timeout="2 min", idle_timeout="4 s", connection_max=CONNECTIONS,
                            body_size_max="12 MiB", memory_max="40 MiB")).start()
# Where it is the clients that are slow: elsewhere this test may be.
config = configuration(free_port(), request_timeout="3 s", idle_timeout="4 s", connection_max=CONNECTIONS)
config["buffer"]["path"] = path_of("hasty", "buffer.db")
hasty = Agent(config, "hasty.json").start()


def connect(to=agent):
    return socket.create_connection(("127.0.0.1", to.port), timeout=PATIENCE)


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def ask(raw, finish_sending=True):
    """Everything that comes back on a connection on which these bytes are sent."""
    with connect() as s:
        try:
            s.sendall(raw)
            if finish_sending:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass # the server has ended it already
        return read_all(s)


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def head(*lines, method="POST", path="/raw"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")


def still_works(what, to=agent):
    status, answer = to.post("/typed", '{"k": "a", "n": 1}')
    check(f"{what}: the next event is stored", status == 200 and answer["stored"] == 1, str((status, answer)))


def stored_count():
    return sum(s["sequence_next"] - 1 for s in agent.status()["streams"])


def test_events_that_do_not_fit():
    deep = "[" * 80 + "]" * 80
    for what, body, reason in [
            ("malformed JSON", b'{"k": "a", "n": 1,}', "no key"),
            ("a wrong word", b'{"k": "a", "n": nan}', "not a JSON value"),
            ("an unfinished string", b'{"k": "a', ""),
            ("a NUL byte in a string", b'{"k": "a\0", "n": 1}', "control character"),
            ("a NUL byte outside", b'{"k": "a", \0"n": 1}', ""),
            ("invalid UTF-8", b'{"k": "\xff\xfe", "n": 1}', "UTF-8"),
            ("overlong UTF-8", b'{"k": "\xc0\xaf", "n": 1}', "UTF-8"),
            ("half a surrogate pair", b'{"k": "\\ud800", "n": 1}', "surrogate"),
            ("a number out of range", b'{"k": "a", "n": 9223372036854775808}', 'field "n"'),
            ("a huge exponent", b'{"k": "a", "n": 1e999999999}', 'field "n"'),
            ("a fraction for a long", b'{"k": "a", "n": 1.5}', 'field "n"'),
            ("a double out of range", b'{"k": "a", "n": 1, "t": 1e400}', 'field "t"'),
            ("a duplicate key", b'{"k": "a", "n": 1, "\\u006e": 2}', "has already"),
            ("too deep", b'{"k": "a", "n": 1, "x": ' + deep.encode() + b"}", "nested"),
            ("a field missing", b'{"k": "a"}', 'field "n"'),
            ("null for a long", b'{"k": "a", "n": null}', 'field "n"'),
            ("no object", b'"text"', ""),
            ("not JSON at all", b"hello", "")]:
        status, answer = agent.post("/typed", body, {"Content-Type": "application/x-ndjson"})
        errors = answer.get("aside") or [{}]
        check(f"{what} is set aside", status == 200 and answer["stored"] == 0 and reason in errors[0].get("error", ""), str((status, answer)))
    still_works("events that do not fit")
    status, answer = agent.post("/typed", '{"k": "a", "n": 1, "unknown": {"x": [1]}}')
    check("an unknown field is left out", status == 200 and answer["stored"] == 1, str(answer))
    lines = b'{"k": "a", "n": 1}\n{"k": "a", "n": "x"}\n\n{"k": "b", "n": 2}\nno\n'
    status, answer = agent.post("/typed", lines, {"Content-Type": "application/x-ndjson"})
    check("the line of each is told", status == 200 and answer["stored"] == 2 and [a["line"] for a in answer["aside"]] == [2, 5], str(answer))
    reasons = [a["reason"] for a in agent.aside()]
    check("all of them are listed with their reason", len(reasons) == 20 and all(reasons), str(len(reasons)))


def test_bodies_that_cannot_be_split():
    before = stored_count()
    for what, body in [("an array without its end", b'[{"k": "a", "n": 1},'), ("text behind the array", b'[{"k": "a", "n": 1}] x'),
                       ("an empty element", b'[{"k": "a", "n": 1},,{"k": "a", "n": 2}]'), ("brackets that do not match", b'[{"k": "a", "n": [1}]]')]:
        status, answer = agent.post("/typed", body, {"Content-Type": "application/json"})
        check(f"{what} is refused", status == 400 and answer["error"], str((status, answer)))
    check("and nothing of them is stored", stored_count() == before)
    for what, headers, status in [("XML", {"Content-Type": "text/xml"}, 415), ("gzip", {"Content-Encoding": "gzip"}, 415),
                                  ("an empty key", {"Idempotency-Key": ""}, 400), ("a long key", {"Idempotency-Key": "k" * 300}, 400)]:
        check(f"{what} is refused", agent.post("/typed", '{"k": "a", "n": 1}', headers)[0] == status)
    still_works("bodies that cannot be split")


def test_a_line_of_10_megabytes():
    line = b'{"n": 1, "k": "' + b"y" * (10 << 20) + b'"}'
    status, answer = agent.post("/typed", line + b'\n{"k": "b", "n": 2}\n', {"Content-Type": "application/x-ndjson"})
    check("10 MB are set aside, the next line is stored", status == 200 and answer["stored"] == 1 and answer["aside"][0]["line"] == 1, str(answer))
    last = agent.aside()[-1]
    check("with their true size", last["size"] == len(line), str(last["size"]))
    status, answer = agent.post("/raw", b"z" * (13 << 20))
    check("more than body_size_max", status == 413, str(answer))
    answer = ask(head("Transfer-Encoding: chunked") + (b"100000\r\n" + b"z" * (1 << 20) + b"\r\n") * 13 + b"0\r\n\r\n")
    check("also in chunks", status_of(answer) == 413, str(answer[:200]))
    still_works("10 MB")


def test_slow_clients():
    slow = {"nothing at all": (b"", None), "a request line without end": (b"POST /raw HT", b"T"), "headers in drips": (head()[:-2], b"X-A: b\r\n"),
            "a body in drips": (head("Content-Length: 1000"), b"x"), "half of a body, then nothing": (head("Content-Length: 1000") + b"x" * 500, None),
            "chunks in drips": (head("Transfer-Encoding: chunked"), b"1\r\nx\r\n")}
    sockets, since = {}, time.monotonic()
    for what, (first, _) in slow.items():
        sockets[what] = connect(hasty)
        sockets[what].sendall(first)
    still_works("slow clients", hasty)
    ended = {}
    while time.monotonic() - since < PATIENCE and len(ended) < len(slow):
        for what, s in sockets.items():
            drip = slow[what][1]
            try:
                s.settimeout(0.01)
                if drip and what not in ended:
                    s.sendall(drip)
                if s.recv(4096) == b"":
                    ended.setdefault(what, time.monotonic() - since)
            except (BrokenPipeError, ConnectionResetError):
                ended.setdefault(what, time.monotonic() - since)
            except TimeoutError:
                pass
        time.sleep(0.1)
    for what, s in sockets.items():
        check(f"{what}: the connection is ended", what in ended, str(ended))
        check(f"{what}: not before its time", ended.get(what, PATIENCE) > REQUEST_S * 0.8, str(ended.get(what)))
        s.close()
    still_works("after slow clients", hasty)


def test_a_client_that_never_reads():
    with connect() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(0.5)
        one = head("Content-Length: 1", path="/" + "p" * 2000) + b"x"
        sent = 0
        try:
            while sent < 64 << 20:
                sent += s.send(one * 32)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        check("the server stops reading requests whose answers nobody takes", sent < 64 << 20, str(sent))
        still_works("answers that nobody reads")
    still_works("after a client that never reads")


def test_too_many_connections():
    crowd = [connect(hasty) for _ in range(CONNECTIONS * 4)]
    still_works("too many connections", hasty) # its turn comes when the silent ones are ended
    for s in crowd:
        s.close()
    still_works("after too many connections", hasty)


def test_idle_connection():
    with connect() as s:
        since = time.monotonic()
        s.sendall(head("Content-Length: 1") + b"x")
        s.recv(4096)
        rest = read_all(s)
        check("an idle connection is closed", rest == b"" and IDLE_S * 0.5 < time.monotonic() - since < PATIENCE, str(rest))


def test_doubtful_requests():
    """What proxies and servers may read in different ways is refused, and never read as a second request."""
    inner = b"POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nsmuggle"
    for what, raw in [
            ("two different lengths", head("Content-Length: 1", f"Content-Length: {1 + len(inner)}") + b"x" + inner),
            ("a length and chunks", head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + inner),
            ("a length that is no number", head("Content-Length: 1x") + b"x" + inner),
            ("a negative length", head("Content-Length: -1") + inner),
            ("a length with a sign", head("Content-Length: +1") + b"x" + inner),
            ("a length over 64 bits", head("Content-Length: 18446744073709551617") + b"x" + inner),
            ("a list of lengths", head("Content-Length: 1, 1") + b"x" + inner),
            ("chunks of a wrong size", head("Transfer-Encoding: chunked") + b"zz\r\nx\r\n0\r\n\r\n" + inner),
            ("a chunk size over 64 bits", head("Transfer-Encoding: chunked") + b"10000000000000001\r\nx\r\n0\r\n\r\n" + inner),
            ("chunks within another coding", head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n" + inner),
            ("an unknown coding", head("Transfer-Encoding: xchunked") + b"0\r\n\r\n" + inner),
            ("a space before the colon", head("Content-Length : 1") + b"x" + inner)]:
        before = {a["sequence"]: a for a in agent.stored("raw")}
        answer = ask(raw)
        smuggled = [a for a in agent.stored("raw") if a["sequence"] not in before and "smuggle" in json.dumps(a)]
        check(f"{what}: nothing is smuggled in", not smuggled, str(answer[:300]))
        check(f"{what}: refused", status_of(answer) in (0, 400, 411, 413, 501), str(answer[:300]))
    still_works("doubtful requests")


def test_other_requests():
    body = b'{"n": 1}'
    length = f"Content-Length: {len(body)}"
    for what, raw, status in [
            ("chunks", head("Transfer-Encoding: chunked") + b"4\r\n{\"n\"\r\n4\r\n: 1}\r\n0\r\n\r\n", 200),
            ("chunks with a trailer", head("Transfer-Encoding: chunked") + b"8\r\n{\"n\": 1}\r\n0\r\nX-A: b\r\n\r\n", 200),
            ("HTTP/1.0", b"POST /raw HTTP/1.0\r\n" + length.encode() + b"\r\n\r\n" + body, 200),
            ("GET", head(method="GET"), 405), ("PUT", head(length, method="PUT") + body, 405), ("TRACE", head(method="TRACE"), 405),
            ("an unknown method", head(method="FLY"), 405),
            ("a head of 40 kB", head("X-A: " + "a" * 40000, length) + body, 431),
            ("a path of 40 kB", head(length, path="/" + "p" * 40000) + body, 414),
            ("many headers", head(*[f"X-{i}: a" for i in range(5000)], length) + body, 431),
            ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 0),
            ("HTTP/2 at once", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0)]:
        answer = ask(raw)
        got = status_of(answer) if answer.startswith(b"HTTP/1.1") else 0
        check(f"{what}: {status}", got == status or (status in (0, 414, 431) and got in (0, 400, 413, 414, 431, 505)), str(answer[:200]))
    answer = ask(head(length) + body[:4])
    check("a body shorter than it said is no event", status_of(answer) in (0, 400), str(answer[:200]))
    answer = ask(head(length, "Connection: keep-alive") + body + head(length, "Connection: close") + body)
    check("two requests behind each other", answer.count(b"HTTP/1.1 200 ") == 2, str(answer[:400]))
    with connect() as s:
        s.sendall(head("Expect: 100-continue", length))
        first = s.recv(4096)
        check("100 Continue", first.startswith(b"HTTP/1.1 100 "), str(first))
        s.sendall(body)
        check("then 200", status_of(s.recv(4096)) == 200)
    answer = ask(head("Expect: 100-continue", f"Content-Length: {13 << 20}"), finish_sending=False)
    check("no 100 Continue for what is too large", status_of(answer) == 413, str(answer[:200]))
    still_works("other requests")


def test_counted():
    drivers = agent.status()["drivers"]["post"]
    check("refusals are counted", drivers["http_400"] >= 6 and drivers["http_413"] >= 2 and drivers["http_415"] == 2, str(drivers))
    check("so are clients that went away in the middle of a request", wait_until(lambda: agent.status()["drivers"]["post"].get("vanished", 0) >= 3), str(drivers))


def test_over_tls():
    """The bytes of TLS go to the server and back by a pair of sockets: an answer must come through it also when nobody reads the request's rest."""
    key, certificate = path_of("key.pem"), path_of("certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    config = configuration(free_port(), token="t0ken", idle_timeout="4 s", tls={"certificate": certificate, "key": key})
    config["drivers"]["post"]["listen"] = config["drivers"]["post"]["listen"].replace("127.0.0.1", "0.0.0.0")
    config["buffer"]["path"] = path_of("t", "buffer.db")
    other = Agent(config, "tls.json").start()
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False

    def ask_tls(*pieces):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", other.port), timeout=PATIENCE)) as s:
            try:
                for piece in pieces:
                    s.sendall(piece)
            except OSError:
                pass
            data = b""
            try:
                while piece := s.recv(65536):
                    data += piece
            except OSError:
                pass
            return data

    token, close = "Authorization: Bearer t0ken", "Connection: close"
    check("TLS with its token", status_of(ask_tls(head("Content-Length: 1", token, close) + b"1")) == 200)
    check("without", status_of(ask_tls(head("Content-Length: 1", close) + b"1")) == 401)
    check("with another", status_of(ask_tls(head("Content-Length: 1", "Authorization: Bearer t0ke", close) + b"1")) == 401)
    with socket.create_connection(("127.0.0.1", other.port), timeout=PATIENCE) as s:
        s.sendall(head("Content-Length: 1", token, close) + b"1")
        check("no TLS spoken", status_of(read_all(s)) == 0)
    for i in range(5):
        answer = ask_tls(head("X-A: " + "a" * 40000, token), *[b"z" * 16384] * 64)
        check("an answer before the request's end comes through", status_of(answer) in (400, 413, 431), f"{i}: {answer[:100]}")
    answer = ask_tls(head("Content-Length: 2000000", token, close), *[b"z" * 16384] * 123)
    check("and one behind it", status_of(answer) == 413, str(answer[:100]))
    check("TLS goes on", status_of(ask_tls(head("Content-Length: 1", token, close) + b"1")) == 200)
    check("and ends in order", other.stop() == 0, other.log()[-500:])


test_events_that_do_not_fit()
test_bodies_that_cannot_be_split()
test_a_line_of_10_megabytes()
test_slow_clients()
test_a_client_that_never_reads()
test_too_many_connections()
test_idle_connection()
test_doubtful_requests()
test_other_requests()
test_counted()
test_over_tls()
check("it ends in order", agent.stop() == 0 and hasty.stop() == 0, agent.log()[-500:])
finish()
