"""Mistakes in the configuration, as the program tells them: each with its line, column and JSON path, all of a file in one go, with what
to do; and never a secret. The published JSON Schema says the same about files as the program does.

usage: configuration_test.py WEIR"""
import glob
import json
import os
import re
import socket
import subprocess

from json_schema import mistakes
from program import check, configuration, finish, path_of, run, work, write

schema = json.loads(run("config", "schema").stdout)
HUSH = "hush-hush-5f3a"


def lines_of(text):
    """(line, column, path, message) of each line on stderr."""
    found = []
    for line in text.splitlines():
        m = re.fullmatch(r"(.+?):(\d+):(\d+): (\$.*?): (.*)", line)
        check("a line of the report has its form", m, line)
        if m:
            found.append((int(m[2]), int(m[3]), m[4], m[5]))
    return found


def expect(what, text, *wanted, schema_sees=True, env=None):
    """`check` finds exactly these (path, part of the message) in this order, at places where the path's last name stands; `run` refuses."""
    path = write("wrong.json", text)
    r = run("check", path, env=env)
    found = lines_of(r.stderr)
    fits = len(found) == len(wanted) and all(f[2] == w[0] and w[1] in f[3] for f, w in zip(found, wanted))
    check(f"{what}: what is wrong", r.returncode == 1 and fits and r.stdout == "", f"wanted {wanted}, got {found}")
    refused = run("run", path, env=env)
    check(f"{what}: run refuses it the same way", refused.returncode == 2 and refused.stderr == r.stderr, refused.stderr[:300])
    check(f"{what}: no secret is shown", HUSH not in r.stderr, r.stderr)
    rows = text.split("\n") if isinstance(text, str) else []
    for line, column, json_path, _ in found:
        check(f"{what}: the place is within the file", not rows or 1 <= line <= len(rows) and 1 <= column <= len(rows[line - 1]) + 1, f"{line}:{column}")
    try:
        value = json.loads(text)
    except ValueError:
        return
    if schema_sees:
        check(f"{what}: the JSON Schema sees it too", mistakes(value, schema), text[:200])


def changed(change):
    config = configuration(8080)
    change(config)
    return json.dumps(config, indent=2)


