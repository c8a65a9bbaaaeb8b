/* For `weir check --online`: is there a token, does the service answer, and may it publish to each topic?
 * By REST, one topic after the other: topics:testIamPermissions, which needs no right of its own and
 * changes nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/lib/json_tree.h"
#include "ports/probe.h"
#include "uplink/google/pubsub_impl.h"
#include "uplink/google/rest_error.h"

#define PERMISSION "pubsub.topics.publish"
#define URL_SIZE (PUBSUB_ENDPOINT_SIZE + 3 * TARGET_NAME_SIZE_MAX)
#define ANSWER_SIZE_MAX (64 * 1024)

struct pubsub_probe {
    struct probe probe;
    struct probe_setup setup;
    const struct pubsub_options *options;
    struct http *http;
    struct google_token *token;
    struct server_clock clock;
    char endpoint[PUBSUB_ENDPOINT_SIZE];
    size_t stream; /* whose topic is asked about */
    bool is_token_told, was_reached, is_over;
    bool is_open; /* the request is under way */
    struct timer next;
    struct http_request request;
    char url[URL_SIZE];
    char topic[TARGET_NAME_SIZE_MAX];
    char authorization[GOOGLE_TOKEN_SIZE_MAX + 32];
};

static void probe_over(struct pubsub_probe *p)
{
    if (!p->is_over) {
        p->is_over = true;
        p->setup.done(p->setup.context);
    }
}

/* --- the token --- */

/* ERR_AGAIN: it is being asked for. */
static enum err take_token(struct pubsub_probe *p)
{
    const char *text;
    uint64_t number;
    enum err fault_e;
    enum err e = google_token_get(p->token, &text, &number);
    const struct why *fault = google_token_fault(p->token, &fault_e);
    if (e && fault) {
        probe_found(&p->setup, PROBE_ERROR, "credentials", "access token", "%s", fault->text);
        return ERR_AUTH;
    }
    if (!e && !p->is_token_told) {
        p->is_token_told = true;
        probe_found(&p->setup, PROBE_OK, "credentials", "access token", "from %s",
                    google_token_source(p->token));
    }
    if (!e) {
        (void)snprintf(p->authorization, sizeof p->authorization, "Authorization: Bearer %s", text);
    }
    return e;
}

static void token_changed(void *context)
{
    struct pubsub_probe *p = context;
    if (!p->is_open && !p->is_over) {
        timer_arm(&p->next, 0);
    }
}

static void no_wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    (void)context;
    (void)sent;
    (void)received;
}

/* --- answers --- */

static void tell_reached(struct pubsub_probe *p, const struct http_answer *answer)
{
    int64_t now_s = clock_wall_us() / 1000000;
    if (p->was_reached) {
        return;
    }
    p->was_reached = true;
    if (answer->peer_end_s) {
        (void)probe_found_end(&p->setup, "tls", "certificate of Pub/Sub", answer->peer_end_s,
                              now_s);
        probe_found(&p->setup, PROBE_OK, "endpoint", p->endpoint,
                    "it answers; its certificate is verified, good for %" PRId64 " days",
                    (answer->peer_end_s - now_s) / 86400);
    } else {
        probe_found(&p->setup, PROBE_OK, "endpoint", p->endpoint, "it answers");
    }
    if (answer->date_s) {
        probe_found_clock(&p->setup, "endpoint", "Pub/Sub's", answer->date_s);
    } else {
        probe_found_no_clock(&p->setup, "Pub/Sub's answer has no date");
    }
}

/* {"permissions":["pubsub.topics.publish"]}, or none of it. */
static bool has_permission(struct slice body)
{
    struct json_tree *tree = NULL;
    struct why why;
    size_t offset;
    bool has = false;
    if (json_tree_open(&tree, body, &why, &offset)) {
        return false;
    }
    const struct json_node *list = json_node_find(json_tree_root(tree), "permissions");
    for (const struct json_node *node = list ? list->child : NULL; node; node = node->next) {
        const char *text = json_node_text(node);
        has = has || (text && strcmp(text, PERMISSION) == 0);
    }
    json_tree_close(tree);
    return has;
}

/* True: it would be the same for all other topics. */
static bool tell_topic(struct pubsub_probe *p, const struct http_answer *answer)
{
    char what[PROBE_WHAT_SIZE], message[GRPC_MESSAGE_SIZE_MAX] = "";
    int code = grpc_code_of_status(answer->status);
    (void)snprintf(what, sizeof what, "rights on %s", p->topic);
    if (code == GRPC_OK && has_permission(answer->body)) {
        probe_found(&p->setup, PROBE_OK, "topic", what, "it is there, and may be published to");
        return false;
    }
    if (code == GRPC_OK) {
        probe_found(
            &p->setup, PROBE_ERROR, "topic", what,
            "the topic is missing, or these credentials may not publish to it: make it, and "
            "give them roles/pubsub.publisher");
        return false;
    }
    code = rest_error_parse(answer->body, code, message);
    bool is_login = code == GRPC_UNAUTHENTICATED;
    probe_found(&p->setup, PROBE_ERROR, is_login ? "credentials" : "topic", what, "%s%s%s%s",
                grpc_code_name(code), message[0] ? ": " : "", message,
                is_login                 ? " (is the key still valid, and the clock right?)"
                : code == GRPC_NOT_FOUND ? " (make the topic)"
                                         : "");
    return is_login;
}

