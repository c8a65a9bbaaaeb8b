package weir.columns;

import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;

/** A parsed row schema: made once, it decodes many batches. Any thread. */
public final class RowSchema {
    private final Schema schema;
    private final Place plan;
    private final ColumnsException obstacle;

    /** The schema has to be one that was parsed, with its properties. */
    public RowSchema(Schema schema) {
        this.schema = schema;
        Place found = null;
        ColumnsException why = null;
        try {
            found = Place.plan(schema);
        } catch (ColumnsException e) {
            why = e;
        }
        plan = found;
        obstacle = why;
    }

    /** From a schema's JSON; ColumnsException where it is none. */
    public static RowSchema parse(String text) {
        try {
            return new RowSchema(new Schema.Parser().setValidateDefaults(false).parse(text));
        } catch (AvroRuntimeException e) {
            throw new ColumnsException("schema", "not an Avro schema: " + e.getMessage());
        }
    }

    public Schema schema() {
        return schema;
    }

    /** The columns; ColumnsException where only the row body is possible. */
    Place plan() {
        if (plan == null) {
            throw new ColumnsException(obstacle.rule(), obstacle.getMessage());
        }
        return plan;
    }
}