def test_single_mistakes():
    def set_(*names):
        *way, last, value = names

        def change(config):
            for name in way:
                config = config[name]
            config[last] = value
        return change
    post, files = ["drivers", "post"], ["uplinks", "files"]
    secret_open = write("secret-open", HUSH + "\n", 0o644)
    write("secret-nul", b"a\0b\n", 0o600)
    write("secret-long", "x" * 200000, 0o600)
    write("no-schema.avsc", '{"type": "record", "name": "T", "fields": [{"name": "a", "type": "lonk"}]}')
    write("no-record.avsc", '"long"')
    late = write("late.avsc", json.dumps({"type": "record", "name": "L", "fields": [
        {"name": name, "type": "long" if name == "c" else "string"} for name in "abcde"]}))
    locked = write("locked.avsc", "{}", 0)
    kafka = {"type": "kafka", "brokers": ["b:9092"], "topic": "t", "sasl": {"mechanism": "PLAIN", "user": "u", "password": HUSH}}
    for what, change, path, text in [
            ("unknown section", set_("stream", {}), "$.stream", 'did you mean "streams"?'),
            ("unknown key", set_("streams", "raw", "priorty", 3), "$.streams.raw.priorty", 'unknown; did you mean "priority"?'),
            ("unknown key, nothing near", set_(*post, "xyzzy", 3), "$.drivers.post.xyzzy", "unknown; there are: type, stream"),
            ("wrong nesting", set_(*post, "buffer", {"size_max": "1 GiB"}), "$.drivers.post.buffer", "unknown"),
            ("a section that is a list", set_("drivers", []), "$.drivers", "a list [], but an object {} is wanted"),
            ("a stream that is a text", set_("streams", "raw", "x"), "$.streams.raw", "a text, but an object {} is wanted"),
            ("no unit", set_("buffer", "size_max", "32"), "$.buffer.size_max", '"32" is no size: a number and its unit'),
            ("a number instead of a text with a unit", set_("buffer", "size_max", 32), "$.buffer.size_max", "in quotes"),
            ("a wrong unit", set_("buffer", "size_max", "32 Mb"), "$.buffer.size_max", "is no size"),
            ("a duration as a size", set_("buffer", "size_max", "5 s"), "$.buffer.size_max", "is no size"),
            ("a negative duration", set_("buffer", "commit_interval", "-1 s"), "$.buffer.commit_interval", "is no duration"),
            ("text for a number", set_("streams", "raw", "priority", "3"), "$.streams.raw.priority", "without quotes"),
            ("a fraction", set_("streams", "raw", "priority", 3.5), "$.streams.raw.priority", "3.5 is no whole number"),
            ("a name that goes on", lambda c: c["uplinks"].update(k={**kafka, "sasl": {**kafka["sasl"], "username": "u"}}), "$.uplinks.k.sasl.username", 'did you mean "user"?'),
            ("a name cut short", lambda c: c["uplinks"].update(k={**kafka, "compression": "zstd"}), "$.uplinks.k.compression", 'did you mean "compression_level"?'),
            ("small letters", lambda c: c["uplinks"].update(k={**kafka, "sasl": {**kafka["sasl"], "mechanism": "plain"}}), "$.uplinks.k.sasl.mechanism", 'did you mean "PLAIN"?'),
            ("a text for a list", lambda c: c["uplinks"].update(k={**kafka, "brokers": "b:9092"}), "$.uplinks.k.brokers", "put it into brackets"),
            ("null", set_("streams", "raw", "priority", None), "$.streams.raw.priority", "null, but a whole number"),
            ("a choice", set_("streams", "raw", "when_full", "drop"), "$.streams.raw.when_full", "is none of block, drop_oldest"),
            ("a step in quotes", set_("streams", "typed", "fields", {"t": {"quantize": "0.05"}}), "$.streams.typed.fields.t.quantize", "a number is wanted (without quotes)"),
            ("a deadband below 0", set_("streams", "typed", "fields", {"t": {"deadband": -1}}), "$.streams.typed.fields.t.deadband", "below 0"),
            ("a truth in quotes", set_(*post, "insecure", "true"), "$.drivers.post.insecure", "true or false is wanted (without quotes)"),
            ("type missing", lambda c: c["drivers"]["post"].pop("type"), "$.drivers.post.type", "is missing: one of http, mqtt, replay, tail"),
            ("unknown driver type", set_(*post, "type", "htp"), "$.drivers.post.type", 'did you mean "http"?'),
            ("unknown uplink type", set_(*files, "type", "pigeon"), "$.uplinks.files.type", "there is no such type: one of "),
            ("type is no text", set_(*post, "type", 1), "$.drivers.post.type", "there is no such type"),
            ("no drivers", set_("drivers", {}), "$.drivers", "at least one is needed"),
            ("a name with a space", set_("streams", "a b", {}), "$.streams.a b", "A-Z a-z 0-9"),
            ("a name that is taken", set_("streams", "weir.x", {}), "$.streams.weir.x", "are taken"),
            ("a long name", set_("streams", "n" * 64, {}), "$.streams." + "n" * 64, "1 to 63 characters")]:
        expect(what, changed(change), (path, text))
    for what, change, path, text in [ # what no JSON Schema can say
            ("too large", set_("buffer", "size_max", "1 MiB"), "$.buffer.size_max", "too small: at least 4 MiB"),
            ("out of 64 bits", set_("buffer", "size_max", "99999999999999 GiB"), "$.buffer.size_max", "too large"),
            ("an unknown stream", set_(*post, "routes", 0, "stream", "typd"), "$.drivers.post.routes[0].stream", 'did you mean "typed"?'),
            ("an unknown uplink", set_("streams", "raw", "uplinks", ["nowhere"]), "$.streams.raw.uplinks[0]", "there is no uplink"),
            ("streams and uplinks that do not meet", set_(*files, "streams", ["typed"]), "$.streams.raw", "no uplink takes it"),
            ("nowhere to go", lambda c: c["drivers"]["post"].pop("routes"), "$.drivers.post.stream", "Name a stream here"),
            ("shares over 100 %", lambda c: [c["streams"][s].update(share_min="60 %") for s in c["streams"]], "$.streams", "more than 100 %"),
            ("a pattern", set_(*post, "routes", 0, "topic", "a/#/b"), "$.drivers.post.routes[0].topic", "must be the last level"),
            ("a template", set_(*post, "routes", 0, "set", {"k": "{topik}"}), "$.drivers.post.routes[0].set.k", "{topik} is unknown"),
            ("a time in a longer text", set_(*post, "routes", 0, "set", {"k": "at {time}"}), "$.drivers.post.routes[0].set.k", "stand alone"),
            ("a field that the schema lacks", set_(*post, "routes", 0, "set", {"kk": "{topic.1}"}), "$.drivers.post.routes[0].set.kk",
             'the schema of stream "typed" has no field "kk"'),
            ("the same of the driver itself", lambda c: c["drivers"]["post"].update(stream="typed", set={"x": "y"}), "$.drivers.post.set.x", 'no field "x"'),
            ("too many that are filled in late, and a plain one behind them", lambda c: c["streams"].update(late={"schema": late}) or
             c["drivers"]["post"]["routes"].insert(0, {"topic": "late", "stream": "late", "set": {
                 "a": "{id}", "b": "{time_trust}", "c": "{time}", "d": "{id}", "e": "{topic.1}"}}), "$.drivers.post.routes[0].set.d", "at most 3 fields"),
            ("an identity in a number", set_(*post, "routes", 0, "set", {"n": "{id}"}), "$.drivers.post.routes[0].set.n", "must be a string"),
            ("a time in a union", set_(*post, "routes", 0, "set", {"t": "{time}"}), "$.drivers.post.routes[0].set.t", "must be a long"),
            ("a login without a password", set_(*files, {**kafka, "sasl": {"mechanism": "SCRAM-SHA-256", "user": "u"}}), "$.uplinks.files",
             'SCRAM-SHA-256 needs "user" and "password"'),
            ("tokens from nowhere", set_(*files, {**kafka, "sasl": {"mechanism": "OAUTHBEARER"}}), "$.uplinks.files", 'OAUTHBEARER needs "oauth"'),
            ("a name that no extension may have", set_(*files, {**kafka, "sasl": {"mechanism": "OAUTHBEARER", "oauth": {
                "url": "https://x.invalid/", "client_id": "c", "client_secret": HUSH, "extensions": {"auth": "x"}}}}), "$.uplinks.files", '"auth" is none'),
            ("tokens from two places", set_(*files, {**kafka, "sasl": {"mechanism": "OAUTHBEARER", "credentials": {"profile": "p"}, "oauth": {
                "url": "https://x.invalid/", "client_id": "c", "client_secret": HUSH}}}), "$.uplinks.files", "keep one of them"),
            ("a registry that is none", set_(*files, {"type": "kinesis", "region": "eu-west-1", "framing": "registry"}), "$.uplinks.files", "set `glue`"),
            ("a registry that is not used", set_(*files, {"type": "kinesis", "region": "eu-west-1", "framing": "json", "glue": {}}), "$.uplinks.files",
             'only "registry" uses a registry'),
            ("a missing schema", set_("streams", "typed", "schema", "none.avsc"), "$.streams.typed.schema", f"can't read {work}/none.avsc"),
            ("a schema that is none", set_("streams", "typed", "schema", "no-schema.avsc"), "$.streams.typed.schema", "/fields/0/type"),
            ("a schema that is no record", set_("streams", "typed", "schema", "no-record.avsc"), "$.streams.typed.schema", "must be a record"),
            ("a key that is no field", set_("streams", "typed", "key", "nope"), "$.streams.typed.key", "nope"),
            ("a step of nothing", set_("streams", "typed", "fields", {"t": {"quantize": 0.0}}), "$.streams.typed.fields.t.quantize", "larger than 0"),
            ("a step with too many digits", set_("streams", "typed", "fields", {"t": {"quantize": 1e-20}}), "$.streams.typed.fields.t.quantize", "15 decimals"),
            ("a deadband of a field that is none", set_("streams", "typed", "fields", {"temp": {"deadband": 1}}), "$.streams.typed.fields.temp", "no such field"),
            ("a step of a text", set_("streams", "typed", "fields", {"k": {"quantize": 1}}), "$.streams.typed.fields.k.quantize", "only an int, long"),
            ("a broken step of whole numbers", set_("streams", "typed", "fields", {"n": {"quantize": 0.5}}), "$.streams.typed.fields.n.quantize", "a whole step"),
            ("fields without a schema", set_("streams", "raw", "fields", {"t": {"quantize": 1}}), "$.streams.raw.fields.t", "no such field"),
            ("changes that nobody reports", set_("streams", "typed", "fields", {"n": {"ignore_changes": True}}), "$.streams.typed.fields.n.ignore_changes", "has a deadband"),
            ("a field of which nothing is said", set_("streams", "typed", "fields", {"n": {}}), "$.streams.typed.fields.n", "says nothing"),
            ("a listening address", set_(*post, "listen", "8080"), "$.drivers.post.listen", "write it like 127.0.0.1:8080"),
            ("a port out of range", set_(*post, "listen", "127.0.0.1:99999"), "$.drivers.post.listen", "is no address with a port"),
            ("off loopback without a token", set_(*post, "listen", "0.0.0.0:8080"), "$.drivers.post", "set a token and tls"),
            ("off loopback without TLS", lambda c: c["drivers"]["post"].update(listen="[::]:8080", token=HUSH), "$.drivers.post", "set tls"),
            ("a path", set_(*post, "path", "in"), "$.drivers.post.path", "must begin with /"),
            ("an environment that is missing", set_("agent", "id", "${env:WEIR_NONE}"), "$.agent.id", "the environment has no WEIR_NONE"),
            ("a file that is missing", set_(*post, "token", "${file:none}"), "$.drivers.post.token", f"can't open {work}/none"),
            ("a secret that others may read", set_(*post, "token", "${file:secret-open}"), "$.drivers.post.token", f"{secret_open}"),
            ("a secret with a NUL", set_(*post, "token", "${file:secret-nul}"), "$.drivers.post.token", "NUL"),
            ("a secret without end", set_(*post, "token", "${file:secret-long}"), "$.drivers.post.token", "secret-long"),
            ("a reference to nothing", set_("agent", "id", "${host}"), "$.agent.id", "${host} stands for nothing"),
            ("a reference without end", set_("agent", "id", "${env:X"), "$.agent.id", "a ${ without its }"),
            ("a secret of the wrong kind", set_(*post, "token", [HUSH]), "$.drivers.post.token", "a list [], but a text is wanted"),
            ("a broker without a port", lambda c: c["uplinks"].update(k={**kafka, "brokers": ["b:x"]}), "$.uplinks.k.brokers[0]", "host:port"),
            ("a broker with a scheme", lambda c: c["uplinks"].update(k={**kafka, "brokers": ["kafka://b:9092"]}), "$.uplinks.k.brokers[0]", "without a scheme"),
            ("two brokers in one text", lambda c: c["uplinks"].update(k={**kafka, "brokers": ["a:1,b:1"]}), "$.uplinks.k.brokers[0]", "one in each text"),
            ("a topic with a space", lambda c: c["uplinks"].update(k={**kafka, "topic": "{stream} x"}), "$.uplinks.k.topic", 'from " x" on'),
            ("a topic of nothing", lambda c: c["uplinks"].update(k={**kafka, "topic": "a.{agent}-{streem}"}), "$.uplinks.k.topic", 'from "{streem}" on'),
            ("acks", lambda c: c["uplinks"].update(k={**kafka, "acks": "all"}), "$.uplinks.k.acks", "all replicas in sync"),
            ("a header with a name of ours", lambda c: c["uplinks"].update(k={**kafka, "headers_set": {"weir_id": "x"}}), "$.uplinks.k", "weir_id"),
            ("settings of a stream that is none", lambda c: c["uplinks"].update(k={**kafka, "per_stream": {"typd": {}}}), "$.uplinks.k.per_stream.typd", 'did you mean "typed"?'),
            ("a size that is too small", lambda c: c["uplinks"].update(k={**kafka, "per_stream": {"typed": {"message_size_max": "1 KiB"}}}),
             "$.uplinks.k.per_stream.typed.message_size_max", "at least 4096 B"),
            *[(f"tombstones by {field} of {stream}", lambda c, s=stream, f=field, m=more: c["uplinks"].update(k={**kafka, **m, "per_stream": {s: {"tombstone": f}}}),
               f"$.uplinks.k.per_stream.{stream}.tombstone", text) for stream, field, more, text in [
                  ("typed", "gone", {}, 'no field "gone"'), ("typed", "n", {}, 'field "n" is a long: a boolean'),
                  ("typed", "t", {}, 'field "t" is a union: a boolean'), ("raw", "x", {}, "stream raw has none: set its key"),
                  ("typed", "k", {"partition_by": "agent"}, 'set partition_by to "key"'), ("weir.events", "x", {}, "no such field")]],
            ("columns that nobody could tell from rows", lambda c: c["uplinks"].update(k={**kafka, "layout": "columns", "framing": "none"}), "$.uplinks.k.layout", 'set `framing` to "auto"'),
            ("columns with tombstones", lambda c: c["uplinks"].update(k={**kafka, "layout": "columns", "per_stream": {"typed": {"tombstone": "b"}}}), "$.uplinks.k.layout", "stream typed has a tombstone"),
            ("columns in files", set_(*files, "layout", "columns"), "$.uplinks.files.layout", "type file sends rows only"),
            ("dead letters that nobody takes", set_("streams", "typed", "dead_letter", "rejects"), "$.streams.typed.dead_letter", "kafka does"),
            ("dead letters on no topic", lambda c: c["uplinks"].update(k=kafka) or c["streams"]["typed"].update(dead_letter="a b"),
             "$.streams.typed.dead_letter", 'topic "a b" of stream typed is not allowed'),
            ("dead letters among events", lambda c: c["uplinks"].update(k={**kafka, "topic": "a.{stream}"}) or c["streams"]["typed"].update(dead_letter="a.raw"),
             "$.streams.typed.dead_letter", "has the events of stream raw"),
            ("dead letters of a long name", lambda c: c["uplinks"].update(k=kafka) or c["streams"].update({"s" * 54: {"dead_letter": "rejects"}}),
             f"$.streams.{'s' * 54}.dead_letter", "at most 53 characters"),
            ("a registry that is no URL", lambda c: c["uplinks"].update(k={**kafka, "registry": {"url": "registry:8081"}}), "$.uplinks.k.registry.url", "http://"),
            ("a URL with a password", lambda c: c["uplinks"].update(k={**kafka, "registry": {"url": f"http://u:{HUSH}@r"}}), "$.uplinks.k.registry.url", "registry.user"),
            ("a password of nobody", lambda c: c["uplinks"].update(k={**kafka, "registry": {"url": "http://r", "password": HUSH}}), "$.uplinks.k", "set registry.user"),
            ("a name pattern", set_(*files, "name", "all.avro"), "$.uplinks.files.name", "must hold {stream}")]:
        expect(what, changed(change), (path, text), schema_sees=False)
    if os.geteuid() != 0:
        expect("a schema that may not be read", changed(set_("streams", "typed", "schema", locked)), ("$.streams.typed.schema", "may read it"), schema_sees=False)


