#!/usr/bin/env python3
"""A TCP proxy that cuts: connections end at bytes that a seed chooses, answers are lost whole, come late, or are an HTTP server's refusal.

As a module: `Cutter(("127.0.0.1", 9092), seed=7)`, its `port`, and the methods below.
As a program: cutter.py HOST:PORT [--port N] [--seed N] [--http]
prints `port N`, then takes one command a line on stdin (the end of stdin ends it) and answers each with a line:
    cut share=0.5 within=20000 where=both how=both count=3     method(key=value) for each method without "_"
    lose count=1 | delay ms=200 | answer status=503 retry_after=1 count=2 | calm | down | up | status
The same seed and the same bytes in the same order of connections: the same cuts."""
import argparse
import fcntl
import json
import random
import select
import socket
import struct
import sys
import termios
import threading
import time

CHUNK = 65536
QUIET_S = 0.1       # an answer that is lost has ended when so long nothing more of it has come
DRAIN_S = 2         # how long an end by FIN waits for the other side's
HEAD_MAX = 65536


class Requests:
    """Takes the bytes of HTTP/1.1 requests apart: feed() gives pieces (bytes, is the first, is the last of its request).
    What is no HTTP/1.1, HTTP/2 without TLS for one, goes through as it is."""

    def __init__(self):
        self.data, self.left, self.state = b"", 0, "head"

    def feed(self, data):
        self.data += data
        pieces = []
        while self.data and (piece := self.piece()):
            pieces.append(piece)
        return pieces

    def take(self, size):
        piece, self.data = self.data[:size], self.data[size:]
        return piece

    def piece(self):
        if self.state == "other":
            return self.take(CHUNK), False, False
        if self.state == "head":
            return self.head()
        if self.state == "chunk":       # the line with the size of the next one; its data and line end follow
            line = self.data.find(b"\r\n")
            if line < 0:
                return None
            size = int(self.data[:line].split(b";")[0], 16)
            self.left, self.state = size + 2, "chunk data" if size else "trailer"
            return self.take(line + 2), False, False
        piece = self.take(self.left)    # body, chunk data, and the end of the chunks (trailers are not expected)
        self.left -= len(piece)
        ends = not self.left and self.state != "chunk data"
        if not self.left:
            self.state = "chunk" if self.state == "chunk data" else "head"
        return piece, False, ends

    def head(self):
        end = self.data.find(b"\r\n\r\n")
        if end < 0 and (len(self.data) < HEAD_MAX and not self.data.startswith(b"PRI * HTTP/2")):
            return None
        fields = dict(line.lower().split(b":", 1) for line in self.data[:max(end, 0)].split(b"\r\n")[1:] if b":" in line)
        if end < 0 or self.data.startswith(b"PRI * HTTP/2") or b"upgrade" in fields:
            self.state = "other"
            return self.take(CHUNK), False, False
        if b"chunked" in fields.get(b"transfer-encoding", b""):
            self.state = "chunk"
        elif int(fields.get(b"content-length", 0)):
            self.left, self.state = int(fields[b"content-length"]), "body"
        return self.take(end + 4), True, self.state == "head"


class Way:
    """One direction of a connection."""

    def __init__(self, name, source, target):
        self.name, self.source, self.target = name, source, target
        self.pending, self.count = b"", 0       # to be written; bytes put into `pending` so far
        self.ended = self.told = self.cuts = False


