import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.file.CodecFactory;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;

/** The same as avro_lines.c, by Apache Avro; and "W" SCHEMA CODEC FILE VALUES writes a container file, "F" FILE reads one. */
public class Peer {
    static Schema parse(String text) {
        return new Schema.Parser().parse(text);
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static String schema(String text) throws Exception {
        Schema schema = parse(text);
        String canonical = SchemaNormalization.toParsingForm(schema);
        return canonical + "\t" + String.format("%016x", SchemaNormalization.parsingFingerprint64(schema))
            + "\t" + hex(SchemaNormalization.parsingFingerprint("MD5", schema))
            + "\t" + hex(SchemaNormalization.parsingFingerprint("SHA-256", schema));
    }

    static String encode(String text, String json) throws Exception {
        Schema schema = parse(text);
        Object datum = new GenericDatumReader<>(schema).read(null, DecoderFactory.get().jsonDecoder(schema, json));
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<>(schema).write(datum, encoder);
        encoder.flush();
        return hex(bytes.toByteArray());
    }

    static String decode(String writerText, String readerText, String hex) throws Exception {
        Schema writer = parse(writerText);
        Schema reader = parse(readerText);
        BinaryDecoder decoder = DecoderFactory.get().binaryDecoder(HexFormat.of().parseHex(hex), null);
        Object datum = new GenericDatumReader<>(writer, reader).read(null, decoder);
        if (!decoder.isEnd()) {
            throw new AvroRuntimeException("bytes are left over");
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        JsonEncoder encoder = EncoderFactory.get().jsonEncoder(reader, bytes);
        new GenericDatumWriter<>(reader).write(datum, encoder);
        encoder.flush();
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /** Writes a container of these values, a line each. */
    static String write(String text, String codec, String path, String valuesPath) throws Exception {
        Schema schema = parse(text);
        try (DataFileWriter<Object> file = new DataFileWriter<>(new GenericDatumWriter<>(schema))) {
            file.setCodec(CodecFactory.fromString(codec)).setSyncInterval(100).create(schema, new File(path));
            for (String json : Files.readAllLines(Path.of(valuesPath))) {
                file.append(new GenericDatumReader<>(schema).read(null, DecoderFactory.get().jsonDecoder(schema, json)));
            }
        }
        return path;
    }

    /** The values of a container, as an array. */
    static String read(String path) throws Exception {
        StringBuilder all = new StringBuilder();
        try (DataFileReader<Object> file = new DataFileReader<>(new File(path), new GenericDatumReader<>())) {
            for (Object datum : file) {
                ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                JsonEncoder encoder = EncoderFactory.get().jsonEncoder(file.getSchema(), bytes);
                new GenericDatumWriter<>(file.getSchema()).write(datum, encoder);
                encoder.flush();
                all.append(all.length() == 0 ? "" : ",").append(bytes.toString(StandardCharsets.UTF_8));
            }
        }
        return "[" + all + "]";
    }

    static String answer(String[] words) throws Exception {
        switch (words[0]) {
        case "S":
            return schema(words[1]);
        case "E":
            return encode(words[1], words[2]);
        case "W":
            return write(words[1], words[2], words[3], words[4]);
        case "F":
            return read(words[1]);
        default:
            return decode(words[1], words[2], words[3]);
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new java.io.BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String said;
            try {
                said = "ok\t" + answer(line.split("\t", -1));
            } catch (Exception | StackOverflowError e) {
                said = "no\t" + String.valueOf(e).replace('\t', ' ');
            }
            out.println(said.replace('\n', ' ').replace('\r', ' '));
        }
        out.flush();
    }
}
