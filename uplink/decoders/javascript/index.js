// Decodes the `columns` layout of the ingestion agent weir: one message is a batch of rows, column by column.
import { Batch } from "./lib/batch.js";
import { RowSchema } from "./lib/schema.js";
import { sequencesAndRows } from "./lib/rows.js";

export { Batch } from "./lib/batch.js";
export { Consumer, unwrap } from "./lib/envelope.js";
export { ColumnsError } from "./lib/errors.js";
export { RowSchema } from "./lib/schema.js";

export const BUDGET = 10_000_000;

/** Rows, sequence numbers and agent of a batch; ColumnsError for any that is none. See index.d.ts. */
export function decode(record, rowSchema, options = {}) {
  const batch = record instanceof Uint8Array ? Batch.parse(record) : record;
  const schema = rowSchema instanceof RowSchema ? rowSchema : new RowSchema(rowSchema);
  const { sequences, rows } = sequencesAndRows(batch, schema, options.budget ?? BUDGET, options);
  return { rows, sequences, agent: batch.agent, schema: batch.schema };
}
