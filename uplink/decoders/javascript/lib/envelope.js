// What is around a batch on its way: registry ids, Avro's single objects, Glue's header, zstd.
import { Batch } from "./batch.js";
import { ColumnsError } from "./errors.js";
import { BATCH, RowSchema } from "./schema.js";
import { readDictionaries, unpackZstd } from "./zstd.js";
import { decode } from "../index.js";

const FINGERPRINT = "bd948c1e7d1fbef6";
const UNPACKED_MAX = 64 * 1024 * 1024;

function hex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** What a zstd frame says it holds; null where it does not say, as frames with batches do. */
function contentSize(frame) {
  const descriptor = frame[4] ?? 0;
  const single = (descriptor >> 5) & 1;
  const at = 6 - single + [0, 1, 2, 4][descriptor & 3];
  const width = [single, 2, 4, 8][descriptor >> 6];
  if (width === 0 || frame.length < at + width) {
    return null;
  }
  let size = 0;
  for (let i = width - 1; i >= 0; i--) {
    size = size * 256 + frame[at + i];
  }
  return size + (width === 2 ? 256 : 0);
}

function unpacked(frame, { zstd = unpackZstd, unpackedMax = UNPACKED_MAX, dictionaries = [] }) {
  const size = contentSize(frame);
  if (size === null) {
    return frame;
  }
  if (size > unpackedMax) {
    throw new ColumnsError("envelope", `a zstd frame of ${size} bytes, over ${unpackedMax}`);
  }
  let data;
  try {
    data = zstd(frame, size, readDictionaries(dictionaries));
  } catch (e) {
    throw e instanceof ColumnsError ? e : new ColumnsError("envelope", `not a zstd frame: ${e.message}`);
  }
  if (data.length !== size) {
    throw new ColumnsError("envelope", `a zstd frame of ${data.length} bytes that says ${size}`);
  }
  return data;
}

/** The envelope of a message: {kind, schema, body}; kind "confluent", "single-object", "glue" or null. */
export function unwrap(message, options = {}) {
  const [a, b, c, d] = message;
  const m = a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd ? unpacked(message, options) : message;
  if (m[0] === 0 && m.length >= 5) {
    return { kind: "confluent", schema: new DataView(m.buffer, m.byteOffset).getInt32(1), body: m.subarray(5) };
  }
  if (m[0] === 0xc3 && m[1] === 1 && m.length >= 10) {
    return { kind: "single-object", schema: m.subarray(2, 10), body: m.subarray(10) };
  }
  if (m[0] === 3 && m[1] === 0 && m.length >= 18) {
    return { kind: "glue", schema: m.subarray(2, 18), body: m.subarray(18) };
  }
  return { kind: null, schema: null, body: m };
}

/** A schema of another kind is kept as its error: not asked for again with each of its messages. */
function parsed(text) {
  try {
    return new RowSchema(text);
  } catch (e) {
    if (e instanceof ColumnsError) {
      return e;
    }
    throw e;
  }
}

/** Reads topics that hold batches, rows as ever, or both. */
export class Consumer {
  #schemas = new Map();

  /** schemaOf(id): the text of a schema, a RowSchema, or a promise of them; what it has found is kept, `schemasMax` of them. */
  constructor(schemaOf, { schemasMax = 1000, ...options } = {}) {
    this.schemaOf = schemaOf;
    this.schemasMax = schemasMax;
    this.options = { ...options, dictionaries: readDictionaries(options.dictionaries ?? []) };
  }

  async schema(id) {
    const key = typeof id === "number" ? id : hex(id);
    let found = this.#schemas.get(key);
    if (found === undefined) {
      found = await this.schemaOf(id);
      found = found instanceof RowSchema ? found : parsed(found);
      if (this.#schemas.size >= this.schemasMax) {
        this.#schemas.delete(this.#schemas.keys().next().value);
      }
      this.#schemas.set(key, found);
    }
    if (found instanceof ColumnsError) {
      throw found;
    }
    return found;
  }

  async isBatch(envelope) {
    if (envelope.kind === null || envelope.kind === "single-object") {
      return envelope.kind !== null && hex(envelope.schema) === FINGERPRINT;
    }
    try {
      return (await this.schema(envelope.schema)).name === BATCH;
    } catch (e) {
      if (e instanceof ColumnsError) {
        return false; // a schema of another kind: not ours
      }
      throw e;
    }
  }

  /** Decoded for a batch; null for what is not: a row as ever, or a tombstone, is the caller's. */
  async decode(message) {
    if (message === null || message === undefined) {
      return null;
    }
    const envelope = unwrap(message, this.options);
    if (!(await this.isBatch(envelope))) {
      return null;
    }
    const batch = Batch.parse(envelope.body);
    return decode(batch, await this.schema(batch.schema), this.options);
  }

  /** The rows of a message: those of a batch; of anything else `[elseRow(message)]`, or `[message]` itself. */
  async rows(message, elseRow = (m) => m) {
    const decoded = await this.decode(message);
    return decoded === null ? [await elseRow(message)] : decoded.rows;
  }
}
