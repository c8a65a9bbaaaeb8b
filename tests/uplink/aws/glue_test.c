/* The client of AWS Glue's schema registry, against a double that has what real ones are slow or
 * unwilling to show: versions that are pending, that fail, others who are faster, errors. */
#include "tests/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#include "ports/http.h"
#include "ports/names.h"
#include "tests/sim/net.h"
#include "tests/sim/sim.h"
#include "uplink/aws/glue.h"
#include "uplink/layout/framing.h"

#define URL "https://glue.eu-central-1.amazonaws.com/"
#define FIRST \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}"
#define WIDER \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{" \
    "\"name\":\"b\",\"type\":\"long\",\"default\":0}]}"
#define BROKEN \
    "{\"type\":\"record\",\"name\":\"n.R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},{" \
    "\"name\":\"b\",\"type\":\"long\"}]}"
#define VERSION_MAX 200

struct uplink_host {
    unsigned ready_count;
    uint8_t kept[REMOTE_ID_SIZE_MAX];
    size_t kept_size;
    uint32_t kept_schema;
    uint64_t wire_bytes;
};

void uplink_ready(struct uplink_host *host)
{
    host->ready_count++;
}

void uplink_remote_id_set(struct uplink_host *host, uint32_t schema, struct slice id)
{
    assert_true(id.size <= sizeof host->kept);
    memcpy(host->kept, id.data, id.size);
    host->kept_size = id.size;
    host->kept_schema = schema;
}

bool uplink_remote_id(struct uplink_host *host, uint32_t schema, uint8_t *ret_id, size_t *ret_size)
{
    if (host->kept_size == 0 || schema != host->kept_schema) {
        return false;
    }
    memcpy(ret_id, host->kept, host->kept_size);
    *ret_size = host->kept_size;
    return true;
}

void uplink_wire_bytes(struct uplink_host *host, uint64_t sent, uint64_t received)
{
    host->wire_bytes += sent + received;
}

struct version {
    char definition[512]; /* as JSON text */
    const char *status;
};

struct scene {
    struct loop *loop;
    struct names *names;
    struct http *http;
    struct uplink_host host;
    struct glue_options options;
    struct glue *glue;
    struct schema_info schema;
    struct why why;
    uint8_t prefix[GLUE_PREFIX_SIZE];
    /* --- the double --- */
    bool has_registry, has_schema, is_raced;
    const char *compatibility;
    struct version versions[VERSION_MAX];
    unsigned version_count;
    unsigned pending_polls; /* that a new version is looked at */
    const char *new_status; /* what becomes of it */
    const char *error;      /* of the next request, once; NULL: none */
    long error_status;      /* its status */
    const char *error_for;  /* only of this operation; NULL: of any */
    int64_t ahead_s;        /* its clock */
    bool hides_version;     /* number, but to GetSchemaVersion */
    bool checks_time;       /* refuses signatures of another time */
    char log[4096];         /* operations, in order */
    char body[4096], last[2048], authorization[512];
};

static void log_op(struct scene *scene, const char *name)
{
    size_t at = strlen(scene->log);
    (void)snprintf(scene->log + at, sizeof scene->log - at, "%s%s", at ? " " : "", name);
}

static const char *header_of(const struct http_request *request, const char *name)
{
    for (size_t i = 0; i < HTTP_HEADER_MAX && request->headers[i]; i++) {
        if (strncmp(request->headers[i], name, strlen(name)) == 0) {
            return request->headers[i] + strlen(name);
        }
    }
    fail_msg("no header %s", name);
    return NULL;
}

static void put_error(struct scene *scene, struct net_reply *ret, const char *type)
{
    ret->status = strstr(type, "Internal") ? 500 : 400;
    (void)snprintf(scene->body, sizeof scene->body,
                   "{\"__type\":\"com.amazonaws.glue#%s\",\"message\":\"the message of %s\"}", type,
                   type);
}

