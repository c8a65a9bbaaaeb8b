"""Real lines, the schemas for them, and what a reader has to make of each line."""
import datetime
import decimal
import json
import os
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(os.path.dirname(HERE), "data")
EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "config", "examples")
UTC = datetime.timezone.utc


def identity(value):
    """Tells events apart: their values, whatever the order of fields."""
    return repr([(name, sorted(v.items()) if isinstance(v, dict) else v) for name, v in sorted(value.items())])


def timestamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


class Stream:
    """lines: what is posted, text by text; expected(): the datum of a line."""

    def __init__(self, schema, key, lines, convert):
        self.schema, self.key, self.texts, self.convert = schema, key, lines, convert
        self.spare = []

    @property
    def lines(self):
        return self.texts

    def more(self, count):
        """As many of the spare lines, which belong to the stream from now on."""
        some, self.spare = self.spare[:count], self.spare[count:]
        assert len(some) == count
        self.texts = self.texts + some
        return some

    def key_of(self, text):
        return json.loads(text)[self.key]

    def expected(self, text):
        return self.convert(json.loads(text))


def read_lines(name):
    with open(os.path.join(DATA, name + ".ndjson"), encoding="utf-8") as f:
        return f.readlines()


def with_time(value):
    return {**value, "ts": timestamp(value["ts"])}


# --- nested reports with parts that may be absent: the schema comes from the lines ---

def type_of(values, name):
    values = [v for v in values if v is not None]
    first = values[0]
    if isinstance(first, bool):
        return "boolean"
    if isinstance(first, (int, float)):
        return "double" if any(isinstance(v, float) for v in values) else "long"
    if isinstance(first, str):
        return "string"
    if isinstance(first, list):
        return {"type": "array", "items": type_of([x for v in values for x in v], name + "_item")}
    return record_of(values, name)


def record_of(objects, name):
    fields = []
    for field in dict.fromkeys(k for o in objects for k in o):
        kind = type_of([o[field] for o in objects if field in o], f"{name}_{field}")
        always = all(field in o for o in objects)
        fields.append({"name": field, "type": kind} if always else {"name": field, "type": ["null", kind], "default": None})
    return {"type": "record", "name": name, "fields": fields}


def filled(value, schema):
    """The datum: absent fields are null."""
    if isinstance(schema, list):
        return None if value is None else filled(value, schema[1])
    if isinstance(schema, dict) and schema["type"] == "array":
        return [filled(v, schema["items"]) for v in value]
    if isinstance(schema, dict) and schema["type"] == "record":
        return {f["name"]: filled(value.get(f["name"]), f["type"]) for f in schema["fields"]}
    return value


# --- logical types: the meter's lines, written in all of them ---

def decimal_type(precision, scale, size=None):
    kind = {"type": "bytes"} if size is None else {"type": "fixed", "name": f"Fixed{size}", "size": size}
    return {**kind, "logicalType": "decimal", "precision": precision, "scale": scale}


def logical(kind, name):
    return {"type": kind, "logicalType": name}


TYPED = {"type": "record", "name": "Typed", "namespace": "weir.readers", "fields": [
    {"name": "place", "type": "string"}, {"name": "id", "type": logical("string", "uuid")},
    {"name": "millis", "type": logical("long", "timestamp-millis")}, {"name": "micros", "type": logical("long", "timestamp-micros")},
    {"name": "day", "type": logical("int", "date")}, {"name": "clock", "type": logical("int", "time-millis")},
    {"name": "fine_clock", "type": logical("long", "time-micros")},
    {"name": "power", "type": decimal_type(12, 3)}, {"name": "voltage", "type": decimal_type(18, 6, 8)},
    {"name": "total", "type": decimal_type(38, 10)}, {"name": "phase", "type": {"type": "enum", "name": "Phase", "symbols": ["L1", "L2", "L3"]}},
    {"name": "registers", "type": {"type": "map", "values": "long"}}, {"name": "note", "type": ["null", "string"], "default": None}]}


def typed_line(number, line):
    """Numbers are put in as text, so that no float stands between the line and the decimal."""
    at = timestamp(line["ts"]) + datetime.timedelta(microseconds=number * 1001)
    place = ["Zähler", "Счётчик", "計器", "meter"][number % 4] + f" {number % 97}"
    big = f"{'-' if number % 2 else ''}{12345678901234567 + number}{number:06d}.{number % 10**9:09d}1"
    value = {"place": place, "id": str(uuid.UUID(int=(number + 1) * 0x9e3779b97f4a7c15f39cc0605cedc835 % 2**128)),
             "millis": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "micros": at.isoformat(timespec="microseconds"),
             "day": at.date().isoformat(), "clock": at.time().isoformat(timespec="milliseconds"),
             "fine_clock": at.time().isoformat(timespec="microseconds"), "phase": f"L{number % 3 + 1}",
             "registers": {k: line[k] for k in ("e_wh", "e1_wh", "e2_wh", "e3_wh")}}
    if number % 5 == 0:
        value["note"] = "Straße \"7\"\t\u0001"
    text = json.dumps(value, ensure_ascii=number % 2 == 0)
    return text[:-1] + f', "power": {line["p_kw"]}, "voltage": {line["u_v"]}, "total": {big}}}\n'


def to_scale(number, scale):
    """With that many digits behind the point, as a reader gives it; none of the line's may be lost."""
    with decimal.localcontext(decimal.Context(prec=60, traps=[decimal.Inexact])):
        return decimal.Decimal(number).quantize(decimal.Decimal(1).scaleb(-scale))


def typed_datum(text):
    value = json.loads(text, parse_float=decimal.Decimal)
    times = {"millis": timestamp(value["millis"]), "micros": timestamp(value["micros"]), "day": datetime.date.fromisoformat(value["day"]),
             "clock": datetime.time.fromisoformat(value["clock"]), "fine_clock": datetime.time.fromisoformat(value["fine_clock"])}
    return {**value, **times, "id": uuid.UUID(value["id"]), "note": value.get("note"),
            **{name: to_scale(value[name], scale) for name, scale in (("power", 3), ("voltage", 6), ("total", 10))}}


class TypedStream(Stream):
    def expected(self, text):
        return typed_datum(text)


def stream(name, count=1000):
    if name in ("energy", "buttons"):
        file = {"energy": "energy_meter", "buttons": "button_events"}[name]
        with open(os.path.join(EXAMPLES, file + ".avsc")) as f:
            schema = json.load(f)
        lines = read_lines(file)
        result = Stream(schema, {"energy": "meter", "buttons": "device"}[name], lines[:count], with_time)
        result.spare = lines[count:]
    elif name == "gnss":
        lines = read_lines("gnss_json")
        schema = record_of([json.loads(line) for line in lines], "Report")
        result = Stream(schema, "device", lines, lambda value: filled(value, schema))
    else:
        lines = [typed_line(n, json.loads(line)) for n, line in enumerate(read_lines("energy_meter")[:count + 500])]
        result = TypedStream(TYPED, "place", lines[:count], None)
        result.spare = lines[count:]
    return result


REFUSED = Stream({"type": "record", "name": "Refused", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": "string"}]}, None, [], None)
# What the registry has under that subject already: data of it cannot be read with the schema above.
OTHER_REFUSED = {"type": "record", "name": "Refused", "fields": [{"name": "n", "type": "string"}]}
