/* For `weir check --online`: is there a token, does the service answer, and may it publish to each topic?
 * By REST, one topic after the other: topics:testIamPermissions, which needs no right of its own and
 * changes nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "uplink/google/google_probe.h"
#include "uplink/google/pubsub_impl.h"
#include "uplink/google/rest_error.h"

#define PERMISSION "pubsub.topics.publish"

struct pubsub_probe {
    struct google_probe google;
    const struct pubsub_options *options;
    char endpoint[PUBSUB_ENDPOINT_SIZE];
};

static struct pubsub_probe *probe_of(struct service_probe *base)
{
    struct google_probe *google = CONTAINER_OF(base, struct google_probe, base);
    return CONTAINER_OF(google, struct pubsub_probe, google);
}

static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    char topic[TARGET_NAME_SIZE_MAX];
    enum err e =
        pubsub_topic_put(base->setup.options, stream->name, base->setup.agent_id, topic, why);
    if (!e) {
        out_put_text(ret, topic);
    }
    return e;
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct pubsub_probe *p = probe_of(base);
    ret->method = "POST";
    ret->url = (const char *)base->text.data;
    ret->body = SLICE("{\"permissions\":[\"" PERMISSION "\"]}");
    if (!pubsub_rest_url(&base->text, p->endpoint, base->name, "testIamPermissions") ||
        !service_probe_header(base, ret, "Content-Type: application/json")) {
        return ERR_FULL;
    }
    return google_probe_authorize(&p->google, ret);
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *answer)
{
    char what[PROBE_WHAT_SIZE], message[GRPC_MESSAGE_SIZE_MAX] = "";
    int code = grpc_code_of_status(answer->status);
    (void)snprintf(what, sizeof what, "rights on %.300s", base->name);
    if (code == GRPC_OK && google_probe_may(answer->body, PERMISSION)) {
        service_probe_found(base, PROBE_OK, "topic", what, "it is there, and may be published to");
        return SERVICE_PROBE_NEXT;
    }
    if (code == GRPC_OK) {
        service_probe_found(
            base, PROBE_ERROR, "topic", what,
            "the topic is missing, or these credentials may not publish to it: make it, and "
            "give them roles/pubsub.publisher");
        return SERVICE_PROBE_NEXT;
    }
    code = rest_error_parse(answer->body, code, message);
    bool is_login = code == GRPC_UNAUTHENTICATED;
    service_probe_found(base, PROBE_ERROR, is_login ? "credentials" : "topic", what, "%s%s%s%s",
                        grpc_code_name(code), message[0] ? ": " : "", message,
                        is_login                 ? " (is the key still valid, and the clock right?)"
                        : code == GRPC_NOT_FOUND ? " (make the topic)"
                                                 : "");
    return is_login ? SERVICE_PROBE_OVER : SERVICE_PROBE_NEXT;
}

static void probe_free(struct service_probe *base)
{
    struct pubsub_probe *p = probe_of(base);
    google_probe_release(&p->google);
    free(p);
}

static const struct service_probe_class probe_class = {
    .name = probe_name, .ask = probe_ask, .judge = probe_judge, .free = probe_free};

enum err pubsub_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct pubsub_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->options = setup->options;
    pubsub_endpoint(p->options, p->endpoint);
    bool is_emulator = strncmp(p->endpoint, "http://", 7) == 0;
    struct service_probe *base = &p->google.base;
    base->class_ = &probe_class;
    base->owner = setup;
    base->service = "Pub/Sub";
    base->endpoint = p->endpoint;
    base->prefix = "";
    base->endpoint_option = "endpoint";
    base->name_option = "topic";
    base->tls = p->options->tls.is_set ? &p->options->tls : NULL;
    p->google.credentials = p->options->credentials;
    p->google.scope = PUBSUB_SCOPE;
    p->google.audience = PUBSUB_AUDIENCE;
    p->google.is_anonymous = is_emulator;
    enum err e = google_probe_open(&p->google);
    if (e) {
        base->probe.close(&base->probe);
        return e;
    }
    if (is_emulator) {
        service_probe_found(base, PROBE_WARNING, "endpoint", p->endpoint,
                            "without TLS it is an emulator, which knows no rights: nothing was "
                            "asked");
        service_probe_end(base);
    }
    *ret = &base->probe;
    return ERR_OK;
}
