#include "uplink/aws/glue_probe.h"

#include <stdio.h>
#include <stdlib.h>

#include "uplink/aws/aws_probe.h"
#include "uplink/aws/glue_impl.h"
#include "uplink/registry/registry.h"

#define BODY_SIZE_AROUND 4096

enum step {
    STEP_LOOK,    /* GetSchemaByDefinition */
    STEP_SCHEMA,  /* GetSchema: is there one of the name? */
    STEP_VERSION, /* GetSchemaVersion, the last one: would ours be taken behind it? */
    STEP_REGISTRY /* GetRegistry: would a schema be made? */
};

struct glue_probe {
    struct aws_probe aws;
    struct glue_probe_setup setup;
    enum step step;
    uint8_t *body;
    enum avro_mode mode; /* of the schema that is there */
    bool wants_all;
    int64_t version;
};

static struct glue_probe *probe_of(const struct service_probe *base)
{
    struct aws_probe *aws =
        CONTAINER_OF((struct service_probe *)(uintptr_t)base, struct aws_probe, base);
    return CONTAINER_OF(aws, struct glue_probe, aws);
}

/* --- questions --- */

/* The name of the stream's schema there. */
static enum err probe_name(const struct service_probe *base, const struct probe_stream *stream,
                           struct out *ret, struct why *why)
{
    const struct glue_probe *p = probe_of(base);
    enum glue_name kind = (enum glue_name)p->setup.options->schema_name;
    char topic[TARGET_NAME_SIZE_MAX];
    enum err e = p->setup.topic(&base->setup, stream, topic, why);
    if (e || !topic[0]) {
        return e;
    }
    if (kind == GLUE_TOPIC_NAME) {
        out_put_text(ret, topic);
        return ERR_OK;
    }
    e = registry_subject_put(kind == GLUE_RECORD_NAME ? REGISTRY_RECORD_NAME
                                                      : REGISTRY_TOPIC_RECORD_NAME,
                             topic, stream->schema->json, ret);
    if (e) {
        why_set(why, "the schema has no name to file it under in Glue");
    }
    return e;
}

static const char *target_of(enum step step)
{
    switch (step) {
    case STEP_LOOK:
        return "AWSGlue.GetSchemaByDefinition";
    case STEP_SCHEMA:
        return "AWSGlue.GetSchema";
    case STEP_VERSION:
        return "AWSGlue.GetSchemaVersion";
    case STEP_REGISTRY:
        break;
    }
    return "AWSGlue.GetRegistry";
}

static void put_body(const struct glue_probe *p, struct out *o)
{
    if (p->step == STEP_REGISTRY) {
        out_put_text(o, "{\"RegistryId\":{\"RegistryName\":");
        out_put_json(o, slice_of_text(p->setup.options->registry));
        out_put_text(o, "}}");
        return;
    }
    out_put_text(o, "{\"SchemaId\":{\"RegistryName\":");
    out_put_json(o, slice_of_text(p->setup.options->registry));
    out_put_text(o, ",\"SchemaName\":");
    out_put_json(o, slice_of_text(p->aws.base.name));
    out_put_text(o, "}");
    if (p->step == STEP_VERSION) {
        out_put_format(o, ",\"SchemaVersionNumber\":{\"VersionNumber\":%lld}",
                       (long long)p->version);
    } else if (p->step == STEP_LOOK) {
        out_put_text(o, ",\"SchemaDefinition\":");
        out_put_json(o, p->aws.base.stream->schema->json);
    }
    out_put_text(o, "}");
}

static enum err probe_ask(struct service_probe *base, struct http_request *ret)
{
    struct glue_probe *p = probe_of(base);
    size_t json = base->stream->schema->json.size;
    size_t size = 6 * json + BODY_SIZE_AROUND + 6 * strlen(base->name); /* as JSON makes it */
    free(p->body);
    p->body = malloc(size);
    if (!p->body) {
        return ERR_NOMEM;
    }
    struct out body = out_over(p->body, size);
    put_body(p, &body);
    const struct aws_probe_call call = {.method = "POST",
                                        .host = "",
                                        .path = "/",
                                        .query = "",
                                        .target = target_of(p->step),
                                        .body = out_slice(&body)};
    return body.overflow ? ERR_FULL : aws_probe_request(&p->aws, &call, ret);
}

