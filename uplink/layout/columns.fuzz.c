/* The text of a schema, a NUL, and datums of it one behind the other: what is encoded from them
 * decodes, from both bodies, to rows that encode to the same bytes; whichever body is better decodes
 * to the same rows. */
#include "uplink/layout/columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/decode.h"

#define ROW_MAX 200
#define MEMORY_SIZE ((size_t)128 * 1024)
#define WORK_SIZE ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct taken {
    struct columns_setup setup;
    struct message rows[ROW_MAX];
    uint32_t count;
    struct out datums; /* of what was decoded */
    struct out record;
};

static enum err take(void *context, struct slice datum, uint64_t sequence)
{
    struct taken *batch = context;
    size_t before = batch->datums.size;
    assert(batch->count < ROW_MAX);
    out_put_slice(&batch->datums, datum);
    batch->rows[batch->count++] =
        (struct message){.body = {batch->datums.data + before, datum.size}, .sequence = sequence};
    return batch->datums.overflow ? ERR_FULL : ERR_OK;
}

/* False: there is no room for it. */
static bool round_trip(struct taken *from, struct taken *to, enum columns_body body)
{
    struct columns_taker taker = {.row = take, .context = to};
    struct why why = {""};
    from->record.size = 0;
    to->count = 0;
    to->datums.size = 0;
    to->datums.overflow = false;
    enum err e = columns_encode(&from->setup, from->rows, from->count, body, &from->record);
    assert(e != ERR_REJECTED || (from->count == 0 && columns_plan_obstacle(from->setup.plan)));
    if (!e) {
        e = columns_decode(from->setup.plan, out_slice(&from->record), COLUMNS_VALUE_MAX, &taker,
                           &why);
        assert(e == ERR_OK || e == ERR_FULL ||
               (e == ERR_CORRUPT && strstr(why.text, "than allowed")));
        assert(e || to->count == from->count);
    }
    return !e;
}

static void check(struct taken *one, struct taken *two, struct taken *three)
{
    if (!round_trip(one, two, COLUMNS_AS_COLUMNS) || !round_trip(two, three, COLUMNS_AS_COLUMNS)) {
        return;
    }
    assert(slice_equal(out_slice(&one->record), out_slice(&two->record)));
    for (enum columns_body body = COLUMNS_BETTER; body <= COLUMNS_AS_ROWS; body++) {
        if (!round_trip(two, three, body)) {
            return;
        }
        for (uint32_t i = 0; i < two->count; i++) {
            assert(slice_equal(two->rows[i].body, three->rows[i].body));
            assert(two->rows[i].sequence == three->rows[i].sequence);
        }
    }
}

static void take_rows(struct taken *batch, const struct avro_schema *schema, struct slice data)
{
    while (data.size > 0 && batch->count < ROW_MAX) {
        struct slice datum = data;
        if (avro_skip(avro_schema_root(schema), &data) || data.size == datum.size) {
            return;
        }
        datum.size -= data.size;
        if (columns_check(batch->setup.plan, datum) == ERR_OK) {
            uint64_t gap = datum.data[0] == 7;
            uint64_t before = batch->count ? batch->rows[batch->count - 1].sequence : 41;
            batch->rows[batch->count++] =
                (struct message){.body = datum, .sequence = before + 1 + gap};
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    struct avro_schema *schema = NULL;
    struct columns_plan *plan = NULL;
    struct columns_work *work = NULL;
    struct taken *batches = calloc(3, sizeof *batches);
    assert(batches);
    if (zero &&
        avro_schema_parse(&schema, (struct slice){data, (size_t)(zero - data)}, NULL) == ERR_OK) {
        enum err e = columns_plan_open(&plan, schema);
        e = e ? e : columns_work_open(&work, WORK_SIZE);
        assert(e == ERR_OK);
        for (size_t i = 0; i < 3; i++) {
            batches[i].setup = (struct columns_setup){.plan = plan, .work = work};
            batches[i].datums = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
            batches[i].record = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
            assert(batches[i].datums.data && batches[i].record.data);
        }
        take_rows(&batches[0], schema, (struct slice){zero + 1, (size_t)(data + size - zero - 1)});
        check(&batches[0], &batches[1], &batches[2]);
    }
    for (size_t i = 0; i < 3; i++) {
        free(batches[i].datums.data);
        free(batches[i].record.data);
    }
    free(batches);
    columns_work_close(work);
    columns_plan_close(plan);
    avro_schema_close(schema);
    return 0;
}
