// The columns of a batch: from three tapes to the values of the rows.
import { ColumnsError } from "./errors.js";
import { Shapes } from "./shapes.js";
import { add, multiply, unzigzag, whole } from "./whole.js";

const TEXT_FREE = 16; // characters of a text, or bytes, that cost one value of the budget more, in each row
const NUMBER_MAX = 999999999999999; // in a template
const FREQUENT = 8; // uses from which a template has columns of its own
const SLOT = "\u0001";
const BYTES_AS_TEXTS = 3; // in place of a bytes column's first mode
const MANTISSA_MAX = 2 ** 53;
const POWERS = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

function refuse(code, text) {
  throw new ColumnsError(code, text);
}

/** Every value is paid for before there is memory for it. */
export class Budget {
  constructor(values) {
    this.left = values;
  }

  can(count) {
    if (count > this.left) {
      refuse("budget", "the batch has more values than its reader allows");
    }
  }

  pay(count) {
    this.can(count);
    this.left -= Number(count);
  }
}

/** The least and the greatest of values, compared as numbers. */
function bounds(values) {
  let low = values[0];
  let high = low;
  for (const v of values) {
    if (v < low) {
      low = v;
    } else if (v > high) {
      high = v;
    }
  }
  return { low, high };
}

/** Residuals to values, in place. */
function undo(order, divisor, r) {
  if (divisor !== null) {
    for (let i = 1; i < r.length; i++) {
      r[i] = multiply(r[i], divisor);
    }
    if (order === 0) {
      for (let i = 1; i < r.length; i++) {
        r[i] = add(r[i], r[0]);
      }
    }
  }
  if (order === 2) {
    for (let i = 2; i < r.length; i++) {
      r[i] = add(r[i], r[i - 1]);
    }
  }
  if (order > 0) {
    for (let i = 1; i < r.length; i++) {
      r[i] = add(r[i], r[i - 1]);
    }
  }
  return r;
}

/** Rows are numbers ascending: an array, or the first n of a table as n. */
export function rowCount(rows) {
  return typeof rows === "number" ? rows : rows.length;
}

/** Decodes the columns of one batch in the order of the walk. */
export class Columns {
  #at = { ints: 0, strings: 0, planes: 0 };

  constructor(batch, budget, bits) {
    this.batch = batch;
    this.budget = budget;
    this.bits = bits;
    this.shapes = new Shapes(this);
    this.keys = new Map(); // column number: {table, rows, values} of those that may be keys
  }

