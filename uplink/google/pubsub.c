#include "uplink/google/pubsub.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "uplink/google/credentials.h"
#include "uplink/google/publish.h"
#include "uplink/google/pubsub_impl.h"
#include "uplink/http/http_base.h"
#include "uplink/layout/framing.h"
#include "uplink/layout/pattern.h"

#define ENDPOINT "https://pubsub.googleapis.com"
#define BUCKET_COUNT PARCEL_PARTITION_MAX /* of keys: parts that may be under way at a time */
#define TOPIC_ID_SIZE_MIN 3
#define TOPIC_ID_SIZE_MAX 255

static struct pubsub *pubsub_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct pubsub, uplink);
}

/* --- names --- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "projects/P/topics/T", with a T that the service allows. */
static bool topic_is_allowed(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *project = strncmp(name, "projects/", 9) == 0 ? name + 9 : "";
    size_t project_size = strcspn(project, "/");
    const char *id =
        strncmp(project + project_size, "/topics/", 8) == 0 ? project + project_size + 8 : "";
    size_t size = strlen(id);
    size_t allowed = 0;
    while (id[allowed] && (strchr(letters, id[allowed]) || strchr("-_.~+%", id[allowed]))) {
        allowed++;
    }
    return project_size > 0 && size >= TOPIC_ID_SIZE_MIN && size <= TOPIC_ID_SIZE_MAX &&
           allowed == size && is_letter(id[0]) && strncmp(id, "goog", 4) != 0;
}

enum err pubsub_topic_put(const struct pubsub_options *options, const char *stream,
                          const char *agent_id, char ret[TARGET_NAME_SIZE_MAX], struct why *why)
{
    char name[TARGET_NAME_SIZE_MAX];
    struct out o = out_over(name, sizeof name - 1);
    if (strncmp(options->topic, "projects/", 9) != 0) {
        out_put_format(&o, "projects/%s/topics/", options->project ? options->project : "");
    }
    const struct pattern_names names = {.stream = stream, .agent = slice_of_text(agent_id)};
    pattern_put(options->topic, &names, NULL, &o);
    name[o.size] = '\0';
    if (o.overflow || !topic_is_allowed(name)) {
        why_set(
            why,
            "topic \"%s\" of stream %s is not allowed: projects/P/topics/T, where T begins with "
            "a letter, not with goog, and has 3 to 255 letters, digits and -_.~+%%; in all at "
            "most %d characters",
            name, stream, TARGET_NAME_SIZE_MAX - 1);
        return ERR_CONFIG;
    }
    memcpy(ret, name, sizeof name);
    return ERR_OK;
}

/* --- where to --- */

enum err pubsub_target_put(const struct pubsub_options *options, const char *agent_id,
                           const struct stream_info *stream, const struct schema_info *schema,
                           struct target *ret, struct why *why)
{
    struct target target = {.layout = ret->layout};
    enum err e = pubsub_topic_put(options, stream->name, agent_id, target.name, why);
    if (e) {
        return e;
    }
    framing_put((enum framing)options->framing, schema, &target);
    target.partition_count = options->ordering == PUBSUB_ORDER_KEY ? BUCKET_COUNT : 1;
    target.request_size_max = pubsub_size_max(options);
    target.record_size_max = target.request_size_max - PUBLISH_ORDERING_KEY_MAX;
    *ret = target;
    return ERR_OK;
}

static enum err pubsub_target(struct uplink *uplink, const struct stream_info *stream,
                              const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct pubsub *p = pubsub_of(uplink);
    enum err e = pubsub_target_put(p->options, p->agent_id, stream, schema, ret, why);
    uint32_t link = uplink_request_size(p->host);
    if (!e && link < ret->request_size_max) {
        ret->request_size_max = link;
    }
    return e;
}

/* Events without a key are one bucket. */
static uint32_t pubsub_place(const struct target *target, struct slice key, uint64_t sequence)
{
    (void)sequence;
    return key.data ? (uint32_t)(slice_hash(key) % target->partition_count) : 0;
}

static void pubsub_send(struct uplink *uplink, struct batch *batch)
{
    assert(batch->part->assigned && batch->wire.data == batch->wire_memory);
    sender_put(pubsub_of(uplink)->sender, batch);
}

/* --- life --- */

static void token_changed(void *context)
{
    struct pubsub *p = context;
    enum err e;
    const struct why *why = google_token_fault(p->token, &e);
    if (why || p->has_fault) {
        uplink_fault(p->host, why);
    }
    p->has_fault = why != NULL;
    sender_kick(p->sender);
}

static void wire_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct pubsub *p = context;
    uplink_wire_bytes(p->host, sent, received);
}

static void grpc_again(struct timer *timer)
{
    CONTAINER_OF(timer, struct pubsub, grpc_again)->by_rest = false;
}

static void pubsub_relink(struct uplink *uplink)
{
    sender_relink(pubsub_of(uplink)->sender);
}

static void pubsub_stop(struct uplink *uplink, int64_t grace_ms)
{
    sender_stop(pubsub_of(uplink)->sender, grace_ms);
}

static void pubsub_close(struct uplink *uplink)
{
    if (!uplink) {
        return;
    }
    struct pubsub *p = pubsub_of(uplink);
    google_token_close(p->token);
    sender_close(p->sender);
    timer_release(&p->grpc_again);
    pubsub_done_release(&p->done);
    free(p);
}

