/* For `weir check --online`: is the service reached, by TLS that is verified, and what does it say to
 * OPTIONS? That asks what can be done with a URL, and by HTTP's own rules does nothing (RFC 9110, 9.3.7);
 * no event and no key is sent. A server that does not know it has answered all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "uplink/http/http_impl.h"
#include "uplink/http/service_probe.h"

#define ALLOW_SIZE 128
#define URL_SIZE 2304
#define SHOWN_URL_SIZE 260 /* leaves room for a stream's name */

struct http_uplink_probe {
    struct service_probe base;
    const struct http_uplink_options *options;
    char url[URL_SIZE];
    char allow[ALLOW_SIZE];      /* of the answer at hand; "": not said */
    char shown[PROBE_WHAT_SIZE]; /* what is asked about */
};

static struct http_uplink_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct http_uplink_probe, base);
}

static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    (void)why;
    http_uplink_url_put(base->setup.options, stream->name, base->setup.agent_id, ret);
    return ERR_OK;
}

/* Without its query, which may be a key, and gets into tickets with the rest; the stream is said
 * instead. */
static void set_shown(struct http_uplink_probe *p)
{
    const char *url = p->base.name;
    size_t size = strcspn(url, "?");
    bool has_query = url[size] != '\0';
    (void)snprintf(p->shown, sizeof p->shown, "%.*s%s%.100s",
                   (int)(size < SHOWN_URL_SIZE ? size : SHOWN_URL_SIZE), url,
                   has_query ? "?... of stream " : "", has_query ? p->base.stream->name : "");
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct http_uplink_probe *p = probe_of(base);
    const struct http_uplink_options *options = p->options;
    const char *const *values = options->headers.items;
    ret->method = "OPTIONS";
    ret->url = base->name;
    ret->user = options->user;
    ret->password = options->password;
    bool ok = !options->token ||
              service_probe_header(base, ret, "Authorization: Bearer %s", options->token);
    for (size_t i = 0; i < options->headers.count; i++) {
        ok = ok && service_probe_header(base, ret, "%s: %s", options->headers.names[i], values[i]);
    }
    p->allow[0] = '\0';
    set_shown(p);
    return ok ? ERR_OK : ERR_FULL;
}

static void probe_header(struct service_probe *base, struct slice name, struct slice value)
{
    struct http_uplink_probe *p = probe_of(base);
    bool is_allow = name.size == 5 && strncasecmp((const char *)name.data, "Allow", 5) == 0;
    if (is_allow && !slice_to_text(value, p->allow, sizeof p->allow)) {
        p->allow[0] = '\0'; /* longer than any that is looked at */
    }
}

static const char *login_option(const struct http_uplink_options *options)
{
    return options->token ? "token" : options->user ? "user" : "headers";
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    const struct http_uplink_probe *p = probe_of(base);
    const char *method = p->options->method == 0 ? "POST" : "PUT";
    long status = answer->status;
    if (status == 401) {
        service_probe_found(base, PROBE_ERROR, login_option(p->options), p->shown,
                            "it does not take the login (401 to OPTIONS): look at token, user and "
                            "password");
    } else if (status == 403 || status == 404 || status == 410) {
        service_probe_found(base, PROBE_WARNING, status == 403 ? login_option(p->options) : "url",
                            p->shown,
                            "the answer to OPTIONS is %ld: if a %s is answered so too, look at %s",
                            status, method, status == 403 ? "the login and its rights" : "url");
    } else if (status >= 300 && status < 400) {
        service_probe_found(base, PROBE_ERROR, "url", p->shown,
                            "it sends us elsewhere (%ld), and no redirects are followed: write the "
                            "URL that it leads to",
                            status);
    } else if (p->allow[0] && !strstr(p->allow, method)) {
        service_probe_found(base, PROBE_WARNING, "method", p->shown,
                            "it says that it allows %s, not %s: look at url and method", p->allow,
                            method);
    } else if (status == 429 || (status >= 500 && status != 501)) {
        service_probe_found(base, PROBE_WARNING, "url", p->shown,
                            "the answer to OPTIONS is %ld: it is there, but does not work now",
                            status);
    } else {
        service_probe_found(base, PROBE_OK, "url", p->shown,
                            "it answers OPTIONS with %ld%s%s; whether it takes the login and a %s "
                            "the first batch shows",
                            status, p->allow[0] ? " and allows " : "", p->allow, method);
    }
    return SERVICE_PROBE_NEXT;
}

static void probe_free(struct service_probe *base)
{
    free(probe_of(base));
}

static const struct service_probe_class probe_class = {.name = probe_name,
                                                       .ask = probe_ask,
                                                       .judge = probe_judge,
                                                       .header = probe_header,
                                                       .free = probe_free};

enum err http_uplink_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    const struct http_uplink_options *options = setup->options;
    struct http_uplink_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    const char *host = strstr(options->url, "://") + 3; /* the option's check */
    p->options = options;
    (void)snprintf(p->url, sizeof p->url, "%.*s",
                   (int)(host - options->url) + (int)strcspn(host, "/?"), options->url);
    p->base.class_ = &probe_class;
    p->base.owner = setup;
    p->base.service = "the service";
    p->base.endpoint = p->url;
    p->base.prefix = "";
    p->base.endpoint_option = "url";
    p->base.name_option = "url";
    p->base.tls = &options->tls;
    enum err e = service_probe_open(&p->base);
    if (e) {
        p->base.probe.close(&p->base.probe);
        return e;
    }
    if ((options->token || options->password) && strncmp(options->url, "http://", 7) == 0) {
        service_probe_found(&p->base, PROBE_WARNING, "url", options->token ? "token" : "password",
                            "it is sent as it is, and without https whoever is in between reads "
                            "it");
    }
    *ret = &p->base.probe;
    return ERR_OK;
}
