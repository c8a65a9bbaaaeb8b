package weir.columns;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;

/** A schema registry with Confluent's API, with what a schema refers to in other subjects. */
public final class HttpRegistry implements SchemaSource {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final Duration WAIT = Duration.ofSeconds(20);
    private static final int REFERENCES_MAX = 200;

    private final List<String> urls;
    private final String authorization;
    private final HttpClient client = HttpClient.newBuilder().connectTimeout(WAIT).followRedirects(HttpClient.Redirect.NORMAL).build();

    /** urls: one or several of the same registry, each asked in turn; authorization: of {@link #basic} or {@link #bearer}, or null. */
    public HttpRegistry(List<String> urls, String authorization) {
        if (urls.isEmpty()) {
            throw new IllegalArgumentException("a registry needs a URL");
        }
        urls.forEach(URI::create); // IllegalArgumentException here, not with the first message
        this.urls = List.copyOf(urls);
        this.authorization = authorization;
    }

    /** Of "user:password". */
    public static String basic(String userInfo) {
        return "Basic " + Base64.getEncoder().encodeToString(userInfo.getBytes(StandardCharsets.UTF_8));
    }

    public static String bearer(String token) {
        return "Bearer " + token;
    }

    @Override
    public Schema schema(SchemaId id) throws IOException {
        if (!id.isNumber()) {
            throw new ColumnsException("schema", "a registry does not know schemas by " + id);
        }
        JsonNode answer = ask("/schemas/ids/" + id, "schema " + id);
        Schema.Parser parser = new Schema.Parser().setValidateDefaults(false);
        try {
            addReferences(parser, answer, new HashSet<>());
            return parser.parse(text(answer));
        } catch (AvroRuntimeException e) {
            throw new OtherSchemaException("schema " + id + " is no Avro schema: " + e.getMessage());
        }
    }

    private static String text(JsonNode answer) {
        if (!answer.path("schemaType").asText("AVRO").equals("AVRO") || !answer.path("schema").isTextual()) {
            throw new OtherSchemaException("a schema of type " + answer.path("schemaType").asText("none"));
        }
        return answer.get("schema").asText();
    }

    /** What is referred to is parsed before what refers to it, each once. */
    private void addReferences(Schema.Parser parser, JsonNode answer, Set<String> known) throws IOException {
        for (JsonNode reference : answer.path("references")) {
            String subject = reference.path("subject").asText();
            String path = "/subjects/" + URLEncoder.encode(subject, StandardCharsets.UTF_8).replace("+", "%20") + "/versions/"
                + reference.path("version").asInt();
            if (!known.add(path)) {
                continue;
            }
            if (known.size() > REFERENCES_MAX) {
                throw new ColumnsException("schema", "over " + REFERENCES_MAX + " references");
            }
            JsonNode referred = ask(path, "version " + reference.path("version").asInt() + " of " + subject);
            addReferences(parser, referred, known);
            parser.parse(text(referred));
        }
    }

    /** The answer of the first URL that gives one. */
    private JsonNode ask(String path, String what) throws IOException {
        IOException last = null;
        for (String url : urls) {
            try {
                return ask(url.replaceAll("/+$", "") + path, what, url);
            } catch (IOException e) {
                last = e;
            }
        }
        throw last;
    }

    /** Whole within the time: the request's own timeout ends with the headers. */
    private HttpResponse<String> answer(HttpRequest request, String url) throws IOException {
        CompletableFuture<HttpResponse<String>> asked = client.sendAsync(request, HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8));
        try {
            return asked.get(WAIT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while the registry " + url + " was asked", e);
        } catch (TimeoutException e) {
            throw new IOException("no answer of the registry " + url + " within " + WAIT.toSeconds() + " s", e);
        } catch (ExecutionException e) {
            throw new IOException("the registry " + url + ": " + e.getCause(), e.getCause());
        } finally {
            asked.cancel(true);
        }
    }

    /** Of a registry: what stands in front of one has no such code. */
    private static boolean isVerdict(String body) {
        try {
            return JSON.readTree(body).path("error_code").isInt();
        } catch (JsonProcessingException e) {
            return false;
        }
    }

    private JsonNode ask(String address, String what, String url) throws IOException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(address)).timeout(WAIT)
            .header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if (authorization != null) {
            request.header("authorization", authorization);
        }
        HttpResponse<String> answer = answer(request.build(), url);
        if (answer.statusCode() == 404 && isVerdict(answer.body())) {
            throw new ColumnsException("schema", "the registry " + url + " does not know " + what);
        }
        if (answer.statusCode() != 200) {
            throw new IOException("the registry " + url + " answers " + answer.statusCode() + " when asked for " + what);
        }
        try {
            return JSON.readTree(answer.body());
        } catch (JsonProcessingException e) {
            throw new IOException("the registry " + url + " gives no JSON for " + what, e);
        }
    }
}
