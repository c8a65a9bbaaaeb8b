/* What goes to Kinesis, as sizes: the records of wrap(), picked and written as kinesis_send.c does it.
 * Around them is what tests/bench/run kinesis has measured (KINESIS.md). */
#include <assert.h>
#include <stdlib.h>

#include "uplink/aws/kinesis_impl.h"
#include "uplink/http/http_plan.h"
#include "uplink/layout/framing.h"

#define LIST_MS (60 * 60 * 1000)
#define HEAD_1 405 /* HTTP/1.1, besides the host */
#define HEAD_TOKEN_1 24
#define HEAD_ANSWER_1 265
#define HEAD_2 203 /* HTTP/2: signature and its scope, date, length */
#define HEAD_ANSWER_2 161
#define HEAD_MORE 140 /* of the first of a connection: target, type, host; names */
/* A token is sent anew when what HTTP/2 remembers is full, after so many requests. */
#define TOKEN_REQUESTS 50
#define DATE_SENT 14 /* HTTP/2: what a request costs less within the same second, and its answer */
#define DATE_RECEIVED 30
#define ANSWER_AROUND_CBOR 31 /* and of each record its sequence number and its shard */
#define ANSWER_RECORD_CBOR 104
#define ANSWER_AROUND_JSON 35
#define ANSWER_RECORD_JSON 111
#define LIST_REQUEST 36 /* besides the stream's name */
#define LIST_AROUND 14  /* and of each shard its name, two numbers of 39 digits, one of 56 */
#define LIST_SHARD 280

static bool is_cbor(const struct kinesis_options *options)
{
    return options->encoding != KINESIS_ENCODING_JSON;
}

/* Keys that are not in the configuration are taken to be a role's, with a session token. */
static size_t token_size(const struct credentials_options *credentials)
{
    const char *token = credentials->session_token;
    return token ? strlen(token) : credentials->access_key_id ? 0 : HTTP_PLAN_TOKEN_SIZE;
}

static void plan_head(const struct uplink_plan_setup *setup, struct uplink_way *ret_way,
                      struct http_plan_head *ret)
{
    const struct kinesis_options *options = setup->options;
    const char *endpoint = options->aws.endpoint;
    const char *host = endpoint ? endpoint : "https://kinesis.eu-central-1.amazonaws.com";
    size_t token = token_size(&options->aws.credentials);
    http_plan_way(setup, host, &options->aws.tls, ret_way, &ret->is_http2);
    ret_way->refresh_ms = LIST_MS;
    uint32_t text = http_plan_text(ret, token);
    uint32_t names = (uint32_t)strlen(host) - 8; /* "https://" */
    ret->request = ret->is_http2 ? HEAD_2 + text / TOKEN_REQUESTS
                                 : HEAD_1 + names + (token ? HEAD_TOKEN_1 + text : 0);
    ret->answer = ret->is_http2 ? HEAD_ANSWER_2 : HEAD_ANSWER_1;
    ret->first_more = HEAD_MORE + text;
}

static void plan_way(const struct uplink_plan_setup *setup, struct uplink_way *ret)
{
    struct http_plan_head head;
    plan_head(setup, ret, &head);
}

static enum err plan_target(const struct uplink_plan_setup *setup, const struct stream_info *stream,
                            const struct schema_info *schema, struct target *ret, struct why *why)
{
    const struct kinesis_options *options = setup->options;
    const struct glue_options glue = kinesis_glue(options);
    enum err e =
        kinesis_target_put(options, setup->agent_id, stream, setup->partition_count, ret, why);
    if (!e && glue.is_set) {
        glue_target_guess(&glue, ret);
    } else if (!e) {
        framing_put((enum framing)options->framing, schema, ret);
    }
    return e;
}

static size_t plan_login(const struct uplink_plan_setup *setup,
                         struct uplink_talk ret[UPLINK_LOGIN_MAX])
{
    struct uplink_way way;
    struct http_plan_head head;
    plan_head(setup, &way, &head);
    return http_plan_login(&head, ret);
}

