"""What stands between the agents and the broker of the security test: doors that speak TLS as they are told, and a token endpoint."""
import base64
import collections
import http.server
import json
import socket
import ssl
import struct
import threading
import time


class Door:
    """Listens on a port and passes everything on to a port of the broker; `context`: it speaks TLS to clients. Both may be changed: the next
    connection finds the new ones. Where it speaks TLS it counts the requests: `requests[client id, api key]`."""

    def __init__(self, to, context=None, port=0):
        self.to, self.context = to, context
        self.attempts, self.requests, self.lock = 0, collections.Counter(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            self.attempts += 1
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        look = None
        try:
            if self.context:
                look = self.looker()
                client = self.context.wrap_socket(client, server_side=True)
            broker = socket.create_connection(("127.0.0.1", self.to))
        except OSError:             # ssl.SSLError is one
            client.close()
            return
        threading.Thread(target=self.pump, args=(client, broker, look), daemon=True).start()
        self.pump(broker, client)

    def looker(self):
        """What is called with all that one client sends."""
        rest = bytearray()

        def look(data):
            rest.extend(data)
            while len(rest) >= 14 and len(rest) >= 4 + struct.unpack_from(">i", rest)[0]:
                size, api, _, _, name_size = struct.unpack_from(">ihhih", rest)
                with self.lock:
                    self.requests[rest[14:14 + max(name_size, 0)].decode(), api] += 1
                del rest[:4 + size]
        return look

    @staticmethod
    def pump(source, sink, look=None):
        try:
            while data := source.recv(65536):
                if look:
                    look(data)
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def tls(certificate, key, client_ca=None, **versions):
    """The server's side. versions: minimum_version, maximum_version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    for name, value in versions.items():
        setattr(context, name, value)
    return context


class Endpoint:
    """Gives tokens without a signature, as the broker's own validator takes them; client and subject have the same name."""

    def __init__(self, secret):
        self.secret, self.given, self.lifetime_s, self.age_s = secret, {}, 8, {}
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                client, secret = base64.b64decode(self.headers["Authorization"].split()[1]).decode().split(":")
                status, answer = endpoint.answer(client) if secret == endpoint.secret else (401, {"error": "invalid_client"})
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, client):
        self.given[client] = self.given.get(client, 0) + 1
        begin = time.time() - 1 - self.age_s.get(client, 0)
        parts = [{"alg": "none"}, {"sub": client, "iat": begin, "exp": begin + 1 + self.lifetime_s}]
        token = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime_s}
