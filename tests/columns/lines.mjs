// The JavaScript decoder as a filter: see lines.py.
import { createInterface } from "node:readline";
import { ColumnsError, RowSchema, decode } from "../../uplink/decoders/javascript/index.js";

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

function answer({ schema, record, budget }) {
  try {
    const d = decode(Uint8Array.from(Buffer.from(record, "hex")), new RowSchema(schema), { budget, namedUnions: true, floatBits: true });
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
  process.stdout.write(answer(JSON.parse(line)) + "\n");
}
