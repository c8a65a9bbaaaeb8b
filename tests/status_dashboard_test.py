"""The dashboard and the alert rules against a real agent: Prometheus' own client reads its /metrics as our reader does, every expression is one,
every metric and label that they name is there, and each metric has its row in STATUS.md. Runs itself again with the Python of
tests/services/readers.sh metrics.

usage: status_dashboard_test.py WEIR"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
try:
    import promql_parser
    import yaml
    from prometheus_client.parser import text_string_to_metric_families
except ImportError:
    python = subprocess.run([os.path.join(HERE, "services", "readers.sh"), "metrics"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    os.execv(python, [python, *sys.argv])

from program import check, finish, wait_until     # noqa: E402
from status_metrics import parse     # noqa: E402
from status_sites import uplink_down     # noqa: E402

AGENT = os.path.join(HERE, "..", "agent")
TARGET = {"instance", "job"}     # what Prometheus adds
VARIABLES = {"$__rate_interval": "5m", "$instance": ".+"}


def read(*names):
    with open(os.path.join(AGENT, *names)) as f:
        return f.read()


def scraped():
    """The metrics of an agent that has a link, an uplink that is down, and no schema refused: name → set of its labels."""
    site = uplink_down().start()
    site.fill(10)
    wait_until(lambda: site.json()["uplinks"]["cloud"]["fault"])
    text = site.get("/metrics")[2].decode()
    site.stop()
    ours = {(name, key): value for name, m in parse(text).items() for key, value in m.samples.items()}
    theirs, kinds = {}, {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            theirs[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
            kinds[sample.name] = family.type
    check("Prometheus' client reads the same", ours == theirs, str(set(ours.items()) ^ set(theirs.items()))[:500])
    check("and the same kinds", kinds == {name: m.kind for name, m in parse(text).items()})
    labels = {}
    for name, key in ours:
        labels.setdefault(name, set()).update(k for k, _ in key)
    return labels


def visit(e, found):
    """Every selector within an expression."""
    if isinstance(e, promql_parser.VectorSelector):
        found.append(e)
    elif isinstance(e, promql_parser.MatrixSelector):
        found.append(e.vector_selector)
    for name in ("lhs", "rhs", "expr", "args"):
        inner = getattr(e, name, None)
        for part in inner if isinstance(inner, list) else [inner]:
            if isinstance(part, promql_parser.Expr):
                visit(part, found)


def check_expression(where, text, metrics):
    """The labels that its result may have, as far as it selects them."""
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    try:
        expression = promql_parser.parse(text)
    except Exception as e:
        check(f"{where}: an expression", False, f"{text}: {e}")
        return set()
    found, labels = [], set(TARGET)
    visit(expression, found)
    check(f"{where}: selects something", found, text)
    for selector in found:
        known = metrics.get(selector.name)
        if selector.name == "up":
            continue
        check(f"{where}: {selector.name} is a metric", known is not None, text)
        for matcher in selector.matchers.matchers:
            check(f"{where}: {selector.name} has the label {matcher.name}", matcher.name in (known or set()) | TARGET, text)
        labels |= known or set()
        if selector.name.endswith("_total"):
            check(f"{where}: of a counter the increase", re.search(rf"(rate|increase)\({selector.name}", text), text)
    return labels


def test_alerts(metrics):
    rules = [r for g in yaml.safe_load(read("dashboard", "alerts.yml"))["groups"] for r in g["rules"]]
    check("names once", len({r["alert"] for r in rules}) == len(rules) > 10)
    for rule in rules:
        name = rule["alert"]
        check(f"{name}: nothing unknown", set(rule) <= {"alert", "expr", "for", "labels", "annotations"} and re.fullmatch("Weir[A-Za-z]+", name), str(set(rule)))
        check(f"{name}: how bad, and what to do", rule["labels"]["severity"] in ("warning", "critical") and rule["annotations"]["summary"] and
              rule["annotations"]["action"])
        check(f"{name}: for how long", re.fullmatch("[0-9]+[smhd]", rule.get("for", "1m")))
        labels = check_expression(name, rule["expr"], metrics)
        used = set(re.findall(r"\$labels\.([a-z_]+)", str(rule["annotations"])))
        check(f"{name}: labels that it tells", used <= labels, str(used - labels))
        check(f"{name}: templates are whole", "{{" not in re.sub(r"\{\{ \$labels\.[a-z_]+ \}\}", "", str(rule["annotations"])))


def test_dashboard(metrics):
    board = json.loads(read("dashboard", "grafana.json"))
    variables = {v["name"] for v in board["templating"]["list"]}
    taken = set()
    for panel in board["panels"]:
        title, grid = panel["title"], panel["gridPos"]
        cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])}
        check(f"{title}: has a place of its own", not cells & taken and grid["x"] + grid["w"] <= 24)
        taken |= cells
        check(f"{title}: kind and source", panel["type"] in ("stat", "timeseries") and panel["datasource"]["uid"] == "${datasource}")
        check(f"{title}: targets apart", len({t["refId"] for t in panel["targets"]}) == len(panel["targets"]) > 0)
        for target in panel["targets"]:
            labels = check_expression(title, target["expr"], metrics)
            used = set(re.findall(r"\{\{([a-z_]+)\}\}", target["legendFormat"]))
            check(f"{title}: labels of its legend", used <= labels, str(used - labels))
            check(f"{title}: variables", set(re.findall(r"\$([a-z]+)", target["expr"])) <= variables)
    check("panels' ids once", len({p["id"] for p in board["panels"]}) == len(board["panels"]))
    asked = re.search(r"label_values\((\w+), (\w+)\)", board["templating"]["list"][1]["query"]["query"])
    check("agents are found by a metric", asked and asked[1] in metrics)


# What this agent has no reason to show: each has its test elsewhere.
RARE = {"weir_uplink_counted_total": {"uplink", "counter"}, "weir_stream_dropped_by_rule_events_total": {"stream", "reason"}, "weir_uplink_stream_standing": {"uplink", "stream"},
        "weir_flash_life_seconds": set()}
metrics = scraped()
rows = set(re.findall(r"^\| `(weir_\w+)`", read("STATUS.md"), re.M))
check("each metric has its row in STATUS.md, and no other has", rows == set(metrics) | set(RARE), str(rows ^ (set(metrics) | set(RARE))))
metrics = {**RARE, **metrics}
test_alerts(metrics)
test_dashboard(metrics)
finish()
