#include "uplink/kafka/plan.h"

#include <assert.h>

#include "uplink/kafka/connection_impl.h"
#include "uplink/kafka/records.h"
#include "uplink/kafka/service.h"
#include "uplink/kafka/wire.h"
#include "uplink/layout/columns.h"

#define ANSWER_HEAD_SIZE 8 /* size and correlation id */
#define VERSION_SIZE 6     /* of one API in an answer to ApiVersions v0 */
#define VERSION_COUNT 77   /* that a listener of Kafka 4.4 names */
#define NODE_NAME_SIZE 24  /* of a broker, as it is advertised */
#define CLUSTER_NAME_SIZE 22
#define REPLICA_MAX 3
#define MECHANISMS_SIZE 38          /* two or three names of mechanisms */
#define SCRAM_FIRST_SIZE 40         /* besides the user's name: "n,,n=,r=" and our nonce */
#define SCRAM_SALT_SIZE 100         /* both nonces, the salt, the count */
#define AWS_LOGIN_SIZE 480          /* of AWS_MSK_IAM */
#define AWS_SESSION_TOKEN_SIZE 1000 /* of credentials that end */
#define AWS_ANSWER_SIZE 84
#define TOKEN_SIZE 1000    /* an access token */
#define AWS_TOKEN_SIZE 570 /* one that is a presigned URL */
#define HEAD_SIZE_MAX (WIRE_HEAD_SIZE_MAX + 16)
#define TALK_SIZE_MAX (WIRE_NAME_SIZE_MAX + 64)

static_assert(UPLINK_TALK_PIECE_MAX >= 2 * PARCEL_PARTITION_MAX + 1, "a batch is two pieces");

/* --- where to --- */

enum err kafka_plan_target(const struct kafka_options *options, const char *agent_id,
                           const struct stream_info *stream, const struct schema_info *schema,
                           struct target *ret, struct why *why)
{
    static const uint8_t registered[REGISTRY_PREFIX_SIZE] = {0, 0, 1, 0x86, 0xa1};
    struct target target = {.layout = ret->layout, .partition_count = ret->partition_count};
    bool is_columns = target.layout == LAYOUT_COLUMNS;
    enum err e = kafka_topic_put(options->topic, stream->name, agent_id, target.name, why);
    if (e) {
        return e;
    }
    target.is_plain = kafka_compression_level(options, target.layout) == 0;
    target.request_size_max = kafka_message_size_max(options, stream->name);
    target.record_size_max = target.request_size_max - RECORDS_HEAD_SIZE - RECORDS_OVERHEAD_MAX;
    if (options->glue.is_set) {
        glue_target_guess(&options->glue, &target);
    } else if (options->registry.is_set) {
        memcpy(target.prefix, registered, sizeof registered);
        target.prefix_size = sizeof registered;
        memcpy(target.row_schema_id, registered + 1, sizeof registered - 1);
        target.row_schema_id_size = is_columns ? sizeof registered - 1 : 0;
    } else {
        framing_put((enum framing)options->framing, schema, &target);
    }
    *ret = target;
    return ERR_OK;
}

/* --- requests --- */

static void talk_begin(const struct kafka_options *options, enum wire_api api, size_t body_size,
                       struct uplink_talk *ret)
{
    uint8_t memory[HEAD_SIZE_MAX];
    struct out head = out_over(memory, sizeof memory);
    wire_head(&head, api, wire_version(api), 0, slice_of_text(options->client_id), body_size);
    assert(!head.overflow);
    *ret = (struct uplink_talk){.pieces = {(uint32_t)head.size}, .piece_count = 1};
}

static const size_t front_max = CONNECTION_FRONT_SIZE;

/* What fits goes in front, together with what came before; the rest of it on its own. */
static void talk_put(struct uplink_talk *talk, size_t size)
{
    assert(talk->piece_count < UPLINK_TALK_PIECE_MAX);
    size_t most = front_max * (talk->piece_count == 1);
    size_t room = most > talk->pieces[0] ? most - talk->pieces[0] : 0;
    size_t taken = size < room ? size : room;
    talk->pieces[0] += (uint32_t)taken;
    if (size > taken) {
        talk->pieces[talk->piece_count++] = (uint32_t)(size - taken);
    }
}

