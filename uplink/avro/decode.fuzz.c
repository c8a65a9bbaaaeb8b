/* Any bytes as a datum of a schema with every kind of type, or as a schema's text, a NUL and a
 * datum: what can be skipped can be decoded and the other way round, and the text, encoded, decodes
 * to the same text. */
#include "uplink/avro/decode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/encode.h"

#define TEXT_SIZE_MAX ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char every_type[] =
    "{\"type\":\"record\",\"name\":\"R\",\"fields\":["
    "{\"name\":\"n\",\"type\":\"null\"},{\"name\":\"b\",\"type\":\"boolean\"},"
    "{\"name\":\"i\",\"type\":\"int\"},{\"name\":\"l\",\"type\":\"long\"},"
    "{\"name\":\"f\",\"type\":\"float\"},{\"name\":\"d\",\"type\":\"double\"},"
    "{\"name\":\"y\",\"type\":\"bytes\"},{\"name\":\"s\",\"type\":\"string\"},"
    "{\"name\":\"x\",\"type\":{\"type\":\"fixed\",\"name\":\"X\",\"size\":3}},"
    "{\"name\":\"e\",\"type\":{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}},"
    "{\"name\":\"a\",\"type\":{\"type\":\"array\",\"items\":[\"null\",\"int\",\"R\"]}},"
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"double\",\"string\",\"X\"]}},"
    "{\"name\":\"z\",\"type\":{\"type\":\"array\",\"items\":\"null\"}},"
    "{\"name\":\"r\",\"type\":[\"null\",\"R\"]}]}";

/* A map may hold a key twice, which JSON may not; and data may nest deeper than JSON is read. */
static bool has_no_json(enum err e, const struct why *why)
{
    return e == ERR_REJECTED || (e == ERR_CORRUPT && strstr(why->text, "already"));
}

static void check_text(const struct avro_schema *schema, struct slice text)
{
    struct out datum = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    struct out again = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    struct why why = {""};
    assert(datum.data && again.data);
    enum err e = avro_encode_json(schema, text, &datum, &why);
    assert(e == ERR_OK || has_no_json(e, &why));
    if (!e) {
        struct slice rest = out_slice(&datum);
        e = avro_decode_json(avro_schema_root(schema), &rest, &again, &why);
        assert(e == ERR_OK && rest.size == 0 && slice_equal(out_slice(&again), text));
    }
    free(datum.data);
    free(again.data);
}

static void check_datum(const struct avro_schema *schema, struct slice datum)
{
    struct out text = out_over(malloc(TEXT_SIZE_MAX), TEXT_SIZE_MAX);
    struct why why = {""};
    struct slice skipped = datum;
    struct slice rest = datum;
    struct slice plain = datum;
    assert(text.data);
    enum err as_plain = avro_decode_plain(avro_schema_root(schema), &plain, &text, &why);
    text = out_over(text.data, TEXT_SIZE_MAX);
    why.text[0] = 0;
    enum err skip = avro_skip(avro_schema_root(schema), &skipped);
    enum err e = avro_decode_json(avro_schema_root(schema), &rest, &text, &why);
    assert(e == ERR_FULL || (e == skip && rest.size == skipped.size));
    assert(as_plain == ERR_FULL || (as_plain == skip && plain.size == skipped.size));
    assert(e == ERR_OK || why.text[0] || e == ERR_FULL);
    if (!e) {
        check_text(schema, out_slice(&text));
    }
    free(text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of_text(every_type);
    struct slice datum = {data, size};
    struct avro_schema *schema = NULL;
    struct why why = {""};
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    if (zero && data[0] >= ' ') { /* a schema's text, a NUL, a datum */
        text = (struct slice){data, (size_t)(zero - data)};
        datum = (struct slice){zero + 1, size - text.size - 1};
    }
    if (avro_schema_parse(&schema, text, &why) == ERR_OK) {
        check_datum(schema, datum);
    }
    avro_schema_close(schema);
    return 0;
}
