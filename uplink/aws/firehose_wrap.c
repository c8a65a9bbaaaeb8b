/* A batch as records of a delivery stream. Pack worker. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "uplink/aws/firehose.h"
#include "uplink/aws/kinesis_entries.h"

#define ID_ROOM 640 /* member, quotes, identity and stream's name, escaped */

/* A line of JSON, with the id as its first member. False: it has no room. */
static bool put_line(const struct firehose_options *options, const struct batch *batch,
                     const struct message *message, struct out *ret)
{
    size_t before = ret->size;
    struct slice body = message->body;
    bool is_object = body.size >= 2 && body.data[0] == '{';
    if (options->event_id && batch->identity && is_object) {
        uint8_t memory[ID_ROOM];
        struct out id = out_over(memory, sizeof memory);
        out_put_format(&id, "%s/%s/%" PRIu64, batch->identity, batch->stream->name,
                       message->sequence);
        out_put_text(ret, "{\"weir_id\":");
        out_put_json(ret, out_slice(&id));
        out_put_text(ret, body.data[1] == '}' ? "" : ",");
        body = (struct slice){body.data + 1, body.size - 1};
    }
    out_put_slice(ret, body);
    out_put_byte(ret, '\n');
    if (ret->overflow) {
        ret->overflow = false;
        ret->size = before;
        return false;
    }
    return true;
}

static enum err put_record(const struct batch *batch, struct slice data, size_t start,
                           struct out *ret)
{
    if (data.size > FIREHOSE_RECORD_SIZE_MAX && !batch->part->assigned) {
        return ERR_FULL;
    }
    const struct entry entry = {
        .at = (uint32_t)(ret->size - start), .before = ENTRY_NONE, .data = data};
    entries_put(ret, start, &entry);
    return ret->overflow ? ERR_FULL : ERR_OK;
}

/* Lines until the record is full; a line that is longer is a record by itself. */
static enum err put_lines(const struct firehose_options *options, const struct batch *batch,
                          size_t start, struct out *ret)
{
    size_t room = (size_t)options->record_size_max;
    uint8_t *memory = malloc(room);
    enum err e = memory ? ERR_OK : ERR_NOMEM;
    struct out lines = out_over(memory, room);
    for (size_t i = 0; i < batch->message_count && !e; i++) {
        const struct message *message = &batch->messages[i];
        if (put_line(options, batch, message, &lines)) {
            continue;
        }
        e = lines.size > 0 ? put_record(batch, out_slice(&lines), start, ret) : ERR_OK;
        lines.size = 0;
        if (!e && !put_line(options, batch, message, &lines)) {
            size_t alone = message->body.size + ID_ROOM;
            struct out line = out_over(malloc(alone), alone);
            bool is_put = line.data && put_line(options, batch, message, &line);
            assert(is_put || !line.data);
            e = line.data ? put_record(batch, out_slice(&line), start, ret) : ERR_NOMEM;
            free(line.data);
        }
    }
    if (!e && lines.size > 0) {
        e = put_record(batch, out_slice(&lines), start, ret);
    }
    free(memory);
    return e;
}

enum err firehose_wrap(const void *options, const struct batch *batch, struct out *ret)
{
    const struct firehose_options *firehose = options;
    size_t start = ret->size;
    enum err e = ERR_OK;
    if (batch->parcel->layout == LAYOUT_JSON || batch->target.is_json) {
        e = put_lines(firehose, batch, start, ret);
    } else {
        for (size_t i = 0; i < batch->message_count && !e; i++) {
            e = put_record(batch, batch->messages[i].body, start, ret);
        }
    }
    bool may_shrink = batch->event_count > 1 && !batch->part->assigned;
    if (!e && may_shrink && ret->size - start > batch->target.request_size_max) {
        e = ERR_FULL;
    }
    return e;
}