static void put_version(struct scene *scene, unsigned index, const char *status_name)
{
    struct version *version = &scene->versions[index];
    char definition[1100];
    struct out o = out_over(definition, sizeof definition - 1);
    out_put_json(&o, slice_of_text(version->definition));
    definition[o.size] = '\0';
    if (strcmp(version->status, "PENDING") == 0 && scene->pending_polls-- == 0) {
        version->status = scene->new_status;
    }
    (void)snprintf(scene->body, sizeof scene->body,
                   "{\"SchemaVersionId\":\"94a11363-3b9a-43ef-88c9-7c3a0da8%04x\",\"%s\":\"%s\","
                   "\"SchemaDefinition\":%s,\"VersionNumber\":%u,\"SchemaStatus\":\"AVAILABLE\"}",
                   index + 1, status_name, version->status, definition, index + 1);
}

static void add_version(struct scene *scene, const char *definition, const char *status)
{
    assert_true(scene->version_count < VERSION_MAX);
    struct version *version = &scene->versions[scene->version_count++];
    (void)snprintf(version->definition, sizeof version->definition, "%s", definition);
    version->status = status;
}

/* The schema that the request is about stands in it as a JSON text. */
static bool has_definition(const struct scene *scene, const char *definition)
{
    char text[1100];
    struct out o = out_over(text, sizeof text - 1);
    out_put_text(&o, "\"SchemaDefinition\":");
    out_put_json(&o, slice_of_text(definition));
    text[o.size] = '\0';
    return strstr(scene->last, text) != NULL;
}

static void lookup(struct scene *scene, struct net_reply *ret)
{
    for (unsigned i = 0; i < scene->version_count; i++) {
        if (has_definition(scene, scene->versions[i].definition)) {
            put_version(scene, i, "Status");
            char *number = strstr(scene->body, "VersionNumber");
            if (scene->hides_version && number) {
                number[0] = 'x';
            }
            return;
        }
    }
    put_error(scene, ret, "EntityNotFoundException");
}

static void version_of(struct scene *scene, struct net_reply *ret)
{
    const char *number = strstr(scene->last, "\"VersionNumber\":");
    const char *id = strstr(scene->last, "\"SchemaVersionId\":\"94a11363-3b9a-43ef-88c9-7c3a0da8");
    unsigned long index = number ? strtoul(number + 16, NULL, 10) : 0;
    index = id ? strtoul(id + 19 + 32, NULL, 16) : index;
    if (index == 0 || index > scene->version_count || !scene->versions[index - 1].definition[0]) {
        put_error(scene, ret, "EntityNotFoundException");
    } else {
        put_version(scene, (unsigned)index - 1, "Status");
    }
}

static void take(struct scene *scene, const char *status_name)
{
    add_version(scene, (const char *)scene->schema.json.data,
                scene->pending_polls ? "PENDING" : scene->new_status);
    put_version(scene, scene->version_count - 1, status_name);
}

static void create(struct scene *scene, struct net_reply *ret)
{
    assert_non_null(strstr(scene->last, "\"DataFormat\":\"AVRO\",\"Compatibility\":\"BACKWARD\""));
    if (!scene->has_registry) {
        put_error(scene, ret, "EntityNotFoundException");
    } else if (scene->is_raced) {
        scene->is_raced = false;
        scene->has_schema = true;
        put_error(scene, ret, "AlreadyExistsException");
    } else {
        scene->has_schema = true;
        take(scene, "SchemaVersionStatus");
    }
}

