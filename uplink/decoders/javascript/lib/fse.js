// Entropy coding as RFC 8878 has it: bits read from the end, FSE tables, Huffman tables.
import { ColumnsError } from "./errors.js";

export function bad(text) {
  throw new ColumnsError("envelope", `a zstd frame: ${text}`);
}

/** Bits in the order of their bytes. */
export class ForwardBits {
  constructor(data, at, end) {
    this.data = data;
    this.bit = 8 * at;
    this.end = end;
  }

  peek(count) {
    let value = 0;
    for (let i = 3; i >= 0; i--) {
      value = value * 256 + (this.data[(this.bit >> 3) + i] ?? 0);
    }
    return Math.floor(value / 2 ** (this.bit & 7)) % 2 ** count;
  }

  /** Where the next byte begins. */
  byte() {
    const at = (this.bit + 7) >> 3;
    return at <= this.end ? at : bad("a table ends early");
  }
}

/** Bits from the last one on, which is marked by the highest bit that is set. */
export class BackwardBits {
  constructor(data, start, end) {
    if (end <= start || data[end - 1] === 0) {
      bad("bits without a mark at their end");
    }
    this.data = data;
    this.start = start;
    this.left = 8 * (end - start - 1) + 31 - Math.clz32(data[end - 1]);
  }

  /** Up to 24 bits; those before the first are 0. */
  peek(count) {
    const from = this.left - count;
    const bit = Math.max(from, 0);
    const byte = this.start + (bit >> 3);
    const { data } = this;
    const word = (data[byte] | (data[byte + 1] << 8) | (data[byte + 2] << 16) | (data[byte + 3] << 24)) >>> (bit & 7);
    if (from >= 0) {
      return word & ((1 << count) - 1);
    }
    return this.left > 0 ? (word & ((1 << this.left) - 1)) << -from : 0;
  }

  read(count) {
    if (count > 24) {
      const high = this.read(count - 16);
      return high * 65536 + this.read(16);
    }
    const value = this.peek(count);
    this.left -= count;
    return value;
  }
}

/** The distribution of a table: {probabilities, log, at}, at: the byte behind it. */
export function readDistribution(data, start, end, logMax, symbolMax) {
  const bits = new ForwardBits(data, start, end);
  const log = bits.peek(4) + 5;
  bits.bit += 4;
  if (log > logMax) {
    bad("a table is too large");
  }
  const probabilities = [];
  let left = (1 << log) + 1;
  let threshold = 1 << log;
  let width = log + 1;
  while (left > 1) {
    const spare = 2 * threshold - 1 - left;
    let value = bits.peek(width);
    if ((value & (threshold - 1)) < spare) {
      value &= threshold - 1;
      bits.bit += width - 1;
    } else {
      value -= value >= threshold ? spare : 0;
      bits.bit += width;
    }
    probabilities.push(value - 1);
    left -= Math.abs(value - 1);
    if (value === 1) {
      zeros(bits, probabilities, symbolMax);
    }
    if (probabilities.length > symbolMax + 1 || left < 1) {
      bad("a table's distribution is wrong");
    }
    while (left < threshold && threshold > 1) {
      width--;
      threshold >>= 1;
    }
  }
  return { probabilities, log, at: bits.byte() };
}

function zeros(bits, probabilities, symbolMax) {
  let more = 3;
  while (more === 3 && probabilities.length <= symbolMax) {
    more = bits.peek(2);
    bits.bit += 2;
    for (let i = 0; i < more; i++) {
      probabilities.push(0);
    }
  }
}

/** A table: for each state its symbol, the bits to read, and what they are added to. */
export function fseTable(probabilities, log) {
  const size = 1 << log;
  const symbol = new Uint8Array(size);
  const next = new Uint16Array(probabilities.length);
  let high = size;
  probabilities.forEach((p, s) => {
    if (p === -1) {
      symbol[--high] = s;
      next[s] = 1;
    } else {
      next[s] = p;
    }
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  probabilities.forEach((p, s) => {
    for (let i = 0; i < p; i++) {
      symbol[at] = s;
      do {
        at = (at + step) & (size - 1);
      } while (at >= high);
    }
  });
  const width = new Uint8Array(size);
  const base = new Uint16Array(size);
  for (let i = 0; i < size; i++) {
    const state = next[symbol[i]]++;
    width[i] = log - (31 - Math.clz32(state));
    base[i] = (state << width[i]) - size;
  }
  return { symbol, width, base, log };
}

/** A table of one symbol, which takes no bits. */
export function onlyTable(s) {
  return { symbol: Uint8Array.of(s), width: new Uint8Array(1), base: new Uint16Array(1), log: 0 };
}

/** {table, at}: a Huffman table by its highest number of bits, and the byte behind it. */
export function readHuffman(data, start, end) {
  if (start >= end) {
    bad("a Huffman table ends early");
  }
  const header = data[start];
  const at = start + 1 + (header < 128 ? header : (header - 126) >> 1);
  if (at > end) {
    bad("a Huffman table ends early");
  }
  const weights = header < 128 ? fseWeights(data, start + 1, at)
    : Array.from({ length: header - 127 }, (_, i) => (i % 2 ? data[start + 1 + (i >> 1)] & 15 : data[start + 1 + (i >> 1)] >> 4));
  return { table: huffmanTable(weights), at };
}

function fseWeights(data, start, end) {
  const { probabilities, log, at } = readDistribution(data, start, end, 6, 12);
  const table = fseTable(probabilities, log);
  const bits = new BackwardBits(data, at, end);
  const states = [bits.read(log), bits.read(log)];
  const weights = [];
  for (let turn = 0; weights.length < 255; turn ^= 1) {
    const state = states[turn];
    weights.push(table.symbol[state]);
    if (bits.left < table.width[state]) {
      weights.push(table.symbol[states[turn ^ 1]]);
      return weights;
    }
    states[turn] = table.base[state] + bits.read(table.width[state]);
  }
  return bad("a Huffman table has too many symbols");
}

function huffmanTable(weights) {
  const sum = weights.reduce((all, w) => all + (w > 0 ? 2 ** (w - 1) : 0), 0);
  const log = sum > 0 ? 32 - Math.clz32(sum) : 0;
  const rest = 2 ** log - sum;
  if (log < 1 || log > 11 || (rest & (rest - 1)) !== 0 || weights.length > 255) {
    bad("a Huffman table's weights are wrong");
  }
  weights.push(32 - Math.clz32(rest));
  const symbol = new Uint8Array(1 << log);
  const width = new Uint8Array(1 << log);
  let at = 0;
  for (let w = 1; w <= log; w++) {
    weights.forEach((weight, s) => {
      if (weight === w) {
        symbol.fill(s, at, at + (1 << (w - 1)));
        width.fill(log + 1 - w, at, at + (1 << (w - 1)));
        at += 1 << (w - 1);
      }
    });
  }
  return { symbol, width, log };
}

/** Fills out[from..to) from one stream. */
export function huffmanStream(table, data, start, end, out, from, to) {
  const bits = new BackwardBits(data, start, end);
  for (let i = from; i < to; i++) {
    const code = bits.peek(table.log);
    out[i] = table.symbol[code];
    bits.left -= table.width[code];
  }
  if (bits.left !== 0) {
    bad("literals that do not end with their bits");
  }
}
