"""What tests/services/cutter.py promises: cuts where the seed says, both ways, by RST and FIN; lost answers, refusals, delay, outages."""
import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

SERVICES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "services")
sys.path.insert(0, SERVICES)
from cutter import Cutter, Requests  # noqa: E402


SIZE = 300000       # bytes that each side says


class Sink:
    """A server that says SIZE bytes and reads what it gets, on each connection."""

    def __init__(self):
        self.ends, self.server = [], socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer = self.server.accept()[0]
            self.ends.append(None)
            threading.Thread(target=self.serve, args=(peer, len(self.ends) - 1), daemon=True).start()

    def serve(self, peer, index):
        self.ends[index] = transfer(peer)


def transfer(peer):
    """Says its bytes and reads to the end: (bytes, "fin" or "rst")."""
    resets = []         # told to one of the two, whoever asks first

    def say():
        try:
            peer.sendall(b"x" * SIZE)
            peer.shutdown(socket.SHUT_WR)
        except OSError as error:
            resets.append(error)
    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    count = 0
    try:
        while data := peer.recv(1000):
            count += len(data)
    except ConnectionResetError as error:
        resets.append(error)
    thread.join(10)
    peer.close()
    return count, "rst" if resets else "fin"


class Web:
    """An HTTP server that counts requests."""

    def __init__(self):
        web, self.paths = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                web.paths.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def wait(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


class Cuts(unittest.TestCase):
    def setUp(self):
        self.sink = Sink()
        self.cutter = self.cutter_of(0)

    def cutter_of(self, seed):
        cutter = Cutter(self.sink.server.getsockname(), seed=seed)
        self.addCleanup(cutter.close)
        return cutter

    def connect(self, cutter):
        """How a connection ended at the server, and here."""
        number = len(self.sink.ends)
        here = transfer(socket.create_connection(("127.0.0.1", cutter.port)))
        wait(lambda: len(self.sink.ends) > number and self.sink.ends[number])
        return self.sink.ends[number], here

    def test_nothing_is_cut_unless_it_is_said(self):
        self.assertEqual(self.connect(self.cutter), ((SIZE, "fin"), (SIZE, "fin")))
        wait(lambda: self.cutter.status()["bytes"] == {"up": SIZE, "down": SIZE})
        self.assertEqual(self.cutter.status()["events"], [])

    def test_cuts_are_at_the_byte_that_was_said(self):
        for at in (0, 1, 1000, 150000):
            for how in ("rst", "fin"):
                self.cutter.cut(at=at, where="up", how=how, count=1)
                self.assertEqual(self.connect(self.cutter)[0], (at, how))
                self.cutter.cut(at=at, where="down", how=how, count=1)
                self.assertEqual(self.connect(self.cutter)[1], (at, how))
        self.assertEqual(self.connect(self.cutter)[1], (SIZE, "fin"))
        self.assertEqual(len(self.cutter.status()["events"]), 16)

    def test_the_same_seed_cuts_the_same(self):
        def run(cutter):
            cutter.cut(share=0.7, within=100000)
            ends = [self.connect(cutter) for _ in range(20)]
            events = {event["connection"]: event for event in cutter.status()["events"]}
            for i, (there, here) in enumerate(ends, 1):
                event = events.get(i)
                got = {"up": there, "down": here}
                self.assertEqual(got[event["where"]] if event else there, (event["at"], event["how"]) if event else (SIZE, "fin"))
            return list(events.values())
        first = run(self.cutter_of(7))
        self.assertEqual(first, run(self.cutter_of(7)))
        self.assertNotEqual(first, run(self.cutter_of(8)))
        self.assertEqual({(event["where"], event["how"]) for event in first}, {(w, h) for w in ("up", "down") for h in ("rst", "fin")})
        self.assertTrue(8 < len(first) < 20)


class Http(unittest.TestCase):
    def setUp(self):
        self.web = Web()
        self.cutter = Cutter(self.web.server.server_address, http=True)
        self.addCleanup(self.cutter.close)
        self.client = http.client.HTTPConnection("127.0.0.1", self.cutter.port, timeout=30)
        self.addCleanup(self.client.close)

    def post(self, path, body=b"hello", **more):
        self.client.request("POST", path, body, **more)
        answer = self.client.getresponse()
        return answer.status, answer.headers.get("Retry-After"), answer.read()

    def test_refused_requests_do_not_arrive(self):
        self.cutter.answer(status=503, retry_after=7, count=2)
        self.assertEqual(self.post("/1", b"a" * 200000), (503, "7", b""))
        self.assertEqual(self.post("/2"), (503, "7", b""))
        self.assertEqual(self.post("/3", b"a" * 200000), (200, None, b"a" * 200000))
        self.cutter.answer(status=429, body="slow down")
        self.assertEqual(self.post("/4"), (429, None, b"slow down"))
        self.cutter.calm()
        self.assertEqual(self.post("/5"), (200, None, b"hello"))
        self.assertEqual(self.web.paths, ["/3", "/5"])
        self.assertEqual(self.cutter.status()["connections"], 1)

    def test_lost_answers_are_of_requests_that_have_arrived(self):
        self.assertEqual(self.post("/1")[0], 200)
        self.cutter.lose()
        with self.assertRaises(ConnectionResetError):
            self.post("/2", b"b" * 200000)
        self.client.close()
        self.cutter.lose(how="fin")
        with self.assertRaises(http.client.RemoteDisconnected):
            self.post("/3")
        self.client.close()
        self.assertEqual(self.post("/4")[0], 200)
        self.assertEqual(self.web.paths, ["/1", "/2", "/3", "/4"])

    def test_answers_come_late(self):
        self.cutter.delay(ms=300)
        start = time.monotonic()
        self.assertEqual(self.post("/1")[0], 200)
        self.assertGreaterEqual(time.monotonic() - start, 0.3)

    def test_an_outage_ends_connections_and_refuses_others(self):
        self.assertEqual(self.post("/1")[0], 200)
        self.cutter.down()
        with self.assertRaises(ConnectionError):
            self.post("/2")
        self.client.close()
        with self.assertRaises(ConnectionRefusedError):
            self.post("/3")
        self.client.close()
        self.cutter.up()
        self.assertEqual(self.post("/4")[0], 200)
        self.assertEqual(self.web.paths, ["/1", "/4"])

    def test_requests_are_taken_apart(self):
        chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=1\r\nabc\r\n0\r\n\r\n"
        sized = b"PUT /b HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
        empty = b"GET /c HTTP/1.1\r\nHost: x\r\n\r\n"
        whole = chunked + sized + empty + chunked
        for step in (1, 2, 7, len(whole)):
            requests, seen = Requests(), []
            for i in range(0, len(whole), step):
                for piece, first, last in requests.feed(whole[i:i + step]):
                    if first:
                        seen.append([b"", False])
                    self.assertFalse(seen[-1][1])
                    seen[-1] = [seen[-1][0] + piece, last]
            self.assertEqual(seen, [[chunked, True], [sized, True], [empty, True], [chunked, True]])
        other = Requests()
        self.assertEqual(other.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), [(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", False, False)])


class Program(unittest.TestCase):
    def test_commands_come_line_by_line(self):
        web = Web()
        host, port = web.server.server_address
        with subprocess.Popen([sys.executable, os.path.join(SERVICES, "cutter.py"), f"{host}:{port}", "--http", "--seed", "3"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cutter:
            def tell(line):
                cutter.stdin.write(line + "\n")
                cutter.stdin.flush()
                return cutter.stdout.readline().strip()
            port = int(cutter.stdout.readline().split()[1])
            self.assertEqual(tell("answer status=503 retry_after=1 count=1"), "ok")
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            for status in (503, 200):
                client.request("POST", "/", b"x")
                answer = client.getresponse()
                answer.read()
                self.assertEqual(answer.status, status)
            client.close()
            self.assertEqual(json.loads(tell("status"))["events"], [{"what": "answer"}])
            self.assertEqual(tell("cut where=up at=3 how=rst share=0.5 count=1"), "ok")
            self.assertTrue(tell("cut sideways=1").startswith("error"))
            self.assertTrue(tell("_draw name=x").startswith("error"))
            cutter.stdin.close()
            self.assertEqual(cutter.wait(30), 0)


if __name__ == "__main__":
    unittest.main()
