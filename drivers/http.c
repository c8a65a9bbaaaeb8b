/* HTTP ingest. A POST is taken in whole, split, and only then offered event by event, one request
 * after the other, so that the tickets of a request follow each other; it is answered when the last
 * of them is committed. */
#include <assert.h>
#include <strings.h>

#include "drivers/drivers.h"
#include "drivers/http_body.h"
#include "drivers/http_keys.h"
#include "drivers/place.h"
#include "ports/lib/http_server.h"
#include "ports/tls.h"

#define HTTP_TURN_EVENTS 1000 /* offered in one turn of the loop */
#define HTTP_BODY_FIRST 4096  /* first room for a body of unknown size */
#define HTTP_ANSWER_SIZE_MAX 8192
#define HTTP_KEY_TEXT_MAX 255

struct http_options {
    const char *listen;
    const char *path;
    const char *token;
    bool insecure;
    struct tls_options tls;
    int64_t body_size_max;
    int64_t memory_max;
    int64_t connection_max;
    int64_t idle_ms;
    int64_t request_ms;
    int64_t ack_ms;
    int64_t retry_after_ms;
    int64_t idempotency_keys;
};

enum post_state { POST_ARRIVING, POST_QUEUED, POST_WAITING, POST_ANSWERED };

/* One request. */
struct post {
    struct post *next;
    struct http_driver *http;
    struct http_exchange *exchange;
    enum post_state state;
    struct timer deadline;
    uint8_t *data;
    size_t size;
    size_t size_max;
    enum http_body_kind kind;
    struct http_body body;
    uint64_t count;        /* events in the body */
    uint64_t skipped;      /* stored by an earlier try */
    uint64_t offered;      /* admitted in all */
    uint64_t first_ticket; /* of those that this try admitted */
    uint64_t last_ticket;  /* what must be stored before the answer */
    bool is_cut;           /* the rest is not offered: the agent stops */
    struct slice event;    /* the next one to offer; size 0: take it from `body` */
    uint64_t line;
    struct http_key *key;
    struct http_asides asides;
};

struct http_driver {
    struct driver driver;
    struct driver_host *host;
    const struct http_options *options;
    struct loop *loop;
    struct tls *tls;
    struct http_server *server;
    struct http_keys keys;
    struct timer pump;
    struct post *posts; /* all, newest first */
    size_t memory;      /* bytes of bodies */
    uint64_t stored;
    bool is_blocked;
    bool is_stopping;
    uint8_t answer[HTTP_ANSWER_SIZE_MAX];
};

static bool http_listen_parse(const char *text, char host[64], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1]) {
        return false;
    }
    const char *first = text;
    const char *end = colon;
    if (*first == '[') {
        if (end[-1] != ']') {
            return false;
        }
        first++;
        end--;
    }
    unsigned port = 0;
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9' || port > 6553) {
            return false;
        }
        port = port * 10 + (unsigned)(*c - '0');
    }
    size_t size = (size_t)(end - first);
    if (size == 0 || size >= 64 || port > 65535) {
        return false;
    }
    memcpy(host, first, size);
    host[size] = 0;
    *ret_port = (uint16_t)port;
    return true;
}

