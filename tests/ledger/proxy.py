"""A TCP proxy before a Kafka broker: knows which Produce requests are under way, delays answers, cuts connections at random bytes.

It runs in threads of the harness. `in_flight()` counts Produce requests of which at least one byte has left for the broker and whose
answer has not come back whole. The answer to a Produce request may be held back, so that a kill falls between append and answer."""
import random
import socket
import struct
import threading
import time

PRODUCE = 0


class Proxy:
    def __init__(self, broker_port, seed):
        self.broker_port = broker_port
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.links = set()
        self.open = True
        self.delay = 0.0        # seconds that each answer of a Produce is held back
        self.hold = 0.0         # seconds that a Produce request is held back on its way to the broker
        self.cut_share = 0.0    # share of connections that are cut at a random byte
        self.refused = False    # nobody gets through
        self.counts = {"connections": 0, "cut_up": 0, "cut_down": 0, "produce": 0}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while self.open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.counts["connections"] += 1
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        if self.refused:
            client.close()
            return
        try:
            broker = socket.create_connection(("127.0.0.1", self.broker_port), timeout=5)
        except OSError:
            client.close()
            return
        for s in (client, broker):
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self, client, broker)
        with self.lock:
            self.links.add(link)
        threading.Thread(target=link.down, daemon=True).start()
        link.up()

    def in_flight(self):
        with self.lock:
            return sum(len(link.waiting) for link in self.links)

    def cut_all(self):
        with self.lock:
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
        self.cut_up = self.cut_down = None
        if proxy.random.random() < proxy.cut_share:
            if proxy.random.random() < 0.5:
                self.cut_up = proxy.random.randrange(1, 20000)
            else:
                self.cut_down = proxy.random.randrange(1, 1500)

    def close(self):
        with self.proxy.lock:
            self.proxy.links.discard(self)
            self.waiting.clear()
        for s in (self.client, self.broker):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def up(self):
        """Client to broker: follows the framing (size, api key, version, correlation id) over any chunking."""
        passed, head, left = 0, b"", 0
        try:
            while True:
                data = self.client.recv(65536)
                if not data:
                    break
                at = 0
                produce_before = self.proxy.counts["produce"]
                while at < len(data):
                    if left == 0:
                        take = min(12 - len(head), len(data) - at)
                        head += data[at:at + take]
                        at += take
                        if len(head) == 12:
                            size, key, _, correlation = struct.unpack(">ihhi", head)
                            left, head = size - 8, b""
                            if key == PRODUCE:
                                with self.proxy.lock:
                                    self.waiting.add(correlation)
                                    self.proxy.counts["produce"] += 1
                    else:
                        take = min(left, len(data) - at)
                        at += take
                        left -= take
                if self.proxy.hold and self.proxy.counts["produce"] != produce_before:
                    time.sleep(self.proxy.hold)     # a connection that is cut meanwhile takes the request with it
                if self.cut_up is not None and passed + len(data) >= self.cut_up:
                    self.broker.sendall(data[:self.cut_up - passed])
                    self.proxy.counts["cut_up"] += 1
                    break
                passed += len(data)
                self.broker.sendall(data)
        except OSError:
            pass
        self.close()

    def down(self):
        passed = 0
        try:
            while True:
                head = self._exactly(8)
                if head is None:
                    break
                size, correlation = struct.unpack(">ii", head)
                body = self._exactly(size - 4)
                if body is None:
                    break
                if correlation in self.waiting and self.proxy.delay:
                    time.sleep(self.proxy.delay)
                data = head + body
                if self.cut_down is not None and passed + len(data) >= self.cut_down:
                    self.client.sendall(data[:self.cut_down - passed])
                    self.proxy.counts["cut_down"] += 1
                    break
                passed += len(data)
                self.client.sendall(data)
                with self.proxy.lock:
                    self.waiting.discard(correlation)
        except OSError:
            pass
        self.close()

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            more = self.broker.recv(size - len(data))
            if not more:
                return None
            data += more
        return data
