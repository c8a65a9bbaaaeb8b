"""`weir plan` from outside: forms of a sample, what is said of mistakes, budgets, changes, and that nothing is left behind.

usage: plan_tool_test.py WEIR"""
import json
import os

from program import check, finish, path_of, run, work, write

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "..", "config", "examples", "energy_meter.avsc")
LINES = open(os.path.join(HERE, "data", "energy_meter.ndjson"), "rb").read().splitlines(True)[:600]
METER = {"schema": SCHEMA, "key": "meter", "time": "ts"}


def config(name="weir.json", streams=None, link=None, driver=None, **uplink):
    return write(name, json.dumps({
        "agent": {"id": "site-7", "time_zone": "UTC"}, "buffer": {"path": path_of("none", "buffer.db")}, "streams": streams or {"meter": METER},
        "drivers": {"in": {"type": "tail", "paths": [path_of("log")], **(driver or {"stream": "meter"})}},
        "uplinks": {"cloud": {"type": "kafka", "brokers": ["kafka.example.com:9092"], "link": "modem", **uplink},
                    "files": {"type": "file", "path": path_of("out")}},
        "links": {"modem": {"metered": True, "budget_per_month": "3 MB", "reserve": "20 %", **(link or {})}}}))


def plan(*words, code=0):
    answer = run("plan", *words, "--json")
    check(f"exit code {code} of {words}", answer.returncode == code, answer.stderr)
    return json.loads(answer.stdout) if code == 0 else answer.stderr


def near(value, wanted, share=0.02):
    return abs(value / wanted - 1) <= share


path = config()
sample = write("sample", b"".join(LINES))
p = plan(path, sample)
month = p["month_seconds"]
check("an event a minute, by their own times", near(p["sample"]["seconds"], 600 * 60) and p["sample"]["streams"]["meter"]["events"] == 600, str(p["sample"]))
cloud = p["uplinks"]["cloud"]
meter, health, connection = cloud["streams"]["meter"], cloud["streams"]["weir.events"], cloud["connection"]
check("columns on a metered link", cloud["layout"] == "columns", str(cloud))
check("a request for each of them", near(meter["requests"], month / 60, 0.03) and near(meter["events"], month / 60), str(meter))
check("an hourly record", near(health["events"], month / 3600), str(health))
for line in (meter, health, connection):
    causes = sum(line[c] for c in ("payload", "framing", "acknowledgements", "handshakes", "repeats"))
    check("causes add up", abs(causes - line["bytes"]) <= 5, str(line))
check("and lines to the uplink", abs(meter["bytes"] + health["bytes"] + connection["bytes"] - cloud["bytes"]) <= 5, str(cloud))
check("which is all of the link", p["links"]["modem"]["bytes"] == cloud["bytes"] == p["bytes"], str(p["links"]))
check("its budget", near(p["links"]["modem"]["budgets"]["month"]["used"], cloud["bytes"] / 3e6), str(p["links"]))
check("files have no network", p["uplinks"]["files"]["bytes"] == 0, str(p["uplinks"]["files"]))
changes = {c["change"]: c for c in p["changes"]}
check("longer intervals cost less", changes["linger 10 min"]["bytes"] < p["bytes"] / 2 and changes["linger 10 min"]["links"]["modem"] ==
      changes["linger 10 min"]["bytes"], str(changes))
check("TLS costs more, rows do", changes["with TLS"]["bytes"] > p["bytes"] < changes["layout rows, linger 1 min"]["bytes"] + p["bytes"], str(changes))
check("what is as configured changes nothing", changes["without TLS"]["bytes"] == changes["layout columns"]["bytes"] == p["bytes"], str(changes))

fast = plan(path, sample, "--rate", "10", "--reconnects", "0")
check("by a rate", near(fast["sample"]["seconds"], 60) and fast["bytes"] > 5 * p["bytes"], str(fast["sample"]))
check("the same for this stream only", plan(path, sample, "--rate=meter=10", "--reconnects=0") == fast)
check("no connection is cut", fast["uplinks"]["cloud"]["connects"] == 0 and p["uplinks"]["cloud"]["connects"] > 700, str(cloud["connects"]))
lossy = plan(path, sample, "--loss", "5")["uplinks"]["cloud"]["streams"]["meter"]
check("what is lost goes again", near(lossy["repeats"], (meter["payload"] + meter["framing"]) * 5 / 95) and meter["repeats"] == 0, str(lossy))
check("for how long it stands", near(plan(path, sample, "--duration", "1 d")["uplinks"]["cloud"]["streams"]["meter"]["events"], month / 144))

