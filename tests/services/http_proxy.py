#!/usr/bin/env python3
"""An HTTP proxy for tests: CONNECT, plain forwarding, Basic authentication.
usage: http_proxy.py [--port N] [--login USER:PASSWORD] [--refuse STATUS] [--to ADDRESS]
Prints `port N`, then a line for each request that it was asked for: `CONNECT host:port login` or `POST http://host/path login`, where login
is what came with it, or `-`. Ends with its stdin. --to: whatever host is asked for, that address is connected to."""
import argparse
import base64
import http.client
import http.server
import select
import socket
import sys
import threading
import urllib.parse


def tunnel(a, b):
    other = {a: b, b: a}
    while other:
        for end in select.select(list(other), [], [])[0]:
            data = end.recv(65536)
            if not data:
                return
            other[end].sendall(data)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        if not self.allowed():
            return
        host, port = self.path.rsplit(":", 1)
        server = self.reach(host.strip("[]"), int(port))
        if not server:
            return
        self.send_response(200, "Connection established")
        self.end_headers()
        self.close_connection = True
        try:
            tunnel(self.connection, server)
        except OSError:
            pass
        server.close()

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.allowed():
            return
        url = urllib.parse.urlsplit(self.path)
        server = self.reach(url.hostname, url.port or 80)
        if not server:
            return
        client = http.client.HTTPConnection(url.hostname, url.port)
        client.sock = server
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        client.request(self.command, urllib.parse.urlunsplit(("", "", url.path, url.query, "")), body, headers)
        answer = client.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        client.close()

    do_GET = do_POST = do_PUT = forward

    def allowed(self):
        kind, _, login = self.headers.get("Proxy-Authorization", "").partition(" ")
        login = base64.b64decode(login).decode() if kind == "Basic" else "-"
        print(self.command, self.path, login, flush=True)
        status = self.server.options.refuse
        if not status and self.server.options.login not in (None, login):
            status = 407
        if status:
            self.refuse(status)
        return not status

    def refuse(self, status):
        self.send_response(status)
        if status == 407:
            self.send_header("Proxy-Authenticate", 'Basic realm="weir"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def reach(self, host, port):
        try:
            return socket.create_connection((self.server.options.to or host, port), timeout=30)
        except OSError:
            self.refuse(502)
            return None

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--login")
    parser.add_argument("--refuse", type=int, default=0)
    parser.add_argument("--to")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.options = options
    server.daemon_threads = True
    print(f"port {server.server_address[1]}", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
