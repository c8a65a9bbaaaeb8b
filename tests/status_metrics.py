"""A strict reader of Prometheus' text format 0.0.4: what it does not take raises. Beyond the format it holds to the naming rules: counters end
in _total, units are base units, and each metric has HELP and TYPE, once, before its samples, which stand together."""
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?)")
# No milliseconds, kilobytes, percent: https://prometheus.io/docs/practices/naming/
FORBIDDEN = re.compile(r"_(ms|us|milliseconds|microseconds|minutes|hours|days|years|kb|mb|kib|mib|percent|bits)(_|$)")


class Metric:
    def __init__(self, name, text):
        self.name, self.help, self.kind, self.samples = name, text, None, {}


def unescape(text):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), text)


def labels_of(text, line):
    labels, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m or m[1] in labels or m[1].startswith("__"):
            raise ValueError(f"labels: {line}")
        labels[m[1]] = unescape(m[2])
        at = m.end()
        if at < len(text):
            if text[at] != ",":
                raise ValueError(f"labels: {line}")
            at += 1
    return labels


def parse(text):
    """Names to Metric; its samples are {(("label", "value"), ...): number}."""
    if not text.endswith("\n"):
        raise ValueError("the last line has no end")
    metrics, current = {}, None
    for line in text[:-1].split("\n"):
        words = line.split(" ", 3)
        if words[:2] == ["#", "HELP"]:
            if words[2] in metrics or not NAME.fullmatch(words[2]) or len(words) < 4:
                raise ValueError(f"HELP: {line}")
            current = metrics[words[2]] = Metric(words[2], words[3])
        elif words[:2] == ["#", "TYPE"]:
            if not current or words[2] != current.name or current.kind or current.samples or words[3] not in ("counter", "gauge"):
                raise ValueError(f"TYPE: {line}")
            current.kind = words[3]
            if (current.kind == "counter") != current.name.endswith("_total") or FORBIDDEN.search(current.name):
                raise ValueError(f"name: {line}")
        else:
            m = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line)
            if not m or not current or m[1] != current.name or not current.kind or not NUMBER.fullmatch(m[3]):
                raise ValueError(f"sample: {line}")
            key = tuple(sorted(labels_of(m[2], line).items())) if m[2] is not None else ()
            if key in current.samples:
                raise ValueError(f"twice: {line}")
            current.samples[key] = float(m[3])
    if not all(m.samples for m in metrics.values()):
        raise ValueError("a metric without a sample")
    return metrics
