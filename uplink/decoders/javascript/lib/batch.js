// The record weir.columns.Batch: Avro binary, read without an Avro library.
import { ColumnsError } from "./errors.js";
import { unzigzag } from "./whole.js";

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A cursor over Avro binary. Everything read lies within `data`. */
export class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  /** A number where that is exact, else a BigInt. */
  long() {
    const { data } = this;
    let value = 0;
    let factor = 1;
    for (let i = 0; i < 7; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) {
        return unzigzag(value);
      }
      factor *= 128;
    }
    let big = BigInt(value);
    for (let shift = 49n; ; shift += 7n) {
      if (this.at === data.length) {
        throw new ColumnsError("truncated", "the input ends within a number");
      }
      const byte = data[this.at++];
      if (shift === 63n && byte > 1) {
        throw new ColumnsError("varint", "a number has over 64 bits");
      }
      big |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        return unzigzag(big);
      }
    }
  }

  byte() {
    if (this.at === this.data.length) {
      throw new ColumnsError("truncated", "the input ends within a number");
    }
    return this.data[this.at++];
  }

  int() {
    const value = this.long();
    if (value < -0x80000000 || value > 0x7fffffff) {
      throw new ColumnsError("value", `${value} is no int`);
    }
    return value;
  }

  raw(size) {
    if (size < 0) {
      throw new ColumnsError("length", `a length of ${size}`);
    }
    if (size > this.data.length - this.at) {
      throw new ColumnsError("truncated", `${size} bytes wanted, ${this.data.length - this.at} left`);
    }
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  bytes() {
    return this.raw(this.long());
  }

  string() {
    const raw = this.bytes();
    try {
      return UTF8.decode(raw);
    } catch {
      throw new ColumnsError("utf8", "a string is not UTF-8");
    }
  }

  /** The counts of an array's or map's blocks, up to 0; what they hold is read in between. */
  block() {
    const count = this.long();
    if (count >= 0) {
      return count;
    }
    const size = this.long();
    if (size < 0) {
      throw new ColumnsError("length", `a block of ${size} bytes`);
    }
    return typeof count === "number" ? -count : BigInt.asUintN(64, -count);
  }

  /** An array whose items have a byte each at least. */
  array(item) {
    const items = [];
    for (let n = this.block(); n > 0; n = this.block()) {
      if (n > this.data.length - this.at) {
        throw new ColumnsError("truncated", `${n} items wanted in ${this.data.length - this.at} bytes`);
      }
      for (let i = 0; i < n; i++) {
        items.push(item());
      }
    }
    return items;
  }

  end(what) {
    if (this.at !== this.data.length) {
      throw new ColumnsError("left-over", `${this.data.length - this.at} bytes after ${what}`);
    }
  }
}

/** The record as it is; `schema` is a number (registry) or 8 or 16 bytes. */
export class Batch {
  constructor(fields) {
    Object.assign(this, fields);
  }

  static parse(record) {
    const r = new Reader(record);
    const branch = r.long();
    if (branch < 0 || branch > 2) {
      throw new ColumnsError("branch", `no branch ${branch} in the union \`schema\``);
    }
    const batch = new Batch({
      schema: branch === 0 ? r.int() : r.raw(8 * branch),
      agent: r.string(),
      count: r.int(),
      ints: r.array(() => r.long()),
      strings: r.array(() => r.string()),
      planes: r.bytes(),
      rows: r.bytes(),
    });
    r.end("the record");
    return batch;
  }
}
