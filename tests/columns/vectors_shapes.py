"""Vectors of texts that are put together from shapes: those that decode, and for each rule at least one that breaks it."""
NUMBER, TEXT, TIME, LIST = "\1", "\2", "\3", "\4"
LOW, HIGH = -2**63, 2**63 - 1
DAY = 86400


def shapes(t, entries, indices, write=None):
    """A string column of shapes; write puts their columns."""
    t.long(3)
    t.integers(indices)
    t.strings += entries
    if write:
        write()


def same(t, text, n):
    """A string column of one new text."""
    t.long(-1)
    t.strings.append(text)


def printed(t, mode, values, **how):
    t.long(mode)
    t.integers(values, **how)


def good(m):
    for part in (good_numbers, good_times, good_texts, good_lists, good_tables, good_keys, good_bytes):
        part(m)


def one(m, name, texts, entries, indices, write):
    m.columns("shape-" + name, {"v": ("string", texts)}, lambda t: shapes(t, entries, indices, lambda: write(t)))


def good_numbers(m):
    for name, mode, values, texts in (
            ("integers", 0, [0, -1, 42, LOW, HIGH], ["0", "-1", "42", "-9223372036854775808", "9223372036854775807"]),
            ("fixed", 2, [2340, 0, -5, 100, -12345], ["23.40", "0.00", "-0.05", "1.00", "-123.45"]),
            ("fixed-one", 1, [7, -7, 10], ["0.7", "-0.7", "1.0"]),
            ("fixed-eighteen", 18, [1, LOW, HIGH, 0], ["0.000000000000000001", "-9.223372036854775808", "9.223372036854775807", "0.000000000000000000"]),
            ("point", 2 + 32, [2300, 536, -5, 0, 10, 101000], ["23.0", "5.36", "-0.05", "0.0", "0.1", "1010.0"]),
            ("point-one", 1 + 32, [0, 10, 5], ["0.0", "1.0", "0.5"]),
            ("point-eighteen", 18 + 32, [10**18, LOW, -10], ["1.0", "-9.223372036854775808", "-0.00000000000000001"]),
            ("bare", 2 + 64, [2300, 536, -5, 0, 10, -100, 101000], ["23", "5.36", "-0.05", "0", "0.1", "-1", "1010"]),
            ("bare-eighteen", 18 + 64, [10**18, 5 * 10**18, LOW], ["1", "5", "-9.223372036854775808"])):
        one(m, "number-" + name, [f'{{"a": {t} }}' for t in texts], [f'{{"a": {NUMBER} }}'], [0] * len(texts), lambda t: printed(t, mode, values))
    one(m, "number-texts", ["[1e5]", "[7]", "[-0]"], [f"[{NUMBER}]"], [0] * 3, lambda t: (t.long(-1, 2), t.strings.extend(["1e5", "7", "-0"])))
    one(m, "number-texts-same", ["x1"] * 3, ["x" + NUMBER], [0] * 3, lambda t: (t.long(-1), same(t, "1", 3)))
    one(m, "number-only", ["1", "2", "3"], [NUMBER], [0] * 3, lambda t: printed(t, 0, [1, 2, 3], order=1))
    one(m, "number-many", ["1/2.0/3"] * 2, [f"{NUMBER}/{NUMBER}/{NUMBER}"], [0] * 2, lambda t: (
        printed(t, 0, [1, 1]), printed(t, 33, [20, 20]), printed(t, 65, [30, 30])))


