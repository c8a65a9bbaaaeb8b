package weir.columns.streams;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericFixed;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import weir.columns.ColumnsException;
import weir.columns.Decoder;
import weir.columns.MessageReader;

/** One message in; its rows, itself, or a dead letter out. */
final class RowsProcessor extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
    static final String ROWS = "rows";
    static final String DEAD_LETTERS = "dead-letters";

    private static final Logger LOG = LoggerFactory.getLogger(RowsProcessor.class);
    private static final String ID = "weir_id"; // by the agent's option "headers"
    private static final long PAUSE_FIRST_MS = 200;
    private static final long PAUSE_MAX_MS = 5000;

    private final JobSettings job;
    private final MessageReader reader;

    RowsProcessor(JobSettings job, MessageReader reader) {
        this.job = job;
        this.reader = reader;
    }

    @Override
    public void process(Record<byte[], byte[]> message) {
        Decoder.Decoded batch;
        Schema schema;
        try {
            batch = read(message.value());
            schema = batch == null ? null : schema(batch);
        } catch (ColumnsException e) {
            bad(message, e);
            return;
        }
        if (batch == null) {
            context().forward(message, ROWS);
        } else {
            rows(message, batch, schema);
        }
    }

    /** The registry is asked again for a while: that it is silent says nothing of the batch. */
    private Decoder.Decoded read(byte[] message) {
        long until = System.nanoTime() + job.registryWait().toNanos();
        for (long pause = PAUSE_FIRST_MS;; pause = Math.min(2 * pause, PAUSE_MAX_MS)) {
            try {
                return reader.read(message);
            } catch (IOException e) {
                if (System.nanoTime() - until > 0) {
                    throw new UncheckedIOException(e);
                }
                LOG.warn("{}; it is asked again in {} ms", e.getMessage(), pause);
                sleep(pause);
            }
        }
    }

    private static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private Schema schema(Decoder.Decoded batch) {
        if (!batch.schema().isNumber()) {
            throw new ColumnsException("schema", "the row schema is not one of a registry");
        }
        try {
            return reader.schema(batch.schema()).schema();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One by one: rows share texts, which as bytes they don't. */
    private void rows(Record<byte[], byte[]> message, Decoder.Decoded batch, Schema schema) {
        GenericDatumWriter<Object> writer = new GenericDatumWriter<>(schema, new GenericData());
        long[] sequences = batch.sequences();
        for (int i = 0; i < sequences.length; i++) {
            Object row = batch.rows().get(i);
            Headers headers = headers(message, sequences[i]);
            if (job.sequenceHeader() != null) {
                headers.add(job.sequenceHeader(), Long.toString(sequences[i]).getBytes(StandardCharsets.UTF_8));
            }
            byte[] key = job.keyField() == null ? message.key() : key(row);
            context().forward(new Record<>(key, value(writer, batch.schema().number(), row), message.timestamp(), headers), ROWS);
        }
    }

    /** Those of the batch; but what names its first event, agent/incarnation/stream/sequence, names the row's. */
    private static Headers headers(Record<byte[], byte[]> message, long sequence) {
        Headers headers = new RecordHeaders();
        for (Header header : message.headers()) {
            String id = ID.equals(header.key()) && header.value() != null ? new String(header.value(), StandardCharsets.UTF_8) : "";
            int slash = id.lastIndexOf('/');
            byte[] value = slash < 0 ? header.value() : (id.substring(0, slash + 1) + Long.toUnsignedString(sequence)).getBytes(StandardCharsets.UTF_8);
            headers.add(header.key(), value);
        }
        return headers;
    }

    /** Confluent's wire format. */
    private static byte[] value(GenericDatumWriter<Object> writer, int id, Object row) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(128);
        out.write(0);
        out.writeBytes(ByteBuffer.allocate(4).putInt(id).array());
        try {
            BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
            writer.write(row, encoder);
            encoder.flush();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }

    /** As the agent has it: text and bytes as they are, an enum's symbol, else text. null: the field is null or there is none. */
    private byte[] key(Object row) {
        Object value = row instanceof GenericRecord && ((GenericRecord) row).hasField(job.keyField()) ? ((GenericRecord) row).get(job.keyField()) : null;
        if (value instanceof ByteBuffer) {
            ByteBuffer raw = ((ByteBuffer) value).duplicate();
            byte[] key = new byte[raw.remaining()];
            raw.get(key);
            return key;
        }
        if (value instanceof GenericFixed) {
            return ((GenericFixed) value).bytes();
        }
        return value == null ? null : value.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** Nothing is dropped: to the topic of dead letters, or the job stops. */
    private void bad(Record<byte[], byte[]> message, ColumnsException why) {
        String where = context().recordMetadata().map(m -> m.topic() + "-" + m.partition() + "@" + m.offset()).orElse("?");
        if (job.deadLetterTopic() == null) {
            throw new IllegalStateException("the batch at " + where + " can't be decoded, and there is no " + JobSettings.DEAD_LETTER_TOPIC, why);
        }
        LOG.warn("the batch at {} can't be decoded, to {}: {}", where, job.deadLetterTopic(), why.getMessage());
        Headers headers = new RecordHeaders(message.headers().toArray());
        headers.add("weir-error", why.getMessage().getBytes(StandardCharsets.UTF_8));
        headers.add("weir-source", where.getBytes(StandardCharsets.UTF_8));
        context().forward(message.withHeaders(headers), DEAD_LETTERS);
    }
}
