"""Random Avro schemas, data of them in Avro's JSON encoding, readers that evolved from them, and schemas that were spoilt.

A schema is a graph: a primitive's name, Logical, Array, Map, Union, or Named. A Named that stands at several places is one object; text()
defines it where it comes first and names it from then on, so that every change of the graph leaves a schema that can be written.

    make = Make(random.Random(seed))
    writer = make.schema()          a graph
    make.text(writer)               its JSON
    make.value(writer)              a value as json.dumps() takes it; TooLarge: try another schema
    reader = make.evolved(writer)   a changed copy
    make.spoilt(text)               a text that is mostly no schema any more"""
import copy
import json
import math
import struct

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
NUMBERS = ["int", "long", "float", "double"]
FIELDS = "abcdefghijklm"
SYMBOLS = ["A", "B", "C", "D", "E_1", "_f", "null", "int"]
SPACES = ["", "s", "s.t", "u"]
TEXTS = ["", "a", "x y", "\u00e9\u00ff", "\u6e29\u5ea6", "\U0001f600", "\"\\/\b\n\u0001", "z" * 70]
WHOLE = [0, -1, 1, 63, -64, 64, -65, 8191, -8193, 2**31 - 1, -2**31]
LONG = WHOLE + [2**31, -2**31 - 1, 2**53 + 1, 2**63 - 1, -2**63]
REAL = [0.0, -0.0, 1.0, -1.5, 0.1, 1e22, 1e-7, 123456789.125]
LOGICAL = [("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"), ("long", "timestamp-micros"),
           ("long", "timestamp-nanos"), ("long", "local-timestamp-millis"), ("string", "uuid"), ("string", "date"), ("int", "no-such-type")]


class TooLarge(Exception):
    """A value or default that has no end, or too many parts."""


class Logical:
    def __init__(self, base, **more):
        self.base, self.more = base, more


class Array:
    def __init__(self, items):
        self.items = items


class Map:
    def __init__(self, items):
        self.items = items


class Union:
    def __init__(self, branches):
        self.branches = branches


class Field:
    def __init__(self, name, type_):
        self.name, self.type, self.aliases, self.order = name, type_, [], None
        self.has_default, self.default = False, None


class Named:
    def __init__(self, kind, name, space):
        self.kind, self.name, self.space, self.aliases = kind, name, space, []
        self.fields, self.symbols, self.default, self.size, self.more = [], [], None, 0, {}

    def full(self):
        return f"{self.space}.{self.name}" if self.space else self.name


def bare(t):
    return t.base if isinstance(t, Logical) else t


def key(t):
    """Two branches of a union may not have the same."""
    t = bare(t)
    return t if isinstance(t, str) else "array" if isinstance(t, Array) else "map" if isinstance(t, Map) else t.full()


def flat(types):
    """As branches: no unions, none twice."""
    result = {}
    for t in types:
        for branch in t.branches if isinstance(t, Union) else [t]:
            result.setdefault(key(branch), branch)
    return list(result.values())


def children(t):
    if isinstance(t, (Array, Map)):
        return [t.items]
    return t.branches if isinstance(t, Union) else [f.type for f in t.fields] if isinstance(t, Named) else []


def plain_branches(union):
    """Those that a default in JSON can mean for Java: it takes the first that could be, by a glance at the value."""
    result, seen = [], set()
    for b in union.branches:
        t = bare(b)
        kind = "number" if t in NUMBERS else t if t in ("null", "boolean") else "text" if t in ("bytes", "string") else \
            "text" if isinstance(t, Named) and t.kind == "fixed" else "any"
        if kind not in seen and not (isinstance(t, Named) and t.kind == "enum" and "text" in seen):
            result.append(b)
        seen.add(kind)
        if kind == "any":
            break
    return result


def walk(root):
    """All parts of a schema, each once."""
    todo, seen = [root], {}
    while todo:
        t = todo.pop()
        if id(t) not in seen or isinstance(t, str):
            seen[id(t)] = t
            yield t
            todo += children(t)


