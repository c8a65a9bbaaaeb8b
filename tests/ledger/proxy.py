"""A TCP proxy before a Kafka node: it knows which Produce requests are under way, stops one at a chosen place, cuts connections at random bytes.

It runs in threads of the harness. A request is under way from the moment when it has left the agent whole until its answer has gone back
whole. With a gate, Produce requests on their way to the broker ("request") or their answers ("answer") stop there, all of them or behind
their first bytes, until the gate is opened or the connection is cut: so a kill meets the very moment that it is meant for."""
import random
import socket
import struct
import threading

PRODUCE = 0


class Proxy:
    def __init__(self, port, broker_port, seed, changed):
        """`changed` is a threading.Condition, notified whenever something here is not as it was."""
        self.broker_port, self.changed = broker_port, changed
        self.random = random.Random(seed)
        self.links = set()
        self.open = True
        self.gate = None        # None, "request" or "answer"
        self.part = False       # what stops at the gate has passed up to a random byte
        self.passed = 0         # Produce requests that went to the broker whole, ever
        self.cut_share = 0.0    # share of connections that are cut at a random byte
        self.refused = False    # nobody gets through
        self.counts = {"produce": 0, "cut_up": 0, "cut_down": 0}
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        broker = None
        try:
            if not self.refused:
                broker = socket.create_connection(("127.0.0.1", self.broker_port), timeout=5)
        except OSError:
            pass
        if broker is None:
            client.close()
            return
        for s in (client, broker):
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, client, broker)
        with self.changed:
            self.links.add(link)
            refused = self.refused
        if refused:
            link.close()
        down = threading.Thread(target=link.down, daemon=True)
        down.start()
        link.up()
        down.join()
        client.close()      # only now: nobody is left who might meet the next connection under this descriptor's number
        broker.close()

    def in_flight(self):
        with self.changed:
            return sum(len(link.waiting) for link in self.links)

    def at_gate(self, gate):
        with self.changed:
            return sum(link.stopped == gate for link in self.links)

    def set_gate(self, gate, part=False):
        with self.changed:
            self.gate, self.part = gate, part
            self.changed.notify_all()

    def shut(self, shut):
        self.refused = shut
        if shut:
            self.cut_all()

    def cut_all(self):
        with self.changed:
            links = list(self.links)
        for link in links:
            link.close()

    def close(self):
        self.open = False
        self.listener.close()
        self.cut_all()


class Link:
    def __init__(self, proxy, client, broker):
        self.proxy, self.client, self.broker = proxy, client, broker
        self.waiting = set()    # correlation ids of Produce requests under way
        self.stopped = None     # at which gate
        self.closed = False
        self.left = {"cut_up": None, "cut_down": None}    # bytes until this connection is cut
        if proxy.random.random() < proxy.cut_share:
            side = proxy.random.choice(["cut_up", "cut_down"])
            self.left[side] = proxy.random.randrange(1, 20000 if side == "cut_up" else 1500)

    def close(self):
        with self.proxy.changed:
            self.closed = True
            self.proxy.links.discard(self)
            self.waiting.clear()
            self.proxy.changed.notify_all()
        for s in (self.client, self.broker):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _send(self, to, data, side):
        """All of `data`, or what this connection may still carry in this direction."""
        if self.left[side] is not None:
            if len(data) >= self.left[side]:
                self.proxy.counts[side] += 1
                to.sendall(data[:self.left[side]])
                raise ConnectionError
            self.left[side] -= len(data)
        to.sendall(data)

    def _pass(self, to, data, side, gate):
        """Sends `data`; a gate of this kind stops it."""
        proxy, done = self.proxy, 0
        with proxy.changed:
            stops = proxy.gate == gate
            part = stops and proxy.part
        if part:
            done = proxy.random.randrange(1, len(data))
            self._send(to, data[:done], side)
        if stops:
            with proxy.changed:
                self.stopped = gate
                proxy.changed.notify_all()
                proxy.changed.wait_for(lambda: self.closed or proxy.gate != gate)
                self.stopped = None
                if self.closed:
                    raise ConnectionError
        self._send(to, data[done:], side)

    def up(self):
        """Client to broker, request by request."""
        try:
            while frame := frame_of(self.client):
                _, key, _, correlation = struct.unpack(">ihhi", frame[:12])
                if key != PRODUCE:
                    self._send(self.broker, frame, "cut_up")
                    continue
                with self.proxy.changed:
                    self.waiting.add(correlation)
                    self.proxy.counts["produce"] += 1
                    self.proxy.changed.notify_all()
                self._pass(self.broker, frame, "cut_up", "request")
                with self.proxy.changed:
                    self.proxy.passed += 1
                    self.proxy.changed.notify_all()
        except OSError:
            pass
        self.close()

    def down(self):
        """Broker to client, answer by answer."""
        try:
            while frame := frame_of(self.broker):
                _, correlation = struct.unpack(">ii", frame[:8])
                if correlation not in self.waiting:
                    self._send(self.client, frame, "cut_down")
                    continue
                self._pass(self.client, frame, "cut_down", "answer")
                with self.proxy.changed:
                    self.waiting.discard(correlation)
                    self.proxy.changed.notify_all()
        except OSError:
            pass
        self.close()


def frame_of(peer):
    """One request or answer with the size before it; None: the peer has ended."""
    head = exactly(peer, 4)
    body = exactly(peer, struct.unpack(">i", head)[0]) if head else None
    return head + body if body else None


def exactly(peer, size):
    data = bytearray()
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            return None
        data += more
    return bytes(data)
