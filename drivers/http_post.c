/* One request: its events are offered one by one, and it is answered when the last of them is
 * committed. */
#include <assert.h>

#include "drivers/http_impl.h"

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

void post_refuse(struct post *post, unsigned status, const char *text)
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

void post_settle(struct post *post)
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

bool post_key_flush(struct http_driver *http, struct http_key *key)
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
        post_key_flush(post->http, post->key);
    }
}

bool post_offer(struct post *post)
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

void post_deadline_fire(struct timer *timer)
{
    struct post *post = CONTAINER_OF(timer, struct post, deadline);
    post_refuse(post, 503, "not stored in time: send the rest again");
}
