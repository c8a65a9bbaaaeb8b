import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;

/** The same as compat_lines.c, by Apache Avro. */
public class Compat {
    static String answer(String line) {
        String[] texts = line.split("\t");
        Schema reader;
        Schema writer;
        try {
            // A default of a record that is still open is refused by Java alone; defaults are ours to check elsewhere.
            reader = new Schema.Parser().setValidateDefaults(false).parse(texts[0]);
            writer = new Schema.Parser().setValidateDefaults(false).parse(texts[1]);
        } catch (AvroRuntimeException e) {
            return "invalid " + e.getMessage().replace('\n', ' ');
        }
        try {
            List<SchemaCompatibility.Incompatibility> all =
                SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getResult().getIncompatibilities();
            return all.isEmpty() ? "compatible"
                : all.stream().map(i -> i.getType() + " " + i.getLocation()).collect(Collectors.joining(";"));
        } catch (AvroRuntimeException e) {
            return "no answer";
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new java.io.BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.println(answer(line));
        }
        out.flush();
    }
}
