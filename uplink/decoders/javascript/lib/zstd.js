// Unpacks a zstd frame (RFC 8878) that says how much it holds; by a dictionary, if it names one.
import { BackwardBits, bad, fseTable, huffmanStream, onlyTable, readDistribution, readHuffman } from "./fse.js";

const BLOCK_MAX = 128 * 1024;
const DICTIONARY_MAGIC = 0xec30a437;
const OFFSET_CODE_MAX = 27;
const LITERAL = {
  logMax: 9,
  base: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536],
  extra: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  usual: fseTable([4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1], 6),
};
const MATCH = {
  logMax: 9,
  base: [...Array.from({ length: 32 }, (_, i) => i + 3), 35, 37, 39, 41, 43, 47, 51, 59, 67, 83, 99, 131, 259, 515, 1027, 2051, 4099, 8195, 16387, 32771, 65539],
  extra: [...new Array(32).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
  usual: fseTable([1, 4, 3, 2, 2, 2, 2, 2, 2, ...new Array(37).fill(1), -1, -1, -1, -1, -1, -1, -1], 6),
};
const OFFSET = {
  logMax: 8,
  base: Array.from({ length: OFFSET_CODE_MAX + 1 }, (_, i) => 2 ** i),
  extra: Array.from({ length: OFFSET_CODE_MAX + 1 }, (_, i) => i),
  usual: fseTable([1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1], 5),
};

/** The content of a frame, `size` bytes as its header says; dictionaries: what readDictionaries() gives. ColumnsError for any that is damaged. */
export function unpackZstd(frame, size, dictionaries = new Map()) {
  return new Frame(frame, size).unpack(dictionaries);
}

/** Trained dictionaries (RFC 8878, section 5) by their numbers. */
export function readDictionaries(list) {
  return list instanceof Map ? list : new Map(Array.from(list, (data) => readDictionary(data)));
}

function readDictionary(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 8 || view.getUint32(0, true) !== DICTIONARY_MAGIC) {
    bad("not a trained dictionary");
  }
  const tables = {};
  let at;
  ({ table: tables.huffman, at } = readHuffman(data, 8, data.length));
  for (const [name, kind] of [["offset", OFFSET], ["match", MATCH], ["literal", LITERAL]]) {
    const read = readDistribution(data, at, data.length, kind.logMax, kind.base.length - 1);
    tables[name] = fseTable(read.probabilities, read.log);
    at = read.at;
  }
  if (at + 12 > data.length) {
    bad("a dictionary ends early");
  }
  const offsets = [0, 4, 8].map((i) => view.getUint32(at + i, true));
  return [view.getUint32(4, true), { tables, offsets, content: data.subarray(at + 12) }];
}

class Frame {
  constructor(data, size) {
    this.data = data;
    this.out = new Uint8Array(size);
    this.filled = 0;
    this.tables = { literal: null, offset: null, match: null, huffman: null };
    this.offsets = [1, 4, 8];
    this.before = new Uint8Array(0); // what matches may reach in front of the content
  }

  /** The dictionary that the header names. */
  take(dictionaries, number) {
    const dictionary = dictionaries.get(number) ?? bad(`it needs dictionary ${number}, which is not there`);
    this.tables = { ...dictionary.tables };
    this.offsets = dictionary.offsets;
    this.before = dictionary.content;
  }

