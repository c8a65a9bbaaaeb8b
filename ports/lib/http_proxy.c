#include "ports/lib/http_proxy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <strings.h>

#include "ports/lib/http_impl.h"

#define PROXY_PORT 1080 /* curl's, where the URL says none */

/* --- is it to be used? --- */

static struct slice host_without_brackets(const char *host)
{
    size_t size = strlen(host);
    if (size > 1 && host[0] == '[' && host[size - 1] == ']') {
        return (struct slice){(const uint8_t *)host + 1, size - 2};
    }
    while (size > 1 && host[size - 1] == '.') {
        size--;
    }
    return (struct slice){(const uint8_t *)host, size};
}

static bool name_is_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    return strncasecmp((const char *)a, (const char *)b, size) == 0;
}

/* Is `host` the name `domain`, or below it? */
static bool name_is_within(struct slice host, struct slice domain)
{
    if (host.size < domain.size || domain.size == 0) {
        return false;
    }
    size_t rest = host.size - domain.size;
    return name_is_same(host.data + rest, domain.data, domain.size) &&
           (rest == 0 || host.data[rest - 1] == '.');
}

static bool host_address(struct slice host, struct in_addr *ret_v4, struct in6_addr *ret_v6,
                         bool *ret_is_v6)
{
    char text[INET6_ADDRSTRLEN];
    if (!slice_to_text(host, text, sizeof text)) {
        return false;
    }
    *ret_is_v6 = strchr(text, ':') != NULL;
    return inet_pton(*ret_is_v6 ? AF_INET6 : AF_INET, text,
                     *ret_is_v6 ? (void *)ret_v6 : (void *)ret_v4) == 1;
}

/* This machine, and the services that a cloud has for each of its machines: no proxy can reach those
 * for us, and it would get their secrets. */
static bool host_is_near(const char *text)
{
    static const uint8_t aws_v6[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    struct slice host = host_without_brackets(text);
    struct in_addr v4;
    struct in6_addr v6;
    bool is_v6 = false;
    if (!host_address(host, &v4, &v6, &is_v6)) {
        return name_is_within(host, SLICE("localhost")) ||
               name_is_within(host, SLICE("metadata.google.internal"));
    }
    if (is_v6) {
        return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) ||
               memcmp(&v6, aws_v6, sizeof aws_v6) == 0;
    }
    uint32_t address = ntohl(v4.s_addr);
    return address >> 24 == 127 || address == 0 || address >> 16 == (169U << 8 | 254U);
}

bool http_proxy_is_exempt(const char *list, const char *text)
{
    struct slice host = host_without_brackets(text);
    struct in_addr v4;
    struct in6_addr v6;
    bool is_v6 = false;
    bool is_address = host_address(host, &v4, &v6, &is_v6);
    for (const char *at = list; *at;) {
        at += strspn(at, ", \t");
        size_t size = strcspn(at, ", \t");
        struct slice name = {(const uint8_t *)at, size};
        at += size;
        if (slice_equal_text(name, "*")) {
            return true;
        }
        if (name.size > 1 && name.data[0] == '[' && name.data[name.size - 1] == ']') {
            name = (struct slice){name.data + 1, name.size - 2};
        } else if (name.size && name.data[0] == '.') {
            name = (struct slice){name.data + 1, name.size - 1};
        }
        while (name.size && name.data[name.size - 1] == '.') {
            name.size--;
        }
        if (is_address ? name.size == host.size && name_is_same(name.data, host.data, name.size)
                       : name_is_within(host, name)) {
            return true;
        }
    }
    return false;
}

static const char *first_of(const char *const *names, const char **ret_name)
{
    for (size_t i = 0; names[i]; i++) {
        const char *value = getenv(names[i]);
        if (value && value[0]) {
            *ret_name = names[i];
            return value;
        }
    }
    return NULL;
}

