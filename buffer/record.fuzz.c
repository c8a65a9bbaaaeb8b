/* The tail's records: the input as it stands, and as the sections of a record whose head is right,
 * applied to a state as after a crash. */
#include <stdlib.h>
#include <string.h>

#include "buffer/internal.h"
#include "ports/lib/crc32c.h"

#define INPUT_MAX 65536
#define GENERATION 3
#define COMMIT 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct state *fresh_state(void)
{
    struct state *state = NULL;
    if (state_open(&state, 8)) {
        abort();
    }
    state->generation = GENERATION;
    state->commit = COMMIT - 1;
    for (uint16_t s = 1; s <= 3; s++) {
        state->streams[s].sequence_next = 1;
        state->owed[state->owed_count++] = (struct owed){.uplink = 1, .stream = s};
        state->owed[state->owed_count++] = (struct owed){.uplink = 2, .stream = s};
    }
    return state;
}

/* What was applied is a state that a snapshot keeps. */
static void check_state(const struct state *state)
{
    static uint8_t memory[STATE_SIZE_MAX];
    struct state *again = NULL;
    struct out o = out_over(memory, sizeof memory);
    state_encode(state, &o);
    if (o.overflow || o.size > state_size_bound(state) || state_open(&again, 8) ||
        state_decode(again, 8, out_slice(&o))) {
        abort();
    }
    state_close(again);
}

static void apply_record(struct slice sections)
{
    static uint8_t memory[RECORD_HEAD_SIZE + INPUT_MAX];
    struct record_writer writer;
    struct out o = out_over(memory, sizeof memory);
    struct record found;
    record_begin(&writer, &o, GENERATION, COMMIT, false);
    out_put_slice(&o, sections);
    record_end(&writer);
    struct state *state = fresh_state();
    if (record_check(out_slice(&o), GENERATION, COMMIT, &found) || found.size != o.size ||
        found.is_encrypted || !slice_equal(found.sections, sections)) {
        abort();
    }
    if (apply_sections(state, found.sections) == ERR_OK) {
        check_state(state);
    }
    state_close(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = {data, size};
    struct record record;
    if (record_check(input, GENERATION, COMMIT, &record) == ERR_OK && record.size > size) {
        abort();
    }
    if (size <= INPUT_MAX) {
        apply_record(input);
    }
    return 0;
}