def good_times(m):
    def times(name, mark, values, texts):
        one(m, "time-" + name, [f'"{t}"' for t in texts], [f'"{TIME}{mark}"'], [0] * len(texts), lambda t: t.integers(values))

    times("seconds", "T0", [0, -1, 951782400, 951868800, -2203891201, 4107542399, 4107542400, 1714564800],
          ["1970-01-01T00:00:00", "1969-12-31T23:59:59", "2000-02-29T00:00:00", "2000-03-01T00:00:00", "1900-02-28T23:59:59", "2100-02-28T23:59:59",
           "2100-03-01T00:00:00", "2024-05-01T12:00:00"])
    times("ends", "T0Z", [-719528 * DAY, 2932897 * DAY - 1, -719469 * DAY, -719468 * DAY],
          ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0000-02-29T00:00:00Z", "0000-03-01T00:00:00Z"])
    times("milliseconds", " 3+01:00", [1714564800250, -1, 0, 86399999], [
        "2024-05-01 12:00:00.250+01:00", "1969-12-31 23:59:59.999+01:00", "1970-01-01 00:00:00.000+01:00", "1970-01-01 23:59:59.999+01:00"])
    times("nanoseconds", "T9", [1, HIGH, LOW], ["1970-01-01T00:00:00.000000001", "2262-04-11T23:47:16.854775807", "1677-09-21T00:12:43.145224192"])
    for digits in range(1, 9):
        times(f"fraction-{digits}", f"T{digits}", [5, -5], [f"1970-01-01T00:00:00.{'5'.zfill(digits)}", f"1969-12-31T23:59:59.{10**digits - 5:0{digits}}"])
    one(m, "time-twice", ["1970-01-01T00:00:01 1970-01-01 00:00:02.7"] * 2, [f"{TIME}T0 {TIME} 1"], [0] * 2, lambda t: (
        t.constant(1), t.constant(27)))


def good_texts(m):
    texts = ["on", "off", "on"]
    bodies = [f'{{"s":"{t}"}}' for t in texts]
    entry = f'{{"s":"{TEXT}"}}'
    one(m, "text-indices", bodies, [entry], [0] * 3, lambda t: (t.long(0), t.integers([0, 1, 0]), t.strings.extend(["on", "off"])))
    one(m, "text-new", bodies, [entry], [0] * 3, lambda t: (t.long(2), t.strings.extend(texts)))
    one(m, "text-same", ['{"s":"\u00fc"}'] * 3, [entry], [0] * 3, lambda t: same(t, "\u00fc", 3))
    one(m, "text-templates", ["a 1", "a 2", "a 3"], [TEXT], [0] * 3, lambda t: (
        t.long(1), t.integers([0] * 3), t.strings.append("a \1"), t.integers([1, 2, 3])))
    one(m, "text-shapes", ["a<1>", "a<2>", "a-"], [f"a{TEXT}"], [0] * 3, lambda t: (
        shapes(t, [f"<{NUMBER}>", "-"], [0, 0, 1]), printed(t, 0, [1, 2])))
    one(m, "text-empty", ["", "", "x"], [TEXT], [0] * 3, lambda t: (t.long(0), t.integers([0, 0, 1]), t.strings.extend(["", "x"])))
    one(m, "text-with-marks", ["\1\2", "\3\4"], [TEXT], [0] * 2, lambda t: (t.long(2), t.strings.extend(["\1\2", "\3\4"])))
    one(m, "without-marks", ["x", "y", "x"], ["x", "y"], [0, 1, 0], lambda t: None)
    one(m, "empty", ["", ""], [""], [0, 0], lambda t: None)
    one(m, "order-of-use", ["b1", "a2", "b3", "c", "a4"], ["a" + NUMBER, "b" + NUMBER, "c"], [1, 0, 1, 2, 0], lambda t: (
        printed(t, 0, [1, 3]), printed(t, 0, [2, 4])))
    one(m, "not-used", ["b1", "b3"], ["a" + NUMBER, "b" + NUMBER], [1, 1], lambda t: printed(t, 0, [1, 3]))
    one(m, "mixed", ['{"a":1}', "none", '{"a":2.5}', "[3]"], [f'{{"a":{NUMBER}}}', TEXT, f"[{LIST}]"], [0, 1, 0, 2], lambda t: (
        printed(t, 65, [10, 25]), same(t, "none", 1), t.constant(1), same(t, "3", 1)))
    known = ("string", {"weir.values": ["a" + NUMBER, "k"]})
    m.columns("shape-known", {"v": (known, ["a1", "k", "b2"])}, lambda t: shapes(t, ["b" + NUMBER], [0, 1, 2], lambda: (
        printed(t, 0, [1]), printed(t, 0, [2]))))


def good_lists(m):
    bodies = ["[]", "[1]", "[1,2,3]", "[-4,5]"]
    one(m, "list-numbers", bodies, [f"[{LIST}]"], [0] * 4, lambda t: (
        t.integers([0, 1, 3, 2]), shapes(t, [NUMBER], [0] * 6), printed(t, 0, [1, 1, 2, 3, -4, 5])))
    one(m, "list-texts", ["a", "b, c", ""], [LIST], [0] * 3, lambda t: (t.integers([1, 2, 0]), t.long(2), t.strings.extend(["a", "b", " c"])))
    one(m, "list-empty-items", [",", ",,", ""], [LIST], [0] * 3, lambda t: (t.integers([2, 3, 1]), same(t, "", 6)))
    one(m, "list-none", ["[]", "[]"], [f"[{LIST}]"], [0] * 2, lambda t: t.constant(0))
    one(m, "list-of-lists", ["[[1],[2,3]]", "[[]]"], [f"[{LIST}]"], [0] * 2, lambda t: (
        t.integers([2, 1]), shapes(t, [f"[{LIST}]"], [0] * 3), t.integers([1, 2, 0]), t.long(2), t.strings.extend("123")))
    deep = ["[[[1]]]", "[[[2,3]]]"]
    one(m, "nested-four", deep, [f"[{LIST}]"], [0] * 2, lambda t: (
        t.constant(1), shapes(t, [f"[{LIST}]"], [0] * 2), t.constant(1), shapes(t, [f"[{LIST}]"], [0] * 2), t.integers([1, 2]),
        shapes(t, [NUMBER], [0] * 3), printed(t, 0, [1, 2, 3])))
    one(m, "list-twice", ["[1][a,b]", "[2][]"], [f"[{LIST}][{LIST}]"], [0] * 2, lambda t: (
        t.constant(1), t.long(2), t.strings.extend("12"), t.integers([2, 0]), t.long(2), t.strings.extend("ab")))


def good_tables(m):
    items = {"type": "array", "items": "string"}
    m.columns("shape-in-array", {"v": (items, [["1", "2"], [], ["3"]])}, lambda t: (
        t.integers([2, 0, 1]), shapes(t, [NUMBER], [0] * 3), printed(t, 0, [1, 2, 3])))
    m.columns("shape-of-map-keys", {"v": ({"type": "map", "values": "null"}, [{"k1": None, "k2": None}, {"k3": None}])}, lambda t: (
        t.integers([2, 1]), shapes(t, ["k" + NUMBER], [0] * 3), printed(t, 0, [1, 2, 3])))
    rows = [{"string": "a1"}, None, {"string": "a2"}]
    m.columns("shape-optional", {"v": (["null", "string"], rows)}, lambda t: (
        t.integers([1, 0, 1]), shapes(t, ["a" + NUMBER], [0] * 2), printed(t, 0, [1, 2])))
    m.columns("shape-one-row", {"v": ("string", ["a1"])}, lambda t: (shapes(t, ["a" + NUMBER], [0]), printed(t, 0, [1])))


def good_keys(m):
    """Columns of shapes are numbered on behind those of the schema, here 1 (host), 2 (v) and 3 (after)."""
    hosts, values = ["a", "b", "a", "b", "a"], [10, 100, 11, 99, 12]
    bodies = [f'{{"v":{v}}}' for v in values]
    series = [0, 1, 0, 1, 0]

    def host(t):
        t.long(0)
        t.integers(series)
        t.strings.extend("ab")

    m.columns("shape-key-outside", {"host": ("string", hosts), "v": ("string", bodies), "after": ("int", [5] * 5)}, lambda t: (
        host(t), shapes(t, [f'{{"v":{NUMBER}}}'], [0] * 5), printed(t, 0, values, order=1, key=1, series=series), t.constant(5)))

    def inside(name, entry, texts, write):
        m.columns("shape-key-" + name, {"v": ("string", texts), "after": ("int", [5] * len(texts))}, lambda t: (
            shapes(t, [entry], [0] * len(texts)), write(t), t.constant(5)))

    inside("text", f"{TEXT} {NUMBER}", [f"{h} {v}" for h, v in zip(hosts, values)], lambda t: (
        host(t), printed(t, 0, values, order=1, key=3, series=series)))
    inside("number", f"{NUMBER} {NUMBER}", [f"{s}.5 {v}" for s, v in zip(series, values)], lambda t: (
        printed(t, 1, [10 * s + 5 for s in series]), printed(t, 0, values, order=1, key=3, series=series)))
    inside("number-as-text", f"{NUMBER} {NUMBER}", [f"{s} {v}" for s, v in zip(series, values)], lambda t: (
        t.long(-1, 0), t.integers(series), t.strings.extend("01"), printed(t, 0, values, order=1, key=3, series=series)))
    inside("time", f"{TIME}T0 {TIME}T0", [f"1970-01-01T00:00:0{s} 1970-01-01T00:0{v // 60}:{v % 60:02}" for s, v in zip(series, values)], lambda t: (
        t.integers(series), t.integers(values, order=2, key=3, series=series)))
    inside("lengths", f"[{LIST}] {NUMBER}", [f"[{'x' * s}] {v}" for s, v in zip(series, values)], lambda t: (
        t.integers(series), same(t, "x", 2), printed(t, 0, values, order=1, key=3, series=series)))
    inside("behind-list", f"[{LIST}] {TEXT} {NUMBER}", [f"[] {h} {v}" for h, v in zip(hosts, values)], lambda t: (
        t.constant(0), host(t), printed(t, 0, values, order=1, key=5, series=series)))
    pairs = ["[" + ",".join(f"{h}{v}" for h, v in zip(hosts, values)) + "]"] * 2
    inside("in-items", f"[{LIST}]", pairs, lambda t: (
        t.constant(5), shapes(t, [TEXT + NUMBER], [0] * 10), t.long(0), t.integers(series * 2), t.strings.extend("ab"),
        printed(t, 0, values * 2, order=1, key=5, series=series * 2)))
    # a column of another shape has no value in these rows: all are one series
    m.columns("shape-key-of-other-shape", {"v": ("string", ["x1", "y7", "x2", "y9"])}, lambda t: (
        shapes(t, ["x" + NUMBER, "y" + NUMBER], [0, 1, 0, 1]), printed(t, 0, [1, 2]), printed(t, 0, [7, 9], order=1, key=2, series=[None] * 2)))
    m.columns("shape-key-of-other-column", {"v": ("string", ["x0", "x1", "x0"]), "w": ("string", ["y7", "y1", "y9"])}, lambda t: (
        shapes(t, ["x" + NUMBER], [0] * 3), printed(t, 0, [0, 1, 0]), shapes(t, ["y" + NUMBER], [0] * 3),
        printed(t, 0, [7, 1, 9], order=1, key=3, series=[0, 1, 0])))


def good_bytes(m):
    raw = [b"on", "\u00fc".encode(), b"on"]
    m.columns("bytes-texts", {"v": ("bytes", raw)}, lambda t: (t.long(3, 0), t.integers([0, 1, 0]), t.strings.extend(["on", "\u00fc"])))
    m.columns("bytes-texts-new", {"v": ("bytes", [b"a", b"b"])}, lambda t: (t.long(3, 2), t.strings.extend("ab")))
    m.columns("bytes-texts-same", {"v": ("bytes", [b"a"] * 3)}, lambda t: (t.long(3), same(t, "a", 3)))
    m.columns("bytes-texts-templates", {"v": ("bytes", [b"a1", b"a2"])}, lambda t: (
        t.long(3, 1), t.integers([0, 0]), t.strings.append("a\1"), t.integers([1, 2])))
    m.columns("bytes-texts-shapes", {"v": ("bytes", [b'{"a":1.5}', b'{"a":2.5}'])}, lambda t: (
        t.long(3), shapes(t, [f'{{"a":{NUMBER}}}'], [0, 0]), printed(t, 1, [15, 25])))
    m.columns("bytes-texts-key", {"h": ("bytes", [b"a", b"b", b"a"]), "v": ("long", [3, 9, 4])}, lambda t: (
        t.long(3, 0), t.integers([0, 1, 0]), t.strings.extend("ab"), t.integers([3, 9, 4], order=1, key=1, series=[0, 1, 0])))
    m.columns("bytes-keyed", {"h": ("int", [1, 2, 1, 2]), "v": ("bytes", [b"a", b"b", b"a", b"b"])}, lambda t: (
        t.integers([1, 2, 1, 2]), t.raws([b"a", b"b", b"a", b"b"], order=1, key=1, series=[1, 2, 1, 2])))
    m.columns("bytes-none", {"v": (["null", "bytes"], [None] * 2)}, lambda t: t.constant(0))


# --- bad ---

def bad(m, text, raw, fixed, pair):
    """text, raw, fixed: row types of one string, bytes, fixed; pair: of an int h and a string v."""
    bad_marks(m, text)
    bad_columns(m, text, raw, fixed)
    bad_keys(m, text, pair)
    bad_budgets(m, text)


def bad_marks(m, text):
    for mode in (19, 31, 32, 64, 96 + 2, 128, 128 + 2, -2, 2**40, LOW):
        m.tape("mode", f"printed-{mode}".replace("--", "-minus-"), text, [3, -1, mode, -1, -1], strings=[NUMBER])
    for name, mark in (("alone", ""), ("cut", "T"), ("between", "x0"), ("digit", "Ta"), ("digits-colon", "T:"), ("mark-in-mark", "T\1"), ("small", "t3")):
        m.tape("mark", f"time-{name}", text, [3, -1, -1, -1, -1], strings=["a" + TIME + mark])
    for name, value in (("low", -719528 * DAY - 1), ("high", 2932897 * DAY), ("lowest", LOW), ("highest", HIGH)):
        m.tape("value", f"time-{name}", text, [3, -1, 0, 0, 0, value], strings=[TIME + "T0"])
    m.tape("value", "time-year-ten-thousand", text, [3, -1, 0, 0, 0, 2932897 * DAY * 1000], strings=[TIME + " 3"])


def bad_columns(m, text, raw, fixed):
    m.tape("index", "shape", text, [3, 0, 0, 1, 3], strings=list("abcd"))
    m.tape("index", "shape-negative", text, [3, 0, 0, 1, -1], strings=list("ab"))
    m.tape("truncated", "shape-strings", text, [3, 0, 0, 1, 2], strings=list("ab"))
    m.tape("truncated", "shape-text", text, [3, -1], strings=[TEXT])
    m.tape("truncated", "shape-printed", text, [3, -1, 2], strings=[NUMBER])
    m.tape("truncated", "shape-number", text, [3, -1], strings=[NUMBER])
    m.tape("truncated", "shape-items", text, [3, -1, 0, 1, 0, 0], strings=[LIST])
    m.tape("left-over", "shape-not-used", text, [3, 0, 1, 1, 1, 0, -1], strings=["a" + NUMBER, "b"])
    m.tape("length", "shape-list", text, [3, -1, 0, 1, -1, 0, -1], strings=[LIST, "x"])
    m.tape("mode", "bytes-texts-fixed", fixed, [3, -1], strings=["abc"])
    m.tape("mode", "bytes-texts", raw, [3, 4, -1], strings=["abc"])
    m.tape("truncated", "bytes-texts", raw, [3])
    nested = [3, -1, -3] + [3, -1, -3] * 4 + [-1]
    m.tape("nesting", "shapes", text, nested, strings=[LIST] * 5 + ["x"])
    m.tape("nesting", "shapes-in-texts", text, [3, -1] * 5 + [-1], strings=[TEXT] * 5 + ["x"])
    m.tape("shapes", "columns", text, [3, -1] + [-1] * 32769, count=1, strings=[LIST * 32769])


def bad_keys(m, text, pair):
    """The schema's columns are 1 and, with h, 2: those of shapes begin behind."""
    keyed = lambda key: [64 * (key + 1) + 1, 1, 2, 3]
    m.tape("key", "shape-itself", text, [3, -1, 0] + keyed(2), strings=[NUMBER])
    m.tape("key", "shape-later", text, [3, -1, 0] + keyed(3) + [0, -1], strings=[NUMBER + NUMBER])
    m.tape("key", "shape-beyond", text, [3, -1, 0, 2**62 + 1, 1, 2, 3], strings=[NUMBER])
    m.tape("key", "shapes-as-key", text, [3, -1, 0] + keyed(1), strings=[NUMBER])
    m.tape("key", "shape-templates", text, [3, -1, 1, -1, -1, 0] + keyed(2), strings=[TEXT + NUMBER, "a\1"])
    m.tape("key", "for-shape-indices", pair, [0, 1, 2, 3, 3, 65 + 64, 0, 0, 0], strings=["a"])
    m.tape("key", "shape-items-by-row", pair, [0, 1, 2, 3, 3, -1, 0, 1, 1, 1, 3, -1, 0] + keyed(1), strings=[LIST, NUMBER])
    m.tape("key", "shape-items-by-lengths", text, [3, -1, 0, 1, 1, 1, 3, -1, 0] + keyed(2), strings=[LIST, NUMBER])
    m.tape("key", "shape-row-by-items", text, [3, -1, 0, 1, 1, 1, 0, 0, 0, 1, 2, 0] + keyed(3), strings=[LIST + NUMBER, "a", "b", "c"])
    m.tape("key", "shape-for-later-column", {"type": "record", "name": "Row", "fields": [{"name": "v", "type": "string"}, {"name": "w", "type": "long"}]},
           [3, -1, 0, 0, 1, 2, 3] + keyed(3), strings=[NUMBER])


def bad_budgets(m, text):
    m.tape("budget", "shape-long", text, [3, -1], count=100_000, strings=["x" * 10_000])
    m.tape("budget", "shape-long-text", text, [3, -1, -1], count=100_000, strings=[TEXT, "x" * 10_000])
    m.tape("budget", "shape-marks", text, [3, -1] + [-1] * 201, count=100_000, strings=[TEXT * 200] + [""] * 200)
    m.tape("budget", "shape-list", text, [3, -1, 0, 20_000_000, 0, 0, -1], strings=[LIST, "x"])
    m.tape("budget", "shape-lists-overflow", text, [3, -1, 0, HIGH, HIGH, 2, -1], strings=[LIST, "x"])
    m.tape("budget", "shape-long-items", text, [3, -1, 0, 100_000, 0, 0, -1], strings=[LIST, "x" * 10_000])
