/* Dead letters: where a stream has a topic for them (`dead_letter`), what is set aside of it is also
 * an event of a stream of the agent's own, weir.dead.STREAM, which goes to that topic: to people who
 * look after it elsewhere. The letter and the set-aside event are in one commit; the set-aside event
 * is what counts, and its letter is dropped, counted as any event, where there is no room for it. (In
 * one case they are in two: what a destination refused, on a disk that has just become full.)
 *
 * One schema, weir.DeadLetter; LAYOUT_LETTER makes body and headers of it. Loop thread. */
#ifndef WEIR_AGENT_LETTER_H
#define WEIR_AGENT_LETTER_H

#include "agent/store.h"
#include "ports/uplink.h"

#define LETTER_PRIORITY 1
#define LETTER_STREAM_PREFIX "weir.dead." /* and the name of the stream that it is about */
#define LETTER_SIZE_MAX WRITE_SIZE_MAX
#define LETTER_BODY_SIZE_MAX \
    (LETTER_SIZE_MAX - 8 * 1024) /* the rest is cut; all texts are bounded */

struct letters;
struct time_source;

/* What a letter says beside what a set-aside event has. */
struct letter_place {
    const char *driver;               /* PAYLOAD; else NULL */
    const char *uplink;               /* DATUM; else NULL */
    struct slice subject;             /* PAYLOAD */
    const struct schema_info *schema; /* DATUM; NULL: not known any more */
};

/* The schema's text. */
struct slice letter_schema(void);

enum err letters_open(struct letters **ret, struct store *store) MUST_USE;
/* NULL is allowed. */
void letters_close(struct letters *letters);
/* Events of `stream` get letters in `own`, under `schema`: all the buffer's numbers. */
void letters_stream_set(struct letters *letters, uint16_t stream, uint16_t own, uint32_t schema,
                        const char *name);
/* The clock by which they get their time: before the first is made. */
void letters_time_set(struct letters *letters, struct time_source *time);

/* Before the event is set aside: makes its letter, if its stream has any, and sees to it that the
 * open batch takes both. Then, without a turn of the loop between: store_aside_put(), what else has
 * to be in that commit, and letters_put(). ERR_FULL: not now; committed() will come. With `letters`
 * NULL, or without a stream, there is none. */
enum err letters_make(struct letters *letters, const struct aside *aside,
                      const struct letter_place *place, int64_t wait_ms) MUST_USE;
/* Puts the letter that was made last, if one was. */
void letters_put(struct letters *letters, int64_t wait_ms);

#endif
