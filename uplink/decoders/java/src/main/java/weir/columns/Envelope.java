package weir.columns;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** What is around a batch or a row on its way. */
public final class Envelope {
    /** How the writer's schema is named. */
    public enum Kind { CONFLUENT, SINGLE_OBJECT, GLUE, NONE }

    private static final byte[] FINGERPRINT = {(byte) 0xbd, (byte) 0x94, (byte) 0x8c, 0x1e, 0x7d, 0x1f, (byte) 0xbe, (byte) 0xf6};

    private final Kind kind;
    private final SchemaId schema;
    private final byte[] body;

    private Envelope(Kind kind, SchemaId schema, byte[] body) {
        this.kind = kind;
        this.schema = schema;
        this.body = body;
    }

    /** Of any message that is not in a zstd frame. */
    public static Envelope of(byte[] message) {
        if (message.length >= 5 && message[0] == 0) {
            return new Envelope(Kind.CONFLUENT, SchemaId.of(ByteBuffer.wrap(message, 1, 4).getInt()), from(message, 5));
        }
        if (message.length >= 10 && message[0] == (byte) 0xc3 && message[1] == 1) {
            return new Envelope(Kind.SINGLE_OBJECT, SchemaId.of(Arrays.copyOfRange(message, 2, 10)), from(message, 10));
        }
        if (message.length >= 18 && message[0] == 3 && message[1] == 0) {
            return new Envelope(Kind.GLUE, SchemaId.of(Arrays.copyOfRange(message, 2, 18)), from(message, 18));
        }
        return new Envelope(Kind.NONE, null, message);
    }

    private static byte[] from(byte[] message, int start) {
        return Arrays.copyOfRange(message, start, message.length);
    }

    public Kind kind() {
        return kind;
    }

    /** Id of the writer's schema; null: none is named. */
    public SchemaId schema() {
        return schema;
    }

    public byte[] body() {
        return body;
    }

    /** Is it a single object with the schema of all batches? */
    boolean hasBatchFingerprint() {
        return kind == Kind.SINGLE_OBJECT && Arrays.equals(schema.bytes(), FINGERPRINT);
    }
}
