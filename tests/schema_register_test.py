"""weir schema register, against a registry that is told what to answer: what it prints and asks, what stays as it was, and its exit codes.

usage: schema_register_test.py WEIR"""
import http.server
import json
import os
import threading
import urllib.parse

from program import check, configuration, finish, free_port, run, write

TOKEN = "hush-token-5Jk"
NO_SUBJECT = (404, {"error_code": 40401, "message": "Subject not found"})
NOT_THERE = (404, {"error_code": 40403, "message": "Schema not found"})


class Registry(http.server.BaseHTTPRequestHandler):
    """Subjects of the schemas that were registered; `says` overrules it: the end of a path to an answer."""
    protocol_version = "HTTP/1.1"
    subjects, says, asked, logins = {}, {}, [], []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urllib.parse.unquote(self.path.split("?")[0])
        self.asked.append(path)
        self.logins.append(self.headers.get("Authorization"))
        said = next((answer for end, answer in self.says.items() if path.endswith(end)), None)
        status, answer = said or self.answer(path, body.decode())
        text = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self, path, body):
        parts = path.split("/")
        if parts[1] == "compatibility":
            return 200, {"is_compatible": True, "messages": []}
        versions = self.subjects.get(parts[2])
        if len(parts) == 3:
            if versions is None:
                return NO_SUBJECT
            return (200, {"subject": parts[2], "id": 100 + versions.index(body), "version": 1 + versions.index(body)}) if body in versions else NOT_THERE
        versions = self.subjects.setdefault(parts[2], [])
        if body not in versions:
            versions.append(body)
        return 200, {"id": 100 + versions.index(body)}

    def log_message(self, *_):
        pass


def start(config):
    return write("weir.json", json.dumps(config))


def expect(code, words, *texts, out=(), asked=None):
    Registry.asked.clear()
    r = run("schema", "register", "--config", path, *words)
    name = "register " + " ".join(words)
    check(f"{name}: exit code {code}", r.returncode == code, (r.returncode, r.stdout, r.stderr))
    for text in texts:
        check(f"{name}: complains {text!r}", text in r.stderr, r.stderr)
    for text in out:
        check(f"{name}: prints {text!r}", text in r.stdout, r.stdout)
    check(f"{name}: the token stays secret", TOKEN not in r.stdout + r.stderr)
    if asked is not None:
        check(f"{name}: asks {asked}", Registry.asked == asked, Registry.asked)
    return r


def test_register():
    look_up, ask, take = "/subjects/typed-value", "/compatibility/subjects/typed-value/versions", "/subjects/typed-value/versions"
    expect(0, ["--dry-run", "typed"], out=["stream typed, uplink cloud: subject typed-value: would be registered, as its first version\n"], asked=[look_up])
    expect(0, ["typed"], out=["stream typed, uplink cloud: subject typed-value, version 1, id 100: registered\n"], asked=[look_up, take, look_up])
    expect(0, ["typed"], out=["version 1, id 100: it was there\n"], asked=[look_up])
    check("it logs in as the agent does", set(Registry.logins) == {"Bearer " + TOKEN}, Registry.logins)
    write("typed.avsc", json.dumps({"type": "record", "name": "Typed", "fields": [{"name": "k", "type": "string"}]}))
    expect(0, ["typed", "--dry-run"], out=["would be registered: it is compatible with the versions that are there"], asked=[look_up, look_up, ask])
    Registry.says["/versions"] = (200, {"is_compatible": False, "messages": ["the field 'n'\nis gone", "{compatibility: 'FULL'}"]})
    expect(1, ["typed"], "stream typed, uplink cloud: the schema registry finds the schema incompatible with subject typed-value",
           "it says: the field 'n' is gone; {compatibility: 'FULL'}", asked=[look_up, look_up, ask])
    r = expect(1, ["--json", "typed"])
    answer = json.loads(r.stdout)
    check("as JSON", answer["result"] == "incompatible" and answer["message"] == "the field 'n' is gone; {compatibility: 'FULL'}", answer)
    Registry.says.clear()
    r = expect(0, ["--json"])
    lines = [json.loads(line) for line in r.stdout.splitlines()]
    check("all streams, and weir.events", [(line["stream"], line["version"], line["id"]) for line in lines] == [("typed", 2, 101), ("raw", 1, 100), ("weir.events", 1, 100)], lines)
    check("by what they did", [line["result"] for line in lines] == ["registered"] * 3, lines)