void pubsub_endpoint(const struct pubsub_options *options, char ret[PUBSUB_ENDPOINT_SIZE])
{
    const char *given = options->endpoint;
    const char *emulator = given ? NULL : getenv("PUBSUB_EMULATOR_HOST");
    bool has_emulator = emulator && emulator[0];
    (void)snprintf(ret, PUBSUB_ENDPOINT_SIZE, "%s%s", has_emulator ? "http://" : "",
                   has_emulator ? emulator
                   : given      ? given
                                : ENDPOINT);
    size_t size = strlen(ret);
    while (size > 0 && ret[size - 1] == '/') {
        ret[--size] = '\0';
    }
}

static enum err open_token(struct pubsub *p, const struct uplink_setup *setup, struct why *why)
{
    if (p->is_plain) {
        return ERR_OK;
    }
    const struct google_token_setup token = {.loop = setup->loop,
                                             .names = setup->names,
                                             .http = sender_http(p->sender),
                                             .tls =
                                                 p->options->tls.is_set ? &p->options->tls : NULL,
                                             .clock = sender_clock(p->sender),
                                             .credentials = p->options->credentials,
                                             .scope = PUBSUB_SCOPE,
                                             .audience = PUBSUB_AUDIENCE,
                                             .context = p,
                                             .changed = token_changed,
                                             .wire_bytes = wire_bytes};
    return google_token_open(&p->token, &token, why);
}

static enum err pubsub_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct pubsub *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->uplink.class_ = &pubsub_uplink_class;
    p->host = setup->host;
    p->options = setup->options;
    p->loop = setup->loop;
    p->agent_id = setup->agent_id;
    p->by_rest = p->options->transport == PUBSUB_REST;
    p->size_max = PUBLISH_SIZE_MAX;
    timer_init(&p->grpc_again, setup->loop, grpc_again);
    pubsub_endpoint(p->options, p->endpoint);
    p->is_plain = strncmp(p->endpoint, "http://", 7) == 0;
    const struct sender_setup sender = {.uplink = setup,
                                        .service = &pubsub_service,
                                        .context = p,
                                        .tls = p->options->tls.is_set ? &p->options->tls : NULL,
                                        .timeout_ms = (uint32_t)p->options->request_timeout_ms};
    enum err e = sender_open(&p->sender, &sender, why);
    e = e ? e : open_token(p, setup, why);
    if (e) {
        pubsub_close(&p->uplink);
        return e;
    }
    *ret = &p->uplink;
    return ERR_OK;
}

/* --- the options together --- */

static enum err credentials_check(const char *path, struct why *why)
{
    struct credentials credentials;
    char taken[PATH_MAX];
    if (credentials_load(&credentials, path, taken, sizeof taken, why)) {
        return ERR_CONFIG;
    }
    credentials_release(&credentials);
    return ERR_OK;
}

static enum err pubsub_check(const void *options, struct why *why)
{
    const struct pubsub_options *o = options;
    bool is_whole = strncmp(o->topic, "projects/", 9) == 0;
    if (!is_whole && !o->project) {
        why_set(why, "set `project`, or write the topic as projects/P/topics/T");
        return ERR_CONFIG;
    }
    if (is_whole && o->project) {
        why_set(why, "the topic says its project already: leave out `project`");
        return ERR_CONFIG;
    }
    if (o->framing == FRAMING_REGISTRY) {
        why_set(why, "framing: \"registry\" is not for Pub/Sub, whose topics have schemas of their "
                     "own: use \"none\" there, else \"single_object\"");
        return ERR_CONFIG;
    }
    if (o->endpoint && strncmp(o->endpoint, "http://", 7) == 0 && o->credentials) {
        why_set(why, "credentials are not sent without TLS: write https:// in `endpoint`, or leave "
                     "out `credentials`");
        return ERR_CONFIG;
    }
    return o->credentials ? credentials_check(o->credentials, why) : ERR_OK;
}

static enum err pubsub_columns(const void *options, struct why *why)
{
    const struct pubsub_options *o = options;
    if (o->framing == FRAMING_NONE || o->framing == FRAMING_JSON) {
        why_set(why, "columns are told from rows by the framing: set `framing` to \"auto\"");
        return ERR_CONFIG;
    }
    return ERR_OK;
}

static const char *pubsub_dictionary(const void *options)
{
    return ((const struct pubsub_options *)options)->dictionary;
}

const struct uplink_class pubsub_uplink_class = {
    .type = "pubsub",
    .help = "Google Cloud Pub/Sub, by gRPC over HTTP/2 or by REST, with ordering keys, and the "
            "event's identity as an attribute by which readers drop what came twice.",
    .options = pubsub_table,
    .options_size = sizeof(struct pubsub_options),
    .forgets = true,
    .probe = pubsub_probe_open,
    .check = pubsub_check,
    .open = pubsub_open,
    .columns = pubsub_columns,
    .dictionary = pubsub_dictionary,
    .target = pubsub_target,
    .place = pubsub_place,
    .wrap = pubsub_wrap,
    .assign = http_base_assign, /* what a message is known by is its weir_id */
    .send = pubsub_send,
    .relink = pubsub_relink,
    .stop = pubsub_stop,
    .close = pubsub_close,
};
