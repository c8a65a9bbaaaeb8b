// usage: zstd.mjs [DICTIONARY...]; frames in hexadecimal in, a line each; their content out as JSON, null for one that is damaged.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { ColumnsError, unwrap } from "../../uplink/decoders/javascript/index.js";

const STANDARD = "28b52ffd";
const dictionaries = process.argv.slice(2).map((path) => new Uint8Array(readFileSync(path)));

for await (const line of createInterface({ input: process.stdin })) {
  const frame = Uint8Array.from(Buffer.from(line, "hex"));
  let content = null;
  try {
    // what unwrap() takes for another envelope is behind a header: put together again
    const { kind, schema, body } = unwrap(frame, { unpackedMax: 1 << 22, dictionaries });
    content = kind === null ? Buffer.from(body).toString("hex") : rebuilt(kind, schema) + Buffer.from(body).toString("hex");
  } catch (e) {
    if (!(e instanceof ColumnsError)) {
      throw e;
    }
  }
  console.log(JSON.stringify(content?.startsWith(STANDARD) ? null : content));
}

function rebuilt(kind, schema) {
  if (kind === "confluent") {
    return "00" + (schema >>> 0).toString(16).padStart(8, "0");
  }
  return (kind === "glue" ? "0300" : "c301") + Buffer.from(schema).toString("hex");
}
