/* Answers and refusals of AWS's services, in any bytes: they are read, or told to be none, and nothing
 * counts as stored that has a code of an error. */
#include <assert.h>

#include "uplink/aws/aws_error.h"
#include "uplink/aws/kinesis_body.h"
#include "uplink/aws/kinesis_shards.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void each(void *context, size_t index, const struct put_answer *answer)
{
    size_t *count = context;
    assert(index == (*count)++);
    assert(!answer->is_stored || answer->error_code.size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t seen = 0, count = 0;
    struct slice body = {data, size};
    enum err e = put_answer_read(body, each, &seen, &count);
    assert(seen == count);
    assert(!e || e == ERR_CORRUPT);
    struct aws_error error;
    size_t half = size < 40 ? size : 40;
    aws_error_read(&error, (struct slice){data, half}, body);
    assert(strlen(error.type) < sizeof error.type && strlen(error.text) < sizeof error.text);
    (void)aws_error_action(&error, size ? data[0] * 3L : 0);
    struct shards shards = {.items = NULL};
    const struct shards none = {.items = NULL};
    char next[32];
    if (!shards_read(&shards, body, next, sizeof next) && !shards_finish(&shards, &none)) {
        struct kinesis_hash hash = kinesis_hash_of(body);
        assert(shards_of(&shards, &hash) < shards.items + shards.count);
    }
    shards_release(&shards);
    return 0;
}