def test_whole_files():
    for what, text, wanted in [
            ("an empty file", "", "the text ends too early"), ("no object", "[]", "an object {} is wanted"), ("not JSON", "hello", "not a JSON value"),
            ("a comma too many", '{"streams": {},\n}', "no key in quotes"), ("a comment", '{\n // no\n}', "no key in quotes"),
            ("two values", "{} {}", "something follows"), ("a duplicate key", '{"agent": {},\n "agent": {}}', "has already"),
            ("a duplicate key, escaped", '{"agent": {},\n "\\u0061gent": {}}', "has already"), ("an unfinished text", '{"agent', "ends too early"),
            ("a number that is none", '{"agent": 01}', "not a number"), ("a tab in a text", '{"a\tb": 1}', "control character"),
            ("too deep", '{"agent": ' + "[" * 70 + "]" * 70 + "}", "nested deeper")]:
        expect(what, text, ("$", wanted))
    for what, text, wanted in [("invalid UTF-8", b'{"agent": {"id": "\xff"}}', "UTF-8"), ("a NUL byte", b'{"agent": \0}', "not a JSON value"),
                               ("UTF-16", '{"agent": {}}'.encode("utf-16"), "not a JSON value"), ("over 1 MiB", b" " * (1 << 20) + b"{}", "larger")]:
        expect(what, text, ("$", wanted))
    r = run("check", write("crlf.json", changed(lambda c: c["streams"]["raw"].update(priorty=1)).replace("\n", "\r\n")))
    check("line ends of Windows", lines_of(r.stderr)[0][2] == "$.streams.raw.priorty", r.stderr)


