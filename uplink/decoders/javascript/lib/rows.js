// From both bodies of a batch to rows.
import { Reader } from "./batch.js";
import { Budget, Columns, rowCount } from "./columns.js";
import { ColumnsError } from "./errors.js";
import { converter } from "./logical.js";
import { add } from "./whole.js";

/** How values look: see decode(). */
class Shape {
  #converters = new Map();

  constructor({ logical = false, namedUnions = false, floatBits = false }) {
    this.logical = logical;
    this.namedUnions = namedUnions;
    this.floatBits = floatBits;
  }

  converter(type) {
    if (!this.logical || type.logical === null) {
      return null;
    }
    if (!this.#converters.has(type)) {
      this.#converters.set(type, converter(type));
    }
    return this.#converters.get(type);
  }

  converted(type, values) {
    const convert = this.converter(type);
    if (convert === null) {
      return values;
    }
    if (type.logical !== "decimal") {
      return values.map(convert);
    }
    const made = new Map(); // rows share their bytes, and what is made of them
    return values.map((v) => made.get(v) ?? made.set(v, convert(v)).get(v));
  }
}

export function sequencesAndRows(batch, schema, budget, options) {
  if (batch.count < 0) {
    throw new ColumnsError("count", `${batch.count} rows`);
  }
  const shape = new Shape(options);
  const columns = new Columns(batch, new Budget(budget), shape.floatBits);
  const column0 = columns.integers(batch.count);
  const sequences = column0.map((s, i) => add(s, i));
  let rows;
  if (batch.rows.length > 0) {
    columns.end();
    rows = new RowBody(batch.rows, columns.budget, shape).rows(schema.root, batch.count);
  } else {
    const plan = schema.plan();
    columns.register(0, 0, batch.count, column0);
    columns.shapes.first = schema.columnCount;
    rows = new ColumnBody(columns, shape).values(plan, batch.count);
    columns.end();
  }
  return { sequences, rows };
}

/** Field names are identifiers, and one of them is no ordinary property. */
function setField(row, name, value) {
  if (name === "__proto__") {
    Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
  } else {
    row[name] = value;
  }
}

class ColumnBody {
  constructor(columns, shape) {
    this.columns = columns;
    this.shape = shape;
  }

  /** One value for each of these rows of the place's table. */
  values(place, rows) {
    const n = rowCount(rows);
    const { columns, shape } = this;
    const { type, kind, table, column } = place;
    const here = { column, table, rows };
    if (n === 0 && column >= 0 && kind !== "float" && kind !== "double") {
      columns.register(column, table, rows, []);
    }
    switch (kind) {
      case "null":
        columns.budget.pay(n);
        return new Array(n).fill(null);
      case "record":
        return this.#record(place, rows, n);
      case "union":
        return this.#union(place, rows, here, n);
      case "array":
      case "map":
        return this.#items(place, here, n);
      case "enum":
        return this.#integers(here, n, 0, type.symbols.length - 1, "symbol").map((v) => type.symbols[v]);
      case "boolean":
        return this.#integers(here, n, 0, 1, "value").map((v) => v === 1);
      case "int":
        return shape.converted(type, this.#integers(here, n, -0x80000000, 0x7fffffff, "value"));
      case "long":
        return shape.converted(type, this.#integers(here, n, -Infinity, Infinity, "value"));
      case "float":
      case "double":
        return columns.numbers(n, kind, here);
      case "string":
        return columns.strings(n, place.known, here);
      default: {
        const size = kind === "fixed" ? type.size : null;
        return shape.converted(type, type.logical === "decimal" ? columns.decimals(n, size, here) : columns.raws(n, size, here));
      }
    }
  }

  /** An integer column that may be a key, within bounds. */
  #integers(here, n, low, high, code) {
    const values = this.columns.integers(n, here);
    for (const v of values) {
      if (v < low || v > high) {
        throw new ColumnsError(code, `${v} in column ${here.column}`);
      }
    }
    this.columns.register(here.column, here.table, here.rows, values);
    return values;
  }

  #record(place, rows, n) {
    this.columns.budget.pay(n);
    const names = place.type.fields.map((f) => f.name);
    const fields = place.inner.map((inner) => this.values(inner, rows));
    return Array.from({ length: n }, (_, i) => {
      const row = {};
      for (let f = 0; f < names.length; f++) {
        setField(row, names[f], fields[f][i]);
      }
      return row;
    });
  }

