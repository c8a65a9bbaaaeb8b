/* The client of AWS Glue's schema registry, against a double that has what real ones are slow or
 * unwilling to show: versions that are pending, that fail, others who are faster, errors. */
#include "tests/uplink/aws/glue_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/layout/framing.h"

static void looked_up(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->has_schema = true;
    scene_add_version(scene, FIRST, "AVAILABLE");
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
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
    scene_open(scene);
    assert_int_equal(scene_ask(scene), ERR_OK);
    assert_string_equal(scene->log, "GetSchemaByDefinition");
    glue_close(scene->glue);
    scene->options.registry = "r2";
    scene_open(scene);
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
    scene_end(scene);
}

/* The scheme's own port is not in what is signed, as it is not in the header Host. */
static void at_its_own_port(void **state)
{
    (void)state;
    static const char *const urls[] = {"https://vpce-1.amazonaws.com/",
                                       "https://vpce-1.amazonaws.com:443/"};
    char signed_as[2][512];
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct scene *scene = scene_begin(FIRST);
        scene->has_schema = true;
        scene_add_version(scene, FIRST, "AVAILABLE");
        glue_close(scene->glue);
        scene->options.url = urls[i];
        net_http(urls[i], scene_answer, scene);
        scene_open(scene);
        assert_int_equal(scene_ask(scene), ERR_AGAIN);
        expect_id(scene, 1);
        memcpy(signed_as[i], scene->authorization, sizeof signed_as[i]);
        net_http(urls[i], NULL, NULL);
        scene_end(scene);
    }
    assert_non_null(strstr(signed_as[0], "Signature="));
    assert_string_equal(signed_as[0], signed_as[1]); /* simulated time is the same */
}

/* Rows say their own id; a batch that of all batches, and within that of its rows. */
static void targets(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
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
    scene_end(scene);
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
    struct scene *scene = scene_begin(FIRST);
    scene->options.schema_name = GLUE_TOPIC_RECORD_NAME;
    expect_id(scene, 1);
    assert_string_equal(scene->log, "GetSchemaByDefinition GetSchema CreateSchema");
    assert_non_null(strstr(scene->last, "\"SchemaName\":\"meters-n.R\""));
    scene_end(scene);
    scene = scene_begin(FIRST);
    scene->options.ask_first = false;
    expect_id(scene, 1);
    assert_string_equal(scene->log, "GetSchemaByDefinition RegisterSchemaVersion CreateSchema");
    scene_end(scene);
}

static void made_by_another_meanwhile(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->is_raced = true;
    expect_id(scene, 1);
    assert_string_equal(scene->log,
                        "GetSchemaByDefinition GetSchema CreateSchema RegisterSchemaVersion");
    scene_end(scene);
}

static void registered(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(WIDER);
    scene->has_schema = true;
    scene_add_version(scene, FIRST, "AVAILABLE");
    scene_add_version(scene, BROKEN, "FAILURE"); /* a try that failed does not count */
    scene_add_version(scene, "", "AVAILABLE");   /* one that was deleted neither */
    expect_id(scene, 4);
    assert_string_equal(scene->log, "GetSchemaByDefinition GetSchema GetSchemaVersion "
                                    "GetSchemaVersion GetSchemaVersion RegisterSchemaVersion");
    scene_end(scene);
}

static void incompatible_here(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(BROKEN);
    scene->has_schema = true;
    scene_add_version(scene, FIRST, "AVAILABLE");
    expect_refusal(scene, ERR_REJECTED, "incompatible with version 1 of meters in Glue: ");
    assert_null(strstr(scene->log, "RegisterSchemaVersion"));
    /* It is asked again after a while, and may have been eased. */
    scene->compatibility = "NONE";
    sim_run_for(51000);
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
    expect_id(scene, 2);
    scene_end(scene);
}

/* With "_ALL" each version counts, else the last. */
static void all_versions(void **state)
{
    (void)state;
    static const char *const words[] = {"BACKWARD", "BACKWARD_ALL", "FORWARD_ALL", "DISABLED"};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        struct scene *scene = scene_begin(BROKEN);
        scene->has_schema = true;
        scene->compatibility = words[i];
        scene_add_version(scene, FIRST, "AVAILABLE");
        scene_add_version(scene, WIDER, "AVAILABLE");
        if (i == 1) {
            expect_refusal(scene, ERR_REJECTED, "incompatible with version 1");
        } else {
            expect_id(scene, 3);
        }
        scene_end(scene);
    }
}