static enum err http_listen_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    char host[64];
    uint16_t port;
    if (!http_listen_parse(text, host, &port)) {
        why_set(why, "\"%s\" is no address with a port: write it like 127.0.0.1:8080 or [::1]:8080",
                text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err http_path_check(const void *value, struct why *why)
{
    const char *text = *(const char *const *)value;
    if (text[0] != '/') {
        why_set(why, "the path \"%s\" must begin with /", text);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

#define HTTP_ROW(member) .offset = offsetof(struct http_options, member)

static const struct option http_table[] = {
    {.name = "listen",
     .kind = OPTION_TEXT,
     HTTP_ROW(listen),
     .max = 128,
     .initial = "127.0.0.1:8080",
     .check = http_listen_check,
     .help = "Address and port. Off loopback a token and TLS are needed, unless `insecure`."},
    {.name = "path",
     .kind = OPTION_TEXT,
     HTTP_ROW(path),
     .min = 1,
     .max = 256,
     .initial = "/",
     .check = http_path_check,
     .help = "Only below this path events are taken; what follows it is the subject: POST "
             "/site/a/temp has the subject \"site/a/temp\"."},
    {.name = "token",
     .kind = OPTION_SECRET,
     HTTP_ROW(token),
     .max = 1024,
     .help = "Requests must carry \"Authorization: Bearer TOKEN\"."},
    {.name = "insecure",
     .kind = OPTION_BOOL,
     HTTP_ROW(insecure),
     .initial = "false",
     .help = "Allows to listen off loopback without a token or without TLS."},
    {.name = "tls",
     .kind = OPTION_RECORD,
     .flags = OPTION_MISSING_OK,
     HTTP_ROW(tls),
     .record = tls_server_table,
     .record_size = sizeof(struct tls_options),
     .help = "Certificate and key of the server."},
    {.name = "body_size_max",
     .kind = OPTION_SIZE,
     HTTP_ROW(body_size_max),
     .min = 1024,
     .max = 64 * 1024 * 1024,
     .initial = "1 MiB",
     .help = "Larger requests are answered with 413."},
    {.name = "memory_max",
     .kind = OPTION_SIZE,
     HTTP_ROW(memory_max),
     .min = 1024,
     .max = 1024 * 1024 * 1024,
     .initial = "4 MiB",
     .help = "All bodies together; beyond it requests are answered with 429."},
    {.name = "connection_max",
     .kind = OPTION_INT,
     HTTP_ROW(connection_max),
     .min = 1,
     .max = 1024,
     .initial = "32",
     .help = "Connections at one time; further ones wait to be accepted."},
    {.name = "idle_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(idle_ms),
     .min = 1000,
     .max = 3600000,
     .initial = "60 s",
     .help = "A connection on which nothing comes for so long is closed."},
    {.name = "request_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(request_ms),
     .min = 100,
     .max = 3600000,
     .initial = "30 s",
     .help = "A request must have arrived whole within this time."},
    {.name = "ack_timeout",
     .kind = OPTION_DURATION,
     HTTP_ROW(ack_ms),
     .min = 100,
     .max = 3600000,
     .initial = "30 s",
     .help =
         "A request whose events are not all stored by then is answered with 503 and the number "
         "of those that are."},
    {.name = "retry_after",
     .kind = OPTION_DURATION,
     HTTP_ROW(retry_after_ms),
     .min = 1000,
     .max = 86400000,
     .initial = "5 s",
     .help = "What 429 and 503 tell the client to wait."},
    {.name = "idempotency_keys",
     .kind = OPTION_INT,
     HTTP_ROW(idempotency_keys),
     .max = 4096,
     .initial = "256",
     .help = "How many Idempotency-Key headers are remembered, across restarts; 0: none."},
    {.name = NULL},
};

static struct http_driver *http_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct http_driver, driver);
}

/* --- answers --- */

static void post_answer(struct post *post, unsigned status, struct slice body, const char *header,
                        const char *value)
{
    assert(post->state != POST_ANSWERED);
    post->state = POST_ANSWERED;
    timer_disarm(&post->deadline);
    if (post->key) {
        post->key->is_pinned = false;
        post->key = NULL;
    }
    struct http_reply reply = {
        .status = status, .body = body, .header_name = header, .header_value = value};
    http_exchange_answer(post->exchange, &reply);
    char name[16];
    snprintf(name, sizeof name, "http_%u", status);
    driver_count(post->http->host, name, 1);
}

/* The events of this request that are durable: from its front on, without a gap. */
static uint64_t post_durable(const struct post *post)
{
    uint64_t stored = post->http->stored;
    uint64_t fresh = post->offered - post->skipped;
    if (fresh && stored >= post->first_ticket) {
        uint64_t done = stored - post->first_ticket + 1;
        return post->skipped + (done < fresh ? done : fresh);
    }
    return post->last_ticket <= stored || fresh ? post->skipped : 0;
}

static void post_refuse(struct post *post, unsigned status, const char *text)
{
    struct http_driver *http = post->http;
    struct out out = out_over(http->answer, sizeof http->answer);
    out_put_byte(&out, '{');
    if (status == 503) {
        out_put_format(&out, "\"stored\":%llu,", (unsigned long long)post_durable(post));
    }
    out_put_text(&out, "\"error\":");
    out_put_json(&out, slice_of_text(text));
    out_put_text(&out, "}\n");
    char seconds[24];
    snprintf(seconds, sizeof seconds, "%lld", (long long)(http->options->retry_after_ms / 1000));
    const char *header = NULL;
    const char *value = seconds;
    if (status == 429 || status == 503 || status == 409) {
        header = "Retry-After";
    } else if (status == 405) {
        header = "Allow";
        value = "POST";
    } else if (status == 401) {
        header = "WWW-Authenticate";
        value = "Bearer";
    }
    post_answer(post, status, out_slice(&out), header, value);
}

static void post_accept(struct post *post)
{
    struct http_driver *http = post->http;
    struct out out = out_over(http->answer, sizeof http->answer);
    uint64_t more = 0;
    out_put_format(&out, "{\"stored\":%llu,\"aside\":",
                   (unsigned long long)(post->offered - post->asides.count));
    http_asides_write(&post->asides, &out, &more);
    if (more) {
        out_put_format(&out, ",\"aside_more\":%llu", (unsigned long long)more);
    }
    out_put_text(&out, "}\n");
    assert(!out.overflow); /* 900 bytes of reasons, each at most six times as long in JSON */
    post_answer(post, 200, out_slice(&out), NULL, NULL);
}

/* Answers when nothing more is to be waited for. */
static void post_settle(struct post *post)
{
    if (post->state != POST_WAITING || post->http->stored < post->last_ticket) {
        return;
    }
    if (post->is_cut) {
        post_refuse(post, 503, "stopping: send the rest again");
    } else {
        post_accept(post);
    }
}

/* --- offering --- */

static struct post *http_queue_head(const struct http_driver *http)
{
    struct post *head = NULL; /* the list has the newest first, and at most connection_max */
    for (struct post *post = http->posts; post; post = post->next) {
        if (post->state == POST_QUEUED) {
            head = post;
        }
    }
    return head;
}

static bool http_key_flush(struct http_driver *http, struct http_key *key)
{
    uint8_t memory[CURSOR_SIZE_MAX];
    struct out cursor = out_over(memory, sizeof memory);
    http_key_encode(key, key->admitted, &cursor);
    key->is_owed = driver_cursor_set(http->host, http_keys_index(&http->keys, key),
                                     out_slice(&cursor)) != ERR_OK;
    return !key->is_owed;
}

static void post_admitted(struct post *post, uint64_t ticket, const char *aside)
{
    if (post->offered == post->skipped) {
        post->first_ticket = ticket;
    }
    post->last_ticket = ticket;
    post->offered++;
    post->event.size = 0;
    if (aside[0]) {
        http_asides_add(&post->asides, post->line, aside);
    }
    if (!post->key) {
        return;
    }
    post->key->admitted = post->offered;
    post->key->last_ticket = ticket;
    if (aside[0]) {
        /* The reason is known only now: it goes after the event, as a rule into the same commit. */
        http_key_keep_asides(post->key, &post->asides);
        (void)http_key_flush(post->http, post->key); /* or is owed until resume() */
    }
}

/* False: no room. */
static bool post_offer(struct post *post)
{
    struct http_driver *http = post->http;
    if (post->event.size == 0) {
        bool has = http_body_next(&post->body, &post->event, &post->line);
        assert(has); /* offered < count */
    }
    uint8_t cursor_memory[CURSOR_SIZE_MAX];
    uint8_t source_memory[EVENT_SUBJECT_SIZE_MAX];
    struct out cursor = out_over(cursor_memory, sizeof cursor_memory);
    struct out source = out_over(source_memory, sizeof source_memory);
    const char *path = http_exchange_path(post->exchange);
    out_put_format(&source, "http %s:%llu", http_exchange_peer(post->exchange),
                   (unsigned long long)post->line);
    struct slice subject = slice_of_text(path + strlen(http->options->path));
    while (subject.size && subject.data[0] == '/') {
        subject.data++;
        subject.size--;
    }
    struct event event = {.body_kind = BODY_JSON,
                          .body = post->event,
                          .subject = subject,
                          .source = out_slice(&source),
                          .wants_ack = true};
    if (post->key) {
        http_key_encode(post->key, post->offered + 1, &cursor);
        event.cursor_key = http_keys_index(&http->keys, post->key);
        event.cursor = out_slice(&cursor);
    }
    uint64_t ticket;
    const char *aside = "";
    if (driver_offer(http->host, &event, &ticket, &aside) != ERR_OK) {
        return false;
    }
    post_admitted(post, ticket, aside);
    return true;
}

/* No room: what has admitted nothing yet is refused, so that the client keeps it; the rest waits.
 */
static void http_block(struct http_driver *http)
{
    http->is_blocked = true;
    for (struct post *post = http->posts; post; post = post->next) {
        if (post->state == POST_QUEUED && post->offered == post->skipped) {
            post_refuse(post, 429, "the buffer is full: try again later");
        }
    }
}

static void http_pump(struct http_driver *http)
{
    for (size_t i = 0; !http->is_blocked; i++) {
        struct post *post = http_queue_head(http);
        if (!post) {
            return;
        }
        if (i == HTTP_TURN_EVENTS) {
            timer_arm(&http->pump, 0);
            return;
        }
        if (post->offered < post->count && !post->is_cut) {
            if (!post_offer(post)) {
                http_block(http);
            }
            continue;
        }
        post->state = POST_WAITING;
        post_settle(post);
    }
}

static void http_pump_fire(struct timer *timer)
{
    http_pump(CONTAINER_OF(timer, struct http_driver, pump));
}

static void post_late(struct timer *timer)
{
    struct post *post = CONTAINER_OF(timer, struct post, deadline);
    post_refuse(post, 503, "not stored in time: send the rest again");
}

/* --- requests --- */

/* Takes as long whatever the first difference. */
static bool http_token_fits(const char *given, const char *token)
{
    size_t given_size = strlen(given);
    size_t token_size = strlen(token);
    volatile unsigned difference = given_size != token_size;
    for (size_t i = 0; i < given_size; i++) {
        difference |= (unsigned char)(given[i] ^ token[token_size ? i % token_size : 0]);
    }
    return difference == 0;
}

static bool http_is_allowed(const struct http_driver *http, struct http_exchange *exchange)
{
    if (!http->options->token) {
        return true;
    }
    const char *header = http_exchange_header(exchange, "Authorization");
    return header && strncasecmp(header, "Bearer ", 7) == 0 &&
           http_token_fits(header + 7, http->options->token);
}

static bool http_is_path(const struct http_driver *http, const char *path)
{
    size_t size = strlen(http->options->path);
    return strncmp(path, http->options->path, size) == 0 &&
           (http->options->path[size - 1] == '/' || path[size] == '/' || !path[size]);
}

/* False: a type that can't be events. curl says x-www-form-urlencoded when nobody tells it. */
static bool http_kind(const char *type, enum http_body_kind *ret)
{
    static const struct {
        const char *type;
        enum http_body_kind kind;
    } kinds[] = {
        {"application/json", HTTP_BODY_JSON},
        {"application/x-ndjson", HTTP_BODY_LINES},
        {"application/ndjson", HTTP_BODY_LINES},
        {"application/jsonl", HTTP_BODY_LINES},
        {"application/jsonlines", HTTP_BODY_LINES},
        {"text/plain", HTTP_BODY_DETECT},
        {"application/octet-stream", HTTP_BODY_DETECT},
        {"application/x-www-form-urlencoded", HTTP_BODY_DETECT},
    };
    *ret = HTTP_BODY_DETECT;
    if (!type) {
        return true;
    }
    size_t size = strcspn(type, "; \t");
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (strlen(kinds[i].type) == size && strncasecmp(type, kinds[i].type, size) == 0) {
            *ret = kinds[i].kind;
            return true;
        }
    }
    return false;
}

/* What can be said before the body comes; 0: nothing. */
static unsigned post_check(struct post *post, const char **ret_text)
{
    struct http_driver *http = post->http;
    struct http_exchange *exchange = post->exchange;
    const char *length = http_exchange_header(exchange, "Content-Length");
    const char *key = http_exchange_header(exchange, "Idempotency-Key");
    if (!http_is_path(http, http_exchange_path(exchange))) {
        *ret_text = "no events are taken at this path";
        return 404;
    }
    if (!http_is_allowed(http, exchange)) {
        *ret_text = "the token is missing or wrong: send Authorization: Bearer TOKEN";
        return 401;
    }
    if (strcmp(http_exchange_method(exchange), "POST") != 0) {
        *ret_text = "events are sent by POST";
        return 405;
    }
    if (!http_kind(http_exchange_header(exchange, "Content-Type"), &post->kind) ||
        http_exchange_header(exchange, "Content-Encoding")) {
        *ret_text = "send JSON or NDJSON, not compressed";
        return 415;
    }
    if (length && strtoull(length, NULL, 10) > (uint64_t)http->options->body_size_max) {
        *ret_text = "the body is larger than body_size_max: send it in parts";
        return 413;
    }
    if (key && (!key[0] || strlen(key) > HTTP_KEY_TEXT_MAX)) {
        *ret_text = "the Idempotency-Key must have 1 to 255 characters";
        return 400;
    }
    if (http->is_stopping) {
        *ret_text = "stopping";
        return 503;
    }
    if (http->is_blocked) {
        *ret_text = "the buffer is full: try again later";
        return 429;
    }
    return 0;
}

static void http_on_request(void *context, struct http_exchange *exchange)
{
    struct http_driver *http = context;
    struct post *post = calloc(1, sizeof *post);
    if (!post) {
        struct http_reply reply = {.status = 503, .body = SLICE("{\"stored\":0}\n")};
        http_exchange_answer(exchange, &reply);
        return;
    }
    post->http = http;
    post->exchange = exchange;
    post->next = http->posts;
    http->posts = post;
    timer_init(&post->deadline, http->loop, post_late);
    http_exchange_keep(exchange, post);
    const char *text = "";
    unsigned status = post_check(post, &text);
    if (status) {
        post_refuse(post, status, text);
    }
}

/* Room for `size` bytes in all. 0: there is; else the status to answer with. */
static unsigned post_grow(struct post *post, size_t size)
{
    struct http_driver *http = post->http;
    size_t size_max = (size_t)http->options->body_size_max;
    if (size > size_max) {
        return 413;
    }
    size_t wanted = post->size_max ? post->size_max : HTTP_BODY_FIRST;
    while (wanted < size) {
        wanted *= 2;
    }
    wanted = wanted > size_max ? size_max : wanted;
    if (wanted <= post->size_max) {
        return 0;
    }
    if (http->memory + (wanted - post->size_max) > (size_t)http->options->memory_max) {
        return 429;
    }
    uint8_t *data = realloc(post->data, wanted);
    if (!data) {
        return 429;
    }
    http->memory += wanted - post->size_max;
    post->data = data;
    post->size_max = wanted;
    return 0;
}

static void http_on_body(void *context, struct http_exchange *exchange, struct slice piece)
{
    (void)context;
    struct post *post = http_exchange_kept(exchange);
    if (!post || post->state != POST_ARRIVING) {
        return;
    }
    unsigned status = post_grow(post, post->size + piece.size);
    if (status) {
        post_refuse(post, status,
                    status == 413 ? "the body is larger than body_size_max: send it in parts"
                                  : "too many requests at a time: try again later");
        return;
    }
    memcpy(post->data + post->size, piece.data, piece.size);
    post->size += piece.size;
}

/* Finds out what an earlier try has stored. False: answered. */
static bool post_take_key(struct post *post, const char *text)
{
    struct http_driver *http = post->http;
    uint64_t key_hash = place_hash(slice_of_text(text));
    uint64_t body_hash = place_hash((struct slice){post->data, post->size});
    struct http_key *key = http_keys_take(&http->keys, key_hash, body_hash, http->stored);
    if (!key) {
        post_refuse(post, 429, "too many Idempotency-Keys are under way: try again later");
        return false;
    }
    if (key->is_pinned) {
        post_refuse(post, 409, "a request with this Idempotency-Key is being worked on");
        return false;
    }
    if (key->body_hash != body_hash || key->admitted > post->count) {
        post_refuse(post, 422, "this Idempotency-Key was used with another body");
        return false;
    }
    post->key = key;
    key->is_pinned = true;
    http_key_asides(key, &post->asides);
    post->last_ticket = key->last_ticket;
    for (uint64_t i = 0; i < key->admitted; i++) {
        struct slice event;
        bool has = http_body_next(&post->body, &event, &post->line);
        assert(has); /* admitted <= count */
    }
    post->skipped = post->offered = key->admitted;
    if (key->admitted) {
        driver_count(http->host, "repeated", 1);
    }
    return true;
}

static void http_on_complete(void *context, struct http_exchange *exchange)
{
    struct http_driver *http = context;
    struct post *post = http_exchange_kept(exchange);
    assert(post && post->state == POST_ARRIVING);
    struct why why = {{0}};
    struct slice text = {post->data, post->size};
    if (http_body_init(&post->body, text, post->kind, &post->count, &why) != ERR_OK) {
        post_refuse(post, 400, why.text);
        return;
    }
    if (http->is_stopping) {
        post_refuse(post, 503, "stopping");
        return;
    }
    const char *key = http_exchange_header(exchange, "Idempotency-Key");
    if (key && post->count && http->keys.count && !post_take_key(post, key)) {
        return;
    }
    if (http->is_blocked && post->offered < post->count) {
        post_refuse(post, 429, "the buffer is full: try again later");
        return;
    }
    post->state = POST_QUEUED;
    timer_arm(&post->deadline, (uint64_t)http->options->ack_ms);
    timer_arm(&http->pump, 0);
}

static void http_on_gone(void *context, struct http_exchange *exchange)
{
    struct http_driver *http = context;
    struct post *post = http_exchange_kept(exchange);
    if (!post) {
        return;
    }
    struct post **link = &http->posts;
    while (*link != post) {
        link = &(*link)->next;
    }
    *link = post->next;
    if (post->state != POST_ANSWERED) {
        driver_count(http->host, "vanished", 1);
    }
    if (post->key) {
        post->key->is_pinned = false;
    }
    timer_release(&post->deadline);
    http->memory -= post->size_max;
    free(post->data);
    free(post);
}

static const struct http_server_handler http_handler = {
    .on_request = http_on_request,
    .on_body = http_on_body,
    .on_complete = http_on_complete,
    .on_gone = http_on_gone,
};

/* --- the class --- */

static void http_restore(void *context, uint32_t key, struct slice value)
{
    struct http_driver *http = context;
    http_keys_restore(&http->keys, key, value);
}

static void http_close(struct driver *driver)
{
    struct http_driver *http = driver ? http_of(driver) : NULL;
    if (!http) {
        return;
    }
    for (struct post *post = http->posts; post; post = post->next) {
        if (post->state != POST_ANSWERED) {
            post_refuse(post, 503, "stopped: send the rest again");
        }
    }
    http_server_close(http->server);
    assert(!http->posts);
    timer_release(&http->pump);
    tls_close(http->tls);
    http_keys_release(&http->keys);
    free(http);
}

static bool http_is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

static enum err http_check_exposure(const struct http_options *options, const char *host,
                                    struct why *why)
{
    if (http_is_loopback(host) || options->insecure) {
        return ERR_OK;
    }
    if (!options->token) {
        why_set(why, "%s is reachable from outside: set a token, or say \"insecure\": true",
                options->listen);
        return ERR_CONFIG;
    }
    if (!options->tls.is_set) {
        why_set(why, "%s is reachable from outside: set tls, or say \"insecure\": true",
                options->listen);
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static enum err http_open_server(struct http_driver *http, struct why *why)
{
    const struct http_options *options = http->options;
    char host[64] = "";
    struct http_server_options server = {.host = host,
                                         .connection_max = (uint32_t)options->connection_max,
                                         .idle_ms = (uint32_t)options->idle_ms,
                                         .request_ms = (uint32_t)options->request_ms};
    if (!http_listen_parse(options->listen, host, &server.port)) {
        why_set(why, "\"%s\" is no address with a port", options->listen);
        return ERR_CONFIG;
    }
    enum err e = http_check_exposure(options, host, why);
    if (!e && options->tls.is_set) {
        e = tls_open(&http->tls, &options->tls, TLS_SERVER, why);
        server.tls = http->tls;
    }
    if (!e) {
        e = http_server_open(&http->server, http->loop, &server, &http_handler, http, why);
    }
    return e;
}

static enum err http_open(struct driver **ret, const struct driver_setup *setup, struct why *why)
{
    struct http_driver *http = calloc(1, sizeof *http);
    if (!http) {
        return ERR_NOMEM;
    }
    const struct http_options *options = setup->options;
    http->driver.class_ = &http_class;
    http->host = setup->host;
    http->loop = setup->loop;
    http->options = options;
    timer_init(&http->pump, setup->loop, http_pump_fire);
    enum err e = http_keys_init(&http->keys, (size_t)options->idempotency_keys);
    if (e) {
        goto fail;
    }
    driver_cursor_each(http->host, http_restore, http);
    e = http_open_server(http, why);
    if (e) {
        goto fail;
    }
    *ret = &http->driver;
    return ERR_OK;

fail:
    http_close(&http->driver);
    return e;
}

static void http_resume(struct driver *driver)
{
    struct http_driver *http = http_of(driver);
    http->is_blocked = false;
    for (size_t i = 0; i < http->keys.count; i++) {
        if (http->keys.keys[i].is_owed && !http_key_flush(http, &http->keys.keys[i])) {
            http->is_blocked = true;
            return;
        }
    }
    timer_arm(&http->pump, 0);
}

static void http_stored(struct driver *driver, uint64_t ticket)
{
    struct http_driver *http = http_of(driver);
    http->stored = ticket;
    for (struct post *post = http->posts; post; post = post->next) {
        post_settle(post);
    }
}

static void http_stop(struct driver *driver)
{
    struct http_driver *http = http_of(driver);
    http->is_stopping = true;
    timer_disarm(&http->pump);
    http_server_stop(http->server);
    for (struct post *post = http->posts; post; post = post->next) {
        if (post->state == POST_QUEUED) {
            post->is_cut = post->offered < post->count;
            post->state = POST_WAITING;
            post_settle(post);
        }
    }
}

uint16_t http_driver_port(const struct driver *driver)
{
    const struct http_driver *http = (const void *)driver;
    return http_server_port(http->server);
}

const struct driver_class http_class = {
    .type = "http",
    .help = "Takes events by HTTP POST: one JSON value, an array, or NDJSON. Answers 200 when they "
            "are stored, 429 when there is no room.",
    .options = http_table,
    .options_size = sizeof(struct http_options),
    .open = http_open,
    .resume = http_resume,
    .stored = http_stored,
    .stop = http_stop,
    .close = http_close,
};
