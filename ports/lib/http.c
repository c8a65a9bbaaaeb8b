#include <assert.h>
#include <net/if.h>

#include "ports/lib/http_impl.h"
#include "ports/lib/tls_session.h"

#define HTTP_ANSWER_SIZE 65536 /* where the user says nothing */

/* --- the end of a call --- */

static void call_free(struct http_call *call)
{
    timer_release(&call->limit);
    if (call->easy) {
        if (call->added) {
            curl_multi_remove_handle(call->identity->multi, call->easy);
        }
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->resolve);
    curl_slist_free_all(call->connect_to);
    free(call->body);
    free(call);
}

static void list_remove(struct http_call **link, const struct http_call *call)
{
    while (*link && *link != call) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = call->next;
    }
}

void http_call_was_set(struct http_call *call, CURLcode code)
{
    call->no_memory = call->no_memory || code != CURLE_OK;
}

void http_call_finish(struct http_call *call)
{
    struct http *http = call->identity->http;
    timer_disarm(&call->limit);
    call->answer.is_sent = http_call_is_connected(call);
    list_remove(&http->calls, call);
    struct http_call **link = &http->finished;
    while (*link) {
        link = &(*link)->next;
    }
    call->next = NULL;
    *link = call;
    timer_arm(&http->deliver, 0);
}

static void http_deliver_fire(struct timer *timer)
{
    struct http *http = CONTAINER_OF(timer, struct http, deliver);
    struct http_call *call = http->finished;
    if (!call) {
        return;
    }
    http->finished = call->next;
    http->call_count--;
    if (http->finished) {
        timer_arm(&http->deliver, 0);
    }
    struct http_request *request = call->request;
    request->private_ = NULL;
    if (call->added) {
        curl_multi_remove_handle(call->identity->multi, call->easy);
        call->added = false;
    }
    request->done(request, &call->answer); /* may close `http` */
    call_free(call);
}

void http_call_fail(struct http_call *call, enum err e)
{
    call->answer.e = e;
    http_call_finish(call);
}

void http_call_stop_asking(struct http_call *call)
{
    if (call->asking) {
        names_cancel(call->identity->http->names, &call->query);
        call->asking = false;
    }
}

static void call_found(struct name_query *query, enum err e)
{
    struct http_call *call = CONTAINER_OF(query, struct http_call, query);
    call->asking = false;
    call->identity->closed_sent += query->wire_sent;
    call->identity->closed_received += query->wire_received;
    if (e) {
        call->answer.why = query->why;
        http_call_fail(call, e);
        return;
    }
    /* curl would ask the kernel for all interfaces and their addresses, to look for this one. */
    const char *name = call->identity->interface_name;
    if (name[0] && if_nametoindex(name) == 0) {
        why_set(&call->answer.why, "no interface \"%s\": %s %s", name, call->request->method,
                call->host);
        http_call_fail(call, ERR_IO);
        return;
    }
    uint64_t now_ms = loop_now_ms(call->identity->http->loop);
    SET(call, CURLOPT_CONNECTTIMEOUT_MS,
        call->connect_end_ms > now_ms ? (long)(call->connect_end_ms - now_ms) : 1L);
    http_call_set_resolve(call);
    if (call->no_memory || curl_multi_add_handle(call->identity->multi, call->easy) != CURLM_OK) {
        why_set(&call->answer.why, "no memory for a request to %s", call->host);
        http_call_fail(call, ERR_NOMEM);
        return;
    }
    call->added = true;
    http_call_give_sessions(call);
}

/* --- identities --- */