class Connection:
    def __init__(self, cutter, number, plan, client, server):
        self.cutter, self.number, self.plan, self.epoch = cutter, number, plan, cutter.epoch
        self.up, self.down = Way("up", client, server), Way("down", server, client)
        self.requests = Requests() if cutter.http else None
        self.refusal = None             # this request is answered here
        self.turn = False               # the next bytes down begin an answer
        self.late_until = 0
        self.losing_since = None

    # --- bytes ---

    def put(self, way, data):
        """Cut where the plan says."""
        if self.plan and self.plan["where"] == way.name and way.count + len(data) >= self.plan["at"]:
            data, way.cuts = data[:max(self.plan["at"] - way.count, 0)], True
        way.pending += data
        way.count += len(data)

    def sent(self, data):
        """From the client."""
        self.turn = True
        if not self.requests:
            self.put(self.up, data)
            return
        for piece, first, last in self.requests.feed(data):
            if first:
                self.refusal = self.cutter._draw("answer")
            if not self.refusal:
                self.put(self.up, piece)
            elif last:
                self.put(self.down, self.refusal["bytes"])

    def answered(self, data):
        """From the server."""
        if self.losing_since is None and self.turn:
            self.turn = False
            self.late_until = time.monotonic() + self.cutter.delay_ms / 1000
            if self.cutter._draw("lose", self.down.count):
                self.losing_since = time.monotonic()
        if self.losing_since is None:
            self.put(self.down, data)
        else:
            self.losing_since = time.monotonic()

    def read(self, way):
        try:
            data = way.source.recv(CHUNK)
        except BlockingIOError:
            return
        way.ended = not data
        if data:
            (self.sent if way is self.up else self.answered)(data)

    def write(self, way):
        try:
            way.pending = way.pending[way.target.send(way.pending):]
        except BlockingIOError:
            pass

    # --- the end ---

    def end(self, how, why):
        self.cutter._tell(why, connection=self.number, how=how, **({k: self.plan[k] for k in ("where", "at")} if why == "cut" else {}))
        ends = (self.up.source, self.down.source)
        for end in ends:
            try:
                if how == "rst":
                    self.flush(end)
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    end.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        until = time.monotonic() + DRAIN_S
        left = list(ends) if how == "fin" else []   # closed with bytes unread, a socket would send RST
        while left and time.monotonic() < until:
            for end in select.select(left, [], [], 0.1)[0]:
                try:
                    if end.recv(CHUNK):
                        continue
                except OSError:
                    pass
                left.remove(end)

    @staticmethod
    def flush(end):
        """What was written has arrived: an end by RST would take it back."""
        until = time.monotonic() + DRAIN_S
        while struct.unpack("i", fcntl.ioctl(end, termios.TIOCOUTQ, b"1234"))[0] and time.monotonic() < until:
            time.sleep(0.001)

    def over(self):
        """Is it? Then what had to be said has been."""
        losing = self.losing_since is not None
        if self.epoch != self.cutter.epoch:
            self.end("rst", "down")
        elif losing and (self.down.ended or time.monotonic() - self.losing_since > QUIET_S):
            self.end(self.cutter.lose_how, "lost")
        elif any(way.cuts and not way.pending for way in (self.up, self.down)):
            self.end(self.plan["how"], "cut")
        else:
            return self.up.told and self.down.told
        return True

    def step(self):
        late = time.monotonic() < self.late_until
        ways = (self.up, self.down)
        readers = {way.source: way for way in ways if not way.pending and not way.ended and not way.cuts}
        writers = {way.target: way for way in ways if way.pending and not (late and way is self.down)}
        readable, writable, _ = select.select(readers, writers, [], 0.01 if late else 0.05)
        for end in readable:
            self.read(readers[end])
        for end in writable:
            self.write(writers[end])
        for way in ways:
            if way.ended and not way.pending and not way.told:
                way.told = True
                way.target.shutdown(socket.SHUT_WR)

    def run(self):
        try:
            while not self.over():
                self.step()
        except OSError:         # one of them has ended it: so does the other's
            pass
        for way in (self.up, self.down):
            way.source.close()
            self.cutter.bytes[way.name] += way.count


