package weir.columns.streams;

import java.io.FileReader;
import java.io.IOException;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.streams.AutoOffsetReset;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import weir.columns.MessageReader;
import weir.columns.kafka.Settings;

/**
 * A Kafka Streams job that makes an ordinary topic of a topic with batches: each row a message in Confluent's wire format, under the id that
 * its schema has in the registry. Messages that are no batches go through as they are.
 *
 * <p>usage: ColumnsToRows FILE.properties [NAME=VALUE ...]. The settings are those of {@link JobSettings}, of {@link Settings}, and any of Kafka
 * Streams.
 */
public final class ColumnsToRows {
    private static final Logger LOG = LoggerFactory.getLogger(ColumnsToRows.class);
    /** A producer measures messages before they are compressed: what came as 1 MiB may be over its default of 1 MiB when it goes on as it is. */
    private static final int REQUEST_SIZE_MAX = 4 * 1024 * 1024;
    private static final Duration CLOSE_WAIT = Duration.ofSeconds(30);

    private ColumnsToRows() {
    }

    public static void main(String[] args) throws IOException {
        Properties settings = new Properties();
        JobSettings job;
        MessageReader reader;
        try {
            settings = settings(args);
            job = new JobSettings(settings);
            reader = Settings.reader(map(settings));
        } catch (IllegalArgumentException | IOException e) {
            System.err.println(e.getMessage());
            System.err.println("usage: ColumnsToRows FILE.properties [NAME=VALUE ...]");
            System.exit(2);
            return;
        }
        System.exit(run(settings, topology(job, reader)) ? 0 : 1);
    }

    /** From a batch to rows, a source, a processor and two sinks: nothing that keeps a state. */
    public static Topology topology(JobSettings job, MessageReader reader) {
        Topology topology = new Topology();
        topology.addSource((AutoOffsetReset) null, "batches", ColumnsToRows::time, new ByteArrayDeserializer(), new ByteArrayDeserializer(), job.columnsTopic());
        topology.addProcessor("decode", () -> new RowsProcessor(job, reader), "batches");
        topology.addSink(RowsProcessor.ROWS, job.rowsTopic(), new ByteArraySerializer(), new ByteArraySerializer(), "decode");
        if (job.deadLetterTopic() != null) {
            topology.addSink(RowsProcessor.DEAD_LETTERS, job.deadLetterTopic(), new ByteArraySerializer(), new ByteArraySerializer(), "decode");
        }
        return topology;
    }

    /** An agent without a clock sends batches without a time stamp, and a row has to have one. */
    static long time(ConsumerRecord<Object, Object> message, long before) {
        return message.timestamp() >= 0 ? message.timestamp() : before >= 0 ? before : System.currentTimeMillis();
    }

    static Properties settings(String[] args) throws IOException {
        Properties settings = new Properties();
        settings.setProperty(ProducerConfig.MAX_REQUEST_SIZE_CONFIG, Integer.toString(REQUEST_SIZE_MAX));
        settings.setProperty(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        for (String arg : args) {
            int equals = arg.indexOf('=');
            if (equals > 0) {
                settings.setProperty(arg.substring(0, equals), arg.substring(equals + 1));
            } else {
                try (Reader in = new FileReader(arg, StandardCharsets.UTF_8)) {
                    settings.load(in);
                }
            }
        }
        return settings;
    }

    private static Map<String, Object> map(Properties settings) {
        Map<String, Object> result = new HashMap<>();
        settings.stringPropertyNames().forEach(name -> result.put(name, settings.getProperty(name)));
        return result;
    }

    /** Until a signal ends it, true, or an error does, false. */
    private static boolean run(Properties settings, Topology topology) {
        CountDownLatch ended = new CountDownLatch(1);
        boolean[] failed = {false};
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.setUncaughtExceptionHandler(e -> {
            LOG.error("the job stops", e);
            failed[0] = true;
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING) {
                ended.countDown();
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(CLOSE_WAIT), "close"));
        streams.start();
        try {
            ended.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return !failed[0];
    }
}
