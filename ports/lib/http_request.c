#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <strings.h>

#include "ports/lib/http_impl.h"
#include "ports/lib/tls_session.h"

#define HTTP_USER_AGENT "weir/" WEIR_VERSION

/* --- method, headers, body --- */

static void call_add_header(struct http_call *call, const char *header)
{
    struct curl_slist *longer = curl_slist_append(call->headers, header);
    if (longer) {
        call->headers = longer;
    } else {
        call->no_memory = true;
    }
}

static void call_set_headers(struct http_call *call)
{
    bool has_type = false;
    for (size_t i = 0; i < HTTP_HEADER_MAX && call->request->headers[i]; i++) {
        call_add_header(call, call->request->headers[i]);
        has_type = has_type || strncasecmp(call->request->headers[i], "content-type:", 13) == 0;
    }
    call_add_header(call, "Expect:"); /* no extra round trip before a body */
    if (!has_type) {
        call_add_header(call, "Content-Type:"); /* else curl calls it a form */
    }
    SET(call, CURLOPT_HTTPHEADER, call->headers);
    SET(call, CURLOPT_USERAGENT, HTTP_USER_AGENT);
}

static void call_set_method(struct http_call *call)
{
    const struct http_request *request = call->request;
    bool is_get = strcmp(request->method, "GET") == 0;
    if (strcmp(request->method, "HEAD") == 0) {
        SET(call, CURLOPT_NOBODY, 1L);
    } else if (is_get && !request->body.size) {
        SET(call, CURLOPT_HTTPGET, 1L);
    } else if (request->body.size || strcmp(request->method, "DELETE") != 0) {
        SET(call, CURLOPT_POST, 1L);
        SET(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
        SET(call, CURLOPT_POSTFIELDS, request->body.size ? (const char *)request->body.data : "");
    }
    SET(call, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->user) {
        SET(call, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        SET(call, CURLOPT_USERNAME, request->user);
        SET(call, CURLOPT_PASSWORD, request->password ? request->password : "");
    }
}

static CURLcode on_tls(CURL *easy, void *config, void *context)
{
    (void)easy;
    tls_apply(context, config);
    return CURLE_OK;
}

static void call_set_connection(struct http_call *call)
{
    struct http_identity *identity = call->identity;
    SET(call, CURLOPT_PRIVATE, call);
    SET(call, CURLOPT_NOSIGNAL, 1L);
    SET(call, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(call, CURLOPT_HTTP_VERSION,
        call->request->http2_plain ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                   : (long)CURL_HTTP_VERSION_2TLS);
    /* Rather another stream of HTTP/2 than another handshake; without TLS a request would wait for
     * the first answer to learn that there is no HTTP/2. */
    SET(call, CURLOPT_PIPEWAIT, call->is_https ? 1L : 0L);
    if (identity->interface_name[0]) {
        char text[HTTP_INTERFACE_SIZE_MAX + sizeof "if!"];
        (void)snprintf(text, sizeof text, "if!%s", identity->interface_name); /* fits */
        SET(call, CURLOPT_INTERFACE, text);
    }
    SET(call, CURLOPT_FRESH_CONNECT, identity->is_mixed ? 1L : 0L);
    if (identity->tls) {
        SET(call, CURLOPT_SSL_CTX_FUNCTION, on_tls);
        SET(call, CURLOPT_SSL_CTX_DATA, identity->tls);
    }
}

void http_call_set_request(struct http_call *call)
{
    http_call_set_sockets(call);
    http_call_set_answer(call);
    call_set_connection(call);
    call_set_method(call);
    call_set_headers(call);
}

/* --- where to --- */

enum err http_url_error(CURLUcode code)
{
    return code == CURLUE_OK ? ERR_OK : code == CURLUE_OUT_OF_MEMORY ? ERR_NOMEM : ERR_CONFIG;
}

static enum err call_set_url_text(struct http_call *call, const char *url, const char *host)
{
    SET(call, CURLOPT_URL, url);
    int size = snprintf(call->url_host, sizeof call->url_host, "%s", host);
    return size >= 0 && (size_t)size < sizeof call->url_host ? ERR_OK : ERR_CONFIG;
}

/* Puts `host` into the URL, where TLS takes it from; the address and the Host header stay those of
 * the URL that was given. */
static enum err call_set_url_host(struct http_call *call, CURLU *url, const char *host)
{
    char *text = NULL;
    enum err e = http_url_error(curl_url_set(url, CURLUPART_HOST, host, 0));
    e = e ? e : http_url_error(curl_url_get(url, CURLUPART_URL, &text, 0));
    if (!e) {
        char header[NAMES_HOST_SIZE_MAX + 32];
        snprintf(header, sizeof header, call->port == 443 ? "Host: %s" : "Host: %s:%u", call->host,
                 (unsigned)call->port);
        call_add_header(call, header);
        e = call_set_url_text(call, text, host);
    }
    curl_free(text);
    return e;
}

enum err http_call_set_url(struct http_call *call)
{
    const char *server_name = call->identity->options.server_name;
    CURLU *url = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    CURLUcode code =
        url ? curl_url_set(url, CURLUPART_URL, call->request->url, 0) : CURLUE_OUT_OF_MEMORY;
    code = code ? code : curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    code = code ? code : curl_url_get(url, CURLUPART_HOST, &host, 0);
    code = code ? code : curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    enum err e = http_url_error(code);
    if (!e && strlen(host) >= sizeof call->host) {
        e = ERR_CONFIG;
    }
    if (!e) {
        call->is_https = strcmp(scheme, "https") == 0;
        call->port = (uint16_t)strtoul(port, NULL, 10);
        snprintf(call->host, sizeof call->host, "%s", host);
        e = call->is_https && server_name ? call_set_url_host(call, url, server_name)
                                          : call_set_url_text(call, call->request->url, host);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return e;
}

/* "+HOST:PORT:ADDRESS,ADDRESS": what curl then finds in its cache for a minute. */
void http_call_set_resolve(struct http_call *call)
{
    const char *host = call->is_proxied ? call->query.host : call->url_host;
    if (host[0] == '[') {
        return; /* a literal address */
    }
    char memory[NAMES_ADDRESS_MAX * (INET6_ADDRSTRLEN + 4) + NAMES_HOST_SIZE_MAX + 16];
    struct out line = out_over(memory, sizeof memory - 1);
    out_put_format(&line, "+%s:%u:", host, (unsigned)call->query.port);
    for (size_t i = 0; i < call->query.address_count; i++) {
        const struct sockaddr_storage *storage = &call->query.addresses[i].storage;
        char text[INET6_ADDRSTRLEN] = "";
        if (storage->ss_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)storage;
            inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        } else {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)storage;
            inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        }
        out_put_format(&line, i ? ",%s" : "%s", text);
    }
    assert(!line.overflow);
    memory[line.size] = 0;
    call->resolve = curl_slist_append(NULL, memory);
    if (!call->resolve) {
        call->no_memory = true;
    }
    SET(call, CURLOPT_RESOLVE, call->resolve);
}
