#include "uplink/object/gcs.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "uplink/google/token.h"
#include "uplink/object/gcs_answer.h"
#include "uplink/object/gcs_options.h"

#define GCS_HEAD_ROOM 4096 /* around an object: boundaries and what is said of it */

struct gcs {
    struct http_base base;
    const struct gcs_options *options;
    char url[GCS_URL_SIZE]; /* the endpoint's, where the options have none */
    struct endpoint endpoint;
    struct google_token *token; /* NULL: none is sent */
};

struct gcs_state {
    uint64_t token; /* its number, of the last request */
    bool has_renewed;
    bool has_repeated;
};

static struct gcs *gcs_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct gcs, base.uplink);
}

/* --- requests --- */

/* As the service writes them. */
static void digests_of(const struct batch *batch, struct gcs_object *ret)
{
    struct object object;
    struct object_digests digests;
    struct out md5 = out_over(ret->md5, sizeof ret->md5);
    struct out crc = out_over(ret->crc32c, sizeof ret->crc32c);
    object_of(batch, &object);
    object_digests(&object, 0, &digests);
    hash_put_base64(&md5, (struct slice){digests.md5, sizeof digests.md5});
    out_put_byte(&md5, 0);
    hash_put_base64(&crc, (struct slice){digests.crc32c, sizeof digests.crc32c});
    out_put_byte(&crc, 0);
}

/* What is known of the object, with the digests that the service compares before it keeps anything,
 * and the object: as multipart/related, whose boundary is the object's own digest. */
static enum err put_body(const struct gcs *gcs, struct sender_request *r, const char *name,
                         const char *boundary)
{
    struct object object;
    struct gcs_object is;
    struct out body;
    object_of(r->batch, &object);
    digests_of(r->batch, &is);
    enum err e = sender_body(r, object.body.size + GCS_HEAD_ROOM, &body);
    if (e) {
        return e;
    }
    out_put_format(&body, "--%s\r\nContent-Type: application/json\r\n\r\n{\"name\":", boundary);
    out_put_json(&body, slice_of_text(name));
    out_put_format(&body, ",\"md5Hash\":\"%s\",\"crc32c\":\"%s\"", is.md5, is.crc32c);
    if (gcs->options->storage_class) {
        out_put_format(&body, ",\"storageClass\":\"%s\"", gcs->options->storage_class);
    }
    out_put_format(&body, "}\r\n--%s\r\nContent-Type: application/avro\r\n\r\n", boundary);
    out_put_slice(&body, object.body);
    out_put_format(&body, "\r\n--%s--\r\n", boundary);
    r->http.body = out_slice(&body);
    return body.overflow ? ERR_FULL : ERR_OK;
}

static bool put_head(const struct gcs *gcs, struct sender_request *r, const char *boundary,
                     const char *token)
{
    r->http.method = "POST";
    r->http.url =
        sender_text(r, "%.*s%.*s%.*s/upload/storage/v1/b/%s/o?uploadType=multipart%s",
                    (int)gcs->endpoint.scheme.size, (const char *)gcs->endpoint.scheme.data,
                    (int)gcs->endpoint.host.size, (const char *)gcs->endpoint.host.data,
                    (int)gcs->endpoint.path.size, (const char *)gcs->endpoint.path.data,
                    gcs->options->bucket, gcs->options->create_only ? "&ifGenerationMatch=0" : "");
    bool ok =
        r->http.url && sender_header(r, "Content-Type: multipart/related; boundary=%s", boundary);
    return ok && (!token || sender_header(r, "Authorization: Bearer %s", token));
}

static void boundary_of(const struct batch *batch, char ret[2 * HASH_MD5_SIZE + 1])
{
    struct object object;
    struct object_digests digests;
    struct out out = out_over(ret, 2 * HASH_MD5_SIZE + 1);
    object_of(batch, &object);
    object_digests(&object, 0, &digests);
    hash_put_hex(&out, (struct slice){digests.md5, sizeof digests.md5});
    out_put_byte(&out, 0);
}

static enum err gcs_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct gcs *gcs = context;
    struct gcs_state *state = r->state;
    const char *token = NULL;
    char name[OBJECT_NAME_SIZE_MAX + 1];
    char boundary[2 * HASH_MD5_SIZE + 1];
    struct out out = out_over(name, sizeof name);
    struct why why = {""};
    enum err e = gcs->token ? google_token_get(gcs->token, &token, &state->token) : ERR_OK;
    if (e == ERR_AGAIN) {
        return e;
    }
    boundary_of(r->batch, boundary);
    e = e ? e : object_name_of(r->batch, &out, &why);
    e = e ? e : put_body(gcs, r, name, boundary);
    if (!e && !put_head(gcs, r, boundary, token)) {
        e = ERR_FULL;
    }
    if (e == ERR_NOMEM) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a request");
    } else if (e) {
        sender_report(ret, SEND_PARK, 0, "%s",
                      why.text[0] ? why.text : "name and token are too long for a request");
    }
    return e;
}

