/* The snapshot of the state: what is taken is taken to the last byte, and is the same when it is
 * written and read again. */
#include <stdlib.h>
#include <string.h>

#include "buffer/state.h"

#define PAIRS 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct state *decode(struct slice data, enum err *ret)
{
    struct state *state = NULL;
    if (state_open(&state, PAIRS)) {
        abort();
    }
    *ret = state_decode(state, PAIRS, data);
    return state;
}

/* The questions that are asked of a state at every commit end, whatever it is. */
static void ask(const struct state *state)
{
    for (uint16_t s = 1; s <= STREAM_COUNT_MAX; s++) {
        const struct range all = {1, UINT64_MAX / 2};
        uint64_t backlog = state_backlog(state, s);
        if (backlog > state->streams[s].sequence_next ||
            state_backlog_in(state, s, all) != backlog ||
            (backlog > 0) != state_is_owed(state, s, all)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t memory[2][STATE_SIZE_MAX];
    enum err e;
    struct state *state = decode((struct slice){data, size}, &e);
    if (e == ERR_OK) {
        struct out first = out_over(memory[0], sizeof memory[0]);
        struct out second = out_over(memory[1], sizeof memory[1]);
        ask(state);
        state_encode(state, &first);
        struct state *again = decode(out_slice(&first), &e);
        if (e || first.overflow) {
            abort();
        }
        state_encode(again, &second);
        if (!slice_equal(out_slice(&first), out_slice(&second))) {
            abort();
        }
        state_close(again);
    }
    state_close(state);
    return 0;
}
