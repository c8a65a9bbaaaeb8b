/* Bringing over what can be read of a damaged file that was kept. */
#include <inttypes.h>

#include "agent/tool_impl.h"
#include "buffer/salvage.h"

static void put_result(struct tool *tool, bool is_done)
{
    struct buffer_changes state;
    buffer_state(tool->setup.buffer, &state);
    size_t at = frame_begin(&tool->out, FRAME_JSON);
    out_put_format(&tool->out, "{\"salvaged\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"done\":%s}",
                   state.damage.found, state.damage.lost, is_done ? "true" : "false");
    frame_end(&tool->out, at);
}

/* A running agent goes on by itself, between its commits; else turn by turn, to the end, or until
 * the buffer has no room: then the next start goes on. */
enum err tool_salvage_step(struct tool *tool, struct why *why)
{
    struct buffer_changes state;
    enum err e;
    if (!tool->salvages) {
        e = buffer_salvage_begin(tool->setup.buffer, tool->request.path, why);
        tool->salvages = true;
        if (!e && tool->setup.is_running) {
            put_result(tool, false);
            return ERR_CLOSED;
        }
        return e == ERR_CLOSED ? ERR_CONFIG : e;
    }
    e = buffer_care(tool->setup.buffer, &state, why);
    if (e != ERR_OK && e != ERR_CLOSED && e != ERR_FULL) {
        return e;
    }
    tool->done = state.damage.found;
    tool_put_progress(tool);
    if (e == ERR_OK && state.damage.salvages) {
        return ERR_OK;
    }
    put_result(tool, !state.damage.salvages);
    return ERR_CLOSED;
}
