#include "uplink/object/azure.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "ports/lib/hash.h"
#include "uplink/object/azure_impl.h"
#include "uplink/object/xml.h"

#define AZURE_SKEW_S 300 /* a time that differs by more may be why a signature was refused */
#define AZURE_AUTHORIZATION_SIZE_MAX 256

struct azure {
    struct http_base base;
    const struct azure_options *options;
    char url[512]; /* the endpoint's */
    struct endpoint endpoint;
    uint8_t key[AZURE_KEY_SIZE_MAX];
    size_t key_size; /* 0: by sas */
};

struct azure_state {
    char code[OBJECT_CODE_SIZE]; /* of the answer at hand */
    int64_t time_s;              /* the request was signed for */
    bool has_skewed;
    bool has_repeated;
};

static struct azure *azure_of(struct uplink *uplink)
{
    return CONTAINER_OF(uplink, struct azure, base.uplink);
}

/* --- requests --- */

/* The URL; *ret_path is what is signed of it. */
static bool put_url(const struct azure *azure, struct sender_request *r, const char *name,
                    struct slice *ret_path)
{
    struct out *text = &r->text;
    size_t start = text->size;
    out_put_slice(text, azure->endpoint.scheme);
    out_put_slice(text, azure->endpoint.host);
    size_t path_at = text->size;
    out_put_slice(text, azure->endpoint.path);
    out_put_byte(text, '/');
    out_put_text(text, azure->options->container);
    out_put_byte(text, '/');
    http_base_put_escaped(text, slice_of_text(name), '/');
    *ret_path = (struct slice){text->data + path_at, text->size - path_at};
    if (azure->options->sas) {
        const char *sas = azure->options->sas;
        out_put_byte(text, '?');
        out_put_text(text, sas[0] == '?' ? sas + 1 : sas);
    }
    out_put_byte(text, 0);
    r->http.url = (const char *)text->data + start;
    return !text->overflow;
}

static bool put_authorization(const struct azure *azure, struct sender_request *r,
                              const struct azure_request *request)
{
    struct out room;
    if (azure->key_size == 0) {
        return true;
    }
    if (sender_body(r, AZURE_SIGN_ROOM, &room)) {
        return false;
    }
    azure_sign(request, (struct slice){azure->key, azure->key_size}, &room);
    out_put_byte(&room, 0);
    return !room.overflow && sender_header(r, "Authorization: %s", (const char *)room.data);
}

static bool azure_make(struct azure *azure, struct sender_request *r, const char *name)
{
    const struct azure_options *options = azure->options;
    struct azure_state *state = r->state;
    struct object object;
    struct object_digests digests;
    char md5[32];
    char date[AZURE_DATE_SIZE];
    struct azure_header headers[4];
    struct azure_request request = {.method = "PUT",
                                    .content_md5 = md5,
                                    .content_type = AZURE_CONTENT_TYPE,
                                    .if_none_match = options->create_only ? "*" : "",
                                    .headers = headers,
                                    .account = options->account};
    struct out out = out_over(md5, sizeof md5);
    object_of(r->batch, &object);
    object_digests(&object, 0, &digests);
    hash_put_base64(&out, (struct slice){digests.md5, sizeof digests.md5});
    out_put_byte(&out, 0);
    state->time_s = server_clock_now_s(sender_clock(azure->base.sender));
    azure_date(state->time_s, date);
    if (options->access_tier) {
        headers[request.header_count++] =
            (struct azure_header){"x-ms-access-tier", options->access_tier};
    }
    headers[request.header_count++] = (struct azure_header){"x-ms-blob-type", "BlockBlob"};
    headers[request.header_count++] = (struct azure_header){"x-ms-date", date};
    headers[request.header_count++] = (struct azure_header){"x-ms-version", AZURE_VERSION};
    r->http.method = request.method;
    r->http.body = object.body;
    request.body_size = object.body.size;
    bool ok = put_url(azure, r, name, &request.path);
    for (size_t i = 0; i < request.header_count; i++) {
        ok = ok && sender_header(r, "%s: %s", headers[i].name, headers[i].value);
    }
    ok = ok && sender_header(r, "Content-MD5: %s", md5) &&
         sender_header(r, "Content-Type: %s", request.content_type);
    if (options->create_only) {
        ok = ok && sender_header(r, "If-None-Match: *");
    }
    return ok && put_authorization(azure, r, &request);
}

