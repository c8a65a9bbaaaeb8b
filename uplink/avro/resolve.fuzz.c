/* A schema's text, a NUL, another schema's text, a NUL, and any bytes as a datum of the first: what
 * is resolved is a datum of the second; as its own schema a datum says what it said. */
#include "uplink/avro/resolve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/decode.h"

#define RESULT_SIZE_MAX ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_bound(enum err e, const struct why *why)
{
    return e == ERR_FULL || (e == ERR_CORRUPT && (strstr(why->text, "nested too deeply") ||
                                                  strstr(why->text, "more than a million")));
}

static enum err resolve(const struct avro_schema *writer, const struct avro_schema *reader,
                        struct slice *datum, struct out *ret, struct why *why)
{
    struct avro_resolver *resolver = NULL;
    enum err e = avro_resolver_open(&resolver, writer, reader, why);
    assert(e ? !resolver && why->text[0] : !!resolver);
    if (!e) {
        e = avro_resolve(resolver, datum, ret, why);
        assert(e == ERR_OK || e == ERR_FULL || why->text[0]);
    }
    avro_resolver_close(resolver);
    return e;
}

static void check_pair(const struct avro_schema *writer, const struct avro_schema *reader,
                       struct slice datum, struct out *result)
{
    struct why why = {""};
    struct slice rest = datum;
    struct slice skipped = datum;
    enum err skip = avro_skip(avro_schema_root(writer), &skipped);
    enum err e = resolve(writer, reader, &rest, result, &why);
    if (e) {
        assert(rest.size == datum.size);
        return;
    }
    assert(skip == ERR_OK && rest.size == skipped.size);
    rest = out_slice(result);
    struct out nothing = out_over(NULL, 0);
    e = avro_decode_json(avro_schema_root(reader), &rest, &nothing, &why);
    assert(is_bound(e, &why) || (!e && rest.size == 0));
}

/* Blocks may be laid out otherwise, so the texts are compared. */
static void check_same(const struct avro_schema *schema, struct slice datum, struct out *result)
{
    struct why why = {""};
    struct slice rest = datum;
    struct slice again;
    struct out text = out_over(malloc(RESULT_SIZE_MAX), RESULT_SIZE_MAX);
    struct out same = out_over(malloc(RESULT_SIZE_MAX), RESULT_SIZE_MAX);
    assert(text.data && same.data);
    if (avro_decode_json(avro_schema_root(schema), &rest, &text, &why) == ERR_OK) {
        result->size = 0;
        result->overflow = false;
        rest = datum;
        enum err e = resolve(schema, schema, &rest, result, &why);
        assert(!e || e == ERR_REJECTED || is_bound(e, &why));
        again = out_slice(result);
        e = e ? e : avro_decode_json(avro_schema_root(schema), &again, &same, &why);
        assert(e || slice_equal(out_slice(&text), out_slice(&same)));
    }
    free(text.data);
    free(same.data);
}

static bool take_schema(struct slice *input, struct avro_schema **ret)
{
    struct why why = {""};
    struct slice text;
    const uint8_t *zero = input->size ? memchr(input->data, 0, input->size) : NULL;
    uint8_t byte;
    return zero && slice_take(input, (size_t)(zero - input->data), &text) &&
           slice_take_u8(input, &byte) && avro_schema_parse(ret, text, &why) == ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {data, size};
    struct avro_schema *writer = NULL;
    struct avro_schema *reader = NULL;
    struct out result = out_over(malloc(RESULT_SIZE_MAX), RESULT_SIZE_MAX);
    assert(result.data);
    if (take_schema(&input, &writer) && take_schema(&input, &reader)) {
        check_pair(writer, reader, input, &result);
        check_same(writer, input, &result);
    }
    free(result.data);
    avro_schema_close(writer);
    avro_schema_close(reader);
    return 0;
}
