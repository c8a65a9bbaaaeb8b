#include "tests/agent/gate_scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ports/file.h"
#include "tests/cmocka.h"

void scene_schema_put(const struct scene *scene, const char *text)
{
    char path[128];
    struct why why;
    (void)snprintf(path, sizeof path, "%s/lines.avsc", scene->folder);
    assert_int_equal(file_replace(path, slice_of_text(text), 0600, &why), ERR_OK);
}

/* The stream "lines" has the schema of the folder; a set field is in some versions only. */
void scene_config_text(const struct scene *scene, const char *mode, char *ret, size_t size)
{
    (void)snprintf(ret, size,
                   "{\"agent\":{\"id\":\"pump-7\"},"
                   "\"buffer\":{\"path\":\"/buffer.db\",\"size_max\":\"16 MiB\"},"
                   "\"streams\":{\"lines\":{\"schema\":\"%s/lines.avsc\",\"compatibility\":\"%s\","
                   "\"when_full\":\"thin\"}},\"drivers\":{\"in\":{\"type\":\"hand\","
                   "\"set\":{\"b\":\"x\"},"
                   "\"stream\":\"lines\"}},"
                   "\"uplinks\":{\"cloud\":{\"type\":\"double\",\"linger\":\"0 s\"}}}",
                   scene->folder, mode);
}

void scene_config_put(struct scene *scene, const char *mode)
{
    char text[2048];
    scene_config_text(scene, mode, text, sizeof text);
    life_config(scene, text);
}

int gate_setup(void **state)
{
    int code = life_setup(state);
    scene_schema_put(*state, V1);
    scene_config_put(*state, "backward");
    return code;
}

int gate_teardown(void **state)
{
    struct scene *scene = *state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/lines.avsc", scene->folder);
    (void)unlink(path);
    return life_teardown(state);
}

const struct agent_stream *scene_lines(const struct scene *scene)
{
    return &scene->agent->streams[0];
}

/* Events of "lines" that arrived under this schema. */
unsigned scene_arrived_under(const struct scene *scene, uint32_t schema)
{
    unsigned count = 0;
    for (size_t i = 0; i < scene->script.sent_count; i++) {
        const struct double_sent *sent = &scene->script.sent[i];
        count += sent->stream == scene_lines(scene)->number && sent->schema == schema &&
                         sent->answered && sent->result == SEND_OK
                     ? sent->event_count
                     : 0;
    }
    return count;
}