static void answer(void *context, const struct http_request *request, struct net_reply *ret)
{
    struct scene *scene = context;
    const char *op = header_of(request, "X-Amz-Target: AWSGlue.");
    assert_string_equal(header_of(request, "Content-Type: "), "application/x-amz-json-1.1");
    (void)snprintf(scene->last, sizeof scene->last, "%.*s", (int)request->body.size,
                   (const char *)request->body.data);
    (void)snprintf(scene->authorization, sizeof scene->authorization, "%s",
                   header_of(request, "Authorization: "));
    log_op(scene, op);
    ret->status = 200;
    ret->ahead_s = scene->ahead_s;
    bool is_refused = scene->error && (!scene->error_for || strcmp(scene->error_for, op) == 0);
    if (is_refused) {
        put_error(scene, ret, scene->error);
        ret->status = scene->error_status ? scene->error_status : ret->status;
        scene->error = NULL;
    } else if (strcmp(op, "GetSchemaByDefinition") == 0) {
        lookup(scene, ret);
    } else if (strcmp(op, "GetSchemaVersion") == 0) {
        version_of(scene, ret);
    } else if (strcmp(op, "CreateSchema") == 0) {
        create(scene, ret);
    } else if (!scene->has_schema) {
        put_error(scene, ret, "EntityNotFoundException");
    } else if (strcmp(op, "GetSchema") == 0) {
        (void)snprintf(scene->body, sizeof scene->body,
                       "{\"Compatibility\":\"%s\",\"LatestSchemaVersion\":%u}",
                       scene->compatibility, scene->version_count);
    } else {
        assert_string_equal(op, "RegisterSchemaVersion");
        take(scene, "Status");
    }
    ret->body = slice_of_text(scene->body);
}

static void open_it(struct scene *scene)
{
    struct glue_setup setup = {.loop = scene->loop,
                               .names = scene->names,
                               .http = scene->http,
                               .options = &scene->options,
                               .host = &scene->host};
    assert_int_equal(glue_open(&scene->glue, &setup, &scene->why), ERR_OK);
}

static struct scene *begin(const char *schema)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    sim_open(3);
    assert_int_equal(loop_open(&scene->loop), ERR_OK);
    assert_int_equal(names_open(&scene->names, scene->loop), ERR_OK);
    assert_int_equal(http_open(&scene->http, scene->loop, scene->names), ERR_OK);
    scene->options = (struct glue_options){
        .is_set = true,
        .region = "eu-central-1",
        .registry = "r1",
        .compatibility = 2,
        .may_register = true,
        .ask_first = true,
        .credentials = {.is_set = true, .access_key_id = "AKIA1", .secret_access_key = "s"}};
    scene->schema = (struct schema_info){.number = 7, .json = slice_of_text(schema)};
    scene->has_registry = true;
    scene->compatibility = "BACKWARD";
    scene->new_status = "AVAILABLE";
    net_http(URL, answer, scene);
    open_it(scene);
    return scene;
}

static void end(struct scene *scene)
{
    glue_close(scene->glue);
    net_http(URL, NULL, NULL);
    http_close(scene->http);
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
    sim_close();
}

static enum err ask(struct scene *scene)
{
    scene->why = (struct why){""};
    return glue_prefix(scene->glue, "meters", &scene->schema, scene->prefix, &scene->why);
}

static bool has_said(void *context)
{
    return ask(context) != ERR_AGAIN;
}

static void expect_id(struct scene *scene, unsigned index)
{
    uint8_t expected[GLUE_PREFIX_SIZE] = {3,    0,    0x94, 0xa1, 0x13, 0x63, 0x3b, 0x9a, 0x43,
                                          0xef, 0x88, 0xc9, 0x7c, 0x3a, 0x0d, 0xa8, 0,    0};
    expected[17] = (uint8_t)index;
    assert_true(sim_run_until(has_said, scene, 120000));
    if (ask(scene)) {
        fail_msg("%s", scene->why.text);
    }
    assert_memory_equal(scene->prefix, expected, sizeof expected);
    assert_null(glue_fault(scene->glue));
}

static void expect_refusal(struct scene *scene, enum err e, const char *says)
{
    assert_true(sim_run_until(has_said, scene, 200000));
    assert_int_equal(ask(scene), e);
    if (!strstr(scene->why.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->why.text, says);
    }
}

