/* A request on its way in: what can be said before its body comes, the body, and, once that is
 * there, what an earlier try under the same Idempotency-Key has stored already. */
#include <assert.h>
#include <strings.h>

#include "drivers/http_impl.h"
#include "drivers/place.h"

#define HTTP_BODY_FIRST 4096 /* first room for a body of unknown size */
#define HTTP_KEY_TEXT_MAX 255

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
    if (!http_exchange_has_token(exchange, http->options->token)) {
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
        *ret_text = HTTP_NO_ROOM;
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
    timer_init(&post->deadline, http->loop, post_deadline_fire);
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
    uint64_t key_hash = slice_hash(slice_of_text(text));
    uint64_t body_hash = slice_hash((struct slice){post->data, post->size});
    struct http_key *key = http_keys_take(&http->keys, key_hash, body_hash, http->stored);
    if (!key) {
        post_refuse(post, 429, "too many Idempotency-Keys are under way: try again later");
        return false;
    }
    if (key->is_pinned) {
        post_refuse(post, 409, "a request with this Idempotency-Key is being worked on");
        return false;
    }
    if (key->admitted == 0) {
        key->body_hash = body_hash; /* nothing was stored under it: the client may begin anew */
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
        post_refuse(post, 429, HTTP_NO_ROOM);
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

const struct http_server_handler http_posts_handler = {
    .on_request = http_on_request,
    .on_body = http_on_body,
    .on_complete = http_on_complete,
    .on_gone = http_on_gone,
};
