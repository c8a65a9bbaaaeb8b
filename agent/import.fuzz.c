/* What comes from a file or from the control socket: a line of an export, a request, frames, a batch
 * of events. What is taken is what was put. */
#include <assert.h>
#include <stdlib.h>

#include "agent/import_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(struct slice input)
{
    struct tool_request request;
    struct tool_request again;
    uint8_t line[4 * TOOL_LINE_MAX];
    struct out o = out_over(line, sizeof line);
    if (tool_request_take(input, &request, NULL)) {
        return;
    }
    tool_request_put(&request, &o);
    assert(!o.overflow);
    assert(tool_request_take(out_slice(&o), &again, NULL) == ERR_OK);
    assert(request.kind == again.kind && request.range.first == again.range.first &&
           request.range.last == again.range.last && request.since_us == again.since_us &&
           request.until_us == again.until_us && request.count == again.count &&
           strcmp(request.file, again.file) == 0 && strcmp(request.reason, again.reason) == 0);
}

static void try_line(struct slice input)
{
    struct import_line line;
    bool is_ours = false;
    if (import_line_take(input, &is_ours, &line, NULL) == ERR_OK && is_ours) {
        assert(line.event.data >= input.data &&
               line.event.data + line.event.size <= input.data + input.size);
        assert(line.stream.size > 0 && line.event.size > 0);
    }
}

static void try_frames(struct slice input)
{
    enum frame_kind kind;
    struct slice payload;
    size_t missing = 0;
    struct tool_event event;
    struct tool_aside aside;
    struct slice rest = input;
    enum err e;
    while ((e = frame_take(&rest, &kind, &payload, &missing)) == ERR_OK) {
        while (kind == FRAME_EVENTS && tool_event_take(&payload, &event)) {
            assert(event.trust <= TIME_ESTIMATE);
        }
        if (kind == FRAME_ASIDE && tool_aside_take(payload, &aside)) {
            assert(aside.kind <= ASIDE_DATUM && aside.body.size <= payload.size);
        }
    }
    assert(e == ERR_CORRUPT || missing > 0);
}

static void try_batch(struct slice input)
{
    struct import_batch *batch = malloc(sizeof *batch);
    if (batch && import_batch_take(input, batch, NULL) == ERR_OK) {
        assert(batch->event_count <= IMPORT_EVENT_MAX);
        assert(batch->event_count <= 1 || batch->size <= WRITE_SIZE_MAX);
        for (size_t i = 0; i < batch->event_count; i++) {
            struct slice datum = batch->events[i].datum;
            assert(datum.size == 0 || (datum.data >= input.data &&
                                       datum.data + datum.size <= input.data + input.size));
        }
    }
    free(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct slice input = {data + 1, size - 1};
    switch (data[0] % 4) {
    case 0:
        try_request(input);
        break;
    case 1:
        try_line(input);
        break;
    case 2:
        try_frames(input);
        break;
    default:
        try_batch(input);
        break;
    }
    return 0;
}