class Cutter:
    """`http`: knows HTTP/1.1 without TLS, so that answer() can answer."""

    def __init__(self, upstream, seed=0, port=0, http=False):
        self.upstream, self.seed, self.http, self.port = upstream, seed, http, port
        self.lock = threading.Lock()
        self.connections, self.epoch, self.events, self.bytes = 0, 0, [], {"up": 0, "down": 0}
        self.listener, self.wanted, self.closed = None, True, False
        self.calm()
        self._listen()
        threading.Thread(target=self._accept, daemon=True).start()

    # --- what can be asked for ---

    def calm(self):
        """No more mischief. Also where the seed begins anew."""
        with self.lock:
            self.random, self.rules = random.Random(self.seed), {}
            self.delay_ms, self.lose_how = 0, "rst"

    def cut(self, share=1.0, within=20000, at=None, where="both", how="both", count=None):
        """Of new connections this share ends after a number of bytes below `within` (or after `at`), counted in one direction: "up",
        "down", or either of "both"; by "rst", "fin" or either. `count`: so many of them, then no more."""
        self._rule("cut", share, count, within=int(within), at=at, where=where, how=how)

    def lose(self, share=1.0, count=1, after=0, how="rst"):
        """The request arrives, its answer does not: the connection ends instead. `after`: not before so many bytes down of a connection,
        for TLS, whose handshakes look like answers."""
        self.lose_how = how
        self._rule("lose", share, count, after=int(after))

    def answer(self, status=503, retry_after=None, share=1.0, count=None, body=""):
        """Requests are answered here, and do not arrive. Needs `http`."""
        if not self.http:
            raise ValueError("answer needs http")
        head = f"HTTP/1.1 {status} Cutter\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        head += f"Retry-After: {retry_after}\r\n" if retry_after is not None else ""
        self._rule("answer", share, count, bytes=(head + "\r\n" + body).encode())

    def delay(self, ms=0):
        """Answers begin so much later."""
        self.delay_ms = float(ms)

    def down(self):
        """Connections are reset, new ones refused."""
        self.wanted = False
        self.epoch += 1
        self._wait(lambda: not self.listener)

    def up(self):
        """After down()."""
        self.wanted = True
        self._wait(lambda: self.listener)

    def status(self):
        """What has happened; `events` in order: cut, lost, answer, down."""
        with self.lock:
            return {"port": self.port, "connections": self.connections, "bytes": dict(self.bytes), "events": list(self.events)}

    def close(self):
        self.closed = True
        self.down()

    # --- how ---

    @staticmethod
    def _wait(condition):
        until = time.monotonic() + 30
        while not condition():
            if time.monotonic() > until:
                raise RuntimeError("cutter: its thread has ended")
            time.sleep(0.005)

    def _rule(self, name, share, count, **more):
        with self.lock:
            self.rules[name] = {"share": float(share), "left": None if count is None else int(count), **more}

    def _draw(self, name, after=0):
        """The rule, if it strikes now."""
        with self.lock:
            rule = self.rules.get(name)
            if not rule or rule["left"] == 0 or after < rule.get("after", 0) or self.random.random() >= rule["share"]:
                return None
            rule["left"] = rule["left"] and rule["left"] - 1
            if name == "answer":
                self.events.append({"what": "answer"})
            return rule

    def _tell(self, what, **more):
        with self.lock:
            self.events.append({"what": what, **more})

    def _plan(self):
        rule = self._draw("cut")
        if not rule:
            return None
        with self.lock:     # always as many numbers, so that one setting does not move the others
            at, where, how = (self.random.randrange(max(rule["within"], 1)), self.random.choice(("up", "down")),
                              self.random.choice(("rst", "fin")))
        return {"at": at if rule["at"] is None else int(rule["at"]), "where": where if rule["where"] == "both" else rule["where"],
                "how": how if rule["how"] == "both" else rule["how"]}

    def _listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]

    def _accept(self):
        while not self.closed or self.listener:
            if not self.wanted:
                if self.listener:
                    self.listener.close()
                    self.listener = None
                time.sleep(0.01)
            elif not self.listener:
                self._listen()
            elif select.select([self.listener], [], [], 0.02)[0]:
                self._take(self.listener.accept()[0])

    def _take(self, client):
        self.connections += 1
        plan = self._plan()     # in the order of accepting
        threading.Thread(target=self._serve, args=(client, self.connections, plan), daemon=True).start()

    def _serve(self, client, number, plan):
        try:
            server = socket.create_connection(self.upstream, timeout=10)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        for end in (client, server):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Connection(self, number, plan, client, server).run()


def command(cutter, line):
    name, *words = line.split()
    if name.startswith("_") or not callable(getattr(Cutter, name, None)):
        raise ValueError(f"no command {name}")
    result = getattr(cutter, name)(**dict(word.split("=", 1) for word in words))
    return "ok" if result is None else json.dumps(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--http", action="store_true")
    options = parser.parse_args()
    host, port = options.upstream.rsplit(":", 1)
    cutter = Cutter((host, int(port)), options.seed, options.port, options.http)
    print(f"port {cutter.port}", flush=True)
    for line in filter(str.strip, sys.stdin):
        try:
            print(command(cutter, line), flush=True)
        except (TypeError, ValueError) as error:
            print(f"error {error}", flush=True)


if __name__ == "__main__":
    main()