def test_all_in_one_go():
    text = """{
  "agnet": { "id": "x" },
  "buffer": { "path": "b.db", "size_max": 12, "commit_interval": "5" },
  "streams": { "s": { "priority": 12, "schema": "none.avsc" },
               "t": { "uplinks": ["nope"] } },
  "drivers": { "d": { "type": "tail" },
               "e": { "type": "http", "listen": "x", "streem": "s" },
               "f": { "type": "telepathy" } },
  "uplinks": { "u": { "type": "file", "path": "out", "codec": "gzip" } }
}
"""
    r = run("check", write("many.json", text))
    found = [(line, column, path) for line, column, path, _ in lines_of(r.stderr)]
    check("every mistake of a file at its place, in the file's order", found == [
        (2, 3, "$.agnet"), (3, 43, "$.buffer.size_max"), (3, 66, "$.buffer.commit_interval"), (4, 35, "$.streams.s.priority"),
        (4, 49, "$.streams.s.schema"), (5, 35, "$.streams.t.uplinks[0]"), (6, 21, "$.drivers.d.paths"), (6, 21, "$.drivers.d.stream"),
        (7, 21, "$.drivers.e.stream"), (7, 49, "$.drivers.e.listen"), (7, 54, "$.drivers.e.streem"), (8, 31, "$.drivers.f.type"),
        (9, 63, "$.uplinks.u.codec")], json.dumps(found))
    many = changed(lambda c: c["streams"].update({f"s{i}": {"x": 1} for i in range(250)}))
    r = run("check", write("many.json", many))
    check("very many are cut, and the rest is counted", len(r.stderr.splitlines()) == 201 and "and 50 more mistakes" in r.stderr, r.stderr[-300:])


