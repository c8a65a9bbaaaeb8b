#include "uplink/layout/layout.h"

#include <assert.h>

#include "uplink/layout/columns.h"
#include "uplink/layout/json.h"
#include "uplink/layout/layout_columns.h"
#include "uplink/layout/letter.h"
#include "uplink/layout/rows.h"

struct layout_builder {
    struct layout_setup setup;
    struct out *memory;
    struct message *messages;
    size_t message_max;
    size_t message_count;
};

enum err layout_begin(struct layout_builder **ret, const struct layout_setup *setup,
                      struct out *memory, struct message *messages, size_t message_max)
{
    assert(setup->schema && setup->record_size_max > 0);
    assert(setup->events_per_record <= 1 || setup->layout == LAYOUT_COLUMNS);
    if (setup->layout < LAYOUT_ROWS || setup->layout > LAYOUT_LETTER) {
        return ERR_VERSION; /* on record by a newer version */
    }
    assert(setup->layout != LAYOUT_COLUMNS || (setup->work && message_max <= COLUMNS_EVENT_MAX));
    struct layout_builder *builder = calloc(1, sizeof *builder);
    if (!builder) {
        return ERR_NOMEM;
    }
    builder->setup = *setup;
    builder->memory = memory;
    builder->messages = messages;
    builder->message_max = message_max;
    *ret = builder;
    return ERR_OK;
}

static enum err add(struct layout_builder *builder, const struct layout_row *row,
                    struct message *ret)
{
    const struct layout_setup *setup = &builder->setup;
    if (setup->layout == LAYOUT_COLUMNS) {
        bool is_other =
            builder->message_count > 0 && !slice_equal(row->key, builder->messages[0].key);
        return is_other ? ERR_FULL : layout_columns_add(ret, setup, row);
    }
    if (setup->layout != LAYOUT_ROWS) {
        bool is_json = setup->layout == LAYOUT_JSON;
        return !setup->record
                   ? ERR_REJECTED
                   : (is_json ? json_add : letter_add)(ret, setup->record, row,
                                                       setup->record_size_max, builder->memory);
    }
    if (setup->prefix.size + row->key.size + row->datum.size > setup->record_size_max) {
        return ERR_REJECTED;
    }
    return rows_add(ret, setup->prefix, setup->zlib, row, builder->memory);
}

enum err layout_add(struct layout_builder *builder, const struct layout_row *row)
{
    if (builder->message_count == builder->message_max) {
        return ERR_FULL;
    }
    enum err e = add(builder, row, &builder->messages[builder->message_count]);
    if (!e) {
        builder->message_count++;
    }
    return e;
}

enum err layout_finish(struct layout_builder *builder, size_t *ret_message_count,
                       uint32_t *ret_events_per_record)
{
    uint32_t group = 1;
    size_t count = builder->message_count;
    if (builder->setup.layout == LAYOUT_COLUMNS && count > 0) {
        enum err e = layout_columns_finish(&builder->setup, builder->messages, count,
                                           builder->memory, &group);
        if (e) {
            return e;
        }
        count = (count + group - 1) / group;
    }
    *ret_message_count = count;
    *ret_events_per_record = group;
    return ERR_OK;
}

void layout_close(struct layout_builder *builder)
{
    free(builder);
}
