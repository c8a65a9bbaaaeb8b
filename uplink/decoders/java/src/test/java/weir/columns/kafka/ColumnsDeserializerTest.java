package weir.columns.kafka;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.util.Utf8;
import org.apache.kafka.common.errors.SerializationException;
import weir.columns.Batch;
import weir.columns.ColumnsException;
import weir.columns.Decoder;
import weir.columns.MessageReader;
import weir.columns.RowSchema;
import weir.columns.Zstd;

/** The deserializer with a registry that answers as Confluent's; a program: ends with 0 when all is well. */
public final class ColumnsDeserializerTest {
    private static final String READING = "{'type':'record','name':'Reading','fields':[{'name':'ts','type':{'type':'long','logicalType':'timestamp-millis'}},"
        + "{'name':'device','type':'string','weir.values':['north','south']},{'name':'temp','type':['null','double']}]}";
    private static final String BATCH = "{'type':'record','name':'Batch','namespace':'weir.columns','fields':[]}";
    private static final String OUTER = "{'type':'record','name':'Outer','fields':[{'name':'in','type':'Inner'}]}";
    private static final String INNER = "{'type':'record','name':'Inner','fields':[{'name':'v','type':'int'}]}";
    private static final byte[] RECORD = hex("00 0e 00 08 32 d1 0f 0c 04 80 a0 ab fe f9 62 d0 0f 00 00 00 02 02 04 00 02 02 00 02 44 02 d6 24"
        + "06 00 00 00 00 80 80 80 80 80 80 c0 c8 7f 00 02 08 65 61 73 74 00 00 00");

    private final List<String> asked = new ArrayList<>();
    private String wanted = "Basic dXNlcjpwYXNzOndvcmQ="; // user:pass:word

    public static void main(String[] args) throws IOException {
        new ColumnsDeserializerTest().run();
        System.out.println("deserializer: all is well");
    }