static void looked_up(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->has_schema = true;
    add_version(scene, FIRST, "AVAILABLE");
    assert_int_equal(ask(scene), ERR_AGAIN);
    expect_id(scene, 1);
    assert_string_equal(scene->log, "GetSchemaByDefinition");
    assert_non_null(strstr(scene->last, "{\"SchemaId\":{\"RegistryName\":\"r1\",\"SchemaName\":"
                                        "\"meters\"},\"SchemaDefinition\":\"{\\\"type\\\""));
    assert_non_null(
        strstr(scene->authorization,
               "/eu-central-1/glue/aws4_request, SignedHeaders=content-type;host;x-amz-date;"
               "x-amz-target, Signature="));
    assert_true(scene->host.wire_bytes > 0);
    assert_int_equal(scene->host.ready_count, 1);
    /* The next life needs no registry; another registry is asked. */
    glue_close(scene->glue);
    open_it(scene);
    assert_int_equal(ask(scene), ERR_OK);
    assert_string_equal(scene->log, "GetSchemaByDefinition");
    glue_close(scene->glue);
    scene->options.registry = "r2";
    open_it(scene);
    assert_int_equal(ask(scene), ERR_AGAIN);
    end(scene);
}

/* The scheme's own port is not in what is signed, as it is not in the header Host. */
static void at_its_own_port(void **state)
{
    (void)state;
    static const char *const urls[] = {"https://vpce-1.amazonaws.com/",
                                       "https://vpce-1.amazonaws.com:443/"};
    char signed_as[2][512];
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct scene *scene = begin(FIRST);
        scene->has_schema = true;
        add_version(scene, FIRST, "AVAILABLE");
        glue_close(scene->glue);
        scene->options.url = urls[i];
        net_http(urls[i], answer, scene);
        open_it(scene);
        assert_int_equal(ask(scene), ERR_AGAIN);
        expect_id(scene, 1);
        memcpy(signed_as[i], scene->authorization, sizeof signed_as[i]);
        net_http(urls[i], NULL, NULL);
        end(scene);
    }
    assert_non_null(strstr(signed_as[0], "Signature="));
    assert_string_equal(signed_as[0], signed_as[1]); /* simulated time is the same */
}

/* Rows say their own id; a batch that of all batches, and within that of its rows. */
static void targets(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    struct target target = {.layout = LAYOUT_ROWS};
    scene->options.compression = GLUE_COMPRESSION_ZLIB;
    scene->compatibility = "NONE"; /* the double files all under one name */
    assert_int_equal(glue_target(scene->glue, "meters", &scene->schema, &target, &scene->why),
                     ERR_AGAIN);
    assert_int_equal(target.prefix_size, 0);
    assert_false(target.has_zlib);
    expect_id(scene, 1);
    assert_int_equal(glue_target(scene->glue, "meters", &scene->schema, &target, &scene->why),
                     ERR_OK);
    assert_int_equal(target.prefix_size, GLUE_PREFIX_SIZE);
    assert_memory_equal(target.prefix, scene->prefix, GLUE_PREFIX_SIZE);
    assert_int_equal(target.row_schema_id_size, 0);
    assert_true(target.has_zlib);
    struct target guess = {.layout = LAYOUT_COLUMNS};
    glue_target_guess(&scene->options, &guess);
    assert_int_equal(guess.prefix_size, GLUE_PREFIX_SIZE);
    assert_int_equal(guess.row_schema_id_size, GLUE_ID_SIZE);
    assert_false(guess.has_zlib);
    target = (struct target){.layout = LAYOUT_COLUMNS};
    assert_int_equal(glue_target(scene->glue, "meters", &scene->schema, &target, &scene->why),
                     ERR_AGAIN);
    sim_run_for(10000);
    assert_int_equal(glue_target(scene->glue, "meters", &scene->schema, &target, &scene->why),
                     ERR_OK);
    assert_non_null(strstr(scene->last, "\"SchemaName\":\"weir.columns.Batch\""));
    assert_memory_equal(target.row_schema_id, scene->prefix + 2, GLUE_ID_SIZE);
    assert_int_equal(target.prefix[17], 2);
    assert_false(target.has_zlib);
    end(scene);
}

