/** Input that is not a batch of the row schema it was decoded with. `code` names the rule that it breaks. */
export class ColumnsError extends Error {
  readonly code: "truncated" | "left-over" | "varint" | "count" | "mode" | "key" | "dictionary" | "width" | "index" | "length" | "branch" |
    "symbol" | "value" | "mantissa" | "utf8" | "nesting" | "budget" | "schema" | "envelope";
}

/** A parsed row schema: make it once, decode many batches with it. */
export class RowSchema {
  /** `references`: schemas that define types which this one only names, each after those that it names itself. */
  constructor(text: string | object, references?: (string | object)[]);
  readonly name: string;
}

/** Id of a schema: a number of a registry; 8 bytes, CRC-64-AVRO little endian; 16 bytes, Glue's version. */
export type SchemaId = number | Uint8Array;

/** The record weir.columns.Batch as it is. */
export class Batch {
  static parse(record: Uint8Array): Batch;
  schema: SchemaId;
  agent: string;
  count: number;
}

export interface Options {
  /** Values that a batch may have, all fields, items and nulls counted; 10 million. */
  budget?: number;
  /** date, timestamp-millis and local-timestamp-millis as Date, decimals and UUIDs of 16 bytes as text. */
  logical?: boolean;
  /** A value of a union, but for null, as {name of its branch: value}. */
  namedUnions?: boolean;
  /** Floats and doubles as their IEEE bits in hexadecimal: a JavaScript number loses the payload of a NaN. */
  floatBits?: boolean;
}

/** Longs and sequence numbers are numbers where that is exact, else BigInts; bytes are Uint8Arrays; maps are Maps. */
export interface Decoded<Row = any> {
  rows: Row[];
  sequences: (number | bigint)[];
  agent: string;
  schema: SchemaId;
}

export function decode<Row = any>(record: Uint8Array | Batch, rowSchema: RowSchema | string | object, options?: Options): Decoded<Row>;

export interface EnvelopeOptions {
  /** Unpacks a zstd frame of `size` bytes in place of this package's own: zlib.zstdDecompressSync of Node 22.15. */
  zstd?: (frame: Uint8Array, size: number) => Uint8Array;
  /** The bytes of each zstd dictionary that messages may be packed by; they are known by their numbers. */
  dictionaries?: Uint8Array[];
  /** Bytes of an unpacked frame; 64 MiB. */
  unpackedMax?: number;
}

export interface Envelope {
  kind: "confluent" | "single-object" | "glue" | null;
  schema: SchemaId | null;
  body: Uint8Array;
}

export function unwrap(message: Uint8Array, options?: EnvelopeOptions): Envelope;

/** Reads topics that hold batches, rows as ever, or both. */
export class Consumer {
  constructor(schemaOf: (id: SchemaId) => string | object | Promise<string | object>,
    options?: Options & EnvelopeOptions & { schemasMax?: number });
  /** Decoded for a batch; null for what is not: a row as ever, or a tombstone, is the caller's. */
  decode(message: Uint8Array | null): Promise<Decoded | null>;
  /** The rows of a message: those of a batch; of anything else [elseRow(message)], or [message] itself. */
  rows(message: Uint8Array | null, elseRow?: (message: Uint8Array | null) => any): Promise<any[]>;
}

export const BUDGET: number;
