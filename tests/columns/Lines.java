import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;
import weir.columns.Batch;
import weir.columns.ColumnsException;
import weir.columns.Decoder;
import weir.columns.MessageReader;
import weir.columns.RowSchema;
import weir.columns.ZstdDictionaries;

/** The Java decoder as a filter: see lines.py. */
public final class Lines {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.write(answer(JSON.readTree(line)));
            out.write('\n');
            out.flush();
        }
    }

    private static String answer(JsonNode line) throws IOException {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = JSON.createGenerator(text)) {
            json.writeStartObject();
            try {
                RowSchema schema = RowSchema.parse(line.get("schema").asText());
                int budget = line.path("budget").asInt(Decoder.BUDGET);
                Decoder.Decoded d = line.has("message") ? message(line, schema, budget)
                    : Decoder.decode(Batch.parse(bytes(line.get("record").asText())), schema, budget);
                decoded(json, schema.schema(), d);
            } catch (ColumnsException e) {
                json.writeStringField("error", e.rule());
            }
            json.writeEndObject();
        }
        return text.toString();
    }

    private static Decoder.Decoded message(JsonNode line, RowSchema schema, int budget) throws IOException {
        List<byte[]> dictionaries = new ArrayList<>();
        for (JsonNode dictionary : line.get("dictionaries")) {
            dictionaries.add(bytes(dictionary.asText()));
        }
        return new MessageReader(id -> schema.schema(), budget, new ZstdDictionaries(dictionaries)).read(bytes(line.get("message").asText()));
    }

    private static void decoded(JsonGenerator json, Schema schema, Decoder.Decoded d) throws IOException {
        json.writeFieldName("schema");
        if (d.schema().isNumber()) {
            json.writeNumber(d.schema().number());
        } else {
            json.writeString(d.schema().toString());
        }
        json.writeStringField("agent", d.agent());
        json.writeArrayFieldStart("sequences");
        for (long s : d.sequences()) {
            json.writeNumber(s);
        }
        json.writeEndArray();
        json.writeArrayFieldStart("rows");
        for (Object row : d.rows()) {
            write(json, schema, row);
        }
        json.writeEndArray();
    }

    private static byte[] bytes(String hex) {
        byte[] raw = new byte[hex.length() / 2];
        for (int i = 0; i < raw.length; i++) {
            raw[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return raw;
    }

    private static void write(JsonGenerator json, Schema schema, Object v) throws IOException {
        switch (schema.getType()) {
            case NULL:
                json.writeNull();
                break;
            case BOOLEAN:
                json.writeBoolean((Boolean) v);
                break;
            case INT:
            case LONG:
                json.writeNumber(((Number) v).longValue());
                break;
            case FLOAT:
                json.writeString(String.format("%08x", Float.floatToRawIntBits((Float) v)));
                break;
            case DOUBLE:
                json.writeString(String.format("%016x", Double.doubleToRawLongBits((Double) v)));
                break;
            case STRING:
            case ENUM:
                json.writeString(v.toString());
                break;
            case BYTES:
                json.writeString(StandardCharsets.ISO_8859_1.decode(((ByteBuffer) v).duplicate()).toString());
                break;
            case FIXED:
                json.writeString(new String(((GenericFixed) v).bytes(), StandardCharsets.ISO_8859_1));
                break;
            default:
                writeInner(json, schema, v);
        }
    }

    private static void writeInner(JsonGenerator json, Schema schema, Object v) throws IOException {
        switch (schema.getType()) {
            case ARRAY:
                json.writeStartArray();
                for (Object item : (List<?>) v) {
                    write(json, schema.getElementType(), item);
                }
                json.writeEndArray();
                break;
            case MAP:
                json.writeStartObject();
                for (Map.Entry<?, ?> e : ((Map<?, ?>) v).entrySet()) {
                    json.writeFieldName(e.getKey().toString());
                    write(json, schema.getValueType(), e.getValue());
                }
                json.writeEndObject();
                break;
            case UNION:
                Schema branch = schema.getTypes().get(GenericData.get().resolveUnion(schema, v));
                if (branch.getType() == Schema.Type.NULL) {
                    json.writeNull();
                } else {
                    json.writeStartObject();
                    json.writeFieldName(branch.getFullName());
                    write(json, branch, v);
                    json.writeEndObject();
                }
                break;
            default:
                json.writeStartObject();
                for (Schema.Field f : schema.getFields()) {
                    json.writeFieldName(f.name());
                    write(json, f.schema(), ((GenericRecord) v).get(f.pos()));
                }
                json.writeEndObject();
        }
    }
}