/* --- answers --- */

static const struct object_code gcs_codes[] = {
    {"authError", OBJECT_RENEW, "look at credentials"},
    {"required", OBJECT_STOP, "look at credentials"},
    {"forbidden", OBJECT_STOP,
     "the account needs the role Storage Object User on the bucket, or "
     "Creator with create_only"},
    {"insufficientPermissions", OBJECT_STOP, "the token's scope does not allow it"},
    {"accountDisabled", OBJECT_STOP, "look at billing"},
    {"notFound", OBJECT_STOP, "make the bucket, or look at its name"},
    {"retentionPolicyNotMet", OBJECT_STOP, "set create_only"},
    {"conditionNotMet", OBJECT_THERE, ""},
    {"uploadTooLarge", OBJECT_HALVE, ""},
    {"rateLimitExceeded", OBJECT_WAIT, ""},
    {"userRateLimitExceeded", OBJECT_WAIT, ""},
    {"dailyLimitExceeded", OBJECT_WAIT, ""},
    {"backendError", OBJECT_WAIT, ""},
    {"internalError", OBJECT_WAIT, ""},
    {"conflict", OBJECT_WAIT, ""},
};

/* Once more; then it ends. */
static enum sender_next gcs_repeat(struct sender_request *r)
{
    struct gcs_state *state = r->state;
    bool is_over = state->has_repeated;
    state->has_repeated = true;
    return is_over ? SENDER_END : SENDER_LATER;
}

static enum sender_next gcs_stored(struct sender_request *r, const struct http_answer *answer,
                                   struct send_report *ret)
{
    struct gcs_object is;
    struct gcs_object stored;
    digests_of(r->batch, &is);
    r->is_in_doubt = true; /* until it is known to be there as it was sent */
    if (!gcs_answer_object(answer->body, &stored)) {
        sender_report(ret, SEND_RETRY, 0,
                      "the store's answer is no JSON: is this Google Cloud "
                      "Storage?");
        return SENDER_END;
    }
    if ((stored.md5[0] && strcmp(stored.md5, is.md5) != 0) ||
        (stored.crc32c[0] && strcmp(stored.crc32c, is.crc32c) != 0)) {
        sender_report(ret, SEND_RETRY, 0,
                      "the store has an object with another digest than was "
                      "sent: it is put again");
        return gcs_repeat(r);
    }
    r->is_in_doubt = false;
    ret->result = SEND_OK;
    return SENDER_END;
}

static enum sender_next gcs_act(struct gcs *gcs, struct sender_request *r,
                                enum object_action action, struct send_report *ret)
{
    struct gcs_state *state = r->state;
    switch (action) {
    case OBJECT_WAIT:
        ret->result = SEND_RETRY;
        return SENDER_END;
    case OBJECT_HALVE:
        http_base_refuse(&gcs->base, r->batch, SEND_TOO_LARGE, ret);
        return SENDER_END;
    case OBJECT_THERE:
        ret->result = gcs->options->create_only ? SEND_OK : SEND_PARK;
        ret->was_duplicate = ret->result == SEND_OK;
        return SENDER_END;
    case OBJECT_RENEW:
        if (gcs->token && !state->has_renewed) {
            (void)google_token_refused(gcs->token, state->token); /* or there is a newer one */
            state->has_renewed = true;
            return SENDER_MORE;
        }
        return SENDER_END;
    case OBJECT_REPEAT:
        if (state->has_repeated) {
            http_base_refuse(&gcs->base, r->batch, SEND_REJECTED, ret);
        }
        return gcs_repeat(r);
    case OBJECT_STOP:
    case OBJECT_CLOCK:
    case OBJECT_REGION:
    case OBJECT_RESTART:
        break;
    }
    return SENDER_END;
}

static enum sender_next gcs_judge(void *context, struct sender_request *r,
                                  const struct http_answer *answer, struct send_report *ret)
{
    struct object_said said = {.advice = ""};
    if (answer->status >= 200 && answer->status < 300) {
        return gcs_stored(r, answer, ret);
    }
    gcs_answer_error(answer->body, &said);
    object_said_find(&said, gcs_codes, ARRAY_COUNT(gcs_codes), answer->status);
    if (answer->status == 401) {
        said.action = OBJECT_RENEW;
    }
    /* It names the digest in words only. */
    if (answer->status == 400 && (strstr(said.message, "hash") || strstr(said.message, "CRC32C"))) {
        said.action = OBJECT_REPEAT;
    }
    object_say(ret, SEND_PARK, &said, answer->status);
    return gcs_act(context, r, said.action, ret);
}

