"""Pairs of schemas, the second one made by mutating the first.

A schema is a graph here: a primitive's name, ["array", T], ["map", T], ["union", T...] or a Named; text() writes each Named out
where it comes first and by its name from then on, so that every mutation leaves a valid schema."""
import copy
import json

PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
NUMBERS = ["int", "long", "float", "double"]
LETTERS = "abcdefgh"


class Field:
    def __init__(self, name, type_):
        self.name, self.type = name, type_
        self.aliases, self.has_default = [], False


class Named:
    def __init__(self, kind, name, space):
        self.kind, self.name, self.space = kind, name, space
        self.aliases, self.fields, self.symbols, self.default, self.size = [], [], [], None, 4

    def full(self):
        return f"{self.space}.{self.name}" if self.space else self.name


def key(type_):
    """Two branches of a union may not have the same."""
    return type_ if isinstance(type_, str) else type_[0] if isinstance(type_, list) else type_.full()


def flat(types):
    """As branches: no unions, none twice."""
    result, seen = [], set()
    for t in types:
        for branch in t[1:] if isinstance(t, list) and t[0] == "union" else [t]:
            if key(branch) not in seen:
                seen.add(key(branch))
                result.append(branch)
    return result


class Writer:
    """A schema's JSON."""

    def __init__(self):
        self.seen = set()

    def type(self, t):
        if isinstance(t, str):
            return t
        if isinstance(t, list):
            if t[0] == "union":
                return [self.type(b) for b in flat(t[1:])]
            return {"type": t[0], "items" if t[0] == "array" else "values": self.type(t[1])}
        return self.named(t)

    def named(self, n):
        if n.full() in self.seen:
            return n.full()
        self.seen.add(n.full())
        o = {"type": n.kind, "name": n.name, "namespace": n.space}
        if n.aliases:
            o["aliases"] = n.aliases
        if n.kind == "enum":
            o["symbols"] = n.symbols
            if n.default in n.symbols:
                o["default"] = n.default
        elif n.kind == "fixed":
            o["size"] = n.size
        else:
            o["fields"] = [self.field(f) for f in n.fields]
        return o

    def field(self, f):
        o = {"name": f.name, "type": self.type(f.type)}
        if f.aliases:
            o["aliases"] = f.aliases
        try:
            if f.has_default:
                o["default"] = default_of(f.type, 0)
        except ValueError:
            pass
        return o


def default_of(t, depth):
    """Some value of the type. ValueError: there is none that ends soon."""
    if depth > 6:
        raise ValueError
    if isinstance(t, list) and t[0] == "union":
        if not t[1:]:
            raise ValueError
        return default_of(flat(t[1:])[0], depth + 1)
    if isinstance(t, list):
        return {"array": list, "map": dict}[t[0]]()
    if isinstance(t, Named):
        if t.kind == "enum":
            return t.symbols[0]
        return "\u0000" * t.size if t.kind == "fixed" else {f.name: default_of(f.type, depth + 1) for f in t.fields}
    return {"null": None, "boolean": True, "bytes": "", "string": ""}.get(t, 0)


def text(root):
    return json.dumps(Writer().type(root), separators=(",", ":"))


