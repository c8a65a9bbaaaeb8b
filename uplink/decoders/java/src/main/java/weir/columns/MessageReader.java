package weir.columns;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.avro.Schema;

/** Reads topics that hold batches, rows as ever, or both; keeps the schemas that it has found. Any thread. */
public final class MessageReader {
    private static final int SCHEMAS_MAX = 1000;

    private final SchemaSource source;
    private final int budget;
    private final Zstd zstd;
    private final Map<SchemaId, Object> schemas = // RowSchema, or OtherSchemaException
        new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<SchemaId, Object> eldest) {
            return size() > SCHEMAS_MAX;
        }
    };

    /** budget: of values, for each batch; zstd: null where frames do not occur. */
    public MessageReader(SchemaSource source, int budget, Zstd zstd) {
        this.source = source;
        this.budget = budget;
        this.zstd = zstd;
    }

    public RowSchema schema(SchemaId id) throws IOException {
        Object found;
        synchronized (schemas) {
            found = schemas.get(id);
        }
        if (found == null) {
            found = ask(id);
            synchronized (schemas) {
                schemas.put(id, found);
            }
        }
        if (found instanceof OtherSchemaException) {
            throw new OtherSchemaException(((OtherSchemaException) found).text());
        }
        return (RowSchema) found;
    }

    private Object ask(SchemaId id) throws IOException {
        try {
            return new RowSchema(source.schema(id));
        } catch (OtherSchemaException e) {
            return e;
        }
    }

    /**
     * What a batch holds; null for a message that is none: a row as ever, or a tombstone, is the caller's.
     *
     * @throws IOException a schema can't be asked for now
     * @throws ColumnsException the message is a batch that can't be decoded, or nobody knows its writer's schema
     */
    public Decoder.Decoded read(byte[] message) throws IOException {
        if (message == null) {
            return null;
        }
        Envelope envelope = Envelope.of(Zstd.content(message, zstd));
        if (!isBatch(envelope)) {
            return null;
        }
        Batch batch = Batch.parse(envelope.body());
        return Decoder.decode(batch, schema(batch.schema()), budget);
    }

    private boolean isBatch(Envelope envelope) throws IOException {
        switch (envelope.kind()) {
            case CONFLUENT:
            case GLUE:
                Schema writer;
                try {
                    writer = schema(envelope.schema()).schema();
                } catch (OtherSchemaException e) {
                    return false;
                }
                return writer.getType() == Schema.Type.RECORD && writer.getFullName().equals(Batch.SCHEMA_NAME);
            default:
                return envelope.hasBatchFingerprint();
        }
    }
}
