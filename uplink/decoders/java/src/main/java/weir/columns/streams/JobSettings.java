package weir.columns.streams;

import java.time.Duration;
import java.util.Properties;

/** The settings of the job itself. */
public final class JobSettings {
    /** The topic to read. Required. */
    public static final String COLUMNS_TOPIC = "columns.topic";
    /** The topic to write. Required. */
    public static final String ROWS_TOPIC = "rows.topic";
    /** The key of a row: {@code batch}, that of its batch (the default), or {@code field:NAME}, the value of a field of the row. */
    public static final String KEY = "rows.key";
    /** Name of a header with the row's sequence number as decimal text; without it there is none. */
    public static final String SEQUENCE_HEADER = "rows.sequence.header";
    /** Where batches go that can't be decoded, whole, the reason in headers. Without it the job stops at the first one. */
    public static final String DEAD_LETTER_TOPIC = "dead.letter.topic";
    /** How long a registry that does not answer is asked again, before the job stops; seconds, 120. */
    public static final String REGISTRY_WAIT = "registry.wait.s";

    private final String columnsTopic;
    private final String rowsTopic;
    private final String keyField;
    private final String sequenceHeader;
    private final String deadLetterTopic;
    private final Duration registryWait;

    /** IllegalArgumentException for what is missing or no setting. */
    public JobSettings(Properties settings) {
        columnsTopic = required(settings, COLUMNS_TOPIC);
        rowsTopic = required(settings, ROWS_TOPIC);
        required(settings, "application.id");
        required(settings, "bootstrap.servers");
        String key = settings.getProperty(KEY, "batch");
        if (!key.equals("batch") && !(key.startsWith("field:") && key.length() > 6)) {
            throw new IllegalArgumentException(KEY + " is batch or field:NAME");
        }
        keyField = key.equals("batch") ? null : key.substring(6);
        sequenceHeader = settings.getProperty(SEQUENCE_HEADER);
        deadLetterTopic = settings.getProperty(DEAD_LETTER_TOPIC);
        registryWait = Duration.ofSeconds(Long.parseLong(settings.getProperty(REGISTRY_WAIT, "120")));
    }

    private static String required(Properties settings, String name) {
        String value = settings.getProperty(name, "");
        if (value.isEmpty()) {
            throw new IllegalArgumentException(name + " is missing");
        }
        return value;
    }

    String columnsTopic() {
        return columnsTopic;
    }

    String rowsTopic() {
        return rowsTopic;
    }

    /** null: rows have the key of their batch. */
    String keyField() {
        return keyField;
    }

    /** null: none. */
    String sequenceHeader() {
        return sequenceHeader;
    }

    /** null: the job stops. */
    String deadLetterTopic() {
        return deadLetterTopic;
    }

    Duration registryWait() {
        return registryWait;
    }
}