  #take(tape, n) {
    const from = this.batch[tape];
    const at = this.#at[tape];
    if (n > from.length - at) {
      refuse("truncated", `\`${tape}\` ends early`);
    }
    this.#at[tape] = at + n;
    return tape === "planes" ? from.subarray(at, at + n) : from.slice(at, at + n);
  }

  one() {
    return this.#take("ints", 1)[0];
  }

  end() {
    for (const tape of ["ints", "strings", "planes"]) {
      if (this.#at[tape] !== this.batch[tape].length) {
        refuse("left-over", `${this.batch[tape].length - this.#at[tape]} left on \`${tape}\``);
      }
    }
  }

  register(column, table, rows, values) {
    this.keys.set(column, { table, rows, values });
  }

  /** n values. With `place`, an earlier column of its table may be the key. */
  integers(n, place = null) {
    if (n === 0) {
      return [];
    }
    this.budget.pay(n);
    const mode = this.one();
    if (mode < 0) {
      return new Array(n).fill(unzigzag(complement(mode)));
    }
    const low = typeof mode === "number" ? mode % 64 : Number(mode % 64n);
    const key = typeof mode === "number" ? Math.floor(mode / 64) : Number(mode / 64n);
    const order = low & 3;
    const dictionary = (low & 16) !== 0;
    const divided = (low & 32) !== 0;
    if (order === 3 || (dictionary && divided) || (key > 0 && (dictionary || divided))) {
      refuse("mode", `mode ${mode} of an integer column`);
    }
    const series = key > 0 ? this.#series(key - 1, place) : null;
    const m = low & 4 ? this.one() : n;
    if (m < 0 || m > n) {
      refuse("count", `${m} residuals for ${n} values`);
    }
    const divisor = divided ? this.one() : null;
    const entries = dictionary ? this.#dictionary(n) : null;
    const residuals = low & 8 ? this.#fromPlanes(m) : this.#take("ints", m);
    while (residuals.length < n) {
      residuals.push(0);
    }
    const values = series === null ? undo(order, divisor, residuals) : keyed(order, residuals, series);
    return entries === null ? values : pick(entries, values);
  }

  #dictionary(n) {
    const u = this.one();
    if (u < 1 || u > n) {
      refuse("dictionary", `a dictionary of ${u} for ${n} values`);
    }
    return undo(1, null, this.#take("ints", u));
  }

  #fromPlanes(m) {
    if (m < 1) {
      refuse("count", "planes without a residual");
    }
    const residuals = [this.one()];
    const width = this.one();
    if (width < 1 || width > 8) {
      refuse("width", `planes of ${width} bytes`);
    }
    const size = m - 1;
    const raw = this.#take("planes", size * width);
    const direct = Math.min(width, 6); // the low bytes, exact in a number
    for (let i = 0; i < size; i++) {
      let v = 0;
      for (let p = width - direct; p < width; p++) {
        v = v * 256 + raw[p * size + i];
      }
      let high = 0;
      for (let p = 0; p < width - direct; p++) {
        high = high * 256 + raw[p * size + i];
      }
      residuals.push(unzigzag(high ? (BigInt(high) << 48n) | BigInt(v) : v));
    }
    return residuals;
  }

  #series(key, place) {
    const found = place !== null && key < place.column ? this.keys.get(key) : undefined;
    if (found === undefined || found.table !== place.table) {
      refuse("key", `column ${key} can't be the key here`);
    }
    const n = rowCount(place.rows);
    if (typeof found.rows === "number" && typeof place.rows === "number") {
      return found.values; // both are the whole table
    }
    const at = new Map();
    for (let i = 0; i < found.values.length; i++) {
      at.set(typeof found.rows === "number" ? i : found.rows[i], found.values[i]);
    }
    const series = new Array(n);
    for (let i = 0; i < n; i++) {
      series[i] = at.get(typeof place.rows === "number" ? i : place.rows[i]);
    }
    return series;
  }

  /** IEEE numbers; with `bits`, their bits in hexadecimal. */
  numbers(n, kind, place) {
    if (n === 0) {
      return [];
    }
    const mode = this.one();
    const cell = new Cell(kind === "double", this.bits);
    if (mode === -1) {
      const patterns = this.integers(n, place);
      const { low, high } = bounds(patterns);
      if (kind === "float" && (low < -0x80000000 || high > 0x7fffffff)) {
        refuse("value", "the bits of a float have over 32 bits");
      }
      return patterns.map((p) => cell.ofBits(p));
    }
    const scale = Number(mode) & 31;
    const single = (Number(mode) & 64) !== 0;
    if (mode < -1 || mode > 127 || scale > 22 || (single && kind === "float")) {
      refuse("mode", `mode ${mode} of a number column`);
    }
    const mantissas = this.integers(n, place);
    const { low, high } = bounds(mantissas);
    if (high >= MANTISSA_MAX || low <= -MANTISSA_MAX) {
      refuse("mantissa", "2^53 or more");
    }
    const corrections = mode & 32 ? this.integers(n) : null;
    const power = POWERS[scale];
    const narrow = single || kind === "float";
    return mantissas.map((m, i) => cell.of(m / power, narrow, corrections === null ? 0 : corrections[i]));
  }

  strings(n, known, place) {
    if (n === 0) {
      return [];
    }
    const mode = this.one();
    if (mode < 0) {
      this.budget.pay(n);
      const index = complement(mode);
      const fresh = this.#fresh(index, n, known);
      this.register(place.column, place.table, place.rows, new Array(n).fill(index));
      const only = index < known.length ? known[index] : fresh[fresh.length - 1];
      this.budget.pay(n * Math.floor(only.length / TEXT_FREE));
      return new Array(n).fill(only);
    }
    if (mode === 2) {
      this.budget.pay(n);
      this.register(place.column, place.table, place.rows, Array.from({ length: n }, (_, i) => i));
      return this.#take("strings", n);
    }
    if (mode > 3) {
      refuse("mode", `mode ${mode} of a string column`);
    }
    const indices = this.integers(n);
    const { low, high } = bounds(indices);
    const entries = known.concat(this.#fresh(high, n, known));
    if (low < 0) {
      refuse("index", "below 0");
    }
    if (mode === 1) {
      return this.#templated(indices, entries);
    }
    if (mode === 3) {
      return this.shapes.texts(indices, entries, place);
    }
    this.register(place.column, place.table, place.rows, indices);
    return this.#shared(entries, indices);
  }

  /** Rows share a text or bytes here, but not where they go to: each pays for it. */
  #shared(entries, indices) {
    const sizes = entries.map((e) => Math.floor(e.length / TEXT_FREE));
    this.budget.pay(indices.reduce((sum, i) => sum + sizes[i], 0));
    return indices.map((i) => entries[i]);
  }

  #fresh(largest, n, known) {
    if (largest >= known.length + n) {
      refuse("index", `string ${largest} of ${known.length} known ones and ${n} values`);
    }
    return this.#take("strings", largest < known.length ? 0 : largest + 1 - known.length);
  }

  #templated(indices, entries) {
    const uses = new Map(); // template: rows, in order of first use
    indices.forEach((i, row) => (uses.has(i) ? uses.get(i).push(row) : uses.set(i, [row])));
    const parts = new Map([...uses.keys()].map((i) => [i, entries[i].split(SLOT)]));
    const numbers = new Map();
    let restCount = 0;
    for (const [i, rows] of uses) {
      const slots = parts.get(i).length - 1;
      if (rows.length >= FREQUENT) {
        numbers.set(i, { at: Array.from({ length: slots }, () => this.#printable(rows.length)) });
      } else {
        restCount += slots * rows.length;
      }
    }
    const rest = this.#printable(restCount);
    const texts = new Array(indices.length);
    let start = 0;
    for (const [i, rows] of uses) {
      this.budget.pay(rows.length * Math.floor(entries[i].length / TEXT_FREE));
      const slots = parts.get(i).length - 1;
      const at = numbers.get(i)?.at;
      rows.forEach((row, use) => {
        let text = parts.get(i)[0];
        for (let slot = 0; slot < slots; slot++) {
          text += (at ? at[slot][use] : rest[start + slot * rows.length + use]) + parts.get(i)[slot + 1];
        }
        texts[row] = text;
      });
      start += at ? 0 : slots * rows.length;
    }
    return texts;
  }

  #printable(n) {
    const numbers = this.integers(n);
    if (n > 0) {
      const { low, high } = bounds(numbers);
      if (low < 0 || high > NUMBER_MAX) {
        refuse("value", "a number in a text is negative or has over 15 digits");
      }
    }
    return numbers;
  }

  /** `size`: of a fixed; null: each has a length. */
  raws(n, size, place) {
    if (n === 0) {
      return [];
    }
    if (size === null && this.batch.ints[this.#at.ints] === BYTES_AS_TEXTS) {
      this.one();
      const encoder = new TextEncoder();
      return this.strings(n, [], place).map((text) => encoder.encode(text));
    }
    const indices = this.integers(n, place);
    this.register(place.column, place.table, place.rows, indices);
    const { low, high } = bounds(indices);
    if (low < 0 || high >= n) {
      refuse("index", `${high} of ${n} rows`);
    }
    const lengths = size === null ? this.integers(high + 1) : new Array(high + 1).fill(size);
    if (bounds(lengths).low < 0) {
      refuse("length", "below 0");
    }
    const distinct = lengths.map((length) => this.#take("planes", length));
    return this.#shared(distinct, indices);
  }

  /** Decimals as bytes, since that is their type. */
  decimals(n, size, place) {
    if (n === 0) {
      return [];
    }
    const mode = this.one();
    if (mode === 1) {
      return this.raws(n, size, place);
    }
    if (mode !== 0) {
      refuse("mode", `mode ${mode} of a decimal`);
    }
    const values = this.integers(n, place);
    this.register(place.column, place.table, place.rows, values);
    if (size !== null) {
      this.budget.pay(n * Math.floor(size / TEXT_FREE));
    }
    return values.map((v) => twosComplement(BigInt(v), size));
  }
}

/** -1 - v */
function complement(v) {
  return typeof v === "number" ? -1 - v : whole(-1n - v);
}

function keyed(order, residuals, series) {
  const places = new Map();
  series.forEach((key, i) => (places.has(key) ? places.get(key).push(i) : places.set(key, [i])));
  const values = new Array(residuals.length);
  for (const at of places.values()) {
    const undone = undo(order, null, at.map((i) => residuals[i]));
    at.forEach((i, k) => {
      values[i] = undone[k];
    });
  }
  return values;
}

function pick(entries, indices) {
  const { low, high } = bounds(indices);
  if (low < 0 || high >= entries.length) {
    refuse("index", "beyond a dictionary's entries");
  }
  return indices.map((i) => entries[i]);
}

function twosComplement(v, size) {
  let bytes = size ?? 1;
  if (size === null) {
    while (BigInt.asIntN(8 * bytes, v) !== v) {
      bytes++;
    }
  } else if (size < 8 && BigInt.asIntN(8 * size, v) !== v) {
    refuse("value", `a decimal of over ${size} bytes`);
  }
  const raw = new Uint8Array(bytes).fill(v < 0n ? 255 : 0);
  for (let i = bytes - 1, rest = v; i >= 0 && i >= bytes - 8; i--, rest >>= 8n) {
    raw[i] = Number(rest & 255n);
  }
  return raw;
}

/** Numbers by their bits: a NaN keeps its payload only in a DataView. */
class Cell {
  #view = new DataView(new ArrayBuffer(8));

  constructor(isDouble, bits) {
    this.isDouble = isDouble;
    this.bits = bits;
  }

  ofBits(pattern) {
    if (this.isDouble) {
      this.#view.setBigInt64(0, BigInt(pattern));
      return this.#double();
    }
    this.#view.setInt32(0, pattern);
    return this.#float();
  }

  of(value, narrow, correction) {
    if (!narrow) {
      this.#view.setFloat64(0, value);
      if (correction !== 0) {
        this.#view.setBigInt64(0, BigInt.asIntN(64, this.#view.getBigInt64(0) + BigInt(correction)));
      }
      return this.#double();
    }
    this.#view.setFloat32(0, value);
    if (correction !== 0) {
      this.#view.setInt32(0, Number(BigInt.asIntN(32, BigInt(this.#view.getInt32(0)) + BigInt(correction))));
    }
    return this.isDouble ? this.#widened() : this.#float();
  }

  #widened() {
    const value = this.#view.getFloat32(0);
    if (!this.bits || !Number.isNaN(value)) {
      this.#view.setFloat64(0, value);
      return this.bits ? this.#hex(16) : value;
    }
    const pattern = this.#view.getUint32(0);
    this.#view.setBigUint64(0, (BigInt(pattern >>> 31) << 63n) | (0xfffn << 51n) | (BigInt(pattern & 0x7fffff) << 29n));
    return this.#hex(16);
  }

  #double() {
    return this.bits ? this.#hex(16) : this.#view.getFloat64(0);
  }

  #float() {
    return this.bits ? this.#hex(8) : this.#view.getFloat32(0);
  }

  #hex(digits) {
    const pattern = digits === 16 ? this.#view.getBigUint64(0) : this.#view.getUint32(0);
    return pattern.toString(16).padStart(digits, "0");
  }
}
