/* Any payload against a schema with every kind of type: it is refused with a reason, or it becomes
 * a datum that the decoder reads to its end. */
#include <assert.h>
#include <stdlib.h>

#include "agent/map.h"
#include "uplink/avro/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATUM_SIZE_MAX (1024 * 1024)
#define TEXT_SIZE_MAX (16 * DATUM_SIZE_MAX)

static const char schema_text[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"i\",\"type\":\"int\",\"default\":1},"
    "{\"name\":\"l\",\"type\":[\"null\",\"long\",\"double\",\"string\"]},"
    "{\"name\":\"f\",\"type\":\"float\",\"default\":0.5},"
    "{\"name\":\"d\",\"type\":[\"null\",\"double\"]},"
    "{\"name\":\"o\",\"type\":[\"null\",\"boolean\"]},"
    "{\"name\":\"s\",\"type\":[\"null\",\"string\"]},"
    "{\"name\":\"y\",\"type\":\"bytes\",\"default\":\"\"},"
    "{\"name\":\"x\",\"type\":[\"null\",{\"type\":\"fixed\",\"name\":\"X\",\"size\":3}]},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"],"
    "\"default\":\"B\"},\"default\":\"A\"},"
    "{\"name\":\"n\",\"type\":[\"null\",{\"type\":\"bytes\",\"logicalType\":\"decimal\","
    "\"precision\":20,\"scale\":3}]},"
    "{\"name\":\"m\",\"type\":[\"null\",{\"type\":\"fixed\",\"name\":\"M\",\"size\":3,"
    "\"logicalType\":\"decimal\",\"precision\":6,\"scale\":2}]},"
    "{\"name\":\"u\",\"type\":[\"null\",{\"type\":\"string\",\"logicalType\":\"uuid\"}]},"
    "{\"name\":\"v\",\"type\":[\"null\",{\"type\":\"fixed\",\"name\":\"V\",\"size\":16,"
    "\"logicalType\":\"uuid\"}]},"
    "{\"name\":\"day\",\"type\":[\"null\",{\"type\":\"int\",\"logicalType\":\"date\"}]},"
    "{\"name\":\"tm\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"time-micros\"}]},"
    "{\"name\":\"ts\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-nanos\"}]},"
    "{\"name\":\"lt\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":"
    "\"local-timestamp-millis\"}]},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"int\",\"string\",\"null\"]},"
    "\"default\":[]},"
    "{\"name\":\"p\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"double\"]},\"default\":{}},"
    "{\"name\":\"r\",\"type\":[\"null\",\"R\"]},"
    "{\"name\":\"w\",\"type\":[\"null\",\"int\",\"R\",{\"type\":\"array\",\"items\":\"R\"}]}]}";

static void check_datum(const struct avro_node *record, struct out *datum)
{
    struct slice rest = out_slice(datum);
    struct out text = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    struct why why = {""};
    assert(text.data);
    enum err e = avro_decode_json(record, &rest, &text, &why);
    assert(e == ERR_OK || e == ERR_FULL);
    assert(e == ERR_FULL || rest.size == 0);
    free(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct avro_schema *schema = NULL;
    struct mapper *mapper = NULL;
    struct map_result result;
    struct why why = {""};
    enum err e = avro_schema_parse(&schema, slice_of_text(schema_text), &why);
    assert(e == ERR_OK);
    e = mapper_open(&mapper);
    struct out datum = out_over(malloc(DATUM_SIZE_MAX), DATUM_SIZE_MAX);
    assert(e == ERR_OK && datum.data);
    struct map_task task = {.record = avro_schema_root(schema),
                            .body_kind = BODY_JSON,
                            .body = {data, size},
                            .time_field = "ts"};
    e = map_run(mapper, &task, &datum, &result, &why);
    assert(e == ERR_OK || e == ERR_REJECTED || e == ERR_CORRUPT || e == ERR_FULL);
    if (e) {
        assert(why.text[0]);
    } else {
        check_datum(task.record, &datum);
    }
    (void)map_payload_text(mapper, task.body, SLICE("s"));
    free(datum.data);
    mapper_close(mapper);
    avro_schema_close(schema);
    return 0;
}
