/* The whole agent with a stream "lines", whose schema is a file that changes. */
#ifndef WEIR_TESTS_AGENT_GATE_SCENE_H
#define WEIR_TESTS_AGENT_GATE_SCENE_H

#include "agent/agent_impl.h"
#include "tests/agent/life.h"

#define SCHEMA(fields) \
    "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\",\"type\":\"int\"}" fields \
    "]}"
#define V1 SCHEMA("")
/* A reader of V1's data lacks b, and has no default. */
#define NEEDS_B SCHEMA(",{\"name\":\"b\",\"type\":\"string\"}")
#define HAS_B SCHEMA(",{\"name\":\"b\",\"type\":\"string\",\"default\":\"\"}")
#define HAS_C SCHEMA(",{\"name\":\"c\",\"type\":\"long\",\"default\":0}")
/* "a" as text: nobody reads it either way. */
#define OTHER_A \
    "{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"a\",\"type\":\"boolean\"}]}"

/* For cmocka: the file has V1, the mode is backward. */
int gate_setup(void **state);
int gate_teardown(void **state);
void scene_schema_put(const struct scene *scene, const char *text);
/* A field that the driver sets is in some versions only. */
void scene_config_text(const struct scene *scene, const char *mode, char *ret, size_t size);
void scene_config_put(struct scene *scene, const char *mode);
const struct agent_stream *scene_lines(const struct scene *scene);
/* Events of "lines" that arrived under this schema. */
unsigned scene_arrived_under(const struct scene *scene, uint32_t schema);

#endif
