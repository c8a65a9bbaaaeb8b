"""Status page, metrics and probes of the whole program: the values of /metrics are those of `weir status --json`, under load with an uplink that
is down; who may ask (token, Host, methods); health and readiness in each state; `weir status --watch`.

usage: status_test.py WEIR"""
import http.client
import json
import os
import pty
import signal
import socket
import ssl
import subprocess
import threading
import time

from program import PATIENCE, check, finish, free_port, path_of, run, wait_until, weir, write
from status_metrics import parse
from status_sites import BudgetSpent, Site, Waiting, buffer_full, uplink_down, working

# name of a metric → where the status has it: a function of its root, or of a part
AGENT = {"weir_intake_events_total": "events", "weir_stored_events_total": "stored", "weir_delivered_events_total": "delivered",
         "weir_suppressed_events_total": "suppressed", "weir_refused_offers_total": "refused", "weir_backlog_events": "backlog",
         "weir_aside_events": "aside", "weir_uptime_seconds": "uptime_s"}
PARTS = {
    "stream": {"weir_stream_backlog_events": "events", "weir_stream_backlog_bytes": "bytes", "weir_stream_backlog_age_seconds": "age_s",
               "weir_stream_room_bytes": "room", "weir_stream_dropped_events_total": "dropped",
               "weir_stream_suppressed_events_total": "suppressed"},
    "driver": {"weir_driver_received_events_total": "received", "weir_driver_stored_events_total": "stored",
               "weir_driver_dropped_events_total": "dropped", "weir_driver_suppressed_events_total": "suppressed",
               "weir_driver_aside_events_total": "aside", "weir_driver_refused_offers_total": "refused"},
    "uplink": {"weir_uplink_sent_events_total": "sent", "weir_uplink_backfill_events_total": "backfill",
               "weir_uplink_sent_bytes_total": "sent_bytes", "weir_uplink_in_flight_batches": "in_flight",
               "weir_uplink_retries_total": "retried", "weir_uplink_refusals_total": "refused", "weir_uplink_halvings_total": "halved",
               "weir_uplink_aside_events_total": "aside", "weir_uplink_duplicate_batches_total": "duplicates",
               "weir_uplink_wire_sent_bytes_total": "wire_sent", "weir_uplink_wire_received_bytes_total": "wire_received",
               "weir_uplink_request_bytes": "request_size"},
    "link": {"weir_link_priority_min": "passes", "weir_link_rate_bytes_per_second": "rate", "weir_link_rate_max_bytes_per_second": "rate_max",
             "weir_link_under_way_bytes": "under_way"},
}
NESTED = {"weir_buffer_size_bytes": ("buffer", "size"), "weir_buffer_size_max_bytes": ("buffer", "size_max"),
          "weir_buffer_used_ratio": ("buffer", "used_share"), "weir_buffer_unsaved_deliveries": ("buffer", "unsaved"),
          "weir_buffer_damage_replaced_total": ("buffer", "damage", "replaced"), "weir_buffer_damage_lost_events_total": ("buffer", "damage", "lost"),
          "weir_flash_written_bytes_total": ("wear", "bytes"), "weir_flash_syncs_total": ("wear", "syncs"),
          "weir_flash_commits_total": ("wear", "commits"), "weir_flash_written_today_bytes": ("wear", "today", "bytes"),
          "weir_flash_written_max_per_day_bytes": ("wear", "max_per_day"), "weir_memory_resident_bytes": ("memory", "resident")}
SCALED = {"weir_flash_life_seconds": (("wear", "life_years"), 31557600.0), "weir_loop_longest_turn_seconds": (("loop", "longest_turn_us"), 1e-6)}


def at(value, path):
    for name in path:
        value = value[name]
    return value


def parts_of(status):
    return {"stream": {s["name"]: s for s in status["streams"]}, "driver": status["drivers"], "uplink": status["uplinks"], "link": status["links"]}


