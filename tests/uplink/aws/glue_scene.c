#include "tests/uplink/aws/glue_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void scene_add_version(struct scene *scene, const char *definition, const char *status)
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
    scene_add_version(scene, (const char *)scene->schema.json.data,
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

void scene_answer(void *context, const struct http_request *request, struct net_reply *ret)
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

void scene_open(struct scene *scene)
{
    struct glue_setup setup = {.loop = scene->loop,
                               .names = scene->names,
                               .http = scene->http,
                               .options = &scene->options,
                               .host = &scene->host};
    assert_int_equal(glue_open(&scene->glue, &setup, &scene->why), ERR_OK);
}

struct scene *scene_begin(const char *schema)
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
    net_http(GLUE_URL, scene_answer, scene);
    scene_open(scene);
    return scene;
}

void scene_end(struct scene *scene)
{
    glue_close(scene->glue);
    net_http(GLUE_URL, NULL, NULL);
    http_close(scene->http);
    names_close(scene->names);
    loop_close(scene->loop);
    free(scene);
    sim_close();
}

enum err scene_ask(struct scene *scene)
{
    scene->why = (struct why){""};
    return glue_prefix(scene->glue, "meters", &scene->schema, scene->prefix, &scene->why);
}

static bool has_said(void *context)
{
    return scene_ask(context) != ERR_AGAIN;
}

void expect_id(struct scene *scene, unsigned index)
{
    uint8_t expected[GLUE_PREFIX_SIZE] = {3,    0,    0x94, 0xa1, 0x13, 0x63, 0x3b, 0x9a, 0x43,
                                          0xef, 0x88, 0xc9, 0x7c, 0x3a, 0x0d, 0xa8, 0,    0};
    expected[17] = (uint8_t)index;
    assert_true(sim_run_until(has_said, scene, 120000));
    if (scene_ask(scene)) {
        fail_msg("%s", scene->why.text);
    }
    assert_memory_equal(scene->prefix, expected, sizeof expected);
    assert_null(glue_fault(scene->glue));
}

void expect_refusal(struct scene *scene, enum err e, const char *says)
{
    assert_true(sim_run_until(has_said, scene, 200000));
    assert_int_equal(scene_ask(scene), e);
    if (!strstr(scene->why.text, says)) {
        fail_msg("\"%s\" does not say \"%s\"", scene->why.text, says);
    }
}
