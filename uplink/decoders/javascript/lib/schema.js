// Avro schemas, as far as decoding needs them, and what columns a row schema has.
import { ColumnsError } from "./errors.js";

const PRIMITIVES = new Set(["null", "boolean", "int", "long", "float", "double", "bytes", "string"]);
const LOGICAL = new Map([
  ["date", "int"], ["time-millis", "int"], ["time-micros", "long"],
  ["timestamp-millis", "long"], ["timestamp-micros", "long"], ["timestamp-nanos", "long"],
  ["local-timestamp-millis", "long"], ["local-timestamp-micros", "long"], ["local-timestamp-nanos", "long"],
]);
export const NESTING_MAX = 64; // types within types
const COLUMNS_MAX = 1001; // with column 0, the sequence numbers
const PLACES_MAX = 20000; // types at all their places
export const BATCH = "weir.columns.Batch";

/** A parsed row schema: make it once, decode many batches with it. */
export class RowSchema {
  #plan = null;
  #columnCount = 0;

  /** `text`: the schema's JSON, as text or as JSON.parse() gives it; `references`: those that define types which it only names. */
  constructor(text, references = []) {
    const parser = new Parser();
    for (const source of [...references, text]) {
      this.root = parser.type(typeof source === "string" ? parsed(source) : source, "");
    }
  }

  /** The full name, or the type's name if it has none of its own. */
  get name() {
    return this.root.name;
  }

  /** The columns of a batch; ColumnsError where only the row body is possible. */
  plan() {
    if (this.#plan === null) {
      const planner = new Planner();
      this.#plan = planner.place(this.root, 0, []);
      this.#columnCount = planner.columnCount;
    }
    return this.#plan;
  }

  /** Of the plan, with column 0. */
  get columnCount() {
    return this.#columnCount;
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new ColumnsError("schema", `not JSON: ${e.message}`);
  }
}

function must(ok, text) {
  if (!ok) {
    throw new ColumnsError("schema", text);
  }
}

/** One Avro type. A named type is one object wherever it stands. */
function makeType(kind, name = kind) {
  return { kind, name, logical: null, precision: 0, scale: 0, size: 0, symbols: [], fields: [], items: null, branches: [], known: [], knownKeys: [], odd: null };
}

class Parser {
  #named = new Map();
  #depth = 0;

  type(source, space) {
    if (++this.#depth > 4 * NESTING_MAX) {
      throw new ColumnsError("nesting", "the row schema nests too deep");
    }
    const t = this.#type(source, space);
    this.#depth--;
    return t;
  }

  #type(source, space) {
    if (Array.isArray(source)) {
      const t = makeType("union");
      t.branches = source.map((s) => this.type(s, space));
      return t;
    }
    if (typeof source === "string") {
      return this.#reference(source, space);
    }
    must(source !== null && typeof source === "object", "a type is a name, an object or an array");
    const kind = source.type;
    if (typeof kind !== "string") {
      return this.type(kind, space);
    }
    if (kind === "array" || kind === "map") {
      const t = makeType(kind);
      t.items = this.type(kind === "array" ? source.items : source.values, space);
      t.known = source["weir.values"] ?? [];
      t.knownKeys = source["weir.keys"] ?? [];
      return t;
    }
    const named = ["record", "error", "enum", "fixed"].includes(kind);
    const t = named ? this.#define(kind, source, space) : this.#reference(kind, space);
    setLogical(t, source);
    return t;
  }

  #reference(name, space) {
    if (PRIMITIVES.has(name)) {
      return makeType(name);
    }
    const found = this.#named.get(space && !name.includes(".") ? `${space}.${name}` : name) ?? this.#named.get(name);
    must(found, `no type is named ${name}`);
    return found;
  }

  #define(kind, source, space) {
    must(typeof source.name === "string", `a ${kind} without a name`);
    const dot = source.name.lastIndexOf(".");
    const given = typeof source.namespace === "string" ? source.namespace : space;
    const inner = dot >= 0 ? source.name.slice(0, dot) : given;
    const name = source.name.slice(dot + 1);
    const t = makeType(kind === "error" ? "record" : kind, inner ? `${inner}.${name}` : name);
    this.#named.set(t.name, t);
    if (kind === "enum") {
      must(Array.isArray(source.symbols), `${t.name} has no symbols`);
      t.symbols = source.symbols.map(String);
    } else if (kind === "fixed") {
      must(Number.isSafeInteger(source.size) && source.size >= 0, `the size of ${t.name} is not one`);
      t.size = source.size;
    } else {
      must(Array.isArray(source.fields), `${t.name} has no fields`);
      t.fields = source.fields.map((f) => {
        must(f !== null && typeof f === "object" && typeof f.name === "string", `a field of ${t.name} has no name`);
        return { name: f.name, type: this.type(f.type, inner), known: f["weir.values"] ?? [] };
      });
    }
    return t;
  }
}