    private void run() throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", this::answer);
        server.start();
        try {
            String url = "http://127.0.0.1:" + server.getAddress().getPort() + "/api/";
            ColumnsDeserializer d = new ColumnsDeserializer();
            d.configure(Map.of(Settings.URL, "http://127.0.0.1:1, " + url, Settings.BASIC, "user:pass:word"), false);
            batches(d);
            rows(d);
            others(url);
            refused(d);
            wanted = "Bearer token";
            ColumnsDeserializer bearer = new ColumnsDeserializer();
            bearer.configure(Map.of(Settings.URL, url, Settings.BEARER, "token", Settings.BUDGET, "10"), false);
            refused(bearer, join(hex("00 00000001"), RECORD), "budget");
            refused(d, hex("00 00000063 00"), "answers 401");
        } finally {
            server.stop(0);
        }
        envelopes();
        blocks();
    }

    private void batches(ColumnsDeserializer d) {
        byte[] message = join(hex("00 00000001"), RECORD);
        List<GenericRecord> rows = d.deserialize("t", message);
        same(4, rows.size());
        same(1700000000000L, rows.get(0).get("ts"));
        same(new Utf8("east"), rows.get(3).get("device"));
        same(-0.0, rows.get(3).get("temp"));
        same(null, rows.get(2).get("temp"));
        same(rows, d.deserialize("t", message));
        same(List.of("/api/schemas/ids/1", "/api/schemas/ids/7"), asked);
        same(rows, d.deserialize("t", join(hex("c301 bd948c1e7d1fbef6"), RECORD)));
        same(null, d.deserialize("t", null));
    }

    private void rows(ColumnsDeserializer d) {
        List<GenericRecord> row = d.deserialize("t", hex("00 00000007 02 02 78 00"));
        same(1, row.size());
        same(new Utf8("x"), row.get(0).get("device"));
        same(5, ((GenericRecord) d.deserialize("t", hex("00 00000005 0a")).get(0).get("in")).get("v"));
    }

    /** What has a schema of another kind is no batch, and its schema is asked for once; what stands in front of a registry does not speak for it. */
    private void others(String url) throws IOException {
        MessageReader reader = Settings.reader(Map.of(Settings.URL, url, Settings.BASIC, "user:pass:word"));
        asked.clear();
        same(null, reader.read(hex("00 00000008 02 78")));
        same(null, reader.read(hex("00 00000008 02 78")));
        same(List.of("/api/schemas/ids/8"), asked);
        try {
            reader.read(hex("00 00000062 02 78"));
            throw new AssertionError("404 of a proxy");
        } catch (IOException e) {
            same(true, e.getMessage().contains("answers 404"));
        }
    }

    /** A record of a million blocks takes no more than a moment. */
    private static void blocks() {
        byte[] blocks = new byte[2_000_000];
        for (int i = 0; i < blocks.length; i += 2) {
            blocks[i] = 2;
        }
        same(0, Batch.parse(join(hex("00 0e 00 00"), blocks, hex("00 00 00 00"))).count());
    }

    private void refused(ColumnsDeserializer d) {
        refused(d, hex(""), "neither");
        refused(d, hex("7b7d"), "neither");
        refused(d, hex("00 00000007 02 02 78 00 00"), "after a row");
        refused(d, hex("00 00000007 02 02"), "not a row");
        refused(d, hex("00 00000007 02 01"), "not a row");
        refused(d, hex("00 00000007 02 02 78 08"), "not a row");
        refused(d, hex("00 00000009 02 78"), "no record");
        refused(d, hex("00 00000008 02 78"), "PROTOBUF");
        refused(d, hex("00 00000063 02 78"), "does not know schema 99");
        refused(d, join(hex("00 00000001"), hex("00 0e 00")), "truncated");
        refused(d, join(hex("c301 bd948c1e7d1fbef6"), hex("02 0102030405060708 00 00 00 00 00 00")), "by 0102030405060708");
        refused(d, join(hex("00 00000001"), hex("00 c601 00 00 00 00 00 00")), "does not know schema 99");
    }

    private static void envelopes() throws IOException {
        byte[] inner = join(hex("c301 bd948c1e7d1fbef6"), RECORD);
        byte[] frame = join(hex("28b52ffd 20"), new byte[] {(byte) inner.length, 0, 0, 0}, inner);
        Zstd zstd = (f, size) -> java.util.Arrays.copyOfRange(f, f.length - size, f.length);
        RowSchema schema = RowSchema.parse(READING.replace('\'', '"'));
        same(4, new MessageReader(id -> schema.schema(), Decoder.BUDGET, zstd).read(frame).rows().size());
        same(null, new MessageReader(id -> schema.schema(), Decoder.BUDGET, null).read(frame));
        byte[] packed = join(hex("28b52ffd 21 07"), new byte[] {(byte) inner.length, 0, 0, 0}, inner);
        for (Zstd without : new Zstd[] {null, new weir.columns.ZstdDictionaries(List.of())}) {
            try {
                new MessageReader(id -> schema.schema(), Decoder.BUDGET, without).read(packed);
                throw new AssertionError("a dictionary that is not there");
            } catch (ColumnsException e) {
                same(true, e.getMessage().contains("dictionary 7"));
            }
        }
        Zstd wrong = (f, size) -> new byte[3];
        try {
            new MessageReader(id -> schema.schema(), Decoder.BUDGET, wrong).read(frame);
            throw new AssertionError("a frame of the wrong size");
        } catch (ColumnsException e) {
            same("envelope", e.rule());
        }
    }

    /** What a registry says; id 63 of another authorization than the one wanted: 401. */
    private void answer(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getRawPath();
        Map<String, String> known = Map.of("/api/schemas/ids/1", BATCH, "/api/schemas/ids/7", READING, "/api/schemas/ids/9", "'string'",
            "/api/schemas/ids/5", OUTER, "/api/subjects/in%2Fner%20x/versions/2", INNER, "/api/schemas/ids/8", "syntax");
        List<String> given = exchange.getRequestHeaders().getOrDefault("authorization", Collections.emptyList());
        int status = !given.equals(List.of(wanted)) ? 401 : known.containsKey(path) ? 200 : 404;
        asked.add(path);
        String schema = known.getOrDefault(path, "").replace("'", "\\\"");
        String more = path.endsWith("/5") ? ",\"references\":[{\"name\":\"Inner\",\"subject\":\"in/ner x\",\"version\":2}]"
            : path.endsWith("/8") ? ",\"schemaType\":\"PROTOBUF\"" : "";
        byte[] body = (status == 200 ? "{\"schema\":\"" + schema + "\"" + more + "}" : path.endsWith("/98") ? "404 page not found" : "{\"error_code\":40403}").getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    private static void refused(ColumnsDeserializer d, byte[] message, String text) {
        try {
            d.deserialize("t", message);
        } catch (SerializationException e) {
            if (e.getMessage().contains(text)) {
                return;
            }
            throw new AssertionError("wanted: " + text, e);
        }
        throw new AssertionError("not refused: " + text);
    }

    private static void same(Object wanted, Object got) {
        if (!java.util.Objects.equals(wanted, got)) {
            throw new AssertionError("wanted " + wanted + ", got " + got);
        }
    }

    private static byte[] hex(String text) {
        String digits = text.replace(" ", "");
        byte[] raw = new byte[digits.length() / 2];
        for (int i = 0; i < raw.length; i++) {
            raw[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return raw;
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }
}