/* --- answers --- */

static enum service_probe_next ask_next(struct glue_probe *p, enum step step)
{
    p->step = step;
    return SERVICE_PROBE_MORE;
}

static enum service_probe_next tell(struct glue_probe *p, enum probe_level level, const char *text)
{
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "schema %.300s", p->aws.base.name);
    service_probe_found(&p->aws.base, level, "", what, "%s", text);
    p->step = STEP_LOOK;
    return SERVICE_PROBE_NEXT;
}

/* It is not there, and nothing that is there stands in its way. */
static enum service_probe_next tell_new(struct glue_probe *p, const char *text)
{
    return p->setup.options->may_register
               ? tell(p, PROBE_OK, text)
               : tell(p, PROBE_ERROR,
                      "it is not registered: register it there, or set glue.register to true");
}

static enum service_probe_next looked(struct glue_probe *p, const struct glue_answer *answer)
{
    switch (answer->status) {
    case GLUE_FAILURE:
        return tell(p, PROBE_ERROR,
                    "Glue has refused it as incompatible: mend the schema, or ease the "
                    "compatibility there and delete that version");
    case GLUE_PENDING:
        return tell(p, PROBE_WARNING, "Glue is still looking at it: ask again later");
    case GLUE_DELETING:
        return tell(p, PROBE_WARNING, "it is being deleted there: ask again later");
    case GLUE_AVAILABLE:
    case GLUE_UNKNOWN:
        break;
    }
    return tell(p, PROBE_OK, "it has the schema");
}

static enum service_probe_next schema_is_there(struct glue_probe *p,
                                               const struct glue_answer *answer)
{
    p->version = answer->latest;
    if (p->setup.options->may_register && p->version >= 1 &&
        glue_mode_of(answer->compatibility, &p->mode, &p->wants_all)) {
        return ask_next(p, STEP_VERSION);
    }
    return tell_new(p, "it has other versions, and Glue decides when the first event is sent: by "
                       "the schema's compatibility there nothing can be compared");
}

static enum service_probe_next version_is_there(struct glue_probe *p,
                                                const struct glue_answer *answer)
{
    struct avro_schema *schema = NULL;
    struct why why;
    char text[400] = "", sentence[480];
    if (!avro_schema_parse(&schema, p->aws.base.stream->schema->json, &why) &&
        answer->definition.size > 0) {
        glue_compare(schema, p->mode, answer->definition, text, sizeof text);
    }
    avro_schema_close(schema);
    if (text[0]) {
        (void)snprintf(sentence, sizeof sentence, "incompatible with version %lld in Glue: %s",
                       (long long)p->version, text);
        return tell(p, PROBE_ERROR, sentence);
    }
    return tell_new(p, p->wants_all
                           ? "it has other versions, and the schema is compatible with the last; "
                             "with the others it is compared, and registered, when the first event "
                             "is sent"
                           : "it has other versions, and the schema is compatible: registered when "
                             "the first event is sent");
}

static enum service_probe_next not_there(struct glue_probe *p)
{
    switch (p->step) {
    case STEP_LOOK:
        return ask_next(p, STEP_SCHEMA);
    case STEP_SCHEMA:
        return ask_next(p, STEP_REGISTRY);
    case STEP_VERSION: /* deleted: then Glue decides */
        return tell_new(p, "it has other versions, and Glue decides when the first event is sent");
    case STEP_REGISTRY:
        break;
    }
    service_probe_found(&p->aws.base, PROBE_ERROR, "registry", p->setup.options->registry,
                        "there is no such registry: make it, or look at the name and the region "
                        "(%s)",
                        p->aws.region);
    return SERVICE_PROBE_OVER;
}

