/* Any text as a schema: it is refused with a reason, or its text without white space is a schema
 * with the same canonical form, and the canonical form is, too. */
#include "uplink/avro/schema.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CANONICAL_SIZE_MAX (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct slice text, struct slice canonical)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    enum err e = avro_schema_parse(&schema, text, &why);
    assert(e == ERR_OK);
    struct out again = out_over(malloc(CANONICAL_SIZE_MAX), CANONICAL_SIZE_MAX);
    assert(again.data);
    avro_canonical(schema, &again);
    assert(!again.overflow && slice_equal(out_slice(&again), canonical));
    free(again.data);
    avro_schema_close(schema);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct avro_schema *schema = NULL;
    struct why why = {""};
    if (avro_schema_parse(&schema, (struct slice){data, size}, &why)) {
        assert(!schema && why.text[0]);
        return 0;
    }
    struct out canonical = out_over(malloc(CANONICAL_SIZE_MAX), CANONICAL_SIZE_MAX);
    assert(canonical.data);
    avro_canonical(schema, &canonical);
    if (!canonical.overflow && canonical.size <= AVRO_SCHEMA_SIZE_MAX) {
        check_same(avro_schema_text(schema), out_slice(&canonical));
        /* The canonical form has no way to leave a namespace: "namespace": "" within another one is
         * lost, in every implementation. */
        if (!memmem(data, size, "\"\"", 2)) {
            check_same(out_slice(&canonical), out_slice(&canonical));
        }
    }
    free(canonical.data);
    avro_schema_close(schema);
    return 0;
}
