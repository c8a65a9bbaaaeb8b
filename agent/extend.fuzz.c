/* Any event against a schema that grows by it: each step gives a schema that parses, is told to be
 * an extension of the one before, and leaves the event with less that is unknown; there is an end. */
#include <assert.h>
#include <stdlib.h>

#include "agent/extend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATUM_SIZE_MAX (1024 * 1024)

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"n.R\",\"doc\":\"]}\",\"fields\":["
    "{\"name\":\"r\",\"type\":[\"null\",\"R\"],\"default\":null},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"string\",{\"type\":\"record\","
    "\"name\":\"E\",\"fields\":[],\"fields2\":[{}]}]},\"default\":[]},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":\"E\"},\"default\":{}}]}";

/* False: there is nothing to add, or it is refused with a reason. */
static bool extend_once(struct avro_schema **schema, const struct map_result *result,
                        uint32_t *count)
{
    struct extension extension = {.schema = NULL};
    struct why why = {""};
    bool is = false;
    uint32_t added = 0;
    enum err e = extend_schema(*schema, result->unknowns, result->unknown_kept, EXTEND_MAX - *count,
                               &extension, &why);
    assert(e == ERR_OK || (e == ERR_REJECTED && why.text[0]));
    if (e || !extension.schema) {
        return false;
    }
    assert(extension.count > 0 && extension.names[0]);
    e = extend_is_of(avro_schema_text(extension.schema), avro_schema_text(*schema), &is, &added);
    assert(e == ERR_OK && is && added == extension.count);
    *count += extension.count;
    avro_schema_close(*schema);
    *schema = extension.schema;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct avro_schema *schema = NULL;
    struct mapper *mapper = NULL;
    struct map_result result;
    struct why why = {""};
    uint32_t count = 0;
    uint8_t *memory = malloc(DATUM_SIZE_MAX);
    enum err e = avro_schema_parse(&schema, slice_of_text(schema_text), &why);
    assert(memory && e == ERR_OK);
    e = mapper_open(&mapper);
    assert(e == ERR_OK);
    struct map_task task = {.body_kind = BODY_JSON, .body = {data, size}, .unknown_is_kept = true};
    for (bool goes_on = true; goes_on;) {
        struct out datum = out_over(memory, DATUM_SIZE_MAX);
        uint32_t before = count;
        task.record = avro_schema_root(schema);
        e = map_run(mapper, &task, &datum, &result, &why);
        goes_on = !e && result.unknown_kept > 0 && extend_once(&schema, &result, &count);
        assert(!goes_on || (count > before && count <= EXTEND_MAX));
    }
    free(memory);
    mapper_close(mapper);
    avro_schema_close(schema);
    return 0;
}
