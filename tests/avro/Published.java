import java.io.ByteArrayOutputStream;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;
import org.apache.avro.util.RandomData;

/**
 * The cases in the classes of Apache Avro's own tests, as lines: "S" SCHEMA CANONICAL; "R" WRITER READER HEX JSON, where JSON is what must
 * come out.
 */
public class Published {
    static Object get(Object from, String getter) throws Exception {
        Method method = from.getClass().getMethod(getter);
        method.setAccessible(true);
        return method.invoke(from);
    }

    static Object constant(String type, String name) throws Exception {
        Field field = Class.forName("org.apache.avro." + type).getDeclaredField(name);
        field.setAccessible(true);
        return field.get(null);
    }

    static byte[] binary(Schema schema, Object datum) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<>(schema).write(datum, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    static String json(Schema schema, Object datum) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        JsonEncoder encoder = EncoderFactory.get().jsonEncoder(schema, bytes);
        new GenericDatumWriter<>(schema).write(datum, encoder);
        encoder.flush();
        return bytes.toString(StandardCharsets.UTF_8);
    }

    static void resolution(Schema writer, Schema reader, byte[] datum, Object expected) throws Exception {
        System.out.println("R\t" + writer + "\t" + reader + "\t" + HexFormat.of().formatHex(datum) + "\t" + json(reader, expected));
    }

    public static void main(String[] args) throws Exception {
        for (Field field : Class.forName("org.apache.avro.TestSchemas").getDeclaredFields()) {
            field.setAccessible(true);
            if (Modifier.isStatic(field.getModifiers()) && field.get(null) instanceof Schema) {
                System.out.println("S\t" + field.get(null) + "\t" + SchemaNormalization.toParsingForm((Schema) field.get(null)));
            }
        }
        for (Object test : (List<?>) constant("TestSchemaCompatibility", "DECODING_COMPATIBILITY_TEST_CASES")) {
            Schema writer = (Schema) get(test, "getWriterSchema");
            resolution(writer, (Schema) get(test, "getReaderSchema"), binary(writer, get(test, "getDatum")), get(test, "getDecodedDatum"));
        }
        for (Object test : (List<?>) constant("TestSchemaCompatibility", "COMPATIBLE_READER_WRITER_TEST_CASES")) {
            Schema writer = (Schema) get(test, "getWriter");
            Schema reader = (Schema) get(test, "getReader");
            try {
                for (Object datum : new RandomData(writer, 5, 42L)) {
                    byte[] bytes = binary(writer, datum);
                    resolution(writer, reader, bytes,
                        new GenericDatumReader<>(writer, reader).read(null, DecoderFactory.get().binaryDecoder(bytes, null)));
                }
            } catch (StackOverflowError | IllegalArgumentException e) {
                System.out.println("N\t" + writer);           // no datum of it ends, or there is none at all
            }
        }
    }
}
