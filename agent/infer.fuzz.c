/* Any bytes as samples, one in each line: whatever is taken comes to a schema that takes it back. */
#include "agent/infer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map.h"
#include "uplink/avro/schema.h"

#define MEMORY_SIZE ((size_t)1024 * 1024)
#define LINE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The lines that were taken. */
static size_t add_all(struct infer *infer, struct slice rest, struct slice lines[LINE_MAX])
{
    size_t count = 0;
    while (rest.size > 0 && count < LINE_MAX) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        struct slice line = {rest.data, end ? (size_t)(end - rest.data) : rest.size};
        size_t gone = line.size + (end ? 1 : 0);
        struct why why = {""};
        enum err e = infer_add(infer, line, &why);
        assert(e == ERR_OK || e == ERR_REJECTED || e == ERR_CORRUPT);
        assert(!e || why.text[0]);
        lines[count] = line;
        count += e == ERR_OK;
        rest = (struct slice){rest.data + gone, rest.size - gone};
    }
    return count;
}

static void check_back(struct slice text, const struct slice *lines, size_t count)
{
    struct avro_schema *schema;
    struct mapper *mapper;
    struct why why = {""};
    struct out datum = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    enum err e = avro_schema_parse(&schema, text, &why);
    assert(e == ERR_OK && datum.data);
    e = mapper_open(&mapper);
    assert(e == ERR_OK);
    for (size_t i = 0; i < count; i++) {
        struct map_result result;
        struct map_task task = {.record = avro_schema_root(schema),
                                .body_kind = BODY_JSON,
                                .body = lines[i],
                                .unknown_is_refused = true};
        datum.size = 0;
        e = map_run(mapper, &task, &datum, &result, &why);
        assert(e == ERR_OK);
    }
    mapper_close(mapper);
    avro_schema_close(schema);
    free(datum.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice lines[LINE_MAX];
    struct infer *infer;
    struct why why = {""};
    struct out text = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    enum err e = infer_open(&infer);
    assert(e == ERR_OK && text.data);
    size_t count = add_all(infer, (struct slice){data, size}, lines);
    e = infer_put(infer, "Event", NULL, &text, &why);
    assert(e == ERR_OK || (e == ERR_REJECTED && why.text[0]) || e == ERR_FULL);
    if (!e) {
        check_back(out_slice(&text), lines, count);
    }
    infer_close(infer);
    free(text.data);
    return 0;
}
