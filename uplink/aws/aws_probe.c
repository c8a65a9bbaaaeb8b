#include "uplink/aws/aws_probe.h"

#include <stdio.h>
#include <strings.h>

#include "ports/lib/hash.h"
#include "uplink/object/endpoint.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"

static struct aws_probe *probe_of(struct service_probe *base)
{
    return CONTAINER_OF(base, struct aws_probe, base);
}

/* --- life --- */

static void credentials_changed(void *context)
{
    struct aws_probe *p = context;
    service_probe_go(&p->base);
}

static void credentials_fault(void *context, const struct why *why)
{
    struct aws_probe *p = context;
    p->has_fault = why != NULL;
    if (why) {
        p->fault = *why;
    }
    service_probe_go(&p->base);
}

void aws_probe_url(struct aws_probe *p, const char *url)
{
    const char *region = p->region ? p->region : "";
    if (url) {
        size_t size = strlen(url);
        size -= size > 0 && url[size - 1] == '/';
        (void)snprintf(p->url, sizeof p->url, "%.*s", (int)size, url);
    } else {
        (void)snprintf(p->url, sizeof p->url, "https://%s.%s.amazonaws.com%s", p->service, region,
                       strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    }
}

enum err aws_probe_open(struct aws_probe *p)
{
    struct why why = {""};
    enum err e = service_probe_open(&p->base);
    if (!e && !p->region) {
        service_probe_found(&p->base, PROBE_ERROR, "region", "region",
                            "it is not said: set \"region\", or AWS_REGION in the environment");
        service_probe_end(&p->base);
        return ERR_OK;
    }
    const struct credentials_setup setup = {.loop = p->base.setup.loop,
                                            .names = p->base.setup.names,
                                            .http = p->base.http,
                                            .clock = &p->base.clock,
                                            .options = p->options,
                                            .region = p->region,
                                            .context = p,
                                            .changed = credentials_changed,
                                            .fault = credentials_fault};
    e = e ? e : credentials_open(&p->credentials, &setup, &why);
    if (e == ERR_CONFIG) {
        service_probe_found(&p->base, PROBE_ERROR, "credentials", "credentials", "%s", why.text);
        service_probe_end(&p->base);
        e = ERR_OK;
    }
    return e;
}

enum err aws_probe_open_uplink(struct aws_probe *p, const struct aws_options *options,
                               const struct probe_setup *setup, struct probe **ret)
{
    p->region = credentials_region(options->region);
    p->options = &options->credentials;
    aws_probe_url(p, options->endpoint);
    p->base.owner = setup;
    p->base.endpoint = p->url;
    p->base.prefix = "";
    p->base.endpoint_option = "endpoint";
    p->base.tls = &options->tls;
    enum err e = aws_probe_open(p);
    if (e) {
        p->base.probe.close(&p->base.probe);
        return e;
    }
    *ret = &p->base.probe;
    return ERR_OK;
}

void aws_probe_release(struct aws_probe *p)
{
    credentials_close(p->credentials);
}

/* --- requests --- */

static enum err take_credentials(struct aws_probe *p, struct aws_credentials *ret)
{
    enum err e = credentials_get(p->credentials, ret);
    if (e && p->has_fault) {
        service_probe_found(&p->base, PROBE_ERROR, "credentials", "credentials", "%s",
                            p->fault.text);
        service_probe_end(&p->base);
        return ERR_AGAIN; /* it ends in the next turn */
    }
    if (!e && !p->is_told) {
        p->is_told = true;
        service_probe_found(&p->base, PROBE_OK, "credentials", "credentials", "from %s",
                            credentials_origin(p->credentials));
    }
    return e;
}

/* The URL, and the parts of it that are signed. */
static bool put_url(struct aws_probe *p, const struct aws_probe_call *call,
                    struct http_request *http, struct sigv4_request *sign)
{
    struct endpoint at;
    struct why why;
    if (endpoint_parse(p->base.endpoint, &at, &why)) {
        return false;
    }
    const char *scheme = at.scheme.size == 8 ? "https://" : "http://";
    http->url = service_probe_text(&p->base, "%s%s%.*s%.*s%s%s%s", scheme, call->host,
                                   (int)at.host.size, (const char *)at.host.data, (int)at.path.size,
                                   (const char *)at.path.data, call->path,
                                   call->query[0] ? "?" : "", call->query);
    if (!http->url) {
        return false;
    }
    const char *host = http->url + strlen(scheme);
    size_t host_size = strlen(call->host) + at.host.size;
    sign->host = (struct slice){(const uint8_t *)host, host_size};
    sign->path =
        (struct slice){(const uint8_t *)host + host_size, at.path.size + strlen(call->path)};
    sign->query = slice_of_text(call->query);
    return true;
}

static bool put_headers(struct aws_probe *p, const struct sigv4_request *sign,
                        const struct aws_credentials *by, struct http_request *http)
{
    struct service_probe *base = &p->base;
    char date[SIGV4_DATE_SIZE];
    struct out signature = out_over(p->scratch, sizeof p->scratch);
    bool ok = true;
    sigv4_date(sign->time_s, date);
    sigv4_sign(sign, by, &signature);
    out_put_byte(&signature, 0);
    for (size_t i = 0; i < sign->header_count; i++) {
        ok = ok && service_probe_header(base, http, "%s: %s", sign->headers[i].name,
                                        (const char *)sign->headers[i].value.data);
    }
    ok = ok && service_probe_header(base, http, "x-amz-date: %s", date);
    if (sign->is_s3) {
        ok = ok && service_probe_header(base, http, "x-amz-content-sha256: %s", sign->body_hash);
    }
    if (by->session_token) {
        ok = ok && service_probe_header(base, http, "x-amz-security-token: %s", by->session_token);
    }
    return ok && !signature.overflow &&
           service_probe_header(base, http, "Authorization: %s", (const char *)p->scratch);
}

enum err aws_probe_request(struct aws_probe *p, const struct aws_probe_call *call,
                           struct http_request *ret)
{
    char hash[SIGV4_HASH_SIZE];
    struct aws_credentials by;
    enum err e = take_credentials(p, &by);
    if (e) {
        return e;
    }
    const struct sigv4_header headers[] = {{"Content-Type", SLICE(CONTENT_TYPE)},
                                           {"X-Amz-Target", slice_of_text(call->target)}};
    struct sigv4_request sign = {.method = call->method,
                                 .headers = headers,
                                 .header_count = call->target ? ARRAY_COUNT(headers) : 0,
                                 .body_hash = hash,
                                 .region = p->region,
                                 .service = p->service,
                                 .time_s = server_clock_now_s(&p->base.clock),
                                 .is_s3 = !call->target};
    sigv4_hash(call->body, hash);
    ret->method = call->method;
    ret->body = call->body;
    p->number = by.number;
    p->error_type[0] = '\0';
    bool fits = put_url(p, call, ret, &sign) && put_headers(p, &sign, &by, ret);
    return fits ? ERR_OK : ERR_FULL;
}

/* --- refusals --- */

void aws_probe_header(struct service_probe *base, struct slice name, struct slice value)
{
    static const char wanted[] = "x-amzn-errortype";
    struct aws_probe *p = probe_of(base);
    bool is_wanted = name.size == sizeof wanted - 1 &&
                     strncasecmp((const char *)name.data, wanted, name.size) == 0;
    if (is_wanted && !slice_to_text(value, p->error_type, sizeof p->error_type)) {
        p->error_type[0] = '\0'; /* longer than any that is known */
    }
}

bool aws_probe_is_denied(const struct aws_error *error)
{
    return strncmp(error->type, "AccessDenied", 12) == 0;
}

static bool is_about_login(const struct aws_error *error)
{
    static const char *const types[] = {
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
        "InvalidToken",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "IncompleteSignatureException",
        "IncompleteSignature",
        "ExpiredTokenException",
        "ExpiredToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "AuthFailure",
        "NotAuthorized",
        "XAdminUserNotFound", /* versitygw's */
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (strcmp(error->type, types[i]) == 0) {
            return true;
        }
    }
    return false;
}

static const char *login_advice(enum aws_action action)
{
    return action == AWS_CREDENTIALS ? "they have ended: renew them"
           : action == AWS_CLOCK     ? "check the secret key, and the clock"
                                     : "check the key id, the secret, the session token";
}

bool aws_probe_refused(struct aws_probe *p, const struct http_answer *answer, struct aws_error *ret,
                       enum service_probe_next *ret_next)
{
    char what[PROBE_WHAT_SIZE];
    aws_error_read(ret, slice_of_text(p->error_type), answer->body);
    enum aws_action action = aws_error_action(ret, answer->status);
    if (strcmp(ret->type, "RequestTimeTooSkewed") == 0) {
        action = AWS_CLOCK;
    }
    *ret_next = SERVICE_PROBE_MORE;
    if (action == AWS_CLOCK && !p->has_dated &&
        server_clock_learn(&p->base.clock, answer->date_s)) {
        p->has_dated = true; /* as the agent does */
        return true;
    }
    if (action == AWS_CREDENTIALS && !p->has_renewed &&
        credentials_refused(p->credentials, p->number)) {
        p->has_renewed = true;
        return true;
    }
    bool is_forbidden = (answer->status == 401 || answer->status == 403) && ret->type[0] &&
                        !aws_probe_is_denied(ret);
    if (!is_about_login(ret) && !is_forbidden) {
        return false;
    }
    (void)snprintf(what, sizeof what, "login at %s", p->base.service);
    service_probe_found(&p->base, PROBE_ERROR, "credentials", what, "%s%s%s: %s (they are from %s)",
                        ret->type, ret->text[0] ? ": " : "", ret->text, login_advice(action),
                        credentials_origin(p->credentials));
    *ret_next = SERVICE_PROBE_OVER;
    return true;
}

void aws_probe_found(struct aws_probe *p, const char *what, const struct http_answer *answer,
                     const struct aws_error *error)
{
    enum aws_action action = aws_error_action(error, answer->status);
    bool is_busy = action == AWS_AGAIN || action == AWS_SLOW_DOWN;
    if (!error->type[0]) {
        service_probe_found_nonsense(&p->base, what, answer->status);
        return;
    }
    service_probe_found(&p->base, is_busy ? PROBE_WARNING : PROBE_ERROR, p->base.name_option, what,
                        "%s%s%s: %s", error->type, error->text[0] ? ": " : "", error->text,
                        is_busy ? "ask again later" : aws_error_advice(action));
}
