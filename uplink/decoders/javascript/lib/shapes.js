// Texts that were put together from shapes: see section 6 of the layout's page.
import { ColumnsError } from "./errors.js";

const NESTING_MAX = 4;
const COLUMNS_MAX = 65536; // of all shapes of a batch
const TEXT_FREE = 16; // characters of a text that is put together that cost one value of the budget
const DIGITS_MAX = 18;
const MARK = /(\u0003[T ][0-9]|[\u0001\u0002\u0004])/;
const DAY_FIRST = -719528n; // 0000-01-01
const DAY_LAST = 2932896n; // 9999-12-31

function printed(m, digits, style) {
  let text = String(m < 0 ? -BigInt(m) : m).padStart(digits + 1, "0");
  if (digits > 0) {
    let rest = text.slice(-digits);
    rest = style === 0 ? rest : rest.replace(/0+$/, "");
    rest = rest === "" && style === 32 ? "0" : rest;
    text = text.slice(0, -digits) + (rest === "" ? "" : "." + rest);
  }
  return m < 0 ? "-" + text : text;
}

const padded = (v, digits) => String(v).padStart(digits, "0");

/** Years that begin with March: the day that some have more is their last. */
function dayText(day) {
  if (day < DAY_FIRST || day > DAY_LAST) {
    throw new ColumnsError("value", "a time's year has not four digits");
  }
  const days = Number(day) + 719468 + 146097; // since March of the year -400
  const era = Math.floor(days / 146097);
  const ofEra = days % 146097;
  const year = Math.floor((ofEra - Math.floor(ofEra / 1460) + Math.floor(ofEra / 36524) - Math.floor(ofEra / 146096)) / 365);
  const ofYear = ofEra - (365 * year + Math.floor(year / 4) - Math.floor(year / 100));
  const shifted = Math.floor((5 * ofYear + 2) / 153);
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const calendar = era * 400 + year + (month <= 2 ? 1 : 0) - 400;
  return `${padded(calendar, 4)}-${padded(month, 2)}-${padded(ofYear - Math.floor((153 * shifted + 2) / 5) + 1, 2)}`;
}

/** Quotient and rest, the rest never negative. */
function divided(v, by) {
  const rest = ((v % by) + by) % by;
  return [(v - rest) / by, rest];
}

function timeText(value, between, digits) {
  const [seconds, fraction] = divided(BigInt(value), 10n ** BigInt(digits));
  const [day, ofDay] = divided(seconds, 86400n);
  const second = Number(ofDay);
  const clock = [second / 3600, (second / 60) % 60, second % 60].map((v) => padded(Math.floor(v), 2)).join(":");
  return dayText(day) + between + clock + (digits > 0 ? "." + padded(fraction, digits) : "");
}

/** The columns of shapes of one batch, numbered on behind those of the row schema. */
export class Shapes {
  #columns;
  #count = 0;
  #tables = 0;
  #depth = 0;

  constructor(columns) {
    this.#columns = columns;
    this.first = 0;
  }

  texts(indices, entries, place) {
    if (this.#depth === NESTING_MAX) {
      throw new ColumnsError("nesting", `shapes nest deeper than ${NESTING_MAX}`);
    }
    this.#depth++;
    const uses = new Map(); // shape: rows, in order of first use
    indices.forEach((i, at) => (uses.has(i) ? uses.get(i).push(at) : uses.set(i, [at])));
    const texts = new Array(indices.length);
    for (const [i, at] of uses) {
      const parts = entries[i].split(MARK);
      if (parts.some((part, k) => k % 2 === 0 && part.includes("\u0003"))) {
        throw new ColumnsError("mark", "a mark of a time is not whole");
      }
      const rows = at.length === indices.length ? place.rows : at.map((k) => (typeof place.rows === "number" ? k : place.rows[k]));
      const leaves = [];
      for (let k = 1; k < parts.length; k += 2) {
        leaves.push(this.#mark(parts[k], place.table, rows, at.length));
      }
      this.#fill(parts, leaves, at, texts);
    }
    this.#depth--;
    return texts;
  }

  #fill(parts, leaves, at, texts) {
    const free = parts.reduce((sum, part, k) => sum + (k % 2 === 0 ? part.length : 0), 0);
    at.forEach((row, use) => {
      this.#columns.budget.pay(Math.floor(leaves.reduce((sum, leaf) => sum + leaf[use].length, free) / TEXT_FREE));
      let text = parts[0];
      leaves.forEach((leaf, k) => {
        text += leaf[use] + parts[2 * k + 2];
      });
      texts[row] = text;
    });
  }

  #here(table, rows) {
    if (this.#count === COLUMNS_MAX) {
      throw new ColumnsError("shapes", `over ${COLUMNS_MAX} columns of shapes`);
    }
    return { column: this.first + this.#count++, table, rows };
  }

  #mark(mark, table, rows, n) {
    if (mark === "\u0001") {
      return this.#numbers(this.#here(table, rows), n);
    }
    if (mark === "\u0002") {
      return this.#columns.strings(n, [], this.#here(table, rows));
    }
    if (mark === "\u0004") {
      return this.#lists(this.#here(table, rows), n);
    }
    return this.#integers(this.#here(table, rows), n).map((v) => timeText(v, mark[1], Number(mark[2])));
  }

  #integers(here, n) {
    const values = this.#columns.integers(n, here);
    this.#columns.register(here.column, here.table, here.rows, values);
    return values;
  }

  #numbers(here, n) {
    const mode = this.#columns.one();
    if (mode === -1) {
      return this.#columns.strings(n, [], here);
    }
    const digits = Number(mode) & 31;
    const style = Number(mode) - digits;
    if (mode < 0 || digits > DIGITS_MAX || !(style === 0 || (digits > 0 && (style === 32 || style === 64)))) {
      throw new ColumnsError("mode", `mode ${mode} of printed numbers`);
    }
    return this.#integers(here, n).map((m) => printed(m, digits, style));
  }

  #lists(here, n) {
    const table = --this.#tables;
    const itemsHere = this.#here(table, 0);
    const lengths = this.#integers(here, n);
    let total = 0;
    for (const length of lengths) {
      if (length < 0) {
        throw new ColumnsError("length", "below 0");
      }
      total += Number(length);
    }
    this.#columns.budget.pay(total);
    itemsHere.rows = total;
    const items = this.#columns.strings(total, [], itemsHere);
    let at = 0;
    return lengths.map((length) => {
      const part = items.slice(at, at + length);
      at += length;
      this.#columns.budget.pay(Math.floor(part.reduce((sum, item) => sum + item.length, Math.max(length - 1, 0)) / TEXT_FREE));
      return part.join(",");
    });
  }
}
