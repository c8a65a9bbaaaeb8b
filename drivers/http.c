/* HTTP ingest. A POST is taken in whole, split, and only then offered event by event, one request
 * after the other, so that the tickets of a request follow each other; it is answered when the last
 * of them is committed. */
#include <assert.h>

#include "drivers/http_impl.h"
#include "ports/listen.h"

#define HTTP_TURN_EVENTS 1000 /* offered in one turn of the loop */

static struct http_driver *http_of(struct driver *driver)
{
    return CONTAINER_OF(driver, struct http_driver, driver);
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

/* No room: a request that has nothing admitted yet is refused, the client keeps it. */
static void http_block(struct http_driver *http)
{
    http->is_blocked = true;
    for (struct post *post = http->posts; post; post = post->next) {
        if (post->state == POST_QUEUED && post->offered == post->skipped) {
            post_refuse(post, 429, HTTP_NO_ROOM);
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

static enum err http_open_server(struct http_driver *http, struct why *why)
{
    const struct http_options *options = http->options;
    char host[LISTEN_HOST_SIZE] = "";
    struct http_server_options server = {.host = host,
                                         .connection_max = (uint32_t)options->connection_max,
                                         .idle_ms = (uint32_t)options->idle_ms,
                                         .request_ms = (uint32_t)options->request_ms};
    if (!listen_parse(options->listen, host, &server.port)) {
        why_set(why, "\"%s\" is no address with a port", options->listen);
        return ERR_CONFIG;
    }
    enum err e = http_options_check(options, why);
    if (!e && options->tls.is_set) {
        e = tls_open(&http->tls, &options->tls, TLS_SERVER, why);
        server.tls = http->tls;
    }
    if (!e) {
        e = http_server_open(&http->server, http->loop, &server, &http_posts_handler, http, why);
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
        if (http->keys.keys[i].is_owed && !post_key_flush(http, &http->keys.keys[i])) {
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
    .options = http_options_table,
    .options_size = sizeof(struct http_options),
    .check = http_options_check,
    .probe = http_probe_open,
    .open = http_open,
    .resume = http_resume,
    .stored = http_stored,
    .stop = http_stop,
    .close = http_close,
};