text = run("plan", path, sample, "--rate", "1")
check("for a person", text.returncode == 0 and all(w in text.stdout for w in (
    "MB are 1000000 bytes", "uplink cloud by link modem: columns, linger 1 s", "PAYLOAD", "(connections)", "uplink files: of type file, which is not reckoned",
    "budget_per_month 3.000 MB", "priorities below", "all of it is spent on day", "would do", "linger 10 min", "modem")), text.stdout + text.stderr)

streams = {"meter": METER, "notes": {}}
folder = path_of("folder")
os.mkdir(folder)
both = config("both.json", streams, driver={"routes": [{"topic": "notes/#", "stream": "notes"}, {"topic": "#", "stream": "meter"}]})
write("folder/meter.ndjson", b"".join(LINES))
write("folder/notes.ndjson", b"pump off\npump on\n" * 50)
check("without times a rate is wanted", "--rate" in plan(both, folder, code=2) and "notes" in plan(both, folder, code=2))
p = plan(both, folder, "--rate", "notes=0.01")
check("a folder has several", near(p["uplinks"]["cloud"]["streams"]["notes"]["events"], month / 100) and
      near(p["uplinks"]["cloud"]["streams"]["meter"]["events"], month / 60), str(p["uplinks"]["cloud"]["streams"]))
check("a file is of which?", "--stream" in plan(both, sample, code=2))
check("it is said", plan(both, sample, "--stream", "meter")["sample"]["streams"]["meter"]["events"] == 600)
exported = write("exported", "".join(json.dumps({"stream": "meter", "sequence": i + 1, "time": line["ts"], "trust": "payload", "schema": "0",
                                                 "event": {**line, "ts": 1166289840000 + 60000 * i}}) + "\n" for i, line in enumerate(map(json.loads, LINES))))
check("or the buffer's export says it", plan(both, exported)["uplinks"]["cloud"]["streams"]["meter"] == meter | {
    k: v for k, v in plan(both, exported)["uplinks"]["cloud"]["streams"]["meter"].items() if k == "never"}, str(meter))

# Uplinks over HTTP, as tests/bench/run measured a request with 1 KB of payload and its answer (KINESIS.md), and a flush of one event (PUBSUB.md).
AWS = {"type": "kinesis", "region": "eu-central-1", "endpoint": "https://localhost:40000", "stream": "telemetry", "framing": "none"}
KEYS = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "secret"}
GOOGLE = {"type": "pubsub", "project": "p1", "topic": "events", "endpoint": "https://10.91.255.1:18086", "partition_by": "agent"}
START = [f'{{"n":{i},"text":"' for i in range(60)]
kilobytes = write("kilobytes", "".join(start + "x" * (1000 - len(start) - 2) + '"}\n' for start in START))
short = write("short", "".join(json.dumps({"v": os.urandom(100).hex()}) + "\n" for _ in range(60)))
text_only = write("text.avsc", json.dumps({"type": "record", "name": "E", "fields": [{"name": "v", "type": "string"}]}))


def clouds(name, stream, uplink):
    return write(name, json.dumps({
        "agent": {"id": "pump-station-7"}, "buffer": {"path": path_of("none", "buffer.db"), "commit_interval": "20 ms"}, "streams": {"telemetry": stream},
        "drivers": {"in": {"type": "http", "listen": "127.0.0.1:1", "stream": "telemetry"}},
        "uplinks": {"cloud": {"linger": "0 s", "streams": ["telemetry"], **uplink}}}))


def each(path, sample, *words):
    """Bytes of a request and its answer."""
    p = plan(path, sample, "--rate", "1", "--reconnects", "0", *words)["uplinks"]["cloud"]
    line = p["streams"]["telemetry"]
    check("a request each", near(line["events"], line["requests"]) and p["layout"] == "rows", str(p))
    return (line["payload"] + line["framing"] + line["acknowledgements"]) / line["requests"]


