/* Tokens that others give: the metadata server, OAuth's endpoint for a user's login, and for workload
 * identity somebody else's token, the STS that exchanges it, and the service account it stands for. */
#include <stdlib.h>

#include "ports/clock.h"
#include "ports/file.h"
#include "uplink/google/token_impl.h"
#include "uplink/http/server_clock.h"

#define TIMEOUT_MS 20000
#define ANSWER_SIZE_MAX (64 * 1024)
#define METADATA_HOST "metadata.google.internal"
#define SCOPE_ALL "https://www.googleapis.com/auth/cloud-platform"

const char *token_metadata_host(void)
{
    const char *host = getenv("GCE_METADATA_HOST");
    return host && host[0] ? host : METADATA_HOST;
}

/* --- requests --- */

static void on_done(struct http_request *request, const struct http_answer *answer)
{
    struct google_token *token = CONTAINER_OF(request, struct google_token, request);
    if (token->via == token->setup.http) {
        token->setup.wire_bytes(token->setup.context, answer->wire_sent, answer->wire_received);
    }
    token->via = NULL;
    token->answered(token, answer);
    if (!token->via) { /* else it goes on with the next request */
        free(token->memory);
        token->memory = NULL;
        token->setup.changed(token->setup.context);
    }
}

/* What a request is made of: texts in token->memory, which it has for itself. */
struct ask {
    struct out text;
    const char *url;
    const char *headers[CREDENTIALS_HEADER_MAX + 2];
    size_t header_count;
    struct slice body;
};

static bool ask_begin(struct google_token *token, struct ask *ask, size_t size)
{
    free(token->memory);
    token->memory = malloc(size);
    *ask = (struct ask){.text = out_over(token->memory, token->memory ? size : 0)};
    return token->memory != NULL;
}

static const char *ask_mark(const struct ask *ask)
{
    return (const char *)ask->text.data + ask->text.size;
}

static const char *ask_text(struct ask *ask, const char *before, const char *text)
{
    const char *start = ask_mark(ask);
    out_put_text(&ask->text, before);
    out_put_text(&ask->text, text);
    out_put_byte(&ask->text, 0);
    return start;
}

static void ask_header(struct ask *ask, const char *name, const char *value)
{
    const char *start = ask_mark(ask);
    out_put_format(&ask->text, "%s: ", name);
    out_put_text(&ask->text, value);
    out_put_byte(&ask->text, 0);
    ask->headers[ask->header_count++] = start;
}

static void ask_send(struct google_token *token, const struct ask *ask, const char *method,
                     struct http *via,
                     void (*answered)(struct google_token *token, const struct http_answer *answer))
{
    token->request = (struct http_request){.method = method,
                                           .url = ask->url,
                                           .body = ask->body,
                                           .tls = token->setup.tls,
                                           .timeout_ms = TIMEOUT_MS,
                                           .answer_size_max = ANSWER_SIZE_MAX,
                                           .done = on_done};
    memcpy(token->request.headers, ask->headers, ask->header_count * sizeof ask->headers[0]);
    token->answered = answered;
    enum err e = ask->text.overflow ? ERR_FULL : http_send(via, &token->request);
    if (e) {
        why_set(&token->fault, "no request for an access token could be begun: %s", err_name(e));
        token_failed(token, e, 0);
        return;
    }
    token->via = via;
}

static void ask_no_memory(struct google_token *token)
{
    why_set(&token->fault, "no memory for an access token");
    token_failed(token, ERR_NOMEM, 0);
}

/* --- forms (RFC 6749, appendix B) --- */

static void put_encoded(struct out *o, const char *text)
{
    for (const char *c = text; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-_.~", *c);
        if (plain) {
            out_put_byte(o, (uint8_t)*c);
        } else {
            out_put_format(o, "%%%02X", (unsigned)(unsigned char)*c);
        }
    }
}

struct field {
    const char *name, *value;
};

static void ask_form(struct ask *ask, const struct field *fields, size_t count)
{
    ask_header(ask, "Content-Type", "application/x-www-form-urlencoded");
    const char *start = ask_mark(ask);
    size_t before = ask->text.size;
    for (size_t i = 0; i < count; i++) {
        out_put_format(&ask->text, "%s%s=", i ? "&" : "", fields[i].name);
        put_encoded(&ask->text, fields[i].value);
    }
    ask->body = (struct slice){(const uint8_t *)start, ask->text.size - before};
}