/* Very many versions are Glue's own matter. */
static void a_long_history(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(WIDER);
    scene->has_schema = true;
    scene->compatibility = "FULL_ALL";
    for (unsigned i = 0; i < 150; i++) {
        char text[512];
        (void)snprintf(text, sizeof text,
                       "{\"type\":\"record\",\"name\":\"n.R\",\"doc\":\"%u\",\"fields\":[{\"name\":"
                       "\"a\",\"type\":\"long\"}]}",
                       i);
        scene_add_version(scene, text, "AVAILABLE");
    }
    expect_id(scene, 151);
    scene_end(scene);
}

static void pending(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->pending_polls = 5;
    expect_id(scene, 1);
    assert_non_null(strstr(scene->log, "CreateSchema GetSchemaVersion GetSchemaVersion"));
    assert_non_null(
        strstr(scene->last, "{\"SchemaVersionId\":\"94a11363-3b9a-43ef-88c9-7c3a0da80001\"}"));
    scene_end(scene);
    scene = scene_begin(WIDER);
    scene->has_schema = true;
    scene_add_version(scene, FIRST, "AVAILABLE");
    scene->pending_polls = 3;
    scene->new_status = "FAILURE";
    expect_refusal(scene, ERR_REJECTED, "it finds the schema incompatible with the versions");
    scene_end(scene);
    /* For ever: told, and tried again. */
    scene = scene_begin(FIRST);
    scene->pending_polls = 1000000;
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
    sim_run_for(150000);
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
    assert_non_null(strstr(glue_fault(scene->glue)->text, "still being looked at"));
    scene->pending_polls = 0;
    expect_id(scene, 1);
    scene_end(scene);
}

static void only_looked_up(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->options.may_register = false;
    expect_refusal(scene, ERR_REJECTED,
                   "is not registered: register it there (weir schema register), or set");
    assert_string_equal(scene->log, "GetSchemaByDefinition");
    scene_end(scene);
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
        struct scene *scene = scene_begin(FIRST);
        scene->error = cases[i].error;
        scene->error_for = cases[i].error_for;
        scene->error_status = cases[i].status;
        if (cases[i].e == ERR_AGAIN) {
            assert_int_equal(scene_ask(scene), ERR_AGAIN);
            sim_run_for(300);
            assert_int_equal(scene_ask(scene), ERR_AGAIN);
            assert_non_null(glue_fault(scene->glue));
            expect_id(scene, 1);
        } else {
            expect_refusal(scene, cases[i].e, cases[i].says);
        }
        scene_end(scene);
    }
    struct scene *scene = scene_begin(FIRST);
    scene->has_registry = false;
    expect_refusal(scene, ERR_CONFIG, "there is no such registry");
    scene_end(scene);
    scene = scene_begin(FIRST);
    net_http(GLUE_URL, NULL, NULL);
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
    sim_run_for(10000);
    assert_non_null(strstr(glue_fault(scene->glue)->text, "no answer from Glue at " GLUE_URL));
    net_http(GLUE_URL, scene_answer, scene);
    expect_id(scene, 1);
    scene_end(scene);
}

/* A wrong clock is set right by the answer that complains of it. */
static void a_wrong_clock(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->ahead_s = 86400;
    scene->error = "InvalidSignatureException";
    expect_id(scene, 1);
    assert_non_null(strstr(scene->log, "GetSchemaByDefinition GetSchemaByDefinition GetSchema"));
    assert_non_null(strstr(scene->authorization, "Credential=AKIA1/20260102/"));
    scene_end(scene);
}

static void many_schemas(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
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
    scene_end(scene);
}

static void schemas_that_are_no_use(void **state)
{
    (void)state;
    static char text[GLUE_DEFINITION_MAX + 2];
    struct scene *scene = scene_begin(FIRST);
    memset(text, ' ', sizeof text - 1);
    scene->schema.json = slice_of_text(text);
    assert_int_equal(scene_ask(scene), ERR_REJECTED);
    assert_non_null(strstr(scene->why.text, "too long"));
    scene->schema.json = SLICE("\"long\"");
    scene->options.schema_name = GLUE_RECORD_NAME;
    assert_int_equal(scene_ask(scene), ERR_REJECTED);
    assert_non_null(strstr(scene->why.text, "has no name"));
    assert_string_equal(scene->log, "");
    scene_end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looked_up),    cmocka_unit_test(at_its_own_port),
        cmocka_unit_test(targets),      cmocka_unit_test(with_framing),
        cmocka_unit_test(created),      cmocka_unit_test(made_by_another_meanwhile),
        cmocka_unit_test(registered),   cmocka_unit_test(incompatible_here),
        cmocka_unit_test(all_versions), cmocka_unit_test(a_long_history),
        cmocka_unit_test(pending),      cmocka_unit_test(only_looked_up),
        cmocka_unit_test(errors),       cmocka_unit_test(a_wrong_clock),
        cmocka_unit_test(many_schemas), cmocka_unit_test(schemas_that_are_no_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
