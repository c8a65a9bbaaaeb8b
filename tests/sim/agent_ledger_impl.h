/* What the files of the ledger share. */
#ifndef WEIR_TESTS_SIM_AGENT_LEDGER_IMPL_H
#define WEIR_TESTS_SIM_AGENT_LEDGER_IMPL_H

#include "tests/sim/agent_ledger.h"

/* agent_ledger.c */
unsigned ledger_uplink_index(const struct buffer *buffer, uint16_t number);
/* New set-aside events: looked at when they come, because old ones give way to new ones. A disk that
 * fails may let that wait, unless it `has_to`. */
void ledger_asides_read(struct ledger *ledger, struct buffer *buffer, bool has_to);
void ledger_asides_check(const struct ledger *ledger);
void ledger_gap_add(struct ledger *ledger, const struct ledger_gap *gap);

/* agent_columns.c: the schemas that the buffer has had, by which batches in columns are read. */
struct ledger_plans *ledger_plans_open(void);
void ledger_plans_close(struct ledger_plans *plans);
void ledger_plans_look(struct ledger_plans *plans, const struct buffer *buffer);
struct ledger_taker {
    void (*row)(void *context, struct slice datum, uint64_t sequence);
    void *context;
};
/* The rows of a message that is a batch in columns, whose sequences have to rise; returns their count.
 * 0: it is a row itself. */
size_t ledger_rows(const struct ledger_plans *plans, struct slice body,
                   const struct ledger_taker *taker);

/* agent_ledger_damage.c */
/* After each step. */
void ledger_damage_look(struct ledger *ledger, struct buffer *buffer);
/* A life begins: what has become of the file, and what that allows. True: what the last life had
 * committed need not be there to the last bit. */
bool ledger_damage_recovered(struct ledger *ledger, const struct buffer *buffer);

/* agent_ledger_gaps.c */
/* Of the buffer's: false: of a stream that is not the ledger's. */
bool ledger_gap_of(const struct ledger *ledger, const struct buffer *buffer, const struct gap *gap,
                   struct ledger_gap *ret);
/* The gaps of this commit; those of earlier ones that are in it no more were told, unless it is one
 * of before, which is told as lost by the next life. */
void ledger_gaps_look(struct ledger *ledger, const struct buffer *buffer);
/* An event of weir.events was set aside: it tells nothing to who reads there. */
void ledger_damage_aside(struct ledger *ledger, uint64_t sequence);
/* At the end, with what was told and what waits to be told in ledger->gaps: is each gap there that
 * was seen, or lost with weir.events? */
void ledger_damage_told(const struct ledger *ledger);
/* At the end: the gaps that were seen, in place of those that were told. */
void ledger_damage_gaps(struct ledger *ledger);

#endif