/* --- the class --- */

static void token_changed(void *context)
{
    struct gcs *gcs = context;
    enum err e = ERR_OK;
    uplink_fault(gcs->base.host, google_token_fault(gcs->token, &e));
    sender_kick(gcs->base.sender);
}

static void token_bytes(void *context, uint64_t sent, uint64_t received)
{
    struct gcs *gcs = context;
    uplink_wire_bytes(gcs->base.host, sent, received);
}

static enum err gcs_target(struct uplink *uplink, const struct stream_info *stream,
                           const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct gcs *gcs = gcs_of(uplink);
    (void)schema;
    return object_target(&gcs->base, &gcs->options->object, stream, ret, why);
}

static enum err gcs_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct gcs_options *gcs = options;
    const struct object_wrapping wrapping = {
        .options = &gcs->object, .digests = OBJECT_MD5 | OBJECT_CRC32C, .whole_size_max = SIZE_MAX};
    return object_wrap(&wrapping, batch, ret);
}

static const struct sender_service gcs_service = {.state_size = sizeof(struct gcs_state),
                                                  .answer_size_max = 32 * 1024,
                                                  .build = gcs_build,
                                                  .judge = gcs_judge};

static void gcs_close(struct uplink *uplink)
{
    struct gcs *gcs = uplink ? gcs_of(uplink) : NULL;
    if (gcs) {
        google_token_close(gcs->token);
        http_base_close(&gcs->base);
        free(gcs);
    }
}

bool gcs_url_put(const struct gcs_options *options, char ret[GCS_URL_SIZE])
{
    const char *emulator = getenv("STORAGE_EMULATOR_HOST");
    bool is_emulator = !options->endpoint && emulator && emulator[0];
    if (is_emulator) {
        (void)snprintf(ret, GCS_URL_SIZE, "%s%s", strstr(emulator, "://") ? "" : "http://",
                       emulator);
    } else {
        (void)snprintf(ret, GCS_URL_SIZE, "%s",
                       options->endpoint ? options->endpoint : "https://storage.googleapis.com");
    }
    return !options->anonymous && !is_emulator;
}

/* *ret_has_token: false for an emulator, which takes none. */
static enum err gcs_place_set(struct gcs *gcs, bool *ret_has_token, struct why *why)
{
    *ret_has_token = gcs_url_put(gcs->options, gcs->url);
    return endpoint_parse(gcs->url, &gcs->endpoint, why);
}

static enum err gcs_token_open(struct gcs *gcs, const struct uplink_setup *setup, struct why *why)
{
    const struct google_token_setup token = {.loop = setup->loop,
                                             .names = setup->names,
                                             .http = sender_http(gcs->base.sender),
                                             .clock = sender_clock(gcs->base.sender),
                                             .credentials = gcs->options->credentials,
                                             .scope = GCS_SCOPE,
                                             .context = gcs,
                                             .changed = token_changed,
                                             .wire_bytes = token_bytes};
    return google_token_open(&gcs->token, &token, why);
}

static enum err gcs_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct gcs *gcs = calloc(1, sizeof *gcs);
    if (!gcs) {
        return ERR_NOMEM;
    }
    gcs->options = setup->options;
    bool has_token = false;
    const struct sender_setup sender = {.uplink = setup,
                                        .service = &gcs_service,
                                        .context = gcs,
                                        .tls = &gcs->options->tls,
                                        .timeout_ms = (uint32_t)gcs->options->object.timeout_ms};
    enum err e = gcs_place_set(gcs, &has_token, why);
    e = e ? e : http_base_open(&gcs->base, &gcs_uplink_class, &sender, why);
    if (!e && has_token) {
        e = gcs_token_open(gcs, setup, why);
    }
    if (e) {
        gcs_close(&gcs->base.uplink);
        return e;
    }
    *ret = &gcs->base.uplink;
    return ERR_OK;
}

const struct uplink_class gcs_uplink_class = {
    .type = "gcs",
    .help = "Avro container files in a bucket of Google Cloud Storage: each batch is one object, "
            "under a name that makes a repeated upload harmless.",
    .options = gcs_table,
    .options_size = sizeof(struct gcs_options),
    .probe = gcs_probe_open,
    .check = gcs_options_check,
    .open = gcs_open,
    .target = gcs_target,
    .place = http_base_place,
    .wrap = gcs_wrap,
    .built = object_built,
    .assign = http_base_assign,
    .send = http_base_send,
    .relink = http_base_relink,
    .stop = http_base_stop,
    .close = gcs_close,
};
