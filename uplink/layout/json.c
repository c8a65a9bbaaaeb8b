#include "uplink/layout/json.h"

#include <assert.h>

#include "uplink/avro/decode.h"

static struct message message_of(const struct layout_row *row, struct slice body)
{
    return (struct message){.key = row->key,
                            .body = body,
                            .sequence = row->sequence,
                            .time_us = row->time_us,
                            .event_count = 1};
}

enum err json_add(struct message *ret, const struct avro_node *record, const struct layout_row *row,
                  uint32_t size_max, struct out *memory)
{
    assert(!memory->overflow);
    size_t before = memory->size;
    struct slice datum = row->datum;
    if (row->is_tombstone) {
        *ret = message_of(row, (struct slice){NULL, 0});
        return ERR_OK;
    }
    enum err e = avro_decode_plain(record, &datum, memory, NULL);
    size_t size = memory->size - before;
    bool is_wrong = (e && e != ERR_FULL) || (!e && datum.size > 0);
    if (is_wrong || (!e && size + row->key.size > size_max)) {
        e = ERR_REJECTED;
    }
    if (e) {
        memory->size = before;
        memory->overflow = false;
        return e;
    }
    *ret = message_of(row, (struct slice){memory->data + before, size});
    return ERR_OK;
}
