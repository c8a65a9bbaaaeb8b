import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import weir.columns.kafka.ColumnsDeserializer;

/** A Kafka consumer with the deserializer: prints each row of a topic as a line of JSON. usage: Consume SERVERS REGISTRY TOPIC ROWS */
public final class Consume {
    public static void main(String[] args) {
        Properties settings = new Properties();
        settings.setProperty("bootstrap.servers", args[0]);
        settings.setProperty("schema.registry.url", args[1]);
        settings.setProperty("auto.offset.reset", "earliest");
        settings.setProperty("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.setProperty("value.deserializer", ColumnsDeserializer.class.getName());
        long left = Long.parseLong(args[3]);
        try (KafkaConsumer<byte[], List<GenericRecord>> consumer = new KafkaConsumer<>(settings)) {
            consumer.assign(consumer.partitionsFor(args[2]).stream().map(p -> new TopicPartition(p.topic(), p.partition())).collect(Collectors.toList()));
            while (left > 0) {
                for (ConsumerRecord<byte[], List<GenericRecord>> message : consumer.poll(Duration.ofSeconds(1))) {
                    for (GenericRecord row : message.value() == null ? List.<GenericRecord>of() : message.value()) {
                        System.out.println(row);
                        left--;
                    }
                }
            }
        }
    }
}