/** A logical type that is unknown or not valid where it stands does not count, as Avro's specification says. */
function setLogical(t, source) {
  const name = source.logicalType;
  if (LOGICAL.get(name) === t.kind || (name === "uuid" && (t.kind === "string" || (t.kind === "fixed" && t.size === 16))) ||
      (name === "duration" && t.kind === "fixed" && t.size === 12)) {
    t.logical = name;
  } else if (name === "decimal" && (t.kind === "bytes" || t.kind === "fixed")) {
    const { precision, scale = 0 } = source;
    const digits = t.kind === "bytes" ? 0x7fffffff : t.size > 0 ? Math.floor((t.size * 8 - 1) * Math.log10(2)) : 0;
    if (Number.isInteger(precision) && precision >= 1 && precision <= digits && Number.isInteger(scale) && scale >= 0 && scale <= precision) {
      Object.assign(t, { logical: name, precision, scale });
    } else {
      t.odd = "a decimal whose precision, scale or size is not valid";
    }
  }
}

function strings(known) {
  must(Array.isArray(known) && known.every((s) => typeof s === "string"), "known strings are not a list of strings");
  return known;
}

/** Walks the row schema depth first and numbers its columns and tables. */
class Planner {
  #columns = 1;
  #tables = 1;
  #places = 0;
  #open = [];

  get columnCount() {
    return this.#columns;
  }

  #column() {
    must(this.#columns < COLUMNS_MAX, "over 1000 columns: such a schema has only the row body");
    return this.#columns++;
  }

  /** A type where it stands. `known`: of the field, array or map around it. */
  place(type, table, known) {
    must(!this.#open.includes(type), `${type.name} contains itself: such a schema has only the row body`);
    if (this.#open.length >= NESTING_MAX) {
      throw new ColumnsError("nesting", "types nest deeper than 64");
    }
    must(++this.#places <= PLACES_MAX, `over ${PLACES_MAX} types`);
    must(type.odd === null, type.odd);
    const place = { type, kind: type.kind, table, column: -1, keysColumn: -1, known: [], inner: [], innerTable: -1 };
    this.#open.push(type);
    if (type.kind === "record") {
      place.inner = type.fields.map((f) => this.place(f.type, table, f.known));
    } else if (type.kind !== "null") {
      place.column = this.#column();
      this.#inner(place, type, table, known);
    }
    this.#open.pop();
    return place;
  }

  #inner(place, type, table, known) {
    if (type.kind === "union") {
      place.inner = type.branches.map((b) => this.place(b, table, known));
    } else if (type.kind === "array" || type.kind === "map") {
      place.innerTable = this.#tables++;
      if (type.kind === "map") {
        place.keysColumn = this.#column();
        place.known = strings(type.knownKeys);
      }
      place.inner = [this.place(type.items, place.innerTable, type.known)];
    } else if (type.kind === "string") {
      place.known = strings(known);
    }
  }
}
