/* What world.c (a random life of a buffer) and world_check.c (is all of it there?) share. */
#ifndef WEIR_TESTS_BUFFER_WORLD_IMPL_H
#define WEIR_TESTS_BUFFER_WORLD_IMPL_H

#include "tests/buffer/world.h"

#define WORLD_ARENA_SIZE (1 << 20)

const char *world_problem(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
struct buffer_stream *world_stream(struct world *w, uint16_t stream);
/* Is it as it was made? */
bool world_event_is_right(const struct world *w, const struct stored_event *e);
void world_parcel_of(const struct world *w, const struct model_parcel *m, struct parcel *ret);
bool world_is_in_flight(const struct model *m, uint16_t stream, uint64_t sequence);
/* Who owes this sequence, as the buffer says. */
uint8_t world_owed_now(const struct buffer_changes *c, uint16_t stream, uint64_t sequence);
/* These uplinks (bits) lose an event. */
void world_lose(struct model *m, uint16_t stream, uint8_t bits);
/* An event of a thinned stream that is owed and is not there. False: it may not be missing. */
bool world_note_thinned(struct model *m, uint16_t stream, uint64_t sequence);
/* The commit under way stands. */
void world_adopt(struct world *w);

#endif