  #union(place, rows, here, n) {
    const branches = this.#integers(here, n, 0, place.inner.length - 1, "branch");
    const places = place.inner.map(() => []);
    branches.forEach((branch, i) => places[branch].push(i));
    const result = new Array(n).fill(null);
    place.inner.forEach((inner, b) => {
      const at = places[b];
      if (inner.kind === "null") {
        return;
      }
      const innerRows = at.length === n ? rows : typeof rows === "number" ? at : at.map((i) => rows[i]);
      const values = this.values(inner, innerRows);
      at.forEach((i, k) => {
        result[i] = this.shape.namedUnions ? { [inner.type.name]: values[k] } : values[k];
      });
    });
    return result;
  }

  #items(place, here, n) {
    const { columns } = this;
    const lengths = this.#integers(here, n, 0, Infinity, "length");
    let total = 0;
    for (const length of lengths) {
      columns.budget.pay(length);
      total += Number(length);
    }
    let keys = null;
    if (place.kind === "map") {
      const keysHere = { column: place.keysColumn, table: place.innerTable, rows: total };
      if (total === 0) {
        columns.register(place.keysColumn, place.innerTable, 0, []);
      }
      keys = columns.strings(total, place.known, keysHere);
    }
    const items = this.values(place.inner[0], total);
    let at = 0;
    return lengths.map((length) => {
      const start = at;
      at += length;
      if (keys === null) {
        return items.slice(start, at);
      }
      const map = new Map();
      for (let i = start; i < at; i++) {
        map.set(keys[i], items[i]);
      }
      return map;
    });
  }
}

const NESTING_MAX = 128; // values within a row of a row body

/** Avro datums one after the other. */
class RowBody {
  constructor(data, budget, shape) {
    this.reader = new Reader(data);
    this.budget = budget;
    this.shape = shape;
  }

  rows(root, count) {
    const rows = [];
    for (let i = 0; i < count; i++) {
      rows.push(this.value(root, 0));
    }
    this.reader.end("the last row");
    return rows;
  }

  value(type, depth) {
    if (depth > NESTING_MAX) {
      throw new ColumnsError("nesting", `values nest deeper than ${NESTING_MAX} in a row`);
    }
    this.budget.pay(1);
    const value = this.#value(type, depth + 1);
    const convert = this.shape.converter(type);
    return convert === null ? value : convert(value);
  }

  #value(type, depth) {
    const { reader } = this;
    switch (type.kind) {
      case "null":
        return null;
      case "boolean":
        return this.#below(reader.raw(1)[0], 2, "value") === 1;
      case "int":
        return reader.int();
      case "long":
        return reader.long();
      case "float":
      case "double":
        return this.#number(type.kind === "double" ? 8 : 4);
      case "bytes":
        return reader.bytes();
      case "string":
        return reader.string();
      case "fixed":
        return reader.raw(type.size);
      case "enum":
        return type.symbols[this.#below(reader.long(), type.symbols.length, "symbol")];
      case "union":
        return this.#union(type, depth);
      case "array":
        return this.#array(type, depth);
      case "map":
        return this.#map(type, depth);
      default: {
        const row = {};
        for (const f of type.fields) {
          setField(row, f.name, this.value(f.type, depth));
        }
        return row;
      }
    }
  }

  #below(index, count, code) {
    if (index < 0 || index >= count) {
      throw new ColumnsError(code, `${index} of ${count}`);
    }
    return index;
  }

  #number(size) {
    const at = this.reader.at;
    this.reader.raw(size);
    const { view } = this.reader;
    if (this.shape.floatBits) {
      const bits = size === 8 ? view.getBigUint64(at, true) : view.getUint32(at, true);
      return bits.toString(16).padStart(2 * size, "0");
    }
    return size === 8 ? view.getFloat64(at, true) : view.getFloat32(at, true);
  }

  #union(type, depth) {
    const chosen = type.branches[this.#below(this.reader.long(), type.branches.length, "branch")];
    const value = this.value(chosen, depth);
    return this.shape.namedUnions && chosen.kind !== "null" ? { [chosen.name]: value } : value;
  }

  #array(type, depth) {
    const items = [];
    for (let n = this.reader.block(); n > 0; n = this.reader.block()) {
      this.budget.can(n);
      for (let i = 0; i < n; i++) {
        items.push(this.value(type.items, depth));
      }
    }
    return items;
  }

  #map(type, depth) {
    const map = new Map();
    for (let n = this.reader.block(); n > 0; n = this.reader.block()) {
      this.budget.can(n);
      for (let i = 0; i < n; i++) {
        const key = this.reader.string();
        map.set(key, this.value(type.items, depth));
      }
    }
    return map;
  }
}