def test_events_in_one_line():
    """A driver whose events wait for each other is warned of where a stream that blocks would hold up another."""
    drivers = {"replay": {"path": "lines"}, "tail": {"paths": ["lines"]}, "mqtt": {"url": "mqtt://127.0.0.1", "topics": ["#"]}}
    for kind, options in drivers.items():
        for when_full, warns in (("block", True), ("drop_oldest", False)):
            config = configuration(8080)
            config["streams"]["raw"]["when_full"] = config["streams"]["typed"]["when_full"] = when_full
            config["drivers"] = {"line": {"type": kind, **options, "stream": "raw", "routes": [{"topic": "typed", "stream": "typed"}]}}
            r = run("check", write("line.json", json.dumps(config)))
            check(f"{kind}, {when_full}: streams that hold each other up", r.returncode == 0 and
                  ("$.drivers.line" in r.stdout + r.stderr and "come in one line" in r.stdout + r.stderr) == warns, r.stdout + r.stderr)


def test_schemas_without_columns():
    """A stream whose schema has no columns is warned of where the layout is columns, by word or by a metered link, and nowhere else."""
    deep = "long"
    for _ in range(70):
        deep = {"type": "array", "items": deep}
    record = {"type": "record", "name": "R"}
    wide = [{"name": f"c{i}", "type": "long"} for i in range(1001)]
    kinds = {"flat": ([{"name": "n", "type": "long"}], None), "list": ([{"name": "next", "type": ["null", "R"]}], "it is recursive"),
             "thousand": (wide[:1000], None), "wide": (wide, "it has more than 1000 columns"),
             "deep": ([{"name": "d", "type": deep}], "its types nest deeper than 64")}
    for kind, (fields, obstacle) in kinds.items():
        write("shape.avsc", json.dumps({**record, "fields": fields}))
        for how, options, warns in (("columns", {"layout": "columns"}, True), ("auto on a metered link", {"link": "lte"}, True),
                                    ("auto", {}, False), ("rows", {"layout": "rows", "link": "lte"}, False)):
            config = configuration(8080)
            config["streams"] = {"shape": {"schema": "shape.avsc", "uplinks": ["cloud"]}, "other": {"schema": "shape.avsc", "uplinks": ["file"]}}
            config["drivers"] = {"post": {"type": "http", "listen": "127.0.0.1:8080", "stream": "shape"}}
            config["links"] = {"lte": {"metered": True}}
            config["uplinks"] = {"file": {"type": "file", "path": "out"}, "cloud": {"type": "kafka", "brokers": ["127.0.0.1:1"], **options}}
            r = run("check", write("shape.json", json.dumps(config)))
            lines = [line for line in r.stderr.splitlines() if "batches of rows" in line]
            told = bool(obstacle) and warns
            check(f"{kind}, {how}: what has no columns", r.returncode == 0 and len(lines) == told and
                  (not told or f": $.streams.shape.schema: warning: {obstacle}" in lines[0] and "uplink cloud" in lines[0]), r.stderr)


