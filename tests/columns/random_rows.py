"""Random row schemas, and rows as devices send them: clocks, counters, walks, few values, noise, log lines, series of several devices.

    schema, rows = make(random.Random(seed))     rows in Avro's JSON encoding"""
import struct

WORDS = ["north", "south", "pump-1", "pump-2", "", "\u00fcber", "\u6e29\u5ea6", "\U0001f600", "a b", "x\u0001y", "0", "007", "-5", "line\nbreak", "\u2028"]
LINES = ["accepted connection from 10.0.{}.{} port {}", "cpu {}: {} C", "{}", "sensor {} lost", "read {} of {} bytes in {} ms", "no numbers here",
         "v{}.{}.{}-rc{}", "{}{}", "x{:03d}", "took {}.{:02d} s", "{}% full"]
LOGICAL = [("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"), ("long", "timestamp-micros"),
           ("long", "timestamp-nanos"), ("long", "local-timestamp-millis")]
LOW, HIGH = -2**63, 2**63 - 1


def wrap(v):
    return (v + 2**63) % 2**64 - 2**63


def single(v):
    try:
        return struct.unpack("<f", struct.pack("<f", v))[0]
    except OverflowError:
        return float("inf") if v > 0 else float("-inf")


class Series:
    """One place of the schema through the rows: calling it gives the next value. `host`: which device the row is of."""

    def __init__(self, chance, next_):
        self.chance, self.next = chance, next_
        self.state = {}

    def __call__(self, host):
        return self.next(host)