class Make:
    def __init__(self, chance, logical=True):
        self.chance, self.logical = chance, logical

    # --- schemas ---

    def schema(self):
        self.names, self.whole, self.open = set(), [], []
        return self.type(0) if self.chance.random() < 0.3 else self.named("record", 0)

    def named(self, kind, depth):
        c = self.chance
        space = c.choice(SPACES)
        name = c.choice([n for n in (("N%d" if not space else "T%d") % i for i in range(100)) if (space, n) not in self.names][:4])
        self.names.add((space, name))
        n = Named(kind, name, space)
        if c.random() < 0.1:
            n.aliases = [c.choice(["Old", "s.Older", "u.Oldest"])]
        if kind == "enum":
            n.symbols = c.sample(SYMBOLS, c.randint(1, 6))
            n.default = c.choice(n.symbols) if c.random() < 0.3 else None
        elif kind == "fixed":
            n.size = c.choice([0, 1, 2, 12, 16, 40])
            if c.random() < 0.2:
                n.more = c.choice([{"logicalType": "duration"}, {"logicalType": "uuid"}, {"logicalType": "decimal", "precision": 4, "scale": 2}])
        else:
            self.open.append(n)
            n.fields = [self.field(f, depth + 1) for f in c.sample(FIELDS, c.randint(0, 5) if depth else c.randint(1, 7))]
            self.open.remove(n)
        self.whole.append(n)
        return n

    def field(self, name, depth):
        c = self.chance
        f = Field(name, self.type(depth))
        if c.random() < 0.1:
            f.aliases = [c.choice(["old_" + name, "older"])]
        if c.random() < 0.1:
            f.order = c.choice(["ascending", "descending", "ignore"])
        if c.random() < 0.35:
            self.set_default(f)
        return f

    def set_default(self, f):
        try:
            f.default, f.has_default = self.default(f.type, 0), True
        except TooLarge:
            f.has_default = False

    def type(self, depth):
        c = self.chance
        kind = c.choices(["primitive", "known", "logical", "enum", "fixed", "record", "array", "map", "union"],
                         [30, 12, 6, 7, 7, 8, 8, 6, 16] if depth < 4 else [60, 20, 5, 5, 5, 0, 0, 0, 0])[0]
        if kind == "known" and self.whole:
            return c.choice(self.whole)
        if kind == "logical" and self.logical:
            if c.random() < 0.3:
                return Logical("bytes", logicalType="decimal", precision=c.choice([0, 4, 30]), scale=c.choice([0, 2]))
            base, name = c.choice(LOGICAL)
            return Logical(base, logicalType=name)
        if kind in ("enum", "fixed", "record"):
            return self.named(kind, depth)
        if kind in ("array", "map"):
            return (Array if kind == "array" else Map)(self.loop(depth + 1))
        if kind == "union":
            return self.union(depth + 1)
        return c.choice(PRIMITIVES)

    def loop(self, depth):
        """A type, or a record that is still open: recursion."""
        return self.chance.choice(self.open) if self.open and self.chance.random() < 0.15 else self.type(depth)

    def union(self, depth):
        c = self.chance
        branches = [self.type(depth) for _ in range(c.randint(0, 3))]
        if c.random() < 0.7:
            branches.insert(c.choice([0, 0, len(branches)]), "null")
            branches += [self.loop(depth)]
        return Union(flat(branches))

    # --- texts ---

    def text(self, root, fancy=True):
        """`fancy`: with documents, orders and names written in all the ways there are."""
        self.written = set()
        return json.dumps(self.json(root, "", fancy), ensure_ascii=self.chance.random() < 0.5,
                          separators=self.chance.choice([(",", ":"), (", ", ": ")]))

    def json(self, t, space, fancy):
        if isinstance(t, str):
            return {"type": t} if fancy and self.chance.random() < 0.05 else t
        if isinstance(t, Logical):
            return {"type": t.base, **t.more}
        if isinstance(t, Array):
            return {"type": "array", "items": self.json(t.items, space, fancy)}
        if isinstance(t, Map):
            return {"type": "map", "values": self.json(t.items, space, fancy)}
        if isinstance(t, Union):
            return [self.json(b, space, fancy) for b in t.branches]
        if id(t) in self.written:
            return t.name if t.space == space and self.chance.random() < 0.5 else t.full()
        return self.definition(t, space, fancy)

    def definition(self, t, space, fancy):
        c = self.chance
        self.written.add(id(t))
        o = {"type": t.kind}
        if t.space == space and c.random() < 0.5:
            o["name"] = t.name
        elif t.space and c.random() < 0.4:
            o["name"] = t.full()
            if c.random() < 0.2:
                o["namespace"] = "not.used"
        else:
            o["name"], o["namespace"] = t.name, t.space
        if t.aliases:
            o["aliases"] = list(t.aliases)
        if fancy and c.random() < 0.1:
            o.update({"doc": "about \u00fc", "extra": {"x": [1, None]}})
        if t.kind == "enum":
            o["symbols"] = list(t.symbols)
            if t.default is not None:
                o["default"] = t.default
        elif t.kind == "fixed":
            o.update(size=t.size, **t.more)
        else:
            o["fields"] = [self.field_json(f, t.space, fancy) for f in t.fields]
        if fancy and c.random() < 0.2:
            o = dict(c.sample(list(o.items()), len(o))) if t.kind != "record" else o
        return o

    def field_json(self, f, space, fancy):
        o = {"name": f.name, "type": self.json(f.type, space, fancy)}
        if f.has_default:
            o["default"] = f.default
        if f.aliases:
            o["aliases"] = list(f.aliases)
        if fancy and f.order:
            o["order"] = f.order
        return o

    # --- values ---

    def value(self, root):
        self.budget = 300
        return self.one(root, 0, False)

    def default(self, t, depth):
        """As it is written in a schema: unions bare. No records that are open: Java can't check such a one."""
        self.budget = 50
        return self.one(t, depth + 3, True)

    def one(self, t, depth, bare_union):
        c = self.chance
        self.budget -= 1
        if self.budget < 0 or depth > 30:
            raise TooLarge
        t = bare(t)
        if isinstance(t, str):
            return self.simple(t, bare_union)
        if isinstance(t, Array):
            return [self.one(t.items, depth + 1, bare_union) for _ in range(c.choice([0, 1, 2, 4]) if depth < 5 else 0)]
        if isinstance(t, Map):
            return {k: self.one(t.items, depth + 1, bare_union) for k in (c.sample(TEXTS, c.choice([0, 1, 2])) if depth < 5 else [])}
        if isinstance(t, Union):
            return self.of_union(t, depth, bare_union)
        if t.kind == "enum":
            return c.choice(t.symbols)
        if t.kind == "fixed":
            return self.latin(t.size)
        if bare_union and t in self.open:
            raise TooLarge
        return {f.name: self.one(f.type, depth + 1, bare_union) for f in t.fields}

    def of_union(self, t, depth, bare_union):
        if not t.branches:
            raise TooLarge
        if bare_union:
            return self.one(self.chance.choice(plain_branches(t)), depth + 1, True)
        branch = "null" if depth > 6 and "null" in t.branches else self.chance.choice(t.branches)
        value = self.one(branch, depth + 1, False)
        return value if branch == "null" else {key(branch): value}

    def latin(self, size):
        return "".join(chr(self.chance.choice([0, 10, 34, 65, 92, 127, 128, 255])) for _ in range(size))

    def simple(self, t, plain):
        c = self.chance
        if t in ("int", "long"):
            return c.choice(WHOLE if t == "int" else LONG)
        if t == "double":
            v = c.choice(REAL + [struct.unpack("<d", c.randbytes(8))[0]])
            return (v if math.isfinite(v) else 0.5) if plain or math.isfinite(v) else "NaN" if math.isnan(v) else "Infinity" if v > 0 else "-Infinity"
        if t == "float":
            v = struct.unpack("<f", c.choice([c.randbytes(4), struct.pack("<f", c.choice(REAL))]))[0]
            return v if math.isfinite(v) else 0.25
        if t == "bytes":
            return self.latin(c.choice([0, 1, 5]))
        return {"null": None, "boolean": c.random() < 0.5}[t] if t != "string" else c.choice(TEXTS)

    # --- evolution ---

    def evolved(self, root):
        self.top = copy.deepcopy(root)
        self.names = {(t.space, t.name) for t in walk(self.top) if isinstance(t, Named)}
        for _ in range(self.chance.choice([0, 1, 2, 3, 5])):
            self.chance.choices([self.change_record, self.change_enum, self.change_name, self.change_type], [5, 2, 2, 5])[0]()
        return self.top

    def pick(self, kind):
        found = [t for t in walk(self.top) if isinstance(t, Named) and (kind is None or t.kind == kind)]
        return self.chance.choice(found) if found else None

    def change_record(self):
        c, r = self.chance, self.pick("record")
        if not r:
            return
        free = [x for x in FIELDS if all(f.name != x for f in r.fields)]
        what = c.choice(["add", "add", "add bare", "drop", "drop", "alias", "alias", "rename", "order", "order"])
        if what.startswith("add") and free:
            self.whole, self.open = [t for t in walk(self.top) if isinstance(t, Named) and t.kind != "record"], [r]
            f = self.field(c.choice(free), 3)
            if what == "add":
                self.set_default(f)
            r.fields.insert(c.randint(0, len(r.fields)), f)
        elif what == "drop" and r.fields:
            r.fields.remove(c.choice(r.fields))
        elif what == "order":
            c.shuffle(r.fields)
        elif r.fields and free:
            f = c.choice(r.fields)
            f.aliases = f.aliases + [f.name] if what == "alias" else []
            f.name = c.choice(free)

    def change_enum(self):
        c, e = self.chance, self.pick("enum")
        if not e:
            return
        if c.random() < 0.4 and len(e.symbols) > 1:
            e.symbols = c.sample(e.symbols, len(e.symbols) - 1)
            e.default = c.choice(e.symbols) if c.random() < 0.7 else None
        else:
            e.symbols = e.symbols + [s for s in c.sample(SYMBOLS, 2) if s not in e.symbols]
            c.shuffle(e.symbols)
        self.mend_defaults()

    def change_name(self):
        c, n = self.chance, self.pick(None)
        if not n or n.kind == "fixed" and c.random() < 0.2:
            if n:
                n.size += 1
                self.mend_defaults()
            return
        old, space = n.full(), c.choice(SPACES[1:])
        name = n.name if c.random() < 0.3 and n.space else c.choice(["T90", "T91", "T92"])
        if (space, name) in self.names:
            return
        self.names.add((space, name))
        if c.random() < 0.85:
            n.aliases = n.aliases + [old]
        n.name, n.space = name, space

    def change_type(self):
        """One place of the graph gets another type."""
        c = self.chance
        places = [("root", None, self.top)]
        for t in walk(self.top):
            if isinstance(t, (Array, Map)):
                places.append((t, "items", t.items))
            elif isinstance(t, Named):
                places += [(f, "type", f.type) for f in t.fields]
            elif isinstance(t, Union):
                places += [(t, i, b) for i, b in enumerate(t.branches)]
        holder, at, old = c.choice(places)
        new = self.other(old)
        if isinstance(holder, Union):
            branches = list(holder.branches)
            branches[at] = new
            holder.branches = flat(branches)
        elif holder == "root":
            self.top = new
        else:
            setattr(holder, at, new)
        self.mend_defaults()

    def other(self, t):
        c, b = self.chance, bare(t)
        options = [lambda: Union(flat(["null", t])), lambda: Union(flat([t, c.choice(PRIMITIVES), "null"])), lambda: c.choice(PRIMITIVES)]
        if isinstance(b, str) and b in NUMBERS:
            options += [lambda: c.choice(NUMBERS[NUMBERS.index(b):])] * 6
        if b in ("bytes", "string"):
            options += [lambda: "bytes" if b == "string" else "string"] * 4
        if isinstance(b, Union) and b.branches:
            options += [lambda: Union(c.sample(b.branches, len(b.branches))), lambda: c.choice(b.branches),
                        lambda: Union(flat(b.branches + [c.choice(PRIMITIVES)]))] * 2
        return c.choice(options)()

    def mend_defaults(self):
        """Defaults that fit the types as they are now."""
        self.open = []
        for t in list(walk(self.top)):
            if isinstance(t, Named):
                self.open = [r for r in walk(self.top) if isinstance(r, Named) and r.kind == "record"]
                for f in t.fields:
                    if f.has_default:
                        self.set_default(f)

    # --- spoilt texts ---

    WRONG = [None, True, 0, -1, 1.5, 2**40, "", "x", "int", "record", "s.T0", "1a", "a b", "a-b", "a..b", ".a", "a.", [], {}, ["int", "int"], ["null"],
             {"type": "int"}, {"type": "nope"}, [["int"]], {"type": "array"}, "A", "T0", "N0", ["A", "A"], ["A", 1], "ignore", "descending"]

    def spoilt(self, text):
        c = self.chance
        root = json.loads(text)
        places, todo = [], [root]
        while todo:
            v = todo.pop()
            for k in list(v) if isinstance(v, dict) else range(len(v)) if isinstance(v, list) else []:
                places.append((v, k))
                todo.append(v[k])
        if not places:
            return json.dumps(c.choice(self.WRONG))
        holder, k = c.choice(places)
        what = c.random()
        if what < 0.25:
            del holder[k]
        elif what < 0.4 and isinstance(holder, dict):
            holder[c.choice(["namespace", "name", "aliases", "default", "order", "size", "symbols", "doc", "items", "type"])] = c.choice(self.WRONG)
        elif what < 0.5 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[k]))
        else:
            holder[k] = copy.deepcopy(c.choice(self.WRONG))
        return json.dumps(root)