  unpack(dictionaries) {
    const { data } = this;
    const descriptor = data[4];
    const single = (descriptor >> 5) & 1;
    const width = [0, 1, 2, 4][descriptor & 3];
    const number = data.subarray(6 - single, 6 - single + width).reduceRight((n, b) => n * 256 + b, 0);
    if (descriptor & 8) {
      bad("it needs what is not known");
    }
    if (number !== 0) {
      this.take(dictionaries, number);
    }
    let at = 6 - single + width + [single, 2, 4, 8][descriptor >> 6];
    for (let last = 0; !last; ) {
      if (at + 3 > data.length) {
        bad("it ends early");
      }
      const header = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16);
      last = header & 1;
      at = this.block((header >> 1) & 3, header >> 3, at + 3);
    }
    if (at + (descriptor & 4 ? 4 : 0) !== data.length || this.filled !== this.out.length) {
      bad("it is not as long as it says");
    }
    return this.out;
  }

  /** Room for so many bytes more. */
  room(count) {
    if (count > this.out.length - this.filled) {
      bad("it holds more than it says");
    }
  }

  put(bytes) {
    this.room(bytes.length);
    this.out.set(bytes, this.filled);
    this.filled += bytes.length;
  }

  block(type, size, at) {
    const end = at + (type === 1 ? 1 : size);
    if (end > this.data.length || type === 3 || size > BLOCK_MAX) {
      bad("a block is wrong");
    }
    if (type === 0) {
      this.put(this.data.subarray(at, end));
    } else if (type === 1) {
      this.room(size);
      this.out.fill(this.data[at], this.filled, this.filled + size);
      this.filled += size;
    } else {
      this.compressed(at, end);
    }
    return end;
  }

  compressed(start, end) {
    const { literals, at } = this.literals(start, end);
    const { count, at: behind } = this.sequences(at, end);
    let used = 0;
    if (count > 0) {
      used = this.execute(count, literals, behind, end);
    } else if (behind !== end) {
      bad("bytes behind its literals");
    }
    this.put(literals.subarray(used));
  }

  literals(start, end) {
    const { data } = this;
    const type = data[start] & 3;
    const format = (data[start] >> 2) & 3;
    const width = type < 2 ? [1, 2, 1, 3][format] : [3, 3, 4, 5][format];
    if (start + width > end) {
      bad("its literals end early");
    }
    let header = 0;
    for (let i = width - 1; i >= 0; i--) {
      header = header * 256 + data[start + i];
    }
    if (type < 2) {
      return this.plainLiterals(type, Math.floor(header / (width === 1 ? 8 : 16)), start + width, end);
    }
    const bits = [10, 10, 14, 18][format];
    const size = Math.floor(header / 16) % 2 ** bits;
    const packed = Math.floor(header / 2 ** (4 + bits));
    if (size > BLOCK_MAX || start + width + packed > end) {
      bad("its literals end early");
    }
    return this.huffmanLiterals(type, format === 0, size, start + width, start + width + packed);
  }

  plainLiterals(type, size, at, end) {
    const behind = at + (type === 0 ? size : 1);
    if (behind > end || size > BLOCK_MAX) {
      bad("its literals end early");
    }
    return { literals: type === 0 ? this.data.subarray(at, behind) : new Uint8Array(size).fill(this.data[at]), at: behind };
  }

  huffmanLiterals(type, isOne, size, start, end) {
    let at = start;
    if (type === 2) {
      ({ table: this.tables.huffman, at } = readHuffman(this.data, start, end));
    }
    const table = this.tables.huffman ?? bad("literals without a table");
    const literals = new Uint8Array(size);
    if (isOne) {
      huffmanStream(table, this.data, at, end, literals, 0, size);
      return { literals, at: end };
    }
    const part = (size + 3) >> 2;
    let from = at + 6;
    for (let i = 0; i < 4; i++) {
      const to = i < 3 ? from + this.data[at + 2 * i] + 256 * this.data[at + 2 * i + 1] : end;
      if (at + 6 > end || !(to <= end) || 3 * part > size) {
        bad("its literals end early");
      }
      huffmanStream(table, this.data, from, to, literals, i * part, i < 3 ? (i + 1) * part : size);
      from = to;
    }
    return { literals, at: end };
  }

  /** How many sequences follow, with their tables read. */
  sequences(start, end) {
    const { data, tables } = this;
    const first = data[start];
    if (start >= end) {
      bad("its sequences are missing");
    }
    if (first === 0) {
      return { count: 0, at: start + 1 };
    }
    const width = first < 128 ? 1 : first < 255 ? 2 : 3;
    const count = width === 1 ? first : width === 2 ? ((first - 128) << 8) + data[start + 1] : data[start + 1] + (data[start + 2] << 8) + 0x7f00;
    let at = start + width + 1;
    if (at > end || data[at - 1] & 3) {
      bad("its sequences end early");
    }
    const modes = data[at - 1];
    for (const [name, kind, shift] of [["literal", LITERAL, 6], ["offset", OFFSET, 4], ["match", MATCH, 2]]) {
      ({ table: tables[name], at } = this.table(kind, (modes >> shift) & 3, tables[name], at, end));
    }
    return { count, at };
  }

  table(kind, mode, before, at, end) {
    const symbolMax = kind.base.length - 1;
    if (mode === 0) {
      return { table: kind.usual, at };
    }
    if (mode === 1) {
      return at < end && this.data[at] <= symbolMax ? { table: onlyTable(this.data[at]), at: at + 1 } : bad("a table of one wrong symbol");
    }
    if (mode === 3) {
      return { table: before ?? bad("a table that never was"), at };
    }
    const read = readDistribution(this.data, at, end, kind.logMax, symbolMax);
    return { table: fseTable(read.probabilities, read.log), at: read.at };
  }

  /** Copies literals and matches; how many literals it has used. */
  execute(count, literals, at, end) {
    const bits = new BackwardBits(this.data, at, end);
    const { literal, offset, match } = this.tables;
    const states = [bits.read(literal.log), bits.read(offset.log), bits.read(match.log)];
    let used = 0;
    for (let i = 0; i < count; i++) {
      const codes = [literal.symbol[states[0]], offset.symbol[states[1]], match.symbol[states[2]]];
      if (codes[1] > OFFSET_CODE_MAX) {
        bad("an offset is too large");
      }
      const offsetValue = OFFSET.base[codes[1]] + bits.read(codes[1]);
      const length = MATCH.base[codes[2]] + bits.read(MATCH.extra[codes[2]]);
      const plain = LITERAL.base[codes[0]] + bits.read(LITERAL.extra[codes[0]]);
      if (i < count - 1) {
        states[0] = literal.base[states[0]] + bits.read(literal.width[states[0]]);
        states[2] = match.base[states[2]] + bits.read(match.width[states[2]]);
        states[1] = offset.base[states[1]] + bits.read(offset.width[states[1]]);
      }
      if (bits.left < 0 || plain > literals.length - used) {
        bad("its sequences end early");
      }
      this.put(literals.subarray(used, used + plain));
      used += plain;
      this.copy(this.distance(offsetValue, plain), length);
    }
    if (bits.left !== 0) {
      bad("sequences that do not end with their bits");
    }
    return used;
  }

  /** The three last distances are named by 1 to 3. */
  distance(value, plain) {
    const { offsets } = this;
    if (value > 3) {
      this.offsets = [value - 3, offsets[0], offsets[1]];
      return value - 3;
    }
    const index = value - 1 + (plain === 0 ? 1 : 0);
    const distance = index === 3 ? offsets[0] - 1 : offsets[index];
    if (index > 0) {
      this.offsets = [distance, offsets[0], index === 1 ? offsets[2] : offsets[1]];
    }
    return distance;
  }

  copy(distance, length) {
    this.room(length);
    if (distance < 1 || distance > this.filled + this.before.length) {
      bad("a match before its beginning");
    }
    for (let i = 0; i < length; i++, this.filled++) {
      const from = this.filled - distance;
      this.out[this.filled] = from < 0 ? this.before[this.before.length + from] : this.out[from];
    }
  }
}
