package weir.columns;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Decodes batches. */
public final class Decoder {
    /** Values that a batch may have, all fields, items and nulls counted. */
    public static final int BUDGET = 10_000_000;

    private Decoder() {
    }

    /** Rows and sequence numbers of a batch; ColumnsException for any that is none. */
    public static Decoded decode(Batch batch, RowSchema schema, int budget) {
        if (batch.count < 0) {
            throw new ColumnsException("count", batch.count + " rows");
        }
        Columns columns = new Columns(batch, new Budget(budget));
        long[] column0 = columns.integers(batch.count);
        long[] sequences = column0.clone();
        for (int i = 0; i < sequences.length; i++) {
            sequences[i] += i;
        }
        Object[] rows;
        if (batch.rows.length > 0) {
            columns.end();
            rows = new RowBody(batch.rows, columns.budget()).rows(schema.schema(), batch.count);
        } else {
            Place plan = schema.plan();
            columns.register(new Columns.Here(0, 0, null, batch.count), column0);
            columns.shapes().begin(plan.columnCount);
            rows = new ColumnBody(columns).values(plan, null, batch.count);
            columns.end();
        }
        return new Decoded(Collections.unmodifiableList(Arrays.asList(rows)), sequences, batch.agent, batch.schema);
    }

    /** The same of the record's bytes, with the usual budget. */
    public static Decoded decode(byte[] record, RowSchema schema) {
        return decode(Batch.parse(record), schema, BUDGET);
    }

    /** What a batch holds. */
    public static final class Decoded {
        private final List<Object> rows;
        private final long[] sequences;
        private final String agent;
        private final SchemaId schema;

        Decoded(List<Object> rows, long[] sequences, String agent, SchemaId schema) {
            this.rows = rows;
            this.sequences = sequences;
            this.agent = agent;
            this.schema = schema;
        }

        /** Avro's generic data: GenericRecords, unless the row schema is no record. Rows may share what does not change. */
        public List<Object> rows() {
            return rows;
        }

        /** One for each row. */
        public long[] sequences() {
            return sequences.clone();
        }

        public String agent() {
            return agent;
        }

        /** Id of the row schema as the batch has it. */
        public SchemaId schema() {
            return schema;
        }
    }
}
