/* Inside of the buffer: which machine a file is used on, and under which incarnation each of its events
 * was stored.
 *
 * In `meta`, 'machine' has the marks of the machine that used the file last (struct machine). Where
 * opening finds another one there, the file, or the medium, was copied or moved: the machine before
 * may go on with what it has, and give the same sequences to other events. So a new incarnation begins,
 * in the transaction in which the opening's streams and uplinks join; sequences go on. What is stored
 * already keeps the incarnation that it has, in what is sent anew too: the other machine, which has
 * the same events, sends them under the same name. 'eras' has, for each incarnation before, how far it
 * goes in each stream. Of a file of an earlier version no machine is known: it gets the mark, and goes
 * on.
 *
 * Two machines are the same when their boards are; only where one of the boards has no number, when
 * their systems are: a system's id changes with a new image of it, a board's number does not. Where
 * nothing can be compared, they are. */
#ifndef WEIR_BUFFER_MACHINE_H
#define WEIR_BUFFER_MACHINE_H

#include "buffer/internal.h"
#include "buffer/look.h"

/* Behind them the oldest one is forgotten: what is left of it goes by the name of the next, which no
 * other event has. */
#define ERA_COUNT_MAX BUFFER_EARLIER_MAX

struct era {
    uint32_t incarnation;
    uint64_t next[STREAM_COUNT_MAX + 1]; /* sequences below are of it, or of an earlier one */
};

/* As the file has it. */
enum err machine_read(struct buffer *b, struct why *why) MUST_USE;
/* The same of a damaged file, as far as it can be read, for the one in its place. */
enum err machine_read_damaged(struct buffer *b, struct buffer *source, struct why *why) MUST_USE;
/* In a transaction: as it is in memory. */
enum err machine_put(struct buffer *b, struct why *why) MUST_USE;
/* In the transaction of opening: compares, and begins another incarnation where that is due. */
enum err machine_join(struct buffer *b, const struct buffer_setup *setup, struct why *why) MUST_USE;
void machine_figures(const struct buffer *b, struct buffer_figures *ret);
/* Nothing is known of what the file had. */
void machine_forget(struct buffer *b);
/* Are the events of a file that has this incarnation, and stands at this state, this buffer's? */
bool machine_has(const struct buffer *b, uint32_t incarnation, const struct state *state);

#endif
