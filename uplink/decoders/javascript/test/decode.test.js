// Envelopes, options and types; the format itself is tested by vectors. Run: node --test
import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch, ColumnsError, Consumer, RowSchema, decode, unwrap } from "../index.js";

const READING = JSON.stringify({
  type: "record", name: "Reading", fields: [
    { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "device", type: "string", "weir.values": ["north", "south"] }, { name: "temp", type: ["null", "double"] }],
});
const RECORD = bytes("00 0e 00 08 32 d1 0f 0c 04 80 a0 ab fe f9 62 d0 0f 00 00 00 02 02 04 00 02 02 00 02 44 02 d6 24" +
  "06 00 00 00 00 80 80 80 80 80 80 c0 c8 7f 00 02 08 65 61 73 74 00 00 00");
const BATCH = JSON.stringify({ type: "record", name: "Batch", namespace: "weir.columns", fields: [] });
const FINGERPRINT = bytes("bd948c1e7d1fbef6");

function bytes(hex) {
  return Uint8Array.from(hex.match(/[0-9a-f]{2}/g) ?? [], (h) => parseInt(h, 16));
}

function join(...parts) {
  return Uint8Array.from(parts.flatMap((p) => [...p]));
}

/** The value of a row that is no record, through the row body. */
function oneRow(type, datum, options) {
  const batch = Object.assign(Batch.parse(RECORD), { count: 1, ints: [-1], strings: [], planes: bytes(""), rows: datum });
  return decode(batch, JSON.stringify(type), options).rows[0];
}

test("rows", () => {
  const d = decode(RECORD, READING);
  assert.deepEqual(d.sequences, [500, 501, 502, 503]);
  assert.equal(d.agent, "");
  assert.equal(d.schema, 7);
  assert.deepEqual(d.rows[0], { ts: 1700000000000, device: "north", temp: 23.47 });
  assert.deepEqual(d.rows.map((r) => r.temp), [23.47, 23.5, null, -0]);
  const named = decode(RECORD, new RowSchema(READING), { namedUnions: true, logical: true });
  assert.deepEqual(named.rows[1], { ts: new Date(1700000001000), device: "south", temp: { double: 23.5 } });
  assert.equal(decode(RECORD, READING, { floatBits: true }).rows[3].temp, "8000000000000000");
});

test("longs beyond what a number holds", () => {
  assert.equal(oneRow("long", bytes("feffffffffffff1f")), 2 ** 53 - 1);
  assert.equal(oneRow("long", bytes("8080808080808020")), 2n ** 53n);
  assert.equal(oneRow("long", bytes("ffffffffffffffffff01")), -(2n ** 63n));
});

test("other schemas are asked for once", async () => {
  const asked = [];
  const consumer = new Consumer((id) => asked.push(id) && "syntax");
  assert.equal(await consumer.decode(bytes("000000000502")), null);
  assert.equal(await consumer.decode(bytes("000000000502")), null);
  assert.deepEqual(asked, [5]);
});

test("references", () => {
  const inner = { type: "record", name: "Inner", namespace: "s", fields: [{ name: "v", type: "int" }] };
  const outer = '{"type": "record", "name": "Outer", "fields": [{"name": "in", "type": ["null", "s.Inner"]}]}';
  const batch = Object.assign(Batch.parse(RECORD), { count: 1, ints: [-1], strings: [], planes: bytes(""), rows: bytes("020a") });
  assert.deepEqual(decode(batch, new RowSchema(outer, [inner])).rows, [{ in: { v: 5 } }]);
});