/* --- as a tool has it --- */

struct tool {
    unsigned told_count;
    struct glue_result result;
};

static void told(void *context, const struct glue_result *result)
{
    struct tool *tool = context;
    tool->told_count++;
    tool->result = *result;
}

static bool has_told(void *context)
{
    return ((struct tool *)context)->told_count > 0;
}

/* What a tool is told about this schema, and what was asked for that. */
static struct glue_result tell(struct scene *scene, bool only_asks, const char *log)
{
    struct tool tool = {.told_count = 0};
    struct glue_setup setup = {.loop = scene->loop,
                               .names = scene->names,
                               .http = scene->http,
                               .options = &scene->options,
                               .context = &tool,
                               .told = told,
                               .only_asks = only_asks};
    glue_close(scene->glue);
    assert_int_equal(glue_open(&scene->glue, &setup, &scene->why), ERR_OK);
    scene->log[0] = '\0';
    assert_int_equal(ask(scene), ERR_AGAIN);
    assert_true(sim_run_until(has_told, &tool, 120000));
    assert_int_equal(tool.told_count, 1);
    assert_string_equal(tool.result.name, "meters");
    assert_string_equal(scene->log, log);
    assert_int_equal(scene->host.ready_count, 0);
    bool is_well = tool.result.end == REGISTRATION_THERE || tool.result.end == REGISTRATION_MADE ||
                   tool.result.end == REGISTRATION_POSSIBLE;
    assert_int_equal(is_well, !tool.result.text[0]);
    return tool.result;
}

static void expect_told(const struct glue_result *result, enum registration_end end,
                        int64_t version)
{
    assert_int_equal(result->end, end);
    assert_int_equal(result->version, version);
    assert_int_equal(result->id[15], version);
}

static void a_tool_is_told(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    struct glue_result result = tell(scene, true, "GetSchemaByDefinition GetSchema");
    expect_told(&result, REGISTRATION_POSSIBLE, 0);
    assert_true(result.is_new);
    result = tell(scene, false, "GetSchemaByDefinition GetSchema CreateSchema");
    expect_told(&result, REGISTRATION_MADE, 1);
    result = tell(scene, true, "GetSchemaByDefinition");
    expect_told(&result, REGISTRATION_THERE, 1);
    scene->schema.json = SLICE(WIDER);
    result = tell(scene, true, "GetSchemaByDefinition GetSchema GetSchemaVersion");
    expect_told(&result, REGISTRATION_POSSIBLE, 0);
    assert_false(result.is_new);
    scene->pending_polls = 2;
    result = tell(scene, false,
                  "GetSchemaByDefinition GetSchema GetSchemaVersion "
                  "RegisterSchemaVersion GetSchemaVersion GetSchemaVersion");
    expect_told(&result, REGISTRATION_MADE, 2);
    scene->schema.json = SLICE(BROKEN);
    scene->compatibility = "BACKWARD_ALL";
    result =
        tell(scene, false, "GetSchemaByDefinition GetSchema GetSchemaVersion GetSchemaVersion");
    expect_told(&result, REGISTRATION_REFUSED, 0);
    assert_non_null(strstr(result.text, "incompatible with version 1 of meters in Glue: "));
    end(scene);
}

/* The real service does not say the number when it looks a definition up. */
static void a_tool_asks_for_the_number(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->has_schema = true;
    scene->hides_version = true;
    add_version(scene, FIRST, "AVAILABLE");
    struct glue_result result = tell(scene, false, "GetSchemaByDefinition GetSchemaVersion");
    expect_told(&result, REGISTRATION_THERE, 1);
    end(scene);
}

