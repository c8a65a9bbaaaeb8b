import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;

import software.amazon.kinesis.retrieval.AggregatorUtil;
import software.amazon.kinesis.retrieval.KinesisClientRecord;

/** Records as Kinesis gives them, taken apart by the Kinesis Client Library, which leaves out what its hash says is another shard's.
 *
 * <p>A line in is FIRST LAST KEY DATA: the shard's hash keys, the record's partition key, its data in base64. Lines out, for each: KEY DATA of
 * every event, "plain" or "packed" before them, and an empty line. */
final class Deaggregate {
    private Deaggregate() {}

    private static String base64(ByteBuffer data) {
        byte[] bytes = new byte[data.remaining()];
        data.duplicate().get(bytes);
        return Base64.getEncoder().encodeToString(bytes);
    }

    public static void main(String[] arguments) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8.name());
        String line;
        while ((line = in.readLine()) != null) {
            String[] words = line.split(" ");
            KinesisClientRecord record = KinesisClientRecord.builder().partitionKey(words[2]).sequenceNumber("1")
                    .data(ByteBuffer.wrap(Base64.getDecoder().decode(words[3]))).build();
            for (KinesisClientRecord event : new AggregatorUtil().deaggregate(List.of(record), new BigInteger(words[0]), new BigInteger(words[1]))) {
                out.println((event.aggregated() ? "packed " : "plain ") + event.partitionKey() + " " + base64(event.data()));
            }
            out.println();
        }
        out.flush();
    }
}