def expected(status):
    """{(metric, labels): value} as this status says it."""
    values = {(name, ()): status[member] for name, member in AGENT.items()}
    values |= {(name, ()): at(status, path) for name, path in NESTED.items()}
    values |= {(name, ()): at(status, path) * scale for name, (path, scale) in SCALED.items() if at(status, path) is not None}
    values |= {("weir_build_info", (("agent", status["agent"]), ("version", status["version"]))): 1, ("weir_ready", ()): int(status["ready"]), ("weir_clock_believed", ()): int(status["clock"]["believed"]),
               ("weir_buffer_trouble", ()): int(status["buffer"]["trouble"] is not None)}
    values |= {("weir_state", (("state", s),)): int(s == status["state"]) for s in ("running", "degraded", "waiting", "stopping")}
    for label, parts in parts_of(status).items():
        for name, part in parts.items():
            own = (label, name)
            values |= {(metric, (own,)): part[member] for metric, member in PARTS[label].items() if part[member] is not None}
            if label in ("driver", "uplink"):
                values[f"weir_{label}_fault", (own,)] = int(part["fault"] is not None)
                values |= {(f"weir_{label}_counted_total", tuple(sorted([("counter", k), own]))): v for k, v in part.items()
                           if type(v) in (int, float) and k not in PARTS[label].values()}
            if label == "uplink":
                values |= {("weir_uplink_stream_standing", tuple(sorted([("stream", s), own]))): 1 for s in part["standing"]}
            if label == "stream":
                values["weir_stream_schema_refused", (own,)] = int(part["schema_refused"] is not None)
                values |= {("weir_stream_dropped_by_rule_events_total", tuple(sorted([("reason", r), own]))): n for r, n in part["dropped_by"].items()}
            if label == "link":
                values["weir_link_up", (own,)] = int(part["up"])
                values |= {("weir_link_backlog_seconds_total", (own,)): part["backlog_ms"] / 1000,
                           ("weir_link_in_use_seconds_total", (own,)): part["in_use_ms"] / 1000}
                values |= {("weir_link_bytes_total", tuple(sorted([("direction", d), own]))): n for d, n in part["total"].items()}
                for period, b in part["budgets"].items():
                    key = tuple(sorted([own, ("period", period)]))
                    values |= {("weir_link_budget_bytes", key): b["max"], ("weir_link_budget_spent_bytes", key): b["spent"]}
    return values


def compare(site, what):
    """Each sample lies between what the status says before and after; there are no others, and none is missing. A value that goes up and down
    may have done so between the two: in one of several looks it has to be right, a counter in each."""
    for last in (False,) * 19 + (True,):
        found, wrong = look(site, what)
        check(f"{what}: the same values", not any(last or k[0].endswith("_total") and v != "came or went" for k, v in wrong.items()), str(wrong)[:800])
        if not wrong:
            break
    return found