static enum service_probe_next refused(struct glue_probe *p, const struct http_answer *http)
{
    struct aws_error error;
    enum service_probe_next next;
    char what[PROBE_WHAT_SIZE];
    (void)snprintf(what, sizeof what, "schema %.300s", p->aws.base.name);
    if (aws_probe_refused(&p->aws, http, &error, &next)) {
        return next;
    }
    if (strcmp(error.type, "EntityNotFoundException") == 0) {
        return not_there(p);
    }
    if (aws_probe_is_denied(&error) && p->step == STEP_REGISTRY) {
        return tell_new(p, "it is not there yet: made when the first event is sent. Whether the "
                           "registry is there may not be asked (glue:GetRegistry)");
    }
    if (aws_probe_is_denied(&error)) {
        service_probe_found(&p->aws.base, PROBE_ERROR, "credentials", what,
                            "%s: they may not do %s: the rights are in uplink/aws/GLUE.md",
                            error.type, target_of(p->step) + strlen("AWSGlue."));
        return SERVICE_PROBE_OVER;
    }
    aws_probe_found(&p->aws, what, http, &error);
    p->step = STEP_LOOK;
    return SERVICE_PROBE_NEXT;
}

static enum service_probe_next probe_judge(struct service_probe *base,
                                           const struct http_answer *http)
{
    struct glue_probe *p = probe_of(base);
    struct glue_answer answer;
    enum service_probe_next next = SERVICE_PROBE_OVER;
    if (http->status != 200) {
        return refused(p, http);
    }
    uint8_t *memory = malloc(http->body.size + 1);
    if (!memory) {
        (void)tell(p, PROBE_ERROR, "no memory for the answer");
        return SERVICE_PROBE_OVER;
    }
    struct out scratch = out_over(memory, http->body.size + 1);
    glue_answer_parse(http->body, &scratch, &answer);
    switch (p->step) {
    case STEP_LOOK:
        next = looked(p, &answer);
        break;
    case STEP_SCHEMA:
        next = schema_is_there(p, &answer);
        break;
    case STEP_VERSION:
        next = version_is_there(p, &answer);
        break;
    case STEP_REGISTRY:
        next = tell_new(p, "it is not there yet: made when the first event is sent");
        break;
    }
    free(memory);
    return next;
}

/* --- life --- */

static void probe_free(struct service_probe *base)
{
    struct glue_probe *p = probe_of(base);
    aws_probe_release(&p->aws);
    free(p->body);
    free(p);
}

static const struct service_probe_class probe_class = {.name = probe_name,
                                                       .ask = probe_ask,
                                                       .judge = probe_judge,
                                                       .header = aws_probe_header,
                                                       .free = probe_free};

enum err glue_probe_open(struct glue_probe **ret, const struct glue_probe_setup *setup)
{
    const struct glue_options *options = setup->options;
    struct glue_probe *p = calloc(1, sizeof *p);
    if (!p) {
        return ERR_NOMEM;
    }
    p->setup = *setup;
    p->aws.region = credentials_region(options->region);
    p->aws.service = "glue";
    p->aws.options = &options->credentials;
    aws_probe_url(&p->aws, options->url);
    p->aws.base.class_ = &probe_class;
    p->aws.base.owner = setup->probe;
    p->aws.base.service = "Glue";
    p->aws.base.endpoint = p->aws.url;
    p->aws.base.prefix = "glue.";
    p->aws.base.endpoint_option = "url";
    p->aws.base.name_option = "";
    p->aws.base.tls = &options->tls;
    p->aws.base.context = setup->context;
    p->aws.base.done = setup->done;
    enum err e = aws_probe_open(&p->aws);
    if (e) {
        glue_probe_close(p);
        return e;
    }
    *ret = p;
    return ERR_OK;
}

bool glue_probe_has_said_time(const struct glue_probe *probe)
{
    return probe && probe->aws.base.has_said_time;
}

void glue_probe_close(struct glue_probe *probe)
{
    if (probe) {
        probe->aws.base.probe.close(&probe->aws.base.probe);
    }
}