def test_refusals():
    for answer, code, text in [((401, {"message": "Bearer " + TOKEN}), 3, "check registry.token"), ((403, {}), 1, "(403)"),
                               ((422, {"error_code": 42201, "message": "Invalid schema"}), 1, "(422/42201): Invalid schema"),
                               ((409, {"error_code": 40901, "message": "no way"}), 1, "it says: no way"),
                               ((409, {"error_code": 40901, "message": "you are " + TOKEN}), 1, "it repeats the login"),
                               ((500, {"message": "Authorization: Bearer " + TOKEN}), 3, "it repeats the login"), ((404, "<html>"), 3, "there is no schema registry"),
                               ((503, {"message": "later"}), 3, "answers 503: later"), ((200, "<html>log in</html>"), 3, "is no schema registry"),
                               ((302, ""), 3, "is no schema registry")]:
        Registry.says[""] = answer
        expect(code, ["typed"], text)
        Registry.says.clear()
    Registry.says["/subjects/typed-value"] = (500, {"message": "store"})
    expect(3, [], "answers 500: store", "stream raw, uplink cloud: not asked about")
    Registry.says.clear()


def test_references():
    place = {"type": "record", "name": "Place", "namespace": "site", "fields": [{"name": "hall", "type": "string"}]}
    write("typed.avsc", json.dumps({"type": "record", "name": "Typed", "fields": [{"name": "k", "type": "string"}, {"name": "at", "type": place}]}))
    registry = config["uplinks"]["cloud"]["registry"]
    registry["references"] = {"site.Place": "places", "site.Palce": "x"}
    start(config)
    r = expect(0, [], "no stream's schema has a type site.Palce: it has no effect", out=["stream typed, uplink cloud: subject typed-value, version 3, id 102: registered"])
    check("one warning", r.stderr.count("\n") == 1, r.stderr)
    sent = json.loads(Registry.subjects["typed-value"][-1])
    check("the schema refers to it", sent["references"] == [{"name": "site.Place", "subject": "places", "version": 1}], sent)
    check("and does not have it", json.loads(sent["schema"])["fields"][1]["type"] == "site.Place", sent)
    check("it is under its own subject", json.loads(json.loads(Registry.subjects["places"][0])["schema"]) == place, Registry.subjects["places"])
    place["fields"].append({"name": "of", "type": ["null", "Typed"], "default": None})
    typed = {"type": "record", "name": "Typed", "namespace": "site", "fields": [{"name": "k", "type": "string"}, {"name": "at", "type": place}]}
    write("typed.avsc", json.dumps(typed))
    expect(2, [], "$.uplinks.cloud.registry: stream typed: registry.references: type site.Place uses site.Typed, which is not part of it", asked=[])
    check("weir check finds it, too", run("check", path).returncode == 1)
    del registry["references"]
    start(config)


def test_columns():
    """What all batches in columns are goes under its own name, whatever the subjects of rows are."""
    config["uplinks"]["cloud"]["layout"] = "columns"
    start(config)
    name = "weir.columns.Batch"
    expect(0, [name], out=[f"stream {name}, uplink cloud: subject {name}, version 1, id 100: registered\n"])
    batch = json.loads(json.loads(Registry.subjects[name][0])["schema"])
    check("it is the schema of batches", (batch["namespace"], batch["name"]) == ("weir.columns", "Batch"), batch)
    check("with all others", f"subject {name}, version 1, id 100: it was there" in expect(0, []).stdout)
    config["uplinks"]["cloud"]["layout"] = "rows"
    start(config)
    expect(2, [name], "no uplink with a registry carries")


def test_misuse():
    expect(2, ["fly"], 'no stream "fly"')
    expect(2, ["--uplink", "fly"], 'no uplink "fly"')
    expect(2, ["--uplink", "files"], "no uplink with a registry carries")
    expect(2, ["--fly"], "usage: weir schema register")
    expect(2, ["--config", "/nowhere"], "/nowhere")
    Registry.asked.clear()
    config["uplinks"]["cloud"]["registry"]["user"] = "u"
    start(config)
    expect(2, [], "two ways to log in", asked=[])


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
threading.Thread(target=server.serve_forever, daemon=True).start()
config = configuration(free_port())
config["uplinks"]["cloud"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}", "streams": ["typed", "raw", "weir.events"],
                              "registry": {"url": f"http://127.0.0.1:{server.server_address[1]}", "register": False,
                                           "token": "${file:" + write("token", TOKEN + "\n", 0o600) + "}"}}
path = start(config)
test_register()
test_refusals()
test_references()
test_columns()
test_misuse()
check("no buffer is made", not os.path.exists(config["buffer"]["path"]))
finish()
