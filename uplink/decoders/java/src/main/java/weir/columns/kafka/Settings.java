package weir.columns.kafka;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import weir.columns.Decoder;
import weir.columns.HttpRegistry;
import weir.columns.MessageReader;
import weir.columns.SchemaSource;
import weir.columns.Zstd;
import weir.columns.ZstdDictionaries;

/** What consumers are configured with, under the names that Confluent's own deserializers use for the registry. */
public final class Settings {
    /** One URL or several of the same registry, by commas. */
    public static final String URL = "schema.registry.url";
    /** "user:password". */
    public static final String BASIC = "basic.auth.user.info";
    public static final String BEARER = "bearer.auth.token";
    /** Values that a batch may have. */
    public static final String BUDGET = "columns.budget";

    /** Paths, by commas, of the zstd dictionaries that messages may be packed by. */
    public static final String DICTIONARIES = "columns.dictionaries";

    private Settings() {
    }

    /** A reader with the registry that the settings name. */
    public static MessageReader reader(Map<String, ?> settings) {
        return reader(settings, registry(settings));
    }

    public static MessageReader reader(Map<String, ?> settings, SchemaSource source) {
        Object budget = settings.get(BUDGET);
        return new MessageReader(source, budget == null ? Decoder.BUDGET : Integer.parseInt(budget.toString()), dictionaries(settings));
    }

    private static Zstd dictionaries(Map<String, ?> settings) {
        Object paths = settings.get(DICTIONARIES);
        try {
            return paths == null ? null : ZstdDictionaries.of(list(paths));
        } catch (IOException e) {
            throw new IllegalArgumentException(DICTIONARIES + ": " + e.getMessage(), e);
        }
    }

    private static List<String> list(Object value) {
        return value instanceof List ? ((List<?>) value).stream().map(Object::toString).collect(Collectors.toList())
            : Arrays.asList(value.toString().trim().split("\\s*,\\s*"));
    }

    private static SchemaSource registry(Map<String, ?> settings) {
        Object url = settings.get(URL);
        if (url == null) {
            throw new IllegalArgumentException(URL + " is missing");
        }
        List<String> urls = list(url);
        Object basic = settings.get(BASIC);
        Object bearer = settings.get(BEARER);
        return new HttpRegistry(urls, basic != null ? HttpRegistry.basic(basic.toString()) : bearer != null ? HttpRegistry.bearer(bearer.toString()) : null);
    }
}
