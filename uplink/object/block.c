#include "uplink/object/block.h"

#include <assert.h>
#include <stdlib.h>

/* The datums one behind the other; *ret is malloc'd. */
static enum err block_gather(const struct message *messages, size_t count, uint8_t **ret,
                             size_t *ret_size)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += messages[i].body.size;
    }
    if (size > CONTAINER_BLOCK_SIZE_MAX) {
        return ERR_FULL;
    }
    uint8_t *memory = malloc(size ? size : 1);
    if (!memory) {
        return ERR_NOMEM;
    }
    struct out raw = out_over(memory, size);
    for (size_t i = 0; i < count; i++) {
        out_put_slice(&raw, messages[i].body);
    }
    assert(!raw.overflow);
    *ret = memory;
    *ret_size = size;
    return ERR_OK;
}

enum err block_put(enum container_codec codec, int level, const struct message *messages,
                   size_t count, const uint8_t sync[CONTAINER_SYNC_SIZE], struct out *ret)
{
    struct container_packer *packer = NULL;
    uint8_t *raw = NULL;
    size_t size = 0;
    enum err e = container_packer_open(&packer, codec, level);
    e = e ? e : block_gather(messages, count, &raw, &size);
    if (!e) {
        e = container_put_block(packer, count, (struct slice){raw, size}, sync, ret);
    }
    container_packer_close(packer);
    free(raw);
    return e;
}