class Maker:
    def __init__(self, chance):
        self.chance, self.names = chance, 0

    def name(self):
        self.names += 1
        space = self.chance.choice(["r.", "s.t."])
        return f"{space}N{self.names}"

    # --- types, each with how its values come ---

    def record(self, depth):
        c = self.chance
        fields, makers = [], []
        for i in range(c.randint(1, 8) if depth == 0 else c.randint(0, 3)):
            type_, make, known = self.type(depth + 1)
            fields.append({"name": f"f{i}", "type": type_, **({"weir.values": known} if known else {})})
            makers.append((f"f{i}", make))
        return {"type": "record", "name": self.name(), "fields": fields}, lambda host: {n: m(host) for n, m in makers}

    def type(self, depth):
        c = self.chance
        kind = c.choices(["body", "int", "long", "double", "float", "string", "bytes", "boolean", "enum", "fixed", "decimal", "null", "optional", "union",
                          "record", "array", "map"],
                         [8, 10, 18, 18, 5, 18, 4, 4, 5, 3, 6, 1] + ([12, 5, 5, 5, 4] if depth < 4 else [0] * 5))[0]
        if kind in ("optional", "union", "record", "array", "map"):
            return getattr(self, "of_" + kind)(depth)
        made = getattr(self, "of_" + kind)()
        return made if len(made) == 3 else (*made, None)

    def of_record(self, depth):
        return (*self.record(depth), None)

    def of_optional(self, depth):
        c = self.chance
        type_, make, known = self.type(depth + 1)
        if isinstance(type_, list) or type_ == "null":
            return type_, make, known
        name, often = branch(type_), c.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        order = c.choice([["null", type_], ["null", type_], [type_, "null"]])
        return order, lambda host: {name: make(host)} if c.random() < often else None, known

    def of_union(self, depth):
        c = self.chance
        parts = {}
        for _ in range(c.randint(1, 4)):
            type_, make, _ = self.type(depth + 1)
            if not isinstance(type_, list):
                parts.setdefault(branch(type_), (type_, make))
        order = list(parts)
        if not order:
            return "null", lambda host: None, None

        def next_(host):
            name = c.choice(order)
            value = parts[name][1](host)
            return None if name == "null" else {name: value}
        return [parts[n][0] for n in order], next_, None

    def of_array(self, depth):
        c = self.chance
        type_, make, known = self.type(depth + 1)
        sizes = c.choice([[0], [1], [2], [0, 0, 1], [0, 1, 2, 5], [3, 3, 3, 4]])
        return {"type": "array", "items": type_, **({"weir.values": known} if known else {})}, \
            lambda host: [make(host) for _ in range(c.choice(sizes))], None

    def of_map(self, depth):
        c = self.chance
        type_, make, known = self.type(depth + 1)
        keys = c.sample(WORDS, 4)
        more = {"weir.values": known} if known else {}
        if c.random() < 0.4:
            more["weir.keys"] = c.sample(keys, 2)
        return {"type": "map", "values": type_, **more}, lambda host: {k: make(host) for k in c.sample(keys, c.choice([0, 1, 2, 2, 3]))}, None

    # --- integers ---

    def whole(self, low, high):
        c = self.chance
        clamp = lambda v: v if low <= v <= high else low + (v - low) % (high - low + 1)
        state = {}
        start, step = c.choice([0, 5, -7, 10**6, low // 2, high - 3]), c.choice([1, 1, 2, 1000, -3, 60_000])
        few = [clamp(c.randint(-2**c.choice([3, 20, 40]), 2**c.choice([3, 20, 40]))) for _ in range(c.randint(1, 6))]

        def walk(host, by):
            state[host] = clamp(state.get(host, start + 1000 * (host or 0)) + by)
            return state[host]
        return c.choice([
            lambda host: clamp(start), lambda host: walk(0, step), lambda host: walk(host, step), lambda host: walk(host, c.randint(-3, 3)),
            lambda host: walk(0, step + c.choice([0, 0, 0, 1])), lambda host: c.choice(few), lambda host: clamp(c.randint(low, high)),
            lambda host: c.choice([low, high, 0, -1, 1]), lambda host: clamp(100 * c.randint(0, 50)), lambda host: clamp(c.getrandbits(c.choice([1, 9, 30]))),
            lambda host: walk(0, 7 * c.randint(0, 9)), lambda host: clamp(few[host % len(few)])])

    def of_int(self):
        return self.logical("int"), self.whole(-2**31, 2**31 - 1)

    def of_long(self):
        return self.logical("long"), self.whole(LOW, HIGH)

    def logical(self, base):
        fitting = [n for b, n in LOGICAL if b == base]
        return {"type": base, "logicalType": self.chance.choice(fitting)} if self.chance.random() < 0.3 else base

    def of_boolean(self):
        often = self.chance.choice([0.0, 0.05, 0.5, 1.0])
        return "boolean", lambda host: self.chance.random() < often

    def of_enum(self):
        symbols = [f"S{i}" for i in range(self.chance.randint(1, 5))]
        return {"type": "enum", "name": self.name(), "symbols": symbols}, lambda host: self.chance.choice(symbols)

    # --- numbers ---

    def reals(self):
        c = self.chance
        scale, walk = c.choice([0, 1, 2, 3, 6, 9, 15]), self.whole(-10**9, 10**9)
        decimal = lambda host: walk(host) / 10**scale
        odd = [float("nan"), float("inf"), float("-inf"), -0.0, 0.0, 5e-324, 1.7976931348623157e308, 2.0**53, 2.0**53 + 2, -2.0**53 + 1, 0.1 + 0.2]
        return c.choice([decimal, decimal, decimal, lambda host: single(decimal(host)), lambda host: decimal(host) * 1.1,
                         lambda host: c.choice(odd), lambda host: c.choice(odd) if c.random() < 0.1 else decimal(host),
                         lambda host: struct.unpack("<d", c.randbytes(8))[0], lambda host: c.gauss(20, 3), lambda host: 21.5,
                         lambda host: sum([0.1] * c.randint(1, 9))])

    def of_double(self):
        make = self.reals()
        return "double", lambda host: text_of(make(host))

    def of_float(self):
        make = self.reals()
        return "float", lambda host: text_of(single(make(host)))

    # --- text and bytes ---

    def of_string(self):
        c = self.chance
        few = c.sample(WORDS, c.randint(1, 5))
        lines = c.sample(LINES, c.randint(1, 4))
        known = None if c.random() < 0.6 else c.sample(few, min(2, len(few))) + [lines[0].replace("{}", "\u0001")]
        big = c.choice([9, 1000, 10**6])

        def line(host):
            return c.choice(lines).replace("{:03d}", "{}").replace("{:02d}", "{}").format(*(c.randrange(big) for _ in range(4)))
        make = c.choice([lambda host: c.choice(few), lambda host: few[host % len(few)], lambda host: few[0], line, line,
                         lambda host: c.choice(few) + str(c.randrange(big)), lambda host: f"{c.getrandbits(64):016x}", lambda host: "".join(
                             chr(c.choice([65, 0x30, 0xE9, 0x4E00, 0x1F600, 10, 1])) for _ in range(c.randrange(6)))])
        return "string", make, known

    def of_body(self):
        make = Bodies(self.chance).make()
        return ("string", make) if self.chance.random() < 0.5 else ("bytes", lambda host: make(host).encode().decode("latin-1"))

    def of_bytes(self):
        c = self.chance
        few = [c.randbytes(c.randrange(9)) for _ in range(3)]
        return "bytes", c.choice([lambda host: c.choice(few).decode("latin-1"), lambda host: c.randbytes(c.randrange(6)).decode("latin-1")])

    def of_fixed(self):
        c = self.chance
        size = c.choice([0, 1, 3, 12, 16])
        more = {12: {"logicalType": "duration"}, 16: {"logicalType": "uuid"}}.get(size, {}) if c.random() < 0.5 else {}
        few = [c.randbytes(size) for _ in range(3)]
        return {"type": "fixed", "name": self.name(), "size": size, **more}, c.choice([
            lambda host: c.choice(few).decode("latin-1"), lambda host: c.randbytes(size).decode("latin-1")])

    def of_decimal(self):
        c = self.chance
        walk = self.whole(LOW, HIGH)
        factor = c.choice([1, 1, 1, 10**15])
        size = c.choice([None, None, 8, 16])
        decimal = {"logicalType": "decimal", "precision": 18, "scale": c.choice([0, 2])}
        if size is not None:
            limit = 2**(8 * size - 1)
            return {"type": "fixed", "name": self.name(), "size": size, **decimal}, \
                lambda host: ((walk(host) * factor + limit) % (2 * limit) - limit).to_bytes(size, "big", signed=True).decode("latin-1")
        pad = c.choice([0, 0, 0, 1])

        def next_(host):
            v = walk(host) * factor
            return v.to_bytes((v if v >= 0 else ~v).bit_length() // 8 + 1 + pad, "big", signed=True).decode("latin-1")
        return {"type": "bytes", **decimal, "precision": 50}, next_

    def of_null(self):
        return "null", lambda host: None


class Bodies:
    """Messages as devices print them: JSON of a few shapes, compact or with blanks, some of it odd, some of it none."""

    ODD = ["", "{", "[", "]", "}", '{"a":', '{"a" 1}', "[1,]", "[,]", "[ ]", "[[]", '"', "{\u0001}", "[\u0004]", "-", "{}", '{"\u0003T0":1}', "null", "12a", "007", "-0",
           '{"a":"x\\"y"}', '["a"b]', '{"a":"b"1}', '{"\u00fc":"\u6e29\U0001f600"}', "[" * 70, "[" * 9 + "1" + "]" * 9, '{"a":1}\n', " {}", '{"t":"2024-02-30T00:00:00Z"}']

    def __init__(self, chance):
        self.chance, self.clock = chance, {}

    def make(self):
        c = self.chance
        comma, colon = c.choice([(",", ":"), (", ", ": "), (" ,\n ", ":")])
        messages = [self.value(0, comma, colon) if c.random() < 0.8 else self.leaf() for _ in range(c.choice([1, 1, 2, 3, 6]))]
        odd = c.choice([0, 0, 0, 0.1, 0.6])
        return lambda host: c.choice(self.ODD) if c.random() < odd else messages[(host or 0) % len(messages)](host)

    def value(self, depth, comma, colon):
        c = self.chance
        if depth > 5 or depth > 0 and c.random() < 0.7:
            return self.leaf()
        if c.random() < 0.3:
            item, sizes = self.value(depth + 1, comma, colon), c.choice([[0], [1], [0, 1, 3], [2], [5, 4]])
            return lambda host: "[" + comma.join(item(host) for _ in range(c.choice(sizes))) + "]"
        members = [(f'"{c.choice(WORDS[:4])}{i}"{colon}', self.value(depth + 1, comma, colon), c.choice([1, 1, 1, 0.7])) for i in range(c.randint(0, 6))]
        return lambda host: "{" + comma.join(key + make(host) for key, make, often in members if c.random() < often) + "}"

    def leaf(self):
        c = self.chance
        digits, few = c.choice([0, 0, 1, 2, 7, 17]), [f'"{w}"' for w in c.sample(["on", "off", "", "r\u00e9", "a b", "x,y", "]", "a\\\\", '\\"'], 3)]
        start = c.choice([0, 20, -300, 10**6])
        between, fraction, zone = c.choice("T  T"), c.choice([0, 0, 3, 6, 9]), c.choice(["Z", "", "+01:00"])

        def number(host):
            return start + c.gauss(0, 3) * (1 + (host or 0))

        def time(host):
            self.clock[host] = self.clock.get(host, c.choice([0, 1700000000, -62167219200, 253402300000, -1])) + c.choice([1, 60])
            day, second = divmod(self.clock[host], 86400)
            return f'"{date_of(day)}{between}{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}{"." + str(c.randrange(10**fraction)).zfill(fraction) if fraction else ""}{zone}"'
        return c.choice([lambda host: f"{number(host):.{digits}f}", lambda host: repr(round(number(host), digits)), lambda host: f"{number(host):g}",
                         lambda host: str(c.randrange(-5, 300)), lambda host: c.choice(few), lambda host: few[(host or 0) % 3], lambda host: c.choice(["true", "false", "null"]),
                         lambda host: str(c.getrandbits(c.choice([8, 60, 63, 64, 80]))), lambda host: c.choice(["1e5", "-0.0", "NaN", "1.50", "0.0", "0", "-7.00"]), time,
                         lambda host: f'"{c.choice(LINES).replace("{:03d}", "{}").replace("{:02d}", "{}").format(*(c.randrange(99) for _ in range(4)))}"'])


def date_of(day):
    """Of the calendar of Gregory, any year from 0."""
    year = 0
    day += 719528
    while True:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day >= 146097:
            year, day = year + 400 * (day // 146097), day % 146097
        elif day >= 365 + leap:
            year, day = year + 1, day - 365 - leap
        else:
            break
    months = [31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    month = 0
    while day >= months[month]:
        day -= months[month]
        month += 1
    return f"{year:04}-{month + 1:02}-{day + 1:02}"


def branch(type_):
    return type_ if isinstance(type_, str) else type_.get("name", type_["type"])


def text_of(v):
    """As Avro's JSON encoding has numbers that JSON has not."""
    return v if v == v and abs(v) != float("inf") else "NaN" if v != v else "Infinity" if v > 0 else "-Infinity"


def recursive(chance):
    schema = {"type": "record", "name": "Node", "fields": [{"name": "v", "type": "long"}, {"name": "next", "type": ["null", "Node"]}]}

    def node(depth):
        return {"v": chance.randrange(1000), "next": {"Node": node(depth + 1)} if depth < 5 and chance.random() < 0.5 else None}
    return schema, lambda host: node(0)


def make(chance):
    schema, next_ = recursive(chance) if chance.random() < 0.02 else Maker(chance).record(0)
    count = chance.choice([1, 2, 3, 7, 10, 15, 16, 17, 30, 60, chance.randint(1, 200)])
    hosts = chance.randint(1, 5)
    inexact = chance.random() < 0.5
    return schema, [next_(chance.randrange(hosts) if inexact else i % hosts) for i in range(count)]
