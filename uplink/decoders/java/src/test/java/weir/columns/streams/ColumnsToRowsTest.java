package weir.columns.streams;

import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.streams.StreamsConfig;

/** What the job's producer gets of its settings; a program: ends with 0 when all is well. */
public final class ColumnsToRowsTest {
    private ColumnsToRowsTest() {
    }

    public static void main(String[] args) throws IOException {
        expect(4 * 1024 * 1024);
        expect(2000000, "max.request.size=2000000");
        expect(3000000, "producer.max.request.size=3000000");
        System.out.println("settings: all is well");
    }

    private static void expect(int size, String... more) throws IOException {
        String[] args = new String[more.length + 2];
        args[0] = "application.id=job";
        args[1] = "bootstrap.servers=127.0.0.1:1";
        System.arraycopy(more, 0, args, 2, more.length);
        Properties settings = ColumnsToRows.settings(args);
        Map<String, Object> map = new HashMap<>();
        settings.stringPropertyNames().forEach(name -> map.put(name, settings.getProperty(name)));
        ProducerConfig producer = new ProducerConfig(withSerializers(new StreamsConfig(map).getProducerConfigs("job")));
        int got = producer.getInt(ProducerConfig.MAX_REQUEST_SIZE_CONFIG);
        if (got != size) {
            throw new AssertionError("max.request.size is " + got + ", not " + size);
        }
    }

    private static Map<String, Object> withSerializers(Map<String, Object> configs) {
        Map<String, Object> result = new HashMap<>(configs);
        result.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, "org.apache.kafka.common.serialization.ByteArraySerializer");
        result.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, "org.apache.kafka.common.serialization.ByteArraySerializer");
        return result;
    }
}
