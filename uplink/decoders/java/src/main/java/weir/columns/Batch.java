package weir.columns;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The record weir.columns.Batch as it is. */
public final class Batch {
    /** Full name of the schema that all batches have. */
    public static final String SCHEMA_NAME = "weir.columns.Batch";

    private static final int MANY = 1 << 20;

    final SchemaId schema;
    final String agent;
    final int count;
    final long[] ints;
    final List<String> strings;
    final byte[] planes;
    final byte[] rows;

    Batch(SchemaId schema, String agent, int count, long[] ints, List<String> strings, byte[] planes, byte[] rows) {
        this.schema = schema;
        this.agent = agent;
        this.count = count;
        this.ints = ints;
        this.strings = strings;
        this.planes = planes;
        this.rows = rows;
    }

    /** From Avro binary; ColumnsException where it is no batch, to its last byte. */
    public static Batch parse(byte[] record) {
        Reader r = new Reader(record);
        long branch = r.readLong();
        if (branch < 0 || branch > 2) {
            throw new ColumnsException("branch", "no branch " + branch + " in the union schema");
        }
        SchemaId schema = branch == 0 ? SchemaId.of(r.readInt()) : SchemaId.of(r.raw(8 * branch));
        String agent = r.readString();
        int count = r.readInt();
        long[] ints = new long[0];
        int used = 0;
        for (int n = r.smallBlock(); n > 0; n = r.smallBlock()) {
            if (used + n > ints.length) {
                ints = Arrays.copyOf(ints, Math.max(used + n, used < MANY ? 2 * used : used + used / 2)); // blocks may be of one item each
            }
            for (int i = 0; i < n; i++) {
                ints[used++] = r.readLong();
            }
        }
        ints = used < ints.length ? Arrays.copyOf(ints, used) : ints;
        List<String> strings = new ArrayList<>();
        for (int n = r.smallBlock(); n > 0; n = r.smallBlock()) {
            for (int i = 0; i < n; i++) {
                strings.add(r.readString());
            }
        }
        Batch batch = new Batch(schema, agent, count, ints, strings, r.readBytes(), r.readBytes());
        r.end("the record");
        return batch;
    }

    /** Id of the row schema. */
    public SchemaId schema() {
        return schema;
    }

    /** Agent and incarnation; empty where nobody asks for them. */
    public String agent() {
        return agent;
    }

    public int count() {
        return count;
    }
}