static void topic_answered(struct http_request *request, const struct http_answer *answer)
{
    struct pubsub_probe *p = CONTAINER_OF(request, struct pubsub_probe, request);
    p->is_open = false;
    bool is_over = answer->e != ERR_OK;
    if (answer->e) {
        probe_found(&p->setup, PROBE_ERROR, answer->e == ERR_AUTH ? "tls" : "endpoint", p->endpoint,
                    "%s", answer->why.text[0] ? answer->why.text : err_name(answer->e));
    } else {
        tell_reached(p, answer);
        is_over = tell_topic(p, answer);
    }
    if (is_over) {
        probe_over(p);
        return;
    }
    p->stream++;
    timer_arm(&p->next, 0);
}

/* --- questions --- */

/* Is this topic another stream's too, and was asked about? */
static bool was_asked(const struct pubsub_probe *p)
{
    for (size_t i = 0; i < p->stream; i++) {
        char name[TARGET_NAME_SIZE_MAX];
        if (!pubsub_topic_put(p->options, p->setup.streams[i].name, p->setup.agent_id, name,
                              NULL) &&
            strcmp(name, p->topic) == 0) {
            return true;
        }
    }
    return false;
}

static enum err ask(struct pubsub_probe *p)
{
    struct out url = out_over(p->url, sizeof p->url);
    if (!pubsub_rest_url(&url, p->endpoint, p->topic, "testIamPermissions")) {
        return ERR_FULL;
    }
    p->request =
        (struct http_request){.method = "POST",
                              .url = p->url,
                              .headers = {"Content-Type: application/json", p->authorization},
                              .body = SLICE("{\"permissions\":[\"" PERMISSION "\"]}"),
                              .tls = p->options->tls.is_set ? &p->options->tls : NULL,
                              .timeout_ms = PROBE_ANSWER_MS,
                              .answer_size_max = ANSWER_SIZE_MAX,
                              .done = topic_answered};
    enum err e = http_send(p->http, &p->request);
    p->is_open = e == ERR_OK;
    if (e) {
        probe_found(&p->setup, PROBE_ERROR, "topic", p->topic, "it could not be asked about: %s",
                    err_name(e));
    }
    return e;
}

static void probe_next(struct timer *timer)
{
    struct pubsub_probe *p = CONTAINER_OF(timer, struct pubsub_probe, next);
    struct why why = {""};
    if (p->stream == p->setup.stream_count) {
        probe_over(p);
        return;
    }
    const char *name = p->setup.streams[p->stream].name;
    if (pubsub_topic_put(p->options, name, p->setup.agent_id, p->topic, &why)) {
        probe_found(&p->setup, PROBE_ERROR, "topic", name, "%s", why.text);
    } else if (!was_asked(p)) {
        enum err e = take_token(p);
        e = e ? e : ask(p);
        if (e && e != ERR_AGAIN) {
            probe_over(p);
        }
        return; /* an answer, or a token, goes on with it */
    }
    p->stream++;
    timer_arm(&p->next, 0);
}

/* --- life --- */

static void probe_close(struct probe *probe)
{
    struct pubsub_probe *p = CONTAINER_OF(probe, struct pubsub_probe, probe);
    google_token_close(p->token);
    http_close(p->http);
    timer_release(&p->next);
    free(p);
}

/* False: nothing can be asked, and that is told. */
static bool open_token(struct pubsub_probe *p)
{
    struct why why = {""};
    const struct google_token_setup setup = {.loop = p->setup.loop,
                                             .names = p->setup.names,
                                             .http = p->http,
                                             .tls =
                                                 p->options->tls.is_set ? &p->options->tls : NULL,
                                             .clock = &p->clock,
                                             .credentials = p->options->credentials,
                                             .scope = PUBSUB_SCOPE,
                                             .audience = PUBSUB_AUDIENCE,
                                             .context = p,
                                             .changed = token_changed,
                                             .wire_bytes = no_wire_bytes};
    if (strncmp(p->endpoint, "http://", 7) == 0) {
        probe_found(&p->setup, PROBE_WARNING, "endpoint", p->endpoint,
                    "without TLS it is an emulator, which knows no rights: nothing was asked");
        return false;
    }
    if (google_token_open(&p->token, &setup, &why)) {
        probe_found(&p->setup, PROBE_ERROR, "credentials", "access token", "%s", why.text);
        return false;
    }
    return true;
}

enum err pubsub_probe_open(struct probe **ret, const struct probe_setup *setup)
{
    struct pubsub_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->probe.close = probe_close;
    p->setup = *setup;
    p->options = setup->options;
    timer_init(&p->next, setup->loop, probe_next);
    pubsub_endpoint(p->options, p->endpoint);
    enum err e = http_open(&p->http, setup->loop, setup->names);
    if (e) {
        probe_close(&p->probe);
        return e;
    }
    if (!open_token(p)) {
        p->stream = setup->stream_count;
    }
    timer_arm(&p->next, 0);
    *ret = &p->probe;
    return ERR_OK;
}