class Maker:
    def __init__(self, chance):
        self.chance = chance

    # --- random schemas ---

    def new_name(self):
        """No name is in two namespaces: one without a namespace is not seen where another of its name is nearer."""
        name = self.chance.choice([n for n in (a + str(i) for a in "ABCDEFGHIJKLMNOPQ" for i in range(9)) if n not in self.names])
        self.names.add(name)
        return name, self.chance.choice(["", "s", "s.t"])

    def named(self, kind, depth):
        n = Named(kind, *self.new_name())
        c = self.chance
        if c.random() < 0.1:
            n.aliases = [c.choice(["A1", "s.B1", "s.t.C2"])]
        if kind == "enum":
            n.symbols = c.sample(LETTERS, c.randint(1, 5))
            n.default = c.choice(n.symbols) if c.random() < 0.1 else None
        elif kind == "fixed":
            n.size = c.choice([0, 1, 4, 16])
        else:
            self.known.append(n)
            for name in c.sample(LETTERS, c.randint(0, 5)):
                n.fields.append(self.field(name, depth + 1))
            return n
        self.known.append(n)
        return n

    def field(self, name, depth):
        f = Field(name, self.type(depth))
        f.has_default = self.chance.random() < 0.4
        if self.chance.random() < 0.02:
            f.aliases = self.chance.sample(LETTERS, self.chance.randint(1, 2))
        return f

    def type(self, depth):
        c = self.chance
        kind = c.choices(["primitive", "known", "enum", "fixed", "record", "array", "map", "union"],
                         [30, 12, 10, 10, 8, 5, 4, 14] if depth < 4 else [60, 25, 5, 5, 0, 0, 0, 0])[0]
        if kind == "known" and self.known:
            return c.choice(self.known)
        if kind in ("enum", "fixed", "record"):
            return self.named(kind, depth)
        if kind in ("array", "map"):
            return [kind, self.type(depth + 1)]
        if kind == "union":
            return ["union", *flat([c.choice(["null", self.type(depth + 1)])] + [self.type(depth + 1) for _ in range(c.randint(0, 3))])]
        return c.choice(PRIMITIVES)

    def root(self):
        self.names, self.known = set(), []
        if self.chance.random() < 0.15:
            return self.type(0)
        n = self.named("record", 0)
        for kind in ("enum", "fixed", "record"):              # so that there is something of each to change
            if self.chance.random() < 0.6:
                name, named = self.chance.choice("xyz") + kind[0], self.named(kind, 1)
                n.fields.append(Field(name, named if self.chance.random() < 0.7 else ["union", "null", named]))
        return n

    # --- mutations: of the graph below `root`, in place ---

    def look(self, root):
        """All Named, and all places of types as (holder, index or "type")."""
        names, places, todo, seen = [], [], [root], set()
        while todo:
            t = todo.pop()
            if isinstance(t, list):
                for i in range(1, len(t)):
                    places.append((t, i))
                    todo.append(t[i])
            elif isinstance(t, Named) and id(t) not in seen:
                seen.add(id(t))
                names.append(t)
                for f in t.fields:
                    places.append((f, "type"))
                    todo.append(f.type)
        return names, places

    def other_type(self, t):
        c = self.chance
        simple = c.choice(PRIMITIVES)
        options = [lambda: simple, lambda: ["union", *flat(["null", t])], lambda: ["union", *flat([t, "null", simple])],
                   lambda: [c.choice(["array", "map"]), t]]
        if t in NUMBERS:
            options += [lambda: NUMBERS[min(NUMBERS.index(t) + 1, 3)]] * 5 + [lambda: NUMBERS[max(NUMBERS.index(t) - 1, 0)]]
        if t in ("bytes", "string"):
            options += [lambda: "bytes" if t == "string" else "string"] * 3
        if isinstance(t, list) and t[0] == "union":
            branches = t[1:]
            options += [lambda: c.choice(branches) if branches else "null",
                        lambda: ["union", *c.sample(branches, len(branches))],
                        lambda: ["union", *flat(branches + [simple])],
                        lambda: ["union", *(b for b in branches if b is not branches[-1])]] * 3
        elif isinstance(t, list):
            options += [lambda: ["map" if t[0] == "array" else "array", t[1]], lambda: t[1]]
        return c.choice(options)()

    def change_type(self, names, places):
        if places:
            holder, at = self.chance.choice(places)
            if at == "type":
                holder.type = self.other_type(holder.type)
            else:
                new = self.other_type(holder[at])
                if holder[0] != "union" or not (isinstance(new, list) and new[0] == "union"):
                    holder[at] = new

    def change_fields(self, names, places):
        c = self.chance
        records = [n for n in names if n.kind == "record"]
        if not records:
            return
        r = c.choice(records)
        what = c.choice(["add", "add", "drop", "drop", "rename", "rename", "shuffle", "default", "default", "alias" if c.random() < 0.2 else "drop"])
        free = [x for x in "abcdefghijkl" if all(f.name != x for f in r.fields)]
        if what == "add" and free:
            self.names, self.known = {n.name for n in names}, names[:]
            f = self.field(c.choice(free), 3)
            f.has_default = c.random() < 0.6
            r.fields.insert(c.randint(0, len(r.fields)), f)
        elif r.fields and what == "drop":
            r.fields.remove(c.choice(r.fields))
        elif r.fields and what == "rename" and free:
            f = c.choice(r.fields)
            if c.random() < 0.6:
                f.aliases = f.aliases + [f.name]
            f.name = c.choice(free)
        elif what == "shuffle":
            c.shuffle(r.fields)
        elif r.fields and what == "default":
            f = c.choice(r.fields)
            f.has_default = not f.has_default
        elif r.fields:
            c.choice(r.fields).aliases = c.sample(LETTERS, 2)

    def change_enum(self, names, places):
        enums = [n for n in names if n.kind == "enum"]
        if enums:
            c, n = self.chance, self.chance.choice(enums)
            what = c.choice(["add", "add", "drop", "drop", "drop", "default", "shuffle"])
            if what == "add":
                n.symbols = n.symbols + [s for s in c.sample("abcdefghijkl", 2) if s not in n.symbols]
            elif what == "drop" and len(n.symbols) > 1:
                n.symbols = c.sample(n.symbols, len(n.symbols) - 1)
            elif what == "default":
                n.default = None if n.default else c.choice(n.symbols)
            else:
                c.shuffle(n.symbols)

    def change_fixed(self, names, places):
        fixed = [n for n in names if n.kind == "fixed"]
        if fixed:
            self.chance.choice(fixed).size = self.chance.choice([0, 1, 2, 4, 8, 16])

    def change_name(self, names, places):
        if names:
            n = self.chance.choice(names)
            self.names = {x.name for x in names}
            old, (name, space) = n.full(), self.new_name()
            if self.chance.random() < 0.6:
                n.aliases = n.aliases + [old]
            if self.chance.random() < 0.3:
                name = n.name                                 # another namespace only
            n.name, n.space = name, space

    def pair(self):
        """(reader, writer) as texts."""
        old = self.root()
        new = copy.deepcopy(old)
        changes = [self.change_type, self.change_fields, self.change_enum, self.change_fixed, self.change_name]
        for _ in range(self.chance.choice([0, 1, 1, 2, 2, 3, 5])):
            self.chance.choices(changes, [4, 5, 4, 3, 2])[0](*self.look(new))
        pair = (text(new), text(old))
        return pair if self.chance.random() < 0.6 else pair[::-1]
