#include <assert.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "uplink/aws/kinesis_impl.h"
#include "uplink/http/http_base.h"
#include "uplink/layout/framing.h"

static struct kinesis *kinesis_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct kinesis, uplink);
}

/* --- where to --- */

/* Eight hexadecimal digits that tell agents apart. */
static void salt_of(const char *agent_id, char ret[9])
{
    uint8_t digest[HASH_MD5_SIZE];
    hash_of(HASH_MD5, slice_of_text(agent_id), digest);
    struct out o = out_over(ret, 8);
    hash_put_hex(&o, (struct slice){digest, 4});
    ret[8] = '\0';
}

static uint32_t bucket_count(const struct kinesis_options *options, size_t shard_count)
{
    return options->explicit_hash_key         ? 1
           : shard_count < KINESIS_BUCKET_MAX ? (uint32_t)shard_count
                                              : KINESIS_BUCKET_MAX;
}

enum err kinesis_target_put(const struct kinesis_options *options, const char *agent_id,
                            const struct stream_info *info, size_t shard_count, struct target *ret,
                            struct why *why)
{
    struct target target = {.layout = ret->layout,
                            .partition_count = bucket_count(options, shard_count),
                            .request_size_max = KINESIS_REQUEST_SIZE_MAX,
                            .record_size_max = (uint32_t)options->record_size_max};
    const struct aws_name name = {.pattern = options->stream,
                                  .stream = info->name,
                                  .agent_id = agent_id,
                                  .size_max = KINESIS_NAME_SIZE_MAX};
    enum err e = aws_name_put(&name, target.name, sizeof target.name, why);
    salt_of(agent_id, target.cluster_id);
    if (!e) {
        *ret = target;
    }
    return e;
}

/* What stands before each datum. As kinesis_target(). */
static enum err target_framing(struct kinesis *k, const struct schema_info *schema,
                               struct target *ret, struct why *why)
{
    if (!k->glue) {
        framing_put((enum framing)k->options->framing, schema, ret);
        return ERR_OK;
    }
    enum err e = glue_target(k->glue, aws_name_own(ret->name), schema, ret, why);
    if (e == ERR_NOMEM) {
        timer_arm(&k->pace, 1000); /* and asks again */
        return ERR_AGAIN;
    }
    const struct why *fault = e == ERR_AGAIN ? glue_fault(k->glue) : NULL;
    if (fault || k->has_glue_fault) {
        uplink_fault(k->setup.host, fault);
    }
    k->has_glue_fault = fault != NULL;
    return e;
}

static enum err kinesis_target(struct uplink *uplink, const struct stream_info *info,
                               const struct schema_info *schema, struct target *ret,
                               struct why *why)
{
    struct kinesis *k = kinesis_of(uplink);
    struct target target = {.layout = ret->layout};
    enum err e = kinesis_target_put(k->options, k->setup.agent_id, info, 1, &target, why);
    if (e) {
        return e;
    }
    struct kinesis_stream *stream = kinesis_stream_get(k, target.name);
    if (!stream) {
        timer_arm(&k->pace, 1000); /* and asks again */
        return ERR_AGAIN;
    }
    kinesis_stream_refresh(k, stream);
    if (stream->shards.count == 0) {
        const struct why *fault = aws_fault(k->aws);
        *why = fault ? *fault : stream->why.text[0] ? stream->why : *why;
        return ERR_AGAIN;
    }
    e = target_framing(k, schema, &target, why);
    if (e) {
        return e;
    }
    size_t size_max = uplink_request_size(k->setup.host);
    target.partition_count = bucket_count(k->options, stream->shards.count);
    target.request_size_max =
        (uint32_t)(size_max < KINESIS_REQUEST_SIZE_MAX ? size_max : KINESIS_REQUEST_SIZE_MAX);
    *ret = target;
    return ERR_OK;
}

/* There are no numbers to give: the service would not know them. */
static enum err kinesis_assign(struct uplink *uplink, struct parcel *parcel, const uint32_t *parts,
                               size_t part_count)
{
    return kinesis_of(uplink)->is_stopping ? ERR_AGAIN
                                           : http_base_assign(uplink, parcel, parts, part_count);
}

