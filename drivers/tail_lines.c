#include "drivers/tail_lines.h"

#include <assert.h>

bool tail_line_take(struct slice *block, struct slice *ret_line)
{
    assert(block && ret_line);
    const uint8_t *end = block->size ? memchr(block->data, '\n', block->size) : NULL;
    if (!end) {
        return false;
    }
    struct slice line = {block->data, (size_t)(end - block->data)};
    block->data += line.size + 1;
    block->size -= line.size + 1;
    if (line.size && line.data[line.size - 1] == '\r') {
        line.size--;
    }
    *ret_line = line;
    return true;
}