def test_secrets():
    secret = write("secret", HUSH + "\n", 0o600)
    config = configuration(8080, token="${file:" + secret + "}")
    config["uplinks"]["cloud"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "{stream}", "sasl": {
        "mechanism": "PLAIN", "user": "u", "password": "${env:WEIR_PASSWORD}"}}
    env = {**os.environ, "WEIR_PASSWORD": HUSH}
    path = write("secret.json", json.dumps(config))
    r = run("config", "show", path, env=env)
    shown = json.loads(r.stdout)
    check("config show has every default and no secret", HUSH not in r.stdout and shown["drivers"]["post"]["token"] == "***" and
          shown["uplinks"]["cloud"]["sasl"]["password"] == "***" and shown["buffer"]["commit_interval"] == "5 s", r.stdout[:500])
    check("check is fine with it", run("check", path, env=env).returncode == 0)
    for mode, is_fine in ((0o400, True), (0o640, os.geteuid() == 0), (0o604, False), (0o602, False), (0o644, False)):
        os.chmod(secret, mode)
        r = run("check", path, env=env)
        check(f"a secret file of mode {mode:o}", (r.returncode == 0) == is_fine and (is_fine or "chmod" in r.stderr), r.stderr)
    os.chmod(secret, 0o600)


def test_names_of_the_device():
    """One image serves a fleet."""
    certificate = path_of("device.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/O=Fleet/CN=pump-17",
                    "-keyout", path_of("device.key"), "-out", certificate], check=True, capture_output=True)

    def named(text):
        """What the text stands for, as the complaint of a topic has it; or why it stands for nothing."""
        config = configuration(8080)
        config["uplinks"]["cloud"] = {"type": "kafka", "brokers": ["127.0.0.1:1"], "topic": "!" + text}
        shown = run("check", write("device.json", json.dumps(config))).stderr
        return shown.split('topic "!')[1].split('"')[0] if 'topic "!' in shown else shown
    check("by its certificate", named("site-${common_name:device.pem}") == "site-pump-17", named("site-${common_name:device.pem}"))
    check("by its host's name", named("${host_name}") == socket.gethostname())
    machine_id = None
    if os.path.exists("/etc/machine-id"):
        with open("/etc/machine-id") as f:
            machine_id = f.read().strip()
    shown = named("${machine_id}")
    check("by its machine id", shown == machine_id if machine_id else "$.uplinks.cloud.topic" in shown and "/etc/machine-id" in shown, shown)
    shown = named("${common_name:device.key}")
    check("no certificate", "$.uplinks.cloud.topic" in shown and "common name" in shown, shown)


