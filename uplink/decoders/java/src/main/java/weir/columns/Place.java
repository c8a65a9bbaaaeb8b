package weir.columns;

import java.util.ArrayList;
import java.util.List;
import org.apache.avro.LogicalType;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;

/** A type where it stands in the row: the number of its column, its table, the strings known there. */
final class Place {
    static final int NESTING_MAX = 64;
    private static final int COLUMNS_MAX = 1001; // with column 0, the sequence numbers
    private static final int PLACES_MAX = 20000;

    final Schema schema;
    final Schema.Type type;
    final int table;
    final boolean isDecimal;
    int column = -1;
    int keysColumn = -1;
    int innerTable = -1;
    int columnCount; // of the whole row, with column 0; of its root only
    List<String> known = List.of();
    final List<Place> inner = new ArrayList<>();

    private Place(Schema schema, int table, boolean isDecimal) {
        this.schema = schema;
        this.type = schema.getType();
        this.table = table;
        this.isDecimal = isDecimal;
    }

    /** The columns of a row schema; ColumnsException where only the row body is possible. */
    static Place plan(Schema root) {
        Planner planner = new Planner();
        Place place = planner.place(root, 0, null);
        place.columnCount = planner.columns;
        return place;
    }

    /** Walks the row schema depth first and numbers its columns and tables. */
    private static final class Planner {
        private int columns = 1;
        private int tables = 1;
        private int places;
        private final List<Schema> open = new ArrayList<>();

        private int column() {
            if (columns == COLUMNS_MAX) {
                throw new ColumnsException("schema", "over 1000 columns: such a schema has only the row body");
            }
            return columns++;
        }

        /** known: of the field, array or map that the type stands in. */
        Place place(Schema schema, int table, Object known) {
            for (Schema around : open) {
                if (around == schema) {
                    throw new ColumnsException("schema", schema.getName() + " contains itself: such a schema has only the row body");
                }
            }
            if (open.size() >= NESTING_MAX) {
                throw new ColumnsException("nesting", "types nest deeper than " + NESTING_MAX);
            }
            if (++places > PLACES_MAX) {
                throw new ColumnsException("schema", "over " + PLACES_MAX + " types");
            }
            Place place = new Place(schema, table, isDecimal(schema));
            open.add(schema);
            if (place.type == Schema.Type.RECORD) {
                for (Schema.Field f : schema.getFields()) {
                    place.inner.add(place(f.schema(), table, f.getObjectProp("weir.values")));
                }
            } else if (place.type != Schema.Type.NULL) {
                place.column = column();
                inner(place, known);
            }
            open.remove(open.size() - 1);
            return place;
        }

        private void inner(Place place, Object known) {
            Schema schema = place.schema;
            switch (place.type) {
                case UNION:
                    for (Schema branch : schema.getTypes()) {
                        place.inner.add(place(branch, place.table, known));
                    }
                    break;
                case ARRAY:
                case MAP:
                    place.innerTable = tables++;
                    if (place.type == Schema.Type.MAP) {
                        place.keysColumn = column();
                        place.known = strings(schema.getObjectProp("weir.keys"));
                    }
                    Schema items = place.type == Schema.Type.MAP ? schema.getValueType() : schema.getElementType();
                    place.inner.add(place(items, place.innerTable, schema.getObjectProp("weir.values")));
                    break;
                case STRING:
                    place.known = strings(known);
                    break;
                default:
                    break;
            }
        }

        private static List<String> strings(Object known) {
            List<String> result = new ArrayList<>();
            if (known != null && !(known instanceof List)) {
                throw new ColumnsException("schema", "known strings are not a list");
            }
            for (Object s : known == null ? List.of() : (List<?>) known) {
                if (!(s instanceof String)) {
                    throw new ColumnsException("schema", "known strings are not a list of strings");
                }
                result.add((String) s);
            }
            return result;
        }

        private static boolean isDecimal(Schema schema) {
            boolean isBytes = schema.getType() == Schema.Type.BYTES || schema.getType() == Schema.Type.FIXED;
            if (!isBytes || !"decimal".equals(schema.getProp(LogicalType.LOGICAL_TYPE_PROP))) {
                return false;
            }
            if (!(schema.getLogicalType() instanceof LogicalTypes.Decimal)) {
                throw new ColumnsException("schema", "a decimal whose precision, scale or size is not valid");
            }
            return true;
        }
    }
}