static void kinesis_send(struct uplink *uplink, struct batch *batch)
{
    struct kinesis *k = kinesis_of(uplink);
    assert(batch->part->assigned && !batch->part->done);
    assert(batch->wire.data == batch->wire_memory);
    done_apply(&k->done, batch);
    sender_put(aws_sender(k->aws), batch);
}

/* --- life --- */

static void pace_over(struct timer *timer)
{
    struct kinesis *k = CONTAINER_OF(timer, struct kinesis, pace);
    sender_kick(aws_sender(k->aws));
    uplink_ready(k->setup.host);
}

static void credentials_ready(void *context)
{
    kinesis_list_go(context);
}

static void kinesis_relink(struct uplink *uplink)
{
    sender_relink(aws_sender(kinesis_of(uplink)->aws));
}

static void kinesis_stop(struct uplink *uplink, int64_t grace_ms)
{
    struct kinesis *k = kinesis_of(uplink);
    k->is_stopping = true;
    timer_disarm(&k->list.timer);
    sender_stop(aws_sender(k->aws), grace_ms);
}

static void kinesis_close(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    struct kinesis *k = kinesis_of(uplink);
    timer_release(&k->pace);
    timer_release(&k->list.timer);
    glue_close(k->glue); /* it has requests with the sender's client */
    aws_close(k->aws);   /* and with its client the list that is under way */
    shards_release(&k->list.found);
    while (k->streams) {
        struct kinesis_stream *stream = k->streams;
        k->streams = stream->next;
        shards_release(&stream->shards);
        free(stream);
    }
    done_release(&k->done);
    free(k);
}

static enum err open_glue(struct kinesis *k, struct why *why)
{
    k->glue_options = kinesis_glue(k->options);
    const struct glue_setup glue = {.loop = k->setup.loop,
                                    .names = k->setup.names,
                                    .http = sender_http(aws_sender(k->aws)),
                                    .options = &k->glue_options,
                                    .host = k->setup.host};
    return glue_open(&k->glue, &glue, why);
}

static enum err kinesis_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct kinesis *k = calloc(1, sizeof *k);
    if (!k) {
        return ERR_NOMEM;
    }
    k->uplink.class_ = &kinesis_uplink_class;
    k->options = setup->options;
    k->setup = *setup;
    timer_init(&k->pace, setup->loop, pace_over);
    timer_init(&k->list.timer, setup->loop, kinesis_list_due);
    const struct aws_setup aws = {.uplink = &k->setup,
                                  .options = &k->options->aws,
                                  .service = "kinesis",
                                  .sender = &kinesis_service,
                                  .context = k,
                                  .ready = credentials_ready};
    enum err e = aws_open(&k->aws, &aws, why);
    e = e || !k->options->glue.is_set ? e : open_glue(k, why);
    if (e) {
        kinesis_close(&k->uplink);
        return e;
    }
    *ret = &k->uplink;
    return ERR_OK;
}

static enum err kinesis_check(const void *options, struct why *why)
{
    const struct kinesis_options *kinesis = options;
    const struct glue_options glue = kinesis_glue(kinesis);
    enum err e = aws_check(&kinesis->aws, why);
    return e ? e : glue_framing_check(&glue, kinesis->framing, why);
}

/* A batch is one record; what is around it is Glue's header or Avro's single object, whatever framing
 * says for rows. */
static enum err kinesis_columns(const void *options, struct why *why)
{
    (void)options;
    (void)why;
    return ERR_OK;
}

const struct uplink_class kinesis_uplink_class = {
    .type = "kinesis",
    .help = "Amazon Kinesis Data Streams: records in order per key, what was stored is not sent "
            "again, shards are not asked for more than they take.",
    .options = kinesis_table,
    .options_size = sizeof(struct kinesis_options),
    .forgets = true,
    .probe = kinesis_probe_open,
    .check = kinesis_check,
    .open = kinesis_open,
    .columns = kinesis_columns,
    .target = kinesis_target,
    .place = kinesis_place,
    .wrap = kinesis_wrap,
    .assign = kinesis_assign,
    .send = kinesis_send,
    .relink = kinesis_relink,
    .stop = kinesis_stop,
    .close = kinesis_close,
};
