"""A publisher for tests: MQTT 5, QoS 1, many messages under way at once. Needs nothing but Python.

A message counts when the broker has acknowledged it, and said that somebody subscribes: what it acknowledges without a subscriber it drops."""
import socket
import struct

CONNACK, PUBACK = 2, 4
NOBODY = 0x10       # the reason in a PUBACK: accepted, and no subscriber
UNDER_WAY = 20      # mosquitto's Receive Maximum, unless it is told otherwise


class Refused(Exception):
    """The broker's answer to CONNECT or PUBLISH was a refusal."""


def text(data):
    data = data if isinstance(data, bytes) else data.encode()
    return struct.pack(">H", len(data)) + data


def packet(head, body):
    size, length = bytearray(), len(body)
    while True:
        length, low = divmod(length, 128)
        size.append(low | (128 if length else 0))
        if not length:
            return bytes([head]) + size + body


class Publisher:
    def __init__(self, port, client_id, patience=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.next_id = 0
        # Clean start, no keepalive, no properties.
        self.socket.sendall(packet(0x10, text("MQTT") + b"\x05\x02\x00\x00\x00" + text(client_id)))
        kind, body = self.read()
        if kind != CONNACK or body[1] != 0:
            raise Refused(f"CONNECT was answered by packet type {kind}, {body!r}")

    def read(self):
        head, size, shift = self.exactly(1)[0], 0, 0
        while True:
            byte = self.exactly(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return head >> 4, self.exactly(size)

    def exactly(self, size):
        data = self.file.read(size)
        if len(data) < size:
            raise ConnectionError("the MQTT broker has ended the connection")
        return data

    def publish(self, messages, retain=False):
        """Sends (topic, payload) in this order, at most UNDER_WAY without an answer; returns how many found no subscriber."""
        sent, answers, nobody = 0, 0, 0
        while answers < len(messages):
            if sent < len(messages) and sent - answers < UNDER_WAY:
                until = min(len(messages), answers + UNDER_WAY)
                self.socket.sendall(b"".join(self.message(*m, retain) for m in messages[sent:until]))
                sent = until
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)     # else mosquitto waits 40 ms for our ACK
            kind, body = self.read()
            reason = body[2] if len(body) > 2 else 0
            if kind != PUBACK or reason >= 0x80:
                raise Refused(f"PUBLISH was answered by packet type {kind}, {body!r}")
            answers += 1
            nobody += reason == NOBODY
        return nobody

    def message(self, topic, payload, retain):
        self.next_id = self.next_id % 65534 + 1
        payload = payload if isinstance(payload, bytes) else payload.encode()
        return packet(0x32 | retain, text(topic) + struct.pack(">H", self.next_id) + b"\x00" + payload)

    def close(self):
        try:
            self.socket.sendall(b"\xe0\x00")    # DISCONNECT
        finally:
            self.file.close()
            self.socket.close()