test("logical types", () => {
  const money = { type: "bytes", logicalType: "decimal", precision: 40, scale: 2 };
  assert.equal(oneRow(money, bytes("04092e"), { logical: true }), "23.50");
  assert.equal(oneRow(money, bytes("02ff"), { logical: true }), "-0.01");
  assert.deepEqual(oneRow(money, bytes("02ff")), bytes("ff"));
  assert.deepEqual(oneRow({ type: "int", logicalType: "date" }, bytes("02"), { logical: true }), new Date("1970-01-02"));
  assert.equal(oneRow({ type: "long", logicalType: "timestamp-millis" }, bytes("ffffffffffffffffff01"), { logical: true }), -(2n ** 63n));
  assert.equal(oneRow({ type: "fixed", name: "U", size: 16, logicalType: "uuid" }, bytes("000102030405060708090a0b0c0d0e0f"), { logical: true }),
    "00010203-0405-0607-0809-0a0b0c0d0e0f");
  assert.deepEqual(oneRow({ type: "map", values: "int" }, bytes("04 0262 02 0261 02 00")), new Map([["b", 1], ["a", 1]]));
});

test("names that are no ordinary properties", () => {
  const schema = { type: "record", name: "R", fields: [{ name: "__proto__", type: "int" }, { name: "constructor", type: "int" }] };
  const row = oneRow(schema, bytes("0204"));
  assert.deepEqual(Object.entries(row), [["__proto__", 1], ["constructor", 2]]);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
});

test("one error", () => {
  for (let size = 0; size < RECORD.length; size++) {
    assert.throws(() => decode(RECORD.subarray(0, size), READING), ColumnsError);
  }
  assert.throws(() => decode(RECORD, READING, { budget: 10 }), { code: "budget" });
  for (const text of ["", "{", "7", "null", '{"type": "record"}', '"other"', '{"type": "fixed", "name": "F", "size": -1}',
    '{"type": "record", "name": "R", "fields": 3}', "[".repeat(300) + "]".repeat(300), "[".repeat(1e6)]) {
    assert.throws(() => new RowSchema(text), ColumnsError, text);
  }
});

test("envelopes", async () => {
  const asked = [];
  const consumer = new Consumer(async (id) => {
    asked.push(id);
    return { 1: BATCH, 7: READING, 9: '"string"', 8: "syntax" }[typeof id === "number" ? id : 1];
  });
  const { rows } = decode(RECORD, READING);
  assert.deepEqual(await consumer.rows(join(bytes("0000000001"), RECORD)), rows);
  assert.deepEqual(await consumer.rows(join(bytes("0000000001"), RECORD)), rows);
  assert.deepEqual(asked, [1, 7]);
  assert.deepEqual(await consumer.rows(join(bytes("c301"), FINGERPRINT, RECORD)), rows);
  assert.deepEqual(await consumer.rows(join(bytes("0300"), new Uint8Array(16), RECORD)), rows);
  const row = join(bytes("0000000009"), bytes("0278"));
  assert.equal(await consumer.decode(row), null);
  assert.deepEqual(await consumer.rows(row), [row]);
  assert.deepEqual(await consumer.rows(row, (m) => m.length), [7]);
  for (const other of [null, bytes(""), bytes("00"), bytes("7b7d"), join(bytes("0000000008"), bytes("0278")), join(bytes("c301"), new Uint8Array(8))]) {
    assert.equal(await consumer.decode(other), null);
  }
});

test("zstd", async () => {
  const inner = join(bytes("c301"), FINGERPRINT, RECORD);
  // a frame of one raw block: single segment, a content size of one byte, last block
  const frame = join(bytes("28b52ffd20"), [inner.length], [1 | (inner.length << 3) & 255, inner.length >> 5, 0], inner);
  const zstd = (f, size) => f.subarray(f.length - size);
  assert.deepEqual(unwrap(frame, { zstd }).body, RECORD);
  const consumer = new Consumer(() => READING, { zstd });
  assert.equal((await consumer.rows(frame)).length, 4);
  assert.deepEqual(unwrap(frame).body, RECORD);
  assert.throws(() => unwrap(frame, { zstd, unpackedMax: 10 }), { code: "envelope" });
  assert.throws(() => unwrap(frame, { zstd: () => new Uint8Array(3) }), { code: "envelope" });
  assert.throws(() => unwrap(frame, { zstd: () => { throw new Error("no"); } }), { code: "envelope" });
});
