import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.Schema;

/** Prints pairs READER TAB WRITER of Apache Avro's own tests: first those that it says are compatible, an empty line, then each of its schemas by each. */
public class CompatPublished {
    static Object get(Object o, Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(o);
    }

    public static void main(String[] args) throws ReflectiveOperationException {
        Class<?> tests = Class.forName("org.apache.avro.TestSchemaCompatibility");
        for (Object pair : (List<?>) get(null, tests, "COMPATIBLE_READER_WRITER_TEST_CASES")) {
            System.out.println(get(pair, pair.getClass(), "mReader") + "\t" + get(pair, pair.getClass(), "mWriter"));
        }
        System.out.println();
        List<Schema> schemas = new ArrayList<>();
        for (Field field : Class.forName("org.apache.avro.TestSchemas").getDeclaredFields()) {
            field.setAccessible(true);
            if (field.getType() == Schema.class) {
                schemas.add((Schema) field.get(null));
            }
        }
        for (Schema reader : schemas) {
            for (Schema writer : schemas) {
                System.out.println(reader + "\t" + writer);
            }
        }
    }
}