/* --- answers --- */

/* False: there is no token, and that is told. `who` and `what` are for the text. */
static bool take_answer(struct google_token *token, const struct http_answer *http, const char *who,
                        const char *what, struct token_answer *ret)
{
    int64_t now_s = http->date_s ? http->date_s : server_clock_now_s(token->setup.clock);
    *ret = (struct token_answer){.token = NULL};
    if (http->e) {
        why_set(&token->fault, "no answer from %s for an access token: %s", who,
                http->why.text[0] ? http->why.text : err_name(http->e));
        token_failed(token, http->e, 0);
        return false;
    }
    enum err e = token_answer_parse(ret, http->body, now_s);
    if (!e && http->status == 200) {
        return true;
    }
    free(ret->token);
    bool is_refused =
        http->status == 400 || http->status == 401 || http->status == 403 || http->status == 404;
    why_set(&token->fault, "%s gives no access token (%ld%s%s): check %s", who, http->status,
            ret->error[0] ? ", " : "", ret->error, what);
    token_failed(token, is_refused ? ERR_AUTH : ERR_CLOSED, http->retry_after_ms);
    return false;
}

static void final_answer(struct google_token *token, const struct http_answer *http,
                         const char *who, const char *what)
{
    struct token_answer answer;
    if (take_answer(token, http, who, what, &answer)) {
        token_known(token, answer.token, answer.life_s);
    }
}

/* --- the metadata server --- */

static void metadata_answered(struct google_token *token, const struct http_answer *http)
{
    char who[300];
    (void)snprintf(who, sizeof who, "the metadata server %.200s", token_metadata_host());
    final_answer(token, http, who,
                 "`credentials`, which names a key file where there is no metadata server, or the "
                 "service account of this machine");
}

static void ask_metadata(struct google_token *token)
{
    struct ask ask;
    if (!ask_begin(token, &ask, 4096)) {
        ask_no_memory(token);
        return;
    }
    ask.url = ask_text(&ask, "http://", token_metadata_host());
    ask.text.size--;
    out_put_text(&ask.text, "/computeMetadata/v1/instance/service-accounts/default/token?scopes=");
    put_encoded(&ask.text, token->setup.scope);
    out_put_byte(&ask.text, 0);
    ask_header(&ask, "Metadata-Flavor", "Google");
    ask_send(token, &ask, "GET", token->local, metadata_answered);
}

/* --- a user's login --- */

static void refresh_answered(struct google_token *token, const struct http_answer *http)
{
    final_answer(token, http, token->credentials.token_url,
                 "the login: gcloud auth application-default login makes another one");
}

static void ask_refresh(struct google_token *token)
{
    const struct credentials *c = &token->credentials;
    const struct field fields[] = {{"grant_type", "refresh_token"},
                                   {"client_id", c->client_id},
                                   {"client_secret", c->client_secret},
                                   {"refresh_token", c->refresh_token}};
    struct ask ask;
    size_t size =
        1024 + 3 * (strlen(c->client_id) + strlen(c->client_secret) + strlen(c->refresh_token));
    if (!ask_begin(token, &ask, size)) {
        ask_no_memory(token);
        return;
    }
    ask.url = c->token_url;
    ask_form(&ask, fields, ARRAY_COUNT(fields));
    ask_send(token, &ask, "POST", token->setup.http, refresh_answered);
}

/* --- workload identity --- */

static void subject_set(struct google_token *token, char *subject)
{
    free(token->subject);
    token->subject = subject;
}

static void impersonation_answered(struct google_token *token, const struct http_answer *http)
{
    final_answer(token, http, "the impersonation of the service account",
                 "that the workload has the role roles/iam.workloadIdentityUser for it");
}

static void ask_impersonation(struct google_token *token)
{
    const struct credentials *c = &token->credentials;
    struct ask ask;
    if (!ask_begin(token, &ask, 1024 + strlen(token->subject) + 6 * strlen(token->setup.scope))) {
        ask_no_memory(token);
        return;
    }
    ask.url = c->impersonation_url;
    ask.headers[ask.header_count++] = ask_text(&ask, "Authorization: Bearer ", token->subject);
    ask_header(&ask, "Content-Type", "application/json");
    const char *start = ask_mark(&ask);
    size_t before = ask.text.size;
    out_put_text(&ask.text, "{\"scope\":[");
    out_put_json(&ask.text, slice_of_text(token->setup.scope));
    out_put_format(&ask.text, "],\"lifetime\":\"%llds\"}", (long long)c->impersonation_s);
    ask.body = (struct slice){(const uint8_t *)start, ask.text.size - before};
    ask_send(token, &ask, "POST", token->setup.http, impersonation_answered);
}

