"""A proxy between the agent and the broker that reads MQTT both ways. For every PUBACK that passes it looks into the agent's database,
before it lets it pass: an event that is not committed there was acknowledged too early."""
import collections
import socket
import threading

CONNECT, CONNACK, PUBLISH, PUBACK, SUBACK = 1, 2, 3, 4, 9


class Packets:
    """Bytes become whole packets: (type, flags, body)."""

    def __init__(self):
        self.data = bytearray()

    def feed(self, data):
        self.data += data
        while True:
            size = shift = 0
            at = 1
            while at < len(self.data):
                size |= (self.data[at] & 127) << shift
                shift += 7
                at += 1
                if self.data[at - 1] < 128:
                    break
            else:
                return
            if len(self.data) < at + size:
                return
            first, body = self.data[0], bytes(self.data[at:at + size])
            del self.data[:at + size]
            yield first >> 4, first & 15, body


def publish(flags, body, is_5):
    """(packet id, payload)"""
    at = 2 + int.from_bytes(body[:2], "big")
    number = 0
    if flags & 6:
        number = int.from_bytes(body[at:at + 2], "big")
        at += 2
    if is_5:
        size = shift = 0
        while True:
            byte = body[at]
            size |= (byte & 127) << shift
            shift += 7
            at += 1
            if byte < 128:
                break
        at += size
    return number, body[at:].decode("utf-8", "replace")


class Connection:
    def __init__(self, agent, broker):
        self.agent, self.broker, self.is_5 = agent, broker, False
        self.open = collections.deque()     # messages that the broker sent and that are not acknowledged

    def close(self):
        for s in (self.agent, self.broker):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Observer:
    """`committed(payloads)`: which of them are not in the database. `on_ack`: called once, before the lookup, with the acknowledgements
    at hand; True: they never come to the broker."""

    def __init__(self, broker_port, committed):
        self.broker_port, self.committed = broker_port, committed
        self.lock = threading.Lock()        # held during a lookup
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.is_open = threading.Event()
        self.is_open.set()
        self.on_ack = None
        self.current = None
        self.connections = self.arrived = self.redelivered = self.acks = self.groups = 0
        self.subscribed = self.early = self.out_of_order = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            agent, _ = self.server.accept()
            threading.Thread(target=self.serve, args=(agent,), daemon=True).start()

    def serve(self, agent):
        self.is_open.wait()
        try:
            broker = socket.create_connection(("127.0.0.1", self.broker_port))
        except OSError:
            agent.close()
            return
        for s in (agent, broker):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.current = Connection(agent, broker)
        down = threading.Thread(target=self.pump, args=(connection, broker, agent, self.down), daemon=True)
        down.start()
        self.pump(connection, agent, broker, self.up)
        down.join()
        agent.close()
        broker.close()

    @staticmethod
    def pump(connection, source, sink, look):
        packets = Packets()
        try:
            while data := source.recv(65536):
                if look(connection, list(packets.feed(data))):
                    sink.sendall(data)
        except OSError:
            pass
        connection.close()

    def down(self, connection, packets):
        for kind, flags, body in packets:
            if kind == PUBLISH:
                number, payload = publish(flags, body, connection.is_5)
                self.arrived += 1
                self.redelivered += flags >> 3
                if number:
                    connection.open.append((number, payload))
            elif kind == SUBACK:
                self.subscribed += 1
            elif kind == CONNACK:
                self.connections += body[1] == 0
        return True

    def up(self, connection, packets):
        payloads = []
        for kind, _, body in packets:
            if kind == CONNECT:
                connection.is_5 = body[6] == 5
            elif kind == PUBACK:
                number = int.from_bytes(body[:2], "big")
                expected, payload = connection.open.popleft() if connection.open else (0, "")
                self.out_of_order += number != expected
                payloads.append(payload)
        return not payloads or self.acknowledged(payloads)

    def acknowledged(self, payloads):
        with self.lock:
            act, self.on_ack = self.on_ack, None
            is_lost = act() if act else False
            self.early += self.committed(payloads)
            self.acks += len(payloads)
            self.groups += 1
        return not is_lost

    def cut(self):
        if self.current:
            self.current.close()