static enum err azure_build(void *context, struct sender_request *r, struct send_report *ret)
{
    struct azure_state *state = r->state;
    char name[OBJECT_NAME_SIZE_MAX + 1];
    struct out out = out_over(name, sizeof name);
    struct why why = {""};
    enum err e = object_name_of(r->batch, &out, &why);
    state->code[0] = 0;
    if (!e && !azure_make(context, r, name)) {
        sender_report(ret, SEND_RETRY, 0, "no memory for a request");
        return ERR_NOMEM;
    }
    if (e) {
        sender_report(ret, SEND_PARK, 0, "%s", why.text);
    }
    return e;
}

/* --- answers --- */

static const struct object_code azure_codes[] = {
    {"AuthenticationFailed", OBJECT_CLOCK, "look at key or sas"},
    {"AuthorizationFailure", OBJECT_STOP,
     "look at key or sas, and the network rules of the account"},
    {"AuthorizationPermissionMismatch", OBJECT_STOP, "the sas needs the rights c and w"},
    {"AuthorizationResourceTypeMismatch", OBJECT_STOP, "the sas is for other resources"},
    {"AuthorizationServiceMismatch", OBJECT_STOP, "the sas is for another service"},
    {"AuthorizationProtocolMismatch", OBJECT_STOP, "the sas is for https only"},
    {"UnauthorizedBlobOverwrite", OBJECT_THERE, "the sas needs the right w, or set create_only"},
    {"InsufficientAccountPermissions", OBJECT_STOP, "look at the account's rights"},
    {"KeyBasedAuthenticationNotPermitted", OBJECT_STOP, "the account takes no keys: use a sas"},
    {"AccountIsDisabled", OBJECT_STOP, "look at the account"},
    {"ContainerNotFound", OBJECT_STOP, "make the container, or look at its name"},
    {"ContainerDisabled", OBJECT_STOP, "look at the container"},
    {"BlobImmutableDueToPolicy", OBJECT_STOP, "set create_only"},
    {"LeaseIdMissing", OBJECT_STOP, "somebody holds a lease on the blob"},
    {"Md5Mismatch", OBJECT_REPEAT, "the body was changed on its way"},
    {"InvalidMd5", OBJECT_REPEAT, "the body was changed on its way"},
    {"InvalidOperation", OBJECT_REPEAT, ""},
    {"BlobAlreadyExists", OBJECT_THERE, ""},
    {"BlobArchived", OBJECT_THERE, "what is archived can't be replaced: set create_only"},
    {"ConditionNotMet", OBJECT_THERE, ""},
    {"TargetConditionNotMet", OBJECT_THERE, ""},
    {"RequestBodyTooLarge", OBJECT_HALVE, ""},
    {"ContainerBeingDeleted", OBJECT_WAIT, "the container is being deleted"},
    {"ServerBusy", OBJECT_WAIT, ""},
    {"InternalError", OBJECT_WAIT, ""},
    {"OperationTimedOut", OBJECT_WAIT, ""},
    {"AccountBeingCreated", OBJECT_WAIT, ""},
};

void azure_said_read(struct object_said *ret, const char *code, const struct http_answer *answer)
{
    (void)snprintf(ret->code, sizeof ret->code, "%s", code);
    if (!ret->code[0]) {
        (void)xml_text(answer->body, "Code", ret->code, sizeof ret->code);
    }
    (void)xml_text(answer->body, "Message", ret->message, sizeof ret->message);
    object_said_find(ret, azure_codes, ARRAY_COUNT(azure_codes), answer->status);
}

static enum sender_next azure_act(struct azure *azure, struct sender_request *r,
                                  enum object_action action, struct send_report *ret)
{
    struct azure_state *state = r->state;
    int64_t off_s = server_clock_now_s(sender_clock(azure->base.sender)) - state->time_s;
    switch (action) {
    case OBJECT_WAIT:
        ret->result = SEND_RETRY;
        return SENDER_END;
    case OBJECT_HALVE:
        http_base_refuse(&azure->base, r->batch, SEND_TOO_LARGE, ret);
        return SENDER_END;
    case OBJECT_THERE:
        ret->result = azure->options->create_only ? SEND_OK : SEND_PARK;
        ret->was_duplicate = ret->result == SEND_OK;
        return SENDER_END;
    case OBJECT_CLOCK: /* the answer's Date has been learned */
        if (!state->has_skewed && (off_s > AZURE_SKEW_S || off_s < -AZURE_SKEW_S)) {
            state->has_skewed = true;
            return SENDER_MORE;
        }
        return SENDER_END;
    case OBJECT_REPEAT:
        if (!state->has_repeated) {
            state->has_repeated = true;
            return SENDER_LATER;
        }
        http_base_refuse(&azure->base, r->batch, SEND_REJECTED, ret);
        return SENDER_END;
    case OBJECT_STOP:
    case OBJECT_RENEW:
    case OBJECT_REGION:
    case OBJECT_RESTART:
        break;
    }
    return SENDER_END;
}

