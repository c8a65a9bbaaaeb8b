/* The client of AWS Glue's schema registry, as a tool has it that wants to be told. */
#include "tests/uplink/aws/glue_scene.h"

#include <string.h>

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
    assert_int_equal(scene_ask(scene), ERR_AGAIN);
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
    struct scene *scene = scene_begin(FIRST);
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
    scene_end(scene);
}

/* The real service does not say the number when it looks a definition up. */
static void a_tool_asks_for_the_number(void **state)
{
    (void)state;
    struct scene *scene = scene_begin(FIRST);
    scene->has_schema = true;
    scene->hides_version = true;
    scene_add_version(scene, FIRST, "AVAILABLE");
    struct glue_result result = tell(scene, false, "GetSchemaByDefinition GetSchemaVersion");
    expect_told(&result, REGISTRATION_THERE, 1);
    scene_end(scene);
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
        struct scene *scene = scene_begin(FIRST);
        scene->error = cases[i].error;
        scene->error_status = cases[i].status;
        struct glue_result result = tell(scene, false, "GetSchemaByDefinition");
        expect_told(&result, cases[i].end, 0);
        assert_non_null(strstr(result.text, "the message of "));
        scene_end(scene);
    }
    struct scene *scene = scene_begin(FIRST);
    scene->has_registry = false;
    struct glue_result result = tell(scene, false, "GetSchemaByDefinition GetSchema CreateSchema");
    expect_told(&result, REGISTRATION_NO_REGISTRY, 0);
    scene_end(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tool_is_told),
        cmocka_unit_test(a_tool_asks_for_the_number),
        cmocka_unit_test(what_a_tool_can_not_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