def look(site, what):
    """({(metric, labels): value}, {(metric, labels): (before, value, after), or that it came or went} of those that aren't between)"""
    before = expected(site.status())
    status, headers, text = site.get("/metrics")
    after = expected(site.status())
    check(f"{what}: /metrics answers", status == 200 and headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", str(headers))
    found = {(name, key): value for name, metric in parse(text.decode()).items() for key, value in metric.samples.items()}
    if before.keys() != after.keys():
        return found, {(metric, key): "came or went" for metric, key in before.keys() ^ after.keys()}
    check(f"{what}: the same metrics", found.keys() == before.keys(), str(found.keys() ^ before.keys())[:500])
    wrong = {k: (before[k], v, after[k]) for k, v in found.items() if k in before and k in after
             and not min(before[k], after[k]) - 1e-6 <= v <= max(before[k], after[k]) + 1e-6 and k[0] != "weir_memory_resident_bytes"}
    return found, wrong


def test_values_under_load():
    site = uplink_down().start()
    stop = threading.Event()

    def load():
        while not stop.is_set():
            site.fill(20)
            site.post("/alarms", '{"alarm": 1}')

    loader = threading.Thread(target=load)
    loader.start()
    wait_until(lambda: site.json()["uplinks"]["cloud"]["fault"])
    for i in range(8):
        compare(site, f"under load, {i}")
    stop.set()
    loader.join()
    found = compare(site, "at rest")
    check("the uplink has a fault", found["weir_uplink_fault", (("uplink", "cloud"),)] == 1)
    backlog = found["weir_stream_backlog_events", (("stream", "telemetry"),)]
    check("the backlog is what came", backlog == site.status()["drivers"]["post"]["stored"] - found["weir_stream_backlog_events", (("stream", "alarms"),)])
    since = time.monotonic()
    age = found["weir_stream_backlog_age_seconds", (("stream", "telemetry"),)]
    time.sleep(1)
    later = site.json()["streams"][0]["age_s"]
    check("its age goes on", 0 < age and 1 <= later - age <= 2 + (time.monotonic() - since) * 2, str((age, later)))
    oldest = json.loads(run("buffer", "ls", "--json", "--socket", site.socket, "--buffer", site.buffer).stdout)["streams"][0]["oldest"]
    check("by its oldest event", site.json()["streams"][0]["oldest"] == oldest[:-4] + "Z", f"{site.json()['streams'][0]['oldest']} {oldest}")
    check("memory is what the system says", resident(site) * 0.7 < site.json()["memory"]["resident"] < resident(site) * 1.4)
    check("/status is the status", site.json().keys() == site.status().keys())
    check("healthy", site.get("/healthz")[::2] == (200, b"ok\n"))
    check("ready: sources may deliver though the uplink is down", site.get("/readyz")[::2] == (200, b"ready\n"))
    check("it stops in order", site.stop() == 0, site.log()[-500:])
    site.start()
    site.fill(1)
    check("a backlog from before the start keeps its age", site.json()["streams"][0]["oldest"] == oldest[:-4] + "Z")
    return site


def resident(site):
    with open(f"/proc/{site.process.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_who_may_ask(site):
    for host, wanted in [("127.0.0.1", 200), ("localhost:9600", 200), ("LOCALHOST", 200), ("[::1]:9600", 200), ("192.168.1.7", 200), ("evil.example", 403),
                         ("evil.example:9600", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403), ("", 403)]:
        for path in ("/", "/status", "/metrics", "/healthz", "/readyz"):
            status = site.get(path, Host=host, Accept_Encoding="gzip")[0]
            check(f"{path} asked as \"{host}\"", status == wanted, str(status))
    with socket.create_connection(("127.0.0.1", site.http), PATIENCE) as s:
        s.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        check("without a Host", s.recv(4096).startswith((b"HTTP/1.1 403", b"HTTP/1.0 403")))
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, headers, _ = site.get("/status", method, "x" if method != "OPTIONS" else None)
        check(f"{method} changes nothing", status == 405 and headers["Allow"] == "GET, HEAD", str(status))
    status, headers, text = site.get("/status", "HEAD", Origin="http://evil.example")
    check("HEAD has the head", status == 200 and not text and int(headers["Content-Length"]) > 100)
    check("no other origin may read it", not [h for h in headers if h.lower().startswith("access-control")])
    csp = headers["Content-Security-Policy"]
    check("a policy that lets nothing in from elsewhere", "default-src 'none'" in csp and "unsafe" not in csp and "frame-ancestors 'none'" in csp, csp)
    check("and not guessed at, kept, or told on", headers["X-Content-Type-Options"] == "nosniff" and headers["Cache-Control"] == "no-store")
    check("404", site.get("/../etc/passwd")[0] == 404 and site.get("/nothing")[0] == 404)
    status, headers, text = site.get("/", Accept_Encoding="identity")
    check("a client without gzip is told", status == 406 and b"/metrics" in text, str(status))
    status, headers, text = site.get("/", Accept_Encoding="gzip")
    check("the page", status == 200 and headers["Content-Encoding"] == "gzip" and headers["Content-Type"].startswith("text/html"))
    sizes = sum(len(site.get(p, Accept_Encoding="gzip")[2]) for p in ("/", "/page.css", "/page.js"))
    check("is small", sizes < 25000, str(sizes))
    print(f"the page takes {sizes} bytes")


def test_token_and_tls():
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path_of("key.pem"), "-out",
                    path_of("cert.pem"), "-days", "2", "-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    os.chmod(path_of("key.pem"), 0o600)
    write("token", "s3cret", 0o600)
    site = Site("locked")
    site.config["status"] = {"listen": f"0.0.0.0:{site.http}", "token": "${file:" + path_of("token") + "}"}
    write("locked.json", json.dumps(site.config))
    r = run("check", site.path)
    check("off loopback without TLS", r.returncode == 1 and "$.status: " in r.stderr and "is reachable from outside: set tls" in r.stderr, r.stderr)
    site.config["status"]["tls"] = {"certificate": path_of("cert.pem"), "key": path_of("none.pem")}
    write("locked.json", json.dumps(site.config))
    r = run("check", site.path)
    check("a key that is not there", r.returncode == 1 and "$.status.tls.key" in r.stderr, r.stderr)
    site.config["status"]["tls"]["key"] = path_of("key.pem")
    write("locked.json", json.dumps(site.config))
    r = run("check", site.path)
    check("with both it is right", r.returncode == 0, r.stderr)
    site.start()

    def get(path, **headers):
        connection = http.client.HTTPSConnection("127.0.0.1", site.http, timeout=PATIENCE, context=ssl.create_default_context(cafile=path_of("cert.pem")))
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status
    for path in ("/status", "/metrics", "/healthz", "/readyz"):
        check(f"{path} wants the token", (get(path), get(path, Authorization="Bearer s3cre"), get(path, Authorization="Bearer s3cret")) == (401, 401, 200))
    check("the page has nothing to hide, and asks for it", get("/", **{"Accept-Encoding": "gzip"}) == 200)
    check("with the token any name does", get("/status", Authorization="Bearer s3cret", Host="gateway7.example") == 200)
    check("a secret is not shown", "s3cret" not in run("config", "show", site.path).stdout)
    site.stop()
    named = Site("named")
    named.config["status"]["hosts"] = ["gateway7.example"]
    write("named.json", json.dumps(named.config))
    named.start()
    check("a name that is said", named.get("/status", Host="gateway7.example:9600")[0] == 200 and named.get("/status", Host="gateway8.example")[0] == 403)
    named.stop()


def test_a_port_that_is_taken(site):
    other = Site("other", status={"listen": f"127.0.0.1:{site.http}"}).start()
    check("the agent works without", other.status()["state"] == "running" and "no page, no metrics yet" in other.log(), other.log())
    check("it stops in order", other.stop() == 0)
    off = Site("off")
    off.config["status"]["enabled"] = False
    write("off.json", json.dumps(off.config))
    off.start()
    check("switched off", socket.socket().connect_ex(("127.0.0.1", off.http)) != 0)
    off.stop()


def test_waiting():
    site = Waiting().start()
    status, _, text = site.get("/readyz")
    check("not ready, with the reason", status == 503 and b"a file may not be so large" in text, str(text))
    status, _, text = site.get("/healthz")
    check("a restart would not mend it", status == 200 and text.startswith(b"ok, and waiting"), str(text))
    found = parse(site.get("/metrics")[2].decode())
    check("the metrics say so", found["weir_state"].samples[(("state", "waiting"),)] == 1 and found["weir_ready"].samples[()] == 0, str(found.keys()))
    check("the status too", site.json()["state"] == "waiting" and "a file may not" in site.json()["why"])
    site.let()
    check("then it is ready", wait_until(lambda: site.get("/readyz")[0] == 200))
    check("and has all metrics", len(parse(site.get("/metrics")[2].decode())) > 50)
    site.stop()


def test_a_full_buffer():
    site = buffer_full().start()
    wait_until(lambda: site.fill(2000, 500)[0] == 429)
    status, _, text = site.get("/readyz")
    check("not ready when sources have to wait", status == 503 and b"stream telemetry is set to block" in text, str((status, text)))
    check("healthy all the same", site.get("/healthz")[0] == 200)
    check("for a person, too", "WAIT     the buffer is full" in run("status", "--socket", site.socket).stdout)
    compare(site, "full")
    site.stop()


def test_a_budget_that_is_spent():
    site = BudgetSpent().start()
    site.fill(5)
    check("the link says so", wait_until(lambda: site.is_spent()),
          str(site.json()["links"]))
    found = compare(site, "spent")
    day = (("link", "modem"), ("period", "day"))
    check("in the metrics", found["weir_link_budget_spent_bytes", day] >= found["weir_link_budget_bytes", day] and
          found["weir_link_priority_min", (("link", "modem"),)] > 0, str(found))
    site.stop()


def test_a_clock_that_is_waited_for():
    """This machine's may be kept by NTP or not: either way all say the same."""
    site = Site("clock", agent={"clock": "disciplined"}).start()
    believed = site.json()["clock"]["believed"]
    human = run("status", "--socket", site.socket).stdout
    check("the status says whether the clock is waited for", ("\nCLOCK " in human) != believed, human)
    check("so does the log", (" clock: it is " in site.log()) != believed, site.log())
    compare(site, "clock")
    site.stop()


def test_watch(site):
    watching = subprocess.Popen([weir, "status", "--watch", "--socket", site.socket], stdout=subprocess.PIPE, text=True)
    heads = 0
    while heads < 3:
        line = watching.stdout.readline()
        heads += line.startswith("weir ")
        if not line:
            break
    watching.terminate()
    rest = watching.stdout.read()
    check("again and again, with rates", heads == 3 and "a second" in rest, rest)
    watching = subprocess.Popen([weir, "status", "--watch", "--json", "--socket", site.socket], stdout=subprocess.PIPE, text=True)
    check("as JSON, a line each", json.loads(watching.stdout.readline())["uptime_s"] < json.loads(watching.stdout.readline())["uptime_s"])
    watching.terminate()
    watching.wait()
    watching.stdout.close()
    main, end = pty.openpty()
    watching = subprocess.Popen([weir, "status", "--watch", "--socket", site.socket], stdout=end, stderr=end)
    os.close(end)
    screen = b""
    while screen.count(b"\x1b[H") < 3:
        screen += os.read(main, 4096)
    watching.send_signal(signal.SIGINT)
    watching.wait()
    os.close(main)
    pages = screen.split(b"\x1b[H")
    check("on a terminal over what was there, no more than it has lines", b"\x1b[K" in pages[1] and pages[1].count(b"\n") <= 24, str(pages[1]))
    r = run("status", "--watch", "--fly")
    check("misuse", r.returncode == 2 and "[--watch]" in r.stderr, str(r))


site = test_values_under_load()
test_who_may_ask(site)
test_a_port_that_is_taken(site)
test_watch(site)
check("nothing of it is logged but that it listens", site.log().count("status:") == 2, site.log())
site.stop()
test_token_and_tls()
test_waiting()
test_a_full_buffer()
test_a_budget_that_is_spent()
test_a_clock_that_is_waited_for()
works = working().start()
works.fill(100)
check("what is delivered is no backlog", wait_until(lambda: works.json()["backlog"] == 0))
found = compare(works, "works")
check("and has no age", found["weir_stream_backlog_age_seconds", (("stream", "telemetry"),)] == 0)
works.stop()
finish()