for more_, http2, http1 in (({}, 1848, 2255), ({"event_id": "none"}, 1816, 2223), ({"encoding": "json"}, 2331, 2634),
                           ({"credentials": {**KEYS, "session_token": "T" * 1000}}, 1864, 3295)):
    path_ = clouds("kinesis.json", {}, {**AWS, "credentials": KEYS, **more_})
    for measured, words in ((http2, []), (http1, ["--http1"])):
        reckoned = each(path_, kilobytes, *words)
        check(f"Kinesis {list(more_)} {words}: {reckoned:.0f} of {measured} B", near(reckoned, measured))
reckoned = each(clouds("pubsub.json", {"schema": text_only}, GOOGLE), short)
check(f"Pub/Sub with a token of 1000 B: {reckoned:.0f} B", near(reckoned, 405 + 212 + 800 + 50, 0.05))   # ids and dates as Google has them
reckoned = each(clouds("keys.json", {"schema": text_only, "key": "v"}, {**AWS, "credentials": KEYS, "partition_by": "key"}), short)
check(f"with keys: {reckoned:.0f} B", 1000 < reckoned < 1400)
slow = plan(path_, kilobytes, "--rate", "0.005", "--reconnects", "0")["uplinks"]["cloud"]
check("curl does not use a connection again after two minutes", near(slow["connects"], slow["streams"]["telemetry"]["requests"], 0.05), str(slow))
check("the next one is made by a ticket", 1700 < slow["connection"]["handshakes"] / slow["connects"] < 3100, str(slow))     # with a session token of 1000 B
same = plan(path_, kilobytes, "--rate", "1")
check("what an uplink does not have stays", all(c["bytes"] == same["bytes"] for c in same["changes"] if c["change"] in ("with TLS", "compression_level 9")), str(same))

topic = config("topic.json", driver={"routes": [{"topic": "site/+/meter", "stream": "meter", "set": {"meter": "{topic.1}"}}]})
bare = write("bare", b"".join(json.dumps({k: v for k, v in json.loads(line).items() if k != "meter"}).encode() + b"\n" for line in LINES))
check("what a route takes from the topic may be missing", plan(topic, bare)["sample"]["streams"]["meter"] | {"payload_bytes": 0} ==
      {"events": 600, "set_aside": 0, "extended": 0, "payload_bytes": 0})
more = config("more.json", {"meter": {**METER, "unknown_fields": "extend"}}, {"windows": [{"start": "0 2 * * *", "duration": "1 h"}]})
grown = write("grown", LINES[0] + LINES[1].replace(b"}", b',"new":1}') + LINES[2])
check("fields that the schema lacks are told", plan(more, grown)["sample"]["streams"]["meter"]["extended"] == 1)
check("in words; and windows", all(w in run("plan", more, grown).stdout for w in ("1 events of stream meter have fields", "as if its windows")))
bad = write("bad", b"".join(LINES[:10]) + b'{"ts": "never"}\nno JSON\n' + b"".join(LINES[10:20]))
check("what does not fit is told and left out", plan(path, bad)["sample"]["streams"]["meter"]["set_aside"] == 2)
check("with a reason", "2 events of stream meter would be set aside" in run("plan", path, bad).stdout)
check("nothing fits", "no event that fits" in plan(path, write("none_fits", b"{}\n"), code=2))
check("no sample", "No such file" in plan(path, path_of("nowhere"), code=2))
check("an empty folder", "meter.ndjson" in plan(path, work + "/none-here" if os.mkdir(work + "/none-here") else work + "/none-here", code=2))
check("no such stream", "no stream x" in plan(path, sample, "--stream", "x", code=2))
check("a wrong configuration", "$.uplinks" in plan(write("wrong.json", "{}"), sample, code=2))
for words in (["--rate", "x"], ["--loss", "60"], ["--mtu", "10"], ["--duration", "1 y"], ["--reconnects=-1"], ["--partitions", "0"]):
    check(f"{words} is refused", words[0].split("=")[0] in plan(path, sample, *words, code=2))
check("usage", "usage: weir plan CONFIG SAMPLE" in plan(path, code=2))
check("help", all(w in run("plan", "--help").stdout for w in ("SAMPLE is", "--reconnects", "--rate", "exit" if False else "usage: weir plan")))
check("nothing was made", not os.path.exists(path_of("none")) and not os.path.exists(path_of("out")))
finish()