/* The list of its shards. */
static void plan_refresh(const struct uplink_plan_setup *setup, const struct target *target,
                         struct uplink_talk *ret)
{
    struct uplink_way way;
    struct http_plan_head head;
    plan_head(setup, &way, &head);
    http_plan_talk(&head, LIST_REQUEST + strlen(target->name), 0,
                   LIST_AROUND + (size_t)LIST_SHARD * setup->partition_count, ret);
}

/* --- requests --- */

/* The entries that go next, as kinesis_send.c's pick() takes them when no shard is busy. Returns the
 * bytes of their data. */
static size_t pick(struct slice entries, struct picked *picked)
{
    struct entry entry;
    uint32_t at = 0;
    size_t payload = 0;
    picked_clear(picked);
    while (picked->count < ENTRY_REQUEST_MAX && entries_next(entries, &at, &entry)) {
        size_t size = entry.key.size + entry.data.size;
        if (!entry_is_next(entries, &entry)) {
            continue;
        }
        if (picked->count > 0 && picked->size + size > KINESIS_REQUEST_SIZE_MAX) {
            break;
        }
        picked_add(picked, &entry);
        payload += entry.data.size;
    }
    return payload;
}

static enum err body_size(const struct uplink_plan_setup *setup,
                          const struct uplink_plan_parcel *parcel, struct slice entries,
                          const struct picked *picked, size_t *ret)
{
    size_t size = kinesis_body_size(picked, parcel->target->name);
    struct out body = out_over(malloc(size), size);
    if (!body.data) {
        return ERR_NOMEM;
    }
    kinesis_body_put(&body, is_cbor(setup->options), parcel->target->name, entries, picked);
    assert(!body.overflow);
    *ret = body.size;
    free(body.data);
    return ERR_OK;
}

/* One request, if there is anything left for it; *ret is the one before. */
static enum err send_one(const struct uplink_plan_setup *setup,
                         const struct uplink_plan_parcel *parcel, struct slice entries,
                         struct uplink_talk *ret, bool *ret_is_there)
{
    bool is_next = ret->piece_count > 0; /* there was one before, an answer ago */
    struct picked picked;
    struct uplink_way way;
    struct http_plan_head head;
    size_t size = 0;
    size_t payload = pick(entries, &picked);
    *ret_is_there = picked.count > 0;
    if (picked.count == 0) {
        return ERR_OK;
    }
    enum err e = body_size(setup, parcel, entries, &picked, &size);
    if (e) {
        return e;
    }
    plan_head(setup, &way, &head);
    size_t answer = is_cbor(setup->options)
                        ? ANSWER_AROUND_CBOR + picked.count * ANSWER_RECORD_CBOR
                        : ANSWER_AROUND_JSON + picked.count * ANSWER_RECORD_JSON;
    http_plan_talk(&head, size, payload, answer, ret);
    if (is_next && head.is_http2) {
        ret->pieces[0] -= DATE_SENT;
        ret->answer -= DATE_RECEIVED;
    }
    for (size_t i = 0; i < picked.count; i++) {
        entry_done_set((uint8_t *)(uintptr_t)entries.data, picked.at[i]);
    }
    return ERR_OK;
}

static enum err plan_send(const struct uplink_plan_setup *setup,
                          const struct uplink_plan_parcel *parcel,
                          void (*put)(void *context, const struct uplink_talk *talk), void *context)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < parcel->parcel->part_count && !e; i++) {
        struct uplink_talk talk = {.piece_count = 0};
        bool is_there = true;
        while (!e && is_there) {
            e = send_one(setup, parcel, parcel->wires[i], &talk, &is_there);
            if (!e && is_there) {
                put(context, &talk);
            }
        }
    }
    return e;
}

const struct uplink_plan kinesis_uplink_plan = {
    .class_ = &kinesis_uplink_class,
    .way = plan_way,
    .target = plan_target,
    .login = plan_login,
    .refresh = plan_refresh,
    .send = plan_send,
};