static void what_a_tool_can_not_do(void **state)
{
    (void)state;
    static const struct {
        const char *error;
        long status;
        enum registration_end end;
    } cases[] = {{"AccessDeniedException", 400, REGISTRATION_FORBIDDEN},
                 {"UnrecognizedClientException", 400, REGISTRATION_NO_LOGIN},
                 {"InvalidInputException", 400, REGISTRATION_INVALID},
                 {"ThrottlingException", 400, REGISTRATION_LATER},
                 {"InternalServiceException", 500, REGISTRATION_LATER}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = begin(FIRST);
        scene->error = cases[i].error;
        scene->error_status = cases[i].status;
        struct glue_result result = tell(scene, false, "GetSchemaByDefinition");
        expect_told(&result, cases[i].end, 0);
        assert_non_null(strstr(result.text, "the message of "));
        end(scene);
    }
    struct scene *scene = begin(FIRST);
    scene->has_registry = false;
    struct glue_result result = tell(scene, false, "GetSchemaByDefinition GetSchema CreateSchema");
    expect_told(&result, REGISTRATION_NO_REGISTRY, 0);
    end(scene);
}

static void with_framing(void **state)
{
    (void)state;
    struct glue_options none = {.is_set = false};
    struct glue_options glue = {.is_set = true, .region = "eu-central-1", .registry = "r"};
    struct why why = {""};
    for (int framing = FRAMING_AUTO; framing <= FRAMING_JSON; framing++) {
        bool is_registry = framing == FRAMING_REGISTRY;
        assert_int_equal(glue_framing_check(&none, framing, &why), is_registry ? ERR_CONFIG : 0);
        assert_int_equal(glue_framing_check(&glue, framing, &why),
                         is_registry || framing == FRAMING_AUTO ? 0 : ERR_CONFIG);
    }
    assert_int_equal(glue_framing_check(&none, FRAMING_REGISTRY, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "needs a registry: set `glue`"));
    glue.credentials.secret_access_key = "s";
    assert_int_equal(glue_framing_check(&glue, FRAMING_AUTO, &why), ERR_CONFIG);
    assert_non_null(strstr(why.text, "belong together"));
}

static void created(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->options.schema_name = GLUE_TOPIC_RECORD_NAME;
    expect_id(scene, 1);
    assert_string_equal(scene->log, "GetSchemaByDefinition GetSchema CreateSchema");
    assert_non_null(strstr(scene->last, "\"SchemaName\":\"meters-n.R\""));
    end(scene);
    scene = begin(FIRST);
    scene->options.ask_first = false;
    expect_id(scene, 1);
    assert_string_equal(scene->log, "GetSchemaByDefinition RegisterSchemaVersion CreateSchema");
    end(scene);
}

static void made_by_another_meanwhile(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->is_raced = true;
    expect_id(scene, 1);
    assert_string_equal(scene->log,
                        "GetSchemaByDefinition GetSchema CreateSchema RegisterSchemaVersion");
    end(scene);
}

static void registered(void **state)
{
    (void)state;
    struct scene *scene = begin(WIDER);
    scene->has_schema = true;
    add_version(scene, FIRST, "AVAILABLE");
    add_version(scene, BROKEN, "FAILURE"); /* a try that failed does not count */
    add_version(scene, "", "AVAILABLE");   /* one that was deleted neither */
    expect_id(scene, 4);
    assert_string_equal(scene->log, "GetSchemaByDefinition GetSchema GetSchemaVersion "
                                    "GetSchemaVersion GetSchemaVersion RegisterSchemaVersion");
    end(scene);
}

static void incompatible_here(void **state)
{
    (void)state;
    struct scene *scene = begin(BROKEN);
    scene->has_schema = true;
    add_version(scene, FIRST, "AVAILABLE");
    expect_refusal(scene, ERR_REJECTED, "incompatible with version 1 of meters in Glue: ");
    assert_null(strstr(scene->log, "RegisterSchemaVersion"));
    /* It is asked again after a while, and may have been eased. */
    scene->compatibility = "NONE";
    sim_run_for(51000);
    assert_int_equal(ask(scene), ERR_AGAIN);
    expect_id(scene, 2);
    end(scene);
}

