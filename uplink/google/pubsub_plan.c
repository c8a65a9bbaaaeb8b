/* What goes to Pub/Sub, as sizes: the groups of wrap(), each a request. Answers are taken to have a date,
 * and ids of 17 digits. */
#include <stdlib.h>

#include "uplink/google/publish.h"
#include "uplink/google/pubsub_impl.h"
#include "uplink/http/http_plan.h"

#define HEAD_GRPC 51 /* the path, the length, and bytes for what is known */
#define HEAD_TOKEN 10
#define HEAD_ANSWER (9 + 2 + 24 + 9 + 2) /* status, type and date; the trailers */
#define HEAD_MORE 110                    /* of the first of a connection: host, types, names */
#define ANSWER_AROUND 5                  /* and of each message its id */
#define ANSWER_ID 19
#define HEAD_REST 30 /* besides the topic; answers have the heads of Google's front ends */
#define HEAD_REST_1 170
#define HEAD_ANSWER_REST 120
#define HEAD_ANSWER_REST_1 330
#define ANSWER_AROUND_REST 24
#define ANSWER_ID_REST 25

static bool is_rest(const struct uplink_plan_setup *setup)
{
    return ((const struct pubsub_options *)setup->options)->transport == PUBSUB_REST;
}

static void plan_head(const struct uplink_plan_setup *setup, size_t topic_size,
                      struct uplink_way *ret_way, struct http_plan_head *ret)
{
    const struct pubsub_options *options = setup->options;
    char endpoint[PUBSUB_ENDPOINT_SIZE];
    bool by_rest = is_rest(setup);
    pubsub_endpoint(options, endpoint);
    http_plan_way(setup, endpoint, &options->tls, ret_way, &ret->is_http2);
    ret->is_http2 = ret->is_http2 || !by_rest;
    uint32_t token = ret_way->has_tls ? HEAD_TOKEN + http_plan_text(ret, HTTP_PLAN_TOKEN_SIZE) : 0;
    uint32_t topic = http_plan_text(ret, topic_size);
    ret->request = token + (!by_rest        ? HEAD_GRPC
                            : ret->is_http2 ? HEAD_REST + topic
                                            : HEAD_REST_1 + topic);
    ret->answer = !by_rest ? HEAD_ANSWER : ret->is_http2 ? HEAD_ANSWER_REST : HEAD_ANSWER_REST_1;
    ret->first_more = HEAD_MORE;
}

static void plan_way(const struct uplink_plan_setup *setup, struct uplink_way *ret)
{
    struct http_plan_head head;
    plan_head(setup, 0, ret, &head);
}

static enum err plan_target(const struct uplink_plan_setup *setup, const struct stream_info *stream,
                            const struct schema_info *schema, struct target *ret, struct why *why)
{
    return pubsub_target_put(setup->options, setup->agent_id, stream, schema, ret, why);
}

static size_t plan_login(const struct uplink_plan_setup *setup,
                         struct uplink_talk ret[UPLINK_LOGIN_MAX])
{
    struct uplink_way way;
    struct http_plan_head head;
    plan_head(setup, 0, &way, &head);
    return http_plan_login(&head, ret);
}

/* Without a frame's head; what REST makes of it. */
static enum err json_size(struct slice request, size_t *ret)
{
    struct slice topic;
    enum err e = publish_take_topic(&request, &topic);
    size_t size = e ? 1 : publish_json_size_max(request);
    struct out body = out_over(malloc(size), size);
    e = e ? e : !body.data ? ERR_NOMEM : publish_put_json(&body, request);
    *ret = body.size;
    free(body.data);
    return e;
}

static enum err send_group(const struct uplink_plan_setup *setup, const char *topic,
                           const struct pubsub_group *group, struct uplink_talk *ret)
{
    bool by_rest = is_rest(setup);
    struct slice raw = {group->frame.data + GRPC_FRAME_HEAD_SIZE,
                        group->frame.size - GRPC_FRAME_HEAD_SIZE};
    size_t size = group->frame.size;
    struct uplink_way way;
    struct http_plan_head head;
    enum err e = by_rest ? json_size(raw, &size) : ERR_OK;
    if (!e) {
        plan_head(setup, strlen(topic), &way, &head);
        size_t answer = by_rest ? ANSWER_AROUND_REST + group->count * ANSWER_ID_REST
                                : ANSWER_AROUND + group->count * ANSWER_ID;
        http_plan_talk(&head, size, raw.size, answer, ret);
    }
    return e;
}

static enum err plan_send(const struct uplink_plan_setup *setup,
                          const struct uplink_plan_parcel *parcel,
                          void (*put)(void *context, const struct uplink_talk *talk), void *context)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < parcel->parcel->part_count && !e; i++) {
        struct slice wire = parcel->wires[i];
        struct pubsub_group group;
        size_t at = 0;
        while (!e && pubsub_group_next((uint8_t *)(uintptr_t)wire.data, wire.size, &at, &group)) {
            struct uplink_talk talk;
            e = send_group(setup, parcel->target->name, &group, &talk);
            if (!e) {
                put(context, &talk);
            }
        }
    }
    return e;
}

const struct uplink_plan pubsub_uplink_plan = {
    .class_ = &pubsub_uplink_class,
    .way = plan_way,
    .target = plan_target,
    .login = plan_login,
    .send = plan_send,
};
