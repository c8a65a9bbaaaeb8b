"""What a reload, or a start behind kill -9, sends again to a service that does not know it, because nobody knows whether it was stored, is counted:
in `weir status --json`, in the metrics and in the log.

usage: reload_doubt_test.py WEIR"""
import collections
import gzip
import http.server
import json
import threading
import urllib.request

from program import PATIENCE, Agent, check, configuration, finish, free_port, run, wait_until, write


class Publisher(http.server.ThreadingHTTPServer):
    """Pub/Sub by REST. It stores what comes; while it is `silent` it does not answer."""

    def __init__(self):
        super().__init__(("127.0.0.1", free_port()), Request)
        self.ids = collections.Counter()        # of the events that are stored
        self.silent = False
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Request(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        silent = self.server.silent
        body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        messages = json.loads(body)["messages"]
        self.server.ids.update(m["attributes"]["weir_id"] for m in messages)
        if silent:
            self.server.released.wait(PATIENCE)
            self.close_connection = True
            return
        answer = json.dumps({"messageIds": [str(n) for n in range(len(messages))]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


service = Publisher()
status_port = free_port()
config = configuration(free_port())
config["agent"]["stop_grace"] = "200 ms"
del config["streams"]["raw"]
config["drivers"]["post"]["routes"] = [{"topic": "typed", "stream": "typed"}]
config["status"] = {"listen": f"127.0.0.1:{status_port}"}
config["uplinks"] = {"cloud": {"type": "pubsub", "project": "p", "topic": "{stream}-t", "endpoint": f"http://127.0.0.1:{service.server_port}",
                               "transport": "rest", "streams": ["typed"], "linger": "20 ms"}}
agent = Agent(config).start()
posted = [0]


def post(count):
    """So many events; they are at the service, at least once."""
    body = "".join(json.dumps({"k": "a", "n": n}) + "\n" for n in range(count))
    check("they are taken", agent.post("/typed", body, {"Content-Type": "application/x-ndjson"})[0] == 200)
    posted[0] += count
    check("they arrive", wait_until(lambda: len(service.ids) == posted[0]), len(service.ids))


def leave_in_doubt(count):
    service.silent = True
    service.released.clear()
    post(count)
    service.silent = False      # what comes from now on is answered


def is_counted(times):
    """All of it is delivered, the batch in doubt twice; the counter and the log say so."""
    check("all of it is delivered", wait_until(lambda: agent.status()["backlog"] == 0), agent.log()[-800:])
    twice = [i for i in service.ids if service.ids[i] == 2]
    check("what was in doubt came twice", len(twice) == times and max(service.ids.values()) == 2, service.ids)
    check("and is counted", agent.status()["uplinks"]["cloud"].get("in_doubt") == 1, agent.status()["uplinks"]["cloud"])
    with urllib.request.urlopen(f"http://127.0.0.1:{status_port}/metrics", timeout=PATIENCE) as metrics:
        check("in the metrics, too", b'weir_uplink_counted_total{uplink="cloud",counter="in_doubt"} 1\n' in metrics.read())
    service.released.set()


post(5)
check("nothing is in doubt", "in_doubt" not in agent.status()["uplinks"]["cloud"], agent.status()["uplinks"]["cloud"])
leave_in_doubt(3)
config["uplinks"]["cloud"]["linger"] = "30 ms"
write("weir.json", json.dumps(config))
r = run("reload", "--socket", agent.socket)
check("it is reloaded", r.returncode == 0 and "linger: taken up" in r.stdout, (r.returncode, r.stdout, r.stderr))
is_counted(3)
check("the log says it", agent.log().count("goes out again") == 1, agent.log()[-800:])
leave_in_doubt(4)
agent.process.kill()
agent.process.wait()
agent.start()
is_counted(7)
check("the log says it", agent.log().count("goes out again") == 2, agent.log()[-800:])
agent.stop()
agent.start()
check("an orderly stop with nothing under way leaves none", "in_doubt" not in agent.status()["uplinks"]["cloud"], agent.status()["uplinks"]["cloud"])
agent.stop()
finish()
