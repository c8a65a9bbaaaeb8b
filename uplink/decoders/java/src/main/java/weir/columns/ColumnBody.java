package weir.columns;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.util.Utf8;
import weir.columns.Columns.Here;

/** Rows of a batch in columns, as Avro's generic data. */
final class ColumnBody {
    private final Columns columns;

    ColumnBody(Columns columns) {
        this.columns = columns;
    }

    /** One value for each of these rows of the place's table; rows null: all of them. */
    Object[] values(Place place, int[] rows, int n) {
        Here here = new Here(place.column, place.table, rows, n);
        if (n == 0 && place.column >= 0 && place.type != Schema.Type.FLOAT && place.type != Schema.Type.DOUBLE) {
            columns.register(here, new long[0]);
        }
        switch (place.type) {
            case NULL:
                return new Object[columns.budget().pay(n)];
            case RECORD:
                return records(place, rows, n);
            case UNION:
                return unions(place, here);
            case ARRAY:
            case MAP:
                return tables(place, here);
            case FLOAT:
            case DOUBLE:
                return numbers(place, here);
            case STRING:
                return texts(place.schema, columns.texts(n, place.known, here));
            case BYTES:
            case FIXED:
                return raws(place, here);
            default:
                return wholes(place, here);
        }
    }

    /** An integer column that may be a key, within bounds. */
    private long[] integers(Here here, long low, long high, String rule) {
        long[] values = columns.integers(here.count, here);
        for (long v : values) {
            if (v < low || v > high) {
                throw new ColumnsException(rule, v + " in column " + here.column);
            }
        }
        columns.register(here, values);
        return values;
    }

    private Object[] wholes(Place place, Here here) {
        Object[] result = new Object[here.count];
        switch (place.type) {
            case BOOLEAN: {
                long[] values = integers(here, 0, 1, "value");
                Arrays.setAll(result, i -> values[i] == 1);
                break;
            }
            case INT: {
                long[] values = integers(here, Integer.MIN_VALUE, Integer.MAX_VALUE, "value");
                Arrays.setAll(result, i -> (int) values[i]);
                break;
            }
            case LONG: {
                long[] values = integers(here, Long.MIN_VALUE, Long.MAX_VALUE, "value");
                Arrays.setAll(result, i -> values[i]);
                break;
            }
            default: {
                List<String> symbols = place.schema.getEnumSymbols();
                Object[] shared = new Object[symbols.size()];
                Arrays.setAll(shared, i -> new GenericData.EnumSymbol(place.schema, symbols.get(i)));
                long[] values = integers(here, 0, symbols.size() - 1L, "symbol");
                Arrays.setAll(result, i -> shared[(int) values[i]]);
                break;
            }
        }
        return result;
    }

    private Object[] numbers(Place place, Here here) {
        boolean isDouble = place.type == Schema.Type.DOUBLE;
        long[] bits = columns.numberBits(here.count, isDouble, here);
        Object[] result = new Object[here.count];
        for (int i = 0; i < bits.length; i++) {
            if (isDouble) {
                result[i] = Double.longBitsToDouble(bits[i]);
            } else {
                result[i] = Float.intBitsToFloat((int) bits[i]);
            }
        }
        return result;
    }

    /** Utf8, or String where the schema says so. Equal strings that are one object stay so. */
    static Object[] texts(Schema schema, String[] values) {
        if (isJavaString(schema)) {
            return values;
        }
        Map<String, Utf8> made = new IdentityHashMap<>();
        Object[] result = new Object[values.length];
        Arrays.setAll(result, i -> made.computeIfAbsent(values[i], Utf8::new));
        return result;
    }

    static boolean isJavaString(Schema schema) {
        return "String".equals(schema.getProp(GenericData.STRING_PROP));
    }

    private Object[] raws(Place place, Here here) {
        boolean isFixed = place.type == Schema.Type.FIXED;
        int size = isFixed ? place.schema.getFixedSize() : -1;
        byte[][] values = place.isDecimal ? columns.decimals(here.count, size, here) : columns.raws(here.count, size, here);
        Object[] result = new Object[here.count];
        for (int i = 0; i < result.length; i++) {
            result[i] = isFixed ? new GenericData.Fixed(place.schema, values[i]) : ByteBuffer.wrap(values[i]);
        }
        return result;
    }

    private Object[] records(Place place, int[] rows, int n) {
        columns.budget().pay(n);
        Object[][] fields = new Object[place.inner.size()][];
        for (int f = 0; f < fields.length; f++) {
            fields[f] = values(place.inner.get(f), rows, n);
        }
        Object[] result = new Object[n];
        for (int i = 0; i < n; i++) {
            GenericData.Record record = new GenericData.Record(place.schema);
            for (int f = 0; f < fields.length; f++) {
                record.put(f, fields[f][i]);
            }
            result[i] = record;
        }
        return result;
    }

    private Object[] unions(Place place, Here here) {
        long[] branches = integers(here, 0, place.inner.size() - 1L, "branch");
        int[] counts = new int[place.inner.size()];
        for (long b : branches) {
            counts[(int) b]++;
        }
        Object[] result = new Object[here.count];
        for (int b = 0; b < counts.length; b++) {
            Place inner = place.inner.get(b);
            if (inner.type == Schema.Type.NULL) {
                continue;
            }
            int[] at = new int[counts[b]];
            int[] rows = new int[counts[b]];
            for (int i = 0, k = 0; i < branches.length; i++) {
                if (branches[i] == b) {
                    at[k] = i;
                    rows[k++] = here.row(i);
                }
            }
            Object[] values = values(inner, counts[b] == here.count ? here.rows : rows, counts[b]);
            for (int k = 0; k < at.length; k++) {
                result[at[k]] = values[k];
            }
        }
        return result;
    }

    private Object[] tables(Place place, Here here) {
        long[] lengths = integers(here, 0, Long.MAX_VALUE, "length");
        int total = 0;
        for (long length : lengths) {
            total += columns.budget().pay(length);
        }
        Place inner = place.inner.get(0);
        Object[] keys = null;
        if (place.type == Schema.Type.MAP) {
            Here keysHere = new Here(place.keysColumn, place.innerTable, null, total);
            if (total == 0) {
                columns.register(keysHere, new long[0]);
            }
            keys = texts(place.schema, columns.texts(total, place.known, keysHere));
        }
        Object[] items = values(inner, null, total);
        Object[] result = new Object[here.count];
        int at = 0;
        for (int i = 0; i < lengths.length; i++) {
            int end = at + (int) lengths[i];
            if (keys == null) {
                result[i] = new GenericData.Array<>(place.schema, Arrays.asList(items).subList(at, end));
            } else {
                Map<Object, Object> map = new LinkedHashMap<>();
                for (int k = at; k < end; k++) {
                    map.put(keys[k], items[k]);
                }
                result[i] = map;
            }
            at = end;
        }
        return result;
    }
}
