#include "agent/status_server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "agent/metrics.h"
#include "agent/status_files.h"
#include "agent/status_look.h"
#include "ports/lib/http_server.h"
#include "ports/listen.h"
#include "ports/log.h"

#define CONNECTION_MAX 12
#define IDLE_MS 20000
#define REQUEST_MS 10000
#define FIRST_SIZE (16 * 1024) /* of an answer; doubled until it fits */

#define TEXT_PLAIN "text/plain; charset=utf-8"

enum ask_kind { ASK_STATUS, ASK_METRICS, ASK_HEALTH };

/* A request that waits for what the store says. */
struct ask {
    struct ask *next;
    struct status_server *server;
    struct http_exchange *exchange;
    struct look_waiter look;
    enum ask_kind kind;
};

struct status_server {
    struct loop *loop;
    struct config *config; /* held */
    struct agent *agent;   /* NULL: it waits, */
    struct why waits;      /* for this reason */
    struct tls *tls;
    struct http_server *http; /* NULL: not listening yet */
    struct timer retry;
    struct why said; /* why it does not listen, as it was logged */
    struct ask *asks;
};

/* --- who may ask --- */

/* Names can't be so; what is no address either can't be reached. */
static bool is_address(struct slice host)
{
    for (size_t i = 0; i < host.size; i++) {
        uint8_t c = host.data[i];
        if ((c < '0' || c > '9') && c != '.') {
            return host.data[0] == '[' && host.data[host.size - 1] == ']';
        }
    }
    return host.size > 0;
}

static bool is_name(struct slice host, const char *name)
{
    return strlen(name) == host.size && strncasecmp((const char *)host.data, name, host.size) == 0;
}

bool status_host_is_ours(const char *host, const struct option_list *hosts)
{
    if (!host || !host[0]) {
        return false;
    }
    const char *end = strrchr(host, ':');
    bool has_port = end && end[1 + strspn(end + 1, "0123456789")] == '\0' && end != host;
    struct slice name = {(const uint8_t *)host, has_port ? (size_t)(end - host) : strlen(host)};
    const char *const *names = hosts->items;
    bool is_ours = is_address(name) || is_name(name, "localhost");
    for (size_t i = 0; !is_ours && i < hosts->count; i++) {
        is_ours = is_name(name, names[i]);
    }
    return is_ours;
}

/* --- answering --- */