const char *http_proxy_of_environment(bool is_https, const char *host, const char **ret_name)
{
    static const char *const secure[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                         NULL};
    static const char *const plain[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
    const char *name = NULL;
    const char *proxy = first_of(is_https ? secure : plain, &name);
    const char *unused = NULL;
    const char *exempt = first_of(none, &unused);
    if (!proxy || host_is_near(host) || (exempt && http_proxy_is_exempt(exempt, host))) {
        return NULL;
    }
    *ret_name = name;
    return proxy;
}

/* --- what curl is told --- */

static bool call_take_proxy(struct http_call *call, CURLU *url)
{
    char *host = NULL;
    char *port = NULL;
    char *user = NULL;
    char *password = NULL;
    unsigned long number = PROXY_PORT;
    bool ok = curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
              strlen(host) < sizeof call->query.host;
    if (ok && curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK) {
        number = strtoul(port, NULL, 10);
    }
    (void)curl_url_get(url, CURLUPART_USER, &user, CURLU_URLDECODE);         /* or there is none */
    (void)curl_url_get(url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE); /* likewise */
    if (ok) {
        char text[NAMES_HOST_SIZE_MAX + sizeof "http://:65535"];
        call->query.port = (uint16_t)number;
        snprintf(call->query.host, sizeof call->query.host, "%s", host);
        snprintf(text, sizeof text, "http://%s:%lu", host, number);
        SET(call, CURLOPT_PROXY, text);
        SET(call, CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
        SET(call, CURLOPT_PROXYUSERNAME, user);
        SET(call, CURLOPT_PROXYPASSWORD, password);
    }
    call->proxy_has_user = user != NULL;
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(password);
    return ok;
}

/* curl asks the proxy for the host of the URL, which is the name for TLS: it is to ask for the one that
 * was given. */
static void call_set_target(struct http_call *call)
{
    if (strcmp(call->url_host, call->host) == 0) {
        return;
    }
    char text[2 * NAMES_HOST_SIZE_MAX + sizeof ":65535::65535"];
    snprintf(text, sizeof text, "%s:%u:%s:%u", call->url_host, (unsigned)call->port, call->host,
             (unsigned)call->port);
    call->connect_to = curl_slist_append(NULL, text);
    call->no_memory = call->no_memory || !call->connect_to;
    SET(call, CURLOPT_CONNECT_TO, call->connect_to);
}

enum err http_call_set_proxy(struct http_call *call, struct why *why)
{
    const char *name = "the request";
    const char *proxy = call->request->proxy;
    if (!proxy) {
        proxy = http_proxy_of_environment(call->is_https, call->host, &name);
    }
    SET(call, CURLOPT_NOPROXY, ""); /* decided here */
    if (!proxy || !proxy[0]) {
        snprintf(call->query.host, sizeof call->query.host, "%s", call->host);
        call->query.port = call->port;
        SET(call, CURLOPT_PROXY, "");
        return ERR_OK;
    }
    CURLU *url = curl_url();
    char *scheme = NULL;
    unsigned flags = CURLU_NON_SUPPORT_SCHEME | CURLU_DEFAULT_SCHEME;
    CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, proxy, flags) : CURLUE_OUT_OF_MEMORY;
    code = code ? code : curl_url_get(url, CURLUPART_SCHEME, &scheme, CURLU_DEFAULT_SCHEME);
    bool is_http = !code && (!strstr(proxy, "://") || strcasecmp(scheme, "http") == 0);
    enum err e = code ? http_url_error(code) : ERR_CONFIG;
    if (e == ERR_NOMEM) {
        why_set(why, "no memory for a request to %s", call->host);
    } else if (is_http && call_take_proxy(call, url)) {
        call->is_proxied = true;
        SET(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        SET(call, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
        SET(call, CURLOPT_HTTPPROXYTUNNEL, call->is_https || call->request->http2_plain ? 1L : 0L);
        call_set_target(call);
        e = ERR_OK;
    } else if (!code && !is_http) {
        why_set(why, "the proxy of %s is a %s one: only http:// proxies can be used", name, scheme);
    } else {
        why_set(why, "the proxy of %s is no URL like http://user:password@host:port", name);
    }
    curl_free(scheme);
    curl_url_cleanup(url);
    return e;
}

/* --- what it said --- */

bool http_call_proxy_refused(struct http_call *call, long status)
{
    struct http_answer *answer = &call->answer;
    struct why *why = &answer->why;
    const char *host = call->query.host;
    unsigned port = call->query.port;
    if (!call->is_proxied || status < 300) {
        return false;
    }
    if (status == 407) {
        why_set(why, "the proxy %s:%u %s (407): its URL has them as http://user:password@host:port",
                host, port,
                call->proxy_has_user ? "refuses user and password" : "wants a user and a password");
        answer->e = ERR_AUTH;
    } else if (status == 403 || status == 401) {
        why_set(why, "the proxy %s:%u does not let us through to %s:%u (%ld): ask who runs it",
                host, port, call->host, (unsigned)call->port, status);
        answer->e = ERR_AUTH;
    } else {
        why_set(why, "the proxy %s:%u has no connection to %s:%u (%ld)", host, port, call->host,
                (unsigned)call->port, status);
        answer->e = ERR_CLOSED;
    }
    return true;
}
