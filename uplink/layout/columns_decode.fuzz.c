/* The text of a schema, a NUL, and any bytes as a batch of its rows: rows of the schema or one clean
 * error, before any row was given away; what was decoded can be encoded. */
#include "uplink/layout/columns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "uplink/avro/schema.h"

#define VALUE_MAX 100000
#define ROW_MAX 1000
#define MEMORY_SIZE ((size_t)128 * 1024)
#define WORK_SIZE ((size_t)256 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct taken {
    const struct columns_plan *plan;
    struct message rows[ROW_MAX];
    struct out datums;
    uint32_t taken;
    bool is_whole; /* all rows are in `rows` */
};

static enum err take(void *context, struct slice datum, uint64_t sequence)
{
    struct taken *batch = context;
    size_t before = batch->datums.size;
    assert(columns_check(batch->plan, datum) == ERR_OK || datum.size == 0);
    out_put_slice(&batch->datums, datum);
    batch->is_whole = batch->is_whole && !batch->datums.overflow && batch->taken < ROW_MAX;
    if (batch->is_whole) {
        batch->rows[batch->taken] = (struct message){
            .body = {batch->datums.data + before, datum.size}, .sequence = sequence};
    }
    batch->taken++;
    return ERR_OK;
}

static void encode(struct taken *batch)
{
    struct columns_setup setup = {.plan = batch->plan};
    struct out record = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
    assert(record.data && columns_work_open(&setup.work, WORK_SIZE) == ERR_OK);
    enum err e = columns_encode(&setup, batch->rows, batch->taken, COLUMNS_BETTER, &record);
    assert(e == ERR_OK || (e == ERR_FULL && record.size == 0));
    columns_work_close(setup.work);
    free(record.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    struct avro_schema *schema = NULL;
    struct columns_plan *plan = NULL;
    if (zero &&
        avro_schema_parse(&schema, (struct slice){data, (size_t)(zero - data)}, NULL) == ERR_OK) {
        struct taken *batch = calloc(1, sizeof *batch);
        struct columns_taker taker = {.row = take, .context = batch};
        struct slice record = {zero + 1, (size_t)(data + size - zero - 1)};
        struct why why = {""};
        assert(batch && columns_plan_open(&plan, schema) == ERR_OK);
        batch->plan = plan;
        batch->is_whole = true;
        batch->datums = out_over(malloc(MEMORY_SIZE), MEMORY_SIZE);
        assert(batch->datums.data);
        enum err e = columns_decode(plan, record, VALUE_MAX, &taker, &why);
        assert(e == ERR_OK || (e == ERR_CORRUPT && why.text[0] && batch->taken == 0));
        if (!e && batch->is_whole) {
            encode(batch);
        }
        free(batch->datums.data);
        free(batch);
    }
    columns_plan_close(plan);
    avro_schema_close(schema);
    return 0;
}