static bool text_is_same(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool options_are_same(const struct tls_options *a, const struct tls_options *b)
{
    return text_is_same(a->ca, b->ca) && text_is_same(a->certificate, b->certificate) &&
           text_is_same(a->key, b->key) && text_is_same(a->server_name, b->server_name) &&
           a->version_min == b->version_min && a->insecure == b->insecure;
}

static void identity_close(struct http_identity *identity)
{
    if (!identity) {
        return;
    }
    http_sockets_close(identity);
    http_identity_leave(identity);
    tls_close(identity->tls);
    for (size_t i = 0; i < ARRAY_COUNT(identity->texts); i++) {
        free(identity->texts[i]);
    }
    free(identity);
}

/* Copies the options: the configuration they come from may be replaced. */
static bool identity_copy_options(struct http_identity *identity, const struct tls_options *options)
{
    const char **members[] = {&identity->options.ca, &identity->options.certificate,
                              &identity->options.key, &identity->options.server_name};
    identity->options = *options;
    identity->options.client_ca = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
        if (*members[i]) {
            identity->texts[i] = strdup(*members[i]);
            if (!identity->texts[i]) {
                return false;
            }
            *members[i] = identity->texts[i];
        }
    }
    return true;
}

static enum err identity_open(struct http_identity **ret, struct http *http,
                              const struct tls_options *options)
{
    struct http_identity *identity = calloc(1, sizeof *identity);
    if (!identity) {
        return ERR_NOMEM;
    }
    identity->http = http;
    if (!http_sockets_open(identity) || !identity_copy_options(identity, options)) {
        identity_close(identity);
        return ERR_NOMEM;
    }
    *ret = identity;
    return ERR_OK;
}

static enum err http_identity_find(struct http *http, const struct tls_options *options,
                                   struct http_identity **ret)
{
    static const struct tls_options defaults = {.is_set = false};
    options = options ? options : &defaults;
    for (size_t i = 0; i < HTTP_IDENTITY_MAX; i++) {
        if (!http->identities[i]) {
            enum err e = identity_open(&http->identities[i], http, options);
            *ret = http->identities[i];
            return e;
        }
        if (options_are_same(&http->identities[i]->options, options)) {
            *ret = http->identities[i];
            return ERR_OK;
        }
    }
    return ERR_FULL;
}

/* --- the client --- */

void http_link_set(struct http *http, void (*link)(void *context, struct http_link *ret),
                   void *context)
{
    http->link = link;
    http->link_context = context;
}

struct http_link http_link(const struct http *http)
{
    struct http_link link = {.interface_name = NULL};
    if (http->link) {
        http->link(http->link_context, &link);
    }
    return link;
}

enum err http_open(struct http **ret, struct loop *loop, struct names *names)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return ERR_NOMEM;
    }
    struct http *http = calloc(1, sizeof *http);
    if (!http) {
        curl_global_cleanup();
        return ERR_NOMEM;
    }
    http->loop = loop;
    http->names = names;
    timer_init(&http->deliver, loop, http_deliver_fire);
    *ret = http;
    return ERR_OK;
}

static void http_drop(struct http *http, struct http_call *call)
{
    http_call_stop_asking(call);
    call->request->private_ = NULL;
    http->call_count--;
    call_free(call);
}

void http_close(struct http *http)
{
    if (!http) {
        return;
    }
    while (http->calls) {
        struct http_call *call = http->calls;
        http->calls = call->next;
        http_drop(http, call);
    }
    while (http->finished) {
        struct http_call *call = http->finished;
        http->finished = call->next;
        http_drop(http, call);
    }
    for (size_t i = 0; i < HTTP_IDENTITY_MAX; i++) {
        identity_close(http->identities[i]);
    }
    timer_release(&http->deliver);
    free(http);
    curl_global_cleanup();
}

/* What an answer would have told of the wire. */
static void answer_take_wire(struct http_answer *answer, uint64_t *sent, uint64_t *received)
{
    *sent += answer->wire_sent;
    *received += answer->wire_received;
    answer->wire_sent = 0;
    answer->wire_received = 0;
}

void http_cut(struct http *http, uint64_t *ret_sent, uint64_t *ret_received)
{
    *ret_sent = 0;
    *ret_received = 0;
    while (http->calls) {
        struct http_call *call = http->calls;
        http_call_stop_asking(call);
        http_call_abort(call, true);
        why_set(&call->answer.why, "%s %s: the link is another one now", call->request->method,
                call->host);
        http_call_fail(call, ERR_CLOSED);
    }
    for (struct http_call *call = http->finished; call; call = call->next) {
        answer_take_wire(&call->answer, ret_sent, ret_received);
    }
    for (size_t i = 0; i < HTTP_IDENTITY_MAX && http->identities[i]; i++) {
        struct http_identity *identity = http->identities[i];
        http_sockets_close(identity);
        *ret_sent += identity->closed_sent;
        *ret_received += identity->closed_received;
        identity->closed_sent = 0;
        identity->closed_received = 0;
        identity->is_mixed =
            !http_sockets_open(identity); /* without memory: the next request tries */
    }
}

