/* What is in the batches that arrive in columns. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "buffer/buffer.h"
#include "tests/sim/agent_ledger_impl.h"
#include "tests/sim/sim.h"
#include "uplink/avro/schema.h"
#include "uplink/layout/columns.h"

#define PLAN_MAX 256
#define FRAMING_SIZE 10 /* Avro's single-object encoding */

struct plan {
    uint64_t crc;
    struct avro_schema *schema;
    struct columns_plan *plan;
};

struct ledger_plans {
    struct plan plans[PLAN_MAX];
    size_t count;
};

struct ledger_plans *ledger_plans_open(void)
{
    struct ledger_plans *plans = calloc(1, sizeof *plans);
    assert(plans);
    return plans;
}

void ledger_plans_close(struct ledger_plans *plans)
{
    for (size_t i = 0; i < plans->count; i++) {
        columns_plan_close(plans->plans[i].plan);
        avro_schema_close(plans->plans[i].schema);
    }
    free(plans);
}

static const struct plan *plan_find(const struct ledger_plans *plans, uint64_t crc)
{
    for (size_t i = 0; i < plans->count; i++) {
        if (plans->plans[i].crc == crc) {
            return &plans->plans[i];
        }
    }
    return NULL;
}

static void schema_look(void *context, uint16_t stream, uint32_t number, struct slice json)
{
    struct ledger_plans *plans = context;
    struct plan plan = {.crc = avro_crc64(json)};
    struct why why;
    (void)stream;
    (void)number;
    if (plan_find(plans, plan.crc)) {
        return;
    }
    SIM_EXPECT(plans->count < PLAN_MAX);
    enum err e = avro_schema_parse(&plan.schema, json, &why);
    e = e ? e : columns_plan_open(&plan.plan, plan.schema);
    SIM_EXPECT(!e);
    plans->plans[plans->count++] = plan;
}

void ledger_plans_look(struct ledger_plans *plans, const struct buffer *buffer)
{
    buffer_schema_each(buffer, schema_look, plans);
}

struct taking {
    struct ledger_taker taker;
    uint64_t last;
    size_t count;
};

static enum err row_taken(void *context, struct slice datum, uint64_t sequence)
{
    struct taking *taking = context;
    SIM_EXPECT(sequence > taking->last);
    taking->last = sequence;
    taking->count++;
    taking->taker.row(taking->taker.context, datum, sequence);
    return ERR_OK;
}

/* The row schema's CRC: the record begins with the branch of `schema` that has it. */
static uint64_t schema_in(struct slice record)
{
    uint8_t branch;
    uint64_t crc = 0;
    SIM_EXPECT(slice_take_u8(&record, &branch) && branch == 2 && slice_take_u64_le(&record, &crc));
    return crc;
}

size_t ledger_rows(const struct ledger_plans *plans, struct slice body,
                   const struct ledger_taker *taker)
{
    static const uint8_t framing[] = {0xc3, 0x01};
    static const uint8_t batch[] = COLUMNS_FINGERPRINT;
    SIM_EXPECT(body.size > FRAMING_SIZE && memcmp(body.data, framing, sizeof framing) == 0);
    if (memcmp(body.data + sizeof framing, batch, sizeof batch) != 0) {
        return 0;
    }
    struct slice record = {body.data + FRAMING_SIZE, body.size - FRAMING_SIZE};
    struct taking taking = {.taker = *taker};
    struct columns_taker rows = {.row = row_taken, .context = &taking};
    struct why why = {""};
    const struct plan *plan = plan_find(plans, schema_in(record));
    SIM_EXPECT(plan != NULL);
    enum err e = columns_decode(plan->plan, record, COLUMNS_VALUE_MAX, &rows, &why);
    if (e) {
        sim_trace("a batch: %s", why.text);
    }
    SIM_EXPECT(!e && taking.count > 0);
    return taking.count;
}
