"""The status page, over real agents in each state that it can show.

usage: status_page_test.py WEIR html      its HTML and CSS are sound, its script shows the right values on a small DOM (node)
       status_page_test.py WEIR browser   the same in a headless chromium: no error, nothing from elsewhere, no part wider than 320 px,
                                          keyboard, names for a screen reader, live charts. Exit code 77: there is no chromium.
WEIR_SHOTS=FOLDER keeps screenshots of each state, 1280 and 320 px wide, light and dark."""
import html.parser
import json
import os
import re
import subprocess
import sys
import time

import browser

if sys.argv[2:] == ["browser"] and not browser.program():
    print("no chromium")
    sys.exit(77)

from program import PATIENCE, check, finish, path_of, wait_until, write     # noqa: E402
from status_sites import BudgetSpent, Waiting, buffer_full, uplink_down, working     # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PAGE = os.path.join(HERE, "..", "agent", "page")


def read(name):
    with open(os.path.join(PAGE, name)) as f:
        return f.read()


def begun(site):
    site.start()
    if site.config["agent"]["id"] not in ("waits", "full"):
        site.fill(7)
    return site


def brought(site):
    """Into its state: what the page then has to say."""
    name = site.config["agent"]["id"]
    if name == "waits":
        return "Waiting for its disk", "a file may not be so large"
    if name == "full":
        wait_until(lambda: site.fill(2000, 500)[0] == 429)
        return "Sources wait", "stream telemetry is set to block"
    if name == "spent":
        wait_until(lambda: site.is_spent())
        return "Running, with faults", "the budget of the day is spent"
    if name == "down":
        wait_until(lambda: site.json()["uplinks"]["cloud"]["fault"])
        return "Running, with faults", "no connection to 127.0.0.1:1"
    wait_until(lambda: site.json()["backlog"] == 0)
    return "Running", "All parts work."


# --- without a browser ---


