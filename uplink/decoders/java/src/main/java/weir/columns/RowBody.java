package weir.columns;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.util.Utf8;

/** Rows of a batch as Avro datums one after the other. */
final class RowBody {
    /** Values within a row. */
    private static final int NESTING_MAX = 128;

    private final Reader reader;
    private final Budget budget;

    RowBody(byte[] data, Budget budget) {
        this.reader = new Reader(data);
        this.budget = budget;
    }

    Object[] rows(Schema root, int count) {
        Object[] rows = new Object[count];
        for (int i = 0; i < count; i++) {
            rows[i] = value(root, 0);
        }
        reader.end("the last row");
        return rows;
    }

    private Object value(Schema schema, int depth) {
        if (depth > NESTING_MAX) {
            throw new ColumnsException("nesting", "values nest deeper than " + NESTING_MAX + " in a row");
        }
        budget.pay(1);
        switch (schema.getType()) {
            case NULL:
                return null;
            case BOOLEAN:
                return below(reader.raw(1)[0], 2, "value") == 1;
            case INT:
                return reader.readInt();
            case LONG:
                return reader.readLong();
            case FLOAT:
                return reader.readFloat();
            case DOUBLE:
                return reader.readDouble();
            case BYTES:
                return ByteBuffer.wrap(reader.readBytes());
            case STRING:
                return text(schema);
            case FIXED:
                return new GenericData.Fixed(schema, reader.raw(schema.getFixedSize()));
            case ENUM:
                return new GenericData.EnumSymbol(schema, schema.getEnumSymbols().get(below(reader.readLong(), schema.getEnumSymbols().size(), "symbol")));
            case UNION:
                return value(schema.getTypes().get(below(reader.readLong(), schema.getTypes().size(), "branch")), depth + 1);
            case ARRAY:
                return array(schema, depth + 1);
            case MAP:
                return map(schema, depth + 1);
            default:
                return record(schema, depth + 1);
        }
    }

    private static int below(long index, int count, String rule) {
        if (index < 0 || index >= count) {
            throw new ColumnsException(rule, index + " of " + count);
        }
        return (int) index;
    }

    private Object text(Schema schema) {
        String text = reader.readString();
        return ColumnBody.isJavaString(schema) ? text : new Utf8(text);
    }

    private Object record(Schema schema, int depth) {
        GenericData.Record record = new GenericData.Record(schema);
        for (Schema.Field f : schema.getFields()) {
            record.put(f.pos(), value(f.schema(), depth));
        }
        return record;
    }

    private Object array(Schema schema, int depth) {
        GenericData.Array<Object> items = new GenericData.Array<>(0, schema);
        for (long n = reader.block(); n > 0; n = reader.block()) {
            budget.can(n);
            for (long i = 0; i < n; i++) {
                items.add(value(schema.getElementType(), depth));
            }
        }
        return items;
    }

    private Object map(Schema schema, int depth) {
        Map<Object, Object> entries = new LinkedHashMap<>();
        for (long n = reader.block(); n > 0; n = reader.block()) {
            budget.can(n);
            for (long i = 0; i < n; i++) {
                Object key = text(schema);
                entries.put(key, value(schema.getValueType(), depth));
            }
        }
        return entries;
    }
}
