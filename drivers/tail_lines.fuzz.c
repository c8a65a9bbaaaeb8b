/* Lines put together again are the block: nothing is lost, nothing appears, whatever the cut. */
#include <assert.h>

#include "drivers/tail_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = {data, size};
    size_t at = 0;
    struct slice line;
    while (tail_line_take(&rest, &line)) {
        assert(line.size == 0 || !memchr(line.data, '\n', line.size));
        assert(line.size == 0 || memcmp(line.data, data + at, line.size) == 0);
        at += line.size;
        at += data[at] == '\r' ? 2 : 1;
        assert(data[at - 1] == '\n' && rest.size == size - at);
    }
    assert(at + rest.size == size);
    assert(rest.size == 0 || !memchr(rest.data, '\n', rest.size));
    return 0;
}