/* Everything is the page's own; nothing is kept, framed, or read by other sites. */
static const struct http_header headers[] = {
    {"Content-Security-Policy",
     "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for "
     "'script'"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cache-Control", "no-store"},
};

static void answer(struct http_exchange *exchange, unsigned status, const char *type,
                   struct slice body)
{
    struct http_reply reply = {.status = status,
                               .body = body,
                               .content_type = type,
                               .headers = headers,
                               .header_count = ARRAY_COUNT(headers)};
    if (status == 401) {
        reply.header_name = "WWW-Authenticate";
        reply.header_value = "Bearer";
    } else if (status == 405) {
        reply.header_name = "Allow";
        reply.header_value = "GET, HEAD";
    }
    http_exchange_answer(exchange, &reply);
}

static void answer_text(struct http_exchange *exchange, unsigned status, const char *text)
{
    char line[WHY_SIZE_MAX + 64];
    struct out o = out_over(line, sizeof line);
    out_put_text(&o, text);
    out_put_byte(&o, '\n');
    answer(exchange, status, TEXT_PLAIN, out_slice(&o));
}

/* Room that is doubled until `put` fits into it. False: there is none; else *ret is the caller's. */
static bool put_all(void (*put)(const void *context, struct out *o), const void *context,
                    size_t size_max, struct out *ret)
{
    for (size_t size = FIRST_SIZE; size <= size_max; size *= 2) {
        struct out o = out_over(malloc(size), size);
        if (!o.data) {
            return false;
        }
        put(context, &o);
        if (!o.overflow) {
            *ret = o;
            return true;
        }
        free(o.data);
    }
    return false;
}

static void put_status(const void *context, struct out *o)
{
    const struct status_server *server = context;
    if (server->agent) {
        agent_status(server->agent, o);
    } else {
        agent_status_waiting(server->config, &server->waits, o);
    }
    out_put_byte(o, '\n');
}

static void put_metrics(const void *context, struct out *o)
{
    metrics_put(context, o);
}

static void answer_metrics(struct http_exchange *exchange, struct slice status)
{
    struct json_tree *tree = NULL;
    struct out o;
    size_t offset;
    if (json_tree_open(&tree, status, NULL, &offset) ||
        !put_all(put_metrics, json_tree_root(tree), STATUS_METRICS_MAX, &o)) {
        answer_text(exchange, 503, "no memory for it: try again");
    } else {
        answer(exchange, 200, METRICS_CONTENT_TYPE, out_slice(&o));
        free(o.data);
    }
    json_tree_close(tree);
}

static void answer_health(struct status_server *server, struct http_exchange *exchange,
                          bool is_answered)
{
    char text[WHY_SIZE_MAX + 64];
    uint64_t silent_ms = server->agent ? status_look_silent_ms(agent_look(server->agent)) : 0;
    if (silent_ms >= STATUS_SILENT_MS) {
        (void)snprintf(text, sizeof text,
                       "the store has not answered for %" PRIu64
                       " s: the buffer's disk hangs, or is far too slow",
                       silent_ms / 1000);
    } else if (!server->agent) {
        (void)snprintf(text, sizeof text, "ok, and waiting: %s", server->waits.text);
    } else {
        (void)snprintf(text, sizeof text, "ok%s", is_answered ? "" : ", and the store is busy");
    }
    answer_text(exchange, silent_ms >= STATUS_SILENT_MS ? 503 : 200, text);
}

static void answer_ready(const struct status_server *server, struct http_exchange *exchange)
{
    struct why why = server->waits;
    bool is_ready = server->agent && agent_ready(server->agent, &why);
    answer_text(exchange, is_ready ? 200 : 503,
                is_ready      ? "ready"
                : why.text[0] ? why.text
                              : "starting");
}

static void ask_answer(struct ask *ask)
{
    struct status_server *server = ask->server;
    struct out json;
    if (ask->kind == ASK_HEALTH) {
        answer_health(server, ask->exchange, ask->look.is_answered);
    } else if (!put_all(put_status, server, STATUS_SIZE_MAX, &json)) {
        answer_text(ask->exchange, 503, "no memory for it: try again");
    } else {
        if (ask->kind == ASK_STATUS) {
            answer(ask->exchange, 200, "application/json", out_slice(&json));
        } else {
            answer_metrics(ask->exchange, out_slice(&json));
        }
        free(json.data);
    }
}

static void ask_looked(struct look_waiter *waiter)
{
    ask_answer(CONTAINER_OF(waiter, struct ask, look));
}

static void ask_begin(struct status_server *server, struct http_exchange *exchange,
                      enum ask_kind kind)
{
    struct ask *ask = calloc(1, sizeof *ask);
    if (!ask) {
        answer_text(exchange, 503, "no memory for it: try again");
        return;
    }
    *ask = (struct ask){.next = server->asks,
                        .server = server,
                        .exchange = exchange,
                        .look = {.done = ask_looked},
                        .kind = kind};
    server->asks = ask;
    http_exchange_keep(exchange, ask);
    struct status_look *look = server->agent ? agent_look(server->agent) : NULL;
    bool is_silent = look && status_look_silent_ms(look) >= LOOK_WAIT_MS;
    if (!look || is_silent) { /* who asked before has waited for it in vain */
        ask_answer(ask);
    } else {
        status_look_ask(look, &ask->look);
    }
}

/* --- requests --- */

static bool answer_file(struct http_exchange *exchange, const char *path)
{
    for (size_t i = 0; i < status_file_count; i++) {
        const struct status_file *file = &status_files[i];
        if (strcmp(file->path, path) != 0) {
            continue;
        }
        const char *coding = http_exchange_header(exchange, "Accept-Encoding");
        struct http_reply reply = {.status = 200,
                                   .body = file->body,
                                   .content_type = file->content_type,
                                   .headers = headers,
                                   .header_count = ARRAY_COUNT(headers),
                                   .header_name = "Content-Encoding",
                                   .header_value = "gzip"};
        if (!file->is_packed) {
            reply.header_name = NULL;
        } else if (!coding || !strstr(coding, "gzip")) {
            answer_text(exchange, 406,
                        "the page is for a browser (it comes packed by gzip); see "
                        "/status, /metrics, /healthz, /readyz");
            return true;
        }
        http_exchange_answer(exchange, &reply);
        return true;
    }
    return false;
}

static const struct {
    const char *path;
    enum ask_kind kind;
} asked[] = {{"/status", ASK_STATUS}, {"/metrics", ASK_METRICS}, {"/healthz", ASK_HEALTH}};

/* Behind the check of who asks; the page itself holds nothing that needs a token. */
static void answer_path(struct status_server *server, struct http_exchange *exchange)
{
    const char *path = http_exchange_path(exchange);
    if (answer_file(exchange, path)) {
        return;
    }
    if (!http_exchange_has_token(exchange, server->config->status.token)) {
        answer_text(exchange, 401,
                    "the token is missing or wrong: send Authorization: Bearer TOKEN");
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(asked); i++) {
        if (strcmp(path, asked[i].path) == 0) {
            ask_begin(server, exchange, asked[i].kind);
            return;
        }
    }
    if (strcmp(path, "/readyz") == 0) {
        answer_ready(server, exchange);
    } else {
        answer_text(exchange, 404, "there are /, /status, /metrics, /healthz and /readyz");
    }
}

static void on_request(void *context, struct http_exchange *exchange)
{
    struct status_server *server = context;
    const struct status_options *o = &server->config->status;
    const char *method = http_exchange_method(exchange);
    const char *host = http_exchange_header(exchange, "Host");
    bool shows_token = o->token && http_exchange_has_token(exchange, o->token);
    if (!shows_token && !status_host_is_ours(host, &o->hosts)) {
        answer_text(exchange, 403,
                    "asked by a name that is not known to be this agent's: use its "
                    "address, or name it in status.hosts");
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        answer_text(exchange, 405, "there is nothing here but to read");
    }
}

static void on_body(void *context, struct http_exchange *exchange, struct slice piece)
{
    (void)context; /* of a GET: nothing is asked by it */
    (void)exchange;
    (void)piece;
}

static void on_complete(void *context, struct http_exchange *exchange)
{
    answer_path(context, exchange);
}

static void ask_end(struct ask *ask)
{
    struct status_server *server = ask->server;
    struct ask **at = &server->asks;
    while (*at != ask) {
        at = &(*at)->next;
    }
    *at = ask->next;
    if (server->agent) {
        status_look_forget(agent_look(server->agent), &ask->look);
    }
    free(ask);
}

static void on_gone(void *context, struct http_exchange *exchange)
{
    (void)context;
    struct ask *ask = http_exchange_kept(exchange);
    if (ask) {
        ask_end(ask);
    }
}

static const struct http_server_handler handler = {on_request, on_body, on_complete, on_gone};

/* --- the server --- */

static enum err start(struct status_server *server, struct why *why)
{
    const struct status_options *o = &server->config->status;
    char host[LISTEN_HOST_SIZE] = "";
    struct http_server_options options = {.host = host,
                                          .connection_max = CONNECTION_MAX,
                                          .idle_ms = IDLE_MS,
                                          .request_ms = REQUEST_MS};
    struct listen_safety safety = {
        .has_token = o->token, .has_tls = o->tls.is_set, .insecure = o->insecure};
    enum err e = listen_check_safe(o->listen, &safety, why);
    if (!e && !listen_parse(o->listen, host, &options.port)) {
        e = ERR_CONFIG;
    }
    if (!e && o->tls.is_set && !server->tls) {
        e = tls_open(&server->tls, &o->tls, TLS_SERVER, why);
    }
    options.tls = server->tls;
    return e ? e : http_server_open(&server->http, server->loop, &options, &handler, server, why);
}

static void start_fired(struct timer *timer)
{
    struct status_server *server = CONTAINER_OF(timer, struct status_server, retry);
    struct why why = {""};
    enum err e = start(server, &why);
    if (!e) {
        log_info("status", "http%s://%s/", server->tls ? "s" : "", server->config->status.listen);
        return;
    }
    if (strcmp(why.text, server->said.text) != 0) {
        server->said = why;
        log_warn("status", "no page, no metrics yet: %s; status.listen has the address",
                 why.text[0] ? why.text : err_name(e));
    }
    timer_arm(&server->retry, STATUS_RETRY_MS);
}

enum err status_server_open(struct status_server **ret, struct loop *loop, struct config *config)
{
    *ret = NULL;
    if (!config->status.enabled) {
        return ERR_OK;
    }
    struct status_server *server = calloc(1, sizeof *server);
    if (!server) {
        return ERR_NOMEM;
    }
    server->loop = loop;
    server->config = config;
    config_hold(config);
    timer_init(&server->retry, loop, start_fired);
    start_fired(&server->retry);
    *ret = server;
    return ERR_OK;
}

void status_server_agent(struct status_server *server, struct agent *agent)
{
    if (!server) {
        return;
    }
    for (struct ask *ask = server->asks, *next; ask; ask = next) {
        next = ask->next;
        if (server->agent && ask->look.is_waiting) {
            status_look_forget(agent_look(server->agent), &ask->look);
            ask_answer(ask);
        }
    }
    server->agent = agent;
    server->waits = (struct why){""};
}

void status_server_waits(struct status_server *server, const struct why *why)
{
    if (server) {
        server->waits = *why;
    }
}

uint16_t status_server_port(const struct status_server *server)
{
    return server && server->http ? http_server_port(server->http) : 0;
}

void status_server_close(struct status_server *server)
{
    if (!server) {
        return;
    }
    status_server_agent(server, NULL);
    http_server_close(server->http);
    timer_release(&server->retry);
    tls_close(server->tls);
    config_close(server->config);
    free(server);
}