def test_files_of_tls():
    """What would only show when the agent is run, or when a connection is made: each file of TLS is loaded, wherever a "tls" object stands."""
    def pair(name):
        key, certificate = path_of(name + ".key"), path_of(name + ".pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=" + name,
                        "-keyout", key, "-out", certificate], check=True, capture_output=True)
        os.chmod(key, 0o600)
        return {"certificate": certificate, "key": key}
    one, other, none = pair("one"), pair("other"), write("none.pem", "no certificate\n")
    crossed = {"certificate": one["certificate"], "key": other["key"]}
    kafka = {"type": "kafka", "brokers": ["b"], "topic": "t"}
    at = {"$.drivers.post.tls": lambda c, tls: c["drivers"]["post"].update(tls=tls),
          "$.uplinks.k.tls": lambda c, tls: c["uplinks"].update(k={**kafka, "tls": tls}),
          "$.uplinks.k.registry.tls": lambda c, tls: c["uplinks"].update(k={**kafka, "registry": {"url": "https://r", "tls": tls}})}
    for path, change in at.items():
        server = path.startswith("$.drivers")
        trust = "client_ca" if server else "ca"
        check(f"{path}: what fits", run("check", write("tls.json", changed(lambda c: change(c, {**one, trust: other["certificate"]})))).returncode == 0)
        for what, tls, member, text in [
                ("a key of another certificate", crossed, "key", f"the key in {other['key']} does not belong to the certificate in {one['certificate']}"),
                ("a certificate that is none", {**one, "certificate": none}, "certificate", f"{none} holds no certificate"),
                ("a key that is none", {**one, "key": none}, "key", none),
                ("an authority that is none", {**one, trust: none}, trust, f"{none} holds no certificate")]:
            os.chmod(none, 0o600)
            expect(f"{path}: {what}", changed(lambda c: change(c, tls)), (f"{path}.{member}", text), schema_sees=False)
        os.chmod(one["key"], 0o644)
        expect(f"{path}: a key that others may read", changed(lambda c: change(c, one)), (path + ".key", "chmod"), schema_sees=False)
        os.chmod(one["key"], 0o600)
    lone = changed(lambda c: at["$.uplinks.k.tls"](c, {"key": one["key"]}))
    expect("a key without a certificate", lone, ("$.uplinks.k.tls.certificate", "belong together"), schema_sees=False)
    r = run("check", write("place.json", changed(lambda c: at["$.uplinks.k.tls"](c, crossed))))
    line, column, _, _ = lines_of(r.stderr)[0]
    with open(path_of("place.json")) as f:
        check("at its place", f.read().splitlines()[line - 1][column - 1:].startswith(json.dumps(other["key"])), r.stderr)
    check("run refuses it too", run("run", path_of("place.json")).returncode == 2)


