"""A gate in front of a schema registry: TLS, with or without certificates of clients, a login, and trouble on demand."""
import base64
import http.client
import http.server
import ssl
import threading
import time
import urllib.parse


class Gate:
    """`login`: the Authorization that is wanted. `trouble`: None, a status that is answered instead, or "silence"."""

    def __init__(self, url, certificates=None, wants_client=False, login=None):
        self.upstream, self.login, self.trouble, self.requests = urllib.parse.urlsplit(url), login, None, []
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:      # the client has gone
                    self.close_connection = True

            def do_POST(self):
                gate.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):     # handshakes that must fail
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{certificates}/server.pem", f"{certificates}/server.key")
            if wants_client:
                context.load_verify_locations(f"{certificates}/ca.pem")
                context.verify_mode = ssl.CERT_REQUIRED
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if certificates else ''}://127.0.0.1:{self.server.server_address[1]}{self.upstream.path}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def basic(user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(handler.path)
        status, text = 401, b'{"error_code":40101,"message":"Unauthorized"}'
        while self.trouble == "silence":
            time.sleep(0.1)
        if self.trouble:
            status, text = self.trouble, b'{"error_code":50003,"message":"told to"}'
        elif self.login in (None, handler.headers.get("Authorization")):
            status, text = self.pass_on(handler, body)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def pass_on(self, handler, body):
        connection = http.client.HTTPConnection(self.upstream.netloc, timeout=60)
        connection.request("POST", handler.path, body, {"Content-Type": handler.headers["Content-Type"], "Accept": handler.headers["Accept"]})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text
