// The JavaScript decoder as a filter: see lines.py.
import { createInterface } from "node:readline";
import { ColumnsError, Consumer, RowSchema, decode } from "../../uplink/decoders/javascript/index.js";

function hex(bytes) {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

/** JSON with BigInts; maps in their order. */
function text(v) {
  if (v instanceof Map) {
    return `{${[...v].map(([k, i]) => `${JSON.stringify(k)}:${text(i)}`).join()}}`;
  }
  if (v instanceof Uint8Array) {
    return JSON.stringify(Buffer.from(v.buffer, v.byteOffset, v.length).toString("latin1"));
  }
  if (Array.isArray(v)) {
    return `[${v.map(text).join()}]`;
  }
  if (v !== null && typeof v === "object") {
    return `{${Object.entries(v).map(([k, i]) => `${JSON.stringify(k)}:${text(i)}`).join()}}`;
  }
  return typeof v === "bigint" ? v.toString() : JSON.stringify(v);
}

function bytes(hexadecimal) {
  return Uint8Array.from(Buffer.from(hexadecimal, "hex"));
}

async function answer({ schema, record, message, dictionaries, budget }) {
  try {
    const options = { budget, namedUnions: true, floatBits: true };
    const d = message === undefined ? decode(bytes(record), new RowSchema(schema), options)
      : await new Consumer(() => schema, { dictionaries: dictionaries.map(bytes), ...options }).decode(bytes(message));
    const id = typeof d.schema === "number" ? d.schema : hex(d.schema);
    return text({ schema: id, agent: d.agent, sequences: d.sequences, rows: d.rows });
  } catch (e) {
    if (e instanceof ColumnsError) {
      return JSON.stringify({ error: e.code });
    }
    throw e;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write((await answer(JSON.parse(line))) + "\n");
}