class Sound(html.parser.HTMLParser):
    """Every element is closed in order; what is said of ids, labels and roles holds."""
    VOID = {"meta", "link", "input", "br", "img", "hr"}
    ROLES = {"status", "img", "region", "table", "row", "rowgroup", "cell", "columnheader", "rowheader"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.wanted, self.labels, self.inputs, self.headings, self.tags, self.urls = [], [], [], [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        check(f"{tag}: no attribute twice", len(a) == len(attrs))
        self.tags.append((tag, a))
        self.ids += [a["id"]] if "id" in a else []
        for name in ("aria-labelledby", "aria-describedby"):
            self.wanted += a.get(name, "").split()
        self.labels += [a["for"]] if tag == "label" else []
        self.inputs += [a["id"]] if tag == "input" else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.urls += [a[n] for n in ("href", "src", "action") if n in a]
        check(f"role {a.get('role')}", a.get("role", "status") in self.ROLES)
        check(f"{tag}: no script or style within", not [n for n in a if n.startswith("on") or n == "style"] and tag != "style")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        check(f"</{tag}> closes what is open", self.open and self.open.pop() == tag, str(self.open))


def luminance(colour):
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_html():
    text = read("index.html")
    check("a document of our time", text.startswith("<!doctype html>\n<html lang=\"en\">"))
    sound = Sound()
    sound.feed(text)
    sound.close()
    check("all is closed", not sound.open, str(sound.open))
    check("ids once", len(sound.ids) == len(set(sound.ids)))
    check("what names something is there", set(sound.wanted) <= set(sound.ids), str(set(sound.wanted) - set(sound.ids)))
    check("each input has its label", set(sound.inputs) == set(sound.labels))
    check("headings go down by one", sound.headings[0] == 1 and all(b - a <= 1 for a, b in zip(sound.headings, sound.headings[1:])))
    tags = [t for t, _ in sound.tags]
    check("landmarks, once each", all(tags.count(t) == 1 for t in ("header", "main", "footer", "nav", "title", "h1")))
    check("sections have names", all("aria-labelledby" in a for t, a in sound.tags if t == "section"))
    check("buttons say what they are", all(a.get("type") in ("button", "submit") for t, a in sound.tags if t == "button"))
    check("a way past the head", ("a", {"class": "skip", "href": "#main"}) in sound.tags)
    check("zoom is not hindered", "maximum-scale" not in text and "user-scalable" not in text)
    check("nothing from elsewhere", all(re.fullmatch(r"/[a-z.]*|#main|data:,", u) for u in sound.urls), str(sound.urls))
    script, style = read("page.js"), read("page.css")
    urls = set(re.findall(r"\w+://[^'\"\s]+", script + style))
    check("nor by script and style", urls == {"http://www.w3.org/2000/svg"} and "@import" not in style and "url(" not in style, str(urls))
    check("no text becomes code", not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", script))
    schemes = [dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", part)) for part in style.split("prefers-color-scheme: dark")[:2]]
    check("light and dark", len(schemes) == 2 and schemes[0].keys() == schemes[1].keys() and "color-scheme: light dark" in style)
    for scheme, colours in zip(("light", "dark"), schemes):
        for front, back, least in [("ink", "back", 7), ("ink", "card", 7), ("quiet", "back", 4.5), ("quiet", "card", 4.5), ("line", "card", 4.5), ("line", "back", 4.5),
                                   ("bad", "card", 4.5), ("good", "card", 4.5), ("on", "bad", 4.5), ("on", "warn", 4.5), ("on", "good", 4.5), ("on", "quiet", 4.5)]:
            ratio = contrast(colours[front], colours[back])
            check(f"{scheme}: {front} on {back} can be read", ratio >= least, f"{ratio:.2f}")
    check("where the keyboard is can be seen", ":focus-visible" in style and not re.search(r"outline: *(none|0)", style.replace("main:focus { outline: none; }", "")))


def node(*answers):
    paths = [write(f"answer{i}.json", json.dumps(a)) for i, a in enumerate(answers)]
    r = subprocess.run(["node", os.path.join(HERE, "status_dom.mjs"), os.path.join(PAGE, "index.html"), os.path.join(PAGE, "page.js"), *paths],
                       capture_output=True, text=True, timeout=PATIENCE)
    check("the script runs", r.returncode == 0, r.stderr[-1500:])
    return json.loads(r.stdout) if r.returncode == 0 else None


def test_script(site, badge, says):
    name = site.config["agent"]["id"]
    first = site.json()
    time.sleep(1.1)
    if name in ("down", "works"):
        site.fill(30)
    second = site.json()
    seen = node(first, second)
    if not seen:
        return
    last = seen["shown"][-1]
    check(f"{name}: badge", last["text"]["state"] == badge, last["text"]["state"])
    check(f"{name}: what is wrong", any(says in f["text"] for f in last["faults"]), str(last["faults"]))
    check(f"{name}: whose it is", second["agent"] in last["title"] and second["agent"] == last["text"]["agent"])
    check(f"{name}: the pause holds", seen["paused"])
    check(f"{name}: only the status is asked", {a["url"] for a in seen["asked"]} == {"/status"})
    if name == "waits":
        check("nothing else is shown", not last["shown"])
        return
    streams = {row[0]: row for row in last["rows"]["streams"][1:]}
    check(f"{name}: all streams", list(streams) == [s["name"] for s in second["streams"]], str(streams))
    for s in second["streams"]:
        row = streams[s["name"]]
        check(f"{name}: {s['name']}", (row[1], row[4], row[5]) == (f"{s['events']:,}", f"{s['dropped']:,}", str(s["priority"])), str(row))
        check(f"{name}: {s['name']} is as old", (row[3] == "–") == (s["events"] == 0), str(row))
    post, cloud = last["rows"]["drivers"][1], last["rows"]["uplinks"][1]
    check(f"{name}: driver", post[2:4] == [f"{second['drivers']['post']['received']:,}", f"{second['drivers']['post']['stored']:,}"], str(post))
    check(f"{name}: uplink", (cloud[2], cloud[6]) == (f"{second['uplinks']['cloud']['sent']:,}", "fault" if second["uplinks"]["cloud"]["fault"] else "works"), str(cloud))
    check(f"{name}: charts have words", len(last["charts"]) == 6 and any(c.startswith(f"Backlog: {second['backlog']:,} events; ") for c in last["charts"]),
          str(last["charts"]))
    check(f"{name}: and lines", last["paths"][2].count(",") == 2, str(last["paths"]))
    check(f"{name}: tables stay tables", {"table", "row", "rowheader", "cell", "columnheader"} <= set(last["roles"]))
    if name == "down":
        rate = 30 / (second["uptime_s"] - first["uptime_s"])
        intake = float(last["charts"][0].split(": ")[1].split(" ")[0])
        check("intake a second", abs(intake - rate) < 0.02 * rate + 0.01, f"{intake} {rate}")
        check("budgets", "Budget of the month: 0 B of 100 MB" in last["text"]["links"] or "of 100 MB" in last["text"]["links"], last["text"]["links"])
    if name == "spent":
        check("the budget's chart", not last["charts"][4].startswith("Budget: –"), last["charts"][4])


def test_answers_of_all_kinds(status):
    seen = node({"status": 401}, status, None, status)
    if seen:
        login, shown, gone, back = seen["shown"]
        check("a token is asked for", login["login"] and not login["shown"] and login["text"]["state"] == "Token wanted")
        check("and sent", seen["asked"][1]["headers"] == {"Authorization": "Bearer typed"} and shown["shown"] and not shown["login"], str(seen["asked"]))
        check("no answer is said", gone["text"]["state"] == "No answer" and "systemctl status weir" in gone["faults"][0]["text"])
        check("and that it is back", back["text"]["state"] == shown["text"]["state"])
    evil = json.loads(json.dumps(status))
    evil["agent"] = '<img src=x onerror="alert(1)">'
    evil["streams"][0]["name"] = "</th><script>"
    evil["uplinks"]["cloud"].update(fault='"><b>', standing={"telemetry": "the registry refuses it"})
    evil["streams"][0]["schema_refused"] = {"count": 1, "text": "field n is gone"}
    evil["buffer"].update(unsaved=3, damage={"replaced": 1, "logs": 0, "salvages": False, "found": 10, "lost": 2})
    evil["aside"], evil["wear"]["life_years"] = 12, 0.5
    seen = node(evil)
    if seen:
        last = seen["shown"][0]
        check("texts are texts", last["text"]["agent"] == evil["agent"] and last["rows"]["streams"][1][0] == "</th><script>")
        said = " ".join(f["text"] for f in last["faults"])
        for words in ('"><b>', "stream telemetry", "the registry refuses it", "field n is gone", "in memory only", "10 events salvaged, 2 lost", "12 events: weir aside ls",
                      "lasts 0.5 years"):
            check(f"what is wrong: {words}", words in said, said)
    mended = json.loads(json.dumps(status))
    mended["uplinks"]["cloud"]["last_fault"] = {"text": "no connection", "ended_s": 185}
    seen = node(mended)
    check("what was mended, and when", seen and seen["shown"][0]["rows"]["uplinks"][1][6] == "works, mended 3 min 5 s ago", str(seen and seen["shown"][0]["rows"]))
    fresh = json.loads(json.dumps(status))
    fresh["uptime_s"] = 0.5
    seen = node(status, fresh)
    check("another agent's charts begin anew", seen and seen["shown"][1]["paths"][2].count(",") == 1, str(seen and seen["shown"][1]["paths"]))


# --- with one ---


def shots(page, name):
    folder = os.environ.get("WEIR_SHOTS")
    for width, dark in [(1280, False), (1280, True), (320, False), (320, True)] if folder else []:
        page.size(width, 900, dark)
        time.sleep(0.3)
        page.screenshot(os.path.join(folder, f"{name}-{width}-{'dark' if dark else 'light'}.png"))


def test_browser(page, site, badge, says):
    name = site.config["agent"]["id"]
    page.size(320, 800)
    page.open(f"http://127.0.0.1:{site.http}/")
    check(f"{name}: badge", page.wait(f"document.getElementById('state').textContent === {json.dumps(badge)}"), page.value("document.body.innerText")[:300])
    check(f"{name}: what is wrong", page.wait(f"document.getElementById('faults').textContent.includes({json.dumps(says)})"),
          page.value("document.getElementById('faults').textContent"))
    for width in (320, 768, 1280):
        page.size(width, 800, width == 768)
        wide = page.value("[...document.querySelectorAll('body *')].filter(e => !e.closest('.hidden, .skip, thead') && e.getBoundingClientRect().right > "
                          "document.documentElement.clientWidth + 1).map(e => e.tagName + '.' + e.className)")
        check(f"{name}: nothing is wider than {width} px", page.value("document.documentElement.scrollWidth") <= width and not wide, str(wide))
    if name != "waits":
        check(f"{name}: the charts live", page.wait("(document.querySelector('svg .line').getAttribute('d') || '').split('L').length > 2"))
        size = page.value("(r => [r.width, r.height])(document.querySelector('svg .line').ownerSVGElement.getBoundingClientRect())")
        check(f"{name}: and can be seen", size[0] > 100 and size[1] > 40, str(size))
        shown = page.value("[...document.querySelectorAll('#streams tbody tr')].map(r => [r.children[0].textContent, r.children[1].textContent])")
        check(f"{name}: streams", [s[0] for s in shown] == [s["name"] for s in site.json()["streams"]], str(shown))
    shots(page, name)
    check(f"{name}: nothing to complain of", not page.complaints(), str(page.complaints()))
    check(f"{name}: nothing from elsewhere", page.urls() and all(u.startswith(f"http://127.0.0.1:{site.http}/") or u == "data:," for u in page.urls()), str(set(page.urls())))


def left(page):
    page.open("about:blank")
    page.events.clear()


def test_keyboard(page, site):
    page.size(1280, 900)
    page.open(f"http://127.0.0.1:{site.http}/")
    page.wait("!document.getElementById('shown').hidden")
    order = []
    for _ in range(12):
        page.key("Tab", number=9)
        order.append(page.value("document.activeElement.textContent.trim() || document.activeElement.id"))
        check(f"{order[-1]}: where the keyboard is can be seen", page.value("getComputedStyle(document.activeElement).outlineStyle") != "none")
    check("Tab goes by all that can be used", order[:3] == ["Skip to the status", "Pause", "Values"] and "Metrics" in order, str(order))
    page.value("document.getElementById('pause').focus()")
    page.key("Enter", number=13, text="\r")
    check("Enter pauses", page.value("document.getElementById('pause').getAttribute('aria-pressed')") == "true")
    page.key(" ", "Space", 32, " ")
    check("and Space goes on", page.value("document.getElementById('pause').getAttribute('aria-pressed')") == "false")
    page.value("document.querySelector('summary').focus()")
    page.key("Enter", number=13, text="\r")
    check("the values behind a chart", page.wait("document.querySelectorAll('details[open] tbody tr').length > 1"))


def test_screen_reader(page):
    nodes = [n for n in page.call("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
    have = {}
    for n in nodes:
        have.setdefault(n["role"]["value"], []).append(n.get("name", {}).get("value", ""))
    for role, names in {"main": None, "heading": ["To do", "Now", "Streams", "Uplinks"], "table": ["Streams", "Drivers", "Uplinks"], "button": ["Pause"],
                        "navigation": ["For programs"], "region": ["Streams", "To do"]}.items():
        check(f"{role} with its name", role in have and all(any(w in x for x in have[role]) for w in names or []), str(have.get(role)))
    images = have.get("image", []) + have.get("img", [])
    check("charts are told in words", len(images) == 6 and all(re.search(r": .+; last .+, highest ", i) or ":" not in i for i in images), str(images))
    check("rows and their heads", len(have.get("rowheader", [])) >= 5 and len(have.get("columnheader", [])) >= 15, str({k: len(v) for k, v in have.items()}))
    meters = have.get("meter", [])
    check("meters have names", len(meters) == 2 and all(m.startswith("Budget of the ") for m in meters), str(meters))


def test_gone(page, site):
    site.stop()
    check("that it is gone is said", page.wait("document.getElementById('state').textContent === 'No answer'"))
    shots(page, "gone")


sites = [begun(site) for site in (BudgetSpent(), Waiting(), uplink_down(), buffer_full(), working())]
sites.append(sites.pop(0))     # it takes its time
if sys.argv[2] == "html":
    test_html()
    for site in sites:
        test_script(site, *brought(site))
        if site.config["agent"]["id"] == "works":
            test_answers_of_all_kinds(site.json())
        site.stop()
else:
    with browser.Browser(PATIENCE) as page:
        for site in sites:
            test_browser(page, site, *brought(site))
            if site.config["agent"]["id"] == "down":
                test_keyboard(page, site)
                test_screen_reader(page)
            if site.config["agent"]["id"] == "works":
                test_gone(page, site)
            left(page)
            if site.process.poll() is None:
                site.stop()
finish()
