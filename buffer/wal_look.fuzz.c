/* The look at a log: whatever the bytes are, it ends, and what it says agrees with itself. */
#include <stdlib.h>
#include <string.h>

#include "buffer/wal_look.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *page_of(void *context, uint32_t number)
{
    static const uint8_t bytes[WAL_FRAME_SIZE - WAL_FRAME_HEAD_SIZE];
    size_t *asked = context;
    (*asked)++;
    return number % 3 ? bytes : NULL;
}

/* Short inputs make many frames: each is 24 bytes of the input, the same page behind. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wal_look look;
    static uint8_t frame[WAL_FRAME_SIZE];
    struct slice rest = {data, size};
    struct slice part = {data, size < WAL_HEADER_SIZE ? size : WAL_HEADER_SIZE};
    size_t given = 0;
    size_t asked = 0;
    wal_look_begin(&look, part);
    rest.data += part.size;
    rest.size -= part.size;
    while (slice_take(&rest, WAL_FRAME_HEAD_SIZE, &part)) {
        memcpy(frame, part.data, part.size);
        given += wal_look_frame(&look, (struct slice){frame, sizeof frame});
    }
    enum wal_verdict verdict = wal_look_end(&look);
    bool redundant = wal_look_is_redundant(&look, page_of, &asked);
    if (look.count != given || look.first_bad > given || look.end > given || asked > given ||
        (verdict == WAL_WHOLE) == look.broken || (redundant && asked == 0)) {
        abort();
    }
    return 0;
}