/* With "_ALL" each version counts, else the last. */
static void all_versions(void **state)
{
    (void)state;
    static const char *const words[] = {"BACKWARD", "BACKWARD_ALL", "FORWARD_ALL", "DISABLED"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        struct scene *scene = begin(BROKEN);
        scene->has_schema = true;
        scene->compatibility = words[i];
        add_version(scene, FIRST, "AVAILABLE");
        add_version(scene, WIDER, "AVAILABLE");
        if (i == 1) {
            expect_refusal(scene, ERR_REJECTED, "incompatible with version 1");
        } else {
            expect_id(scene, 3);
        }
        end(scene);
    }
}

/* Very many versions are Glue's own matter. */
static void a_long_history(void **state)
{
    (void)state;
    struct scene *scene = begin(WIDER);
    scene->has_schema = true;
    scene->compatibility = "FULL_ALL";
    for (unsigned i = 0; i < 150; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "{\"type\":\"record\",\"name\":\"n.R\",\"doc\":\"%u\",\"fields\":[{\"name\":"
                       "\"a\",\"type\":\"long\"}]}",
                       i);
        add_version(scene, text, "AVAILABLE");
    }
    expect_id(scene, 151);
    end(scene);
}

static void pending(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->pending_polls = 5;
    expect_id(scene, 1);
    assert_non_null(strstr(scene->log, "CreateSchema GetSchemaVersion GetSchemaVersion"));
    assert_non_null(
        strstr(scene->last, "{\"SchemaVersionId\":\"94a11363-3b9a-43ef-88c9-7c3a0da80001\"}"));
    end(scene);
    scene = begin(WIDER);
    scene->has_schema = true;
    add_version(scene, FIRST, "AVAILABLE");
    scene->pending_polls = 3;
    scene->new_status = "FAILURE";
    expect_refusal(scene, ERR_REJECTED, "it finds the schema incompatible with the versions");
    end(scene);
    /* For ever: told, and tried again. */
    scene = begin(FIRST);
    scene->pending_polls = 1000000;
    assert_int_equal(ask(scene), ERR_AGAIN);
    sim_run_for(150000);
    assert_int_equal(ask(scene), ERR_AGAIN);
    assert_non_null(strstr(glue_fault(scene->glue)->text, "still being looked at"));
    scene->pending_polls = 0;
    expect_id(scene, 1);
    end(scene);
}

static void only_looked_up(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->options.may_register = false;
    expect_refusal(scene, ERR_REJECTED,
                   "is not registered: register it there (weir schema register), or set");
    assert_string_equal(scene->log, "GetSchemaByDefinition");
    end(scene);
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *error, *error_for, *says;
        enum err e; /* ERR_AGAIN: tried again, and then it is well */
        long status;
    } cases[] = {
        {"AccessDeniedException", NULL, "credentials are refused", ERR_CONFIG, 0},
        {"UnrecognizedClientException", NULL, "the message of Unrec", ERR_CONFIG, 0},
        {"InvalidSignatureException", NULL, "and the clock", ERR_CONFIG, 0},
        {"ExpiredTokenException", NULL, "credentials are refused", ERR_CONFIG, 0},
        {"Forbidden", NULL, "credentials are refused", ERR_CONFIG, 403},
        {"InvalidInputException", "CreateSchema", "does not take the schema", ERR_REJECTED, 0},
        {"ResourceNumberLimitExceededException", "CreateSchema", "does not take", ERR_REJECTED, 0},
        {"ConcurrentModificationException", NULL, "", ERR_AGAIN, 0},
        {"ThrottlingException", NULL, "", ERR_AGAIN, 0},
        {"InternalServiceException", NULL, "", ERR_AGAIN, 0},
        {"Strange", NULL, "", ERR_AGAIN, 503},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct scene *scene = begin(FIRST);
        scene->error = cases[i].error;
        scene->error_for = cases[i].error_for;
        scene->error_status = cases[i].status;
        if (cases[i].e == ERR_AGAIN) {
            assert_int_equal(ask(scene), ERR_AGAIN);
            sim_run_for(300);
            assert_int_equal(ask(scene), ERR_AGAIN);
            assert_non_null(glue_fault(scene->glue));
            expect_id(scene, 1);
        } else {
            expect_refusal(scene, cases[i].e, cases[i].says);
        }
        end(scene);
    }
    struct scene *scene = begin(FIRST);
    scene->has_registry = false;
    expect_refusal(scene, ERR_CONFIG, "there is no such registry");
    end(scene);
    scene = begin(FIRST);
    net_http(URL, NULL, NULL);
    assert_int_equal(ask(scene), ERR_AGAIN);
    sim_run_for(10000);
    assert_non_null(strstr(glue_fault(scene->glue)->text, "no answer from Glue at " URL));
    net_http(URL, answer, scene);
    expect_id(scene, 1);
    end(scene);
}

