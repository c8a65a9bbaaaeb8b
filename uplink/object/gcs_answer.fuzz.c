/* Whatever a store answers, what is taken out of it is a text with an end. */
#include "uplink/object/gcs_answer.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice json = {data, size};
    struct gcs_object object;
    struct object_said said;
    bool is_object = gcs_answer_object(json, &object);
    gcs_answer_error(json, &said);
    assert(memchr(object.md5, 0, sizeof object.md5));
    assert(memchr(object.crc32c, 0, sizeof object.crc32c));
    assert(memchr(said.code, 0, sizeof said.code));
    assert(memchr(said.message, 0, sizeof said.message));
    assert(is_object || (!object.md5[0] && !object.crc32c[0] && !said.code[0]));
    return 0;
}