static void talk_of(const struct kafka_options *options, enum wire_api api, size_t body_size,
                    size_t answer_size, struct uplink_talk *ret)
{
    talk_begin(options, api, body_size, ret);
    talk_put(ret, body_size);
    ret->answer = (uint32_t)(ANSWER_HEAD_SIZE + answer_size);
}

void kafka_plan_produce(const struct kafka_options *options, const char *topic,
                        const uint32_t *sizes, size_t count, struct uplink_talk *ret)
{
    uint8_t memory[TALK_SIZE_MAX + PARCEL_PARTITION_MAX * 8];
    struct out head = out_over(memory, sizeof memory);
    size_t before[PARCEL_PARTITION_MAX]; /* of the head, that goes in front of each batch */
    size_t size = 0;
    size_t begin = 0;
    assert(count >= 1 && count <= PARCEL_PARTITION_MAX);
    wire_produce_begin(&head, (int32_t)options->request_timeout_ms, 1);
    wire_produce_topic(&head, slice_of_text(topic), (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        wire_produce_partition(&head, (uint32_t)i, sizes[i]);
        before[i] = head.size - begin;
        begin = head.size;
        size += sizes[i];
    }
    assert(!head.overflow);
    talk_begin(options, WIRE_PRODUCE, head.size + size, ret);
    for (size_t i = 0; i < count; i++) {
        talk_put(ret, before[i]);
        talk_put(ret, sizes[i]);
        ret->payload += sizes[i] - RECORDS_HEAD_SIZE;
    }
    /* one topic: its name, and of each partition number, error, offset, two times; then a pause */
    ret->answer = (uint32_t)(ANSWER_HEAD_SIZE + 4 + 2 + strlen(topic) + 4 + 30 * count + 4);
}

void kafka_plan_metadata(const struct kafka_options *options, const char *topic,
                         uint32_t partition_count, struct uplink_talk *ret)
{
    uint8_t memory[TALK_SIZE_MAX];
    struct out body = out_over(memory, sizeof memory);
    size_t nodes = options->brokers.count;
    size_t replicas = nodes < REPLICA_MAX ? nodes : REPLICA_MAX;
    wire_metadata_begin(&body, 1);
    wire_metadata_topic(&body, slice_of_text(topic));
    wire_metadata_end(&body, true);
    assert(!body.overflow);
    size_t answer = 4 + 4 + nodes * (4 + 2 + NODE_NAME_SIZE + 4 + 2) + 2 + CLUSTER_NAME_SIZE + 4;
    answer += 4 + 2 + 2 + strlen(topic) + 1 + 4;
    answer += partition_count * (2 + 4 + 4 + 4 + 4 + 4 + 8 * replicas);
    talk_of(options, WIRE_METADATA, body.size, answer, ret);
}

/* --- login --- */

static size_t login_tokens(const struct kafka_options *options, struct uplink_talk *ret)
{
    const struct sasl_options *sasl = &options->sasl;
    size_t user = sasl->user ? strlen(sasl->user) : 0;
    size_t hash = sasl->mechanism == SASL_SCRAM_SHA_512 ? 88 : 44; /* in base64 */
    size_t around = 2 + 2 + 4 + 8; /* of an answer: error, text, token's size, lifetime */
    switch ((enum sasl_mechanism)sasl->mechanism) {
    case SASL_PLAIN:
        talk_of(options, WIRE_SASL_AUTHENTICATE,
                WIRE_SASL_TOKEN_AT + 2 + user + (sasl->password ? strlen(sasl->password) : 0),
                around, &ret[0]);
        return 1;
    case SASL_OAUTHBEARER:
        talk_of(options, WIRE_SASL_AUTHENTICATE,
                WIRE_SASL_TOKEN_AT + (!sasl_is_aws(sasl) ? TOKEN_SIZE
                                      : sasl->credentials.access_key_id
                                          ? AWS_TOKEN_SIZE
                                          : AWS_TOKEN_SIZE + AWS_SESSION_TOKEN_SIZE * 4 / 3),
                around, &ret[0]);
        return 1;
    case SASL_AWS_MSK_IAM:
        talk_of(options, WIRE_SASL_AUTHENTICATE,
                WIRE_SASL_TOKEN_AT + AWS_LOGIN_SIZE +
                    (sasl->credentials.access_key_id ? 0 : AWS_SESSION_TOKEN_SIZE),
                around + AWS_ANSWER_SIZE, &ret[0]);
        return 1;
    case SASL_SCRAM_SHA_256:
    case SASL_SCRAM_SHA_512:
        break;
    }
    talk_of(options, WIRE_SASL_AUTHENTICATE, WIRE_SASL_TOKEN_AT + SCRAM_FIRST_SIZE + user,
            around + SCRAM_SALT_SIZE, &ret[0]);
    talk_of(options, WIRE_SASL_AUTHENTICATE, WIRE_SASL_TOKEN_AT + SCRAM_SALT_SIZE + hash,
            around + 2 + hash, &ret[1]);
    return 2;
}

size_t kafka_plan_login(const struct kafka_options *options,
                        struct uplink_talk ret[UPLINK_LOGIN_MAX])
{
    size_t count = 0;
    talk_of(options, WIRE_API_VERSIONS, 0, 2 + 4 + VERSION_COUNT * VERSION_SIZE, &ret[count++]);
    if (options->sasl.is_set) {
        talk_of(options, WIRE_SASL_HANDSHAKE, 2 + strlen(sasl_name(&options->sasl)),
                2 + 4 + MECHANISMS_SIZE, &ret[count++]);
        count += login_tokens(options, &ret[count]);
    }
    return count;
}

uint32_t kafka_plan_idle_ms(const struct kafka_options *options)
{
    uint32_t service = kafka_service_of(options->service)->idle_ms_max;
    return service ? service : KAFKA_PLAN_IDLE_MS;
}

/* --- for the plan --- */

static void plan_change(void *options, const int *level, int tls)
{
    struct kafka_options *kafka = options;
    kafka->compression_level = level ? *level : kafka->compression_level;
    kafka->tls.is_set = tls >= 0 ? tls : kafka->tls.is_set;
}

static void plan_way(const struct uplink_plan_setup *setup, struct uplink_way *ret)
{
    const struct kafka_options *options = setup->options;
    const char *const *brokers = options->brokers.items;
    *ret = (struct uplink_way){.is_ipv6 = brokers[0][0] == '[',
                               .has_tls = options->tls.is_set,
                               .has_own_certificate = options->tls.certificate != NULL,
                               .idle_ms = kafka_plan_idle_ms(options),
                               .refresh_ms = KAFKA_PLAN_METADATA_MS,
                               .lane_count = 1};
}

static enum err plan_target(const struct uplink_plan_setup *setup, const struct stream_info *stream,
                            const struct schema_info *schema, struct target *ret, struct why *why)
{
    ret->partition_count = setup->partition_count;
    return kafka_plan_target(setup->options, setup->agent_id, stream, schema, ret, why);
}

static size_t plan_login(const struct uplink_plan_setup *setup,
                         struct uplink_talk ret[UPLINK_LOGIN_MAX])
{
    return kafka_plan_login(setup->options, ret);
}

static void plan_refresh(const struct uplink_plan_setup *setup, const struct target *target,
                         struct uplink_talk *ret)
{
    kafka_plan_metadata(setup->options, target->name, setup->partition_count, ret);
}

/* One request has all parts. */
static enum err plan_send(const struct uplink_plan_setup *setup,
                          const struct uplink_plan_parcel *parcel,
                          void (*put)(void *context, const struct uplink_talk *talk), void *context)
{
    uint32_t sizes[PARCEL_PARTITION_MAX];
    struct uplink_talk talk;
    size_t count = parcel->parcel->part_count;
    assert(count <= PARCEL_PARTITION_MAX);
    for (size_t i = 0; i < count; i++) {
        sizes[i] = (uint32_t)parcel->wires[i].size;
    }
    kafka_plan_produce(setup->options, parcel->target->name, sizes, count, &talk);
    put(context, &talk);
    return ERR_OK;
}

const struct uplink_plan kafka_uplink_plan = {
    .class_ = &kafka_uplink_class,
    .change = plan_change,
    .way = plan_way,
    .target = plan_target,
    .login = plan_login,
    .refresh = plan_refresh,
    .send = plan_send,
};