/* A wrong clock is set right by the answer that complains of it. */
static void a_wrong_clock(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    scene->ahead_s = 86400;
    scene->error = "InvalidSignatureException";
    expect_id(scene, 1);
    assert_non_null(strstr(scene->log, "GetSchemaByDefinition GetSchemaByDefinition GetSchema"));
    assert_non_null(strstr(scene->authorization, "Credential=AKIA1/20260102/"));
    end(scene);
}

static void many_schemas(void **state)
{
    (void)state;
    struct scene *scene = begin(FIRST);
    struct schema_info info = scene->schema;
    for (uint32_t i = 1; i <= 20; i++) {
        info.number = 100 + i;
        assert_int_equal(glue_prefix(scene->glue, "meters", &info, scene->prefix, &scene->why),
                         ERR_AGAIN);
    }
    for (uint32_t i = 1; i <= 20; i++) {
        scene->schema.number = 100 + i;
        expect_id(scene, 1);
    }
    assert_int_equal(glue_prefix(scene->glue, NULL, &info, scene->prefix, &scene->why), ERR_OK);
    end(scene);
}

static void schemas_that_are_no_use(void **state)
{
    (void)state;
    static char text[GLUE_DEFINITION_MAX + 2];
    struct scene *scene = begin(FIRST);
    memset(text, ' ', sizeof text - 1);
    scene->schema.json = slice_of_text(text);
    assert_int_equal(ask(scene), ERR_REJECTED);
    assert_non_null(strstr(scene->why.text, "too long"));
    scene->schema.json = SLICE("\"long\"");
    scene->options.schema_name = GLUE_RECORD_NAME;
    assert_int_equal(ask(scene), ERR_REJECTED);
    assert_non_null(strstr(scene->why.text, "has no name"));
    assert_string_equal(scene->log, "");
    end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looked_up),
        cmocka_unit_test(at_its_own_port),
        cmocka_unit_test(targets),
        cmocka_unit_test(with_framing),
        cmocka_unit_test(a_tool_is_told),
        cmocka_unit_test(a_tool_asks_for_the_number),
        cmocka_unit_test(what_a_tool_can_not_do),
        cmocka_unit_test(created),
        cmocka_unit_test(made_by_another_meanwhile),
        cmocka_unit_test(registered),
        cmocka_unit_test(incompatible_here),
        cmocka_unit_test(all_versions),
        cmocka_unit_test(a_long_history),
        cmocka_unit_test(pending),
        cmocka_unit_test(only_looked_up),
        cmocka_unit_test(errors),
        cmocka_unit_test(a_wrong_clock),
        cmocka_unit_test(many_schemas),
        cmocka_unit_test(schemas_that_are_no_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