def test_schema_and_examples():
    examples = glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "config", "examples", "*.json"))
    check("there are examples", len(examples) >= 4, str(examples))
    for path in examples:
        with open(path) as f:
            found = mistakes(json.load(f), schema)
        check(f"{path} fits the JSON Schema", not found, str(found))
        r = run("check", path, env={**os.environ, "WEIR_DEMO": work, "WEIR_DEMO_PORT": "8080", "WEIR_DEMO_KAFKA_PORT": "19092"})
        check(f"{path} is fine", r.returncode == 0, r.stderr)
    config = configuration(8080)
    config["uplinks"]["k"] = {"type": "kafka", "brokers": ["b"], "headers_set": {"site": "{agent}"},
                              "per_stream": {"raw": {}, "typed": {"message_size_max": "64 KiB"}}}
    check("a good file fits", not mistakes(config, schema), str(mistakes(config, schema)))
    shown = json.loads(run("config", "show", write("good.json", json.dumps(config))).stdout)
    check("what config show prints fits", not mistakes(shown, schema), str(mistakes(shown, schema)))
    again = run("config", "show", write("shown.json", json.dumps(shown)))
    check("and is read back the same", json.loads(again.stdout) == shown, again.stderr)
    check("the schema's types are those of the program", {s["properties"]["type"]["const"] for s in schema["properties"]["drivers"]["additionalProperties"]["oneOf"]}
          == {"tail", "http", "mqtt", "replay"})


test_single_mistakes()
test_whole_files()
test_all_in_one_go()
test_events_in_one_line()
test_schemas_without_columns()
test_secrets()
test_names_of_the_device()
test_files_of_tls()
test_schema_and_examples()
finish()
