#include "agent/import.h"

#include <inttypes.h>

#include "agent/tool_impl.h"
#include "ports/clock.h"
#include "uplink/avro/decode.h"

/* --- where a file stands --- */

struct cursor_change import_cursor(const struct import_place *place, uint16_t driver, uint32_t key,
                                   uint8_t memory[IMPORT_VALUE_SIZE])
{
    struct out o = out_over(memory, IMPORT_VALUE_SIZE);
    out_put(&o, place->id, sizeof place->id);
    out_put_u64_le(&o, place->position);
    out_put_byte(&o, place->is_done);
    out_put_u64_le(&o, (uint64_t)place->time_us);
    return (struct cursor_change){driver, key, out_slice(&o)};
}

static bool place_take(struct slice value, struct import_place *ret)
{
    struct slice id;
    uint8_t done;
    uint64_t time;
    if (!slice_take(&value, IMPORT_ID_SIZE, &id) || !slice_take_u64_le(&value, &ret->position) ||
        !slice_take_u8(&value, &done) || !slice_take_u64_le(&value, &time) || value.size > 0) {
        return false;
    }
    memcpy(ret->id, id.data, IMPORT_ID_SIZE);
    ret->is_done = done != 0;
    ret->time_us = (int64_t)time;
    return true;
}

bool import_id_take(const char *hex, uint8_t ret[IMPORT_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(hex) != (size_t)2 * IMPORT_ID_SIZE || strspn(hex, digits) != strlen(hex)) {
        return false;
    }
    for (size_t i = 0; i < IMPORT_ID_SIZE; i++) {
        size_t high = (size_t)(strchr(digits, hex[2 * i]) - digits);
        size_t low = (size_t)(strchr(digits, hex[2 * i + 1]) - digits);
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

struct looking {
    const uint8_t *id;
    bool used[IMPORT_FILE_MAX];
    bool found;
    uint32_t key;
    struct import_place place;
    uint32_t oldest;
    int64_t oldest_us;
};

static void look_at(void *context, uint32_t key, struct slice value)
{
    struct looking *l = context;
    struct import_place place;
    if (key >= IMPORT_FILE_MAX || !place_take(value, &place)) {
        return;
    }
    l->used[key] = true;
    if (memcmp(place.id, l->id, IMPORT_ID_SIZE) == 0) {
        l->found = true;
        l->key = key;
        l->place = place;
    }
    if (place.time_us < l->oldest_us) {
        l->oldest_us = place.time_us;
        l->oldest = key;
    }
}

enum err import_place(struct buffer *buffer, const uint8_t id[IMPORT_ID_SIZE],
                      struct import_place *ret, uint32_t *ret_key, uint16_t *ret_driver,
                      struct why *why)
{
    struct looking l = {.id = id, .oldest_us = INT64_MAX};
    enum err e = buffer_driver_number(buffer, IMPORT_DRIVER, ret_driver, why);
    e = e ? e : buffer_cursor_each(buffer, *ret_driver, look_at, &l);
    if (e) {
        return e;
    }
    *ret = l.place;
    if (!l.found) {
        uint32_t free = 0;
        while (free < IMPORT_FILE_MAX && l.used[free]) {
            free++;
        }
        l.key = free < IMPORT_FILE_MAX ? free : l.oldest;
        *ret = (struct import_place){.position = 0};
        memcpy(ret->id, id, IMPORT_ID_SIZE);
    }
    *ret_key = l.key;
    return ERR_OK;
}

/* --- the tool: what has to be known before --- */

struct schemas_of {
    struct tool *tool;
    uint16_t stream;
    uint32_t next; /* numbers below were given */
    uint32_t found;
};

static void find_schema(void *context, uint16_t stream, uint32_t schema, struct slice json)
{
    struct schemas_of *s = context;
    (void)json;
    if (stream == s->stream && schema >= s->next && s->found == 0) {
        s->found = schema;
    }
}

/* The schemas of the stream, one a step, oldest first; then where the file stands. */
enum err tool_import_step(struct tool *tool, struct why *why)
{
    struct buffer *buffer = tool->setup.buffer;
    struct schemas_of s = {.tool = tool,
                           .stream = buffer_stream_number(buffer, tool->request.stream),
                           .next = tool->schema + 1};
    uint8_t id[IMPORT_ID_SIZE];
    struct import_place *place = &tool->place;
    if (!tool->request.stream[0] || !import_id_take(tool->request.file, id)) {
        why_set(why, "an import needs a stream and a file");
        return ERR_REJECTED;
    }
    buffer_schema_each(buffer, find_schema, &s);
    if (s.found) {
        return tool_put_schema(tool, s.stream, s.found, why);
    }
    enum err e = import_place(buffer, id, place, &tool->place_key, &tool->place_driver, why);
    if (e) {
        return e;
    }
    if (tool->request.again) {
        place->position = 0;
        place->is_done = false;
    }
    size_t at = frame_begin(&tool->out, FRAME_JSON);
    out_put_format(&tool->out, "{\"position\":%" PRIu64 ",\"done\":%s}", place->position,
                   place->is_done ? "true" : "false");
    frame_end(&tool->out, at);
    return ERR_CLOSED;
}

bool tool_import_place(const struct tool *tool, struct import_place *ret, uint32_t *ret_key,
                       uint16_t *ret_driver)
{
    *ret = tool->place;
    *ret_key = tool->place_key;
    *ret_driver = tool->place_driver;
    return tool->place_driver > 0;
}

void tool_import_moved(struct tool *tool, const struct import_place *place)
{
    tool->place = *place;
}

/* --- batches --- */

enum err import_batch_take(struct slice bytes, struct import_batch *ret, struct why *why)
{
    uint64_t schema;
    uint8_t last;
    ret->event_count = 0;
    ret->size = 0;
    bool good = slice_take_uvarint(&bytes, &schema) && schema <= UINT32_MAX &&
                slice_take_u8(&bytes, &last) && last <= 1;
    while (good && bytes.size > 0 && ret->event_count < IMPORT_EVENT_MAX) {
        struct tool_event event;
        good = tool_event_take(&bytes, &event) && event.trust >= TIME_PAYLOAD &&
               event.trust <= TIME_WALL;
        if (good) {
            ret->events[ret->event_count++] = (struct stored_event){.schema = (uint32_t)schema,
                                                                    .time_us = event.time_us,
                                                                    .trust = event.trust,
                                                                    .datum = event.datum};
            ret->size += event.datum.size;
        }
    }
    if (!good || bytes.size > 0 || (ret->event_count > 1 && ret->size > WRITE_SIZE_MAX)) {
        why_set(why, "a batch of events that can't be read: are agent and command of one version?");
        return ERR_CORRUPT;
    }
    ret->schema = (uint32_t)schema;
    ret->is_last = last;
    return ERR_OK;
}

enum err import_batch_check(const struct import_batch *batch, const struct avro_node *root,
                            size_t event_size_max, struct why *why)
{
    for (size_t i = 0; i < batch->event_count; i++) {
        struct slice datum = batch->events[i].datum;
        if (datum.size > event_size_max) {
            why_set(why, "an event of %zu bytes, and event_size_max is %zu", datum.size,
                    event_size_max);
            return ERR_REJECTED;
        }
        if (avro_skip(root, &datum) || datum.size > 0) {
            why_set(why, "an event does not fit schema %u", batch->schema);
            return ERR_REJECTED;
        }
    }
    return ERR_OK;
}