/* Everything that can be said before the name is known. True: the name is being asked for. */
static bool call_start(struct http *http, struct http_call *call)
{
    struct why *why = &call->answer.why;
    enum err e = http_call_set_url(call);
    if (e) {
        /* Without its query, which may hold a signature. */
        const char *url = call->request->url;
        why_set(why,
                e == ERR_NOMEM ? "no memory for a request to %.*s"
                               : "%.*s is no URL that can be used",
                (int)strcspn(url, "?"), url);
        goto fail;
    }
    e = http_call_set_proxy(call, why);
    if (e) {
        goto fail;
    }
    if (call->is_https && !call->identity->tls) {
        e = tls_open(&call->identity->tls, &call->identity->options, TLS_CLIENT, why);
        if (e) {
            goto fail;
        }
        http_identity_join(call->identity);
    }
    http_call_set_request(call);
    call->query.found = call_found;
    e = call->no_memory ? ERR_NOMEM : names_query(http->names, &call->query);
    if (e) {
        why_set(why, "no room for a request to %s", call->host);
        goto fail;
    }
    call->asking = true;
    return true;

fail:
    http_call_fail(call, e);
    return false;
}

static bool identity_is_used(const struct http_identity *identity, const struct http_call *calls)
{
    while (calls && calls->identity != identity) {
        calls = calls->next;
    }
    return calls != NULL;
}

/* curl would use connections that are bound to another interface: they are closed. False: no memory. */
static bool identity_follow_link(struct http_identity *identity)
{
    const struct http *http = identity->http;
    struct http_link link = http_link(http);
    const char *name = link.interface_name ? link.interface_name : "";
    if (strcmp(name, identity->interface_name) != 0) {
        (void)snprintf(identity->interface_name, sizeof identity->interface_name, "%s", name);
        identity->is_mixed = true;
    }
    if (!identity->is_mixed || identity_is_used(identity, http->calls) ||
        identity_is_used(identity, http->finished)) {
        return true;
    }
    http_sockets_close(identity);
    identity->is_mixed = !http_sockets_open(identity);
    return !identity->is_mixed;
}

enum err http_send(struct http *http, struct http_request *request)
{
    assert(request->method && request->url && request->done && !request->private_);
    if (http->call_count == HTTP_REQUEST_MAX) {
        return ERR_FULL;
    }
    struct http_identity *identity = NULL;
    enum err e = http_identity_find(http, request->tls, &identity);
    if (e) {
        return e;
    }
    if (!identity_follow_link(identity)) {
        return ERR_NOMEM;
    }
    struct http_call *call = calloc(1, sizeof *call);
    CURL *easy = curl_easy_init();
    if (!call || !easy) {
        free(call);
        curl_easy_cleanup(easy);
        return ERR_NOMEM;
    }
    if (request->answer_size_max == 0) {
        request->answer_size_max = HTTP_ANSWER_SIZE;
    } else if (request->answer_size_max > HTTP_ANSWER_SIZE_MAX) {
        request->answer_size_max = HTTP_ANSWER_SIZE_MAX;
    }
    call->easy = easy;
    call->request = request;
    call->identity = identity;
    http_call_limit(call);
    call->next = http->calls;
    http->calls = call;
    http->call_count++;
    request->private_ = call;
    (void)call_start(http, call);
    return ERR_OK;
}

void http_cancel(struct http *http, struct http_request *request)
{
    struct http_call *call = request->private_;
    if (!call) {
        return;
    }
    assert(call->request == request);
    list_remove(&http->calls, call);
    list_remove(&http->finished, call);
    http_drop(http, call);
}
