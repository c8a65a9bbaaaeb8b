/* Any bytes as a container file: read to the end or to an error. The blocks that were good,
 * written again, read as the same. */
#include "uplink/avro/container.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err take(void *context, uint8_t *data, size_t size, size_t *ret_size)
{
    struct slice *left = context;
    size_t step = size < left->size ? size : left->size;
    if (step) {
        memcpy(data, left->data, step);
    }
    left->data += step;
    left->size -= step;
    *ret_size = step;
    return ERR_OK;
}

/* Writes one block as a file of its own, and reads it. */
static void check_block(const struct container_reader *from, uint64_t count, struct slice raw)
{
    struct container_packer *packer = NULL;
    struct container_reader *reader = NULL;
    struct why why = {""};
    struct slice text = avro_schema_text(container_schema(from));
    size_t room = text.size + raw.size + raw.size / 8 + 1024;
    struct out file = out_over(malloc(room), room);
    assert(file.data);
    container_put_header(&file, text, container_codec_of(from), NULL, 0, container_sync(from));
    enum err e = container_packer_open(&packer, container_codec_of(from), 1);
    assert(!e);
    e = container_put_block(packer, count, raw, container_sync(from), &file);
    assert(!e);
    struct slice left = out_slice(&file);
    uint64_t again_count = 0;
    struct slice again = {NULL, 0};
    e = container_reader_open(&reader, take, &left, &why);
    assert(!e);
    e = container_block(reader, &again_count, &again, &why);
    assert(!e && again_count == count && slice_equal(again, raw));
    assert(container_block(reader, &again_count, &again, &why) == ERR_CLOSED);
    container_reader_close(reader);
    container_packer_close(packer);
    free(file.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice left = {data, size};
    struct container_reader *reader = NULL;
    struct why why = {""};
    enum err e = container_reader_open(&reader, take, &left, &why);
    assert(e == ERR_OK || (!reader && why.text[0]));
    for (int i = 0; !e && i < BLOCK_MAX; i++) {
        uint64_t count;
        struct slice raw;
        e = container_block(reader, &count, &raw, &why);
        assert(e == ERR_OK || e == ERR_CLOSED || (e == ERR_CORRUPT && why.text[0]));
        assert(container_offset(reader) <= size);
        if (!e) {
            check_block(reader, count, raw);
        }
    }
    container_reader_close(reader);
    return 0;
}
