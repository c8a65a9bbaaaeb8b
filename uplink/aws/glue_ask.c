#include <assert.h>
#include <stdlib.h>

#include "uplink/aws/glue_impl.h"

#define REQUEST_TIMEOUT_MS 20000
#define ANSWER_SIZE_MAX (1024 * 1024) /* it may repeat the schema */
#define BODY_SIZE_AROUND 4096
#define CONTENT_TYPE "application/x-amz-json-1.1"

static const char *target_of(enum glue_step step)
{
    switch (step) {
    case GLUE_LOOK:
        return "AWSGlue.GetSchemaByDefinition";
    case GLUE_ASK:
        return "AWSGlue.GetSchema";
    case GLUE_REGISTER:
        return "AWSGlue.RegisterSchemaVersion";
    case GLUE_CREATE:
        return "AWSGlue.CreateSchema";
    case GLUE_HISTORY:
    case GLUE_POLL:
        break;
    }
    return "AWSGlue.GetSchemaVersion";
}

void glue_id_put(const uint8_t id[GLUE_ID_SIZE], struct out *ret)
{
    for (size_t i = 0; i < GLUE_ID_SIZE; i++) {
        out_put_format(ret, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    }
}

static void put_text(struct out *o, const char *before, const char *text)
{
    out_put_text(o, before);
    out_put_json(o, slice_of_text(text));
}

static void put_body(struct out *o, const struct glue *glue, enum glue_step step)
{
    const struct glue_options *options = glue->setup.options;
    bool has_definition = step == GLUE_LOOK || step == GLUE_REGISTER || step == GLUE_CREATE;
    if (step == GLUE_POLL) {
        out_put_text(o, "{\"SchemaVersionId\":\"");
        glue_id_put(glue->id, o);
        out_put_text(o, "\"}");
        return;
    }
    if (step == GLUE_CREATE) {
        put_text(o, "{\"RegistryId\":{\"RegistryName\":", options->registry);
        put_text(o, "},\"DataFormat\":\"AVRO\",\"Compatibility\":",
                 glue_compatibility_words[options->compatibility]);
        put_text(o, ",\"SchemaName\":", glue->asked->name);
    } else {
        put_text(o, "{\"SchemaId\":{\"RegistryName\":", options->registry);
        put_text(o, ",\"SchemaName\":", glue->asked->name);
        out_put_text(o, "}");
    }
    if (step == GLUE_HISTORY) {
        out_put_format(o, ",\"SchemaVersionNumber\":{\"VersionNumber\":%lld}",
                       (long long)glue->version);
    }
    if (has_definition) {
        out_put_text(o, ",\"SchemaDefinition\":");
        out_put_json(o, glue->asked->json);
    }
    out_put_text(o, "}");
}

static void request_done(struct http_request *request, const struct http_answer *answer)
{
    struct glue *glue = CONTAINER_OF(request, struct glue, request);
    glue->is_open = false;
    free(glue->body);
    glue->body = NULL;
    if (glue->setup.host) {
        uplink_wire_bytes(glue->setup.host, answer->wire_sent, answer->wire_received);
    }
    glue_answered(glue, answer, server_clock_learn(&glue->clock, answer->date_s));
}

static const char *put_header(struct out *o, const char *name, struct slice value)
{
    const char *begin = (const char *)o->data + o->size;
    out_put_text(o, name);
    out_put_slice(o, value);
    out_put_byte(o, 0);
    return begin;
}

/* The headers, signed. False: there is no room. */
static bool put_headers(struct glue *glue, enum glue_step step, struct slice body,
                        const struct aws_credentials *with)
{
    const char *path;
    struct slice host = sigv4_host(glue->url, &path);
    char hash[SIGV4_HASH_SIZE], date[SIGV4_DATE_SIZE];
    struct sigv4_header headers[] = {{"Content-Type", SLICE(CONTENT_TYPE)},
                                     {"X-Amz-Target", slice_of_text(target_of(step))}};
    struct sigv4_request sign = {.method = "POST",
                                 .host = host,
                                 .path = slice_of_text(path),
                                 .headers = headers,
                                 .header_count = ARRAY_COUNT(headers),
                                 .body_hash = hash,
                                 .region = glue->region,
                                 .service = "glue",
                                 .time_s = server_clock_now_s(&glue->clock)};
    const char **to = glue->request.headers;
    struct out text = out_over(glue->text, sizeof glue->text);
    sigv4_hash(body, hash);
    sigv4_date(sign.time_s, date);
    *to++ = "Content-Type: " CONTENT_TYPE;
    *to++ = put_header(&text, "X-Amz-Target: ", headers[1].value);
    *to++ = put_header(&text, "X-Amz-Date: ", slice_of_text(date));
    if (with->session_token) {
        *to++ = put_header(&text, "X-Amz-Security-Token: ", slice_of_text(with->session_token));
    }
    *to++ = (const char *)text.data + text.size;
    out_put_text(&text, "Authorization: ");
    sigv4_sign(&sign, with, &text);
    out_put_byte(&text, 0);
    return !text.overflow;
}

static enum err request_begin(struct glue *glue, enum glue_step step,
                              const struct aws_credentials *with)
{
    const struct glue_options *options = glue->setup.options;
    size_t size = 6 * glue->asked->json.size + BODY_SIZE_AROUND; /* JSON makes six bytes of one */
    glue->body = malloc(size);
    if (!glue->body) {
        return ERR_NOMEM;
    }
    struct out body = out_over(glue->body, size);
    put_body(&body, glue, step);
    assert(!body.overflow); /* names are bounded */
    glue->request = (struct http_request){.method = "POST",
                                          .url = glue->url,
                                          .body = out_slice(&body),
                                          .tls = options->tls.is_set ? &options->tls : NULL,
                                          .timeout_ms = REQUEST_TIMEOUT_MS,
                                          .answer_size_max = ANSWER_SIZE_MAX,
                                          .done = request_done};
    glue->credentials_number = with->number;
    if (!put_headers(glue, step, glue->request.body, with)) {
        return ERR_FULL;
    }
    return http_send(glue->setup.http, &glue->request);
}

void glue_ask(struct glue *glue, enum glue_step step)
{
    struct aws_credentials with;
    assert(glue->asked && !glue->is_open);
    glue->step = step;
    enum err e = credentials_get(glue->credentials, &with);
    if (e && !glue->has_credential_fault) {
        return; /* credentials_changed() follows */
    }
    if (e) {
        glue->asked->why = glue->credential_fault;
        glue_later(glue, 0);
        return;
    }
    e = request_begin(glue, step, &with);
    glue->is_open = e == ERR_OK;
    if (e) {
        free(glue->body);
        glue->body = NULL;
        why_set(&glue->asked->why, "no request to Glue could be begun: %s", err_name(e));
        glue_later(glue, 0);
    }
}