static void exchange_answered(struct google_token *token, const struct http_answer *http)
{
    struct token_answer answer;
    if (!take_answer(token, http, token->credentials.token_url,
                     "audience and subject_token_type of the credentials, and the provider's "
                     "conditions",
                     &answer)) {
        return;
    }
    if (token->credentials.impersonation_url) {
        subject_set(token, answer.token);
        ask_impersonation(token);
    } else {
        token_known(token, answer.token, answer.life_s);
    }
}

static void ask_exchange(struct google_token *token)
{
    const struct credentials *c = &token->credentials;
    const char *scope = c->impersonation_url ? SCOPE_ALL : token->setup.scope;
    const struct field fields[] = {
        {"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"},
        {"requested_token_type", "urn:ietf:params:oauth:token-type:access_token"},
        {"audience", c->audience},
        {"scope", scope},
        {"subject_token_type", c->subject_type},
        {"subject_token", token->subject}};
    struct ask ask;
    size_t size = 2048 + 3 * (strlen(c->audience) + strlen(scope) + strlen(c->subject_type) +
                              strlen(token->subject));
    if (!ask_begin(token, &ask, size)) {
        ask_no_memory(token);
        return;
    }
    ask.url = c->token_url;
    ask_form(&ask, fields, ARRAY_COUNT(fields));
    ask_send(token, &ask, "POST", token->setup.http, exchange_answered);
}

static void subject_known(struct google_token *token, struct slice body, const char *from)
{
    char *subject = NULL;
    enum err e = subject_token_parse(&subject, body, token->credentials.source_field);
    if (e) {
        why_set(&token->fault, "%s gives no token to exchange: check the credential_source of %s",
                from, token->path);
        token_failed(token, e == ERR_NOMEM ? e : ERR_AUTH, 0);
        return;
    }
    subject_set(token, subject);
    ask_exchange(token);
}

static void subject_answered(struct google_token *token, const struct http_answer *http)
{
    const char *url = token->credentials.source_url;
    if (http->e || http->status != 200) {
        why_set(&token->fault, "no token to exchange from %s (%ld): %s", url, http->status,
                http->e ? http->why.text : "check the credential_source");
        token_failed(token, http->e ? http->e : ERR_AUTH, http->retry_after_ms);
        return;
    }
    subject_known(token, http->body, url);
}

static void ask_subject(struct google_token *token)
{
    const struct credentials *c = &token->credentials;
    struct ask ask;
    if (c->source_path) {
        struct slice text;
        if (file_read(c->source_path, CREDENTIALS_SIZE_MAX, &text, &token->fault)) {
            why_add(&token->fault, "the token to exchange");
            token_failed(token, ERR_CLOSED, 0);
            return;
        }
        subject_known(token, text, c->source_path);
        free((void *)(uintptr_t)text.data);
        return;
    }
    size_t size = 1024;
    for (size_t i = 0; i < c->header_count; i++) {
        size += strlen(c->header_names[i]) + strlen(c->header_values[i]) + 3;
    }
    if (!ask_begin(token, &ask, size)) {
        ask_no_memory(token);
        return;
    }
    ask.url = c->source_url;
    for (size_t i = 0; i < c->header_count; i++) {
        ask_header(&ask, c->header_names[i], c->header_values[i]);
    }
    ask_send(token, &ask, "GET", token->local, subject_answered);
}

/* --- */

void token_ask(struct google_token *token)
{
    switch (token->credentials.kind) {
    case CREDENTIALS_METADATA:
        ask_metadata(token);
        break;
    case CREDENTIALS_USER:
        ask_refresh(token);
        break;
    case CREDENTIALS_EXTERNAL:
        ask_subject(token);
        break;
    case CREDENTIALS_SERVICE_ACCOUNT:
        break; /* signs its own */
    }
}

void token_ask_cancel(struct google_token *token)
{
    if (token->via) {
        http_cancel(token->via, &token->request);
        token->via = NULL;
    }
    free(token->memory);
    free(token->subject);
    token->memory = token->subject = NULL;
}
