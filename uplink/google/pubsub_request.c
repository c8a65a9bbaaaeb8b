#include <assert.h>
#include <stdlib.h>

#include "ports/lib/deflate.h"
#include "uplink/google/publish.h"
#include "uplink/google/pubsub_impl.h"

/* --- messages out of a group --- */

/* The request of a group as protobuf. *ret_memory is malloc'd, or NULL. */
static enum err group_raw(const struct pubsub_group *group, uint8_t **ret_memory, struct slice *ret)
{
    struct deflate_decoder *decoder = NULL;
    *ret_memory = NULL;
    *ret = (struct slice){group->frame.data + GRPC_FRAME_HEAD_SIZE,
                          group->frame.size - GRPC_FRAME_HEAD_SIZE};
    if (!group->is_gzip) {
        return ERR_OK;
    }
    uint8_t *memory = malloc(group->raw_size);
    struct out raw = out_over(memory, memory ? group->raw_size : 0);
    enum err e = memory ? deflate_decoder_open(&decoder) : ERR_NOMEM;
    e = e ? e : deflate_decode_gzip(decoder, *ret, &raw);
    deflate_decoder_close(decoder);
    if (e) {
        free(memory);
        return e == ERR_NOMEM ? e : ERR_CORRUPT;
    }
    *ret_memory = memory;
    *ret = out_slice(&raw);
    return ERR_OK;
}

/* Messages first..first+*count of those in `messages`, and fewer where they are larger than size_max
 * together. */
static struct slice run_of(struct slice messages, uint32_t first, uint32_t *count, size_t size_max)
{
    struct publish_message message;
    struct slice whole, run = {NULL, 0};
    for (uint32_t i = 0; i < first + *count; i++) {
        enum err e = publish_take_message(&messages, &whole, &message);
        assert(!e); /* our own bytes */
        (void)e;
        if (i == first) {
            run.data = whole.data;
        }
        if (i > first && run.size + whole.size > size_max) {
            *count = i - first;
            return run;
        }
        run.size += i >= first ? whole.size : 0;
    }
    return run;
}

static enum err body_of_run(const struct pubsub *p, struct sender_request *r, struct slice topic,
                            struct slice run)
{
    struct out body;
    size_t size =
        p->by_rest ? publish_json_size_max(run) : GRPC_FRAME_HEAD_SIZE + topic.size + 8 + run.size;
    enum err e = sender_body(r, size, &body);
    if (e) {
        return e;
    }
    if (p->by_rest) {
        e = publish_put_json(&body, run);
    } else {
        body.size = GRPC_FRAME_HEAD_SIZE;
        publish_put_topic(&body, topic);
        out_put_slice(&body, run);
        grpc_frame_head(body.data, false, (uint32_t)(body.size - GRPC_FRAME_HEAD_SIZE));
    }
    assert(e || !body.overflow);
    r->http.body = out_slice(&body);
    return e;
}

static enum err body_of_some(const struct pubsub *p, struct sender_request *r)
{
    struct pubsub_state *state = r->state;
    uint8_t *memory;
    struct slice raw, topic;
    enum err e = group_raw(&state->group, &memory, &raw);
    e = e ? e : publish_take_topic(&raw, &topic);
    if (!e) {
        struct slice run = run_of(raw, state->first, &state->count, p->size_max);
        e = body_of_run(p, r, topic, run);
    }
    free(memory);
    return e;
}

/* --- the request --- */

static enum err put_token(struct pubsub *p, struct sender_request *r)
{
    struct pubsub_state *state = r->state;
    const char *text;
    if (!p->token) {
        return ERR_OK;
    }
    enum err e = google_token_get(p->token, &text, &state->token_number);
    if (e) {
        enum err fault_e;
        const struct why *why = google_token_fault(p->token, &fault_e);
        if (why) {
            uplink_fault(p->host, why);
            p->has_fault = true;
        }
        return e;
    }
    return sender_header(r, "Authorization: Bearer %s", text) ? ERR_OK : ERR_FULL;
}

/* Topics may have a percent sign in their names; all else that they may have stands as it is. */
bool pubsub_rest_url(struct out *ret, const char *endpoint, const char *topic, const char *verb)
{
    out_put_format(ret, "%s/v1/", endpoint);
    for (const char *c = topic; *c; c++) {
        out_put_text(ret, *c == '%' ? "%25" : (char[]){*c, 0});
    }
    out_put_format(ret, ":%s", verb);
    out_put_byte(ret, 0);
    return !ret->overflow;
}

static const char *rest_url(const struct pubsub *p, struct sender_request *r)
{
    char url[PUBSUB_ENDPOINT_SIZE + 3 * TARGET_NAME_SIZE_MAX];
    struct out o = out_over(url, sizeof url);
    return pubsub_rest_url(&o, p->endpoint, r->batch->target.name, "publish")
               ? sender_text(r, "%s", url)
               : NULL;
}

static enum err put_head(struct pubsub *p, struct sender_request *r, bool is_gzip)
{
    struct pubsub_state *state = r->state;
    bool fits;
    state->by_rest = p->by_rest;
    r->http.method = "POST";
    r->http.http2_plain = p->is_plain && !p->by_rest;
    if (p->by_rest) {
        r->http.url = rest_url(p, r);
        fits = sender_header(r, "Content-Type: application/json");
    } else {
        r->http.url = sender_text(r, "%s/google.pubsub.v1.Publisher/Publish", p->endpoint);
        fits = sender_header(r, "Content-Type: application/grpc") &&
               sender_header(r, "TE: trailers") &&
               (!is_gzip || sender_header(r, "grpc-encoding: gzip"));
    }
    return fits && r->http.url ? ERR_OK : ERR_FULL;
}

enum err pubsub_request(struct pubsub *p, struct sender_request *r, struct send_report *ret)
{
    struct pubsub_state *state = r->state;
    const struct pubsub_group *group = &state->group;
    bool is_whole = !p->by_rest && state->count == group->count &&
                    (group->raw_size <= p->size_max || group->count == 1);
    enum err e = put_head(p, r, is_whole && group->is_gzip);
    e = e ? e : put_token(p, r);
    if (e == ERR_AGAIN) {
        return e;
    }
    if (!e && is_whole) {
        r->http.body = group->frame;
    } else if (!e) {
        e = body_of_some(p, r);
    }
    if (e) {
        sender_report(ret, SEND_RETRY, 0, "a request could not be made: %s", err_name(e));
    }
    return e;
}
