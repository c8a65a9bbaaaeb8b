package weir.columns.kafka;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import weir.columns.ColumnsException;
import weir.columns.Decoder;
import weir.columns.Envelope;
import weir.columns.MessageReader;

/**
 * The rows of a message: those of a batch, or the one that a message of Confluent's Avro serializer is. null for a tombstone.
 *
 * <p>Settings as in {@link Settings}. SerializationException for what is neither, and where the registry can't be asked.
 */
public final class ColumnsDeserializer implements Deserializer<List<GenericRecord>> {
    private MessageReader reader;

    /** For Kafka, which configures it. */
    public ColumnsDeserializer() {
    }

    public ColumnsDeserializer(MessageReader reader) {
        this.reader = reader;
    }

    @Override
    public void configure(Map<String, ?> settings, boolean isKey) {
        if (reader == null) {
            reader = Settings.reader(settings);
        }
    }

    @Override
    public List<GenericRecord> deserialize(String topic, byte[] message) {
        if (message == null) {
            return null;
        }
        try {
            Decoder.Decoded batch = reader.read(message);
            return batch == null ? List.of(row(message)) : records(batch.rows());
        } catch (IOException | ColumnsException e) {
            throw new SerializationException("a message of " + topic + ": " + e.getMessage(), e);
        }
    }

    private static List<GenericRecord> records(List<Object> rows) {
        for (Object row : rows) {
            if (!(row instanceof GenericRecord)) {
                throw new SerializationException("the row schema is no record");
            }
        }
        @SuppressWarnings("unchecked")
        List<GenericRecord> records = (List<GenericRecord>) (List<?>) rows;
        return records;
    }

    /** A row as ever. */
    private GenericRecord row(byte[] message) throws IOException {
        Envelope envelope = Envelope.of(message);
        if (envelope.kind() != Envelope.Kind.CONFLUENT) {
            throw new SerializationException("neither a batch nor in Confluent's wire format");
        }
        Schema schema = reader.schema(envelope.schema()).schema();
        try {
            BinaryDecoder in = DecoderFactory.get().binaryDecoder(envelope.body(), null);
            Object row = new GenericDatumReader<Object>(schema, schema, new GenericData()).read(null, in);
            if (!in.isEnd()) {
                throw new SerializationException("bytes after a row of schema " + envelope.schema());
            }
            return records(List.of(row)).get(0);
        } catch (IOException | AvroRuntimeException | IndexOutOfBoundsException | NegativeArraySizeException | UnsupportedOperationException e) {
            throw new SerializationException("not a row of schema " + envelope.schema(), e);
        }
    }
}
