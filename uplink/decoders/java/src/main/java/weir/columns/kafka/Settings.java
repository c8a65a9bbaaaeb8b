package weir.columns.kafka;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import weir.columns.Decoder;
import weir.columns.HttpRegistry;
import weir.columns.MessageReader;
import weir.columns.SchemaSource;

/** What consumers are configured with, under the names that Confluent's own deserializers use for the registry. */
public final class Settings {
    /** One URL or several of the same registry, by commas. */
    public static final String URL = "schema.registry.url";
    /** "user:password". */
    public static final String BASIC = "basic.auth.user.info";
    public static final String BEARER = "bearer.auth.token";
    /** Values that a batch may have. */
    public static final String BUDGET = "columns.budget";

    private Settings() {
    }

    /** A reader with the registry that the settings name. */
    public static MessageReader reader(Map<String, ?> settings) {
        return reader(settings, registry(settings));
    }

    public static MessageReader reader(Map<String, ?> settings, SchemaSource source) {
        Object budget = settings.get(BUDGET);
        return new MessageReader(source, budget == null ? Decoder.BUDGET : Integer.parseInt(budget.toString()), null);
    }

    private static SchemaSource registry(Map<String, ?> settings) {
        Object url = settings.get(URL);
        if (url == null) {
            throw new IllegalArgumentException(URL + " is missing");
        }
        List<String> urls = url instanceof List ? ((List<?>) url).stream().map(Object::toString).collect(Collectors.toList())
            : Arrays.asList(url.toString().trim().split("\\s*,\\s*"));
        Object basic = settings.get(BASIC);
        Object bearer = settings.get(BEARER);
        return new HttpRegistry(urls, basic != null ? HttpRegistry.basic(basic.toString()) : bearer != null ? HttpRegistry.bearer(bearer.toString()) : null);
    }
}
