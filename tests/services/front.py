"""A module for tests: HTTP/1.1 and HTTP/2 over TLS in front of what a subclass answers, as the front of a cloud's service has it. HTTP/2 is offered by
ALPN with the settings that Kinesis was seen with (pull request 830 of apache/pekko-connectors)."""
import glob
import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading

import services

HTTP2, HTTP1 = ("h2", "http/1.1"), ("http/1.1",)
WINDOW = 1 << 20
SETTINGS = {3: 5, 4: WINDOW, 6: 16384}     # streams, window, list of headers
HOP = ("host", "content-length", "connection", "transfer-encoding")


def need_http2():
    """The codec: it is Python and nothing else, any interpreter may have it."""
    python = services.service("readers.sh", "http2", stdout=subprocess.PIPE, text=True).stdout.strip()
    sys.path.extend(glob.glob(os.path.join(os.path.dirname(os.path.dirname(python)), "lib", "python3*", "site-packages")))


class Front(threading.Thread):
    """`certificates`: a folder of certs.sh. `streams_max`: of an HTTP/2 connection, which then ends by GOAWAY; 0: any number."""
    address = "127.0.0.1"

    def __init__(self, certificates, alpn=HTTP2, streams_max=0):
        super().__init__(daemon=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(certificates, "server.pem"), os.path.join(certificates, "server.key"))
        self.context.set_alpn_protocols(alpn)
        self.streams_max, self.connections, self.requests = streams_max, 0, {"h2": 0, "http/1.1": 0}
        self.listener = socket.socket()
        self.prepare(self.listener)
        self.listener.bind((self.address, 0))
        self.listener.listen()
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        self.start()

    def prepare(self, listener):
        """Options of sockets."""

    def answer(self, headers, body, connection):
        """(status, [(name, value)], body); None: the answer is lost. Names are in lower case; HTTP/2 has ":path" too."""
        raise NotImplementedError

    def run(self):
        while True:
            threading.Thread(target=self.serve, args=(self.listener.accept()[0],), daemon=True).start()

    def serve(self, raw):
        try:
            with self.context.wrap_socket(raw, server_side=True) as connection:
                self.connections += 1
                (self.serve_2 if connection.selected_alpn_protocol() == "h2" else self.serve_1)(connection)
        except OSError:
            pass

    def serve_1(self, connection):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                data += more(connection)
            head, data = data.split(b"\r\n\r\n", 1)
            first, *lines = head.decode().splitlines()
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)} | {":path": first.split()[1]}
            size = int(headers.get("content-length", 0))
            while len(data) < size:
                data += more(connection)
            self.requests["http/1.1"] += 1
            answer = self.answer(headers, data[:size], connection)
            data = data[size:]
            if not answer:
                return
            status, fields, body = answer
            connection.sendall((f"HTTP/1.1 {status} {http.client.responses.get(status, '')}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode() + body)

    def serve_2(self, connection):
        """Gives the window back when half of it is used, as servers do."""
        import h2.config, h2.connection, h2.events
        far = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        far.local_settings.update(SETTINGS)
        plain, far.encoder.encode = far.encoder.encode, lambda fields, huffman=False: plain(fields, huffman)     # not all servers have it
        far.initiate_connection()
        far.increment_flow_control_window(WINDOW - 65535)
        connection.sendall(far.data_to_send())
        requests, count = {}, 0
        while not self.streams_max or count < self.streams_max or requests:
            for event in far.receive_data(more(connection)):
                if isinstance(event, h2.events.RequestReceived):
                    requests[event.stream_id] = [{name.decode(): value.decode() for name, value in event.headers}, b""]
                elif isinstance(event, h2.events.DataReceived):
                    requests[event.stream_id][1] += event.data
                    far.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    requests.pop(event.stream_id, None)
                elif isinstance(event, h2.events.StreamEnded):
                    count += 1
                    self.requests["h2"] += 1
                    self.give(far, event.stream_id, self.answer(*requests.pop(event.stream_id), connection))
            connection.sendall(far.data_to_send())
        far.close_connection()
        connection.sendall(far.data_to_send())
        connection.unwrap()

    @staticmethod
    def give(far, stream, answer):
        if not answer:
            far.reset_stream(stream, 2)     # INTERNAL_ERROR
            return
        status, fields, body = answer
        far.send_headers(stream, [(":status", str(status)), *((name.lower(), value) for name, value in fields)])
        size = far.max_outbound_frame_size
        for start in range(0, len(body) or 1, size):
            far.send_data(stream, body[start:start + size], end_stream=start + size >= len(body))


class Forward(Front):
    """What an upstream answers by HTTP/1.1 without TLS, for whose host's signatures hold."""

    def __init__(self, certificates, upstream, **more_):
        self.upstream = upstream
        super().__init__(certificates, **more_)

    def answer(self, headers, body, connection):
        upstream = http.client.HTTPConnection(self.upstream, timeout=30)
        try:
            upstream.request("POST", headers[":path"], body, {n: v for n, v in headers.items() if n[0] != ":" and n not in HOP} |
                             {"Host": headers.get(":authority") or headers["host"]})
            answer = upstream.getresponse()
            body = answer.read()
            fields = [(n, v) for n, v in answer.getheaders() if n.lower() not in HOP]
            return answer.status, [*fields, ("content-length", str(len(body)))], body
        except (OSError, http.client.HTTPException):
            return None
        finally:
            upstream.close()


def more(connection):
    piece = connection.recv(65536)
    if not piece:
        raise OSError("closed")
    return piece