static enum sender_next azure_judge(void *context, struct sender_request *r,
                                    const struct http_answer *answer, struct send_report *ret)
{
    const struct azure_state *state = r->state;
    if (answer->status >= 200 && answer->status < 300) {
        ret->result = SEND_OK;
        return SENDER_END;
    }
    struct object_said said;
    azure_said_read(&said, state->code, answer);
    object_say(ret, SEND_PARK, &said, answer->status);
    return azure_act(context, r, said.action, ret);
}

static void azure_header_take(void *context, struct sender_request *r, struct slice name,
                              struct slice value)
{
    struct azure_state *state = r->state;
    (void)context;
    if (object_header_is(name, "x-ms-error-code")) {
        bool kept = slice_to_text(value, state->code, sizeof state->code);
        (void)kept; /* then the body's is taken */
    }
}

/* --- the class --- */

static enum err azure_target(struct uplink *uplink, const struct stream_info *stream,
                             const struct schema_info *schema, struct target *ret, struct why *why)
{
    struct azure *azure = azure_of(uplink);
    (void)schema;
    return object_target(&azure->base, &azure->options->object, stream, ret, why);
}

static enum err azure_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct azure_options *azure = options;
    const struct object_wrapping wrapping = {
        .options = &azure->object, .digests = OBJECT_MD5, .whole_size_max = SIZE_MAX};
    return object_wrap(&wrapping, batch, ret);
}

static const struct sender_service azure_service = {.state_size = sizeof(struct azure_state),
                                                    .answer_size_max = 32 * 1024,
                                                    .build = azure_build,
                                                    .judge = azure_judge,
                                                    .header = azure_header_take};

static void azure_close(struct uplink *uplink)
{
    struct azure *azure = uplink ? azure_of(uplink) : NULL;
    if (azure) {
        http_base_close(&azure->base);
        free(azure);
    }
}

void azure_url_put(const struct azure_options *options, char *ret, size_t ret_size)
{
    if (options->endpoint) {
        (void)snprintf(ret, ret_size, "%s", options->endpoint);
    } else {
        (void)snprintf(ret, ret_size, "https://%s.blob.core.windows.net", options->account);
    }
}

static enum err azure_open(struct uplink **ret, const struct uplink_setup *setup, struct why *why)
{
    struct azure *azure = calloc(1, sizeof *azure);
    if (!azure) {
        return ERR_NOMEM;
    }
    const struct azure_options *options = setup->options;
    azure->options = options;
    azure_url_put(options, azure->url, sizeof azure->url);
    struct out key = out_over(azure->key, sizeof azure->key);
    enum err e =
        options->key && !hash_take_base64(slice_of_text(options->key), &key) ? ERR_CONFIG : ERR_OK;
    azure->key_size = key.size;
    const struct sender_setup sender = {.uplink = setup,
                                        .service = &azure_service,
                                        .context = azure,
                                        .tls = &options->tls,
                                        .timeout_ms = (uint32_t)options->object.timeout_ms};
    e = e ? e : endpoint_parse(azure->url, &azure->endpoint, why);
    e = e ? e : http_base_open(&azure->base, &azure_blob_uplink_class, &sender, why);
    if (e) {
        azure_close(&azure->base.uplink);
        return e;
    }
    *ret = &azure->base.uplink;
    return ERR_OK;
}

const struct uplink_class azure_blob_uplink_class = {
    .type = "azure_blob",
    .help = "Avro container files as block blobs in Azure Blob Storage: each batch is one blob, "
            "under a name that makes a repeated PUT harmless.",
    .options = azure_table,
    .options_size = sizeof(struct azure_options),
    .probe = azure_probe_open,
    .check = azure_options_check,
    .open = azure_open,
    .target = azure_target,
    .place = http_base_place,
    .wrap = azure_wrap,
    .built = object_built,
    .assign = http_base_assign,
    .send = http_base_send,
    .relink = http_base_relink,
    .stop = http_base_stop,
    .close = azure_close,
};
